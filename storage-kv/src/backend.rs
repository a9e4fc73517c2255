//! The backend: the driver traits over the kernel.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use storage_api::{
    Capabilities, Capability, Cleared, CommitOutcome, CommitRequest, CompleteOutcome, Count,
    Cursor, DeleteOutcome, Descriptor, Durability, Error, ErrorKind, ExtendOutcome, Floors, Health,
    Holder, ItemEntry, ItemIds, ItemStore, Key, LeaseRequest, LeasedBatch, ListRequest, Maintained,
    MetadataEntry, MetadataStore, Namespace, Object, Operation, Page, PartitionConfig, PartitionId,
    PartitionInfo, PartitionStats, PartitionStore, Produced, Purged, Receipts, ReleaseOutcome,
    ReleasedHolder, RestoreBatch, Result, Retries, RetryOutcome, ReviveOutcome, ScanRequest,
    SealedBatch, Signal, States, StorageBackend, Timestamp, UpdateOutcome, Usage, Verify, Version,
    async_trait,
};

use crate::catalog::encode_partition;
use crate::counters::{Counters, Pair};
use crate::engine::OrderedKv;
use crate::kernel::Kernel;
use crate::keys;
use crate::keyspace::Keyspace;
use crate::metadata;
use crate::numbers::Number;
use crate::partition::{Partition, PartitionState};
use crate::place::Place;
use crate::store::{DiskSpace, Level, Rows, Store};
use crate::sync::Mutex;
use crate::sync::awaited::watch;
use crate::sync::thread::{self, JoinHandle};

const NOT_DURABLE: &str = "the engine does not see to it that anything survives the loss of power; choose process-crash, or another driver";

/// How a backend over an engine presents itself and what it promises.
#[derive(Debug)]
pub struct KvOptions {
    driver: Cow<'static, str>,
    version: Cow<'static, str>,
    durability: Durability,
    place: Option<Place>,
    disk_reserve: u64,
    is_inline: bool,
}

impl KvOptions {
    /// A driver of that name and version, whose `Ok` means that durability.
    pub fn new(
        driver: impl Into<Cow<'static, str>>,
        version: impl Into<Cow<'static, str>>,
        durability: Durability,
    ) -> Self {
        Self {
            driver: driver.into(),
            version: version.into(),
            durability,
            place: None,
            disk_reserve: 0,
            is_inline: false,
        }
    }

    /// Holds that place until the backend is closed, and refuses what makes the data grow while fewer than that many bytes
    /// are free on its disk (clause LIMIT-2).
    #[must_use]
    pub fn at(mut self, place: Place, disk_reserve: u64) -> Self {
        self.place = Some(place);
        self.disk_reserve = disk_reserve;
        self
    }

    /// Does everything in the threads that call, syncs and chores included: for simulations, in which nothing may depend on
    /// the moods of a scheduler.
    #[must_use]
    pub fn inline(mut self) -> Self {
        self.is_inline = true;
        self
    }
}

/// The storage contract over an engine.
///
/// Dropping it without closing it blocks until what was acknowledged is on stable storage.
pub struct KvBackend<E: OrderedKv> {
    kernel: Arc<Kernel<E>>,
    descriptor: Descriptor,
    held: Arc<Held>,
    /// Set when closing has come to its end: to why it failed, if it did.
    closed: watch::Sender<Option<Option<String>>>,
}

/// What is let go of when the backend closes.
#[derive(Debug, Default)]
struct Held {
    is_shut: Mutex<bool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    place: Mutex<Option<Place>>,
}

