//! Dedup keys whose items have gone: which are free at once, and which linger until when.

use std::time::Duration;

use storage_api::{
    Capability, CommitRequest, DeadPolicy, ItemId, ItemIds, NewItem, PartitionConfig,
    ProduceOutcome, Receipts, RetryTo, States,
};

use crate::case::{Case, cases};
use crate::env::{Env, at};
use crate::part::{Part, batch, receipt};

pub(in crate::cases) const CASES: &[Case] = cases![produce:
    completing_frees_the_dedup_key_at_once_without_a_time_for_it ["ITEM-4"],
    dropping_frees_the_dedup_key_at_once_without_a_time_for_it ["ITEM-4", "DEAD-1"],
    completed_dedup_key_is_taken_until_maintain_finds_its_time_passed ["ITEM-4", "TIME-1"],
    dropped_dedup_key_is_taken_until_maintain_finds_its_time_passed ["ITEM-4", "DEAD-1"],
    lingering_dedup_key_is_freed_by_maintain_alone ["ITEM-4"],
    time_of_a_dedup_key_counts_from_the_creation_of_its_item ["ITEM-4"],
    dedup_key_lingers_even_if_its_time_had_passed_before_completion ["ITEM-4"],
    refused_duplicate_does_not_lengthen_the_time ["ITEM-4"],
    deleting_frees_the_dedup_key_at_once ["ITEM-4", "LIST-4"],
    clearing_frees_the_dedup_key_at_once ["ITEM-4", "LIST-4"],
    later_change_of_the_time_does_not_move_a_lingering_key ["ITEM-4", "PART-3"],
    time_in_force_at_completion_decides ["ITEM-4", "PART-3"],
    freed_dedup_key_belongs_to_its_new_item_alone ["ITEM-4", "TIME-1"],
    duplicate_of_an_item_that_has_gone_names_it ["ITEM-4"],
    dedup_time_beyond_the_largest_timestamp_ends_there ["ITEM-4", "TIME-4"],
    keys_linger_after_a_commit_that_completes_and_not_after_one_that_deletes ["ITEM-4", "META-1"],
    dedup_key_freed_by_a_step_of_a_commit_is_free_for_the_next ["ITEM-4", "META-1"],
    lingering_keys_are_kept_over_a_reopening ["ITEM-4", "DUR-2"] .requires(Capability::Reopen),
];

fn keyed() -> NewItem<'static> {
    NewItem::new("item").dedup_key("key")
}

/// A partition that keeps dedup keys for so many microseconds.
async fn keeping(env: &Env, micros: u64) -> Part {
    let config = PartitionConfig::default().with_dedup_for(Duration::from_micros(micros));
    env.partition_with("a", config).await
}

/// Produces an item with the key, and completes it.
async fn complete_keyed(part: &Part, created_at: i64) -> ItemId {
    let leased = part
        .produce_leased(at(created_at), at(i64::MAX), keyed())
        .await;
    part.complete([receipt(&leased)]).await;
    leased.id
}

/// Whether the key is free. If so, it is taken afterwards.
async fn takes_key(part: &Part, now: i64) -> bool {
    let outcomes = part.produce_outcomes(at(now), [keyed()]).await;
    matches!(outcomes[..], [ProduceOutcome::Stored(_)])
}

async fn completing_frees_the_dedup_key_at_once_without_a_time_for_it(env: Env) {
    let part = keeping(&env, 0).await;

    complete_keyed(&part, 0).await;

    assert!(takes_key(&part, 0).await, "the key is free");
}

async fn dropping_frees_the_dedup_key_at_once_without_a_time_for_it(env: Env) {
    let config = PartitionConfig::default().with_dead(DeadPolicy::Drop);
    let part = env.partition_with("a", config).await;

    part.produce_dead(at(0), keyed()).await;
    let after_reject = part
        .produce_outcomes(at(0), [keyed().expire_at(at(5))])
        .await;
    part.maintain(at(5)).await;
    let after_expiry = takes_key(&part, 5).await;

    assert!(matches!(after_reject[..], [ProduceOutcome::Stored(_)]));
    assert!(after_expiry, "the key is free");
}

async fn completed_dedup_key_is_taken_until_maintain_finds_its_time_passed(env: Env) {
    let part = keeping(&env, 10).await;
    complete_keyed(&part, 100).await;

    let mut free = Vec::new();
    let mut freed = Vec::new();
    for now in [100, 109, 110] {
        freed.push(part.maintain(at(now)).await.keys_freed);
        free.push(takes_key(&part, now).await);
    }

    assert_eq!(freed, [0, 0, 1]);
    assert_eq!(free, [false, false, true]);
}

