//! The operations on items: each enters, locks its partition, and leaves the rest to the file of its name.

use async_trait::async_trait;
use storage_api::{
    Cleared, CompleteOutcome, Count, DeleteOutcome, ExtendOutcome, Floors, Holder, ItemEntry,
    ItemIds, ItemStore, LeaseRequest, LeasedBatch, ListRequest, Operation, Page, PartitionId,
    Produced, Receipts, ReleaseOutcome, ReleasedHolder, RestoreBatch, Result, Retries,
    RetryOutcome, ReviveOutcome, SealedBatch, States, Timestamp,
};

use crate::backend::MemoryBackend;

#[async_trait]
impl ItemStore for MemoryBackend {
    async fn produce(&self, id: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let opened = self.enter(Operation::Produce)?;
        opened.reclaim_for(batch.len(), batch.buffer().len());
        let mut partition = opened.partition(Operation::Produce, id)?.lock();
        partition.change(|partition| partition.produce(&batch))
    }

    async fn lease(&self, id: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        self.change(Operation::Lease, id, |partition, _| {
            partition.lease(&request)
        })
    }

    async fn extend(
        &self,
        id: &PartitionId,
        receipts: Receipts,
        deadline: Timestamp,
    ) -> Result<Vec<ExtendOutcome>> {
        self.change(Operation::Extend, id, |partition, _| {
            Ok(partition.extend(&receipts, deadline))
        })
    }

    async fn release(&self, id: &PartitionId, receipts: Receipts) -> Result<Vec<ReleaseOutcome>> {
        self.change(Operation::Release, id, |partition, _| {
            Ok(partition.release(&receipts))
        })
    }

    async fn release_holder(
        &self,
        id: &PartitionId,
        holder: Holder,
        items_max: Count,
    ) -> Result<ReleasedHolder> {
        self.change(Operation::ReleaseHolder, id, |partition, _| {
            Ok(partition.release_holder(holder, items_max))
        })
    }

    async fn complete(&self, id: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        self.change(Operation::Complete, id, |partition, _| {
            Ok(partition.complete(&receipts))
        })
    }

    async fn retry(
        &self,
        id: &PartitionId,
        now: Timestamp,
        retries: Retries,
    ) -> Result<Vec<RetryOutcome>> {
        self.change(Operation::Retry, id, |partition, _| {
            partition.retry(now, retries)
        })
    }

    async fn revive(&self, id: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        self.change(Operation::Revive, id, |partition, _| partition.revive(&ids))
    }

    async fn get_items(
        &self,
        id: &PartitionId,
        ids: ItemIds,
        payloads: bool,
    ) -> Result<Vec<Option<ItemEntry>>> {
        self.look(Operation::GetItems, id, |partition| {
            Ok(partition.get_items(&ids, payloads))
        })
    }

    async fn list_items(&self, id: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
        self.look(Operation::ListItems, id, |partition| {
            partition.list_items(&request)
        })
    }

    async fn delete_items(&self, id: &PartitionId, ids: ItemIds) -> Result<Vec<DeleteOutcome>> {
        self.change(Operation::DeleteItems, id, |partition, _| {
            Ok(partition.delete_items(&ids))
        })
    }

    async fn clear(&self, id: &PartitionId, states: States, items_max: Count) -> Result<Cleared> {
        self.change(Operation::Clear, id, |partition, _| {
            Ok(partition.clear(states, items_max))
        })
    }

    async fn restore(&self, id: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        let bytes = items.iter().map(|item| item.record.view().as_bytes().len());
        let opened = self.enter(Operation::Restore)?;
        opened.reclaim_for(items.len(), bytes.sum());
        let mut partition = opened.partition(Operation::Restore, id)?.lock();
        partition
            .change(|partition| partition.restore(items, &floors, &opened.leases, &opened.versions))
    }
}
