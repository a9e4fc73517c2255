//! What is kept of a partition instead of being counted: numbers, sums, and where its orders begin.
//!
//! One small row, written in every batch that changes the partition, so that opening reads one row whatever the depth.
//!
//! A mark is a place before which an order has nothing. Draining a queue leaves the traces of removed rows at its head,
//! which cost an engine a walk; a read that starts at the mark starts behind them. Marks are only ever too low, never
//! too high: what comes to an earlier place lowers them, and reads raise them.

use storage_api::{ItemState, PartitionStats, State, StateStats, Timestamp};

use crate::codec::{Reader, Writer};
use crate::item::{Head, Item};
use crate::keys::DueKind;

const FORMAT: u8 = 1;

/// How many numbers a ceiling is raised by. Large, as raising may cost a sync; small beside 2^63.
pub(crate) const BLOCK: u64 = 65_536;

/// The sums and marks of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counters {
    /// The next id, and the next position.
    pub(crate) next: Pair,
    /// The largest id and position that may be given before the row is written anew: after a crash they go on behind it.
    pub(crate) ceiling: Pair,
    /// No item has a smaller id.
    pub(crate) first_id: u64,
    stats: PartitionStats,
    due: [DueMark; DueKind::COUNT],
    /// By priority; only those that have ready items.
    ready: Vec<ReadyMark>,
    /// Not stored: after a reopening it begins with what is produced next.
    run: Option<FreshRun>,
}

/// Ready items of one priority that are as they were produced, do not expire, and have consecutive positions and ids: what
/// can be leased without a look at their index rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FreshRun {
    pub(crate) priority: u8,
    /// That of the first.
    pub(crate) position: u64,
    /// That of the first.
    pub(crate) id: u64,
    pub(crate) count: u64,
}

/// A number for ids and one for positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) id: u64,
    pub(crate) position: u64,
}

impl Pair {
    pub(crate) fn both(number: u64) -> Self {
        Self {
            id: number,
            position: number,
        }
    }

    pub(crate) fn raised(self, other: Self) -> Self {
        Self {
            id: self.id.max(other.id),
            position: self.position.max(other.position),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct DueMark {
    count: u64,
    /// Nothing is due before.
    mark: Timestamp,
    /// Whether something is due right at the mark. Not stored.
    is_exact: bool,
}

/// The ready items of one priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadyMark {
    pub(crate) priority: u8,
    pub(crate) count: u64,
    /// None stands at an earlier position.
    pub(crate) mark: u64,
}

/// When something is due next, as far as it is known without a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextDue {
    /// Never, unless something happens.
    Never,
    /// Then.
    At(Timestamp),
    /// Not before.
    NotBefore(Timestamp),
}

impl Counters {
    /// Those of an empty partition whose first numbers follow `floor`.
    pub(crate) fn new(floor: u64) -> Self {
        Self {
            next: Pair::both(floor + 1),
            ceiling: Pair::both(floor + BLOCK),
            first_id: floor + 1,
            stats: PartitionStats::default(),
            due: Default::default(),
            ready: Vec::new(),
            run: None,
        }
    }

    /// An item came, or came back changed.
    pub(crate) fn join(&mut self, item: &Item) {
        let sums = self.stats.state_mut(item.state());
        let due = item.due();
        add(sums, &item.head, due.map(|(_, at)| at), 1);
        if let Some((kind, at)) = due {
            self.join_due(kind, at);
        }
        if let ItemState::Ready { position } = item.state {
            let (priority, position) = (item.head.priority, position.get());
            match self
                .ready
                .binary_search_by_key(&priority, |mark| mark.priority)
            {
                Ok(at) => {
                    let mark = &mut self.ready[at];
                    mark.count += 1;
                    mark.mark = mark.mark.min(position);
                }
                Err(at) => self.ready.insert(
                    at,
                    ReadyMark {
                        priority,
                        count: 1,
                        mark: position,
                    },
                ),
            }
        }
    }

    /// An item goes, or is about to change.
    pub(crate) fn leave(&mut self, item: &Item) {
        let sums = self.stats.state_mut(item.state());
        let due = item.due();
        add(sums, &item.head, due.map(|(_, at)| at), -1);
        if let Some((kind, at)) = due {
            self.leave_due(kind, at);
        }
        if let ItemState::Ready { position } = item.state {
            let priority = item.head.priority;
            self.leave_run(priority, position.get());
            let found = self
                .ready
                .binary_search_by_key(&priority, |mark| mark.priority);
            if let Ok(at) = found {
                let mark = &mut self.ready[at];
                mark.count = mark.count.saturating_sub(1);
                if mark.count == 0 {
                    self.ready.remove(at);
                }
            }
        }
    }

    /// An item that was just produced has joined.
    pub(crate) fn extend_run(&mut self, id: u64, item: &Item) {
        let ItemState::Ready { position } = item.state else {
            return;
        };
        let (priority, position) = (item.head.priority, position.get());
        match &mut self.run {
            // Whatever does not fit is found by its index row.
            Some(run) => {
                let behind = (run.priority, run.position + run.count, run.id + run.count);
                if behind == (priority, position, id) && item.head.expire_at.is_none() {
                    run.count += 1;
                }
            }
            None if item.head.expire_at.is_none() => {
                self.run = Some(FreshRun {
                    priority,
                    position,
                    id,
                    count: 1,
                });
            }
            None => {}
        }
    }

