//! What every operation of the backend goes through.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use storage_api::{Error, ErrorKind, Object, Operation, PartitionId, PartitionInfo, Result};

use crate::catalog::{BackendRow, decode_partition};
use crate::counters::Pair;
use crate::engine::{KvError, KvResult, OrderedKv};
use crate::gate::Gate;
use crate::janitor::Janitor;
use crate::keys;
use crate::keyspace::Keyspace;
use crate::metadata::MetadataState;
use crate::numbers::Numbers;
use crate::partition::{LockedPartition, Partition, PartitionState, read_counters};
use crate::store::{Level, Rows, Store, damaged};
use crate::sync::{RwLock, awaited};
use crate::work::{Stop, Work};

#[derive(Debug, Default)]
struct Partitions {
    by_id: BTreeMap<PartitionId, Arc<Partition>>,
    /// Whether they were read again after writes had stopped.
    is_read_again: bool,
}

/// The backend without its threads.
///
/// Locks are taken in this order: metadata, catalog, partitions by id, numbers. The first three are fair and async; the
/// last is held for moments.
#[derive(Debug)]
pub(crate) struct Kernel<E> {
    pub(crate) store: Store<E>,
    pub(crate) numbers: Numbers,
    partitions: RwLock<Partitions>,
    /// Who makes or removes partitions writes; who needs the set of them to stand still reads.
    pub(crate) catalog: awaited::RwLock<()>,
    pub(crate) metadata: awaited::RwLock<MetadataState>,
    pub(crate) gate: Gate,
    pub(crate) janitor: Janitor,
}

impl<E: OrderedKv> Kernel<E> {
    /// Reads what is there, and marks the place as being in use: from here on numbers go on at their ceilings if it is not
    /// closed. Where nothing is there, `is_made` tells whether something was.
    pub(crate) fn open(store: Store<E>, is_made: bool) -> KvResult<Self> {
        let key = keys::backend();
        let mut row = match store.get(Keyspace::Catalog, &key)? {
            None if !is_made && store.is_empty()? => BackendRow {
                is_clean: true,
                ..BackendRow::default()
            },
            // It is written before all others: without it numbers would be given again.
            None => return Err(damaged(Keyspace::Catalog, &key, "it is missing")),
            Some(row) => BackendRow::decode(&row)
                .ok_or_else(|| damaged(Keyspace::Catalog, &key, "it does not decode"))?,
        };
        let was_clean = std::mem::replace(&mut row.is_clean, false);
        if !was_clean {
            for number in [&mut row.leases, &mut row.versions] {
                number.last = number.last.max(number.ceiling);
            }
        }
        let mut partitions = BTreeMap::new();
        for (number, info) in read_partitions(&store)? {
            let mut counters = read_counters(&store, number)?;
            if !was_clean {
                let behind = Pair {
                    id: counters.ceiling.id + 1,
                    position: counters.ceiling.position + 1,
                };
                counters.next = counters.next.raised(behind);
            }
            let partition = Partition::new(number, info, PartitionState::new(counters));
            partitions.insert(partition.id.clone(), Arc::new(partition));
        }
        let mut rows = Rows::default();
        rows.put_row(Keyspace::Catalog, &key, &row.encode());
        store.write(rows)?;
        // Whatever was read is on stable storage now too, ceilings above all.
        store.sync_now()?;
        Ok(Self {
            store,
            numbers: Numbers::new(row),
            partitions: RwLock::new(Partitions {
                by_id: partitions,
                is_read_again: false,
            }),
            catalog: awaited::RwLock::default(),
            metadata: awaited::RwLock::default(),
            gate: Gate::default(),
            janitor: Janitor::default(),
        })
    }

