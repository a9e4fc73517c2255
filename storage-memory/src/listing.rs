//! Listing: items by id, and pages in every order (clauses LIST-1 to LIST-3).

use std::ops::Bound;

use storage_api::limits::BATCH_BYTES_MAX;
use storage_api::{
    Cursor, ItemEntry, ItemIds, ItemPoint, ListRequest, Listing, Operation, Page, Result, Start,
};

use crate::partition::{Partition, is_ready_at};
use crate::slot::Slot;

impl Partition {
    pub(crate) fn get_items(&self, ids: &ItemIds, payloads: bool) -> Vec<Option<ItemEntry>> {
        let mut answer = Answer::new(payloads);
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let slot = self.slots.get(id.get());
            if slot.is_some_and(|slot| !answer.has_room_for(slot)) {
                break;
            }
            found.push(slot.map(|slot| answer.take(self, id.get(), slot)));
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
            let Some(slot) = self.slots.get(*id) else {
                break;
            };
            if items.len() == request.page_items_max().get() || !answer.has_room_for(slot) {
                break;
            }
            items.push(answer.take(self, *id, slot));
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
    ) -> Box<dyn Iterator<Item = u64> + 'a> {
        match listing {
            Listing::ById(states) => {
                let from = match (start, after) {
                    (_, Some(ItemPoint::Id(id))) => id.get() + 1,
                    (Start::FromId(id), _) => id.get(),
                    _ => 0,
                };
                let first = self.slots.first_id(states, from);
                Box::new(std::iter::successors(first, move |id| {
                    self.slots.first_id(states, id + 1)
                }))
            }
            Listing::Ready => {
                let after = match after {
                    Some(ItemPoint::Ready(priority, position)) => Some((priority, position.get())),
                    _ => None,
                };
                let order = self.ready.after_priority(after);
                let ready = order.filter(|(_, stand)| is_ready_at(&self.slots, *stand));
                Box::new(ready.map(|(_, (_, id))| id))
            }
            Listing::Scheduled => {
                let from = match after {
                    Some(ItemPoint::Due(at, id)) => Bound::Excluded((at, id)),
                    _ => Bound::Unbounded,
                };
                let order = self.scheduled.range(from, Bound::Unbounded);
                Box::new(order.map(|((_, id), ())| id.get()))
            }
            Listing::Leased => {
                let after = match after {
                    Some(ItemPoint::Due(at, id)) => Some((at, id)),
                    _ => None,
                };
                let order = self.leases.due(after, |id, grant, index| {
                    let slot = self.slots.get(id);
                    slot.is_some_and(|slot| slot.is_leased_as(grant, index))
                });
                Box::new(order.map(|(_, id)| id.get()))
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

    fn has_room_for(&self, slot: &Slot) -> bool {
        let bytes = self.bytes + slot.payload_len();
        self.is_empty || !self.payloads || bytes <= BATCH_BYTES_MAX
    }

    fn take(&mut self, partition: &Partition, id: u64, slot: &Slot) -> ItemEntry {
        self.bytes += slot.payload_len();
        self.is_empty = false;
        partition.entry(id, slot, self.payloads)
    }
}
