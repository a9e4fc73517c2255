//! The driver traits, one method after the other: each says what its entry holds, what the model does, and whether that
//! changed anything. Everything else is the engine's.

use storage_api::{
    Capabilities, Capability, Cleared, CommitOutcome, CommitRequest, CompleteOutcome, Count,
    Cursor, DeleteOutcome, Descriptor, Durability, ExtendOutcome, Floors, Health, Holder,
    ItemEntry, ItemIds, ItemStore, Key, LeaseRequest, LeasedBatch, ListRequest, Maintained,
    MetadataEntry, MetadataStore, Namespace, Object, Operation, Page, PartitionConfig, PartitionId,
    PartitionInfo, PartitionStats, PartitionStore, Produced, Purged, Receipts, ReleaseOutcome,
    ReleasedHolder, RestoreBatch, Result, Retries, RetryOutcome, ReviveOutcome, ScanRequest,
    SealedBatch, Signal, States, StorageBackend, Timestamp, UpdateOutcome, Usage, Verify, Version,
    Write, async_trait,
};
use storage_model::Model;

use crate::config::JournalConfig;
use crate::engine::{Effect, Engine, Handle};
use crate::entry::{Entry, Kind};
use crate::faults::Faults;

/// The reference model behind an append-only, checksummed, fsynced file.
///
/// Dropping it closes it, and waits until what is under way is on the disk.
///
/// ```
/// use journal_driver::{JournalBackend, JournalConfig};
/// use storage_api::{PartitionConfig, PartitionId, PartitionStore, StorageBackend};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
/// let directory = tempfile::tempdir().expect("a directory");
/// let config = JournalConfig::new(directory.path().join("journal"));
/// let emails = PartitionId::new("emails", 0)?;
///
/// let backend = JournalBackend::open(config.clone()).await?;
/// backend.create_partition(&emails, PartitionConfig::default()).await?;
/// backend.close().await?;
///
/// let backend = JournalBackend::open(config).await?;
/// assert_eq!(backend.partition(&emails).await?.id, emails);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct JournalBackend {
    engine: Handle,
    place: String,
    durability: Durability,
}

impl JournalBackend {
    /// Opens the journal of a directory, and makes it where there is none.
    ///
    /// A place that is open elsewhere is `Unavailable` (clause OPEN-1); one that is not a journal, is damaged or is of a
    /// newer format is `Corrupted` or `Unsupported`, and left as it was (clauses OPEN-2 and OPEN-3).
    pub async fn open(config: JournalConfig) -> Result<Self> {
        Self::open_with(config, Faults::default()).await
    }

    /// As [`open`](Self::open), on a disk that fails when it is told to.
    pub async fn open_with(config: JournalConfig, faults: Faults) -> Result<Self> {
        let place = config.storage_dir.display().to_string();
        let durability = config.durability;
        let engine = Handle::open(config, faults).await?;
        Ok(Self {
            engine,
            place,
            durability,
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        operation: Operation,
        object: impl Into<Object>,
        look: impl FnOnce(&Model) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let object = object.into();
        let again = object.clone();
        let job = self.engine.run(operation, object, move |engine| {
            engine.read(operation, again, look)
        });
        job.await
    }

    async fn write<T: Send + 'static>(
        &self,
        operation: Operation,
        object: impl Into<Object>,
        entry: Entry,
        apply: impl FnOnce(&mut Model) -> Result<T> + Send + 'static,
        effect_of: impl FnOnce(&T) -> Effect + Send + 'static,
    ) -> Result<T> {
        let object = object.into();
        let again = object.clone();
        let job = self.engine.run(operation, object, move |engine| {
            engine.write(operation, again, entry, apply, effect_of)
        });
        job.await
    }
}

#[async_trait]
impl PartitionStore for JournalBackend {
    async fn create_partition(
        &self,
        id: &PartitionId,
        config: PartitionConfig,
    ) -> Result<PartitionInfo> {
        let entry = Entry::on(Kind::CreatePartition, id).with(&config);
        let own = id.clone();
        self.write(
            Operation::CreatePartition,
            id,
            entry,
            move |model| model.create_partition(&own, config),
            |_| Effect::Growth,
        )
        .await
    }

