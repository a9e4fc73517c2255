//! The handle of one queue.

mod delivery;
mod finish;
mod inspect;
mod lease;
mod produce;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use storage_api::{Error, ErrorKind, Object, Operation, Partition, QueueName, Result, Storage};

use crate::config::QueueConfig;
use crate::transaction::QueueTransaction;

pub use delivery::{Deliveries, Delivery, QueueReceipt, QueueRetry};
pub use inspect::{QueueItem, QueueItemId, QueuePages};
pub use produce::QueueProduced;

pub(crate) use lease::any_fired;
pub(crate) use produce::Routed;

/// A queue: items spread over partitions, by the settings of its definition. Cheap to clone; clones are one.
///
/// Order holds within a partition. A queue of one partition is a queue in strict order.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
/// use std::time::Duration;
/// use storage_api::{LeaseOptions, Storage};
/// use storage_memory::MemoryBackend;
/// use storage_queue::{QueueConfig, Queues, Storages};
///
/// let queues = Queues::new(Storages::single(Storage::new(MemoryBackend::new())));
/// let emails = queues.create("emails", QueueConfig::default().with_partitions(2)?).await?;
/// emails.produce(["hello"]).await?;
///
/// let leased = emails.lease(LeaseOptions::new(10, Duration::from_secs(30))).await?;
/// for delivery in &leased {
///     assert_eq!(delivery.payload(), b"hello");
/// }
/// emails.complete(&leased).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    name: QueueName,
    config: QueueConfig,
    metadata: Storage,
    partitions: Vec<Partition>,
    placement: Vec<String>,
    /// The partitions in the backend of the metadata, by number: transactions can span those.
    beside_metadata: Vec<u32>,
    produce_turn: AtomicU32,
    lease_turn: AtomicU32,
}

impl Queue {
    pub(crate) fn new(
        name: QueueName,
        config: QueueConfig,
        metadata: Storage,
        partitions: Vec<(Partition, String)>,
    ) -> Self {
        let (partitions, placement): (Vec<_>, Vec<_>) = partitions.into_iter().unzip();
        let beside = (0..)
            .zip(&partitions)
            .filter(|(_, partition): &(u32, &Partition)| {
                partition.storage().is_same_backend(&metadata)
            });
        let beside_metadata = beside.map(|(number, _)| number).collect();
        Self {
            inner: Arc::new(Inner {
                name,
                config,
                metadata,
                partitions,
                placement,
                beside_metadata,
                produce_turn: AtomicU32::new(0),
                lease_turn: AtomicU32::new(0),
            }),
        }
    }

    /// The name.
    pub fn name(&self) -> &QueueName {
        &self.inner.name
    }

    /// The settings, as they were when the queue was opened.
    pub fn config(&self) -> &QueueConfig {
        &self.inner.config
    }

    /// The storage of the queue's definition, whose clock is the queue's.
    pub fn metadata(&self) -> &Storage {
        &self.inner.metadata
    }

    /// The partitions, by number, for what only a partition can do.
    pub fn partitions(&self) -> &[Partition] {
        &self.inner.partitions
    }

    /// The name of the partition storage of each partition, by number.
    pub fn placement(&self) -> &[String] {
        &self.inner.placement
    }

    /// The partition of that number; one that the queue does not have is `InvalidArgument`.
    pub fn partition(&self, number: u32) -> Result<&Partition> {
        self.inner.partitions.get(number as usize).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                Operation::Partition,
                &self.inner.name,
                format!(
                    "it has no partition {number}, only {}; open the queue again if it has grown",
                    self.inner.partitions.len()
                ),
            )
        })
    }

    /// Whether transactions can span the metadata and every partition: whether all are in one backend.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// assert!(queues.create("emails", QueueConfig::default()).await?.is_transactional());
    /// # Ok(()) }
    /// ```
    pub fn is_transactional(&self) -> bool {
        self.inner.beside_metadata.len() == self.inner.partitions.len()
    }

    /// Begins a transaction over the metadata and the partitions that are in its backend.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// let emails = queues.create("emails", QueueConfig::default()).await?;
    /// let mut txn = emails.begin();
    /// txn.put("users", "ann", "{}")?;
    /// txn.produce(["welcome, ann"])?;
    /// txn.commit().await?;
    /// # Ok(()) }
    /// ```
    pub fn begin(&self) -> QueueTransaction {
        QueueTransaction::new(self.clone())
    }

    /// How many partitions there are.
    pub(crate) fn width(&self) -> u32 {
        self.inner.config.partitions()
    }

    /// The partition whose turn it is to be produced into.
    pub(crate) fn next_to_produce(&self) -> u32 {
        self.inner.produce_turn.fetch_add(1, Ordering::Relaxed) % self.width()
    }

    /// As [`next_to_produce`](Self::next_to_produce), of those that a transaction can reach.
    pub(crate) fn next_beside_metadata(&self) -> Result<u32> {
        let beside = &self.inner.beside_metadata;
        let turn = self.inner.produce_turn.fetch_add(1, Ordering::Relaxed) as usize;
        let count = beside.len().max(1);
        beside.get(turn % count).copied().ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                Operation::Commit,
                &self.inner.name,
                "none of its partitions is in the backend of the metadata, and no commit spans two backends; \
                 give both one storage",
            )
        })
    }

    /// The partition at which a lease begins to look.
    fn next_to_lease(&self) -> usize {
        (self.inner.lease_turn.fetch_add(1, Ordering::Relaxed) % self.width()) as usize
    }

    fn object(&self) -> Object {
        Object::from(&self.inner.name)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("name", &self.inner.name)
            .field("placement", &self.inner.placement)
            .finish_non_exhaustive()
    }
}
