//! The wrong drivers about leases.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use storage_api::*;

use crate::edited::{each, find, find_mut, to_tail};
use crate::meeting::Meeting;
use crate::mutant::wrong;

pub(super) fn set_holder(item: &mut ItemEntry, to: Option<Holder>) {
    if let ItemState::Leased { holder, .. } = &mut item.state {
        *holder = to;
    }
}

pub(super) fn shift_deadlines(contents: &mut storage_model::Contents, micros: i64) {
    let items = contents
        .partitions
        .iter_mut()
        .flat_map(|one| &mut one.items);
    for item in items {
        if let ItemState::Leased { deadline, .. } = &mut item.state {
            *deadline = Timestamp::from_micros(deadline.as_micros().saturating_add(micros));
        }
    }
}

pub(super) fn restore_deadlines(scene: &mut crate::edited::Scene<'_>) {
    scene.moved(State::Leased, State::Leased, |before, item| {
        item.state = before.state
    });
}

/// The same batch, of which something else is told.
pub(super) fn relet(batch: &LeasedBatch, mut change: impl FnMut(&mut ItemEntry)) -> LeasedBatch {
    let mut told = LeasedBatch::new(batch.deadline(), batch.holder());
    append(
        &mut told,
        batch.iter().map(|item| {
            let mut entry = item.to_entry();
            change(&mut entry);
            entry
        }),
    );
    told
}

pub(super) fn append(batch: &mut LeasedBatch, entries: impl IntoIterator<Item = ItemEntry>) {
    for entry in entries {
        if let ItemState::Leased {
            position, lease, ..
        } = entry.state
        {
            let (item, attempts, is_revived) = (entry.id, entry.attempts, entry.is_revived);
            let new = NewLease {
                item,
                lease,
                position,
                attempts,
                is_revived,
            };
            batch.push(new, &entry.record, entry.note.as_ref());
        }
    }
}

/// Two batches as one.
pub(super) fn joined(first: &LeasedBatch, second: &LeasedBatch) -> LeasedBatch {
    let mut all = relet(first, |_| {});
    append(&mut all, second.iter().map(|item| item.to_entry()));
    all
}

pub(super) fn is_late(item: &ItemEntry, now: Timestamp) -> bool {
    item.state() == State::Ready && item.expire_at().is_some_and(|at| at <= now)
}

/// The ready items in lease order.
pub(super) fn in_order(partition: &storage_model::Partition) -> Vec<&ItemEntry> {
    let ready = partition
        .items
        .iter()
        .filter(|item| item.state() == State::Ready);
    let mut ready: Vec<_> = ready.collect();
    ready.sort_by_key(|item| (item.record.view().priority(), item.state.position()));
    ready
}

wrong! { OneMore ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, mut request: LeaseRequest) -> Result<LeasedBatch> {
        let asked = request.items_max.get();
        request.items_max = Count::clamped(asked + 1);
        let batch = self.inner.lease(partition, request).await?;
        self.at.fired.fire_if(batch.len() > asked);
        Ok(batch)
    }
}}

wrong! { AThousand ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, mut request: LeaseRequest) -> Result<LeasedBatch> {
        self.at.fired.fire_if(request.items_max.get() > 1000);
        request.items_max = request.items_max.min(Count::clamped(1000));
        self.inner.lease(partition, request).await
    }
}}

wrong! { Promotes ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        self.at.edit(|contents| {
            let Some(there) = find_mut(contents, partition) else { return };
            for index in 0..there.items.len() {
                let item = &there.items[index];
                if item.state() == State::Scheduled && item.due_at().is_some_and(|at| at <= request.now) {
                    to_tail(there, index);
                }
            }
        });
        self.inner.lease(partition, request).await
    }
}}

wrong! { TakesBack ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        self.at.edit(|contents| each(contents, partition, |item| {
            if let ItemState::Leased { position, deadline, .. } = item.state
                && deadline <= request.now
            {
                item.state = ItemState::Ready { position };
            }
        }));
        self.inner.lease(partition, request).await
    }
}}

