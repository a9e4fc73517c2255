//! Configured limits: what would make a partition grow is refused, everything else goes on.

use std::time::Duration;

use storage_api::{
    CompleteOutcome, DeadPolicy, DeadReason, DeleteOutcome, ErrorKind, ExtendOutcome, Floors, Mode,
    NewItem, PartitionConfig, ReleaseOutcome, Retry, RetryOutcome, RetryTo, ReviveOutcome, State,
    States,
};

use crate::env::{Env, at, refused};
use crate::part::{Part, ids, payloads, ready_at, receipt, whole};
use crate::request::commit_at;

fn items_max(items_max: u64) -> PartitionConfig {
    PartitionConfig::default().with_items_max(items_max)
}

fn bytes_max(bytes_max: u64) -> PartitionConfig {
    PartitionConfig::default().with_bytes_max(bytes_max)
}

/// The partition is full: a further item is refused, and changes nothing.
async fn assert_full(env: &Env, part: &Part) {
    let before = env.snapshot().await;

    let answer = part.try_produce(at(0), ["too much"]).await;

    refused(answer, ErrorKind::CapacityExceeded);
    assert_eq!(env.snapshot().await, before);
}

pub(super) async fn items_are_produced_up_to_the_limit_and_not_beyond(env: Env) {
    // Of two batches, how large each is, and whether it fits into a partition of three.
    for batches in [
        [(2, true), (0, true)],
        [(3, true), (0, true)],
        [(4, false), (3, true)],
        [(2, true), (1, true)],
        [(2, true), (2, false)],
    ] {
        let part = env.partition_with(&format!("{batches:?}"), items_max(3));
        let part = part.await;

        let mut stored = 0;
        for (len, fits) in batches {
            let answer = part.try_produce(at(0), vec!["x"; len]).await;
            let refusal = answer.err().map(|error| error.kind());
            let expected = (!fits).then_some(ErrorKind::CapacityExceeded);
            assert_eq!(refusal, expected, "{len} items of {batches:?}");
            stored += if fits { len } else { 0 };
        }

        assert_eq!(part.list_all().await.len(), stored, "{batches:?}");
    }
}

pub(super) async fn bytes_are_produced_up_to_the_limit_and_not_beyond(env: Env) {
    let part = env.partition_with("a", bytes_max(10)).await;

    part.produce(at(0), ["12345678"]).await;
    let beyond = part.try_produce(at(0), ["9", "10"]).await;
    let up_to_it = part.try_produce(at(0), ["9", "0"]).await;
    let empty = part.try_produce(at(0), ["", ""]).await;
    let full = part.try_produce(at(0), ["", "1"]).await;

    refused(beyond, ErrorKind::CapacityExceeded);
    assert!(up_to_it.is_ok(), "{up_to_it:?}");
    assert!(empty.is_ok(), "an empty payload takes no byte: {empty:?}");
    refused(full, ErrorKind::CapacityExceeded);
    assert_eq!(part.stats().await.bytes(), 10);
}

pub(super) async fn bytes_are_those_of_payloads(env: Env) {
    let part = env.partition_with("a", bytes_max(1)).await;
    let item = NewItem::new("x")
        .kind("kind")
        .reference("reference")
        .dedup_key("key");
    part.produce(at(0), [item]).await;

    let leased = part.lease_one(at(0), at(10)).await;
    let retry = Retry::new(receipt(&leased), RetryTo::Now);
    let retry = retry.with_note("a note");
    let retried = part.retry_all(at(0), retry).await;

    assert_eq!(retried, [RetryOutcome::Ready]);
}

pub(super) async fn items_of_every_state_count(env: Env) {
    let part = env.partition("a").await;
    let produced = part.produce_every_state(1).await;
    part.update(items_max(4)).await;

    assert_full(&env, &part).await;
    for id in produced {
        part.delete_items([id]).await;
        part.produce(at(0), ["takes its place"]).await;
        assert_full(&env, &part).await;
    }
}

pub(super) async fn duplicates_need_no_room(env: Env) {
    let part = env.partition_with("a", items_max(2)).await;
    let keyed = NewItem::new("x").dedup_key("key");
    part.produce(at(0), [keyed]).await;

    let with_a_new_one = [keyed, NewItem::new("new"), keyed];
    let with_a_new_one = part.try_produce(at(0), with_a_new_one).await;
    let alone = part.try_produce(at(0), [keyed, keyed]).await;

    assert_eq!(with_a_new_one.expect("one is new").stored(), 1);
    assert_eq!(alone.expect("none is new").stored(), 0);
    assert_full(&env, &part).await;
}

