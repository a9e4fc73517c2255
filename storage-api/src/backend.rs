//! The driver's side: what a storage engine implements.
//!
//! Three traits hold the operations and one joins them. Every argument is valid by its type, and time is an argument: a
//! driver checks no limit and reads no clock, randomness or environment. The clauses named here stand in `CONTRACT.md`.
//!
//! What holds for every operation, unless it says otherwise:
//!
//! - **Ok**: all of it applied, is visible to every later operation, and is as durable as the backend promises
//!   (clauses DUR-1 and CONC-1).
//! - **Error**: nothing changed where the outcome is `NotApplied`; all or nothing where it is `Unknown` (clause ATOM-1).
//! - **Dropped future**: all or nothing, settled before any later operation on the partition begins (clause ATOM-2).
//! - **Refusals**: `Closed` after `close`; `NotFound` for a partition that does not exist (clauses PART-2 and ERR-2).
//! - **Batches**: receipts and ids are treated in input order, in one atomic step; an empty list changes nothing and is
//!   still refused as above (clauses BATCH-1 and BATCH-2).
//! - No operation panics (clause ERR-1).

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::call::{
    Cleared, CommitOutcome, CommitRequest, CompleteOutcome, Cursor, DeleteOutcome, ExtendOutcome,
    Floors, ItemIds, LeaseRequest, LeasedBatch, ListRequest, Maintained, MetadataEntry, Page,
    Produced, Purged, Receipts, ReleaseOutcome, ReleasedHolder, RestoreBatch, Retries,
    RetryOutcome, ReviveOutcome, ScanRequest, UpdateOutcome,
};
use crate::descriptor::{Descriptor, Health, Usage};
use crate::error::Result;
use crate::item::{ItemEntry, SealedBatch, States};
use crate::names::{Key, Namespace, PartitionId};
use crate::numbers::{Count, Holder, Version};
use crate::partition::{PartitionConfig, PartitionInfo, PartitionStats};
use crate::shortcut::Shortcut;
use crate::time::Timestamp;
use crate::verify::Verify;
use crate::watch::Signal;

/// Partitions: made, configured, looked at, maintained, removed.
#[async_trait]
pub trait PartitionStore: Send + Sync {
    /// Makes an empty partition (clause PART-1).
    ///
    /// `AlreadyExists` where there is one of that name, and it stays as it is. Ids and positions go on above everything
    /// that an earlier partition of the name gave out (clause ITEM-2).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// let info = backend.create_partition(&id, PartitionConfig::default()).await?;
    /// assert_eq!(info.created, info.revision);
    /// let again = backend.create_partition(&id, PartitionConfig::default()).await;
    /// assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # Ok(()) }
    /// ```
    async fn create_partition(
        &self,
        id: &PartitionId,
        config: PartitionConfig,
    ) -> Result<PartitionInfo>;

