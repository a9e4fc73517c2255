//! One partition in the hands of a case.

use std::future::Future;
use std::panic::Location;

use storage_api::{
    Cleared, CompleteOutcome, Count, DeleteOutcome, ExtendOutcome, Floors, Holder, ItemBatch,
    ItemEntry, ItemId, ItemIds, ItemState, LeaseRequest, LeasedBatch, ListRequest, Listing,
    Maintained, NewItem, Page, PartitionConfig, PartitionId, PartitionInfo, PartitionStats,
    Position, ProduceOutcome, Produced, Receipt, Receipts, ReleaseOutcome, ReleasedHolder,
    RestoreBatch, Result, Retries, Retry, RetryOutcome, RetryTo, ReviveOutcome, Signal, State,
    StateStats, States, Timestamp, UpdateOutcome, Version,
};

use crate::env::{Env, assert_page, count, granted};

/// A partition of the backend that the case has open; it survives a reopening.
#[derive(Clone)]
pub(crate) struct Part {
    env: Env,
    id: PartitionId,
}

/// The batch of those items.
#[track_caller]
pub(crate) fn batch<'a, I>(items: impl IntoIterator<Item = I>) -> ItemBatch
where
    I: Into<NewItem<'a>>,
{
    let mut batch = ItemBatch::new();
    for item in items {
        granted(Location::caller(), batch.push(item.into()));
    }
    batch
}

/// The receipt of a leased item.
#[track_caller]
pub(crate) fn receipt(entry: &ItemEntry) -> Receipt {
    match entry.receipt() {
        Some(receipt) => receipt,
        None => panic!("expected a leased item, got {entry:?}"),
    }
}

/// The receipts of leased items.
#[track_caller]
pub(crate) fn receipts(entries: &[ItemEntry]) -> Vec<Receipt> {
    entries.iter().map(receipt).collect()
}

/// The ids of items.
pub(crate) fn ids(entries: &[ItemEntry]) -> Vec<ItemId> {
    entries.iter().map(|entry| entry.id).collect()
}

/// A whole item at time 0, as listing would show it.
#[track_caller]
pub(crate) fn whole<'a>(id: u64, item: impl Into<NewItem<'a>>, state: ItemState) -> ItemEntry {
    let record = batch([item.into()]).seal(Timestamp::EPOCH).shared_record(0);
    let id = granted(Location::caller(), ItemId::new(id));
    ItemEntry::new(id, record, state)
}

/// Ready at that position.
#[track_caller]
pub(crate) fn ready_at(position: u64) -> ItemState {
    let position = granted(Location::caller(), Position::new(position));
    ItemState::Ready { position }
}

/// The payload of an item, as text.
pub(crate) fn payload(entry: &ItemEntry) -> String {
    let payload = entry.record.view().payload().unwrap_or(b"(no payload)");
    String::from_utf8_lossy(payload).into_owned()
}

/// The payloads of items, as text.
pub(crate) fn payloads(entries: &[ItemEntry]) -> Vec<String> {
    entries.iter().map(payload).collect()
}

fn receipts_of(at: &Location<'_>, receipts: impl IntoIterator<Item = Receipt>) -> Receipts {
    granted(at, Receipts::collect(receipts))
}

fn ids_of(at: &Location<'_>, ids: impl IntoIterator<Item = ItemId>) -> ItemIds {
    granted(at, ItemIds::collect(ids))
}

/// Writes a method that prepares its arguments at once, calls the backend later, and panics at the case's line if refused.
macro_rules! call {
    ($part:ident, |$backend:ident, $id:ident| $run:expr) => {{
        let at = Location::caller();
        let (env, $id) = ($part.env.clone(), $part.id.clone());
        async move {
            let $backend = env.backend().await;
            granted(at, $run.await)
        }
    }};
}

impl Part {
    pub(crate) fn new(env: Env, id: PartitionId) -> Self {
        Self { env, id }
    }

