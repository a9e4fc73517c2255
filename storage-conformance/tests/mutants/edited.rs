//! Mutants of the state: after some operations, what is stored is not what it should be.

use std::sync::Arc;

use storage_api::*;
use storage_model::{Contents, Partition};

use crate::mutant::{Mutant, Opened};

/// What an edit sees: an operation that has just succeeded, what was there before it, and what is there now.
pub(crate) struct Scene<'a> {
    /// The time of the operation, where it has one.
    pub(crate) now: Option<Timestamp>,
    pub(crate) before: &'a Contents,
    pub(crate) after: &'a mut Contents,
}

impl Scene<'_> {
    /// Each partition that was there before, as it was and as it is.
    pub(crate) fn partitions(&mut self, mut wrong: impl FnMut(&Partition, &mut Partition)) {
        for now in &mut self.after.partitions {
            let mut same = self.before.partitions.iter();
            if let Some(before) = same.find(|one| one.info.created == now.info.created) {
                wrong(before, now);
            }
        }
    }

    /// Each item that was in the one state and is in the other, as it was and as it is.
    pub(crate) fn moved(
        &mut self,
        from: State,
        to: State,
        mut wrong: impl FnMut(&ItemEntry, &mut ItemEntry),
    ) {
        self.items(|before, now| {
            if before.state() == from && now.state() == to {
                wrong(before, now);
            }
        });
    }

    /// Each item that was in the one state and is in the other, as an index into its partition.
    pub(crate) fn changed(
        &mut self,
        from: State,
        to: State,
        mut wrong: impl FnMut(&mut Partition, usize),
    ) {
        self.partitions(|before, now| {
            for index in 0..now.items.len() {
                let item = &now.items[index];
                let was = earlier(before, item.id).map(ItemEntry::state);
                if was == Some(from) && item.state() == to {
                    wrong(now, index);
                }
            }
        });
    }

    /// Each item that was there before and is there still, as it was and as it is.
    pub(crate) fn items(&mut self, mut wrong: impl FnMut(&ItemEntry, &mut ItemEntry)) {
        self.partitions(|before, now| {
            for item in &mut now.items {
                if let Some(earlier) = earlier(before, item.id) {
                    wrong(earlier, item);
                }
            }
        });
    }

    /// Each item that was not there before.
    pub(crate) fn new_items(&mut self, mut wrong: impl FnMut(&mut ItemEntry)) {
        let before = self.before;
        for now in &mut self.after.partitions {
            let mut same = before.partitions.iter();
            let same = same.find(|one| one.info.created == now.info.created);
            for item in &mut now.items {
                let is_old = same.is_some_and(|one| earlier(one, item.id).is_some());
                if !is_old {
                    wrong(item);
                }
            }
        }
    }

    /// Each item that was not there before, as an index into its partition.
    pub(crate) fn new_in(&mut self, mut wrong: impl FnMut(&mut Partition, usize)) {
        self.partitions(|before, now| {
            for index in 0..now.items.len() {
                if earlier(before, now.items[index].id).is_none() {
                    wrong(now, index);
                }
            }
        });
    }

    /// Each partition with the items that have gone from it.
    pub(crate) fn gone(&mut self, mut wrong: impl FnMut(&ItemEntry, &mut Partition)) {
        self.partitions(|before, now| {
            let gone = |item: &&ItemEntry| earlier(now, item.id).is_none();
            let gone: Vec<_> = before.items.iter().filter(gone).collect();
            for item in gone {
                wrong(item, now);
            }
        });
    }
}

/// The item of that id.
fn earlier(partition: &Partition, id: ItemId) -> Option<&ItemEntry> {
    let index = partition.items.binary_search_by_key(&id, |item| item.id);
    Some(&partition.items[index.ok()?])
}

/// The partition of that name.
pub(crate) fn find<'a>(contents: &'a Contents, id: &PartitionId) -> Option<&'a Partition> {
    contents.partitions.iter().find(|one| one.info.id == *id)
}

/// The partition of that name.
pub(crate) fn find_mut<'a>(
    contents: &'a mut Contents,
    id: &PartitionId,
) -> Option<&'a mut Partition> {
    let mut partitions = contents.partitions.iter_mut();
    partitions.find(|one| one.info.id == *id)
}

/// Each item of a partition.
pub(crate) fn each(contents: &mut Contents, id: &PartitionId, change: impl FnMut(&mut ItemEntry)) {
    let found = find_mut(contents, id).into_iter();
    found.flat_map(|one| &mut one.items).for_each(change);
}

/// A new position behind all others.
pub(crate) fn tail(partition: &mut Partition) -> Position {
    partition.last_position += 1;
    Position::new(partition.last_position).expect("no mutant uses the numbers up")
}

/// Makes an item ready behind all others.
pub(crate) fn to_tail(partition: &mut Partition, index: usize) {
    let position = tail(partition);
    partition.items[index].state = ItemState::Ready { position };
}

