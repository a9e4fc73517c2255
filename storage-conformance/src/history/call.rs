//! A history: calls of several tasks, each with the ticks of its beginning and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use storage_api::{
    Error, ErrorKind, ItemEntry, Outcome, PartitionId, Produced, Result, Step, Version,
};

use super::request::{Answer, Request};

/// A point in time: a later one is larger, and no two events have the same.
pub(crate) type Tick = u64;

/// Gives out ticks.
#[derive(Debug, Default)]
pub(crate) struct Ticks(AtomicU64);

impl Ticks {
    pub(crate) fn next(&self) -> Tick {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// One call of one task.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The task.
    pub(crate) lane: usize,
    pub(crate) request: Request,
    pub(crate) called: Tick,
    /// Whether a shortcut gave its answer, which must be that of the call all the same.
    pub(crate) is_short: bool,
    pub(crate) ending: Ending,
}

/// How a call ended.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    Answered(Tick, Box<Answer>),
    /// It says that it changed nothing.
    Refused(Tick, Arc<Error>),
    /// It says that it changed nothing, for a reason outside of what is stored: anything may be refused so at any time.
    Failed(Tick, Arc<Error>),
    /// It says that nobody knows: it may have applied, or may apply at any later time, or never.
    Unknown(Tick, Arc<Error>),
    /// Its future was dropped: it applied or not before any later call on the same partition began (clause ATOM-2).
    Dropped(Tick),
    /// It never ended. As unknown.
    Never,
}

impl Call {
    /// When it was over; `None` where it may still be under way.
    pub(crate) fn over(&self) -> Option<Tick> {
        match self.ending {
            Ending::Answered(at, _)
            | Ending::Refused(at, _)
            | Ending::Failed(at, _)
            | Ending::Dropped(at) => Some(at),
            Ending::Unknown(..) | Ending::Never => None,
        }
    }

    /// When its task went on; `None` where it never did.
    pub(crate) fn ended(&self) -> Option<Tick> {
        match self.ending {
            Ending::Unknown(at, _) => Some(at),
            _ => self.over(),
        }
    }

    /// Whether it has an answer or a refusal, which an order must explain.
    pub(crate) fn is_answered(&self) -> bool {
        use Ending::{Answered, Failed, Refused};
        matches!(self.ending, Answered(..) | Refused(..) | Failed(..))
    }

    /// Whether neither was over when the other began.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let is_before =
            |one: &Self, other: &Self| one.over().is_some_and(|over| over < other.called);
        !is_before(self, other) && !is_before(other, self)
    }

    pub(crate) fn answer(&self) -> Option<&Answer> {
        match &self.ending {
            Ending::Answered(_, answer) => Some(answer),
            _ => None,
        }
    }

    /// Every item that its answer shows.
    pub(crate) fn shown(&self) -> Vec<&ItemEntry> {
        match self.answer() {
            Some(Answer::Leased(items)) => items.iter().collect(),
            Some(Answer::Found(items)) => items.iter().flatten().collect(),
            Some(Answer::Items(page)) => page.items.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// What its answer says of batches that it produced.
    pub(crate) fn produced(&self) -> Vec<(&PartitionId, &Produced)> {
        match (&self.request, self.answer()) {
            (Request::Produce(id, _), Some(Answer::Produced(produced))) => vec![(id, produced)],
            (
                Request::Commit(request),
                Some(Answer::Commit(storage_api::CommitOutcome::Committed(committed))),
            ) => {
                let into = request.steps().iter().filter_map(|step| match step {
                    Step::Produce { partition, .. } => Some(partition),
                    _ => None,
                });
                into.zip(&committed.produced).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The version that its answer gives, where it gives one that nobody was given before.
    pub(crate) fn version_given(&self) -> Option<Version> {
        match (&self.request, self.answer()?) {
            (Request::CreatePartition(..), Answer::Partition(info)) => Some(info.created),
            (_, Answer::Updated(storage_api::UpdateOutcome::Updated(version))) => Some(*version),
            (_, Answer::Commit(storage_api::CommitOutcome::Committed(committed))) => {
                committed.version
            }
            _ => None,
        }
    }
}

impl Ending {
    /// The ending of a call that came back at that tick.
    pub(crate) fn of(at: Tick, result: Result<Answer>) -> Self {
        match result {
            Ok(answer) => Self::Answered(at, Box::new(answer)),
            Err(error) if error.outcome() == Outcome::NotApplied => {
                Self::Refused(at, Arc::new(error))
            }
            Err(error) => Self::Unknown(at, Arc::new(error)),
        }
    }

    /// The same, where a backend may fail at any time: what is `Unavailable` and did not apply may have been refused so.
    pub(crate) fn or_failed(self) -> Self {
        match self {
            Self::Refused(at, error) if error.kind() == ErrorKind::Unavailable => {
                Self::Failed(at, error)
            }
            other => other,
        }
    }
}
