//! All of a commit applies, or nothing of it.

use storage_api::{
    CommitOutcome, Committed, ErrorKind, ItemId, KeyRange, Mode, NewItem, Object, PartitionConfig,
    ProduceOutcome, Produced, Receipt, State, StepFailure,
};

use super::{check_refused, step_refused};
use crate::env::{Env, at, partition_id, refused};
use crate::part::{Part, payloads, receipt};
use crate::request::{Commit, commit_at};

/// Two partitions and an entry that a commit can change in every way.
struct Stage {
    from: Part,
    to: Part,
    leased: Receipt,
    ready: ItemId,
}

async fn stage(env: &Env) -> Stage {
    let (from, to) = (env.partition("from").await, env.partition("to").await);
    from.produce(at(0), ["completed", "deleted"]).await;
    let leased = receipt(&from.lease_one(at(0), at(100)).await);
    let ready = from.list_state(State::Ready).await[0].id;
    to.produce(at(0), ["is there"]).await;
    env.put("n", "changed", "old").await;
    env.put("n", "removed", "old").await;
    Stage {
        from,
        to,
        leased,
        ready,
    }
}

/// How many places there are for another step in [`everything`].
const PLACES: usize = 5;

/// Adds something to a commit.
type Change<'a> = &'a (dyn Fn(Commit) -> Commit + Sync);

/// A commit that changes everything, with something else at a place from 0 to 4 between its steps.
fn everything(stage: &Stage, place: usize, other: impl Fn(Commit) -> Commit) -> Commit {
    let mut commit = commit_at(at(1));
    let steps: [Change<'_>; PLACES] = [
        &|commit| {
            commit
                .check_absent("n", "new")
                .put("n", "changed", "new")
                .put("n", "new", "new")
                .delete("n", "removed")
        },
        &|commit| commit.produce(&stage.to, ["first", "second"]),
        &|commit| commit.complete(&stage.from, [stage.leased]),
        &|commit| commit.delete_items(&stage.from, [stage.ready]),
        &|commit| commit.produce(&stage.from, ["third"]),
    ];
    for (index, step) in steps.iter().enumerate() {
        if index == place {
            commit = other(commit);
        }
        commit = step(commit);
    }
    commit
}

pub(super) async fn all_of_a_commit_applies(env: Env) {
    let stage = stage(&env).await;

    let committed = env.commit(everything(&stage, PLACES, |it| it)).await;

    let version = committed.version;
    let entries = env.scan(at(1), "n").await;
    let entries: Vec<_> = entries
        .iter()
        .map(|entry| (entry.key.to_string(), Some(entry.version)))
        .collect();
    let expected = [("changed".to_owned(), version), ("new".to_owned(), version)];
    assert_eq!(entries, expected);
    assert_eq!(payloads(&stage.from.list_all().await), ["third"]);
    let there = stage.to.list_all().await;
    assert_eq!(payloads(&there), ["is there", "first", "second"]);
    let lens: Vec<_> = committed.produced.iter().map(Produced::len).collect();
    assert_eq!(lens, [2, 1], "an answer to each produce, in input order");
    let ids: Vec<_> = committed.produced[0].ids().collect();
    assert_eq!(ids, [there[1].id, there[2].id]);
}

pub(super) async fn an_empty_commit_is_legal(env: Env) {
    stage(&env).await;
    let before = env.snapshot().await;

    let outcome = env.try_commit(commit_at(at(0))).await;

    let nothing = CommitOutcome::Committed(Committed::default());
    assert_eq!(outcome.expect("nothing to refuse"), nothing);
    assert_eq!(env.snapshot().await, before);
}

pub(super) async fn a_failed_check_applies_nothing_wherever_it_stands(env: Env) {
    let stage = stage(&env).await;
    let seen = env.scan(at(0), "n").await;
    let [changed, removed] = [seen[0].version, seen[1].version];
    let checks: [Change<'_>; 4] = [
        &|commit| commit.check_absent("n", "changed"),
        &|commit| commit.check_version("n", "changed", removed),
        &|commit| commit.check_range("n", KeyRange::all(), &[]),
        &|commit| commit.check_range("n", KeyRange::all(), &seen[1..]),
    ];
    let before = env.snapshot().await;

    for place in 0..=1 {
        for check in checks {
            let refusal = env.commit_refused(everything(&stage, place, check)).await;

            assert_eq!(refusal, check_refused(place, "changed", Some(changed)));
            assert_eq!(env.snapshot().await, before, "with a check at {place}");
        }
    }
}

