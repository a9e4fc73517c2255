//! The suite that decides whether a storage driver keeps the contract.

#![allow(dead_code)]

mod case;
#[doc(hidden)]
pub mod cases;
mod change;
mod clauses;
mod crash;
mod env;
mod harness;
mod log;
mod logged;
mod model;
mod part;
mod record;
pub mod reference;
pub mod report;
mod request;
mod run;

pub use case::Case;
pub use clauses::CLAUSES;
pub use env::Env;
pub use harness::{
    Claims, Deviation, DriverInfo, Failpoints, Harness, Locator, Place, Spot, Vandal,
};
pub use record::{SUITE_LEVEL, Verdict};
pub use run::run;

/// The whole `main` of a driver's conformance test: runs the suite on that harness.
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
