//! Which dedup keys are taken, and until when (clause ITEM-4).

use std::ops::Bound;
use std::sync::Arc;

use storage_api::{ItemId, Timestamp};

use crate::footprint::shared_bytes;
use crate::sorted::Sorted;

/// The dedup keys of a partition: those of living items, and those that outlive their items.
///
/// Sorted and not hashed: it never stops to move a million keys at once, and gives its memory back.
#[derive(Debug, Default)]
pub(crate) struct DedupKeys {
    owners: Sorted<Arc<[u8]>, Owner>,
    /// Keys whose items have gone, by the time at which `maintain` frees them. One id may have several: an item restored
    /// under the id of one that has gone may go as well.
    lingering: Sorted<(Timestamp, ItemId, Arc<[u8]>), ()>,
    /// What the keys themselves take.
    bytes: u64,
}

/// Who has a dedup key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) id: ItemId,
    /// Whether the item has gone. Its id alone does not tell: another may have been restored under it.
    pub(crate) has_gone: bool,
}

impl DedupKeys {
    /// The item that has the key, or had it lately.
    pub(crate) fn owner(&self, key: &[u8]) -> Option<Owner> {
        self.owners.get(key).copied()
    }

    /// An item takes a key that is free.
    pub(crate) fn take(&mut self, key: &[u8], id: ItemId) {
        self.bytes += shared_bytes(key.len());
        let owner = Owner {
            id,
            has_gone: false,
        };
        self.owners.insert(key.into(), owner);
    }

    /// The key is free at once.
    pub(crate) fn free(&mut self, key: &[u8]) {
        if self.owners.remove(key).is_some() {
            self.bytes -= shared_bytes(key.len());
        }
    }

    /// The key of an item that goes stays taken, until `maintain` frees it at `due` or later.
    pub(crate) fn linger(&mut self, key: &[u8], due: Timestamp) {
        if let Some((shared, owner)) = self.owners.remove(key) {
            self.lingering.insert((due, owner.id, shared.clone()), ());
            let has_gone = Owner {
                has_gone: true,
                ..owner
            };
            self.owners.insert(shared, has_gone);
        }
    }

    /// When lingering keys are due, and whose they were, in that order.
    pub(crate) fn due(&self) -> impl Iterator<Item = (Timestamp, ItemId)> {
        self.lingering.keys().map(|(due, id, _)| (*due, *id))
    }

    /// Frees a lingering key of an item that has gone.
    pub(crate) fn free_due(&mut self, due: Timestamp, id: ItemId) {
        let from = Bound::Included((due, id, Arc::from([])));
        let first = self.lingering.range(from, Bound::Unbounded).next();
        let first = first.map(|(first, ())| first.clone());
        if let Some(first) = first.filter(|first| (first.0, first.1) == (due, id)) {
            self.lingering.remove(&first);
            self.free(&first.2);
        }
    }

    /// When the first lingering key is due.
    pub(crate) fn first_due(&self) -> Option<Timestamp> {
        self.lingering.first().map(|((due, _, _), ())| *due)
    }

    /// The bytes that everything here takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.owners.bytes() + self.lingering.bytes() + self.bytes
    }

    /// The most bytes by which so many new keys make it grow that take so many together: each has a place, and another once
    /// its item has gone.
    pub(crate) fn growth_max(&self, keys: u64, bytes: u64) -> u64 {
        self.owners.growth_max(keys) + self.lingering.growth_max(keys) + bytes
    }
}

#[cfg(test)]
impl DedupKeys {
    /// Fails unless every key has a living owner or is going to be freed.
    pub(crate) fn assert_is_of(&self, living: Vec<(Vec<u8>, ItemId)>) {
        let mut owners = Sorted::<Arc<[u8]>, Owner>::default();
        for (key, id) in living {
            let owner = Owner {
                id,
                has_gone: false,
            };
            owners.insert(key.into(), owner);
        }
        for (_, id, key) in self.lingering.keys() {
            let owner = Owner {
                id: *id,
                has_gone: true,
            };
            let twice = owners.insert(key.clone(), owner);
            assert_eq!(twice, None, "key {key:?} lives and lingers");
        }
        assert_eq!(self.owners, owners, "owners of dedup keys");
        let bytes: u64 = owners.keys().map(|key| shared_bytes(key.len())).sum();
        assert_eq!(self.bytes, bytes, "bytes of dedup keys");
    }
}
