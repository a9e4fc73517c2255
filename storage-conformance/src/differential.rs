//! The same seeds on several drivers at once, each against each: the `main` of a test without harness.
//!
//! | variable | meaning |
//! |---|---|
//! | `STORAGE_DIFFERENTIAL_RUNS` | how many sequences of 100 operations; 100 where nothing is said |
//! | `STORAGE_DIFFERENTIAL_FIRST_SEED` | the seed of the first; the others follow it; 0 where nothing is said |
//! | `STORAGE_DIFFERENTIAL_SEED` | only the sequence of that seed |

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::harness::Harness;
use crate::model;

/// Sequences, where the environment says nothing.
const RUNS_DEFAULT: u64 = 100;
/// The sequences are dealt out to that many tests, so that a runner can do them at the same time.
const PARTS: u64 = 2;

/// Runs the same sequences on all drivers and compares them, as the arguments of the process say.
pub fn run(drivers: Vec<Arc<dyn Harness>>) -> ExitCode {
    let arguments = Arguments::from_args();
    let names: Vec<_> = drivers
        .iter()
        .map(|driver| driver.driver().name().to_owned())
        .collect();
    let names = names.join("_");
    let trials = (1..=PARTS).map(|part| {
        let drivers = drivers.clone();
        Trial::test(
            format!("differential::{names}_agree_part_{part}"),
            move || run_part(&drivers, part),
        )
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn run_part(drivers: &[Arc<dyn Harness>], part: u64) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot build a runtime: {error}"))?;
    let run_seed = |seed| {
        let found = runtime.block_on(model::differ(drivers, seed));
        found.map_err(|found| {
            let target = std::env::var("CARGO_PKG_NAME").unwrap_or_default();
            format!(
                "{found}\n\nrepeat it with: STORAGE_DIFFERENTIAL_SEED={seed} cargo test -p {target} --test differential"
            )
        })
    };
    if let Some(seed) = model::number("STORAGE_DIFFERENTIAL_SEED") {
        return Ok(run_seed(seed)?);
    }
    let first = model::number("STORAGE_DIFFERENTIAL_FIRST_SEED").unwrap_or(0);
    let runs = model::number("STORAGE_DIFFERENTIAL_RUNS").unwrap_or(RUNS_DEFAULT);
    for run in (0..runs).filter(|run| run % PARTS == part - 1) {
        run_seed(first.wrapping_add(run))?;
    }
    Ok(())
}
