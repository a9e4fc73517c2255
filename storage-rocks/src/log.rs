//! Looks at the write-ahead logs before RocksDB reads them: a log that is damaged before its tail is refused.
//!
//! RocksDB replays its logs up to the first record that is not whole, and drops everything behind it. That is right for what
//! a crash leaves, and for a hole between two logs of which only the later reached the disk; but where a bit has flipped in
//! the middle, it would drop without a word what was acknowledged. So a record that is not whole is looked at more closely.
//! If a whole one stands anywhere behind it in its log, or if it ends a log that is not the last and is neither cut off nor
//! empty space, the log was damaged.
//!
//! ```text
//! log      blocks of 32 KiB, each of records and, where fewer than 7 bytes are left, zeros
//! record   checksum of what follows but the length (CRC-32C, masked) 4 | length 2 | type 1 | bytes
//! ```

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use storage_kv::{KvError, KvErrorKind, KvResult};

use crate::error::translate_io;

const BLOCK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;

/// The logs of a directory, in the order in which they were written.
pub(crate) fn logs(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if let Some(number) = number_of(&path) {
            logs.push((number, path));
        }
    }
    logs.sort();
    Ok(logs.into_iter().map(|(_, path)| path).collect())
}

/// The number of a log; `None` for any other file.
pub(crate) fn number_of(path: &Path) -> Option<u64> {
    path.extension().filter(|extension| *extension == "log")?;
    path.file_stem()?.to_str()?.parse().ok()
}

/// Whether a log begins with a whole record.
pub(crate) fn begins_whole(log: &Path) -> io::Result<bool> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let log = fs::File::open(log)?;
    log.take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
    Ok(record(&block).is_some())
}

/// Refuses logs of which one is damaged before its tail.
pub(crate) fn check_logs(directory: &Path) -> KvResult<()> {
    let looked_at = |error| translate_io("looking at the logs", error);
    let logs = logs(directory).map_err(looked_at)?;
    for (index, log) in logs.iter().enumerate() {
        let file = fs::File::open(log).map_err(looked_at)?;
        let is_last = index + 1 == logs.len();
        let damaged_at = find_damage(file, is_last).map_err(looked_at)?;
        if let Some(at) = damaged_at {
            let name = log.file_name().unwrap_or_default().display();
            return Err(KvError::new(
                KvErrorKind::Corrupted,
                format!(
                    "its log {name} is damaged at byte {at}, which is not its end; restore the place from a copy"
                ),
            ));
        }
    }
    Ok(())
}

/// Where the first record stands that is not whole, if no crash has made it so.
fn find_damage(mut log: impl io::Read, is_last: bool) -> io::Result<Option<u64>> {
    let mut broken_at = None;
    let mut may_be_tail = true;
    let mut start = 0;
    loop {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        log.by_ref()
            .take(BLOCK_BYTES as u64)
            .read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(broken_at.filter(|_| !may_be_tail));
        }
        let mut at = 0;
        if broken_at.is_none() {
            at = end_of_whole(&block);
            if !is_padding(&block[at..]) {
                broken_at = Some(start + at as u64);
                may_be_tail = is_last || is_cut_off(&block[at..]);
                at += 1;
            }
        }
        // Where a length is damaged nobody knows where the next record begins, so that it may be anywhere.
        if broken_at.is_some() && (at..block.len()).any(|at| record(&block[at..]).is_some()) {
            return Ok(broken_at);
        }
        start += block.len() as u64;
    }
}

/// Where the whole records at the beginning of a block end.
fn end_of_whole(block: &[u8]) -> usize {
    let mut at = 0;
    while let Some(len) = record(&block[at..]) {
        at += len;
    }
    at
}

