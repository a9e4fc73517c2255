//! Queues and workers over any storage.

mod backoff;
mod config;
mod definition;
mod placement;
mod queue;
mod queues;
mod route;
mod storages;
mod transaction;
mod units;
mod worker;

pub use backoff::Backoff;
pub use config::{PARTITIONS_MAX, QueueConfig};
pub use queue::{
    Deliveries, Delivery, Queue, QueueItem, QueueItemId, QueuePages, QueueProduced, QueueReceipt,
    QueueRetry,
};
pub use queues::{QueueInfo, Queues};
pub use storages::{PartitionStorage, Storages};
pub use transaction::QueueTransaction;
pub use worker::{Handler, Outcome, RunningWorker, Stopped, Worker, WorkerReport};
