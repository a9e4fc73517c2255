//! The wrong drivers about what comes in.

use std::collections::HashSet;
use std::sync::Mutex;

use bytes::Bytes;
use storage_api::*;
use storage_model::{Contents, GoneKey, Partition};

use crate::edited::{Scene, batch_of, find, find_mut, rewritten};
use crate::mutant::{Opened, wrong};

pub(super) fn largest_id(partition: &Partition) -> u64 {
    partition.items.last().map_or(0, |item| item.id.get())
}

/// The position of an item that has become ready.
pub(super) fn new_position(before: &Partition, item: &ItemEntry) -> Option<Position> {
    let mut earlier = before.items.iter();
    let was_ready = earlier.any(|one| one.id == item.id && one.state() == State::Ready);
    match item.state {
        ItemState::Ready { position } if !was_ready => Some(position),
        _ => None,
    }
}

pub(super) fn new_positions(before: &Partition, now: &Partition) -> impl Iterator<Item = Position> {
    now.items
        .iter()
        .filter_map(|item| new_position(before, item))
}

/// Deals the positions of the ready items out by their creation.
pub(super) fn by_age(partition: &mut Partition) {
    let is_ready = |item: &&mut ItemEntry| item.state() == State::Ready;
    let mut positions: Vec<_> = partition
        .items
        .iter()
        .filter_map(|item| match item.state {
            ItemState::Ready { position } => Some(position),
            _ => None,
        })
        .collect();
    positions.sort();
    let mut ready: Vec<_> = partition.items.iter_mut().filter(is_ready).collect();
    ready.sort_by_key(|item| item.record.view().created_at());
    for (item, position) in ready.into_iter().zip(positions) {
        item.state = ItemState::Ready { position };
    }
}

/// Changes the payload of every new item.
pub(super) fn repaid(scene: &mut Scene<'_>, change: fn(&mut Vec<u8>)) {
    scene.new_items(|item| {
        item.record = rewritten(&item.record, |parts| change(&mut parts.payload))
    });
}

/// Tells something else of each duplicate.
pub(super) fn retold(produced: &mut Produced, change: fn(&mut Duplicate)) {
    let mut duplicates = produced.duplicates().to_vec();
    duplicates.iter_mut().for_each(change);
    let first = produced.ids().next();
    *produced = Produced::new(first, produced.len(), duplicates);
}

/// Takes the dedup keys from some items.
pub(super) fn without_keys(contents: &mut Contents, which: fn(&ItemEntry) -> bool) {
    let items = contents
        .partitions
        .iter_mut()
        .flat_map(|one| &mut one.items);
    for item in items.filter(|item| which(item) && item.record.view().dedup_key().is_some()) {
        item.record = rewritten(&item.record, |parts| parts.dedup_key = None);
    }
}

/// What has gone leaves its key behind, which is due long after everything.
pub(super) fn linger_for_ever(scene: &mut Scene<'_>) {
    scene.gone(|item, partition| {
        if let Some(key) = item.record.view().dedup_key()
            && partition.gone_keys.iter().all(|gone| gone.of != item.id)
        {
            partition.gone_keys.push(GoneKey {
                key: Bytes::copy_from_slice(key),
                of: item.id,
                due_at: Timestamp::from_micros(1_000_000),
            });
        }
    });
}

/// Produces a batch without some of its items, which are said to be duplicates.
pub(super) async fn produce_without(
    at: &Opened,
    partition: &PartitionId,
    batch: &SealedBatch,
    mut duplicates: Vec<Duplicate>,
) -> Result<Produced> {
    at.fired.fire_if(!duplicates.is_empty());
    let is_left = |index: &usize| duplicates.iter().all(|one| one.index != *index);
    let left: Vec<_> = (0..batch.len()).filter(is_left).collect();
    let records = left.iter().map(|index| batch.shared_record(*index));
    let produced = at
        .inner
        .produce(partition, batch_of(batch.now(), records))
        .await?;
    duplicates.extend(produced.duplicates().iter().map(|one| Duplicate {
        index: left[one.index],
        ..*one
    }));
    duplicates.sort_by_key(|one| one.index);
    Ok(Produced::new(
        produced.ids().next(),
        batch.len(),
        duplicates,
    ))
}

/// Whether two dedup keys, or the lack of them, are taken for one.
type IsSame = fn(Option<&[u8]>, Option<&[u8]>) -> bool;

