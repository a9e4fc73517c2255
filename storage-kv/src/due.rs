//! Rows of `due`: what time will move, by kind, due time and id.
//!
//! Neighbours that are leased by one call are due at one time and mostly go together, so that one row stands for all of
//! them: a run.
//!
//! ```text
//! key      partition, kind, due time, id; of a run its last id
//! value    of a run the id of its first (8, little-endian); of a lingering dedup key that key; else nothing
//! ```
//!
//! A run is made by one operation and only ever loses ids: at its front, which changes the value, at its end, or in its
//! middle, which makes two of it. No id is in two of them, so that the first row at or behind a time and an id is the one
//! that stands for both. The state row of an item says whether it was put into a run, so that the due row of a single lease
//! is removed without a look. docs/adr/0008 weighs it.

use std::ops::ControlFlow;

use storage_api::{Direction, Timestamp};

use crate::engine::{KvResult, OrderedKv, Span};
use crate::item::Item;
use crate::keys::{self, DueKind};
use crate::keyspace::Keyspace;
use crate::store::{Rows, damaged};
use crate::touched::Changed;
use crate::work::Work;

/// Neighbours whose leases end at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    at: Timestamp,
    first: u64,
    last: u64,
}

impl Run {
    fn put(self, part: u32, rows: &mut Rows) {
        let key = keys::due(part, DueKind::Leased, self.at, self.last);
        match self.first == self.last {
            true => rows.put(Keyspace::Due, &key, &[]),
            false => rows.put(Keyspace::Due, &key, &[&self.first.to_le_bytes()]),
        }
    }
}

/// The first id that a row of leases stands for; `None` where it is none.
fn first_of(last: u64, value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return Some(last);
    }
    let first = u64::from_le_bytes(value.try_into().ok()?);
    (first < last).then_some(first)
}

/// How the runs of a partition change in one operation.
#[derive(Debug, Default)]
pub(crate) struct RunChanges {
    /// The run that is being made.
    joined: Option<Run>,
    /// What has left its run.
    left: Vec<(Timestamp, u64)>,
}

impl RunChanges {
    /// Moves the due row of an item that was `old` and is `new`.
    pub(crate) fn move_row(
        &mut self,
        part: u32,
        id: u64,
        old: Option<&Item>,
        new: Option<&Item>,
        rows: &mut Rows,
    ) {
        let (old_due, new_due) = (old.and_then(Item::due), new.and_then(Item::due));
        if old_due == new_due {
            return;
        }
        if let (Some((kind, at)), Some(old)) = (old_due, old) {
            match old.is_in_run {
                true => self.left.push((at, id)),
                false => rows.delete(Keyspace::Due, &keys::due(part, kind, at, id)),
            }
        }
        if let (Some((kind, at)), Some(new)) = (new_due, new) {
            match new.is_in_run {
                true => self.join(part, at, id, rows),
                false => rows.put(Keyspace::Due, &keys::due(part, kind, at, id), &[]),
            }
        }
    }

    fn join(&mut self, part: u32, at: Timestamp, id: u64, rows: &mut Rows) {
        match &mut self.joined {
            Some(run) if run.at == at && run.last.checked_add(1) == Some(id) => run.last = id,
            joined => {
                let new = Run {
                    at,
                    first: id,
                    last: id,
                };
                if let Some(run) = joined.replace(new) {
                    run.put(part, rows);
                }
            }
        }
    }
}

/// When an item that was `old` and is `new` ends, if its lease was given or moved.
fn joins_at(old: &Item, new: &Item) -> Option<Timestamp> {
    let due = new.due().filter(|due| old.due() != Some(*due));
    due.and_then(|(kind, at)| (kind == DueKind::Leased).then_some(at))
}

/// Says of items that have changed, in order of id, which of them come into a run.
pub(crate) fn mark_runs<'a>(changed: impl Iterator<Item = Changed<'a>>) {
    let mut before: Option<(u64, Timestamp, &mut bool)> = None;
    for Changed { id, old, new } in changed {
        let Some(new) = new else {
            before = None;
            continue;
        };
        let Some(at) = joins_at(old, new) else {
            new.is_in_run = old.is_in_run && old.due() == new.due();
            before = None;
            continue;
        };
        let is_in_run = &mut new.is_in_run;
        *is_in_run = false;
        if let Some((last, last_at, last_is_in_run)) = before
            && last_at == at
            && last.checked_add(1) == Some(id)
        {
            *last_is_in_run = true;
            *is_in_run = true;
        }
        before = Some((id, at, is_in_run));
    }
}

