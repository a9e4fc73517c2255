//! Names of partitions: their order, and that none is taken for another.

use storage_api::{Capability, Count, Cursor, NewItem, PartitionConfig, PartitionId, States};

use crate::case::{Case, cases};
use crate::env::{Env, at, count, partition_id};
use crate::part::{Part, payloads, receipts};

pub(in crate::cases) const CASES: &[Case] = cases![partitions:
    partitions_are_listed_by_the_bytes_of_the_name_then_by_number ["PART-5"],
    pages_of_partitions_join_to_the_whole_list ["PART-5"],
    last_page_of_partitions_has_no_cursor_even_if_it_is_full ["PART-5"],
    partitions_deleted_between_pages_hide_no_other ["PART-5"],
    backend_without_partitions_lists_none ["PART-5"],
    names_that_collide_are_kept_apart ["PART-6"],
    names_that_collide_are_deleted_apart ["PART-6", "PART-4"],
    names_that_collide_are_listed_as_they_were_given ["PART-6", "PART-5"],
    number_10_of_a_queue_is_not_number_0_of_the_next ["PART-6"],
    clearing_one_partition_leaves_its_neighbours ["PART-6"],
    names_are_kept_over_a_reopening ["PART-6", "DUR-2"] .requires(Capability::Reopen),
];

/// Names that a driver confuses if it joins, cuts, escapes, normalizes or shortens them, or makes paths or text of them.
fn names_that_collide() -> Vec<PartitionId> {
    let numbers = [
        0,
        1,
        2,
        9,
        10,
        11,
        100,
        255,
        256,
        65_535,
        65_536,
        0x7fff_ffff,
        0x8000_0000,
        u32::MAX,
    ];
    let names = [
        "x1",
        "x10",
        "x11",
        "x/1",
        "x/10",
        "x:1",
        "x-1",
        "x_1",
        "x.1",
        "x,1",
        "x#1",
        "x ",
        " x",
        "x\0",
        "x\u{0}1",
        "x\0\0",
        "X",
        "a",
        "a/b",
        "a/",
        "/a",
        "/",
        "//",
        "a//b",
        "\\",
        "a\\b",
        ".",
        "..",
        "../x",
        "./x",
        "x/..",
        "x/../x",
        "%78",
        "x%00",
        "%2F",
        "*",
        "?",
        "\0",
        "\n",
        "\t",
        "é",
        "e\u{301}",
        "📬",
        "📬📬",
        "x\u{ff}",
        "\u{ff}",
        "\u{10ffff}",
        "x\u{10ffff}",
        "CON",
        "0",
        "00",
        "-1",
        "'; --",
        "\"",
        "$(x)",
        "~",
        "null",
        "ſ",
        "s",
        "S",
    ];
    // The longest: of one byte, two and four bytes a character, and such that differ at the end alone.
    let longest = [
        "n".repeat(512),
        "n".repeat(511),
        "n".repeat(511) + "m",
        "n".repeat(256),
        "é".repeat(256),
        "📬".repeat(128),
        "/".repeat(512),
        "../".repeat(170),
        "\0".repeat(512),
        "\0".repeat(511),
    ];

    let mut ids: Vec<_> = numbers.map(|number| partition_id("x", number)).into();
    ids.extend(names.map(|name| partition_id(name, 0)));
    ids.extend(longest.iter().map(|name| partition_id(name, u32::MAX)));
    ids
}

/// What the partition of a name holds in these cases.
fn own_payload(id: &PartitionId) -> String {
    format!("item of {id:?}")
}

/// Makes the partitions, each with one item that tells its name; the dedup key is the same everywhere.
async fn fill(env: &Env, ids: &[PartitionId]) -> Vec<Part> {
    let mut parts = Vec::new();
    for id in ids {
        let part = env.create(id, PartitionConfig::default()).await;
        let payload = own_payload(id);
        part.produce(at(0), [NewItem::new(&payload).dedup_key("same")])
            .await;
        parts.push(part);
    }
    parts
}

async fn partitions_are_listed_by_the_bytes_of_the_name_then_by_number(env: Env) {
    let sorted = [
        ("\0", 0),
        ("B", 0),
        ("a", 0),
        ("a", 2),
        ("a", 10),
        ("a", 255),
        ("a", 256),
        ("a", u32::MAX),
        ("a\0", 0),
        ("a ", 0),
        ("a/b", 1),
        ("aa", 0),
        ("b", 0),
        ("z", 0),
        ("é", 0),
        ("\u{ffff}", 0),
        ("\u{10000}", 0),
    ]
    .map(|(name, number)| partition_id(name, number));
    for index in 0..sorted.len() {
        // Made in another order: 7 and 17 have no common divisor.
        let id = &sorted[(index + 1) * 7 % sorted.len()];
        env.create(id, PartitionConfig::default()).await;
    }

    let listed = env.partitions().await;

    let listed: Vec<_> = listed.into_iter().map(|info| info.id).collect();
    assert_eq!(listed, sorted);
}

