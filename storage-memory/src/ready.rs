//! In which order ready items are leased (clauses ORDER-1 and LEASE-1).

use std::collections::VecDeque;
use std::ops::Bound;

use crate::footprint::vec_bytes;
use crate::sorted::Sorted;

/// Ready items by priority, then position.
///
/// It holds pairs of position and id. A pair may be stale: its item has left from the middle, and nobody searched for
/// it. Whoever reads asks the slot; the first pair of a lane is never stale.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// By priority.
    lanes: Vec<Lane>,
}

/// The items of one priority.
#[derive(Debug)]
struct Lane {
    priority: u8,
    /// What came to the tail, as runs: a batch of any size is one entry, and one that follows it extends it.
    fifo: VecDeque<Run>,
    /// How many pairs these are, the stale ones among them.
    queued: u64,
    /// What was put back to a position before the tail.
    back: Sorted<u64, u64>,
    /// How many items are ready.
    items: u64,
}

/// Consecutive positions with consecutive ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    position: u64,
    id: u64,
    len: u64,
}

impl Run {
    fn end(&self) -> u64 {
        self.position + self.len
    }
}

/// Where an item stands: its position and id.
pub(crate) type Stand = (u64, u64);

impl Ready {
    /// An item stands at a position that is free.
    pub(crate) fn insert(&mut self, priority: u8, (position, id): Stand) {
        let lane = self.lane_mut(priority);
        lane.items += 1;
        match lane.fifo.back() {
            Some(run) if run.end() > position => {
                // What left the middle of the queue and returns finds its pair still there.
                if !lane.is_in_fifo((position, id)) {
                    lane.back.insert(position, id);
                }
            }
            _ => lane.queue((position, id), 1),
        }
    }

    /// Items come to the tail with consecutive positions, above all that were given out, and consecutive ids.
    pub(crate) fn push(&mut self, priority: u8, (position, id): Stand, len: u64) {
        let lane = self.lane_mut(priority);
        lane.items += len;
        lane.queue((position, id), len);
    }

    /// An item leaves from wherever it stands. `is_ready` tells of the others whether they do.
    pub(crate) fn remove(
        &mut self,
        priority: u8,
        (position, id): Stand,
        is_ready: impl Fn(Stand) -> bool,
    ) {
        let lane = self.lane_mut(priority);
        lane.items -= 1;
        if lane.back.get(&position) == Some(&id) {
            lane.back.remove(&position);
        }
        lane.tidy(is_ready);
    }

    /// Items have left whose slots say so already: `taken` of them in all, among them everything up to `through`.
    pub(crate) fn take(
        &mut self,
        priority: u8,
        taken: u64,
        through: Option<u64>,
        from_back: &[u64],
        is_ready: impl Fn(Stand) -> bool,
    ) {
        let lane = self.lane_mut(priority);
        lane.items -= taken;
        for position in from_back {
            lane.back.remove(position);
        }
        if let Some(through) = through {
            lane.consume(through);
        }
        lane.tidy(is_ready);
    }

    /// The first item in lease order.
    pub(crate) fn first(&self) -> Option<Stand> {
        let lane = self.lanes.iter().find(|lane| lane.items > 0)?;
        lane.after(None).next()
    }

    /// The first item in lease order with its priority, unless it was put back.
    pub(crate) fn first_queued(&self) -> Option<(u8, Stand)> {
        let lane = self.lanes.iter().find(|lane| lane.items > 0)?;
        let run = lane.fifo.front()?;
        let is_first = match lane.back.first() {
            Some((position, _)) => run.position < *position,
            None => true,
        };
        is_first.then_some((lane.priority, (run.position, run.id)))
    }

