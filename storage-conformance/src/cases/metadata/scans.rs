//! Scans and listings of namespaces.

use storage_api::{
    Count, Cursor, Direction, ErrorKind, Key, KeyRange, MetadataEntry, Namespace, Page, ScanRequest,
};

use super::{between, keys};
use crate::env::{Env, answer_of, at, count, key, namespace, refused};
use crate::request::{Commit, commit_at};

const BOTH: [Direction; 2] = [Direction::Forward, Direction::Backward];

fn scan_of(space: &str, range: KeyRange, direction: Direction) -> ScanRequest {
    ScanRequest::new(namespace(space), range).direction(direction)
}

async fn page(env: &Env, request: ScanRequest) -> Page<MetadataEntry> {
    answer_of(env.backend().await.scan(at(0), request).await)
}

/// Keys in the order of their bytes.
const NAMES: [&[u8]; 10] = [
    b"\0",
    b"\0\0",
    b"\x01",
    b"a",
    b"a\0",
    b"aa",
    b"b",
    b"\x7f",
    b"\x80",
    b"\xff\xff",
];

async fn put_names(env: &Env) -> Vec<Key> {
    for name in NAMES.iter().rev() {
        env.put("n", name, "v").await;
    }
    // Neighbours on both sides.
    env.put("m", b"\xff\xff", "v").await;
    env.put("n\0", b"\0", "v").await;
    NAMES.iter().map(key).collect()
}

pub(super) async fn a_scan_gives_the_keys_by_bytes_in_pages_of_every_size(env: Env) {
    let forward = put_names(&env).await;
    let n = forward.len();

    for direction in BOTH {
        let mut expected = forward.clone();
        if direction == Direction::Backward {
            expected.reverse();
        }
        for size in [1, 2, n - 1, n, n + 1] {
            let mut request = scan_of("n", KeyRange::all(), direction).entries_max(count(size));
            let mut shown = Vec::new();
            loop {
                let page = page(&env, request.clone()).await;
                shown.extend(keys(&page.items));
                assert_eq!(
                    page.next.is_some(),
                    shown.len() < n,
                    "{direction:?} in pages of {size}, whether a cursor comes behind {} of {n}",
                    shown.len()
                );
                let Some(next) = page.next else { break };
                request = request.after(next);
            }
            assert_eq!(shown, expected, "{direction:?} in pages of {size}");
        }
    }
}

/// 300 keys with 1 KiB each: many pages of any engine.
async fn put_many(env: &Env) {
    let mut request = commit_at(at(0));
    for number in 0..300 {
        request = request.put("n", format!("k{number:03}"), [7; 1024]);
    }
    env.commit(request).await;
}

pub(super) async fn a_backward_scan_over_many_pages_is_the_forward_one_reversed(env: Env) {
    put_many(&env).await;
    let space = namespace("n");
    let range = between("k010", "k290");

    let scan = async |direction, size| {
        env.scan_paged(at(0), &space, range.clone(), direction, size)
            .await
    };
    let forward = scan(Direction::Forward, 7).await;
    let mut backward = scan(Direction::Backward, 11).await;

    backward.reverse();
    assert_eq!(forward.len(), 280);
    assert_eq!(keys(&backward), keys(&forward));
}

pub(super) async fn a_scan_goes_from_one_key_up_to_but_without_another(env: Env) {
    put_names(&env).await;
    let (a, b) = (|| Some(key("a")), || Some(key("b")));
    let ranges: [(KeyRange, &[&[u8]]); 7] = [
        (KeyRange::new(a(), b()), &[b"a", b"a\0", b"aa"]),
        (KeyRange::new(a(), Some(key("a\0"))), &[b"a"]),
        (KeyRange::new(None, a()), &NAMES[..3]),
        (KeyRange::new(b(), None), &NAMES[6..]),
        (KeyRange::new(Some(key("a\x01")), Some(key("az"))), &[b"aa"]),
        (KeyRange::new(a(), a()), &[]),
        (KeyRange::new(Some(key("c")), Some(key("d"))), &[]),
    ];

    for (range, expected) in ranges {
        for direction in BOTH {
            let request = scan_of("n", range.clone(), direction);
            let mut found = keys(&page(&env, request).await.items);

            if direction == Direction::Backward {
                found.reverse();
            }
            let expected: Vec<_> = expected.iter().map(key).collect();
            assert_eq!(found, expected, "{range:?} {direction:?}");
        }
    }
}

