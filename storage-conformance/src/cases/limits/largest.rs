//! Every driver holds the largest of everything.

use std::time::Duration;

use storage_api::limits::{
    BATCH_BYTES_MAX, BATCH_ITEMS_MAX, DEDUP_KEY_BYTES_MAX, ENCODING_BYTES_MAX, KEY_BYTES_MAX,
    KIND_BYTES_MAX, NAMESPACE_BYTES_MAX, NOTE_BYTES_MAX, PAYLOAD_BYTES_MAX, QUEUE_NAME_BYTES_MAX,
    REFERENCE_BYTES_MAX, VALUE_BYTES_MAX,
};
use storage_api::{
    Attributes, CompleteOutcome, Count, DeadReason, DeleteOutcome, Direction, ExtendOutcome,
    Floors, KeyRange, Listing, MetadataEntry, NewItem, Note, PartitionConfig, ProduceOutcome,
    Refusal, ReleaseOutcome, Retry, RetryOutcome, RetryTo, ReviveOutcome, State, States,
};

use crate::env::{Env, answer_of, at, key, namespace, partition_id, value};
use crate::part::{Part, ids, payloads, ready_at, receipt, receipts, whole};
use crate::request::commit_at;

/// Bytes without a pattern that an engine could shorten, the same for the same seed.
fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed) << 32 | 0x9e37_79b9;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64: enough to be no pattern.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

pub(super) async fn the_largest_partition_name_holds_items(env: Env) {
    // Two names that differ in their last byte alone.
    let longest = |last| format!("{}{last}", "\0".repeat(QUEUE_NAME_BYTES_MAX - 1));
    let mut parts = Vec::new();
    for (name, number) in [("a", u32::MAX), ("a", 0), ("b", u32::MAX)] {
        let id = partition_id(&longest(name), number);
        parts.push(env.create(&id, PartitionConfig::default()).await);
    }

    let payload = |part: &Part| part.id().to_string();
    for part in &parts {
        part.produce(at(0), [&payload(part)]).await;
    }

    let leased = payloads(&parts[2].lease(at(0), at(10), 10).await);
    assert_eq!(leased, [payload(&parts[2])]);
    let listed = env.partitions_paged(1).await;
    let listed: Vec<_> = listed.into_iter().map(|info| info.id).collect();
    let expected = [1, 0, 2].map(|index: usize| parts[index].id().clone());
    assert_eq!(listed, expected);
}

pub(super) async fn the_largest_metadata_names_and_value_come_back(env: Env) {
    let space = "\u{10ffff}".repeat(NAMESPACE_BYTES_MAX / 4);
    let (name, content) = (noise(1, KEY_BYTES_MAX), noise(2, VALUE_BYTES_MAX));

    env.put(&space, &name, &content).await;

    let entry = env.get(at(0), &space, &name).await;
    let entry = entry.expect("it was put");
    assert!(entry.value == value(&content), "the value comes back");
    assert_eq!(env.scan(at(0), &space).await, [entry]);
    assert_eq!(env.namespaces_paged(1).await, [namespace(&space)]);
}

pub(super) async fn the_largest_keys_are_kept_apart_and_scanned(env: Env) {
    // They differ in the last byte, and the last has nothing behind it.
    let mut names = Vec::new();
    for last in [0, 1, 127, 128, 254, 255] {
        let mut name = vec![0xff; KEY_BYTES_MAX];
        name[KEY_BYTES_MAX - 1] = last;
        env.put("n", &name, [last]).await;
        names.push(key(name));
    }

    let (space, all) = (namespace("n"), KeyRange::all());
    let mut backward = env
        .scan_paged(at(0), &space, all.clone(), Direction::Backward, 1)
        .await;
    let forward = env.scan_paged(at(0), &space, all, Direction::Forward, 1);
    let forward = forward.await;

    backward.reverse();
    let keys: Vec<_> = forward.iter().map(|entry| entry.key.clone()).collect();
    assert_eq!(keys, names);
    assert_eq!(backward, forward);
}