wrong! { GivesTwice ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let batch = self.inner.lease(partition, request).await?;
        if !batch.is_empty() {
            return Ok(batch);
        }
        let contents = self.inner.contents();
        let items = find(&contents, partition).into_iter().flat_map(|one| &one.items);
        let leased = items.filter(|item| item.state() == State::Leased).cloned();
        let mut again = relet(&batch, |_| {});
        append(&mut again, leased.take(request.items_max.get()));
        self.at.fired.fire_if(!again.is_empty());
        Ok(again)
    }
}}

wrong! { ReadsThenWrites { last_lease: AtomicU64, meeting: Meeting } ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let read = self.inner.contents();
        let _turn = self.meeting.after_reading().await;
        let mut batch = LeasedBatch::new(request.deadline, request.holder);
        let there = find(&read, partition);
        let found = there.map_or(Vec::new(), in_order);
        self.at.inner.edit(|contents| {
            for item in found.into_iter().take(request.items_max.get()) {
                let number = self.last_lease.fetch_add(1, Ordering::Relaxed) + 1 + (1 << 40);
                let (Ok(lease), Some(position)) = (LeaseId::new(number), item.state.position()) else { continue };
                each(contents, partition, |now| {
                    if now.id != item.id {
                        return;
                    }
                    self.at.fired.fire_if(now.state() != State::Ready);
                    now.attempts = item.attempts + 1;
                    let (deadline, holder) = (request.deadline, request.holder);
                    now.state = ItemState::Leased { position, lease, deadline, holder };
                    append(&mut batch, [now.clone()]);
                });
            }
        });
        Ok(batch)
    }
}}

wrong! { LeasesDead ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        self.at.edit(|contents| {
            let Some(there) = find_mut(contents, partition) else { return };
            for index in 0..there.items.len() {
                if there.items[index].state() == State::Dead {
                    to_tail(there, index);
                }
            }
        });
        self.inner.lease(partition, request).await
    }
}}

/// Leases while some ready items are hidden.
macro_rules! lease_without {
    ($self:ident, $partition:ident, $request:expr, $is_hidden:expr) => {{
        let is_hidden = $is_hidden;
        let mut hidden: HashMap<ItemId, ItemState> = HashMap::new();
        $self.inner.edit(|contents| {
            let Some(there) = find_mut(contents, $partition) else {
                return;
            };
            let snapshot = there.clone();
            for item in there
                .items
                .iter_mut()
                .filter(|item| item.state() == State::Ready)
            {
                if is_hidden(&snapshot, &*item) {
                    hidden.insert(item.id, item.state);
                    let (reason, died_at) = (DeadReason::Rejected, Timestamp::EPOCH);
                    item.state = ItemState::Dead { reason, died_at };
                }
            }
        });
        $self.at.fired.fire_if(!hidden.is_empty());
        let answer = $self.inner.lease($partition, $request).await;
        $self.inner.edit(|contents| {
            each(contents, $partition, |item| {
                if let Some(state) = hidden.get(&item.id) {
                    item.state = *state;
                }
            })
        });
        answer
    }};
}

wrong! { PassesUsedUp ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        lease_without!(self, partition, request, |there: &storage_model::Partition, item: &ItemEntry| {
            let limit = crate::edited::attempts_max(there, item);
            limit != 0 && item.attempts >= limit
        })
    }
}}

wrong! { Buries ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        self.at.edit(|contents| each(contents, partition, |item| {
            if is_late(item, request.now) {
                let (reason, died_at) = (DeadReason::Expired, request.now);
                item.state = ItemState::Dead { reason, died_at };
            }
        }));
        self.inner.lease(partition, request).await
    }
}}

wrong! { CountsExpired ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, mut request: LeaseRequest) -> Result<LeasedBatch> {
        let contents = self.inner.contents();
        let found = find(&contents, partition).map_or(Vec::new(), in_order);
        let asked = request.items_max.get();
        let late = found.iter().take(asked).filter(|item| is_late(item, request.now)).count();
        if self.at.fired.fire_if(late > 0) {
            match Count::new(asked - late) {
                Ok(left) => request.items_max = left,
                Err(_) => return Ok(LeasedBatch::new(request.deadline, request.holder)),
            }
        }
        self.inner.lease(partition, request).await
    }
}}

