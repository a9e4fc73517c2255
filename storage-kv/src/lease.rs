//! Lease: the head of the ready order goes to work (clauses LEASE-1 to LEASE-6).

use std::ops::ControlFlow;

use bytes::Bytes;
use storage_api::limits::BATCH_BYTES_MAX;
use storage_api::{
    Direction, ItemState, LeaseId, LeaseRequest, LeasedBatch, NewLease, Position, RecordView,
    Timestamp,
};

use crate::ahead::{Ahead, Records};
use crate::counters::{FreshRun, ReadyMark};
use crate::engine::{KvResult, OrderedKv, Span};
use crate::item::{Head, Item, split_body};
use crate::keys;
use crate::keyspace::Keyspace;
use crate::numbers::Number;
use crate::partition::{CLOSED_TO_LEASE, check_mode};
use crate::produce::item_id;
use crate::store::damaged;
use crate::work::{ReadyRow, Stop, Work};

/// At most so much room is made for records before they are read.
const EXPECTED_BYTES_MAX: usize = 1 << 20;

/// A ready item that will be leased.
struct Chosen {
    position: Position,
    row: ReadyRow,
}

/// What a lease takes, while it is gathered.
struct Taking {
    now: Timestamp,
    items_max: usize,
    bytes_max: u64,
    bytes: u64,
    chosen: Vec<Chosen>,
    records: Records,
    /// Whether the next would be too much.
    is_full: bool,
    /// The first place of the priority at hand that was passed over or did not fit.
    first_left: Option<u64>,
    /// Behind the last place of the priority at hand from which something was taken.
    behind_taken: u64,
    /// How many have expired.
    passed_over: u64,
}

impl Taking {
    fn new(request: &LeaseRequest) -> Self {
        let answer_max = BATCH_BYTES_MAX as u64;
        let bytes_max = request.bytes_max;
        Self {
            now: request.now,
            items_max: request.items_max.get(),
            bytes_max: bytes_max.map_or(answer_max, |max| max.min(answer_max)),
            bytes: 0,
            chosen: Vec::new(),
            records: Records::default(),
            is_full: false,
            first_left: None,
            behind_taken: 0,
            passed_over: 0,
        }
    }

    fn items_left(&self) -> usize {
        self.items_max - self.chosen.len()
    }

    /// Makes room for so many items more.
    fn expect(&mut self, items: usize) {
        self.chosen.reserve(items);
        self.records.ends.reserve(items);
    }

    /// Takes an item, unless it is too much.
    fn take(&mut self, position: Position, row: ReadyRow) -> ControlFlow<()> {
        self.bytes += u64::from(row.payload_len);
        // The first comes whatever its size (clause LEASE-5).
        self.is_full =
            self.items_left() == 0 || !self.chosen.is_empty() && self.bytes > self.bytes_max;
        if self.is_full {
            self.leave(position.get());
            return ControlFlow::Break(());
        }
        self.behind_taken = position.get().saturating_add(1);
        self.chosen.push(Chosen { position, row });
        ControlFlow::Continue(())
    }

    /// Takes an item that is as it was produced, one of so many, and its record.
    fn take_fresh(
        &mut self,
        id: u64,
        position: Position,
        record: &[u8],
        count: u64,
    ) -> ControlFlow<()> {
        let payload_len = RecordView::trusted(record).payload_len();
        let row = ReadyRow {
            id,
            is_fresh: true,
            payload_len: u32::try_from(payload_len).unwrap_or(u32::MAX),
            expire_at: None,
        };
        self.take(position, row)?;
        let buffer = &mut self.records.buffer;
        if buffer.is_empty() {
            // As likely as not the others are as long.
            let items = usize::try_from(count).unwrap_or(usize::MAX);
            let bytes = record.len().saturating_mul(items);
            buffer.reserve(bytes.min(EXPECTED_BYTES_MAX));
        }
        self.records.push(record);
        ControlFlow::Continue(())
    }

    fn leave(&mut self, position: u64) {
        self.first_left = self.first_left.or(Some(position));
    }
}

/// Which items come into a run of leases: those whose neighbours stand beside them.
fn in_runs(chosen: &[Chosen]) -> Vec<bool> {
    let is_followed = |pair: &[Chosen]| pair[0].row.id.checked_add(1) == Some(pair[1].row.id);
    let mut in_runs = vec![false; chosen.len()];
    for (at, pair) in chosen.windows(2).enumerate() {
        if is_followed(pair) {
            in_runs[at] = true;
            in_runs[at + 1] = true;
        }
    }
    in_runs
}

