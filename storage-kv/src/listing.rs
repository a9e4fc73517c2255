//! Looking at items (clauses LIST-1 to LIST-3).

use std::ops::ControlFlow;

use storage_api::limits::BATCH_BYTES_MAX;
use storage_api::{
    Cursor, Direction, ItemEntry, ItemIds, ItemPoint, ItemState, ListRequest, Listing, Page,
    Position, Record, Start, State, States, Timestamp,
};

use crate::engine::{KvResult, OrderedKv, Span};
use crate::item::Item;
use crate::keys::{self, DueKind};
use crate::keyspace::Keyspace;
use crate::produce::item_id;
use crate::read::Want;
use crate::store::damaged;
use crate::work::{ReadyRow, Stop, Work};

/// How many items are looked at together. A page of large payloads may end with any of them.
const CHUNK_ITEMS: usize = 256;
/// How many bytes of records are looked at together.
const CHUNK_BYTES: usize = 4 << 20;

/// Some items by id.
pub(crate) struct Chunk {
    pub(crate) items: Vec<(u64, Item, Option<Record>)>,
    /// Where to go on, unless this was the end.
    pub(crate) next: Option<u64>,
}

/// A page while it is filled.
struct Filling {
    items: Vec<(ItemPoint, ItemEntry)>,
    items_max: usize,
    bytes: usize,
    /// Whether something followed that did not fit.
    is_cut: bool,
}

impl Filling {
    fn new(items_max: usize) -> Self {
        Self {
            items: Vec::new(),
            items_max,
            bytes: 0,
            is_cut: false,
        }
    }

    /// Whether an item of that many payload bytes still fits; the first always does.
    fn admits(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.is_cut = !self.items.is_empty()
            && (self.items.len() == self.items_max || self.bytes > BATCH_BYTES_MAX);
        !self.is_cut
    }
}

