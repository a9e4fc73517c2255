//! Storing outcomes, as many at a time as there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use storage_api::limits::BATCH_ITEMS_MAX;
use storage_api::{
    CompleteOutcome, Error, Outcome as Effect, Receipt, Result, Retry, RetryOutcome, RetryTo,
};

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::fetch::is_fatal;
use super::handler::Outcome;
use super::shared::{Counters, Ended, Shared};
use crate::route::mix;

/// The first and the longest pause after an error that may pass.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What is to be stored in one partition.
#[derive(Default)]
struct Batch {
    complete: Vec<Receipt>,
    retry: Vec<Retry>,
    /// How many outcomes these are, those that need no storing included.
    count: usize,
    /// Who waits until they are stored.
    waiting: Vec<oneshot::Sender<()>>,
}

/// Stores outcomes until there will be no more: one call at a time for each partition, the partitions side by side.
///
/// While one batch is stored the next one gathers: batches are as large as the storage is slow, nothing waits for them to
/// grow, and a partition that cannot store holds up no other.
pub(super) async fn settle(shared: &Arc<Shared>) {
    let mut gathered: BTreeMap<u32, Batch> = BTreeMap::new();
    let mut busy: BTreeSet<u32> = BTreeSet::new();
    let mut storing: JoinSet<u32> = JoinSet::new();
    loop {
        // Looked at before the outcomes are taken: what ended before it was set is among them.
        let is_last = shared.is_drained.load(Ordering::Acquire);
        gather(shared, &mut gathered);
        let waiting = std::mem::take(&mut gathered);
        for (number, batch) in waiting {
            if busy.insert(number) {
                let shared = Arc::clone(shared);
                storing.spawn(async move {
                    store(&shared, number, &batch).await;
                    number
                });
            } else {
                gathered.insert(number, batch);
            }
        }
        if is_last && storing.is_empty() {
            return;
        }
        tokio::select! {
            () = shared.outcomes.notified() => {}
            Some(stored) = storing.join_next() => {
                busy.remove(&stored.expect("storing outcomes does not panic"));
            }
        }
    }
}

fn gather(shared: &Shared, batches: &mut BTreeMap<u32, Batch>) {
    let now = shared.clock().now();
    for Ended {
        receipt,
        attempts,
        outcome,
        settled,
    } in shared.take_ended()
    {
        let batch = batches.entry(receipt.partition).or_default();
        batch.count += 1;
        batch.waiting.extend(settled);
        let receipt = receipt.receipt;
        match outcome {
            Outcome::Complete => batch.complete.push(receipt),
            Outcome::Retry { after, note } => {
                let random = mix(shared.seed ^ receipt.lease.get());
                let backoff = || shared.queue.config().backoff().rest(attempts, random);
                let rest = after.unwrap_or_else(backoff);
                let to = if rest.is_zero() {
                    RetryTo::Now
                } else {
                    RetryTo::At(now.saturating_add(rest))
                };
                batch.retry.push(Retry { receipt, to, note });
            }
            Outcome::Dead { note } => batch.retry.push(Retry {
                receipt,
                to: RetryTo::Dead,
                note,
            }),
            Outcome::Settled => Counters::add(&shared.counters.settled, 1),
        }
    }
}

async fn store(shared: &Shared, number: u32, batch: &Batch) {
    let partition = shared.queue.partition(number);
    let partition = partition.expect("a delivery comes from a partition of its queue");
    let counters = &shared.counters;
    for receipts in batch.complete.chunks(BATCH_ITEMS_MAX) {
        match persist(shared, || partition.complete(receipts)).await {
            Ok((outcomes, is_unsure)) => {
                // After a try of which nobody knows whether it applied, what is gone was most likely completed by it.
                let is_done = |outcome: &&CompleteOutcome| match outcome {
                    CompleteOutcome::Done => true,
                    CompleteOutcome::NotFound => is_unsure,
                    CompleteOutcome::LeaseLost => false,
                };
                let done = outcomes.iter().filter(is_done).count();
                Counters::add(&counters.completed, done);
                Counters::add(&counters.lost, outcomes.len() - done);
            }
            Err(error) => lose(shared, receipts.len(), &error),
        }
    }
    for retries in batch.retry.chunks(BATCH_ITEMS_MAX) {
        match persist(shared, || partition.retry(retries)).await {
            Ok((outcomes, _)) => {
                for outcome in outcomes {
                    let counter = match outcome {
                        RetryOutcome::Ready | RetryOutcome::Scheduled => &counters.retried,
                        RetryOutcome::Dead(_) | RetryOutcome::Dropped(_) => &counters.dead,
                        RetryOutcome::NotFound | RetryOutcome::LeaseLost => &counters.lost,
                    };
                    Counters::add(counter, 1);
                }
            }
            Err(error) => lose(shared, retries.len(), &error),
        }
    }
    shared.settled(batch.count);
    counters.changed.send_replace(());
}

/// Calls until it is Ok, trying is in vain, or the leases have long ended; and whether a try before may have applied.
async fn persist<T, F, C>(shared: &Shared, call: F) -> Result<(Vec<T>, bool)>
where
    F: Fn() -> C,
    C: Future<Output = Result<Vec<T>>>,
{
    let clock = shared.clock();
    let until = clock.now().saturating_add(shared.lease_for);
    let mut is_unsure = false;
    let mut pause = PAUSE_MIN;
    loop {
        match call().await {
            Ok(outcomes) => return Ok((outcomes, is_unsure)),
            Err(error) if is_fatal(&error) || clock.now() >= until => return Err(error),
            Err(error) => {
                is_unsure |= error.outcome() == Effect::Unknown;
                let wake_at = clock.now().saturating_add(pause).min(until);
                clock.sleep_until(wake_at).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Outcomes that cannot be stored: the items come again when their leases have ended.
fn lose(shared: &Shared, count: usize, error: &Error) {
    tracing::warn!(queue = %shared.queue.name(), count, %error, "outcomes are not stored, their items will come again");
    Counters::add(&shared.counters.lost, count);
}