    async fn update_partition(
        &self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome> {
        let entry = Entry::on(Kind::UpdatePartition, id)
            .with(&expected)
            .with(&config);
        let own = id.clone();
        self.write(
            Operation::UpdatePartition,
            id,
            entry,
            move |model| model.update_partition(&own, expected, config),
            |outcome| Effect::change_if(matches!(outcome, UpdateOutcome::Updated(_))),
        )
        .await
    }

    async fn partition(&self, id: &PartitionId) -> Result<PartitionInfo> {
        let own = id.clone();
        self.read(Operation::Partition, id, move |model| model.partition(&own))
            .await
    }

    async fn list_partitions(
        &self,
        after: Option<&Cursor>,
        partitions_max: Count,
    ) -> Result<Page<PartitionInfo>> {
        let after = after.cloned();
        self.read(Operation::ListPartitions, Object::Backend, move |model| {
            model.list_partitions(after.as_ref(), partitions_max)
        })
        .await
    }

    async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
        let entry = Entry::on(Kind::DeletePartition, id);
        let own = id.clone();
        let job = self
            .engine
            .run(Operation::DeletePartition, id.into(), move |engine| {
                engine.write(
                    Operation::DeletePartition,
                    (&own).into(),
                    entry,
                    |model| model.delete_partition(&own),
                    |()| Effect::Change,
                )?;
                engine.forget(&own);
                Ok(())
            });
        job.await
    }

    async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
        let own = id.clone();
        self.read(Operation::Stats, id, move |model| model.stats(&own))
            .await
    }

    async fn maintain(
        &self,
        id: &PartitionId,
        now: Timestamp,
        items_max: Count,
    ) -> Result<Maintained> {
        let entry = Entry::on(Kind::Maintain, id).with(&now).with(&items_max);
        let own = id.clone();
        self.write(
            Operation::Maintain,
            id,
            entry,
            move |model| model.maintain(&own, now, items_max),
            // TIME-2: with nothing due it writes nothing.
            |done| Effect::change_if(done.handled() > 0),
        )
        .await
    }

    async fn watch(&self, id: &PartitionId) -> Result<Signal> {
        let own = id.clone();
        let job = self.engine.run(Operation::Watch, id.into(), move |engine| {
            engine.watch(&own)
        });
        job.await
    }
}

