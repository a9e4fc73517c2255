//! Commits, in the words of a case.

use std::panic::Location;

use storage_api::{
    CommitRequest, ItemId, ItemIds, KeyRange, MetadataEntry, NewItem, Receipt, Receipts, Timestamp,
    Version,
};

use crate::env::{granted, key, namespace, value};
use crate::part::{Part, batch};

/// A commit that is being put together; every method panics beyond the limits of one.
#[derive(Clone)]
pub(crate) struct Commit(CommitRequest);

/// A commit at that time, of nothing yet.
pub(crate) fn commit_at(now: Timestamp) -> Commit {
    Commit(CommitRequest::new(now))
}

impl Commit {
    /// Checks that the key has no entry.
    #[track_caller]
    pub(crate) fn check_absent(mut self, space: &str, name: impl AsRef<[u8]>) -> Self {
        let added = self.0.check_absent(&namespace(space), &key(name));
        granted(Location::caller(), added);
        self
    }

    /// Checks that the key has that version.
    #[track_caller]
    pub(crate) fn check_version(
        mut self,
        space: &str,
        name: impl AsRef<[u8]>,
        version: Version,
    ) -> Self {
        let added = self.0.check_version(&namespace(space), &key(name), version);
        granted(Location::caller(), added);
        self
    }

    /// Checks that the range holds exactly the entries seen.
    #[track_caller]
    pub(crate) fn check_range(
        mut self,
        space: &str,
        range: KeyRange,
        seen: &[MetadataEntry],
    ) -> Self {
        let seen = seen.iter().map(|entry| (entry.key.clone(), entry.version));
        let added = self.0.check_range(&namespace(space), range, seen.collect());
        granted(Location::caller(), added);
        self
    }

    /// Sets an entry that does not expire.
    #[track_caller]
    pub(crate) fn put(
        self,
        space: &str,
        name: impl AsRef<[u8]>,
        content: impl AsRef<[u8]>,
    ) -> Self {
        self.put_until(space, name, content, None)
    }

    /// Sets an entry.
    #[track_caller]
    pub(crate) fn put_until(
        mut self,
        space: &str,
        name: impl AsRef<[u8]>,
        content: impl AsRef<[u8]>,
        expires_at: Option<Timestamp>,
    ) -> Self {
        let added = self
            .0
            .put(&namespace(space), &key(name), value(content), expires_at);
        granted(Location::caller(), added);
        self
    }

    /// Removes an entry.
    #[track_caller]
    pub(crate) fn delete(mut self, space: &str, name: impl AsRef<[u8]>) -> Self {
        let added = self.0.delete(&namespace(space), &key(name));
        granted(Location::caller(), added);
        self
    }

    /// Produces items.
    #[track_caller]
    pub(crate) fn produce<'a, I>(mut self, part: &Part, items: impl IntoIterator<Item = I>) -> Self
    where
        I: Into<NewItem<'a>>,
    {
        let added = self.0.produce(part.id(), batch(items));
        granted(Location::caller(), added);
        self
    }

    /// Completes leases.
    #[track_caller]
    pub(crate) fn complete(
        mut self,
        part: &Part,
        receipts: impl IntoIterator<Item = Receipt>,
    ) -> Self {
        let at = Location::caller();
        let receipts = granted(at, Receipts::collect(receipts));
        granted(at, self.0.complete(part.id(), receipts));
        self
    }

    /// Deletes items.
    #[track_caller]
    pub(crate) fn delete_items(
        mut self,
        part: &Part,
        ids: impl IntoIterator<Item = ItemId>,
    ) -> Self {
        let at = Location::caller();
        let ids = granted(at, ItemIds::collect(ids));
        granted(at, self.0.delete_items(part.id(), ids));
        self
    }
}

impl From<Commit> for CommitRequest {
    fn from(commit: Commit) -> Self {
        commit.0
    }
}
