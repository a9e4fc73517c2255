//! Making partitions, configuring them, removing them.

use std::sync::Arc;
use std::time::Duration;

use storage_api::{
    Capability, CommitRequest, CompleteOutcome, Count, DeadPolicy, ErrorKind, Floors, Holder,
    ItemEntry, ItemIds, LeaseRequest, ListRequest, Mode, NewItem, Object, PartitionConfig,
    PartitionStats, Receipts, Requeue, RestoreBatch, Result, Retries, Retry, RetryTo, States,
    StorageBackend, UpdateOutcome,
};

use crate::case::{Case, cases};
use crate::env::{Env, at, partition_id, refused};
use crate::part::{Part, batch, ids, payloads, receipt};

pub(in crate::cases) const CASES: &[Case] = cases![partitions:
    new_partition_is_empty_and_has_its_configuration ["PART-1"],
    existing_partition_is_left_as_it_is_by_creating_it_again ["PART-1"],
    missing_partition_is_found_by_no_operation ["PART-2"],
    missing_partition_is_not_found_by_empty_calls_either ["PART-2", "BATCH-2"],
    partition_of_the_same_queue_does_not_stand_in_for_a_missing_one ["PART-2", "PART-6"],
    update_of_the_expected_revision_replaces_the_configuration ["PART-3"],
    update_of_another_revision_changes_nothing ["PART-3"],
    update_without_an_expected_revision_replaces_any ["PART-3"],
    second_update_of_one_revision_is_in_conflict ["PART-3"],
    update_of_one_setting_leaves_the_others ["PART-3"],
    update_of_each_setting_leaves_the_others ["PART-3"] .since(2),
    update_touches_no_item ["PART-3"],
    deleted_partition_is_gone_with_everything_in_it ["PART-4", "PART-2"],
    partition_made_again_is_empty ["PART-4"],
    partition_made_again_is_another_one ["PART-4", "PART-1", "PART-3"],
    partition_made_again_frees_every_dedup_key ["PART-4", "ITEM-4"],
    partition_made_again_gives_no_id_twice ["PART-4", "ITEM-2"],
    receipt_of_a_deleted_partition_completes_nothing_in_the_next ["PART-4", "LEASE-2"],
    deleted_partition_stays_deleted_over_a_reopening ["PART-4", "DUR-2"] .requires(Capability::Reopen),
    partition_made_again_gives_no_id_twice_after_a_reopening ["PART-4", "ITEM-2"] .requires(Capability::Reopen),
    configuration_is_kept_over_a_reopening ["PART-3", "DUR-2"] .requires(Capability::Reopen),
    a_hundred_thousand_items_are_deleted_in_one_step ["PART-4"] .long(),
];

/// A configuration whose every setting differs from the default.
fn every_setting() -> PartitionConfig {
    PartitionConfig::default()
        .with_attempts_max(u32::MAX)
        .with_requeue(Requeue::Original)
        .with_dead(DeadPolicy::Drop)
        .with_dedup_for(Duration::from_micros(123_456_789))
        .with_items_max(u64::MAX)
        .with_bytes_max(1 << 40)
        .with_mode(Mode::Draining)
}

async fn new_partition_is_empty_and_has_its_configuration(env: Env) {
    let id = partition_id("a", 7);

    let backend = env.backend().await;
    let created = backend.create_partition(&id, every_setting()).await;

    let created = created.expect("the name is free");
    let part = env.part(&id);
    assert_eq!(created.id, id);
    assert_eq!(created.config, every_setting());
    assert_eq!(part.info().await, created);
    assert_eq!(part.list_all().await, []);
    assert_eq!(part.stats().await, PartitionStats::default());
}

async fn existing_partition_is_left_as_it_is_by_creating_it_again(env: Env) {
    let part = env.partition("a").await;
    part.produce_one_of_each_state().await;
    let before = env.snapshot().await;

    let backend = env.backend().await;
    let again = backend.create_partition(part.id(), every_setting()).await;

    refused(again, ErrorKind::AlreadyExists);
    assert_eq!(env.snapshot().await, before);
}