    /// The priorities that have items.
    pub(crate) fn priorities(&self) -> impl Iterator<Item = u8> + '_ {
        let lanes = self.lanes.iter().filter(|lane| lane.items > 0);
        lanes.map(|lane| lane.priority)
    }

    /// The pairs of a priority as spans.
    pub(crate) fn spans(&self, priority: u8) -> impl Iterator<Item = Span> + '_ {
        let lane = self.lane(priority);
        lane.into_iter().flat_map(|lane| lane.spans(None))
    }

    /// The pairs of a lane behind those of another priority, or of all.
    pub(crate) fn after_priority(
        &self,
        after: Option<(u8, u64)>,
    ) -> impl Iterator<Item = (u8, Stand)> + '_ {
        let lanes = self.lanes.iter();
        let lanes = lanes.filter(move |lane| after.is_none_or(|(first, _)| lane.priority >= first));
        lanes.flat_map(move |lane| {
            let position = after
                .filter(|(first, _)| *first == lane.priority)
                .map(|(_, position)| position);
            lane.after(position).map(|stand| (lane.priority, stand))
        })
    }

    /// The item at a position, if a pair has it.
    pub(crate) fn at(&self, priority: u8, position: u64) -> [Option<u64>; 2] {
        let Some(lane) = self.lane(priority) else {
            return [None, None];
        };
        let behind = lane.fifo.partition_point(|run| run.position <= position);
        let run = behind.checked_sub(1).map(|index| lane.fifo[index]);
        let queued = run.filter(|run| position < run.end());
        [
            queued.map(|run| run.id + (position - run.position)),
            lane.back.get(&position).copied(),
        ]
    }

    /// The bytes that everything here takes.
    pub(crate) fn bytes(&self) -> u64 {
        let lanes = self.lanes.iter();
        let lanes: u64 = lanes
            .map(|lane| vec_bytes::<Run>(lane.fifo.capacity()) + lane.back.bytes())
            .sum();
        lanes + vec_bytes::<Lane>(self.lanes.capacity())
    }

    /// How many bytes more that many new runs can take at most, up to about 980 of them.
    ///
    /// A lane doubles, so that a run takes two places of 24 bytes at most. What is counted for new lanes, which are 256 at most,
    /// is enough for that many runs; of more, which all start lanes and fill them, this says too little. There the promise to
    /// each item is larger, and that is what is set aside: [`Demand`](crate::demand::Demand) adds two runs for an item at most,
    /// which take 96 of its 128 bytes.
    pub(crate) fn growth_max(&self, runs: u64) -> u64 {
        let lanes = self.lanes.iter().map(|lane| {
            let (len, capacity) = (lane.fifo.len() as u64, lane.fifo.capacity() as u64);
            match len + runs > capacity {
                true => capacity.max(runs + 4) * vec_bytes::<Run>(1),
                false => 0,
            }
        });
        // A run may start a lane, with room for a few more; the list of lanes doubles.
        let new = runs.min(256) * (4 * vec_bytes::<Run>(1) + vec_bytes::<Lane>(1));
        let list = (self.lanes.capacity() as u64 + 4) * vec_bytes::<Lane>(1);
        lanes.sum::<u64>() + new + list
    }

    /// The item that would be leased last.
    pub(crate) fn last(&mut self, is_ready: impl Fn(Stand) -> bool) -> Option<u64> {
        let lane = self.lanes.iter_mut().rev().find(|lane| lane.items > 0)?;
        while let Some(run) = lane.fifo.back_mut() {
            let (position, id) = (run.end() - 1, run.id + run.len - 1);
            if is_ready((position, id)) {
                break;
            }
            run.len -= 1;
            lane.queued -= 1;
            if run.len == 0 {
                lane.fifo.pop_back();
            }
        }
        let queued = lane.fifo.back();
        let queued = queued.map(|run| (run.end() - 1, run.id + run.len - 1));
        let back = lane.back.last().map(|(at, id)| (*at, *id));
        queued.max(back).map(|(_, id)| id)
    }

    /// Gives back what is spare.
    pub(crate) fn trim(&mut self) {
        self.lanes.retain(|lane| lane.items > 0);
        self.lanes.shrink_to_fit();
        for lane in &mut self.lanes {
            lane.fifo.shrink_to_fit();
        }
    }

    fn lane(&self, priority: u8) -> Option<&Lane> {
        let index = self
            .lanes
            .binary_search_by_key(&priority, |lane| lane.priority);
        index.ok().map(|index| &self.lanes[index])
    }

    #[inline]
    fn lane_mut(&mut self, priority: u8) -> &mut Lane {
        let index = self
            .lanes
            .binary_search_by_key(&priority, |lane| lane.priority);
        let index = index.unwrap_or_else(|index| {
            self.make_lane(index, priority);
            index
        });
        &mut self.lanes[index]
    }

    #[cold]
    fn make_lane(&mut self, index: usize, priority: u8) {
        let lane = Lane {
            priority,
            fifo: VecDeque::new(),
            queued: 0,
            back: Sorted::default(),
            items: 0,
        };
        self.lanes.insert(index, lane);
    }
}

