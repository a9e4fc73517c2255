//! Mutants of the answers: what is stored is right, what is told is not.

use std::sync::Arc;

use storage_api::*;
use storage_conformance::reference::ReferenceBackend;
use storage_model::{Contents, Partition};

use crate::mutant::{Mutant, Opened};

/// Which answer is changed, and how. Each sees what is stored when the answer is given.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told {
    Stats(fn(&Partition, &mut PartitionStats)),
    Maintained(fn(&Partition, &mut Maintained)),
    Partitions(fn(&Contents, Count, &mut Page<PartitionInfo>)),
    Items(fn(&Partition, &ListRequest, &mut Page<ItemEntry>)),
    Found(fn(&Partition, &ItemIds, &mut Vec<Option<ItemEntry>>)),
    Cleared(fn(&mut Cleared)),
    ReleasedHolder(fn(&mut ReleasedHolder)),
    Produced(fn(&mut Produced)),
    Deleted(fn(&mut Vec<DeleteOutcome>)),
}

/// A mutant that tells something else than it found.
pub(crate) fn answered(
    name: &'static str,
    defect: &'static str,
    told: Told,
    caught_by: &'static [&'static str],
) -> Mutant {
    let wrap = move |at: Opened| -> Arc<dyn StorageBackend> {
        let inner = at.inner.clone();
        Arc::new(Answered { inner, at, told })
    };
    Mutant::new(name, defect, wrap, caught_by)
}

#[derive(Debug)]
struct Answered {
    inner: Arc<ReferenceBackend>,
    at: Opened,
    told: Told,
}

impl Answered {
    /// The answer after the change, which counts if it made a difference.
    fn change<T: Clone + PartialEq>(&self, mut answer: T, change: impl FnOnce(&mut T)) -> T {
        let sound = answer.clone();
        change(&mut answer);
        self.at.fired.fire_if(answer != sound);
        answer
    }

    fn partition_of(&self, id: &PartitionId) -> Partition {
        let partitions = self.inner.contents().partitions;
        let found = partitions.into_iter().find(|one| one.info.id == *id);
        found.expect("it has just answered")
    }
}

#[async_trait]
impl PartitionStore for Answered {
    forward_backend!(PartitionStore => inner, except [stats, maintain, list_partitions]);

    async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
        let answer = self.inner.stats(id).await?;
        Ok(match self.told {
            Told::Stats(told) => {
                let partition = self.partition_of(id);
                self.change(answer, |stats| told(&partition, stats))
            }
            _ => answer,
        })
    }

    async fn maintain(
        &self,
        id: &PartitionId,
        now: Timestamp,
        items_max: Count,
    ) -> Result<Maintained> {
        let answer = self.inner.maintain(id, now, items_max).await?;
        Ok(match self.told {
            Told::Maintained(told) => {
                let partition = self.partition_of(id);
                self.change(answer, |done| told(&partition, done))
            }
            _ => answer,
        })
    }

    async fn list_partitions(
        &self,
        after: Option<&Cursor>,
        partitions_max: Count,
    ) -> Result<Page<PartitionInfo>> {
        let answer = self.inner.list_partitions(after, partitions_max).await?;
        Ok(match self.told {
            Told::Partitions(told) => {
                let contents = self.inner.contents();
                self.change(answer, |page| told(&contents, partitions_max, page))
            }
            _ => answer,
        })
    }
}

#[async_trait]
impl ItemStore for Answered {
    forward_backend!(ItemStore => inner, except [
        produce, release_holder, get_items, list_items, delete_items, clear
    ]);

    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let answer = self.inner.produce(partition, batch).await?;
        Ok(match self.told {
            Told::Produced(told) => self.change(answer, told),
            _ => answer,
        })
    }

    async fn release_holder(
        &self,
        partition: &PartitionId,
        holder: Holder,
        items_max: Count,
    ) -> Result<ReleasedHolder> {
        let answer = self.inner.release_holder(partition, holder, items_max);
        let answer = answer.await?;
        Ok(match self.told {
            Told::ReleasedHolder(told) => self.change(answer, told),
            _ => answer,
        })
    }

    async fn get_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
        payloads: bool,
    ) -> Result<Vec<Option<ItemEntry>>> {
        let Told::Found(told) = self.told else {
            return self.inner.get_items(partition, ids, payloads).await;
        };
        let answer = self.inner.get_items(partition, ids.clone(), payloads);
        let answer = answer.await?;
        let partition = self.partition_of(partition);
        Ok(self.change(answer, |found| told(&partition, &ids, found)))
    }

    async fn list_items(
        &self,
        partition: &PartitionId,
        request: ListRequest,
    ) -> Result<Page<ItemEntry>> {
        let Told::Items(told) = self.told else {
            return self.inner.list_items(partition, request).await;
        };
        let answer = self.inner.list_items(partition, request.clone()).await?;
        let partition = self.partition_of(partition);
        Ok(self.change(answer, |page| told(&partition, &request, page)))
    }

    async fn delete_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
    ) -> Result<Vec<DeleteOutcome>> {
        let answer = self.inner.delete_items(partition, ids).await?;
        Ok(match self.told {
            Told::Deleted(told) => self.change(answer, told),
            _ => answer,
        })
    }

    async fn clear(
        &self,
        partition: &PartitionId,
        states: States,
        items_max: Count,
    ) -> Result<Cleared> {
        let answer = self.inner.clear(partition, states, items_max).await?;
        Ok(match self.told {
            Told::Cleared(told) => self.change(answer, told),
            _ => answer,
        })
    }
}

forward_backend!(impl MetadataStore for Answered => inner);
forward_backend!(impl StorageBackend for Answered => inner);
