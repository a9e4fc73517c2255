//! What became of each receipt or id, in input order.

use crate::item::{DeadReason, State};
use crate::numbers::{ItemId, Version};
use crate::time::Timestamp;

/// What became of one produced item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProduceOutcome {
    /// Stored under that id.
    Stored(ItemId),
    /// Not stored: an item with the same dedup key lives, or lived until lately (clause ITEM-4).
    Duplicate {
        /// The item that has the key.
        of: ItemId,
        /// Its state; `None` where it has gone.
        state: Option<State>,
    },
}

/// A duplicate within a [`Produced`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Duplicate {
    /// Which item of the batch, from 0.
    pub index: usize,
    /// The item that has the key.
    pub of: ItemId,
    /// Its state; `None` where it has gone.
    pub state: Option<State>,
}

/// What became of a produced batch: a range of consecutive ids, and the duplicates, which took none (clause ITEM-2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Produced {
    /// The id of the first item stored.
    first: Option<ItemId>,
    len: usize,
    duplicates: Vec<Duplicate>,
}

impl Produced {
    /// The answer for a batch of `len` items: the stored ones have the ids from `first` on, the duplicates none.
    ///
    /// `duplicates` stand in input order; `first` is `None` where nothing was stored.
    ///
    /// ```
    /// # use storage_api::*;
    /// let nothing_stored = Duplicate { index: 0, of: ItemId::MIN, state: None };
    /// assert_eq!(Produced::new(None, 1, vec![nothing_stored]).stored(), 0);
    /// ```
    pub fn new(first: Option<ItemId>, len: usize, duplicates: Vec<Duplicate>) -> Self {
        Self {
            first,
            len,
            duplicates,
        }
    }

    /// How many items the batch had.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let of = ItemId::MIN;
    /// # let duplicate = Duplicate { index: 1, of, state: Some(State::Ready) };
    /// # let produced = Produced::new(Some(ItemId::new(8)?), 3, vec![duplicate]);
    /// assert_eq!(produced.len(), 3);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the batch was empty.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let of = ItemId::MIN;
    /// # let duplicate = Duplicate { index: 1, of, state: Some(State::Ready) };
    /// # let produced = Produced::new(Some(ItemId::new(8)?), 3, vec![duplicate]);
    /// assert!(!produced.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many items were stored.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let of = ItemId::MIN;
    /// # let duplicate = Duplicate { index: 1, of, state: Some(State::Ready) };
    /// # let produced = Produced::new(Some(ItemId::new(8)?), 3, vec![duplicate]);
    /// assert_eq!(produced.stored(), 2);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn stored(&self) -> usize {
        self.len - self.duplicates.len()
    }

    /// The ids of the items that were stored, in batch order.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let of = ItemId::MIN;
    /// # let duplicate = Duplicate { index: 1, of, state: Some(State::Ready) };
    /// # let produced = Produced::new(Some(ItemId::new(8)?), 3, vec![duplicate]);
    /// let ids: Vec<u64> = produced.ids().map(ItemId::get).collect();
    /// assert_eq!(ids, [8, 9]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn ids(&self) -> impl Iterator<Item = ItemId> + '_ {
        std::iter::successors(self.first, |id| id.next()).take(self.stored())
    }

    /// The items that were not stored, in batch order.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let of = ItemId::MIN;
    /// # let duplicate = Duplicate { index: 1, of, state: Some(State::Ready) };
    /// # let produced = Produced::new(Some(ItemId::new(8)?), 3, vec![duplicate]);
    /// assert_eq!(produced.duplicates()[0].index, 1);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn duplicates(&self) -> &[Duplicate] {
        &self.duplicates
    }

    /// What became of each item, in batch order.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let of = ItemId::MIN;
    /// # let duplicate = Duplicate { index: 1, of, state: Some(State::Ready) };
    /// # let produced = Produced::new(Some(ItemId::new(8)?), 3, vec![duplicate]);
    /// let outcomes: Vec<_> = produced.outcomes().collect();
    /// assert_eq!(outcomes[0], ProduceOutcome::Stored(ItemId::new(8)?));
    /// assert!(matches!(outcomes[1], ProduceOutcome::Duplicate { .. }));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn outcomes(&self) -> impl Iterator<Item = ProduceOutcome> + '_ {
        let mut ids = self.ids();
        let mut duplicates = self.duplicates.iter().peekable();
        (0..self.len).map_while(move |index| {
            match duplicates.next_if(|duplicate| duplicate.index == index) {
                Some(duplicate) => Some(ProduceOutcome::Duplicate {
                    of: duplicate.of,
                    state: duplicate.state,
                }),
                None => ids.next().map(ProduceOutcome::Stored),
            }
        })
    }
}