/// Calls every operation on a partition, about that item or, without one, about none.
async fn call_everything(
    backend: &Arc<dyn StorageBackend>,
    part: &Part,
    item: Option<&ItemEntry>,
) -> Vec<(&'static str, Result<()>)> {
    let id = part.id();
    let receipts = Receipts::collect(item.map(receipt)).expect("one at most");
    let retries = item.map(|item| Retry::new(receipt(item), RetryTo::Now));
    let retries = Retries::collect(retries).expect("one at most");
    let ids = ItemIds::collect(item.map(|item| item.id)).expect("one at most");
    let entries = RestoreBatch::new(item.into_iter().cloned().collect()).expect("one at most");
    let payloads = item.map(|_| "new");
    let request = LeaseRequest::new(at(0), at(10), Count::ONE);
    let all = ListRequest::by_id(States::ALL);

    let mut produce = CommitRequest::new(at(0));
    let produced = produce.produce(id, batch(payloads));
    let mut complete = CommitRequest::new(at(0));
    let completed = complete.complete(id, receipts.clone());
    let mut delete = CommitRequest::new(at(0));
    let deleted = delete.delete_items(id, ids.clone());
    produced
        .and(completed)
        .and(deleted)
        .expect("one entry at most");

    let config = PartitionConfig::default();
    let holder = Holder::new(1).expect("not zero");
    let sealed = batch(payloads).seal(at(0));
    vec![
        (
            "update",
            backend.update_partition(id, None, config).await.map(drop),
        ),
        ("partition", backend.partition(id).await.map(drop)),
        ("stats", backend.stats(id).await.map(drop)),
        (
            "maintain",
            backend.maintain(id, at(0), Count::MAX).await.map(drop),
        ),
        ("watch", backend.watch(id).await.map(drop)),
        ("produce", backend.produce(id, sealed).await.map(drop)),
        ("lease", backend.lease(id, request).await.map(drop)),
        (
            "extend",
            backend.extend(id, receipts.clone(), at(20)).await.map(drop),
        ),
        (
            "release",
            backend.release(id, receipts.clone()).await.map(drop),
        ),
        (
            "release_holder",
            backend
                .release_holder(id, holder, Count::ONE)
                .await
                .map(drop),
        ),
        ("complete", backend.complete(id, receipts).await.map(drop)),
        ("retry", backend.retry(id, at(0), retries).await.map(drop)),
        ("revive", backend.revive(id, ids.clone()).await.map(drop)),
        (
            "get_items",
            backend.get_items(id, ids.clone(), true).await.map(drop),
        ),
        ("list_items", backend.list_items(id, all).await.map(drop)),
        (
            "delete_items",
            backend.delete_items(id, ids).await.map(drop),
        ),
        (
            "clear",
            backend.clear(id, States::NONE, Count::ONE).await.map(drop),
        ),
        (
            "restore",
            backend.restore(id, entries, Floors::none()).await.map(drop),
        ),
        (
            "commit that produces",
            backend.commit(produce).await.map(drop),
        ),
        (
            "commit that completes",
            backend.commit(complete).await.map(drop),
        ),
        (
            "commit that deletes",
            backend.commit(delete).await.map(drop),
        ),
        (
            "delete_partition",
            backend.delete_partition(id).await.map(drop),
        ),
    ]
}

