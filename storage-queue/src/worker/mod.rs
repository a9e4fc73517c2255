//! Workers: handle the items of a queue, several at a time.
//!
//! | file | task | question |
//! |---|---|---|
//! | `fetch` | one | when to lease, and how much |
//! | `slot` | one for each item at work | how a handler runs |
//! | `settle` | one | how outcomes are stored |
//! | `keep` | one | how leases outlive their handlers |
//! | `shared` | | what they share |

mod fetch;
mod handler;
mod keep;
mod settle;
mod shared;
mod slot;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use storage_api::{Error, Holder, LeaseOptions};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::shared::{Counters, Shared};
use crate::queue::Queue;

pub use handler::{Handler, Outcome};

/// A worker that is to be started: a handler for the items of a queue.
///
/// It leases only what it can start soon, extends the leases of what runs, stores outcomes in batches, retries with the
/// backoff of the queue, and gives back what it has not begun when it stops.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
/// # use storage_queue::{QueueConfig, Queues, Storages};
/// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
/// # let queues = Queues::new(Storages::single(storage));
/// # let emails = queues.create("emails", QueueConfig::default()).await?;
/// use storage_queue::{Delivery, Worker};
///
/// emails.produce(["ann", "bob"]).await?;
/// let mut worker = Worker::new(emails, async |delivery: Delivery| {
///     println!("sending to {}", delivery.payload().escape_ascii());
/// })
/// .concurrency(4)
/// .start();
///
/// while worker.report().completed < 2 {
///     worker.changed().await;
/// }
/// let stopped = worker.stop().await;
/// assert_eq!(stopped.report.completed, 2);
/// # Ok(()) }
/// ```
pub struct Worker<H> {
    queue: Queue,
    handler: H,
    options: LeaseOptions,
    settings: Settings,
}

#[derive(Debug)]
struct Settings {
    concurrency: usize,
    timeout: Option<Duration>,
    seed: u64,
    settles_first: bool,
}

impl<H: Handler> Worker<H> {
    /// A worker for one item at a time, with leases of 30 seconds.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{Delivery, QueueConfig, Queues, Storages, Worker};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = Queues::new(Storages::single(storage)).create("emails", QueueConfig::default()).await?;
    /// let worker = Worker::new(emails, async |_: Delivery| {});
    /// # Ok(()) }
    /// ```
    pub fn new(queue: Queue, handler: H) -> Self {
        Self {
            queue,
            handler,
            options: LeaseOptions::new(1, Duration::from_secs(30)),
            settings: Settings {
                concurrency: 1,
                timeout: None,
                seed: 0,
                settles_first: false,
            },
        }
    }

    /// Handles that many items at a time; at least one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{Delivery, QueueConfig, Queues, Storages, Worker};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = Queues::new(Storages::single(storage)).create("emails", QueueConfig::default()).await?;
    /// let worker = Worker::new(emails, async |_: Delivery| {}).concurrency(16);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.settings.concurrency = concurrency.max(1);
        self
    }

    /// Leases for that time, and extends at every third of it. The shorter, the sooner a dead worker's items come again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{Delivery, QueueConfig, Queues, Storages, Worker};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = Queues::new(Storages::single(storage)).create("emails", QueueConfig::default()).await?;
    /// use std::time::Duration;
    ///
    /// let worker = Worker::new(emails, async |_: Delivery| {}).lease_for(Duration::from_secs(5));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn lease_for(mut self, lease_for: Duration) -> Self {
        self.options.lease_for = lease_for;
        self
    }

    /// Holds its leases under that number, so that they can be released together if the worker dies.
    ///
    /// The number should be new for each start: one that a living worker has, too, would release its leases.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{Delivery, QueueConfig, Queues, Storages, Worker};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = Queues::new(Storages::single(storage)).create("emails", QueueConfig::default()).await?;
    /// use storage_api::Holder;
    ///
    /// let worker = Worker::new(emails, async |_: Delivery| {}).holder(Holder::new(17)?);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn holder(mut self, holder: Holder) -> Self {
        self.options = self.options.holder(holder);
        self
    }

    /// Stops a handler that takes longer, by dropping it, and retries its item. Without it a handler may run for ever.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{Delivery, QueueConfig, Queues, Storages, Worker};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = Queues::new(Storages::single(storage)).create("emails", QueueConfig::default()).await?;
    /// use std::time::Duration;
    ///
    /// let worker = Worker::new(emails, async |_: Delivery| {}).timeout(Duration::from_secs(600));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }

    /// The number from which the chance in the backoff comes; 0 where nothing is said. Workers of one queue should differ.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{Delivery, QueueConfig, Queues, Storages, Worker};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = Queues::new(Storages::single(storage)).create("emails", QueueConfig::default()).await?;
    /// let worker = Worker::new(emails, async |_: Delivery| {}).seed(42);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Begins an item only when the outcome of the one before it in its slot is stored.
    ///
    /// Without it the slots go on while outcomes are stored, many at a time: that is faster where handlers are, and after a
    /// crash items come again whose handlers had long ended. With it no more come again than there are slots.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{Delivery, QueueConfig, Queues, Storages, Worker};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = Queues::new(Storages::single(storage)).create("emails", QueueConfig::default()).await?;
    /// let worker = Worker::new(emails, async |_: Delivery| {}).concurrency(16).settle_first();
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn settle_first(mut self) -> Self {
        self.settings.settles_first = true;
        self
    }

    /// Starts on the tokio runtime of the caller; panics outside of one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{Delivery, QueueConfig, Queues, Storages, Worker};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = Queues::new(Storages::single(storage)).create("emails", QueueConfig::default()).await?;
    /// let worker = Worker::new(emails, async |_: Delivery| {}).start();
    /// worker.stop().await;
    /// # Ok(()) }
    /// ```
    pub fn start(self) -> RunningWorker {
        let counters = Arc::new(Counters::new());
        let (stop, stopping) = watch::channel(false);
        let shared = Shared::new(
            self.queue,
            self.options,
            &self.settings,
            Arc::clone(&counters),
            stopping,
        );
        let (ended_sender, ended) = watch::channel(false);
        let running = supervise(Arc::new(shared), Arc::new(self.handler));
        let supervisor = tokio::spawn(async move {
            let error = running.await;
            ended_sender.send_replace(true);
            error
        });
        RunningWorker {
            changed: counters.changed.subscribe(),
            counters,
            stop,
            ended,
            supervisor,
        }
    }
}

