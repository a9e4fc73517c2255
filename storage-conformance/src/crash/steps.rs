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

    /// Whether the operation may be less durable than the others (clause DUR-1), or was refused, which promises nothing.
    pub(super) fn is_weak(&self) -> bool {
        let operation = self.answer.split([':', ' ']).next();
        let is_refused = self.answer.contains(": refused");
        is_refused || matches!(operation, Some("lease" | "maintain" | "purge"))
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
