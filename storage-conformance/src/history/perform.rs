//! Making a history: the tasks of a seed on a fresh backend, at once on several threads or by turns on one.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use storage_api::StorageBackend;

use super::call::{Call, Ending, Ticks};
use super::choose::{Chooser, Known, Subject};
use super::request::Request;
use super::ways::Ways;

/// How a history is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) subject: Subject,
    /// Whether the tasks run on the threads of the runtime; else they take turns that the seed chooses.
    pub(crate) is_on_threads: bool,
    /// Whether futures are dropped now and then.
    pub(crate) has_drops: bool,
    /// Whether calls fail now and then for a reason that lies outside of the backend: see [`Ending::Failed`].
    pub(crate) has_faults: bool,
}

impl Manner {
    /// Every manner of making a history in which calls fail.
    pub(crate) fn all_with_faults() -> impl Iterator<Item = Self> {
        let ways = [(false, false), (false, true), (true, false), (true, true)];
        Subject::ALL.into_iter().flat_map(move |subject| {
            ways.map(|(is_on_threads, has_drops)| Self {
                subject,
                is_on_threads,
                has_drops,
                has_faults: true,
            })
        })
    }

    /// Where such a history is made.
    pub(crate) fn runtime(&self) -> std::io::Result<tokio::runtime::Runtime> {
        let mut builder = if self.is_on_threads {
            tokio::runtime::Builder::new_multi_thread()
        } else {
            tokio::runtime::Builder::new_current_thread()
        };
        builder.worker_threads(4).enable_all().build()
    }
}

impl std::fmt::Display for Manner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let runs = if self.is_on_threads {
            "on-threads"
        } else {
            "by-turns"
        };
        let drops = if self.has_drops { "-with-drops" } else { "" };
        let faults = if self.has_faults { "-with-faults" } else { "" };
        write!(f, "{:?}-{runs}{drops}{faults}", self.subject)
    }
}

/// The task that made the stage, and looked at the end.
pub(crate) const STAGE: usize = 0;
/// Tasks at once, and calls of each.
const LANES: std::ops::RangeInclusive<usize> = 2..=4;
const CALLS: std::ops::RangeInclusive<u32> = 4..=10;

/// What a task works with.
struct Lane {
    number: usize,
    backend: Arc<dyn StorageBackend>,
    ticks: Arc<Ticks>,
    chooser: Chooser,
    ways: Ways,
    manner: Manner,
    calls: Vec<Call>,
}

/// Makes the history of a seed: the stage, the tasks, and a look at everything.
pub(crate) async fn perform(
    backend: Arc<dyn StorageBackend>,
    seed: u64,
    manner: Manner,
) -> Vec<Call> {
    let known = Arc::<Mutex<Known>>::default();
    let ticks = Arc::<Ticks>::default();
    let lane = |number| Lane {
        number,
        backend: backend.clone(),
        ticks: ticks.clone(),
        chooser: Chooser::new(seed, manner.subject, number, known.clone()),
        ways: Ways::new(seed, number),
        manner,
        calls: Vec::new(),
    };
    let mut stage = lane(STAGE);
    for request in stage.chooser.stage() {
        stage.call(request).await;
    }
    let spread = u32::try_from(LANES.end() - LANES.start()).expect("few tasks") + 1;
    let lanes = LANES.start() + stage.chooser.below(spread) as usize;
    let tasks = (1..=lanes).map(lane);
    let mut calls: Vec<Call> = if manner.is_on_threads {
        at_once(tasks.map(Lane::run).collect()).await
    } else {
        let turns = Chooser::new(seed, manner.subject, lanes + 1, known.clone());
        by_turns(tasks.map(Lane::run).collect(), turns).await
    };
    for request in stage.chooser.looks() {
        stage.call(request).await;
    }
    calls.append(&mut stage.calls);
    calls.sort_by_key(|call| call.called);
    calls
}