fn assert_all_not_found(part: &Part, answers: Vec<(&'static str, Result<()>)>) {
    for (operation, answer) in answers {
        assert!(answer.is_err(), "{operation} found a missing partition");
        let error = refused(answer, ErrorKind::NotFound);
        let named = Object::Partition(part.id().clone());
        assert_eq!(*error.object(), named, "what {operation} names");
    }
}

async fn missing_partition_is_found_by_no_operation(env: Env) {
    let there = env.partition("there").await;
    let leased = there.produce_leased(at(0), at(10), "there").await;
    let missing = env.part(&partition_id("missing", 0));
    let before = env.snapshot().await;

    let answers = call_everything(&env.backend().await, &missing, Some(&leased)).await;

    assert_all_not_found(&missing, answers);
    assert_eq!(env.snapshot().await, before);
}

async fn missing_partition_is_not_found_by_empty_calls_either(env: Env) {
    let missing = env.part(&partition_id("missing", 0));

    let answers = call_everything(&env.backend().await, &missing, None).await;

    assert_all_not_found(&missing, answers);
    assert_eq!(env.partitions().await, []);
}

async fn partition_of_the_same_queue_does_not_stand_in_for_a_missing_one(env: Env) {
    let there = env.partition("a").await;
    there.produce(at(0), ["there"]).await;
    let missing = env.part(&partition_id("a", 1));

    let leased = missing
        .try_lease(LeaseRequest::new(at(0), at(10), Count::ONE))
        .await;

    refused(leased, ErrorKind::NotFound);
    assert_eq!(there.stats().await.ready.items, 1);
}

async fn update_of_the_expected_revision_replaces_the_configuration(env: Env) {
    let part = env.partition("a").await;
    let first = part.info().await;

    let backend = env.backend().await;
    let updated = backend.update_partition(part.id(), Some(first.revision), every_setting());
    let updated = updated.await.expect("the partition is there");

    let second = part.info().await;
    assert_eq!(updated, UpdateOutcome::Updated(second.revision));
    assert!(
        second.revision > first.revision,
        "{first:?} then {second:?}"
    );
    assert_eq!(second.config, every_setting());
    assert_eq!(second.created, first.created);
}

async fn update_of_another_revision_changes_nothing(env: Env) {
    let part = env.partition("a").await;
    let outdated = part.info().await.revision;
    let current = part.update(every_setting()).await;
    let before = env.snapshot().await;

    let backend = env.backend().await;
    let config = PartitionConfig::default();
    let updated = backend.update_partition(part.id(), Some(outdated), config);
    let updated = updated.await.expect("a conflict is a value");

    assert_eq!(updated, UpdateOutcome::Conflict(current));
    assert_eq!(env.snapshot().await, before);
}

async fn update_without_an_expected_revision_replaces_any(env: Env) {
    let part = env.partition("a").await;
    part.update(every_setting().with_items_max(5)).await;

    let revision = part.update(every_setting()).await;

    let info = part.info().await;
    assert_eq!(info.config, every_setting());
    assert_eq!(info.revision, revision);
}

async fn second_update_of_one_revision_is_in_conflict(env: Env) {
    let part = env.partition("a").await;
    let seen = part.info().await.revision;
    let backend = env.backend().await;
    let update = |items_max| {
        let config = PartitionConfig::default().with_items_max(items_max);
        backend.update_partition(part.id(), Some(seen), config)
    };

    let first = update(1).await.expect("the partition is there");
    let second = update(2).await.expect("a conflict is a value");

    let UpdateOutcome::Updated(revision) = first else {
        panic!("the first update expects the revision that is there, got {first:?}");
    };
    assert_eq!(second, UpdateOutcome::Conflict(revision));
    assert_eq!(part.info().await.config.items_max(), 1);
}

async fn update_of_one_setting_leaves_the_others(env: Env) {
    let part = env.partition_with("a", every_setting()).await;

    let config = part.info().await.config;
    part.update(config.with_attempts_max(3)).await;

    assert_eq!(
        part.info().await.config,
        every_setting().with_attempts_max(3)
    );
}

async fn update_of_each_setting_leaves_the_others(env: Env) {
    let part = env.partition("a").await;
    // Each to a value that is neither the default nor that of `every_setting`, where a setting has a third.
    let changes: [fn(PartitionConfig) -> PartitionConfig; 9] = [
        |config| config.with_attempts_max(3),
        |config| config.with_requeue(Requeue::Tail),
        |config| config.with_requeue(Requeue::Original),
        |config| config.with_dead(DeadPolicy::Keep),
        |config| config.with_dead(DeadPolicy::Drop),
        |config| config.with_dedup_for(Duration::from_micros(1)),
        |config| config.with_items_max(9),
        |config| config.with_bytes_max(9),
        |config| config.with_mode(Mode::Frozen),
    ];

    for before in [PartitionConfig::default(), every_setting()] {
        for change in changes {
            part.update(before.clone()).await;
            part.update(change(before.clone())).await;

            assert_eq!(part.info().await.config, change(before.clone()));
        }
    }
}

async fn update_touches_no_item(env: Env) {
    let part = env.partition("a").await;
    part.produce_one_of_each_state().await;
    let before = (part.list_all().await, part.stats().await);

    // Each of these settings would kill, drop, move or refuse one of the items if it came now.
    let strict = PartitionConfig::default()
        .with_attempts_max(1)
        .with_requeue(Requeue::Original)
        .with_dead(DeadPolicy::Drop)
        .with_dedup_for(Duration::from_secs(1))
        .with_items_max(1)
        .with_bytes_max(1)
        .with_mode(Mode::Frozen);
    part.update(strict).await;

    assert_eq!((part.list_all().await, part.stats().await), before);
}

async fn deleted_partition_is_gone_with_everything_in_it(env: Env) {
    let neighbour = env.partition("b").await;
    neighbour.produce(at(0), ["stays"]).await;
    let part = env.partition("a").await;
    let items = part.produce_one_of_each_state().await;

    part.delete().await;

    let answers = call_everything(&env.backend().await, &part, Some(&items.leased)).await;
    assert_all_not_found(&part, answers);
    let left: Vec<_> = env
        .partitions()
        .await
        .into_iter()
        .map(|info| info.id)
        .collect();
    assert_eq!(left, [neighbour.id().clone()]);
    assert_eq!(payloads(&neighbour.list_all().await), ["stays"]);
}

async fn partition_made_again_is_empty(env: Env) {
    let part = env.partition("a").await;
    part.produce_one_of_each_state().await;
    part.produce(at(0), [NewItem::new("expires").expire_at(at(5))])
        .await;

    part.delete().await;
    let part = env.partition("a").await;

    assert_eq!(part.list_all().await, []);
    assert_eq!(part.stats().await, PartitionStats::default());
    assert_eq!(part.lease(at(0), at(10), 10).await, []);
    // Neither a deadline nor a time to become ready was left behind.
    let maintained = part.maintain(at(i64::MAX)).await;
    assert_eq!((maintained.handled(), maintained.next_due), (0, None));
}

async fn partition_made_again_is_another_one(env: Env) {
    let part = env.partition_with("a", every_setting()).await;
    let first = part.info().await;

    part.delete().await;
    let part = env.partition("a").await;

    let second = part.info().await;
    assert!(second.created > first.created, "{first:?} then {second:?}");
    assert_ne!(second.revision, first.revision);
    assert_eq!(second.config, PartitionConfig::default());
}

async fn partition_made_again_frees_every_dedup_key(env: Env) {
    let config = PartitionConfig::default().with_dedup_for(Duration::from_secs(3600));
    let part = env.partition_with("a", config.clone()).await;
    let new = |key| NewItem::new(key).dedup_key(key);
    let leased = part.produce_leased(at(0), at(10), new("lingers")).await;
    part.complete([receipt(&leased)]).await;
    part.produce(at(0), [new("lives")]).await;

    part.delete().await;
    let part = env.partition_with("a", config).await;

    // Panics where one of them is a duplicate.
    part.produce(at(1), ["lingers", "lives"].map(new)).await;
    assert_eq!(payloads(&part.list_all().await), ["lingers", "lives"]);
}

async fn partition_made_again_gives_no_id_twice(env: Env) {
    let part = env.partition("a").await;
    let mut seen = Vec::new();

    for _ in 0..4 {
        seen.extend(part.produce(at(0), ["one", "two", "three"]).await);
        part.delete().await;
        env.partition("a").await;
    }

    let mut distinct = seen.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), seen.len(), "{seen:?}");
}