async fn pages_of_partitions_join_to_the_whole_list(env: Env) {
    for number in 0..7 {
        let id = partition_id(["a", "a/b", "b"][number as usize % 3], number);
        env.create(&id, PartitionConfig::default()).await;
    }
    let whole = env.partitions().await;

    for page_max in 1..=8 {
        let joined = env.partitions_paged(page_max).await;

        assert_eq!(joined, whole, "in pages of {page_max}");
    }
}

async fn last_page_of_partitions_has_no_cursor_even_if_it_is_full(env: Env) {
    for number in 0..3 {
        let id = partition_id("a", number);
        env.create(&id, PartitionConfig::default()).await;
    }

    let backend = env.backend().await;
    let mut pages = Vec::new();
    for page_max in 2..=4 {
        let page = backend.list_partitions(None, count(page_max)).await;
        let page = page.expect("listing is not refused");
        pages.push((page.items.len(), page.next.is_some()));
    }

    assert_eq!(pages, [(2, true), (3, false), (3, false)]);
}

async fn partitions_deleted_between_pages_hide_no_other(env: Env) {
    let ids: Vec<_> = (0..9).map(|number| partition_id("a", number)).collect();
    for id in &ids {
        env.create(id, PartitionConfig::default()).await;
    }

    let backend = env.backend().await;
    let mut seen = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = backend.list_partitions(after.as_ref(), count(2)).await;
        let page = page.expect("listing is not refused");
        for info in page.items {
            env.part(&info.id).delete().await;
            seen.push(info.id);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }

    assert_eq!(seen, ids);
}

async fn backend_without_partitions_lists_none(env: Env) {
    let backend = env.backend().await;

    let page = backend.list_partitions(None, Count::ONE).await;

    let page = page.expect("listing is not refused");
    assert_eq!((page.items, page.next), (vec![], None));
}

async fn names_that_collide_are_kept_apart(env: Env) {
    let parts = fill(&env, &names_that_collide()).await;

    for part in &parts {
        let id = part.id();
        let leased = part.lease(at(0), at(10), 10).await;
        part.complete(receipts(&leased)).await;

        assert_eq!(payloads(&leased), [own_payload(id)], "leased from {id}");
        assert_eq!(part.list_all().await, [], "left in {id}");
    }
}

async fn names_that_collide_are_deleted_apart(env: Env) {
    let parts = fill(&env, &names_that_collide()).await;

    for part in parts.iter().step_by(2) {
        part.delete().await;
    }

    for part in parts.iter().skip(1).step_by(2) {
        let id = part.id();
        let left = payloads(&part.list_all().await);
        assert_eq!(left, [own_payload(id)], "left in {id}");
    }
    assert_eq!(env.partitions().await.len(), parts.len() / 2);
}

async fn names_that_collide_are_listed_as_they_were_given(env: Env) {
    let mut ids = names_that_collide();
    for id in &ids {
        env.create(id, PartitionConfig::default()).await;
    }

    let listed = env.partitions_paged(3).await;

    let listed: Vec<_> = listed.into_iter().map(|info| info.id).collect();
    ids.sort();
    assert_eq!(listed, ids);
}

async fn number_10_of_a_queue_is_not_number_0_of_the_next(env: Env) {
    let ids = [
        partition_id("x", 10),
        partition_id("x1", 0),
        partition_id("x", 1),
    ];
    let parts = fill(&env, &ids).await;

    parts[0].delete().await;
    let again = env.create(&ids[0], PartitionConfig::default()).await;

    assert_eq!(again.stats().await.items(), 0);
    for part in &parts[1..] {
        let left = payloads(&part.list_all().await);
        assert_eq!(left, [own_payload(part.id())]);
    }
}

async fn clearing_one_partition_leaves_its_neighbours(env: Env) {
    let ids = [
        partition_id("x", 0),
        partition_id("x", 1),
        partition_id("x", 2),
    ];
    let parts = fill(&env, &ids).await;

    parts[1].clear(States::ALL, 10_000).await;

    let left = [0, 1, 2].map(|index: usize| parts[index].stats());
    let mut items = Vec::new();
    for stats in left {
        items.push(stats.await.items());
    }
    assert_eq!(items, [1, 0, 1]);
}

async fn names_are_kept_over_a_reopening(env: Env) {
    let parts = fill(&env, &names_that_collide()).await;
    let before = env.snapshot().await;

    env.reopen().await;

    assert_eq!(env.snapshot().await, before);
    assert_eq!(before.partitions.len(), parts.len());
}