wrong! { CountsExpiredBytes ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, mut request: LeaseRequest) -> Result<LeasedBatch> {
        let contents = self.inner.contents();
        let items = find(&contents, partition).into_iter().flat_map(|one| &one.items);
        let late = items.filter(|item| is_late(item, request.now));
        let bytes: usize = late.map(|item| item.record.view().payload_len()).sum();
        if let Some(bytes_max) = &mut request.bytes_max {
            self.at.fired.fire_if(bytes > 0);
            *bytes_max = bytes_max.saturating_sub(bytes as u64);
        }
        self.inner.lease(partition, request).await
    }
}}

wrong! { NothingIsAnError ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let batch = self.inner.lease(partition, request).await?;
        if self.at.fired.fire_if(batch.is_empty()) {
            let (kind, operation) = (ErrorKind::NotFound, Operation::Lease);
            return Err(Error::new(kind, operation, partition, "nothing is ready"));
        }
        Ok(batch)
    }
}}

wrong! { WritesForNothing ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let batch = self.inner.lease(partition, request).await?;
        if batch.is_empty() {
            self.at.edit(|contents| {
                contents.last_version += 1;
                let version = Version::new(contents.last_version);
                if let (Some(there), Ok(version)) = (find_mut(contents, partition), version) {
                    there.info.revision = version;
                }
            });
        }
        Ok(batch)
    }
}}

wrong! { AttemptsWrap ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let before = self.inner.contents();
        let batch = self.inner.lease(partition, request).await?;
        let there = find(&before, partition);
        let told = relet(&batch, |item| {
            let mut items = there.into_iter().flat_map(|one| &one.items);
            if let Some(was) = items.find(|was| was.id == item.id) {
                item.attempts = was.attempts.wrapping_add(1);
            }
        });
        self.at.edit(|contents| for leased in told.iter() {
            each(contents, partition, |item| {
                if item.id == leased.id() {
                    item.attempts = leased.attempts();
                }
            });
        });
        Ok(told)
    }
}}

wrong! { ShowsBefore ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let batch = self.inner.lease(partition, request).await?;
        self.at.fired.fire_if(!batch.is_empty());
        Ok(relet(&batch, |item| item.attempts = item.attempts.saturating_sub(1)))
    }
}}

wrong! { ShowsNoHistory ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let batch = self.inner.lease(partition, request).await?;
        Ok(relet(&batch, |item| {
            self.at.fired.fire_if(item.note.is_some() || item.is_revived);
            item.note = None;
            item.is_revived = false;
        }))
    }
}}

wrong! { CountsPerPartition { last: Mutex<HashMap<PartitionId, u64>> } ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let batch = self.inner.lease(partition, request).await?;
        let mut last = self.last.lock().expect("nobody panics with it");
        let last = last.entry(partition.clone()).or_default();
        let told = relet(&batch, |item| {
            *last += 1;
            if let (ItemState::Leased { lease, .. }, Ok(number)) = (&mut item.state, LeaseId::new(*last)) {
                *lease = number;
            }
        });
        self.at.edit(|contents| store(contents, partition, &told));
        Ok(told)
    }
}}

wrong! { LeaseIsAttempt ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let batch = self.inner.lease(partition, request).await?;
        let told = relet(&batch, |item| {
            let number = LeaseId::new(item.id.get() * 1000 + u64::from(item.attempts % 1000));
            if let (ItemState::Leased { lease, .. }, Ok(number)) = (&mut item.state, number) {
                *lease = number;
            }
        });
        self.at.edit(|contents| store(contents, partition, &told));
        Ok(told)
    }
}}

/// Makes what is told of leases true.
pub(super) fn store(
    contents: &mut storage_model::Contents,
    partition: &PartitionId,
    told: &LeasedBatch,
) {
    for leased in told.iter() {
        each(contents, partition, |item| {
            if item.id == leased.id() {
                item.state = leased.to_entry().state;
            }
        });
    }
}

wrong! { BehindTheBytes ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, mut request: LeaseRequest) -> Result<LeasedBatch> {
        let batch = self.inner.lease(partition, request).await?;
        if request.bytes_max.is_none() || batch.is_empty() || batch.len() == request.items_max.get() {
            return Ok(batch);
        }
        request.items_max = Count::ONE;
        let one_more = self.inner.lease(partition, request).await?;
        self.at.fired.fire_if(!one_more.is_empty());
        Ok(joined(&batch, &one_more))
    }
}}

