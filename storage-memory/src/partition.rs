//! What a partition consists of, and how an item enters, changes and leaves.

use std::collections::BTreeMap;

use storage_api::{
    DeadPolicy, DeadReason, Error, ErrorKind, ItemEntry, ItemId, ItemState, Mode, Operation,
    PartitionInfo, PartitionStats, Position, Receipt, Requeue, Result, SignalHub, StepFailure,
    Timestamp,
};

use crate::dedup::DedupKeys;
use crate::index::Index;
use crate::numbers::Sequence;

/// The items of a partition by id.
pub(crate) type Items = BTreeMap<ItemId, ItemEntry>;

/// One partition, whole: everything that its lock protects.
///
/// Its state changes in [`insert`](Self::insert), [`update`](Self::update) and [`remove`](Self::remove) only, which keep
/// the index; the operations, each in a file of its own, say which item goes where.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) info: PartitionInfo,
    pub(crate) items: Items,
    pub(crate) index: Index,
    pub(crate) keys: DedupKeys,
    pub(crate) ids: Sequence,
    pub(crate) positions: Sequence,
    pub(crate) hub: SignalHub,
}

/// What those who watch a partition care for (clause WAKE-1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outlook {
    arrivals: u64,
    next_due: Option<Timestamp>,
}

impl Partition {
    /// An empty partition whose ids and positions start above `floor`.
    pub(crate) fn new(info: PartitionInfo, floor: u64) -> Self {
        Self {
            info,
            items: Items::new(),
            index: Index::default(),
            keys: DedupKeys::default(),
            ids: Sequence::above(floor),
            positions: Sequence::above(floor),
            hub: SignalHub::new(),
        }
    }

    /// The item of a receipt, if its lease is the one that is valid.
    pub(crate) fn leased(&self, receipt: Receipt) -> Result<&ItemEntry, StepFailure> {
        let entry = self.items.get(&receipt.item).ok_or(StepFailure::NotFound)?;
        if entry.receipt() == Some(receipt) {
            Ok(entry)
        } else {
            Err(StepFailure::LeaseLost)
        }
    }

    /// A new item takes its place in the index; its id, position and dedup key are free.
    pub(crate) fn insert(&mut self, entry: ItemEntry) {
        if let Some(key) = entry.record.view().dedup_key() {
            self.keys.take(key, entry.id);
        }
        self.index.insert(&entry);
        self.items.insert(entry.id, entry);
    }

    /// Changes what the index is built from: state, attempts, note, revival.
    pub(crate) fn update(&mut self, id: ItemId, change: impl FnOnce(&mut ItemEntry)) {
        if let Some(entry) = self.items.get_mut(&id) {
            self.index.remove(entry);
            change(entry);
            self.index.insert(entry);
        }
    }

    /// Removes an item that is done with or dropped: its dedup key may outlive it (clause ITEM-4).
    pub(crate) fn finish(&mut self, id: ItemId) {
        let Some(entry) = self.take(id) else { return };
        let view = entry.record.view();
        let Some(key) = view.dedup_key() else { return };
        let dedup_for = self.info.config.dedup_for();
        if dedup_for.is_zero() {
            self.keys.free(key);
        } else {
            let due = view.created_at().saturating_add(dedup_for);
            self.keys.linger(key, due);
        }
    }

    /// Removes an item for good, its dedup key with it.
    pub(crate) fn remove(&mut self, id: ItemId) -> bool {
        let Some(entry) = self.take(id) else {
            return false;
        };
        if let Some(key) = entry.record.view().dedup_key() {
            self.keys.free(key);
        }
        true
    }

    fn take(&mut self, id: ItemId) -> Option<ItemEntry> {
        let entry = self.items.remove(&id)?;
        self.index.remove(&entry);
        Some(entry)
    }

    /// An item dies: `true` if it is kept, `false` if it is dropped (clause DEAD-1).
    pub(crate) fn die(&mut self, id: ItemId, reason: DeadReason, now: Timestamp) -> bool {
        let is_kept = self.info.config.dead() == DeadPolicy::Keep;
        if is_kept {
            self.update(id, |entry| {
                entry.state = ItemState::Dead {
                    reason,
                    died_at: now,
                }
            });
        } else {
            self.finish(id);
        }
        is_kept
    }

