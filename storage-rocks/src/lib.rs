//! The storage contract on disk, over RocksDB: for many writers, within bounded memory.
//!
//! ```
//! use storage_api::{PartitionConfig, Storage};
//! use storage_rocks::{RocksBackend, RocksConfig};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
//! # let scratch = tempfile::tempdir().unwrap();
//! # let directory = scratch.path().join("data");
//! let storage = Storage::new(RocksBackend::open(RocksConfig::new(&directory)).await?);
//! let emails = storage.create_partition(("emails", 0), PartitionConfig::default()).await?;
//! emails.produce(["hello"]).await?;
//! storage.close().await?;
//!
//! let storage = Storage::new(RocksBackend::open(RocksConfig::new(&directory)).await?);
//! assert_eq!(storage.partition(("emails", 0))?.stats().await?.ready.items, 1);
//! # Ok(()) }
//! ```
//!
//! Compiling it takes a C++ compiler, libclang with its headers, and a while. What it claims:
//!
//! - `power-loss` by default: `Ok` comes after an fdatasync of the log that everybody who waits shares; lease, maintain and
//!   purge do not wait. `process-crash` waits for nothing: the log is with the system before a write returns. With `none` it
//!   is the same; nobody asks for a sync but for the ceilings of numbers.
//! - A place that was closed is sealed: whatever changes a file of it is told at the next opening, by checksums for the first
//!   16 MiB and by lengths behind them, where the blocks of tables have checksums of their own. In the logs of a process that
//!   was killed, or of a machine that lost power, an end that was cut off is dropped, and damage before the end is refused; so
//!   are logs of which nothing is left that the opening wrote. An end that somebody else cut off looks as one that a crash did.
//! - Memory is bounded by the settings: memtables, at whose bound writers wait, and one cache for blocks, indexes and filters.
//!   What an open table needs comes on top, and so many may be open as is set; and what is read ahead of leases, 256 KiB each of
//!   eight partitions at most.
//! - The logs are bounded too: tables are written in time. An opening after a crash reads what is in them; closing writes it
//!   into tables.
//! - Space is given back by merging keyspaces of which less than a quarter of the rows are to be seen, and what deleted
//!   partitions held: five seconds after the last write, or at once from 64 MiB on. Everybody else goes on meanwhile. What
//!   cannot be given back then, as on a full disk, is tried again after pauses of which each is twice as long.
//!   An open place takes 1 MiB at least, ahead of the end of its log.
//! - Where RocksDB cannot keep up with its tables it makes writers wait, in the threads that call.

mod backend;
mod config;
mod engine;
mod error;
mod first_log;
mod log;
mod run;
mod space;

pub use backend::RocksBackend;
pub use config::RocksConfig;
pub use engine::RocksEngine;
pub use storage_kv::Faults;
