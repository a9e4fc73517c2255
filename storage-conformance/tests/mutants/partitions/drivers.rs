//! The wrong drivers about partitions.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use storage_api::*;
use storage_model::Contents;

use crate::mutant::wrong;

/// Opens every partition of that mode.
pub(super) fn open(contents: &mut Contents, mode: Mode) {
    for partition in &mut contents.partitions {
        if partition.info.config.mode() == mode {
            partition.info.config = partition.info.config.clone().with_mode(Mode::Open);
        }
    }
}

wrong! { CreatesOver PartitionStore [create_partition] {
    async fn create_partition(&self, id: &PartitionId, config: PartitionConfig) -> Result<PartitionInfo> {
        match self.inner.create_partition(id, config.clone()).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.at.fire();
                self.inner.update_partition(id, None, config).await?;
                self.inner.partition(id).await
            }
            created => created,
        }
    }
}}

wrong! { CreatesTwice PartitionStore [create_partition] {
    async fn create_partition(&self, id: &PartitionId, config: PartitionConfig) -> Result<PartitionInfo> {
        match self.inner.create_partition(id, config).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.at.fire();
                self.inner.partition(id).await
            }
            created => created,
        }
    }
}}

wrong! { MakesMissing ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        if self.inner.partition(partition).await.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            self.at.fire();
            self.inner.create_partition(partition, PartitionConfig::default()).await?;
        }
        self.inner.produce(partition, batch).await
    }
}}

/// Is the answer that something is missing?
pub(super) fn is_missing<T>(answer: &Result<T>) -> bool {
    answer
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

wrong! { MissingIsEmpty
    PartitionStore [stats, maintain] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let answer = self.inner.stats(id).await;
            match self.at.fired.fire_if(is_missing(&answer)) {
                true => Ok(PartitionStats::default()),
                false => answer,
            }
        }
        async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
            let answer = self.inner.maintain(id, now, items_max).await;
            match self.at.fired.fire_if(is_missing(&answer)) {
                true => Ok(Maintained::default()),
                false => answer,
            }
        }
    }
    ItemStore [lease, list_items] {
        async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
            let nothing = LeasedBatch::new(request.deadline, request.holder);
            let answer = self.inner.lease(partition, request).await;
            match self.at.fired.fire_if(is_missing(&answer)) {
                true => Ok(nothing),
                false => answer,
            }
        }
        async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
            let answer = self.inner.list_items(partition, request).await;
            match self.at.fired.fire_if(is_missing(&answer)) {
                true => Ok(Page::last(Vec::new())),
                false => answer,
            }
        }
    }
}

wrong! { FirstOfTheQueue ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let answer = self.inner.lease(partition, request).await;
        let first = PartitionId::new(partition.queue().clone(), 0)?;
        if is_missing(&answer) && self.inner.partition(&first).await.is_ok() {
            self.at.fire();
            return self.inner.lease(&first, request).await;
        }
        answer
    }
}}

