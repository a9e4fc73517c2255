//! The wrong drivers about listing, looking up, deleting and clearing.

use std::collections::HashSet;
use std::sync::Mutex;

use storage_api::*;
use storage_model::Partition;

use crate::edited::find;
use crate::mutant::wrong;

/// A cursor behind an item.
pub(super) fn cursor_at(partition: &Partition, listing: Listing, item: &ItemEntry) -> Cursor {
    let due = item.due_at().unwrap_or(Timestamp::MIN);
    let point = match listing {
        Listing::ById(_) => ItemPoint::Id(item.id),
        Listing::Ready => {
            let position = item.state.position().unwrap_or(Position::MIN);
            ItemPoint::Ready(item.record.view().priority(), position)
        }
        Listing::Scheduled | Listing::Leased => ItemPoint::Due(due, item.id),
    };
    Cursor::after_item(&partition.info.id, partition.info.created, listing, point)
}

/// Puts what a wrong order has at the places of a page there.
pub(super) fn resorted(
    partition: &Partition,
    request: &ListRequest,
    page: &mut Page<ItemEntry>,
    key: fn(&ItemEntry) -> (i64, u64),
) {
    let state = match request.listing() {
        Listing::Ready => State::Ready,
        Listing::Scheduled => State::Scheduled,
        Listing::Leased => State::Leased,
        Listing::ById(_) => return,
    };
    let of_state = |item: &&ItemEntry| item.state() == state;
    let mut sound: Vec<_> = partition.items.iter().filter(of_state).collect();
    let mut wrong = sound.clone();
    sound.sort_by_key(|item| {
        let position = item.state.position().filter(|_| state == State::Ready);
        let priority = position.map(|_| item.record.view().priority());
        let due_at = item.due_at().filter(|_| state != State::Ready);
        (priority, position, due_at, item.id)
    });
    wrong.sort_by_key(|item| key(item));
    for item in &mut page.items {
        if let Some(place) = sound.iter().position(|one| one.id == item.id) {
            *item = wrong[place].clone();
        }
    }
}

/// Every listing there is.
pub(super) fn listings() -> impl Iterator<Item = Listing> {
    let sets = (0..16u8).map(|bits| {
        let states = State::ALL.into_iter().enumerate();
        States::of(
            states
                .filter(|(index, _)| bits & (1 << index) != 0)
                .map(|(_, state)| state),
        )
    });
    [Listing::Ready, Listing::Scheduled, Listing::Leased]
        .into_iter()
        .chain(sets.map(Listing::ById))
}

/// The cursor of a request, if the partition takes it for damaged or for another's.
pub(super) fn refused<'a>(partition: &Partition, request: &'a ListRequest) -> Option<&'a Cursor> {
    let Start::After(cursor) = request.start() else {
        return None;
    };
    let (id, created) = (&partition.info.id, partition.info.created);
    cursor
        .item_point(id, created, request.listing())
        .is_err()
        .then_some(cursor)
}

/// The same request from its beginning.
pub(super) fn from_first(request: &ListRequest) -> ListRequest {
    let anew = ListRequest::new(request.listing()).items_max(request.page_items_max());
    match request.has_payloads() {
        true => anew,
        false => anew.without_payloads(),
    }
}

wrong! { NeedsItsItem ItemStore [list_items] {
    async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
        let contents = self.inner.contents();
        if let (Some(there), Start::After(cursor)) = (find(&contents, partition), request.start())
            && let Ok(point) = cursor.item_point(partition, there.info.created, request.listing())
        {
            let is_there = there.items.iter().any(|item| match point {
                ItemPoint::Id(id) => item.id == id,
                ItemPoint::Ready(priority, position) => {
                    item.record.view().priority() == priority && item.state.position() == Some(position)
                }
                ItemPoint::Due(at, id) => item.id == id && item.due_at() == Some(at),
            });
            if self.at.fired.fire_if(!is_there) {
                return Ok(Page::last(Vec::new()));
            }
        }
        self.inner.list_items(partition, request).await
    }
}}

wrong! { PagesByOffset { shown: Mutex<usize> } ItemStore [list_items] {
    async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
        let sound = self.inner.list_items(partition, request.clone()).await?;
        let all = self.inner.list_items(partition, from_first(&request).items_max(Count::MAX)).await?.items;
        let mut shown = self.shown.lock().expect("nobody panics with it");
        match request.start() {
            Start::First => *shown = 0,
            Start::FromId(_) => return Ok(sound),
            Start::After(_) => {}
        }
        let items: Vec<_> = all.iter().skip(*shown).take(request.page_items_max().get()).cloned().collect();
        self.at.fired.fire_if(items != sound.items);
        *shown += items.len();
        let contents = self.inner.contents();
        let (there, last) = (find(&contents, partition), items.last());
        let next = there.zip(last).filter(|_| *shown < all.len());
        let next = next.map(|(there, last)| cursor_at(there, request.listing(), last));
        Ok(Page { items, next })
    }
}}

