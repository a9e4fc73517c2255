//! What goes where a full backend was told to make room: which items, how many, and none for nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use storage_api::{
    CommitRequest, Count, ErrorKind, ItemBatch, ItemStore, Key, LeaseRequest, LeasedBatch,
    ListRequest, Namespace, NewItem, PartitionConfig, PartitionId, PartitionStats, PartitionStore,
    Result, Retries, Retry, RetryTo, SealedBatch, States, StorageBackend, Timestamp, Usage, Value,
};
use storage_memory::{MemoryBackend, MemoryConfig, Overflow};

fn done<T>(operation: impl Future<Output = T>) -> T {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("an operation in memory ends in its first poll"),
    }
}

const NOW: Timestamp = Timestamp::EPOCH;

/// Every policy that drops.
const DROPPING: [Overflow; 4] = [
    Overflow::DropOldest,
    Overflow::DropNewest,
    Overflow::DropLowestPriority,
    Overflow::DropNearestExpiry,
];

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn home(number: u32) -> PartitionId {
    PartitionId::new("q", number).unwrap()
}

fn holding(config: MemoryConfig, partition: PartitionConfig) -> MemoryBackend {
    let backend = MemoryBackend::open(config).unwrap();
    done(backend.create_partition(&home(0), partition)).unwrap();
    backend
}

fn with_items_max(policy: Overflow, items_max: u64) -> MemoryBackend {
    let partition = PartitionConfig::default().with_items_max(items_max);
    holding(MemoryConfig::default().overflow(policy), partition)
}

fn with_memory(policy: Overflow, limit: u64) -> MemoryBackend {
    let config = MemoryConfig::default().max_memory(limit).overflow(policy);
    holding(config, PartitionConfig::default())
}

fn batch<'a>(items: impl IntoIterator<Item = NewItem<'a>>, now: Timestamp) -> SealedBatch {
    let mut batch = ItemBatch::new();
    for item in items {
        batch.push(item).unwrap();
    }
    batch.seal(now)
}

fn produce<'a>(
    backend: &MemoryBackend,
    items: impl IntoIterator<Item = NewItem<'a>>,
    now: Timestamp,
) -> Result<usize> {
    let produced = done(backend.produce(&home(0), batch(items, now)))?;
    Ok(produced.stored())
}

fn lease(backend: &MemoryBackend, items: usize) -> LeasedBatch {
    let request = LeaseRequest::new(NOW, at(1_000_000), Count::new(items).unwrap());
    done(backend.lease(&home(0), request)).unwrap()
}

fn complete(backend: &MemoryBackend, leased: &LeasedBatch) {
    done(backend.complete(&home(0), leased.receipts())).unwrap();
}

fn ids(backend: &MemoryBackend) -> Vec<u64> {
    let page = done(backend.list_items(&home(0), ListRequest::by_id(States::ALL))).unwrap();
    page.items.iter().map(|entry| entry.id.get()).collect()
}

fn stats(backend: &MemoryBackend) -> PartitionStats {
    done(backend.stats(&home(0))).unwrap()
}

fn dropped(backend: &MemoryBackend) -> u64 {
    let report = backend.report().unwrap();
    report.dropped.iter().map(|(_, items)| items).sum()
}

fn assert_refused<T>(answer: Result<T>) -> String {
    let error = answer.err().expect("there is no room");
    assert_eq!(error.kind(), ErrorKind::CapacityExceeded, "{error}");
    error.to_string()
}

#[test]
fn what_expires_is_not_dropped_for_a_produce_that_what_does_not_leaves_no_room_for() {
    let backend = with_items_max(Overflow::DropNearestExpiry, 5);
    let expiring = NewItem::new("expires").expire_at(at(100));
    let items = vec![NewItem::new("plain"); 4].into_iter().chain([expiring]);
    produce(&backend, items, NOW).unwrap();

    assert_refused(produce(&backend, vec![NewItem::new("new"); 2], NOW));

    assert_eq!(ids(&backend), [1, 2, 3, 4, 5]);
    assert_eq!(dropped(&backend), 0);
    produce(&backend, [NewItem::new("new")], NOW).unwrap();
    assert_eq!(ids(&backend), [1, 2, 3, 4, 6]);
}

