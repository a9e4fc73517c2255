//! Expiry and purging.

use storage_api::{Count, Direction, KeyRange, Purged, Refusal, ScanRequest, Timestamp};

use super::{keys, versions};
use crate::env::{Env, answer_of, at, count, key, namespace};
use crate::request::commit_at;

async fn purge(env: &Env, now: Timestamp, entries_max: usize) -> (usize, bool) {
    let purged = env.backend().await.purge(now, count(entries_max)).await;
    let Purged { removed, more } = answer_of(purged);
    (removed, more)
}

/// The namespaces and keys that are stored, expired or not.
async fn stored(env: &Env) -> Vec<String> {
    let mut stored = Vec::new();
    for (space, entries) in env.snapshot().await.metadata {
        stored.extend(entries.iter().map(|entry| format!("{space}/{}", entry.key)));
    }
    stored
}

pub(super) async fn an_entry_is_absent_from_its_expiry_on(env: Env) {
    env.put_until("n", "k", "v", Some(at(10))).await;

    let mut seen = Vec::new();
    for now in [9, 10, 11] {
        let got = env.get(at(now), "n", "k").await.is_some();
        let scanned = !env.scan(at(now), "n").await.is_empty();
        seen.push((now, got, scanned));
    }

    assert_eq!(
        seen,
        [(9, true, true), (10, false, false), (11, false, false)]
    );
}

pub(super) async fn an_entry_expires_at_the_smallest_and_the_largest_time(env: Env) {
    env.put_until("n", "smallest", "v", Some(Timestamp::MIN))
        .await;
    env.put_until("n", "largest", "v", Some(Timestamp::MAX))
        .await;
    env.put("n", "never", "v").await;

    let almost = Timestamp::from_micros(i64::MAX - 1);
    let first = keys(&env.scan(Timestamp::MIN, "n").await);
    let almost = keys(&env.scan(almost, "n").await);
    let last = keys(&env.scan(Timestamp::MAX, "n").await);
    let purged = purge(&env, Timestamp::MAX, 10).await;

    assert_eq!(first, [key("largest"), key("never")]);
    assert_eq!(almost, [key("largest"), key("never")]);
    assert_eq!(last, [key("never")]);
    assert_eq!(purged, (2, false));
}

pub(super) async fn an_expired_entry_is_there_again_when_time_goes_back(env: Env) {
    let version = env.put_until("n", "k", "v", Some(at(10))).await;
    let later = env.get(at(100), "n", "k").await;

    let earlier = env.get(at(5), "n", "k").await;

    assert_eq!(later, None);
    assert_eq!(earlier.map(|entry| entry.version), Some(version));
    assert_eq!(purge(&env, at(5), 10).await, (0, false));
}

pub(super) async fn a_scan_passes_over_any_number_of_expired_entries(env: Env) {
    let mut request = commit_at(at(0));
    for number in 0..2000 {
        request = request.put_until("n", format!("k{number:04}"), "", Some(at(10)));
    }
    env.commit(request.put("n", "z", "stays").put("n", "a", "stays"))
        .await;

    for (direction, expected) in [
        (Direction::Forward, ["a", "z"]),
        (Direction::Backward, ["z", "a"]),
    ] {
        let (space, all) = (namespace("n"), KeyRange::all());
        let found = env.scan_paged(at(10), &space, all, direction, 1).await;
        assert_eq!(keys(&found), expected.map(key), "{direction:?}");
    }
}

pub(super) async fn expired_followers_give_a_page_no_cursor(env: Env) {
    env.put("n", "k1", "v").await;
    env.put_until("n", "k2", "v", Some(at(10))).await;
    env.put_until("n", "k3", "v", Some(at(11))).await;

    let request = ScanRequest::new(namespace("n"), KeyRange::all()).entries_max(Count::ONE);
    let backend = env.backend().await;
    let one_left = answer_of(backend.scan(at(10), request.clone()).await);
    let none_left = answer_of(backend.scan(at(11), request).await);

    assert!(one_left.next.is_some(), "k3 follows");
    assert_eq!(keys(&none_left.items), [key("k1")]);
    assert_eq!(none_left.next, None, "nothing follows");
}

pub(super) async fn checks_see_entries_as_they_are_at_the_time_of_the_commit(env: Env) {
    let version = env.put_until("n", "k", "v", Some(at(10))).await;
    let seen = env.scan(at(0), "n").await;
    let absent = |now| commit_at(at(now)).check_absent("n", "k");
    let same = |now| commit_at(at(now)).check_version("n", "k", version);
    let range = |now| commit_at(at(now)).check_range("n", KeyRange::all(), &seen);
    let empty = |now| commit_at(at(now)).check_range("n", KeyRange::all(), &[]);
    let refusal = |found| Refusal::Check {
        index: 0,
        key: key("k"),
        found,
    };

    env.commit(same(9)).await;
    env.commit(range(9)).await;
    env.commit(absent(10)).await;
    env.commit(empty(10)).await;
    let still_there = [absent(9), empty(9)];
    let expired = [same(10), range(10)];

    for request in still_there {
        let refused = env.commit_refused(request).await;
        assert_eq!(refused, refusal(Some(version)));
    }
    for request in expired {
        assert_eq!(env.commit_refused(request).await, refusal(None));
    }
}

