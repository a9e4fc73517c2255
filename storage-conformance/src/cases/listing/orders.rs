//! The orders of listings: lease order, due time and id, numbers as numbers.

use storage_api::{
    DeadReason, Floors, ItemState, Listing, NewItem, Position, RetryTo, States, Timestamp,
};

use crate::env::{Env, at};
use crate::part::{ids, payloads, ready_at, receipt, whole};

pub(super) async fn the_ready_listing_is_what_lease_gives(env: Env) {
    let part = env.partition("a").await;
    let items = ["released", "retried", "stays", "urgent"];
    let items = items.map(|payload| {
        let priority = if payload == "urgent" { 1 } else { 100 };
        NewItem::new(payload).priority(priority)
    });
    part.produce(at(0), items).await;
    let leased = part.lease(at(0), at(10), 3).await;
    part.release([receipt(&leased[1])]).await;
    part.retry(at(0), receipt(&leased[2]), RetryTo::Now).await;
    part.release([receipt(&leased[0])]).await;

    let listed = part.list_in_order(Listing::Ready).await;
    let leased = part.lease(at(0), at(10), 4).await;

    assert_eq!(
        payloads(&listed),
        ["urgent", "released", "stays", "retried"]
    );
    assert_eq!(ids(&listed), ids(&leased));
}

pub(super) async fn the_scheduled_are_due_at_the_earlier_of_two_times(env: Env) {
    let part = env.partition("a").await;
    let due = |payload, enqueue_at| NewItem::new(payload).enqueue_at(at(enqueue_at));
    let items = [
        due("enqueued at 30", 30),
        due("expires at 20", 40).expire_at(at(20)),
        due("enqueued at 20, later id", 20).expire_at(at(50)),
        due("enqueued at 10", 10),
    ];
    part.produce(at(0), items).await;

    let listed = part.list_in_order(Listing::Scheduled).await;

    let expected = [
        "enqueued at 10",
        "expires at 20",
        "enqueued at 20, later id",
        "enqueued at 30",
    ];
    assert_eq!(payloads(&listed), expected);
}

pub(super) async fn an_extended_lease_moves_in_the_listing(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["later", "earlier", "same"]).await;
    let leased = part.lease(at(0), at(50), 3).await;

    part.extend([receipt(&leased[0])], at(90)).await;
    part.extend([receipt(&leased[1])], at(10)).await;

    let listed = part.list_in_order(Listing::Leased).await;
    assert_eq!(payloads(&listed), ["earlier", "same", "later"]);
}

pub(super) async fn due_times_are_ordered_over_the_whole_range(env: Env) {
    let part = env.partition("a").await;
    let times = [i64::MAX, 1, 0, -1, i64::MIN + 1, i64::MIN];
    let scheduled = times.map(|time| NewItem::new("scheduled").enqueue_at(at(time)));
    let scheduled = part.produce(Timestamp::MIN, scheduled[..5].to_vec()).await;
    part.produce(Timestamp::MIN, ["leased"; 6]).await;
    let mut leased = Vec::new();
    for time in times {
        leased.push(part.lease_one(Timestamp::MIN, at(time)).await.id);
    }

    let by_due_time = part.list_paged(Listing::Scheduled, 1).await;
    let by_deadline = part.list_paged(Listing::Leased, 1).await;

    let reversed = |ids: Vec<_>| ids.into_iter().rev().collect::<Vec<_>>();
    assert_eq!(ids(&by_due_time), reversed(scheduled));
    assert_eq!(ids(&by_deadline), reversed(leased));
}

/// Numbers whose order differs where they are compared as text, by single bytes, or in fewer than 64 bits.
const NUMBERS: [u64; 13] = [
    1,
    9,
    10,
    255,
    256,
    65_535,
    65_536,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    (1 << 32) + 1,
    1 << 62,
];

pub(super) async fn ids_are_ordered_as_numbers(env: Env) {
    let part = env.partition("a").await;
    let dead = ItemState::Dead {
        reason: DeadReason::Rejected,
        died_at: at(0),
    };
    let items = NUMBERS.iter().rev().map(|id| whole(*id, "x", dead));
    part.restore(items.collect(), Floors::none()).await;

    let listed = part.list_paged(Listing::ById(States::ALL), 1).await;

    let listed: Vec<_> = listed.iter().map(|entry| entry.id.get()).collect();
    assert_eq!(listed, NUMBERS);
}

pub(super) async fn positions_are_ordered_as_numbers(env: Env) {
    let part = env.partition("a").await;
    let ids_downwards = (1u64..).zip(NUMBERS.iter().rev());
    let items = ids_downwards.map(|(id, position)| whole(id, "x", ready_at(*position)));
    part.restore(items.collect(), Floors::none()).await;

    let listed = part.list_paged(Listing::Ready, 1).await;
    let leased = part.lease(at(0), at(10), NUMBERS.len()).await;

    let positions = listed.iter().flat_map(|entry| entry.state.position());
    let positions: Vec<_> = positions.map(Position::get).collect();
    assert_eq!(positions, NUMBERS);
    assert_eq!(ids(&leased), ids(&listed));
}

pub(super) async fn priorities_are_ordered_as_numbers(env: Env) {
    let part = env.partition("a").await;
    let priorities = [255, 200, 128, 127, 100, 10, 9, 1, 0];
    let items = priorities.map(|priority| NewItem::new("x").priority(priority));
    let mut produced = part.produce(at(0), items).await;

    let listed = part.list_paged(Listing::Ready, 1).await;
    let leased = part.lease(at(0), at(10), 9).await;

    produced.reverse();
    assert_eq!(ids(&listed), produced);
    assert_eq!(ids(&leased), produced);
}