wrong! { LargeFirstWaits ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let contents = self.inner.contents();
        let found = find(&contents, partition).map_or(Vec::new(), in_order);
        let first = found.iter().find(|item| !is_late(item, request.now));
        let bytes = first.map_or(0, |item| item.record.view().payload_len() as u64);
        if self.at.fired.fire_if(request.bytes_max.is_some_and(|max| bytes > max)) {
            return Ok(LeasedBatch::new(request.deadline, request.holder));
        }
        self.inner.lease(partition, request).await
    }
}}

wrong! { JumpsOver ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, mut request: LeaseRequest) -> Result<LeasedBatch> {
        let batch = self.inner.lease(partition, request).await?;
        let left = request.items_max.get() - batch.len();
        let (Some(bytes_max), Ok(items_max)) = (request.bytes_max, Count::new(left)) else {
            return Ok(batch);
        };
        let taken: usize = batch.iter().map(|item| item.payload().len()).sum();
        let room = bytes_max.saturating_sub(taken as u64);
        request.items_max = items_max;
        request.bytes_max = Some(room);
        let more = lease_without!(self, partition, request, |_: &storage_model::Partition, item: &ItemEntry| {
            item.record.view().payload_len() as u64 > room
        });
        Ok(joined(&batch, &more?))
    }
}}

wrong! { CountsRecords ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, mut request: LeaseRequest) -> Result<LeasedBatch> {
        if let Some(bytes_max) = request.bytes_max {
            let contents = self.inner.contents();
            let found = find(&contents, partition).map_or(Vec::new(), in_order);
            let mut sum = 0;
            let fits = found.iter().take_while(|item| {
                sum += item.record.view().as_bytes().len() as u64;
                sum <= bytes_max
            });
            let fits = Count::clamped(fits.count().max(1));
            self.at.fired.fire_if(fits < request.items_max);
            request.items_max = request.items_max.min(fits);
        }
        self.inner.lease(partition, request).await
    }
}}

wrong! { ZeroIsNone ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, mut request: LeaseRequest) -> Result<LeasedBatch> {
        if self.at.fired.fire_if(request.bytes_max == Some(0)) {
            request.bytes_max = None;
        }
        self.inner.lease(partition, request).await
    }
}}

wrong! { NoLimit ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, mut request: LeaseRequest) -> Result<LeasedBatch> {
        let mut all = self.inner.lease(partition, request).await?;
        while request.bytes_max.is_none() && !all.is_empty()
            && let Ok(left) = Count::new(request.items_max.get() - all.len())
        {
            request.items_max = left;
            let more = self.inner.lease(partition, request).await?;
            if !self.at.fired.fire_if(!more.is_empty()) {
                break;
            }
            request.items_max = Count::clamped(left.get() + all.len());
            all = joined(&all, &more);
        }
        Ok(all)
    }
}}

wrong! { RefusesLate { last_now: AtomicI64 }
    PartitionStore [maintain] {
        async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
            self.last_now.fetch_max(now.as_micros(), Ordering::Relaxed);
            self.inner.maintain(id, now, items_max).await
        }
    }
    ItemStore [lease, retry, complete] {
        async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
            self.last_now.fetch_max(request.now.as_micros(), Ordering::Relaxed);
            self.inner.lease(partition, request).await
        }
        async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
            let contents = self.inner.contents();
            let items = find(&contents, partition).into_iter().flat_map(|one| &one.items);
            let late = items.filter(|item| item.state() == State::Leased && item.due_at().is_some_and(|at| at <= now));
            let late: Vec<_> = late.map(|item| item.id).collect();
            if self.at.fired.fire_if(retries.iter().any(|retry| late.contains(&retry.receipt.item))) {
                return Ok(vec![RetryOutcome::LeaseLost; retries.len()]);
            }
            self.inner.retry(partition, now, retries).await
        }
        async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
            let now = Timestamp::from_micros(self.last_now.load(Ordering::Relaxed));
            let contents = self.inner.contents();
            let items = find(&contents, partition).into_iter().flat_map(|one| &one.items);
            let late = items.filter(|item| item.state() == State::Leased && item.due_at().is_some_and(|at| at <= now));
            let late: Vec<_> = late.map(|item| item.id).collect();
            if self.at.fired.fire_if(receipts.iter().any(|receipt| late.contains(&receipt.item))) {
                return Ok(vec![CompleteOutcome::LeaseLost; receipts.len()]);
            }
            self.inner.complete(partition, receipts).await
        }
    }
}

