//! One slot of a worker: one item after the other.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use tokio::sync::oneshot;
use tracing::{Instrument, debug_span};

use super::handler::{Handler, Outcome};
use super::shared::{Counters, Ended, Shared};
use crate::queue::Delivery;

/// Handles items until there will be no more.
pub(super) async fn run<H: Handler>(shared: &Shared, handler: &H, slot: usize) {
    while let Ok(permit) = shared.waiting.acquire().await {
        permit.forget();
        let Some(delivery) = shared.begin(slot) else {
            continue;
        };
        let (receipt, attempts) = (delivery.receipt(), delivery.attempts());
        let span = debug_span!("handle", queue = %shared.queue.name(), item = %receipt.receipt.item, attempts);
        let outcome = handle(shared, handler, delivery).instrument(span).await;
        let (sender, settled) = match shared.settles_first {
            true => Some(oneshot::channel()).unzip(),
            false => (None, None),
        };
        shared.end(
            slot,
            Ended {
                receipt,
                attempts,
                outcome,
                settled: sender,
            },
        );
        if let Some(settled) = settled {
            // Its other end is dropped without a word.
            let _ = settled.await;
        }
    }
}

async fn handle<H: Handler>(shared: &Shared, handler: &H, delivery: Delivery) -> Outcome {
    let handling = caught(async move { handler.handle(delivery).await });
    let handled = match shared.timeout {
        None => handling.await,
        Some(timeout) => {
            let clock = shared.clock();
            tokio::select! {
                biased;
                handled = handling => handled,
                () = clock.sleep_until(clock.now().saturating_add(timeout)) => {
                    Counters::add(&shared.counters.timed_out, 1);
                    let timeout = humantime::format_duration(timeout);
                    return Outcome::retry(format!("the handler was stopped after {timeout}"));
                }
            }
        }
    };
    handled.unwrap_or_else(|panic| {
        Counters::add(&shared.counters.panicked, 1);
        Outcome::retry(format!("the handler panicked: {}", message(&*panic)))
    })
}

/// Polls a future to its end, or to its panic.
async fn caught<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|context| {
        // After a panic the future is dropped and never polled again, so that nobody sees it broken.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
