//! Lease: the head of the ready order goes to work (clauses LEASE-1 to LEASE-6).

use std::ops::ControlFlow;

use bytes::Bytes;
use storage_api::limits::BATCH_BYTES_MAX;
use storage_api::{
    Direction, ItemState, LeaseId, LeaseRequest, LeasedBatch, NewLease, Position, RecordView,
};

use crate::counters::ReadyMark;
use crate::engine::{KvResult, OrderedKv, Span};
use crate::item::{Head, Item};
use crate::keys;
use crate::keyspace::Keyspace;
use crate::numbers::Number;
use crate::partition::{CLOSED_TO_LEASE, check_mode};
use crate::produce::item_id;
use crate::store::damaged;
use crate::work::{ReadyRow, Stop, Work};

/// A ready item that will be leased.
struct Chosen {
    position: Position,
    row: ReadyRow,
}

/// The records of what is leased, in one buffer.
struct Records {
    buffer: Vec<u8>,
    ends: Vec<usize>,
}

impl<E: OrderedKv> Work<'_, E> {
    pub(crate) fn lease(&mut self, request: &LeaseRequest) -> Result<LeasedBatch, Stop> {
        let (id, config) = (&self.info.id, &self.info.config);
        check_mode(self.operation, id, config, CLOSED_TO_LEASE)?;
        let mut batch = LeasedBatch::new(request.deadline, request.holder);
        let chosen = self.choose(request)?;
        if chosen.is_empty() {
            return Ok(batch);
        }
        let records = self.read_records(&chosen)?;
        let first = self
            .numbers
            .take(self.store, Number::Lease, chosen.len() as u64)?;

        batch.reserve(chosen.len());
        self.expect_rows(chosen.len(), 0);
        let buffer = Bytes::from(records.buffer);
        batch.add_buffer(buffer.clone());
        let mut start = 0;
        let changed_items = self.read_changed(&chosen)?;
        let items = chosen.into_iter().zip(changed_items).zip(records.ends);
        for (number, ((chosen, changed), end)) in (first..).zip(items) {
            let position = chosen.position;
            let old = changed.unwrap_or_else(|| {
                let record = RecordView::trusted(&buffer[start..end]);
                Item::fresh(Head::of(record), ItemState::Ready { position })
            });
            let lease = LeaseId::new(number).expect("only numbers within the limit are given");
            let new = Item {
                head: old.head,
                state: ItemState::Leased {
                    position,
                    lease,
                    deadline: request.deadline,
                    holder: request.holder,
                },
                attempts: old.attempts.saturating_add(1),
                note: old.note.clone(),
                is_revived: old.is_revived,
                is_fresh: false,
            };
            self.replace_once(chosen.row.id, &old, &new);
            let new_lease = NewLease {
                item: item_id(chosen.row.id),
                lease,
                position,
                attempts: new.attempts,
                is_revived: new.is_revived,
            };
            batch.push_slice(new_lease, start..end, new.note.as_ref());
            start = end;
        }
        Ok(batch)
    }

    /// The ready items that a lease takes, in lease order, found by their index rows alone.
    fn choose(&mut self, request: &LeaseRequest) -> KvResult<Vec<Chosen>> {
        let answer_max = BATCH_BYTES_MAX as u64;
        let bytes_max = request
            .bytes_max
            .map_or(answer_max, |max| max.min(answer_max));
        let mut bytes = 0;
        let mut chosen: Vec<Chosen> = Vec::new();
        for ReadyMark { priority, mark, .. } in self.counters.ready().to_vec() {
            let mut is_full = chosen.len() == request.items_max.get();
            if is_full {
                break;
            }
            // Where the priority's order begins from now on, if something of it is left.
            let mut first_left = None;
            let mut behind_taken = mark;
            let from = keys::ready(self.part(), priority, mark);
            let end = keys::behind(&from[..5]);
            let span = Span {
                from: &from,
                to: end.as_deref(),
            };
            self.store
                .scan(Keyspace::Ready, span, Direction::Forward, |key, row| {
                    let broken = || damaged(Keyspace::Ready, key, "it does not decode");
                    let (_, position) = keys::place_of(key).ok_or_else(broken)?;
                    let row = ReadyRow::decode(row).ok_or_else(broken)?;
                    if row.expire_at.is_some_and(|at| at <= request.now) {
                        // Passed over, and left for maintain (clause LEASE-4).
                        first_left = first_left.or(Some(position));
                        return Ok(ControlFlow::Continue(()));
                    }
                    bytes += u64::from(row.payload_len);
                    // The first comes whatever its size (clause LEASE-5).
                    is_full = chosen.len() == request.items_max.get()
                        || !chosen.is_empty() && bytes > bytes_max;
                    if is_full {
                        first_left = first_left.or(Some(position));
                        return Ok(ControlFlow::Break(()));
                    }
                    behind_taken = position.saturating_add(1);
                    let position = Position::new(position).map_err(|_| broken())?;
                    chosen.push(Chosen { position, row });
                    Ok(ControlFlow::Continue(()))
                })?;
            self.counters
                .saw_ready(priority, first_left.unwrap_or(behind_taken));
            if is_full {
                break;
            }
        }
        Ok(chosen)
    }

    fn read_records(&self, chosen: &[Chosen]) -> KvResult<Records> {
        let payloads = chosen.iter().map(|chosen| chosen.row.payload_len as usize);
        let mut records = Records {
            buffer: Vec::with_capacity(payloads.map(|len| len + 32).sum()),
            ends: Vec::with_capacity(chosen.len()),
        };
        let ids: Vec<u64> = chosen.iter().map(|chosen| chosen.row.id).collect();
        self.read_bodies(&ids, |id, body| {
            let body = body.ok_or_else(|| self.missing(id))?;
            records.buffer.extend_from_slice(Self::record_bytes(body));
            records.ends.push(records.buffer.len());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(records)
    }

    /// The items that have changed since they were produced, each at its place; they have state rows.
    fn read_changed(&self, chosen: &[Chosen]) -> KvResult<Vec<Option<Item>>> {
        let mut changed: Vec<(u64, usize)> = chosen
            .iter()
            .enumerate()
            .filter(|(_, chosen)| !chosen.row.is_fresh)
            .map(|(at, chosen)| (chosen.row.id, at))
            .collect();
        changed.sort_unstable();
        let ids: Vec<u64> = changed.iter().map(|(id, _)| *id).collect();
        let mut items = vec![None; chosen.len()];
        for ((id, at), item) in changed.into_iter().zip(self.read_states(&ids)?) {
            items[at] = Some(item.ok_or_else(|| self.missing(id))?);
        }
        Ok(items)
    }
}