    /// Replaces the configuration if its revision is `expected`; `None` replaces any (clause PART-3).
    ///
    /// Policies act when events happen: no item is touched by the change itself.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// let revision = backend.partition(&id).await?.revision;
    /// let config = PartitionConfig::default().with_attempts_max(3);
    /// let updated = backend.update_partition(&id, Some(revision), config.clone()).await?;
    /// assert!(matches!(updated, UpdateOutcome::Updated(_)));
    /// let late = backend.update_partition(&id, Some(revision), config).await?;
    /// assert!(matches!(late, UpdateOutcome::Conflict(_)), "somebody else was first");
    /// # Ok(()) }
    /// ```
    async fn update_partition(
        &self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome>;

    /// The partition as it is.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// assert_eq!(backend.partition(&id).await?.config, PartitionConfig::default());
    /// # Ok(()) }
    /// ```
    async fn partition(&self, id: &PartitionId) -> Result<PartitionInfo>;

    /// A page of partitions, by queue name (bytes), then number (clause PART-5).
    ///
    /// A cursor from another listing, or a damaged one, is `InvalidArgument` (clause LIST-3).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// let page = backend.list_partitions(None, Count::MAX).await?;
    /// assert_eq!(page.items[0].id, id);
    /// assert!(page.next.is_none());
    /// # Ok(()) }
    /// ```
    async fn list_partitions(
        &self,
        after: Option<&Cursor>,
        partitions_max: Count,
    ) -> Result<Page<PartitionInfo>>;

    /// Removes the partition with all its items in one small step, whatever it holds (clause PART-4).
    ///
    /// Space comes back afterwards. Those who watch it are woken.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// backend.delete_partition(&id).await?;
    /// assert_eq!(backend.partition(&id).await.unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok(()) }
    /// ```
    async fn delete_partition(&self, id: &PartitionId) -> Result<()>;

    /// The statistics, kept and not counted: constant time (clause PART-7).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(now)).await?;
    /// assert_eq!(backend.stats(&id).await?.ready.items, 1);
    /// # Ok(()) }
    /// ```
    async fn stats(&self, id: &PartitionId) -> Result<PartitionStats>;

    /// Handles up to `items_max` items and dedup keys whose due time is `<= now`, in order of (due time, id)
    /// (clauses TIME-1 to TIME-3).
    ///
    /// The only operation that moves an item because time has passed. With nothing due it is constant time and writes
    /// nothing. `Unavailable` where the partition is frozen (clause PART-8).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(now)).await?;
    /// # let deadline = Timestamp::from_secs(30);
    /// # let leased = backend.lease(&id, LeaseRequest::new(now, deadline, Count::ONE)).await?;
    /// let late = Timestamp::from_secs(31);
    /// let maintained = backend.maintain(&id, late, Count::MAX).await?;
    /// assert_eq!(maintained.ready, 1, "the lease is taken back");
    /// # Ok(()) }
    /// ```
    async fn maintain(
        &self,
        id: &PartitionId,
        now: Timestamp,
        items_max: Count,
    ) -> Result<Maintained>;

    /// A signal that fires after every operation through this backend that made an item ready or brought the earliest
    /// due time forward (clause WAKE-1).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// let mut signal = backend.watch(&id).await?;
    /// backend.produce(&id, batch.seal(now)).await?;
    /// signal.fired().await;
    /// # Ok(()) }
    /// ```
    async fn watch(&self, id: &PartitionId) -> Result<Signal>;
}

/// Items: produced, leased, finished, looked at, removed.
#[async_trait]
pub trait ItemStore: Send + Sync {
    /// Stores a batch whole or not at all (clauses ITEM-1 to ITEM-6 and ORDER-1).
    ///
    /// The batch carries its `now`. An item with `enqueue_at > now` is scheduled, any other is ready at the tail. An item
    /// whose dedup key is taken is not stored and takes no id. `Unavailable` where the partition is draining or frozen;
    /// `CapacityExceeded` where what is to be stored exceeds a limit (clauses PART-8 and LIMIT-2).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// let mut batch = ItemBatch::new();
    /// batch.push(NewItem::new("hello").dedup_key("h"))?;
    /// batch.push(NewItem::new("again").dedup_key("h"))?;
    /// let produced = backend.produce(&id, batch.seal(now)).await?;
    /// assert_eq!((produced.stored(), produced.duplicates().len()), (1, 1));
    /// # Ok(()) }
    /// ```
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced>;

    /// Takes ready items in order of (priority, position), as many as there are within the request (clauses LEASE-1 to
    /// LEASE-6 and LEASE-9).
    ///
    /// Items that have expired are passed over. With nothing to lease the batch is empty. A lease outlives the future: if
    /// it is dropped after it applied, its items stay leased until they are taken back (clause ATOM-2). `Unavailable` where
    /// the partition is frozen.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(now)).await?;
    /// let request = LeaseRequest::new(now, Timestamp::from_secs(30), Count::new(10)?);
    /// let leased = backend.lease(&id, request).await?;
    /// assert_eq!(leased.get(0).map(|item| item.payload()), Some(b"hello".as_slice()));
    /// # Ok(()) }
    /// ```
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch>;

    /// Moves the deadline of valid receipts to `deadline`, later or earlier (clause LEASE-8).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(now)).await?;
    /// # let deadline = Timestamp::from_secs(30);
    /// # let leased = backend.lease(&id, LeaseRequest::new(now, deadline, Count::ONE)).await?;
    /// let later = Timestamp::from_secs(60);
    /// let outcomes = backend.extend(&id, leased.receipts(), later).await?;
    /// assert_eq!(outcomes, [ExtendOutcome::Extended]);
    /// # Ok(()) }
    /// ```
    async fn extend(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
        deadline: Timestamp,
    ) -> Result<Vec<ExtendOutcome>>;