/// Puts an item back, in that state.
pub(crate) fn insert(partition: &mut Partition, item: &ItemEntry, state: ItemState) {
    let mut item = item.clone();
    item.state = state;
    if let Err(index) = partition.items.binary_search_by_key(&item.id, |one| one.id) {
        partition.items.insert(index, item);
    }
}

/// What a record is made of.
pub(crate) struct Parts {
    pub(crate) created_at: Timestamp,
    pub(crate) payload: Vec<u8>,
    pub(crate) kind: String,
    pub(crate) encoding: String,
    pub(crate) reference: String,
    pub(crate) dedup_key: Option<Vec<u8>>,
    pub(crate) priority: u8,
    pub(crate) enqueue_at: Option<Timestamp>,
    pub(crate) expire_at: Option<Timestamp>,
    pub(crate) attempts_max: u32,
}

impl Parts {
    fn of(record: &Record) -> Self {
        let view = record.view();
        let attributes = view.attributes();
        Self {
            created_at: view.created_at(),
            payload: view.payload().unwrap_or_default().to_vec(),
            kind: attributes.kind.to_owned(),
            encoding: attributes.encoding.to_owned(),
            reference: attributes.reference.to_owned(),
            dedup_key: attributes.dedup_key.map(<[u8]>::to_vec),
            priority: view.priority(),
            enqueue_at: view.enqueue_at(),
            expire_at: view.expire_at(),
            attempts_max: view.attempts_max(),
        }
    }

    fn push_to(&self, batch: &mut ItemBatch) {
        let mut item = NewItem::new(&self.payload)
            .kind(&self.kind)
            .encoding(&self.encoding)
            .reference(&self.reference)
            .priority(self.priority)
            .attempts_max(self.attempts_max);
        if let Some(key) = &self.dedup_key {
            item = item.dedup_key(key);
        }
        if let Some(at) = self.enqueue_at {
            item = item.enqueue_at(at);
        }
        if let Some(at) = self.expire_at {
            item = item.expire_at(at);
        }
        let pushed = batch.push(item);
        pushed.expect("what was stored is within the limits");
    }
}

/// The record of an item that is the same but for what is changed.
pub(crate) fn rewritten(record: &Record, change: impl FnOnce(&mut Parts)) -> Record {
    let mut parts = Parts::of(record);
    change(&mut parts);
    let mut batch = ItemBatch::new();
    parts.push_to(&mut batch);
    batch.seal(parts.created_at).shared_record(0)
}

/// A batch of these records, produced at that time.
pub(crate) fn batch_of(now: Timestamp, records: impl IntoIterator<Item = Record>) -> SealedBatch {
    let mut batch = ItemBatch::new();
    for record in records {
        Parts::of(&record).push_to(&mut batch);
    }
    batch.seal(now)
}

/// Every operation after which something can be edited.
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation::Open,
    Operation::CreatePartition,
    Operation::UpdatePartition,
    Operation::DeletePartition,
    Operation::Maintain,
    Operation::Produce,
    Operation::Lease,
    Operation::Extend,
    Operation::Release,
    Operation::ReleaseHolder,
    Operation::Complete,
    Operation::Retry,
    Operation::Revive,
    Operation::DeleteItems,
    Operation::Clear,
    Operation::Restore,
    Operation::Purge,
    Operation::Commit,
];

type Edit = fn(&mut Scene<'_>);

/// The limit of attempts in force; 0 is none.
pub(crate) fn attempts_max(partition: &Partition, item: &ItemEntry) -> u32 {
    match item.record.view().attempts_max() {
        0 => partition.info.config.attempts_max(),
        own => own,
    }
}

/// A mutant that changes what is stored after each of these operations; `Open` stands for a reopening, before anybody calls.
pub(crate) fn edited(
    name: &'static str,
    defect: &'static str,
    operations: &'static [Operation],
    edit: Edit,
    caught_by: &'static [&'static str],
) -> Mutant {
    around(name, defect, operations, |_| {}, edit, caught_by)
}

/// A mutant that does each of these operations on a state that was changed before, and repairs that afterwards: its answers
/// are as wrong as its state. What the edit calls `before` is the state before it was changed.
pub(crate) fn around(
    name: &'static str,
    defect: &'static str,
    operations: &'static [Operation],
    prepare: fn(&mut Contents),
    edit: Edit,
    caught_by: &'static [&'static str],
) -> Mutant {
    let wrap = move |at: Opened| -> Arc<dyn StorageBackend> {
        let edited = Edited {
            inner: at.inner.clone(),
            at,
            operations,
            prepare,
            edit,
        };
        if edited.at.opening > 1 {
            let before = edited.inner.contents();
            edited.edit(Operation::Open, None, &before);
        }
        Arc::new(edited)
    };
    Mutant::new(name, defect, wrap, caught_by)
}

