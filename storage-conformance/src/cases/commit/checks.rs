//! Checks: what was read still is.

use storage_api::{Committed, KeyRange, MetadataEntry, StepFailure};

use super::{check_refused, step_refused};
use crate::env::{Env, at, key, value};
use crate::request::{Commit, commit_at};

fn commit() -> Commit {
    commit_at(at(0))
}

/// From one key up to but without another.
fn between(from: &str, to: &str) -> KeyRange {
    KeyRange::new(Some(key(from)), Some(key(to)))
}

/// The entries of the keys `b`, `c` and `d` of namespace `n`; `a` and `e` stand beside them.
async fn put_five(env: &Env) -> Vec<MetadataEntry> {
    for name in ["a", "b", "c", "d", "e"] {
        env.put("n", name, "v").await;
    }
    let entries = env.scan(at(0), "n").await;
    entries[1..4].to_vec()
}

pub(super) async fn the_first_check_that_fails_is_named(env: Env) {
    let version = env.put("n", "k", "v").await;

    let refusal = env
        .commit_refused(
            commit()
                .check_version("n", "k", version)
                .check_absent("n", "absent")
                .check_version("n", "absent", version)
                .check_absent("n", "k"),
        )
        .await;

    assert_eq!(refusal, check_refused(2, "absent", None));
}

pub(super) async fn a_check_is_named_before_a_step(env: Env) {
    let part = env.partition("a").await;
    let gone = part.produce_one(at(0), "x").await;
    part.delete_items([gone]).await;
    let version = env.put("n", "k", "v").await;

    let by_step = commit().delete_items(&part, [gone]);
    let by_both = by_step.clone().check_absent("n", "k");
    let (by_step, by_both) = (
        env.commit_refused(by_step).await,
        env.commit_refused(by_both).await,
    );

    assert_eq!(by_step, step_refused(0, 0, StepFailure::NotFound));
    assert_eq!(by_both, check_refused(0, "k", Some(version)));
}

pub(super) async fn absence_and_versions_are_checked(env: Env) {
    let first = env.put("n", "k", "v").await;
    let second = env.put("n", "k", "v").await;

    let absent_there = env.commit_refused(commit().check_absent("n", "k")).await;
    let earlier = commit().check_version("n", "k", first);
    let earlier = env.commit_refused(earlier).await;
    let version_of_absent = commit().check_version("n", "absent", second);
    let version_of_absent = env.commit_refused(version_of_absent).await;
    let holds = commit()
        .check_version("n", "k", second)
        .check_absent("n", "absent");
    env.commit(holds).await;

    assert_eq!(absent_there, check_refused(0, "k", Some(second)));
    assert_eq!(earlier, check_refused(0, "k", Some(second)));
    assert_eq!(version_of_absent, check_refused(0, "absent", None));
}

pub(super) async fn checks_are_judged_before_the_writes_of_their_commit(env: Env) {
    let add = commit().check_absent("n", "k").put("n", "k", "1");
    let first = env.commit(add.clone()).await.version;
    let again = env.commit_refused(add).await;
    let version = first.expect("it writes");
    let change = commit()
        .check_version("n", "k", version)
        .check_range("n", KeyRange::all(), &env.scan(at(0), "n").await)
        .put("n", "k", "2")
        .put("n", "l", "2");

    let second = env.commit(change).await.version;

    assert_eq!(again, check_refused(0, "k", first));
    assert!(second > first, "{second:?} after {first:?}");
}

pub(super) async fn a_key_written_again_is_not_the_one_seen(env: Env) {
    let seen = env.put("n", "k", "same").await;
    let entries = env.scan(at(0), "n").await;
    env.delete("n", "k").await;
    let now = env.put("n", "k", "same").await;

    let by_version = commit().check_version("n", "k", seen);
    let by_version = env.commit_refused(by_version).await;
    let by_range = commit().check_range("n", KeyRange::all(), &entries);
    let by_range = env.commit_refused(by_range).await;

    assert_eq!(by_version, check_refused(0, "k", Some(now)));
    assert_eq!(by_range, check_refused(0, "k", Some(now)));
}

