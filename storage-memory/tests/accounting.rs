//! What is accounted is what the allocator gave, whatever the memory is used for: keys, names, notes, orders, metadata.
//! One test at a time may count: they share a lock.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "helpers of tests, and small numbers"
)]

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use storage_api::{
    CommitRequest, Count, Holder, ItemBatch, ItemStore, Key, LeaseRequest, LeasedBatch,
    MetadataStore, Namespace, NewItem, PartitionConfig, PartitionId, PartitionStore, Receipts,
    Retries, Retry, RetryTo, StorageBackend, Timestamp, Value,
};
use storage_memory::MemoryBackend;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

static COUNTING: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    COUNTING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn live_bytes() -> u64 {
    let stats = ALLOCATOR.stats();
    (stats.bytes_allocated - stats.bytes_deallocated) as u64
}

fn done<T>(operation: impl Future<Output = T>) -> T {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("an operation in memory ends in its first poll"),
    }
}

const NOW: Timestamp = Timestamp::EPOCH;
const ITEMS: u64 = 40_000;

/// A number that looks drawn, and is the same each time.
fn scattered(index: u64) -> u64 {
    index.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
}

struct Place {
    backend: MemoryBackend,
    home: PartitionId,
    before: u64,
}

impl Place {
    fn new(config: PartitionConfig) -> Self {
        let before = live_bytes();
        let backend = MemoryBackend::new();
        let home = PartitionId::new("q", 0).unwrap();
        done(backend.create_partition(&home, config)).unwrap();
        Self {
            backend,
            home,
            before,
        }
    }

    fn produce(&self, items: u64, push: impl Fn(u64, &mut ItemBatch)) {
        for first in (0..items).step_by(1000) {
            let mut batch = ItemBatch::new();
            (first..items.min(first + 1000)).for_each(|index| push(index, &mut batch));
            done(self.backend.produce(&self.home, batch.seal(NOW))).unwrap();
        }
    }

    fn lease(&self, items: usize, holder: Option<Holder>) -> LeasedBatch {
        let until = Timestamp::from_secs(1);
        let mut request = LeaseRequest::new(NOW, until, Count::new(items).unwrap());
        request.holder = holder;
        done(self.backend.lease(&self.home, request)).unwrap()
    }

    fn commit(&self, build: impl FnOnce(&mut CommitRequest)) {
        let mut request = CommitRequest::new(NOW);
        build(&mut request);
        done(self.backend.commit(request)).unwrap();
    }

    /// Fails unless accounted and allocated bytes are within 5 % of each other.
    #[track_caller]
    fn assert_accounted(&self, when: &str) {
        let taken = live_bytes() - self.before;
        let report = self.backend.report().unwrap();
        let accounted: u64 = report.bytes.iter().map(|(_, bytes)| bytes).sum();
        let ratio = accounted as f64 / taken as f64;
        assert!(
            (0.95..=1.05).contains(&ratio),
            "{when}: {accounted} bytes accounted, {taken} allocated: {:?}",
            report.bytes
        );
    }
}

#[test]
fn dedup_keys_are_accounted_in_any_order_living_and_lingering() {
    let _alone = alone();
    for (order, key) in [
        ("rising", (|index| index) as fn(u64) -> u64),
        ("scattered", scattered),
        ("falling", |index| u64::MAX - index),
    ] {
        let dedup_for = PartitionConfig::default().with_dedup_for(Duration::from_secs(60));
        let place = Place::new(dedup_for);
        place.produce(ITEMS, |index, batch| {
            let key = key(index).to_be_bytes();
            batch.push(NewItem::new("").dedup_key(&key)).unwrap();
        });
        place.assert_accounted(&format!("{order} keys of living items"));

        for _ in 0..ITEMS / 1000 {
            let receipts = place.lease(1000, None).receipts();
            done(place.backend.complete(&place.home, receipts)).unwrap();
        }
        place.backend.trim().unwrap();
        place.assert_accounted(&format!("{order} keys that linger"));

        for _ in 0..ITEMS / 2000 {
            let later = Timestamp::from_secs(60);
            let thousand = Count::new(1000).unwrap();
            done(place.backend.maintain(&place.home, later, thousand)).unwrap();
        }
        place.assert_accounted(&format!("half of the {order} keys freed"));
    }
}

