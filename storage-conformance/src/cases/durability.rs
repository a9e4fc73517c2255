//! Durability: what is there after reopening, and after a crash.

use std::time::Duration;

use storage_api::{
    Capability, CompleteOutcome, DeadPolicy, Durability, ErrorKind, Mode, NewItem, PartitionConfig,
    ProduceOutcome, Requeue, RetryTo, State,
};

use crate::case::{Case, cases};
use crate::change::{CHANGES, Stage};
use crate::crash::{self, Moments};
use crate::env::{Env, at, refused};
use crate::part::{ids, receipt, receipts};

pub(super) const CASES: &[Case] = cases![durability:
    a_durability_is_stated_and_stays ["DUR-1"],
    what_outlives_the_process_can_be_opened_again ["DUR-1"] .excludes(Capability::Reopen),
    everything_is_as_it_was_after_a_reopening ["DUR-2"] .requires(Capability::Reopen),
    each_operation_outlives_a_reopening_by_itself ["DUR-2", "DUR-1"] .requires(Capability::Reopen),
    an_empty_place_stays_empty ["DUR-2"] .requires(Capability::Reopen),
    opening_again_and_again_changes_nothing ["DUR-2"] .requires(Capability::Reopen),
    uneven_partitions_are_kept_alike ["DUR-2"] .requires(Capability::Reopen),
    receipts_are_good_after_a_reopening ["DUR-2", "LEASE-7"] .requires(Capability::Reopen),
    times_stay_where_they_were_over_a_reopening ["DUR-2", "TIME-1"] .requires(Capability::Reopen),
    what_is_due_is_known_at_once_after_a_reopening ["DUR-2", "TIME-2"] .requires(Capability::Reopen),
    attempts_are_counted_across_reopenings ["DUR-2", "RETRY-4"] .requires(Capability::Reopen),
    order_goes_on_behind_what_was_there ["DUR-2", "ORDER-1"] .requires(Capability::Reopen),
    sync_makes_what_was_acknowledged_last ["DUR-4"] .requires(Capability::Sync),
    sync_is_refused_where_it_cannot_be_kept ["DUR-4"] .excludes(Capability::Sync),
    a_killed_process_loses_nothing_acknowledged ["DUR-3", "DUR-1", "ITEM-2", "LEASE-2", "META-2"]
        .requires(Capability::Reopen) .long(),
    a_kill_behind_any_step_leaves_all_that_was_acknowledged ["DUR-3", "DUR-1", "ITEM-2", "LEASE-2", "META-2"]
        .since(2) .requires(Capability::Reopen) .long(),
    a_kill_while_it_opens_syncs_maintains_or_closes_loses_nothing ["DUR-3", "DUR-4", "CLOSE-1", "TIME-1"]
        .since(2) .requires(Capability::Reopen) .long(),
    a_kill_among_concurrent_calls_loses_nothing_acknowledged ["DUR-3", "DUR-1", "CONC-1"]
        .since(2) .requires(Capability::Reopen) .long(),
    a_loss_of_power_loses_nothing_acknowledged ["DUR-1", "DUR-3", "DUR-4", "ITEM-2", "LEASE-2", "META-2"]
        .since(2) .requires(Capability::Reopen) .long(),
];

async fn a_durability_is_stated_and_stays(env: Env) {
    let backend = env.backend().await;
    let stated = backend.descriptor();
    let stage = Stage::set(&env).await;

    for change in CHANGES {
        // Some of them meet what an earlier one has taken away.
        let _ = (change.on)(backend.clone(), stage.clone()).await;
        assert_eq!(backend.descriptor(), stated, "after {}", change.name);
    }
}

async fn what_outlives_the_process_can_be_opened_again(env: Env) {
    let durability = env.backend().await.descriptor().durability;

    assert_eq!(
        durability,
        Durability::None,
        "a driver whose places cannot be opened again promises more than to forget"
    );
}