impl<E: OrderedKv> KvBackend<E> {
    /// The backend over an engine that nobody else writes to. Reads one row for each partition, and syncs once; blocks
    /// for as long.
    ///
    /// `Corrupted` where a row is damaged (clause OPEN-3); `Unsupported` where more durability is asked for than the engine
    /// has (clause DUR-1).
    pub fn open(engine: E, options: KvOptions) -> Result<Self> {
        let KvOptions {
            driver,
            version,
            durability,
            mut place,
            disk_reserve,
            is_inline,
        } = options;
        let name = place
            .as_ref()
            .map(|place| place.path().display().to_string());
        let survives_power_loss = engine.traits().survives_power_loss;
        let capabilities = [
            Capability::StrictOrder,
            Capability::Reopen,
            Capability::Verify,
        ];
        let sync = survives_power_loss.then_some(Capability::Sync);
        let capabilities = Capabilities::of(capabilities.into_iter().chain(sync));
        let mut descriptor = Descriptor::new(driver, version, capabilities, durability);
        if let Some(name) = &name {
            descriptor = descriptor.at(name.clone());
        }
        let name = name.unwrap_or_else(|| format!("the {} engine", descriptor.driver));
        if durability == Durability::PowerLoss && !survives_power_loss {
            let (kind, place) = (ErrorKind::Unsupported, Object::Place(name));
            return Err(Error::new(kind, Operation::Open, place, NOT_DURABLE));
        }
        let space = place.as_ref().map(|place| {
            let path = place.path().to_owned();
            DiskSpace {
                free_bytes: Box::new(move || crate::place::free_bytes(&path)),
                reserve: disk_reserve,
            }
        });

        let store = Store::new(engine, name.clone(), durability, space, is_inline);
        let is_made = place.as_ref().is_some_and(Place::is_made);
        let kernel = Kernel::open(store, is_made).map_err(|error| {
            let kind = match error.kind() {
                crate::engine::KvErrorKind::Corrupted => ErrorKind::Corrupted,
                _ => ErrorKind::Unavailable,
            };
            let reason = error.to_string();
            Error::new(kind, Operation::Open, Object::Place(name), reason).with_source(error)
        })?;
        // The first row is on stable storage, and nobody was told anything yet.
        place.as_mut().map_or(Ok(()), Place::note_made)?;
        let kernel = Arc::new(kernel);
        let held = Arc::new(Held::default());
        *held.place.lock() = place;
        if is_inline {
            collect_inline(&kernel)?;
        } else {
            held.start(&kernel)?;
        }
        Ok(Self {
            kernel,
            descriptor,
            held,
            closed: watch::Sender::new(None),
        })
    }

    #[cfg(test)]
    pub(crate) fn kernel(&self) -> &Kernel<E> {
        &self.kernel
    }

    /// Closes on a thread, as it blocks; and to its end, even if nobody waits for it any more.
    fn start_closing(&self) {
        let (kernel, held) = (Arc::clone(&self.kernel), Arc::clone(&self.held));
        let closed = self.closed.clone();
        let close = move || {
            kernel.gate.wait_emptied();
            let shut = held.shut(&kernel);
            // The engine goes before the word does, so that who hears it can open the place.
            drop((kernel, held));
            closed.send_replace(Some(shut.err().map(|error| error.to_string())));
        };
        let thread = thread::Builder::new().name("kv-close".to_owned());
        if let Err(error) = thread.spawn(close) {
            // Dropping the backend closes it then.
            let reason = format!("no thread could be started: {error}");
            self.closed.send_replace(Some(Some(reason)));
        }
    }

    async fn get_version(&self, operation: Operation) -> Result<Version> {
        loop {
            let kernel = &self.kernel;
            let taken = kernel.numbers.take(&kernel.store, Number::Version, 1);
            match taken {
                Ok(version) => return Version::new(version),
                Err(stop) => {
                    let unsynced = kernel.unsynced(operation, Object::Backend, stop)?;
                    kernel.synced(operation, unsynced).await?;
                }
            }
        }
    }
}

fn collect_inline<E: OrderedKv>(kernel: &Kernel<E>) -> Result<()> {
    let collected = kernel.collect_garbage();
    collected.map_err(kernel.failed(Operation::Open))?;
    Ok(())
}

