//! The wrong drivers about restoring.

use std::sync::Mutex;

use storage_api::*;
use storage_model::{Contents, Partition};

use crate::edited::{find, find_mut};
use crate::mutant::wrong;

/// The refusal of a restored item.
pub(super) fn taken(partition: &PartitionId, item: ItemId) -> Error {
    let object = Object::Item(partition.clone(), item);
    let reason = "it is taken; leave the item away";
    Error::new(ErrorKind::AlreadyExists, Operation::Restore, object, reason)
}

/// Puts items there as they are.
pub(super) fn put(contents: &mut Contents, partition: &PartitionId, items: &[ItemEntry]) {
    if let Some(there) = find_mut(contents, partition) {
        there
            .items
            .retain(|one| items.iter().all(|item| item.id != one.id));
        there.items.extend_from_slice(items);
        there.items.sort_by_key(|item| item.id);
    }
}

pub(super) fn is_taken(there: &Partition, item: &ItemEntry) -> bool {
    let position = item.state.position();
    there
        .items
        .iter()
        .any(|one| one.id == item.id || position.is_some() && one.state.position() == position)
}

wrong! { HalfARestore ItemStore [restore] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        let refused = match self.inner.restore(partition, items.clone(), floors).await {
            Err(error) if error.kind() != ErrorKind::NotFound => error,
            answer => return answer,
        };
        for len in (1..items.len()).rev() {
            let some = RestoreBatch::new(items[..len].to_vec())?;
            if self.inner.restore(partition, some, floors).await.is_ok() {
                self.at.fire();
                break;
            }
        }
        Err(refused)
    }
}}

wrong! { Overwrites ItemStore [restore] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        let contents = self.inner.contents();
        let there = find(&contents, partition);
        let old = there.into_iter().flat_map(|one| &one.items);
        let old = old.filter(|one| items.iter().any(|item| item.id == one.id)).map(|one| one.id);
        let old = ItemIds::collect(old)?;
        if self.at.fired.fire_if(!old.is_empty()) {
            self.inner.delete_items(partition, old).await?;
        }
        self.inner.restore(partition, items, floors).await
    }
}}

wrong! { SharesPositions ItemStore [restore] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        let contents = self.inner.contents();
        let moved = items.iter().cloned().map(|mut item| {
            let there = find(&contents, partition).into_iter().flat_map(|one| &one.items);
            let mut at = there.filter(|one| one.id != item.id && one.state.position() == item.state.position());
            if item.state.position().is_some() && self.at.fired.fire_if(at.next().is_some()) {
                let (reason, died_at) = (DeadReason::Rejected, Timestamp::EPOCH);
                item.state = ItemState::Dead { reason, died_at };
            }
            item
        });
        let moved = RestoreBatch::new(moved.collect())?;
        self.inner.restore(partition, moved, floors).await?;
        self.inner.edit(|contents| put(contents, partition, &items));
        Ok(())
    }
}}

wrong! { NamesTheLast ItemStore [restore] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        let last = items.last().map(|item| item.id);
        match (self.inner.restore(partition, items, floors).await, last) {
            (Err(error), Some(last)) if error.kind() == ErrorKind::AlreadyExists => {
                self.at.fire();
                Err(taken(partition, last))
            }
            (answer, _) => answer,
        }
    }
}}

wrong! { NeedsAnOrder ItemStore [restore] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        if self.at.fired.fire_if(!items.is_sorted_by_key(|item| item.id)) {
            return Err(Error::invalid("restored batch", "it is not ordered"));
        }
        self.inner.restore(partition, items, floors).await
    }
}}

wrong! { MakesThePartition ItemStore [restore] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        if self.inner.partition(partition).await.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            self.at.fire();
            self.inner.create_partition(partition, PartitionConfig::default()).await?;
        }
        self.inner.restore(partition, items, floors).await
    }
}}

wrong! { GoneIsTaken ItemStore [restore] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        let contents = self.inner.contents();
        if let Some(there) = find(&contents, partition) {
            let is_gone = |item: &&ItemEntry| {
                item.id.get() <= there.last_id && there.items.iter().all(|one| one.id != item.id)
            };
            if let Some(gone) = items.iter().find(is_gone) {
                self.at.fire();
                return Err(taken(partition, gone.id));
            }
        }
        self.inner.restore(partition, items, floors).await
    }
}}

wrong! { LeftIsTaken ItemStore [restore] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        let contents = self.inner.contents();
        if let Some(there) = find(&contents, partition) {
            let is_left = |item: &&ItemEntry| {
                let position = item.state.position().map_or(u64::MAX, Position::get);
                position <= there.last_position && !is_taken(there, item)
            };
            if let Some(left) = items.iter().find(is_left) {
                self.at.fire();
                return Err(taken(partition, left.id));
            }
        }
        self.inner.restore(partition, items, floors).await
    }
}}

