//! Batches: one buffer of records, written once.

use bytes::{Bytes, BytesMut};

use super::codec::Attributes;
use super::record::{self, Fields, Record, RecordView};
use super::stamp::{Stamp, stamp_one};
use crate::error::{Error, Result};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_ITEMS_MAX, DEDUP_KEY_BYTES_MAX, ENCODING_BYTES_MAX, KIND_BYTES_MAX,
    PAYLOAD_BYTES_MAX, PRIORITY_DEFAULT, REFERENCE_BYTES_MAX,
};
use crate::names::check_len;
use crate::time::Timestamp;

/// An item to produce; borrows everything.
///
/// The limits are looked at when it is pushed into an [`ItemBatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewItem<'a> {
    payload: &'a [u8],
    attributes: Attributes<'a>,
    priority: u8,
    enqueue_at: Option<Timestamp>,
    expire_at: Option<Timestamp>,
    attempts_max: u32,
}

impl<'a> NewItem<'a> {
    /// An item of that payload (0 bytes to 8 MiB), ready at once, with no other attribute.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(NewItem::new("hello").payload(), b"hello");
    /// assert_eq!(NewItem::new(&[1, 2, 3]).payload(), [1, 2, 3]);
    /// ```
    pub fn new(payload: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self {
            payload: payload.as_ref(),
            attributes: Attributes::default(),
            priority: PRIORITY_DEFAULT,
            enqueue_at: None,
            expire_at: None,
            attempts_max: 0,
        }
    }

    /// What the payload is about: 0 to 256 bytes, for the application.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(NewItem::new("").kind("greeting").attributes().kind, "greeting");
    /// ```
    #[must_use]
    pub fn kind(mut self, kind: &'a str) -> Self {
        self.attributes.kind = kind;
        self
    }

    /// How the payload is encoded: 0 to 256 bytes, for the application.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(NewItem::new("{}").encoding("json").attributes().encoding, "json");
    /// ```
    #[must_use]
    pub fn encoding(mut self, encoding: &'a str) -> Self {
        self.attributes.encoding = encoding;
        self
    }

    /// Where more is to be found: 0 bytes to 2 KiB, for the application.
    ///
    /// ```
    /// # use storage_api::*;
    /// let item = NewItem::new("").reference("s3://bucket/video.mp4");
    /// assert_eq!(item.attributes().reference, "s3://bucket/video.mp4");
    /// ```
    #[must_use]
    pub fn reference(mut self, reference: &'a str) -> Self {
        self.attributes.reference = reference;
        self
    }

    /// The dedup key: 1 to 256 bytes. While an item with it lives, another is not stored (clause ITEM-4).
    ///
    /// ```
    /// # use storage_api::*;
    /// let item = NewItem::new("").dedup_key("order-17");
    /// assert_eq!(item.attributes().dedup_key, Some(&b"order-17"[..]));
    /// ```
    #[must_use]
    pub fn dedup_key(mut self, dedup_key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.attributes.dedup_key = Some(dedup_key.as_ref());
        self
    }

