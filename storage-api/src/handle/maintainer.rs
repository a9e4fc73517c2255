//! Maintaining in the background, at the time something is due.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Partition;
use crate::error::{Error, ErrorKind};
use crate::time::Timestamp;
use crate::watch::Signal;

/// The first pause after an error: about what a short lock or a full disk cache takes.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause between tries: what a partition waits at most after the trouble has passed.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Maintains partitions at the time when something is due, so that items move although nobody leases.
///
/// One task for each partition. An error is logged and tried again after a pause; a partition that is deleted, and a
/// backend that is closed, end their tasks; a frozen partition is waited for. Dropping it stops the tasks where they wait.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
/// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
/// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
/// use storage_api::Maintainer;
///
/// let maintainer = Maintainer::start([partition.clone()]);
/// partition.produce(["hello"]).await?;
/// maintainer.stop().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Maintainer {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Maintainer {
    /// Starts a task for each partition on the tokio runtime of the caller; panics outside of one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let maintainer = storage_api::Maintainer::start([]);
    /// maintainer.stop().await;
    /// # }
    /// ```
    pub fn start(partitions: impl IntoIterator<Item = Partition>) -> Self {
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        for partition in partitions {
            tasks.spawn(run(partition, stop.subscribe()));
        }
        Self { tasks, stop }
    }

    /// Lets what is under way finish, then stops.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// let maintainer = storage_api::Maintainer::start([partition]);
    /// maintainer.stop().await;
    /// # Ok(()) }
    /// ```
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What comes after a try.
enum Next {
    /// Wait for the signal, or until something is due.
    Due(Signal, Option<Timestamp>),
    /// Wait for the signal, if there is one, or for a pause.
    Pause(Option<Signal>),
    /// There is nothing left to maintain.
    End,
}

async fn run(partition: Partition, mut stop: watch::Receiver<bool>) {
    let clock = partition.storage().clock();
    let mut pause = PAUSE_MIN;
    while !*stop.borrow() {
        let (signal, wake_at) = match maintain(&partition).await {
            Next::Due(signal, due) => {
                pause = PAUSE_MIN;
                (Some(signal), due.unwrap_or(Timestamp::MAX))
            }
            Next::Pause(signal) => {
                let until = clock.now().saturating_add(pause);
                pause = (pause * 2).min(PAUSE_MAX);
                (signal, until)
            }
            Next::End => return,
        };
        let fired = async {
            match signal {
                Some(mut signal) => signal.fired().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // The sender is gone only when this task is being dropped, too.
            _ = stop.changed() => {}
            () = fired => {}
            () = clock.sleep_until(wake_at) => {}
        }
    }
}

async fn maintain(partition: &Partition) -> Next {
    // Signal, look, wait.
    let signal = match partition.watch().await {
        Ok(signal) => signal,
        Err(error) => return after_error(partition, &error, None),
    };
    match partition.maintain().await {
        Ok(maintained) => Next::Due(signal, maintained.next_due),
        Err(error) => after_error(partition, &error, Some(signal)),
    }
}

fn after_error(partition: &Partition, error: &Error, signal: Option<Signal>) -> Next {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Closed => Next::End,
        // Frozen: expected, and opening it fires the signal.
        ErrorKind::Unavailable => Next::Pause(signal),
        _ => {
            tracing::warn!(partition = %partition.id(), %error, "maintaining goes on after a pause");
            Next::Pause(None)
        }
    }
}
