//! The handle of one partition.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tracing::{Instrument, debug_span};

use super::{Storage, accept};
use crate::backend::StorageBackend;
use crate::call::{
    CompleteOutcome, Cursor, DeleteOutcome, ExtendOutcome, Floors, ItemIds, ListRequest,
    Maintained, Page, Receipts, ReleaseOutcome, RestoreBatch, Retries, RetryOutcome, ReviveOutcome,
    UpdateOutcome,
};
use crate::error::{Error, Operation, Result};
use crate::item::{ItemEntry, States};
use crate::names::PartitionId;
use crate::numbers::{Count, Holder, ItemId, Version};
use crate::partition::{PartitionConfig, PartitionInfo, PartitionStats};
use crate::shortcut::Shortcut;
use crate::time::Timestamp;
use crate::watch::Signal;

/// How many due items one call of `maintain` handles: few enough that others get at the partition in between, many enough
/// that a call costs next to nothing for each.
const MAINTAIN_SLICE: usize = 1000;

/// One partition: produce, lease, finish, look. Cheap to clone; clones are one.
///
/// Lists of receipts, ids and retries can be given as a `Vec`, an array, a slice, one entry, or what a
/// [`LeasedBatch`](crate::LeasedBatch) gives; more than 10 000 entries are `InvalidArgument`.
#[derive(Clone)]
pub struct Partition {
    storage: Storage,
    id: PartitionId,
    shortcut: OnceLock<Arc<dyn Shortcut>>,
}

impl Partition {
    pub(super) fn new(storage: Storage, id: PartitionId) -> Self {
        Self {
            storage,
            id,
            shortcut: OnceLock::new(),
        }
    }

    /// The name of the partition.
    ///
    /// ```
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// assert_eq!(storage.partition(("emails", 3))?.id().number(), 3);
    /// # Ok::<(), storage_api::Error>(())
    /// ```
    pub fn id(&self) -> &PartitionId {
        &self.id
    }

    /// The storage that the partition is in.
    ///
    /// ```
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// let partition = storage.partition(("emails", 0))?;
    /// assert!(partition.storage().is_same_backend(&storage));
    /// # Ok::<(), storage_api::Error>(())
    /// ```
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The partition as it is: configuration, revision, version of its creation.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # use storage_api::PartitionConfig;
    /// # let partition = storage.create_partition(("emails", 0), PartitionConfig::default()).await?;
    /// assert_eq!(partition.info().await?.config, PartitionConfig::default());
    /// # Ok(()) }
    /// ```
    pub async fn info(&self) -> Result<PartitionInfo> {
        let span = debug_span!("partition", partition = %self.id);
        self.backend().partition(&self.id).instrument(span).await
    }

    /// The statistics: constant time, whatever the partition holds (clause PART-7).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// partition.produce(["hello"]).await?;
    /// assert_eq!(partition.stats().await?.ready.items, 1);
    /// # Ok(()) }
    /// ```
    pub async fn stats(&self) -> Result<PartitionStats> {
        let span = debug_span!("stats", partition = %self.id);
        self.backend().stats(&self.id).instrument(span).await
    }

    /// Changes the configuration: `change` gets the one that is there, again where another change came between.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use storage_api::Mode;
    ///
    /// let revision = partition.update(|config| config.with_mode(Mode::Draining)).await?;
    /// assert_eq!(partition.info().await?.revision, revision);
    /// # Ok(()) }
    /// ```
    pub async fn update<F>(&self, mut change: F) -> Result<Version>
    where
        F: FnMut(PartitionConfig) -> PartitionConfig,
    {
        let updating = async {
            loop {
                let info = self.backend().partition(&self.id).await?;
                let config = change(info.config);
                let backend = self.backend();
                let outcome = backend.update_partition(&self.id, Some(info.revision), config);
                if let UpdateOutcome::Updated(revision) = outcome.await? {
                    return Ok(revision);
                }
            }
        };
        let span = debug_span!("update_partition", partition = %self.id);
        updating.instrument(span).await
    }

