//! Copies of this driver that lose or invent something when they are killed, lose power or are damaged: the suite must catch each
//! of them, and must find nothing in the same copy without its fault.

mod faulty;
mod frames;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use storage_conformance::Harness;
use storage_conformance::prove::{Effort, Proof, run_as_child, run_case};

use crate::faulty::{Fault, FaultyHarness};

const LOSS_OF_POWER: &str = "durability::a_loss_of_power_loses_nothing_acknowledged";

/// Each case about crashes, losses of power and damage, with a fault that it must catch.
const CAUGHT: &[(Fault, &str)] = &[
    (
        Fault::AnswersEarly,
        "durability::a_kill_behind_any_step_leaves_all_that_was_acknowledged",
    ),
    (
        Fault::AnswersEarly,
        "durability::a_kill_among_concurrent_calls_loses_nothing_acknowledged",
    ),
    (
        Fault::LosesTheLastWrite,
        "durability::a_kill_while_it_opens_syncs_maintains_or_closes_loses_nothing",
    ),
    (
        Fault::KeepsHalfABatch,
        "durability::a_kill_behind_any_step_leaves_all_that_was_acknowledged",
    ),
    (Fault::SyncsNothing, LOSS_OF_POWER),
    (Fault::AnswersSyncAtOnce, LOSS_OF_POWER),
    (Fault::ForgetsNumbers, LOSS_OF_POWER),
    (
        Fault::ChecksNothing,
        "damage::bits_flipped_in_any_file_are_never_returned_as_data",
    ),
    (Fault::CompletesTails, "damage::any_file_may_lose_its_tail"),
    (
        Fault::InventsWhatIsGone,
        "damage::a_file_that_is_empty_or_gone_is_no_data_either",
    ),
];

fn main() -> ExitCode {
    if let Some(code) = run_as_child(&FaultyHarness(Fault::None)) {
        return code;
    }
    let caught = CAUGHT.iter().map(|(fault, case)| {
        Trial::ignorable_test(format!("{fault:?}_is_caught_by::{case}"), || {
            caught(*fault, case)
        })
    });
    let cases: BTreeSet<_> = CAUGHT.iter().map(|(_, case)| *case).collect();
    let unharmed = cases.into_iter().map(|case| {
        let name = format!("nothing_is_found_without_a_fault_by::{case}");
        Trial::ignorable_test(name, move || sound(Fault::None, case))
    });
    let name = format!("nothing_is_found_at_process_crash_by::{LOSS_OF_POWER}");
    let weaker = Trial::ignorable_test(name, || sound(Fault::PromisesLess, LOSS_OF_POWER));
    let trials = caught.chain(unharmed).chain([weaker]).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn proof(fault: Fault, case: &str) -> Proof {
    let harness: Arc<dyn Harness> = Arc::new(FaultyHarness(fault));
    run_case(&harness, case, Effort::default())
}

fn caught(fault: Fault, case: &str) -> Result<Completion, Failed> {
    match proof(fault, case) {
        Proof::Broken(_) => Ok(Completion::Completed),
        other => or_ignored(&format!("{fault:?} was not caught"), other),
    }
}

fn sound(copy: Fault, case: &str) -> Result<Completion, Failed> {
    match proof(copy, case) {
        Proof::Kept => Ok(Completion::Completed),
        other => or_ignored("without a fault", other),
    }
}

/// Without a C compiler nobody knows what was synced, and that is said.
fn or_ignored(what: &str, proof: Proof) -> Result<Completion, Failed> {
    match proof {
        Proof::Inapplicable(reason) => Ok(Completion::ignored_with(reason)),
        other => Err(format!("{what}: {other:?}").into()),
    }
}
