//! Time that stands still, goes backwards, or comes to its ends.

use storage_api::{
    DeadReason, ItemState, LeaseRequest, NewItem, PartitionConfig, RetryOutcome, RetryTo, State,
};

use crate::case::{Case, cases};
use crate::env::{Env, at, count};
use crate::part::{payloads, receipt, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![time:
    time_that_stands_still_handles_everything_once ["TIME-3"],
    nothing_is_due_early_after_time_went_backwards ["TIME-3"],
    nothing_is_lost_when_time_goes_backwards ["TIME-3"],
    lease_taken_with_an_earlier_time_lasts_until_its_deadline ["TIME-3", "LEASE-7"],
    retry_is_judged_by_its_own_time ["TIME-3", "RETRY-2"],
    no_operation_looks_at_the_time_of_another ["TIME-3", "ITEM-3"],
    times_of_every_length_are_exact_to_the_microsecond ["TIME-1", "TIME-4"],
    largest_timestamp_is_a_time_like_any_other ["TIME-4", "TIME-1"],
    smallest_timestamp_is_a_time_like_any_other ["TIME-4", "TIME-1"],
    leases_end_at_the_largest_and_the_smallest_timestamp ["TIME-4", "LEASE-7", "LEASE-8"],
    retries_go_to_the_largest_and_the_smallest_timestamp ["TIME-4", "RETRY-2"],
    items_die_at_the_largest_and_the_smallest_timestamp ["TIME-4", "DEAD-3"],
    scheduled_items_are_ordered_over_the_whole_of_time ["TIME-4", "TIME-1", "LIST-2"],
];

async fn time_that_stands_still_handles_everything_once(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(5), [NewItem::new("x").enqueue_at(at(6))])
        .await;

    let mut ready = Vec::new();
    for now in [5, 5, 6, 6, 6] {
        ready.push(part.maintain(at(now)).await.ready);
    }

    assert_eq!(ready, [0, 0, 1, 0, 0]);
}

/// A timer that compared two clocks fired everything at once when one of them was set back.
async fn nothing_is_due_early_after_time_went_backwards(env: Env) {
    let part = env.partition("a").await;
    part.maintain(at(1_000_000)).await;
    part.produce(at(10), [NewItem::new("later").enqueue_at(at(20))])
        .await;
    part.produce(at(10), [NewItem::new("expires").expire_at(at(20))])
        .await;
    part.lease_one(at(10), at(20)).await;

    let early = part.maintain(at(19)).await;
    let due = part.maintain(at(20)).await;

    assert_eq!((early.handled(), early.next_due), (0, Some(at(20))));
    assert_eq!((due.ready, due.expired), (1, 1));
}

async fn nothing_is_lost_when_time_goes_backwards(env: Env) {
    let part = env.partition("a").await;
    let later = |time| NewItem::new("x").enqueue_at(at(time));
    part.produce(at(100), [later(150)]).await;
    part.produce(at(50), [later(60)]).await;
    part.produce(at(0), [later(10)]).await;

    let mut ready = Vec::new();
    for now in [60, 10, 60, 149, 60, 150] {
        ready.push(part.maintain(at(now)).await.ready);
    }

    assert_eq!(ready, [2, 0, 0, 0, 0, 1]);
    assert_eq!(part.stats().await.ready.items, 3);
}

async fn lease_taken_with_an_earlier_time_lasts_until_its_deadline(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(1000), ["x"]).await;
    part.maintain(at(1000)).await;

    // Leased by one whose clock is behind: created later than now, and the deadline has passed elsewhere.
    part.lease_one(at(0), at(10)).await;
    let early = part.maintain(at(9)).await;
    let due = part.maintain(at(1000)).await;

    assert_eq!((early.ready, due.ready), (0, 1));
}

async fn retry_is_judged_by_its_own_time(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(1000), ["behind", "ahead"]).await;
    part.maintain(at(1000)).await;
    let leased = receipts(&part.lease(at(1000), at(2000), 2).await);

    let behind = part.retry(at(10), leased[0], RetryTo::At(at(20))).await;
    let ahead = part.retry(at(5000), leased[1], RetryTo::At(at(4000))).await;

    assert_eq!(behind, RetryOutcome::Scheduled);
    assert_eq!(ahead, RetryOutcome::Ready);
    assert_eq!(part.stats().await.next_due, Some(at(20)));
}

async fn no_operation_looks_at_the_time_of_another(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(1000), ["x"]).await;
    part.maintain(at(1000)).await;
    let leased = part.lease_one(at(1000), at(2000)).await;
    part.retry(at(1000), receipt(&leased), RetryTo::Now).await;

    part.produce(at(10), [NewItem::new("later").enqueue_at(at(11))])
        .await;
    part.produce(at(10), [NewItem::new("expires").expire_at(at(11))])
        .await;
    let taken = part.lease(at(10), at(2000), 10).await;

    assert_eq!(payloads(&taken), ["x", "expires"]);
    let scheduled = part.list_state(State::Scheduled).await;
    assert_eq!(payloads(&scheduled), ["later"]);
}

