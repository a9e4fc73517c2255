//! Histories: tasks that call one backend at once, every call and return with a tick, and the question whether the calls have
//! an order that keeps what came one after the other and explains every answer (clauses CONC-1, CONC-2 and ATOM-2).
//!
//! The model judges each step of an order. Many short histories are made, for the order of a long one is not found. One that
//! has no order is shrunk, written as text, and drawn as a page.

mod call;
mod choose;
mod facts;
mod judge;
mod page;
mod perform;
mod request;
mod shrink;
mod state;
mod tally;
#[cfg(test)]
mod tests;
mod ways;
mod weak;
mod words;

use storage_api::Capability;

use self::call::Call;
use self::choose::Subject;
use self::judge::{Evidence, Judgement, judge};
use self::perform::{Manner, perform};
use self::shrink::shrink;
pub use self::tally::Tally;
use crate::case::Case;
use crate::env::Env;
use crate::harness::{Harness, Spot};
use crate::record::RecordDirectory;
use crate::settings;

/// The history of one seed alone.
const SEED: &str = "STORAGE_HISTORY_SEED";
const UNDECIDED: &str = "the search for an order was given up";

/// A case that makes histories in one manner.
macro_rules! histories {
    ($($name:literal [$($clause:literal),+] $subject:ident $($modifier:ident)*),+ $(,)?) => {
        pub(crate) const CASES: &[Case] = &[$(
            {
                const MANNER: Manner = Manner {
                    subject: Subject::$subject,
                    is_on_threads: false $(|| histories!(@threads $modifier))*,
                    has_drops: false $(|| histories!(@drops $modifier))*,
                    has_faults: false,
                };
                let case = Case::new(concat!("history::", $name), &[$($clause),+], |env| {
                    Box::pin(run(env, MANNER))
                });
                let case = case.since(2).long();
                if MANNER.is_on_threads { case.multi_thread() } else { case }
            }
        ),+];
    };
    (@threads threads) => { true };
    (@threads drops) => { false };
    (@drops threads) => { false };
    (@drops drops) => { true };
}

histories![
    "calls_on_one_partition_have_an_order" ["CONC-1", "CONC-2", "LEASE-3", "LEASE-1", "ORDER-1", "BATCH-1", "PART-7"]
        OnePartition threads,
    "calls_on_one_partition_that_take_turns_have_an_order"
        ["CONC-1", "CONC-2", "LEASE-3", "LEASE-1", "ORDER-1", "BATCH-1", "PART-7"] OnePartition,
    "commits_over_partitions_have_an_order_with_all_else" ["CONC-1", "META-1", "ITEM-4"] Commits threads,
    "commits_over_partitions_that_take_turns_have_an_order_with_all_else" ["CONC-1", "META-1", "ITEM-4"] Commits,
    "transactions_are_serializable" ["CONC-1", "META-1", "META-2", "META-5"] Transactions threads,
    "transactions_that_take_turns_are_serializable" ["CONC-1", "META-1", "META-2", "META-5"] Transactions,
    "partitions_that_come_and_go_have_an_order" ["CONC-1", "PART-1", "PART-3", "PART-4", "PART-8"] Partitions threads,
    "partitions_that_come_and_go_by_turns_have_an_order" ["CONC-1", "PART-1", "PART-3", "PART-4", "PART-8"] Partitions,
    "dropped_calls_have_a_place_in_the_order_or_none" ["ATOM-2", "CONC-1"] Commits threads drops,
    "dropped_calls_that_take_turns_have_a_place_in_the_order_or_none" ["ATOM-2", "CONC-1"] OnePartition drops,
];

async fn run(env: Env, manner: Manner) {
    let (first, runs) = match env.effort().history_runs {
        Some(runs) => (0, runs),
        None => {
            if let Some(seed) = settings::HISTORY_SEED.value() {
                let tally = run_seed(&env, seed, manner).await;
                assert_eq!(tally.undecided, 0, "{UNDECIDED}");
                return;
            }
            let is_stored = env.claims().has(Capability::Verify);
            let runs = if is_stored {
                settings::HISTORY_RUNS_STORED.value()
            } else {
                settings::HISTORY_RUNS.value()
            };
            (settings::HISTORY_FIRST_SEED.value(), runs)
        }
    };
    let mut tally = Tally::default();
    for run in 0..runs {
        tally.add(&run_seed(&env, first.wrapping_add(run), manner).await);
    }
    match tally.remark() {
        Ok(remark) => remark.into_iter().for_each(|text| env.log().remark(text)),
        Err(complaint) => panic!("{complaint}"),
    }
}