impl Held {
    fn start<E: OrderedKv>(&self, kernel: &Arc<Kernel<E>>) -> Result<()> {
        let syncing = Arc::clone(kernel);
        self.spawn("kv-sync", move || syncing.store.run_syncs())?;
        let cleaning = Arc::clone(kernel);
        // Whatever a crash left behind is collected first.
        kernel.janitor.call();
        let spawned = self.spawn("kv-chores", move || cleaning.run_chores());
        if spawned.is_err() {
            kernel.store.end();
        }
        spawned
    }

    fn spawn(&self, name: &str, life: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn(life).map_err(|error| {
            let reason = format!("no thread could be started: {error}");
            Error::new(
                ErrorKind::Unavailable,
                Operation::Open,
                Object::Backend,
                reason,
            )
            .with_source(error)
        })?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Ends the threads, then lets go of engine and place, once. Nobody is inside any more. Blocks.
    fn shut<E: OrderedKv>(&self, kernel: &Kernel<E>) -> crate::engine::KvResult<()> {
        let mut is_shut = self.is_shut.lock();
        if std::mem::replace(&mut *is_shut, true) {
            return Ok(());
        }
        kernel.janitor.end();
        kernel.store.end();
        for thread in self.threads.lock().drain(..) {
            // A thread that panicked has nothing left to say.
            let _ = thread.join();
        }
        let shut = kernel.shut();
        *self.place.lock() = None;
        shut
    }
}

impl<E: OrderedKv> Drop for KvBackend<E> {
    fn drop(&mut self) {
        let is_first = self.kernel.gate.close();
        if is_first || self.kernel.store.is_inline() || self.closed.borrow().is_some() {
            // Nobody is left who could be told; and if it was done before, this does nothing.
            let _ = self.held.shut(&self.kernel);
        }
    }
}

impl<E: OrderedKv> fmt::Debug for KvBackend<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvBackend")
            .field("descriptor", &self.descriptor)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<E: OrderedKv> PartitionStore for KvBackend<E> {
    async fn create_partition(
        &self,
        id: &PartitionId,
        config: PartitionConfig,
    ) -> Result<PartitionInfo> {
        let operation = Operation::CreatePartition;
        let kernel = &self.kernel;
        let _pass = kernel.gate.enter(operation)?;
        kernel.admit(operation).await?;
        let catalog = kernel.catalog.write().await;
        let refused = |kind, reason: &str| Err(Error::new(kind, operation, id, reason));
        if kernel.find(operation, id)?.is_some() {
            return refused(
                ErrorKind::AlreadyExists,
                "there is a partition of that name; use it, or delete it first",
            );
        }
        if let Some(shortage) = kernel.store.shortage() {
            return refused(ErrorKind::CapacityExceeded, &shortage);
        }
        let version = self.get_version(operation).await?;
        let info = PartitionInfo {
            id: id.clone(),
            created: version,
            revision: version,
            config,
        };
        let batch = {
            let mut numbers = kernel.numbers.lock();
            let row = numbers.row_mut();
            let number = row.next_partition;
            let Some(next) = number.checked_add(1) else {
                return refused(
                    ErrorKind::CapacityExceeded,
                    "the numbers of partitions are used up; move everything to a new place",
                );
            };
            row.next_partition = next;
            let counters = Counters::new(row.floor);
            let mut rows = Rows::default();
            let key = keys::partition(number);
            rows.put_row(Keyspace::Catalog, &key, &encode_partition(&info));
            let key = keys::counters(number);
            rows.put_row(Keyspace::Catalog, &key, &counters.encode());
            let written = numbers.write(&kernel.store, rows);
            let batch = written.map_err(|error| kernel.store.unknown(operation, error))?;
            let mut state = PartitionState::new(counters);
            // Its numbers may be given once they are synced.
            (state.durable, state.ceiling_batch) = (Pair::both(0), batch);
            state.batch = batch;
            kernel.add(Partition::new(number, info.clone(), state));
            batch
        };
        drop(catalog);
        if self.descriptor.durability == Durability::None {
            kernel.store.want_sync();
        }
        kernel.settle(operation, batch, Level::Full).await?;
        Ok(info)
    }

    async fn update_partition(
        &self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome> {
        let operation = Operation::UpdatePartition;
        self.kernel
            .run(operation, id, Level::Full, |work| {
                let found = work.info.revision;
                if expected.is_some_and(|expected| expected != found) {
                    return Ok(UpdateOutcome::Conflict(found));
                }
                let revision = work.numbers.take(work.store, Number::Version, 1)?;
                let revision = Version::new(revision)?;
                work.set_info(PartitionInfo {
                    revision,
                    config: config.clone(),
                    ..(*work.info).clone()
                });
                Ok(UpdateOutcome::Updated(revision))
            })
            .await
    }

    async fn partition(&self, id: &PartitionId) -> Result<PartitionInfo> {
        self.kernel
            .look(Operation::Partition, id, |work| Ok((*work.info).clone()))
            .await
    }

    async fn list_partitions(
        &self,
        after: Option<&Cursor>,
        partitions_max: Count,
    ) -> Result<Page<PartitionInfo>> {
        let operation = Operation::ListPartitions;
        let _pass = self.kernel.gate.enter(operation)?;
        let after = after.map(Cursor::partition_point).transpose();
        let after = after.map_err(|error| error.during(operation, Object::Backend))?;
        let count = partitions_max.get();
        let found = self.kernel.partitions_behind(after.as_ref(), count);
        let found = found.map_err(self.kernel.failed(operation))?;
        let is_cut = found.len() > count;
        let items: Vec<PartitionInfo> = found
            .iter()
            .take(count)
            .map(|info| (**info).clone())
            .collect();
        let last = items.last().filter(|_| is_cut);
        let next = last.map(|info| Cursor::after_partition(&info.id));
        Ok(Page { items, next })
    }

    async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
        let operation = Operation::DeletePartition;
        let kernel = &self.kernel;
        let _pass = kernel.gate.enter(operation)?;
        kernel.admit(operation).await?;
        let catalog = kernel.catalog.write().await;
        let (partition, mut state) = kernel.lock(operation, id).await?;
        let batch = {
            let mut numbers = kernel.numbers.lock();
            let next = state.counters.next;
            let row = numbers.row_mut();
            // What it gave is never given again, although its name is forgotten (clause ITEM-2).
            row.floor = row.floor.max(next.id.max(next.position) - 1);
            let mut rows = Rows::default();
            rows.delete(Keyspace::Catalog, &keys::partition(partition.number));
            rows.delete(Keyspace::Catalog, &keys::counters(partition.number));
            rows.put(Keyspace::Garbage, &keys::prefix(partition.number), &[]);
            let written = numbers.write(&kernel.store, rows);
            written.map_err(|error| kernel.store.unknown(operation, error))?
        };
        state.is_deleted = true;
        kernel.forget(id);
        partition.hub.fire();
        drop(state);
        drop(partition);
        drop(catalog);
        if kernel.store.is_inline() {
            // What is not collected now is collected by the next opening.
            let _ = kernel.collect_garbage();
        } else {
            kernel.janitor.call();
        }
        kernel.settle(operation, batch, Level::Full).await
    }

    async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
        self.kernel
            .look(Operation::Stats, id, |work| Ok(work.stats()?))
            .await
    }

