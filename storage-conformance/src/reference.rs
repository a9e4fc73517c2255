//! The reference model behind the driver traits.
//!
//! It shows that the suite and the model agree, and how a harness looks. It is no driver: every operation takes one lock
//! and walks over everything, and nothing outlives the process.

mod shortcut;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use storage_api::*;
use storage_model::{Contents, Model};

use self::shortcut::ReferenceShortcut;
use crate::harness::{Claims, DriverInfo, Harness, Place, Spot};

/// The model as a driver, in one of three kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReferenceHarness {
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One opening at a time, which finds what the one before it left.
    Exclusive,
    /// Several openings at once.
    Shared,
    /// Each opening is empty.
    Volatile,
}

impl ReferenceHarness {
    /// The model in a place that one backend at a time can have open, and that keeps its contents between two openings.
    #[expect(
        clippy::new_without_default,
        reason = "there is no obvious default of the three kinds"
    )]
    pub fn new() -> Self {
        Self {
            kind: Kind::Exclusive,
        }
    }

    /// The model in a place that several backends can have open at once.
    pub fn shared() -> Self {
        Self { kind: Kind::Shared }
    }

    /// The model in a place that forgets.
    pub fn volatile() -> Self {
        Self {
            kind: Kind::Volatile,
        }
    }

    /// A fresh place, whose backends let their contents be changed behind the back of everybody.
    #[doc(hidden)]
    pub fn place(&self) -> ReferencePlace {
        ReferencePlace {
            harness: *self,
            kept: Arc::default(),
        }
    }
}

#[async_trait]
impl Harness for ReferenceHarness {
    fn driver(&self) -> DriverInfo {
        let name = match self.kind {
            Kind::Exclusive => "reference",
            Kind::Shared => "reference-shared",
            Kind::Volatile => "reference-volatile",
        };
        DriverInfo::new(name, env!("CARGO_PKG_VERSION"))
    }

    fn claims(&self) -> Claims {
        let claims = Claims::all()
            .without(Capability::Sync, "it has no disk")
            .without(Capability::Verify, "it has no indexes that could differ");
        match self.kind {
            Kind::Shared => claims,
            Kind::Exclusive => claims
                .without(Capability::Shared, "one opening at a time")
                .without(Capability::RemoteWake, "one opening at a time"),
            Kind::Volatile => claims
                .without(Capability::Reopen, "it forgets")
                .without(Capability::Shared, "each opening is a new one")
                .without(Capability::RemoteWake, "each opening is a new one"),
        }
    }

    async fn provision(&self, _spot: &Spot) -> Result<Box<dyn Place>> {
        Ok(Box::new(self.place()))
    }
}

/// Where a model is kept.
#[doc(hidden)]
#[derive(Debug)]
pub struct ReferencePlace {
    harness: ReferenceHarness,
    kept: Arc<Mutex<Kept>>,
}

/// What a place keeps, and who has it open.
#[derive(Debug, Default)]
struct Kept {
    model: Model,
    hubs: HashMap<PartitionId, SignalHub>,
    /// The numbers of the openings that are not closed.
    open: Vec<u64>,
    last_opening: u64,
}

#[async_trait]
impl Place for ReferencePlace {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        Ok(self.open_reference()?)
    }
}

impl ReferencePlace {
    /// Opens the place.
    pub fn open_reference(&self) -> Result<Arc<ReferenceBackend>> {
        let kept = match self.harness.kind {
            Kind::Volatile => Arc::default(),
            Kind::Exclusive | Kind::Shared => self.kept.clone(),
        };
        let mut opening = lock(&kept);
        if self.harness.kind == Kind::Exclusive && !opening.open.is_empty() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                Operation::Open,
                Object::Place("the reference".to_owned()),
                "this process has it open; close that backend first",
            ));
        }
        opening.last_opening += 1;
        let number = opening.last_opening;
        opening.open.push(number);
        drop(opening);
        Ok(Arc::new(ReferenceBackend {
            harness: self.harness,
            kept,
            number,
        }))
    }
}

/// One opening of a place.
#[doc(hidden)]
pub struct ReferenceBackend {
    harness: ReferenceHarness,
    kept: Arc<Mutex<Kept>>,
    number: u64,
}