    /// Runs an operation on a partition: once, or again when the numbers that it needs may be given.
    ///
    /// Between the first look at the engine and the write nothing is awaited, so that a dropped future has applied wholly
    /// or not at all (clause ATOM-2).
    pub(crate) async fn run<T: Send>(
        &self,
        operation: Operation,
        id: &PartitionId,
        level: Level,
        mut attempt: impl FnMut(&mut Work<'_, E>) -> Result<T, Stop> + Send,
    ) -> Result<T> {
        let _pass = self.gate.enter(operation)?;
        self.admit(operation).await?;
        let (partition, mut state) = self.lock(operation, id).await?;
        let (answer, batch) = loop {
            let (store, numbers) = (&self.store, &self.numbers);
            let mut work = Work::new(store, numbers, operation, &partition, &mut state);
            let sealed = attempt(&mut work).and_then(|answer| Ok((answer, work.seal()?)));
            let unsynced = match sealed {
                Ok((answer, rows)) => {
                    let written = work.write(rows, level);
                    break (
                        answer,
                        written.map_err(|error| store.unknown(operation, error))?,
                    );
                }
                Err(stop) => self.unsynced(operation, id, stop)?,
            };
            drop(work);
            self.synced(operation, unsynced).await?;
        };
        drop(state);
        self.settle(operation, batch, level).await?;
        Ok(answer)
    }

    /// Looks at a partition; nothing is written.
    pub(crate) async fn look<T: Send>(
        &self,
        operation: Operation,
        id: &PartitionId,
        look: impl FnOnce(&mut Work<'_, E>) -> Result<T, Stop> + Send,
    ) -> Result<T> {
        let _pass = self.gate.enter(operation)?;
        let (partition, mut state) = self.lock(operation, id).await?;
        let (store, numbers) = (&self.store, &self.numbers);
        let mut work = Work::new(store, numbers, operation, &partition, &mut state);
        match look(&mut work) {
            Ok(answer) => {
                work.unchanged();
                Ok(answer)
            }
            Err(stop) => Err(self.refusal(operation, id, stop)),
        }
    }

    /// Lets a write in, unless writes are stopped.
    pub(crate) async fn admit(&self, operation: Operation) -> Result<()> {
        let admitted = self.store.admit().await;
        admitted.map_err(|error| self.store.error(operation, error))
    }

    /// Waits for a batch before anything was applied.
    pub(crate) async fn synced(&self, operation: Operation, batch: u64) -> Result<()> {
        let synced = self.store.synced(batch).await;
        synced.map_err(|error| self.store.error(operation, error))
    }

    /// Waits until what was applied is as durable as `Ok` says.
    pub(crate) async fn settle(
        &self,
        operation: Operation,
        batch: u64,
        level: Level,
    ) -> Result<()> {
        let settled = self.store.settle(batch, level).await;
        settled.map_err(|error| self.store.unknown(operation, error))
    }

    /// The batch after whose sync an operation begins anew; or the reason why it does not.
    pub(crate) fn unsynced(
        &self,
        operation: Operation,
        object: impl Into<Object>,
        stop: Stop,
    ) -> Result<u64> {
        match stop {
            Stop::Unsynced(batch) => Ok(batch),
            stop => Err(self.refusal(operation, object, stop)),
        }
    }

    pub(crate) fn refusal(
        &self,
        operation: Operation,
        object: impl Into<Object>,
        stop: Stop,
    ) -> Error {
        match stop {
            Stop::Refused(error) => error,
            Stop::Engine(error) => self.store.error(operation, error),
            Stop::Unsynced(_) | Stop::UsedUp => Error::new(
                ErrorKind::CapacityExceeded,
                operation,
                object,
                "its numbers are used up; move its items to a new place",
            ),
        }
    }

    /// The error of the engine in an operation that changed nothing.
    pub(crate) fn failed(&self, operation: Operation) -> impl Fn(KvError) -> Error + '_ {
        move |error| self.store.error(operation, error)
    }

    pub(crate) fn find(
        &self,
        operation: Operation,
        id: &PartitionId,
    ) -> Result<Option<Arc<Partition>>> {
        self.read_again().map_err(self.failed(operation))?;
        Ok(self.partitions.read().by_id.get(id).cloned())
    }

    /// A partition and its lock (clause PART-2).
    pub(crate) async fn lock(
        &self,
        operation: Operation,
        id: &PartitionId,
    ) -> Result<(Arc<Partition>, LockedPartition)> {
        loop {
            let found = self.find(operation, id)?;
            let partition = found.ok_or_else(|| Error::partition_not_found(operation, id))?;
            let locked = partition.lock(&self.store).await;
            // It went while this call waited; there may be another of the name by now.
            if let Some(state) = locked.map_err(self.failed(operation))? {
                return Ok((partition, state));
            }
        }
    }

    pub(crate) fn add(&self, partition: Partition) {
        let mut partitions = self.partitions.write();
        let id = partition.id.clone();
        partitions.by_id.insert(id, Arc::new(partition));
    }

    pub(crate) fn forget(&self, id: &PartitionId) {
        self.partitions.write().by_id.remove(id);
    }

    /// The partitions behind a name, in order; one more than `count`, if there are so many.
    pub(crate) fn partitions_behind(
        &self,
        after: Option<&PartitionId>,
        count: usize,
    ) -> KvResult<Vec<Arc<PartitionInfo>>> {
        self.read_again()?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let partitions = self.partitions.read();
        let behind = partitions
            .by_id
            .range::<PartitionId, _>((from, Bound::Unbounded));
        let infos = behind.map(|(_, partition)| partition.info());
        Ok(infos.take(count + 1).collect())
    }

    pub(crate) fn all_partitions(&self) -> KvResult<Vec<Arc<Partition>>> {
        self.read_again()?;
        Ok(self.partitions.read().by_id.values().cloned().collect())
    }

    /// Once writes have stopped, the partitions are those that the engine has: some may have been made, changed or deleted
    /// in batches that never reached it.
    fn read_again(&self) -> KvResult<()> {
        if self.store.latched().is_none() || self.partitions.read().is_read_again {
            return Ok(());
        }
        let mut partitions = self.partitions.write();
        let mut before = std::mem::take(&mut partitions.by_id);
        for (number, info) in read_partitions(&self.store)? {
            let known = before.remove(&info.id);
            let partition = match known.filter(|known| known.number == number) {
                Some(known) => {
                    known.set_info(info);
                    known
                }
                None => {
                    let counters = read_counters(&self.store, number)?;
                    Arc::new(Partition::new(number, info, PartitionState::new(counters)))
                }
            };
            let id = partition.id.clone();
            partitions.by_id.insert(id, partition);
        }
        partitions.is_read_again = true;
        Ok(())
    }

    /// Writes where the numbers stand, and lets go of everything. Nobody is inside any more.
    pub(crate) fn shut(&self) -> KvResult<()> {
        let saved = self.save();
        // Dropped with their hubs, which wakes everybody who watches.
        self.partitions.write().by_id.clear();
        let closed = self.store.close();
        saved.and(closed)
    }

    /// Notes that the place was closed properly. After a failure nothing is written any more, and nothing has to be: then
    /// numbers go on at their ceilings.
    fn save(&self) -> KvResult<()> {
        if self.store.latched().is_some() {
            return Ok(());
        }
        let mut rows = Rows::default();
        for partition in self.all_partitions()? {
            let Some(state) = partition.try_lock() else {
                continue;
            };
            let key = keys::counters(partition.number);
            rows.put_row(Keyspace::Catalog, &key, &state.counters.encode());
        }
        {
            let mut numbers = self.numbers.lock();
            numbers.row_mut().is_clean = true;
            numbers.write(&self.store, rows)?;
        }
        self.store.sync_now()
    }
}

/// Every partition with its number.
fn read_partitions<E: OrderedKv>(store: &Store<E>) -> KvResult<Vec<(u32, PartitionInfo)>> {
    let mut partitions = Vec::new();
    let (from, to) = keys::partitions();
    let span = crate::engine::Span::new(&from, &to);
    let forward = storage_api::Direction::Forward;
    store.scan(Keyspace::Catalog, span, forward, |key, row| {
        let partition = keys::partition_of(key).zip(decode_partition(row));
        partitions
            .push(partition.ok_or_else(|| damaged(Keyspace::Catalog, key, "it does not decode"))?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(partitions)
}
