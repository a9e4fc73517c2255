//! Model runs: random actions from a seed, done on the driver and on the reference model side by side.
//!
//! A failure is shrunk to the actions that it needs, printed with the command that repeats it, and written as a candidate for
//! the corpus, which every driver replays.

pub(crate) mod action;
mod apply;
mod committing;
mod compare;
mod corpus;
mod differ;
mod emptied;
mod exchange;
pub(crate) mod generate;
mod numbers;
mod restoring;
mod shortcuts;
mod shrink;
mod world;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use storage_api::Capability;

use self::action::Action;
use self::world::World;
use crate::case::{Case, Work};
use crate::env::Env;
use crate::harness::Spot;
use crate::record::RecordDirectory;
use crate::settings;

pub(crate) use self::apply::key_range;
pub(crate) use self::corpus::CASES as CORPUS;
pub(crate) use self::differ::run_seed as differ;
pub(crate) use self::numbers::ranked;
pub(crate) use self::world::{key, new_item, note, value};

/// Actions of one run.
const ACTIONS: usize = 100;
/// Everything is compared after that many actions, beside where the actions say so.
const COMPARED_EVERY: usize = 10;
/// The runs are dealt out to that many cases, so that runners can do them at the same time.
pub(crate) const PARTS: u64 = 8;

/// What a model run compares: most of the contract. Each clause has cases of its own as well.
pub(crate) const CLAUSES: &[&str] = &[
    "PART-1", "PART-2", "PART-3", "PART-4", "PART-5", "PART-6", "PART-7", "PART-8", "ITEM-1",
    "ITEM-2", "ITEM-3", "ITEM-4", "ITEM-5", "ITEM-6", "ORDER-1", "LEASE-1", "LEASE-2", "LEASE-4",
    "LEASE-5", "LEASE-6", "LEASE-7", "LEASE-8", "LEASE-9", "BATCH-1", "DONE-1", "DONE-2",
    "RETRY-1", "RETRY-2", "RETRY-3", "RETRY-4", "RETRY-5", "RETRY-6", "DEAD-1", "DEAD-2", "DEAD-3",
    "TIME-1", "TIME-2", "TIME-3", "TIME-4", "LIST-1", "LIST-2", "LIST-3", "LIST-4", "MOVE-1",
    "MOVE-2", "META-1", "META-2", "META-3", "META-4", "META-5", "META-6", "LIMIT-2", "ERR-2",
];

/// A case of this kind, which takes as long as it makes progress.
const fn long(id: &'static str, run: fn(Env) -> Work) -> Case {
    Case::new(id, CLAUSES, run).long()
}

pub(crate) const CASES: &[Case] = &[
    long("model::random_sequences_agree_part_1", |env| {
        Box::pin(run_part(env, 1))
    }),
    long("model::random_sequences_agree_part_2", |env| {
        Box::pin(run_part(env, 2))
    }),
    long("model::random_sequences_agree_part_3", |env| {
        Box::pin(run_part(env, 3))
    }),
    long("model::random_sequences_agree_part_4", |env| {
        Box::pin(run_part(env, 4))
    }),
    long("model::random_sequences_agree_part_5", |env| {
        Box::pin(run_part(env, 5))
    }),
    long("model::random_sequences_agree_part_6", |env| {
        Box::pin(run_part(env, 6))
    }),
    long("model::random_sequences_agree_part_7", |env| {
        Box::pin(run_part(env, 7))
    }),
    long("model::random_sequences_agree_part_8", |env| {
        Box::pin(run_part(env, 8))
    }),
];

/// Where a sequence failed, and how.
#[derive(Debug, Clone)]
struct Failure {
    /// How many actions were done, the failing one included.
    actions: usize,
    mismatch: String,
    trace: Vec<String>,
}

async fn run_part(env: Env, part: u64) {
    if let Some(seed) = settings::MODEL_SEED.value() {
        return run_seed(&env, seed).await;
    }
    let first = settings::MODEL_FIRST_SEED.value();
    let runs = env.effort().model_runs;
    let runs = runs.unwrap_or_else(|| {
        if env.claims().has(Capability::Verify) {
            settings::MODEL_RUNS_STORED.value()
        } else {
            settings::MODEL_RUNS.value()
        }
    });
    for seed in (0..runs).filter(|run| run % PARTS == part - 1) {
        run_seed(&env, first.wrapping_add(seed)).await;
    }
}