pub(super) async fn a_purge_reclaims_what_has_expired_and_nothing_else(env: Env) {
    for (name, expires_at) in [
        ("9", Some(9)),
        ("10", Some(10)),
        ("11", Some(11)),
        ("never", None),
    ] {
        env.put_until("n", name, "v", expires_at.map(at)).await;
    }

    let first = purge(&env, at(10), 100).await;
    let again = purge(&env, at(10), 100).await;

    assert_eq!(first, (2, false));
    assert_eq!(again, (0, false));
    assert_eq!(stored(&env).await, ["n/11", "n/never"]);
}

pub(super) async fn a_purge_goes_by_expiry_then_namespace_then_key(env: Env) {
    let in_order = [
        ("z", "z", i64::MIN + 1),
        ("z", "z1", -1),
        ("b", "b", 5),
        ("b", "a", 6),
        ("b", "a\0", 6),
        ("b", "b1", 6),
        ("ba", "a", 6),
        ("a", "a", 7),
    ];
    for (space, name, expires_at) in in_order.iter().rev() {
        env.put_until(space, name, "v", Some(at(*expires_at))).await;
    }

    for purged in 1..=in_order.len() {
        purge(&env, at(10), 1).await;

        let mut left: Vec<_> = in_order[purged..]
            .iter()
            .map(|one| (one.0, one.1))
            .collect();
        left.sort_unstable();
        let left: Vec<_> = left
            .into_iter()
            .map(|(space, name)| format!("{space}/{}", key(name)))
            .collect();
        assert_eq!(stored(&env).await, left, "after {purged}");
    }
}

pub(super) async fn a_purge_stops_at_its_maximum_and_tells_whether_there_is_more(env: Env) {
    for (entries_max, expected) in [
        (1, (1, true)),
        (4, (4, true)),
        (5, (5, false)),
        (6, (5, false)),
    ] {
        for number in 0..5 {
            let space = format!("n{}", number % 2);
            env.put_until(&space, [number], "v", Some(at(10))).await;
        }
        env.put_until("n", "later", "v", Some(at(11))).await;

        let purged = purge(&env, at(10), entries_max).await;

        assert_eq!(purged, expected, "at most {entries_max} of 5");
        purge(&env, at(10), 100).await;
    }
}

pub(super) async fn a_purge_forgets_the_expiry_of_an_earlier_value(env: Env) {
    let times = [
        ("later", Some(100)),
        ("never", None),
        ("earlier", Some(1)),
        ("same", Some(10)),
    ];
    for (name, _) in times {
        env.put_until("n", name, "v", Some(at(10))).await;
    }
    for (name, expires_at) in times {
        env.put_until("n", name, "v", expires_at.map(at)).await;
    }

    let at_first = purge(&env, at(1), 10).await;
    let at_ten = purge(&env, at(10), 10).await;

    assert_eq!((at_first, at_ten), ((1, false), (1, false)));
    assert_eq!(stored(&env).await, ["n/later", "n/never"]);
}

pub(super) async fn a_purge_counts_no_entry_that_was_deleted(env: Env) {
    env.put_until("n", "deleted in time", "v", Some(at(10)))
        .await;
    env.put_until("n", "deleted late", "v", Some(at(10))).await;
    env.put_until("n", "expires", "v", Some(at(10))).await;

    env.delete("n", "deleted in time").await;
    let late = commit_at(at(20)).delete("n", "deleted late");
    env.commit(late).await;

    assert_eq!(purge(&env, at(20), 10).await, (1, false));
    assert!(env.namespaces_paged(10).await.is_empty());
}

pub(super) async fn a_namespace_holds_expired_entries_until_they_are_purged(env: Env) {
    env.put_until("expires", "k", "v", Some(at(10))).await;
    env.put("stays", "k", "v").await;

    let before = env.namespaces_paged(10).await;
    purge(&env, at(10), 10).await;
    let after = env.namespaces_paged(10).await;

    assert_eq!(before, [namespace("expires"), namespace("stays")]);
    assert_eq!(after, [namespace("stays")]);
}

pub(super) async fn an_entry_put_over_an_expired_one_has_a_greater_version(env: Env) {
    let first = env.put_until("n", "k", "old", Some(at(10))).await;

    let again = commit_at(at(20))
        .check_absent("n", "k")
        .put_until("n", "k", "new", Some(at(30)));
    let second = env.commit(again).await.version;

    assert!(second > Some(first), "{second:?} after {first}");
    assert_eq!(purge(&env, at(20), 10).await, (0, false));
    let entries = env.scan(at(20), "n").await;
    assert_eq!(
        versions(&entries),
        second.map(|it| (key("k"), it)).as_slice()
    );
}