async fn times_of_every_length_are_exact_to_the_microsecond(env: Env) {
    // Where a time that is kept in another unit, in fewer bytes or as a fraction becomes another one.
    let mut times = vec![-1, 0, 1, 999, 1_000_001, 1_763_600_000_123_457];
    for bits in [7, 8, 15, 16, 31, 32, 47, 52, 53, 54, 62] {
        times.extend([(1 << bits) - 1, (1 << bits) + 1, 1 - (1 << bits)]);
    }
    let part = env.partition("a").await;

    for time in times {
        let new = NewItem::new("x").enqueue_at(at(time));
        part.produce(at(i64::MIN), [new]).await;
        let due = part.stats().await.next_due;
        let early = part.maintain(at(time - 1)).await.ready;
        let ready = part.maintain(at(time)).await.ready;
        part.clear(State::Ready, 10).await;

        assert_eq!((due, early, ready), (Some(at(time)), 0, 1), "at {time}");
    }
}

async fn largest_timestamp_is_a_time_like_any_other(env: Env) {
    let part = env.partition("a").await;
    let largest = at(i64::MAX);
    let new = NewItem::new("x");
    part.produce(at(0), [new.enqueue_at(largest), new.expire_at(largest)])
        .await;

    let early = part.maintain(at(i64::MAX - 1)).await;
    let due = part.maintain(largest).await;
    part.produce(largest, [new.enqueue_at(largest)]).await;

    assert_eq!((early.handled(), early.next_due), (0, Some(largest)));
    assert_eq!((due.ready, due.expired, due.next_due), (1, 1, None));
    assert_eq!(part.stats().await.ready.items, 2);
}

async fn smallest_timestamp_is_a_time_like_any_other(env: Env) {
    let part = env.partition("a").await;
    let smallest = at(i64::MIN);
    let new = NewItem::new("x");

    part.produce(
        smallest,
        [new.enqueue_at(smallest), new.enqueue_at(at(i64::MIN + 1))],
    )
    .await;
    part.produce(smallest, [new.expire_at(smallest)]).await;
    let first = part.maintain(smallest).await;
    let second = part.maintain(at(i64::MIN + 1)).await;

    assert_eq!((first.ready, first.expired), (0, 1));
    assert_eq!((second.ready, second.expired), (1, 0));
}

async fn leases_end_at_the_largest_and_the_smallest_timestamp(env: Env) {
    let part = env.partition("a").await;
    let (smallest, largest) = (at(i64::MIN), at(i64::MAX));
    part.produce(at(0), ["smallest", "largest", "extended"])
        .await;

    let first = part.lease_with(LeaseRequest::new(smallest, smallest, count(1)));
    let first = first.await;
    part.lease_with(LeaseRequest::new(largest, largest, count(1)))
        .await;
    let third = part.lease_one(at(0), largest).await;
    part.extend([receipt(&third)], smallest).await;
    let at_the_smallest = part.maintain(smallest).await.ready;
    let before_the_largest = part.maintain(at(i64::MAX - 1)).await.ready;
    let at_the_largest = part.maintain(largest).await.ready;

    assert_eq!(payloads(&first), ["smallest"]);
    let taken_back = [at_the_smallest, before_the_largest, at_the_largest];
    assert_eq!(taken_back, [2, 0, 1]);
}

async fn retries_go_to_the_largest_and_the_smallest_timestamp(env: Env) {
    let part = env.partition("a").await;
    let (smallest, largest) = (at(i64::MIN), at(i64::MAX));
    part.produce(at(0), ["x"; 4]).await;
    let leased = receipts(&part.lease(at(0), at(10), 4).await);

    let outcomes = [
        part.retry(smallest, leased[0], RetryTo::At(largest)).await,
        part.retry(largest, leased[1], RetryTo::At(largest)).await,
        part.retry(smallest, leased[2], RetryTo::At(smallest)).await,
        part.retry(largest, leased[3], RetryTo::At(smallest)).await,
    ];

    use RetryOutcome::{Ready, Scheduled};
    assert_eq!(outcomes, [Scheduled, Ready, Ready, Ready]);
    assert_eq!(part.stats().await.next_due, Some(largest));
}

async fn items_die_at_the_largest_and_the_smallest_timestamp(env: Env) {
    let config = PartitionConfig::default().with_attempts_max(1);
    let part = env.partition_with("a", config).await;
    let (smallest, largest) = (at(i64::MIN), at(i64::MAX));

    let rejected = part.produce_dead(smallest, "rejected").await;
    let expires = NewItem::new("expired").expire_at(largest);
    let expired = part.produce_one(at(0), expires).await;
    part.maintain(largest).await;

    let dead = |reason, died_at| ItemState::Dead { reason, died_at };
    let rejected = part.item(rejected).await.state;
    let expired = part.item(expired).await.state;
    assert_eq!(rejected, dead(DeadReason::Rejected, smallest));
    assert_eq!(expired, dead(DeadReason::Expired, largest));
}

async fn scheduled_items_are_ordered_over_the_whole_of_time(env: Env) {
    let part = env.partition("a").await;
    // Negative times come before positive ones, also where a driver compares them as bytes.
    let times = [0, i64::MAX, -1, 255, 256, i64::MIN + 1, -256, 1, -255];
    part.produce(
        at(i64::MIN),
        times.map(|time| NewItem::new("x").enqueue_at(at(time))),
    )
    .await;

    let mut due = Vec::new();
    while let Some(next) = part.stats().await.next_due {
        part.maintain_max(at(i64::MAX), 1).await;
        due.push(next.as_micros());
    }

    let mut sorted = times;
    sorted.sort_unstable();
    assert_eq!(due, sorted);
}
