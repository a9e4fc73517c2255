//! Cursors: what they belong to, and what damages them.

use storage_api::{
    Count, Cursor, Direction, ErrorKind, KeyRange, ListRequest, Listing, Result, RetryTo,
    ScanRequest, State, States,
};

use super::{LISTINGS, one_by_one};
use crate::env::{Env, answer_of, at, count, namespace, partition_id, refused};
use crate::part::{Part, ids, receipt};

/// What a cursor can be got from and used for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Source {
    Items(Listing),
    Partitions,
    Namespaces,
    Scan(Direction),
}

fn sources() -> Vec<Source> {
    let scans = [Direction::Forward, Direction::Backward].map(Source::Scan);
    let mut sources: Vec<_> = LISTINGS.map(Source::Items).into();
    sources.extend([Source::Partitions, Source::Namespaces]);
    sources.extend(scans);
    sources
}

/// Something for each source to page through.
async fn fill(env: &Env) -> Part {
    let part = env.partition("a").await;
    part.produce_every_state(2).await;
    env.partition("b").await;
    for space in ["m", "n"] {
        env.put(space, "first", "1").await;
        env.put(space, "second", "2").await;
    }
    part
}

/// The cursor of a page of one, and how many came with it.
async fn ask(env: &Env, source: Source, after: Option<Cursor>) -> Result<(usize, Option<Cursor>)> {
    let backend = env.backend().await;
    match source {
        Source::Items(listing) => {
            let mut request = one_by_one(listing);
            if let Some(cursor) = after {
                request = request.after(cursor);
            }
            let page = backend.list_items(&partition_id("a", 0), request).await?;
            Ok((page.items.len(), page.next))
        }
        Source::Partitions => {
            let page = backend.list_partitions(after.as_ref(), Count::ONE).await?;
            Ok((page.items.len(), page.next))
        }
        Source::Namespaces => {
            let page = backend.namespaces(after.as_ref(), Count::ONE).await?;
            Ok((page.items.len(), page.next))
        }
        Source::Scan(direction) => {
            let mut request = ScanRequest::new(namespace("n"), KeyRange::all())
                .direction(direction)
                .entries_max(Count::ONE);
            if let Some(cursor) = after {
                request = request.after(cursor);
            }
            let page = backend.scan(at(0), request).await?;
            Ok((page.items.len(), page.next))
        }
    }
}

async fn cursor_of(env: &Env, source: Source) -> Cursor {
    match ask(env, source, None).await {
        Ok((1, Some(cursor))) => cursor,
        other => panic!("expected one of {source:?} and a cursor, got {other:?}"),
    }
}

pub(super) async fn a_cursor_is_good_for_its_own_listing_alone(env: Env) {
    fill(&env).await;
    for origin in sources() {
        let cursor = cursor_of(&env, origin).await;

        for target in sources() {
            let answer = ask(&env, target, Some(cursor.clone())).await;

            let is_good = matches!(answer, Ok((1, _)));
            let is_refused =
                matches!(&answer, Err(error) if error.kind() == ErrorKind::InvalidArgument);
            assert!(
                if origin == target {
                    is_good
                } else {
                    is_refused
                },
                "a cursor of {origin:?} used for {target:?} gives {answer:?}"
            );
        }
    }
}

pub(super) async fn a_cursor_is_good_for_its_own_set_of_states_alone(env: Env) {
    let part = fill(&env).await;
    let dead = Listing::ById(State::Dead.into());
    let cursor = part.list(one_by_one(dead)).await.next;
    let cursor = cursor.expect("a second dead item follows");

    let others = [State::Ready.into(), States::ALL, States::NONE];
    for states in others.map(Listing::ById) {
        let answer = part
            .try_list(one_by_one(states).after(cursor.clone()))
            .await;

        refused(answer, ErrorKind::InvalidArgument);
    }
}

pub(super) async fn a_cursor_of_another_partition_is_invalid(env: Env) {
    let home = env.part(&partition_id("a", 1));
    for id in [
        home.id().clone(),
        partition_id("a", 10),
        partition_id("a", 0),
        partition_id("a1", 1),
        partition_id("b", 1),
    ] {
        let part = env.create(&id, Default::default()).await;
        part.produce_every_state(2).await;
    }

    for listing in LISTINGS {
        let next = home.list(one_by_one(listing)).await.next;
        let cursor = next.expect("a second item follows");
        for info in env.partitions().await {
            let part = env.part(&info.id);
            let answer = part.try_list(one_by_one(listing).after(cursor.clone()));
            let answer = answer.await.map_err(|error| error.kind());

            let is_refused = answer == Err(ErrorKind::InvalidArgument);
            assert_eq!(is_refused, info.id != *home.id(), "{}: {answer:?}", info.id);
        }
    }
}

pub(super) async fn a_cursor_of_an_earlier_partition_of_the_name_is_invalid(env: Env) {
    let part = fill(&env).await;
    let mut cursors = Vec::new();
    for listing in LISTINGS {
        cursors.extend(part.list(one_by_one(listing)).await.next);
    }
    part.delete().await;
    let part = env.partition("a").await;
    part.produce_every_state(2).await;

    for (listing, cursor) in LISTINGS.into_iter().zip(cursors) {
        let answer = part.try_list(one_by_one(listing).after(cursor)).await;

        refused(answer, ErrorKind::InvalidArgument);
    }
}

