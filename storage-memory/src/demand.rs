//! How much memory something needs at most before it is stored.

use std::collections::BTreeSet;

use storage_api::{ItemEntry, RecordView, SealedBatch};

use crate::footprint::shared_bytes;
use crate::partition::Partition;
use crate::slots::CHUNK_SLOTS;

/// What an item may take in the orders that it goes through, one after the other: a lease of its own with a timer, a place in
/// the ready order apart from its neighbours, one in an order by time.
pub(crate) const PROMISE_BYTES: u64 = 128;

/// What the first item of a partition may take beyond that: lists are made with room for a few.
pub(crate) const PROMISE_BYTES_FIRST: u64 = 2048;
/// What a grant of one item takes at most.
const GRANT_BYTES: u64 = 96;

/// Items that are to be stored in one partition.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Demand {
    items: u64,
    /// Bytes of records.
    bytes: u64,
    /// The largest record.
    largest: u64,
    /// How often the priority or the state differs from the item before.
    turns: u64,
    last_priority: Option<u8>,
    /// How many have a place in an order by time from the start.
    timed: u64,
    /// How many dedup keys there are, and what they take.
    keys: (u64, u64),
    /// How many notes there are, and what they take.
    notes: (u64, u64),
    /// How many chunks of slots restored items need; produced ones go behind the last.
    chunks: Option<u64>,
}

impl Demand {
    /// A batch that is produced into a partition, without what it has already.
    pub(crate) fn of_batch(partition: &Partition, batch: &SealedBatch) -> Self {
        let mut demand = Self::default();
        for view in batch.records() {
            let key = view.dedup_key();
            if key.is_none_or(|key| partition.keys.owner(key).is_none()) {
                demand.add(view);
            }
        }
        demand
    }

    /// Batches that are produced into a partition by a commit, which may free their keys before.
    pub(crate) fn of_batches<'a>(batches: impl Iterator<Item = &'a SealedBatch>) -> Self {
        let mut demand = Self::default();
        batches
            .flat_map(SealedBatch::records)
            .for_each(|view| demand.add(view));
        demand
    }

    pub(crate) fn of_entries(entries: &[ItemEntry]) -> Self {
        let chunks: BTreeSet<u64> = entries
            .iter()
            .map(|entry| entry.id.get() / CHUNK_SLOTS)
            .collect();
        let mut demand = Self {
            chunks: Some(chunks.len() as u64),
            ..Self::default()
        };
        for entry in entries {
            demand.add(entry.record.view());
            // Restored items stand in no order: each may start a run, and need a place in a due order.
            demand.turns += 1;
            demand.timed += 1;
            if let Some(note) = &entry.note {
                demand.notes.0 += 1;
                demand.notes.1 += shared_bytes(note.as_str().len());
            }
        }
        demand
    }

    fn add(&mut self, view: RecordView<'_>) {
        let len = view.as_bytes().len() as u64;
        self.items += 1;
        self.bytes += len;
        self.largest = self.largest.max(len);
        let priority = view.priority();
        let is_timed = view.enqueue_at().is_some() || view.expire_at().is_some();
        if self.last_priority != Some(priority) || is_timed {
            self.turns += 1;
            self.last_priority = Some(priority);
        }
        if is_timed {
            self.timed += 1;
        }
        if let Some(key) = view.dedup_key() {
            self.turns += 1;
            self.keys.0 += 1;
            self.keys.1 += shared_bytes(key.len());
        }
    }

    /// The most bytes by which a partition grows if these items are stored in it.
    pub(crate) fn growth_max(&self, partition: &Partition) -> u64 {
        if self.items == 0 {
            return 0;
        }
        let next = partition.ids.last() + 1;
        let slots = match self.chunks {
            Some(chunks) => partition.slots.growth_of_chunks_max(chunks),
            None => partition.slots.growth_max(next, self.items),
        };
        // Restored items may be leased.
        let leases = self.chunks.map_or(0, |_| GRANT_BYTES * self.items);
        let orders = partition.ready.growth_max(self.turns)
            + partition.expiring.growth_max(self.timed)
            + partition.scheduled.growth_max(self.timed)
            + leases;
        partition.log.growth_max(self.bytes, self.largest)
            + slots
            + orders.max(PROMISE_BYTES * self.items)
            + PROMISE_BYTES_FIRST
            + partition.keys.growth_max(self.keys.0, self.keys.1)
            + partition.notes.growth_max(self.notes.0, self.notes.1)
    }
}

#[cfg(test)]
mod tests {
    use storage_api::{ItemBatch, ItemId, ItemState, NewItem, Note, Position, Timestamp};

    use super::*;

    #[test]
    fn every_note_counts_with_its_bytes() {
        let mut batch = ItemBatch::new();
        batch.push(NewItem::new("payload")).unwrap();
        let record = batch.seal(Timestamp::EPOCH).shared_record(0);
        let position = Position::MIN;
        let mut entry = ItemEntry::new(ItemId::MIN, record, ItemState::Ready { position });
        entry.note = Some(Note::new("note").unwrap());

        let demand = Demand::of_entries(&[entry.clone(), entry]);

        assert_eq!(demand.notes, (2, 2 * shared_bytes(4)));
    }
}
