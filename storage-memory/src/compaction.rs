//! How the records of sparse segments are moved together, a little at a time.

use crate::partition::Partition;

/// How many sparse segments may wait for their last items to go. A queue that is worked off in order has one, or a few
/// where several consumers hold large batches, and so never copies anything.
const SPARSE_SEGMENTS_MAX: usize = 2;
/// What one operation does for compaction at most: 512 looks at a slot, most of them a cache miss of 0.2 µs, and 64 KiB of
/// copying make about 0.1 ms.
const STEP_ITEMS_MAX: usize = 512;
const STEP_BYTES_MAX: usize = 64 << 10;

impl Partition {
    /// A bounded piece of work, if there is any.
    pub(crate) fn compact_step(&mut self) {
        if !self.log.has_sparse(SPARSE_SEGMENTS_MAX) {
            return;
        }
        // What is moved may open a segment. Where no memory is left for one, what is complete gives some back first.
        let growth = self
            .log
            .growth_max(STEP_BYTES_MAX as u64, STEP_BYTES_MAX as u64);
        if self.reserve_last(growth) {
            self.compact(SPARSE_SEGMENTS_MAX, STEP_ITEMS_MAX, STEP_BYTES_MAX);
        }
    }

    /// Compacts everything that is less than half full.
    pub(crate) fn compact_all(&mut self) {
        self.compact(0, usize::MAX, usize::MAX);
    }

    fn compact(&mut self, left: usize, items_max: usize, bytes_max: usize) {
        let mut bytes = 0;
        for _ in 0..items_max {
            let Some((number, id)) = self.log.next_sparse(left) else {
                return;
            };
            let slot = self.slots.get(id).copied();
            // The item may have gone, or its id may have come back with another record.
            let Some(slot) = slot.filter(|slot| slot.place().segment == number) else {
                continue;
            };
            let place = self.log.relocate(id, &slot);
            self.slots.update(id, |slot| slot.set_place(place));
            bytes += slot.len();
            if bytes >= bytes_max {
                return;
            }
        }
    }
}
