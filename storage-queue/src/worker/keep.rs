//! Keeping leases alive while their items are at work, and giving back what was not begun.

use std::time::Duration;

use storage_api::ExtendOutcome;

use super::shared::{Counters, Shared};
use crate::queue::Delivery;

/// Extends at every third of the lease time what would end before the next but one look, for ever.
///
/// So an extension may fail once and be tried again in time. What waits for a slot at that point was leased too early: it is
/// released, and less is leased from then on.
pub(super) async fn keep(shared: &Shared) {
    let third = (shared.lease_for / 3).max(Duration::from_millis(1));
    let clock = shared.clock();
    let mut pause = third;
    loop {
        clock.sleep_until(clock.now().saturating_add(pause)).await;
        let limit = clock.now().saturating_add(third * 2);
        let early = shared.take_waiting(Some(limit));
        if !early.is_empty() {
            shared.set_prefetch(0);
            release(shared, &early).await;
            shared.room.notify_one();
        }
        pause = if extend(shared, limit).await {
            third
        } else {
            third / 4
        };
    }
}

async fn extend(shared: &Shared, limit: storage_api::Timestamp) -> bool {
    let receipts = shared.running_until(limit);
    if receipts.is_empty() {
        return true;
    }
    let deadline = shared.clock().now().saturating_add(shared.lease_for);
    match shared.queue.extend(&receipts, shared.lease_for).await {
        Ok(outcomes) => {
            for (receipt, outcome) in receipts.into_iter().zip(outcomes) {
                if outcome == ExtendOutcome::Extended {
                    shared.extended(receipt, deadline);
                }
            }
            true
        }
        Err(error) => {
            tracing::warn!(queue = %shared.queue.name(), %error, "leases at work are not extended, and will be tried again");
            false
        }
    }
}

/// Gives back items that were not begun. Where that fails they come again when their leases end.
pub(super) async fn release(shared: &Shared, deliveries: &[Delivery]) {
    if deliveries.is_empty() {
        return;
    }
    match shared.queue.release(deliveries).await {
        Ok(_) => Counters::add(&shared.counters.released, deliveries.len()),
        Err(error) => {
            tracing::warn!(queue = %shared.queue.name(), %error, "items not begun are not released, and come again later");
        }
    }
    shared.counters.changed.send_replace(());
}
