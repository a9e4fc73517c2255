//! What partitions held that are no longer there, and who gives that memory back.

use storage_api::SignalHub;

use crate::budget::Budget;
use crate::partition::Partition;
use crate::sync::{Mutex, thread};

/// From this many items on a partition is dropped by a thread of its own, so that no caller waits for it.
const DROPPED_IN_PLACE_ITEMS_MAX: u64 = 10_000;

/// Partitions that have gone, and whose memory has not yet.
#[derive(Debug, Default)]
pub(crate) struct Discarded {
    waiting: Mutex<Vec<Partition>>,
    /// Held by whoever drops what waits.
    dropping: Mutex<()>,
}

impl Budget {
    /// Drops what is left of partitions that have gone; when it returns, all of it counts no longer.
    ///
    /// It takes no other locks, and may be called under those of partitions that are there.
    pub(crate) fn drop_discarded(&self) {
        let _dropping = self.discarded.dropping.lock();
        loop {
            let Some(partition) = self.discarded.waiting.lock().pop() else {
                return;
            };
            let charged = partition.charged;
            drop(partition);
            self.settle(charged, 0);
        }
    }
}

/// Wakes those who watch a partition that is no longer there, and gives its memory back: a large one's after a moment, or
/// when somebody finds none left.
pub(crate) fn discard(mut partition: Partition) {
    let hub = std::mem::replace(&mut partition.hub, SignalHub::new());
    drop(hub);
    let budget = partition.budget.clone();
    budget.settle_slack(partition.slack, 0);
    if partition.sums.items() <= DROPPED_IN_PLACE_ITEMS_MAX {
        let charged = partition.charged;
        drop(partition);
        budget.settle(charged, 0);
        return;
    }
    budget.discarded.waiting.lock().push(partition);
    let dropping = budget.clone();
    let thread = thread::Builder::new().name("storage-memory-discard".to_owned());
    if thread.spawn(move || dropping.drop_discarded()).is_err() {
        // No thread is to be had.
        budget.drop_discarded();
    }
}