/// A backend with something of everything.
async fn furnish(env: &Env) -> Stage {
    let stage = Stage::set(env).await;
    let config = PartitionConfig::default()
        .with_attempts_max(3)
        .with_requeue(Requeue::Original)
        .with_dead(DeadPolicy::Drop)
        .with_dedup_for(Duration::from_micros(1000))
        .with_items_max(500)
        .with_bytes_max(50_000);
    let second = env.partition_with("second \u{0}/..", config.clone()).await;
    let items = [
        NewItem::new("full")
            .kind("kind")
            .encoding("json")
            .reference("s3://bucket")
            .dedup_key(b"\xff\0")
            .priority(3)
            .expire_at(at(i64::MAX))
            .attempts_max(7),
        NewItem::new("").dedup_key("lingers").priority(0),
    ];
    second.produce(at(5), items).await;
    let gone = second.lease_one(at(6), at(60)).await;
    second.complete([receipt(&gone)]).await;
    second.update(config.with_mode(Mode::Draining)).await;
    let noted = stage.part.lease_one(at(6), at(60)).await;
    let retry = storage_api::Retry::new(receipt(&noted), RetryTo::Now);
    let retry = retry.with_note("a note").expect("a short note");
    stage.part.retry_all(at(7), [retry]).await;
    stage.part.revive([stage.dead[0]]).await;
    stage
}

async fn everything_is_as_it_was_after_a_reopening(env: Env) {
    furnish(&env).await;
    let before = env.snapshot().await;

    env.reopen().await;

    assert_eq!(env.snapshot().await, before);
    let second = &before.partitions[1].0.id;
    let second = env.part(second);
    second.update(PartitionConfig::default()).await;
    let keys = ["lingers", "free"].map(|key| NewItem::new(key).dedup_key(key));
    let produced = second.produce_outcomes(at(8), keys).await;
    assert!(
        matches!(produced[0], ProduceOutcome::Duplicate { state: None, .. }),
        "the key of the item that has gone: {produced:?}"
    );
    assert!(matches!(produced[1], ProduceOutcome::Stored(_)));
}

async fn each_operation_outlives_a_reopening_by_itself(env: Env) {
    for change in CHANGES {
        let env = env.elsewhere().await;
        let stage = Stage::set(&env).await;
        let before = env.snapshot().await;
        let done = (change.on)(env.backend().await, stage).await;
        done.unwrap_or_else(|error| panic!("{}: {error}", change.name));
        let after = env.snapshot().await;
        assert_ne!(after, before, "{} changed nothing", change.name);

        env.reopen().await;

        assert_eq!(env.snapshot().await, after, "{}", change.name);
        env.finish().await;
    }
}

async fn an_empty_place_stays_empty(env: Env) {
    env.backend().await;

    env.reopen().await;

    assert_eq!(env.partitions().await, []);
    assert_eq!(env.namespaces_paged(10).await, []);
}

async fn opening_again_and_again_changes_nothing(env: Env) {
    furnish(&env).await;
    let before = env.snapshot().await;

    for _ in 0..5 {
        env.reopen().await;
    }

    assert_eq!(env.snapshot().await, before);
}

async fn uneven_partitions_are_kept_alike(env: Env) {
    let (large, small) = (env.partition("large").await, env.partition("small").await);
    let payload = vec![b'x'; 1000];
    for round in 0..20 {
        large
            .produce(at(round), vec![NewItem::new(&payload); 200])
            .await;
        if round % 7 == 0 {
            small.produce(at(round), ["one"]).await;
        }
        let leased = large.lease(at(round), at(1000), 150).await;
        large.complete(receipts(&leased)).await;
    }
    let before = env.snapshot().await;

    env.reopen().await;

    assert_eq!(env.snapshot().await, before);
    assert_eq!(small.stats().await.ready.items, 3);
    assert_eq!(large.stats().await.ready.items, 1000);
}

async fn receipts_are_good_after_a_reopening(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["done", "released", "taken back"])
        .await;
    let leased = receipts(&part.lease(at(0), at(10), 3).await);

    env.reopen().await;

    assert_eq!(part.complete([leased[0]]).await, [CompleteOutcome::Done]);
    part.release([leased[1]]).await;
    part.maintain(at(10)).await;
    assert_eq!(
        part.complete([leased[2]]).await,
        [CompleteOutcome::LeaseLost]
    );
}

