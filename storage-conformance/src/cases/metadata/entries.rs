//! Entries, their versions, and the names that keep them apart.

use std::collections::HashSet;

use storage_api::{Committed, Count, MetadataEntry};

use super::{keys, versions};
use crate::env::{Env, answer_of, at, key, value};
use crate::part::receipt;
use crate::request::commit_at;

pub(super) async fn an_entry_comes_back_byte_for_byte(env: Env) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let (name, content) = (every_byte.clone(), every_byte.repeat(3));

    let version = env.put_until("n", &name, &content, Some(at(9))).await;
    let empty = env.put("n", [0], "").await;

    let expected = MetadataEntry {
        key: key(&name),
        value: value(&content),
        version,
        expires_at: Some(at(9)),
    };
    assert_eq!(env.get(at(0), "n", &name).await, Some(expected.clone()));
    let expected_empty = MetadataEntry {
        key: key([0]),
        value: value(""),
        version: empty,
        expires_at: None,
    };
    assert_eq!(env.scan(at(0), "n").await, [expected_empty, expected]);
}

pub(super) async fn what_was_never_set_is_absent(env: Env) {
    env.put("n", "k", "v").await;

    let other_key = env.get(at(0), "n", "other").await;
    let other_space = env.get(at(0), "other", "k").await;

    assert_eq!((other_key, other_space), (None, None));
    assert!(env.scan(at(0), "other").await.is_empty());
}

pub(super) async fn a_later_value_takes_the_place_of_the_earlier(env: Env) {
    env.put_until("n", "k", "earlier", Some(at(9))).await;

    let version = env.put("n", "k", "later").await;

    let later = MetadataEntry {
        key: key("k"),
        value: value("later"),
        version,
        expires_at: None,
    };
    assert_eq!(env.get(at(0), "n", "k").await, Some(later.clone()));
    assert_eq!(env.scan(at(0), "n").await, [later]);
}

pub(super) async fn deleting_what_is_absent_is_legal(env: Env) {
    env.put("n", "k", "v").await;

    env.delete("n", "absent").await;
    env.delete("absent", "k").await;

    assert_eq!(keys(&env.scan(at(0), "n").await), [key("k")]);
    assert_eq!(env.namespaces_paged(10).await.len(), 1);
}

pub(super) async fn a_deleted_entry_is_absent(env: Env) {
    env.put("n", "first", "1").await;
    env.put("n", "second", "2").await;

    env.delete("n", "first").await;

    assert_eq!(env.get(at(0), "n", "first").await, None);
    assert_eq!(keys(&env.scan(at(0), "n").await), [key("second")]);
}

pub(super) async fn versions_of_a_key_grow_also_across_its_deletion(env: Env) {
    let first = env.put("n", "k", "v").await;
    let second = env.put("n", "k", "v").await;
    env.delete("n", "k").await;
    let third = env.put("n", "k", "v").await;

    assert!(first < second && second < third, "{first} {second} {third}");
}

pub(super) async fn no_two_commits_give_the_same_version(env: Env) {
    let mut given = HashSet::new();
    for round in 0..10 {
        let space = format!("n{}", round % 3);
        let put = env.put(&space, format!("k{}", round % 4), "v").await;
        let deleted = env.delete(&space, "k0").await.version;
        let part = env.partition(&format!("q{round}")).await;
        let created = part.info().await.created;
        let updated = part.update(Default::default()).await;

        let fresh = [
            put,
            deleted.expect("a deletion is a write"),
            created,
            updated,
        ];
        for version in fresh {
            assert!(given.insert(version), "{version} was given before");
        }
    }
}

pub(super) async fn all_writes_of_a_commit_have_its_version(env: Env) {
    env.put("m", "old", "v").await;

    let request = commit_at(at(0))
        .put("m", "old", "v")
        .put("m", "new", "v")
        .delete("m", "absent")
        .put("n", "new", "v");
    let committed = env.commit(request).await;

    let version = committed.version.expect("it writes");
    let entries = [env.scan(at(0), "m").await, env.scan(at(0), "n").await].concat();
    let expected = ["new", "old", "new"].map(|name| (key(name), version));
    assert_eq!(versions(&entries), expected);
}

pub(super) async fn a_commit_without_writes_takes_no_version(env: Env) {
    let part = env.partition("a").await;
    part.produce(at(0), ["x"]).await;
    let leased = part.lease_one(at(0), at(10)).await;

    let nothing = env.commit(commit_at(at(0))).await;
    let check = env.commit(commit_at(at(0)).check_absent("n", "k")).await;
    let step = commit_at(at(0)).complete(&part, [receipt(&leased)]);
    let step = env.commit(step).await;

    let unversioned = Committed::default();
    assert_eq!(
        [nothing, check, step],
        [(); 3].map(|()| unversioned.clone())
    );
}