wrong! { FitsPartitions ItemStore [list_items] {
    async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
        let contents = self.inner.contents();
        let there = find(&contents, partition);
        if let Some(cursor) = there.and_then(|there| refused(there, &request)) {
            let is_of_another = contents.partitions.iter().any(|one| {
                cursor.item_point(&one.info.id, one.info.created, request.listing()).is_ok()
            });
            if self.at.fired.fire_if(is_of_another) {
                return self.inner.list_items(partition, from_first(&request)).await;
            }
        }
        self.inner.list_items(partition, request).await
    }
}}

wrong! { FitsTheNext ItemStore [list_items] {
    async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
        let contents = self.inner.contents();
        let there = find(&contents, partition);
        if let Some(cursor) = there.and_then(|there| refused(there, &request)) {
            let is_of_an_earlier = (1..=contents.last_version).any(|created| {
                let created = Version::new(created).expect("it was given out");
                cursor.item_point(partition, created, request.listing()).is_ok()
            });
            if self.at.fired.fire_if(is_of_an_earlier) {
                return self.inner.list_items(partition, from_first(&request)).await;
            }
        }
        self.inner.list_items(partition, request).await
    }
}}

wrong! { FitsListings ItemStore [list_items] {
    async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
        let contents = self.inner.contents();
        if let Some(there) = find(&contents, partition)
            && let Some(cursor) = refused(there, &request)
        {
            let is_of_another = listings().any(|listing| {
                cursor.item_point(partition, there.info.created, listing).is_ok()
            });
            if self.at.fired.fire_if(is_of_another) {
                return self.inner.list_items(partition, from_first(&request)).await;
            }
        }
        self.inner.list_items(partition, request).await
    }
}}

wrong! { TakesDamaged
    PartitionStore [list_partitions] {
        async fn list_partitions(&self, after: Option<&Cursor>, partitions_max: Count) -> Result<Page<PartitionInfo>> {
            let after = after.filter(|cursor| !self.at.fired.fire_if(cursor.partition_point().is_err()));
            self.inner.list_partitions(after, partitions_max).await
        }
    }
    ItemStore [list_items] {
        async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
            let contents = self.inner.contents();
            let there = find(&contents, partition);
            let bad = there.and_then(|there| refused(there, &request));
            let is_damaged = bad.is_some_and(|cursor| {
                contents.partitions.iter().all(|one| listings().all(|listing| {
                    cursor.item_point(&one.info.id, one.info.created, listing).is_err()
                }))
            });
            if self.at.fired.fire_if(is_damaged) {
                return self.inner.list_items(partition, from_first(&request)).await;
            }
            self.inner.list_items(partition, request).await
        }
    }
}

wrong! { EndsWithProcess { given: Mutex<HashSet<Cursor>> } ItemStore [list_items] {
    async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
        if let Start::After(cursor) = request.start() {
            let is_known = self.given.lock().expect("nobody panics with it").contains(cursor);
            if self.at.fired.fire_if(self.at.opening > 1 && !is_known) {
                return Err(Error::invalid("cursor", "it was given by another process"));
            }
        }
        let page = self.inner.list_items(partition, request).await?;
        self.given.lock().expect("nobody panics with it").extend(page.next.clone());
        Ok(page)
    }
}}

wrong! { JudgesWhenClosed ItemStore [list_items] {
    async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
        let has_cursor = matches!(request.start(), Start::After(_));
        let answer = self.inner.list_items(partition, request).await;
        let is_closed = answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Closed);
        if self.at.fired.fire_if(is_closed && has_cursor) {
            return Err(Error::invalid("cursor", "it is of another listing"));
        }
        answer
    }
}}

wrong! { CursorFirst ItemStore [list_items] {
    async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
        let is_missing = find(&self.inner.contents(), partition).is_none();
        let has_cursor = matches!(request.start(), Start::After(_));
        if self.at.fired.fire_if(is_missing && has_cursor) {
            return Err(Error::invalid("cursor", "it is of another listing"));
        }
        self.inner.list_items(partition, request).await
    }
}}

wrong! { LooksCountBytes ItemStore [get_items] {
    async fn get_items(&self, partition: &PartitionId, ids: ItemIds, payloads: bool) -> Result<Vec<Option<ItemEntry>>> {
        let counted = self.inner.get_items(partition, ids.clone(), true).await?.len();
        let mut found = self.inner.get_items(partition, ids, payloads).await?;
        self.at.fired.fire_if(counted < found.len());
        found.truncate(counted);
        Ok(found)
    }
}}

