//! Looking at items (clauses LIST-1 to LIST-3).

use storage_api::limits::BATCH_BYTES_MAX;
use storage_api::{
    Count, Cursor, ItemEntry, ItemIds, ItemPoint, ItemState, ListRequest, Listing, Operation, Page,
    PartitionId, Result, Start,
};

use crate::model::Model;
use crate::partitions::place;

impl Model {
    /// One entry per id in input order, `None` for what is not there (clause LIST-1).
    pub fn get_items(
        &self,
        partition: &PartitionId,
        ids: ItemIds,
        payloads: bool,
    ) -> Result<Vec<Option<ItemEntry>>> {
        let partition = self.find(Operation::GetItems, partition)?;
        let mut answer = Vec::new();
        let mut bytes = 0;
        for id in ids {
            let found = partition.index_of(id);
            let found = found.map(|index| shown(&partition.items[index], payloads));
            bytes += found.as_ref().map_or(0, payload_bytes);
            // LIST-1: ends before what would be too much, never before the first: the largest payload fits.
            if bytes > BATCH_BYTES_MAX {
                break;
            }
            answer.push(found);
        }
        Ok(answer)
    }

    /// A page of items (clause LIST-2).
    pub fn list_items(
        &self,
        partition: &PartitionId,
        request: ListRequest,
    ) -> Result<Page<ItemEntry>> {
        let partition = self.find(Operation::ListItems, partition)?;
        let (id, created) = (&partition.info.id, partition.info.created);
        let listing = request.listing();
        let after = match request.start() {
            // LIST-3: only of this listing and this very partition.
            Start::After(cursor) => Some(
                cursor
                    .item_point(id, created, listing)
                    .map_err(|error| error.during(Operation::ListItems, id))?,
            ),
            Start::First | Start::FromId(_) => None,
        };
        let is_left = |at: ItemPoint| match request.start() {
            Start::First => true,
            Start::FromId(from) => at >= ItemPoint::Id(*from),
            // LIST-3: goes on where its item would have stood.
            Start::After(_) => after.is_some_and(|after| at > after),
        };
        let mut left: Vec<(ItemPoint, &ItemEntry)> = partition
            .items
            .iter()
            .filter_map(|item| Some((point(item, listing)?, item)))
            .filter(|(at, _)| is_left(*at))
            .collect();
        left.sort_by_key(|(at, _)| *at);

        let payloads = request.has_payloads();
        let page = page(
            left.into_iter()
                .map(|(at, item)| (at, shown(item, payloads))),
            request.page_items_max(),
            |(_, item)| payload_bytes(item),
            |(at, _)| Cursor::after_item(id, created, listing, *at),
        );
        Ok(Page {
            items: page.items.into_iter().map(|(_, item)| item).collect(),
            next: page.next,
        })
    }
}

/// Where an item stands in a listing; `None` where it does not belong to it (clause LIST-2).
fn point(item: &ItemEntry, listing: Listing) -> Option<ItemPoint> {
    match (listing, item.state) {
        (Listing::ById(states), _) if states.contains(item.state()) => Some(ItemPoint::Id(item.id)),
        (Listing::Ready, ItemState::Ready { position }) => {
            let (priority, position) = place(item, position);
            Some(ItemPoint::Ready(priority, position))
        }
        (Listing::Scheduled, ItemState::Scheduled { .. })
        | (Listing::Leased, ItemState::Leased { .. }) => {
            item.due_at().map(|at| ItemPoint::Due(at, item.id))
        }
        _ => None,
    }
}

fn shown(item: &ItemEntry, payloads: bool) -> ItemEntry {
    let mut shown = item.clone();
    if !payloads {
        shown.record = shown.record.without_payload();
    }
    shown
}

/// What counts toward the size of an answer: nothing where the payload was left away.
fn payload_bytes(item: &ItemEntry) -> usize {
    item.record.view().payload().map_or(0, <[u8]>::len)
}

/// The first page of what is left: at least one where one is left, `next` exactly where something follows (clause LIST-2).
pub(crate) fn page<T>(
    left: impl IntoIterator<Item = T>,
    items_max: Count,
    bytes_of: impl Fn(&T) -> usize,
    cursor_of: impl Fn(&T) -> Cursor,
) -> Page<T> {
    let mut items = Vec::new();
    let mut bytes = 0;
    for item in left {
        bytes += bytes_of(&item);
        let is_full = items.len() == items_max.get() || bytes > BATCH_BYTES_MAX;
        if let Some(last) = items.last()
            && is_full
        {
            let next = Some(cursor_of(last));
            return Page { items, next };
        }
        items.push(item);
    }
    Page::last(items)
}