/// The duplicates of a batch among the items that are there, where keys are compared in that way.
pub(super) fn duplicates_by(
    there: &Partition,
    batch: &SealedBatch,
    is_same: IsSame,
) -> Vec<Duplicate> {
    let duplicates = batch.records().enumerate().filter_map(|(index, record)| {
        let mut items = there.items.iter();
        let key = record.dedup_key();
        let item = items.find(|item| is_same(item.record.view().dedup_key(), key))?;
        (item.record.view().dedup_key() != key || key.is_none()).then(|| Duplicate {
            index,
            of: item.id,
            state: Some(item.state()),
        })
    });
    duplicates.collect()
}

wrong! { HalfABatch ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let refused = match self.inner.produce(partition, batch.clone()).await {
            Err(error) if error.kind() == ErrorKind::CapacityExceeded => error,
            answer => return answer,
        };
        for len in (1..batch.len()).rev() {
            let records = (0..len).map(|index| batch.shared_record(index));
            if self.inner.produce(partition, batch_of(batch.now(), records)).await.is_ok() {
                self.at.fire();
                break;
            }
        }
        Err(refused)
    }
}}

wrong! { CutBatch ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        if !self.at.fired.fire_if(batch.len() > 1000) {
            return self.inner.produce(partition, batch).await;
        }
        let records = (0..1000).map(|index| batch.shared_record(index));
        let produced = self.inner.produce(partition, batch_of(batch.now(), records)).await?;
        Ok(Produced::new(produced.ids().next(), batch.len(), Vec::new()))
    }
}}

wrong! { EmptyStores ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        if self.at.fired.fire_if(batch.is_empty()) {
            let mut one = ItemBatch::new();
            one.push(NewItem::new(""))?;
            self.inner.produce(partition, one.seal(batch.now())).await?;
            return Ok(Produced::default());
        }
        self.inner.produce(partition, batch).await
    }
}}

wrong! { DuplicatesTakeIds ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let produced = self.inner.produce(partition, batch).await?;
        let stored: Vec<_> = produced.outcomes().enumerate().filter_map(|(index, outcome)| match outcome {
            ProduceOutcome::Stored(id) => Some((index, id)),
            ProduceOutcome::Duplicate { .. } => None,
        }).collect();
        self.at.edit(|contents| {
            let Some(there) = find_mut(contents, partition) else { return };
            for (index, id) in stored.into_iter().rev() {
                let before = produced.duplicates().iter().filter(|one| one.index < index).count();
                let mut items = there.items.iter_mut();
                if let Some(item) = items.find(|item| item.id == id)
                    && let Ok(id) = ItemId::new(id.get() + before as u64)
                {
                    item.id = id;
                    there.last_id = there.last_id.max(id.get());
                }
            }
        });
        Ok(produced)
    }
}}

wrong! { KeysOfTheBackend ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let mut everything = self.inner.contents();
        everything.partitions.retain(|one| one.info.id != *partition);
        let items: Vec<_> = everything.partitions.into_iter().flat_map(|one| one.items).collect();
        let duplicates = batch.records().enumerate().filter_map(|(index, record)| {
            let key = record.dedup_key()?;
            let item = items.iter().find(|item| item.record.view().dedup_key() == Some(key))?;
            Some(Duplicate { index, of: item.id, state: Some(item.state()) })
        });
        let duplicates = duplicates.collect();
        produce_without(&self.at, partition, &batch, duplicates).await
    }
}}

wrong! { KeysByPrefix ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let contents = self.inner.contents();
        let duplicates = find(&contents, partition).map_or(Vec::new(), |there| {
            duplicates_by(there, &batch, |a, b| {
                a.zip(b).is_some_and(|(a, b)| a[..a.len().min(255)] == b[..b.len().min(255)])
            })
        });
        let twins = batch.records().enumerate().filter_map(|(index, record)| {
            let key = record.dedup_key().filter(|key| key.len() > 255)?;
            let mut earlier = batch.records().take(index);
            let at = earlier.position(|one| one.dedup_key().is_some_and(|other| other.starts_with(&key[..255])))?;
            let of = ItemId::new(find(&contents, partition)?.last_id + at as u64 + 1).ok()?;
            Some(Duplicate { index, of, state: Some(State::Ready) })
        });
        let duplicates = duplicates.into_iter().chain(twins).collect();
        produce_without(&self.at, partition, &batch, duplicates).await
    }
}}

wrong! { NoKeyIsAKey ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let contents = self.inner.contents();
        let duplicates = find(&contents, partition).map_or(Vec::new(), |there| {
            duplicates_by(there, &batch, |a, b| a.is_none() && b.is_none())
        });
        produce_without(&self.at, partition, &batch, duplicates).await
    }
}}