    /// Handles everything that is due by now, in slices, and says what it did (clauses TIME-1 and TIME-2).
    ///
    /// [`lease`](Self::lease) does this itself; a [`Maintainer`](crate::Maintainer) does it for partitions that nobody leases
    /// from. An error, or a dropped future, leaves the slices done.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// use std::time::Duration;
    /// use storage_api::{ManualClock, NewItem, Storage, Timestamp};
    ///
    /// let clock = ManualClock::new(Timestamp::EPOCH);
    /// let storage = Storage::new(storage_memory::MemoryBackend::new()).with_clock(clock.clone());
    /// let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// partition.produce([NewItem::new("later").enqueue_at(Timestamp::from_secs(60))]).await?;
    /// assert_eq!(partition.maintain().await?.next_due, Some(Timestamp::from_secs(60)));
    ///
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(partition.maintain().await?.ready, 1);
    /// # Ok(()) }
    /// ```
    pub async fn maintain(&self) -> Result<Maintained> {
        let span = debug_span!("maintain", partition = %self.id);
        let now = self.storage.now();
        self.maintain_until(now).instrument(span).await
    }

    pub(super) async fn maintain_until(&self, now: Timestamp) -> Result<Maintained> {
        let slice = Count::clamped(MAINTAIN_SLICE);
        let mut sum = self.backend().maintain(&self.id, now, slice).await?;
        while sum.more {
            let next = self.backend().maintain(&self.id, now, slice).await?;
            sum.ready += next.ready;
            sum.expired += next.expired;
            sum.attempts_exhausted += next.attempts_exhausted;
            sum.dropped += next.dropped;
            sum.keys_freed += next.keys_freed;
            sum.more = next.more;
            sum.next_due = next.next_due;
        }
        Ok(sum)
    }

    /// A signal that fires when something may have become ready or due earlier (clause WAKE-1).
    ///
    /// Take it, look, then wait.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// let mut signal = partition.watch().await?;
    /// partition.produce(["hello"]).await?;
    /// signal.fired().await;
    /// # Ok(()) }
    /// ```
    pub async fn watch(&self) -> Result<Signal> {
        let span = debug_span!("watch", partition = %self.id);
        self.backend().watch(&self.id).instrument(span).await
    }

    /// Moves the deadline of leases to that time from now, later or earlier (clause LEASE-8).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use std::time::Duration;
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use storage_api::ExtendOutcome;
    ///
    /// partition.produce(["hello"]).await?;
    /// let leased = partition.lease(1, Duration::from_secs(30)).await?;
    /// let outcomes = partition.extend(leased.receipts(), Duration::from_secs(300)).await?;
    /// assert_eq!(outcomes, [ExtendOutcome::Extended]);
    /// # Ok(()) }
    /// ```
    pub async fn extend<R>(
        &self,
        receipts: R,
        lease_for: std::time::Duration,
    ) -> Result<Vec<ExtendOutcome>>
    where
        R: TryInto<Receipts>,
        Error: From<R::Error>,
    {
        let receipts: Receipts = accept(receipts, Operation::Extend, &self.id)?;
        let span = debug_span!("extend", partition = %self.id, receipts = receipts.len());
        let deadline = self.storage.now().saturating_add(lease_for);
        let outcomes = self.backend().extend(&self.id, receipts, deadline);
        outcomes.instrument(span).await
    }

    /// Gives leases back unused: ready where they stood, one attempt less (clause RETRY-6).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use std::time::Duration;
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// partition.produce(["hello"]).await?;
    /// let leased = partition.lease(1, Duration::from_secs(30)).await?;
    /// partition.release(leased.receipts()).await?;
    /// assert_eq!(partition.stats().await?.ready.items, 1);
    /// # Ok(()) }
    /// ```
    pub async fn release<R>(&self, receipts: R) -> Result<Vec<ReleaseOutcome>>
    where
        R: TryInto<Receipts>,
        Error: From<R::Error>,
    {
        let receipts: Receipts = accept(receipts, Operation::Release, &self.id)?;
        let span = debug_span!("release", partition = %self.id, receipts = receipts.len());
        let outcomes = self.backend().release(&self.id, receipts);
        outcomes.instrument(span).await
    }

