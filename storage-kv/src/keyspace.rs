//! The keyspaces: what a row is about.

use std::fmt;

/// A set of rows of one kind, ordered by key. Engines map each to a table, a tree or a column family.
///
/// Batches are ordered by keyspace in the order of the variants, then by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keyspace {
    /// What the backend is, its partitions and their counters.
    Catalog,
    /// The immutable part of an item: written once, removed once.
    Bodies,
    /// What has changed of an item since it was produced, if anything has.
    States,
    /// Ready items in lease order.
    Ready,
    /// What time will move, by due time.
    Due,
    /// Dead items.
    Dead,
    /// Dedup keys.
    Dedup,
    /// Leases by holder.
    Holders,
    /// Metadata.
    Entries,
    /// Metadata by expiry.
    Expiry,
    /// Partitions that were deleted, and whose rows are still there.
    Garbage,
}

impl Keyspace {
    /// How many there are.
    pub const COUNT: usize = 11;

    /// Every keyspace, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Catalog,
        Self::Bodies,
        Self::States,
        Self::Ready,
        Self::Due,
        Self::Dead,
        Self::Dedup,
        Self::Holders,
        Self::Entries,
        Self::Expiry,
        Self::Garbage,
    ];

    /// The keyspaces whose keys begin with the number of a partition.
    pub(crate) const OF_PARTITIONS: [Self; 7] = [
        Self::Bodies,
        Self::States,
        Self::Ready,
        Self::Due,
        Self::Dead,
        Self::Dedup,
        Self::Holders,
    ];

    /// Its place in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        self as usize
    }

    /// How long its keys are, where all of them are of one length and end with a number of eight bytes: then none lies between
    /// two of which one number follows the other.
    pub const fn numbered_key_len(self) -> Option<usize> {
        match self {
            Self::Bodies | Self::States | Self::Dead => Some(12),
            Self::Ready => Some(13),
            Self::Due => Some(21),
            Self::Holders => Some(20),
            Self::Catalog | Self::Dedup | Self::Entries | Self::Expiry | Self::Garbage => None,
        }
    }

    /// Its name, the same in every version: engines name their tables after it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Bodies => "bodies",
            Self::States => "states",
            Self::Ready => "ready",
            Self::Due => "due",
            Self::Dead => "dead",
            Self::Dedup => "dedup",
            Self::Holders => "holders",
            Self::Entries => "entries",
            Self::Expiry => "expiry",
            Self::Garbage => "garbage",
        }
    }
}

impl fmt::Display for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyspace_stands_at_its_index() {
        for (index, space) in Keyspace::ALL.into_iter().enumerate() {
            assert_eq!(space.index(), index, "{space}");
        }
    }
}