#[test]
fn what_expires_is_not_dropped_for_bytes_that_what_does_not_leaves_no_room_for() {
    let partition = PartitionConfig::default().with_bytes_max(1000);
    let config = MemoryConfig::default().overflow(Overflow::DropNearestExpiry);
    let backend = holding(config, partition);
    let payload = [7; 1000];
    let expiring = NewItem::new(&payload[..300]).expire_at(at(100));
    produce(&backend, [NewItem::new(&payload[..600]), expiring], NOW).unwrap();

    assert_refused(produce(&backend, [NewItem::new(&payload[..401])], NOW));

    assert_eq!(ids(&backend), [1, 2]);
    produce(&backend, [NewItem::new(&payload[..400])], NOW).unwrap();
    assert_eq!(ids(&backend), [1, 3]);
}

#[test]
fn what_expires_is_not_dropped_for_memory_that_what_does_not_takes() {
    let backend = with_memory(Overflow::DropNearestExpiry, 1 << 20);
    let payload = [7; 1000];
    let expiring = || NewItem::new(&payload).expire_at(at(100));
    produce(&backend, std::iter::repeat_with(expiring).take(50), NOW).unwrap();
    while produce(&backend, [NewItem::new(&payload)], NOW).is_ok() && dropped(&backend) == 0 {}
    let before = dropped(&backend);

    let large = vec![7; 200_000];
    let text = assert_refused(produce(&backend, [NewItem::new(&large)], NOW));

    assert_eq!(dropped(&backend), before, "{text}");
}

#[test]
fn nothing_is_dropped_for_limits_of_a_partition_where_memory_is_left_for_nothing() {
    let backend = with_memory(Overflow::DropOldest, 1 << 20);
    let five = PartitionConfig::default().with_items_max(5);
    done(backend.create_partition(&home(1), five)).unwrap();
    let five = || batch(vec![NewItem::new("small"); 5], NOW);
    done(backend.produce(&home(1), five())).unwrap();
    let payload = [7; 1000];
    let refused = |backend: &MemoryBackend| loop {
        let leased = lease(backend, 10_000);
        if produce(backend, [NewItem::new(&payload)], NOW).is_err() {
            return leased;
        }
    };
    let _leased = refused(&backend);

    let large = vec![7; 100_000];
    let one = batch([NewItem::new(&large)], NOW);
    assert_refused(done(backend.produce(&home(1), one)));

    assert_eq!(done(backend.stats(&home(1))).unwrap().items(), 5);
}

#[test]
fn what_readers_hold_is_not_taken_for_memory_that_dropping_gives_back() {
    for policy in DROPPING {
        let backend = with_memory(policy, 8 << 20);
        let payload = [7; 1000];
        let item = || NewItem::new(&payload).expire_at(at(100));
        let mut held = Vec::new();
        while backend.report().unwrap().taken < 7 << 20 {
            produce(&backend, std::iter::repeat_with(item).take(100), NOW).unwrap();
            let leased = lease(&backend, 100);
            complete(&backend, &leased);
            held.push(leased);
        }
        produce(&backend, std::iter::repeat_with(item).take(200), NOW).unwrap();

        let large = vec![7; 4 << 20];
        assert_refused(produce(&backend, [NewItem::new(&large)], NOW));

        assert_eq!(
            (stats(&backend).ready.items, dropped(&backend)),
            (200, 0),
            "{policy:?}"
        );
        drop(held);
        produce(&backend, [NewItem::new(&large)], NOW).unwrap();
    }
}

#[test]
fn dropping_ends_where_it_only_leaves_memory_to_readers() {
    for policy in DROPPING {
        let backend = with_memory(policy, 8 << 20);
        let payload = [7; 10_000];
        // Every block has readers, and items that are ready.
        let (mut held, mut items) = (Vec::new(), 0);
        loop {
            let filler = NewItem::new(&payload).priority(9).expire_at(at(100));
            let first = NewItem::new(&payload).priority(1).expire_at(at(100));
            let is_full = produce(&backend, [first, filler, filler, filler], NOW).is_err();
            if is_full || dropped(&backend) > 0 {
                break;
            }
            let leased = lease(&backend, 1);
            complete(&backend, &leased);
            held.push(leased);
            items = stats(&backend).ready.items;
        }

        let lost = dropped(&backend);

        assert!(items > 300, "{policy:?}: {items} of 10 kB in 8 MiB");
        assert!(
            lost <= items / 4,
            "{policy:?}: {lost} of {items} were dropped"
        );
    }
}

