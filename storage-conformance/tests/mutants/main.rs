//! The suite proves itself: every case fails on a driver that is wrong in the way that the case is about.
//!
//! One test for each mutant: the cases that it names must fail on it, by an assertion, after it was wrong. One test for each
//! sound driver that mutants are made of: every case passes on it. Two more: every case is named by a mutant, and the page
//! `docs/mutants.md` says what stands here.
//!
//! | variable | what it does |
//! |---|---|
//! | `STORAGE_MUTANTS_DISCOVER` | instead of testing, runs cases on the mutants of these names, and prints which fail and why |
//! | `STORAGE_MUTANTS_CASES` | on which cases; without it on all |
//! | `STORAGE_MUTANTS_PAGE` | if it is set, writes the page anew |

#![allow(
    clippy::print_stdout,
    reason = "what was discovered is read by a person"
)]
#![allow(
    clippy::semicolon_if_nothing_returned,
    reason = "an edit is one expression"
)]

mod answered;
mod asked;
mod capability;
mod commit;
mod concurrency;
mod discover;
mod dropped;
mod durability;
mod edited;
mod errors;
mod finish;
mod history;
mod hooked;
mod late;
mod lease;
mod limits;
mod listing;
mod meeting;
mod metadata;
mod model;
mod mutant;
mod open_close;
mod page;
mod partitions;
mod persistent;
mod produce;
mod renamed;
mod restore;
mod shortcut;
mod signals;
mod time;

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use storage_conformance::prove::{Effort, Proof, run_as_child, run_case};
use storage_conformance::reference::ReferenceHarness;
use storage_conformance::{Harness, cases};

use crate::mutant::Mutant;

/// Every mutant, by area.
fn mutants() -> Vec<Mutant> {
    [
        partitions::mutants(),
        produce::mutants(),
        lease::mutants(),
        finish::mutants(),
        time::mutants(),
        listing::mutants(),
        restore::mutants(),
        open_close::mutants(),
        history::mutants(),
        metadata::mutants(),
        commit::mutants(),
        durability::mutants(),
        limits::mutants(),
        errors::mutants(),
        signals::mutants(),
        shortcut::mutants(),
        concurrency::mutants(),
        dropped::mutants(),
        capability::mutants(),
        persistent::mutants(),
        model::mutants(),
        late::mutants(),
    ]
    .concat()
}

/// A mutant fails soon or not at all.
const EFFORT: Effort = Effort {
    model_runs: Some(64),
    history_runs: Some(100),
    is_shrunk: false,
    patience: Duration::from_secs(60),
    signal_patience: Duration::from_secs(2),
};

/// On a sound driver every signal comes, however busy the machine is.
const SOUND: Effort = Effort {
    signal_patience: Duration::from_secs(20),
    ..EFFORT
};

/// How often a case is tried on a mutant that it has not caught. On a busy machine calls that are wrong where they meet may not
/// meet, and a signal that comes late can end a case before the mutant is reached.
const TRIES: usize = 3;

/// How long a case may stand still on a mutant that makes it do so.
const HANGING: Effort = Effort {
    patience: Duration::from_secs(2),
    ..EFFORT
};

