//! A whole item, as listing gives it and restore takes it.

use super::record::Record;
use super::state::{ItemState, State};
use crate::call::Receipt;
use crate::names::Note;
use crate::numbers::{ItemId, LeaseId};
use crate::time::Timestamp;

/// A whole item: its record and everything that changes while it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ItemEntry {
    /// The id, for the life of the item.
    pub id: ItemId,
    /// The record as produced; without its payload where the listing asked for none.
    pub record: Record,
    /// The state with what belongs to it.
    pub state: ItemState,
    /// How often it was leased since it was produced or revived, released leases not counted.
    pub attempts: u32,
    /// The note of the last retry that left one.
    pub note: Option<Note>,
    /// Whether it was revived, so that the record's `expire_at` no longer holds (clause DEAD-2).
    pub is_revived: bool,
}

impl ItemEntry {
    /// An item as it is after a produce.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.shared_record(0);
    /// # let state = ItemState::Ready { position: Position::MIN };
    /// let entry = ItemEntry::new(ItemId::MIN, record, state);
    /// assert_eq!(entry.attempts, 0);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn new(id: ItemId, record: Record, state: ItemState) -> Self {
        Self {
            id,
            record,
            state,
            attempts: 0,
            note: None,
            is_revived: false,
        }
    }

    /// When the item expires; `None` for a revived one.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.shared_record(0);
    /// # let state = ItemState::Ready { position: Position::MIN };
    /// assert_eq!(ItemEntry::new(ItemId::MIN, record, state).expire_at(), None);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn expire_at(&self) -> Option<Timestamp> {
        if self.is_revived {
            None
        } else {
            self.record.view().expire_at()
        }
    }

    /// When `maintain` will handle the item if nothing else happens (clause TIME-1).
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.shared_record(0);
    /// let state = ItemState::Scheduled { enqueue_at: Timestamp::from_secs(60) };
    /// let entry = ItemEntry::new(ItemId::MIN, record, state);
    /// assert_eq!(entry.due_at(), Some(Timestamp::from_secs(60)));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn due_at(&self) -> Option<Timestamp> {
        match self.state {
            ItemState::Ready { .. } => self.expire_at(),
            ItemState::Scheduled { enqueue_at } => {
                Some(self.expire_at().map_or(enqueue_at, |at| at.min(enqueue_at)))
            }
            ItemState::Leased { deadline, .. } => Some(deadline),
            ItemState::Dead { .. } => None,
        }
    }

    /// The receipt of the lease that is valid.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.shared_record(0);
    /// # let state = ItemState::Ready { position: Position::MIN };
    /// assert_eq!(ItemEntry::new(ItemId::MIN, record, state).receipt(), None); // it is ready, not leased
    /// # Ok::<(), Error>(())
    /// ```
    pub fn receipt(&self) -> Option<Receipt> {
        let lease = self.lease()?;
        Some(Receipt {
            item: self.id,
            lease,
        })
    }

    /// The state without its details.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello").kind("greeting"))?;
    /// # let sealed = batch.seal(Timestamp::from_secs(7));
    /// # let record = sealed.shared_record(0);
    /// # let state = ItemState::Ready { position: Position::MIN };
    /// assert_eq!(ItemEntry::new(ItemId::MIN, record, state).state(), State::Ready);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn state(&self) -> State {
        self.state.state()
    }

    fn lease(&self) -> Option<LeaseId> {
        match self.state {
            ItemState::Leased { lease, .. } => Some(lease),
            _ => None,
        }
    }
}