#[test]
fn an_expired_item_goes_first_while_it_is_scheduled_still() {
    for policy in DROPPING {
        let backend = with_items_max(policy, 2);
        let scheduled = NewItem::new("2").enqueue_at(at(40)).expire_at(at(50));
        let ready = NewItem::new("1").expire_at(at(100));
        produce(&backend, [ready, scheduled], NOW).unwrap();

        produce(&backend, [NewItem::new("3")], at(60)).unwrap();

        assert_eq!(ids(&backend), [1, 3], "{policy:?}");
        let dropped = backend.report().unwrap().dropped;
        assert_eq!(dropped, [("dead", 0), ("expired", 1), ("policy", 0)]);
    }
}

#[test]
fn as_many_go_as_are_missing_whatever_is_leased_before_them() {
    for policy in DROPPING {
        let partition = PartitionConfig::default().with_bytes_max(300_000);
        let backend = holding(MemoryConfig::default().overflow(policy), partition);
        let payload = [7; 10_000];
        let item = |len: usize| NewItem::new(&payload[..len]).expire_at(at(100));
        produce(&backend, vec![item(10); 10_000], NOW).unwrap();
        let leased = lease(&backend, 10_000);
        produce(&backend, vec![item(10); 10_000], NOW).unwrap();
        produce(&backend, vec![item(10); 10_000], NOW).unwrap();

        produce(&backend, vec![item(20); 5_000], NOW).unwrap();
        produce(&backend, [item(5)], NOW).unwrap();

        assert_eq!(dropped(&backend), 10_001, "{policy:?}");
        let stats = stats(&backend);
        assert_eq!(stats.leased.items, leased.len() as u64);
        assert!(
            stats.bytes() <= 300_000 && stats.bytes() > 299_979,
            "{policy:?}: {}",
            stats.bytes()
        );
    }
}

#[test]
fn a_key_that_dropping_frees_makes_its_duplicate_an_item_for_which_there_is_room_too() {
    let backend = with_items_max(Overflow::DropOldest, 4);
    let keys: Vec<_> = (0..4_u8).map(|number| [number]).collect();
    let keyed = |number: usize| NewItem::new("keyed").dedup_key(&keys[number]);
    produce(&backend, (0..4).map(keyed), NOW).unwrap();

    assert_refused(produce(
        &backend,
        (0..4).map(keyed).chain([NewItem::new("new")]),
        NOW,
    ));
    let after_refusal = ids(&backend);
    let stored = produce(&backend, [keyed(0), keyed(1), NewItem::new("new")], NOW);

    assert_eq!(after_refusal, [1, 2, 3, 4], "five are never in four");
    assert_eq!(stored.unwrap(), 3, "each that was dropped came again");
    assert_eq!(ids(&backend), [4, 5, 6, 7]);
}

#[test]
fn a_full_backend_under_drop_nearest_expiry_goes_on_while_something_expires() {
    let backend = with_memory(Overflow::DropNearestExpiry, 1 << 20);
    let payload = [7; 100];
    let expiring = || NewItem::new(&payload).expire_at(at(100));
    produce(&backend, vec![NewItem::new(&payload); 1000], NOW).unwrap();

    for _ in 0..300 {
        produce(&backend, std::iter::repeat_with(expiring).take(100), NOW).unwrap();
        let report = backend.report().unwrap();
        assert!(report.taken <= 1 << 20, "{report:?}");
    }

    let ready = stats(&backend).ready.items;
    assert_eq!(ready + dropped(&backend), 31_000);
    assert!(ready > 2000, "{ready}");
    let plain = ids(&backend).into_iter().filter(|id| *id <= 1000).count();
    assert_eq!(plain, 1000, "what does not expire stays");
}