/// Whether bytes that begin no whole record are the beginning of one that ends behind them, or zeros.
fn is_cut_off(bytes: &[u8]) -> bool {
    let is_short = match bytes.split_first_chunk::<HEADER_BYTES>() {
        Some(([.., l0, l1, _], rest)) => rest.len() < usize::from(u16::from_le_bytes([*l0, *l1])),
        None => true,
    };
    is_short || bytes.iter().all(|byte| *byte == 0)
}

/// Whether nothing but the zeros at the end of a block is left.
fn is_padding(rest: &[u8]) -> bool {
    rest.len() < HEADER_BYTES && rest.iter().all(|byte| *byte == 0)
}

/// The length of the whole record at the beginning of some bytes, if there is one.
fn record(bytes: &[u8]) -> Option<usize> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let [c0, c1, c2, c3, l0, l1, kind] = *header;
    // Space that was put aside is full of zeros.
    if kind == 0 {
        return None;
    }
    let len = usize::from(u16::from_le_bytes([l0, l1]));
    let body = rest.get(..len)?;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&[kind]), body);
    (mask(crc) == u32::from_le_bytes([c0, c1, c2, c3])).then_some(HEADER_BYTES + len)
}

/// A checksum as it is stored, so that one over bytes that hold checksums is none of them.
fn mask(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Records of a type that stands for itself, padded into blocks.
    pub(crate) fn log_of(records: &[&[u8]]) -> Vec<u8> {
        const WHOLE: u8 = 1;
        let mut log: Vec<u8> = Vec::new();
        for body in records {
            let left = BLOCK_BYTES - log.len() % BLOCK_BYTES;
            if left < HEADER_BYTES + body.len() {
                log.resize(log.len() + left, 0);
            }
            let crc = mask(crc32c::crc32c_append(crc32c::crc32c(&[WHOLE]), body));
            log.extend_from_slice(&crc.to_le_bytes());
            let len = u16::try_from(body.len()).unwrap();
            log.extend_from_slice(&len.to_le_bytes());
            log.push(WHOLE);
            log.extend_from_slice(body);
        }
        log
    }

    #[test]
    fn a_log_that_is_whole_or_cut_anywhere_is_not_damaged() {
        let log = log_of(&[b"first", b"second", b"", b"fourth"]);

        for end in 0..=log.len() {
            let damage = find_damage(&log[..end], false).unwrap();
            assert_eq!(damage, None, "cut at {end}");
        }
    }

    #[test]
    fn a_bit_that_flipped_before_the_last_record_is_damage() {
        let log = log_of(&[b"first", b"second", b"", b"fourth"]);
        let last = log.len() - HEADER_BYTES - b"fourth".len();

        for at in 0..log.len() {
            let mut damaged = log.clone();
            damaged[at] ^= 4;
            let is_damaged = find_damage(&*damaged, true).unwrap().is_some();
            assert_eq!(is_damaged, at < last, "byte {at}");
        }
    }

    #[test]
    fn a_bit_that_flipped_at_the_end_of_a_log_is_damage_where_another_follows() {
        let mut log = log_of(&[b"first", b"second"]);
        let last = log.len() - 1;
        log[last] ^= 1;

        assert_eq!(find_damage(&*log, true).unwrap(), None);
        assert!(find_damage(&*log, false).unwrap().is_some());
    }

    #[test]
    fn damage_in_one_block_is_told_by_another() {
        // The length of the first record covers all of its block.
        let body = vec![7; BLOCK_BYTES - HEADER_BYTES];
        let log = log_of(&[&body, &body]);
        for at in [0, 4, 5, 6, 7, BLOCK_BYTES - 1] {
            let mut damaged = log.clone();
            damaged[at] ^= 1;
            assert_eq!(find_damage(&*damaged, true).unwrap(), Some(0), "byte {at}");
        }
    }

    #[test]
    fn zeros_that_were_put_aside_are_a_tail() {
        let mut log = log_of(&[b"first"]);
        log.resize(3 * BLOCK_BYTES, 0);

        assert_eq!(find_damage(&*log, false).unwrap(), None);
    }
}
