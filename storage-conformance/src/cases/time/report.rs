//! What maintain tells, and the earliest due time after everything that can change it.

use std::time::Duration;

use storage_api::{
    DeadPolicy, Floors, Holder, LeaseRequest, Maintained, NewItem, PartitionConfig, RetryTo, State,
    States, Timestamp,
};

use crate::case::{Case, cases};
use crate::env::{Env, at, count};
use crate::part::{Part, receipt};

pub(in crate::cases) const CASES: &[Case] = cases![time:
    report_tells_what_became_of_everything ["TIME-2"],
    report_of_a_dropping_partition_counts_what_was_dropped ["TIME-2", "DEAD-1"],
    maintaining_nothing_changes_nothing ["TIME-2"],
    more_is_due_exactly_if_the_step_was_too_small ["TIME-2"],
    earliest_due_time_left_may_have_passed ["TIME-2"],
    earliest_due_time_follows_produce_and_delete ["TIME-2", "PART-7"],
    earliest_due_time_follows_leases ["TIME-2", "PART-7"],
    earliest_due_time_follows_retries_and_revival ["TIME-2", "PART-7"],
    earliest_due_time_follows_clear_and_restore ["TIME-2", "PART-7", "MOVE-1"],
    expiry_of_a_leased_item_is_no_due_time_until_it_is_released ["TIME-2", "TIME-1"],
    earliest_due_time_includes_lingering_keys ["TIME-2", "ITEM-4"],
];

/// The earliest due time, as the statistics and as a maintain that finds nothing due tell it.
async fn next_due(part: &Part) -> Option<Timestamp> {
    let told = part.stats().await.next_due;
    let maintained = part.maintain(at(i64::MIN)).await;
    assert_eq!(
        (maintained.handled(), maintained.next_due),
        (0, told),
        "maintain (left) and the statistics (right)"
    );
    told
}

async fn report_tells_what_became_of_everything(env: Env) {
    let config = PartitionConfig::default().with_dedup_for(Duration::from_micros(8));
    let part = env.partition_with("a", config).await;
    for _ in 0..2 {
        let new = NewItem::new("exhausted").attempts_max(1);
        part.produce_leased(at(0), at(10), new).await;
    }
    part.produce_leased(at(0), at(10), "taken back").await;
    for key in ["1", "2", "3"] {
        let new = NewItem::new("completed").dedup_key(key);
        let leased = part.produce_leased(at(0), at(10), new).await;
        part.complete([receipt(&leased)]).await;
    }
    part.produce(at(0), [NewItem::new("scheduled").enqueue_at(at(9)); 4])
        .await;
    part.produce(at(0), [NewItem::new("expired").expire_at(at(7)); 6])
        .await;
    part.produce(at(0), [NewItem::new("left").enqueue_at(at(11)); 2])
        .await;

    let mut expected = Maintained::default();
    expected.ready = 5;
    expected.expired = 6;
    expected.attempts_exhausted = 2;
    expected.keys_freed = 3;
    expected.next_due = Some(at(11));
    let maintained = part.maintain(at(10)).await;

    assert_eq!(maintained, expected);
    part.assert_stats_are_those_of_the_items().await;
}

async fn report_of_a_dropping_partition_counts_what_was_dropped(env: Env) {
    let config = PartitionConfig::default().with_dead(DeadPolicy::Drop);
    let part = env.partition_with("a", config).await;
    let new = NewItem::new("exhausted").attempts_max(1);
    part.produce_leased(at(0), at(10), new).await;
    part.produce_leased(at(0), at(10), "taken back").await;
    part.produce(at(0), [NewItem::new("expired").expire_at(at(7)); 3])
        .await;

    let mut expected = Maintained::default();
    expected.ready = 1;
    expected.dropped = 4;
    let maintained = part.maintain(at(10)).await;

    assert_eq!(maintained, expected);
    assert_eq!(part.stats().await.items(), 1);
}

async fn maintaining_nothing_changes_nothing(env: Env) {
    let part = env.partition("a").await;
    part.produce_one_of_each_state().await;
    part.produce(at(0), [NewItem::new("x").expire_at(at(90))])
        .await;
    let before = env.snapshot().await;

    let maintained = part.maintain(at(89)).await;

    let mut nothing = Maintained::default();
    nothing.next_due = Some(at(90));
    assert_eq!(maintained, nothing);
    assert_eq!(env.snapshot().await, before);
}

async fn more_is_due_exactly_if_the_step_was_too_small(env: Env) {
    let part = env.partition("a").await;

    let mut steps = Vec::new();
    for items_max in [2, 3, 4] {
        part.produce(at(0), [NewItem::new("x").enqueue_at(at(5)); 3])
            .await;
        part.produce(at(0), [NewItem::new("not due").enqueue_at(at(6))])
            .await;
        let step = part.maintain_max(at(5), items_max).await;
        steps.push((step.ready, step.more));
        part.clear(States::ALL, 10).await;
    }

    assert_eq!(steps, [(2, true), (3, false), (3, false)]);
}

async fn earliest_due_time_left_may_have_passed(env: Env) {
    let part = env.partition("a").await;
    let times = [5, 6, 7];
    part.produce(
        at(0),
        times.map(|time| NewItem::new("x").enqueue_at(at(time))),
    )
    .await;

    let mut left = Vec::new();
    for _ in times {
        left.push(part.maintain_max(at(100), 1).await.next_due);
    }

    assert_eq!(left, [Some(at(6)), Some(at(7)), None]);
}