impl fmt::Debug for ReferenceBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReferenceBackend({})", self.number)
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    // The model changes nothing before it panics, if it ever does.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ReferenceBackend {
    /// Everything that there is.
    pub fn contents(&self) -> Contents {
        lock(&self.kept).model.contents().clone()
    }

    /// Changes what there is, as no operation would; whether anything is different now. It wakes nobody.
    pub fn edit(&self, edit: impl FnOnce(&mut Contents)) -> bool {
        let mut kept = lock(&self.kept);
        let mut contents = kept.model.contents().clone();
        edit(&mut contents);
        let is_different = contents != *kept.model.contents();
        kept.model = Model::of(contents);
        is_different
    }

    /// Runs an operation that changes nothing.
    fn look<T>(&self, run: impl FnOnce(&Model) -> Result<T>) -> Result<T> {
        let kept = lock(&self.kept);
        if kept.open.contains(&self.number) {
            return run(&kept.model);
        }
        let mut closed = Model::new();
        closed.close()?;
        run(&closed)
    }

    /// Runs an operation, and wakes those who watch its partitions while the lock is held.
    fn change<T>(
        &self,
        partitions: &[PartitionId],
        run: impl FnOnce(&mut Model) -> Result<T>,
    ) -> Result<T> {
        let mut kept = lock(&self.kept);
        if !kept.open.contains(&self.number) {
            let mut closed = Model::new();
            closed.close()?;
            return run(&mut closed);
        }
        let answer = run(&mut kept.model)?;
        for hub in partitions.iter().filter_map(|id| kept.hubs.get(id)) {
            hub.fire();
        }
        Ok(answer)
    }

    fn leave(&self) {
        let mut kept = lock(&self.kept);
        if kept.open.contains(&self.number) {
            kept.open.retain(|number| *number != self.number);
            // Hubs that go wake everybody; those of other openings look, and watch again.
            kept.hubs.clear();
        }
    }
}

impl Drop for ReferenceBackend {
    fn drop(&mut self) {
        self.leave();
    }
}

#[async_trait]
impl PartitionStore for ReferenceBackend {
    async fn create_partition(
        &self,
        id: &PartitionId,
        config: PartitionConfig,
    ) -> Result<PartitionInfo> {
        self.change(std::slice::from_ref(id), |model| {
            model.create_partition(id, config)
        })
    }

    async fn update_partition(
        &self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome> {
        self.change(std::slice::from_ref(id), |model| {
            model.update_partition(id, expected, config)
        })
    }

    async fn partition(&self, id: &PartitionId) -> Result<PartitionInfo> {
        self.look(|model| model.partition(id))
    }

    async fn list_partitions(
        &self,
        after: Option<&Cursor>,
        partitions_max: Count,
    ) -> Result<Page<PartitionInfo>> {
        self.look(|model| model.list_partitions(after, partitions_max))
    }

    async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
        self.change(&[], |model| model.delete_partition(id))?;
        // The hub that goes wakes everybody.
        lock(&self.kept).hubs.remove(id);
        Ok(())
    }

    async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
        self.look(|model| model.stats(id))
    }

    async fn maintain(
        &self,
        id: &PartitionId,
        now: Timestamp,
        items_max: Count,
    ) -> Result<Maintained> {
        self.change(std::slice::from_ref(id), |model| {
            model.maintain(id, now, items_max)
        })
    }

    async fn watch(&self, id: &PartitionId) -> Result<Signal> {
        let mut kept = lock(&self.kept);
        if !kept.open.contains(&self.number) {
            return Err(Error::closed(Operation::Watch));
        }
        kept.model.watch(id)?;
        Ok(kept.hubs.entry(id.clone()).or_default().watch())
    }
}