impl Lane {
    /// Pairs come behind the last, with consecutive positions and ids.
    fn queue(&mut self, (position, id): Stand, len: u64) {
        self.queued += len;
        match self.fifo.back_mut() {
            Some(run) if run.end() == position && run.id + run.len == id => run.len += len,
            _ => self.fifo.push_back(Run { position, id, len }),
        }
    }

    fn is_in_fifo(&self, (position, id): Stand) -> bool {
        let behind = self.fifo.partition_point(|run| run.position <= position);
        let Some(index) = behind.checked_sub(1) else {
            return false;
        };
        let run = self.fifo[index];
        position < run.end() && run.id + (position - run.position) == id
    }

    /// The pairs behind a position in order of position.
    fn after(&self, position: Option<u64>) -> impl Iterator<Item = Stand> + '_ {
        self.spans(position)
            .flat_map(|span| (0..span.len).map(move |step| (span.position + step, span.id + step)))
    }

    /// The same as spans.
    fn spans(&self, position: Option<u64>) -> impl Iterator<Item = Span> + '_ {
        let from = position.map_or(0, |position| position + 1);
        let index = self.fifo.partition_point(|run| run.end() <= from);
        let run = self.fifo.get(index);
        let skipped = run.map_or(0, |run| from.saturating_sub(run.position));
        Spans {
            fifo: &self.fifo,
            index,
            skipped,
            back: self
                .back
                .range(Bound::Included(from), Bound::Unbounded)
                .peekable(),
        }
    }

    /// Drops the pairs up to a position from the front of the queue.
    fn consume(&mut self, through: u64) {
        while let Some(run) = self.fifo.front_mut() {
            if run.end() <= through + 1 {
                self.queued -= run.len;
                self.fifo.pop_front();
                continue;
            }
            if run.position <= through {
                let gone = through + 1 - run.position;
                self.queued -= gone;
                run.position += gone;
                run.id += gone;
                run.len -= gone;
            }
            return;
        }
    }

    /// Drops the stale pairs at the front; all of them where none is ready, and those between where they prevail.
    fn tidy(&mut self, is_ready: impl Fn(Stand) -> bool) {
        if self.items == 0 {
            self.fifo.clear();
            self.queued = 0;
            self.back.clear();
            if self.fifo.capacity() > 64 {
                self.fifo.shrink_to(8);
            }
            return;
        }
        // Where as many are queued as are ready, none is stale, and no slot need be asked.
        let has_stale = self.queued != self.items || !self.back.is_empty();
        while has_stale && let Some(run) = self.fifo.front() {
            if is_ready((run.position, run.id)) {
                break;
            }
            self.consume(run.position);
        }
        if self.fifo.capacity() > 64 && self.fifo.len() < self.fifo.capacity() / 4 {
            self.fifo.shrink_to(self.fifo.len() * 2);
        }
        if self.fifo.len() as u64 > self.items + self.items / 4 + 64 {
            self.drop_stale(is_ready);
        }
    }

    #[cold]
    fn drop_stale(&mut self, is_ready: impl Fn(Stand) -> bool) {
        let runs = std::mem::take(&mut self.fifo);
        self.queued = 0;
        for run in runs {
            for step in 0..run.len {
                let (position, id) = (run.position + step, run.id + step);
                if !is_ready((position, id)) || self.back.get(&position) == Some(&id) {
                    continue;
                }
                self.queue((position, id), 1);
            }
        }
    }
}