    /// Releases every lease of a holder, in bounded calls, and says how many (clause LEASE-9).
    ///
    /// For a worker that has died: its items need not wait for their deadlines. A holder's number should be new for every
    /// start of a worker.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use std::time::Duration;
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use storage_api::{Holder, LeaseOptions};
    ///
    /// partition.produce(["a", "b"]).await?;
    /// let worker = Holder::new(17)?;
    /// let options = LeaseOptions::new(10, Duration::from_secs(30)).holder(worker);
    /// partition.lease_with(options).await?;
    /// assert_eq!(partition.release_holder(worker).await?, 2);
    /// # Ok(()) }
    /// ```
    pub async fn release_holder(&self, holder: Holder) -> Result<u64> {
        let releasing = async {
            let mut released = 0;
            loop {
                let backend = self.backend();
                let step = backend.release_holder(&self.id, holder, Count::MAX).await?;
                released += step.released as u64;
                if !step.more {
                    return Ok(released);
                }
            }
        };
        let span = debug_span!("release_holder", partition = %self.id, %holder);
        releasing.instrument(span).await
    }

    /// Removes the item of each valid receipt: its work is done (clauses DONE-1 and DONE-2).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use std::time::Duration;
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use storage_api::CompleteOutcome;
    ///
    /// partition.produce(["hello"]).await?;
    /// let leased = partition.lease(1, Duration::from_secs(30)).await?;
    /// let receipt = leased.get(0).unwrap().receipt();
    /// assert_eq!(partition.complete([receipt]).await?, [CompleteOutcome::Done]);
    /// assert_eq!(partition.complete([receipt]).await?, [CompleteOutcome::NotFound]);
    /// # Ok(()) }
    /// ```
    pub async fn complete<R>(&self, receipts: R) -> Result<Vec<CompleteOutcome>>
    where
        R: TryInto<Receipts>,
        Error: From<R::Error>,
    {
        let receipts: Receipts = accept(receipts, Operation::Complete, &self.id)?;
        let span = debug_span!("complete", partition = %self.id, receipts = receipts.len());
        if let Some(outcomes) = span.in_scope(|| self.shortcut()?.complete(&receipts)) {
            return outcomes;
        }
        let outcomes = self.backend().complete(&self.id, receipts);
        outcomes.instrument(span).await
    }

    /// Ends leases without completion: ready, scheduled or dead (clauses RETRY-1 to RETRY-5).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use std::time::Duration;
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use storage_api::{Retry, RetryOutcome, RetryTo};
    ///
    /// partition.produce(["hello"]).await?;
    /// let leased = partition.lease(1, Duration::from_secs(30)).await?;
    /// let receipt = leased.get(0).unwrap().receipt();
    /// let later = RetryTo::At(storage.now().saturating_add(Duration::from_secs(60)));
    /// let retry = Retry::new(receipt, later).with_note("the mail server is down")?;
    /// assert_eq!(partition.retry(retry).await?, [RetryOutcome::Scheduled]);
    /// # Ok(()) }
    /// ```
    pub async fn retry<R>(&self, retries: R) -> Result<Vec<RetryOutcome>>
    where
        R: TryInto<Retries>,
        Error: From<R::Error>,
    {
        let retries: Retries = accept(retries, Operation::Retry, &self.id)?;
        let span = debug_span!("retry", partition = %self.id, retries = retries.len());
        let outcomes = self.backend().retry(&self.id, self.storage.now(), retries);
        outcomes.instrument(span).await
    }