#[async_trait]
impl ItemStore for JournalBackend {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let entry = Entry::on(Kind::Produce, partition).with(&batch);
        let own = partition.clone();
        self.write(
            Operation::Produce,
            partition,
            entry,
            move |model| model.produce(&own, batch),
            |produced| Effect::growth_if(produced.stored() > 0),
        )
        .await
    }

    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let entry = Entry::on(Kind::Lease, partition).with(&request);
        let own = partition.clone();
        self.write(
            Operation::Lease,
            partition,
            entry,
            move |model| model.lease(&own, request),
            |batch| Effect::change_if(!batch.is_empty()),
        )
        .await
    }

    async fn extend(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
        deadline: Timestamp,
    ) -> Result<Vec<ExtendOutcome>> {
        let entry = Entry::on(Kind::Extend, partition)
            .with(&receipts)
            .with(&deadline);
        let own = partition.clone();
        self.write(
            Operation::Extend,
            partition,
            entry,
            move |model| model.extend(&own, receipts, deadline),
            |outcomes| Effect::change_if(outcomes.contains(&ExtendOutcome::Extended)),
        )
        .await
    }

    async fn release(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<ReleaseOutcome>> {
        let entry = Entry::on(Kind::Release, partition).with(&receipts);
        let own = partition.clone();
        self.write(
            Operation::Release,
            partition,
            entry,
            move |model| model.release(&own, receipts),
            |outcomes| Effect::change_if(outcomes.contains(&ReleaseOutcome::Released)),
        )
        .await
    }

    async fn release_holder(
        &self,
        partition: &PartitionId,
        holder: Holder,
        items_max: Count,
    ) -> Result<ReleasedHolder> {
        let entry = Entry::on(Kind::ReleaseHolder, partition)
            .with(&holder)
            .with(&items_max);
        let own = partition.clone();
        self.write(
            Operation::ReleaseHolder,
            partition,
            entry,
            move |model| model.release_holder(&own, holder, items_max),
            |done| Effect::change_if(done.released > 0),
        )
        .await
    }

    async fn complete(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<CompleteOutcome>> {
        let entry = Entry::on(Kind::Complete, partition).with(&receipts);
        let own = partition.clone();
        self.write(
            Operation::Complete,
            partition,
            entry,
            move |model| model.complete(&own, receipts),
            |outcomes| Effect::change_if(outcomes.contains(&CompleteOutcome::Done)),
        )
        .await
    }

    async fn retry(
        &self,
        partition: &PartitionId,
        now: Timestamp,
        retries: Retries,
    ) -> Result<Vec<RetryOutcome>> {
        let entry = Entry::on(Kind::Retry, partition).with(&now).with(&retries);
        let own = partition.clone();
        self.write(
            Operation::Retry,
            partition,
            entry,
            move |model| model.retry(&own, now, retries),
            |outcomes| {
                let is_lost = |outcome: &RetryOutcome| {
                    matches!(outcome, RetryOutcome::NotFound | RetryOutcome::LeaseLost)
                };
                Effect::change_if(!outcomes.iter().all(is_lost))
            },
        )
        .await
    }

    async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        let entry = Entry::on(Kind::Revive, partition).with(&ids);
        let own = partition.clone();
        self.write(
            Operation::Revive,
            partition,
            entry,
            move |model| model.revive(&own, ids),
            |outcomes| Effect::change_if(outcomes.contains(&ReviveOutcome::Revived)),
        )
        .await
    }

    async fn get_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
        payloads: bool,
    ) -> Result<Vec<Option<ItemEntry>>> {
        let own = partition.clone();
        self.read(Operation::GetItems, partition, move |model| {
            model.get_items(&own, ids, payloads)
        })
        .await
    }

    async fn list_items(
        &self,
        partition: &PartitionId,
        request: ListRequest,
    ) -> Result<Page<ItemEntry>> {
        let own = partition.clone();
        self.read(Operation::ListItems, partition, move |model| {
            model.list_items(&own, request)
        })
        .await
    }

    async fn delete_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
    ) -> Result<Vec<DeleteOutcome>> {
        let entry = Entry::on(Kind::DeleteItems, partition).with(&ids);
        let own = partition.clone();
        self.write(
            Operation::DeleteItems,
            partition,
            entry,
            move |model| model.delete_items(&own, ids),
            |outcomes| Effect::change_if(outcomes.contains(&DeleteOutcome::Deleted)),
        )
        .await
    }

    async fn clear(
        &self,
        partition: &PartitionId,
        states: States,
        items_max: Count,
    ) -> Result<Cleared> {
        let entry = Entry::on(Kind::Clear, partition)
            .with(&states)
            .with(&items_max);
        let own = partition.clone();
        self.write(
            Operation::Clear,
            partition,
            entry,
            move |model| model.clear(&own, states, items_max),
            |cleared| Effect::change_if(cleared.removed > 0),
        )
        .await
    }

    async fn restore(
        &self,
        partition: &PartitionId,
        items: RestoreBatch,
        floors: Floors,
    ) -> Result<()> {
        let entry = Entry::on(Kind::Restore, partition)
            .with(&items)
            .with(&floors);
        let own = partition.clone();
        // Floors alone are a change; they take no room.
        let effect = match items.is_empty() {
            true => Effect::Change,
            false => Effect::Growth,
        };
        self.write(
            Operation::Restore,
            partition,
            entry,
            move |model| model.restore(&own, items, floors),
            move |()| effect,
        )
        .await
    }
}