/// The item of that id, if nobody has it.
pub(super) fn is_free(
    contents: &storage_model::Contents,
    partition: &PartitionId,
    id: ItemId,
) -> bool {
    let mut items = find(contents, partition)
        .into_iter()
        .flat_map(|one| &one.items);
    items.any(|item| item.id == id && item.state() == State::Ready)
}

wrong! { ComesBackToTheFirst ItemStore [complete] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let before = self.inner.contents();
        let mut outcomes = self.inner.complete(partition, receipts.clone()).await?;
        for (receipt, outcome) in receipts.iter().zip(&mut outcomes) {
            let is_lost = *outcome == CompleteOutcome::LeaseLost;
            if self.at.fired.fire_if(is_lost && is_free(&before, partition, receipt.item)) {
                self.inner.delete_items(partition, receipt.item.into()).await?;
                *outcome = CompleteOutcome::Done;
            }
        }
        Ok(outcomes)
    }
}}

wrong! { StaysValid { released: Mutex<Vec<Receipt>> } ItemStore [release, complete] {
    async fn release(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<ReleaseOutcome>> {
        self.released.lock().expect("nobody panics with it").extend(&receipts);
        self.inner.release(partition, receipts).await
    }
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let released = self.released.lock().expect("nobody panics with it").clone();
        let mut outcomes = self.inner.complete(partition, receipts.clone()).await?;
        for (receipt, outcome) in receipts.iter().zip(&mut outcomes) {
            let is_lost = *outcome == CompleteOutcome::LeaseLost;
            if self.at.fired.fire_if(is_lost && released.contains(receipt)) {
                self.inner.delete_items(partition, receipt.item.into()).await?;
                *outcome = CompleteOutcome::Done;
            }
        }
        Ok(outcomes)
    }
}}

wrong! { FirstExtensionHolds { extended: Mutex<Vec<Receipt>> } ItemStore [extend] {
    async fn extend(&self, partition: &PartitionId, receipts: Receipts, deadline: Timestamp) -> Result<Vec<ExtendOutcome>> {
        let before = self.inner.contents();
        let outcomes = self.inner.extend(partition, receipts.clone(), deadline).await?;
        let mut extended = self.extended.lock().expect("nobody panics with it");
        for receipt in &receipts {
            if !extended.contains(receipt) {
                extended.push(*receipt);
                continue;
            }
            let mut items = find(&before, partition).into_iter().flat_map(|one| &one.items);
            let Some(was) = items.find(|item| item.receipt() == Some(*receipt)) else { continue };
            self.at.edit(|contents| each(contents, partition, |item| {
                if item.id == was.id {
                    item.state = was.state;
                }
            }));
        }
        Ok(outcomes)
    }
}}

wrong! { ExtendsByItem ItemStore [extend] {
    async fn extend(&self, partition: &PartitionId, receipts: Receipts, deadline: Timestamp) -> Result<Vec<ExtendOutcome>> {
        let contents = self.inner.contents();
        let by_item = receipts.into_iter().map(|receipt| {
            let mut items = find(&contents, partition).into_iter().flat_map(|one| &one.items);
            let found = items.find(|item| item.id == receipt.item).and_then(ItemEntry::receipt);
            self.at.fired.fire_if(found.is_some_and(|found| found != receipt));
            found.unwrap_or(receipt)
        });
        let by_item = Receipts::collect(by_item)?;
        self.inner.extend(partition, by_item, deadline).await
    }
}}

wrong! { FirstHolderStays { holders: Mutex<HashMap<ItemId, Option<Holder>>> } ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let batch = self.inner.lease(partition, request).await?;
        let mut holders = self.holders.lock().expect("nobody panics with it");
        for leased in batch.iter() {
            let first = *holders.entry(leased.id()).or_insert(request.holder);
            self.at.edit(|contents| each(contents, partition, |item| {
                if item.id == leased.id() {
                    set_holder(item, first);
                }
            }));
        }
        Ok(batch)
    }
}}