    /// The run, if it is of a priority.
    pub(crate) fn run(&self, priority: u8) -> Option<FreshRun> {
        self.run.filter(|run| run.priority == priority)
    }

    /// A ready item goes. What stood behind it in the run, if it was not the first, is found by index rows from here on.
    fn leave_run(&mut self, priority: u8, position: u64) {
        let Some(run) = self.run.as_mut().filter(|run| run.priority == priority) else {
            return;
        };
        let Some(before) = position.checked_sub(run.position) else {
            return;
        };
        if before == 0 {
            run.position += 1;
            run.id += 1;
            run.count -= 1;
        } else {
            run.count = run.count.min(before);
        }
        if run.count == 0 {
            self.run = None;
        }
    }

    /// Something is due that was not.
    pub(crate) fn join_due(&mut self, kind: DueKind, at: Timestamp) {
        let due = &mut self.due[kind as usize];
        if due.count == 0 || at <= due.mark {
            due.mark = at;
            due.is_exact = true;
        }
        due.count += 1;
    }

    /// Something is no longer due.
    pub(crate) fn leave_due(&mut self, kind: DueKind, at: Timestamp) {
        let due = &mut self.due[kind as usize];
        due.count = due.count.saturating_sub(1);
        if at == due.mark {
            due.is_exact = false;
        }
        if due.count == 0 {
            *due = DueMark::default();
        }
    }

    /// A look found the first of a kind.
    pub(crate) fn saw_due(&mut self, kind: DueKind, at: Timestamp) {
        let due = &mut self.due[kind as usize];
        due.mark = at;
        due.is_exact = true;
    }

    /// From when on something of a kind can be due; `None`: there is nothing of it.
    pub(crate) fn due_mark(&self, kind: DueKind) -> Option<Timestamp> {
        let due = &self.due[kind as usize];
        (due.count > 0).then_some(due.mark)
    }

    /// The first due time of a kind.
    pub(crate) fn first_due(&self, kind: DueKind) -> NextDue {
        let due = &self.due[kind as usize];
        match due {
            DueMark { count: 0, .. } => NextDue::Never,
            DueMark { is_exact: true, .. } => NextDue::At(due.mark),
            _ => NextDue::NotBefore(due.mark),
        }
    }

    /// The first due time of all kinds.
    pub(crate) fn next_due(&self) -> NextDue {
        let marks = self.due.iter().filter(|due| due.count > 0);
        // Of those at the same time an exact one tells more.
        match marks.min_by_key(|due| (due.mark, !due.is_exact)) {
            None => NextDue::Never,
            Some(due) if due.is_exact => NextDue::At(due.mark),
            Some(due) => NextDue::NotBefore(due.mark),
        }
    }

    pub(crate) fn due_count(&self, kind: DueKind) -> u64 {
        self.due[kind as usize].count
    }

    /// The priorities that have ready items, in lease order.
    pub(crate) fn ready(&self) -> &[ReadyMark] {
        &self.ready
    }

    /// A look found that no ready item of a priority stands before that position.
    pub(crate) fn saw_ready(&mut self, priority: u8, position: u64) {
        if let Ok(at) = self
            .ready
            .binary_search_by_key(&priority, |mark| mark.priority)
        {
            self.ready[at].mark = position;
        }
    }

    /// The sums; the two fields that are found by a look are empty.
    pub(crate) fn stats(&self) -> &PartitionStats {
        &self.stats
    }

    /// Whether the sums are the same; marks and numbers may differ.
    pub(crate) fn has_sums_of(&self, other: &Self) -> bool {
        let counts = |counters: &Self| counters.due.map(|due| due.count);
        let ready = |counters: &Self| -> Vec<_> {
            counters
                .ready
                .iter()
                .map(|mark| (mark.priority, mark.count))
                .collect()
        };
        self.stats == other.stats && counts(self) == counts(other) && ready(self) == ready(other)
    }

    pub(crate) fn encode(&self) -> Writer {
        let mut row = Writer::with_capacity(512);
        row.u8(FORMAT);
        for pair in [self.next, self.ceiling] {
            row.u64(pair.id).u64(pair.position);
        }
        row.u64(self.first_id);
        for state in State::ALL {
            let sums = self.stats.state(state);
            row.u64(sums.items)
                .u64(sums.bytes)
                .i128(sums.created_at_sum)
                .i128(sums.due_at_sum);
        }
        for due in &self.due {
            row.u64(due.count).i64(due.mark.as_micros());
        }
        for ready in &self.ready {
            row.u8(ready.priority).u64(ready.count).u64(ready.mark);
        }
        row
    }

    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let mut row = Reader::new(row);
        if row.u8()? != FORMAT {
            return None;
        }
        let mut counters = Self::new(0);
        for pair in [&mut counters.next, &mut counters.ceiling] {
            pair.id = row.u64()?;
            pair.position = row.u64()?;
        }
        counters.first_id = row.u64()?;
        for state in State::ALL {
            *counters.stats.state_mut(state) = StateStats {
                items: row.u64()?,
                bytes: row.u64()?,
                created_at_sum: row.i128()?,
                due_at_sum: row.i128()?,
            };
        }
        for due in &mut counters.due {
            due.count = row.u64()?;
            due.mark = Timestamp::from_micros(row.i64()?);
        }
        while row.end().is_none() {
            counters.ready.push(ReadyMark {
                priority: row.u8()?,
                count: row.u64()?,
                mark: row.u64()?,
            });
        }
        Some(counters)
    }
}