pub(super) async fn a_scan_of_a_reversed_range_gives_and_removes_nothing(env: Env) {
    put_many(&env).await;
    let before = env.snapshot().await;

    for (from, to) in [("k290", "k010"), ("k011", "k010"), ("z", "a")] {
        for direction in BOTH {
            let page = page(&env, scan_of("n", between(from, to), direction)).await;
            assert_eq!(page, Page::last(Vec::new()), "{from}..{to} {direction:?}");
        }
    }

    assert_eq!(env.snapshot().await, before);
}

pub(super) async fn a_scan_of_a_prefix_stops_before_its_neighbour(env: Env) {
    let names: [&[u8]; 6] = [b"a\xfe", b"a\xff", b"a\xff\0", b"a\xff\xff", b"b", b"b\0"];
    for name in names {
        env.put("n", name, "v").await;
    }
    env.put("o", b"a\xff", "v").await;

    let range = answer_of(KeyRange::prefix(b"a\xff"));
    let found = page(&env, scan_of("n", range, Direction::Forward)).await;

    let expected: Vec<_> = names[1..4].iter().map(key).collect();
    assert_eq!(keys(&found.items), expected);
}

pub(super) async fn a_scan_page_ends_before_the_entry_that_exceeds_an_answer(env: Env) {
    // With its key of 4 bytes an entry has 1 MiB, of which 32 are the most of an answer, or one byte more.
    for (space, len, fitting) in [("fits", (1 << 20) - 4, 32), ("exceeds", (1 << 20) - 3, 31)] {
        let content = vec![7; len];
        for numbers in [0..17, 17..33] {
            let put =
                |request: Commit, number| request.put(space, format!("k{number:03}"), &content);
            env.commit(numbers.fold(commit_at(at(0)), put)).await;
        }

        for direction in BOTH {
            let request = scan_of(space, KeyRange::all(), direction);
            let first = page(&env, request.clone()).await;
            let rest = request.after(first.next.expect("one follows at least"));
            let second = page(&env, rest).await;

            let lens = (first.items.len(), second.items.len());
            assert_eq!(lens, (fitting, 33 - fitting), "{space} {direction:?}");
            assert_eq!(second.next, None, "{space} {direction:?}");
        }
    }
}

pub(super) async fn a_scan_hides_and_repeats_nothing_while_what_it_showed_goes(env: Env) {
    for (direction, space) in BOTH.into_iter().zip(["forward", "backward"]) {
        let names: Vec<_> = (0..13).map(|number| format!("k{number:02}")).collect();
        for name in &names {
            env.put(space, name, "v").await;
        }

        let mut shown = Vec::new();
        let mut request = scan_of(space, KeyRange::all(), direction).entries_max(count(3));
        loop {
            let page = page(&env, request.clone()).await;
            // The key of the cursor goes, an earlier one stays.
            for entry in page.items.iter().skip(1) {
                env.delete(space, entry.key.as_bytes()).await;
            }
            shown.extend(keys(&page.items));
            let Some(next) = page.next else { break };
            request = request.after(next);
        }

        shown.sort();
        let expected: Vec<_> = names.iter().map(key).collect();
        assert_eq!(shown, expected, "{direction:?}");
    }
}