    /// Gives leases back unused: ready at the position they had, one attempt less (clause RETRY-6).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(now)).await?;
    /// # let deadline = Timestamp::from_secs(30);
    /// # let leased = backend.lease(&id, LeaseRequest::new(now, deadline, Count::ONE)).await?;
    /// let outcomes = backend.release(&id, leased.receipts()).await?;
    /// assert_eq!(outcomes, [ReleaseOutcome::Released]);
    /// # Ok(()) }
    /// ```
    async fn release(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<ReleaseOutcome>>;

    /// Releases up to `items_max` leases of a holder, by id (clause LEASE-9).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(now)).await?;
    /// let holder = Holder::new(7)?;
    /// let request = LeaseRequest::new(now, Timestamp::from_secs(30), Count::ONE).holder(holder);
    /// backend.lease(&id, request).await?;
    /// let released = backend.release_holder(&id, holder, Count::MAX).await?;
    /// assert_eq!((released.released, released.more), (1, false));
    /// # Ok(()) }
    /// ```
    async fn release_holder(
        &self,
        partition: &PartitionId,
        holder: Holder,
        items_max: Count,
    ) -> Result<ReleasedHolder>;

    /// Removes the item of each valid receipt (clauses DONE-1 and DONE-2).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(now)).await?;
    /// # let deadline = Timestamp::from_secs(30);
    /// # let leased = backend.lease(&id, LeaseRequest::new(now, deadline, Count::ONE)).await?;
    /// let receipts = leased.receipts();
    /// assert_eq!(backend.complete(&id, receipts.clone()).await?, [CompleteOutcome::Done]);
    /// assert_eq!(backend.complete(&id, receipts).await?, [CompleteOutcome::NotFound]);
    /// # Ok(()) }
    /// ```
    async fn complete(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<CompleteOutcome>>;

    /// Ends leases without completion: ready, scheduled or dead (clauses RETRY-1 to RETRY-5 and DEAD-1).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(now)).await?;
    /// # let deadline = Timestamp::from_secs(30);
    /// # let leased = backend.lease(&id, LeaseRequest::new(now, deadline, Count::ONE)).await?;
    /// let retry = Retry::new(leased.receipts()[0], RetryTo::At(Timestamp::from_secs(5))).with_note("busy")?;
    /// let outcomes = backend.retry(&id, now, Retries::one(retry)).await?;
    /// assert_eq!(outcomes, [RetryOutcome::Scheduled]);
    /// # Ok(()) }
    /// ```
    async fn retry(
        &self,
        partition: &PartitionId,
        now: Timestamp,
        retries: Retries,
    ) -> Result<Vec<RetryOutcome>>;

    /// Makes dead items ready at the tail, with no attempts and no expiry (clause DEAD-2).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(now)).await?;
    /// # let deadline = Timestamp::from_secs(30);
    /// # let leased = backend.lease(&id, LeaseRequest::new(now, deadline, Count::ONE)).await?;
    /// let retry = Retry::new(leased.receipts()[0], RetryTo::Dead);
    /// backend.retry(&id, now, Retries::one(retry)).await?;
    /// let outcomes = backend.revive(&id, ItemIds::one(leased.receipts()[0].item)).await?;
    /// assert_eq!(outcomes, [ReviveOutcome::Revived]);
    /// # Ok(()) }
    /// ```
    async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>>;

    /// One entry per id in input order, `None` for what is not there (clause LIST-1).
    ///
    /// The answer ends before the item that would exceed 32 MiB of payloads, never before the first: its length says where.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(now)).await?;
    /// let found = backend.get_items(&id, ItemIds::one(ItemId::MIN), true).await?;
    /// assert_eq!(found[0].as_ref().map(|entry| entry.attempts), Some(0));
    /// # Ok(()) }
    /// ```
    async fn get_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
        payloads: bool,
    ) -> Result<Vec<Option<ItemEntry>>>;

    /// A page of items (clauses LIST-2 and LIST-3).
    ///
    /// A cursor from another listing or partition, or a damaged one, is `InvalidArgument`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(now)).await?;
    /// let page = backend.list_items(&id, ListRequest::ready().without_payloads()).await?;
    /// assert_eq!(page.items[0].record.view().payload_len(), 5);
    /// # Ok(()) }
    /// ```
    async fn list_items(
        &self,
        partition: &PartitionId,
        request: ListRequest,
    ) -> Result<Page<ItemEntry>>;

    /// Removes items by id, whatever their state; dedup keys are free at once (clauses LIST-4 and ITEM-4).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(now)).await?;
    /// let outcomes = backend.delete_items(&id, ItemIds::one(ItemId::MIN)).await?;
    /// assert_eq!(outcomes, [DeleteOutcome::Deleted]);
    /// # Ok(()) }
    /// ```
    async fn delete_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
    ) -> Result<Vec<DeleteOutcome>>;

    /// Removes up to `items_max` items of those states by id, in one step; dedup keys are free at once (clause LIST-4).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(now)).await?;
    /// let cleared = backend.clear(&id, States::ALL, Count::MAX).await?;
    /// assert_eq!((cleared.removed, cleared.more), (1, false));
    /// # Ok(()) }
    /// ```
    async fn clear(
        &self,
        partition: &PartitionId,
        states: States,
        items_max: Count,
    ) -> Result<Cleared>;