async fn earliest_due_time_follows_produce_and_delete(env: Env) {
    let part = env.partition("a").await;
    let mut due = vec![next_due(&part).await];

    part.produce(at(0), ["never due"]).await;
    due.push(next_due(&part).await);
    part.produce(at(0), [NewItem::new("x").enqueue_at(at(50))])
        .await;
    due.push(next_due(&part).await);
    part.produce(at(0), [NewItem::new("x").enqueue_at(at(60))])
        .await;
    due.push(next_due(&part).await);
    let both = NewItem::new("x").expire_at(at(40)).enqueue_at(at(70));
    let both = part.produce_one(at(0), both).await;
    due.push(next_due(&part).await);
    let expires = NewItem::new("x").expire_at(at(30));
    let expires = part.produce_one(at(0), expires).await;
    due.push(next_due(&part).await);
    part.delete_items([expires]).await;
    due.push(next_due(&part).await);
    part.delete_items([both]).await;
    due.push(next_due(&part).await);

    let expected = [
        None,
        None,
        Some(50),
        Some(50),
        Some(40),
        Some(30),
        Some(40),
        Some(50),
    ];
    assert_eq!(due, expected.map(|time| time.map(at)));
}

/// A server that computed its next wakeup from an older look fired late.
async fn earliest_due_time_follows_leases(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2", "3", "4"]).await;
    let mut due = Vec::new();

    let first = part.lease_one(at(0), at(50)).await;
    due.push(next_due(&part).await);
    let second = part.lease_one(at(0), at(40)).await;
    due.push(next_due(&part).await);
    part.extend([receipt(&second)], at(60)).await;
    due.push(next_due(&part).await);
    part.extend([receipt(&second)], at(45)).await;
    due.push(next_due(&part).await);
    part.release([receipt(&second)]).await;
    due.push(next_due(&part).await);
    let holder = Holder::new(1).expect("not zero");
    let request = LeaseRequest::new(at(0), at(20), count(1)).holder(holder);
    part.lease_with(request).await;
    due.push(next_due(&part).await);
    part.release_holder(holder, 10).await;
    due.push(next_due(&part).await);
    part.complete([receipt(&first)]).await;
    due.push(next_due(&part).await);

    let expected = [50, 40, 50, 45, 50, 20, 50].map(|time| Some(at(time)));
    assert_eq!(due[..7], expected);
    assert_eq!(due[7], None);
}

async fn earliest_due_time_follows_retries_and_revival(env: Env) {
    let part = env.partition("a").await;
    let mut due = Vec::new();

    let new = NewItem::new("x").expire_at(at(90));
    let leased = part.produce_leased(at(0), at(50), new).await;
    part.retry(at(0), receipt(&leased), RetryTo::At(at(70)))
        .await;
    due.push(next_due(&part).await);
    part.maintain(at(70)).await;
    due.push(next_due(&part).await);
    let leased = part.lease_one(at(70), at(80)).await;
    part.retry(at(70), receipt(&leased), RetryTo::Now).await;
    due.push(next_due(&part).await);
    let leased = part.lease_one(at(70), at(80)).await;
    part.retry(at(70), receipt(&leased), RetryTo::Dead).await;
    due.push(next_due(&part).await);
    part.revive([leased.id]).await;
    due.push(next_due(&part).await);

    let expected = [Some(70), Some(90), Some(90), None, None];
    assert_eq!(due, expected.map(|time| time.map(at)));
}

async fn earliest_due_time_follows_clear_and_restore(env: Env) {
    let part = env.partition("a").await;
    part.produce_leased(at(0), at(30), "leased").await;
    part.produce(at(0), [NewItem::new("scheduled").enqueue_at(at(40))])
        .await;
    part.produce(at(0), [NewItem::new("expires").expire_at(at(50))])
        .await;
    let all = part.list_all().await;

    let mut due = Vec::new();
    for state in [State::Leased, State::Scheduled, State::Ready] {
        part.clear(state, 10).await;
        due.push(next_due(&part).await);
    }
    for item in all.into_iter().rev() {
        part.restore(vec![item], Floors::none()).await;
        due.push(next_due(&part).await);
    }

    let expected = [Some(40), Some(50), None, Some(50), Some(40), Some(30)];
    assert_eq!(due, expected.map(|time| time.map(at)));
}

async fn expiry_of_a_leased_item_is_no_due_time_until_it_is_released(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").expire_at(at(20));
    let leased = part.produce_leased(at(0), at(50), new).await;

    let at_work = next_due(&part).await;
    part.release([receipt(&leased)]).await;
    let released = next_due(&part).await;

    assert_eq!((at_work, released), (Some(at(50)), Some(at(20))));
}

async fn earliest_due_time_includes_lingering_keys(env: Env) {
    let config = PartitionConfig::default().with_dedup_for(Duration::from_micros(30));
    let part = env.partition_with("a", config).await;
    part.produce(at(0), [NewItem::new("later").enqueue_at(at(40))])
        .await;
    let new = NewItem::new("x").dedup_key("key");
    let leased = part.produce_leased(at(0), at(50), new).await;

    let before = next_due(&part).await;
    part.complete([receipt(&leased)]).await;
    let lingering = next_due(&part).await;
    part.maintain(at(30)).await;
    let freed = next_due(&part).await;

    let expected = (Some(at(40)), Some(at(30)), Some(at(40)));
    assert_eq!((before, lingering, freed), expected);
}