    /// An item becomes ready again after a lease: at the tail, or where it stood (clause RETRY-1).
    pub(crate) fn requeue(&mut self, id: ItemId) {
        let held = self.items.get(&id).and_then(|entry| entry.state.position());
        let position = match (self.info.config.requeue(), held) {
            (Requeue::Original, Some(held)) => held,
            _ => self.give_position(),
        };
        self.update(id, |entry| entry.state = ItemState::Ready { position });
    }

    /// An item becomes ready behind all of its priority (clause ORDER-1).
    pub(crate) fn queue(&mut self, id: ItemId) {
        let position = self.give_position();
        self.update(id, |entry| entry.state = ItemState::Ready { position });
    }

    /// Whether an item may not be tried again, by its own limit or else the partition's (clause RETRY-4).
    pub(crate) fn is_exhausted(&self, entry: &ItemEntry) -> bool {
        let attempts_max = match entry.record.view().attempts_max() {
            0 => self.info.config.attempts_max(),
            own => own,
        };
        attempts_max != 0 && entry.attempts >= attempts_max
    }

    /// The next position; that there is one was made sure of by [`expect_positions`](Self::expect_positions).
    pub(crate) fn give_position(&mut self) -> Position {
        Position::new(self.positions.give()).expect("positions are reserved before they are given")
    }

    /// Makes sure that so many positions can be given, before anything changes.
    pub(crate) fn expect_positions(&self, operation: Operation, count: usize) -> Result<()> {
        if self.positions.has(count) {
            return Ok(());
        }
        Err(self.capacity_exceeded(operation, "its positions are used up; move its items"))
    }

    /// Refuses what a mode excludes (clause PART-8).
    pub(crate) fn refuse_in(&self, operation: Operation, modes: &[Mode]) -> Result<()> {
        let mode = self.info.config.mode();
        if !modes.contains(&mode) {
            return Ok(());
        }
        let word = match mode {
            Mode::Open => "open",
            Mode::Draining => "draining",
            Mode::Frozen => "frozen",
        };
        Err(Error::new(
            ErrorKind::Unavailable,
            operation,
            &self.info.id,
            format!("its mode is {word}; call again once it is open"),
        ))
    }

    pub(crate) fn capacity_exceeded(
        &self,
        operation: Operation,
        reason: impl Into<String>,
    ) -> Error {
        Error::new(
            ErrorKind::CapacityExceeded,
            operation,
            &self.info.id,
            reason,
        )
    }

    /// The statistics (clause PART-7).
    pub(crate) fn stats(&self) -> PartitionStats {
        let mut stats = *self.index.sums();
        let first_ready = self.index.ready().first_key_value();
        stats.first_ready_created_at = first_ready
            .and_then(|(_, id)| self.items.get(id))
            .map(|entry| entry.record.view().created_at());
        stats.next_due = self.next_due();
        stats
    }

    /// The earliest due time, of items and of lingering dedup keys.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let key_due = self.keys.due().next().map(|(at, _)| at);
        self.index.first_due().into_iter().chain(key_due).min()
    }

    /// What to compare with after a change.
    pub(crate) fn outlook(&self) -> Outlook {
        Outlook {
            arrivals: self.index.arrivals(),
            next_due: self.next_due(),
        }
    }

    /// Wakes those who watch if an item became ready, or something is due earlier than before.
    ///
    /// Called under the lock under which the change was made, so that who looks afterwards sees it or is woken.
    pub(crate) fn wake_since(&self, before: Outlook) {
        let now = self.outlook();
        let is_earlier = match (before.next_due, now.next_due) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(before), Some(now)) => now < before,
        };
        if is_earlier || now.arrivals != before.arrivals {
            self.hub.fire();
        }
    }
}

#[cfg(test)]
impl Partition {
    /// Fails unless indexes, sums and dedup keys are exactly those of the items.
    pub(crate) fn assert_sound(&self) {
        self.index.assert_is_of(self.items.values());
        self.keys.assert_is_of(self.items.values());
    }
}