    /// Stores whole items as listing gives them, all or none (clauses MOVE-1 and MOVE-2).
    ///
    /// A taken id, position or dedup key is `AlreadyExists` and names the item. Every number given out later is greater
    /// than any restored and than the floors. `CapacityExceeded` as in produce.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(now)).await?;
    /// let page = backend.list_items(&id, ListRequest::by_id(States::ALL)).await?;
    /// let elsewhere = PartitionId::new("moved", 0)?;
    /// backend.create_partition(&elsewhere, PartitionConfig::default()).await?;
    /// backend.restore(&elsewhere, RestoreBatch::new(page.items)?, Floors::none()).await?;
    /// assert_eq!(backend.stats(&elsewhere).await?.ready.items, 1);
    /// # Ok(()) }
    /// ```
    async fn restore(
        &self,
        partition: &PartitionId,
        items: RestoreBatch,
        floors: Floors,
    ) -> Result<()>;
}

/// Metadata: versioned entries beside the items. They are written by [`StorageBackend::commit`].
#[async_trait]
pub trait MetadataStore: Send + Sync {
    /// The entry of a key, unless it has expired by `now` (clauses META-3 and META-4).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let now = Timestamp::EPOCH;
    /// # let (namespace, key) = (Namespace::new("cursors")?, Key::try_from("input")?);
    /// # let mut request = CommitRequest::new(now);
    /// # request.put(&namespace, &key, Value::try_from("42")?, Some(Timestamp::from_secs(1)))?;
    /// # backend.commit(request).await?;
    /// let entry = backend.get(now, &namespace, &key).await?;
    /// assert_eq!(entry.map(|entry| entry.value), Some(Value::try_from("42")?));
    /// # Ok(()) }
    /// ```
    async fn get(
        &self,
        now: Timestamp,
        namespace: &Namespace,
        key: &Key,
    ) -> Result<Option<MetadataEntry>>;

    /// A page of the entries of a range that have not expired by `now` (clause META-3).
    ///
    /// A page ends before its keys and values exceed 32 MiB, never before its first entry.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let now = Timestamp::EPOCH;
    /// # let (namespace, key) = (Namespace::new("cursors")?, Key::try_from("input")?);
    /// # let mut request = CommitRequest::new(now);
    /// # request.put(&namespace, &key, Value::try_from("42")?, Some(Timestamp::from_secs(1)))?;
    /// # backend.commit(request).await?;
    /// let request = ScanRequest::new(namespace, KeyRange::prefix("in")?);
    /// assert_eq!(backend.scan(now, request).await?.items[0].key, key);
    /// # Ok(()) }
    /// ```
    async fn scan(&self, now: Timestamp, request: ScanRequest) -> Result<Page<MetadataEntry>>;

    /// A page of the namespaces that hold an entry, expired ones that were not purged included, in byte order
    /// (clause META-3).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let now = Timestamp::EPOCH;
    /// # let (namespace, key) = (Namespace::new("cursors")?, Key::try_from("input")?);
    /// # let mut request = CommitRequest::new(now);
    /// # request.put(&namespace, &key, Value::try_from("42")?, Some(Timestamp::from_secs(1)))?;
    /// # backend.commit(request).await?;
    /// assert_eq!(backend.namespaces(None, Count::MAX).await?.items, [namespace]);
    /// # Ok(()) }
    /// ```
    async fn namespaces(
        &self,
        after: Option<&Cursor>,
        namespaces_max: Count,
    ) -> Result<Page<Namespace>>;

