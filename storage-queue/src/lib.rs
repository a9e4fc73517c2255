//! Queues and workers over any storage.

mod backoff;
mod config;
mod storages;
mod units;

pub use backoff::Backoff;
pub use config::{PARTITIONS_MAX, QueueConfig};
pub use storages::{PartitionStorage, Storages};
