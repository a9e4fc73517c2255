//! Steps on items: in input order, judged by the state before.

use std::time::Duration;

use storage_api::{
    CommitRequest, Committed, ErrorKind, Floors, ItemId, LeaseId, Listing, Mode, NewItem,
    PartitionConfig, ProduceOutcome, Produced, Receipt, State, StepFailure,
};

use super::step_refused;
use crate::env::{Env, at, partition_id, refused};
use crate::part::{Part, ids, payloads, ready_at, receipt, whole};
use crate::request::{Commit, commit_at};

fn commit() -> Commit {
    commit_at(at(0))
}

fn keyed(payload: &str) -> NewItem<'_> {
    NewItem::new(payload).dedup_key("key")
}

/// What became of the only item of the only produce.
#[track_caller]
fn only_outcome(committed: &Committed) -> ProduceOutcome {
    match &committed.produced[..] {
        [produced] if produced.len() == 1 => {
            produced.outcomes().next().expect("one item, one outcome")
        }
        other => panic!("expected one produce of one item, got {other:?}"),
    }
}

#[track_caller]
fn assert_stored(outcome: ProduceOutcome) {
    assert!(matches!(outcome, ProduceOutcome::Stored(_)), "{outcome:?}");
}

pub(super) async fn produced_items_are_as_if_produced_alone(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["before"]).await;

    let items = [
        NewItem::new("ready"),
        NewItem::new("now").enqueue_at(at(50)),
        NewItem::new("later").enqueue_at(at(51)),
    ];
    let request = commit_at(at(50))
        .produce(&part, items)
        .produce(&part, [NewItem::new("urgent").priority(1)]);
    let committed = env.commit(request).await;

    let order = part.list_in_order(Listing::Ready).await;
    assert_eq!(payloads(&order), ["urgent", "before", "ready", "now"]);
    assert_eq!(
        payloads(&part.list_state(State::Scheduled).await),
        ["later"]
    );
    let all = part.list_all().await;
    let given: Vec<_> = committed.produced.iter().flat_map(Produced::ids).collect();
    assert_eq!(ids(&all)[1..], given, "later ids are greater");
    let created = all[1..].iter().map(|item| item.record.view().created_at());
    assert_eq!(created.collect::<Vec<_>>(), [at(50); 4]);
}

/// A leased item with a dedup key, in a partition that keeps keys for that long.
async fn lease_keyed(env: &Env, dedup_for: Duration) -> (Part, Receipt) {
    let config = PartitionConfig::default().with_dedup_for(dedup_for);
    let part = env.partition_with("a", config).await;
    part.produce(at(0), [keyed("old")]).await;
    let leased = part.lease_one(at(0), at(10)).await;
    (part, receipt(&leased))
}

pub(super) async fn a_completed_key_is_free_for_a_later_step(env: Env) {
    let (part, leased) = lease_keyed(&env, Duration::ZERO).await;

    let request = commit()
        .complete(&part, [leased])
        .produce(&part, [keyed("new")]);
    let committed = env.commit(request).await;

    assert_stored(only_outcome(&committed));
    assert_eq!(payloads(&part.list_all().await), ["new"]);
}

pub(super) async fn a_key_is_taken_for_a_step_before_its_completion(env: Env) {
    let (part, leased) = lease_keyed(&env, Duration::ZERO).await;

    let request = commit()
        .produce(&part, [keyed("new")])
        .complete(&part, [leased]);
    let committed = env.commit(request).await;

    let duplicate = ProduceOutcome::Duplicate {
        of: leased.item,
        state: Some(State::Leased),
    };
    assert_eq!(only_outcome(&committed), duplicate);
    assert!(part.list_all().await.is_empty());
}

pub(super) async fn a_completed_key_lingers_for_a_later_step(env: Env) {
    let (part, leased) = lease_keyed(&env, Duration::from_micros(100)).await;

    let request = commit()
        .complete(&part, [leased])
        .produce(&part, [keyed("new")]);
    let committed = env.commit(request).await;

    let duplicate = ProduceOutcome::Duplicate {
        of: leased.item,
        state: None,
    };
    assert_eq!(only_outcome(&committed), duplicate);
    assert_eq!(part.maintain(at(100)).await.keys_freed, 1);
    part.produce(at(100), [keyed("new")]).await;
}

pub(super) async fn a_deleted_key_is_free_for_a_later_step(env: Env) {
    let (part, leased) = lease_keyed(&env, Duration::from_micros(100)).await;

    let request = commit()
        .delete_items(&part, [leased.item])
        .produce(&part, [keyed("new")]);
    let committed = env.commit(request).await;

    assert_stored(only_outcome(&committed));
    assert_eq!(part.maintain(at(1000)).await.keys_freed, 0);
}

