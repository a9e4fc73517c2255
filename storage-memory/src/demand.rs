//! How much memory something needs at most before it is stored.

use std::collections::BTreeSet;

use storage_api::{ItemEntry, ItemId, Note, RecordView, SealedBatch, Timestamp};

use crate::footprint::map_bytes;
use crate::partition::Partition;
use crate::slots::CHUNK_SLOTS;

/// What a living item may need later beyond what it takes now: a lease of its own with a timer.
pub(crate) const LEASE_PROMISE_BYTES: u64 = 120;

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
    /// Bytes of what belongs to some items only: places in due orders, keys, notes.
    extra: u64,
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
            demand.extra += map_bytes::<(Timestamp, ItemId), ()>(1) + LEASE_PROMISE_BYTES;
            if let Some(note) = &entry.note {
                demand.extra += map_bytes::<u64, Note>(1) + note.as_str().len() as u64;
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
            self.extra += map_bytes::<(Timestamp, ItemId), ()>(1);
        }
        if let Some(key) = view.dedup_key() {
            self.turns += 1;
            // The key itself and its two places, one of them once its item has gone.
            self.extra += 2 * map_bytes::<(Timestamp, [u64; 3]), ()>(1) + 16 + key.len() as u64;
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
        partition.log.growth_max(self.bytes, self.largest)
            + slots
            + partition.ready.growth_max(self.turns)
            + self.extra
            + LEASE_PROMISE_BYTES * self.items
    }
}