#[async_trait]
impl MetadataStore for JournalBackend {
    async fn get(
        &self,
        now: Timestamp,
        namespace: &Namespace,
        key: &Key,
    ) -> Result<Option<MetadataEntry>> {
        let (own, own_key) = (namespace.clone(), key.clone());
        let object = Object::Key(namespace.clone(), key.clone());
        self.read(Operation::Get, object, move |model| {
            model.get(now, &own, &own_key)
        })
        .await
    }

    async fn scan(&self, now: Timestamp, request: ScanRequest) -> Result<Page<MetadataEntry>> {
        let object = Object::Namespace(request.namespace.clone());
        self.read(Operation::Scan, object, move |model| {
            model.scan(now, request)
        })
        .await
    }

    async fn namespaces(
        &self,
        after: Option<&Cursor>,
        namespaces_max: Count,
    ) -> Result<Page<Namespace>> {
        let after = after.cloned();
        self.read(Operation::Namespaces, Object::Backend, move |model| {
            model.namespaces(after.as_ref(), namespaces_max)
        })
        .await
    }

    async fn purge(&self, now: Timestamp, entries_max: Count) -> Result<Purged> {
        let entry = Entry::new(Kind::Purge).with(&now).with(&entries_max);
        self.write(
            Operation::Purge,
            Object::Backend,
            entry,
            move |model| model.purge(now, entries_max),
            |purged| Effect::change_if(purged.removed > 0),
        )
        .await
    }
}

#[async_trait]
impl StorageBackend for JournalBackend {
    fn descriptor(&self) -> Descriptor {
        let capabilities = Capabilities::of([
            Capability::StrictOrder,
            Capability::Reopen,
            Capability::Sync,
            Capability::Verify,
        ]);
        let version = env!("CARGO_PKG_VERSION");
        Descriptor::new("journal", version, capabilities, self.durability).at(&self.place)
    }

    async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
        let mut entry = Entry::new(Kind::Commit).with(&request);
        let partitions = request.steps().iter().map(|step| step.partition().clone());
        entry.partitions.extend(partitions);
        let has_steps = !request.steps().is_empty();
        let puts = |write: &Write| matches!(write, Write::Put { .. });
        let has_puts = request.writes().iter().any(puts);
        self.write(
            Operation::Commit,
            Object::Backend,
            entry,
            move |model| model.commit(request),
            move |outcome| match outcome {
                CommitOutcome::Refused(_) => Effect::Nothing,
                CommitOutcome::Committed(done) => {
                    let is_stored = done.produced.iter().any(|produced| produced.stored() > 0);
                    match has_puts || is_stored {
                        true => Effect::Growth,
                        false => Effect::change_if(has_steps || done.version.is_some()),
                    }
                }
            },
        )
        .await
    }

    async fn health(&self) -> Result<Health> {
        let job = self
            .engine
            .run(Operation::Health, Object::Backend, |engine| engine.health());
        job.await
    }

    async fn usage(&self) -> Result<Usage> {
        let job = self
            .engine
            .run(Operation::Usage, Object::Backend, Engine::usage);
        job.await
    }

    async fn sync(&self) -> Result<()> {
        let job = self
            .engine
            .run(Operation::Sync, Object::Backend, Engine::sync);
        job.await
    }

    async fn close(&self) -> Result<()> {
        let job = self
            .engine
            .run(Operation::Close, Object::Backend, |engine| {
                engine.close();
                Ok(())
            });
        job.await
    }

    fn verify(&self) -> Option<&dyn Verify> {
        Some(self)
    }
}

#[async_trait]
impl Verify for JournalBackend {
    async fn verify(&self) -> Result<Vec<String>> {
        let job = self
            .engine
            .run(Operation::Verify, Object::Backend, Engine::verify);
        job.await
    }
}
