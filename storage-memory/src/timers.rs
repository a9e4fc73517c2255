//! When grants are due, and in which order.

use std::collections::VecDeque;
use std::ops::Bound;

use storage_api::Timestamp;

use crate::footprint::vec_bytes;
use crate::sorted::Sorted;

/// How many runs there may be: one for each timeout that is common at a time. What fits none goes to a tree.
const RUNS_MAX: usize = 4;
/// The number in an entry whose grant has gone.
const GONE: u32 = u32::MAX;
/// So many entries may be those of grants that have gone before a run is swept, beyond half of them.
const GONE_MIN: usize = 32;

/// The timers of grants, each in one of a few runs or in a tree.
///
/// Who leases again and again for the same time asks for ever later deadlines: a run takes them at its end, and gives them
/// up at its front, as they are completed. A run is in order of deadline and id, so that a timer is found in it by halving,
/// and listing can start anywhere. A timer that would break the order of each run stands in the tree.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    runs: Vec<Run>,
    others: Sorted<(Timestamp, u32), ()>,
}

/// Where the timer of a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    Run(u8),
    Tree,
}

/// Timers in order. The first and the last are never those of grants that have gone.
#[derive(Debug, Default)]
struct Run {
    entries: VecDeque<Entry>,
    /// How many entries are those of grants that have gone.
    gone: usize,
    /// The deadline of the last entry, and its last id: what comes behind is due behind.
    last: (Timestamp, u64),
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    deadline: Timestamp,
    /// The first id of the grant.
    first: u64,
    grant: u32,
}

impl Entry {
    fn key(&self) -> (Timestamp, u64) {
        (self.deadline, self.first)
    }
}

impl Timers {
    /// A timer for a grant of items from `first` to `last` in order of their ids; `None` where they are in no order.
    pub(crate) fn insert(
        &mut self,
        deadline: Timestamp,
        ids: Option<(u64, u64)>,
        grant: u32,
    ) -> Timer {
        let Some((first, last)) = ids else {
            return self.insert_in_tree(deadline, grant);
        };
        let Some(index) = self.run_for((deadline, first)) else {
            return self.insert_in_tree(deadline, grant);
        };
        let run = &mut self.runs[usize::from(index)];
        run.last = (deadline, last);
        if run.entries.len() == run.entries.capacity() {
            // By a quarter: what a lease takes later is promised to its item.
            run.entries.reserve_exact(16.max(run.entries.len() / 4));
        }
        run.entries.push_back(Entry {
            deadline,
            first,
            grant,
        });
        Timer::Run(index)
    }

    fn insert_in_tree(&mut self, deadline: Timestamp, grant: u32) -> Timer {
        self.others.insert((deadline, grant), ());
        Timer::Tree
    }

    /// The run whose end is the nearest before a key; else an empty or a new one.
    #[expect(clippy::cast_possible_truncation, reason = "there are few runs")]
    fn run_for(&mut self, key: (Timestamp, u64)) -> Option<u8> {
        let mut best: Option<usize> = None;
        let mut empty = None;
        for (index, run) in self.runs.iter().enumerate() {
            if run.entries.is_empty() {
                empty = Some(index);
            } else if run.last < key && best.is_none_or(|best| self.runs[best].last < run.last) {
                best = Some(index);
            }
        }
        let index = best.or(empty).or_else(|| {
            (self.runs.len() < RUNS_MAX).then(|| {
                self.runs.push(Run::default());
                self.runs.len() - 1
            })
        });
        index.map(|index| index as u8)
    }

    /// The timer of a grant goes. `first` is the first id of the grant.
    pub(crate) fn remove(&mut self, timer: Timer, deadline: Timestamp, first: u64, grant: u32) {
        match timer {
            Timer::Run(index) => self.runs[usize::from(index)].remove((deadline, first)),
            Timer::Tree => {
                self.others.remove(&(deadline, grant));
            }
        }
    }

    /// The earliest deadline.
    pub(crate) fn first_due(&self) -> Option<Timestamp> {
        let runs = self.runs.iter().filter_map(|run| run.entries.front());
        let runs = runs.map(|entry| entry.deadline).min();
        let other = self.others.first().map(|((at, _), ())| *at);
        match (runs, other) {
            (Some(run), Some(other)) => Some(run.min(other)),
            (run, other) => run.or(other),
        }
    }

    /// Every grant.
    pub(crate) fn grants(&self) -> impl Iterator<Item = u32> + '_ {
        let runs = self.runs.iter().flat_map(|run| &run.entries);
        let runs = runs.map(|entry| entry.grant).filter(|grant| *grant != GONE);
        runs.chain(self.others.keys().map(|(_, grant)| *grant))
    }

    /// For each run its deadlines and grants in order, from the one on that may hold an id due then.
    pub(crate) fn runs_from(
        &self,
        from: (Timestamp, u64),
    ) -> impl Iterator<Item = impl Iterator<Item = (Timestamp, u32)> + '_> + '_ {
        self.runs.iter().map(move |run| {
            let behind = run.entries.partition_point(|entry| entry.key() <= from);
            let entries = run.entries.range(behind.saturating_sub(1)..);
            let living = entries.filter(|entry| entry.grant != GONE);
            living.map(|entry| (entry.deadline, entry.grant))
        })
    }

    /// The deadlines and grants of the tree, from a deadline on.
    pub(crate) fn others_from(
        &self,
        from: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, u32)> + '_ {
        let from = Bound::Included((from, 0));
        let others = self.others.range(from, Bound::Unbounded);
        others.map(|(timer, ())| *timer)
    }

    /// The bytes that everything here takes.
    pub(crate) fn bytes(&self) -> u64 {
        let runs = self.runs.iter();
        let runs: u64 = runs
            .map(|run| vec_bytes::<Entry>(run.entries.capacity()))
            .sum();
        runs + vec_bytes::<Run>(self.runs.capacity()) + self.others.bytes()
    }

    /// Gives back what is spare.
    pub(crate) fn trim(&mut self) {
        if self.runs.iter().all(|run| run.entries.is_empty()) {
            self.runs = Vec::new();
        }
        for run in &mut self.runs {
            run.entries.shrink_to_fit();
        }
    }
}

