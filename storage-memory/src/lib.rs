//! The storage contract in memory: for tests, caches and queues that may go with their process.
//!
//! [`MemoryBackend`] is built like a log: records are appended to segments and read where they lie, the state of an item
//! is a slot of 36 bytes found from its id by subtraction, and the order of ready items is a list of runs. What an
//! operation costs does not depend on how deep the queue is. With [`MemoryConfig::max_memory`] a limit holds over
//! everything. Its durability is [`None`](storage_api::Durability::None).
//!
//! | file | question |
//! |---|---|
//! | `backend`, `config`, `report` | what is opened and how, who may enter, how it closes, what it tells of its memory |
//! | `partition` | what a partition consists of, and how an item enters, changes and leaves |
//! | `discard` | who gives back the memory of a partition that has gone |
//! | `home` | where a partition is, under its lock, and the way there without looking for it |
//! | `log`, `segment`, `compaction` | where the records are, and how their memory is used again |
//! | `slot`, `slots`, `notes` | what is kept of an item, and where that is |
//! | `ready`, `leases`, `timers`, `holders`, `dedup` | in which order items are leased, who has leased what until when, which keys are taken |
//! | `account`, `budget`, `demand`, `footprint`, `overflow` | how much memory is taken, what something will take, what goes to make room |
//! | `produce`, `lease`, `finish`, `time`, `remove`, `listing`, `restore` | what each operation does to a partition |
//! | `capacity` | whether the limits of a partition leave room |
//! | `metadata`, `commit` | what stands beside the items, and what changes together |
//! | `partition_store`, `item_store`, `metadata_store` | which operation of the traits goes where |
//! | `sync` | which locks all of them take |
//! | `sorted`, `slab`, `numbers` | ordered maps, numbered places, and numbers that are given out once |

mod account;
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
mod discard;
mod expiring;
mod finish;
mod footprint;
mod holders;
mod home;
mod item_store;
mod lease;
mod leases;
mod listing;
mod log;
mod metadata;
mod metadata_store;
mod notes;
mod numbers;
mod overflow;
mod partition;
mod partition_store;
mod produce;
mod ready;
mod reclaim;
mod remove;
mod report;
mod restore;
mod segment;
mod slab;
mod slot;
mod slots;
mod sorted;
#[cfg(test)]
mod stories;
mod sync;
mod time;
mod timers;

pub use backend::MemoryBackend;
pub use config::{MemoryConfig, Overflow};
pub use report::{MemoryReport, Segments};