    async fn maintain(
        &self,
        id: &PartitionId,
        now: Timestamp,
        items_max: Count,
    ) -> Result<Maintained> {
        self.kernel
            .run(Operation::Maintain, id, Level::Crash, |work| {
                work.maintain(now, items_max)
            })
            .await
    }

    async fn watch(&self, id: &PartitionId) -> Result<Signal> {
        let _pass = self.kernel.gate.enter(Operation::Watch)?;
        let (partition, _state) = self.kernel.lock(Operation::Watch, id).await?;
        Ok(partition.hub.watch())
    }
}

#[async_trait]
impl<E: OrderedKv> ItemStore for KvBackend<E> {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        self.kernel
            .run(Operation::Produce, partition, Level::Full, |work| {
                work.produce(&batch)
            })
            .await
    }

    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        self.kernel
            .run(Operation::Lease, partition, Level::Crash, |work| {
                work.lease(&request)
            })
            .await
    }

    async fn extend(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
        deadline: Timestamp,
    ) -> Result<Vec<ExtendOutcome>> {
        self.kernel
            .run(Operation::Extend, partition, Level::Full, |work| {
                work.extend(&receipts, deadline)
            })
            .await
    }

    async fn release(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<ReleaseOutcome>> {
        self.kernel
            .run(Operation::Release, partition, Level::Full, |work| {
                work.release(&receipts)
            })
            .await
    }

    async fn release_holder(
        &self,
        partition: &PartitionId,
        holder: Holder,
        items_max: Count,
    ) -> Result<ReleasedHolder> {
        self.kernel
            .run(Operation::ReleaseHolder, partition, Level::Full, |work| {
                work.release_holder(holder, items_max)
            })
            .await
    }

    async fn complete(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<CompleteOutcome>> {
        self.kernel
            .run(Operation::Complete, partition, Level::Full, |work| {
                work.complete(&receipts)
            })
            .await
    }

    async fn retry(
        &self,
        partition: &PartitionId,
        now: Timestamp,
        retries: Retries,
    ) -> Result<Vec<RetryOutcome>> {
        self.kernel
            .run(Operation::Retry, partition, Level::Full, |work| {
                work.retry(now, &retries)
            })
            .await
    }

    async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        self.kernel
            .run(Operation::Revive, partition, Level::Full, |work| {
                work.revive(&ids)
            })
            .await
    }

    async fn get_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
        payloads: bool,
    ) -> Result<Vec<Option<ItemEntry>>> {
        self.kernel
            .look(Operation::GetItems, partition, |work| {
                work.get_items(&ids, payloads)
            })
            .await
    }

    async fn list_items(
        &self,
        partition: &PartitionId,
        request: ListRequest,
    ) -> Result<Page<ItemEntry>> {
        self.kernel
            .look(Operation::ListItems, partition, |work| {
                work.list_items(&request)
            })
            .await
    }

    async fn delete_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
    ) -> Result<Vec<DeleteOutcome>> {
        self.kernel
            .run(Operation::DeleteItems, partition, Level::Full, |work| {
                work.delete_items(&ids)
            })
            .await
    }

    async fn clear(
        &self,
        partition: &PartitionId,
        states: States,
        items_max: Count,
    ) -> Result<Cleared> {
        self.kernel
            .run(Operation::Clear, partition, Level::Full, |work| {
                work.clear(states, items_max)
            })
            .await
    }

    async fn restore(
        &self,
        partition: &PartitionId,
        items: RestoreBatch,
        floors: Floors,
    ) -> Result<()> {
        self.kernel
            .run(Operation::Restore, partition, Level::Full, |work| {
                work.restore(&items, &floors)
            })
            .await
    }
}

