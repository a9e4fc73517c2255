//! Mutants that stand before or behind every operation.

use std::future::Future;
use std::sync::Arc;

use storage_api::*;
use storage_conformance::reference::ReferenceBackend;
use storage_model::{Contents, Partition};

use crate::mutant::{Mutant, Opened};

/// What is known of a call before it runs.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) partition: Option<PartitionId>,
    /// How many items, receipts or ids it is about.
    pub(crate) len: usize,
    /// Their payload bytes.
    pub(crate) bytes: usize,
}

impl Call {
    pub(crate) fn of(operation: Operation) -> Self {
        Self {
            operation,
            partition: None,
            len: 0,
            bytes: 0,
        }
    }

    pub(crate) fn on(mut self, partition: &PartitionId) -> Self {
        self.partition = Some(partition.clone());
        self
    }

    pub(crate) fn sized(mut self, len: usize, bytes: usize) -> Self {
        (self.len, self.bytes) = (len, bytes);
        self
    }

    /// The partition that it names, if there is one.
    pub(crate) fn found<'a>(&self, contents: &'a Contents) -> Option<&'a Partition> {
        let id = self.partition.as_ref()?;
        contents.partitions.iter().find(|one| one.info.id == *id)
    }

    /// An error about it.
    pub(crate) fn error(&self, kind: ErrorKind) -> Error {
        let object = self
            .partition
            .as_ref()
            .map_or(Object::Backend, Object::from);
        Error::new(kind, self.operation, object, "the mutant says so")
    }
}

/// Writes every operation of a struct with the field `inner` as a call of its `around`, but for `watch`, `close`, `descriptor`
/// and `verify`, which come as written.
macro_rules! hooked {
    ($name:ty { $($watch:tt)* } { $($backend:tt)* }) => {
        #[storage_api::async_trait]
        impl storage_api::PartitionStore for $name {
            async fn create_partition(&self, id: &PartitionId, config: PartitionConfig) -> Result<PartitionInfo> {
                let call = $crate::hooked::Call::of(Operation::CreatePartition).on(id);
                self.around(call, self.inner.create_partition(id, config)).await
            }
            async fn update_partition(&self, id: &PartitionId, expected: Option<Version>, config: PartitionConfig) -> Result<UpdateOutcome> {
                let call = $crate::hooked::Call::of(Operation::UpdatePartition).on(id);
                self.around(call, self.inner.update_partition(id, expected, config)).await
            }
            async fn partition(&self, id: &PartitionId) -> Result<PartitionInfo> {
                let call = $crate::hooked::Call::of(Operation::Partition).on(id);
                self.around(call, self.inner.partition(id)).await
            }
            async fn list_partitions(&self, after: Option<&Cursor>, partitions_max: Count) -> Result<Page<PartitionInfo>> {
                let call = $crate::hooked::Call::of(Operation::ListPartitions);
                self.around(call, self.inner.list_partitions(after, partitions_max)).await
            }
            async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
                let call = $crate::hooked::Call::of(Operation::DeletePartition).on(id);
                self.around(call, self.inner.delete_partition(id)).await
            }
            async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
                let call = $crate::hooked::Call::of(Operation::Stats).on(id);
                self.around(call, self.inner.stats(id)).await
            }
            async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
                let call = $crate::hooked::Call::of(Operation::Maintain).on(id);
                self.around(call, self.inner.maintain(id, now, items_max)).await
            }
            $($watch)*
        }

        #[storage_api::async_trait]
        impl storage_api::ItemStore for $name {
            async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
                let call = $crate::hooked::Call::of(Operation::Produce).on(partition);
                let call = call.sized(batch.len(), batch.payload_bytes());
                self.around(call, self.inner.produce(partition, batch)).await
            }
            async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
                let call = $crate::hooked::Call::of(Operation::Lease).on(partition);
                self.around(call, self.inner.lease(partition, request)).await
            }
            async fn extend(&self, partition: &PartitionId, receipts: Receipts, deadline: Timestamp) -> Result<Vec<ExtendOutcome>> {
                let call = $crate::hooked::Call::of(Operation::Extend).on(partition).sized(receipts.len(), 0);
                self.around(call, self.inner.extend(partition, receipts, deadline)).await
            }
            async fn release(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<ReleaseOutcome>> {
                let call = $crate::hooked::Call::of(Operation::Release).on(partition).sized(receipts.len(), 0);
                self.around(call, self.inner.release(partition, receipts)).await
            }
            async fn release_holder(&self, partition: &PartitionId, holder: Holder, items_max: Count) -> Result<ReleasedHolder> {
                let call = $crate::hooked::Call::of(Operation::ReleaseHolder).on(partition);
                self.around(call, self.inner.release_holder(partition, holder, items_max)).await
            }
            async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
                let call = $crate::hooked::Call::of(Operation::Complete).on(partition).sized(receipts.len(), 0);
                self.around(call, self.inner.complete(partition, receipts)).await
            }
            async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
                let call = $crate::hooked::Call::of(Operation::Retry).on(partition).sized(retries.len(), 0);
                self.around(call, self.inner.retry(partition, now, retries)).await
            }
            async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
                let call = $crate::hooked::Call::of(Operation::Revive).on(partition).sized(ids.len(), 0);
                self.around(call, self.inner.revive(partition, ids)).await
            }
            async fn get_items(&self, partition: &PartitionId, ids: ItemIds, payloads: bool) -> Result<Vec<Option<ItemEntry>>> {
                let call = $crate::hooked::Call::of(Operation::GetItems).on(partition).sized(ids.len(), 0);
                self.around(call, self.inner.get_items(partition, ids, payloads)).await
            }
            async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
                let call = $crate::hooked::Call::of(Operation::ListItems).on(partition);
                self.around(call, self.inner.list_items(partition, request)).await
            }
            async fn delete_items(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<DeleteOutcome>> {
                let call = $crate::hooked::Call::of(Operation::DeleteItems).on(partition).sized(ids.len(), 0);
                self.around(call, self.inner.delete_items(partition, ids)).await
            }
            async fn clear(&self, partition: &PartitionId, states: States, items_max: Count) -> Result<Cleared> {
                let call = $crate::hooked::Call::of(Operation::Clear).on(partition);
                self.around(call, self.inner.clear(partition, states, items_max)).await
            }
            async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
                let call = $crate::hooked::Call::of(Operation::Restore).on(partition).sized(items.len(), 0);
                self.around(call, self.inner.restore(partition, items, floors)).await
            }
        }

        #[storage_api::async_trait]
        impl storage_api::MetadataStore for $name {
            async fn get(&self, now: Timestamp, namespace: &Namespace, key: &Key) -> Result<Option<MetadataEntry>> {
                let call = $crate::hooked::Call::of(Operation::Get);
                self.around(call, self.inner.get(now, namespace, key)).await
            }
            async fn scan(&self, now: Timestamp, request: ScanRequest) -> Result<Page<MetadataEntry>> {
                let call = $crate::hooked::Call::of(Operation::Scan);
                self.around(call, self.inner.scan(now, request)).await
            }
            async fn namespaces(&self, after: Option<&Cursor>, namespaces_max: Count) -> Result<Page<Namespace>> {
                let call = $crate::hooked::Call::of(Operation::Namespaces);
                self.around(call, self.inner.namespaces(after, namespaces_max)).await
            }
            async fn purge(&self, now: Timestamp, entries_max: Count) -> Result<Purged> {
                let call = $crate::hooked::Call::of(Operation::Purge);
                self.around(call, self.inner.purge(now, entries_max)).await
            }
        }

        #[storage_api::async_trait]
        impl storage_api::StorageBackend for $name {
            async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
                let entries = request.checks().len() + request.writes().len() + request.steps().len();
                let mut call = $crate::hooked::Call::of(Operation::Commit).sized(entries, 0);
                call.partition = request.steps().first().map(|step| step.partition().clone());
                self.around(call, self.inner.commit(request)).await
            }
            async fn health(&self) -> Result<Health> {
                self.around($crate::hooked::Call::of(Operation::Health), self.inner.health()).await
            }
            async fn usage(&self) -> Result<Usage> {
                self.around($crate::hooked::Call::of(Operation::Usage), self.inner.usage()).await
            }
            async fn sync(&self) -> Result<()> {
                self.around($crate::hooked::Call::of(Operation::Sync), self.inner.sync()).await
            }
            $($backend)*
        }
    };
}
pub(crate) use hooked;

