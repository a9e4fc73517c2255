//! The whole state, and what every operation does first.

use bytes::Bytes;
use storage_api::{
    Error, ItemEntry, ItemId, LeaseId, MetadataEntry, Namespace, Operation, PartitionId,
    PartitionInfo, Position, Result, Timestamp, Version,
};

/// The contract as a state machine: one method for each operation of a driver.
///
/// Cloning branches it: a checker can try one order of calls on the original and another on the clone.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Model {
    pub(crate) contents: Contents,
    is_closed: bool,
}

/// Everything that a model holds, for comparing and for keeping it elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Contents {
    /// The partitions, by queue name (bytes), then number.
    pub partitions: Vec<Partition>,
    /// The metadata by namespace, then key (bytes); expired entries that were not purged included.
    pub metadata: Vec<Entry>,
    /// The largest lease given out or restored; 0 before the first.
    pub last_lease: u64,
    /// The largest version given out or restored; 0 before the first.
    pub last_version: u64,
    /// The largest id or position that a deleted partition gave out: a new partition starts above it (clause ITEM-2).
    pub deleted_number: u64,
}

/// A partition with everything in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its name, configuration and revision.
    pub info: PartitionInfo,
    /// Its items by id.
    pub items: Vec<ItemEntry>,
    /// The dedup keys that outlive their items, in the order in which the items went.
    pub gone_keys: Vec<GoneKey>,
    /// The largest id given out or restored; 0 before the first.
    pub last_id: u64,
    /// The largest position given out or restored; 0 before the first.
    pub last_position: u64,
}

/// A dedup key whose item has gone (clause ITEM-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoneKey {
    /// The key.
    pub key: Bytes,
    /// The item that had it.
    pub of: ItemId,
    /// When maintain frees it: the item's `created_at + dedup_for`.
    pub due_at: Timestamp,
}

/// An entry of the metadata in its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The namespace.
    pub namespace: Namespace,
    /// The entry.
    pub entry: MetadataEntry,
}

impl Model {
    /// A model without partitions and metadata.
    pub fn new() -> Self {
        Self::default()
    }

    /// An open model of these contents, which must be ordered as [`Contents`] says.
    pub fn of(contents: Contents) -> Self {
        Self {
            contents,
            is_closed: false,
        }
    }

    /// Everything that there is, closed or not.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Everything that there is, closed or not, without a copy.
    pub fn into_contents(self) -> Contents {
        self.contents
    }

    /// Closes; again and again, if somebody wants to.
    pub fn close(&mut self) -> Result<()> {
        // CLOSE-1
        self.is_closed = true;
        Ok(())
    }

    /// Opens again, with everything as it was (clause DUR-2).
    pub fn reopen(&mut self) {
        self.is_closed = false;
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether a `health` would be answered; a model has no engine to touch.
    pub fn health(&self) -> Result<()> {
        self.check_open(Operation::Health)
    }

    /// Whether a `usage` would be answered; what it says differs from driver to driver.
    pub fn usage(&self) -> Result<()> {
        self.check_open(Operation::Usage)
    }

    /// Whether a `sync` would be answered by a driver that can.
    pub fn sync(&self) -> Result<()> {
        self.check_open(Operation::Sync)
    }

    /// Whether a `watch` would be answered; a model wakes nobody.
    pub fn watch(&self, id: &PartitionId) -> Result<()> {
        self.find(Operation::Watch, id).map(drop)
    }

    pub(crate) fn check_open(&self, operation: Operation) -> Result<()> {
        // CLOSE-1, and ERR-2: Closed before all else.
        if self.is_closed {
            return Err(Error::closed(operation));
        }
        Ok(())
    }

    pub(crate) fn find(&self, operation: Operation, id: &PartitionId) -> Result<&Partition> {
        self.check_open(operation)?;
        self.contents
            .partitions
            .iter()
            .find(|partition| partition.info.id == *id)
            // PART-2
            .ok_or_else(|| Error::partition_not_found(operation, id))
    }

    pub(crate) fn find_mut(
        &mut self,
        operation: Operation,
        id: &PartitionId,
    ) -> Result<&mut Partition> {
        self.check_open(operation)?;
        self.contents.find_mut(operation, id)
    }
}

impl Contents {
    pub(crate) fn find_mut(
        &mut self,
        operation: Operation,
        id: &PartitionId,
    ) -> Result<&mut Partition> {
        self.partitions
            .iter_mut()
            .find(|partition| partition.info.id == *id)
            // PART-2
            .ok_or_else(|| Error::partition_not_found(operation, id))
    }

    pub(crate) fn next_version(&mut self) -> Version {
        // META-2
        self.last_version += 1;
        Version::new(self.last_version).expect(NUMBERS_LEFT)
    }
}

impl Partition {
    pub(crate) fn next_position(&mut self) -> Position {
        // ORDER-1: a later tail is behind every earlier one.
        self.last_position += 1;
        Position::new(self.last_position).expect(NUMBERS_LEFT)
    }
}

/// LEASE-2. Counts on from `last_lease`, which is borrowed apart from the partition.
pub(crate) fn next_lease(last_lease: &mut u64) -> LeaseId {
    *last_lease += 1;
    LeaseId::new(*last_lease).expect(NUMBERS_LEFT)
}

/// No restored number is above 2^62 (its type sees to that), and nobody counts through the other half.
pub(crate) const NUMBERS_LEFT: &str =
    "2^62 numbers are left above the largest that can be restored";
