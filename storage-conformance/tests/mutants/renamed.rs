//! Mutants that keep two partitions in one place, as their names are not told apart.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use storage_api::*;
use storage_conformance::reference::ReferenceBackend;

use crate::mutant::{Mutant, Opened};

type Rename = fn(&str, u32) -> (String, u32);

/// A mutant that keeps the partition of a name under another. The catalogue knows the true names; items, configuration and
/// all else are shared where two fall together.
pub(crate) fn renamed(
    name: &'static str,
    defect: &'static str,
    rename: Rename,
    caught_by: &'static [&'static str],
) -> Mutant {
    let wrap = move |at: Opened| -> Arc<dyn StorageBackend> {
        Arc::new(Renamed {
            inner: at.inner.clone(),
            at,
            rename,
            names: Mutex::default(),
        })
    };
    Mutant::new(name, defect, wrap, caught_by)
}

#[derive(Debug)]
struct Renamed {
    inner: Arc<ReferenceBackend>,
    at: Opened,
    rename: Rename,
    /// The true names of what was made.
    names: Mutex<HashSet<PartitionId>>,
}

impl Renamed {
    /// Under which name a partition is kept.
    fn kept(&self, id: &PartitionId) -> PartitionId {
        let (queue, number) = (self.rename)(id.queue().as_str(), id.number());
        let kept = PartitionId::new(queue, number).unwrap_or_else(|_| id.clone());
        self.at.fired.fire_if(kept != *id);
        kept
    }

    /// The catalogue changes: whether it had the name before.
    fn catalogue(&self, id: &PartitionId, is_there: bool) -> bool {
        let mut names = self.names.lock().expect("nobody panics with it");
        match is_there {
            true => !names.insert(id.clone()),
            false => names.remove(id),
        }
    }
}

#[async_trait]
impl PartitionStore for Renamed {
    forward_backend!(PartitionStore => inner, except [
        create_partition, update_partition, partition, delete_partition, stats, maintain, watch
    ]);

    async fn create_partition(
        &self,
        id: &PartitionId,
        config: PartitionConfig,
    ) -> Result<PartitionInfo> {
        let made = self.inner.create_partition(&self.kept(id), config).await;
        let was_there = self.catalogue(id, true);
        match made {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && !was_there => {
                self.partition(id).await
            }
            made => made.map(|info| named(info, id)),
        }
    }

    async fn update_partition(
        &self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome> {
        let kept = self.kept(id);
        self.inner.update_partition(&kept, expected, config).await
    }

    async fn partition(&self, id: &PartitionId) -> Result<PartitionInfo> {
        let found = self.inner.partition(&self.kept(id)).await;
        found.map(|info| named(info, id))
    }

    async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
        self.catalogue(id, false);
        self.inner.delete_partition(&self.kept(id)).await
    }

    async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
        self.inner.stats(&self.kept(id)).await
    }

    async fn maintain(
        &self,
        id: &PartitionId,
        now: Timestamp,
        items_max: Count,
    ) -> Result<Maintained> {
        self.inner.maintain(&self.kept(id), now, items_max).await
    }

    async fn watch(&self, id: &PartitionId) -> Result<Signal> {
        self.inner.watch(&self.kept(id)).await
    }
}

#[async_trait]
impl ItemStore for Renamed {
    forward_backend!(ItemStore => inner, except [
        produce, lease, complete, list_items, get_items, clear
    ]);

    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        self.inner.produce(&self.kept(partition), batch).await
    }

    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        self.inner.lease(&self.kept(partition), request).await
    }

    async fn complete(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<CompleteOutcome>> {
        self.inner.complete(&self.kept(partition), receipts).await
    }

    async fn list_items(
        &self,
        partition: &PartitionId,
        request: ListRequest,
    ) -> Result<Page<ItemEntry>> {
        self.inner.list_items(&self.kept(partition), request).await
    }

    async fn get_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
        payloads: bool,
    ) -> Result<Vec<Option<ItemEntry>>> {
        let kept = self.kept(partition);
        self.inner.get_items(&kept, ids, payloads).await
    }

    async fn clear(
        &self,
        partition: &PartitionId,
        states: States,
        items_max: Count,
    ) -> Result<Cleared> {
        let kept = self.kept(partition);
        self.inner.clear(&kept, states, items_max).await
    }
}

forward_backend!(impl MetadataStore for Renamed => inner);
forward_backend!(impl StorageBackend for Renamed => inner);

fn named(mut info: PartitionInfo, id: &PartitionId) -> PartitionInfo {
    info.id = id.clone();
    info
}