wrong! { LookingCounts ItemStore [get_items, list_items] {
    async fn get_items(&self, partition: &PartitionId, ids: ItemIds, payloads: bool) -> Result<Vec<Option<ItemEntry>>> {
        let found = self.inner.get_items(partition, ids.clone(), payloads).await?;
        self.at.edit(|contents| crate::edited::each(contents, partition, |item| {
            item.attempts = item.attempts.saturating_add(u32::from(ids.contains(&item.id)));
        }));
        Ok(found)
    }
    async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
        let page = self.inner.list_items(partition, request).await?;
        self.at.edit(|contents| crate::edited::each(contents, partition, |item| {
            item.attempts = item.attempts.saturating_add(1);
        }));
        Ok(page)
    }
}}

wrong! { DeletesEverywhere ItemStore [delete_items] {
    async fn delete_items(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<DeleteOutcome>> {
        for other in self.inner.contents().partitions {
            if other.info.id != *partition {
                let outcomes = self.inner.delete_items(&other.info.id, ids.clone()).await?;
                self.at.fired.fire_if(outcomes.contains(&DeleteOutcome::Deleted));
            }
        }
        self.inner.delete_items(partition, ids).await
    }
}}

wrong! { ClearsEverything ItemStore [clear] {
    async fn clear(&self, partition: &PartitionId, states: States, items_max: Count) -> Result<Cleared> {
        let is_some = states != States::NONE && states != States::ALL;
        let states = if self.at.fired.fire_if(is_some) { States::ALL } else { states };
        self.inner.clear(partition, states, items_max).await
    }
}}

wrong! { NoStateClears ItemStore [clear] {
    async fn clear(&self, partition: &PartitionId, states: States, items_max: Count) -> Result<Cleared> {
        let is_none = states == States::NONE;
        let states = if self.at.fired.fire_if(is_none) { States::ALL } else { states };
        self.inner.clear(partition, states, items_max).await
    }
}}

wrong! { ClearsFromTheEnd ItemStore [clear] {
    async fn clear(&self, partition: &PartitionId, states: States, items_max: Count) -> Result<Cleared> {
        let contents = self.inner.contents();
        let items = find(&contents, partition).into_iter().flat_map(|one| &one.items);
        let ids: Vec<_> = items.filter(|item| states.contains(item.state())).map(|item| item.id).collect();
        if !self.at.fired.fire_if(ids.len() > items_max.get()) {
            return self.inner.clear(partition, states, items_max).await;
        }
        let last = ids.into_iter().rev().take(items_max.get());
        self.inner.delete_items(partition, ItemIds::collect(last)?).await?;
        Ok(Cleared { removed: items_max.get(), more: true })
    }
}}

wrong! { LostAfterDeletion { deleted: Mutex<HashSet<ItemId>> } ItemStore [delete_items, complete] {
    async fn delete_items(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<DeleteOutcome>> {
        self.deleted.lock().expect("nobody panics with it").extend(&ids);
        self.inner.delete_items(partition, ids).await
    }
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let deleted = self.deleted.lock().expect("nobody panics with it").clone();
        let mut outcomes = self.inner.complete(partition, receipts.clone()).await?;
        for (receipt, outcome) in receipts.iter().zip(&mut outcomes) {
            if *outcome == CompleteOutcome::NotFound && self.at.fired.fire_if(deleted.contains(&receipt.item)) {
                *outcome = CompleteOutcome::LeaseLost;
            }
        }
        Ok(outcomes)
    }
}}

wrong! { DoneAfterClearing { cleared: Mutex<HashSet<ItemId>> } ItemStore [clear, complete] {
    async fn clear(&self, partition: &PartitionId, states: States, items_max: Count) -> Result<Cleared> {
        let before = self.inner.contents();
        let cleared = self.inner.clear(partition, states, items_max).await?;
        let after = self.inner.contents();
        let ids = |contents: &storage_model::Contents| {
            let items = find(contents, partition).into_iter().flat_map(|one| &one.items);
            items.map(|item| item.id).collect::<HashSet<_>>()
        };
        let gone: Vec<_> = ids(&before).difference(&ids(&after)).copied().collect();
        self.cleared.lock().expect("nobody panics with it").extend(gone);
        Ok(cleared)
    }
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let cleared = self.cleared.lock().expect("nobody panics with it").clone();
        let mut outcomes = self.inner.complete(partition, receipts.clone()).await?;
        for (receipt, outcome) in receipts.iter().zip(&mut outcomes) {
            if *outcome == CompleteOutcome::NotFound && self.at.fired.fire_if(cleared.contains(&receipt.item)) {
                *outcome = CompleteOutcome::Done;
            }
        }
        Ok(outcomes)
    }
}}
