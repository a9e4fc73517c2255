//! Reading items and bodies: neighbours in one scan, strangers one by one.

use std::ops::ControlFlow;

use bytes::Bytes;
use storage_api::{Direction, ItemState, Record};

use crate::engine::{KvError, KvResult, OrderedKv, Span};
use crate::item::{BODY_HEAD_BYTES, Item, split_body};
use crate::keys;
use crate::keyspace::Keyspace;
use crate::store::damaged;
use crate::touched::One;
use crate::work::{ReadyRow, Work};

/// Ids that lie closer together than this are read in one scan, and what lies between is passed over: a step of a scan
/// costs a small part of a search from the root.
const GAP_MAX: u64 = 8;

/// Where a ready item stands, and its id: priority, position, id.
type Place = (u8, u64, u64);

/// How much of a record is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// All but the payload.
    Head,
    /// All of it.
    Whole,
}

impl Want {
    pub(crate) fn of(payloads: bool) -> Self {
        if payloads { Self::Whole } else { Self::Head }
    }

    /// The record of a body, copied as far as it is wanted.
    pub(crate) fn record(self, body: &[u8]) -> Option<Record> {
        let (_, view) = split_body(body)?;
        let bytes = match (self, view.payload()) {
            (Self::Head, Some(payload)) => {
                &view.as_bytes()[..view.as_bytes().len() - payload.len()]
            }
            _ => view.as_bytes(),
        };
        Some(Record::trusted(Bytes::copy_from_slice(bytes)))
    }
}