    /// Reclaims up to `entries_max` entries that have expired by `now`, in order of (expires_at, namespace, key)
    /// (clause META-4).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let now = Timestamp::EPOCH;
    /// # let (namespace, key) = (Namespace::new("cursors")?, Key::try_from("input")?);
    /// # let mut request = CommitRequest::new(now);
    /// # request.put(&namespace, &key, Value::try_from("42")?, Some(Timestamp::from_secs(1)))?;
    /// # backend.commit(request).await?;
    /// let purged = backend.purge(Timestamp::from_secs(1), Count::MAX).await?;
    /// assert_eq!((purged.removed, purged.more), (1, false));
    /// # Ok(()) }
    /// ```
    async fn purge(&self, now: Timestamp, entries_max: Count) -> Result<Purged>;
}

/// One opened instance of a driver: the whole contract behind one object.
///
/// `Arc<dyn StorageBackend>` is also an `Arc<dyn PartitionStore>`, `Arc<dyn ItemStore>` and `Arc<dyn MetadataStore>`.
/// Users call it through [`Storage`](crate::Storage).
#[async_trait]
pub trait StorageBackend:
    PartitionStore + ItemStore + MetadataStore + Debug + Send + Sync + 'static
{
    /// What this backend is; the same from opening to closing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// assert_eq!(backend.descriptor().driver, "memory");
    /// assert!(!backend.descriptor().capabilities.has(Capability::Reopen));
    /// # Ok(()) }
    /// ```
    fn descriptor(&self) -> Descriptor;

    /// Applies checks, metadata writes and item steps at one instant, or nothing of them (clauses META-1 to META-7).
    ///
    /// A check that does not hold, or a receipt or id that is not valid, is a [`CommitOutcome::Refused`], not an error.
    /// Receipts and ids are judged against the state before the commit, where what an earlier step removes counts as
    /// gone. Refusals as in the single operations (`Unavailable`, `NotFound`) come before the checks are looked at,
    /// `CapacityExceeded` after they hold.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// # backend.create_partition(&id, PartitionConfig::default()).await?;
    /// # let now = Timestamp::EPOCH;
    /// # let mut batch = ItemBatch::new();
    /// # batch.push(NewItem::new("hello"))?;
    /// # backend.produce(&id, batch.seal(now)).await?;
    /// # let deadline = Timestamp::from_secs(30);
    /// # let leased = backend.lease(&id, LeaseRequest::new(now, deadline, Count::ONE)).await?;
    /// # let (namespace, key) = (Namespace::new("cursors")?, Key::try_from("input")?);
    /// // The work is done and the cursor moves, or neither.
    /// let mut request = CommitRequest::new(now);
    /// request.check_absent(&namespace, &key)?;
    /// request.put(&namespace, &key, Value::try_from("1")?, None)?;
    /// request.complete(&id, leased.receipts())?;
    /// let outcome = backend.commit(request).await?;
    /// assert!(matches!(outcome, CommitOutcome::Committed(_)));
    /// # Ok(()) }
    /// ```
    async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome>;

    /// Whether the backend works; touches the engine.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// assert!(backend.health().await?.is_writable);
    /// # Ok(()) }
    /// ```
    async fn health(&self) -> Result<Health>;

    /// The bytes used and allowed (clause USE-1).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// let usage = backend.usage().await?;
    /// assert_eq!(usage.used, usage.parts.iter().map(|(_, bytes)| bytes).sum::<u64>());
    /// # Ok(()) }
    /// ```
    async fn usage(&self) -> Result<Usage>;

    /// Returns when everything acknowledged before would survive the loss of power; `Unsupported` where the driver cannot
    /// do that at all (clause DUR-4).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// // Memory has nothing to sync to.
    /// assert_eq!(backend.sync().await.unwrap_err().kind(), ErrorKind::Unsupported);
    /// # Ok(()) }
    /// ```
    async fn sync(&self) -> Result<()>;

    /// Waits for what is under way, then closes (clause CLOSE-1).
    ///
    /// Every further `close` waits for the first and is `Ok`; every later operation is `Closed`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// backend.close().await?;
    /// backend.close().await?;
    /// assert_eq!(backend.usage().await.unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok(()) }
    /// ```
    async fn close(&self) -> Result<()>;

    /// The checker of the stored state, where the driver has one.
    ///
    /// ```
    /// use storage_api::StorageBackend;
    ///
    /// assert!(storage_memory::MemoryBackend::new().verify().is_none(), "memory has no stored bytes");
    /// ```
    fn verify(&self) -> Option<&dyn Verify> {
        None
    }

    /// The way to a partition that is there, where the driver has one that is shorter than its operations.
    ///
    /// `None` for a partition that is not there, and after `close`. The user's handle asks once and keeps it. A driver whose
    /// operations wait has none. A wrapper has none unless it writes one, which
    /// [`forward_backend!`](crate::forward_backend) does not do: nothing passes the wrapper by.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_api::*;
    /// # let backend = storage_memory::MemoryBackend::new();
    /// # let id = PartitionId::new("emails", 0)?;
    /// assert!(backend.shortcut(&id).is_none(), "it is not there yet");
    /// backend.create_partition(&id, PartitionConfig::default()).await?;
    /// assert!(backend.shortcut(&id).is_some());
    /// # Ok(()) }
    /// ```
    fn shortcut(&self, partition: &PartitionId) -> Option<Arc<dyn Shortcut>> {
        let _ = partition;
        None
    }
}