/// Pairs of consecutive positions and consecutive ids; some may be stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) position: u64,
    pub(crate) id: u64,
    pub(crate) len: u64,
    /// Whether it was put back, and is one pair.
    pub(crate) is_back: bool,
}

/// The spans of a lane from some position on.
struct Spans<'a, B: Iterator> {
    fifo: &'a VecDeque<Run>,
    index: usize,
    /// How many pairs of the run at `index` are behind us.
    skipped: u64,
    back: std::iter::Peekable<B>,
}

impl<'a, B: Iterator<Item = (&'a u64, &'a u64)>> Iterator for Spans<'a, B> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        let back = self.back.peek().map(|(position, _)| **position);
        let Some(run) = self.fifo.get(self.index) else {
            return self.next_back_span();
        };
        let position = run.position + self.skipped;
        // Up to the next that was put back; a stale pair of its position comes before it.
        let before_back = match back {
            Some(back) if back < position => return self.next_back_span(),
            Some(back) => (back - position).max(1),
            None => u64::MAX,
        };
        let len = before_back.min(run.len - self.skipped);
        let id = run.id + self.skipped;
        self.skipped += len;
        if self.skipped == run.len {
            self.skipped = 0;
            self.index += 1;
        }
        Some(Span {
            position,
            id,
            len,
            is_back: false,
        })
    }
}

impl<'a, B: Iterator<Item = (&'a u64, &'a u64)>> Spans<'a, B> {
    fn next_back_span(&mut self) -> Option<Span> {
        let (position, id) = self.back.next()?;
        Some(Span {
            position: *position,
            id: *id,
            len: 1,
            is_back: true,
        })
    }
}