async fn run_seed(env: &Env, seed: u64) {
    let running = env.log().begin(format_args!("model run with seed {seed}"));
    let actions = generate::actions(seed, ACTIONS);
    let ran = attempt(env, &actions, false).await;
    let Err(failure) = ran else {
        running.answer("agreed");
        return;
    };
    running.answer("differed");
    if !env.effort().is_shrunk {
        panic!("after action {}, {}", failure.actions, failure.mismatch);
    }

    let shrunk = shrink::shrink(env, &actions[..failure.actions]).await;
    let (shrunk, failure) = shrunk.unwrap_or((actions, failure));
    let candidate = write_candidate(env, seed, &shrunk);
    panic!(
        "{}\n\nrepeat it with: STORAGE_MODEL_SEED={seed} {}\n{candidate}",
        told("driver and model differ", &shrunk, &failure),
        crate::run::command(env.case())
    );
}

impl shrink::Attempts for Env {
    async fn attempt(&self, actions: &[Action]) -> Result<(), Failure> {
        attempt(self, actions, true).await
    }
}

/// Does the actions on a fresh place and on a fresh model. A traced attempt compares everything after each action.
async fn attempt(env: &Env, actions: &[Action], is_traced: bool) -> Result<(), Failure> {
    let done = Arc::new(AtomicUsize::new(0));
    let (env, actions, counter) = (env.clone(), actions.to_vec(), done.clone());
    // As a task of its own, so that a driver that panics is a failure like any other.
    let task = tokio::spawn(async move { attempt_all(&env, &actions, is_traced, &counter).await });
    match task.await {
        Ok(result) => result,
        Err(error) => Err(ended(error, done.load(Ordering::Relaxed))),
    }
}

/// The task of a run did not come to its end.
fn ended(error: tokio::task::JoinError, actions: usize) -> Failure {
    Failure {
        actions,
        mismatch: match error.try_into_panic() {
            Ok(payload) => format!("a panic: {}", crate::run::panic_text(&*payload)),
            Err(error) => format!("the task of the run ended: {error}"),
        },
        trace: Vec::new(),
    }
}

async fn attempt_all(
    env: &Env,
    actions: &[Action],
    is_traced: bool,
    done: &AtomicUsize,
) -> Result<(), Failure> {
    let spot = Spot::new(env.case());
    let place = env.harness().provision(&spot).await;
    let place = place.unwrap_or_else(|error| panic!("cannot provision a place: {error}"));
    let driver = place.open().await;
    let driver = driver.unwrap_or_else(|error| panic!("cannot open a fresh place: {error}"));
    let can_reopen = env.claims().has(Capability::Reopen);
    let mut world = World::new(place, driver, can_reopen, is_traced);

    let failed = |world: World, mismatch| Failure {
        actions: done.load(Ordering::Relaxed),
        mismatch,
        trace: world.trace.unwrap_or_default(),
    };
    for action in actions {
        env.log().advance();
        done.fetch_add(1, Ordering::Relaxed);
        if let Err(mismatch) = world.apply(action).await {
            return Err(failed(world, mismatch));
        }
        let is_looked_at = is_traced || done.load(Ordering::Relaxed).is_multiple_of(COMPARED_EVERY);
        if is_looked_at && let Err(mismatch) = world.compare().await {
            return Err(failed(world, format!("afterwards, {mismatch}")));
        }
    }
    if let Err(mismatch) = world.compare().await {
        return Err(failed(world, format!("at the end, {mismatch}")));
    }
    let closed = world.driver.close().await;
    let closed = closed.map_err(|error| format!("close is refused: {error}"));
    match closed.and_then(|()| world.shortcuts_have_ended()) {
        Ok(()) => Ok(()),
        Err(mismatch) => Err(failed(world, mismatch)),
    }
}

/// The failing sequence, one action a line, with the driver's answers where they were traced.
fn told(what: &str, actions: &[Action], failure: &Failure) -> String {
    let mut text = format!("{what} after these actions:\n");
    for (index, action) in actions.iter().enumerate() {
        let line = serde_json::to_string(action).unwrap_or_else(|_| format!("{action:?}"));
        let _ = writeln!(text, "  {:>3} {line}", index + 1);
    }
    if !failure.trace.is_empty() {
        text.push_str("the driver answered, call by call:\n");
        for answer in &failure.trace {
            let _ = writeln!(text, "      {answer}");
        }
    }
    let _ = write!(
        text,
        "after action {}, {}",
        failure.actions, failure.mismatch
    );
    text
}

