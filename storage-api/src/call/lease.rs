//! Leasing: the request, the batch of leased items, and what is done with a lease.

use std::ops::Range;

use bytes::Bytes;

use crate::error::Result;
use crate::item::{ItemEntry, ItemState, Record, RecordView};
use crate::names::Note;
use crate::numbers::{Count, Holder, ItemId, LeaseId, Position};
use crate::time::Timestamp;

use super::bounded::Receipts;
use super::one_or_many::OneOrMany;

/// The proof of one lease, and a fencing token: no two leases ever share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt {
    /// The item.
    pub item: ItemId,
    /// The lease.
    pub lease: LeaseId,
}

/// What `lease` is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseRequest {
    /// The caller's time: items that have expired by it are passed over (clause LEASE-4).
    pub now: Timestamp,
    /// Until when the leases cannot be taken back.
    pub deadline: Timestamp,
    /// How many items at most.
    pub items_max: Count,
    /// How many payload bytes at most; the first item comes whatever its size (clause LEASE-5).
    /// `None` is the limit of one answer, 32 MiB, and more than that counts as that.
    pub bytes_max: Option<u64>,
    /// Who will hold the leases, if that is to be known (clause LEASE-9).
    pub holder: Option<Holder>,
}

impl LeaseRequest {
    /// Up to `items_max` items until `deadline`, for no holder in particular.
    ///
    /// ```
    /// # use storage_api::*;
    /// let request = LeaseRequest::new(Timestamp::EPOCH, Timestamp::from_secs(30), Count::MAX);
    /// assert_eq!(request.holder, None);
    /// ```
    pub fn new(now: Timestamp, deadline: Timestamp, items_max: Count) -> Self {
        Self {
            now,
            deadline,
            items_max,
            bytes_max: None,
            holder: None,
        }
    }

    /// Stops before the item that would exceed that many payload bytes.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let request = LeaseRequest::new(Timestamp::EPOCH, Timestamp::from_secs(30), Count::ONE);
    /// assert_eq!(request.bytes_max(4096).bytes_max, Some(4096));
    /// ```
    #[must_use]
    pub fn bytes_max(mut self, bytes_max: u64) -> Self {
        self.bytes_max = Some(bytes_max);
        self
    }

    /// Names the holder.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let request = LeaseRequest::new(Timestamp::EPOCH, Timestamp::from_secs(30), Count::ONE);
    /// let worker = Holder::new(17)?;
    /// assert_eq!(request.holder(worker).holder, Some(worker));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn holder(mut self, holder: Holder) -> Self {
        self.holder = Some(holder);
        self
    }
}

/// One item for a [`LeasedBatch`]: what a driver knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewLease {
    /// The item.
    pub item: ItemId,
    /// Its new lease.
    pub lease: LeaseId,
    /// The position that it keeps while leased.
    pub position: Position,
    /// Its attempts, this one included.
    pub attempts: u32,
    /// Whether it was revived.
    pub is_revived: bool,
}

/// Leased items: few buffers and many offsets, so that a large batch costs no allocation per item.
///
/// Dropping it ends no lease: they last until they are completed, retried, released, or taken back after the deadline.
#[derive(Debug, Clone)]
pub struct LeasedBatch {
    deadline: Timestamp,
    holder: Option<Holder>,
    buffers: OneOrMany<Bytes>,
    slots: OneOrMany<Slot>,
    /// By index, ascending; few items have one.
    notes: Vec<(u32, Note)>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    lease: NewLease,
    buffer: u32,
    start: u32,
    end: u32,
}

impl LeasedBatch {
    /// A batch without items, for a driver to fill.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(LeasedBatch::new(Timestamp::from_secs(30), None).is_empty());
    /// ```
    pub fn new(deadline: Timestamp, holder: Option<Holder>) -> Self {
        Self {
            deadline,
            holder,
            buffers: OneOrMany::default(),
            slots: OneOrMany::default(),
            notes: Vec::new(),
        }
    }

    /// The answer that is one item, whose record stands at `range` of a buffer.
    ///
    /// Panics where the range is outside of the buffer.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// let request = LeaseRequest::new(Timestamp::EPOCH, Timestamp::from_secs(30), Count::ONE);
    /// let buffer = sealed.buffer().clone();
    /// let range = 0..buffer.len();
    /// let leased = LeasedBatch::one(&request, lease, buffer, range, None);
    /// assert_eq!(leased.get(0).unwrap().payload(), b"hello");
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn one(
        request: &LeaseRequest,
        lease: NewLease,
        buffer: Bytes,
        range: Range<usize>,
        note: Option<&Note>,
    ) -> Self {
        let slot = Slot::of(lease, 0, &range, &buffer);
        Self {
            deadline: request.deadline,
            holder: request.holder,
            buffers: OneOrMany::One(buffer),
            slots: OneOrMany::One(slot),
            notes: note.map_or_else(Vec::new, |note| vec![(0, note.clone())]),
        }
    }

