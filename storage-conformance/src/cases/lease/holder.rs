//! Who holds a lease, and giving back what a dead worker held.

use storage_api::{
    Capability, CompleteOutcome, Count, Holder, ItemEntry, ItemState, LeaseRequest, NewItem,
    ReleasedHolder, RetryTo, State,
};

use crate::case::{Case, cases};
use crate::env::{Env, at};
use crate::part::{Part, ids, payloads, receipt, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![lease:
    item_shows_its_holder_while_it_is_leased ["LEASE-9"],
    holder_is_that_of_the_last_lease ["LEASE-9"],
    any_number_but_0_is_a_holder ["LEASE-9"],
    leases_of_one_holder_are_released_and_of_no_other ["LEASE-9"],
    released_leases_of_a_holder_count_no_attempt_and_keep_their_place ["LEASE-9", "RETRY-6"],
    leases_of_a_holder_are_released_by_id_in_steps ["LEASE-9"],
    full_last_step_of_a_holder_leaves_no_more ["LEASE-9"],
    leases_that_ended_are_held_by_nobody ["LEASE-9"],
    leases_of_a_holder_are_released_before_and_after_the_deadline ["LEASE-9", "LEASE-7"],
    extended_lease_is_still_released_with_its_holder ["LEASE-9", "LEASE-8"],
    receipts_of_a_released_holder_are_lost ["LEASE-9", "LEASE-7"],
    holder_is_released_in_one_partition ["LEASE-9"],
    holders_are_kept_over_a_reopening ["LEASE-9", "DUR-2"] .requires(Capability::Reopen),
    holder_who_is_given_its_item_again_needs_the_new_receipt ["LEASE-9", "LEASE-7", "LEASE-2"] .since(2),
];

fn holder(number: u64) -> Holder {
    Holder::new(number).expect("a case uses holders other than zero")
}

/// Leases for a holder until 10.
async fn lease_for(part: &Part, number: u64, items_max: usize) -> Vec<ItemEntry> {
    let request = LeaseRequest::new(at(0), at(10), Count::clamped(items_max));
    part.lease_with(request.holder(holder(number))).await
}

fn holder_of(item: &ItemEntry) -> Option<u64> {
    match item.state {
        ItemState::Leased { holder, .. } => holder.map(Holder::get),
        _ => None,
    }
}

async fn item_shows_its_holder_while_it_is_leased(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["held", "not held"]).await;

    let held = lease_for(&part, 7, 1).await;
    let not_held = part.lease(at(0), at(10), 1).await;

    let listed: Vec<_> = part.list_all().await.iter().map(holder_of).collect();
    assert_eq!(holder_of(&held[0]), Some(7));
    assert_eq!(holder_of(&not_held[0]), None);
    assert_eq!(listed, [Some(7), None]);
}

async fn holder_is_that_of_the_last_lease(env: Env) {
    let part = env.partition("a").await;
    let id = part.produce_one(at(0), "x").await;

    let mut holders = Vec::new();
    for number in [1, 2] {
        lease_for(&part, number, 1).await;
        holders.push(holder_of(&part.item(id).await));
        part.maintain(at(10)).await;
    }
    let last = part.lease_one(at(0), at(10)).await;
    holders.push(holder_of(&part.item(id).await));

    assert_eq!(holders, [Some(1), Some(2), None]);
    // Neither of the former ones takes it away.
    part.release_holder(holder(1), 10).await;
    part.release_holder(holder(2), 10).await;
    assert_eq!(part.item(id).await, last);
}

async fn any_number_but_0_is_a_holder(env: Env) {
    let part = env.partition("a").await;
    let numbers = [1, 255, 256, 1 << 32, 1 << 63, u64::MAX - 1, u64::MAX];
    part.produce(at(0), ["x"; 7]).await;
    for number in numbers {
        lease_for(&part, number, 1).await;
    }

    let shown: Vec<_> = part.list_all().await.iter().map(holder_of).collect();
    let mut released = Vec::new();
    for number in numbers {
        released.push(part.release_holder(holder(number), 10).await.released);
    }

    assert_eq!(shown, numbers.map(Some));
    assert_eq!(released, [1; 7]);
}

async fn leases_of_one_holder_are_released_and_of_no_other(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2", "3", "4", "5"]).await;
    lease_for(&part, 1, 1).await;
    lease_for(&part, 2, 1).await;
    part.lease(at(0), at(10), 1).await;
    lease_for(&part, 1, 1).await;
    lease_for(&part, 256, 1).await;

    let released = part.release_holder(holder(1), 10).await;

    let more = false;
    assert_eq!(released, ReleasedHolder { released: 2, more });
    assert_eq!(payloads(&part.list_state(State::Ready).await), ["1", "4"]);
    let held: Vec<_> = part
        .list_state(State::Leased)
        .await
        .iter()
        .map(holder_of)
        .collect();
    assert_eq!(held, [Some(2), None, Some(256)]);
    part.assert_stats_are_those_of_the_items().await;
}