    /// The priority, 100 by default; smaller is leased first (clause LEASE-1).
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// batch.push(NewItem::new("urgent").priority(1))?;
    /// assert_eq!(batch.seal(Timestamp::EPOCH).record(0).priority(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// When the item becomes ready; scheduled until then (clause ITEM-3).
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// batch.push(NewItem::new("later").enqueue_at(Timestamp::MAX))?;
    /// assert_eq!(batch.seal(Timestamp::EPOCH).record(0).enqueue_at(), Some(Timestamp::MAX));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn enqueue_at(mut self, enqueue_at: Timestamp) -> Self {
        self.enqueue_at = Some(enqueue_at);
        self
    }

    /// When the item expires, unless it is at work then (clauses LEASE-4 and TIME-1).
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// batch.push(NewItem::new("fleeting").expire_at(Timestamp::from_secs(60)))?;
    /// assert_eq!(batch.seal(Timestamp::EPOCH).record(0).expire_at(), Some(Timestamp::from_secs(60)));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn expire_at(mut self, expire_at: Timestamp) -> Self {
        self.expire_at = Some(expire_at);
        self
    }

    /// How often the item may be leased before it is dead; 0 leaves it to the partition (clause RETRY-4).
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// batch.push(NewItem::new("once").attempts_max(1))?;
    /// assert_eq!(batch.seal(Timestamp::EPOCH).record(0).attempts_max(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn attempts_max(mut self, attempts_max: u32) -> Self {
        self.attempts_max = attempts_max;
        self
    }

    /// Kind, encoding, reference and dedup key, as they are so far.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(NewItem::new("").attributes(), Attributes::default());
    /// ```
    pub fn attributes(&self) -> Attributes<'a> {
        self.attributes
    }

    /// The payload.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(NewItem::new("hello").payload(), b"hello");
    /// ```
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    fn check(&self) -> Result<()> {
        check_len("payload", 0, PAYLOAD_BYTES_MAX, self.payload.len())?;
        if self.attributes.is_empty() {
            return Ok(());
        }
        check_len("kind", 0, KIND_BYTES_MAX, self.attributes.kind.len())?;
        check_len(
            "encoding",
            0,
            ENCODING_BYTES_MAX,
            self.attributes.encoding.len(),
        )?;
        check_len(
            "reference",
            0,
            REFERENCE_BYTES_MAX,
            self.attributes.reference.len(),
        )?;
        match self.attributes.dedup_key {
            Some(key) => check_len("dedup key", 1, DEDUP_KEY_BYTES_MAX, key.len()),
            None => Ok(()),
        }
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for NewItem<'a> {
    fn from(payload: &'a T) -> Self {
        Self::new(payload)
    }
}

/// Items on their way to a produce: one growing buffer of records, at most 10 000 of them and 32 MiB of payloads.
///
/// ```
/// use storage_api::{ItemBatch, NewItem, Timestamp};
///
/// let mut batch = ItemBatch::new();
/// batch.push(NewItem::new("first"))?;
/// batch.push(NewItem::new("second").priority(1))?;
///
/// let sealed = batch.seal(Timestamp::EPOCH);
/// assert_eq!(sealed.len(), 2);
/// assert_eq!(sealed.record(1).priority(), 1);
/// # Ok::<(), storage_api::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct ItemBatch {
    buffer: Vec<u8>,
    /// Where each record but the first begins: a batch of one needs no list.
    starts: Vec<u32>,
    payload_bytes: usize,
}

impl ItemBatch {
    /// A batch without items.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(ItemBatch::new().is_empty());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies an item into the batch.
    ///
    /// What exceeds a limit of the item or of the batch is `InvalidArgument`; the batch stays as it was, and no memory was
    /// taken (clause LIMIT-1).
    ///
    /// ```
    /// # use storage_api::*;
    /// let mut batch = ItemBatch::new();
    /// batch.push(NewItem::new("hello"))?;
    /// assert!(batch.push(NewItem::new("").kind(&"k".repeat(257))).is_err());
    /// assert_eq!(batch.len(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a full batch is far below 4 GiB: 32 MiB of payloads, 10 000 heads and attributes"
    )]
    pub fn push(&mut self, item: NewItem<'_>) -> Result<()> {
        item.check()?;
        if self.len() == BATCH_ITEMS_MAX {
            let max = BATCH_ITEMS_MAX as u64;
            return Err(Error::limit("batch", 0, max, max + 1, "items"));
        }
        let payload_bytes = self.payload_bytes + item.payload.len();
        check_len("batch", 0, BATCH_BYTES_MAX, payload_bytes)?;

        if !self.is_empty() {
            self.starts.push(self.buffer.len() as u32);
        } else if self.buffer.capacity() == 0 {
            // Mostly the only item; a new buffer costs less than one that grows.
            self.buffer = Vec::with_capacity(record::HEAD_BYTES + item.payload.len());
        }
        record::encode(
            &Fields {
                priority: item.priority,
                enqueue_at: item.enqueue_at,
                expire_at: item.expire_at,
                attempts_max: item.attempts_max,
                attributes: item.attributes,
                payload: item.payload,
            },
            &mut self.buffer,
        );
        self.payload_bytes = payload_bytes;
        Ok(())
    }

    /// Makes room for that many more items of that many payload bytes together, so that pushing them moves nothing.
    ///
    /// Attributes take a little more. It never makes room for more than a batch may hold.
    ///
    /// ```
    /// # use storage_api::*;
    /// let mut batch = ItemBatch::new();
    /// batch.reserve(1000, 100_000);
    /// assert!(batch.is_empty());
    /// ```
    pub fn reserve(&mut self, items: usize, payload_bytes: usize) {
        let items = items.min(BATCH_ITEMS_MAX - self.len());
        let payload_bytes = payload_bytes.min(BATCH_BYTES_MAX - self.payload_bytes);
        self.starts.reserve(items);
        self.buffer
            .reserve(items * record::HEAD_BYTES + payload_bytes);
    }

    /// Whether another item of that payload length still fits.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(ItemBatch::new().has_room_for(8 << 20));
    /// assert!(!ItemBatch::new().has_room_for(33 << 20));
    /// ```
    pub fn has_room_for(&self, payload_len: usize) -> bool {
        self.len() < BATCH_ITEMS_MAX
            && self.payload_bytes.saturating_add(payload_len) <= BATCH_BYTES_MAX
    }

    /// How many items.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// assert_eq!(batch.len(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.starts.len() + usize::from(!self.is_empty())
    }

    /// Whether there are none.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// assert!(!batch.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The sum of the payloads' lengths, in bytes.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// assert_eq!(batch.payload_bytes(), 5);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Stamps `created_at` into every record, checksums and freezes them (clause ITEM-6).
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// let sealed = batch.seal(Timestamp::from_secs(7));
    /// assert_eq!(sealed.record(0).created_at(), Timestamp::from_secs(7));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn seal(mut self, now: Timestamp) -> SealedBatch {
        stamp_all(&mut self.buffer, &self.starts, now);
        SealedBatch {
            buffer: self.buffer.into(),
            starts: self.starts,
            payload_bytes: self.payload_bytes,
            now,
        }
    }
}

