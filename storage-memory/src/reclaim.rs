//! Memory that some partitions keep and do not need, for others that find none left.

use std::ops::Bound;

use storage_api::{PartitionId, SealedBatch};

use crate::backend::Opened;
use crate::budget::Budget;
use crate::compaction::Work;

/// About what an item takes beside its record, and rather more.
const ITEM_BYTES: u64 = 512;

/// What so many records may take, and rather more: who asks for it looks again in time.
fn guess(items: usize, bytes: usize) -> u64 {
    2 * bytes as u64 + ITEM_BYTES * items as u64
}

impl Budget {
    /// Whether there may be no room for a batch while other partitions keep memory that they do not need.
    pub(crate) fn wants_reclaim(&self, batch: &SealedBatch) -> bool {
        self.wants_slack_back(guess(batch.len(), batch.buffer().len()))
    }
}

impl Opened {
    /// Lets partitions give back what they keep and do not need, if so many records may find no room otherwise.
    ///
    /// Each call goes on where the last one ended, and ends once there is room, or where it has compacted as much as one
    /// operation may. Nobody holds the lock of a partition meanwhile: each is locked for itself.
    pub(crate) fn reclaim_for(&self, items: usize, bytes: usize) {
        let wanted = guess(items, bytes);
        if !self.budget.wants_slack_back(wanted) {
            return;
        }
        let mut work = Work::where_memory_is_short();
        let mut from = self.reclaimed.lock();
        let after = from.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let until = from.clone().map_or(Bound::Unbounded, Bound::Included);
        let behind = self.partitions.range((after, Bound::Unbounded));
        let before = self.partitions.range((Bound::Unbounded, until));
        let has_begun_anew = from.is_none();
        for (id, home) in behind.chain(before.filter(|_| !has_begun_anew)) {
            home.lock().yield_memory(&mut work);
            *from = Some(PartitionId::clone(id));
            if work.is_done() || !self.budget.wants_slack_back(wanted) {
                return;
            }
        }
        self.budget.has_no_slack_left();
    }
}
