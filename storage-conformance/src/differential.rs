//! The same sequences on several drivers at once, each against each.
//!
//! Model runs compare one driver with the reference model. What the model does not see could differ between drivers all the
//! same: the fields of an error, cursors. Here all drivers do the sequence of one seed side by side, and must answer as the
//! model and refuse in the same way. A difference is shrunk, and told with what both have answered, the seed and the command
//! that repeats it.
//!
//! Usages are not compared with each other: how many bytes the same items take, and what a driver calls the parts, differ by
//! nature. What clause USE-1 asks of all alike is asked of each: the parts are the whole, which is no more than is allowed, and
//! not nothing where bytes are stored; and once everything was removed the usage is that of the fresh place, byte for byte where
//! there is no disk, and with the same parts and limit where space comes back after a delay.
//!
//! ```no_run
//! use std::sync::Arc;
//! use storage_conformance::{differential, reference::ReferenceHarness};
//!
//! fn main() -> std::process::ExitCode {
//!     differential::run(&[
//!         Arc::new(ReferenceHarness::new()),
//!         Arc::new(ReferenceHarness::volatile()),
//!     ])
//! }
//! ```
//!
//! | variable | meaning |
//! |---|---|
//! | `STORAGE_DIFFERENTIAL_RUNS` | how many sequences of 100 operations; 40 where nothing is said |
//! | `STORAGE_DIFFERENTIAL_FIRST_SEED` | the seed of the first; the others follow it; 0 where nothing is said |
//! | `STORAGE_DIFFERENTIAL_SEED` | only the sequence of that seed |

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::harness::Harness;
use crate::{model, settings};

/// The sequences are dealt out to that many tests, so that a runner can do them at the same time.
pub(crate) const PARTS: u64 = 4;

/// The `main` of a test target without a harness of its own: runs the same sequences on all these drivers, and compares them.
///
/// Drivers that claim `Reopen` are closed and opened again in the course of it, while the others go on.
pub fn run(drivers: &[Arc<dyn Harness>]) -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = (1..=PARTS).map(|part| {
        let drivers = drivers.to_vec();
        let name = format!("differential::drivers_agree_part_{part}");
        Trial::test(name.clone(), move || run_part(&drivers, part, &name))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Does the sequence of that seed on all these drivers, each on a fresh place. `Err` tells where they differ: the fewest
/// operations that show it, and the answers.
pub async fn compare(drivers: &[Arc<dyn Harness>], seed: u64) -> Result<(), String> {
    model::differ(drivers, seed).await
}

fn run_part(drivers: &[Arc<dyn Harness>], part: u64, name: &str) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot build a runtime: {error}"))?;
    let run_seed = |seed| {
        let found = runtime.block_on(compare(drivers, seed));
        found.map_err(|found| {
            let names: Vec<_> = drivers.iter().map(|one| one.driver()).collect();
            let names: Vec<_> = names.iter().map(crate::DriverInfo::name).collect();
            // With every feature, or some of the drivers may be missing.
            let command = crate::run::command(name);
            let command = command.replacen(" --test ", " --all-features --test ", 1);
            format!(
                "{found}\n\nthe drivers were {}\nrepeat it with: STORAGE_DIFFERENTIAL_SEED={seed} {command}",
                names.join(", ")
            )
        })
    };
    if let Some(seed) = settings::DIFFERENTIAL_SEED.value() {
        return Ok(run_seed(seed)?);
    }
    let first = settings::DIFFERENTIAL_FIRST_SEED.value();
    let runs = settings::DIFFERENTIAL_RUNS.value();
    for run in (0..runs).filter(|run| run % PARTS == part - 1) {
        run_seed(first.wrapping_add(run))?;
    }
    Ok(())
}