/// Refuses some calls that are right.
type Before = fn(&Contents, &Call) -> Option<Error>;

/// Tells of a refusal in another way; it also sees what is stored, to change it.
type Told = fn(&Opened, &Call, Error) -> Error;

/// A mutant that refuses what it should not.
pub(crate) fn refusing(
    name: &'static str,
    defect: &'static str,
    before: Before,
    caught_by: &'static [&'static str],
) -> Mutant {
    guarded(name, defect, before, |_, _, error| error, caught_by)
}

/// A mutant that refuses as it should, and tells something else, or does something then.
pub(crate) fn telling(
    name: &'static str,
    defect: &'static str,
    told: Told,
    caught_by: &'static [&'static str],
) -> Mutant {
    guarded(name, defect, |_, _| None, told, caught_by)
}

fn guarded(
    name: &'static str,
    defect: &'static str,
    before: Before,
    told: Told,
    caught_by: &'static [&'static str],
) -> Mutant {
    let wrap = move |at: Opened| -> Arc<dyn StorageBackend> {
        let inner = at.inner.clone();
        Arc::new(Guarded {
            inner,
            at,
            before,
            told,
        })
    };
    Mutant::new(name, defect, wrap, caught_by)
}

#[derive(Debug)]
struct Guarded {
    inner: Arc<ReferenceBackend>,
    at: Opened,
    before: Before,
    told: Told,
}

impl Guarded {
    async fn around<T>(
        &self,
        call: Call,
        run: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        if let Some(error) = (self.before)(&self.inner.contents(), &call) {
            self.at.fire();
            return Err(error);
        }
        run.await.map_err(|error| {
            let sound = format!("{error:?}");
            let told = (self.told)(&self.at, &call, error);
            self.at.fired.fire_if(format!("{told:?}") != sound);
            told
        })
    }
}

hooked!(Guarded {
    async fn watch(&self, id: &PartitionId) -> Result<Signal> {
        self.around(Call::of(Operation::Watch).on(id), self.inner.watch(id)).await
    }
} {
    forward_backend!(StorageBackend => inner, except [commit, health, usage, sync]);
});