#[async_trait]
impl<E: OrderedKv> MetadataStore for KvBackend<E> {
    async fn get(
        &self,
        now: Timestamp,
        namespace: &Namespace,
        key: &Key,
    ) -> Result<Option<MetadataEntry>> {
        let kernel = &self.kernel;
        let _pass = kernel.gate.enter(Operation::Get)?;
        let _metadata = kernel.metadata.read().await;
        let found = metadata::get(&kernel.store, now, namespace, key);
        found.map_err(kernel.failed(Operation::Get))
    }

    async fn scan(&self, now: Timestamp, request: ScanRequest) -> Result<Page<MetadataEntry>> {
        let kernel = &self.kernel;
        let _pass = kernel.gate.enter(Operation::Scan)?;
        let after = request
            .after
            .as_ref()
            .map(|cursor| cursor.key_point(&request.namespace, &request.range, request.direction));
        let after = after.transpose();
        let after = after.map_err(|error| error.during(Operation::Scan, &request.namespace))?;
        let _metadata = kernel.metadata.read().await;
        let page = metadata::scan(&kernel.store, now, &request, after.as_ref());
        page.map_err(kernel.failed(Operation::Scan))
    }

    async fn namespaces(
        &self,
        after: Option<&Cursor>,
        namespaces_max: Count,
    ) -> Result<Page<Namespace>> {
        let operation = Operation::Namespaces;
        let kernel = &self.kernel;
        let _pass = kernel.gate.enter(operation)?;
        let after = after.map(Cursor::namespace_point).transpose();
        let after = after.map_err(|error| error.during(operation, Object::Backend))?;
        let _metadata = kernel.metadata.read().await;
        let page = metadata::namespaces(&kernel.store, after.as_ref(), namespaces_max);
        page.map_err(kernel.failed(operation))
    }