pub(super) async fn what_stores_nothing_is_never_refused_for_being_full(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x", "x"]).await;
    part.update(items_max(1).with_bytes_max(1)).await;
    let nothing: [NewItem<'_>; 0] = [];

    let produced = part.try_produce(at(0), nothing).await;
    let restored = part.try_restore(Vec::new(), Floors::none()).await;
    let committed = env
        .try_commit(commit_at(at(0)).produce(&part, nothing))
        .await;

    assert!(produced.is_ok(), "{produced:?}");
    assert!(restored.is_ok(), "{restored:?}");
    assert!(committed.is_ok(), "{committed:?}");
}

pub(super) async fn a_full_partition_serves_everything_else(env: Env) {
    let part = env.partition("a").await;
    let item = NewItem::new("x");
    let produced = part
        .produce(at(0), [item, item, item.enqueue_at(at(5))])
        .await;
    // More is there than may be: by items and by bytes.
    part.update(items_max(1).with_bytes_max(1)).await;

    let first = receipt(&part.lease_one(at(0), at(10)).await);
    assert_eq!(
        part.extend([first], at(20)).await,
        [ExtendOutcome::Extended]
    );
    assert_eq!(part.release([first]).await, [ReleaseOutcome::Released]);
    for (to, outcome) in [
        (RetryTo::Now, RetryOutcome::Ready),
        (RetryTo::At(at(5)), RetryOutcome::Scheduled),
        (RetryTo::Dead, RetryOutcome::Dead(DeadReason::Rejected)),
    ] {
        let leased = part.lease_one(at(0), at(10)).await;
        assert_eq!(part.retry(at(0), receipt(&leased), to).await, outcome);
    }
    assert_eq!(part.maintain(at(5)).await.ready, 2);
    let dead = ids(&part.list_state(State::Dead).await);
    assert_eq!(part.revive(dead).await, [ReviveOutcome::Revived]);
    part.lease_one(at(5), at(6)).await;
    assert_eq!(part.maintain(at(6)).await.ready, 1);
    let leased = receipt(&part.lease_one(at(6), at(10)).await);
    assert_eq!(part.complete([leased]).await, [CompleteOutcome::Done]);
    let left = ids(&part.list_all().await);
    let deleted = part.delete_items([left[0]]).await;
    assert_eq!(deleted, [DeleteOutcome::Deleted]);
    assert_eq!(
        part.clear(States::ALL, 10).await.removed,
        produced.len() - 2
    );
}

pub(super) async fn each_way_of_going_makes_room_for_one(env: Env) {
    let config = items_max(1).with_bytes_max(1).with_dead(DeadPolicy::Drop);
    let part = env.partition_with("a", config).await;
    let refill = async || {
        let item = NewItem::new("x").expire_at(at(100)).attempts_max(1);
        let id = part.produce_one(at(0), item).await;
        assert_full(&env, &part).await;
        id
    };
    let lease = async || receipt(&part.lease_one(at(0), at(10)).await);

    refill().await;
    part.complete([lease().await]).await;
    let id = refill().await;
    part.delete_items([id]).await;
    refill().await;
    part.clear(State::Ready, 1).await;
    refill().await;
    part.retry(at(0), lease().await, RetryTo::Dead).await;
    refill().await;
    part.retry(at(0), lease().await, RetryTo::Now).await;
    refill().await;
    lease().await;
    let taken_back = part.maintain(at(10)).await;
    refill().await;
    let expired = part.maintain(at(100)).await;
    refill().await;
    env.commit(commit_at(at(0)).complete(&part, [lease().await]))
        .await;
    let id = refill().await;
    env.commit(commit_at(at(0)).delete_items(&part, [id])).await;
    refill().await;

    assert_eq!((taken_back.dropped, expired.dropped), (1, 1));
    assert_eq!(part.list_all().await.len(), 1);
}

pub(super) async fn a_key_that_lingers_takes_no_room(env: Env) {
    let config = items_max(1).with_dedup_for(Duration::from_secs(1));
    let part = env.partition_with("a", config).await;
    part.produce(at(0), [NewItem::new("x").dedup_key("key")])
        .await;
    let leased = part.lease_one(at(0), at(10)).await;

    part.complete([receipt(&leased)]).await;

    part.produce(at(0), ["takes its place"]).await;
    assert_full(&env, &part).await;
}

pub(super) async fn a_lowered_limit_touches_no_item_and_a_raised_one_makes_room(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["first", "second", "third"]).await;
    let before = part.list_all().await;

    part.update(items_max(1)).await;
    assert_eq!(part.list_all().await, before);
    assert_full(&env, &part).await;
    part.update(bytes_max(1)).await;
    assert_eq!(part.list_all().await, before);
    assert_full(&env, &part).await;
    part.update(items_max(4)).await;
    part.produce(at(0), ["fourth"]).await;
    assert_full(&env, &part).await;
    part.update(PartitionConfig::default()).await;
    part.produce(at(0), ["fifth"]).await;

    assert_eq!(part.list_all().await.len(), 5);
}