wrong! { StoresTwins ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let is_twin = |index: usize| {
            let key = batch.record(index).dedup_key();
            key.is_some() && (0..index).any(|earlier| batch.record(earlier).dedup_key() == key)
        };
        let records = (0..batch.len()).map(|index| {
            let record = batch.shared_record(index);
            match self.at.fired.fire_if(is_twin(index)) {
                true => rewritten(&record, |parts| parts.dedup_key = None),
                false => record,
            }
        });
        let changed = batch_of(batch.now(), records);
        self.inner.produce(partition, changed).await
    }
}}

wrong! { LastWins ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let contents = self.inner.contents();
        let last_id = find(&contents, partition).map_or(0, |there| there.last_id);
        let duplicates = (0..batch.len()).filter_map(|index| {
            let key = batch.record(index).dedup_key()?;
            (index + 1..batch.len()).find(|later| batch.record(*later).dedup_key() == Some(key))?;
            let of = ItemId::new(last_id + 1).ok()?;
            Some(Duplicate { index, of, state: Some(State::Ready) })
        });
        let duplicates = duplicates.collect();
        produce_without(&self.at, partition, &batch, duplicates).await
    }
}}

wrong! { Replaces ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let produced = self.inner.produce(partition, batch.clone()).await?;
        for duplicate in produced.duplicates() {
            self.at.edit(|contents| {
                let there = find_mut(contents, partition).into_iter();
                let mut items = there.flat_map(|one| &mut one.items);
                if let Some(item) = items.find(|item| item.id == duplicate.of) {
                    item.record = batch.shared_record(duplicate.index);
                }
            });
        }
        Ok(produced)
    }
}}

wrong! { FullFirst ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let contents = self.inner.contents();
        let is_full = find(&contents, partition).is_some_and(|there| {
            let items_max = there.info.config.items_max();
            items_max != 0 && (there.items.len() + batch.len()) as u64 > items_max
        });
        let answer = self.inner.produce(partition, batch.clone()).await;
        if is_full && answer.is_ok() && !batch.is_empty() {
            self.at.fire();
            let (kind, operation) = (ErrorKind::CapacityExceeded, Operation::Produce);
            return Err(Error::new(kind, operation, partition, "it is full"));
        }
        answer
    }
}}

wrong! { TakesKeysFirst ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let answer = self.inner.produce(partition, batch.clone()).await;
        if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::CapacityExceeded) {
            self.at.edit(|contents| {
                let Some(there) = find_mut(contents, partition) else { return };
                for key in batch.records().filter_map(|record| record.dedup_key()) {
                    let key = Bytes::copy_from_slice(key);
                    if let Ok(of) = ItemId::new(there.last_id + 1) {
                        there.gone_keys.push(GoneKey { key, of, due_at: Timestamp::MAX });
                    }
                }
            });
        }
        answer
    }
}}

wrong! { FreesAtProduce ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        self.at.edit(|contents| {
            if let Some(there) = find_mut(contents, partition) {
                there.gone_keys.retain(|key| key.due_at > batch.now());
            }
        });
        self.inner.produce(partition, batch).await
    }
}}

wrong! { Lengthens ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let produced = self.inner.produce(partition, batch.clone()).await?;
        for duplicate in produced.duplicates() {
            self.at.edit(|contents| {
                let Some(there) = find_mut(contents, partition) else { return };
                let dedup_for = there.info.config.dedup_for();
                for key in there.gone_keys.iter_mut().filter(|key| key.of == duplicate.of) {
                    key.due_at = batch.now().saturating_add(dedup_for);
                }
            });
        }
        Ok(produced)
    }
}}

wrong! { FreesAgain { freed: Mutex<HashSet<Bytes>> } PartitionStore [maintain] {
    async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
        let freed = self.freed.lock().expect("nobody panics with it").clone();
        self.at.edit(|contents| {
            let keys = find_mut(contents, id).into_iter().flat_map(|one| &mut one.gone_keys);
            for key in keys.filter(|key| freed.contains(&key.key)) {
                key.due_at = Timestamp::MIN;
            }
        });
        let before = self.inner.contents();
        let done = self.inner.maintain(id, now, items_max).await?;
        let after = self.inner.contents();
        let keys = |contents: &Contents| {
            let there = find(contents, id).into_iter().flat_map(|one| &one.gone_keys);
            there.map(|key| key.key.clone()).collect::<HashSet<_>>()
        };
        let gone = keys(&before).difference(&keys(&after)).cloned().collect::<Vec<_>>();
        self.freed.lock().expect("nobody panics with it").extend(gone);
        Ok(done)
    }
}}