pub(super) async fn the_smallest_and_the_largest_payload_come_back(env: Env) {
    let part = env.partition("a").await;
    let largest = noise(1, PAYLOAD_BYTES_MAX);
    let payloads = [&largest[..], &[], &largest[1..], &[0]];

    part.produce(at(0), payloads).await;

    let (listed, leased) = (part.list_all().await, part.lease(at(0), at(10), 4).await);
    for entries in [listed, leased] {
        assert_eq!(entries.len(), payloads.len());
        for (entry, expected) in entries.iter().zip(payloads) {
            let found = entry.record.view().payload();
            assert!(found == Some(expected), "item {} comes back", entry.id);
        }
    }
    part.assert_stats_are_those_of_the_items().await;
}

/// An item of which every attribute but the dedup key is the largest.
fn largest_item(text: &str) -> NewItem<'_> {
    NewItem::new("x")
        .kind(&text[..KIND_BYTES_MAX])
        .encoding(&text[..ENCODING_BYTES_MAX])
        .reference(&text[..REFERENCE_BYTES_MAX])
}

/// The largest dedup key that ends in that number.
fn dedup_key(number: u32) -> Vec<u8> {
    let mut key = vec![0; DEDUP_KEY_BYTES_MAX - 4];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

pub(super) async fn the_largest_attributes_and_note_come_back(env: Env) {
    let part = env.partition("a").await;
    let text = "é".repeat(REFERENCE_BYTES_MAX / 2);
    let unique = dedup_key(1);
    let note = answer_of(Note::new(&text[..NOTE_BYTES_MAX]));
    part.produce(at(0), [largest_item(&text).dedup_key(&unique)])
        .await;

    let leased = part.lease_one(at(0), at(10)).await;
    let retry = Retry::new(receipt(&leased), RetryTo::Now);
    let retry = answer_of(retry.with_note(note.clone()));
    part.retry_all(at(0), [retry]).await;

    let again = part.lease_one(at(0), at(10)).await;
    let expected = Attributes {
        kind: &text[..KIND_BYTES_MAX],
        encoding: &text[..ENCODING_BYTES_MAX],
        reference: &text,
        dedup_key: Some(&unique),
    };
    assert_eq!(again.record.view().attributes(), expected);
    assert_eq!(again.note, Some(note));
}

pub(super) async fn the_largest_dedup_keys_are_told_apart(env: Env) {
    let part = env.partition("a").await;
    let (first, second) = (dedup_key(1), dedup_key(2));
    let shorter = &first[..DEDUP_KEY_BYTES_MAX - 1];
    let stored = [&first[..], &second[..], shorter, &[0]];
    part.produce(at(0), stored.map(|key| NewItem::new("x").dedup_key(key)))
        .await;

    let again = stored.map(|key| NewItem::new("x").dedup_key(key));
    let outcomes = part.produce_outcomes(at(0), again).await;

    let expected = ids(&part.list_all().await);
    let expected = expected.into_iter().map(|of| ProduceOutcome::Duplicate {
        of,
        state: Some(State::Ready),
    });
    assert_eq!(outcomes, expected.collect::<Vec<_>>());
}

pub(super) async fn the_largest_batch_of_the_largest_payloads_comes_back(env: Env) {
    let part = env.partition("a").await;
    let large: Vec<_> = (1..=4).map(|seed| noise(seed, PAYLOAD_BYTES_MAX)).collect();
    let mut payloads: Vec<&[u8]> = vec![&[]; BATCH_ITEMS_MAX - large.len()];
    for (index, payload) in large.iter().enumerate() {
        payloads.insert(index * 3000, payload);
    }

    let produced = part.produce(at(0), payloads.iter().copied()).await;
    let leased = part.lease(at(0), at(10), BATCH_ITEMS_MAX).await;

    assert_eq!(ids(&leased), produced);
    assert_eq!(part.stats().await.bytes(), BATCH_BYTES_MAX as u64);
    for (entry, expected) in leased.iter().zip(payloads) {
        let found = entry.record.view().payload();
        assert!(found == Some(expected), "item {} comes back", entry.id);
    }
}

pub(super) async fn ten_thousand_items_live_through_every_operation(env: Env) {
    const ALL: usize = BATCH_ITEMS_MAX;
    let part = env.partition("a").await;
    let produced = part.produce(at(0), vec!["x"; ALL]).await;
    let lease = async |now| {
        let leased = part.lease(at(now), at(now + 10), ALL).await;
        assert_eq!(ids(&leased), produced, "leased at {now}");
        receipts(&leased)
    };
    let retry = async |now, to| {
        let retries = lease(now).await.into_iter();
        let retries = retries.map(|receipt| answer_of(Retry::new(receipt, to).with_note("n")));
        part.retry_all(at(now), retries).await
    };

    let first = lease(0).await;
    let extended = part.extend(first.clone(), at(50)).await;
    let released = part.release(first).await;
    let retried = retry(10, RetryTo::Now).await;
    let scheduled = retry(20, RetryTo::At(at(30))).await;
    let became_ready = part.maintain(at(30)).await;
    let rejected = retry(30, RetryTo::Dead).await;
    let revived = part.revive(produced.clone()).await;
    lease(40).await;
    let taken_back = part.maintain(at(50)).await;
    let looked_up = part.get(produced.clone()).await;
    let listed = part.list_all().await;
    let completed = part.complete(lease(60).await).await;
    let deleted = part.delete_items(produced.clone()).await;

    assert_eq!(extended, [ExtendOutcome::Extended; ALL]);
    assert_eq!(released, [ReleaseOutcome::Released; ALL]);
    assert_eq!(retried, [RetryOutcome::Ready; ALL]);
    assert_eq!(scheduled, [RetryOutcome::Scheduled; ALL]);
    assert_eq!((became_ready.ready, became_ready.more), (ALL, false));
    assert_eq!(rejected, [RetryOutcome::Dead(DeadReason::Rejected); ALL]);
    assert_eq!(revived, [ReviveOutcome::Revived; ALL]);
    assert_eq!((taken_back.ready, taken_back.more), (ALL, false));
    let looked_up: Vec<_> = looked_up.into_iter().flatten().collect();
    assert!(looked_up == listed, "all are looked up as they are listed");
    assert_eq!(completed, [CompleteOutcome::Done; ALL]);
    assert_eq!(deleted, [DeleteOutcome::NotFound; ALL]);
    assert_eq!(part.stats().await, Default::default());
}

pub(super) async fn ten_thousand_items_of_the_largest_attributes_come_back(env: Env) {
    let part = env.partition("a").await;
    let text = "x".repeat(REFERENCE_BYTES_MAX);
    let unkeyed = largest_item(&text);
    let keys: Vec<_> = (0..1000).map(dedup_key).collect();
    let mut items = vec![unkeyed; BATCH_ITEMS_MAX - keys.len()];
    items.extend(keys.iter().map(|key| unkeyed.dedup_key(key)));

    part.produce(at(0), items.iter().copied()).await;

    let listed = part.list_in_order(Listing::Ready).await;
    assert_eq!(listed.len(), items.len());
    let expected = keys.iter().map(|key| Some(&key[..]));
    let expected = std::iter::repeat_n(None, items.len() - keys.len()).chain(expected);
    for (entry, dedup_key) in listed.iter().zip(expected) {
        let attributes = entry.record.view().attributes();
        assert_eq!(attributes.dedup_key, dedup_key, "item {}", entry.id);
        assert!(attributes.reference == text, "item {}", entry.id);
    }
}

pub(super) async fn two_thousand_keys_are_freed_by_one_maintain(env: Env) {
    const KEYS: u16 = 2000;
    let config = PartitionConfig::default().with_dedup_for(Duration::from_micros(100));
    let part = env.partition_with("a", config).await;
    let keys: Vec<_> = (0..KEYS).map(u16::to_be_bytes).collect();
    let items = || keys.iter().map(|key| NewItem::new("").dedup_key(key));
    part.produce(at(0), items()).await;
    let leased = part.lease(at(0), at(10), KEYS.into()).await;
    part.complete(receipts(&leased)).await;

    let early = part.maintain(at(99)).await;
    let due = part.maintain(at(100)).await;

    assert_eq!((early.handled(), early.next_due), (0, Some(at(100))));
    assert_eq!((due.keys_freed, due.more), (KEYS.into(), false));
    part.produce(at(100), items()).await;
}

pub(super) async fn the_largest_restore_is_taken(env: Env) {
    let part = env.partition("a").await;
    let large: Vec<_> = (1..=4).map(|seed| noise(seed, PAYLOAD_BYTES_MAX)).collect();
    let mut items = Vec::new();
    for number in 1..=BATCH_ITEMS_MAX as u64 {
        let payload = large.get(usize::try_from(number).unwrap_or(0) - 1);
        let payload = payload.map_or(&[][..], |payload| payload);
        let mut item = whole(number, payload, ready_at(number));
        item.note = Some(Note::truncated(&"n".repeat(NOTE_BYTES_MAX)));
        items.push(item);
    }

    part.restore(items.clone(), Floors::none()).await;

    let listed = part.list_paged(Listing::ById(States::ALL), 1000).await;
    assert!(listed == items, "every item comes back");
    assert_eq!(part.stats().await.bytes(), BATCH_BYTES_MAX as u64);
}

pub(super) async fn the_largest_commit_of_bytes_applies(env: Env) {
    let part = env.partition("a").await;
    let payload = noise(0, PAYLOAD_BYTES_MAX);
    // 2 of 8 MiB, and 16 of 1 MiB with their keys.
    let contents: Vec<_> = (1..=16)
        .map(|seed| noise(seed, VALUE_BYTES_MAX - 4))
        .collect();
    let mut request = commit_at(at(0)).produce(&part, [&payload, &payload]);
    for (number, content) in contents.iter().enumerate() {
        request = request.put("n", format!("k{number:03}"), content);
    }

    env.commit(request).await;

    let entries = env.scan(at(0), "n").await;
    assert_eq!(entries.len(), contents.len());
    for (entry, content) in entries.iter().zip(&contents) {
        assert!(entry.value == value(content), "{:?} comes back", entry.key);
    }
    let bytes = part.stats().await.bytes();
    assert_eq!(bytes, 2 * PAYLOAD_BYTES_MAX as u64);
}

pub(super) async fn the_largest_commit_of_writes_is_scanned_and_purged(env: Env) {
    let mut request = commit_at(at(0));
    for number in 0..BATCH_ITEMS_MAX {
        request = request.put_until("n", format!("k{number:05}"), "v", Some(at(10)));
    }

    let committed = env.commit(request).await;
    let entries = env.scan(at(0), "n").await;
    let purged = env.backend().await.purge(at(10), Count::MAX).await;

    assert_eq!(entries.len(), BATCH_ITEMS_MAX);
    let of_the_commit = |entry: &MetadataEntry| Some(entry.version) == committed.version;
    assert!(entries.iter().all(of_the_commit), "one version for all");
    let purged = answer_of(purged);
    assert_eq!((purged.removed, purged.more), (BATCH_ITEMS_MAX, false));
    assert!(env.namespaces_paged(1).await.is_empty());
}

pub(super) async fn the_largest_range_is_checked(env: Env) {
    const SEEN: usize = BATCH_ITEMS_MAX - 1;
    let mut request = commit_at(at(0));
    for number in 0..SEEN {
        request = request.put("n", format!("k{number:05}"), "");
    }
    env.commit(request).await;
    let seen = env.scan(at(0), "n").await;
    let check = || commit_at(at(0)).check_range("n", KeyRange::all(), &seen);

    env.commit(check()).await;
    let last = format!("k{:05}", SEEN - 1);
    let changed = env.put("n", &last, "").await;
    let refusal = env.commit_refused(check()).await;

    let expected = Refusal::Check {
        index: 0,
        key: key(last),
        found: Some(changed),
    };
    assert_eq!(refusal, expected);
}

pub(super) async fn the_largest_commit_of_receipts_applies(env: Env) {
    let (from, to) = (env.partition("from").await, env.partition("to").await);
    const HALF: usize = BATCH_ITEMS_MAX / 2;
    from.produce(at(0), vec!["x"; HALF]).await;
    let leased = from.lease(at(0), at(10), HALF).await;

    let request = commit_at(at(0))
        .complete(&from, receipts(&leased))
        .produce(&to, vec!["y"; HALF]);
    let committed = env.commit(request).await;

    assert_eq!(committed.produced[0].stored(), HALF);
    let left = (from.stats().await.items(), to.stats().await.items());
    assert_eq!(left, (0, HALF as u64));
}