#[async_trait]
impl ItemStore for ReferenceBackend {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        self.change(std::slice::from_ref(partition), |model| {
            model.produce(partition, batch)
        })
    }

    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        self.change(std::slice::from_ref(partition), |model| {
            model.lease(partition, request)
        })
    }

    async fn extend(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
        deadline: Timestamp,
    ) -> Result<Vec<ExtendOutcome>> {
        self.change(std::slice::from_ref(partition), |model| {
            model.extend(partition, receipts, deadline)
        })
    }

    async fn release(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<ReleaseOutcome>> {
        self.change(std::slice::from_ref(partition), |model| {
            model.release(partition, receipts)
        })
    }

    async fn release_holder(
        &self,
        partition: &PartitionId,
        holder: Holder,
        items_max: Count,
    ) -> Result<ReleasedHolder> {
        self.change(std::slice::from_ref(partition), |model| {
            model.release_holder(partition, holder, items_max)
        })
    }

    async fn complete(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<CompleteOutcome>> {
        self.change(std::slice::from_ref(partition), |model| {
            model.complete(partition, receipts)
        })
    }

    async fn retry(
        &self,
        partition: &PartitionId,
        now: Timestamp,
        retries: Retries,
    ) -> Result<Vec<RetryOutcome>> {
        self.change(std::slice::from_ref(partition), |model| {
            model.retry(partition, now, retries)
        })
    }

    async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        self.change(std::slice::from_ref(partition), |model| {
            model.revive(partition, ids)
        })
    }

    async fn get_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
        payloads: bool,
    ) -> Result<Vec<Option<ItemEntry>>> {
        self.look(|model| model.get_items(partition, ids, payloads))
    }

    async fn list_items(
        &self,
        partition: &PartitionId,
        request: ListRequest,
    ) -> Result<Page<ItemEntry>> {
        self.look(|model| model.list_items(partition, request))
    }

    async fn delete_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
    ) -> Result<Vec<DeleteOutcome>> {
        self.change(std::slice::from_ref(partition), |model| {
            model.delete_items(partition, ids)
        })
    }

    async fn clear(
        &self,
        partition: &PartitionId,
        states: States,
        items_max: Count,
    ) -> Result<Cleared> {
        self.change(std::slice::from_ref(partition), |model| {
            model.clear(partition, states, items_max)
        })
    }

    async fn restore(
        &self,
        partition: &PartitionId,
        items: RestoreBatch,
        floors: Floors,
    ) -> Result<()> {
        self.change(std::slice::from_ref(partition), |model| {
            model.restore(partition, items, floors)
        })
    }
}

#[async_trait]
impl MetadataStore for ReferenceBackend {
    async fn get(
        &self,
        now: Timestamp,
        namespace: &Namespace,
        key: &Key,
    ) -> Result<Option<MetadataEntry>> {
        self.look(|model| model.get(now, namespace, key))
    }

    async fn scan(&self, now: Timestamp, request: ScanRequest) -> Result<Page<MetadataEntry>> {
        self.look(|model| model.scan(now, request))
    }

    async fn namespaces(
        &self,
        after: Option<&Cursor>,
        namespaces_max: Count,
    ) -> Result<Page<Namespace>> {
        self.look(|model| model.namespaces(after, namespaces_max))
    }

    async fn purge(&self, now: Timestamp, entries_max: Count) -> Result<Purged> {
        self.change(&[], |model| model.purge(now, entries_max))
    }
}

#[async_trait]
impl StorageBackend for ReferenceBackend {
    fn descriptor(&self) -> Descriptor {
        let info = self.harness.driver();
        Descriptor::new(
            info.name().to_owned(),
            info.version().to_owned(),
            self.harness.claims().capabilities(),
            Durability::None,
        )
    }

    async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
        let partitions: Vec<_> = request
            .steps()
            .iter()
            .map(|step| step.partition().clone())
            .collect();
        self.change(&partitions, |model| model.commit(request))
    }

    async fn health(&self) -> Result<Health> {
        self.look(Model::health)?;
        Ok(Health::good())
    }

    async fn usage(&self) -> Result<Usage> {
        self.look(|model| {
            model.usage()?;
            let contents = model.contents();
            let items = contents.partitions.iter().flat_map(|one| &one.items);
            let payloads = items.map(|item| item.record.view().payload_len() as u64);
            let entries = contents.metadata.iter().map(|one| &one.entry);
            let metadata = entries.map(|entry| (entry.key.len() + entry.value.len()) as u64);
            Ok(Usage::of(vec![
                ("payloads", payloads.sum()),
                ("metadata", metadata.sum()),
            ]))
        })
    }

    async fn sync(&self) -> Result<()> {
        self.look(Model::sync)?;
        Err(Error::new(
            ErrorKind::Unsupported,
            Operation::Sync,
            Object::Backend,
            "it has no disk; nothing of it survives the process",
        ))
    }

    async fn close(&self) -> Result<()> {
        self.leave();
        Ok(())
    }

    fn shortcut(&self, partition: &PartitionId) -> Option<Arc<dyn Shortcut>> {
        let info = self.look(|model| model.partition(partition)).ok()?;
        let shortcut = ReferenceShortcut::new(self.kept.clone(), self.number, info);
        Some(Arc::new(shortcut))
    }
}