pub(super) async fn checks_stay_in_their_namespace(env: Env) {
    let version = env.put("n", "k", "v").await;
    for space in ["m", "n\0", "nn", "o"] {
        env.put(space, "k", "v").await;
        env.put(space, "l", "v").await;
    }
    let seen = env.scan(at(0), "n").await;

    let holds = commit()
        .check_version("n", "k", version)
        .check_absent("n", "l")
        .check_range("n", KeyRange::all(), &seen);
    env.commit(holds).await;
    let elsewhere = commit().check_version("o", "k", version);
    let refusal = env.commit_refused(elsewhere).await;

    let there = env.get(at(0), "o", "k").await.map(|entry| entry.version);
    assert_eq!(refusal, check_refused(0, "k", there));
}

pub(super) async fn a_range_that_is_as_it_was_seen_holds(env: Env) {
    let seen = put_five(&env).await;
    let all = env.scan(at(0), "n").await;

    let holds = commit()
        .check_range("n", between("b", "e"), &seen)
        .check_range("n", between("b", "d\0"), &seen)
        .check_range("n", KeyRange::all(), &all)
        .check_range("n", between("b\0", "c"), &[])
        .check_range("empty", KeyRange::all(), &[]);
    let committed = env.commit(holds).await;

    assert_eq!(committed, Committed::default());
}

pub(super) async fn a_phantom_is_refused(env: Env) {
    let seen = put_five(&env).await;

    for phantom in ["b\0", "cc", "d\u{7f}"] {
        let version = env.put("n", phantom, "v").await;
        let check = commit().check_range("n", between("b", "e"), &seen);
        let refusal = env.commit_refused(check).await;
        env.delete("n", phantom).await;

        assert_eq!(refusal, check_refused(0, phantom, Some(version)));
    }

    let check = commit().check_range("n", between("b", "e"), &seen);
    env.commit(check).await;
}

pub(super) async fn a_key_gone_from_a_range_is_refused(env: Env) {
    for gone in ["b", "c", "d"] {
        let seen = put_five(&env).await;
        env.delete("n", gone).await;

        let check = commit().check_range("n", between("b", "e"), &seen);
        let refusal = env.commit_refused(check).await;

        assert_eq!(refusal, check_refused(0, gone, None));
    }
}

pub(super) async fn a_key_changed_in_a_range_is_refused(env: Env) {
    for changed in ["b", "c", "d"] {
        let seen = put_five(&env).await;
        let version = env.put("n", changed, "v").await;

        let check = commit().check_range("n", between("b", "e"), &seen);
        let refusal = env.commit_refused(check).await;

        assert_eq!(refusal, check_refused(0, changed, Some(version)));
    }
}

pub(super) async fn the_first_difference_of_a_range_is_named(env: Env) {
    let seen = put_five(&env).await;
    let check = || commit().check_range("n", between("b", "e"), &seen);

    env.put("n", "d", "changed").await;
    env.delete("n", "c").await;
    let gone_first = env.commit_refused(check()).await;
    let phantom = env.put("n", "bb", "new").await;
    let phantom_first = env.commit_refused(check()).await;

    assert_eq!(gone_first, check_refused(0, "c", None));
    assert_eq!(phantom_first, check_refused(0, "bb", Some(phantom)));
}

pub(super) async fn keys_beside_a_range_do_not_matter(env: Env) {
    let seen = put_five(&env).await;

    for beside in ["a", "a\u{7f}", "e", "e\0", "f"] {
        env.put("n", beside, "changed").await;
    }
    env.delete("n", "a").await;

    let check = commit().check_range("n", between("b", "e"), &seen);
    env.commit(check).await;
}

