//! The suite that decides whether a storage driver keeps the contract.
//!
//! A driver is what the suite says it is. It proves every clause of `CONTRACT.md` with cases written by hand, and runs random
//! sequences of operations on the driver and on the reference model side by side.
//!
//! # For the author of a driver
//!
//! One test target without a harness of its own, in `Cargo.toml`:
//!
//! ```toml
//! [[test]]
//! name = "conformance"
//! harness = false
//!
//! [dev-dependencies]
//! storage-conformance = { path = "../storage-conformance" }
//! ```
//!
//! and in `tests/conformance.rs` the harness: how to come by a fresh place, and how to open it. Here that of a driver that
//! keeps each place in a directory, `examples/journal-driver`:
//!
//! ```no_run
//! use std::path::PathBuf;
//! use std::sync::Arc;
//!
//! use journal_driver::{JournalBackend, JournalConfig};
//! use storage_api::{Capability, Result, StorageBackend, async_trait};
//! use storage_conformance::{Claims, DriverInfo, Harness, Place, Spot};
//!
//! struct Journal;
//!
//! #[async_trait]
//! impl Harness for Journal {
//!     fn driver(&self) -> DriverInfo {
//!         DriverInfo::new("journal", env!("CARGO_PKG_VERSION"))
//!     }
//!
//!     // What the driver does not claim needs a reason, which the report shows.
//!     fn claims(&self) -> Claims {
//!         Claims::all()
//!             .without(Capability::Shared, "one process owns the file")
//!             .without(Capability::RemoteWake, "there is no other opening")
//!     }
//!
//!     // Each case gets a place of its own; `spot` has a directory that is removed with it.
//!     async fn provision(&self, spot: &Spot) -> Result<Box<dyn Place>> {
//!         Ok(Box::new(JournalPlace(spot.directory()?)))
//!     }
//! }
//!
//! struct JournalPlace(PathBuf);
//!
//! #[async_trait]
//! impl Place for JournalPlace {
//!     async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
//!         Ok(Arc::new(JournalBackend::open(JournalConfig::new(&self.0)).await?))
//!     }
//! }
//!
//! storage_conformance::main!(Journal);
//! ```
//!
//! Then `cargo test --test conformance`, or `cargo nextest run`: one test per case, named `area::sentence`. A case that does
//! not apply to what the driver claims is ignored, with the reason in the report. A case that fails says what it expected, what
//! it got, which operations led there, and how to run it alone.
//!
//! A place may offer more, and more is then looked at: [`Place::locator`] with [`Harness::attach`] lets the suite kill a process
//! at work (clause DUR-3), a [`Vandal`] damages the stored bytes (OPEN-2, OPEN-3), [`Failpoints`] make writes fail (ATOM-1,
//! LIMIT-2). A driver that keeps its data in a directory has most of it made: [`DirectoryHarness`]. `examples/journal-driver`
//! shows it.
//!
//! # Model runs
//!
//! The cases `model::…` do random sequences of a hundred operations, of which keys, receipts, times and names collide, on the
//! driver and on `storage-model`. Every answer is compared, and everything that can be seen is compared now and then. A
//! difference is shrunk to the fewest operations that show it, and printed with the command that repeats it. What was worth
//! finding is kept in `corpus`, which every driver replays as the cases `corpus::…`.
//!
//! Where a driver has [shortcuts](storage_api::Shortcut), half of the calls that can go by one do, as the seed says: mostly by
//! one that was kept, past deletions, partitions made again and reopenings, as a user's handle keeps it. What has no answer
//! there goes the long way. The actions of a seed are the same for every driver. So it is in histories, too.
//!
//! | variable | meaning |
//! |---|---|
//! | `STORAGE_MODEL_RUNS` | how many sequences a driver is given; 1000 where nothing is said |
//! | `STORAGE_MODEL_RUNS_STORED` | the same for drivers that claim `Verify`; as many where nothing is said |
//! | `STORAGE_MODEL_FIRST_SEED` | the seed of the first; the others follow it; 0 where nothing is said |
//! | `STORAGE_MODEL_SEED` | only the sequence of that seed |
//! | `STORAGE_CONFORMANCE_DIR` | where records go, instead of `conformance` in the target directory |
//!
//! # Histories
//!
//! The cases `history::…` let several tasks call one backend at once and ask `storage-model` whether the calls have an order
//! that explains every answer (clauses CONC-1, CONC-2 and ATOM-2). A history that has none is drawn as a page.
//!
//! | variable | meaning |
//! |---|---|
//! | `STORAGE_HISTORY_RUNS` | how many histories a case makes; 100 where nothing is said |
//! | `STORAGE_HISTORY_RUNS_STORED` | the same on drivers that claim `Verify`; 20 where nothing is said |
//! | `STORAGE_HISTORY_FIRST_SEED` | the seed of the first; the others follow it; 0 where nothing is said |
//! | `STORAGE_HISTORY_SEED` | only the history of that seed |
//!
//! # Several drivers
//!
//! [`differential::run`] does the same sequences on several drivers at once and compares them with each other.
//!
//! # Records and the report
//!
//! Each run writes what was to be run, and each case what it found, to a file. The report ([`report`], and the program
//! `conformance-report`) is made from these files alone. It refuses those of another suite, of another build of the tests,
//! of another run and of other settings, and counts what they are about as not run. A driver is *conformant* when every case that applies has passed,
//! *non-conformant* when one has not, known deviations included, and *incomplete* when one was not run, or when one seed ran
//! alone.
//!
//! ```sh
//! cargo run -p storage-conformance --bin conformance-report                  # the matrix in Markdown
//! cargo run -p storage-conformance --bin conformance-report -- --json FILE   # the same for programs
//! ```
//!
//! A case that a driver is known to fail is a [`Deviation`] with a link: it does not stop the tests, the report shows it, and it
//! is an error once the case passes.

mod case;
#[doc(hidden)]
pub mod cases;
mod change;
mod clauses;
mod crash;
pub mod differential;
mod directory;
mod env;
mod harness;
#[doc(hidden)]
pub mod history;
mod image;
mod log;
mod logged;
mod model;
mod part;
mod proofs;
#[doc(hidden)]
pub mod prove;
mod record;
pub mod reference;
pub mod report;
mod request;
mod run;
mod settings;
mod soak;
mod vandal;

pub use case::Case;
pub use clauses::CLAUSES;
pub use directory::{DirectoryDriver, DirectoryHarness};
pub use env::Env;
pub use harness::{
    Claims, Deviation, DriverInfo, Failpoints, Harness, Locator, Place, Spot, Vandal,
};
pub use record::{SUITE_LEVEL, Verdict};
pub use run::run;
#[doc(hidden)]
pub use soak::check_arguments as check_soak_arguments;
pub use vandal::DirectoryVandal;

/// The whole `main` of a driver's conformance test: runs the suite on that harness.
///
/// The expression is evaluated once in every process: a runner that gives each test a process of its own makes many.
///
/// ```no_run
/// storage_conformance::main!(storage_conformance::reference::ReferenceHarness::new());
/// ```
#[macro_export]
macro_rules! main {
    ($harness:expr $(,)?) => {
        fn main() -> ::std::process::ExitCode {
            $crate::run($harness)
        }
    };
}
