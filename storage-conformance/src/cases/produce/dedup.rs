//! Dedup keys while an item with them lives.

use std::time::Duration;

use storage_api::{
    Capability, ErrorKind, NewItem, PartitionConfig, ProduceOutcome, RetryOutcome, RetryTo, State,
};

use crate::case::{Case, cases};
use crate::env::{Env, at, partition_id, refused};
use crate::part::{payloads, receipt};

pub(in crate::cases) const CASES: &[Case] = cases![produce:
    dedup_key_is_taken_while_its_item_lives_in_any_state ["ITEM-4"],
    first_of_a_batch_has_the_dedup_key ["ITEM-4"],
    duplicate_of_a_scheduled_item_of_the_same_batch_says_so ["ITEM-4"],
    duplicate_takes_no_id ["ITEM-2", "ITEM-4"],
    duplicate_changes_nothing_of_the_item_that_is_there ["ITEM-4"],
    dedup_key_is_taken_through_the_whole_life_of_an_item ["ITEM-4"],
    item_is_no_duplicate_of_itself ["ITEM-4", "TIME-1", "RETRY-1", "DEAD-2"],
    dedup_keys_are_compared_whole ["ITEM-4"],
    items_without_a_dedup_key_are_no_duplicates ["ITEM-4"],
    dedup_key_belongs_to_one_partition ["ITEM-4", "PART-6"],
    refused_batch_takes_no_dedup_key ["ITEM-1", "ITEM-4"],
    full_partition_still_tells_of_a_duplicate ["ITEM-4", "LIMIT-2"],
    dedup_keys_of_living_items_are_kept_over_a_reopening ["ITEM-4", "DUR-2"] .requires(Capability::Reopen),
];

/// An item whose dedup key is its payload.
fn keyed(name: &str) -> NewItem<'_> {
    NewItem::new(name).dedup_key(name)
}

async fn dedup_key_is_taken_while_its_item_lives_in_any_state(env: Env) {
    let part = env.partition("a").await;
    let there = part.produce_one_of_each_state().await;

    let again = ["ready", "scheduled", "leased", "dead"].map(keyed);
    let outcomes = part.produce_outcomes(at(1), again).await;

    let duplicate = |of, state| {
        let state = Some(state);
        ProduceOutcome::Duplicate { of, state }
    };
    let expected = [
        duplicate(there.ready, State::Ready),
        duplicate(there.scheduled, State::Scheduled),
        duplicate(there.leased.id, State::Leased),
        duplicate(there.dead, State::Dead),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(part.stats().await.items(), 4);
}

async fn first_of_a_batch_has_the_dedup_key(env: Env) {
    let part = env.partition("a").await;

    let same = |payload| NewItem::new(payload).dedup_key("same");
    let batch = [same("first"), keyed("other"), same("second"), same("third")];
    let outcomes = part.produce_outcomes(at(0), batch).await;

    let listed = part.list_all().await;
    assert_eq!(payloads(&listed), ["first", "other"]);
    let (first, other) = (listed[0].id, listed[1].id);
    let duplicate = ProduceOutcome::Duplicate {
        of: first,
        state: Some(State::Ready),
    };
    let stored = ProduceOutcome::Stored;
    assert_eq!(
        outcomes,
        [stored(first), stored(other), duplicate, duplicate]
    );
}

async fn duplicate_of_a_scheduled_item_of_the_same_batch_says_so(env: Env) {
    let part = env.partition("a").await;

    let batch = [keyed("same").enqueue_at(at(5)), keyed("same")];
    let outcomes = part.produce_outcomes(at(0), batch).await;

    let of = part.list_all().await[0].id;
    let state = Some(State::Scheduled);
    assert_eq!(outcomes[1], ProduceOutcome::Duplicate { of, state });
}

/// A queue that gave a number to what it refused waited for that number for ever.
async fn duplicate_takes_no_id(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), [keyed("there")]).await;

    let batch = [
        keyed("one"),
        keyed("there"),
        keyed("two"),
        keyed("one"),
        keyed("three"),
    ];
    let outcomes = part.produce_outcomes(at(0), batch).await;

    let stored = outcomes.iter().filter_map(|outcome| match outcome {
        ProduceOutcome::Stored(id) => Some(*id),
        ProduceOutcome::Duplicate { .. } => None,
    });
    let stored: Vec<_> = stored.collect();
    assert_eq!(stored.len(), 3);
    let is_consecutive = stored
        .windows(2)
        .all(|pair| pair[0].next() == Some(pair[1]));
    assert!(is_consecutive, "{stored:?}");
    let found = part.get(stored).await;
    let found: Vec<_> = found.into_iter().flatten().collect();
    assert_eq!(payloads(&found), ["one", "two", "three"]);
}

async fn duplicate_changes_nothing_of_the_item_that_is_there(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), [keyed("key")]).await;
    let before = env.snapshot().await;

    let other = NewItem::new("another payload")
        .dedup_key("key")
        .priority(1)
        .enqueue_at(at(50))
        .expire_at(at(60));
    part.produce_outcomes(at(5), [other]).await;

    assert_eq!(env.snapshot().await, before);
}

