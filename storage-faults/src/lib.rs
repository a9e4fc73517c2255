//! Faults for tests: a backend whose operations fail, apply without saying so, or hang.
//!
//! Code that works with a storage has paths that no healthy backend ever takes: the call that was refused, the call that
//! applied but whose answer was lost, the call that does not come back. [`Faults`] stands around any backend and takes
//! these paths when a test says so, one call at a time by a [script](Faults::script), or [at random](Faults::at_random) by
//! a seed that repeats. Where it was told nothing it is the backend beneath it: it passes the conformance suite. It gives no
//! [shortcut](storage_api::Shortcut), by which a call would pass the faults by.
//!
//! A worker that is not told that its completion applied must not do the work again:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use storage_api::{CompleteOutcome, Operation, Outcome, RetryHint, Storage};
//! use storage_faults::{Fault, Faults};
//! use storage_memory::MemoryBackend;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
//! let faults = Arc::new(Faults::around(Arc::new(MemoryBackend::new())));
//! let storage = Storage::from_backend(faults.clone());
//! let partition = storage.create_partition(("emails", 0), Default::default()).await?;
//! partition.produce(["hello"]).await?;
//! let leased = partition.lease(10, Duration::from_secs(30)).await?;
//! let receipts: Vec<_> = leased.iter().map(|item| item.receipt()).collect();
//!
//! faults.script(Operation::Complete, [Some(Fault::After)]);
//! let error = partition.complete(receipts.clone()).await.unwrap_err();
//! assert_eq!((error.outcome(), error.retry_hint()), (Outcome::Unknown, RetryHint::SameCall));
//!
//! // The hint says that it may be repeated; the second answer tells that the first call had applied.
//! assert_eq!(partition.complete(receipts).await?, [CompleteOutcome::NotFound]);
//! # Ok(()) }
//! ```
//!
//! A program that must get through whatever happens is given a seed:
//!
//! ```
//! use std::sync::Arc;
//! use storage_api::Storage;
//! use storage_faults::{Fault, Faults};
//! use storage_memory::MemoryBackend;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
//! let faults = Arc::new(Faults::around(Arc::new(MemoryBackend::new())));
//! let storage = Storage::from_backend(faults.clone());
//! let partition = storage.create_partition(("emails", 0), Default::default()).await?;
//!
//! // One call in three meets one of the two; seed 7 repeats which.
//! faults.at_random(7, 3, &[Fault::Before, Fault::After]);
//! let mut refused = 0;
//! while partition.produce(["hello"]).await.is_err() {
//!     refused += 1;
//! }
//!
//! faults.heal();
//! let lost = faults.met().iter().filter(|(_, fault)| *fault == Fault::After).count();
//! assert_eq!(faults.met().len(), refused);
//! // At least once: each answer that was lost has left an item behind.
//! assert_eq!(partition.stats().await?.items(), 1 + lost as u64);
//! # Ok(()) }
//! ```

mod backend;
mod faults;
mod plan;

pub use faults::{Fault, Faults};
