//! What is due when, in which order, and what becomes of it.

use std::time::Duration;

use storage_api::{
    Capability, DeadPolicy, DeadReason, ItemState, Listing, NewItem, PartitionConfig, Requeue,
    RetryTo, State,
};

use crate::case::{Case, cases};
use crate::env::{Env, at};
use crate::part::{Part, payloads, receipt, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![time:
    scheduled_item_is_ready_at_its_time_and_not_before ["TIME-1", "ITEM-3"],
    ready_item_dies_at_its_expiry_and_not_before ["TIME-1", "DEAD-3"],
    scheduled_item_dies_at_its_expiry_if_that_comes_first ["TIME-1"],
    scheduled_item_that_expires_when_it_is_due_dies ["TIME-1"],
    overslept_item_dies_without_having_been_ready ["TIME-1", "TIME-2"],
    item_that_becomes_ready_expires_later ["TIME-1"],
    item_at_work_is_left_alone_before_its_deadline ["TIME-1", "LEASE-7"],
    item_taken_back_past_its_expiry_dies_of_that ["TIME-1"],
    expiry_goes_before_attempts_used_up ["TIME-1", "RETRY-4"],
    item_taken_back_goes_to_the_tail ["TIME-1", "RETRY-1"],
    item_taken_back_goes_back_to_where_it_stood_if_the_partition_says_so ["TIME-1", "RETRY-1"],
    item_taken_back_is_leased_anew ["TIME-1", "LEASE-2"],
    due_items_are_handled_in_order_of_their_time_not_of_their_age ["TIME-1"],
    due_items_of_one_time_are_handled_by_id ["TIME-1"],
    lingering_keys_are_handled_in_their_turn ["TIME-1", "ITEM-4"],
    keys_of_dropped_items_are_freed_before_nothing_more_is_due ["TIME-1", "TIME-2", "ITEM-4", "DEAD-1"],
    small_steps_reach_everything ["TIME-1", "TIME-2"],
    nothing_is_handled_twice_in_a_call ["TIME-1", "TIME-2"],
    one_item_keeps_no_other_from_being_handled ["TIME-1", "ITEM-4"],
    what_was_removed_is_never_due ["TIME-1", "LIST-4"],
    two_who_maintain_at_once_handle_each_once ["TIME-1", "CONC-1"] .multi_thread(),
    two_scheduled_items_are_ready_each_at_its_time ["TIME-1"],
    two_scheduled_items_are_ready_each_at_its_time_after_a_reopening ["TIME-1", "DUR-2"] .requires(Capability::Reopen),
    leases_are_taken_back_after_a_reopening ["TIME-1", "DUR-2"] .requires(Capability::Reopen),
    ten_thousand_items_become_ready_in_one_step ["TIME-1", "LIMIT-1"],
];

async fn ready(part: &Part) -> Vec<String> {
    payloads(&part.list_in_order(Listing::Ready).await)
}

async fn reason(part: &Part, item: storage_api::ItemId) -> Option<DeadReason> {
    match part.item(item).await.state {
        ItemState::Dead { reason, .. } => Some(reason),
        _ => None,
    }
}

async fn scheduled_item_is_ready_at_its_time_and_not_before(env: Env) {
    let part = env.partition("a").await;
    let id = part
        .produce_one(at(0), NewItem::new("x").enqueue_at(at(100)))
        .await;

    let mut states = Vec::new();
    for now in [99, 100, 101] {
        part.maintain(at(now)).await;
        states.push(part.item(id).await.state());
    }

    assert_eq!(states, [State::Scheduled, State::Ready, State::Ready]);
}

async fn ready_item_dies_at_its_expiry_and_not_before(env: Env) {
    let part = env.partition("a").await;
    let id = part
        .produce_one(at(0), NewItem::new("x").expire_at(at(100)))
        .await;

    part.maintain(at(99)).await;
    let before = part.item(id).await.state();
    part.maintain(at(100)).await;

    let (reason, died_at) = (DeadReason::Expired, at(100));
    assert_eq!(before, State::Ready);
    assert_eq!(
        part.item(id).await.state,
        ItemState::Dead { reason, died_at }
    );
}

async fn scheduled_item_dies_at_its_expiry_if_that_comes_first(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").enqueue_at(at(100)).expire_at(at(50));
    let id = part.produce_one(at(0), new).await;

    let early = part.maintain(at(49)).await;
    let due = part.maintain(at(50)).await;

    assert_eq!((early.handled(), early.next_due), (0, Some(at(50))));
    assert_eq!((due.expired, due.ready), (1, 0));
    assert_eq!(reason(&part, id).await, Some(DeadReason::Expired));
}

async fn scheduled_item_that_expires_when_it_is_due_dies(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").enqueue_at(at(50)).expire_at(at(50));
    part.produce(at(0), [new]).await;

    let maintained = part.maintain(at(50)).await;

    assert_eq!((maintained.expired, maintained.ready), (1, 0));
}

async fn overslept_item_dies_without_having_been_ready(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").enqueue_at(at(50)).expire_at(at(60));
    let id = part.produce_one(at(0), new).await;

    let maintained = part.maintain(at(60)).await;

    assert_eq!((maintained.expired, maintained.ready), (1, 0));
    assert_eq!(reason(&part, id).await, Some(DeadReason::Expired));
}

async fn item_that_becomes_ready_expires_later(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").enqueue_at(at(50)).expire_at(at(60));
    part.produce(at(0), [new]).await;

    let first = part.maintain(at(59)).await;
    let second = part.maintain(at(60)).await;

    assert_eq!((first.ready, first.next_due), (1, Some(at(60))));
    assert_eq!((second.expired, second.next_due), (1, None));
}

async fn item_at_work_is_left_alone_before_its_deadline(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x")
        .enqueue_at(at(1))
        .expire_at(at(2))
        .attempts_max(1);
    let leased = part.produce_leased(at(1), at(100), new).await;

    let maintained = part.maintain(at(99)).await;

    assert_eq!(maintained.handled(), 0);
    assert_eq!(maintained.next_due, Some(at(100)));
    assert_eq!(part.item(leased.id).await, leased);
}

async fn item_taken_back_past_its_expiry_dies_of_that(env: Env) {
    let part = env.partition("a").await;
    let mut fates = Vec::new();

    // The expiry is one before, at, and one after the deadline at which it is looked at.
    for expire_at in [9, 10, 11] {
        let new = NewItem::new("x").expire_at(at(expire_at));
        let leased = part.produce_leased(at(0), at(10), new).await;
        part.maintain(at(10)).await;
        fates.push(reason(&part, leased.id).await);
    }

    let expired = Some(DeadReason::Expired);
    assert_eq!(fates, [expired, expired, None]);
}

async fn expiry_goes_before_attempts_used_up(env: Env) {
    let part = env.partition("a").await;
    let new = NewItem::new("x").expire_at(at(5)).attempts_max(1);
    let leased = part.produce_leased(at(0), at(10), new).await;

    let maintained = part.maintain(at(10)).await;

    assert_eq!((maintained.expired, maintained.attempts_exhausted), (1, 0));
    assert_eq!(reason(&part, leased.id).await, Some(DeadReason::Expired));
}

async fn item_taken_back_goes_to_the_tail(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2"]).await;
    part.lease_one(at(0), at(10)).await;
    part.produce(at(0), ["3"]).await;

    part.maintain(at(10)).await;

    assert_eq!(ready(&part).await, ["2", "3", "1"]);
}

async fn item_taken_back_goes_back_to_where_it_stood_if_the_partition_says_so(env: Env) {
    let config = PartitionConfig::default().with_requeue(Requeue::Original);
    let part = env.partition_with("a", config).await;
    part.produce(at(0), ["1", "2", "3"]).await;
    part.lease(at(0), at(10), 2).await;
    part.produce(at(0), ["4"]).await;

    part.maintain(at(10)).await;

    assert_eq!(ready(&part).await, ["1", "2", "3", "4"]);
}

async fn item_taken_back_is_leased_anew(env: Env) {
    let part = env.partition("a").await;
    let first = part.produce_leased(at(0), at(10), "x").await;
    part.maintain(at(10)).await;

    let second = part.lease_one(at(10), at(20)).await;

    assert_eq!((second.id, second.attempts), (first.id, 2));
    assert_ne!(receipt(&second), receipt(&first));
}

/// A queue that sorted by the length of the delay, and looked at the first of them only, never reached the rest.
async fn due_items_are_handled_in_order_of_their_time_not_of_their_age(env: Env) {
    let part = env.partition("a").await;
    // A long delay that began early ends before a short one that began late.
    part.produce(at(0), [NewItem::new("3rd").enqueue_at(at(90))])
        .await;
    part.produce(
        at(0),
        [NewItem::new("2nd").enqueue_at(at(80)).priority(255)],
    )
    .await;
    let new = NewItem::new("1st").enqueue_at(at(70)).expire_at(at(75));
    part.produce(at(60), [new]).await;

    let mut after = Vec::new();
    for _ in 0..3 {
        part.maintain_max(at(90), 1).await;
        let left = part.list_in_order(Listing::Scheduled).await;
        after.push(payloads(&left).join(" "));
    }

    assert_eq!(after, ["2nd 3rd", "3rd", ""]);
}

async fn due_items_of_one_time_are_handled_by_id(env: Env) {
    let part = env.partition("a").await;
    // Three kinds of due times, all at 50, so that the order of ids is not that of kinds.
    let (scheduled, expires) = (NewItem::new("scheduled"), NewItem::new("expires"));
    let first = part.produce_one(at(0), scheduled.enqueue_at(at(50))).await;
    let second = part.produce_leased(at(0), at(50), "leased").await.id;
    let third = part.produce_one(at(0), expires.expire_at(at(50))).await;
    let fourth = part.produce_one(at(0), scheduled.enqueue_at(at(50))).await;

    let ids = [first, second, third, fourth];
    let mut handled = Vec::new();
    for _ in &ids {
        part.maintain_max(at(50), 1).await;
        let items = part.get(ids).await.into_iter().flatten();
        let due = items.filter(|item| item.due_at() == Some(at(50)));
        handled.push(due.map(|item| item.id).collect::<Vec<_>>());
    }

    assert_eq!(handled, [&ids[1..], &ids[2..], &ids[3..], &[]]);
}

async fn lingering_keys_are_handled_in_their_turn(env: Env) {
    let config = PartitionConfig::default().with_dedup_for(Duration::from_micros(50));
    let part = env.partition_with("a", config).await;
    let gone = NewItem::new("gone").dedup_key("key");
    part.produce(at(0), [NewItem::new("smaller id").enqueue_at(at(50))])
        .await;
    let leased = part.produce_leased(at(0), at(99), gone).await;
    part.produce(at(0), [NewItem::new("larger id").enqueue_at(at(50))])
        .await;
    part.produce(at(0), [NewItem::new("sooner").enqueue_at(at(49))])
        .await;
    part.complete([receipt(&leased)]).await;

    let mut steps = Vec::new();
    for _ in 0..4 {
        let step = part.maintain_max(at(50), 1).await;
        steps.push((step.ready, step.keys_freed, step.more));
    }

    let expected = [(1, 0, true), (1, 0, true), (0, 1, true), (1, 0, false)];
    assert_eq!(steps, expected);
    assert_eq!(ready(&part).await, ["sooner", "smaller id", "larger id"]);
}

async fn keys_of_dropped_items_are_freed_before_nothing_more_is_due(env: Env) {
    let config = PartitionConfig::default()
        .with_dead(DeadPolicy::Drop)
        .with_dedup_for(Duration::from_micros(10));
    let part = env.partition_with("a", config).await;
    let new = NewItem::new("x").dedup_key("key").expire_at(at(5));
    part.produce(at(0), [new]).await;

    // Dropped so late that its key is due at the same time.
    let (mut dropped, mut freed) = (0, 0);
    for _ in 0..5 {
        let step = part.maintain(at(50)).await;
        dropped += step.dropped;
        freed += step.keys_freed;
        if !step.more {
            break;
        }
    }

    assert_eq!((dropped, freed), (1, 1));
    assert_eq!(part.stats().await.next_due, None);
}

/// A rescuer whose full batch needed no rescue never saw what stood behind it.
async fn small_steps_reach_everything(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x"; 5]).await;
    part.lease(at(0), at(10), 5).await;
    part.produce(at(0), [NewItem::new("x").expire_at(at(10)); 5])
        .await;
    part.produce(at(0), [NewItem::new("x").enqueue_at(at(10)); 5])
        .await;

    let mut handled = Vec::new();
    let mut more = true;
    while more && handled.len() < 100 {
        let step = part.maintain_max(at(10), 2).await;
        handled.push(step.handled());
        more = step.more;
    }

    assert_eq!(handled, [2, 2, 2, 2, 2, 2, 2, 1]);
    let stats = part.stats().await;
    assert_eq!((stats.ready.items, stats.dead.items), (10, 5));
}

async fn nothing_is_handled_twice_in_a_call(env: Env) {
    let part = env.partition("a").await;
    // Each would be due again at once if it came into its next state first.
    part.produce_leased(at(0), at(1), NewItem::new("x").expire_at(at(2)))
        .await;
    let new = NewItem::new("x").enqueue_at(at(1)).expire_at(at(2));
    part.produce(at(0), [new]).await;
    part.produce(at(0), [NewItem::new("x").expire_at(at(2))])
        .await;

    let maintained = part.maintain(at(5)).await;

    assert_eq!(maintained.handled(), 3);
    assert_eq!((maintained.expired, maintained.ready), (3, 0));
    assert_eq!((maintained.more, maintained.next_due), (false, None));
}

/// In several queues one row that met its own unique key stopped the rescue of all others.
async fn one_item_keeps_no_other_from_being_handled(env: Env) {
    let part = env.partition("a").await;
    let keys = ["1", "2", "3"];
    part.produce(at(0), keys.map(|key| NewItem::new(key).dedup_key(key)))
        .await;
    part.lease(at(0), at(10), 3).await;
    // Refused, as the keys are taken by the leased items.
    part.produce_outcomes(at(1), keys.map(|key| NewItem::new(key).dedup_key(key)))
        .await;

    let maintained = part.maintain(at(10)).await;

    assert_eq!((maintained.ready, maintained.more), (3, false));
    assert_eq!(ready(&part).await, ["1", "2", "3"]);
}

/// A stream whose trimmed messages stayed in the list of pending ones gave out nothing for ever.
async fn what_was_removed_is_never_due(env: Env) {
    let part = env.partition("a").await;
    let mut removed = Vec::new();
    removed.push(part.produce_leased(at(0), at(10), "leased").await.id);
    let scheduled = NewItem::new("scheduled").enqueue_at(at(10));
    removed.push(part.produce_one(at(0), scheduled).await);
    let expires = NewItem::new("expires").expire_at(at(10));
    removed.push(part.produce_one(at(0), expires).await);
    part.produce(at(0), [scheduled, expires]).await;

    part.delete_items(removed).await;
    let deleted = part.stats().await.next_due;
    part.clear(storage_api::States::ALL, 10).await;

    let maintained = part.maintain(at(10)).await;
    assert_eq!(deleted, Some(at(10)));
    assert_eq!((maintained.handled(), maintained.next_due), (0, None));
}

async fn two_who_maintain_at_once_handle_each_once(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), vec![NewItem::new("x").enqueue_at(at(5)); 300])
        .await;

    let callers: Vec<_> = (0..4)
        .map(|_| {
            let part = part.clone();
            tokio::spawn(async move {
                let mut ready = 0;
                loop {
                    let step = part.maintain_max(at(5), 7).await;
                    ready += step.ready;
                    if !step.more {
                        return ready;
                    }
                }
            })
        })
        .collect();
    let mut ready = 0;
    for caller in callers {
        ready += caller.await.expect("no call is refused");
    }
    // Those that another call had in hand may have been passed over.
    ready += part.maintain(at(5)).await.ready;

    assert_eq!(ready, 300);
    assert_eq!(part.stats().await.ready.items, 300);
}

