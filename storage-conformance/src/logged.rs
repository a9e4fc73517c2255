//! A backend that writes every call and answer into the log of its case.

use std::sync::Arc;

use storage_api::*;

use crate::log::OperationLog;

/// Passes every operation through and logs it.
#[derive(Debug)]
pub(crate) struct LoggedBackend {
    inner: Arc<dyn StorageBackend>,
    log: Arc<OperationLog>,
}

impl LoggedBackend {
    pub(crate) fn new(inner: Arc<dyn StorageBackend>, log: Arc<OperationLog>) -> Self {
        Self { inner, log }
    }
}

/// The items of a batch instead of its bytes.
fn shown(batch: &SealedBatch) -> Vec<Record> {
    // A log entry ends long before the eighth item.
    (0..batch.len().min(8))
        .map(|index| batch.shared_record(index))
        .collect()
}

#[async_trait]
impl PartitionStore for LoggedBackend {
    async fn create_partition(
        &self,
        id: &PartitionId,
        config: PartitionConfig,
    ) -> Result<PartitionInfo> {
        let entry = self
            .log
            .begin(format_args!("create_partition({id}, {config:?})"));
        entry.answer(self.inner.create_partition(id, config).await)
    }

    async fn update_partition(
        &self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome> {
        let entry = self.log.begin(format_args!(
            "update_partition({id}, {expected:?}, {config:?})"
        ));
        entry.answer(self.inner.update_partition(id, expected, config).await)
    }

    async fn partition(&self, id: &PartitionId) -> Result<PartitionInfo> {
        let entry = self.log.begin(format_args!("partition({id})"));
        entry.answer(self.inner.partition(id).await)
    }

    async fn list_partitions(
        &self,
        after: Option<&Cursor>,
        partitions_max: Count,
    ) -> Result<Page<PartitionInfo>> {
        let entry = self.log.begin(format_args!(
            "list_partitions({after:?}, {partitions_max:?})"
        ));
        entry.answer(self.inner.list_partitions(after, partitions_max).await)
    }

    async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
        let entry = self.log.begin(format_args!("delete_partition({id})"));
        entry.answer(self.inner.delete_partition(id).await)
    }

    async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
        let entry = self.log.begin(format_args!("stats({id})"));
        entry.answer(self.inner.stats(id).await)
    }

    async fn maintain(
        &self,
        id: &PartitionId,
        now: Timestamp,
        items_max: Count,
    ) -> Result<Maintained> {
        let entry = self
            .log
            .begin(format_args!("maintain({id}, {now}, {items_max:?})"));
        entry.answer(self.inner.maintain(id, now, items_max).await)
    }

    async fn watch(&self, id: &PartitionId) -> Result<Signal> {
        let entry = self.log.begin(format_args!("watch({id})"));
        entry.answer(self.inner.watch(id).await)
    }
}

#[async_trait]
impl ItemStore for LoggedBackend {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let shown = shown(&batch);
        let entry = self
            .log
            .begin(format_args!("produce({partition}, {shown:?})"));
        entry.answer(self.inner.produce(partition, batch).await)
    }

    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let entry = self
            .log
            .begin(format_args!("lease({partition}, {request:?})"));
        entry.answer(self.inner.lease(partition, request).await)
    }

    async fn extend(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
        deadline: Timestamp,
    ) -> Result<Vec<ExtendOutcome>> {
        let entry = self.log.begin(format_args!(
            "extend({partition}, {receipts:?}, {deadline})"
        ));
        entry.answer(self.inner.extend(partition, receipts, deadline).await)
    }

    async fn release(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<ReleaseOutcome>> {
        let entry = self
            .log
            .begin(format_args!("release({partition}, {receipts:?})"));
        entry.answer(self.inner.release(partition, receipts).await)
    }

    async fn release_holder(
        &self,
        partition: &PartitionId,
        holder: Holder,
        items_max: Count,
    ) -> Result<ReleasedHolder> {
        let entry = self.log.begin(format_args!(
            "release_holder({partition}, {holder}, {items_max:?})"
        ));
        entry.answer(
            self.inner
                .release_holder(partition, holder, items_max)
                .await,
        )
    }

    async fn complete(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<CompleteOutcome>> {
        let entry = self
            .log
            .begin(format_args!("complete({partition}, {receipts:?})"));
        entry.answer(self.inner.complete(partition, receipts).await)
    }

    async fn retry(
        &self,
        partition: &PartitionId,
        now: Timestamp,
        retries: Retries,
    ) -> Result<Vec<RetryOutcome>> {
        let entry = self
            .log
            .begin(format_args!("retry({partition}, {now}, {retries:?})"));
        entry.answer(self.inner.retry(partition, now, retries).await)
    }

    async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        let entry = self.log.begin(format_args!("revive({partition}, {ids:?})"));
        entry.answer(self.inner.revive(partition, ids).await)
    }

    async fn get_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
        payloads: bool,
    ) -> Result<Vec<Option<ItemEntry>>> {
        let entry = self.log.begin(format_args!(
            "get_items({partition}, {ids:?}, {payloads:?})"
        ));
        entry.answer(self.inner.get_items(partition, ids, payloads).await)
    }

    async fn list_items(
        &self,
        partition: &PartitionId,
        request: ListRequest,
    ) -> Result<Page<ItemEntry>> {
        let entry = self
            .log
            .begin(format_args!("list_items({partition}, {request:?})"));
        entry.answer(self.inner.list_items(partition, request).await)
    }

    async fn delete_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
    ) -> Result<Vec<DeleteOutcome>> {
        let entry = self
            .log
            .begin(format_args!("delete_items({partition}, {ids:?})"));
        entry.answer(self.inner.delete_items(partition, ids).await)
    }

    async fn clear(
        &self,
        partition: &PartitionId,
        states: States,
        items_max: Count,
    ) -> Result<Cleared> {
        let entry = self.log.begin(format_args!(
            "clear({partition}, {states:?}, {items_max:?})"
        ));
        entry.answer(self.inner.clear(partition, states, items_max).await)
    }

    async fn restore(
        &self,
        partition: &PartitionId,
        items: RestoreBatch,
        floors: Floors,
    ) -> Result<()> {
        let entry = self
            .log
            .begin(format_args!("restore({partition}, {items:?}, {floors:?})"));
        entry.answer(self.inner.restore(partition, items, floors).await)
    }
}

