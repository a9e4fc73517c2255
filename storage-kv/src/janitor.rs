//! Chores that nobody waits for: the rows of deleted partitions, and space that can be given back.

use std::ops::ControlFlow;
use std::time::Duration;

use storage_api::Direction;

use crate::engine::{KvResult, OrderedKv, Span};
use crate::kernel::Kernel;
use crate::keys;
use crate::keyspace::Keyspace;
use crate::store::Rows;
use crate::sync::{Condvar, Mutex};

/// How many rows are removed in one batch, where removing many costs more than removing few.
const CHUNK_ROWS: usize = 1024;
/// How often the engine is asked to give space back, if anything was written; and how long nothing was, if it is idle.
const REST: Duration = Duration::from_secs(5);

/// Wakes the thread that does the chores.
#[derive(Debug, Default)]
pub(crate) struct Janitor {
    state: Mutex<State>,
    wanted: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_wanted: bool,
    is_ending: bool,
}

impl Janitor {
    /// There is garbage.
    pub(crate) fn call(&self) {
        self.state.lock().is_wanted = true;
        self.wanted.notify_one();
    }

    /// Ends the thread after the chunk that it is at.
    pub(crate) fn end(&self) {
        self.state.lock().is_ending = true;
        self.wanted.notify_one();
    }

    fn is_ending(&self) -> bool {
        self.state.lock().is_ending
    }
}

/// When the engine is asked to give space back.
#[derive(Debug)]
struct Rests {
    /// The batch that was the last when it was looked at last.
    seen: u64,
    /// The batch up to which space was given back; `None`: whatever an earlier opening left behind was not.
    reclaimed: Option<u64>,
    /// How many rests pass before it is asked again while nothing is written.
    pause: u64,
    /// How long the next such pause is.
    pause_next: u64,
}

impl Rests {
    /// Nothing was asked yet, and that batch was the last.
    fn since(written: u64) -> Self {
        Self {
            seen: written,
            reclaimed: None,
            pause: 0,
            pause_next: 0,
        }
    }

    /// After a rest: whether the engine is asked, and then whether nothing was written since the rest before.
    fn ask(&mut self, written: u64) -> Option<bool> {
        if written != self.seen {
            *self = Self {
                reclaimed: self.reclaimed,
                ..Self::since(written)
            };
            return Some(false);
        }
        if self.reclaimed == Some(written) {
            return None;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        Some(true)
    }

    /// The engine has given back what it could, while nothing was written.
    fn done(&mut self) {
        self.reclaimed = Some(self.seen);
    }

    /// The engine was asked while nothing was written, and some is left. A disk that is full today may have room tomorrow, so
    /// that it is never given up; but each time the pause is twice as long, so that what never works costs next to nothing.
    fn in_vain(&mut self) {
        self.pause = self.pause_next;
        self.pause_next = self.pause_next.saturating_mul(2).saturating_add(1);
    }
}

impl<E: OrderedKv> Kernel<E> {
    /// The life of the thread that does the chores. An engine that fails tells those who call it; here it is tried again.
    pub(crate) fn run_chores(&self) {
        let mut rests = Rests::since(self.store.last_written());
        loop {
            let is_rested = {
                let mut state = self.janitor.state.lock();
                let mut is_rested = false;
                while !state.is_wanted && !state.is_ending && !is_rested {
                    is_rested = self.janitor.wanted.wait_for(&mut state, REST).timed_out();
                }
                if state.is_ending {
                    return;
                }
                state.is_wanted = false;
                is_rested
            };
            // What could not be collected is collected by the next opening.
            let _ = self.collect_garbage();
            if is_rested && let Some(is_idle) = rests.ask(self.store.last_written()) {
                // While something is written it is asked again anyhow.
                match (self.store.reclaim(is_idle), is_idle) {
                    (_, false) => {}
                    (Ok(false), true) => rests.done(),
                    (Ok(true) | Err(_), true) => rests.in_vain(),
                }
            }
        }
    }