async fn dedup_key_is_taken_through_the_whole_life_of_an_item(env: Env) {
    let part = env.partition("a").await;
    let item = part
        .produce_one(at(0), keyed("key").enqueue_at(at(5)))
        .await;
    let mut states = Vec::new();
    let state = async |now| match part.produce_outcomes(at(now), [keyed("key")]).await[0] {
        ProduceOutcome::Duplicate { of, state } if of == item => state,
        other => panic!("expected a duplicate of {item}, got {other:?}"),
    };

    states.push(state(1).await);
    part.maintain(at(5)).await;
    states.push(state(5).await);
    let leased = part.lease_one(at(5), at(9)).await;
    states.push(state(6).await);
    part.maintain(at(9)).await;
    states.push(state(9).await);
    part.complete([receipt(&leased)]).await;
    let leased = part.lease_one(at(9), at(20)).await;
    part.retry(at(9), receipt(&leased), RetryTo::At(at(15)))
        .await;
    states.push(state(10).await);
    part.maintain(at(15)).await;
    let leased = part.lease_one(at(15), at(20)).await;
    part.retry(at(15), receipt(&leased), RetryTo::Dead).await;
    states.push(state(16).await);
    part.revive([item]).await;
    states.push(state(17).await);

    use State::{Dead, Leased, Ready, Scheduled};
    let expected = [Scheduled, Ready, Leased, Ready, Scheduled, Dead, Ready];
    assert_eq!(states, expected.map(Some));
}

/// Queues that produce anew what is due or retried met the item's own key, and dropped it or stopped.
async fn item_is_no_duplicate_of_itself(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), [keyed("key").enqueue_at(at(5))]).await;

    let promoted = part.maintain(at(5)).await.ready;
    part.lease_one(at(5), at(9)).await;
    let taken_back = part.maintain(at(9)).await.ready;
    let leased = part.lease_one(at(9), at(20)).await;
    let retried = part
        .retry(at(9), receipt(&leased), RetryTo::At(at(12)))
        .await;
    let due_again = part.maintain(at(12)).await.ready;
    let leased = part.lease_one(at(12), at(20)).await;
    part.retry(at(12), receipt(&leased), RetryTo::Dead).await;
    part.revive([leased.id]).await;

    assert_eq!((promoted, taken_back, due_again), (1, 1, 1));
    assert_eq!(retried, RetryOutcome::Scheduled);
    assert_eq!(payloads(&part.lease(at(13), at(20), 1).await), ["key"]);
}

async fn dedup_keys_are_compared_whole(env: Env) {
    let part = env.partition("a").await;
    let longest = ["k".repeat(256), "k".repeat(255), "k".repeat(255) + "l"];
    let keys = [
        "a", "ab", "a\0", "\0a", "\0", "\0\0", "A", "a ", " a", "a/b", "á", "a\u{301}",
    ];
    let keys = keys.into_iter().chain(longest.iter().map(String::as_str));
    let keys: Vec<_> = keys.map(keyed).collect();

    let first = part.produce(at(0), keys.clone()).await;
    let again = part.produce_outcomes(at(1), keys).await;

    let state = Some(State::Ready);
    let of_each = first
        .iter()
        .map(|of| ProduceOutcome::Duplicate { of: *of, state });
    assert!(again.into_iter().eq(of_each));
}

async fn items_without_a_dedup_key_are_no_duplicates(env: Env) {
    let config = PartitionConfig::default().with_dedup_for(Duration::from_secs(1));
    let part = env.partition_with("a", config).await;
    let leased = part.produce_leased(at(0), at(9), "same").await;
    part.complete([receipt(&leased)]).await;

    part.produce(at(0), ["same", "same"]).await;

    assert_eq!(payloads(&part.list_all().await), ["same", "same"]);
    assert_eq!(part.stats().await.next_due, None);
}

async fn dedup_key_belongs_to_one_partition(env: Env) {
    let parts = [
        env.partition("a").await,
        env.create(&partition_id("a", 1), PartitionConfig::default())
            .await,
        env.partition("b").await,
    ];

    for part in &parts {
        // Panics where it is a duplicate.
        part.produce(at(0), [keyed("key")]).await;
    }
    parts[0]
        .delete_items([parts[0].list_all().await[0].id])
        .await;

    for (part, items) in parts.iter().zip([1, 0, 0]) {
        let stored = part.produce_outcomes(at(1), [keyed("key")]).await;
        let stored = stored
            .iter()
            .filter(|outcome| matches!(outcome, ProduceOutcome::Stored(_)));
        assert_eq!(stored.count(), items, "stored in {}", part.id());
    }
}

async fn refused_batch_takes_no_dedup_key(env: Env) {
    let part = env
        .partition_with("a", PartitionConfig::default().with_items_max(1))
        .await;

    let two = part.try_produce(at(0), [keyed("one"), keyed("two")]).await;
    refused(two, ErrorKind::CapacityExceeded);

    let one = part.produce_outcomes(at(0), [keyed("one")]).await;
    assert!(matches!(one[..], [ProduceOutcome::Stored(_)]), "{one:?}");
}

async fn full_partition_still_tells_of_a_duplicate(env: Env) {
    let part = env
        .partition_with("a", PartitionConfig::default().with_items_max(1))
        .await;
    let of = part.produce_one(at(0), keyed("key")).await;

    let outcomes = part.produce_outcomes(at(1), [keyed("key")]).await;

    let state = Some(State::Ready);
    assert_eq!(outcomes, [ProduceOutcome::Duplicate { of, state }]);
}

async fn dedup_keys_of_living_items_are_kept_over_a_reopening(env: Env) {
    let part = env.partition("a").await;
    part.produce_one_of_each_state().await;

    env.reopen().await;
    let again = ["ready", "scheduled", "leased", "dead"].map(keyed);
    let outcomes = part.produce_outcomes(at(1), again).await;

    let is_duplicate = |outcome: &_| matches!(outcome, ProduceOutcome::Duplicate { .. });
    assert!(outcomes.iter().all(is_duplicate), "{outcomes:?}");
}
