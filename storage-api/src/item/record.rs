//! The one record format: an item as bytes, encoded once and never rewritten.
//!
//! ```text
//! offset  bytes  field, little-endian
//!      0      1  format, 1
//!      1      1  flags: 1 priority, 2 enqueue_at, 4 expire_at, 8 attempts_max, 16 attributes, 32 dedup key among them
//!      2      2  length of the attributes
//!      4      4  length of the payload
//!      8      4  CRC-32C of bytes 0..8, of 12..24 and of what follows, the payload excepted
//!     12      4  CRC-32C of the payload
//!     16      8  created_at, microseconds
//!     24         priority (1), enqueue_at (8), expire_at (8), attempts_max (4), each where its flag is set;
//!                the attributes (see codec); the payload
//! ```
//!
//! What changes while an item lives (state, attempts, position, due time, note) stays outside of its record.

use std::ops::Range;

use bytes::Bytes;

use super::codec::{self, Attributes};
use crate::error::{Error, ErrorKind, Object, Operation, Result};
use crate::limits::{PAYLOAD_BYTES_MAX, PRIORITY_DEFAULT};
use crate::time::Timestamp;

/// The format that is written.
const FORMAT: u8 = 1;

pub(super) const HEAD_BYTES: usize = 24;
pub(super) const HEAD_CRC: Range<usize> = 8..12;
pub(super) const PAYLOAD_CRC: Range<usize> = 12..16;
pub(super) const CREATED_AT: Range<usize> = 16..24;

const HAS_PRIORITY: u8 = 1;
const HAS_ENQUEUE_AT: u8 = 2;
const HAS_EXPIRE_AT: u8 = 4;
const HAS_ATTEMPTS_MAX: u8 = 8;
const HAS_ATTRIBUTES: u8 = 16;
const HAS_DEDUP_KEY: u8 = 32;
const FLAGS_KNOWN: u8 = 63;

/// What a record holds, before it is bytes. `created_at` is stamped later, by [`Stamp`](super::stamp::Stamp).
pub(super) struct Fields<'a> {
    pub(super) priority: u8,
    pub(super) enqueue_at: Option<Timestamp>,
    pub(super) expire_at: Option<Timestamp>,
    pub(super) attempts_max: u32,
    pub(super) attributes: Attributes<'a>,
    pub(super) payload: &'a [u8],
}

impl Fields<'_> {
    /// Whether nothing stands between head and payload.
    fn are_bare(&self) -> bool {
        self.priority == PRIORITY_DEFAULT
            && self.enqueue_at.is_none()
            && self.expire_at.is_none()
            && self.attempts_max == 0
            && self.attributes.is_empty()
    }
}

/// Appends a record without its `created_at` and head checksum. The limits of the fields have been checked.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the payload is within its limit"
)]
pub(super) fn encode(fields: &Fields<'_>, out: &mut Vec<u8>) {
    let mut head = [0; HEAD_BYTES];
    head[0] = FORMAT;
    head[4..8].copy_from_slice(&(fields.payload.len() as u32).to_le_bytes());
    head[PAYLOAD_CRC].copy_from_slice(&crc32c::crc32c(fields.payload).to_le_bytes());
    let start = out.len();
    out.reserve(HEAD_BYTES + fields.payload.len());
    out.extend_from_slice(&head);
    if !fields.are_bare() {
        let (flags, attributes_len) = encode_more(fields, out);
        out[start + 1] = flags;
        out[start + 2..start + 4].copy_from_slice(&attributes_len.to_le_bytes());
    }
    out.extend_from_slice(fields.payload);
}