    /// Makes dead items ready at the tail, with no attempts and no expiry (clause DEAD-2).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use std::time::Duration;
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use storage_api::{Retry, RetryTo, ReviveOutcome};
    ///
    /// partition.produce(["hello"]).await?;
    /// let leased = partition.lease(1, Duration::from_secs(30)).await?;
    /// let item = leased.get(0).unwrap();
    /// partition.retry(Retry::new(item.receipt(), RetryTo::Dead)).await?;
    /// assert_eq!(partition.revive(item.id()).await?, [ReviveOutcome::Revived]);
    /// # Ok(()) }
    /// ```
    pub async fn revive<I>(&self, ids: I) -> Result<Vec<ReviveOutcome>>
    where
        I: TryInto<ItemIds>,
        Error: From<I::Error>,
    {
        let ids: ItemIds = accept(ids, Operation::Revive, &self.id)?;
        let span = debug_span!("revive", partition = %self.id, ids = ids.len());
        self.backend().revive(&self.id, ids).instrument(span).await
    }

    /// The item of that id with its payload, if there is one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// let produced = partition.produce(["hello"]).await?;
    /// let id = produced.ids().next().unwrap();
    /// assert_eq!(partition.get(id).await?.unwrap().attempts, 0);
    /// # Ok(()) }
    /// ```
    pub async fn get(&self, id: ItemId) -> Result<Option<ItemEntry>> {
        let span = debug_span!("get_items", partition = %self.id, ids = 1);
        let entries = self.backend().get_items(&self.id, ItemIds::one(id), true);
        Ok(entries.instrument(span).await?.pop().flatten())
    }

    /// One entry per id in input order, `None` for what is not there, with payloads or without.
    ///
    /// It asks again where an answer ended at its largest size, so that all entries come: with payloads that can be much.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// let produced = partition.produce(["a", "b"]).await?;
    /// let ids: Vec<_> = produced.ids().collect();
    /// partition.delete(ids[0]).await?;
    /// let entries = partition.get_many(ids, false).await?;
    /// assert!(entries[0].is_none() && entries[1].is_some());
    /// # Ok(()) }
    /// ```
    pub async fn get_many<I>(&self, ids: I, payloads: bool) -> Result<Vec<Option<ItemEntry>>>
    where
        I: TryInto<ItemIds>,
        Error: From<I::Error>,
    {
        let ids: ItemIds = accept(ids, Operation::GetItems, &self.id)?;
        let span = debug_span!("get_items", partition = %self.id, ids = ids.len());
        let getting = async {
            let backend = self.backend();
            let mut entries = backend.get_items(&self.id, ids.clone(), payloads).await?;
            while entries.len() < ids.len() {
                let rest = ItemIds::new(ids[entries.len()..].to_vec())?;
                entries.extend(backend.get_items(&self.id, rest, payloads).await?);
            }
            Ok(entries)
        };
        getting.instrument(span).await
    }