#[test]
fn a_refusal_says_how_much_is_taken_or_promised_and_how_much_it_asked_for() {
    let backend = with_memory(Overflow::Reject, 1 << 20);
    let payload = [7; 1000];
    while produce(&backend, [NewItem::new(&payload)], NOW).is_ok() {}
    let taken = backend.report().unwrap().taken;

    let text = assert_refused(produce(&backend, [NewItem::new(&payload)], NOW));

    let beginning =
        format!("{taken} of 1048576 bytes of max-memory are taken or promised, and it may take ");
    assert!(text.contains(&beginning), "{text}");
    let end = " more; complete or delete items, or raise max-memory";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn usage_counts_items_segments_drops_and_refusals_for_who_has_only_the_trait() {
    let config = MemoryConfig::default().max_memory(1 << 20);
    let memory = holding(
        config.overflow(Overflow::DropOldest),
        PartitionConfig::default().with_items_max(4),
    );
    let by_bytes = PartitionConfig::default().with_bytes_max(10);
    done(memory.create_partition(&home(1), by_bytes)).unwrap();
    let backend: Arc<dyn StorageBackend> = Arc::new(memory);
    let put = |home: &PartitionId, item: NewItem<'_>, now| {
        done(backend.produce(home, batch([item], now))).map(drop)
    };
    let large = vec![7; 2 << 20];

    for item in [
        NewItem::new("leased").priority(1),
        NewItem::new("dead").priority(2),
        NewItem::new("scheduled").enqueue_at(at(500)),
        NewItem::new("expires").expire_at(at(5)),
    ] {
        put(&home(0), item, NOW).unwrap();
    }
    let request = LeaseRequest::new(NOW, at(1000), Count::new(2).unwrap());
    let leased = done(backend.lease(&home(0), request)).unwrap();
    let dies = Retry::new(leased.receipts()[1], RetryTo::Dead);
    done(backend.retry(&home(0), NOW, Retries::one(dies))).unwrap();
    let before = done(backend.usage()).unwrap();
    for _ in 0..3 {
        put(&home(0), NewItem::new("new"), at(10)).unwrap();
    }
    let many = batch(vec![NewItem::new("new"); 4], NOW);
    assert_refused(done(backend.produce(&home(0), many)));
    for _ in 0..2 {
        assert_refused(put(&home(1), NewItem::new("eleven bytes"), NOW));
    }
    let mut eleven = ItemBatch::new();
    eleven.push(NewItem::new("eleven bytes")).unwrap();
    let mut commit = CommitRequest::new(NOW);
    let mut value = CommitRequest::new(NOW);
    commit.produce(&home(1), eleven).unwrap();
    assert_refused(done(backend.commit(commit)));
    for number in 0..2_u8 {
        let key = Key::try_from([number].as_slice()).unwrap();
        let large = Value::try_from(&large[..1 << 20]).unwrap();
        value
            .put(&Namespace::new("n").unwrap(), &key, large, None)
            .unwrap();
    }
    assert_refused(done(backend.commit(value)));
    done(backend.delete_partition(&home(1))).unwrap();
    done(backend.create_partition(&home(1), PartitionConfig::default())).unwrap();
    assert_refused(put(&home(1), NewItem::new(&large), NOW));
    let after = done(backend.usage()).unwrap();

    let counted = |usage: &Usage, names: [&str; 4]| names.map(|name| usage.count(name).unwrap());
    let items = [
        "items.ready",
        "items.scheduled",
        "items.leased",
        "items.dead",
    ];
    assert_eq!(counted(&before, items), [1, 1, 1, 1], "{before:?}");
    assert_eq!(counted(&after, items), [3, 0, 1, 0], "{after:?}");
    let rest = [
        "dropped.dead",
        "dropped.expired",
        "dropped.policy",
        "rejected.items-max",
    ];
    assert_eq!(counted(&after, rest), [1, 1, 1, 1], "{after:?}");
    let rest = [
        "rejected.bytes-max",
        "rejected.max-memory",
        "segments.active",
        "bytes.lent",
    ];
    assert_eq!(counted(&after, rest), [3, 2, 1, 0], "{after:?}");
    assert!(
        after.count("bytes.taken").unwrap() >= after.used,
        "{after:?}"
    );
}

#[test]
fn usage_counts_what_readers_hold_of_items_that_have_gone() {
    let backend = with_memory(Overflow::Reject, 8 << 20);
    let payload = [7; 10_000];
    produce(&backend, vec![NewItem::new(&payload); 100], NOW).unwrap();
    let leased = lease(&backend, 100);
    complete(&backend, &leased);

    let held = done(backend.usage()).unwrap();
    drop(leased);
    let dropped = done(backend.usage()).unwrap();

    assert!(held.count("bytes.lent").unwrap() > 500_000, "{held:?}");
    assert!(held.count("segments.lent").unwrap() > 0, "{held:?}");
    assert_eq!(dropped.count("bytes.lent"), Some(0), "{dropped:?}");
}