#[test]
fn small_metadata_entries_are_accounted_while_they_come_expire_and_go() {
    let _alone = alone();
    let place = Place::new(PartitionConfig::default());
    let namespace = Namespace::new("n").unwrap();
    let key = |index: u64| Key::try_from(scattered(index).to_be_bytes().as_slice()).unwrap();

    for first in (0..ITEMS).step_by(500) {
        place.commit(|request| {
            let large = Bytes::from(vec![7; 100_000]);
            for index in first..first + 500 {
                // A slice of a large buffer, which must not be kept alive by it.
                let value = Value::new(large.slice(..3)).unwrap();
                let expires_at = (index % 2 == 0).then(|| Timestamp::from_secs(index as i64 + 1));
                request
                    .put(&namespace, &key(index), value, expires_at)
                    .unwrap();
            }
        });
    }
    place.assert_accounted("all put");
    for index in (0..ITEMS).step_by(100) {
        done(place.backend.get(NOW, &namespace, &key(index)))
            .unwrap()
            .unwrap();
    }
    place.assert_accounted("some read");

    for _ in 0..ITEMS / 4000 {
        let half = Timestamp::from_secs(ITEMS as i64 / 2);
        let thousand = Count::new(1000).unwrap();
        done(place.backend.purge(half, thousand)).unwrap();
    }
    place.assert_accounted("a quarter purged");
    for index in (1..ITEMS).step_by(2) {
        place.commit(|request| request.delete(&namespace, &key(index)).unwrap());
    }
    place.assert_accounted("half deleted");
}

#[test]
fn many_namespaces_of_long_names_are_accounted_once_each() {
    let _alone = alone();
    let place = Place::new(PartitionConfig::default());
    let name = |index: u64| Namespace::new(format!("{index:0256}")).unwrap();
    let entries = 3;

    for index in 0..4000 {
        for entry in 0..entries {
            place.commit(|request| {
                let key = Key::try_from([entry].as_slice()).unwrap();
                let value = Value::try_from("").unwrap();
                request.put(&name(index), &key, value, None).unwrap();
            });
        }
    }
    place.assert_accounted("all put");

    for index in 0..2000 {
        for entry in 0..entries {
            place.commit(|request| {
                let key = Key::try_from([entry].as_slice()).unwrap();
                request.delete(&name(index * 2), &key).unwrap();
            });
        }
    }
    place.assert_accounted("half deleted");
    let page = done(place.backend.namespaces(None, Count::MAX)).unwrap();
    assert_eq!(page.items.len(), 2000);
}

#[test]
fn partitions_of_long_names_are_accounted() {
    let _alone = alone();
    let place = Place::new(PartitionConfig::default());

    for index in 0..3000_u32 {
        let id = PartitionId::new(format!("{index:0512}"), index).unwrap();
        done(
            place
                .backend
                .create_partition(&id, PartitionConfig::default()),
        )
        .unwrap();
    }

    place.assert_accounted("3000 partitions");
}

#[test]
fn notes_are_accounted_as_they_are_replaced_and_go() {
    let _alone = alone();
    let place = Place::new(PartitionConfig::default());
    place.produce(ITEMS, |_, batch| batch.push(NewItem::new("x")).unwrap());

    for round in 0..3_usize {
        for _ in 0..ITEMS / 1000 {
            let leased = place.lease(1000, None);
            let retries = leased.iter().map(|item| {
                let len = scattered(item.id().get() + round as u64) as usize % (20 + 300 * round);
                let retry = Retry::new(item.receipt(), RetryTo::Now);
                retry.with_note("n".repeat(len)).unwrap()
            });
            let retries = Retries::collect(retries).unwrap();
            drop(leased);
            done(place.backend.retry(&place.home, NOW, retries)).unwrap();
        }
        place.assert_accounted(&format!("round {round}"));
    }
}

#[test]
fn orders_by_time_are_accounted_in_any_order() {
    let _alone = alone();
    let place = Place::new(PartitionConfig::default());
    place.produce(ITEMS, |index, batch| {
        let at = |offset| Timestamp::from_micros(1 + (scattered(index + offset) >> 30) as i64);
        let item = match index % 3 {
            0 => NewItem::new("").enqueue_at(at(0)),
            1 => NewItem::new("").expire_at(at(1)),
            _ => NewItem::new("").enqueue_at(at(2)).expire_at(at(3)),
        };
        batch.push(item).unwrap();
    });
    place.assert_accounted("scheduled and expiring");

    let half = Timestamp::from_micros(1 << 33);
    let maintained = done(place.backend.maintain(&place.home, half, Count::MAX)).unwrap();
    assert!(maintained.handled() > 5000, "{maintained:?}");
    place.assert_accounted("many of them due");
}

#[test]
fn leases_one_by_one_in_no_order_are_accounted() {
    let _alone = alone();
    let place = Place::new(PartitionConfig::default());
    place.produce(ITEMS, |index, batch| {
        let priority = (scattered(index) % 256) as u8;
        batch.push(NewItem::new("").priority(priority)).unwrap();
    });
    place.assert_accounted("ready by priority");

    let mut receipts = Vec::new();
    for index in 0..ITEMS {
        let holder = Holder::new(1 + scattered(index) % 500).unwrap();
        receipts.extend(place.lease(1, Some(holder)).receipts());
    }
    let kept = receipts.capacity() * size_of::<storage_api::Receipt>();
    let place = Place {
        before: place.before + kept as u64,
        ..place
    };
    place.assert_accounted("leased");
    for chunk in receipts.chunks(3) {
        let two = Receipts::new(chunk[..2.min(chunk.len())].to_vec()).unwrap();
        done(place.backend.complete(&place.home, two)).unwrap();
    }
    place.backend.trim().unwrap();
    place.assert_accounted("two of three completed");
}