/// What became of one completion (clause DONE-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompleteOutcome {
    /// The item is gone, its work is done.
    Done,
    /// There is no such item: completed or deleted before.
    NotFound,
    /// The item lives, but this is not its lease.
    LeaseLost,
}

/// What became of one extension (clause LEASE-8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtendOutcome {
    /// The deadline is the one given.
    Extended,
    /// There is no such item.
    NotFound,
    /// The item lives, but this is not its lease.
    LeaseLost,
}

/// What became of one release (clause RETRY-6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReleaseOutcome {
    /// The item is ready at the position that it had.
    Released,
    /// There is no such item.
    NotFound,
    /// The item lives, but this is not its lease.
    LeaseLost,
}

/// What became of one retry (clauses RETRY-1 to RETRY-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryOutcome {
    /// The item is ready.
    Ready,
    /// The item is scheduled.
    Scheduled,
    /// The item is dead, and kept.
    Dead(DeadReason),
    /// The item was dropped, as the partition keeps no dead.
    Dropped(DeadReason),
    /// There is no such item.
    NotFound,
    /// The item lives, but this is not its lease.
    LeaseLost,
}

/// What became of one revival (clause DEAD-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReviveOutcome {
    /// The item is ready at the tail.
    Revived,
    /// The item is not dead.
    NotDead,
    /// There is no such item.
    NotFound,
}

/// What became of one deletion (clause LIST-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeleteOutcome {
    /// The item is gone.
    Deleted,
    /// There is no such item.
    NotFound,
}

/// What `release_holder` did (clause LEASE-9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ReleasedHolder {
    /// How many leases were released.
    pub released: usize,
    /// Whether the holder has more.
    pub more: bool,
}

/// What `clear` did (clause LIST-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Cleared {
    /// How many items were removed.
    pub removed: usize,
    /// Whether items of those states are left.
    pub more: bool,
}

/// What `purge` did (clause META-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Purged {
    /// How many entries were reclaimed.
    pub removed: usize,
    /// Whether more have expired.
    pub more: bool,
}

/// What `maintain` did (clause TIME-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Maintained {
    /// How many items became ready.
    pub ready: usize,
    /// How many died because they expired, dropped ones not counted.
    pub expired: usize,
    /// How many died because their attempts were used up, dropped ones not counted.
    pub attempts_exhausted: usize,
    /// How many were dropped instead of being kept dead.
    pub dropped: usize,
    /// How many dedup keys of items that had gone were freed.
    pub keys_freed: usize,
    /// Whether more is due.
    pub more: bool,
    /// The earliest due time that is left; `None`: nothing will ever be due unless something happens.
    pub next_due: Option<Timestamp>,
}

impl Maintained {
    /// How many items and keys were handled.
    ///
    /// ```
    /// # use storage_api::*;
    /// let mut maintained = Maintained::default();
    /// maintained.ready = 2;
    /// maintained.keys_freed = 1;
    /// assert_eq!(maintained.handled(), 3);
    /// ```
    pub fn handled(&self) -> usize {
        self.ready + self.expired + self.attempts_exhausted + self.dropped + self.keys_freed
    }
}

/// What `update_partition` did (clause PART-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpdateOutcome {
    /// The configuration is replaced and has this revision.
    Updated(Version),
    /// Nothing has changed: the configuration has this revision, not the one given.
    Conflict(Version),
}