/// A batch that is ready for a driver: immutable records of one `created_at`, in one shared buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBatch {
    buffer: Bytes,
    /// As in [`ItemBatch`].
    starts: Vec<u32>,
    payload_bytes: usize,
    now: Timestamp,
}

impl SealedBatch {
    /// The `now` of the produce, and the `created_at` of every record.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// assert_eq!(sealed.now(), Timestamp::from_secs(7));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The same items with another `created_at`: for a produce that was refused and is tried again later.
    ///
    /// The buffer is copied only where somebody else holds it too.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// let later = sealed.reseal(Timestamp::from_secs(8));
    /// assert_eq!(later.record(0).created_at(), Timestamp::from_secs(8));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn reseal(self, now: Timestamp) -> Self {
        let buffer = self.buffer.try_into_mut();
        let mut buffer = buffer.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        stamp_all(&mut buffer, &self.starts, now);
        Self {
            buffer: buffer.freeze(),
            now,
            ..self
        }
    }

    /// How many items.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// assert_eq!(sealed.len(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.starts.len() + usize::from(!self.is_empty())
    }

    /// Whether there are none.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// assert!(!sealed.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The sum of the payloads' lengths, in bytes.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// assert_eq!(sealed.payload_bytes(), 5);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// The record at an index below [`len`](Self::len); panics beyond.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// assert_eq!(sealed.record(0).payload(), Some(&b"hello"[..]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn record(&self, index: usize) -> RecordView<'_> {
        RecordView::trusted(&self.buffer[self.range(index)])
    }

    /// The record at an index below [`len`](Self::len), as a slice of the shared buffer that keeps it alive; panics beyond.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// let record = sealed.shared_record(0);
    /// drop(sealed);
    /// assert_eq!(record.view().payload(), Some(&b"hello"[..]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn shared_record(&self, index: usize) -> Record {
        Record::trusted(self.buffer.slice(self.range(index)))
    }

    /// Every record in batch order.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// assert!(sealed.records().all(|record| record.priority() == 100));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn records(&self) -> impl ExactSizeIterator<Item = RecordView<'_>> {
        (0..self.len()).map(|index| self.record(index))
    }

    /// The bytes of neighbouring records, one behind the other; panics beyond [`len`](Self::len), and for an empty range.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// assert_eq!(sealed.bytes_of(0..1), sealed.record(0).as_bytes());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn bytes_of(&self, records: std::ops::Range<usize>) -> &[u8] {
        let (first, last) = (self.range(records.start), self.range(records.end - 1));
        &self.buffer[first.start..last.end]
    }

    /// The buffer of all records, one behind the other.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// assert_eq!(sealed.buffer(), sealed.record(0).as_bytes());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn buffer(&self) -> &Bytes {
        &self.buffer
    }

    fn range(&self, index: usize) -> std::ops::Range<usize> {
        let start = match index.checked_sub(1) {
            Some(before) => self.starts[before] as usize,
            None => 0,
        };
        let end = match self.starts.get(index) {
            Some(end) => *end as usize,
            None => self.buffer.len(),
        };
        start..end
    }
}

