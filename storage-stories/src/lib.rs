//! What every driver over `storage-kv` is tested for in the same way, written once. For the tests of the project alone.
//!
//! A driver says in a [`StoredDriver`] how its tests open it, and has three kinds of tests by that:
//!
//! | in the driver | what it runs |
//! |---|---|
//! | `tests/conformance.rs`: `storage_conformance::main!(suite::<Mine>(version))` | the suite, by [`suite`](fn@suite) |
//! | `tests/stories/…`: `storage_stories::disk!(Mine)`, `places!`, `golden!` | a test for each story of [`disk`](mod@disk), [`places`](mod@places) and [`golden`](mod@golden) |
//! | stories of its own | the builders of [`scene`] |

#![expect(
    clippy::unwrap_used,
    reason = "all of it is run by tests: one that fails says where it did"
)]

mod driver;
mod suite;
mod told;

pub mod disk;
pub mod golden;
pub mod places;
pub mod scene;

pub use driver::{Opening, StoredDriver};
pub use suite::suite;