fn main() -> ExitCode {
    // A case that kills, or meets, another process starts this program again.
    if let Some(code) = run_as_child(&persistent::child()) {
        return code;
    }
    let arguments = Arguments::from_args();
    // Cases panic by the thousand here, and what a panic says is in the verdict.
    if !arguments.list {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let mutants = mutants();
    if let Ok(name) = std::env::var("STORAGE_MUTANTS_DISCOVER") {
        let cases = std::env::var("STORAGE_MUTANTS_CASES").unwrap_or_default();
        discover::discover(&mutants, &name, &cases);
        return ExitCode::SUCCESS;
    }
    let mut trials = vec![
        Trial::test("every_case_fails_for_a_mutant", {
            let mutants = mutants.clone();
            move || every_case_fails_for_a_mutant(&mutants)
        }),
        Trial::test("every_mutant_has_a_name_of_its_own", {
            let mutants = mutants.clone();
            move || every_mutant_has_a_name_of_its_own(&mutants)
        }),
        Trial::test("the_page_is_current", {
            let mutants = mutants.clone();
            move || page::check(&mutants)
        }),
    ];
    trials.extend(controls());
    trials.extend(mutants.into_iter().map(|mutant| {
        Trial::ignorable_test(format!("mutant::{}", mutant.name), move || {
            is_caught(&mutant)
        })
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A mutant that is not seen by a case that it names, or was not wrong while the case ran, survives.
fn is_caught(mutant: &Mutant) -> Result<Completion, Failed> {
    let mut survived = Vec::new();
    if mutant.caught_by.is_empty() {
        survived.push("  no case is named for it".to_owned());
    }
    for case in mutant.caught_by {
        // Only the first try is in a hurry.
        let efforts: [Effort; TRIES] = match mutant.is_hanging {
            true => [HANGING, EFFORT, EFFORT],
            false => [EFFORT, SOUND, SOUND],
        };
        let mut complaint = None;
        for effort in efforts {
            let (proof, times) = try_case(mutant, case, effort);
            complaint = match proof {
                Proof::Inapplicable(reason) if mutant.is_for_some_machines => {
                    return Ok(Completion::ignored_with(reason));
                }
                proof => complaint_about(mutant, case, proof, times),
            };
            if complaint.is_none() {
                break;
            }
        }
        survived.extend(complaint);
    }
    if survived.is_empty() {
        return Ok(Completion::Completed);
    }
    let text = survived.join("\n");
    Err(format!("{}\nsurvives:\n{text}", mutant.defect).into())
}

/// Why a case has not caught the mutant; `None` if it has.
fn complaint_about(mutant: &Mutant, case: &str, proof: Proof, times: u64) -> Option<String> {
    let complaint = match proof {
        _ if times == 0 => "the mutant was never wrong".to_owned(),
        Proof::Broken(_) if !mutant.is_hanging => return None,
        Proof::Hung(_) if mutant.is_hanging => return None,
        Proof::Broken(reason) => format!("it fails instead of hanging: {reason}"),
        Proof::Hung(reason) => format!("it fails by no assertion: {reason}"),
        Proof::Kept => format!("it passes, though the mutant was wrong {times} times"),
        Proof::Inapplicable(reason) => format!("it does not apply: {reason}"),
    };
    Some(format!("  {case}: {complaint}"))
}

/// What a case finds on a mutant, and how often the mutant was wrong meanwhile.
fn try_case(mutant: &Mutant, case: &str, effort: Effort) -> (Proof, u64) {
    let (driver, fired) = mutant.driver();
    let proof = run_case(&driver, case, effort);
    (proof, fired.times())
}

/// A case that fails for no mutant proves nothing.
fn every_case_fails_for_a_mutant(mutants: &[Mutant]) -> Result<(), Failed> {
    let named = |id: &str| mutants.iter().any(|mutant| mutant.caught_by.contains(&id));
    let idle: Vec<_> = cases::all()
        .iter()
        .map(|case| case.id)
        .filter(|id| !named(id))
        .collect();
    if idle.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} cases fail for no mutant:\n  {}",
        idle.len(),
        idle.join("\n  ")
    )
    .into())
}

/// Of two mutants of one name nobody could say which is meant: a filter runs both, and the page shows one.
fn every_mutant_has_a_name_of_its_own(mutants: &[Mutant]) -> Result<(), Failed> {
    let mut seen = HashSet::new();
    let names = mutants.iter().map(|mutant| mutant.name);
    let twice: Vec<_> = names.filter(|name| !seen.insert(*name)).collect();
    if twice.is_empty() {
        return Ok(());
    }
    Err(format!("several mutants are called {}", twice.join(", ")).into())
}

/// The drivers that mutants are made of, wrapped as mutants are, with nothing wrong.
fn controls() -> Vec<Trial> {
    let bare = |name, reference| Mutant::over(reference, name, "", |at| at.inner, &[]);
    let sound = vec![
        bare("reference", ReferenceHarness::new()),
        bare("shared_reference", ReferenceHarness::shared()),
        bare("volatile_reference", ReferenceHarness::volatile()),
        edited::edited("edited_reference", "", edited::OPERATIONS, |_| {}, &[]),
    ];
    let trials = sound.into_iter().map(|mutant| {
        Trial::test(format!("sound::{}", mutant.name), move || {
            passes_everything(&mutant.driver().0)
        })
    });
    trials.collect()
}

fn passes_everything(driver: &Arc<dyn Harness>) -> Result<(), Failed> {
    let failed: Vec<_> = cases::all()
        .iter()
        .filter_map(|case| match run_case(driver, case.id, SOUND) {
            Proof::Kept | Proof::Inapplicable(_) => None,
            Proof::Broken(reason) | Proof::Hung(reason) => Some(format!("{}: {reason}", case.id)),
        })
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(failed.join("\n").into())
}