/// Adds one item to the sums, or takes it out.
fn add(sums: &mut StateStats, head: &Head, due: Option<Timestamp>, sign: i8) {
    let bytes = u64::from(head.payload_len);
    if sign > 0 {
        sums.items += 1;
        sums.bytes += bytes;
    } else {
        sums.items = sums.items.saturating_sub(1);
        sums.bytes = sums.bytes.saturating_sub(bytes);
    }
    // 2^63 items at the largest timestamp stay within 2^126.
    sums.created_at_sum += i128::from(sign) * i128::from(head.created_at.as_micros());
    let due = due.map_or(0, Timestamp::as_micros);
    sums.due_at_sum += i128::from(sign) * i128::from(due);
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage_api::Position;

    fn item(priority: u8, position: u64, expire_at: Option<i64>) -> Item {
        let head = Head {
            priority,
            payload_len: 10,
            created_at: Timestamp::MAX,
            expire_at: expire_at.map(Timestamp::from_micros),
            attempts_max: 0,
            has_dedup_key: false,
        };
        let position = Position::new(position).unwrap();
        Item::fresh(head, ItemState::Ready { position })
    }

    #[test]
    fn what_joined_and_left_leaves_nothing_behind() {
        let mut counters = Counters::new(0);
        let items = [item(1, 5, Some(7)), item(1, 3, None), item(0, 9, Some(-2))];

        items.iter().for_each(|item| counters.join(item));
        assert_eq!(counters.stats().ready.items, 3);
        assert_eq!(counters.ready()[1].mark, 3);
        assert_eq!(counters.next_due(), NextDue::At(Timestamp::from_micros(-2)));
        items.iter().for_each(|item| counters.leave(item));

        assert_eq!(counters, Counters::new(0));
    }

    #[test]
    fn after_the_earliest_has_gone_its_time_is_only_a_bound() {
        let mut counters = Counters::new(0);
        counters.join_due(DueKind::Key, Timestamp::from_micros(5));
        counters.join_due(DueKind::Key, Timestamp::from_micros(9));

        counters.leave_due(DueKind::Key, Timestamp::from_micros(5));

        assert_eq!(
            counters.next_due(),
            NextDue::NotBefore(Timestamp::from_micros(5))
        );
        counters.join_due(DueKind::Key, Timestamp::from_micros(7));
        assert_eq!(
            counters.next_due(),
            NextDue::NotBefore(Timestamp::from_micros(5))
        );
        counters.saw_due(DueKind::Key, Timestamp::from_micros(7));
        assert_eq!(counters.next_due(), NextDue::At(Timestamp::from_micros(7)));
    }

    #[test]
    fn a_run_is_what_is_left_in_front_of_the_first_that_goes_out_of_turn() {
        let mut counters = Counters::new(0);
        for position in 5..=9 {
            let item = item(1, position, None);
            counters.join(&item);
            counters.extend_run(position + 100, &item);
        }
        let expiring = item(1, 10, Some(7));
        counters.extend_run(110, &expiring);
        counters.extend_run(112, &item(1, 12, None));
        let run = |position, count| FreshRun {
            priority: 1,
            position,
            id: position + 100,
            count,
        };
        assert_eq!(counters.run(1), Some(run(5, 5)));
        assert_eq!(counters.run(0), None);

        counters.leave(&item(1, 5, None));
        counters.leave(&item(0, 7, None));
        assert_eq!(counters.run(1), Some(run(6, 4)));
        counters.leave(&item(1, 8, None));
        assert_eq!(counters.run(1), Some(run(6, 2)));
        counters.leave(&item(1, 4, None));
        counters.leave(&item(1, 9, None));
        assert_eq!(counters.run(1), Some(run(6, 2)));

        counters.leave(&item(1, 6, None));
        counters.leave(&item(1, 7, None));
        assert_eq!(counters.run(1), None);
    }

    #[test]
    fn the_row_gives_back_what_went_into_it() {
        let mut counters = Counters::new(77);
        for priority in [0, 100, 255] {
            counters.join(&item(priority, u64::from(priority) + 1, None));
        }
        counters.ceiling.id = 1 << 50;

        let row = counters.encode();

        assert_eq!(Counters::decode(row.as_slice()), Some(counters));
        assert_eq!(
            Counters::decode(&row.as_slice()[..row.as_slice().len() - 1]),
            None
        );
    }
}