impl<E: OrderedKv> Work<'_, E> {
    pub(crate) fn lease(&mut self, request: &LeaseRequest) -> Result<LeasedBatch, Stop> {
        let (id, config) = (&self.info.id, &self.info.config);
        check_mode(self.operation, id, config, CLOSED_TO_LEASE)?;
        let mut batch = LeasedBatch::new(request.deadline, request.holder);
        let Taking {
            chosen, records, ..
        } = self.choose(request)?;
        if chosen.is_empty() {
            return Ok(batch);
        }
        let first = self
            .numbers
            .take(self.store, Number::Lease, chosen.len() as u64)?;

        batch.reserve(chosen.len());
        self.expect_rows([Keyspace::States, Keyspace::Ready], chosen.len(), 0);
        let buffer = Bytes::from(records.buffer);
        batch.add_buffer(buffer.clone());
        let mut start = 0;
        let changed_items = self.read_changed(&chosen)?;
        let in_runs = in_runs(&chosen);
        let mut changed_items = changed_items.into_iter();
        let items = chosen.into_iter().zip(in_runs).zip(records.ends);
        for (number, ((chosen, is_in_run), end)) in (first..).zip(items) {
            let changed = match chosen.row.is_fresh {
                true => None,
                false => changed_items.next(),
            };
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
                is_in_run,
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

    /// The ready items that a lease takes, in lease order, and their records.
    fn choose(&mut self, request: &LeaseRequest) -> KvResult<Taking> {
        let mut taking = Taking::new(request);
        for ReadyMark { priority, mark, .. } in self.counters.ready().to_vec() {
            if taking.items_left() == 0 {
                break;
            }
            // Where the priority's order begins from now on, if something of it is left.
            (taking.first_left, taking.behind_taken) = (None, mark);
            self.take_priority(priority, mark, &mut taking)?;
            let begins = taking.first_left.unwrap_or(taking.behind_taken);
            self.counters.saw_ready(priority, begins);
            if taking.is_full {
                break;
            }
        }
        if taking.chosen.is_empty() {
            self.expect_no_more(taking.passed_over)?;
        }
        Ok(taking)
    }

    /// Fails where more items are ready than were found, of whom not a row is left to tell that they were there: a lease that
    /// finds nothing has seen all of them. What there is was leased before.
    fn expect_no_more(&self, found: u64) -> KvResult<()> {
        let marks = self.counters.ready();
        let counted: u64 = marks.iter().map(|mark| mark.count).sum();
        match marks.first() {
            Some(ReadyMark { priority, mark, .. }) if found < counted => {
                let from = keys::ready(self.part(), *priority, *mark);
                let what = format!("{counted} rows from it on are counted and {found} are there");
                Err(damaged(Keyspace::Ready, &from, &what))
            }
            _ => Ok(()),
        }
    }

    /// Takes of one priority: what stands before its run, the run, and what stands behind it.
    fn take_priority(&self, priority: u8, mark: u64, taking: &mut Taking) -> KvResult<()> {
        let end = keys::behind(&keys::ready(self.part(), priority, 0)[..5]);
        let Some(run) = self.counters.run(priority) else {
            return self.take_rows(
                &keys::ready(self.part(), priority, mark),
                end.as_deref(),
                taking,
            );
        };
        if mark < run.position {
            let from = keys::ready(self.part(), priority, mark);
            let to = keys::ready(self.part(), priority, run.position);
            self.take_rows(&from, Some(&to), taking)?;
        }
        if !taking.is_full {
            self.take_run(run, taking)?;
        }
        if !taking.is_full {
            let from = keys::ready(self.part(), priority, run.position + run.count);
            self.take_rows(&from, end.as_deref(), taking)?;
        }
        Ok(())
    }

    /// Takes items by their index rows.
    fn take_rows(&self, from: &[u8], to: Option<&[u8]>, taking: &mut Taking) -> KvResult<()> {
        let taken_before = taking.chosen.len();
        let span = Span { from, to };
        self.store
            .scan(Keyspace::Ready, span, Direction::Forward, |key, row| {
                let broken = || damaged(Keyspace::Ready, key, "it does not decode");
                let (_, position) = keys::place_of(key).ok_or_else(broken)?;
                let row = ReadyRow::decode(row).ok_or_else(broken)?;
                if row.expire_at.is_some_and(|at| at <= taking.now) {
                    // Passed over, and left for maintain (clause LEASE-4).
                    taking.leave(position);
                    taking.passed_over += 1;
                    return Ok(ControlFlow::Continue(()));
                }
                let position = Position::new(position).map_err(|_| broken())?;
                Ok(taking.take(position, row))
            })?;
        let taken = &taking.chosen[taken_before..];
        let bytes = taken.iter().map(|chosen| chosen.row.payload_len as usize);
        let records = &mut taking.records;
        records.buffer.reserve(bytes.map(|len| len + 32).sum());
        let ids: Vec<u64> = taken.iter().map(|chosen| chosen.row.id).collect();
        self.read_bodies(&ids, |id, body| {
            let body = body.ok_or_else(|| self.missing(id))?;
            records.push(Self::record_bytes(body));
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Takes items of the run: their bodies say all that their index rows do.
    fn take_run(&self, run: FreshRun, taking: &mut Taking) -> KvResult<()> {
        let count = run.count.min(taking.items_left() as u64);
        taking.expect(usize::try_from(count).unwrap_or(0));
        let mut ahead = self.store.aheads.take(self.part());
        let left = self.take_read(run, count, &ahead, taking);
        if left > 0 {
            self.read_run(run, count - left, left, &mut ahead, taking)?;
        }
        self.store.aheads.keep(ahead);
        if !taking.is_full && count < run.count {
            taking.is_full = true;
            taking.leave(run.position + count);
        }
        Ok(())
    }

    /// Takes the first of so many items of the run, as far as they were read ahead; the answer is how many are left to be
    /// read.
    fn take_read(&self, run: FreshRun, count: u64, ahead: &Ahead, taking: &mut Taking) -> u64 {
        for at in 0..count {
            let Some(record) = ahead.get(run.id + at) else {
                return count - at;
            };
            let position = Position::new(run.position + at).expect("a ready item has a position");
            if taking
                .take_fresh(run.id + at, position, record, count)
                .is_break()
            {
                return 0;
            }
        }
        0
    }

    /// Takes so many items of the run behind the first ones, and reads those ahead that come next.
    fn read_run(
        &self,
        run: FreshRun,
        skipped: u64,
        count: u64,
        ahead: &mut Ahead,
        taking: &mut Taking,
    ) -> KvResult<()> {
        let first = run.id + skipped;
        let behind = run.count - skipped - count;
        let more = ahead.begin(first, count).min(behind);
        let from = keys::item(self.part(), first);
        let to = keys::item(self.part(), first + count + more);
        let span = Span::new(&from, &to);
        let mut ids = first..first + count;
        let taken_before = taking.chosen.len() as u64;
        let scanned = self
            .store
            .scan(Keyspace::Bodies, span, Direction::Forward, |key, body| {
                let expected = ids.next();
                let id = self.id_of(Keyspace::Bodies, key)?;
                if let Some(expected) = expected.filter(|expected| *expected != id) {
                    return Err(self.missing(expected));
                }
                let (position, record) = split_body(body)
                    .filter(|(position, _)| *position == run.position + (id - run.id))
                    .ok_or_else(|| damaged(Keyspace::Bodies, key, "it is not of its place"))?;
                if expected.is_none() {
                    let is_next = ahead.is_next(id);
                    return Ok(match is_next && ahead.push(record.as_bytes()) {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    });
                }
                let position = Position::new(position)
                    .map_err(|_| damaged(Keyspace::Bodies, key, "it does not decode"))?;
                Ok(taking.take_fresh(id, position, record.as_bytes(), count))
            });
        let taken = taking.chosen.len() as u64 - taken_before;
        match (scanned, ids.next()) {
            // What is wrong with those that come next is told to who leases them.
            (Err(_), None) if taken == count => {
                ahead.forget();
                Ok(())
            }
            (Err(error), _) => Err(error),
            (Ok(()), Some(missing)) if !taking.is_full => Err(self.missing(missing)),
            (Ok(()), _) => Ok(()),
        }
    }

    /// Those of the items that have changed since they were produced, in the same order; they have state rows.
    fn read_changed(&self, chosen: &[Chosen]) -> KvResult<Vec<Item>> {
        let changed = chosen.iter().filter(|chosen| !chosen.row.is_fresh);
        let mut changed: Vec<(u64, usize)> = changed
            .enumerate()
            .map(|(at, chosen)| (chosen.row.id, at))
            .collect();
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        changed.sort_unstable();
        let ids: Vec<u64> = changed.iter().map(|(id, _)| *id).collect();
        let mut items = Vec::with_capacity(changed.len());
        for ((id, at), item) in changed.into_iter().zip(self.read_states(&ids)?) {
            items.push((at, item.ok_or_else(|| self.missing(id))?));
        }
        items.sort_unstable_by_key(|(at, _)| *at);
        Ok(items.into_iter().map(|(_, item)| item).collect())
    }
}