impl Lane {
    async fn run(mut self) -> Vec<Call> {
        let calls = CALLS.start() + self.chooser.below(CALLS.end() - CALLS.start() + 1);
        for _ in 0..calls {
            let request = self.chooser.next();
            let drops_after = if self.manner.has_drops {
                self.chooser.drops_after()
            } else {
                None
            };
            self.pause().await;
            match drops_after {
                Some(polls) => self.call_and_drop(request, polls).await,
                None => self.call(request).await,
            }
        }
        self.calls
    }

    /// Lets others go first, now and then.
    async fn pause(&mut self) {
        for _ in 0..self.chooser.below(3) {
            turn().await;
        }
    }

    async fn call(&mut self, request: Request) {
        let called = self.ticks.next();
        // Also between the call and its beginning, and between its end and its return, others may come.
        let is_staged = self.number == STAGE;
        if !is_staged {
            self.pause().await;
        }
        let (answer, is_short) = self.ways.send(&request, &*self.backend).await;
        if !is_staged {
            self.pause().await;
        }
        self.keep(request, called, is_short, |at| Ending::of(at, answer));
    }

    /// Polls a call that often and drops it, unless it has answered by then.
    async fn call_and_drop(&mut self, request: Request, polls: usize) {
        let called = self.ticks.next();
        let answer = {
            // Even one that answers at its first poll can be dropped before and after that.
            let mut call = pin!(async {
                turn().await;
                let answer = self.ways.send(&request, &*self.backend).await;
                turn().await;
                answer
            });
            let mut answer = None;
            for _ in 0..polls {
                answer = poll_fn(|context| match call.as_mut().poll(context) {
                    Poll::Ready(answer) => Poll::Ready(Some(answer)),
                    Poll::Pending => Poll::Ready(None),
                })
                .await;
                if answer.is_some() {
                    break;
                }
                turn().await;
            }
            answer
        };
        let is_short = answer.as_ref().is_some_and(|(_, is_short)| *is_short);
        self.keep(request, called, is_short, |at| match answer {
            Some((answer, _)) => Ending::of(at, answer),
            None => Ending::Dropped(at),
        });
    }

    fn keep(
        &mut self,
        request: Request,
        called: u64,
        is_short: bool,
        ending: impl FnOnce(u64) -> Ending,
    ) {
        let mut ending = ending(self.ticks.next());
        if self.manner.has_faults {
            ending = ending.or_failed();
        }
        let call = Call {
            lane: self.number,
            request,
            called,
            is_short,
            ending,
        };
        self.chooser.learn(&call);
        self.calls.push(call);
    }
}

/// Gives the turn away once.
async fn turn() {
    tokio::task::yield_now().await;
}

/// Runs the tasks on the threads of the runtime.
async fn at_once<F>(tasks: Vec<F>) -> Vec<Call>
where
    F: Future<Output = Vec<Call>> + Send + 'static,
{
    let barrier = Arc::new(tokio::sync::Barrier::new(tasks.len()));
    let running: Vec<_> = tasks
        .into_iter()
        .map(|task| {
            let barrier = barrier.clone();
            tokio::spawn(async move {
                barrier.wait().await;
                task.await
            })
        })
        .collect();
    let mut calls = Vec::new();
    for task in running {
        match task.await {
            Ok(more) => calls.extend(more),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => std::panic::resume_unwind(payload),
                Err(error) => panic!("a task was cancelled: {error}"),
            },
        }
    }
    calls
}

/// Polls one task at a time, whichever the seed says.
async fn by_turns<F>(tasks: Vec<F>, mut turns: Chooser) -> Vec<Call>
where
    F: Future<Output = Vec<Call>> + Send,
{
    let mut tasks: Vec<Pin<Box<F>>> = tasks.into_iter().map(Box::pin).collect();
    let mut calls = Vec::new();
    poll_fn(|context| {
        let left = u32::try_from(tasks.len()).expect("few tasks");
        if left == 0 {
            return Poll::Ready(());
        }
        let one = turns.below(left) as usize;
        if let Poll::Ready(more) = tasks[one].as_mut().poll(context) {
            calls.extend(more);
            drop(tasks.swap_remove(one));
        }
        // Each turn is one poll of this, so that the engine's own tasks get theirs in between.
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    calls
}
