//! The storage contract in memory: for tests, caches and queues that may go with their process.
//!
//! [`MemoryBackend`] keeps every order that an operation needs as an index of its own, so that leasing, completing,
//! retrying, maintaining and counting cost at a million items what they cost at a thousand. Its durability is
//! [`None`](storage_api::Durability::None).
//!
//! | file | question |
//! |---|---|
//! | `backend` | what is opened, who may enter, how it closes |
//! | `partition` | what a partition consists of, and how an item enters, changes and leaves |
//! | `index` | in which orders items are found, and what is kept about them |
//! | `dedup` | which dedup keys are taken, and until when |
//! | `produce`, `lease`, `finish`, `time`, `remove`, `listing`, `restore` | what each operation does to a partition |
//! | `capacity` | whether there is room for what is to be stored |
//! | `metadata`, `commit` | what stands beside the items, and what changes together |
//! | `partition_store`, `item_store`, `metadata_store` | which operation of the traits goes where |
//! | `number_set`, `numbers` | sets of numbers, and numbers that are given out once |

#[cfg(test)]
mod agreement;
mod backend;
mod budget;
mod capacity;
mod commit;
mod compaction;
mod config;
mod dedup;
mod demand;
mod finish;
mod footprint;
mod item_store;
mod lease;
mod leases;
mod listing;
mod log;
mod metadata;
mod metadata_store;
mod number_set;
mod numbers;
mod overflow;
mod partition;
mod partition_store;
mod produce;
mod ready;
mod remove;
mod report;
mod restore;
mod segment;
mod slab;
mod slot;
mod slots;
#[cfg(test)]
mod stories;
mod time;

pub use backend::MemoryBackend;
pub use config::{MemoryConfig, Overflow};
pub use report::{MemoryReport, Segments};