async fn dropped_dedup_key_is_taken_until_maintain_finds_its_time_passed(env: Env) {
    let part = keeping(&env, 10).await;
    part.update(part.info().await.config.with_dead(DeadPolicy::Drop))
        .await;
    part.produce_dead(at(100), keyed()).await;

    let mut free = Vec::new();
    for now in [109, 110] {
        part.maintain(at(now)).await;
        free.push(takes_key(&part, now).await);
    }

    assert_eq!(free, [false, true]);
}

async fn lingering_dedup_key_is_freed_by_maintain_alone(env: Env) {
    let part = keeping(&env, 10).await;
    complete_keyed(&part, 0).await;

    let before = takes_key(&part, 1_000_000).await;
    let maintained = part.maintain(at(1_000_000)).await;
    let after = takes_key(&part, 1_000_000).await;

    assert_eq!((before, after), (false, true));
    assert_eq!((maintained.keys_freed, maintained.next_due), (1, None));
}

async fn time_of_a_dedup_key_counts_from_the_creation_of_its_item(env: Env) {
    let part = keeping(&env, 100).await;
    part.produce(at(0), [keyed().enqueue_at(at(90))]).await;
    part.maintain(at(90)).await;
    let leased = part.lease_one(at(95), at(99)).await;
    part.complete([receipt(&leased)]).await;

    part.maintain(at(99)).await;
    let before = takes_key(&part, 99).await;
    part.maintain(at(100)).await;
    let after = takes_key(&part, 100).await;

    assert_eq!((before, after), (false, true));
}

async fn dedup_key_lingers_even_if_its_time_had_passed_before_completion(env: Env) {
    let part = keeping(&env, 10).await;
    let leased = part.produce_leased(at(0), at(99), keyed()).await;
    part.maintain(at(50)).await;

    part.complete([receipt(&leased)]).await;
    let due = part.stats().await.next_due;
    let before = takes_key(&part, 50).await;
    let freed = part.maintain(at(50)).await.keys_freed;

    assert_eq!((due, before, freed), (Some(at(10)), false, 1));
}

async fn refused_duplicate_does_not_lengthen_the_time(env: Env) {
    let part = keeping(&env, 10).await;
    complete_keyed(&part, 0).await;

    let mut free = Vec::new();
    for now in [3, 6, 9, 10] {
        part.maintain(at(now)).await;
        free.push(takes_key(&part, now).await);
    }

    assert_eq!(free, [false, false, false, true]);
}

async fn deleting_frees_the_dedup_key_at_once(env: Env) {
    let part = keeping(&env, 1000).await;
    let items = part.produce_one_of_each_state().await;

    let all = [items.ready, items.scheduled, items.leased.id, items.dead];
    part.delete_items(all).await;

    // Panics where one of them is a duplicate.
    let new = ["ready", "scheduled", "leased", "dead"];
    part.produce(at(1), new.map(|key| NewItem::new(key).dedup_key(key)))
        .await;
    part.clear(States::ALL, 10).await;
    assert_eq!(part.stats().await.next_due, None);
}

async fn clearing_frees_the_dedup_key_at_once(env: Env) {
    let part = keeping(&env, 1000).await;
    part.produce_one_of_each_state().await;

    part.clear(States::ALL, 10).await;

    assert_eq!(part.stats().await.next_due, None);
    // Panics where one of them is a duplicate.
    let new = ["ready", "scheduled", "leased", "dead"];
    part.produce(at(1), new.map(|key| NewItem::new(key).dedup_key(key)))
        .await;
}

async fn later_change_of_the_time_does_not_move_a_lingering_key(env: Env) {
    let part = keeping(&env, 10).await;
    let config = part.info().await.config;
    let mut free = Vec::new();

    for (round, micros) in [(0, 0), (1000, 500)] {
        part.update(config.clone()).await;
        complete_keyed(&part, round).await;
        part.update(config.clone().with_dedup_for(Duration::from_micros(micros)))
            .await;
        for now in [round + 9, round + 10] {
            part.maintain(at(now)).await;
            free.push(takes_key(&part, now).await);
        }
        part.clear(States::ALL, 10).await;
    }

    assert_eq!(free, [false, true, false, true]);
}