    /// Makes room for that many items.
    ///
    /// ```
    /// # use storage_api::*;
    /// let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// leased.reserve(100);
    /// assert!(leased.is_empty());
    /// ```
    pub fn reserve(&mut self, items: usize) {
        self.buffers.reserve(items);
        self.slots.reserve(items);
    }

    /// Makes room for that many items that share few buffers.
    ///
    /// ```
    /// # use storage_api::*;
    /// let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// leased.reserve_slices(100);
    /// assert!(leased.is_empty());
    /// ```
    pub fn reserve_slices(&mut self, items: usize) {
        self.slots.reserve(items);
    }

    /// Appends an item whose record has a buffer of its own.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// leased.push(lease, &sealed.shared_record(0), None);
    /// assert_eq!(leased.get(0).unwrap().payload(), b"hello");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn push(&mut self, lease: NewLease, record: &Record, note: Option<&Note>) {
        let bytes = record.to_shared();
        let range = 0..bytes.len();
        self.add_buffer(bytes);
        self.push_slice(lease, range, note);
    }

    /// Adds a buffer for the items pushed by [`push_slice`](Self::push_slice) from here on.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// leased.add_buffer(sealed.buffer().clone());
    /// leased.push_slice(lease, 0..sealed.buffer().len(), None);
    /// assert_eq!(leased.len(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn add_buffer(&mut self, buffer: Bytes) {
        self.buffers.push(buffer);
    }

    /// Appends an item whose record stands at `range` of the buffer added last.
    ///
    /// Panics where there is no buffer or the range is outside of it.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// leased.add_buffer(sealed.buffer().clone());
    /// let note = Note::new("failed once")?;
    /// leased.push_slice(lease, 0..sealed.buffer().len(), Some(&note));
    /// assert_eq!(leased.get(0).unwrap().note(), Some(&note));
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an answer is far below 4 Gi items"
    )]
    pub fn push_slice(&mut self, lease: NewLease, range: Range<usize>, note: Option<&Note>) {
        let buffer = self.buffers.len().checked_sub(1);
        let buffer = buffer.expect("add_buffer comes before push_slice");
        let slot = Slot::of(lease, buffer as u32, &range, &self.buffers[buffer]);
        if let Some(note) = note {
            self.notes.push((self.slots.len() as u32, note.clone()));
        }
        self.slots.push(slot);
    }

    /// How many items.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// assert_eq!(leased.len(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there was nothing to lease (clause LEASE-6).
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// assert!(!leased.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Until when the leases cannot be taken back.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// assert_eq!(leased.deadline(), Timestamp::from_secs(30));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// Who holds them, if that was said.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// assert_eq!(leased.holder(), None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn holder(&self) -> Option<Holder> {
        self.holder
    }

    /// The item at an index below [`len`](Self::len).
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// assert!(leased.get(0).is_some());
    /// assert!(leased.get(1).is_none());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn get(&self, index: usize) -> Option<LeasedItem<'_>> {
        (index < self.len()).then_some(LeasedItem { batch: self, index })
    }

    /// The items in lease order.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// assert!(leased.iter().all(|item| item.attempts() == 1));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = LeasedItem<'_>> + DoubleEndedIterator {
        (0..self.len()).map(|index| LeasedItem { batch: self, index })
    }

    /// The receipts in lease order, for `complete` and its like.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// assert_eq!(leased.receipts()[0], leased.get(0).unwrap().receipt());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn receipts(&self) -> Receipts {
        if let [slot] = &*self.slots {
            return Receipts::one(slot.receipt());
        }
        Receipts::new(self.slots.iter().map(Slot::receipt).collect())
            .expect("a leased batch has at most as many items as a call may have receipts")
    }
}

impl Slot {
    /// The item whose record stands at a range of that buffer.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an answer is far below 4 Gi bytes"
    )]
    fn of(lease: NewLease, buffer: u32, range: &Range<usize>, bytes: &[u8]) -> Self {
        assert!(
            range.end <= bytes.len(),
            "the record lies within the buffer"
        );
        Self {
            lease,
            buffer,
            start: range.start as u32,
            end: range.end as u32,
        }
    }

    fn receipt(&self) -> Receipt {
        Receipt {
            item: self.lease.item,
            lease: self.lease.lease,
        }
    }
}

/// One item of a [`LeasedBatch`].
#[derive(Clone, Copy)]
pub struct LeasedItem<'a> {
    batch: &'a LeasedBatch,
    index: usize,
}

