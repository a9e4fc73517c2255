//! Listing: items by id, and pages in every order (clauses LIST-1 to LIST-3).

use std::ops::Bound;

use storage_api::limits::BATCH_BYTES_MAX;
use storage_api::{
    Cursor, ItemEntry, ItemId, ItemIds, ItemPoint, ListRequest, Listing, Operation, Page, Result,
    Start, State,
};

use crate::partition::Partition;

impl Partition {
    pub(crate) fn get_items(&self, ids: &ItemIds, payloads: bool) -> Vec<Option<ItemEntry>> {
        let mut answer = Answer::new(payloads);
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let entry = self.items.get(id);
            if entry.is_some_and(|entry| !answer.has_room_for(entry)) {
                break;
            }
            found.push(entry.map(|entry| answer.take(entry)));
        }
        found
    }

    pub(crate) fn list_items(&self, request: &ListRequest) -> Result<Page<ItemEntry>> {
        let listing = request.listing();
        let after = match request.start() {
            Start::After(cursor) => Some(
                cursor
                    .item_point(&self.info.id, self.info.created, listing)
                    .map_err(|error| error.during(Operation::ListItems, &self.info.id))?,
            ),
            Start::First | Start::FromId(_) => None,
        };
        let mut ids = self.ids_behind(listing, request.start(), after).peekable();

        let mut answer = Answer::new(request.has_payloads());
        let mut items = Vec::new();
        while let Some(id) = ids.peek() {
            let Some(entry) = self.items.get(id) else {
                break;
            };
            if items.len() == request.page_items_max().get() || !answer.has_room_for(entry) {
                break;
            }
            items.push(answer.take(entry));
            ids.next();
        }
        let next = match (ids.peek(), items.last()) {
            (Some(_), Some(last)) => Some(Cursor::after_item(
                &self.info.id,
                self.info.created,
                listing,
                point_of(last, listing),
            )),
            _ => None,
        };
        Ok(Page { items, next })
    }

    /// The items of a listing in its order, from its start or behind a point.
    fn ids_behind<'a>(
        &'a self,
        listing: Listing,
        start: &Start,
        after: Option<ItemPoint>,
    ) -> Box<dyn Iterator<Item = ItemId> + 'a> {
        match listing {
            Listing::ById(states) => {
                let from = match (start, after) {
                    (_, Some(ItemPoint::Id(id))) => id.get() + 1,
                    (Start::FromId(id), _) => id.get(),
                    _ => 0,
                };
                let first = self.index.first_id(states, from);
                Box::new(std::iter::successors(first, move |id| {
                    self.index.first_id(states, id.get() + 1)
                }))
            }
            Listing::Ready => {
                let from = match after {
                    Some(ItemPoint::Ready(priority, position)) => {
                        Bound::Excluded((priority, position))
                    }
                    _ => Bound::Unbounded,
                };
                let order = self.index.ready().range((from, Bound::Unbounded));
                Box::new(order.map(|(_, id)| *id))
            }
            Listing::Scheduled | Listing::Leased => {
                let state = match listing {
                    Listing::Scheduled => State::Scheduled,
                    _ => State::Leased,
                };
                let from = match after {
                    Some(ItemPoint::Due(at, id)) => Bound::Excluded((at, id)),
                    _ => Bound::Unbounded,
                };
                let order = self.index.due(state).range((from, Bound::Unbounded));
                Box::new(order.map(|(_, id)| *id))
            }
        }
    }
}

/// Where an item stands in a listing that it is part of.
fn point_of(entry: &ItemEntry, listing: Listing) -> ItemPoint {
    match (listing, entry.state.position(), entry.due_at()) {
        (Listing::Ready, Some(position), _) => {
            ItemPoint::Ready(entry.record.view().priority(), position)
        }
        (Listing::Scheduled | Listing::Leased, _, Some(at)) => ItemPoint::Due(at, entry.id),
        _ => ItemPoint::Id(entry.id),
    }
}

/// The size of an answer: it ends before the item that would bring its payloads over 32 MiB, never before its first.
struct Answer {
    payloads: bool,
    bytes: usize,
    is_empty: bool,
}

impl Answer {
    fn new(payloads: bool) -> Self {
        Self {
            payloads,
            bytes: 0,
            is_empty: true,
        }
    }

    fn has_room_for(&self, entry: &ItemEntry) -> bool {
        let bytes = self.bytes + entry.record.view().payload_len();
        self.is_empty || !self.payloads || bytes <= BATCH_BYTES_MAX
    }

    fn take(&mut self, entry: &ItemEntry) -> ItemEntry {
        self.bytes += entry.record.view().payload_len();
        self.is_empty = false;
        let mut entry = entry.clone();
        if !self.payloads {
            entry.record = entry.record.without_payload();
        }
        entry
    }
}