/// Appends the fields and attributes between head and payload; answers the flags, and the length of the attributes.
#[expect(
    clippy::cast_possible_truncation,
    reason = "attributes are within their limits"
)]
fn encode_more(fields: &Fields<'_>, out: &mut Vec<u8>) -> (u8, u16) {
    let mut flags = 0;
    if fields.priority != PRIORITY_DEFAULT {
        flags |= HAS_PRIORITY;
        out.push(fields.priority);
    }
    if let Some(enqueue_at) = fields.enqueue_at {
        flags |= HAS_ENQUEUE_AT;
        out.extend_from_slice(&enqueue_at.as_micros().to_le_bytes());
    }
    if let Some(expire_at) = fields.expire_at {
        flags |= HAS_EXPIRE_AT;
        out.extend_from_slice(&expire_at.as_micros().to_le_bytes());
    }
    if fields.attempts_max != 0 {
        flags |= HAS_ATTEMPTS_MAX;
        out.extend_from_slice(&fields.attempts_max.to_le_bytes());
    }
    let attributes_start = out.len();
    if !fields.attributes.is_empty() {
        flags |= HAS_ATTRIBUTES;
        fields.attributes.encode(out);
    }
    if fields.attributes.dedup_key.is_some() {
        flags |= HAS_DEDUP_KEY;
    }
    (flags, (out.len() - attributes_start) as u16)
}

/// What is summed of a bare head, where words start: bytes before the first word are summed one by one.
#[repr(align(8))]
struct Bare([u8; HEAD_BYTES - 4]);

/// The checksum of a head and of what stands between it and the payload.
pub(super) fn head_crc(record: &[u8], payload_start: usize) -> u32 {
    // Most heads are bare: one call over a copy costs half of two calls.
    if payload_start == HEAD_BYTES {
        let mut bare = Bare([0; HEAD_BYTES - 4]);
        bare.0[..HEAD_CRC.start].copy_from_slice(&record[..HEAD_CRC.start]);
        bare.0[HEAD_CRC.start..].copy_from_slice(&record[HEAD_CRC.end..HEAD_BYTES]);
        return crc32c::crc32c(&bare.0);
    }
    let crc = crc32c::crc32c(&record[..HEAD_CRC.start]);
    crc32c::crc32c_append(crc, &record[HEAD_CRC.end..payload_start])
}

/// Where the payload of a record stands, or would.
pub(super) fn payload_start(record: &[u8]) -> usize {
    RecordView { bytes: record }.payload_start()
}

