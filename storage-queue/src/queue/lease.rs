//! Leasing from all partitions: fairly, and waiting for any of them.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use storage_api::{Error, ErrorKind, LeaseOptions, Result, RetryHint, Signal, Timestamp};
use tracing::{Instrument, debug_span};

use super::{Deliveries, Queue};

/// What a look at every partition found.
pub(crate) struct Look {
    pub(crate) deliveries: Deliveries,
    /// When something will be due next, if nothing happens before.
    pub(crate) next_due: Option<Timestamp>,
    /// Why nothing could be had, where every partition refused for now.
    pub(crate) refused: Option<Error>,
}

impl Queue {
    /// Takes ready items of any partition, each lease beginning with another one, and waits where the options say so.
    ///
    /// The wait ends at the first item that is ready in any partition, at an error, or with nothing. Partitions that are frozen
    /// are passed over; where all are, it is `Unavailable` once the wait is over. With a limit of bytes all items come from one
    /// partition.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default().with_partitions(4)?).await?;
    /// use std::time::Duration;
    /// use storage_api::LeaseOptions;
    ///
    /// emails.produce(["a"]).await?;
    /// emails.produce(["b"]).await?;
    /// let options = LeaseOptions::new(10, Duration::from_secs(30)).wait(Duration::from_secs(5));
    /// let leased = emails.lease(options).await?;
    /// assert_eq!(leased.len(), 2);
    /// assert_ne!(leased[0].partition(), leased[1].partition());
    /// # Ok(()) }
    /// ```
    pub async fn lease(&self, options: LeaseOptions) -> Result<Deliveries> {
        let span = debug_span!("lease", queue = %self.name(), items_max = options.items_max);
        let leasing = async {
            let clock = self.metadata().clock();
            let until = clock.now().saturating_add(options.wait);
            let mut signals = Vec::new();
            loop {
                let look = self.look(options).await?;
                if !look.deliveries.is_empty() {
                    return Ok(look.deliveries);
                }
                if clock.now() >= until {
                    return look.refused.map_or(Ok(look.deliveries), Err);
                }
                if !signals.is_empty() {
                    let wake_at = look.next_due.map_or(until, |due| due.min(until));
                    tokio::select! {
                        () = any_fired(&mut signals) => {}
                        () = clock.sleep_until(wake_at) => {}
                    }
                }
                // Signals, look, wait: what happens after the look fires a signal. New ones each time, so that a partition
                // deleted and made again is watched, too.
                signals = self.signals().await?;
            }
        };
        leasing.instrument(span).await
    }

    /// A signal of every partition.
    pub(crate) async fn signals(&self) -> Result<Vec<Signal>> {
        let mut signals = Vec::with_capacity(self.partitions().len());
        for partition in self.partitions() {
            signals.push(partition.watch().await?);
        }
        Ok(signals)
    }

    /// Maintains and leases in every partition until there are enough, without waiting.
    pub(crate) async fn look(&self, mut options: LeaseOptions) -> Result<Look> {
        options.wait = Duration::ZERO;
        let mut look = Look {
            deliveries: Deliveries::default(),
            next_due: None,
            refused: None,
        };
        let width = self.partitions().len();
        let start = self.next_to_lease();
        let mut refusals = 0;
        for number in (start..width).chain(0..start) {
            let mut now_options = options;
            now_options.items_max = options.items_max.saturating_sub(look.deliveries.len());
            match self.partitions()[number].lease_or_due(now_options).await {
                Ok((batch, next_due)) => {
                    look.next_due = earliest(look.next_due, next_due);
                    let number = u32::try_from(number).expect("a queue has few partitions");
                    look.deliveries.add(number, batch);
                    let count = look.deliveries.len();
                    if count >= options.items_max || (count > 0 && options.bytes_max.is_some()) {
                        break;
                    }
                }
                Err(error) if is_refused_for_now(&error) => {
                    refusals += 1;
                    look.refused.get_or_insert(error);
                }
                // What is leased already must not be lost; the next lease meets the error again.
                Err(_) if !look.deliveries.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        if refusals < width {
            look.refused = None;
        }
        Ok(look)
    }
}

/// Returns when one of the signals has fired. Dropping the future loses no firing.
pub(crate) async fn any_fired(signals: &mut [Signal]) {
    let mut fired: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
    for signal in signals {
        fired.push(Box::pin(signal.fired()));
    }
    poll_fn(|context| {
        let is_one = |future: &mut Pin<Box<dyn Future<Output = ()> + Send + '_>>| {
            future.as_mut().poll(context).is_ready()
        };
        if fired.iter_mut().any(is_one) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

fn is_refused_for_now(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable && error.retry_hint() == RetryHint::SameCall
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}
