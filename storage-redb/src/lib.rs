//! The storage contract on disk, over redb: one file, pure Rust, instant opening.
//!
//! ```
//! use storage_api::{PartitionConfig, Storage};
//! use storage_redb::{RedbBackend, RedbConfig};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
//! # let scratch = tempfile::tempdir().unwrap();
//! # let directory = scratch.path().join("data");
//! let storage = Storage::new(RedbBackend::open(RedbConfig::new(&directory)).await?);
//! let emails = storage.create_partition(("emails", 0), PartitionConfig::default()).await?;
//! emails.produce(["hello"]).await?;
//! storage.close().await?;
//!
//! let storage = Storage::new(RedbBackend::open(RedbConfig::new(&directory)).await?);
//! assert_eq!(storage.partition(("emails", 0))?.stats().await?.ready.items, 1);
//! # Ok(()) }
//! ```
//!
//! What it claims:
//!
//! - `power-loss` by default: `Ok` comes after an fdatasync that everybody who waits shares. `process-crash` costs the same
//!   sync, because redb keeps what was not synced in the memory of the process. With `none` nobody waits; the file is whole
//!   at every moment, and holds a prefix.
//! - After the process was killed the next opening walks the whole file once: that is redb's repair. Where the pages of the
//!   last commit are damaged it goes back to the one before, as it takes them for what the kill cut off.
//! - Space is given back by compacting the file once less than a quarter of it is in use: five seconds after the last write,
//!   or at once if the file is larger than 64 MiB. Meanwhile operations wait; it takes as long as copying what is in use.
//! - Rows carry checksums of their own, and an item is shown only where its rows fit each other, so that damage is told and
//!   not shown. The checksums of redb's pages are compared at the opening of a file of up to 16 MiB, and by redb's repair, not
//!   at every opening of a large one: there a damaged page may hide rows, and items that all of their rows are hidden of are
//!   missed by [`verify`](storage_api::Verify) alone.

mod backend;
mod config;
mod engine;
mod error;
mod file;

pub use backend::RedbBackend;
pub use config::RedbConfig;
pub use engine::RedbEngine;
pub use storage_kv::Faults;