impl<E: OrderedKv> Work<'_, E> {
    /// Ends the run that is being made, and takes what has left out of the others.
    pub(crate) fn settle_runs(&mut self, changes: RunChanges, rows: &mut Rows) -> KvResult<()> {
        if let Some(run) = changes.joined {
            run.put(self.part(), rows);
        }
        let mut left = changes.left;
        if !left.is_sorted() {
            left.sort_unstable();
        }
        let mut left = left.as_slice();
        while let Some((at, id)) = left.first() {
            let run = self.run_of(*at, *id)?;
            let here = left
                .iter()
                .take_while(|(left_at, id)| *left_at == run.at && *id <= run.last);
            let (gone, others) = left.split_at(here.count());
            self.shorten(run, gone, rows);
            left = others;
        }
        Ok(())
    }

    /// The run that an id is in.
    fn run_of(&self, at: Timestamp, id: u64) -> KvResult<Run> {
        self.find_run(at, id)?.ok_or_else(|| {
            let key = keys::due(self.part(), DueKind::Leased, at, id);
            damaged(Keyspace::Due, &key, "the run of its item is missing")
        })
    }

    fn find_run(&self, at: Timestamp, id: u64) -> KvResult<Option<Run>> {
        let from = keys::due(self.part(), DueKind::Leased, at, id);
        let to = keys::due(self.part(), DueKind::Leased, at, u64::MAX);
        let mut found = None;
        let span = Span::new(&from, &to);
        self.store
            .scan(Keyspace::Due, span, Direction::Forward, |key, value| {
                found = Some(run_of_row(key, value)?);
                Ok(ControlFlow::Break(()))
            })?;
        Ok(found.filter(|run| run.first <= id))
    }

    /// Leaves of a run what is not gone; ids ascend and are in it.
    fn shorten(&self, run: Run, gone: &[(Timestamp, u64)], rows: &mut Rows) {
        let mut first = run.first;
        for (_, id) in gone {
            if first < *id {
                let last = *id - 1;
                Run { first, last, ..run }.put(self.part(), rows);
            }
            first = *id + 1;
        }
        if first <= run.last {
            Run { first, ..run }.put(self.part(), rows);
        } else {
            let key = keys::due(self.part(), DueKind::Leased, run.at, run.last);
            rows.delete(Keyspace::Due, &key);
        }
    }

    /// Shows what is due of a kind, from a time and an id on: time, id, and dedup key.
    pub(crate) fn scan_due(
        &self,
        kind: DueKind,
        (from, first_id): (Timestamp, u64),
        mut show: impl FnMut(Timestamp, u64, &[u8]) -> ControlFlow<()>,
    ) -> KvResult<()> {
        let key = keys::due(self.part(), kind, from, first_id);
        let end = keys::behind(&key[..5]);
        let span = Span {
            from: &key,
            to: end.as_deref(),
        };
        self.store
            .scan(Keyspace::Due, span, Direction::Forward, |key, value| {
                if kind != DueKind::Leased {
                    let (at, id) = keys::due_of(key)
                        .ok_or_else(|| damaged(Keyspace::Due, key, "its key is too short"))?;
                    return Ok(show(at, id, value));
                }
                let run = run_of_row(key, value)?;
                // Of the run that it begins within, what is behind.
                let first = match run.at == from {
                    true => run.first.max(first_id),
                    false => run.first,
                };
                Ok((first..=run.last).try_for_each(|id| show(run.at, id, &[])))
            })
    }

    /// Whether there is a due row that stands for an item.
    pub(crate) fn has_due_row(&self, id: u64, item: &Item) -> KvResult<bool> {
        let Some((kind, at)) = item.due() else {
            return Ok(true);
        };
        if item.is_in_run {
            return Ok(self.find_run(at, id)?.is_some());
        }
        let row = self
            .store
            .get(Keyspace::Due, &keys::due(self.part(), kind, at, id))?;
        Ok(row.is_some_and(|value| value.is_empty()))
    }

    /// How many items and keys the due rows stand for.
    pub(crate) fn count_due(&self) -> KvResult<u64> {
        let mut count = 0;
        let prefix = keys::prefix(self.part());
        self.store
            .scan_prefix(Keyspace::Due, &prefix, |key, value| {
                let is_lease = key.get(prefix.len()) == Some(&(DueKind::Leased as u8));
                count += match is_lease {
                    true => run_of_row(key, value).map(|run| run.last - run.first + 1)?,
                    false => 1,
                };
                Ok(ControlFlow::Continue(()))
            })?;
        Ok(count)
    }
}

