//! One case on one driver, for those who prove the suite itself: does it find what is wrong?

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::case::Case;
use crate::cases;
use crate::crash;
use crate::harness::Harness;
use crate::run::{self, Found};

/// How much is tried before a case is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// How many sequences all model runs together do; `None` is as the environment says.
    pub model_runs: Option<u64>,
    /// How many histories each case about them makes, of the seeds from 0; `None` is as the environment says.
    pub history_runs: Option<u64>,
    /// Whether a sequence that fails is shrunk, and left as a candidate for the corpus.
    pub is_shrunk: bool,
    /// How long a case may stand still before it counts as hanging.
    pub patience: Duration,
    /// How long a case waits for a signal that must fire. It only ends a case that has failed already.
    pub signal_patience: Duration,
}

impl Default for Effort {
    /// What a driver is given.
    fn default() -> Self {
        Self {
            model_runs: None,
            history_runs: None,
            is_shrunk: true,
            patience: run::PATIENCE,
            signal_patience: run::SIGNAL_PATIENCE,
        }
    }
}

/// What stands for the name of a case where there is none.
const NEVER_SYNCED: &str = "what_was_never_synced";

/// What a case found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The driver keeps what the case asks.
    Kept,
    /// The case is about something else.
    Inapplicable(String),
    /// An assertion does not hold: why.
    Broken(String),
    /// Nothing went on any more: where.
    Hung(String),
}

/// Runs a case on a driver. No record of it is left.
///
/// Panics where the suite has no such case.
pub fn run_case(harness: &Arc<dyn Harness>, id: &str, effort: Effort) -> Proof {
    let case = cases::find(id).unwrap_or_else(|| panic!("{id:?} is no case of this suite"));
    if let Some(reason) = case.inapplicable(&harness.claims()) {
        return Proof::Inapplicable(reason);
    }
    run::keep_panics_of_cases_for_the_record();
    proof_of(run::attempt(harness, &case, effort))
}

fn proof_of(found: Found) -> Proof {
    match found {
        Found::Kept => Proof::Kept,
        Found::Inapplicable(reason) => Proof::Inapplicable(reason),
        Found::Broken { reason, .. } => Proof::Broken(reason),
        Found::Hung { reason, .. } => Proof::Hung(reason),
    }
}

/// Loses the power under a driver that neither promises to survive that nor can sync. It may lose what it likes; what it shows
/// is the state behind some step that was done, or it says `Corrupted`. No case of the suite asks that.
pub fn lose_what_was_never_synced(harness: &Arc<dyn Harness>, effort: Effort) -> Proof {
    let own = Case::new(NEVER_SYNCED, &["DUR-1"], |env| {
        Box::pin(crash::lose_what_was_never_synced(env))
    });
    proof_of(run::attempt(harness, &own.long(), effort))
}

/// The whole life of a process that a case started on such a harness; `None` where this process is none.
pub fn run_as_child(harness: &dyn Harness) -> Option<ExitCode> {
    crash::run_as_child(harness)
}
