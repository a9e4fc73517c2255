//! Leasing, extending, releasing, and holders.

use storage_api::{CompleteOutcome, Count, LeaseRequest, State};

use crate::case::{Case, cases};
use crate::env::{Env, at};
use crate::part::{payloads, receipt, receipts};

pub(super) const CASES: &[Case] = cases![lease:
    ready_items_come_by_priority_then_position ["LEASE-1"],
    empty_partition_leases_nothing ["LEASE-6"],
    late_holder_completes_unless_taken_back ["LEASE-7", "DONE-1"],
];

async fn ready_items_come_by_priority_then_position(env: Env) {
    let part = env.partition("a").await;
    let items = [("low", 200), ("first", 1), ("middle", 100), ("second", 1)];
    let new = |(payload, priority)| storage_api::NewItem::new(payload).priority(priority);
    part.produce(at(0), items.map(new)).await;

    let leased = part.lease(at(0), at(10), 3).await;

    assert_eq!(payloads(&leased), ["first", "second", "middle"]);
    assert_eq!(payloads(&part.list_state(State::Ready).await), ["low"]);
}

async fn empty_partition_leases_nothing(env: Env) {
    let part = env.partition("a").await;

    let request = LeaseRequest::new(at(0), at(10), Count::MAX);
    let leased = part.try_lease(request).await;

    assert!(leased.is_ok_and(|batch| batch.is_empty()));
}

async fn late_holder_completes_unless_taken_back(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["late", "taken back"]).await;
    let late = part.lease_one(at(0), at(10)).await;
    let taken = part.lease_one(at(0), at(10)).await;

    let in_time = part.complete([receipt(&late)]).await;
    part.maintain(at(10)).await;
    let too_late = part.complete(receipts(&[taken])).await;

    assert_eq!(in_time, [CompleteOutcome::Done]);
    assert_eq!(too_late, [CompleteOutcome::LeaseLost]);
}
