//! The wrong drivers about time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use storage_api::*;
use storage_model::Contents;

use crate::edited::{each, find, find_mut};
use crate::meeting::Meeting;
use crate::mutant::wrong;

/// A scheduled item is not waited for.
pub(super) fn never(item: &mut ItemEntry) {
    if let ItemState::Scheduled { enqueue_at } = &mut item.state {
        *enqueue_at = Timestamp::MAX;
    }
}

pub(super) fn shifted(now: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(now.as_micros().saturating_add(micros))
}

/// What is due at a time, in order.
pub(super) fn due(
    contents: &Contents,
    id: &PartitionId,
    now: Timestamp,
) -> Vec<(Timestamp, ItemId)> {
    let items = find(contents, id).into_iter().flat_map(|one| &one.items);
    let due = items.filter_map(|item| Some((item.due_at()?, item.id)));
    let mut due: Vec<_> = due.filter(|(at, _)| *at <= now).collect();
    due.sort();
    due
}

wrong! { Early PartitionStore [maintain] {
    async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
        self.at.fire();
        self.inner.maintain(id, shifted(now, 1), items_max).await
    }
}}

wrong! { Late PartitionStore [maintain] {
    async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
        self.at.fire();
        self.inner.maintain(id, shifted(now, -1), items_max).await
    }
}}

wrong! { Coarse PartitionStore [maintain] {
    async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
        let cut = Timestamp::from_micros(now.as_micros().div_euclid(1000).saturating_mul(1000));
        self.at.fired.fire_if(cut != now);
        self.inner.maintain(id, cut, items_max).await
    }
}}

wrong! { AtOnce PartitionStore [maintain] {
    async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
        let done = self.inner.maintain(id, now, Count::MAX).await?;
        self.at.fired.fire_if(done.handled() > items_max.get());
        Ok(done)
    }
}}

wrong! { HandlesAThousand PartitionStore [maintain] {
    async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
        let mut done = self.inner.maintain(id, now, items_max.min(Count::clamped(1000))).await?;
        if self.at.fired.fire_if(items_max.get() > 1000 && done.more) {
            done.more = false;
        }
        Ok(done)
    }
}}

wrong! { Twice PartitionStore [maintain] {
    async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
        let first = self.inner.maintain(id, now, items_max).await?;
        let mut again = self.inner.maintain(id, now, items_max).await?;
        self.at.fired.fire_if(again.handled() > 0);
        again.ready += first.ready;
        again.expired += first.expired;
        again.attempts_exhausted += first.attempts_exhausted;
        again.dropped += first.dropped;
        again.keys_freed += first.keys_freed;
        Ok(again)
    }
}}

wrong! { StopsAtKeys PartitionStore [maintain] {
    async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
        let contents = self.inner.contents();
        let items = find(&contents, id).into_iter().flat_map(|one| &one.items);
        let due = due(&contents, id, now);
        let poisoned: Vec<_> = items
            .filter(|item| item.state() == State::Leased && item.record.view().dedup_key().is_some())
            .map(|item| item.id)
            .collect();
        let sound = due.iter().position(|(_, id)| poisoned.contains(id));
        match sound.map(|sound| Count::new(sound.min(items_max.get()))) {
            None => self.inner.maintain(id, now, items_max).await,
            Some(Ok(sound)) => {
                self.at.fire();
                self.inner.maintain(id, now, sound).await
            }
            Some(Err(_)) => {
                self.at.fire();
                let mut nothing = self.inner.maintain(id, Timestamp::MIN, Count::ONE).await?;
                nothing.more = true;
                Ok(nothing)
            }
        }
    }
}}

