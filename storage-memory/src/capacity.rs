//! Whether there is room for what is to be stored (clause LIMIT-2).

use std::collections::BTreeSet;

use storage_api::{Error, ItemEntry, Operation, SealedBatch};

use crate::budget::Budget;
use crate::overflow::{Duplicates, Missing, Sum};
use crate::partition::Partition;
use crate::slot::Slot;
use crate::sync::atomic::Ordering;

impl Partition {
    /// Whether it has room for that many items whatever they are: it has no limits of its own, and numbers are left.
    pub(crate) fn takes_any(&self, items: usize) -> bool {
        let config = &self.info.config;
        let is_limited = config.items_max() != 0 || config.bytes_max() != 0;
        !is_limited && self.ids.has(items) && self.positions.has(items)
    }
}

#[derive(Debug, Clone, Copy)]
enum Limit {
    Items,
    Bytes,
    Numbers,
}

/// That there is no room, and which limit leaves none.
#[derive(Debug)]
pub(crate) struct Full {
    limit: Limit,
    error: Error,
}

impl Full {
    /// The refusal, which counts from here on.
    pub(crate) fn refuse(self, budget: &Budget) -> Error {
        let rejected = &budget.rejected;
        match self.limit {
            Limit::Items => rejected.items_max.fetch_add(1, Ordering::Relaxed),
            Limit::Bytes => rejected.bytes_max.fetch_add(1, Ordering::Relaxed),
            Limit::Numbers => 0,
        };
        self.error
    }
}

/// What a partition will hold when the steps looked at so far have applied, none of which has yet.
#[derive(Debug)]
pub(crate) struct Forecast<'a> {
    partition: &'a Partition,
    items: u64,
    bytes: u64,
    /// How many numbers the steps will take.
    new: usize,
    /// Dedup keys that a step frees.
    freed: BTreeSet<&'a [u8]>,
    /// Dedup keys that a step takes.
    taken: BTreeSet<&'a [u8]>,
}

impl<'a> Forecast<'a> {
    /// The partition as it is.
    pub(crate) fn of(partition: &'a Partition) -> Self {
        Self {
            partition,
            items: partition.sums.items(),
            bytes: partition.sums.bytes(),
            new: 0,
            freed: BTreeSet::new(),
            taken: BTreeSet::new(),
        }
    }

    /// An item will be completed.
    pub(crate) fn complete(&mut self, slot: &Slot) {
        self.leave(slot, self.partition.info.config.dedup_for().is_zero());
    }

    /// An item will be deleted.
    pub(crate) fn delete(&mut self, slot: &Slot) {
        self.leave(slot, true);
    }

    fn leave(&mut self, slot: &Slot, frees_key: bool) {
        self.items -= 1;
        self.bytes -= slot.payload_len() as u64;
        if let Some(key) = self.partition.key(slot).filter(|_| frees_key) {
            self.freed.insert(key);
        }
    }

    /// A batch will be produced: `CapacityExceeded` where the part of it that is no duplicate has no room.
    pub(crate) fn produce(
        &mut self,
        operation: Operation,
        batch: &'a SealedBatch,
    ) -> Result<(), Full> {
        if self.partition.takes_any(self.new + batch.len()) {
            self.new += batch.len();
            return Ok(());
        }
        let before = self.items;
        for view in batch.records() {
            if let Some(key) = view.dedup_key() {
                let is_taken = self.partition.keys.owner(key).is_some();
                if is_taken && !self.freed.contains(key) || !self.taken.insert(key) {
                    continue;
                }
            }
            self.grow(view.payload_len());
        }
        self.expect_room(operation, self.items - before)
    }

    /// What must go first for the limits to hold; `None` where they would not even if all went that may. What a duplicate
    /// stands for is new once that has gone.
    pub(crate) fn missing(&self, droppable: Sum, duplicates: &Duplicates) -> Option<Missing> {
        let config = &self.partition.info.config;
        let above = |max: u64, wanted: u64| match max {
            0 => i128::MIN / 2,
            max => i128::from(wanted) - i128::from(max),
        };
        let missing = Missing {
            items: above(config.items_max(), self.items),
            bytes: above(config.bytes_max(), self.bytes),
        };
        let again = Sum {
            items: duplicates.len() as u64,
            bytes: duplicates.values().sum(),
        };
        let new = self.new + duplicates.len();
        let fits = missing.items + i128::from(again.items) <= i128::from(droppable.items)
            && missing.bytes + i128::from(again.bytes) <= i128::from(droppable.bytes)
            && self.partition.ids.has(new)
            && self.partition.positions.has(new);
        fits.then_some(missing)
    }

    /// Items will be restored.
    pub(crate) fn restore(
        &mut self,
        operation: Operation,
        entries: &[ItemEntry],
    ) -> Result<(), Full> {
        for entry in entries {
            self.grow(entry.record.view().payload_len());
        }
        self.expect_room(operation, entries.len() as u64)
    }

    fn grow(&mut self, payload_len: usize) {
        self.items += 1;
        self.bytes += payload_len as u64;
        self.new += 1;
    }

    /// What stores nothing is never refused, however full the partition is.
    fn expect_room(&self, operation: Operation, stored: u64) -> Result<(), Full> {
        if stored == 0 {
            return Ok(());
        }
        let partition = self.partition;
        let config = &partition.info.config;
        let limits = [
            (config.items_max(), self.items, "items", Limit::Items),
            (
                config.bytes_max(),
                self.bytes,
                "payload bytes",
                Limit::Bytes,
            ),
        ];
        for (max, wanted, unit, limit) in limits {
            if max != 0 && wanted > max {
                let reason = format!(
                    "it would hold {wanted} {unit} and may hold {max}; complete or delete items, or raise its limit"
                );
                let error = partition.capacity_exceeded(operation, reason);
                return Err(Full { limit, error });
            }
        }
        if !partition.ids.has(self.new) || !partition.positions.has(self.new) {
            let error = partition.capacity_exceeded(operation, "its ids are used up");
            return Err(Full {
                limit: Limit::Numbers,
                error,
            });
        }
        Ok(())
    }
}
