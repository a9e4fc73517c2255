//! The short way of a handle to its partition.

use std::fmt::Debug;

use crate::call::{CompleteOutcome, LeaseRequest, LeasedBatch, Produced, Receipts};
use crate::error::Result;
use crate::item::SealedBatch;
use crate::time::Timestamp;

/// The calls that come for every item, on one partition of a driver that never waits: without a future, and without looking
/// for the partition each time.
///
/// [`StorageBackend::shortcut`](crate::StorageBackend::shortcut) gives it. Each call does all that the operations of the
/// driver traits which it names do, in one atomic step and under the same clauses, or answers `None` and has done nothing;
/// then those operations have the answer, and whoever calls asks them.
///
/// `None` is always allowed. It is the answer for good once the partition was deleted, made again since or not, or the
/// backend closed: a shortcut leads to no other partition than the one for which it was given. It may be kept for as long as
/// anybody likes; that holds up no deletion, no closing, and no opening of the place after it.
pub trait Shortcut: Debug + Send + Sync {
    /// [`ItemStore::produce`](crate::ItemStore::produce).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// let batch = batch.seal(Timestamp::EPOCH);
    /// let shortcut = backend.shortcut(&id).expect("the partition is there");
    /// assert_eq!(shortcut.produce(&batch).expect("it still is")?.stored(), 1);
    /// backend.delete_partition(&id).await?;
    /// assert!(shortcut.produce(&batch).is_none());
    /// # Ok(()) }
    /// ```
    fn produce(&self, batch: &SealedBatch) -> Option<Result<Produced>>;

    /// [`PartitionStore::maintain`](crate::PartitionStore::maintain) and then [`ItemStore::lease`](crate::ItemStore::lease),
    /// and when something will be due next, as the first of them found it; `None` where something is due now.
    ///
    /// So there is nothing to maintain wherever it answers. What is refused is refused as by the second of them.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(Timestamp::EPOCH)).await?;
    /// let shortcut = backend.shortcut(&id).expect("the partition is there");
    /// let deadline = Timestamp::from_secs(30);
    /// let request = |now| LeaseRequest::new(now, deadline, Count::ONE);
    /// let (leased, next_due) = shortcut.lease(&request(Timestamp::EPOCH)).expect("nothing is due")?;
    /// assert_eq!((leased.len(), next_due), (1, None));
    /// assert!(shortcut.lease(&request(deadline)).is_none(), "the lease is to be taken back first");
    /// # Ok(()) }
    /// ```
    fn lease(&self, request: &LeaseRequest) -> Option<Result<(LeasedBatch, Option<Timestamp>)>>;

    /// [`ItemStore::complete`](crate::ItemStore::complete).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// let shortcut = backend.shortcut(&id).expect("the partition is there");
    /// let unknown = Receipts::one(Receipt { item: ItemId::MIN, lease: LeaseId::MIN });
    /// assert_eq!(shortcut.complete(&unknown).expect("it still is")?, [CompleteOutcome::NotFound]);
    /// # Ok(()) }
    /// ```
    fn complete(&self, receipts: &Receipts) -> Option<Result<Vec<CompleteOutcome>>>;
}