impl<E: OrderedKv> Work<'_, E> {
    /// The items of those ids, which ascend.
    pub(crate) fn read_items(&self, ids: &[u64]) -> KvResult<Vec<One>> {
        let mut items = Vec::with_capacity(ids.len());
        let mut fresh = Vec::new();
        self.read_rows(Keyspace::States, ids, |id, row| {
            let item = match row {
                None => {
                    fresh.push((items.len(), id));
                    None
                }
                Some(row) => Some(self.decode_state(id, row)?),
            };
            items.push(One::read(id, item));
            Ok(())
        })?;
        // Those without a state row are as they were produced, if they are there at all.
        let ids: Vec<u64> = fresh.iter().map(|(_, id)| *id).collect();
        let mut places = fresh.iter().map(|(at, _)| *at);
        self.read_rows(Keyspace::Bodies, &ids, |id, body| {
            if let (Some(at), Some(body)) = (places.next(), body) {
                items[at].found(self.decode_body(id, body)?);
            } else if body.is_some() {
                debug_assert!(false, "every id read has its place");
            }
            Ok(())
        })?;
        Ok(items)
    }

    /// The items of those ids that have state rows; ids ascend.
    pub(crate) fn read_states(&self, ids: &[u64]) -> KvResult<Vec<Option<Item>>> {
        let mut items = Vec::with_capacity(ids.len());
        self.read_rows(Keyspace::States, ids, |id, row| {
            let item = row.map(|row| self.decode_state(id, row)).transpose()?;
            items.push(item);
            Ok(())
        })?;
        Ok(items)
    }

    /// Fails unless those items stand where items do that were never changed: without its state row any other item would look
    /// like one.
    pub(crate) fn expect_fresh<'i>(
        &self,
        items: impl Iterator<Item = (u64, &'i Item)>,
    ) -> KvResult<()> {
        let mut places = Vec::new();
        for (id, item) in items {
            match item.state {
                ItemState::Ready { position } => {
                    places.push((item.head.priority, position.get(), id));
                }
                _ if self.has_due_row(id, item)? => {}
                _ => return Err(self.without_state(id)),
            }
        }
        places.sort_unstable();
        let are_near = |a: &Place, b: &Place| a.0 == b.0 && b.1 - a.1 <= GAP_MAX;
        places
            .chunk_by(are_near)
            .try_for_each(|run| self.expect_ready(run))
    }

    /// The same of ready items of one priority that stand close together.
    fn expect_ready(&self, run: &[Place]) -> KvResult<()> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return Ok(());
        };
        let from = keys::ready(self.part(), first.0, first.1);
        let to = keys::ready(self.part(), last.0, last.1.saturating_add(1));
        let mut wanted = run.iter().peekable();
        self.store.scan(
            Keyspace::Ready,
            Span::new(&from, &to),
            Direction::Forward,
            |key, row| {
                let found = keys::place_of(key).zip(ReadyRow::decode(row));
                let ((_, position), row) =
                    found.ok_or_else(|| damaged(Keyspace::Ready, key, "it does not decode"))?;
                if let Some((_, _, id)) = wanted.next_if(|place| place.1 <= position)
                    && (row.id != *id || !row.is_fresh)
                {
                    return Err(self.without_state(*id));
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        match wanted.next() {
            None => Ok(()),
            Some((_, _, id)) => Err(self.without_state(*id)),
        }
    }

    /// The damage of an item that has changed and has no state row.
    fn without_state(&self, id: u64) -> KvError {
        let key = keys::item(self.part(), id);
        damaged(Keyspace::States, &key, "it is missing")
    }

    pub(crate) fn decode_state(&self, id: u64, row: &[u8]) -> KvResult<Item> {
        let key = keys::item(self.part(), id);
        Item::decode(row).ok_or_else(|| damaged(Keyspace::States, &key, "it does not decode"))
    }

    pub(crate) fn decode_body(&self, id: u64, body: &[u8]) -> KvResult<Item> {
        let key = keys::item(self.part(), id);
        Item::of_body(body).ok_or_else(|| damaged(Keyspace::Bodies, &key, "it does not decode"))
    }

    /// Shows the row of each id, which ascend, or that there is none.
    fn read_rows(
        &self,
        space: Keyspace,
        ids: &[u64],
        mut show: impl FnMut(u64, Option<&[u8]>) -> KvResult<()>,
    ) -> KvResult<()> {
        for run in ids.chunk_by(|a, b| b - a <= GAP_MAX) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            if run.len() == 1 {
                let row = self.store.get(space, &keys::item(self.part(), *first))?;
                show(*first, row.as_deref())?;
                continue;
            }
            let from = keys::item(self.part(), *first);
            let to = keys::item(self.part(), last.saturating_add(1));
            let mut wanted = run.iter().copied().peekable();
            let span = Span::new(&from, &to);
            self.store
                .scan(space, span, Direction::Forward, |key, row| {
                    let found = self.id_of(space, key)?;
                    while let Some(id) = wanted.next_if(|id| *id < found) {
                        show(id, None)?;
                    }
                    if wanted.next_if_eq(&found).is_some() {
                        show(found, Some(row))?;
                    }
                    Ok(ControlFlow::Continue(()))
                })?;
            for id in wanted {
                show(id, None)?;
            }
        }
        Ok(())
    }

    /// Shows the bodies of ids in any order, until `show` breaks; `None` where there is none.
    pub(crate) fn read_bodies(
        &self,
        ids: &[u64],
        mut show: impl FnMut(u64, Option<&[u8]>) -> KvResult<ControlFlow<()>>,
    ) -> KvResult<()> {
        for run in ids.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            if run.len() == 1 {
                let key = keys::item(self.part(), *first);
                let body = self.store.get(Keyspace::Bodies, &key)?;
                if show(*first, body.as_deref())?.is_break() {
                    return Ok(());
                }
                continue;
            }
            let from = keys::item(self.part(), *first);
            let to = keys::item(self.part(), last.saturating_add(1));
            let span = Span::new(&from, &to);
            let mut next = *first;
            let mut flow = ControlFlow::Continue(());
            self.store
                .scan(Keyspace::Bodies, span, Direction::Forward, |key, body| {
                    let found = self.id_of(Keyspace::Bodies, key)?;
                    while next < found && flow.is_continue() {
                        flow = show(next, None)?;
                        next += 1;
                    }
                    if flow.is_continue() {
                        flow = show(found, Some(body))?;
                        next = found + 1;
                    }
                    Ok(flow)
                })?;
            while next <= *last && flow.is_continue() {
                flow = show(next, None)?;
                next += 1;
            }
            if flow.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The id at the end of a key that was read.
    pub(crate) fn id_of(&self, space: Keyspace, key: &[u8]) -> KvResult<u64> {
        keys::id_of(key).ok_or_else(|| damaged(space, key, "its key is too short"))
    }

    /// How many bytes of a body are its record.
    pub(crate) fn record_bytes(body: &[u8]) -> &[u8] {
        body.get(BODY_HEAD_BYTES..).unwrap_or_default()
    }
}