fn run_of_row(key: &[u8], value: &[u8]) -> KvResult<Run> {
    let run = keys::due_of(key).and_then(|(at, last)| {
        let first = first_of(last, value)?;
        Some(Run { at, first, last })
    });
    run.ok_or_else(|| damaged(Keyspace::Due, key, "it does not decode"))
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use storage_api::{
        Count, Durability, ItemBatch, ItemStore, LeaseRequest, ListRequest, NewItem,
        PartitionConfig, PartitionId, PartitionStore, Receipt, Receipts, StorageBackend,
    };

    use super::*;
    use crate::backend::{KvBackend, KvOptions};
    use crate::sim::{SimDisk, SimKv};

    /// Few enough for every set of them, and enough for runs with gaps.
    const ITEMS: usize = 7;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn home() -> PartitionId {
        PartitionId::new("home", 0).unwrap()
    }

    /// What is asked of an inline backend is there at once.
    fn now<T>(operation: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(operation)
    }

    /// A backend with some items, leased together until a moment.
    fn leased(items: usize) -> (KvBackend<SimKv>, Vec<Receipt>) {
        let options = KvOptions::new("sim", "0", Durability::PowerLoss).inline();
        let backend = KvBackend::open(SimDisk::new().open(), options).unwrap();
        now(backend.create_partition(&home(), PartitionConfig::default())).unwrap();
        let mut batch = ItemBatch::new();
        for _ in 0..items {
            batch.push(NewItem::new("payload")).unwrap();
        }
        now(backend.produce(&home(), batch.seal(at(0)))).unwrap();
        let request = LeaseRequest::new(at(0), at(50), Count::MAX);
        let receipts = now(backend.lease(&home(), request)).unwrap().receipts();
        (backend, receipts.iter().copied().collect())
    }

    fn findings(backend: &KvBackend<SimKv>) -> Vec<String> {
        now(backend.verify().unwrap().verify()).unwrap()
    }

    /// The ids that the rows of leases stand for, row by row.
    fn rows(backend: &KvBackend<SimKv>) -> Vec<(i64, u64, u64)> {
        let mut rows = Vec::new();
        let store = &backend.kernel().store;
        let scanned = store.scan(
            Keyspace::Due,
            Span::all(),
            Direction::Forward,
            |key, value| {
                let run = run_of_row(key, value)?;
                rows.push((run.at.as_micros(), run.first, run.last));
                Ok(ControlFlow::Continue(()))
            },
        );
        scanned.unwrap();
        rows
    }

    fn listed(backend: &KvBackend<SimKv>) -> Vec<u64> {
        let mut request = ListRequest::leased().items_max(Count::new(2).unwrap());
        let mut ids = Vec::new();
        loop {
            let page = now(backend.list_items(&home(), request.clone())).unwrap();
            ids.extend(page.items.iter().map(|item| item.id.get()));
            let Some(next) = page.next else {
                return ids;
            };
            request = request.after(next);
        }
    }

    /// Those that a set of bits has, and the others.
    fn parted(receipts: &[Receipt], set: usize) -> [Vec<Receipt>; 2] {
        let is_in = |at: &usize| set >> at & 1 == 1;
        let pick = |wanted: bool| {
            let places = (0..receipts.len()).filter(|at| is_in(at) == wanted);
            places.map(|at| receipts[at]).collect()
        };
        [pick(true), pick(false)]
    }

    #[test]
    fn whatever_leaves_a_run_at_once_the_rest_stays_due() {
        for set in 0..1 << ITEMS {
            let (backend, receipts) = leased(ITEMS);
            let [gone, left] = parted(&receipts, set);
            let ids: Vec<u64> = left.iter().map(|receipt| receipt.item.get()).collect();

            now(backend.complete(&home(), Receipts::new(gone).unwrap())).unwrap();

            assert_eq!(listed(&backend), ids, "set {set:b}");
            assert_eq!(findings(&backend), Vec::<String>::new(), "set {set:b}");
            let runs = ids.chunk_by(|a, b| a + 1 == *b).count();
            assert_eq!(rows(&backend).len(), runs, "set {set:b}");
        }
    }

    #[test]
    fn whatever_leaves_a_run_one_by_one_the_rest_stays_due() {
        for first in 0..ITEMS {
            // Every step that visits each once, as the number of items is prime.
            for step in 1..ITEMS {
                let (backend, receipts) = leased(ITEMS);
                let mut ids: Vec<u64> = receipts.iter().map(|receipt| receipt.item.get()).collect();
                for turn in 0..ITEMS {
                    let receipt = receipts[(first + turn * step) % ITEMS];
                    now(backend.complete(&home(), Receipts::one(receipt))).unwrap();
                    ids.retain(|id| *id != receipt.item.get());

                    let case = format!("first {first}, step {step}, turn {turn}");
                    assert_eq!(listed(&backend), ids, "{case}");
                    assert_eq!(findings(&backend), Vec::<String>::new(), "{case}");
                }
                assert_eq!(rows(&backend), []);
            }
        }
    }

    #[test]
    fn what_is_extended_is_a_run_of_its_own_and_comes_back_in_order() {
        for set in 0..1 << ITEMS {
            let (backend, receipts) = leased(ITEMS);
            let [moved, left] = parted(&receipts, set);
            now(backend.extend(&home(), Receipts::new(moved.clone()).unwrap(), at(70))).unwrap();
            assert_eq!(findings(&backend), Vec::<String>::new(), "set {set:b}");
            // To where it is already.
            now(backend.extend(&home(), Receipts::new(moved.clone()).unwrap(), at(70))).unwrap();

            let in_order = left.iter().chain(&moved).map(|receipt| receipt.item.get());
            assert_eq!(
                listed(&backend),
                in_order.collect::<Vec<_>>(),
                "set {set:b}"
            );
            let few = Count::new(3).unwrap();
            let mut taken_back = 0;
            loop {
                let done = now(backend.maintain(&home(), at(60), few)).unwrap();
                taken_back += done.ready;
                assert_eq!(findings(&backend), Vec::<String>::new(), "set {set:b}");
                if !done.more {
                    break;
                }
            }
            assert_eq!(taken_back, left.len(), "set {set:b}");
            let released = now(backend.release(&home(), Receipts::new(moved).unwrap())).unwrap();
            assert_eq!(taken_back + released.len(), ITEMS);
            assert_eq!(findings(&backend), Vec::<String>::new(), "set {set:b}");
        }
    }

    #[test]
    fn verify_tells_rows_that_stand_for_other_items_than_are_leased() {
        let run = |first, last| Run {
            at: at(50),
            first,
            last,
        };
        let wrong = [
            vec![],
            vec![run(1, 6)],
            vec![run(2, 7)],
            vec![run(1, 8)],
            vec![run(1, 3), run(3, 7)],
            vec![run(1, 3), run(5, 7)],
            vec![run(1, 7), run(9, 9)],
            vec![Run {
                at: at(49),
                ..run(1, 7)
            }],
        ];
        for runs in wrong {
            let (backend, _) = leased(ITEMS);
            let part = backend.kernel().all_partitions().unwrap()[0].number;
            let mut changed = Rows::default();
            changed.delete(Keyspace::Due, &keys::due(part, DueKind::Leased, at(50), 7));
            runs.iter().for_each(|run| run.put(part, &mut changed));
            backend.kernel().store.write(changed).unwrap();

            assert_ne!(findings(&backend), Vec::<String>::new(), "{runs:?}");
        }
    }

    #[test]
    fn rows_of_leases_have_the_bytes_they_always_had() {
        let (backend, receipts) = leased(3);
        let row = || {
            let mut rows = Vec::new();
            let store = &backend.kernel().store;
            let scanned = store.scan(
                Keyspace::Due,
                Span::all(),
                Direction::Forward,
                |key, value| {
                    rows.push((key.to_vec(), value.to_vec()));
                    Ok(ControlFlow::Continue(()))
                },
            );
            scanned.unwrap();
            rows
        };
        let key = [
            &[0, 0, 0, 0, 2, 128, 0, 0, 0, 0, 0, 0, 50][..],
            &3_u64.to_be_bytes(),
        ]
        .concat();

        let run = row();
        now(backend.complete(&home(), Receipts::new(receipts[..2].to_vec()).unwrap())).unwrap();

        assert_eq!(run, [(key.clone(), vec![1, 0, 0, 0, 0, 0, 0, 0])]);
        assert_eq!(row(), [(key, vec![])]);
    }

    #[test]
    fn a_row_of_leases_that_is_none_is_told() {
        assert_eq!(first_of(7, &[]), Some(7));
        assert_eq!(first_of(7, &6_u64.to_le_bytes()), Some(6));
        for first in [7_u64, 8, u64::MAX] {
            assert_eq!(first_of(7, &first.to_le_bytes()), None);
        }
        assert_eq!(first_of(7, b"short"), None);
    }
}