pub(super) async fn the_largest_configured_limits_are_no_limits(env: Env) {
    let config = items_max(u64::MAX).with_bytes_max(u64::MAX);
    let part = env.partition_with("a", config.clone()).await;

    part.produce(at(0), ["first"]).await;
    part.restore(
        vec![whole(1 << 40, "second", ready_at(1 << 40))],
        Floors::none(),
    )
    .await;
    env.commit(commit_at(at(0)).produce(&part, ["third"])).await;

    assert_eq!(
        payloads(&part.list_all().await),
        ["first", "second", "third"]
    );
    assert_eq!(part.info().await.config, config);
}

pub(super) async fn a_full_partition_leaves_others_and_metadata_alone(env: Env) {
    let full = env.partition_with("full", items_max(1)).await;
    let other = env.partition_with("other", items_max(1)).await;
    full.produce(at(0), ["x"]).await;

    assert_full(&env, &full).await;
    other.produce(at(0), ["x"]).await;
    env.put("n", "k", "v").await;

    assert_full(&env, &other).await;
}

pub(super) async fn items_are_restored_up_to_the_limit_and_not_beyond(env: Env) {
    let part = env.partition_with("a", items_max(3)).await;
    let items = |ids: std::ops::Range<u64>| ids.map(|id| whole(id, "x", ready_at(id))).collect();
    part.restore(items(100..101), Floors::none()).await;

    let beyond = part.try_restore(items(200..203), Floors::none()).await;
    let up_to_it = part.try_restore(items(300..302), Floors::none()).await;

    refused(beyond, ErrorKind::CapacityExceeded);
    assert!(up_to_it.is_ok(), "{up_to_it:?}");
    let stored: Vec<_> = part
        .list_all()
        .await
        .iter()
        .map(|item| item.id.get())
        .collect();
    assert_eq!(stored, [100, 300, 301]);
}

pub(super) async fn bytes_are_restored_up_to_the_limit_and_not_beyond(env: Env) {
    let part = env.partition_with("a", bytes_max(10)).await;
    let item = |id, payload| vec![whole(id, payload, ready_at(id))];
    part.restore(item(100, "12345"), Floors::none()).await;

    let beyond = part.try_restore(item(200, "123456"), Floors::none()).await;
    let up_to_it = part.try_restore(item(300, "12345"), Floors::none()).await;
    let empty = part.try_restore(item(400, ""), Floors::none()).await;

    refused(beyond, ErrorKind::CapacityExceeded);
    assert!(up_to_it.is_ok(), "{up_to_it:?}");
    assert!(empty.is_ok(), "{empty:?}");
}

pub(super) async fn a_refused_restore_to_a_full_partition_moves_nothing(env: Env) {
    let part = env.partition_with("a", items_max(1)).await;
    let keyed = |id| {
        whole(
            id,
            NewItem::new("x").dedup_key("key").expire_at(at(5)),
            ready_at(id),
        )
    };
    let too_many = vec![keyed(1 << 40), whole(1 << 41, "x", ready_at(1 << 41))];
    let before = env.snapshot().await;

    let answer = part.try_restore(too_many, Floors::none()).await;

    refused(answer, ErrorKind::CapacityExceeded);
    assert_eq!(env.snapshot().await, before);
    part.restore(vec![keyed(1 << 40)], Floors::none()).await;
}

pub(super) async fn a_commit_counts_all_it_produces(env: Env) {
    let part = env
        .partition_with("a", items_max(3).with_bytes_max(3))
        .await;
    part.produce(at(0), ["x"]).await;
    let two_steps = |first: &'static str, second: &'static str| {
        commit_at(at(0))
            .produce(&part, [first])
            .put("n", "k", "v")
            .produce(&part, [second])
    };

    let too_many_bytes = env.try_commit(two_steps("x", "xx")).await;
    let too_many = two_steps("", "").produce(&part, [""]);
    let too_many_items = env.try_commit(too_many).await;
    assert!(env.scan(at(0), "n").await.is_empty());
    env.commit(two_steps("x", "x")).await;

    refused(too_many_bytes, ErrorKind::CapacityExceeded);
    refused(too_many_items, ErrorKind::CapacityExceeded);
    assert_full(&env, &part).await;
}

pub(super) async fn draining_comes_before_full(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x"]).await;
    part.update(items_max(1).with_mode(Mode::Draining)).await;

    let produced = part.try_produce(at(0), ["x"]).await;
    let committed = env.try_commit(commit_at(at(0)).produce(&part, ["x"])).await;

    refused(produced, ErrorKind::Unavailable);
    refused(committed, ErrorKind::Unavailable);
}

pub(super) async fn taken_comes_before_full(env: Env) {
    let part = env.partition_with("a", items_max(1)).await;
    let there = whole(1, "x", ready_at(1));
    part.restore(vec![there.clone()], Floors::none()).await;

    let new = whole(2, "x", ready_at(2));
    let answer = part.try_restore(vec![new, there], Floors::none()).await;

    refused(answer, ErrorKind::AlreadyExists);
}
