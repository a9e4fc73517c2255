//! Maintain and the statistics: what is due, and when (clauses TIME-1 to TIME-3, PART-7).

use std::ops::ControlFlow;

use storage_api::{
    Count, DeadReason, Direction, ItemState, Maintained, PartitionStats, State, Timestamp,
};

use crate::counters::{NextDue, ReadyMark};
use crate::engine::{KvResult, OrderedKv, Span};
use crate::keys::{self, DueKind};
use crate::keyspace::Keyspace;
use crate::partition::{CLOSED_TO_LEASE, check_mode};
use crate::store::damaged;
use crate::work::{ReadyRow, Stop, Work};

/// A row of `due`; ordered as maintain handles it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Timestamp,
    id: u64,
    kind: DueKind,
    /// The dedup key, of a key that lingers.
    key: Vec<u8>,
}

impl<E: OrderedKv> Work<'_, E> {
    pub(crate) fn maintain(
        &mut self,
        now: Timestamp,
        items_max: Count,
    ) -> Result<Maintained, Stop> {
        let (id, config) = (&self.info.id, &self.info.config);
        check_mode(self.operation, id, config, CLOSED_TO_LEASE)?;
        let mut done = Maintained::default();
        match self.counters.next_due() {
            NextDue::Never => return Ok(done),
            NextDue::At(at) if at > now => {
                done.next_due = Some(at);
                return Ok(done);
            }
            NextDue::At(_) | NextDue::NotBefore(_) => {}
        }

        // Of each kind as many as there may be among the first, and one more, which tells what is left.
        let mut due = Vec::new();
        let mut read_kinds = Vec::new();
        for kind in DueKind::ALL {
            if self.read_due(kind, now, items_max.get() + 1, &mut due)? {
                read_kinds.push(kind);
            }
        }
        due.sort();
        let handled = due
            .partition_point(|due| due.at <= now)
            .min(items_max.get());
        let left = due.split_off(handled);
        self.reserve(0, handled)?;
        let of_items = due.iter().filter(|due| due.kind != DueKind::Key);
        let ids: Vec<u64> = of_items.map(|due| due.id).collect();
        // The due row of a scheduled item was read just now.
        self.fetch_if(ids, |item| item.state() != State::Scheduled)?;
        for due in due {
            if due.kind == DueKind::Key {
                self.free_key(due.key, due.id, due.at);
                done.keys_freed += 1;
                continue;
            }
            self.expect_due(&due)?;
            self.maintain_item(due.id, now, &mut done)?;
        }

        // Of a kind that was read it is known where it begins now: with what is left of it, or with what became due anew,
        // as a ready item may expire and a dropped one may leave its key.
        for kind in read_kinds {
            let read = left.iter().find(|due| due.kind == kind).map(|due| due.at);
            let new = self.new_due(kind);
            if let Some(first) = read.into_iter().chain(new).min()
                && self.counters.due_count(kind) > 0
            {
                self.counters.saw_due(kind, first);
            }
        }
        done.next_due = self.first_due()?;
        done.more = done.next_due.is_some_and(|at| at <= now);
        Ok(done)
    }

    /// What becomes of an item that is due is the first that fits (clause TIME-1).
    fn maintain_item(&mut self, id: u64, now: Timestamp, done: &mut Maintained) -> KvResult<()> {
        let item = self.indexed(id)?;
        let is_leased = item.state() == State::Leased;
        if item.expire_at().is_some_and(|at| at <= now) {
            match self.die(id, DeadReason::Expired, now)? {
                true => done.expired += 1,
                false => done.dropped += 1,
            }
        } else if is_leased && self.is_used_up(item) {
            match self.die(id, DeadReason::AttemptsExhausted, now)? {
                true => done.attempts_exhausted += 1,
                false => done.dropped += 1,
            }
        } else {
            self.requeue(id);
            done.ready += 1;
        }
        Ok(())
    }

    /// That a due row is what its item says.
    fn expect_due(&self, due: &Due) -> KvResult<()> {
        if self.indexed(due.id)?.due() == Some((due.kind, due.at)) {
            return Ok(());
        }
        let key = keys::due(self.part(), due.kind, due.at, due.id);
        Err(damaged(Keyspace::Due, &key, "its item is not due then"))
    }

    /// Reads up to `rows_max` rows of a kind, the first that is due later included as the last of them; `false` if it is
    /// known without a look that nothing of the kind is due.
    fn read_due(
        &self,
        kind: DueKind,
        now: Timestamp,
        rows_max: usize,
        into: &mut Vec<Due>,
    ) -> KvResult<bool> {
        let mark = match self.counters.first_due(kind) {
            NextDue::Never => return Ok(false),
            NextDue::At(at) if at > now => return Ok(false),
            NextDue::At(mark) | NextDue::NotBefore(mark) => mark,
        };
        let mut rows = 0;
        self.scan_due(kind, (mark, 0), |at, id, key| {
            into.push(Due {
                at,
                id,
                kind,
                key: key.to_vec(),
            });
            rows += 1;
            match at > now || rows == rows_max {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        Ok(true)
    }

    /// The earliest due time, looked up where it is only known roughly.
    pub(crate) fn first_due(&mut self) -> KvResult<Option<Timestamp>> {
        loop {
            let mark = match self.counters.next_due() {
                NextDue::Never => return Ok(None),
                NextDue::At(at) => return Ok(Some(at)),
                NextDue::NotBefore(mark) => mark,
            };
            // The kind whose bound is the earliest; once it is exact, another may be.
            let kind = DueKind::ALL
                .into_iter()
                .find(|kind| self.counters.first_due(*kind) == NextDue::NotBefore(mark));
            let Some(kind) = kind else {
                return Ok(Some(mark));
            };
            let mut first = None;
            self.scan_due(kind, (mark, 0), |at, _, _| {
                first = Some(at);
                ControlFlow::Break(())
            })?;
            let key = keys::due(self.part(), kind, mark, 0);
            let first =
                first.ok_or_else(|| damaged(Keyspace::Due, &key, "a row behind it is missing"))?;
            self.counters.saw_due(kind, first);
        }
    }

    pub(crate) fn stats(&mut self) -> KvResult<PartitionStats> {
        let next_due = self.first_due()?;
        let first_ready_created_at = self.first_ready_created_at()?;
        let mut stats = *self.counters.stats();
        stats.next_due = next_due;
        stats.first_ready_created_at = first_ready_created_at;
        Ok(stats)
    }

    fn first_ready_created_at(&mut self) -> KvResult<Option<Timestamp>> {
        let Some(ReadyMark { priority, mark, .. }) = self.counters.ready().first().copied() else {
            return Ok(None);
        };
        let from = keys::ready(self.part(), priority, mark);
        let end = keys::behind(&from[..5]);
        let span = Span {
            from: &from,
            to: end.as_deref(),
        };
        let mut first = None;
        self.store
            .scan(Keyspace::Ready, span, Direction::Forward, |key, row| {
                let row = ReadyRow::decode(row);
                first = keys::place_of(key).zip(row);
                Ok(ControlFlow::Break(()))
            })?;
        let Some(((_, position), row)) = first else {
            let what = "a row behind it is missing";
            return Err(damaged(Keyspace::Ready, &from, what));
        };
        self.counters.saw_ready(priority, position);
        self.fetch([row.id])?;
        let item = self.indexed(row.id)?;
        if !matches!(item.state, ItemState::Ready { .. }) {
            let key = keys::ready(self.part(), priority, position);
            return Err(damaged(Keyspace::Ready, &key, "its item is not ready"));
        }
        Ok(Some(item.head.created_at))
    }
}
