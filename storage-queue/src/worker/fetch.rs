//! Leasing what slots are free for, and a little more where items go fast.

use std::time::Duration;

use storage_api::{Error, ErrorKind, RetryHint, Signal, Timestamp};

use super::shared::Shared;
use crate::queue::any_fired;

/// Items that were all begun within that time go fast: twice as many may wait from then on. So what waits will be begun
/// within a few tens of milliseconds, and a million empty items still come in large leases.
const FAST: Duration = Duration::from_millis(20);
/// Items that took longer than that to be begun were too many: half as many may wait.
const SLOW: Duration = Duration::from_millis(100);
/// The most items that wait: beyond it a larger lease is hardly cheaper for each item.
const PREFETCH_MAX: usize = 4096;
/// The first and the longest pause after an error that may pass.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Leases until the worker is to stop; the error is why it cannot go on.
pub(super) async fn fetch(shared: &Shared) -> Option<Error> {
    let mut stop = shared.stop.clone();
    let mut pace = Pace::default();
    let mut pause = PAUSE_MIN;
    let mut signals: Vec<Signal> = Vec::new();
    loop {
        let room = shared.room();
        if shared.is_stopping() {
            return None;
        }
        if room == 0 {
            tokio::select! {
                () = shared.room.notified() => {}
                _ = stop.changed() => {}
            }
            continue;
        }
        pace.adapt(shared);
        let mut options = shared.options;
        options.items_max = shared
            .room()
            .max(room)
            .min(storage_api::limits::BATCH_ITEMS_MAX);
        // Never dropped: a lease that applied would be held by nobody.
        let error = match shared.queue.look(options).await {
            Ok(look) if !look.deliveries.is_empty() => {
                pace.leased(
                    shared.clock().now(),
                    look.deliveries.len() >= options.items_max,
                );
                shared.add(look.deliveries);
                signals.clear();
                pause = PAUSE_MIN;
                continue;
            }
            Ok(look) => {
                // Signals, look, wait: the first look was without signals.
                if !signals.is_empty() {
                    let wake_at = look.next_due.unwrap_or(Timestamp::MAX);
                    tokio::select! {
                        () = any_fired(&mut signals) => {}
                        () = shared.clock().sleep_until(wake_at) => {}
                        _ = stop.changed() => {}
                    }
                }
                match shared.queue.signals().await {
                    Ok(watched) => {
                        signals = watched;
                        continue;
                    }
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        if is_fatal(&error) {
            return Some(error);
        }
        tracing::warn!(queue = %shared.queue.name(), %error, "leasing goes on after a pause");
        let until = shared.clock().now().saturating_add(pause);
        pause = (pause * 2).min(PAUSE_MAX);
        tokio::select! {
            () = shared.clock().sleep_until(until) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Whether trying again is in vain until somebody does something.
pub(super) fn is_fatal(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Closed
            | ErrorKind::NotFound
            | ErrorKind::InvalidArgument
            | ErrorKind::Unsupported
    ) || error.retry_hint() == RetryHint::AfterReopen
}

/// How fast leased items are begun.
#[derive(Default)]
struct Pace {
    /// When the last lease came, if it was as large as it was to be.
    full_at: Option<Timestamp>,
}

impl Pace {
    fn leased(&mut self, now: Timestamp, is_full: bool) {
        self.full_at = is_full.then_some(now);
    }

    fn adapt(&mut self, shared: &Shared) {
        let Some(leased_at) = self.full_at.take() else {
            return;
        };
        let taken = shared.clock().now().saturating_since(leased_at);
        let prefetch = shared.prefetch();
        if taken <= FAST.min(shared.lease_for / 10) {
            let more = (prefetch * 2).max(shared.concurrency);
            shared.set_prefetch(more.min(PREFETCH_MAX));
        } else if taken > SLOW {
            let less = prefetch / 2;
            shared.set_prefetch(if less < shared.concurrency { 0 } else { less });
        }
    }
}
