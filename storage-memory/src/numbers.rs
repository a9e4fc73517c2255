//! Numbers that are given out once.

use storage_api::limits::NUMBER_MAX;

use crate::sync::atomic::{AtomicU64, Ordering};

/// Numbers for one owner under its lock: the ids and the positions of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sequence {
    last: u64,
}

impl Sequence {
    /// Gives out numbers above `floor`.
    pub(crate) fn above(floor: u64) -> Self {
        Self { last: floor }
    }

    /// The largest number given out, or the floor.
    pub(crate) fn last(self) -> u64 {
        self.last
    }

    /// Whether that many more can be given out.
    pub(crate) fn has(self, count: usize) -> bool {
        count as u64 <= NUMBER_MAX - self.last
    }

    /// The next number; whether there is one was asked before.
    pub(crate) fn give(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Gives out only numbers above `floor` from here on.
    pub(crate) fn raise(&mut self, floor: u64) {
        self.last = self.last.max(floor);
    }
}

/// Numbers for many at once: the leases and the versions of a backend.
///
/// The one atomic makes each number unique and later ones larger; everything else is ordered by the locks around it, so
/// relaxed access is enough.
#[derive(Debug)]
pub(crate) struct Counter {
    last: AtomicU64,
}

impl Counter {
    /// Gives out numbers above `floor`.
    pub(crate) fn above(floor: u64) -> Self {
        Self {
            last: AtomicU64::new(floor),
        }
    }

    /// The first of `count` consecutive numbers; `None`, and nothing given out, where so many are not left.
    pub(crate) fn give(&self, count: usize) -> Option<u64> {
        let count = count as u64;
        self.last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                (count <= NUMBER_MAX - last).then(|| last + count)
            })
            .ok()
            .map(|last| last + 1)
    }

    /// Gives out only numbers above `floor` from here on.
    pub(crate) fn raise(&self, floor: u64) {
        self.last.fetch_max(floor, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_number_is_given_out_and_none_after_it() {
        let counter = Counter::above(NUMBER_MAX - 2);

        assert_eq!(counter.give(3), None, "two are left");
        assert_eq!(counter.give(2), Some(NUMBER_MAX - 1));
        assert_eq!(counter.give(1), None);
        assert_eq!(counter.give(0), Some(NUMBER_MAX + 1), "none is asked for");
    }

    #[test]
    fn a_sequence_knows_how_many_are_left() {
        let mut sequence = Sequence::above(NUMBER_MAX - 1);

        assert!(sequence.has(1) && !sequence.has(2));
        assert_eq!(sequence.give(), NUMBER_MAX);
        assert!(sequence.has(0) && !sequence.has(1));
    }

    #[test]
    fn raising_never_lowers() {
        let counter = Counter::above(10);
        counter.raise(5);
        assert_eq!(counter.give(1), Some(11));

        let mut sequence = Sequence::above(10);
        sequence.raise(5);
        assert_eq!(sequence.give(), 11);
    }
}