impl<'a> LeasedItem<'a> {
    /// The id of the item.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// # let item = leased.get(0).unwrap();
    /// assert_eq!(item.id().get(), 5);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn id(&self) -> ItemId {
        self.slot().lease.item
    }

    /// The receipt that completes, retries, releases or extends it.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// # let item = leased.get(0).unwrap();
    /// assert_eq!(item.receipt().item, item.id());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn receipt(&self) -> Receipt {
        self.slot().receipt()
    }

    /// How often it was leased, this time included.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// # let item = leased.get(0).unwrap();
    /// assert_eq!(item.attempts(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn attempts(&self) -> u32 {
        self.slot().lease.attempts
    }

    /// The position that it keeps while leased.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// # let item = leased.get(0).unwrap();
    /// assert_eq!(item.position(), Position::MIN);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn position(&self) -> Position {
        self.slot().lease.position
    }

    /// Until when the lease cannot be taken back.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// # let item = leased.get(0).unwrap();
    /// assert_eq!(item.deadline(), leased.deadline());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn deadline(&self) -> Timestamp {
        self.batch.deadline
    }

    /// The note of the last retry that left one.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// # let item = leased.get(0).unwrap();
    /// assert_eq!(item.note(), None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn note(&self) -> Option<&'a Note> {
        let at = self
            .batch
            .notes
            .binary_search_by_key(&self.index, |(index, _)| *index as usize)
            .ok()?;
        Some(&self.batch.notes[at].1)
    }

    /// When it expires; `None` for a revived item.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// # let item = leased.get(0).unwrap();
    /// assert_eq!(item.expire_at(), None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn expire_at(&self) -> Option<Timestamp> {
        if self.slot().lease.is_revived {
            None
        } else {
            self.record().expire_at()
        }
    }

    /// The record.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// # let item = leased.get(0).unwrap();
    /// assert_eq!(item.record().created_at(), Timestamp::from_secs(7));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn record(&self) -> RecordView<'a> {
        let slot = self.slot();
        let buffer = &self.batch.buffers[slot.buffer as usize];
        RecordView::trusted(&buffer[slot.start as usize..slot.end as usize])
    }

    /// The payload.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// # let item = leased.get(0).unwrap();
    /// assert_eq!(item.payload(), b"hello");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn payload(&self) -> &'a [u8] {
        self.record()
            .payload()
            .expect("a driver leases whole records")
    }

    /// The payload, shared: it keeps the buffer alive, and copies nothing.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// # let item = leased.get(0).unwrap();
    /// let payload = item.shared_payload();
    /// drop(leased);
    /// assert_eq!(payload, "hello");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn shared_payload(&self) -> Bytes {
        self.batch.buffers[self.slot().buffer as usize].slice_ref(self.payload())
    }

    /// The kind of the item, empty where it has none.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// # let item = leased.get(0).unwrap();
    /// assert_eq!(item.kind(), "greeting");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn kind(&self) -> &'a str {
        self.record().attributes().kind
    }

    /// The whole item, as listing shows it.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let lease = NewLease { item: ItemId::new(5)?, lease: LeaseId::MIN, position: Position::MIN, attempts: 1, is_revived: false };
    /// # let mut leased = LeasedBatch::new(Timestamp::from_secs(30), None);
    /// # leased.push(lease, &sealed.shared_record(0), None);
    /// # let item = leased.get(0).unwrap();
    /// assert_eq!(item.to_entry().receipt(), Some(item.receipt()));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn to_entry(&self) -> ItemEntry {
        let slot = self.slot();
        let buffer = &self.batch.buffers[slot.buffer as usize];
        let record = buffer.slice(slot.start as usize..slot.end as usize);
        let state = ItemState::Leased {
            position: slot.lease.position,
            lease: slot.lease.lease,
            deadline: self.batch.deadline,
            holder: self.batch.holder,
        };
        let mut entry = ItemEntry::new(self.id(), Record::trusted(record), state);
        entry.attempts = self.attempts();
        entry.note = self.note().cloned();
        entry.is_revived = slot.lease.is_revived;
        entry
    }

    fn slot(&self) -> &'a Slot {
        &self.batch.slots[self.index]
    }
}

impl std::fmt::Debug for LeasedItem<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_entry().fmt(f)
    }
}

/// Where a retry sends an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryTo {
    /// Ready again: at the tail, or where it stood if the partition says so (clause RETRY-1).
    Now,
    /// Scheduled until then; as `Now` where that has passed (clause RETRY-2).
    At(Timestamp),
    /// Dead, rejected (clause RETRY-3).
    Dead,
}

/// One retry: which lease, where to, and what to remember.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Retry {
    /// The lease that ends.
    pub receipt: Receipt,
    /// Where the item goes.
    pub to: RetryTo,
    /// A note that stays until it is replaced; `None` keeps the one that is there (clause RETRY-5).
    pub note: Option<Note>,
}

impl Retry {
    /// A retry without a note.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let receipt = Receipt { item: ItemId::MIN, lease: LeaseId::MIN };
    /// assert_eq!(Retry::new(receipt, RetryTo::Now).note, None);
    /// ```
    pub fn new(receipt: Receipt, to: RetryTo) -> Self {
        Self {
            receipt,
            to,
            note: None,
        }
    }

    /// Leaves a note of 0 to 1024 bytes; a longer one is `InvalidArgument`.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let receipt = Receipt { item: ItemId::MIN, lease: LeaseId::MIN };
    /// let retry = Retry::new(receipt, RetryTo::Dead).with_note("no such customer")?;
    /// assert!(Retry::new(receipt, RetryTo::Now).with_note("x".repeat(1025)).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn with_note<N>(mut self, note: N) -> Result<Self>
    where
        N: TryInto<Note>,
        crate::Error: From<N::Error>,
    {
        self.note = Some(note.try_into()?);
        Ok(self)
    }
}