wrong! { LooksAtTheOldest PartitionStore [maintain] {
    async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
        let contents = self.inner.contents();
        let items = find(&contents, id).into_iter().flat_map(|one| &one.items);
        let seen: Vec<_> = items.filter(|item| item.due_at().is_some()).take(items_max.get()).map(|item| item.id).collect();
        let is_hidden = due(&contents, id, now).iter().any(|(_, id)| !seen.contains(id));
        if !self.at.fired.fire_if(is_hidden) {
            return self.inner.maintain(id, now, items_max).await;
        }
        let mut hidden = Vec::new();
        self.inner.edit(|contents| {
            if let Some(there) = find_mut(contents, id) {
                let items = std::mem::take(&mut there.items);
                let (kept, rest) = items.into_iter().partition(|item| item.due_at().is_none() || seen.contains(&item.id));
                there.items = kept;
                hidden = rest;
            }
        });
        let mut done = self.inner.maintain(id, now, items_max).await?;
        self.inner.edit(|contents| {
            if let Some(there) = find_mut(contents, id) {
                there.items.append(&mut hidden);
                there.items.sort_by_key(|item| item.id);
            }
        });
        let stats = self.inner.stats(id).await?;
        done.next_due = stats.next_due;
        done.more = done.next_due.is_some_and(|at| at <= now);
        Ok(done)
    }
}}

wrong! { ReadsThenHandles { meeting: Meeting } PartitionStore [maintain] {
    async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
        let read = due(&self.inner.contents(), id, now);
        let _turn = self.meeting.after_reading().await;
        let seen = &read[..read.len().min(items_max.get())];
        let left = due(&self.inner.contents(), id, now);
        let handled_by_another = seen.iter().filter(|one| !left.contains(one)).count();
        let mut told = self.inner.maintain(id, now, items_max).await?;
        self.at.fired.fire_if(handled_by_another > 0);
        told.ready += handled_by_another;
        Ok(told)
    }
}}

wrong! { LooksForward { last_now: Mutex<Option<Timestamp>> } PartitionStore [maintain] {
    async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
        let last = *self.last_now.lock().expect("nobody panics with it");
        let mut hidden = Vec::new();
        self.inner.edit(|contents| each(contents, id, |item| {
            let is_behind = item.due_at().is_some_and(|at| Some(at) <= last);
            if is_behind && let ItemState::Scheduled { .. } = item.state {
                hidden.push(item.clone());
                never(item);
            }
        }));
        self.at.fired.fire_if(!hidden.is_empty());
        let done = self.inner.maintain(id, now, items_max).await;
        self.inner.edit(|contents| each(contents, id, |item| {
            if let Some(was) = hidden.iter().find(|was| was.id == item.id) {
                item.state = was.state;
            }
        }));
        let done = done?;
        if !done.more {
            *self.last_now.lock().expect("nobody panics with it") = last.max(Some(now));
        }
        Ok(done)
    }
}}

wrong! { FullSaysMore PartitionStore [maintain] {
    async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
        let mut done = self.inner.maintain(id, now, items_max).await?;
        if self.at.fired.fire_if(done.handled() == items_max.get() && !done.more) {
            done.more = true;
        }
        Ok(done)
    }
}}

/// Tells the earliest due time without some, or with some that are none.
#[derive(Debug)]
pub(super) struct NextDue<const WHICH: u8> {
    inner: std::sync::Arc<storage_conformance::reference::ReferenceBackend>,
    at: crate::mutant::Opened,
}

impl<const WHICH: u8> NextDue<WHICH> {
    pub(super) fn wrap(at: crate::mutant::Opened) -> std::sync::Arc<dyn StorageBackend> {
        std::sync::Arc::new(Self {
            inner: at.inner.clone(),
            at,
        })
    }

    fn told(&self, id: &PartitionId, sound: Option<Timestamp>) -> Option<Timestamp> {
        let contents = self.inner.contents();
        let partition = find(&contents, id)?;
        let items = partition
            .items
            .iter()
            .filter_map(|item| match (WHICH, item.state()) {
                (0, State::Leased) | (1, State::Ready) | (2, State::Scheduled) => None,
                (4, State::Leased) => item.expire_at().into_iter().chain(item.due_at()).min(),
                _ => item.due_at(),
            });
        let keys = partition
            .gone_keys
            .iter()
            .filter(|_| WHICH != 3)
            .map(|key| key.due_at);
        let all = items.chain(keys).filter(|at| match WHICH {
            5 => *at != Timestamp::MAX,
            6 => *at >= Timestamp::EPOCH,
            _ => true,
        });
        let told = all.min();
        self.at.fired.fire_if(told != sound);
        told
    }
}

