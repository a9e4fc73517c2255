//! How much memory the engine takes, measured at the allocator. One test at a time may count: they share a lock.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests, and a figure for the documentation"
)]

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use storage_api::{
    Count, ItemBatch, ItemStore, LeaseRequest, LeasedBatch, NewItem, PartitionConfig, PartitionId,
    PartitionStore, Receipts, Result, StorageBackend, Timestamp,
};
use storage_memory::{MemoryBackend, MemoryConfig};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// Whoever counts holds this, so that no other test allocates meanwhile.
static COUNTING: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    COUNTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that are allocated and not freed.
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

struct Place {
    backend: MemoryBackend,
    home: PartitionId,
    /// What was allocated before it.
    before: u64,
}

impl Place {
    fn new() -> Self {
        Self::with(MemoryConfig::default())
    }

    fn with(config: MemoryConfig) -> Self {
        let before = live_bytes();
        let backend = MemoryBackend::open(config).unwrap();
        let home = PartitionId::new("q", 0).unwrap();
        done(backend.create_partition(&home, PartitionConfig::default())).unwrap();
        Self {
            backend,
            home,
            before,
        }
    }

    /// Items of those lengths, a thousand to a batch.
    fn produce(&self, items: usize, len: impl Fn(usize) -> usize) {
        self.try_produce(items, len).unwrap();
    }

    fn try_produce(&self, items: usize, len: impl Fn(usize) -> usize) -> Result<()> {
        let payload = vec![7; 100_000];
        for first in (0..items).step_by(1000) {
            let mut batch = ItemBatch::new();
            for index in first..items.min(first + 1000) {
                batch.push(NewItem::new(&payload[..len(index)])).unwrap();
            }
            done(self.backend.produce(&self.home, batch.seal(NOW)))?;
        }
        Ok(())
    }

    fn lease(&self, items: usize) -> LeasedBatch {
        let until = Timestamp::from_secs(1000);
        let request = LeaseRequest::new(NOW, until, Count::new(items).unwrap());
        done(self.backend.lease(&self.home, request)).unwrap()
    }

    fn complete(&self, receipts: Receipts) {
        done(self.backend.complete(&self.home, receipts)).unwrap();
    }

    fn taken(&self) -> u64 {
        live_bytes() - self.before
    }

    /// Calls `maintain` as a queue does in which nothing is due, until that gives no more back; answers how often.
    fn maintain_while_it_helps(&self) -> usize {
        let mut now = NOW;
        let mut taken = u64::MAX;
        for calls in 1.. {
            done(self.backend.maintain(&self.home, now, Count::MAX)).unwrap();
            // A while passes before it does anything.
            if calls > 4 && self.taken() == taken {
                return calls;
            }
            taken = self.taken();
            now = now.saturating_add(Duration::from_millis(500));
        }
        unreachable!("it gives back no more than there is")
    }

