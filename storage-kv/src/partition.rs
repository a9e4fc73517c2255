//! A partition in memory: its counters behind a fair lock.

use std::sync::Arc;

use storage_api::{
    Error, ErrorKind, Mode, Operation, PartitionConfig, PartitionId, PartitionInfo, SignalHub,
};

use crate::counters::{Counters, Pair};
use crate::engine::{KvResult, OrderedKv};
use crate::keys;
use crate::keyspace::Keyspace;
use crate::store::{Store, damaged};
use crate::sync::RwLock;
use crate::sync::awaited::{Mutex, OwnedMutexGuard};

/// One partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) id: PartitionId,
    /// What its rows are found by. Never reused.
    pub(crate) number: u32,
    info: RwLock<Arc<PartitionInfo>>,
    /// Fair: who asks first is served first. Nobody awaits anything between reading the engine and writing to it.
    state: Arc<Mutex<PartitionState>>,
    /// Fired under the lock. Dropped with the partition, which wakes everybody at every wait.
    pub(crate) hub: SignalHub,
}

/// What changes with every operation.
#[derive(Debug)]
pub(crate) struct PartitionState {
    pub(crate) counters: Counters,
    /// Up to where ids and positions may be given: what of the counters' ceiling is on stable storage.
    pub(crate) durable: Pair,
    /// The batch that wrote the ceiling.
    pub(crate) ceiling_batch: u64,
    /// The batch that changed the partition last.
    pub(crate) batch: u64,
    pub(crate) is_deleted: bool,
    /// Whether the counters were read again after writes had stopped.
    is_read_again: bool,
}

/// The state while nobody else changes it.
pub(crate) type LockedPartition = OwnedMutexGuard<PartitionState>;

impl Partition {
    pub(crate) fn new(number: u32, info: PartitionInfo, state: PartitionState) -> Self {
        Self {
            id: info.id.clone(),
            number,
            info: RwLock::new(Arc::new(info)),
            state: Arc::new(Mutex::new(state)),
            hub: SignalHub::new(),
        }
    }

    pub(crate) fn info(&self) -> Arc<PartitionInfo> {
        self.info.read().clone()
    }

    /// Replaces the configuration; under the lock.
    pub(crate) fn set_info(&self, info: PartitionInfo) {
        *self.info.write() = Arc::new(info);
    }

    /// The lock; the counters are those of the engine. `None`: there is no such partition any more.
    pub(crate) async fn lock<E: OrderedKv>(
        &self,
        store: &Store<E>,
    ) -> KvResult<Option<LockedPartition>> {
        let mut state = self.state.clone().lock_owned().await;
        if state.is_deleted {
            return Ok(None);
        }
        // What was in memory then may never have reached the engine.
        if store.latched().is_some() && !state.is_read_again {
            let Some(counters) = find_counters(store, self.number)? else {
                return Ok(None);
            };
            state.counters = counters;
            state.is_read_again = true;
        }
        Ok(Some(state))
    }

    /// The lock, if nobody has it: when closing, where nobody can.
    pub(crate) fn try_lock(&self) -> Option<LockedPartition> {
        self.state.clone().try_lock_owned().ok()
    }
}

impl PartitionState {
    /// The state of counters that are on stable storage.
    pub(crate) fn new(counters: Counters) -> Self {
        Self {
            durable: counters.ceiling,
            counters,
            ceiling_batch: 0,
            batch: 0,
            is_deleted: false,
            is_read_again: false,
        }
    }
}

/// The counters of a partition that is there.
pub(crate) fn read_counters<E: OrderedKv>(store: &Store<E>, number: u32) -> KvResult<Counters> {
    let missing = || damaged(Keyspace::Catalog, &keys::counters(number), "it is missing");
    find_counters(store, number)?.ok_or_else(missing)
}

fn find_counters<E: OrderedKv>(store: &Store<E>, number: u32) -> KvResult<Option<Counters>> {
    let key = keys::counters(number);
    let Some(row) = store.get(Keyspace::Catalog, &key)? else {
        return Ok(None);
    };
    let counters = Counters::decode(&row);
    let broken = || damaged(Keyspace::Catalog, &key, "it does not decode");
    counters.ok_or_else(broken).map(Some)
}

/// Refuses what a mode excludes (clause PART-8).
pub(crate) fn check_mode(
    operation: Operation,
    id: &PartitionId,
    config: &PartitionConfig,
    excluding: &[Mode],
) -> Result<(), Error> {
    let mode = config.mode();
    if !excluding.contains(&mode) {
        return Ok(());
    }
    let word = match mode {
        Mode::Open => "open",
        Mode::Draining => "draining",
        Mode::Frozen => "frozen",
    };
    Err(Error::new(
        ErrorKind::Unavailable,
        operation,
        id,
        format!("its mode is {word}; set it to open, then call again"),
    ))
}

/// The modes in which nothing is produced.
pub(crate) const CLOSED_TO_PRODUCE: &[Mode] = &[Mode::Draining, Mode::Frozen];
/// The modes in which nothing is leased or maintained.
pub(crate) const CLOSED_TO_LEASE: &[Mode] = &[Mode::Frozen];