wrong! { UpdatesBlindly PartitionStore [update_partition] {
    async fn update_partition(
        &self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome> {
        let found = self.inner.partition(id).await.ok().map(|info| info.revision);
        self.at.fired.fire_if(expected.is_some() && found != expected);
        self.inner.update_partition(id, None, config).await
    }
}}

wrong! { UpdatesNeverBlindly PartitionStore [update_partition] {
    async fn update_partition(
        &self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome> {
        if self.at.fired.fire_if(expected.is_none()) {
            return Ok(UpdateOutcome::Conflict(self.inner.partition(id).await?.revision));
        }
        self.inner.update_partition(id, expected, config).await
    }
}}

wrong! { ConflictNamesExpected PartitionStore [update_partition] {
    async fn update_partition(
        &self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome> {
        let outcome = self.inner.update_partition(id, expected, config).await?;
        match (outcome, expected) {
            (UpdateOutcome::Conflict(_), Some(expected)) => {
                self.at.fire();
                Ok(UpdateOutcome::Conflict(expected))
            }
            _ => Ok(outcome),
        }
    }
}}

wrong! { ComesBack PartitionStore [create_partition, delete_partition] {
    async fn create_partition(&self, id: &PartitionId, config: PartitionConfig) -> Result<PartitionInfo> {
        let info = self.inner.create_partition(id, config).await?;
        let deleted = self.at.deleted(id);
        self.at.edit(|contents| {
            let mut partitions = contents.partitions.iter_mut();
            let made = partitions.find(|one| one.info.id == *id);
            if let (Some(made), Some(deleted)) = (made, deleted) {
                made.items = deleted.items;
            }
        });
        Ok(info)
    }
    async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
        self.at.keep(id);
        self.inner.delete_partition(id).await
    }
}}

wrong! { KeysComeBack PartitionStore [create_partition, delete_partition] {
    async fn create_partition(&self, id: &PartitionId, config: PartitionConfig) -> Result<PartitionInfo> {
        let info = self.inner.create_partition(id, config).await?;
        let deleted = self.at.deleted(id);
        self.at.edit(|contents| {
            let mut partitions = contents.partitions.iter_mut();
            let made = partitions.find(|one| one.info.id == *id);
            if let (Some(made), Some(deleted)) = (made, deleted) {
                made.gone_keys = deleted.gone_keys;
            }
        });
        Ok(info)
    }
    async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
        self.at.keep(id);
        self.inner.delete_partition(id).await
    }
}}

wrong! { ThereAgain PartitionStore [create_partition, delete_partition, partition, list_partitions] {
    async fn create_partition(&self, id: &PartitionId, config: PartitionConfig) -> Result<PartitionInfo> {
        let info = self.inner.create_partition(id, config).await?;
        self.at.deleted(id);
        Ok(info)
    }
    async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
        self.at.keep(id);
        self.inner.delete_partition(id).await
    }
    async fn partition(&self, id: &PartitionId) -> Result<PartitionInfo> {
        self.raise();
        self.inner.partition(id).await
    }
    async fn list_partitions(&self, after: Option<&Cursor>, partitions_max: Count) -> Result<Page<PartitionInfo>> {
        self.raise();
        self.inner.list_partitions(after, partitions_max).await
    }
}}

impl ThereAgain {
    /// The first look of a later opening finds what was deleted.
    fn raise(&self) {
        if self.at.opening == 1 {
            return;
        }
        for deleted in self.at.all_deleted() {
            self.at.edit(|contents| {
                contents.partitions.push(deleted);
                contents
                    .partitions
                    .sort_by(|a, b| a.info.id.cmp(&b.info.id));
            });
        }
    }
}

wrong! { NamesLost PartitionStore [list_partitions] {
    async fn list_partitions(&self, after: Option<&Cursor>, partitions_max: Count) -> Result<Page<PartitionInfo>> {
        let mut page = self.inner.list_partitions(after, partitions_max).await?;
        for info in &mut page.items {
            let shown = info.id.queue().as_str().replace(|c: char| !c.is_ascii_graphic(), "?");
            if self.at.opening > 1 && shown != info.id.queue().as_str() {
                self.at.fire();
                info.id = PartitionId::new(shown, info.id.number())?;
            }
        }
        Ok(page)
    }
}}

wrong! { PagesByOffset { shown: Mutex<usize> } PartitionStore [list_partitions] {
    async fn list_partitions(&self, after: Option<&Cursor>, partitions_max: Count) -> Result<Page<PartitionInfo>> {
        let mut shown = self.shown.lock().expect("nobody panics with it");
        if after.is_none() {
            *shown = 0;
        }
        let all = self.inner.contents().partitions;
        let page: Vec<_> = all.iter().skip(*shown).take(partitions_max.get()).map(|one| one.info.clone()).collect();
        let sound = all.iter().filter(|one| {
            let point = after.and_then(|after| after.partition_point().ok());
            point.is_none_or(|point| one.info.id > point)
        });
        let sound: Vec<_> = sound.take(partitions_max.get()).map(|one| one.info.clone()).collect();
        self.at.fired.fire_if(page != sound);
        *shown += page.len();
        let is_more = *shown < all.len();
        let next = page.last().filter(|_| is_more).map(|last| Cursor::after_partition(&last.id));
        Ok(Page { items: page, next })
    }
}}

wrong! { CountsLost { lost: AtomicU64 }
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let mut stats = self.inner.stats(id).await?;
            let lost = self.lost.load(Ordering::Relaxed);
            self.at.fired.fire_if(lost > 0);
            stats.leased.items = stats.leased.items.wrapping_sub(lost);
            Ok(stats)
        }
    }
    ItemStore [complete] {
        async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
            let outcomes = self.inner.complete(partition, receipts).await?;
            let lost = outcomes.iter().filter(|outcome| **outcome != CompleteOutcome::Done);
            self.lost.fetch_add(lost.count() as u64, Ordering::Relaxed);
            Ok(outcomes)
        }
    }
}