pub(super) async fn a_duplicate_is_no_failure(env: Env) {
    let part = env.partition("a").await;
    let old = part.produce_one(at(0), keyed("old")).await;

    let request = commit()
        .put("n", "k", "v")
        .produce(&part, [keyed("duplicate"), NewItem::new("stored")]);
    let committed = env.commit(request).await;

    let outcomes: Vec<_> = committed.produced[0].outcomes().collect();
    let duplicate = ProduceOutcome::Duplicate {
        of: old,
        state: Some(State::Ready),
    };
    assert_eq!(outcomes[0], duplicate);
    assert_eq!(payloads(&part.list_all().await), ["old", "stored"]);
    assert!(env.get(at(0), "n", "k").await.is_some());
}

pub(super) async fn a_key_produced_by_a_step_is_taken_for_the_next(env: Env) {
    let (part, other) = (env.partition("a").await, env.partition("b").await);

    let request = commit()
        .produce(&part, [keyed("first").enqueue_at(at(5))])
        .produce(&other, [keyed("elsewhere")])
        .produce(&part, [keyed("second")]);
    let committed = env.commit(request).await;

    let outcomes: Vec<_> = committed
        .produced
        .iter()
        .flat_map(Produced::outcomes)
        .collect();
    let [
        ProduceOutcome::Stored(first),
        ProduceOutcome::Stored(_),
        last,
    ] = outcomes[..]
    else {
        panic!("expected two items to be stored, got {outcomes:?}")
    };
    let duplicate = ProduceOutcome::Duplicate {
        of: first,
        state: Some(State::Scheduled),
    };
    assert_eq!(last, duplicate);
}

pub(super) async fn an_item_of_the_commit_itself_is_not_found(env: Env) {
    let part = env.partition("a").await;
    let last = part.produce_one(at(0), "x").await;
    let before = env.snapshot().await;
    let nexts = std::iter::successors(last.next(), |id| id.next());

    // Whatever id the produce takes, it is none that exists already.
    for guess in nexts.take(3) {
        let request = commit()
            .produce(&part, ["new"])
            .delete_items(&part, [guess]);
        let refusal = env.commit_refused(request).await;

        assert_eq!(refusal, step_refused(1, 0, StepFailure::NotFound));
        assert_eq!(env.snapshot().await, before);
    }
}

pub(super) async fn the_same_receipt_twice_is_refused_the_second_time(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x"]).await;
    let leased = receipt(&part.lease_one(at(0), at(10)).await);

    let in_a_step = commit().complete(&part, [leased, leased]);
    let in_a_step = env.commit_refused(in_a_step).await;
    let in_two = commit().complete(&part, [leased]).complete(&part, [leased]);
    let in_two = env.commit_refused(in_two).await;

    assert_eq!(in_a_step, step_refused(0, 1, StepFailure::NotFound));
    assert_eq!(in_two, step_refused(1, 0, StepFailure::NotFound));
    env.commit(commit().complete(&part, [leased])).await;
}

pub(super) async fn an_item_removed_by_an_earlier_step_is_not_found(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x"]).await;
    let leased = receipt(&part.lease_one(at(0), at(10)).await);
    let stale = Receipt {
        lease: LeaseId::MIN,
        ..leased
    };
    let delete = || commit().delete_items(&part, [leased.item]);
    let complete = || commit().complete(&part, [leased]);

    for (request, index, entry) in [
        (delete().complete(&part, [leased]), 1, 0),
        (complete().delete_items(&part, [leased.item]), 1, 0),
        (delete().delete_items(&part, [leased.item]), 1, 0),
        (commit().delete_items(&part, [leased.item; 2]), 0, 1),
        (complete().complete(&part, [stale]), 1, 0),
    ] {
        let refusal = env.commit_refused(request).await;

        assert_eq!(refusal, step_refused(index, entry, StepFailure::NotFound));
    }
    assert_eq!(part.list_state(State::Leased).await.len(), 1);
}

pub(super) async fn the_receipt_of_a_lease_taken_back_is_lost(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x"]).await;
    let first = receipt(&part.lease_one(at(0), at(10)).await);
    part.maintain(at(10)).await;

    let ready_again = env.commit_refused(commit().complete(&part, [first])).await;
    let second = receipt(&part.lease_one(at(10), at(20)).await);
    let with_another = env.commit_refused(commit().complete(&part, [first])).await;
    env.commit(commit().complete(&part, [second])).await;

    assert_eq!(ready_again, step_refused(0, 0, StepFailure::LeaseLost));
    assert_eq!(with_another, step_refused(0, 0, StepFailure::LeaseLost));
}

pub(super) async fn a_late_receipt_is_valid_until_taken_back(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x"]).await;
    let late = receipt(&part.lease_one(at(0), at(10)).await);

    env.commit(commit_at(at(1000)).complete(&part, [late]))
        .await;

    assert!(part.list_all().await.is_empty());
}