#[async_trait]
impl<const WHICH: u8> PartitionStore for NextDue<WHICH> {
    forward_backend!(PartitionStore => inner, except [maintain, stats]);

    async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
        let mut stats = self.inner.stats(id).await?;
        stats.next_due = self.told(id, stats.next_due);
        Ok(stats)
    }

    async fn maintain(
        &self,
        id: &PartitionId,
        now: Timestamp,
        items_max: Count,
    ) -> Result<Maintained> {
        let mut done = self.inner.maintain(id, now, items_max).await?;
        done.next_due = self.told(id, done.next_due);
        Ok(done)
    }
}

#[async_trait]
impl<const WHICH: u8> ItemStore for NextDue<WHICH> {
    forward_backend!(ItemStore => inner);
}

#[async_trait]
impl<const WHICH: u8> MetadataStore for NextDue<WHICH> {
    forward_backend!(MetadataStore => inner);
}

#[async_trait]
impl<const WHICH: u8> StorageBackend for NextDue<WHICH> {
    forward_backend!(StorageBackend => inner);
}

/// The index of due times, with what was left in it.
#[derive(Debug, Default)]
pub(super) struct Leaked(Mutex<Vec<(PartitionId, Timestamp)>>);

impl Leaked {
    pub(super) fn leak(&self, id: &PartitionId, items: impl IntoIterator<Item = Timestamp>) {
        let mut leaked = self.0.lock().expect("nobody panics with it");
        leaked.extend(items.into_iter().map(|at| (id.clone(), at)));
    }

    /// What was due of each item that has died in between.
    fn leak_dead(&self, id: &PartitionId, before: &Contents, after: &Contents) {
        let items = |contents| find(contents, id).into_iter().flat_map(|one| &one.items);
        let dead = items(after).filter(|item| item.state() == State::Dead);
        let dead: Vec<_> = dead.map(|item| item.id).collect();
        let died = items(before).filter(|item| dead.contains(&item.id));
        self.leak(id, died.filter_map(ItemEntry::due_at));
    }

    pub(super) fn min(&self, id: &PartitionId, sound: Option<Timestamp>) -> Option<Timestamp> {
        let leaked = self.0.lock().expect("nobody panics with it");
        let leaked = leaked
            .iter()
            .filter(|(one, _)| one == id)
            .map(|(_, at)| *at);
        leaked.chain(sound).min()
    }
}

wrong! { LeaksDue { leaked: Leaked }
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let mut stats = self.inner.stats(id).await?;
            let told = self.leaked.min(id, stats.next_due);
            self.at.fired.fire_if(told != stats.next_due);
            stats.next_due = told;
            Ok(stats)
        }
    }
    ItemStore [delete_items, clear] {
        async fn delete_items(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<DeleteOutcome>> {
            let contents = self.inner.contents();
            let items = find(&contents, partition).into_iter().flat_map(|one| &one.items);
            let gone = items.filter(|item| ids.contains(&item.id));
            self.leaked.leak(partition, gone.filter_map(ItemEntry::due_at));
            self.inner.delete_items(partition, ids).await
        }
        async fn clear(&self, partition: &PartitionId, states: States, items_max: Count) -> Result<Cleared> {
            let contents = self.inner.contents();
            let items = find(&contents, partition).into_iter().flat_map(|one| &one.items);
            let gone = items.filter(|item| states.contains(item.state())).take(items_max.get());
            self.leaked.leak(partition, gone.filter_map(ItemEntry::due_at));
            self.inner.clear(partition, states, items_max).await
        }
    }
}

