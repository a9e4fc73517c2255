//! Steps: operations that follow from their number and from what is there, so that two processes and a model do the same.

use serde::{Deserialize, Serialize};
use storage_api::{Result, StorageBackend};

use super::{random, script};
use crate::model::action::Action;
use crate::model::generate;

/// What the child does in its lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Steps {
    /// The fixed ones, in one lane.
    Script,
    /// Those of the model runs, from that seed. No two lanes touch the same partition, namespace or entry.
    Random {
        /// The seed.
        seed: u64,
    },
}

/// What a step was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    /// The operation and its answer, without the numbers in it: the same for the driver and for the model.
    pub(super) answer: String,
    /// Numbers that were shown for the first time, each with what it counts.
    pub(super) shown: Vec<String>,
}

impl Done {
    pub(super) fn new(answer: impl Into<String>, shown: Vec<String>) -> Self {
        Self {
            answer: answer.into(),
            shown,
        }
    }

    /// Whether a loss of power must leave what was before it: it was not refused, it did or saw something, and the operation
    /// is not one of those that may be less durable than the others (clause DUR-1).
    pub(super) fn binds(&self) -> bool {
        let (operation, answer) = match self.answer.split_once(": ") {
            Some((operation, answer)) => (operation, Some(answer)),
            None => (self.answer.as_str(), None),
        };
        let is_weak = matches!(operation, "lease" | "maintain" | "purge");
        // Empty lists are answered without a look at anything.
        let is_idle = matches!(answer, Some("" | "[]" | "nothing"));
        let is_refused = answer.is_some_and(|answer| answer.starts_with("refused, "));
        !(is_weak || is_idle || is_refused || operation == "nothing")
    }
}

/// Actions are generated in stretches of that many.
const STRETCH: usize = 100;

/// The steps of one lane.
#[derive(Debug)]
pub(super) struct Lane {
    steps: Steps,
    lane: usize,
    /// The stretch that was generated last, and its number.
    stretch: Option<(u64, Vec<Action>)>,
}

impl Lane {
    pub(super) fn new(steps: Steps, lane: usize) -> Self {
        Self {
            steps,
            lane,
            stretch: None,
        }
    }

    /// Does the step of that number.
    pub(super) async fn step(&mut self, backend: &dyn StorageBackend, number: u64) -> Result<Done> {
        match self.steps {
            Steps::Script => script::step(backend, number).await,
            Steps::Random { seed } => {
                let action = self.action(seed, number);
                random::step(backend, self.lane, number, &action).await
            }
        }
    }

    /// Whether the step of that number maintains.
    pub(super) fn maintains(&mut self, number: u64) -> bool {
        match self.steps {
            Steps::Script => false,
            Steps::Random { seed } => {
                matches!(self.action(seed, number), Action::Maintain { .. })
            }
        }
    }

    /// The action of that number: of each stretch, those that change something, over and over.
    fn action(&mut self, seed: u64, number: u64) -> Action {
        let stretch = number / STRETCH as u64;
        if self.stretch.as_ref().map(|(made, _)| *made) != Some(stretch) {
            let mut text = Vec::new();
            for part in [seed, self.lane as u64, stretch] {
                text.extend_from_slice(&part.to_le_bytes());
            }
            let own_seed = seed ^ (u64::from(crc32c::crc32c(&text)) << 32);
            let mut actions = generate::actions(own_seed, STRETCH);
            actions.retain(|action| random::is_change(action, self.lane));
            self.stretch = Some((stretch, actions));
        }
        let (_, actions) = self.stretch.as_ref().expect("it was just made");
        let index = usize::try_from(number).unwrap_or(usize::MAX) % STRETCH;
        actions[index % actions.len()].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_or_empty_or_may_be_weaker_does_not_bind() {
        let binds = |answer: &str| Done::new(answer, Vec::new()).binds();

        for binding in [
            "produce: stored",
            "complete: [LeaseLost]",
            "commit: committed []",
            "retry",
        ] {
            assert!(binds(binding), "{binding}");
        }
        for loose in [
            "produce: ",
            "retry: []",
            "commit: nothing",
            "lease: 2 items",
            "clear: refused, closed",
            "nothing",
        ] {
            assert!(!binds(loose), "{loose}");
        }
    }
}
