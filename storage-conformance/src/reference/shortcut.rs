//! The short way to a partition of the reference: no shorter, but what the suite asks of one.

use std::sync::{Arc, Mutex, MutexGuard};

use storage_api::*;

use super::{Kept, lock};

/// Leads to one partition, as one opening has it: not to one that is made again under the name, nor through a later opening.
#[derive(Debug)]
pub(super) struct ReferenceShortcut {
    kept: Arc<Mutex<Kept>>,
    /// The number of the opening.
    number: u64,
    /// What the partition was called, and when it was made.
    info: PartitionInfo,
}

impl ReferenceShortcut {
    pub(super) fn new(kept: Arc<Mutex<Kept>>, number: u64, info: PartitionInfo) -> Self {
        Self { kept, number, info }
    }

    /// The place, unless the partition or the opening has gone.
    fn enter(&self) -> Option<MutexGuard<'_, Kept>> {
        let kept = lock(&self.kept);
        let info = kept.model.partition(&self.info.id);
        let is_there = info.is_ok_and(|info| info.created == self.info.created);
        (is_there && kept.open.contains(&self.number)).then_some(kept)
    }

    /// Wakes those who watch the partition, if something was done.
    fn wake<T>(&self, kept: &Kept, done: Result<T>) -> Result<T> {
        if let (true, Some(hub)) = (done.is_ok(), kept.hubs.get(&self.info.id)) {
            hub.fire();
        }
        done
    }
}

impl Shortcut for ReferenceShortcut {
    fn produce(&self, batch: &SealedBatch) -> Option<Result<Produced>> {
        let mut kept = self.enter()?;
        let produced = kept.model.produce(&self.info.id, batch.clone());
        Some(self.wake(&kept, produced))
    }

    fn lease(&self, request: &LeaseRequest) -> Option<Result<(LeasedBatch, Option<Timestamp>)>> {
        let mut kept = self.enter()?;
        let next_due = kept.model.stats(&self.info.id).ok()?.next_due;
        if next_due.is_some_and(|due| due <= request.now) {
            return None;
        }
        let leased = kept.model.lease(&self.info.id, *request);
        Some(self.wake(&kept, leased).map(|leased| (leased, next_due)))
    }

    fn complete(&self, receipts: &Receipts) -> Option<Result<Vec<CompleteOutcome>>> {
        let mut kept = self.enter()?;
        let outcomes = kept.model.complete(&self.info.id, receipts.clone());
        Some(self.wake(&kept, outcomes))
    }
}
