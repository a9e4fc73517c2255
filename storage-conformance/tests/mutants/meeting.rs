//! Where calls of a mutant meet: what is wrong only where two overlap is wrong in every run, however threads take turns.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::timeout;

/// How long one call waits for another.
const ONCE: Duration = Duration::from_millis(500);

/// How many calls of a mutant wait in vain before they go on without one another.
const IN_VAIN: u32 = 8;

/// How often others come to their turn even then.
const TURNS: u32 = 300;

/// How long who writes second waits for who writes first, and has nothing more to wait for.
const WRITING: Duration = Duration::from_secs(30);

/// Waits for what other calls do, if they do it.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    waits_in_vain: AtomicU32,
}

impl Patience {
    /// Whether that came to be while others were let to their turns.
    pub(crate) async fn until(&self, is_met: impl Fn() -> bool) -> bool {
        for _ in 0..TURNS {
            if is_met() {
                return true;
            }
            yield_now().await;
        }
        if self.waits_in_vain.load(Ordering::Relaxed) >= IN_VAIN {
            return false;
        }
        if wait(ONCE, is_met).await {
            return true;
        }
        self.waits_in_vain.fetch_add(1, Ordering::Relaxed);
        false
    }
}

/// Whether that came to be in time.
async fn wait(at_most: Duration, is_met: impl Fn() -> bool) -> bool {
    let met = async {
        while !is_met() {
            yield_now().await;
        }
    };
    timeout(at_most, met).await.is_ok()
}

/// Calls that read, meet another that has read as well, and write one after the other.
#[derive(Debug, Default)]
pub(crate) struct Meeting {
    waiting: Mutex<Option<Arc<Pair>>>,
    pairs: AtomicU64,
    patience: Patience,
}

/// Two calls that met, or one that waits for another.
#[derive(Debug, Default)]
struct Pair {
    is_whole: AtomicBool,
    /// Of two, who came second writes first in every other pair: each is overwritten by each.
    second_writes_first: AtomicBool,
    has_written: AtomicBool,
}

/// The turn to write. It is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    meeting: &'a Meeting,
    pair: Arc<Pair>,
}

impl Meeting {
    /// To be called between reading and writing: another has read by then, and one of both has written, if another came.
    pub(crate) async fn after_reading(&self) -> Turn<'_> {
        let (turn, came_first) = self.arrive();
        if came_first {
            let is_whole = || turn.pair.is_whole.load(Ordering::Acquire);
            if !self.patience.until(is_whole).await && self.leaves_alone(&turn.pair) {
                return turn;
            }
        }
        if came_first == turn.pair.second_writes_first.load(Ordering::Acquire) {
            wait(WRITING, || turn.pair.has_written.load(Ordering::Acquire)).await;
        }
        turn
    }

    /// A seat, and whether its pair still waits for a second.
    fn arrive(&self) -> (Turn<'_>, bool) {
        let mut waiting = self.waiting();
        let (pair, came_first) = match waiting.take() {
            None => (waiting.insert(Arc::default()).clone(), true),
            Some(pair) => {
                let is_even = self.pairs.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
                pair.second_writes_first.store(is_even, Ordering::Release);
                pair.is_whole.store(true, Ordering::Release);
                (pair, false)
            }
        };
        let meeting = self;
        (Turn { meeting, pair }, came_first)
    }

    /// Whether nobody has come; nobody will, then.
    fn leaves_alone(&self, pair: &Arc<Pair>) -> bool {
        let mut waiting = self.waiting();
        waiting.take_if(|one| Arc::ptr_eq(one, pair)).is_some()
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Arc<Pair>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.meeting.leaves_alone(&self.pair);
        self.pair.has_written.store(true, Ordering::Release);
    }
}