/// A view of one record: fields are read by offset, attributes are decoded when asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    bytes: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// A view of bytes that this crate encoded, or that [`parse`](Self::parse) accepted before; with payload or without.
    ///
    /// For drivers that read their own memory. The accessors panic or mislead on other bytes.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.record(0);
    /// assert_eq!(RecordView::trusted(record.as_bytes()), record);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn trusted(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Checks that `bytes` are exactly one whole record of a known format with valid checksums.
    ///
    /// Anything else is `Corrupted`, or `Unsupported` where the format is newer (clauses OPEN-2 and OPEN-3).
    /// No input panics, and no memory is taken.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.record(0);
    /// assert!(RecordView::parse(record.as_bytes()).is_ok());
    /// assert!(RecordView::parse(&record.as_bytes()[1..]).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let view = Self::parse_head(bytes)?;
        if bytes.len() != view.payload_start() + view.payload_len() {
            return Err(corrupted("its length does not fit its head"));
        }
        let payload = &bytes[view.payload_start()..];
        if crc32c::crc32c(payload) != view.u32_at(PAYLOAD_CRC.start) {
            return Err(corrupted("the checksum of its payload does not match"));
        }
        Ok(view)
    }

    /// As [`parse`](Self::parse), for a record whose payload may have been left away.
    fn parse_head(bytes: &'a [u8]) -> Result<Self> {
        if bytes.len() < HEAD_BYTES {
            return Err(corrupted("it is shorter than a head"));
        }
        if bytes[0] != FORMAT {
            return Err(if bytes[0] > FORMAT {
                Error::new(
                    ErrorKind::Unsupported,
                    Operation::Accept,
                    Object::Field("record"),
                    format!(
                        "its format is {}, the newest known here is {FORMAT}; use a newer version",
                        bytes[0]
                    ),
                )
            } else {
                corrupted("its format is 0")
            });
        }
        if bytes[1] & !FLAGS_KNOWN != 0 {
            return Err(corrupted("it has unknown flags"));
        }
        let view = Self { bytes };
        if bytes.len() < view.payload_start() || view.payload_len() > PAYLOAD_BYTES_MAX {
            return Err(corrupted("its length does not fit its head"));
        }
        if head_crc(bytes, view.payload_start()) != view.u32_at(HEAD_CRC.start) {
            return Err(corrupted("the checksum of its head does not match"));
        }
        let attributes = view.attributes_bytes();
        let decoded = match attributes {
            [] if !view.has(HAS_ATTRIBUTES) => Some(Attributes::default()),
            bytes => codec::decode(bytes),
        };
        match decoded {
            Some(decoded) if decoded.dedup_key.is_some() == view.has(HAS_DEDUP_KEY) => Ok(view),
            _ => Err(corrupted("its attributes do not decode")),
        }
    }

    /// The bytes of the record.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.record(0);
    /// assert!(record.as_bytes().ends_with(b"hello"));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The `now` of the produce (clause ITEM-6).
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.record(0);
    /// assert_eq!(record.created_at(), Timestamp::from_secs(7));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn created_at(&self) -> Timestamp {
        self.timestamp_at(CREATED_AT.start)
    }

    /// The priority; smaller comes first.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.record(0);
    /// assert_eq!(record.priority(), 100);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn priority(&self) -> u8 {
        if self.has(HAS_PRIORITY) {
            self.bytes[HEAD_BYTES]
        } else {
            PRIORITY_DEFAULT
        }
    }

    /// When the item was to become ready, where it was produced for later.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.record(0);
    /// assert_eq!(record.enqueue_at(), None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn enqueue_at(&self) -> Option<Timestamp> {
        self.has(HAS_ENQUEUE_AT)
            .then(|| self.timestamp_at(self.field_start(HAS_ENQUEUE_AT)))
    }

    /// When the item expires, as produced. A revived item no longer does; see
    /// [`ItemEntry::expire_at`](crate::ItemEntry::expire_at).
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.record(0);
    /// assert_eq!(record.expire_at(), None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn expire_at(&self) -> Option<Timestamp> {
        self.has(HAS_EXPIRE_AT)
            .then(|| self.timestamp_at(self.field_start(HAS_EXPIRE_AT)))
    }

    /// The item's own limit of attempts; 0 leaves it to the partition.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.record(0);
    /// assert_eq!(record.attempts_max(), 0);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn attempts_max(&self) -> u32 {
        if self.has(HAS_ATTEMPTS_MAX) {
            self.u32_at(self.field_start(HAS_ATTEMPTS_MAX))
        } else {
            0
        }
    }

    /// Kind, encoding, reference and dedup key.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.record(0);
    /// assert_eq!(record.attributes().kind, "greeting");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn attributes(&self) -> Attributes<'a> {
        if !self.has(HAS_ATTRIBUTES) {
            return Attributes::default();
        }
        codec::decode(self.attributes_bytes())
            .expect("a record is parsed or encoded here, so its attributes decode")
    }

    /// Whether it consists of a head and a payload alone: no attributes, and every field as it is by default.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// batch.push(NewItem::new("plain"))?;
    /// batch.push(NewItem::new("urgent").priority(1))?;
    /// let sealed = batch.seal(Timestamp::EPOCH);
    /// assert!(sealed.record(0).is_plain() && !sealed.record(1).is_plain());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn is_plain(&self) -> bool {
        self.bytes[1] == 0
    }

    /// The dedup key, without decoding the attributes of an item that has none.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.record(0);
    /// assert_eq!(record.dedup_key(), None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn dedup_key(&self) -> Option<&'a [u8]> {
        if self.has(HAS_DEDUP_KEY) {
            self.attributes().dedup_key
        } else {
            None
        }
    }

    /// The length of the payload in bytes, known also where the payload was left away.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.record(0);
    /// assert_eq!(record.payload_len(), 5);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn payload_len(&self) -> usize {
        self.u32_at(4) as usize
    }

    /// The payload; `None` where it was left away.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.record(0);
    /// assert_eq!(record.payload(), Some(&b"hello"[..]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn payload(&self) -> Option<&'a [u8]> {
        let payload = &self.bytes[self.payload_start()..];
        (payload.len() == self.payload_len()).then_some(payload)
    }

    fn has(&self, flag: u8) -> bool {
        self.bytes[1] & flag != 0
    }

    /// Where the field of a flag starts, or would.
    fn field_start(&self, flag: u8) -> usize {
        let before = self.bytes[1] & (flag - 1);
        HEAD_BYTES
            + usize::from(before & HAS_PRIORITY != 0)
            + 8 * usize::from(before & HAS_ENQUEUE_AT != 0)
            + 8 * usize::from(before & HAS_EXPIRE_AT != 0)
            + 4 * usize::from(before & HAS_ATTEMPTS_MAX != 0)
    }

    fn attributes_bytes(&self) -> &'a [u8] {
        let start = self.field_start(HAS_ATTRIBUTES);
        &self.bytes[start..self.payload_start()]
    }

    fn payload_start(&self) -> usize {
        let attributes_len = usize::from(u16::from_le_bytes([self.bytes[2], self.bytes[3]]));
        self.field_start(HAS_ATTRIBUTES) + attributes_len
    }

    fn u32_at(&self, at: usize) -> u32 {
        let bytes = self.bytes[at..at + 4].try_into();
        u32::from_le_bytes(bytes.expect("four bytes"))
    }

    fn timestamp_at(&self, at: usize) -> Timestamp {
        let bytes = self.bytes[at..at + 8].try_into();
        Timestamp::from_micros(i64::from_le_bytes(bytes.expect("eight bytes")))
    }
}