#[derive(Debug)]
struct Edited {
    inner: Arc<storage_conformance::reference::ReferenceBackend>,
    at: Opened,
    operations: &'static [Operation],
    prepare: fn(&mut Contents),
    edit: Edit,
}

impl Edited {
    /// Runs a sound operation, and then the edit.
    async fn after<T>(
        &self,
        operation: Operation,
        now: Option<Timestamp>,
        run: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if !self.operations.contains(&operation) {
            return run.await;
        }
        let before = self.inner.contents();
        let is_prepared = self.at.edit(self.prepare);
        let answer = run.await;
        if answer.is_ok() {
            self.edit(operation, now, &before);
        } else if is_prepared {
            // What was refused changes nothing.
            self.inner.edit(|contents| *contents = before);
        }
        answer
    }

    fn edit(&self, operation: Operation, now: Option<Timestamp>, before: &Contents) {
        if !self.operations.contains(&operation) {
            return;
        }
        self.at.edit(|after| {
            (self.edit)(&mut Scene { now, before, after });
        });
    }
}

#[async_trait]
impl PartitionStore for Edited {
    forward_backend!(PartitionStore => inner, except [create_partition, update_partition, delete_partition, maintain]);

    async fn create_partition(
        &self,
        id: &PartitionId,
        config: PartitionConfig,
    ) -> Result<PartitionInfo> {
        let run = self.inner.create_partition(id, config);
        self.after(Operation::CreatePartition, None, run).await
    }

    async fn update_partition(
        &self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome> {
        let run = self.inner.update_partition(id, expected, config);
        self.after(Operation::UpdatePartition, None, run).await
    }

    async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
        let run = self.inner.delete_partition(id);
        self.after(Operation::DeletePartition, None, run).await
    }

    async fn maintain(
        &self,
        id: &PartitionId,
        now: Timestamp,
        items_max: Count,
    ) -> Result<Maintained> {
        let run = self.inner.maintain(id, now, items_max);
        self.after(Operation::Maintain, Some(now), run).await
    }
}

#[async_trait]
impl ItemStore for Edited {
    forward_backend!(ItemStore => inner, except [
        produce, lease, extend, release, release_holder, complete, retry, revive, delete_items, clear, restore
    ]);

    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let now = batch.now();
        let run = self.inner.produce(partition, batch);
        self.after(Operation::Produce, Some(now), run).await
    }

    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let now = request.now;
        let run = self.inner.lease(partition, request);
        self.after(Operation::Lease, Some(now), run).await
    }

    async fn extend(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
        deadline: Timestamp,
    ) -> Result<Vec<ExtendOutcome>> {
        let run = self.inner.extend(partition, receipts, deadline);
        self.after(Operation::Extend, None, run).await
    }

    async fn release(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<ReleaseOutcome>> {
        let run = self.inner.release(partition, receipts);
        self.after(Operation::Release, None, run).await
    }

    async fn release_holder(
        &self,
        partition: &PartitionId,
        holder: Holder,
        items_max: Count,
    ) -> Result<ReleasedHolder> {
        let run = self.inner.release_holder(partition, holder, items_max);
        self.after(Operation::ReleaseHolder, None, run).await
    }

    async fn complete(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<CompleteOutcome>> {
        let run = self.inner.complete(partition, receipts);
        self.after(Operation::Complete, None, run).await
    }

    async fn retry(
        &self,
        partition: &PartitionId,
        now: Timestamp,
        retries: Retries,
    ) -> Result<Vec<RetryOutcome>> {
        let run = self.inner.retry(partition, now, retries);
        self.after(Operation::Retry, Some(now), run).await
    }

    async fn revive(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        let run = self.inner.revive(partition, ids);
        self.after(Operation::Revive, None, run).await
    }

    async fn delete_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
    ) -> Result<Vec<DeleteOutcome>> {
        let run = self.inner.delete_items(partition, ids);
        self.after(Operation::DeleteItems, None, run).await
    }

    async fn clear(
        &self,
        partition: &PartitionId,
        states: States,
        items_max: Count,
    ) -> Result<Cleared> {
        let run = self.inner.clear(partition, states, items_max);
        self.after(Operation::Clear, None, run).await
    }

    async fn restore(
        &self,
        partition: &PartitionId,
        items: RestoreBatch,
        floors: Floors,
    ) -> Result<()> {
        let run = self.inner.restore(partition, items, floors);
        self.after(Operation::Restore, None, run).await
    }
}

#[async_trait]
impl MetadataStore for Edited {
    forward_backend!(MetadataStore => inner, except [purge]);

    async fn purge(&self, now: Timestamp, entries_max: Count) -> Result<Purged> {
        let run = self.inner.purge(now, entries_max);
        self.after(Operation::Purge, Some(now), run).await
    }
}

#[async_trait]
impl StorageBackend for Edited {
    forward_backend!(StorageBackend => inner, except [commit]);

    async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
        let now = request.now();
        let run = self.inner.commit(request);
        self.after(Operation::Commit, Some(now), run).await
    }
}