impl<E: OrderedKv> Work<'_, E> {
    pub(crate) fn get_items(
        &mut self,
        ids: &ItemIds,
        payloads: bool,
    ) -> Result<Vec<Option<ItemEntry>>, Stop> {
        let want = Want::of(payloads);
        let mut answer = Vec::with_capacity(ids.len());
        let mut bytes = 0;
        for chunk in ids.chunks(CHUNK_ITEMS) {
            let chunk: Vec<u64> = chunk.iter().map(|id| id.get()).collect();
            let mut records: Vec<Option<Record>> = Vec::with_capacity(chunk.len());
            let is_first = answer.is_empty();
            self.read_bodies(&chunk, |id, body| {
                let record = body
                    .map(|body| self.record_of(id, body, want))
                    .transpose()?;
                let payload = record.as_ref().and_then(|record| record.view().payload());
                bytes += payload.map_or(0, <[u8]>::len);
                if bytes > BATCH_BYTES_MAX && !(is_first && records.is_empty()) {
                    return Ok(ControlFlow::Break(()));
                }
                records.push(record);
                Ok(ControlFlow::Continue(()))
            })?;
            let is_cut = records.len() < chunk.len();
            self.fetch(chunk.iter().take(records.len()).copied())?;
            for (id, record) in chunk.into_iter().zip(records) {
                answer.push(match record {
                    None if self.item(id).is_some() => return Err(self.missing(id).into()),
                    None => None,
                    Some(record) => Some(self.indexed(id)?.entry(item_id(id), record)),
                });
            }
            if is_cut {
                break;
            }
        }
        Ok(answer)
    }

    pub(crate) fn list_items(&mut self, request: &ListRequest) -> Result<Page<ItemEntry>, Stop> {
        let (id, created) = (self.info.id.clone(), self.info.created);
        let listing = request.listing();
        let after = match request.start() {
            Start::First | Start::FromId(_) => None,
            Start::After(cursor) => Some(
                cursor
                    .item_point(&id, created, listing)
                    .map_err(|error| error.during(self.operation, &id))?,
            ),
        };
        let first_id = match (request.start(), after) {
            (Start::FromId(from), _) => from.get(),
            (_, Some(ItemPoint::Id(after))) => after.get() + 1,
            _ => 0,
        };
        let items_max = request.page_items_max().get();
        let want = Want::of(request.has_payloads());
        let mut page = Filling::new(items_max);
        match listing {
            Listing::ById(states) if reads_bodies(states) => {
                self.fill_by_bodies(states, first_id, want, &mut page)?;
            }
            Listing::ById(states) => {
                let ids = self.ids_in(states, first_id, items_max + 1)?;
                let points = ids.into_iter().map(|id| (ItemPoint::Id(item_id(id)), id));
                self.fill(listing, &points.collect::<Vec<_>>(), want, &mut page)?;
            }
            Listing::Ready => {
                let points = self.ready_points(after, items_max + 1)?;
                self.fill(listing, &points, want, &mut page)?;
            }
            Listing::Scheduled => {
                let points = self.due_points(DueKind::Scheduled, after, items_max + 1)?;
                self.fill(listing, &points, want, &mut page)?;
            }
            Listing::Leased => {
                let points = self.due_points(DueKind::Leased, after, items_max + 1)?;
                self.fill(listing, &points, want, &mut page)?;
            }
        }
        let last = page.items.last().map(|(point, _)| *point);
        Ok(Page {
            next: last
                .filter(|_| page.is_cut)
                .map(|point| Cursor::after_item(&id, created, listing, point)),
            items: page.items.into_iter().map(|(_, item)| item).collect(),
        })
    }

    /// Up to `ids_max` ids of items of some states, from one on.
    pub(crate) fn ids_in(
        &mut self,
        states: States,
        first_id: u64,
        ids_max: usize,
    ) -> KvResult<Vec<u64>> {
        let mut ids = Vec::new();
        let stats = self.counters.stats();
        if states.iter().all(|state| stats.state(state).items == 0) {
            return Ok(ids);
        }
        if reads_bodies(states) {
            self.walk_bodies(states, first_id, None, |id, _, _| {
                ids.push(id);
                full(ids.len() == ids_max)
            })?;
            return Ok(ids);
        }
        // Dead items have an index of their own; leased and dead ones always have state rows.
        let is_dead_only = !states.contains(State::Leased);
        let space = match is_dead_only {
            true => Keyspace::Dead,
            false => Keyspace::States,
        };
        let from = keys::item(self.part(), first_id);
        let end = keys::behind(&from[..4]);
        let span = Span {
            from: &from,
            to: end.as_deref(),
        };
        self.store
            .scan(space, span, Direction::Forward, |key, row| {
                let id = self.id_of(space, key)?;
                if is_dead_only || states.contains(self.decode_state(id, row)?.state()) {
                    ids.push(id);
                }
                Ok(full(ids.len() == ids_max))
            })?;
        Ok(ids)
    }

    fn ready_points(
        &self,
        after: Option<ItemPoint>,
        points_max: usize,
    ) -> KvResult<Vec<(ItemPoint, u64)>> {
        let mut points = Vec::new();
        let first = self.counters.ready().first();
        let from = match (after, first) {
            (Some(ItemPoint::Ready(priority, position)), _) => {
                keys::ready(self.part(), priority, position.get() + 1)
            }
            (_, Some(first)) => keys::ready(self.part(), first.priority, first.mark),
            (_, None) => return Ok(points),
        };
        let end = keys::behind(&from[..4]);
        let span = Span {
            from: &from,
            to: end.as_deref(),
        };
        self.store
            .scan(Keyspace::Ready, span, Direction::Forward, |key, row| {
                let point = keys::place_of(key).and_then(|(priority, position)| {
                    let position = Position::new(position).ok()?;
                    let id = ReadyRow::decode(row)?.id;
                    Some((ItemPoint::Ready(priority, position), id))
                });
                points.push(
                    point.ok_or_else(|| damaged(Keyspace::Ready, key, "it does not decode"))?,
                );
                Ok(full(points.len() == points_max))
            })?;
        Ok(points)
    }

    fn due_points(
        &self,
        kind: DueKind,
        after: Option<ItemPoint>,
        points_max: usize,
    ) -> KvResult<Vec<(ItemPoint, u64)>> {
        let mut points = Vec::new();
        let Some(mark) = self.counters.due_mark(kind) else {
            return Ok(points);
        };
        let behind = match after {
            Some(ItemPoint::Due(at, id)) => Some((at, id.get())),
            _ => None,
        };
        let from = behind.map_or((mark, 0), |(at, id): (Timestamp, u64)| (at, id + 1));
        self.scan_due(kind, from, |at, id, _| {
            points.push((ItemPoint::Due(at, item_id(id)), id));
            full(points.len() == points_max)
        })?;
        Ok(points)
    }

    /// Fails unless the item stands at that point of the listing.
    fn expect_point(&self, listing: Listing, point: ItemPoint, id: u64) -> KvResult<()> {
        let item = self.indexed(id)?;
        let is_there = match (listing, point) {
            (Listing::ById(states), _) => states.contains(item.state()),
            (_, ItemPoint::Ready(priority, position)) => {
                item.head.priority == priority && item.state == ItemState::Ready { position }
            }
            (Listing::Leased, ItemPoint::Due(at, _)) => item.due() == Some((DueKind::Leased, at)),
            (_, ItemPoint::Due(at, _)) => item.due() == Some((DueKind::Scheduled, at)),
            (_, ItemPoint::Id(_)) => true,
        };
        match is_there {
            true => Ok(()),
            false => Err(self.elsewhere(id)),
        }
    }

    /// Fills a page with the items at those points.
    fn fill(
        &mut self,
        listing: Listing,
        points: &[(ItemPoint, u64)],
        want: Want,
        page: &mut Filling,
    ) -> KvResult<()> {
        for chunk in points.chunks(CHUNK_ITEMS) {
            self.fetch(chunk.iter().map(|(_, id)| *id))?;
            for (point, id) in chunk {
                self.expect_point(listing, *point, *id)?;
            }
            let mut ids = Vec::with_capacity(chunk.len());
            let before = page.items.len();
            // How many fit is known before a payload is read.
            let mut fitting = Filling {
                items: Vec::new(),
                ..*page
            };
            for (_, id) in chunk {
                let bytes = match want {
                    Want::Head => 0,
                    Want::Whole => self.indexed(*id)?.head.payload_len as usize,
                };
                fitting.bytes += bytes;
                let count = before + ids.len();
                fitting.is_cut =
                    count > 0 && (count == page.items_max || fitting.bytes > BATCH_BYTES_MAX);
                if fitting.is_cut {
                    break;
                }
                ids.push(*id);
            }
            (page.bytes, page.is_cut) = (fitting.bytes, fitting.is_cut);
            let mut points = chunk.iter().map(|(point, _)| *point);
            self.read_bodies(&ids, |id, body| {
                let body = body.ok_or_else(|| self.missing(id))?;
                let record = self.record_of(id, body, want)?;
                if let Some(point) = points.next() {
                    let entry = self.indexed(id)?.entry(item_id(id), record);
                    page.items.push((point, entry));
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if page.is_cut {
                break;
            }
        }
        Ok(())
    }

    /// Fills a page with items by id, most of which belong to it.
    fn fill_by_bodies(
        &mut self,
        states: States,
        first_id: u64,
        want: Want,
        page: &mut Filling,
    ) -> KvResult<()> {
        self.walk_bodies(states, first_id, Some(want), |id, item, record| {
            let Some(record) = record else {
                return ControlFlow::Continue(());
            };
            let payload = record.view().payload().map_or(0, <[u8]>::len);
            if !page.admits(payload) {
                return ControlFlow::Break(());
            }
            let id = item_id(id);
            page.items.push((ItemPoint::Id(id), item.entry(id, record)));
            ControlFlow::Continue(())
        })
    }

    /// Shows the items of some states by id, and their records as far as they are wanted.
    fn walk_bodies(
        &mut self,
        states: States,
        first_id: u64,
        want: Option<Want>,
        mut show: impl FnMut(u64, Item, Option<Record>) -> ControlFlow<()>,
    ) -> KvResult<()> {
        let mut next = Some(first_id);
        while let Some(from) = next {
            let chunk = self.read_chunk(from, want)?;
            let items = chunk.items.iter().map(|(id, item, _)| (*id, item));
            self.expect_fresh(items.filter(|(_, item)| item.is_fresh))?;
            for (id, item, record) in chunk.items {
                if states.contains(item.state()) && show(id, item, record).is_break() {
                    return Ok(());
                }
            }
            next = chunk.next;
        }
        Ok(())
    }

    /// Some items by id, from one on.
    pub(crate) fn read_chunk(&mut self, first_id: u64, want: Option<Want>) -> KvResult<Chunk> {
        let from = keys::item(self.part(), first_id.max(self.counters.first_id));
        let end = keys::behind(&from[..4]);
        let span = Span {
            from: &from,
            to: end.as_deref(),
        };
        let mut ids = Vec::new();
        let mut bodies = Vec::new();
        let mut bytes = 0;
        let mut is_full = false;
        self.store
            .scan(Keyspace::Bodies, span, Direction::Forward, |key, body| {
                let id = self.id_of(Keyspace::Bodies, key)?;
                let record = match want {
                    None => None,
                    Some(want) => Some(self.record_of(id, body, want)?),
                };
                let record_len = |record: &Record| record.view().as_bytes().len();
                bytes += record.as_ref().map_or(0, record_len);
                ids.push(id);
                bodies.push((Item::of_body(body), record));
                is_full = ids.len() == CHUNK_ITEMS || bytes >= CHUNK_BYTES;
                Ok(full(is_full))
            })?;
        if first_id <= self.counters.first_id {
            // Nothing stands before what was found.
            self.counters.first_id = ids.first().copied().unwrap_or(self.counters.next.id);
        }
        let next = ids
            .last()
            .filter(|_| is_full)
            .map(|last| last.saturating_add(1));
        let changed = self.read_states(&ids)?;
        let mut items = Vec::with_capacity(ids.len());
        for ((id, (produced, record)), changed) in ids.into_iter().zip(bodies).zip(changed) {
            let key = keys::item(self.part(), id);
            let item = changed
                .or(produced)
                .ok_or_else(|| damaged(Keyspace::Bodies, &key, "it does not decode"))?;
            items.push((id, item, record));
        }
        Ok(Chunk { items, next })
    }

    pub(crate) fn record_of(&self, id: u64, body: &[u8], want: Want) -> KvResult<Record> {
        let key = keys::item(self.part(), id);
        want.record(body)
            .ok_or_else(|| damaged(Keyspace::Bodies, &key, "it does not decode"))
    }
}

/// Whether a listing by id has to look at the bodies: fresh items have no other row with their id.
fn reads_bodies(states: States) -> bool {
    states.contains(State::Ready) || states.contains(State::Scheduled)
}

fn full(is_full: bool) -> ControlFlow<()> {
    match is_full {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}