wrong! { ReleasesAll ItemStore [release_holder] {
    async fn release_holder(&self, partition: &PartitionId, holder: Holder, items_max: Count) -> Result<ReleasedHolder> {
        self.at.edit(|contents| each(contents, partition, |item| {
            if matches!(item.state, ItemState::Leased { holder: Some(_), .. }) {
                set_holder(item, Some(holder));
            }
        }));
        self.inner.release_holder(partition, holder, items_max).await
    }
}}

wrong! { ReleasesEverywhere ItemStore [release_holder] {
    async fn release_holder(&self, partition: &PartitionId, holder: Holder, items_max: Count) -> Result<ReleasedHolder> {
        for other in self.inner.contents().partitions {
            if other.info.id != *partition {
                let released = self.inner.release_holder(&other.info.id, holder, items_max).await?;
                self.at.fired.fire_if(released.released > 0);
            }
        }
        self.inner.release_holder(partition, holder, items_max).await
    }
}}

wrong! { ReleasesAtOnce ItemStore [release_holder] {
    async fn release_holder(&self, partition: &PartitionId, holder: Holder, items_max: Count) -> Result<ReleasedHolder> {
        let released = self.inner.release_holder(partition, holder, Count::MAX).await?;
        self.at.fired.fire_if(released.released > items_max.get());
        Ok(released)
    }
}}

wrong! { SparesLate { last_now: AtomicI64 }
    ItemStore [lease, release_holder] {
        async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
            self.last_now.fetch_max(request.now.as_micros(), Ordering::Relaxed);
            self.inner.lease(partition, request).await
        }
        async fn release_holder(&self, partition: &PartitionId, holder: Holder, items_max: Count) -> Result<ReleasedHolder> {
            let now = Timestamp::from_micros(self.last_now.load(Ordering::Relaxed));
            let mut spared = Vec::new();
            self.inner.edit(|contents| each(contents, partition, |item| {
                if let ItemState::Leased { deadline, holder: Some(by), .. } = item.state
                    && deadline <= now && by == holder
                {
                    spared.push(item.clone());
                    set_holder(item, None);
                }
            }));
            self.at.fired.fire_if(!spared.is_empty());
            let released = self.inner.release_holder(partition, holder, items_max).await;
            self.inner.edit(|contents| each(contents, partition, |item| {
                if let Some(was) = spared.iter().find(|was| was.id == item.id) {
                    item.state = was.state;
                }
            }));
            released
        }
    }
}

wrong! { HolderKeepsReceipts { released: Mutex<Vec<Receipt>> } ItemStore [release_holder, complete] {
    async fn release_holder(&self, partition: &PartitionId, holder: Holder, items_max: Count) -> Result<ReleasedHolder> {
        let contents = self.inner.contents();
        let items = find(&contents, partition).into_iter().flat_map(|one| &one.items);
        self.released.lock().expect("nobody panics with it").extend(items.filter_map(ItemEntry::receipt));
        self.inner.release_holder(partition, holder, items_max).await
    }
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let released = self.released.lock().expect("nobody panics with it").clone();
        let mut outcomes = self.inner.complete(partition, receipts.clone()).await?;
        for (receipt, outcome) in receipts.iter().zip(&mut outcomes) {
            let is_lost = *outcome == CompleteOutcome::LeaseLost;
            if self.at.fired.fire_if(is_lost && released.contains(receipt)) {
                self.inner.delete_items(partition, receipt.item.into()).await?;
                *outcome = CompleteOutcome::Done;
            }
        }
        Ok(outcomes)
    }
}}

wrong! { ReleasesFromTheEnd ItemStore [release_holder] {
    async fn release_holder(&self, partition: &PartitionId, holder: Holder, items_max: Count) -> Result<ReleasedHolder> {
        let contents = self.inner.contents();
        let items = find(&contents, partition).into_iter().flat_map(|one| &one.items);
        let held = items.filter(|item| matches!(item.state, ItemState::Leased { holder: Some(by), .. } if by == holder));
        let held: Vec<_> = held.filter_map(ItemEntry::receipt).collect();
        self.at.fired.fire_if(held.len() > items_max.get());
        let last: Vec<_> = held.iter().rev().take(items_max.get()).copied().collect();
        let released = last.len();
        self.inner.release(partition, Receipts::new(last)?).await?;
        Ok(ReleasedHolder { released, more: held.len() > released })
    }
}}
