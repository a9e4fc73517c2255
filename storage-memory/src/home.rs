//! Where a partition is, under its lock, and the way there without looking for it.

use storage_api::{
    CompleteOutcome, LeaseRequest, LeasedBatch, Produced, Receipts, Result, SealedBatch, Shortcut,
    Timestamp,
};

use crate::partition::Partition;
use crate::sync::{Mutex, MutexGuard};

/// A partition and its lock.
///
/// Users who call again and again keep the way here, and no longer read the set of partitions: one lock a call instead of
/// two, no look-up, no future. Whatever removes the partition takes this lock, too, and leaves one behind that has gone;
/// who comes then is sent back to the backend, which knows whether it was deleted, made again, or closed.
#[derive(Debug)]
pub(crate) struct Home(Mutex<Partition>);

impl Home {
    pub(crate) fn of(partition: Partition) -> Self {
        Self(Mutex::new(partition))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Partition> {
        self.0.lock()
    }

    /// Takes the partition out, after what is under way.
    pub(crate) fn leave(&self) -> Partition {
        let mut partition = self.lock();
        let (numbers, budget) = (partition.numbers.clone(), partition.budget.clone());
        let mut gone = Partition::new(partition.info.clone(), 0, numbers, budget);
        gone.has_gone = true;
        std::mem::replace(&mut *partition, gone)
    }

    /// The partition, unless it has gone.
    #[inline]
    fn enter(&self) -> Option<MutexGuard<'_, Partition>> {
        Some(self.lock()).filter(|partition| !partition.has_gone)
    }
}

impl Shortcut for Home {
    fn produce(&self, batch: &SealedBatch) -> Option<Result<Produced>> {
        let mut partition = self.enter()?;
        // The backend knows the other partitions.
        if partition.budget.wants_reclaim(batch) {
            return None;
        }
        Some(partition.change(|partition| partition.produce(batch)))
    }

    fn lease(&self, request: &LeaseRequest) -> Option<Result<(LeasedBatch, Option<Timestamp>)>> {
        let mut partition = self.enter()?;
        let next_due = partition.maintain_nothing(request.now).ok()??;
        partition.rest(request.now);
        let leased = partition.change(|partition| partition.lease(request));
        Some(leased.map(|leased| (leased, next_due)))
    }

    fn complete(&self, receipts: &Receipts) -> Option<Result<Vec<CompleteOutcome>>> {
        let mut partition = self.enter()?;
        if let [receipt] = receipts[..] {
            let outcome = partition.change(|partition| partition.complete_single(receipt));
            // The answer is made where it is returned, and after the lock.
            drop(partition);
            return Some(Ok(vec![outcome]));
        }
        Some(Ok(
            partition.change(|partition| partition.complete(receipts))
        ))
    }
}