    async fn purge(&self, now: Timestamp, entries_max: Count) -> Result<Purged> {
        let operation = Operation::Purge;
        let kernel = &self.kernel;
        let _pass = kernel.gate.enter(operation)?;
        kernel.admit(operation).await?;
        let mut state = kernel.metadata.write().await;
        let mut rows = Rows::default();
        let purged = metadata::purge(&kernel.store, &mut state, now, entries_max, &mut rows);
        let purged = purged.map_err(kernel.failed(operation))?;
        if purged.removed > 0 {
            let written = kernel.store.write(rows);
            state.batch = written.map_err(|error| kernel.store.unknown(operation, error))?;
        }
        let batch = state.batch;
        drop(state);
        kernel.settle(operation, batch, Level::Crash).await?;
        Ok(purged)
    }
}

#[async_trait]
impl<E: OrderedKv> StorageBackend for KvBackend<E> {
    fn descriptor(&self) -> Descriptor {
        self.descriptor.clone()
    }

    async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
        self.kernel.commit(&request).await
    }

    async fn health(&self) -> Result<Health> {
        let operation = Operation::Health;
        let kernel = &self.kernel;
        let _pass = kernel.gate.enter(operation)?;
        let touched = kernel.store.get(Keyspace::Catalog, &keys::backend());
        touched.map_err(kernel.failed(operation))?;
        Ok(match kernel.store.latched() {
            None => Health::good(),
            Some(why) => Health::read_only(format!("writes are stopped since {why}")),
        })
    }

    async fn usage(&self) -> Result<Usage> {
        let kernel = &self.kernel;
        let _pass = kernel.gate.enter(Operation::Usage)?;
        let bytes = kernel.store.disk_bytes();
        let bytes = bytes.map_err(kernel.failed(Operation::Usage))?;
        Ok(Usage::of(vec![("disk", bytes)]))
    }

    async fn sync(&self) -> Result<()> {
        let kernel = &self.kernel;
        let _pass = kernel.gate.enter(Operation::Sync)?;
        if !self.descriptor.capabilities.has(Capability::Sync) {
            let (kind, backend) = (ErrorKind::Unsupported, Object::Backend);
            return Err(Error::new(kind, Operation::Sync, backend, NOT_DURABLE));
        }
        kernel
            .synced(Operation::Sync, kernel.store.last_written())
            .await
    }

    async fn close(&self) -> Result<()> {
        let kernel = &self.kernel;
        let is_first = kernel.gate.close();
        let failed = |error| kernel.store.error(Operation::Close, error);
        if kernel.store.is_inline() {
            kernel.gate.emptied().await;
            return self.held.shut(kernel).map_err(failed);
        }
        let mut closed = self.closed.subscribe();
        if is_first {
            self.start_closing();
        }
        // An error says that the backend is gone, which cannot be while it is borrowed.
        let _ = closed.wait_for(Option::is_some).await;
        match &*self.closed.borrow() {
            Some(Some(reason)) if is_first => {
                let kind = ErrorKind::Unavailable;
                Err(Error::new(kind, Operation::Close, Object::Backend, reason))
            }
            _ => Ok(()),
        }
    }

    fn verify(&self) -> Option<&dyn Verify> {
        Some(&*self.kernel)
    }
}