pub(super) async fn the_receipt_of_another_partition_is_not_valid(env: Env) {
    let (home, other) = (env.partition("home").await, env.partition("other").await);
    let items = |ids: &[u64]| {
        ids.iter()
            .map(|id| whole(*id, "x", ready_at(*id)))
            .collect()
    };
    home.restore(items(&[1, 2]), Floors::none()).await;
    other.restore(items(&[1]), Floors::none()).await;
    let leased = home.lease(at(0), at(10), 2).await;
    other.lease(at(0), at(10), 1).await;

    let in_both = commit().complete(&other, [receipt(&leased[0])]);
    let in_both = env.commit_refused(in_both).await;
    let at_home = commit().complete(&other, [receipt(&leased[1])]);
    let at_home = env.commit_refused(at_home).await;

    assert_eq!(in_both, step_refused(0, 0, StepFailure::LeaseLost));
    assert_eq!(at_home, step_refused(0, 0, StepFailure::NotFound));
}

pub(super) async fn the_first_step_that_fails_is_named(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["leased", "ready", "gone"]).await;
    let leased = receipt(&part.lease_one(at(0), at(10)).await);
    let rest = ids(&part.list_state(State::Ready).await);
    part.delete_items([rest[1]]).await;
    let lost = Receipt {
        item: rest[0],
        ..leased
    };

    let request = commit()
        .produce(&part, ["new"])
        .complete(&part, [leased, lost])
        .delete_items(&part, [rest[1]]);
    let by_receipt = env.commit_refused(request).await;
    let request = commit()
        .complete(&part, [leased])
        .delete_items(&part, [rest[0], rest[1]])
        .complete(&part, [lost]);
    let by_id = env.commit_refused(request).await;

    assert_eq!(by_receipt, step_refused(1, 1, StepFailure::LeaseLost));
    assert_eq!(by_id, step_refused(1, 1, StepFailure::NotFound));
}

pub(super) async fn items_of_every_state_are_deleted_by_a_step(env: Env) {
    let part = env.partition("a").await;
    let produced = part.produce_every_state(2).await;
    let (deleted, kept) = produced.split_at(4);

    env.commit(commit().delete_items(&part, deleted.to_vec()))
        .await;

    assert_eq!(ids(&part.list_all().await), kept);
    part.assert_stats_are_those_of_the_items().await;
}

pub(super) async fn a_frozen_partition_takes_completions_and_deletions(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["leased", "ready"]).await;
    let leased = receipt(&part.lease_one(at(0), at(10)).await);
    let ready = ids(&part.list_state(State::Ready).await);
    part.update(PartitionConfig::default().with_mode(Mode::Frozen))
        .await;

    let request = commit()
        .complete(&part, [leased])
        .delete_items(&part, ready);
    env.commit(request).await;

    assert!(part.list_all().await.is_empty());
}

pub(super) async fn empty_steps_are_refused_where_others_are(env: Env) {
    let missing = env.part(&partition_id("missing", 0));
    let config = PartitionConfig::default().with_mode(Mode::Frozen);
    let frozen = env.partition_with("frozen", config).await;
    let nothing: [NewItem<'_>; 0] = [];

    for request in [
        commit().produce(&missing, nothing),
        commit().complete(&missing, []),
        commit().delete_items(&missing, []),
    ] {
        refused(env.try_commit(request).await, ErrorKind::NotFound);
    }
    let on_frozen = commit()
        .produce(&frozen, nothing)
        .complete(&frozen, [])
        .delete_items(&frozen, []);
    let committed = env.commit(on_frozen).await;

    assert_eq!(committed.produced.len(), 1, "an answer to each produce");
    assert!(committed.produced[0].is_empty());
}

pub(super) async fn room_made_by_an_earlier_step_is_used_by_a_later(env: Env) {
    let config = PartitionConfig::default().with_items_max(2);
    let part = env.partition_with("a", config).await;
    part.produce(at(0), ["completed", "deleted"]).await;
    let leased = receipt(&part.lease_one(at(0), at(10)).await);
    let ready: Vec<ItemId> = ids(&part.list_state(State::Ready).await);
    let make_room = |request: Commit| {
        request
            .complete(&part, [leased])
            .delete_items(&part, ready.clone())
    };

    let too_early: CommitRequest = make_room(commit().produce(&part, ["new"])).into();
    let too_early = env.try_commit(too_early).await;
    let in_order = make_room(commit()).produce(&part, ["new", "newer"]);
    env.commit(in_order).await;

    refused(too_early, ErrorKind::CapacityExceeded);
    assert_eq!(payloads(&part.list_all().await), ["new", "newer"]);
}