    /// One page of items (clause LIST-2).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use storage_api::ListRequest;
    ///
    /// partition.produce(["a", "b"]).await?;
    /// let page = partition.list(ListRequest::ready()).await?;
    /// assert_eq!(page.items.len(), 2);
    /// assert!(page.next.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn list(&self, request: ListRequest) -> Result<Page<ItemEntry>> {
        let span = debug_span!("list_items", partition = %self.id);
        let page = self.backend().list_items(&self.id, request);
        page.instrument(span).await
    }

    /// Every page of a listing, one after the other.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use storage_api::{Count, ListRequest, States};
    ///
    /// partition.produce(["a", "b", "c"]).await?;
    /// let mut pages = partition.pages(ListRequest::by_id(States::ALL).items_max(Count::new(2)?));
    /// let mut seen = 0;
    /// while let Some(items) = pages.next().await? {
    ///     seen += items.len();
    /// }
    /// assert_eq!(seen, 3);
    /// # Ok(()) }
    /// ```
    pub fn pages(&self, request: ListRequest) -> ItemPages {
        ItemPages {
            partition: self.clone(),
            next: Some(request),
        }
    }

    /// Removes items by id, whatever their state (clause LIST-4).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use storage_api::DeleteOutcome;
    ///
    /// let produced = partition.produce(["a", "b"]).await?;
    /// let ids: Vec<_> = produced.ids().collect();
    /// assert_eq!(partition.delete(ids).await?, [DeleteOutcome::Deleted; 2]);
    /// # Ok(()) }
    /// ```
    pub async fn delete<I>(&self, ids: I) -> Result<Vec<DeleteOutcome>>
    where
        I: TryInto<ItemIds>,
        Error: From<I::Error>,
    {
        let ids: ItemIds = accept(ids, Operation::DeleteItems, &self.id)?;
        let span = debug_span!("delete_items", partition = %self.id, ids = ids.len());
        let outcomes = self.backend().delete_items(&self.id, ids);
        outcomes.instrument(span).await
    }

    /// Removes every item of those states, in bounded calls, and says how many (clause LIST-4).
    ///
    /// What is produced meanwhile may be removed or not. An error, or a dropped future, leaves removed what was.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use storage_api::State;
    ///
    /// partition.produce(["a", "b"]).await?;
    /// assert_eq!(partition.clear(State::Dead).await?, 0);
    /// assert_eq!(partition.clear(State::Ready).await?, 2);
    /// # Ok(()) }
    /// ```
    pub async fn clear(&self, states: impl Into<States>) -> Result<u64> {
        let states = states.into();
        let clearing = async {
            let mut removed = 0;
            loop {
                let step = self.backend().clear(&self.id, states, Count::MAX).await?;
                removed += step.removed as u64;
                if !step.more {
                    return Ok(removed);
                }
            }
        };
        let span = debug_span!("clear", partition = %self.id, ?states);
        clearing.instrument(span).await
    }

    /// Stores whole items as listing gives them, all or none (clauses MOVE-1 and MOVE-2).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let from = storage.create_partition(("emails", 0), Default::default()).await?;
    /// # let to = storage.create_partition(("emails", 1), Default::default()).await?;
    /// use storage_api::{Floors, ListRequest, RestoreBatch, States};
    ///
    /// from.produce(["hello"]).await?;
    /// let page = from.list(ListRequest::by_id(States::ALL)).await?;
    /// to.restore(RestoreBatch::new(page.items.clone())?, Floors::none()).await?;
    /// assert_eq!(to.list(ListRequest::by_id(States::ALL)).await?, page);
    /// # Ok(()) }
    /// ```
    pub async fn restore(&self, items: RestoreBatch, floors: Floors) -> Result<()> {
        let span = debug_span!("restore", partition = %self.id, items = items.len());
        let restored = self.backend().restore(&self.id, items, floors);
        restored.instrument(span).await
    }

    pub(super) fn backend(&self) -> &dyn StorageBackend {
        &**self.storage.backend()
    }

    /// The short way to the partition, where there is one.
    #[inline]
    pub(super) fn shortcut(&self) -> Option<&dyn Shortcut> {
        match self.shortcut.get() {
            Some(shortcut) => Some(&**shortcut),
            None => self.find_shortcut(),
        }
    }

    #[cold]
    fn find_shortcut(&self) -> Option<&dyn Shortcut> {
        let shortcut = self.backend().shortcut(&self.id)?;
        Some(&**self.shortcut.get_or_init(|| shortcut))
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Partition").field(&self.id).finish()
    }
}

/// The pages of a listing; see [`Partition::pages`].
#[derive(Debug, Clone)]
pub struct ItemPages {
    partition: Partition,
    next: Option<ListRequest>,
}

impl ItemPages {
    /// The next page; `None` after the last.
    ///
    /// After an error the same page is asked for again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use storage_api::ListRequest;
    ///
    /// partition.produce(["hello"]).await?;
    /// let mut pages = partition.pages(ListRequest::ready());
    /// assert_eq!(pages.next().await?.unwrap().len(), 1);
    /// assert!(pages.next().await?.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn next(&mut self) -> Result<Option<Vec<ItemEntry>>> {
        let Some(request) = &self.next else {
            return Ok(None);
        };
        let page = self.partition.list(request.clone()).await?;
        let follow = |cursor: Cursor| request.clone().after(cursor);
        self.next = page.next.map(follow);
        Ok((!page.items.is_empty()).then_some(page.items))
    }
}