impl<H> fmt::Debug for Worker<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("queue", &self.queue)
            .field("options", &self.options)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Runs every task of a worker until it is to stop or cannot go on, then ends them in the order in which nothing is lost.
/// Dropped, it drops them all where they wait.
async fn supervise<H: Handler>(shared: Arc<Shared>, handler: Arc<H>) -> Option<Error> {
    let mut slots = JoinSet::new();
    for slot in 0..shared.concurrency {
        let (shared, handler) = (Arc::clone(&shared), Arc::clone(&handler));
        slots.spawn(async move { slot::run(&shared, &*handler, slot).await });
    }
    let mut keeping = JoinSet::new();
    let keeper = Arc::clone(&shared);
    keeping.spawn(async move { keep::keep(&keeper).await });
    let mut settling = JoinSet::new();
    let settler = Arc::clone(&shared);
    settling.spawn(async move { settle::settle(&settler).await });

    let error = fetch::fetch(&shared).await;

    shared.waiting.close();
    keep::release(&shared, &shared.take_waiting(None)).await;
    while slots.join_next().await.is_some() {}
    shared.is_drained.store(true, Ordering::Release);
    shared.outcomes.notify_one();
    while settling.join_next().await.is_some() {}
    error
}

/// A worker at work. Dropping it drops its handlers where they wait; their items come again when the leases have ended.
pub struct RunningWorker {
    counters: Arc<Counters>,
    changed: watch::Receiver<()>,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
    supervisor: JoinHandle<Option<Error>>,
}

impl RunningWorker {
    /// What it has done so far.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{Delivery, QueueConfig, Queues, Storages, Worker};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = Queues::new(Storages::single(storage)).create("emails", QueueConfig::default()).await?;
    /// let worker = Worker::new(emails, async |_: Delivery| {}).start();
    /// assert_eq!(worker.report().completed, 0);
    /// # Ok(()) }
    /// ```
    pub fn report(&self) -> WorkerReport {
        self.counters.report()
    }

    /// Returns when the report has changed since the last return; at once when the worker has ended.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{Delivery, QueueConfig, Queues, Storages, Worker};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = Queues::new(Storages::single(storage)).create("emails", QueueConfig::default()).await?;
    /// emails.produce(["hello"]).await?;
    /// let mut worker = Worker::new(emails, async |_: Delivery| {}).start();
    /// worker.changed().await;
    /// assert_eq!(worker.report().completed, 1);
    /// # Ok(()) }
    /// ```
    pub async fn changed(&mut self) {
        let mut ended = self.ended.clone();
        tokio::select! {
            _ = self.changed.changed() => {}
            _ = ended.wait_for(|ended| *ended) => {}
        }
    }

    /// Returns when the worker has ended: by itself, since the queue was deleted or its storage closed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{Delivery, QueueConfig, Queues, Storages, Worker};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = Queues::new(Storages::single(storage.clone())).create("emails", QueueConfig::default()).await?;
    /// let worker = Worker::new(emails, async |_: Delivery| {}).start();
    /// storage.close().await?;
    /// worker.ended().await;
    /// assert!(worker.stop().await.error.is_some());
    /// # Ok(()) }
    /// ```
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error says that the supervisor is gone, which is an end as well.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Stops: what runs is finished and its outcome stored, what was leased but not begun is released.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{Delivery, QueueConfig, Queues, Storages, Worker};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = Queues::new(Storages::single(storage)).create("emails", QueueConfig::default()).await?;
    /// let worker = Worker::new(emails, async |_: Delivery| {}).start();
    /// let stopped = worker.stop().await;
    /// assert!(stopped.error.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn stop(mut self) -> Stopped {
        self.stop.send_replace(true);
        // The supervisor does not panic, and only dropping the handle aborts it.
        let error = (&mut self.supervisor).await.unwrap_or(None);
        Stopped {
            report: self.report(),
            error,
        }
    }
}

impl fmt::Debug for RunningWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningWorker")
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

/// How a worker ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stopped {
    /// What it has done.
    pub report: WorkerReport,
    /// Why it ended by itself, if it did.
    pub error: Option<Error>,
}

/// What a worker has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WorkerReport {
    /// Items completed.
    pub completed: u64,
    /// Items retried that will come again.
    pub retried: u64,
    /// Items that died by a retry: rejected, or their attempts used up.
    pub dead: u64,
    /// Items whose handler ended the lease itself.
    pub settled: u64,
    /// Outcomes that could not be stored, since the item was taken back or deleted, or the storage failed.
    pub lost: u64,
    /// Items given back without having been begun.
    pub released: u64,
    /// Handlers that panicked; their items are among the retried or dead.
    pub panicked: u64,
    /// Handlers that were stopped after the timeout; their items are among the retried or dead.
    pub timed_out: u64,
}
