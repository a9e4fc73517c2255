//! The storage contract over any ordered key-value engine.
//!
//! An engine implements [`OrderedKv`], five verbs; [`KvBackend`] makes a storage backend of it: order, leases, deadlines,
//! dedup keys, statistics, metadata, commits, and syncs that are shared by everybody who waits for one. An engine that takes
//! one writer at a time goes behind an [`Overlay`]. [`prove`] tells whether an engine is what the core takes it for, [`Place`]
//! sees to the directory, and [`SimKv`] is an engine in memory whose power can be cut.
//!
//! ```
//! use storage_api::{Durability, PartitionConfig, Storage};
//! use storage_kv::{KvBackend, KvOptions, SimDisk};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
//! let disk = SimDisk::new();
//! let options = || KvOptions::new("sim", "1.0.0", Durability::PowerLoss);
//! let storage = Storage::new(KvBackend::open(disk.open(), options())?);
//! let emails = storage.create_partition(("emails", 0), PartitionConfig::default()).await?;
//! emails.produce(["hello"]).await?;
//!
//! disk.crash(0); // the power goes, and with it all that was not synced
//!
//! let storage = Storage::new(KvBackend::open(disk.open(), options())?);
//! let emails = storage.partition(("emails", 0))?;
//! assert_eq!(emails.stats().await?.ready.items, 1);
//! # Ok(()) }
//! ```
//!
//! | file | what |
//! |---|---|
//! | `engine`, `batch`, `keyspace` | what an engine is asked for |
//! | `overlay`, `sim`, `prove`, `faults` | engines over engines, in memory, under proof, failing |
//! | `keys`, `codec`, `item`, `counters`, `catalog` | every row, byte for byte |
//! | `sync` | the locks of all the others |
//! | `store` | checksums, syncs, the latch that stops writes |
//! | `numbers` | ids, positions, leases and versions that are never given twice |
//! | `kernel`, `partition`, `gate` | what every operation goes through |
//! | `work`, `touched`, `due`, `read`, `ahead` | one operation: what it reads, and the one batch that it writes |
//! | `produce`, `lease`, `finish`, `time`, `listing`, `metadata`, `commit` | the operations |
//! | `janitor` | what happens behind everybody's back |
//! | `verify` | the stored state against itself |
//! | `place`, `seal`, `opening` | the directory, its lock and its marker; what its files were when it was closed; how an adapter opens them |
//! | `backend` | the driver traits |

mod ahead;
mod backend;
mod batch;
mod catalog;
mod codec;
mod commit;
mod counters;
mod due;
mod engine;
mod faults;
mod finish;
mod gate;
mod item;
mod janitor;
mod kernel;
mod keys;
mod keyspace;
mod lease;
mod listing;
mod metadata;
mod numbers;
mod opening;
mod overlay;
mod partition;
mod place;
mod produce;
mod prove;
mod read;
mod seal;
mod sim;
#[cfg(test)]
mod simulation;
mod store;
mod sync;
mod time;
mod touched;
mod verify;
mod work;

pub use backend::{KvBackend, KvOptions};
pub use batch::{RangeDelete, WriteBatch};
pub use engine::{EngineTraits, KvError, KvErrorKind, KvResult, OrderedKv, Span, Visit};
pub use faults::{Faults, HeldSyncs};
pub use keyspace::Keyspace;
pub use opening::{open_aside, refused_opening};
pub use overlay::Overlay;
pub use place::{Place, free_bytes, taken_bytes};
pub use prove::prove;
pub use seal::Seal;
pub use sim::{SimDisk, SimKv};
