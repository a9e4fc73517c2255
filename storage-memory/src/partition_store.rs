//! The operations on partitions.

use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use storage_api::{
    Count, Cursor, Error, ErrorKind, Maintained, Object, Operation, Page, PartitionConfig,
    PartitionId, PartitionInfo, PartitionStats, PartitionStore, Result, Signal, Timestamp,
    UpdateOutcome, Version,
};

use crate::account::own_bytes;
use crate::backend::MemoryBackend;
use crate::discard::discard;
use crate::home::Home;
use crate::numbers::Counter;
use crate::partition::Partition;

#[async_trait]
impl PartitionStore for MemoryBackend {
    async fn create_partition(
        &self,
        id: &PartitionId,
        config: PartitionConfig,
    ) -> Result<PartitionInfo> {
        let own = usize::try_from(own_bytes(id)).unwrap_or(usize::MAX);
        self.enter(Operation::CreatePartition)?.reclaim_for(0, own);
        self.alone(Operation::CreatePartition, |opened| {
            let Entry::Vacant(vacant) = opened.partitions.entry(id.clone()) else {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    Operation::CreatePartition,
                    id,
                    "it is there already; update it, or delete it first",
                ));
            };
            let own_bytes = own_bytes(id);
            if !opened.budget.reserve(own_bytes) {
                return Err(Error::new(
                    ErrorKind::CapacityExceeded,
                    Operation::CreatePartition,
                    id,
                    opened.budget.refuse(own_bytes),
                ));
            }
            let created = give_version(&opened.versions, Operation::CreatePartition, id)?;
            let info = PartitionInfo {
                id: id.clone(),
                created,
                revision: created,
                config,
            };
            let (leases, budget) = (opened.leases.clone(), opened.budget.clone());
            let mut partition = Partition::new(info.clone(), opened.floor, leases, budget);
            partition.charged = own_bytes;
            vacant.insert(Arc::new(Home::of(partition)));
            Ok(info)
        })
    }

    async fn update_partition(
        &self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome> {
        self.change(Operation::UpdatePartition, id, |partition, opened| {
            let found = partition.info.revision;
            if expected.is_some_and(|expected| expected != found) {
                return Ok(UpdateOutcome::Conflict(found));
            }
            let revision = give_version(&opened.versions, Operation::UpdatePartition, id)?;
            partition.info.revision = revision;
            partition.info.config = config;
            // What was refused in the old mode may be taken in the new one.
            partition.hub.fire();
            Ok(UpdateOutcome::Updated(revision))
        })
    }

    async fn partition(&self, id: &PartitionId) -> Result<PartitionInfo> {
        self.look(Operation::Partition, id, |partition| {
            Ok(partition.info.clone())
        })
    }

    async fn list_partitions(
        &self,
        after: Option<&Cursor>,
        partitions_max: Count,
    ) -> Result<Page<PartitionInfo>> {
        let opened = self.enter(Operation::ListPartitions)?;
        let after = after
            .map(Cursor::partition_point)
            .transpose()
            .map_err(|error| error.during(Operation::ListPartitions, Object::Backend))?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut partitions = opened.partitions.range((from, Bound::Unbounded));
        let items: Vec<PartitionInfo> = partitions
            .by_ref()
            .take(partitions_max.get())
            .map(|(_, partition)| partition.lock().info.clone())
            .collect();
        let next = match (partitions.next(), items.last()) {
            (Some(_), Some(last)) => Some(Cursor::after_partition(&last.id)),
            _ => None,
        };
        Ok(Page { items, next })
    }

    async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
        let partition = self.alone(Operation::DeletePartition, |opened| {
            let partition = opened
                .partitions
                .remove(id)
                .ok_or_else(|| Error::partition_not_found(Operation::DeletePartition, id))?
                .leave();
            let given = partition.ids.last().max(partition.positions.last());
            opened.floor = opened.floor.max(given);
            Ok(partition)
        })?;
        discard(partition);
        Ok(())
    }

    async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
        self.look(Operation::Stats, id, |partition| Ok(partition.stats()))
    }

    async fn maintain(
        &self,
        id: &PartitionId,
        now: Timestamp,
        items_max: Count,
    ) -> Result<Maintained> {
        // It comes before every lease, and mostly finds nothing to do.
        let opened = self.enter(Operation::Maintain)?;
        let mut partition = opened.partition(Operation::Maintain, id)?.lock();
        match partition.maintain_nothing(now)? {
            Some(next_due) => {
                partition.rest(now);
                let mut maintained = Maintained::default();
                maintained.next_due = next_due;
                Ok(maintained)
            }
            None => partition.change(|partition| partition.maintain(now, items_max)),
        }
    }

    async fn watch(&self, id: &PartitionId) -> Result<Signal> {
        self.look(Operation::Watch, id, |partition| Ok(partition.hub.watch()))
    }
}

fn give_version(versions: &Counter, operation: Operation, id: &PartitionId) -> Result<Version> {
    versions
        .give(1)
        .and_then(|version| Version::new(version).ok())
        .ok_or_else(|| {
            Error::new(
                ErrorKind::CapacityExceeded,
                operation,
                id,
                "the versions are used up",
            )
        })
}