wrong! { LeaksDeadlines { leaked: Leaked }
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let mut stats = self.inner.stats(id).await?;
            let told = self.leaked.min(id, stats.next_due);
            self.at.fired.fire_if(told != stats.next_due);
            stats.next_due = told;
            Ok(stats)
        }
    }
    ItemStore [complete] {
        async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
            let contents = self.inner.contents();
            let items = find(&contents, partition).into_iter().flat_map(|one| &one.items);
            let gone = items.filter(|item| item.receipt().is_some_and(|receipt| receipts.contains(&receipt)));
            self.leaked.leak(partition, gone.filter_map(ItemEntry::due_at));
            self.inner.complete(partition, receipts).await
        }
    }
}

wrong! { LeaksOfTheRejected { leaked: Leaked }
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let mut stats = self.inner.stats(id).await?;
            let told = self.leaked.min(id, stats.next_due);
            self.at.fired.fire_if(told != stats.next_due);
            stats.next_due = told;
            Ok(stats)
        }
    }
    ItemStore [retry] {
        async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
            let before = self.inner.contents();
            let told = self.inner.retry(partition, now, retries).await;
            self.leaked.leak_dead(partition, &before, &self.inner.contents());
            told
        }
    }
}

wrong! { LeaksOfTheExpired { leaked: Leaked }
    PartitionStore [maintain] {
        async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
            let before = self.inner.contents();
            let mut done = self.inner.maintain(id, now, items_max).await?;
            self.leaked.leak_dead(id, &before, &self.inner.contents());
            let told = self.leaked.min(id, done.next_due);
            self.at.fired.fire_if(told != done.next_due);
            done.next_due = told;
            Ok(done)
        }
    }
}

wrong! { LeaksFirstDeadline { leaked: Leaked }
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let mut stats = self.inner.stats(id).await?;
            let told = self.leaked.min(id, stats.next_due);
            self.at.fired.fire_if(told != stats.next_due);
            stats.next_due = told;
            Ok(stats)
        }
    }
    ItemStore [extend] {
        async fn extend(&self, partition: &PartitionId, receipts: Receipts, deadline: Timestamp) -> Result<Vec<ExtendOutcome>> {
            let contents = self.inner.contents();
            let items = find(&contents, partition).into_iter().flat_map(|one| &one.items);
            let moved = items.filter(|item| item.receipt().is_some_and(|receipt| receipts.contains(&receipt)));
            self.leaked.leak(partition, moved.filter_map(ItemEntry::due_at));
            self.inner.extend(partition, receipts, deadline).await
        }
    }
}

wrong! { NeverBack { last_now: AtomicI64 }
    PartitionStore [maintain] {
        async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
            self.inner.maintain(id, self.latest(now), items_max).await
        }
    }
    ItemStore [produce, lease, retry] {
        async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
            let latest = self.latest(batch.now());
            self.inner.produce(partition, batch.reseal(latest)).await
        }
        async fn lease(&self, partition: &PartitionId, mut request: LeaseRequest) -> Result<LeasedBatch> {
            request.now = self.latest(request.now);
            self.inner.lease(partition, request).await
        }
        async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
            self.inner.retry(partition, self.latest(now), retries).await
        }
    }
}

impl NeverBack {
    fn latest(&self, now: Timestamp) -> Timestamp {
        let last = self.last_now.fetch_max(now.as_micros(), Ordering::Relaxed);
        self.at.fired.fire_if(last > now.as_micros());
        now.max(Timestamp::from_micros(last))
    }
}

wrong! { RetryByMaintain { last_now: AtomicI64 }
    PartitionStore [maintain] {
        async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
            self.last_now.store(now.as_micros(), Ordering::Relaxed);
            self.inner.maintain(id, now, items_max).await
        }
    }
    ItemStore [retry] {
        async fn retry(&self, partition: &PartitionId, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
            let last = Timestamp::from_micros(self.last_now.load(Ordering::Relaxed));
            self.at.fired.fire_if(last != now);
            self.inner.retry(partition, last, retries).await
        }
    }
}