wrong! { ForgetsCleared { cleared: AtomicU64 }
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let mut stats = self.inner.stats(id).await?;
            let cleared = self.cleared.load(Ordering::Relaxed);
            self.at.fired.fire_if(cleared > 0);
            stats.ready.items += cleared;
            Ok(stats)
        }
    }
    ItemStore [clear] {
        async fn clear(&self, partition: &PartitionId, states: States, items_max: Count) -> Result<Cleared> {
            let cleared = self.inner.clear(partition, states, items_max).await?;
            self.cleared.fetch_add(cleared.removed as u64, Ordering::Relaxed);
            Ok(cleared)
        }
    }
}

wrong! { ForgetsDeletedLeases { deleted: AtomicU64 }
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let mut stats = self.inner.stats(id).await?;
            let deleted = self.deleted.load(Ordering::Relaxed);
            self.at.fired.fire_if(deleted > 0);
            stats.leased.items += deleted;
            Ok(stats)
        }
    }
    ItemStore [delete_items] {
        async fn delete_items(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<DeleteOutcome>> {
            let before = self.inner.stats(partition).await?.leased.items;
            let outcomes = self.inner.delete_items(partition, ids).await?;
            let after = self.inner.stats(partition).await?.leased.items;
            self.deleted.fetch_add(before - after, Ordering::Relaxed);
            Ok(outcomes)
        }
    }
}

wrong! { StatsStartAnew PartitionStore [stats] {
    async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
        let stats = self.inner.stats(id).await?;
        if self.at.opening == 1 {
            return Ok(stats);
        }
        self.at.fired.fire_if(stats != PartitionStats::default());
        Ok(PartitionStats::default())
    }
}}

wrong! { ForgetsCommits { produced: AtomicU64 }
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let mut stats = self.inner.stats(id).await?;
            let produced = self.produced.load(Ordering::Relaxed);
            self.at.fired.fire_if(produced > 0);
            stats.ready.items = stats.ready.items.saturating_sub(produced);
            Ok(stats)
        }
    }
    StorageBackend [commit] {
        async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
            let outcome = self.inner.commit(request).await?;
            if let CommitOutcome::Committed(committed) = &outcome {
                let produced: usize = committed.produced.iter().map(Produced::stored).sum();
                self.produced.fetch_add(produced as u64, Ordering::Relaxed);
            }
            Ok(outcome)
        }
    }
}

/// What a partition that is frozen says to what it does not take.
pub(super) fn frozen(operation: Operation, id: &PartitionId) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        operation,
        id,
        "it is frozen; open it again",
    )
}

wrong! { FrozenRefusesEnds ItemStore [complete] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let mode = self.inner.partition(partition).await?.config.mode();
        match self.at.fired.fire_if(mode == Mode::Frozen) {
            true => Err(frozen(Operation::Complete, partition)),
            false => self.inner.complete(partition, receipts).await,
        }
    }
}}

wrong! { FrozenRefusesMoves ItemStore [restore] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        let mode = self.inner.partition(partition).await?.config.mode();
        match self.at.fired.fire_if(mode == Mode::Frozen) {
            true => Err(frozen(Operation::Restore, partition)),
            false => self.inner.restore(partition, items, floors).await,
        }
    }
}}

wrong! { DrainingTellsDuplicates ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let contents = self.inner.contents();
        let mut partitions = contents.partitions.iter();
        let found = partitions.find(|one| one.info.id == *partition);
        let owner = |key: &[u8]| {
            let mut items = found.into_iter().flat_map(|one| &one.items);
            items.find(|item| item.record.view().dedup_key() == Some(key))
        };
        let duplicates = batch.records().enumerate().filter_map(|(index, record)| {
            let item = owner(record.dedup_key()?)?;
            Some(Duplicate { index, of: item.id, state: Some(item.state()) })
        });
        let duplicates: Vec<_> = duplicates.collect();
        let is_refused = found.is_some_and(|one| one.info.config.mode() != Mode::Open);
        if is_refused && !batch.is_empty() && duplicates.len() == batch.len() {
            self.at.fire();
            return Ok(Produced::new(None, batch.len(), duplicates));
        }
        self.inner.produce(partition, batch).await
    }
}}

wrong! { ModeBeforeBatch ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let mode = self.inner.partition(partition).await?.config.mode();
        match self.at.fired.fire_if(mode != Mode::Open && batch.is_empty()) {
            true => Err(frozen(Operation::Produce, partition)),
            false => self.inner.produce(partition, batch).await,
        }
    }
}}
