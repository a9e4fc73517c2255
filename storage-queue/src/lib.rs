//! Queues and workers over any storage: what an application wants.
//!
//! A [`Queue`] spreads items over partitions, leases fairly from all of them, and can change items and metadata in one
//! [transaction](Queue::begin). A [`Worker`] runs a handler for each item, several at a time, with leases that last as long
//! as the handler, retries with backoff, a dead list, and a stop that loses nothing. [`Queues`] keeps the definitions of
//! queues in the metadata of a storage, so that every process finds them, whatever the driver.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
//! use storage_api::Storage;
//! use storage_memory::MemoryBackend;
//! use storage_queue::{Delivery, QueueConfig, Queues, Storages, Worker};
//!
//! let queues = Queues::new(Storages::single(Storage::new(MemoryBackend::new())));
//! let emails = queues.open_or_create("emails", QueueConfig::default()).await?;
//! emails.produce(["ann@example.org", "nobody", "bob@example.org"]).await?;
//!
//! let mut worker = Worker::new(emails.clone(), async |email: Delivery| {
//!     let address = String::from_utf8_lossy(email.payload());
//!     if address.contains('@') { Ok(()) } else { Err("no address") }
//! })
//! .concurrency(4)
//! .start();
//!
//! while worker.report().completed < 2 {
//!     worker.changed().await;
//! }
//! let stopped = worker.stop().await;
//! assert_eq!((stopped.report.completed, stopped.report.retried), (2, 1));
//!
//! // «nobody» rests for a second, with its note, and would be tried again.
//! assert_eq!(emails.stats().await?.scheduled.items, 1);
//! # Ok(()) }
//! ```
//!
//! # What holds
//!
//! - An item comes at least once. It comes again where a process ends, or a storage fails, before the outcome is stored; with
//!   [`QueueTransaction::complete`] an effect on the metadata of the same backend happens exactly once.
//! - Order holds within a partition: a queue of one partition is in strict order, and [`Queue::produce_by_key`] keeps the items
//!   of one key in order in a queue of many.
//! - A dedup key is found in whichever partition: items that have one go to the partition of the key.
//! - Nothing here reads a clock, randomness or the environment: the time is that of the metadata storage's
//!   [clock](storage_api::Clock), and the chance in the backoff comes from [`Worker::seed`].
//! - What a crash leaves half done of a creation, a change or a deletion of a queue, the next one to open it finishes.
//!
//! # Where things are
//!
//! | module | question |
//! |---|---|
//! | `storages` | what queues live in |
//! | `config`, `backoff`, `units` | what can be said of a queue, and how it is written |
//! | `queues`, `definition`, `placement` | how queues are made, found, changed and deleted |
//! | `queue`, `route`, `transaction` | what is done with one queue |
//! | `worker` | how items are worked off |

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
pub use units::{ByteSize, Percent, TimeSpan, UnitError};
pub use worker::{Handler, Outcome, RunningWorker, Stopped, Worker, WorkerReport};