pub(super) async fn versions_grow_across_a_reopening(env: Env) {
    env.put("n", "k", "v").await;
    let last = env.delete("n", "k").await.version;
    let last = last.expect("a deletion is a write");

    env.reopen().await;

    let next = env.put("n", "k", "v").await;
    assert!(next > last, "{next} after {last}");
}

pub(super) async fn metadata_survives_a_reopening(env: Env) {
    for space in ["m", "n\0", "🐢"] {
        env.put(space, [0, 255], "kept").await;
        env.put_until(space, "expires", "", Some(at(10))).await;
        env.put(space, "gone", "v").await;
        env.delete(space, "gone").await;
    }
    let before = env.snapshot().await;

    env.reopen().await;

    assert_eq!(env.snapshot().await, before);
    let purged = env.backend().await.purge(at(10), Count::MAX).await;
    assert_eq!(answer_of(purged).removed, 3, "the expiries are still known");
}

/// Keys of which each begins another, or sorts next to it.
const ALIKE: [&[u8]; 9] = [
    b"\0", b"\0\0", b"a", b"a\0", b"a\0\0", b"a\x01", b"ab", b"a\xff", b"\xff",
];

pub(super) async fn keys_that_begin_alike_are_kept_apart(env: Env) {
    for name in ALIKE {
        env.put("n", name, name).await;
    }

    env.delete("n", "a").await;
    env.delete("n", b"\0").await;

    let left = env.scan(at(0), "n").await;
    let expected = ALIKE
        .iter()
        .filter(|name| **name != b"a" && **name != b"\0");
    let expected: Vec<_> = expected.map(|name| (key(name), value(name))).collect();
    let left: Vec<_> = left
        .into_iter()
        .map(|entry| (entry.key, entry.value))
        .collect();
    assert_eq!(left, expected);
    assert_eq!(env.get(at(0), "n", "a").await, None);
}

/// Namespaces of which each begins another, contains what may separate, or ends in the largest bytes.
const SPACES: [&str; 10] = [
    "n",
    "n\0",
    "n/",
    "n/n",
    "n0",
    "nn",
    "N",
    "..",
    "n\u{10ffff}",
    "n\u{10ffff}\u{10ffff}",
];

pub(super) async fn namespaces_that_begin_alike_are_kept_apart(env: Env) {
    for space in SPACES {
        env.put(space, "k", space).await;
        env.put(space, "other", space).await;
    }

    env.delete("n", "k").await;
    env.delete("n\u{10ffff}", "k").await;

    for space in SPACES {
        let entries = env.scan(at(0), space).await;
        let mine = entries.iter().all(|entry| entry.value == value(space));
        let len = if ["n", "n\u{10ffff}"].contains(&space) {
            1
        } else {
            2
        };
        assert!(mine && entries.len() == len, "{space:?}: {entries:?}");
    }
}

pub(super) async fn a_namespace_and_a_key_do_not_run_together(env: Env) {
    let same_text = [
        ("a", "bc"),
        ("ab", "c"),
        ("a\0", "\0b"),
        ("a", "\0\0b"),
        ("a/b", "c"),
        ("a", "b/c"),
    ];
    for (space, name) in same_text {
        env.put(space, name, format!("{space}|{name}")).await;
    }

    for (space, name) in same_text {
        let found = env.get(at(0), space, name).await;

        let found = found.map(|entry| entry.value);
        assert_eq!(found, Some(value(format!("{space}|{name}"))));
    }
}

pub(super) async fn partitions_and_items_are_in_no_namespace(env: Env) {
    let part = env.partition("a").await;
    part.produce_every_state(1).await;
    let item = storage_api::NewItem::new("x").dedup_key("key");
    part.produce_one(at(0), item).await;

    let namespaces = env.namespaces_paged(10).await;

    assert!(namespaces.is_empty(), "{namespaces:?}");
}

pub(super) async fn a_partition_goes_without_the_namespace_of_its_name(env: Env) {
    let part = env.partition("jobs").await;
    part.produce(at(0), ["x"]).await;
    env.put("jobs", "k", "v").await;

    part.delete().await;

    let entries = env.scan(at(0), "jobs").await;
    assert_eq!(keys(&entries), [key("k")]);
}