wrong! { TakenInEvery ItemStore [restore] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        let contents = self.inner.contents();
        if let Some(there) = find(&contents, partition) {
            let is_beside = |item: &&ItemEntry| {
                let (position, priority) = (item.state.position(), item.record.view().priority());
                position.is_some() && there.items.iter().any(|one| {
                    one.state.position() == position && one.record.view().priority() != priority
                })
            };
            if let Some(beside) = items.iter().find(is_beside) {
                self.at.fire();
                return Err(taken(partition, beside.id));
            }
        }
        self.inner.restore(partition, items, floors).await
    }
}}

wrong! { KeysOfTheBackend ItemStore [restore] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        let contents = self.inner.contents();
        let others = contents.partitions.iter().filter(|one| one.info.id != *partition);
        let others: Vec<_> = others.flat_map(|one| &one.items).collect();
        let is_elsewhere = |item: &&ItemEntry| {
            let key = item.record.view().dedup_key();
            key.is_some() && others.iter().any(|one| one.record.view().dedup_key() == key)
        };
        if let Some(elsewhere) = items.iter().find(is_elsewhere) {
            self.at.fire();
            return Err(taken(partition, elsewhere.id));
        }
        self.inner.restore(partition, items, floors).await
    }
}}

wrong! { TakesTwins ItemStore [restore] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        let answer = self.inner.restore(partition, items.clone(), floors).await;
        let contents = self.inner.contents();
        let is_refused = answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists);
        let is_free = find(&contents, partition).is_some_and(|there| items.iter().all(|item| !is_taken(there, item)));
        if self.at.fired.fire_if(is_refused && is_free) {
            for item in items.into_vec() {
                // The first of two twins is stored, the second goes nowhere.
                let _ = self.inner.restore(partition, RestoreBatch::new(vec![item])?, floors).await;
            }
            return Ok(());
        }
        answer
    }
}}

wrong! { LostAtReopening
    PartitionStore [list_partitions] {
        async fn list_partitions(&self, after: Option<&Cursor>, partitions_max: Count) -> Result<Page<PartitionInfo>> {
            self.lose();
            self.inner.list_partitions(after, partitions_max).await
        }
    }
    ItemStore [restore, list_items] {
        async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
            self.inner.restore(partition, items.clone(), floors).await?;
            self.at.keep(partition);
            Ok(())
        }
        async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
            self.lose();
            self.inner.list_items(partition, request).await
        }
    }
}

impl LostAtReopening {
    /// The first look of a later opening does not find what was restored.
    fn lose(&self) {
        if self.at.opening == 1 {
            return;
        }
        for restored in self.at.all_deleted() {
            self.at.edit(|contents| {
                if let Some(there) = find_mut(contents, &restored.info.id) {
                    there
                        .items
                        .retain(|item| restored.items.iter().all(|one| one.id != item.id));
                }
            });
        }
    }
}

wrong! { FloorsNeedItems ItemStore [restore] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        let is_bare = items.is_empty() && floors != Floors::none();
        let floors = if self.at.fired.fire_if(is_bare) { Floors::none() } else { floors };
        self.inner.restore(partition, items, floors).await
    }
}}

wrong! { FloorsLower ItemStore [restore] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        self.inner.restore(partition, items, floors).await?;
        self.at.edit(|contents| {
            if let (Some(there), Some(id)) = (find_mut(contents, partition), floors.id()) {
                there.last_id = id.get();
            }
        });
        Ok(())
    }
}}

wrong! { LeasesOfThePartition { restored: Mutex<Option<(PartitionId, u64)>> } ItemStore [restore, lease] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        let before = self.inner.contents().last_lease;
        self.inner.restore(partition, items, floors).await?;
        if self.inner.contents().last_lease > before {
            *self.restored.lock().expect("nobody panics with it") = Some((partition.clone(), before));
        }
        Ok(())
    }
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let restored = self.restored.lock().expect("nobody panics with it").clone();
        if let Some((of, before)) = restored.filter(|(of, _)| of != partition) {
            let count = self.inner.contents().last_lease;
            self.at.edit(|contents| contents.last_lease = before);
            let batch = self.inner.lease(partition, request).await;
            self.inner.edit(|contents| contents.last_lease = count);
            *self.restored.lock().expect("nobody panics with it") = Some((of, before + 1));
            return batch;
        }
        self.inner.lease(partition, request).await
    }
}}