async fn run_seed(env: &Env, seed: u64, manner: Manner) -> Tally {
    env.log().advance();
    let found = match one(env.harness(), env.case(), seed, manner).await {
        Ok(tally) => return tally,
        Err(found) => found,
    };
    if !env.effort().is_shrunk {
        panic!("{}", found.told());
    }
    let command = crate::run::command(env.case());
    let command = format!("{SEED}={seed} {command}");
    let name = format!("{}-seed-{seed}", env.case().replace("::", "-"));
    let driver = env.harness().driver();
    let records = RecordDirectory::of(driver.name());
    panic!("{}", found.report(driver.name(), &records, &name, &command));
}

/// What one history has found.
enum Found {
    /// The driver did not come so far that there is a history.
    Trouble(String),
    Disorder {
        calls: Vec<Call>,
        evidence: Evidence,
        is_strict: bool,
    },
}

impl Found {
    fn told(&self) -> String {
        match self {
            Self::Trouble(text) => text.clone(),
            Self::Disorder {
                calls, evidence, ..
            } => {
                let reason = evidence.reason.as_deref().unwrap_or("no order explains it");
                format!("a history of {} calls: {reason}", calls.len())
            }
        }
    }

    /// Shrinks it, draws it as a page beside the records, and says all of it.
    fn report(self, driver: &str, records: &RecordDirectory, name: &str, command: &str) -> String {
        let repeat = format!("repeat it with: {command}");
        let (calls, evidence, is_strict) = match self {
            Self::Trouble(text) => return format!("{text}\n\n{repeat}"),
            Self::Disorder {
                calls,
                evidence,
                is_strict,
            } => (calls, evidence, is_strict),
        };
        let finding = shrink(&calls, evidence, is_strict);
        let title = format!("{name} of {driver}");
        let drawn = page::page(&title, command, &finding);
        let written = records.write_history(&format!("{name}.html"), &drawn);
        let where_drawn = match written {
            Ok(path) => format!("it is drawn in {}", path.display()),
            Err(error) => format!("the page could not be written: {error}"),
        };
        format!("{}\n{repeat}\n{where_drawn}", page::text(&finding))
    }
}

/// Makes one history of a fresh place and judges it.
async fn one(harness: &dyn Harness, case: &str, seed: u64, manner: Manner) -> Result<Tally, Found> {
    let trouble =
        |what: &str, error: &dyn std::fmt::Display| Found::Trouble(format!("{what}: {error}"));
    let spot = Spot::new(case);
    let place = harness.provision(&spot).await;
    let place = place.map_err(|error| trouble("cannot provision a place", &error))?;
    let backend = place.open().await;
    let backend = backend.map_err(|error| trouble("cannot open a fresh place", &error))?;
    // As a task of its own, so that a driver that panics is a finding like any other.
    let calls = tokio::spawn(perform(backend.clone(), seed, manner)).await;
    let calls = calls.map_err(|error| match error.try_into_panic() {
        Ok(payload) => trouble("a panic", &crate::run::panic_text(&*payload)),
        Err(error) => trouble("the tasks ended", &error),
    })?;
    let closed = backend.close().await;
    closed.map_err(|error| trouble("close is refused", &error))?;

    let is_strict = harness.claims().has(Capability::StrictOrder);
    match judge(&calls, is_strict) {
        Judgement::Ordered(_) => Ok(Tally::of(&calls, false)),
        Judgement::Undecided => Ok(Tally::of(&calls, true)),
        Judgement::Disordered(evidence) => Err(Found::Disorder {
            calls,
            evidence,
            is_strict,
        }),
    }
}

/// Makes and judges histories on a driver whose calls fail now and then, before or after they apply: of every subject, with and
/// without drops, on threads and by turns, with the seeds from 0 on, or with that of `STORAGE_HISTORY_SEED` alone.
///
/// A call refused as `Unavailable` and `NotApplied` is taken at its word whatever the model says: it has changed nothing. One
/// whose outcome is `Unknown` may have applied, or apply later, or never. `Err` says what was found, where it is drawn, and the
/// command that repeats it, which runs the test of that name.
///
/// Builds runtimes of its own: not to be called from within one.
pub fn rounds_with_faults(harness: &dyn Harness, test: &str, rounds: u64) -> Result<Tally, String> {
    let seeds = match settings::HISTORY_SEED.value() {
        Some(seed) => seed..=seed,
        None => 0..=rounds.saturating_sub(1),
    };
    let mut tally = Tally::default();
    for seed in seeds {
        for manner in Manner::all_with_faults() {
            let runtime = manner.runtime();
            let runtime = runtime.map_err(|error| format!("cannot build a runtime: {error}"))?;
            let name = format!("{test}-{manner}-seed-{seed}");
            let made = runtime.block_on(one(harness, &name, seed, manner));
            let made = made.map_err(|found| {
                let command = crate::run::invocation(&format!("--exact {test}"));
                let driver = harness.driver();
                let records = RecordDirectory::of(driver.name());
                let command = format!("{SEED}={seed} {command}");
                found.report(driver.name(), &records, &name, &command)
            })?;
            tally.add(&made);
        }
    }
    tally.remark()?;
    Ok(tally)
}
