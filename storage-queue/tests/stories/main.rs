//! Queues and workers over the memory driver, with a clock that is set by hand.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, their builders included"
)]

mod faulty;
mod leasing;
mod lifecycle;
mod producing;
mod transactions;
mod worker;

use std::time::Duration;

use storage_api::{LeaseOptions, ManualClock, Storage, Timestamp};
use storage_memory::MemoryBackend;
use storage_queue::{Queue, QueueConfig, Queues, Storages};
use tokio::task::JoinHandle;

const LEASE: Duration = Duration::from_secs(30);
const START: Timestamp = Timestamp::from_secs(1000);

fn memory() -> (Storage, ManualClock) {
    let clock = ManualClock::new(START);
    let storage = Storage::new(MemoryBackend::new()).with_clock(clock.clone());
    (storage, clock)
}

async fn configured(config: QueueConfig) -> (Queue, ManualClock) {
    let (storage, clock) = memory();
    let queues = Queues::new(Storages::single(storage));
    (queues.create("q", config).await.unwrap(), clock)
}

async fn partitioned(partitions: u32) -> (Queue, ManualClock) {
    let config = QueueConfig::default().with_partitions(partitions).unwrap();
    configured(config).await
}

fn up_to(items_max: usize) -> LeaseOptions {
    LeaseOptions::new(items_max, LEASE)
}

/// Lets every other task run until it waits: nothing here waits for anything but the clock and signals.
async fn quiet() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

async fn waiting<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let task = tokio::spawn(future);
    quiet().await;
    assert!(!task.is_finished(), "it should wait");
    task
}