impl Run {
    fn remove(&mut self, key: (Timestamp, u64)) {
        let is_first = self.entries.front().is_some_and(|entry| entry.key() == key);
        if is_first {
            self.entries.pop_front();
        } else {
            let index = self.entries.partition_point(|entry| entry.key() < key);
            if let Some(entry) = self.entries.get_mut(index) {
                entry.grant = GONE;
                self.gone += 1;
            }
        }
        self.tidy();
    }

    /// Drops the entries that nobody needs, at the ends at once, in the middle once they prevail.
    fn tidy(&mut self) {
        if self.gone > 0 {
            self.drop_gone();
        }
        // A run that was long gives its memory back; a short one is written again.
        if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    fn drop_gone(&mut self) {
        let is_gone = |entry: Option<&Entry>| entry.is_some_and(|entry| entry.grant == GONE);
        while is_gone(self.entries.front()) {
            self.entries.pop_front();
            self.gone -= 1;
        }
        while is_gone(self.entries.back()) {
            self.entries.pop_back();
            self.gone -= 1;
        }
        if self.gone > self.entries.len() / 2 + GONE_MIN {
            self.entries.retain(|entry| entry.grant != GONE);
            self.gone = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn timers_of_few_timeouts_stand_in_runs_whatever_their_mixture() {
        let mut timers = Timers::default();
        let timeouts = [30, 5, 600, 60];
        let mut inserted = Vec::new();
        for now in 0..1000_u32 {
            let deadline = at(i64::from(now) + timeouts[now as usize % 4]);
            let id = u64::from(now);
            inserted.push((
                timers.insert(deadline, Some((id, id)), now),
                deadline,
                id,
                now,
            ));
        }

        assert!(timers.others.is_empty(), "{} others", timers.others.len());
        let first = inserted.iter().map(|(_, deadline, ..)| *deadline).min();
        assert_eq!(timers.first_due(), first);
        for (timer, deadline, id, grant) in inserted {
            timers.remove(timer, deadline, id, grant);
        }
        assert_eq!(timers.first_due(), None);
        assert_eq!(timers.grants().count(), 0);
        timers.trim();
        assert_eq!(timers.bytes(), 0);
    }

    #[test]
    fn what_breaks_every_order_is_kept_all_the_same() {
        let mut timers = Timers::default();
        let deadlines: Vec<i64> = (0..500).map(|step| step * 7919 % 500).collect();
        let mut inserted = Vec::new();
        for (grant, deadline) in (0..).zip(&deadlines) {
            let id = u64::from(grant);
            let timer = timers.insert(at(*deadline), Some((id, id)), grant);
            inserted.push((timer, *deadline, grant));
        }

        inserted.sort_by_key(|(_, deadline, _)| *deadline);
        for (timer, deadline, grant) in inserted {
            assert_eq!(timers.first_due(), Some(at(deadline)));
            timers.remove(timer, at(deadline), u64::from(grant), grant);
        }
        assert_eq!(timers.first_due(), None);
    }

    #[test]
    fn a_run_that_is_left_in_any_order_keeps_no_more_than_what_is_in_it() {
        let mut timers = Timers::default();
        for grant in 0..10_000_u32 {
            timers.insert(
                at(i64::from(grant)),
                Some((grant.into(), grant.into())),
                grant,
            );
        }
        let full = timers.bytes();

        for step in 0..9_990_u64 {
            let grant = step * 7919 % 9_990 + 5;
            let number = u32::try_from(grant).unwrap();
            timers.remove(Timer::Run(0), at(i64::from(number)), grant, number);
        }

        let left: Vec<u32> = timers.grants().collect();
        assert_eq!(left, [0, 1, 2, 3, 4, 9995, 9996, 9997, 9998, 9999]);
        assert!(timers.bytes() < full / 50, "{} of {full}", timers.bytes());
    }

    #[test]
    fn listing_starts_at_the_grant_that_may_hold_the_id() {
        let mut timers = Timers::default();
        for grant in 0..100_u32 {
            let first = u64::from(grant) * 10;
            timers.insert(at(7), Some((first, first + 9)), grant);
        }

        let grants = |from| -> Vec<u32> {
            let runs = timers.runs_from(from);
            runs.flatten().map(|(_, grant)| grant).collect()
        };

        assert_eq!(grants((at(7), 985)), [98, 99]);
        assert_eq!(grants((at(7), 0)).len(), 100);
        assert_eq!(grants((at(8), 0)), [99], "its items are all due before");
    }
}