async fn released_leases_of_a_holder_count_no_attempt_and_keep_their_place(env: Env) {
    let part = env.partition("a").await;
    let before = {
        part.produce(at(0), ["1", "2"]).await;
        part.list_all().await
    };
    let mut held = lease_for(&part, 1, 1).await;
    held.extend(lease_for(&part, 1, 1).await);
    part.produce(at(0), ["3"]).await;

    part.release_holder(holder(1), 10).await;

    let after = part.list_all().await;
    assert_eq!(after[..2], before);
    let leased = part.lease(at(0), at(10), 3).await;
    assert_eq!(payloads(&leased), ["1", "2", "3"]);
    assert_eq!(leased[0].attempts, 1);
}

async fn leases_of_a_holder_are_released_by_id_in_steps(env: Env) {
    let part = env.partition("a").await;
    // The order of ids is neither that of the leases nor that of the deadlines.
    let priorities = [50, 40, 30, 20, 10];
    let new = priorities.map(|priority| NewItem::new("x").priority(priority));
    let produced = part.produce(at(0), new).await;
    for round in 0..5 {
        let request = LeaseRequest::new(at(0), at(10 + round), Count::ONE);
        part.lease_with(request.holder(holder(1))).await;
    }

    let mut steps = Vec::new();
    let mut ready = Vec::new();
    for _ in 0..4 {
        let step = part.release_holder(holder(1), 2).await;
        steps.push((step.released, step.more));
        ready.push(ids(&part.list_state(State::Ready).await));
    }

    assert_eq!(steps, [(2, true), (2, true), (1, false), (0, false)]);
    assert_eq!(
        ready,
        [&produced[..2], &produced[..4], &produced, &produced]
    );
}

async fn full_last_step_of_a_holder_leaves_no_more(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2", "3", "other"]).await;
    lease_for(&part, 1, 3).await;
    lease_for(&part, 2, 1).await;

    let step = part.release_holder(holder(1), 3).await;

    assert_eq!((step.released, step.more), (3, false));
}

async fn leases_that_ended_are_held_by_nobody(env: Env) {
    let part = env.partition("a").await;
    part.produce(
        at(0),
        ["completed", "released", "now", "dead", "deleted", "back"],
    )
    .await;
    let held = lease_for(&part, 1, 6).await;
    part.complete([receipt(&held[0])]).await;
    part.release([receipt(&held[1])]).await;
    part.retry(at(0), receipt(&held[2]), RetryTo::Now).await;
    part.retry(at(0), receipt(&held[3]), RetryTo::Dead).await;
    part.delete_items([held[4].id]).await;
    part.maintain(at(10)).await;
    part.lease(at(10), at(20), 10).await;
    let before = env.snapshot().await;

    let released = part.release_holder(holder(1), 10).await;

    assert_eq!(released, ReleasedHolder::default());
    assert_eq!(env.snapshot().await, before);
}

async fn leases_of_a_holder_are_released_before_and_after_the_deadline(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2"]).await;
    lease_for(&part, 1, 1).await;
    let before = part.release_holder(holder(1), 10).await.released;

    lease_for(&part, 1, 2).await;
    // Time has passed for this caller, who did not maintain.
    part.lease(at(1000), at(2000), 10).await;
    let after = part.release_holder(holder(1), 10).await.released;

    assert_eq!((before, after), (1, 2));
    assert_eq!(part.stats().await.next_due, None);
}

async fn extended_lease_is_still_released_with_its_holder(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x"]).await;
    let held = lease_for(&part, 1, 1).await;
    part.extend(receipts(&held), at(99)).await;

    let released = part.release_holder(holder(1), 10).await.released;

    assert_eq!(released, 1);
    assert_eq!(part.stats().await.next_due, None);
}

async fn receipts_of_a_released_holder_are_lost(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x"]).await;
    let held = lease_for(&part, 1, 1).await;
    part.release_holder(holder(1), 10).await;

    let completed = part.complete(receipts(&held)).await;

    assert_eq!(completed, [CompleteOutcome::LeaseLost]);
}

async fn holder_is_released_in_one_partition(env: Env) {
    let (part, other) = (env.partition("a").await, env.partition("b").await);
    for part in [&part, &other] {
        part.produce(at(0), ["x"]).await;
        lease_for(part, 1, 1).await;
    }

    let released = part.release_holder(holder(1), 10).await.released;

    assert_eq!(released, 1);
    assert_eq!(other.stats().await.leased.items, 1);
}

async fn holders_are_kept_over_a_reopening(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2", "3"]).await;
    lease_for(&part, 1, 1).await;
    lease_for(&part, u64::MAX, 1).await;
    part.lease_one(at(0), at(10)).await;

    env.reopen().await;

    let shown: Vec<_> = part.list_all().await.iter().map(holder_of).collect();
    assert_eq!(shown, [Some(1), Some(u64::MAX), None]);
    assert_eq!(part.release_holder(holder(u64::MAX), 10).await.released, 1);
}

/// Locks that prove who works, and not at which start, let a worker that was late finish what it was given anew.
async fn holder_who_is_given_its_item_again_needs_the_new_receipt(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x"]).await;

    let old = receipts(&lease_for(&part, 7, 1).await);
    part.maintain(at(10)).await;
    let new = receipts(&lease_for(&part, 7, 1).await);
    let by_the_old = part.complete(old).await;
    let by_the_new = part.complete(new).await;

    assert_eq!(by_the_old, [CompleteOutcome::LeaseLost]);
    assert_eq!(by_the_new, [CompleteOutcome::Done]);
}