#[async_trait]
impl MetadataStore for LoggedBackend {
    async fn get(
        &self,
        now: Timestamp,
        namespace: &Namespace,
        key: &Key,
    ) -> Result<Option<MetadataEntry>> {
        let entry = self
            .log
            .begin(format_args!("get({now}, {namespace}, {key})"));
        entry.answer(self.inner.get(now, namespace, key).await)
    }

    async fn scan(&self, now: Timestamp, request: ScanRequest) -> Result<Page<MetadataEntry>> {
        let entry = self.log.begin(format_args!("scan({now}, {request:?})"));
        entry.answer(self.inner.scan(now, request).await)
    }

    async fn namespaces(
        &self,
        after: Option<&Cursor>,
        namespaces_max: Count,
    ) -> Result<Page<Namespace>> {
        let entry = self
            .log
            .begin(format_args!("namespaces({after:?}, {namespaces_max:?})"));
        entry.answer(self.inner.namespaces(after, namespaces_max).await)
    }

    async fn purge(&self, now: Timestamp, entries_max: Count) -> Result<Purged> {
        let entry = self
            .log
            .begin(format_args!("purge({now}, {entries_max:?})"));
        entry.answer(self.inner.purge(now, entries_max).await)
    }
}

#[async_trait]
impl StorageBackend for LoggedBackend {
    fn descriptor(&self) -> Descriptor {
        self.inner.descriptor()
    }

    async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
        let entry = self.log.begin(format_args!("commit({request:?})"));
        entry.answer(self.inner.commit(request).await)
    }

    async fn health(&self) -> Result<Health> {
        let entry = self.log.begin(format_args!("health()"));
        entry.answer(self.inner.health().await)
    }

    async fn usage(&self) -> Result<Usage> {
        let entry = self.log.begin(format_args!("usage()"));
        entry.answer(self.inner.usage().await)
    }

    async fn sync(&self) -> Result<()> {
        let entry = self.log.begin(format_args!("sync()"));
        entry.answer(self.inner.sync().await)
    }

    async fn close(&self) -> Result<()> {
        let entry = self.log.begin(format_args!("close()"));
        entry.answer(self.inner.close().await)
    }

    fn verify(&self) -> Option<&dyn Verify> {
        self.inner.verify()
    }

    fn shortcut(&self, partition: &PartitionId) -> Option<Arc<dyn Shortcut>> {
        let entry = self.log.begin(format_args!("shortcut({partition})"));
        let inner = entry.answer(self.inner.shortcut(partition))?;
        Some(Arc::new(LoggedShortcut {
            inner,
            partition: partition.clone(),
            log: self.log.clone(),
        }))
    }
}

/// A shortcut of the backend, which logs as well: no call goes past the log.
#[derive(Debug)]
struct LoggedShortcut {
    inner: Arc<dyn Shortcut>,
    partition: PartitionId,
    log: Arc<OperationLog>,
}

impl Shortcut for LoggedShortcut {
    fn produce(&self, batch: &SealedBatch) -> Option<Result<Produced>> {
        let (partition, shown) = (&self.partition, shown(batch));
        let entry = self.log.begin(format_args!(
            "produce by a shortcut({partition}, {shown:?})"
        ));
        entry.answer(self.inner.produce(batch))
    }

    fn lease(&self, request: &LeaseRequest) -> Option<Result<(LeasedBatch, Option<Timestamp>)>> {
        let partition = &self.partition;
        let entry = self.log.begin(format_args!(
            "lease by a shortcut({partition}, {request:?})"
        ));
        entry.answer(self.inner.lease(request))
    }

    fn complete(&self, receipts: &Receipts) -> Option<Result<Vec<CompleteOutcome>>> {
        let partition = &self.partition;
        let entry = self.log.begin(format_args!(
            "complete by a shortcut({partition}, {receipts:?})"
        ));
        entry.answer(self.inner.complete(receipts))
    }
}
