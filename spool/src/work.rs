//! What is done with one item.

use std::sync::{Mutex, PoisonError};

use serde::de::IgnoredAny;
use storage_queue::{Delivery, Handler, Outcome, Queue};
use tokio::sync::watch;

use crate::cli::ShownId;
use crate::command::{Ended, Env, Exec};
use crate::group::Groups;

/// The two things that spool does with lines.
#[derive(Debug)]
pub enum Work {
    /// Looks whether a line is JSON.
    Look,
    /// Runs a command.
    Run(Exec),
}

/// The handler of the worker.
#[derive(Debug)]
pub struct Hands {
    work: Work,
    queue: Queue,
    groups: Groups,
    stop: watch::Sender<bool>,
    broken: Mutex<Option<String>>,
}

impl Hands {
    /// Does that work on the items of the queue, and stops everything where it cannot go on.
    pub fn new(work: Work, queue: Queue, groups: Groups, stop: watch::Sender<bool>) -> Self {
        Self {
            work,
            queue,
            groups,
            stop,
            broken: Mutex::new(None),
        }
    }

    /// Why the work could not go on.
    pub fn broken(&self) -> Option<String> {
        self.broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How often the shell did not find the command.
    pub fn not_found(&self) -> u64 {
        match &self.work {
            Work::Look => 0,
            Work::Run(exec) => exec.not_found(),
        }
    }

    async fn run(&self, exec: &Exec, delivery: &Delivery) -> Outcome {
        let id = ShownId {
            partition: delivery.partition(),
            item: delivery.id(),
        };
        let env = Env {
            id: id.to_string(),
            attempt: delivery.attempts(),
            deadline: self.queue.metadata().now().saturating_add(exec.timeout()),
        };
        match exec.run(delivery.payload(), &env).await {
            Ended::Done => Outcome::Complete,
            // Killed since the run is over: that was no attempt.
            Ended::Failed(_) if self.groups.is_killing() => self.give_back(delivery).await,
            Ended::Failed(note) => Outcome::retry(note),
            Ended::OutputClosed(error) => {
                let broken = format!("the output of the commands cannot be written: {error}");
                *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(broken);
                self.stop.send_replace(true);
                self.give_back(delivery).await
            }
        }
    }

    async fn give_back(&self, delivery: &Delivery) -> Outcome {
        match self.queue.release([delivery]).await {
            Ok(_) => Outcome::Settled,
            Err(error) => Outcome::retry(error.to_string()),
        }
    }
}

/// A handler that others look at while the worker has it.
#[derive(Debug, Clone)]
pub struct SharedHands(pub std::sync::Arc<Hands>);

impl Handler for SharedHands {
    async fn handle(&self, delivery: Delivery) -> Outcome {
        match &self.0.work {
            Work::Look => look(delivery.payload()),
            Work::Run(exec) => self.0.run(exec, &delivery).await,
        }
    }
}

fn look(line: &[u8]) -> Outcome {
    let looked = std::str::from_utf8(line).map_err(|error| error.to_string());
    let looked = looked.and_then(|text| {
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string())
    });
    match looked {
        Ok(IgnoredAny) => Outcome::Complete,
        Err(error) => Outcome::retry(format!("not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_is_done_and_anything_else_tried_again() {
        for line in ["{}", " [1, \"é\"] ", "null", "1e999", "\"\\ud800\""] {
            assert_eq!(look(line.as_bytes()), Outcome::Complete, "{line}");
        }
        for line in [&b""[..], b" ", b"{", b"{} {}", b"nul", b"\"\xff\"", b"'a'"] {
            assert!(
                matches!(look(line), Outcome::Retry { .. }),
                "{}",
                line.escape_ascii()
            );
        }
    }
}
