//! What is opened, who may enter, how it closes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use std::sync::Arc;

use storage_api::{
    Capabilities, Capability, CommitOutcome, CommitRequest, Descriptor, Durability, Error,
    ErrorKind, Health, Object, Operation, PartitionId, Result, Shortcut, StorageBackend, Usage,
};

use crate::budget::Budget;
use crate::config::MemoryConfig;
use crate::discard::discard;
use crate::home::Home;
use crate::metadata::Metadata;
use crate::numbers::Counter;
use crate::partition::Partition;
use crate::report::Counts;
use crate::sync::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};

/// The contract in memory. It starts empty, and its contents go with it.
///
/// Beside the bytes its [`usage`](StorageBackend::usage) counts `items.ready`, `items.scheduled`, `items.leased` and
/// `items.dead`; `segments.active`, `segments.sealed`, `segments.sparse`, `segments.spare` and `segments.lent`, which
/// [`Segments`](crate::Segments) explains; `dropped.dead`, `dropped.expired` and `dropped.policy`, the items that made
/// room, by what they were; `rejected.max-memory`, `rejected.items-max` and `rejected.bytes-max`, the operations for which
/// a limit left no room; `bytes.lent`, which readers still hold of items that have gone and which are not among those
/// used; and with a limit `bytes.taken`, which counts against it: all of these, and what is promised to items.
///
/// Each operation runs to its end when it is first polled, without waiting for anything but short locks; a future that
/// is dropped has therefore either done all or nothing (clause ATOM-2).
///
/// ```
/// use storage_api::{Capability, Durability, StorageBackend};
/// use storage_memory::MemoryBackend;
///
/// let descriptor = MemoryBackend::new().descriptor();
/// assert_eq!(descriptor.driver, "memory");
/// assert_eq!(descriptor.durability, Durability::None);
/// assert!(descriptor.capabilities.has(Capability::StrictOrder));
/// ```
pub struct MemoryBackend {
    /// Every operation reads this lock to its end, but those that come by a [shortcut](crate::home). Writing it waits for all
    /// of them and keeps new ones out, so that creating, deleting and closing meet no operation half done; who comes by a
    /// shortcut finds the partition gone. `None` once closed.
    opened: RwLock<Option<Opened>>,
}

/// Everything that an open backend holds.
///
/// Locks are taken in this order: `opened`, `reclaimed`, `metadata`, partitions by id. None is held across an await.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) partitions: BTreeMap<PartitionId, Arc<Home>>,
    pub(crate) metadata: RwLock<Metadata>,
    pub(crate) leases: Arc<Counter>,
    pub(crate) versions: Counter,
    /// No deleted partition gave out an id or position above this one, and every new one starts here (clause ITEM-2).
    pub(crate) floor: u64,
    pub(crate) budget: Arc<Budget>,
    /// The partition that gave back last what it did not need.
    pub(crate) reclaimed: Mutex<Option<PartitionId>>,
}

impl MemoryBackend {
    /// An empty backend without a limit.
    pub fn new() -> Self {
        Self::with(MemoryConfig::default())
    }

    /// An empty backend; a limit that holds nothing is `InvalidArgument`.
    ///
    /// ```
    /// use storage_memory::{MemoryBackend, MemoryConfig};
    ///
    /// assert!(MemoryBackend::open(MemoryConfig::default().max_memory(1 << 30)).is_ok());
    /// assert!(MemoryBackend::open(MemoryConfig::default().max_memory(1)).is_err());
    /// ```
    pub fn open(config: MemoryConfig) -> Result<Self> {
        config.check()?;
        Ok(Self::with(config))
    }

    fn with(config: MemoryConfig) -> Self {
        Self {
            opened: RwLock::new(Some(Opened {
                partitions: BTreeMap::new(),
                metadata: RwLock::default(),
                leases: Arc::new(Counter::above(0)),
                versions: Counter::above(0),
                floor: 0,
                budget: Arc::new(Budget::new(config.limit(), config.policy())),
                reclaimed: Mutex::default(),
            })),
        }
    }