fn stamp_all(buffer: &mut [u8], starts: &[u32], now: Timestamp) {
    if buffer.is_empty() {
        return;
    }
    if starts.is_empty() {
        return stamp_one(buffer, now);
    }
    let mut stamp = Stamp::new(now);
    let mut start = 0;
    for &end in starts {
        stamp.write(&mut buffer[start..end as usize]);
        start = end as usize;
    }
    stamp.write(&mut buffer[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_sealed_again_is_the_batch_sealed_then() {
        let sealed = |now| {
            let mut batch = ItemBatch::new();
            batch.push(NewItem::new("first").kind("k")).unwrap();
            batch.push(NewItem::new("second")).unwrap();
            batch.seal(Timestamp::from_secs(now))
        };
        let earlier = sealed(1);

        let shared = earlier.clone().reseal(Timestamp::from_secs(2));
        let unique = earlier.reseal(Timestamp::from_secs(2));

        assert_eq!(shared, sealed(2));
        assert_eq!(unique, sealed(2));
    }

    #[test]
    fn every_limit_of_an_item_holds_at_it_and_refuses_above() {
        let largest = vec![0; PAYLOAD_BYTES_MAX + 1];
        let text = "x".repeat(REFERENCE_BYTES_MAX + 1);
        type Build = for<'a> fn(&'a [u8], &'a str) -> NewItem<'a>;
        let cases: [(&str, usize, Build); 5] = [
            ("payload", PAYLOAD_BYTES_MAX, |bytes, _| NewItem::new(bytes)),
            ("kind", KIND_BYTES_MAX, |_, text| {
                NewItem::new("").kind(text)
            }),
            ("encoding", ENCODING_BYTES_MAX, |_, text| {
                NewItem::new("").encoding(text)
            }),
            ("reference", REFERENCE_BYTES_MAX, |_, text| {
                NewItem::new("").reference(text)
            }),
            ("dedup key", DEDUP_KEY_BYTES_MAX, |_, text| {
                NewItem::new("").dedup_key(text)
            }),
        ];
        for (field, max, build) in cases {
            let cut = |len: usize| {
                build(
                    &largest[..len.min(largest.len())],
                    &text[..len.min(text.len())],
                )
            };
            let mut batch = ItemBatch::new();

            batch.push(cut(max)).unwrap();
            let error = batch.push(cut(max + 1)).unwrap_err();

            let violation = error.limit_violation().unwrap();
            assert_eq!(violation.field, field);
            assert_eq!(violation.value, max as u64 + 1);
            assert_eq!(batch.len(), 1, "the refused item left nothing behind");
        }
        assert!(
            ItemBatch::new()
                .push(NewItem::new("").dedup_key(""))
                .is_err()
        );
    }

    #[test]
    fn a_batch_holds_ten_thousand_items_and_32_mib() {
        let mut many = ItemBatch::new();
        for _ in 0..BATCH_ITEMS_MAX {
            many.push(NewItem::new("")).unwrap();
        }
        assert!(!many.has_room_for(0));
        assert!(many.push(NewItem::new("")).is_err());

        let payload = vec![7; PAYLOAD_BYTES_MAX];
        let mut large = ItemBatch::new();
        for _ in 0..4 {
            large.push(NewItem::new(&payload)).unwrap();
        }
        assert!(large.push(NewItem::new("x")).is_err());
        large.push(NewItem::new("")).unwrap();
        assert_eq!(large.payload_bytes(), BATCH_BYTES_MAX);
    }
}