#[cfg(test)]
impl Ready {
    /// Fails unless it gives exactly those items, by priority and position, and no lane starts with a stale pair.
    pub(crate) fn assert_is_of(&self, mut stands: Vec<(u8, Stand)>) {
        stands.sort_unstable();
        let is_ready = |priority, stand| stands.binary_search(&(priority, stand)).is_ok();
        let found: Vec<_> = self
            .after_priority(None)
            .filter(|(priority, stand)| is_ready(*priority, *stand))
            .collect();
        assert_eq!(found, stands, "ready order");
        for lane in &self.lanes {
            let items = stands.iter().filter(|(own, _)| *own == lane.priority);
            assert_eq!(lane.items, items.count() as u64, "items of a lane");
            let queued: u64 = lane.fifo.iter().map(|run| run.len).sum();
            assert_eq!(lane.queued, queued, "pairs of a lane");
            if let Some(run) = lane.fifo.front() {
                assert!(
                    is_ready(lane.priority, (run.position, run.id)),
                    "the first pair is stale: {run:?}"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(ready: &Ready) -> Vec<Stand> {
        let lane = ready.lane(100).unwrap();
        lane.after(None).collect()
    }

    #[test]
    fn a_batch_of_any_size_is_one_entry() {
        let mut ready = Ready::default();

        for number in 1..=10_000 {
            ready.insert(100, (number, number + 7));
        }

        assert_eq!(ready.lanes[0].fifo.len(), 1);
        assert_eq!(ready.first(), Some((1, 8)));
    }

    #[test]
    fn what_is_put_back_stands_where_it_stood() {
        let mut ready = Ready::default();
        for number in 1..=5 {
            ready.insert(100, (number, number));
        }
        ready.take(100, 3, Some(3), &[], |_| true);

        ready.insert(100, (2, 2));
        ready.insert(100, (6, 6));

        assert_eq!(order(&ready), [(2, 2), (4, 4), (5, 5), (6, 6)]);
    }

    #[test]
    fn an_item_that_left_the_middle_and_returns_stands_there_once() {
        let mut ready = Ready::default();
        for number in 1..=5 {
            ready.insert(100, (number, number));
        }
        ready.remove(100, (3, 3), |stand| stand != (3, 3));

        ready.insert(100, (3, 3));

        assert_eq!(order(&ready), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
    }

    #[test]
    fn a_lane_whose_items_have_gone_keeps_nothing() {
        let mut ready = Ready::default();
        for number in 1..=5000 {
            ready.insert(7, (2 * number, number));
        }

        for number in (1..=5000).rev() {
            ready.remove(7, (2 * number, number), |(_, id)| id < number);
        }
        ready.trim();

        assert_eq!(ready.bytes(), 0);
        assert_eq!(ready.first(), None);
    }

    #[test]
    fn stale_pairs_do_not_outnumber_those_that_are_ready() {
        let mut ready = Ready::default();
        for number in 1..=5000 {
            ready.insert(7, (2 * number, number));
        }

        for number in 2..=5000 {
            ready.remove(7, (2 * number, number), |(_, id)| id == 1 || id > number);
        }

        assert!(ready.lanes[0].fifo.len() <= 66);
        assert_eq!(ready.first(), Some((2, 1)));
    }

    #[test]
    fn dropping_stale_pairs_joins_none_but_neighbours() {
        // Neither ids nor positions alone make neighbours.
        for (position_step, id_step) in [(1_u64, 2_u64), (2, 1)] {
            let stand = |number: u64| (position_step * number, id_step * number);
            let mut ready = Ready::default();
            for number in 1..=200 {
                ready.insert(100, stand(number));
            }

            for number in (91..=200).rev() {
                ready.remove(100, stand(number), |other| other < stand(number));
            }

            assert!(ready.lanes[0].fifo.len() < 200, "stale pairs were dropped");
            let left: Vec<_> = order(&ready).into_iter().take(90).collect();
            let expected: Vec<_> = (1..=90).map(stand).collect();
            assert_eq!(left, expected);
        }
    }

    #[test]
    fn runs_take_no_more_than_was_said() {
        // No two are neighbours. What many more take is within what every item is promised.
        for there in [0, 1, 3, 4, 5, 60, 64, 1000, 1024] {
            for runs in [1, 2, 5, 64, 900] {
                for lanes in [1, 2, 5] {
                    let mut ready = Ready::default();
                    for number in 0..there {
                        ready.insert(1, (2 * number, number));
                    }
                    let before = ready.bytes();

                    let said = ready.growth_max(runs);
                    for number in there..there + runs {
                        let priority = u8::try_from(1 + number % lanes).unwrap();
                        ready.insert(priority, (2 * number, number));
                    }

                    let grown = ready.bytes() - before;
                    assert!(
                        grown <= said,
                        "{runs} in {lanes} lanes behind {there}: {said} were said, {grown} taken"
                    );
                }
            }
        }
    }

    #[test]
    fn a_queue_that_was_long_gives_memory_back_however_many_leave_together() {
        for left in [1, 10, 100, 1000] {
            let mut ready = Ready::default();
            for number in 1..=5000 {
                ready.insert(7, (2 * number, number));
            }

            let through = 5000 - left;
            ready.take(7, through, Some(2 * through), &[], |_| true);

            let (room, runs) = (ready.lanes[0].fifo.capacity() as u64, left.max(16));
            assert!(room <= 4 * runs, "room for {room} runs, {left} are left");
        }
    }
}