/// Writes the shrunk sequence where it can be taken into the corpus from, and says where.
fn write_candidate(env: &Env, seed: u64, actions: &[Action]) -> String {
    let driver = env.harness().driver();
    let records = RecordDirectory::of(driver.name());
    let candidate = corpus::Sequence {
        about: format!(
            "found by seed {seed} on {}; say what it shows",
            driver.name()
        ),
        actions: actions.to_vec(),
    };
    match records.write_candidate(&format!("seed-{seed}.json"), &candidate.to_json()) {
        Ok(path) => format!(
            "a candidate for the corpus of the suite: {}",
            path.display()
        ),
        Err(error) => format!("the candidate for the corpus could not be written: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use storage_api::async_trait;

    use super::*;
    use crate::harness::{DriverInfo, Harness, Place};
    use crate::reference::ReferenceHarness;

    /// Parts of answers that must be seen often, or the runs look at too little.
    const OUTCOMES: &[&str] = &[
        "Done",
        "NotFound",
        "LeaseLost",
        "Extended",
        "Released",
        "Ready",
        "Scheduled",
        "Dead(Rejected)",
        "Dead(AttemptsExhausted)",
        "Dropped(Rejected)",
        "Dropped(AttemptsExhausted)",
        "Revived",
        "NotDead",
        "Deleted",
        "state: None",
        "state: Some(Leased)",
        "state: Some(Dead)",
        "Conflict",
        "Refused(Check",
        "Refused(Step",
        "found: LeaseLost",
        "more: true",
        "keys_freed: 1",
        "attempts_exhausted: 1",
        "expired: 1",
        "dropped: 1",
        "next: Some",
        "released: 1",
        "already exists: cannot restore into item",
        "already exists: cannot create",
        "capacity exceeded: cannot produce",
        "capacity exceeded: cannot restore",
        "capacity exceeded: cannot commit",
        "unavailable: cannot produce",
        "unavailable: cannot lease",
        "unavailable: cannot maintain",
        "unavailable: cannot commit",
        "invalid argument",
        "not found: cannot commit",
        "by a shortcut:",
    ];

    /// The answers of the reference driver to some runs, one text a call.
    async fn answers(seeds: std::ops::Range<u64>) -> Vec<String> {
        let harness = ReferenceHarness::new();
        let mut answers = Vec::new();
        for seed in seeds {
            let spot = Spot::new("self");
            let place = harness.provision(&spot).await.unwrap();
            let driver = place.open().await.unwrap();
            let mut world = World::new(place, driver, true, true);
            for action in generate::actions(seed, ACTIONS) {
                world.apply(&action).await.unwrap();
            }
            answers.extend(world.trace.unwrap());
        }
        answers
    }

    #[tokio::test]
    async fn runs_reach_every_outcome() {
        let answers = answers(0..200).await;

        let times = |part: &str| {
            answers
                .iter()
                .filter(|answer| answer.contains(part))
                .count()
        };
        let rare: Vec<_> = OUTCOMES
            .iter()
            .map(|part| (part, times(part)))
            .filter(|(_, times)| *times < 5)
            .collect();

        assert!(rare.is_empty(), "seldom or never seen: {rare:?}");
    }

    /// A driver that forgets between two openings, and claims that it does not.
    struct Forgetful;

    #[async_trait]
    impl Harness for Forgetful {
        fn driver(&self) -> DriverInfo {
            DriverInfo::new("forgetful", "1")
        }

        async fn provision(&self, spot: &Spot) -> storage_api::Result<Box<dyn Place>> {
            ReferenceHarness::volatile().provision(spot).await
        }
    }

    #[tokio::test]
    async fn a_failure_is_shrunk_to_what_it_needs() {
        let harness: Arc<dyn Harness> = Arc::new(Forgetful);
        let place = harness.provision(&Spot::new("self")).await.unwrap();
        let env = Env::new("self", harness, place, Arc::default());
        let actions = generate::actions(5, ACTIONS);
        assert!(actions.contains(&Action::Reopen), "choose another seed");

        let (shrunk, failure) = shrink::shrink(&env, &actions).await.unwrap();

        // Something to be forgotten, and the chance to forget it.
        assert_eq!(
            shrunk.len(),
            2,
            "{}",
            told("they differ", &shrunk, &failure)
        );
        assert_eq!(shrunk[1], Action::Reopen);
    }

    #[test]
    fn parts_deal_out_every_run_once() {
        let mut runs: Vec<u64> = (1..=PARTS)
            .flat_map(|part| (0..20).filter(move |run| run % PARTS == part - 1))
            .collect();

        runs.sort_unstable();

        assert_eq!(runs, (0..20).collect::<Vec<_>>());
    }
}