async fn two_scheduled_items_are_ready_each_at_its_time(env: Env) {
    let part = env.partition("a").await;
    let later = |payload, time| NewItem::new(payload).enqueue_at(at(time));
    part.produce(at(0), [later("second", 20), later("first", 10)])
        .await;

    let mut seen = Vec::new();
    for now in [9, 10, 19, 20] {
        part.maintain(at(now)).await;
        seen.push(ready(&part).await.join(" "));
    }

    assert_eq!(seen, ["", "first", "first", "first second"]);
}

async fn two_scheduled_items_are_ready_each_at_its_time_after_a_reopening(env: Env) {
    let part = env.partition("a").await;
    let later = |payload, time| NewItem::new(payload).enqueue_at(at(time));
    part.produce(at(0), [later("second", 20), later("first", 10)])
        .await;

    env.reopen().await;
    let mut seen = vec![part.stats().await.next_due];
    for now in [9, 10, 20] {
        seen.push(part.maintain(at(now)).await.next_due);
    }

    let (first, second) = (Some(at(10)), Some(at(20)));
    assert_eq!(seen, [first, first, second, None]);
    assert_eq!(ready(&part).await, ["first", "second"]);
}

/// A queue whose rescue read another form of record than it had written requeued nothing, ever.
async fn leases_are_taken_back_after_a_reopening(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["1", "2", "3"]).await;
    let leased = part.lease(at(0), at(10), 2).await;
    part.extend([receipt(&leased[1])], at(20)).await;
    let last = part.lease_one(at(0), at(10)).await;
    part.retry(at(0), receipt(&last), RetryTo::At(at(30))).await;

    env.reopen().await;
    let mut seen = Vec::new();
    for now in [9, 10, 20, 30] {
        part.maintain(at(now)).await;
        seen.push(ready(&part).await.join(" "));
    }

    assert_eq!(seen, ["", "1", "1 2", "1 2 3"]);
    assert_eq!(part.complete(receipts(&leased)).await.len(), 2);
}

async fn ten_thousand_items_become_ready_in_one_step(env: Env) {
    let part = env.partition("a").await;
    let new = vec![NewItem::new("x").enqueue_at(at(5)); 10_000];
    part.produce(at(0), new).await;
    part.produce(at(0), [NewItem::new("x").enqueue_at(at(5))])
        .await;

    let first = part.maintain(at(5)).await;
    let second = part.maintain(at(5)).await;

    assert_eq!((first.ready, first.more), (10_000, true));
    assert_eq!((second.ready, second.more), (1, false));
}