    /// Its name.
    pub(crate) fn id(&self) -> &PartitionId {
        &self.id
    }

    /// Produces items that are no duplicates, and gives their ids.
    #[track_caller]
    pub(crate) fn produce<'a, I>(
        &self,
        now: Timestamp,
        items: impl IntoIterator<Item = I>,
    ) -> impl Future<Output = Vec<ItemId>> + Send
    where
        I: Into<NewItem<'a>>,
    {
        let at = Location::caller();
        let batch = batch(items).seal(now);
        let part = self.clone();
        async move {
            let backend = part.env.backend().await;
            let produced = granted(at, backend.produce(&part.id, batch).await);
            assert!(
                produced.duplicates().is_empty(),
                "{at}: expected no duplicates, got {produced:?}"
            );
            produced.ids().collect()
        }
    }

    /// Produces one item that is no duplicate, and gives its id.
    #[track_caller]
    pub(crate) fn produce_one<'a>(
        &self,
        now: Timestamp,
        item: impl Into<NewItem<'a>>,
    ) -> impl Future<Output = ItemId> + Send {
        let produced = self.produce(now, [item.into()]);
        async move { produced.await[0] }
    }

    /// Produces items and gives what became of each.
    #[track_caller]
    pub(crate) fn produce_outcomes<'a, I>(
        &self,
        now: Timestamp,
        items: impl IntoIterator<Item = I>,
    ) -> impl Future<Output = Vec<ProduceOutcome>> + Send
    where
        I: Into<NewItem<'a>>,
    {
        let batch = batch(items).seal(now);
        let produced = call!(self, |backend, id| backend.produce(&id, batch));
        async move { produced.await.outcomes().collect() }
    }

    /// Produces items.
    #[track_caller]
    pub(crate) fn try_produce<'a, I>(
        &self,
        now: Timestamp,
        items: impl IntoIterator<Item = I>,
    ) -> impl Future<Output = Result<Produced>> + Send
    where
        I: Into<NewItem<'a>>,
    {
        let batch = batch(items).seal(now);
        let part = self.clone();
        async move { part.env.backend().await.produce(&part.id, batch).await }
    }

    /// Produces that many items of every state at time 0, mixed by id, and gives the ids.
    ///
    /// Their own order is in no state that of their ids. Ready ones have priorities 200 and 201, scheduled ones are due from
    /// 1000 downwards, leases end from 2000 downwards, dead ones were rejected.
    pub(crate) async fn produce_every_state(&self, of_each: u8) -> Vec<ItemId> {
        let now = Timestamp::EPOCH;
        let payloads: Vec<_> = (0..4 * of_each).map(|n| format!("item {n}")).collect();
        let items = (0i64..).zip(&payloads).map(|(n, payload)| {
            let item = NewItem::new(payload);
            match n % 4 {
                0 => item.priority(if n % 8 == 0 { 201 } else { 200 }),
                1 => item.priority(1),
                2 => item.enqueue_at(Timestamp::from_micros(1000 - n)),
                _ => item.priority(0),
            }
        });
        let ids = self.produce(now, items).await;
        let doomed = self.lease(now, Timestamp::MAX, of_each.into()).await;
        let doomed = receipts(&doomed).into_iter();
        let retries = doomed.map(|one| Retry::new(one, RetryTo::Dead));
        self.retry_all(now, retries).await;
        for n in 0..of_each {
            let deadline = Timestamp::from_micros(2000 - i64::from(n));
            self.lease_one(now, deadline).await;
        }
        ids
    }

    /// Leases up to that many items.
    #[track_caller]
    pub(crate) fn lease(
        &self,
        now: Timestamp,
        deadline: Timestamp,
        items_max: usize,
    ) -> impl Future<Output = Vec<ItemEntry>> + Send + use<> {
        self.lease_with(LeaseRequest::new(now, deadline, count(items_max)))
    }

    /// Leases one item, and there is one.
    #[track_caller]
    pub(crate) fn lease_one(
        &self,
        now: Timestamp,
        deadline: Timestamp,
    ) -> impl Future<Output = ItemEntry> + Send + use<> {
        let at = Location::caller();
        let leased = self.lease(now, deadline, 1);
        async move {
            let first = leased.await.into_iter().next();
            first.unwrap_or_else(|| panic!("{at}: expected an item to lease, got none"))
        }
    }

    /// Leases, and gives whole items.
    #[track_caller]
    pub(crate) fn lease_with(
        &self,
        request: LeaseRequest,
    ) -> impl Future<Output = Vec<ItemEntry>> + Send + use<> {
        let leased = call!(self, |backend, id| backend.lease(&id, request));
        async move { leased.await.iter().map(|item| item.to_entry()).collect() }
    }

    /// Leases.
    pub(crate) async fn try_lease(&self, request: LeaseRequest) -> Result<LeasedBatch> {
        self.env.backend().await.lease(&self.id, request).await
    }

    /// Extends leases.
    #[track_caller]
    pub(crate) fn extend(
        &self,
        receipts: impl IntoIterator<Item = Receipt>,
        deadline: Timestamp,
    ) -> impl Future<Output = Vec<ExtendOutcome>> + Send {
        let receipts = receipts_of(Location::caller(), receipts);
        call!(self, |backend, id| backend.extend(&id, receipts, deadline))
    }

    /// Releases leases.
    #[track_caller]
    pub(crate) fn release(
        &self,
        receipts: impl IntoIterator<Item = Receipt>,
    ) -> impl Future<Output = Vec<ReleaseOutcome>> + Send {
        let receipts = receipts_of(Location::caller(), receipts);
        call!(self, |backend, id| backend.release(&id, receipts))
    }

    /// Releases leases of a holder.
    #[track_caller]
    pub(crate) fn release_holder(
        &self,
        holder: Holder,
        items_max: usize,
    ) -> impl Future<Output = ReleasedHolder> + Send + use<> {
        let items_max = count(items_max);
        call!(self, |backend, id| backend
            .release_holder(&id, holder, items_max))
    }

    /// Completes leases.
    #[track_caller]
    pub(crate) fn complete(
        &self,
        receipts: impl IntoIterator<Item = Receipt>,
    ) -> impl Future<Output = Vec<CompleteOutcome>> + Send {
        let receipts = receipts_of(Location::caller(), receipts);
        call!(self, |backend, id| backend.complete(&id, receipts))
    }

    /// Retries one lease without a note.
    #[track_caller]
    pub(crate) fn retry(
        &self,
        now: Timestamp,
        receipt: Receipt,
        to: RetryTo,
    ) -> impl Future<Output = RetryOutcome> + Send {
        let retried = self.retry_all(now, [Retry::new(receipt, to)]);
        async move { retried.await[0] }
    }

    /// Retries leases.
    #[track_caller]
    pub(crate) fn retry_all(
        &self,
        now: Timestamp,
        retries: impl IntoIterator<Item = Retry>,
    ) -> impl Future<Output = Vec<RetryOutcome>> + Send {
        let retries = granted(Location::caller(), Retries::collect(retries));
        call!(self, |backend, id| backend.retry(&id, now, retries))
    }

    /// Revives dead items.
    #[track_caller]
    pub(crate) fn revive(
        &self,
        ids: impl IntoIterator<Item = ItemId>,
    ) -> impl Future<Output = Vec<ReviveOutcome>> + Send {
        let ids = ids_of(Location::caller(), ids);
        call!(self, |backend, id| backend.revive(&id, ids))
    }

    /// Looks items up, with payloads.
    #[track_caller]
    pub(crate) fn get(
        &self,
        ids: impl IntoIterator<Item = ItemId>,
    ) -> impl Future<Output = Vec<Option<ItemEntry>>> + Send {
        let ids = ids_of(Location::caller(), ids);
        call!(self, |backend, id| backend.get_items(&id, ids, true))
    }

    /// Looks one item up, and it is there.
    #[track_caller]
    pub(crate) fn item(&self, item: ItemId) -> impl Future<Output = ItemEntry> + Send {
        let at = Location::caller();
        let found = self.get([item]);
        async move {
            let found = found.await.into_iter().next().flatten();
            found.unwrap_or_else(|| panic!("{at}: expected item {item} to be there, it is not"))
        }
    }

    /// Asks for one page.
    #[track_caller]
    pub(crate) fn list(
        &self,
        request: ListRequest,
    ) -> impl Future<Output = Page<ItemEntry>> + Send + use<> {
        call!(self, |backend, id| backend.list_items(&id, request))
    }

    /// Asks for one page.
    pub(crate) async fn try_list(&self, request: ListRequest) -> Result<Page<ItemEntry>> {
        self.env.backend().await.list_items(&self.id, request).await
    }

    /// Every item of a listing, read in pages of that size, with payloads.
    #[track_caller]
    pub(crate) fn list_paged(
        &self,
        listing: Listing,
        page_max: usize,
    ) -> impl Future<Output = Vec<ItemEntry>> + Send + use<> {
        let at = Location::caller();
        let part = self.clone();
        async move {
            let request = ListRequest::new(listing).items_max(count(page_max));
            let mut all = Vec::new();
            let mut page = granted(at, part.try_list(request.clone()).await);
            loop {
                assert_page(at, page.items.len(), page_max, page.next.is_some());
                all.extend(page.items);
                let Some(next) = page.next else { return all };
                page = granted(at, part.try_list(request.clone().after(next)).await);
            }
        }
    }

    /// Every item of a listing.
    #[track_caller]
    pub(crate) fn list_in_order(
        &self,
        listing: Listing,
    ) -> impl Future<Output = Vec<ItemEntry>> + Send + use<> {
        self.list_paged(listing, Count::MAX.get())
    }

    /// Every item, by id.
    #[track_caller]
    pub(crate) fn list_all(&self) -> impl Future<Output = Vec<ItemEntry>> + Send + use<> {
        self.list_in_order(Listing::ById(States::ALL))
    }

    /// Every item of one state, by id.
    #[track_caller]
    pub(crate) fn list_state(
        &self,
        state: State,
    ) -> impl Future<Output = Vec<ItemEntry>> + Send + use<> {
        self.list_in_order(Listing::ById(state.into()))
    }

    /// Deletes items.
    #[track_caller]
    pub(crate) fn delete_items(
        &self,
        ids: impl IntoIterator<Item = ItemId>,
    ) -> impl Future<Output = Vec<DeleteOutcome>> + Send {
        let ids = ids_of(Location::caller(), ids);
        call!(self, |backend, id| backend.delete_items(&id, ids))
    }

    /// Clears items.
    #[track_caller]
    pub(crate) fn clear(
        &self,
        states: impl Into<States>,
        items_max: usize,
    ) -> impl Future<Output = Cleared> + Send {
        let (states, items_max) = (states.into(), count(items_max));
        call!(self, |backend, id| backend.clear(&id, states, items_max))
    }

    /// Restores whole items.
    #[track_caller]
    pub(crate) fn restore(
        &self,
        items: Vec<ItemEntry>,
        floors: Floors,
    ) -> impl Future<Output = ()> + Send + use<> {
        let items = granted(Location::caller(), RestoreBatch::new(items));
        call!(self, |backend, id| backend.restore(&id, items, floors))
    }

    /// Restores whole items.
    #[track_caller]
    pub(crate) fn try_restore(
        &self,
        items: Vec<ItemEntry>,
        floors: Floors,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        let items = granted(Location::caller(), RestoreBatch::new(items));
        let part = self.clone();
        async move {
            let backend = part.env.backend().await;
            backend.restore(&part.id, items, floors).await
        }
    }

    /// Maintains everything that is due.
    #[track_caller]
    pub(crate) fn maintain(
        &self,
        now: Timestamp,
    ) -> impl Future<Output = Maintained> + Send + use<> {
        self.maintain_max(now, Count::MAX.get())
    }

    /// Maintains at most that many items.
    #[track_caller]
    pub(crate) fn maintain_max(
        &self,
        now: Timestamp,
        items_max: usize,
    ) -> impl Future<Output = Maintained> + Send + use<> {
        let items_max = count(items_max);
        call!(self, |backend, id| backend.maintain(&id, now, items_max))
    }

    /// The partition as it is.
    #[track_caller]
    pub(crate) fn info(&self) -> impl Future<Output = PartitionInfo> + Send + use<> {
        call!(self, |backend, id| backend.partition(&id))
    }

    /// Replaces the configuration, whatever its revision, and gives the new one.
    #[track_caller]
    pub(crate) fn update(
        &self,
        config: PartitionConfig,
    ) -> impl Future<Output = Version> + Send + use<> {
        let at = Location::caller();
        let updated = call!(self, |backend, id| backend
            .update_partition(&id, None, config));
        async move {
            match updated.await {
                UpdateOutcome::Updated(revision) => revision,
                UpdateOutcome::Conflict(_) => {
                    panic!("{at}: an update of any revision cannot be in conflict")
                }
            }
        }
    }

    /// Removes the partition.
    #[track_caller]
    pub(crate) fn delete(&self) -> impl Future<Output = ()> + Send + use<> {
        call!(self, |backend, id| backend.delete_partition(&id))
    }

    /// Its statistics.
    #[track_caller]
    pub(crate) fn stats(&self) -> impl Future<Output = PartitionStats> + Send + use<> {
        call!(self, |backend, id| backend.stats(&id))
    }

    /// A signal.
    #[track_caller]
    pub(crate) fn watch(&self) -> impl Future<Output = Signal> + Send + use<> {
        call!(self, |backend, id| backend.watch(&id))
    }

    /// The statistics are what listing finds (clause PART-7).
    ///
    /// The due time of a dedup key whose item has gone is in no listing: the earliest due time may be earlier than that
    /// of the items.
    #[track_caller]
    pub(crate) fn assert_stats_are_those_of_the_items(
        &self,
    ) -> impl Future<Output = ()> + Send + use<> {
        let at = Location::caller();
        let (stats, ready, all) = (
            self.stats(),
            self.list_in_order(Listing::Ready),
            self.list_all(),
        );
        let id = self.id.clone();
        async move {
            let (stats, all, first) = (stats.await, all.await, ready.await.into_iter().next());
            let counted = stats_of(&all);
            for state in State::ALL {
                assert_eq!(
                    stats.state(state),
                    counted.state(state),
                    "{at}: statistics (left) and listing (right) of the {state} items of {id}"
                );
            }
            let first = first.map(|entry| entry.record.view().created_at());
            assert_eq!(
                stats.first_ready_created_at, first,
                "{at}: the first ready item of {id}: statistics (left), listing (right)"
            );
            let next_due = all.iter().filter_map(ItemEntry::due_at).min();
            assert!(
                match (stats.next_due, next_due) {
                    (Some(stated), Some(found)) => stated <= found,
                    (None, Some(_)) => false,
                    (_, None) => true,
                },
                "{at}: the earliest due time of {id} is {:?}, but an item is due at {next_due:?}",
                stats.next_due
            );
        }
    }
}

/// The sums over items that were listed.
pub(crate) fn stats_of(entries: &[ItemEntry]) -> PartitionStats {
    let mut stats = PartitionStats::default();
    for entry in entries {
        let view = entry.record.view();
        let StateStats {
            items,
            bytes,
            created_at_sum,
            due_at_sum,
        } = stats.state_mut(entry.state());
        *items += 1;
        *bytes += view.payload_len() as u64;
        *created_at_sum += i128::from(view.created_at().as_micros());
        *due_at_sum += entry.due_at().map_or(0, |due| i128::from(due.as_micros()));
    }
    stats
}
