//! The operations: each goes through [`Faults::run`].

use storage_api::*;

use crate::faults::{Fault, Faults, meet};

#[async_trait]
impl PartitionStore for Faults {
    async fn create_partition(
        &self,
        id: &PartitionId,
        config: PartitionConfig,
    ) -> Result<PartitionInfo> {
        self.run(Operation::CreatePartition, id, || {
            self.inner.create_partition(id, config)
        })
        .await
    }

    async fn update_partition(
        &self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome> {
        self.run(Operation::UpdatePartition, id, || {
            self.inner.update_partition(id, expected, config)
        })
        .await
    }

    async fn partition(&self, id: &PartitionId) -> Result<PartitionInfo> {
        self.run(Operation::Partition, id, || self.inner.partition(id))
            .await
    }

    async fn list_partitions(
        &self,
        after: Option<&Cursor>,
        partitions_max: Count,
    ) -> Result<Page<PartitionInfo>> {
        self.run(Operation::ListPartitions, Object::Backend, || {
            self.inner.list_partitions(after, partitions_max)
        })
        .await
    }

    async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
        self.run(Operation::DeletePartition, id, || {
            self.inner.delete_partition(id)
        })
        .await
    }

    async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
        self.run(Operation::Stats, id, || self.inner.stats(id))
            .await
    }

    async fn maintain(
        &self,
        id: &PartitionId,
        now: Timestamp,
        items_max: Count,
    ) -> Result<Maintained> {
        self.run(Operation::Maintain, id, || {
            self.inner.maintain(id, now, items_max)
        })
        .await
    }

    async fn watch(&self, id: &PartitionId) -> Result<Signal> {
        self.run(Operation::Watch, id, || self.inner.watch(id))
            .await
    }
}

#[async_trait]
impl ItemStore for Faults {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let fault = self.next(Operation::Produce);
        let hint = match fault {
            Some(Fault::After) => self.produce_hint(partition, &batch).await,
            _ => RetryHint::Never,
        };
        let call = || self.inner.produce(partition, batch);
        meet(fault, Operation::Produce, partition, hint, call).await
    }

    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        self.run(Operation::Lease, partition, || {
            self.inner.lease(partition, request)
        })
        .await
    }

    async fn extend(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
        deadline: Timestamp,
    ) -> Result<Vec<ExtendOutcome>> {
        self.run(Operation::Extend, partition, || {
            self.inner.extend(partition, receipts, deadline)
        })
        .await
    }

    async fn release(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<ReleaseOutcome>> {
        self.run(Operation::Release, partition, || {
            self.inner.release(partition, receipts)
        })
        .await
    }

    async fn release_holder(
        &self,
        partition: &PartitionId,
        holder: Holder,
        items_max: Count,
    ) -> Result<ReleasedHolder> {
        self.run(Operation::ReleaseHolder, partition, || {
            self.inner.release_holder(partition, holder, items_max)
        })
        .await
    }

    async fn complete(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<CompleteOutcome>> {
        self.run(Operation::Complete, partition, || {
            self.inner.complete(partition, receipts)
        })
        .await
    }

    async fn retry(
        &self,
        partition: &PartitionId,
        now: Timestamp,
        retries: Retries,
    ) -> Result<Vec<RetryOutcome>> {
        self.run(Operation::Retry, partition, || {
            self.inner.retry(partition, now, retries)
        })
        .await
    }

    async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        self.run(Operation::Revive, partition, || {
            self.inner.revive(partition, ids)
        })
        .await
    }

    async fn get_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
        payloads: bool,
    ) -> Result<Vec<Option<ItemEntry>>> {
        self.run(Operation::GetItems, partition, || {
            self.inner.get_items(partition, ids, payloads)
        })
        .await
    }

    async fn list_items(
        &self,
        partition: &PartitionId,
        request: ListRequest,
    ) -> Result<Page<ItemEntry>> {
        self.run(Operation::ListItems, partition, || {
            self.inner.list_items(partition, request)
        })
        .await
    }

    async fn delete_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
    ) -> Result<Vec<DeleteOutcome>> {
        self.run(Operation::DeleteItems, partition, || {
            self.inner.delete_items(partition, ids)
        })
        .await
    }

    async fn clear(
        &self,
        partition: &PartitionId,
        states: States,
        items_max: Count,
    ) -> Result<Cleared> {
        self.run(Operation::Clear, partition, || {
            self.inner.clear(partition, states, items_max)
        })
        .await
    }

    async fn restore(
        &self,
        partition: &PartitionId,
        items: RestoreBatch,
        floors: Floors,
    ) -> Result<()> {
        self.run(Operation::Restore, partition, || {
            self.inner.restore(partition, items, floors)
        })
        .await
    }
}

#[async_trait]
impl MetadataStore for Faults {
    async fn get(
        &self,
        now: Timestamp,
        namespace: &Namespace,
        key: &Key,
    ) -> Result<Option<MetadataEntry>> {
        let object = Object::Key(namespace.clone(), key.clone());
        self.run(Operation::Get, object, || {
            self.inner.get(now, namespace, key)
        })
        .await
    }

    async fn scan(&self, now: Timestamp, request: ScanRequest) -> Result<Page<MetadataEntry>> {
        let object = Object::from(&request.namespace);
        self.run(Operation::Scan, object, || self.inner.scan(now, request))
            .await
    }

    async fn namespaces(
        &self,
        after: Option<&Cursor>,
        namespaces_max: Count,
    ) -> Result<Page<Namespace>> {
        self.run(Operation::Namespaces, Object::Backend, || {
            self.inner.namespaces(after, namespaces_max)
        })
        .await
    }

    async fn purge(&self, now: Timestamp, entries_max: Count) -> Result<Purged> {
        self.run(Operation::Purge, Object::Backend, || {
            self.inner.purge(now, entries_max)
        })
        .await
    }
}

#[async_trait]
impl StorageBackend for Faults {
    forward_backend!(StorageBackend => inner, except [commit, health, usage, sync, verify, close]);

    async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
        self.run(Operation::Commit, Object::Backend, || {
            self.inner.commit(request)
        })
        .await
    }

    async fn health(&self) -> Result<Health> {
        self.run(Operation::Health, Object::Backend, || self.inner.health())
            .await
    }

    async fn usage(&self) -> Result<Usage> {
        self.run(Operation::Usage, Object::Backend, || self.inner.usage())
            .await
    }

    async fn sync(&self) -> Result<()> {
        self.run(Operation::Sync, Object::Backend, || self.inner.sync())
            .await
    }

    fn verify(&self) -> Option<&dyn Verify> {
        self.inner.verify()?;
        Some(&self.checker)
    }

    async fn close(&self) -> Result<()> {
        let close = || async {
            self.inner.close().await?;
            self.closed();
            Ok(())
        };
        self.run(Operation::Close, Object::Backend, close).await
    }
}

impl Faults {
    /// Producing again is harmless where every item has a dedup key that outlives it (clause ERR-1).
    async fn produce_hint(&self, partition: &PartitionId, batch: &SealedBatch) -> RetryHint {
        let is_keyed = batch.records().all(|record| record.dedup_key().is_some());
        if !is_keyed {
            return RetryHint::Never;
        }
        match self.inner.partition(partition).await {
            Ok(info) if !info.config.dedup_for().is_zero() => RetryHint::SameCall,
            _ => RetryHint::Never,
        }
    }
}