async fn times_stay_where_they_were_over_a_reopening(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["leased"]).await;
    part.lease(at(0), at(100), 1).await;
    let new = NewItem::new("scheduled").enqueue_at(at(100));
    part.produce(at(0), [new]).await;

    env.reopen().await;

    let early = part.maintain(at(99)).await;
    assert_eq!((early.ready, early.next_due), (0, Some(at(100))));
    let in_time = part.maintain(at(100)).await;
    assert_eq!((in_time.ready, in_time.next_due), (2, None));
}

async fn what_is_due_is_known_at_once_after_a_reopening(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["leased until 20", "leased until 30"])
        .await;
    let leased = part.lease(at(0), at(30), 2).await;
    part.extend([receipt(&leased[0])], at(20)).await;

    env.reopen().await;

    assert_eq!(part.stats().await.next_due, Some(at(20)));
    let all = part.maintain(at(50)).await;
    assert_eq!((all.ready, all.more), (2, false));
}

async fn attempts_are_counted_across_reopenings(env: Env) {
    let config = PartitionConfig::default().with_attempts_max(3);
    let part = env.partition_with("a", config).await;
    let id = part.produce_one(at(0), "kills its worker").await;

    for attempt in 1..=3 {
        let now = i64::from(attempt) * 10;
        let leased = part.lease_one(at(now), at(now + 5)).await;
        assert_eq!(leased.attempts, attempt);
        env.reopen().await;
        part.maintain(at(now + 5)).await;
    }

    assert_eq!(part.item(id).await.state(), State::Dead);
}

async fn order_goes_on_behind_what_was_there(env: Env) {
    let part = env.partition("a").await;
    let first = part.produce(at(0), ["1", "2", "3"]).await;
    part.lease(at(0), at(10), 1).await;

    env.reopen().await;
    let later = part.produce(at(0), ["4"]).await;
    part.maintain(at(10)).await;

    let order = part.lease(at(10), at(20), 10).await;
    assert_eq!(ids(&order), [first[1], first[2], later[0], first[0]]);
}

async fn sync_makes_what_was_acknowledged_last(env: Env) {
    let backend = env.backend().await;
    backend.sync().await.expect("there is nothing to sync yet");
    Stage::set(&env).await;
    let before = env.snapshot().await;

    backend.sync().await.expect("the driver claims to sync");

    assert_eq!(env.snapshot().await, before, "sync changes nothing");
    if env.claims().has(Capability::Reopen) {
        drop(backend);
        drop(env.forget().await);
        env.open_when_left().await;
        assert_eq!(env.snapshot().await, before);
    }
}

async fn sync_is_refused_where_it_cannot_be_kept(env: Env) {
    Stage::set(&env).await;
    let before = env.snapshot().await;

    let refusal = env.backend().await.sync().await;

    refused(refusal, ErrorKind::Unsupported);
    assert_eq!(env.snapshot().await, before);
}

/// A child process works in the place and says what was acknowledged, until it is killed: at its opening, after few operations,
/// and after many. What it said must be there, and at most the operation that was under way beside it.
async fn a_killed_process_loses_nothing_acknowledged(env: Env) {
    if env.backend().await.descriptor().durability == Durability::None {
        env.inapplicable("its durability is none: a crash may take everything");
    }
    let mut story = crash::Story::begin(&env, crash::Steps::Script, 1).await;
    env.close().await;

    for acknowledged in [0, 1, 2, 5, 0, 17, 40, 3, 77] {
        story.kill_after(&env, acknowledged).await;

        let backend = env.open_when_left().await;
        story.judge(&*backend).await;
        env.close().await;
    }
}

/// Random operations on several partitions, commits with metadata among them, by one caller.
async fn a_kill_behind_any_step_leaves_all_that_was_acknowledged(env: Env) {
    crash::run(&env, Moments::Steps).await;
}

async fn a_kill_while_it_opens_syncs_maintains_or_closes_loses_nothing(env: Env) {
    crash::run(&env, Moments::Phases).await;
}

/// Callers that share a sync, a batch or a thread: each has partitions of its own, and each is judged by itself.
async fn a_kill_among_concurrent_calls_loses_nothing_acknowledged(env: Env) {
    crash::run(&env, Moments::Concurrent).await;
}

/// What was synced is there, of what was written since perhaps the beginning, and nothing else.
async fn a_loss_of_power_loses_nothing_acknowledged(env: Env) {
    crash::lose_power(&env).await;
}