async fn time_in_force_at_completion_decides(env: Env) {
    let part = keeping(&env, 0).await;
    let config = part.info().await.config;
    let lasting = config.clone().with_dedup_for(Duration::from_micros(10));

    let leased = part.produce_leased(at(0), at(99), keyed()).await;
    part.update(lasting).await;
    part.complete([receipt(&leased)]).await;
    let lengthened = takes_key(&part, 1).await;
    part.maintain(at(10)).await;
    let leased = part.produce_leased(at(10), at(99), keyed()).await;
    part.update(config).await;
    part.complete([receipt(&leased)]).await;
    let shortened = takes_key(&part, 11).await;

    assert_eq!((lengthened, shortened), (false, true));
}

async fn freed_dedup_key_belongs_to_its_new_item_alone(env: Env) {
    let part = keeping(&env, 10).await;
    complete_keyed(&part, 0).await;
    part.maintain(at(10)).await;

    complete_keyed(&part, 20).await;
    let due = part.stats().await.next_due;
    let early = part.maintain(at(29)).await.keys_freed;
    let taken = takes_key(&part, 29).await;
    let freed = part.maintain(at(30)).await.keys_freed;

    assert_eq!(due, Some(at(30)));
    assert_eq!((early, taken, freed), (0, false, 1));
}

async fn duplicate_of_an_item_that_has_gone_names_it(env: Env) {
    let part = keeping(&env, 10).await;
    part.produce(at(0), [NewItem::new("other").priority(255)])
        .await;
    let of = complete_keyed(&part, 0).await;

    let outcomes = part.produce_outcomes(at(1), [keyed()]).await;

    assert_eq!(outcomes, [ProduceOutcome::Duplicate { of, state: None }]);
}

async fn dedup_time_beyond_the_largest_timestamp_ends_there(env: Env) {
    let part = keeping(&env, u64::MAX).await;
    complete_keyed(&part, i64::MAX - 5).await;

    let due = part.stats().await.next_due;
    let early = part.maintain(at(i64::MAX - 1)).await.keys_freed;
    let freed = part.maintain(at(i64::MAX)).await.keys_freed;

    assert_eq!((due, early, freed), (Some(at(i64::MAX)), 0, 1));
}

async fn keys_linger_after_a_commit_that_completes_and_not_after_one_that_deletes(env: Env) {
    let part = keeping(&env, 10).await;
    let leased = part.produce_leased(at(0), at(99), keyed()).await;
    let other = NewItem::new("other").dedup_key("other");
    let deleted = part.produce_one(at(0), other).await;

    let mut commit = CommitRequest::new(at(1));
    let complete = commit.complete(part.id(), Receipts::one(receipt(&leased)));
    let delete = commit.delete_items(part.id(), ItemIds::one(deleted));
    assert!(complete.and(delete).is_ok());
    env.commit(commit).await;

    let outcomes = part.produce_outcomes(at(2), [keyed(), other]).await;
    let (of, state) = (leased.id, None);
    assert_eq!(outcomes[0], ProduceOutcome::Duplicate { of, state });
    assert!(
        matches!(outcomes[1], ProduceOutcome::Stored(_)),
        "{outcomes:?}"
    );
}

async fn dedup_key_freed_by_a_step_of_a_commit_is_free_for_the_next(env: Env) {
    let part = keeping(&env, 0).await;
    let leased = part.produce_leased(at(0), at(99), keyed()).await;

    let mut commit = CommitRequest::new(at(1));
    let complete = commit.complete(part.id(), Receipts::one(receipt(&leased)));
    let produce = commit.produce(part.id(), batch([keyed()]));
    assert!(complete.and(produce).is_ok());
    let committed = env.commit(commit).await;

    assert_eq!(committed.produced[0].stored(), 1);
    assert_eq!(part.stats().await.items(), 1);
}

/// A queue that built its keys anew from the items that it still had took duplicates after a restart.
async fn lingering_keys_are_kept_over_a_reopening(env: Env) {
    let part = keeping(&env, 10).await;
    complete_keyed(&part, 0).await;
    part.produce(at(0), [NewItem::new("x").enqueue_at(at(500))])
        .await;
    let leased = part.produce_leased(at(0), at(99), "retried").await;
    part.retry(at(0), receipt(&leased), RetryTo::Dead).await;

    env.reopen().await;
    let due = part.stats().await.next_due;
    let taken = takes_key(&part, 9).await;
    let freed = part.maintain(at(10)).await.keys_freed;

    assert_eq!((due, taken, freed), (Some(at(10)), false, 1));
    assert!(takes_key(&part, 10).await, "the key is free");
}
