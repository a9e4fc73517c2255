//! The handle of a whole backend.

use std::sync::Arc;

use tracing::{Instrument, debug_span};

use super::{Metadata, Partition, Transaction, accept};
use crate::backend::StorageBackend;
use crate::call::Committed;
use crate::clock::{Clock, SystemClock};
use crate::descriptor::{Descriptor, Health, Usage};
use crate::error::{Error, ErrorKind, Object, Operation, Result, RetryHint};
use crate::names::{Namespace, PartitionId};
use crate::numbers::Count;
use crate::partition::{PartitionConfig, PartitionInfo};
use crate::time::Timestamp;

/// How often a transaction is tried: each conflict means that another one got through, so that all but a crowd of writers
/// on one key have long succeeded.
const TRANSACT_ATTEMPTS_MAX: u32 = 64;

/// A backend with a clock: what applications call. Cheap to clone; clones are one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
/// use std::time::Duration;
/// use storage_api::{NewItem, PartitionConfig, Storage};
/// use storage_memory::MemoryBackend;
///
/// let storage = Storage::new(MemoryBackend::new());
/// let partition = storage.create_partition(("emails", 0), PartitionConfig::default()).await?;
/// partition.produce([NewItem::new("hello").kind("greeting")]).await?;
///
/// let leased = partition.lease(10, Duration::from_secs(30)).await?;
/// assert_eq!(leased.get(0).unwrap().payload(), b"hello");
/// partition.complete(leased.receipts()).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Storage {
    backend: Arc<dyn StorageBackend>,
    clock: Arc<dyn Clock>,
}

impl Storage {
    /// That backend, with the clock of the operating system.
    ///
    /// ```
    /// use storage_api::Storage;
    /// use storage_memory::MemoryBackend;
    ///
    /// let storage = Storage::new(MemoryBackend::new());
    /// assert_eq!(storage.descriptor().driver, "memory");
    /// ```
    pub fn new(backend: impl StorageBackend) -> Self {
        Self::from_backend(Arc::new(backend))
    }

    /// A backend that others hold too, with the clock of the operating system.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use storage_api::{Storage, StorageBackend};
    /// use storage_memory::MemoryBackend;
    ///
    /// let backend: Arc<dyn StorageBackend> = Arc::new(MemoryBackend::new());
    /// let storage = Storage::from_backend(Arc::clone(&backend));
    /// assert!(Arc::ptr_eq(storage.backend(), &backend));
    /// ```
    pub fn from_backend(backend: Arc<dyn StorageBackend>) -> Self {
        Self {
            backend,
            clock: Arc::new(SystemClock),
        }
    }