async fn receipt_of_a_deleted_partition_completes_nothing_in_the_next(env: Env) {
    let part = env.partition("a").await;
    let old = part.produce_leased(at(0), at(10), "old").await;
    part.delete().await;
    let part = env.partition("a").await;
    let new = part.produce_leased(at(0), at(10), "new").await;

    let completed = part.complete([receipt(&old)]).await;

    assert_eq!(completed, [CompleteOutcome::NotFound]);
    assert_eq!(part.list_all().await, [new]);
}

async fn deleted_partition_stays_deleted_over_a_reopening(env: Env) {
    let part = env.partition("a").await;
    part.produce_one_of_each_state().await;
    part.delete().await;

    env.reopen().await;

    assert_eq!(env.partitions().await, []);
    let part = env.partition("a").await;
    assert_eq!(part.list_all().await, []);
    assert_eq!(part.stats().await, PartitionStats::default());
}

async fn partition_made_again_gives_no_id_twice_after_a_reopening(env: Env) {
    let part = env.partition("a").await;
    let before = part.produce(at(0), ["one", "two", "three"]).await;
    part.delete().await;

    env.reopen().await;
    let part = env.partition("a").await;
    part.produce(at(0), ["four", "five", "six"]).await;

    let after = ids(&part.list_all().await);
    assert!(
        after.iter().all(|id| !before.contains(id)),
        "{before:?} were given before, {after:?} now"
    );
}

async fn configuration_is_kept_over_a_reopening(env: Env) {
    let part = env.partition("a").await;
    part.update(every_setting()).await;
    let before = part.info().await;

    env.reopen().await;

    assert_eq!(part.info().await, before);
    assert_eq!(before.config, every_setting());
}

async fn a_hundred_thousand_items_are_deleted_in_one_step(env: Env) {
    let part = env.partition("a").await;
    for _ in 0..10 {
        part.produce(at(0), vec!["x"; 10_000]).await;
    }
    assert_eq!(part.stats().await.ready.items, 100_000);

    part.delete().await;
    let part = env.partition("a").await;

    assert_eq!(part.stats().await, PartitionStats::default());
    part.produce(at(1), ["new"]).await;
    assert_eq!(payloads(&part.lease(at(1), at(10), 10_000).await), ["new"]);
}