pub(super) async fn an_invalid_step_applies_nothing_wherever_it_stands(env: Env) {
    let stage = stage(&env).await;
    let gone = stage.to.produce_one(at(0), "gone").await;
    stage.to.delete_items([gone]).await;
    let ready = stage.to.list_state(State::Ready).await[0].id;
    let lease = stage.leased.lease;
    let lost = Receipt { item: ready, lease };
    let absent = Receipt { item: gone, lease };
    let invalid: [(Change<'_>, StepFailure); 3] = [
        (
            &|commit| commit.complete(&stage.to, [lost]),
            StepFailure::LeaseLost,
        ),
        (
            &|commit| commit.complete(&stage.to, [absent]),
            StepFailure::NotFound,
        ),
        (
            &|commit| commit.delete_items(&stage.to, [gone]),
            StepFailure::NotFound,
        ),
    ];
    let before = env.snapshot().await;

    for place in 1..PLACES {
        for (step, found) in invalid {
            let refusal = env.commit_refused(everything(&stage, place, step)).await;

            assert_eq!(refusal, step_refused(place - 1, 0, found));
            assert_eq!(env.snapshot().await, before, "{found:?} at {place}");
        }
    }
}

pub(super) async fn a_refused_partition_applies_nothing_wherever_it_stands(env: Env) {
    let stage = stage(&env).await;
    let missing = env.part(&partition_id("missing", 0));
    let mode = |mode| PartitionConfig::default().with_mode(mode);
    let draining = env.partition_with("draining", mode(Mode::Draining)).await;
    let frozen = env.partition_with("frozen", mode(Mode::Frozen)).await;
    let before = env.snapshot().await;

    for place in 1..PLACES {
        for (part, kind) in [
            (&missing, ErrorKind::NotFound),
            (&draining, ErrorKind::Unavailable),
            (&frozen, ErrorKind::Unavailable),
        ] {
            let commit = everything(&stage, place, |commit| commit.produce(part, ["x"]));
            let error = refused(env.try_commit(commit).await, kind);

            assert_eq!(*error.object(), Object::Partition(part.id().clone()));
            assert_eq!(env.snapshot().await, before, "{kind} at {place}");
        }
    }
}

pub(super) async fn a_full_partition_applies_nothing_wherever_it_stands(env: Env) {
    let stage = stage(&env).await;
    let limits = PartitionConfig::default().with_items_max(1);
    let full = env.partition_with("full", limits).await;
    let before = env.snapshot().await;

    for place in 1..PLACES {
        let too_many = |commit: Commit| commit.produce(&full, ["x", "y"]);
        let answer = env.try_commit(everything(&stage, place, too_many)).await;

        refused(answer, ErrorKind::CapacityExceeded);
        assert_eq!(env.snapshot().await, before, "at {place}");
    }
}

pub(super) async fn a_refused_commit_frees_no_dedup_key_and_takes_none(env: Env) {
    let part = env.partition("a").await;
    let (old, new) = (
        NewItem::new("x").dedup_key("old"),
        NewItem::new("x").dedup_key("new"),
    );
    let id = part.produce_one(at(0), old).await;
    let leased = part.lease_one(at(0), at(10)).await;
    env.put("n", "k", "v").await;

    let commit = commit_at(at(0))
        .check_absent("n", "k")
        .complete(&part, [receipt(&leased)])
        .produce(&part, [new]);
    env.commit_refused(commit).await;

    let outcomes = part.produce_outcomes(at(0), [old, new]).await;
    let duplicate = ProduceOutcome::Duplicate {
        of: id,
        state: Some(State::Leased),
    };
    assert_eq!(outcomes[0], duplicate);
    assert!(
        matches!(outcomes[1], ProduceOutcome::Stored(_)),
        "{outcomes:?}"
    );
}

pub(super) async fn items_move_between_partitions_with_their_cursor_or_not_at_all(env: Env) {
    let (from, to) = (env.partition("from").await, env.partition("to").await);
    from.produce(at(0), ["0", "1", "2"]).await;
    let mut version = env.put("cursors", "moved", "0").await;

    for moved in 1..=3 {
        let item = from.lease_one(at(0), at(10)).await;
        let step = |version| {
            commit_at(at(0))
                .check_version("cursors", "moved", version)
                .complete(&from, [receipt(&item)])
                .produce(&to, payloads(std::slice::from_ref(&item)).iter())
                .put("cursors", "moved", moved.to_string())
        };
        let committed = env.commit(step(version)).await;
        // A second worker that read the cursor before: it fails, and moves nothing.
        env.commit_refused(step(version)).await;
        version = committed.version.expect("it writes the cursor");
    }

    assert!(from.list_all().await.is_empty());
    assert_eq!(payloads(&to.list_all().await), ["0", "1", "2"]);
}

pub(super) async fn a_commit_survives_a_reopening(env: Env) {
    let stage = stage(&env).await;
    env.commit(everything(&stage, PLACES, |it| it)).await;
    let before = env.snapshot().await;

    env.reopen().await;

    assert_eq!(env.snapshot().await, before);
}

pub(super) async fn a_refusal_comes_before_capacity(env: Env) {
    let config = PartitionConfig::default().with_items_max(1);
    let part = env.partition_with("a", config).await;
    let id = part.produce_one(at(0), "x").await;
    part.delete_items([id]).await;
    let version = env.put("n", "k", "v").await;
    let too_many = || commit_at(at(0)).produce(&part, ["x", "y"]);

    let by_check = env.commit_refused(too_many().check_absent("n", "k")).await;
    let by_step = env
        .commit_refused(too_many().delete_items(&part, [id]))
        .await;

    assert_eq!(by_check, check_refused(0, "k", Some(version)));
    assert_eq!(by_step, step_refused(1, 0, StepFailure::NotFound));
}