    fn accounted(&self) -> u64 {
        let report = self.backend.report().unwrap();
        report.bytes.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Fails unless accounted and allocated bytes are within 5 % of each other.
    fn assert_accounted(&self, when: &str) {
        let (accounted, taken) = (self.accounted(), self.taken());
        let ratio = accounted as f64 / taken as f64;
        assert!(
            (0.95..=1.05).contains(&ratio),
            "{when}: {accounted} bytes accounted, {taken} allocated"
        );
    }
}

/// From 0 bytes to 4 KiB, and now and then 100 kB.
fn mixed(index: usize) -> usize {
    match index % 500 {
        499 => 100_000,
        rest => rest * rest % 4096 / 8,
    }
}

#[test]
fn accounted_bytes_are_those_of_the_allocator() {
    let _alone = alone();
    for items in [10_000, 1_000_000] {
        let place = Place::new();

        place.produce(items, mixed);
        place.assert_accounted(&format!("{items} ready"));

        let receipts: Vec<Receipts> = (0..items / 2000)
            .map(|_| place.lease(1000).receipts())
            .collect();
        place.assert_accounted(&format!("half of {items} leased"));

        receipts
            .into_iter()
            .for_each(|receipts| place.complete(receipts));
        place.backend.trim().unwrap();
        place.assert_accounted(&format!("half of {items} completed"));
    }
}

#[test]
fn what_counts_against_a_limit_is_no_less_than_the_allocator_gave() {
    let _alone = alone();
    let limit = 64 << 20;
    for (len, least) in [(100, 50), (1000, 80), (10_000, 90)] {
        let place = Place::with(MemoryConfig::default().max_memory(limit));

        while place.try_produce(len.min(100), |_| len).is_ok() {}

        let (allocated, taken) = (place.taken(), place.backend.report().unwrap().taken);
        let percent = allocated * 100 / limit;
        println!(
            "full of items of {len} bytes: {allocated} of {limit} bytes are allocated, {percent} %"
        );
        place.assert_accounted(&format!("full of items of {len} bytes"));
        assert!(
            allocated * 100 <= taken * 105 && taken <= limit,
            "{taken} bytes count, {allocated} allocated"
        );
        assert!(percent >= least, "{allocated} bytes of {limit}");

        // What was promised is there when each is leased by itself.
        while !place.lease(1).is_empty() {}

        let (allocated, taken) = (place.taken(), place.backend.report().unwrap().taken);
        place.assert_accounted(&format!("leased one by one, of {len} bytes"));
        assert!(
            allocated * 100 <= taken * 105 && taken <= limit,
            "{taken} bytes count, {allocated} allocated"
        );
    }
}

#[test]
fn an_item_without_attributes_takes_at_most_64_bytes_beyond_its_payload() {
    let _alone = alone();
    let items = 1_000_000;
    let place = Place::new();

    place.produce(items, |_| 100);
    let ready = place.taken() / items as u64 - 100;
    for _ in 0..items / 1000 {
        drop(place.lease(1000));
    }
    let leased = place.taken() / items as u64 - 100;

    assert!(
        ready <= 64,
        "{ready} bytes beyond the payload of a ready item"
    );
    assert!(
        leased <= 64,
        "{leased} bytes beyond the payload of a leased item"
    );

    let items = 100_000;
    let place = Place::new();
    place.produce(items, |_| 100);
    for _ in 0..items {
        drop(place.lease(1));
    }
    let alone = place.taken() / items as u64 - 100;
    println!(
        "{ready} bytes beyond the payload when ready, {leased} when leased, {alone} one by one"
    );
    // A grant and a timer of its own.
    assert!(alone <= 64 + 96, "{alone} bytes beyond the payload");
}

#[test]
fn what_is_completed_gives_its_memory_back_in_whatever_order() {
    let _alone = alone();
    for step in [1, 7919] {
        let place = Place::new();
        let items = 300_000;
        place.produce(items, |_| 100);
        let peak = place.taken();

        let mut receipts = Vec::new();
        while receipts.len() < items {
            receipts.extend(place.lease(1000).receipts());
        }
        let scattered = (0..items).map(|index| receipts[index * step % items]);
        let scattered: Vec<_> = scattered.collect();
        drop(receipts);
        for receipts in scattered.chunks(1000) {
            place.complete(Receipts::collect(receipts.iter().copied()).unwrap());
        }
        drop(scattered);
        let left = place.taken();

        assert!(
            left <= peak / 100 + (1 << 20),
            "{left} bytes left of {peak}: more than 1 % and a segment"
        );
        let usage = done(place.backend.usage()).unwrap();
        assert_eq!(usage.used, done(Place::new().backend.usage()).unwrap().used);
    }
}

#[test]
fn a_straggler_per_thousand_keeps_twice_its_own_bytes_and_one_percent() {
    let _alone = alone();
    for is_trimmed in [false, true] {
        let place = Place::new();
        let items = 1_000_000;
        place.produce(items, |_| 100);
        let peak = place.taken();
        let own = (items as u64 / 1000) * (100 + 64);

        for _ in 0..items / 1000 {
            let receipts = place.lease(1000).receipts().into_vec();
            place.complete(Receipts::new(receipts[..999].to_vec()).unwrap());
        }
        let at_once = place.taken();
        if is_trimmed {
            place.backend.trim().unwrap();
        } else {
            let calls = place.maintain_while_it_helps();
            assert!(calls < 20, "{calls} calls of maintain");
        }

        let most = 2 * own + peak / 100;
        let left = place.taken();
        assert!(left <= most, "{left} bytes left of {peak}");
        // The segment that was written last, two sparse and two empty ones.
        assert!(
            at_once <= most + 5 * (1 << 20),
            "{at_once} bytes left of {peak} before that"
        );
        let stats = done(place.backend.stats(&place.home)).unwrap();
        assert_eq!(stats.leased.items, items as u64 / 1000);
    }
}

#[test]
fn stragglers_leased_one_by_one_keep_no_more() {
    let _alone = alone();
    for is_trimmed in [false, true] {
        let place = Place::new();
        let items = 200_000;
        place.produce(items, |_| 100);
        let own = (items as u64 / 1000) * (100 + 64);
        let mut receipts = Vec::new();
        for _ in 0..items {
            receipts.extend(place.lease(1).receipts());
        }
        let own_bytes = receipts.capacity() * size_of::<storage_api::Receipt>();
        let before = place.before + own_bytes as u64;
        let place = Place { before, ..place };
        let peak = place.taken();

        for receipts in receipts.chunks(1000) {
            place.complete(Receipts::new(receipts[..999].to_vec()).unwrap());
        }
        if is_trimmed {
            place.backend.trim().unwrap();
        } else {
            place.maintain_while_it_helps();
        }

        let left = place.taken();
        assert!(left <= 2 * own + peak / 100, "{left} bytes left of {peak}");
    }
}

#[test]
fn fifo_copies_nothing_and_random_completion_at_most_two_bytes_per_byte() {
    let _alone = alone();
    let items = 200_000;
    let bytes = items as u64 * 124;
    let fifo = Place::new();
    fifo.produce(items, |_| 100);
    let random = Place::new();
    random.produce(items, |_| 100);

    let mut receipts = Vec::new();
    for _ in 0..items / 1000 {
        let leased = fifo.lease(1000).receipts();
        fifo.complete(leased);
        receipts.extend(random.lease(1000).receipts());
    }
    // Every 7919th, round and round: as scattered as drawn lots, and the same each time.
    let mut worst = 0;
    for first in 0..items / 100 {
        let some = (0..100).map(|step| receipts[(first * 100 + step) * 7919 % items]);
        let some = Receipts::collect(some).unwrap();
        let before = random.backend.report().unwrap().moved_bytes;
        random.complete(some);
        worst = worst.max(random.backend.report().unwrap().moved_bytes - before);
    }

    assert_eq!(fifo.backend.report().unwrap().moved_bytes, 0);
    let moved = random.backend.report().unwrap().moved_bytes;
    assert!(moved > 0 && moved <= 2 * bytes, "{moved} of {bytes} moved");
    let most = (64 << 10) + 124;
    assert!(worst <= most, "one operation moved {worst} bytes");
    assert_eq!(done(random.backend.stats(&random.home)).unwrap().items(), 0);
}

#[test]
fn one_operation_moves_at_most_512_items_however_small_they_are() {
    let _alone = alone();
    let place = Place::new();
    let items = 300_000;
    place.produce(items, |_| 0);
    let mut receipts = Vec::new();
    for _ in 0..items / 1000 {
        receipts.extend(place.lease(1000).receipts());
    }

    let mut worst = 0;
    for index in 0..items {
        let before = place.backend.report().unwrap().moved_bytes;
        place.complete(Receipts::one(receipts[index * 7919 % items]));
        worst = worst.max(place.backend.report().unwrap().moved_bytes - before);
    }

    assert!(
        worst > 0 && worst <= 512 * 24,
        "{worst} bytes of items moved"
    );
}

#[test]
fn a_shallow_queue_worked_off_in_order_copies_nothing_either() {
    let _alone = alone();
    for depth in [0, 1, 10, 100, 1000, 3000] {
        for batch in [1, 7, 1000] {
            let place = Place::new();
            place.produce(depth, |_| 100);

            for _ in 0..20_000 / batch {
                place.produce(batch, mixed);
                let receipts = place.lease(batch).receipts();
                place.complete(receipts);
            }

            let moved = place.backend.report().unwrap().moved_bytes;
            assert_eq!(moved, 0, "depth {depth}, batch {batch}");
        }
    }
}

#[test]
fn a_cycle_of_single_calls_allocates_a_batch_three_futures_and_an_answer() {
    let _alone = alone();
    let place = Place::new();
    place.produce(5000, |_| 100);
    let cycles = 10_000;
    // A chunk and a segment for a thousand items and more, too.
    let spare = cycles / 100;

    // What other threads allocate while they start or end is counted, too, and once: the fewest of some rounds are its own.
    let (mut allocations, mut reallocations) = (usize::MAX, usize::MAX);
    for _ in 0..5 {
        let before = ALLOCATOR.stats();
        for _ in 0..cycles {
            let mut batch = ItemBatch::new();
            batch.push(NewItem::new(&[7; 100])).unwrap();
            done(place.backend.produce(&place.home, batch.seal(NOW))).unwrap();
            let receipts = place.lease(1).receipts();
            place.complete(receipts);
        }
        let stats = ALLOCATOR.stats();
        allocations = allocations.min(stats.allocations - before.allocations);
        reallocations = reallocations.min(stats.reallocations - before.reallocations);
    }

    assert!(
        allocations <= 5 * cycles + spare,
        "{allocations} in {cycles} cycles"
    );
    assert!(reallocations <= spare, "{reallocations} in {cycles} cycles");
}

#[test]
fn a_thousand_instances_take_kilobytes_each() {
    let _alone = alone();
    let before = live_bytes();

    let places: Vec<Place> = (0..1000).map(|_| Place::new()).collect();
    let empty = (live_bytes() - before) / 1000;
    places.iter().for_each(|place| place.produce(1, |_| 100));
    let with_an_item = (live_bytes() - before) / 1000;

    assert!(empty <= 4 << 10, "{empty} bytes an empty instance");
    assert!(
        with_an_item <= 12 << 10,
        "{with_an_item} bytes with an item"
    );
}

#[test]
fn what_a_reader_holds_stays_as_it_was_while_its_segment_is_given_up() {
    let _alone = alone();
    let place = Place::new();
    place.produce(10_000, |_| 100);
    let leased = place.lease(10_000);
    let held = leased.get(5000).unwrap().shared_payload();
    let first = held.as_ptr();
    place.complete(leased.receipts());
    drop(leased);

    for _ in 0..5 {
        place.produce(10_000, |_| 90);
        let leased = place.lease(10_000);
        place.complete(leased.receipts());
    }

    assert_eq!(held, [7; 100][..]);
    assert_eq!(held.as_ptr(), first);
}
