//! Stamping: `created_at` and the head checksum, for one record after the other of a batch.
//!
//! CRC-32C is linear: what the four bytes of the payload's checksum contribute to the checksum of a head does not depend on
//! the other bytes. The heads of a batch mostly differ in these four bytes alone, so that one of them is computed, and each
//! of the others costs four looks at a table.

use super::record::{CREATED_AT, HEAD_BYTES, HEAD_CRC, PAYLOAD_CRC, head_crc, payload_start};
use crate::time::Timestamp;

/// How many bytes of a bare head are checksummed from the payload's checksum on, that included.
const BYTES_BEHIND: usize = HEAD_BYTES - PAYLOAD_CRC.start;
/// What each value of each of the four bytes contributes.
static CONTRIBUTIONS: [[u32; 256]; 4] = contributions();

/// Stamps records of one creation.
#[derive(Debug)]
pub(super) struct Stamp {
    created_at: Timestamp,
    /// How the last bare head begins, and its checksum with a payload checksum of 0.
    last: Option<([u8; 8], u32)>,
}

impl Stamp {
    pub(super) fn new(created_at: Timestamp) -> Self {
        Self {
            created_at,
            last: None,
        }
    }

    /// Writes `created_at` and the head checksum into a record.
    pub(super) fn write(&mut self, record: &mut [u8]) {
        record[CREATED_AT].copy_from_slice(&self.created_at.as_micros().to_le_bytes());
        let body = payload_start(record);
        let crc = match record.first_chunk::<HEAD_BYTES>() {
            Some(head) if body == HEAD_BYTES => self.bare_head_crc(head),
            _ => head_crc(record, body),
        };
        record[HEAD_CRC].copy_from_slice(&crc.to_le_bytes());
    }

    fn bare_head_crc(&mut self, head: &[u8; HEAD_BYTES]) -> u32 {
        let [b0, b1, b2, b3, b4, b5, b6, b7, ..] = *head;
        let begin = [b0, b1, b2, b3, b4, b5, b6, b7];
        let base = match self.last {
            Some((last, base)) if last == begin => base,
            _ => {
                let mut zeroed = *head;
                zeroed[PAYLOAD_CRC].fill(0);
                let base = head_crc(&zeroed, HEAD_BYTES);
                self.last = Some((begin, base));
                base
            }
        };
        let payload_crc = head[PAYLOAD_CRC].iter().zip(&CONTRIBUTIONS);
        payload_crc.fold(base, |crc, (byte, table)| crc ^ table[usize::from(*byte)])
    }
}

/// Stamps a record that comes alone: nothing is worked out that others would share.
pub(super) fn stamp_one(record: &mut [u8], created_at: Timestamp) {
    record[CREATED_AT].copy_from_slice(&created_at.as_micros().to_le_bytes());
    let crc = head_crc(record, payload_start(record));
    record[HEAD_CRC].copy_from_slice(&crc.to_le_bytes());
}

/// The register after each byte in each of the four places and zeros to the end of the head, from an empty register.
const fn contributions() -> [[u32; 256]; 4] {
    let mut tables = [[0; 256]; 4];
    let mut place = 0;
    while place < 4 {
        let mut byte: u32 = 0;
        while byte < 256 {
            let mut register = byte;
            let mut bits = 8 * (BYTES_BEHIND - place);
            while bits > 0 {
                let is_odd = register & 1 == 1;
                register >>= 1;
                if is_odd {
                    // The polynomial of CRC-32C, bits reversed.
                    register ^= 0x82f6_3b78;
                }
                bits -= 1;
            }
            tables[place][byte as usize] = register;
            byte += 1;
        }
        place += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::super::{ItemBatch, NewItem, RecordView};
    use super::*;

    #[test]
    fn every_record_of_a_mixed_batch_gets_the_checksum_that_it_would_get_alone() {
        let payloads: Vec<Vec<u8>> = (0..200_u8)
            .map(|byte| vec![byte.wrapping_mul(73); usize::from(byte % 7)])
            .collect();
        for created_at in [
            Timestamp::MIN,
            Timestamp::EPOCH,
            Timestamp::from_micros(1 << 50),
        ] {
            let mut batch = ItemBatch::new();
            for (index, payload) in payloads.iter().enumerate() {
                let item = NewItem::new(payload);
                let item = if index % 5 == 0 {
                    item.priority(3)
                } else {
                    item
                };
                batch.push(item).unwrap();
            }

            let sealed = batch.seal(created_at);

            for view in sealed.records() {
                assert_eq!(view.created_at(), created_at);
                assert!(RecordView::parse(view.as_bytes()).is_ok(), "{view:?}");
            }
        }
    }
}