impl std::fmt::Debug for RecordView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("created_at", &self.created_at())
            .field("priority", &self.priority())
            .field("enqueue_at", &self.enqueue_at())
            .field("expire_at", &self.expire_at())
            .field("attempts_max", &self.attempts_max())
            .field("attributes", &self.attributes())
            .field("payload_len", &self.payload_len())
            .finish()
    }
}

/// One record, shared: cloning and leaving the payload away copy nothing.
///
/// ```
/// use storage_api::{ItemBatch, NewItem, Record, Timestamp};
///
/// let mut batch = ItemBatch::new();
/// batch.push(NewItem::new("hello").kind("greeting"))?;
/// let sealed = batch.seal(Timestamp::EPOCH);
///
/// let record = Record::parse(sealed.record(0).as_bytes().to_vec().into())?;
/// assert_eq!(record.view().payload(), Some(b"hello".as_slice()));
/// assert_eq!(record.view().attributes().kind, "greeting");
/// assert_eq!(record.without_payload().view().payload(), None);
/// # Ok::<(), storage_api::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    bytes: Bytes,
}

impl Record {
    /// Checks that `bytes` are exactly one record, as [`RecordView::parse`].
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.shared_record(0);
    /// assert_eq!(Record::parse(record.to_shared())?, record);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn parse(bytes: Bytes) -> Result<Self> {
        RecordView::parse(&bytes)?;
        Ok(Self { bytes })
    }

    /// A record of bytes that this crate encoded, or that [`parse`](Self::parse) accepted before.
    ///
    /// For drivers that read their own memory. The accessors panic or mislead on other bytes.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.shared_record(0);
    /// assert_eq!(Record::trusted(record.to_shared()), record);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn trusted(bytes: Bytes) -> Self {
        Self { bytes }
    }

    /// A view to read the fields from.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.shared_record(0);
    /// assert_eq!(record.view().payload_len(), 5);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn view(&self) -> RecordView<'_> {
        RecordView::trusted(&self.bytes)
    }

    /// The bytes of the record, shared.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.shared_record(0);
    /// assert_eq!(record.to_shared(), record.view().as_bytes());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn to_shared(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The payload, shared; `None` where it was left away.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.shared_record(0);
    /// assert_eq!(record.shared_payload().unwrap(), "hello");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn shared_payload(&self) -> Option<Bytes> {
        let payload = self.view().payload()?;
        Some(self.bytes.slice_ref(payload))
    }

    /// The record without its payload; it still tells the payload's length.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.shared_record(0);
    /// let bare = record.without_payload();
    /// assert_eq!((bare.view().payload(), bare.view().payload_len()), (None, 5));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn without_payload(&self) -> Self {
        let end = self.view().payload_start();
        Self {
            bytes: self.bytes.slice(..end),
        }
    }

    /// The record in memory of its own, so that it does not keep a larger buffer alive.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.shared_record(0);
    /// assert_eq!(record.detached(), record);
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            bytes: Bytes::copy_from_slice(&self.bytes),
        }
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.view().fmt(f)
    }
}

