//! The storage contract on disk, over sled 0.34: for those who have it already.
//!
//! ```
//! use storage_api::{PartitionConfig, Storage};
//! use storage_sled::{SledBackend, SledConfig};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
//! # let scratch = tempfile::tempdir().unwrap();
//! # let directory = scratch.path().join("data");
//! let storage = Storage::new(SledBackend::open(SledConfig::new(&directory)).await?);
//! let emails = storage.create_partition(("emails", 0), PartitionConfig::default()).await?;
//! emails.produce(["hello"]).await?;
//! storage.close().await?;
//!
//! let storage = Storage::new(SledBackend::open(SledConfig::new(&directory)).await?);
//! assert_eq!(storage.partition(("emails", 0))?.stats().await?.ready.items, 1);
//! # Ok(()) }
//! ```
//!
//! sled is kept for those who have it; who begins anew takes redb, which promises more, or RocksDB. What it claims, and what
//! that costs:
//!
//! - `process-crash` by default, and at most: sled 0.34 asks the system to begin writing and never waits for the disk, so that
//!   `power-loss` is refused at opening and `sync` is `Unsupported`. What sled was not asked to flush stands in the memory of
//!   the process, so that `Ok` comes after a flush, which everybody who waits shares. With `none` nobody waits.
//! - A place that was closed was synced, file by file, and sealed: whatever changes a file of it up to 16 MiB is told at the
//!   next opening, and of a larger one what changes its length. In the log of a process that was killed sled cannot tell
//!   damage from what the kill cut off, wherever it is, and goes back to an earlier moment, so that clause OPEN-3 holds only
//!   in part: rows carry checksums, so that what is shown was written, and a log that is empty or gone is told.
//! - Space is used again, but never given back to the system as a whole: a place of which all items have gone stays larger than
//!   a new one, so that clause USE-1 does not hold there.
//! - The cache bounds the pages in memory. What sled knows about each page comes on top and grows with the data.
//! - Once a write of sled has failed it reads badly. So it gets no batch for which the disk may have no room; and nothing is
//!   written to sled after a failure until the place is opened again, which needs 4 MiB of free space.

mod backend;
mod config;
mod engine;
mod error;

pub use backend::SledBackend;
pub use config::SledConfig;
pub use engine::SledEngine;
pub use storage_kv::Faults;
