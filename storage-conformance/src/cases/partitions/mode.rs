//! Modes: what a draining and a frozen partition refuse, and what goes on.

use storage_api::{
    CommitRequest, CompleteOutcome, Count, DeleteOutcome, ErrorKind, ExtendOutcome, Floors, Holder,
    LeaseRequest, Mode, NewItem, PartitionConfig, Produced, Receipts, ReleaseOutcome, Retry,
    RetryOutcome, RetryTo, ReviveOutcome, State, States,
};

use crate::case::{Case, cases};
use crate::env::{Env, at, key, namespace, refused, value};
use crate::part::{Part, batch, ids, payloads, receipt, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![partitions:
    draining_partition_refuses_produce ["PART-8", "ATOM-1"],
    draining_partition_leases_and_maintains ["PART-8"],
    frozen_partition_refuses_produce_lease_and_maintain ["PART-8", "ATOM-1"],
    frozen_partition_lets_leases_end ["PART-8"],
    frozen_partition_lets_items_be_revived_removed_and_restored ["PART-8"],
    batch_of_duplicates_is_refused_while_draining ["PART-8"],
    empty_batch_is_refused_in_no_mode ["PART-8", "BATCH-2"],
    commit_that_produces_is_refused_whole_while_draining ["PART-8", "ATOM-1"],
    commit_that_completes_goes_on_while_frozen ["PART-8"],
    partition_that_is_opened_again_takes_everything ["PART-8", "PART-3"],
    time_that_passes_while_frozen_is_handled_once_open ["PART-8", "TIME-1"],
];

async fn set_mode(part: &Part, mode: Mode) {
    let config = part.info().await.config;
    part.update(config.with_mode(mode)).await;
}

fn lease_one() -> LeaseRequest {
    LeaseRequest::new(at(1), at(10), Count::ONE)
}

async fn draining_partition_refuses_produce(env: Env) {
    let part = env.partition("a").await;
    part.produce_one_of_each_state().await;
    set_mode(&part, Mode::Draining).await;
    let before = env.snapshot().await;

    let ready = part.try_produce(at(1), ["more"]).await;
    let later = NewItem::new("later").enqueue_at(at(99));
    let scheduled = part.try_produce(at(1), [later]).await;

    refused(ready, ErrorKind::Unavailable);
    refused(scheduled, ErrorKind::Unavailable);
    assert_eq!(env.snapshot().await, before);
}

async fn draining_partition_leases_and_maintains(env: Env) {
    let part = env.partition("a").await;
    part.produce_one_of_each_state().await;
    set_mode(&part, Mode::Draining).await;

    let leased = part.lease(at(1), at(2000), 10).await;
    let maintained = part.maintain(at(1000)).await;
    let then = part.lease(at(1000), at(2000), 10).await;

    assert_eq!(payloads(&leased), ["ready"]);
    assert_eq!(maintained.ready, 2);
    assert_eq!(payloads(&then), ["leased", "scheduled"]);
}

async fn frozen_partition_refuses_produce_lease_and_maintain(env: Env) {
    let part = env.partition("a").await;
    part.produce_one_of_each_state().await;
    set_mode(&part, Mode::Frozen).await;
    let before = env.snapshot().await;

    let backend = env.backend().await;
    let produced = part.try_produce(at(1), ["more"]).await;
    let leased = part.try_lease(lease_one()).await;
    let maintained = backend.maintain(part.id(), at(5000), Count::MAX).await;

    refused(produced, ErrorKind::Unavailable);
    refused(leased, ErrorKind::Unavailable);
    refused(maintained, ErrorKind::Unavailable);
    assert_eq!(env.snapshot().await, before);
}

async fn frozen_partition_lets_leases_end(env: Env) {
    let part = env.partition("a").await;
    let payloads = ["complete", "release", "extend", "now", "later", "dead"];
    part.produce(at(0), payloads).await;
    let leases = receipts(&part.lease(at(0), at(10), 6).await);
    part.produce(at(0), ["held"]).await;
    let holder = Holder::new(7).expect("not zero");
    part.lease_with(lease_one().holder(holder)).await;
    set_mode(&part, Mode::Frozen).await;

    let completed = part.complete([leases[0]]).await;
    let released = part.release([leases[1]]).await;
    let extended = part.extend([leases[2]], at(50)).await;
    let to = [RetryTo::Now, RetryTo::At(at(90)), RetryTo::Dead];
    let retries = (3..6).map(|index| Retry::new(leases[index], to[index - 3]));
    let retried = part.retry_all(at(1), retries).await;
    let given_back = part.release_holder(holder, 10).await;

    assert_eq!(completed, [CompleteOutcome::Done]);
    assert_eq!(released, [ReleaseOutcome::Released]);
    assert_eq!(extended, [ExtendOutcome::Extended]);
    let rejected = RetryOutcome::Dead(storage_api::DeadReason::Rejected);
    assert_eq!(
        retried,
        [RetryOutcome::Ready, RetryOutcome::Scheduled, rejected]
    );
    assert_eq!(given_back.released, 1);
    part.assert_stats_are_those_of_the_items().await;
}

async fn frozen_partition_lets_items_be_revived_removed_and_restored(env: Env) {
    let part = env.partition("a").await;
    let items = part.produce_one_of_each_state().await;
    set_mode(&part, Mode::Frozen).await;
    let kept = part.item(items.ready).await;

    let revived = part.revive([items.dead]).await;
    let deleted = part.delete_items([items.ready]).await;
    part.restore(vec![kept.clone()], Floors::none()).await;
    let cleared = part.clear(State::Scheduled, 10).await;

    assert_eq!(revived, [ReviveOutcome::Revived]);
    assert_eq!(deleted, [DeleteOutcome::Deleted]);
    assert_eq!(part.item(items.ready).await, kept);
    assert_eq!(cleared.removed, 1);
    let left = ids(&part.list_state(State::Ready).await);
    assert_eq!(left, [items.dead, items.ready]);
}

async fn batch_of_duplicates_is_refused_while_draining(env: Env) {
    let part = env.partition("a").await;
    let twice = NewItem::new("same").dedup_key("same");
    part.produce(at(0), [twice]).await;
    set_mode(&part, Mode::Draining).await;

    let produced = part.try_produce(at(1), [twice]).await;

    refused(produced, ErrorKind::Unavailable);
}

async fn empty_batch_is_refused_in_no_mode(env: Env) {
    let part = env.partition("a").await;

    for mode in [Mode::Open, Mode::Draining, Mode::Frozen] {
        set_mode(&part, mode).await;

        let produced = part.try_produce(at(1), Vec::<NewItem<'_>>::new()).await;

        assert_eq!(
            produced.ok(),
            Some(Produced::new(None, 0, Vec::new())),
            "{mode:?}"
        );
    }
}

async fn commit_that_produces_is_refused_whole_while_draining(env: Env) {
    let part = env.partition("a").await;
    let other = env.partition("b").await;
    set_mode(&part, Mode::Draining).await;
    let before = env.snapshot().await;

    let mut commit = CommitRequest::new(at(1));
    let entry = commit.put(&namespace("n"), &key("k"), value("v"), None);
    let first = commit.produce(other.id(), batch(["one"]));
    let second = commit.produce(part.id(), batch(["two"]));
    assert!(entry.and(first).and(second).is_ok());
    let committed = env.try_commit(commit).await;

    refused(committed, ErrorKind::Unavailable);
    assert_eq!(env.snapshot().await, before);
}

async fn commit_that_completes_goes_on_while_frozen(env: Env) {
    let part = env.partition("a").await;
    let leased = part.produce_leased(at(0), at(10), "done").await;
    set_mode(&part, Mode::Frozen).await;

    let mut commit = CommitRequest::new(at(1));
    let complete = commit.complete(part.id(), Receipts::one(receipt(&leased)));
    let nothing = commit.produce(part.id(), batch::<&str>([]));
    assert!(complete.and(nothing).is_ok());
    env.commit(commit).await;

    assert_eq!(part.list_all().await, []);
}

async fn partition_that_is_opened_again_takes_everything(env: Env) {
    let config = PartitionConfig::default().with_mode(Mode::Frozen);
    let part = env.partition_with("a", config).await;

    set_mode(&part, Mode::Open).await;

    part.produce(at(0), [NewItem::new("later").enqueue_at(at(5))])
        .await;
    assert_eq!(part.maintain(at(5)).await.ready, 1);
    assert_eq!(payloads(&part.lease(at(5), at(9), 1).await), ["later"]);
}

async fn time_that_passes_while_frozen_is_handled_once_open(env: Env) {
    let part = env.partition("a").await;
    part.produce_one_of_each_state().await;
    set_mode(&part, Mode::Frozen).await;
    let backend = env.backend().await;
    let frozen = backend.maintain(part.id(), at(2000), Count::MAX).await;
    refused(frozen, ErrorKind::Unavailable);

    set_mode(&part, Mode::Open).await;
    let maintained = part.maintain(at(2000)).await;

    assert_eq!((maintained.ready, maintained.more), (2, false));
    let counts = part.clear(States::ALL, 10).await;
    assert_eq!(counts.removed, 4);
}
