//! The states of an item.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::numbers::{Holder, LeaseId, Position};
use crate::time::Timestamp;

/// The state of an item, without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Can be leased.
    Ready,
    /// Becomes ready at a later time.
    Scheduled,
    /// Is at work.
    Leased,
    /// Is done with, and kept.
    Dead,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Scheduled, Self::Leased, Self::Dead];

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Scheduled => "scheduled",
            Self::Leased => "leased",
            Self::Dead => "dead",
        })
    }
}

/// A set of states.
///
/// ```
/// use storage_api::{State, States};
///
/// let waiting = States::of([State::Ready, State::Scheduled]);
/// assert!(waiting.contains(State::Ready));
/// assert!(!waiting.contains(State::Dead));
/// assert_eq!(States::ALL.iter().count(), 4);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct States(u8);

impl States {
    /// No state.
    pub const NONE: Self = Self(0);
    /// Every state.
    pub const ALL: Self = Self(15);

    /// The set of those states.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(States::of([State::Ready, State::Dead]).contains(State::Dead));
    /// ```
    pub fn of(states: impl IntoIterator<Item = State>) -> Self {
        Self(states.into_iter().fold(0, |bits, state| bits | state.bit()))
    }

    /// Whether a state is in the set.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(!States::NONE.contains(State::Ready));
    /// ```
    pub fn contains(self, state: State) -> bool {
        self.0 & state.bit() != 0
    }

    /// The states of the set.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(States::ALL.iter().collect::<Vec<_>>(), State::ALL);
    /// ```
    pub fn iter(self) -> impl Iterator<Item = State> {
        State::ALL
            .into_iter()
            .filter(move |state| self.contains(*state))
    }

    pub(crate) fn bits(self) -> u8 {
        self.0
    }
}

impl From<State> for States {
    fn from(state: State) -> Self {
        Self(state.bit())
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Why an item is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadReason {
    /// It was retried as dead (clause RETRY-3).
    Rejected,
    /// Its attempts are used up (clause RETRY-4).
    AttemptsExhausted,
    /// Its `expire_at` passed (clause TIME-1).
    Expired,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Rejected, Self::AttemptsExhausted, Self::Expired];
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rejected => "rejected",
            Self::AttemptsExhausted => "attempts exhausted",
            Self::Expired => "expired",
        })
    }
}

/// The state of an item with what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ItemState {
    /// Can be leased.
    Ready {
        /// Where it stands in the order of its priority.
        position: Position,
    },
    /// Becomes ready at a later time.
    Scheduled {
        /// That time.
        enqueue_at: Timestamp,
    },
    /// Is at work.
    Leased {
        /// The place that a release gives back.
        position: Position,
        /// The lease that is valid.
        lease: LeaseId,
        /// Until when it cannot be taken back.
        deadline: Timestamp,
        /// Who holds it, if that was said.
        holder: Option<Holder>,
    },
    /// Is done with, and kept.
    Dead {
        /// Why.
        reason: DeadReason,
        /// The `now` of its death.
        died_at: Timestamp,
    },
}

impl ItemState {
    /// The state without its details.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(ItemState::Scheduled { enqueue_at: Timestamp::MAX }.state(), State::Scheduled);
    /// ```
    pub fn state(&self) -> State {
        match self {
            Self::Ready { .. } => State::Ready,
            Self::Scheduled { .. } => State::Scheduled,
            Self::Leased { .. } => State::Leased,
            Self::Dead { .. } => State::Dead,
        }
    }

    /// The position, which ready and leased items have.
    ///
    /// ```
    /// # use storage_api::*;
    /// let ready = ItemState::Ready { position: Position::MIN };
    /// assert_eq!(ready.position(), Some(Position::MIN));
    /// ```
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Ready { position } | Self::Leased { position, .. } => Some(*position),
            Self::Scheduled { .. } | Self::Dead { .. } => None,
        }
    }
}