fn corrupted(reason: &'static str) -> Error {
    Error::new(
        ErrorKind::Corrupted,
        Operation::Accept,
        Object::Field("record"),
        reason,
    )
}

#[cfg(test)]
mod tests {
    use super::super::{ItemBatch, NewItem};
    use super::*;

    fn sealed(item: NewItem<'_>) -> Vec<u8> {
        let mut batch = ItemBatch::new();
        batch.push(item).unwrap();
        batch
            .seal(Timestamp::from_micros(0x0102_0304_0506_0708))
            .record(0)
            .as_bytes()
            .to_vec()
    }

    fn full_item() -> Vec<u8> {
        sealed(
            NewItem::new("payload")
                .kind("kind")
                .encoding("json")
                .reference("s3://x")
                .dedup_key(b"dedup\0")
                .priority(7)
                .enqueue_at(Timestamp::from_micros(-1))
                .expire_at(Timestamp::MAX)
                .attempts_max(5),
        )
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn format_1_has_these_bytes() {
        assert_eq!(
            hex(&sealed(NewItem::new("hi"))),
            include_str!("golden/format-1-plain.hex").trim()
        );
        assert_eq!(
            hex(&full_item()),
            include_str!("golden/format-1-full.hex").trim()
        );
    }

    #[test]
    fn every_field_comes_back() {
        let bytes = full_item();

        let view = RecordView::parse(&bytes).unwrap();

        assert_eq!(view.created_at().as_micros(), 0x0102_0304_0506_0708);
        assert_eq!(view.priority(), 7);
        assert_eq!(view.enqueue_at(), Some(Timestamp::from_micros(-1)));
        assert_eq!(view.expire_at(), Some(Timestamp::MAX));
        assert_eq!(view.attempts_max(), 5);
        let attributes = view.attributes();
        assert_eq!(attributes.kind, "kind");
        assert_eq!(attributes.encoding, "json");
        assert_eq!(attributes.reference, "s3://x");
        assert_eq!(attributes.dedup_key, Some(b"dedup\0".as_slice()));
        assert_eq!(view.payload(), Some(b"payload".as_slice()));
    }

    #[test]
    fn each_flipped_bit_and_each_cut_is_found() {
        for record in [full_item(), sealed(NewItem::new(""))] {
            for bit in 0..record.len() * 8 {
                let mut damaged = record.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(RecordView::parse(&damaged).is_err(), "bit {bit}");
            }
            for len in 0..record.len() {
                assert!(RecordView::parse(&record[..len]).is_err(), "cut to {len}");
            }
            let longer = [record.as_slice(), &[0]].concat();
            assert!(RecordView::parse(&longer).is_err());
        }
    }

    #[test]
    fn a_newer_format_is_unsupported_not_corrupted() {
        let mut record = full_item();
        record[0] = FORMAT + 1;

        let error = RecordView::parse(&record).unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