    /// The same backend with another clock.
    ///
    /// ```
    /// use storage_api::{ManualClock, Storage, Timestamp};
    /// use storage_memory::MemoryBackend;
    ///
    /// let clock = ManualClock::new(Timestamp::from_secs(7));
    /// let storage = Storage::new(MemoryBackend::new()).with_clock(clock);
    /// assert_eq!(storage.now(), Timestamp::from_secs(7));
    /// ```
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        self.with_shared_clock(Arc::new(clock))
    }

    /// The same backend with a clock that others hold too.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use storage_api::{Storage, SystemClock};
    /// use storage_memory::MemoryBackend;
    ///
    /// let storage = Storage::new(MemoryBackend::new()).with_shared_clock(Arc::new(SystemClock));
    /// ```
    #[must_use]
    pub fn with_shared_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The time now, by the handle's clock.
    ///
    /// ```
    /// # use storage_api::Storage;
    /// # let storage = Storage::new(storage_memory::MemoryBackend::new());
    /// let started_at = storage.now();
    /// ```
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// storage.clock().sleep_until(storage.now()).await;
    /// # }
    /// ```
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The backend itself, for calls that this handle does not make.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::{Count, MetadataStore};
    ///
    /// let page = storage.backend().namespaces(None, Count::ONE).await?;
    /// assert!(page.items.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn backend(&self) -> &Arc<dyn StorageBackend> {
        &self.backend
    }

    /// Whether both are one backend, so that a transaction can span them.
    ///
    /// ```
    /// use storage_api::Storage;
    /// use storage_memory::MemoryBackend;
    ///
    /// let storage = Storage::new(MemoryBackend::new());
    /// assert!(storage.is_same_backend(&storage.clone()));
    /// assert!(!storage.is_same_backend(&Storage::new(MemoryBackend::new())));
    /// ```
    pub fn is_same_backend(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.backend, &other.backend)
    }

    /// What the backend is: driver, version, capabilities, durability.
    ///
    /// ```
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::Durability;
    ///
    /// assert_eq!(storage.descriptor().durability, Durability::None);
    /// ```
    pub fn descriptor(&self) -> Descriptor {
        self.backend.descriptor()
    }

    /// Makes an empty partition; `AlreadyExists` where there is one of that name (clause PART-1).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::{ErrorKind, PartitionConfig};
    ///
    /// storage.create_partition(("emails", 0), PartitionConfig::default()).await?;
    /// let again = storage.create_partition(("emails", 0), PartitionConfig::default()).await;
    /// assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # Ok(()) }
    /// ```
    pub async fn create_partition<P>(&self, id: P, config: PartitionConfig) -> Result<Partition>
    where
        P: TryInto<PartitionId>,
        Error: From<P::Error>,
    {
        let id: PartitionId = accept(id, Operation::CreatePartition, Object::Backend)?;
        let span = debug_span!("create_partition", partition = %id);
        let created = self.backend.create_partition(&id, config);
        created.instrument(span).await?;
        Ok(Partition::new(self.clone(), id))
    }

    /// A handle of a partition, without looking whether there is one: its calls tell.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::ErrorKind;
    ///
    /// let partition = storage.partition(("emails", 7))?;
    /// assert_eq!(partition.stats().await.unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok(()) }
    /// ```
    pub fn partition<P>(&self, id: P) -> Result<Partition>
    where
        P: TryInto<PartitionId>,
        Error: From<P::Error>,
    {
        let id = accept(id, Operation::Partition, Object::Backend)?;
        Ok(Partition::new(self.clone(), id))
    }

    /// A handle of a partition that exists; else `NotFound` (clause PART-2).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::PartitionConfig;
    ///
    /// assert!(storage.open_partition(("emails", 0)).await.is_err());
    /// storage.create_partition(("emails", 0), PartitionConfig::default()).await?;
    /// assert!(storage.open_partition(("emails", 0)).await.is_ok());
    /// # Ok(()) }
    /// ```
    pub async fn open_partition<P>(&self, id: P) -> Result<Partition>
    where
        P: TryInto<PartitionId>,
        Error: From<P::Error>,
    {
        let partition = self.partition(id)?;
        partition.info().await?;
        Ok(partition)
    }

    /// Every partition, by queue name (bytes), then number (clause PART-5).
    ///
    /// One that is made or deleted meanwhile may be there or not.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::PartitionConfig;
    ///
    /// storage.create_partition(("emails", 10), PartitionConfig::default()).await?;
    /// storage.create_partition(("emails", 9), PartitionConfig::default()).await?;
    /// let numbers: Vec<u32> =
    ///     storage.list_partitions().await?.iter().map(|info| info.id.number()).collect();
    /// assert_eq!(numbers, [9, 10]);
    /// # Ok(()) }
    /// ```
    pub async fn list_partitions(&self) -> Result<Vec<PartitionInfo>> {
        let listing = async {
            let mut partitions = Vec::new();
            let mut after = None;
            loop {
                let page = self.backend.list_partitions(after.as_ref(), Count::MAX);
                let page = page.await?;
                partitions.extend(page.items);
                match page.next {
                    None => return Ok(partitions),
                    next => after = next,
                }
            }
        };
        listing.instrument(debug_span!("list_partitions")).await
    }

    /// Removes a partition with all its items (clause PART-4).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::PartitionConfig;
    ///
    /// storage.create_partition(("emails", 0), PartitionConfig::default()).await?;
    /// storage.delete_partition(("emails", 0)).await?;
    /// assert!(storage.list_partitions().await?.is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn delete_partition<P>(&self, id: P) -> Result<()>
    where
        P: TryInto<PartitionId>,
        Error: From<P::Error>,
    {
        let id: PartitionId = accept(id, Operation::DeletePartition, Object::Backend)?;
        let span = debug_span!("delete_partition", partition = %id);
        self.backend.delete_partition(&id).instrument(span).await
    }

    /// A handle of one namespace of the metadata.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// let cursors = storage.metadata("cursors")?;
    /// cursors.put("input", "42").await?;
    /// assert_eq!(cursors.get("input").await?.unwrap().value.as_bytes(), b"42");
    /// # Ok(()) }
    /// ```
    pub fn metadata<N>(&self, namespace: N) -> Result<Metadata>
    where
        N: TryInto<Namespace>,
        Error: From<N::Error>,
    {
        let namespace = accept(namespace, Operation::Get, Object::Backend)?;
        Ok(Metadata::new(self.clone(), namespace))
    }

    /// Every namespace that holds an entry, in byte order; expired entries that were not purged count (clause META-3).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// storage.metadata("cursors")?.put("input", "42").await?;
    /// assert_eq!(storage.namespaces().await?[0].as_str(), "cursors");
    /// # Ok(()) }
    /// ```
    pub async fn namespaces(&self) -> Result<Vec<Namespace>> {
        let listing = async {
            let mut namespaces = Vec::new();
            let mut after = None;
            loop {
                let page = self.backend.namespaces(after.as_ref(), Count::MAX).await?;
                namespaces.extend(page.items);
                match page.next {
                    None => return Ok(namespaces),
                    next => after = next,
                }
            }
        };
        listing.instrument(debug_span!("namespaces")).await
    }

    /// Reclaims every metadata entry that has expired by now, in bounded calls, and says how many (clause META-4).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// storage.metadata("sessions")?.put_until("s1", "", storage.now()).await?;
    /// assert_eq!(storage.purge().await?, 1);
    /// # Ok(()) }
    /// ```
    pub async fn purge(&self) -> Result<u64> {
        let purging = async {
            let now = self.now();
            let mut removed = 0;
            loop {
                let purged = self.backend.purge(now, Count::MAX).await?;
                removed += purged.removed as u64;
                if !purged.more {
                    return Ok(removed);
                }
            }
        };
        purging.instrument(debug_span!("purge")).await
    }

    /// Begins a transaction over the metadata and the partitions of this backend.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::CommitOutcome;
    ///
    /// let mut txn = storage.begin();
    /// if txn.get("users", "ann").await?.is_none() {
    ///     txn.put("users", "ann", "{}")?;
    /// }
    /// assert!(matches!(txn.commit().await?, CommitOutcome::Committed(_)));
    /// # Ok(()) }
    /// ```
    pub fn begin(&self) -> Transaction {
        Transaction::new(self.clone())
    }

    /// Runs `body` in a transaction and commits it; where what it read has changed meanwhile, all of it runs again.
    ///
    /// The body takes the transaction and gives it back with its answer: so what it borrows may come from around it, in any
    /// task. An error of the body ends it with nothing applied. After 64 conflicts in a row it is `Unavailable`, `NotApplied`.
    /// A receipt or id that is not valid is `NotFound`, as trying again cannot help.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::PartitionConfig;
    ///
    /// let emails = &storage.create_partition(("emails", 0), PartitionConfig::default()).await?;
    /// let (count, committed) = storage
    ///     .transact(|mut txn| async move {
    ///         let count = txn.get("users", "count").await?.map_or(0, |value| value.as_bytes()[0]);
    ///         txn.put("users", "count", vec![count + 1])?;
    ///         txn.produce(emails, ["welcome"])?;
    ///         Ok((txn, count + 1))
    ///     })
    ///     .await?;
    /// assert_eq!(count, 1);
    /// assert_eq!(committed.produced[0].stored(), 1);
    /// # Ok(()) }
    /// ```
    pub async fn transact<T, F, B>(&self, mut body: F) -> Result<(T, Committed)>
    where
        F: FnMut(Transaction) -> B,
        B: Future<Output = Result<(Transaction, T)>>,
    {
        for _ in 0..TRANSACT_ATTEMPTS_MAX {
            let (transaction, value) = body(self.begin()).await?;
            if let Some(committed) = transaction.try_commit().await? {
                return Ok((value, committed));
            }
            tokio::task::yield_now().await;
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            Operation::Commit,
            Object::Backend,
            format!(
                "others changed what the transaction had read, {TRANSACT_ATTEMPTS_MAX} times in a row; \
                 let fewer transactions read and write the same keys"
            ),
        )
        .with_retry_hint(RetryHint::SameCall))
    }

    /// Whether the backend works; touches its engine.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// assert!(storage.health().await?.is_writable);
    /// # Ok(()) }
    /// ```
    pub async fn health(&self) -> Result<Health> {
        let span = debug_span!("health");
        self.backend.health().instrument(span).await
    }

    /// The bytes used and allowed (clause USE-1).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// let usage = storage.usage().await?;
    /// assert_eq!(usage.used, usage.parts.iter().map(|(_, bytes)| bytes).sum());
    /// # Ok(()) }
    /// ```
    pub async fn usage(&self) -> Result<Usage> {
        let span = debug_span!("usage");
        self.backend.usage().instrument(span).await
    }

    /// Returns when everything acknowledged before would survive the loss of power; `Unsupported` where the driver cannot
    /// do that (clause DUR-4).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::ErrorKind;
    ///
    /// assert_eq!(storage.sync().await.unwrap_err().kind(), ErrorKind::Unsupported);
    /// # }
    /// ```
    pub async fn sync(&self) -> Result<()> {
        self.backend.sync().instrument(debug_span!("sync")).await
    }

    /// Waits for what is under way, then closes; every later call on any clone is `Closed` (clause CLOSE-1).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::ErrorKind;
    ///
    /// storage.close().await?;
    /// storage.close().await?; // a second one is fine
    /// assert_eq!(storage.health().await.unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok(()) }
    /// ```
    pub async fn close(&self) -> Result<()> {
        self.backend.close().instrument(debug_span!("close")).await
    }

    /// Checks the stored state against itself: each finding is one line, an empty list is a sound store.
    ///
    /// `Unsupported` where the driver has no checker.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// match storage.verify().await {
    ///     Ok(findings) => assert!(findings.is_empty()),
    ///     Err(error) => assert_eq!(error.kind(), storage_api::ErrorKind::Unsupported),
    /// }
    /// # }
    /// ```
    pub async fn verify(&self) -> Result<Vec<String>> {
        let Some(verify) = self.backend.verify() else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                Operation::Verify,
                Object::Backend,
                format!(
                    "the driver {} has no checker",
                    self.backend.descriptor().driver
                ),
            ));
        };
        verify.verify().instrument(debug_span!("verify")).await
    }
}
