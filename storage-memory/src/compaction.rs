//! How the records of sparse segments are moved together, a little at a time.

use std::time::Duration;

use storage_api::{States, Timestamp};

use crate::partition::Partition;

/// How many sparse segments may wait for their last items to go. A queue that is worked off in order has one, or a few
/// where several consumers hold large batches, and so never copies anything.
const SPARSE_SEGMENTS_MAX: usize = 2;

/// When no item came or went for so long, a partition waits no longer for its sparse segments to become empty, nor for
/// others to be filled.
const QUIET_FOR: Duration = Duration::from_secs(1);
/// Lists of orders are given back what they do not need where copying them takes no longer than a step.
const COPIED_LISTS_ITEMS_MAX: u64 = 100_000;

/// How much may be moved, and how many records looked at for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    looks: usize,
    bytes: usize,
}

impl Work {
    /// What one operation does for compaction at most: 512 looks at a slot, most of them a cache miss of 0.2 µs, and 64 KiB
    /// of copying make about 0.1 ms.
    const STEP: Self = Self {
        looks: 512,
        bytes: 64 << 10,
    };
    /// Everything there is.
    pub(crate) const ALL: Self = Self {
        looks: usize::MAX,
        bytes: usize::MAX,
    };

    /// What one operation does that finds no memory left: as long as four steps.
    pub(crate) const fn where_memory_is_short() -> Self {
        Self {
            looks: 4 * Self::STEP.looks,
            bytes: 4 * Self::STEP.bytes,
        }
    }

    /// Whether it is used up.
    pub(crate) fn is_done(self) -> bool {
        self.looks == 0 || self.bytes == 0
    }
}

impl Partition {
    /// A bounded piece of work, if there is any.
    pub(crate) fn compact_step(&mut self) {
        if self.log.has_sparse(SPARSE_SEGMENTS_MAX) {
            self.compact_within(SPARSE_SEGMENTS_MAX, &mut { Work::STEP });
        }
    }

    /// Gives back what it does not need, a bounded piece at a time, once no item came or went for a while.
    #[inline]
    pub(crate) fn rest(&mut self, now: Timestamp) {
        if self.log.take_touched() {
            self.quiet_since = Some(now);
        } else if let Some(since) = self.quiet_since {
            self.rest_since(since, now);
        }
    }

    #[cold]
    fn rest_since(&mut self, since: Timestamp, now: Timestamp) {
        if now < since {
            // The clock was set back.
            self.quiet_since = Some(now);
        } else if now.saturating_since(since) >= QUIET_FOR {
            self.yield_memory(&mut Work::where_memory_is_short());
            if !self.log.has_sparse(0) {
                if self.sums.items() <= COPIED_LISTS_ITEMS_MAX {
                    self.trim();
                }
                self.quiet_since = None;
            }
            self.settle();
            self.log.take_touched();
        }
    }

    /// Compacts what is less than half full, up to so much work, and no more than memory is set aside for.
    ///
    /// A segment whose records have moved gives its memory back, unless readers hold it: where they do, one more is moved
    /// at most.
    pub(crate) fn compact(&mut self, work: &mut Work) {
        let most = self.charge() + self.budget.block_bytes_max();
        while self.log.has_sparse(0) && !work.is_done() && self.charge() <= most {
            let before = *work;
            let mut step = Work {
                looks: before.looks.min(Work::STEP.looks),
                bytes: before.bytes.min(Work::STEP.bytes),
            };
            let of_step = step;
            if !self.compact_within(0, &mut step) {
                return;
            }
            work.looks -= of_step.looks - step.looks;
            work.bytes -= of_step.bytes - step.bytes;
            self.settle();
        }
    }

    /// Does so much of the work as there is; `false` where no memory is left for it.
    fn compact_within(&mut self, left: usize, work: &mut Work) -> bool {
        // What is moved may open a segment. Where no memory is left for one, what is complete gives some back first.
        let growth = self.log.growth_of_moves_max(work.looks, work.bytes);
        if !self.reserve_last(growth) {
            return false;
        }
        while !work.is_done() {
            let Some((number, id)) = self.log.next_sparse(left) else {
                return true;
            };
            work.looks -= 1;
            let slot = self.slots.get(id).copied();
            if slot.is_none() {
                let next = self.slots.first_id(States::ALL, id);
                self.log.skip_sparse(number, next.unwrap_or(u64::MAX));
            }
            // The item may have gone, or its id may have come back with another record.
            let Some(slot) = slot.filter(|slot| slot.place().segment == number) else {
                continue;
            };
            let place = self.log.relocate(id, &slot);
            self.slots.update(id, |slot| slot.set_place(place));
            work.bytes = work.bytes.saturating_sub(slot.len());
        }
        true
    }
}