pub(super) async fn a_range_without_an_end_sees_the_largest_key(env: Env) {
    let largest = [0xff; storage_api::limits::KEY_BYTES_MAX];
    let tail = || commit().check_range("n", KeyRange::new(Some(key("k")), None), &[]);
    let prefix = KeyRange::prefix([0xff, 0xff]).expect("within the limits");
    let version = env.put("n", largest, "v").await;

    let by_tail = env.commit_refused(tail()).await;
    let by_prefix = commit().check_range("n", prefix, &[]);
    let by_prefix = env.commit_refused(by_prefix).await;

    assert_eq!(by_tail, check_refused(0, largest, Some(version)));
    assert_eq!(by_prefix, check_refused(0, largest, Some(version)));
}

pub(super) async fn a_reversed_range_has_no_key(env: Env) {
    put_five(&env).await;

    let holds = commit()
        .check_range("n", between("d", "b"), &[])
        .check_range("n", between("c", "c"), &[])
        .put("n", "written", "v");
    env.commit(holds).await;

    assert!(env.get(at(0), "n", "written").await.is_some());
}

pub(super) async fn a_lost_update_is_refused(env: Env) {
    let seen = env.put("n", "counter", "1").await;
    let write = |content| {
        commit()
            .check_version("n", "counter", seen)
            .put("n", "counter", content)
    };

    let first = env.commit(write("2, by the first")).await;
    let refusal = env.commit_refused(write("2, by the second")).await;

    assert_eq!(refusal, check_refused(0, "counter", first.version));
    let counter = env.get(at(0), "n", "counter").await;
    let counter = counter.map(|entry| entry.value);
    assert_eq!(counter, Some(value("2, by the first")));
}

pub(super) async fn write_skew_is_refused_by_versions(env: Env) {
    // Two doctors are on call, one has to stay: each sees the other there and leaves.
    let first = env.put("on call", "first", "yes").await;
    let second = env.put("on call", "second", "yes").await;
    let leave = |name| {
        commit()
            .check_version("on call", "first", first)
            .check_version("on call", "second", second)
            .put("on call", name, "no")
    };

    let left = env.commit(leave("first")).await;
    let refusal = env.commit_refused(leave("second")).await;

    assert_eq!(refusal, check_refused(0, "first", left.version));
}

pub(super) async fn write_skew_is_refused_by_ranges(env: Env) {
    // A room has one place left: each of two guests counts those who are there, and comes in under a name of their own.
    env.put("room", "first", "in").await;
    let seen = env.scan(at(0), "room").await;
    let enter = |name| {
        commit()
            .check_range("room", KeyRange::all(), &seen)
            .put("room", name, "in")
    };

    let entered = env.commit(enter("second")).await;
    let refusal = env.commit_refused(enter("third")).await;

    assert_eq!(refusal, check_refused(0, "second", entered.version));
    assert_eq!(env.scan(at(0), "room").await.len(), 2);
}

pub(super) async fn read_skew_is_refused(env: Env) {
    // One account is read before a transfer and the other after it: their sum never was.
    let poor = env.put("accounts", "poor", "0").await;
    env.put("accounts", "rich", "100").await;
    let transfer = commit()
        .put("accounts", "poor", "50")
        .put("accounts", "rich", "50");
    let transferred = env.commit(transfer).await.version;
    let rich = transferred.expect("it writes");

    let report = commit()
        .check_version("accounts", "poor", poor)
        .check_version("accounts", "rich", rich)
        .put("reports", "sum", "50");
    let refusal = env.commit_refused(report).await;

    assert_eq!(refusal, check_refused(0, "poor", transferred));
    assert!(env.scan(at(0), "reports").await.is_empty());
}

pub(super) async fn a_read_only_transaction_tells_whether_its_reads_hold_together(env: Env) {
    let seen = put_five(&env).await;
    let check = || {
        commit()
            .check_version("n", "b", seen[0].version)
            .check_range("n", between("c", "e"), &seen[1..])
    };

    let held = env.commit(check()).await;
    let version = env.put("n", "cc", "phantom").await;
    let refusal = env.commit_refused(check()).await;

    assert_eq!(held, Committed::default());
    assert_eq!(refusal, check_refused(1, "cc", Some(version)));
}