pub(super) async fn a_scan_shows_what_stays_once_while_others_come_and_change(env: Env) {
    for number in (0..20).step_by(2) {
        env.put("n", format!("k{number:02}"), "v").await;
    }

    let mut shown = Vec::new();
    let mut request = scan_of("n", KeyRange::all(), Direction::Forward).entries_max(count(2));
    for round in 0.. {
        let page = page(&env, request.clone()).await;
        shown.extend(keys(&page.items));
        let Some(next) = page.next else { break };
        request = request.after(next);
        env.put(
            "n",
            format!("k{:02}", 2 * round + 1),
            "comes before or behind",
        )
        .await;
        env.put("n", "k08", "changes").await;
    }

    let even: Vec<_> = (0..20)
        .step_by(2)
        .map(|n| key(format!("k{n:02}")))
        .collect();
    shown.retain(|key| even.contains(key));
    assert_eq!(shown, even);
}

pub(super) async fn a_scan_cursor_is_good_for_its_own_scan_alone(env: Env) {
    for space in ["n", "n0"] {
        for name in ["a", "b", "c"] {
            env.put(space, name, "v").await;
        }
    }
    let own = scan_of("n", between("a", "z"), Direction::Forward);
    let first = page(&env, own.clone().entries_max(Count::ONE)).await;
    let cursor = first.next.expect("two follow");

    let others = [
        scan_of("n0", between("a", "z"), Direction::Forward),
        scan_of("n", between("a", "z"), Direction::Backward),
        scan_of("n", between("a", "y"), Direction::Forward),
        scan_of("n", between("b", "z"), Direction::Forward),
        scan_of("n", KeyRange::all(), Direction::Forward),
        scan_of("n", KeyRange::new(Some(key("a")), None), Direction::Forward),
    ];
    for other in others {
        let request = other.after(cursor.clone());
        let answer = env.backend().await.scan(at(0), request).await;
        refused(answer, ErrorKind::InvalidArgument);
    }

    let rest = page(&env, own.after(cursor)).await;
    assert_eq!(keys(&rest.items), [key("b"), key("c")]);
}

pub(super) async fn namespaces_page_by_bytes_in_pages_of_every_size(env: Env) {
    let spaces = ["..", "N", "a", "a\0", "a/b", "ab", "b", "é", "\u{10ffff}"];
    for space in spaces.iter().rev() {
        // Several entries of one namespace are one namespace.
        env.put(space, "k", "v").await;
        env.put(space, "l", "v").await;
    }

    let n = spaces.len();
    for size in [1, 2, n - 1, n, n + 1] {
        let listed = env.namespaces_paged(size).await;

        let listed: Vec<_> = listed.iter().map(Namespace::as_str).collect();
        assert_eq!(listed, spaces, "in pages of {size}");
    }
    let last = env.backend().await.namespaces(None, count(n)).await;
    assert_eq!(answer_of(last).next, None, "nothing follows all of them");
}

pub(super) async fn namespaces_that_stay_come_once_while_others_come_and_go(env: Env) {
    let backend = env.backend().await;
    for number in 0..8 {
        env.put(&format!("n{number}"), "k", "v").await;
    }

    let mut shown = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = backend.namespaces(after.as_ref(), count(2)).await;
        let page = answer_of(page);
        if after.is_none() {
            env.delete("n5", "k").await;
            env.put("a", "k", "v").await;
            env.put("n6!", "k", "v").await;
        }
        // The namespace of the cursor goes, an earlier one stays.
        for space in page.items.iter().skip(1) {
            env.delete(space.as_str(), "k").await;
        }
        shown.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }

    let shown: Vec<_> = shown.iter().map(Namespace::as_str).collect();
    let staying = ["n0", "n1", "n2", "n3", "n4", "n6", "n7"];
    let found: Vec<_> = staying
        .iter()
        .map(|space| shown.iter().filter(|one| *one == space).count())
        .collect();
    assert_eq!(
        found, [1; 7],
        "how often each of {staying:?} came in {shown:?}"
    );
}

pub(super) async fn a_namespace_goes_with_its_last_entry(env: Env) {
    for name in ["first", "second"] {
        env.put("n", name, "v").await;
    }

    env.delete("n", "first").await;
    let with_one = env.namespaces_paged(10).await;
    env.delete("n", "second").await;
    let with_none = env.namespaces_paged(10).await;

    assert_eq!(with_one, [namespace("n")]);
    assert!(with_none.is_empty(), "{with_none:?}");
}
