//! Shrinking: the fewest actions that still make driver and model differ.

use super::Failure;
use super::action::Action;

/// How often a shorter sequence is tried at most.
const ATTEMPTS_MAX: usize = 2000;

/// Something that actions can be done on again and again, each time from the beginning.
pub(super) trait Attempts: Sync {
    /// Does the actions on a fresh place.
    fn attempt(&self, actions: &[Action]) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A shorter sequence that fails, with its failure; `None` where the failure does not come again.
pub(super) async fn shrink<A: Attempts>(
    on: &A,
    actions: &[Action],
) -> Option<(Vec<Action>, Failure)> {
    let failure = on.attempt(actions).await.err()?;
    let mut best = Best {
        on,
        actions: actions[..failure.actions].to_vec(),
        failure,
        attempts: 0,
    };
    // Whole stretches first. An entry that goes may make an action superfluous, so both are done until nothing goes.
    let mut stretch = best.actions.len().div_ceil(2);
    while stretch > 1 {
        best.remove_stretches(stretch).await;
        stretch = stretch.div_ceil(2);
    }
    while best.remove_stretches(1).await || best.thin().await {}
    Some((best.actions, best.failure))
}

/// The shortest failing sequence so far.
struct Best<'a, A> {
    on: &'a A,
    actions: Vec<Action>,
    failure: Failure,
    attempts: usize,
}

impl<A: Attempts> Best<'_, A> {
    /// Leaves that many actions away, wherever it still fails without; whether any went.
    async fn remove_stretches(&mut self, stretch: usize) -> bool {
        let mut has_shrunk = false;
        let mut start = 0;
        while start < self.actions.len() {
            let end = (start + stretch).min(self.actions.len());
            let shorter = [&self.actions[..start], &self.actions[end..]].concat();
            if self.take_if_failing(shorter).await {
                has_shrunk = true;
            } else {
                start = end;
            }
        }
        has_shrunk
    }

    /// Leaves entries of the actions' lists away, wherever it still fails without; whether any went.
    async fn thin(&mut self) -> bool {
        let mut has_shrunk = false;
        let mut index = 0;
        'actions: while index < self.actions.len() {
            for thinner in self.actions[index].thinner() {
                let mut changed = self.actions.clone();
                changed[index] = thinner;
                if self.take_if_failing(changed).await {
                    has_shrunk = true;
                    continue 'actions;
                }
            }
            index += 1;
        }
        has_shrunk
    }

    /// Takes the sequence, cut behind where it fails, if it fails.
    async fn take_if_failing(&mut self, actions: Vec<Action>) -> bool {
        if self.attempts == ATTEMPTS_MAX {
            return false;
        }
        self.attempts += 1;
        let Err(failure) = self.on.attempt(&actions).await else {
            return false;
        };
        self.actions = actions[..failure.actions].to_vec();
        self.failure = failure;
        true
    }
}