/// Flips each bit, cuts at each byte, and adds one: the source refuses every such cursor.
async fn assert_damage_is_refused(env: &Env, source: Source) {
    let whole = cursor_of(env, source).await.as_bytes().to_vec();
    let flipped = (0..whole.len() * 8).map(|bit| {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    let cut = (0..whole.len()).map(|len| whole[..len].to_vec());
    let longer = [[&whole[..], &[0]].concat()];

    for bytes in flipped.chain(cut).chain(longer) {
        let damaged = Cursor::from_bytes(bytes.clone());
        let answer = ask(env, source, Some(damaged)).await;

        let is_refused =
            matches!(&answer, Err(error) if error.kind() == ErrorKind::InvalidArgument);
        assert!(
            is_refused,
            "{source:?}: the cursor {whole:?} damaged to {bytes:?} gives {answer:?}"
        );
    }
}

pub(super) async fn a_damaged_item_cursor_is_invalid_whatever_byte_it_is(env: Env) {
    fill(&env).await;

    for listing in LISTINGS {
        assert_damage_is_refused(&env, Source::Items(listing)).await;
    }
}

pub(super) async fn a_damaged_cursor_of_the_backend_is_invalid_whatever_byte_it_is(env: Env) {
    fill(&env).await;

    assert_damage_is_refused(&env, Source::Partitions).await;
    assert_damage_is_refused(&env, Source::Namespaces).await;
    assert_damage_is_refused(&env, Source::Scan(Direction::Forward)).await;
}

pub(super) async fn a_cursor_is_good_after_reopening(env: Env) {
    fill(&env).await;
    let mut kept = Vec::new();
    for source in sources() {
        let cursor = cursor_of(&env, source).await;
        let answer = answer_of(ask(&env, source, Some(cursor.clone())).await);
        kept.push((source, cursor.as_bytes().to_vec(), answer));
    }

    env.reopen().await;

    for (source, bytes, expected) in kept {
        let answer = ask(&env, source, Some(Cursor::from_bytes(bytes))).await;
        assert_eq!(answer_of(answer), expected, "{source:?}");
    }
}

pub(super) async fn a_cursor_goes_on_behind_where_its_item_stood(env: Env) {
    let part = env.partition("a").await;
    let produced = part.produce(at(0), ["moves", "second", "third"]).await;
    let first = part.list(one_by_one(Listing::Ready)).await;
    let cursor = first.next.expect("two follow");
    let moving = part.lease_one(at(0), at(10)).await;

    let leased = part.list(ListRequest::ready().after(cursor.clone())).await;
    part.retry(at(0), receipt(&moving), RetryTo::Now).await;
    let moved = part.list(ListRequest::ready().after(cursor)).await;

    assert_eq!(ids(&leased.items), produced[1..]);
    let expected = [produced[1], produced[2], produced[0]];
    assert_eq!(ids(&moved.items), expected);
}

pub(super) async fn closed_comes_before_a_bad_cursor_and_a_missing_partition(env: Env) {
    let backend = env.backend().await;
    let missing = partition_id("missing", 0);
    let damaged = Cursor::from_bytes(b"damaged".to_vec());
    answer_of(backend.close().await);

    let items = ListRequest::ready().after(damaged.clone());
    let items = backend.list_items(&missing, items).await;
    let partitions = backend.list_partitions(Some(&damaged), Count::ONE).await;
    let namespaces = backend.namespaces(Some(&damaged), Count::ONE).await;
    let scan = ScanRequest::new(namespace("n"), KeyRange::all()).after(damaged);
    let scan = backend.scan(at(0), scan).await;
    let cleared = backend.clear(&missing, States::NONE, Count::ONE).await;

    refused(items, ErrorKind::Closed);
    refused(partitions, ErrorKind::Closed);
    refused(namespaces, ErrorKind::Closed);
    refused(scan, ErrorKind::Closed);
    refused(cleared, ErrorKind::Closed);
}

pub(super) async fn partitions_page_by_the_bytes_of_the_name_then_by_number(env: Env) {
    let names = [
        "a",
        "a\0",
        "a/",
        "a/b",
        "a1",
        "aa",
        "b",
        "z",
        "é",
        "\u{10ffff}",
    ];
    let mut expected = Vec::new();
    for name in names {
        for number in [0, 1, 2, 10, 256, u32::MAX] {
            expected.push(partition_id(name, number));
        }
    }
    for id in expected.iter().rev() {
        env.create(id, Default::default()).await;
    }

    let n = expected.len();
    for size in [1, 7, n - 1, n, n + 1] {
        let listed = env.partitions_paged(size).await;

        let listed: Vec<_> = listed.into_iter().map(|info| info.id).collect();
        assert_eq!(listed, expected, "in pages of {size}");
    }
}

pub(super) async fn partitions_that_stay_come_once_while_others_come_and_go(env: Env) {
    let backend = env.backend().await;
    for number in 0..12 {
        env.create(&partition_id("q", number), Default::default())
            .await;
    }

    let mut shown = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = backend.list_partitions(after.as_ref(), count(2)).await;
        let page = answer_of(page);
        if after.is_none() {
            env.part(&partition_id("q", 11)).delete().await;
            env.create(&partition_id("a", 0), Default::default()).await;
            env.create(&partition_id("z", 0), Default::default()).await;
        }
        // The partition of the cursor goes, an earlier one stays.
        for info in page.items.iter().skip(1) {
            env.part(&info.id).delete().await;
        }
        shown.extend(page.items.into_iter().map(|info| info.id));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }

    shown.retain(|id| id.queue().as_str() == "q" && id.number() != 11);
    let staying: Vec<_> = (0..11).map(|number| partition_id("q", number)).collect();
    assert_eq!(shown, staying);
}