    /// What is open, for an operation that leaves the set of partitions as it is.
    pub(crate) fn enter(&self, operation: Operation) -> Result<MappedRwLockReadGuard<'_, Opened>> {
        RwLockReadGuard::try_map(self.opened.read(), Option::as_ref)
            .map_err(|_| Error::closed(operation))
    }

    /// Runs with everything to itself.
    pub(crate) fn alone<T>(
        &self,
        operation: Operation,
        run: impl FnOnce(&mut Opened) -> Result<T>,
    ) -> Result<T> {
        match self.opened.write().as_mut() {
            Some(opened) => run(opened),
            None => Err(Error::closed(operation)),
        }
    }

    /// Looks at a partition.
    pub(crate) fn look<T>(
        &self,
        operation: Operation,
        id: &PartitionId,
        look: impl FnOnce(&Partition) -> Result<T>,
    ) -> Result<T> {
        let opened = self.enter(operation)?;
        look(&opened.partition(operation, id)?.lock())
    }

    /// Changes a partition, and wakes those who watch it where that is due.
    pub(crate) fn change<T>(
        &self,
        operation: Operation,
        id: &PartitionId,
        change: impl FnOnce(&mut Partition, &Opened) -> Result<T>,
    ) -> Result<T> {
        let opened = self.enter(operation)?;
        let mut partition = opened.partition(operation, id)?.lock();
        partition.change(|partition| change(partition, &opened))
    }
}

impl Opened {
    pub(crate) fn partition(&self, operation: Operation, id: &PartitionId) -> Result<&Arc<Home>> {
        self.partitions
            .get(id)
            .ok_or_else(|| Error::partition_not_found(operation, id))
    }

    fn usage(&self) -> Usage {
        let (mut records, mut indexes) = (0, 0);
        let mut counts = Counts::default();
        for partition in self.partitions.values() {
            let mut partition = partition.lock();
            // What an empty partition keeps warm is nobody's: it is given back before it is counted.
            if partition.sums.items() == 0 {
                partition.trim();
                partition.settle();
            }
            records += partition.record_bytes() - partition.log.lent_bytes();
            indexes += partition.own_bytes() + partition.index_bytes();
            counts.add(&partition);
        }
        let usage = Usage::of(vec![
            ("records", records),
            ("indexes", indexes),
            ("metadata", self.metadata.read().charge()),
        ]);
        let usage = usage.with_counts(counts.named(&self.budget));
        match self.budget.limit() {
            Some(limit) => usage.with_allowed(limit),
            None => usage,
        }
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not its contents: they may be a million items, and locked by whoever prints.
        f.debug_struct("MemoryBackend").finish_non_exhaustive()
    }
}

#[async_trait]
impl StorageBackend for MemoryBackend {
    fn descriptor(&self) -> Descriptor {
        Descriptor::new(
            "memory",
            env!("CARGO_PKG_VERSION"),
            Capabilities::of([Capability::StrictOrder]),
            Durability::None,
        )
    }

    async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
        self.enter(Operation::Commit)?.commit(&request)
    }

    async fn health(&self) -> Result<Health> {
        self.enter(Operation::Health).map(|_| Health::good())
    }

    async fn usage(&self) -> Result<Usage> {
        self.enter(Operation::Usage).map(|opened| opened.usage())
    }

    async fn sync(&self) -> Result<()> {
        drop(self.enter(Operation::Sync)?);
        Err(Error::new(
            ErrorKind::Unsupported,
            Operation::Sync,
            Object::Backend,
            "it keeps everything in memory; choose a driver on disk for what must survive",
        ))
    }

    fn shortcut(&self, partition: &PartitionId) -> Option<Arc<dyn Shortcut>> {
        let opened = self.enter(Operation::Partition).ok()?;
        let home = opened.partition(Operation::Partition, partition).ok()?;
        Some(Arc::clone(home) as Arc<dyn Shortcut>)
    }

    async fn close(&self) -> Result<()> {
        let closed = self.opened.write().take();
        if let Some(opened) = closed {
            for (_, partition) in opened.partitions {
                discard(partition.leave());
            }
        }
        Ok(())
    }
}