    /// Removes the rows of partitions that were deleted; the answer is how many batches that took (clause PART-4).
    pub(crate) fn collect_garbage(&self) -> KvResult<usize> {
        let mut batches = 0;
        for number in self
            .store
            .keys(Keyspace::Garbage, Span::all(), usize::MAX)?
        {
            let Ok(prefix) = <[u8; 4]>::try_from(number.as_slice()) else {
                continue;
            };
            for space in Keyspace::OF_PARTITIONS {
                batches += self.collect_space(space, prefix)?;
                if self.janitor.is_ending() {
                    return Ok(batches);
                }
            }
            let mut rows = Rows::default();
            rows.delete(Keyspace::Garbage, &number);
            self.store.write(rows)?;
            batches += 1;
        }
        Ok(batches)
    }

    fn collect_space(&self, space: Keyspace, prefix: [u8; 4]) -> KvResult<usize> {
        let Some(end) = keys::behind(&prefix) else {
            return Ok(0);
        };
        let has_cheap_range_deletes = self.store.engine().traits().has_cheap_range_deletes;
        let mut from = prefix.to_vec();
        let mut batches = 0;
        while !self.janitor.is_ending() {
            let found = self.store.keys(space, Span::new(&from, &end), CHUNK_ROWS)?;
            let Some(last) = found.last() else {
                break;
            };
            let to = match has_cheap_range_deletes {
                true => end.clone(),
                // The smallest key behind the last.
                false => [last.as_slice(), &[0]].concat(),
            };
            let mut rows = Rows::default();
            rows.delete_range(space, &from, &to);
            self.store.write(rows)?;
            self.store.relieve()?;
            batches += 1;
            from = to;
        }
        Ok(batches)
    }
}

impl<E: OrderedKv> crate::store::Store<E> {
    /// Whether there is no row of anything.
    pub(crate) fn is_empty(&self) -> KvResult<bool> {
        for space in Keyspace::ALL {
            if !self.keys(space, Span::all(), 1)?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Up to so many keys of a span. Their values are not looked at: what is removed may be damaged.
    pub(crate) fn keys(
        &self,
        space: Keyspace,
        span: Span<'_>,
        keys_max: usize,
    ) -> KvResult<Vec<Vec<u8>>> {
        let mut keys = Vec::new();
        if span.is_empty() {
            return Ok(keys);
        }
        self.guarded(|engine| {
            engine.scan(space, span, Direction::Forward, &mut |key, _| {
                keys.push(key.to_vec());
                match keys.len() == keys_max {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            })
        })?;
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_asked_until_it_has_given_back_while_nothing_was_written() {
        // What an earlier opening left behind counts, though nothing was written since.
        let mut rests = Rests::since(1);
        assert_eq!(rests.ask(1), Some(true));
        rests.done();
        assert_eq!(rests.ask(1), None);

        assert_eq!(rests.ask(5), Some(false));
        assert_eq!(rests.ask(9), Some(false));
        assert_eq!(rests.ask(9), Some(true));
        rests.in_vain();
        assert_eq!(rests.ask(9), Some(true));
        rests.done();
        assert_eq!(rests.ask(9), None);
    }

    #[test]
    fn an_engine_that_gives_nothing_back_is_asked_less_and_less_until_something_is_written() {
        let mut rests = Rests::since(1);
        let asked = |rests: &mut Rests, written: u64| {
            let mut asked = Vec::new();
            for rest in 0..100 {
                if rests.ask(written) == Some(true) {
                    asked.push(rest);
                    rests.in_vain();
                }
            }
            asked
        };

        assert_eq!(asked(&mut rests, 1), [0, 1, 3, 7, 15, 31, 63]);
        // The first rest after something was written finds nobody idle.
        assert_eq!(asked(&mut rests, 2), [1, 2, 4, 8, 16, 32, 64]);
    }
}
