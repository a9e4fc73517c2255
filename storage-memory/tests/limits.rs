//! A limit that holds: what is refused, what always works, and what goes where that was asked for.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "helpers of tests, and small numbers"
)]

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use storage_api::{
    CommitOutcome, CommitRequest, CompleteOutcome, Count, DeadReason, DeleteOutcome, ErrorKind,
    ExtendOutcome, Floors, Holder, ItemBatch, ItemEntry, ItemId, ItemIds, ItemState, ItemStore,
    Key, LeaseRequest, LeasedBatch, ListRequest, Namespace, NewItem, Note, PartitionConfig,
    PartitionId, PartitionStore, Position, Receipt, Receipts, ReleaseOutcome, RestoreBatch, Result,
    Retries, Retry, RetryOutcome, RetryTo, ReviveOutcome, State, States, StorageBackend, Timestamp,
    Value,
};
use storage_memory::{MemoryBackend, MemoryConfig, Overflow};

fn done<T>(operation: impl Future<Output = T>) -> T {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("an operation in memory ends in its first poll"),
    }
}

const NOW: Timestamp = Timestamp::EPOCH;
const LIMIT: u64 = 8 << 20;

fn home(number: u32) -> PartitionId {
    PartitionId::new("q", number).unwrap()
}

fn backend(limit: u64, overflow: Overflow) -> MemoryBackend {
    let config = MemoryConfig::default().max_memory(limit).overflow(overflow);
    let backend = MemoryBackend::open(config).unwrap();
    done(backend.create_partition(&home(0), PartitionConfig::default())).unwrap();
    backend
}

fn produce(backend: &MemoryBackend, home: &PartitionId, items: usize, len: usize) -> Result<u64> {
    let payload = vec![7; len];
    let mut batch = ItemBatch::new();
    for _ in 0..items {
        batch.push(NewItem::new(&payload)).unwrap();
    }
    let produced = done(backend.produce(home, batch.seal(NOW)))?;
    Ok(produced.ids().next().unwrap().get())
}

fn lease(backend: &MemoryBackend, home: &PartitionId, items: usize) -> LeasedBatch {
    let until = Timestamp::from_secs(1);
    let request = LeaseRequest::new(NOW, until, Count::new(items).unwrap());
    done(backend.lease(home, request)).unwrap()
}

fn ids(backend: &MemoryBackend) -> Vec<u64> {
    let page = done(backend.list_items(&home(0), ListRequest::by_id(States::ALL))).unwrap();
    page.items.iter().map(|entry| entry.id.get()).collect()
}

/// Ready items of those ids, each with that note.
fn noted(ids: impl Iterator<Item = u64>, note: &str) -> RestoreBatch {
    let mut batch = ItemBatch::new();
    batch.push(NewItem::new("payload")).unwrap();
    let record = batch.seal(NOW).shared_record(0);
    let entries = ids.map(|number| {
        let position = Position::new(number).unwrap();
        let state = ItemState::Ready { position };
        let mut entry = ItemEntry::new(ItemId::new(number).unwrap(), record.clone(), state);
        entry.note = Some(Note::new(note).unwrap());
        entry
    });
    RestoreBatch::new(entries.collect()).unwrap()
}

/// What is taken, and what counts, are both within the limit.
fn assert_within(backend: &MemoryBackend, limit: u64) {
    let used = done(backend.usage()).unwrap().used;
    let taken = backend.report().unwrap().taken;
    assert!(used <= limit, "{used} bytes are used of {limit}");
    assert!(taken <= limit, "{taken} bytes are taken of {limit}");
}

#[test]
fn sixteen_writers_together_never_pass_the_limit() {
    let backend = backend(LIMIT, Overflow::Reject);
    for number in 1..16 {
        done(backend.create_partition(&home(number), PartitionConfig::default())).unwrap();
    }

    std::thread::scope(|scope| {
        for number in 0..16 {
            let backend = &backend;
            scope.spawn(move || {
                let mut refused = 0;
                let sizes = [(1, 100), (1000, 20), (1, 30_000), (10, 900), (3, 0)];
                for (items, len) in sizes.into_iter().cycle() {
                    if let Err(error) = produce(backend, &home(number), items, len) {
                        assert_eq!(error.kind(), ErrorKind::CapacityExceeded);
                        refused += 1;
                    }
                    assert_within(backend, LIMIT);
                    if refused == 50 {
                        return;
                    }
                }
            });
        }
    });

    let report = backend.report().unwrap();
    assert!(
        report.taken > LIMIT * 8 / 10,
        "it is well filled: {report:?}"
    );
    assert_eq!(report.rejected, 16 * 50);
}

#[test]
fn a_consumer_that_leases_all_one_by_one_and_completes_nothing_stays_within_the_limit() {
    let backend = backend(LIMIT, Overflow::Reject);
    let home = home(0);
    while produce(&backend, &home, 100, 30).is_ok() {}
    let items = done(backend.stats(&home)).unwrap().ready.items;

    let mut leased = Vec::new();
    while let Some(receipt) = lease(&backend, &home, 1).receipts().first() {
        leased.push(*receipt);
        assert_within(&backend, LIMIT);
    }

    assert_eq!(leased.len() as u64, items, "leasing always works");
    let one = |index: usize| Receipts::one(leased[index]);
    let later = Timestamp::from_secs(9);
    let extended = done(backend.extend(&home, one(0), later)).unwrap();
    assert_eq!(extended, [ExtendOutcome::Extended]);
    let released = done(backend.release(&home, one(1))).unwrap();
    assert_eq!(released, [ReleaseOutcome::Released]);
    let retry = Retry::new(leased[2], RetryTo::Now)
        .with_note("why")
        .unwrap();
    let retried = done(backend.retry(&home, NOW, Retries::one(retry))).unwrap();
    assert_eq!(retried, [RetryOutcome::Ready]);
    let maintained = done(backend.maintain(&home, Timestamp::from_secs(5), Count::MAX)).unwrap();
    // All but what was extended, released and retried, as many as one call takes.
    assert_eq!(maintained.ready, Count::MAX.get().min(leased.len() - 3));
    let deleted = done(backend.delete_items(&home, ItemIds::one(leased[3].item))).unwrap();
    assert_eq!(deleted, [DeleteOutcome::Deleted]);
    assert_within(&backend, LIMIT);
    while done(backend.clear(&home, States::ALL, Count::MAX))
        .unwrap()
        .more
    {}
    produce(&backend, &home, 100, 30).unwrap();
}

#[test]
fn producers_that_go_on_while_a_consumer_keeps_all_it_leases_never_pass_the_limit() {
    let backend = backend(LIMIT, Overflow::DropOldest);
    let home = home(0);
    let mut kept = 0;

    let refused = (0..10_000).find_map(|_| {
        let refused = produce(&backend, &home, 50, 100).err();
        kept += lease(&backend, &home, 37).len();
        assert_within(&backend, LIMIT);
        refused
    });

    let refused = refused.expect("what is leased is never dropped");
    assert_eq!(refused.kind(), ErrorKind::CapacityExceeded);
    let stats = done(backend.stats(&home)).unwrap();
    assert_eq!(stats.leased.items, kept as u64);
    assert!(kept > 10_000, "{kept} items fit");
}

#[test]
fn whatever_is_done_to_the_items_of_a_full_backend_it_works_and_stays_within_the_limit() {
    let later = |index: usize| Timestamp::from_secs(2 + (index * 7919 % 1000) as i64);
    type Act = fn(&MemoryBackend, &[Receipt], &dyn Fn(usize) -> Timestamp);
    let acts: [(&str, Act); 7] = [
        ("notes of the largest size", |backend, receipts, _| {
            let note = "n".repeat(1024);
            for receipts in receipts.chunks(100) {
                let retry = |receipt: &Receipt| {
                    let retry = Retry::new(*receipt, RetryTo::Now);
                    retry.with_note(note.as_str()).unwrap()
                };
                let retries = Retries::collect(receipts.iter().map(retry)).unwrap();
                let outcomes = done(backend.retry(&home(0), NOW, retries)).unwrap();
                assert!(outcomes.iter().all(|it| *it == RetryOutcome::Ready));
                assert_within(backend, LIMIT);
            }
        }),
        ("extended one by one", |backend, receipts, later| {
            for (index, receipt) in receipts.iter().enumerate() {
                let receipt = Receipts::one(*receipt);
                let outcome = done(backend.extend(&home(0), receipt, later(index))).unwrap();
                assert_eq!(outcome, [ExtendOutcome::Extended]);
                assert_within(backend, LIMIT);
            }
        }),
        ("released in no order", |backend, receipts, _| {
            for index in 0..receipts.len() {
                let receipt = receipts[index * 7919 % receipts.len()];
                let outcome = done(backend.release(&home(0), Receipts::one(receipt))).unwrap();
                assert_eq!(outcome, [ReleaseOutcome::Released]);
                assert_within(backend, LIMIT);
            }
        }),
        ("retried for many times", |backend, receipts, later| {
            for (index, receipt) in receipts.iter().enumerate() {
                let retry = Retries::one(Retry::new(*receipt, RetryTo::At(later(index))));
                let outcome = done(backend.retry(&home(0), NOW, retry)).unwrap();
                assert_eq!(outcome, [RetryOutcome::Scheduled]);
                assert_within(backend, LIMIT);
            }
        }),
        ("dead, and revived", |backend, receipts, _| {
            for receipt in receipts {
                let retry = Retries::one(Retry::new(*receipt, RetryTo::Dead));
                let outcome = done(backend.retry(&home(0), NOW, retry)).unwrap();
                assert!(matches!(outcome[..], [RetryOutcome::Dead(_)]));
            }
            for receipt in receipts.iter().rev() {
                let outcome = done(backend.revive(&home(0), ItemIds::one(receipt.item))).unwrap();
                assert_eq!(outcome, [ReviveOutcome::Revived]);
                assert_within(backend, LIMIT);
            }
        }),
        ("two of three completed", |backend, receipts, _| {
            for index in 0..receipts.len() {
                if index % 3 > 0 {
                    let receipt = receipts[index * 7919 % receipts.len()];
                    let receipt = Receipts::one(receipt);
                    let outcome = done(backend.complete(&home(0), receipt)).unwrap();
                    assert_eq!(outcome, [CompleteOutcome::Done]);
                    assert_within(backend, LIMIT);
                }
            }
        }),
        (
            "completed and deleted by commits",
            |backend, receipts, _| {
                for (index, receipt) in receipts.iter().enumerate() {
                    let mut commit = CommitRequest::new(NOW);
                    let done_with = match index % 2 {
                        0 => commit.complete(&home(0), Receipts::one(*receipt)),
                        _ => commit.delete_items(&home(0), ItemIds::one(receipt.item)),
                    };
                    done_with.unwrap();
                    let outcome = done(backend.commit(commit)).unwrap();
                    assert!(matches!(outcome, CommitOutcome::Committed(_)));
                    assert_within(backend, LIMIT);
                }
                assert_eq!(done(backend.stats(&home(0))).unwrap().items(), 0);
            },
        ),
    ];
    for (name, act) in acts {
        for holder in [None, Some(Holder::new(7).unwrap())] {
            let backend = backend(LIMIT, Overflow::Reject);
            while produce(&backend, &home(0), 100, 50).is_ok() {}
            let items = done(backend.stats(&home(0))).unwrap().items();
            let mut receipts = Vec::new();
            while receipts.len() < items as usize {
                let until = Timestamp::from_secs(1);
                let mut request = LeaseRequest::new(NOW, until, Count::new(900).unwrap());
                request.holder = holder;
                receipts.extend(done(backend.lease(&home(0), request)).unwrap().receipts());
                assert_within(&backend, LIMIT);
            }

            act(&backend, &receipts, &later);

            assert_within(&backend, LIMIT);
            assert!(items > 20_000, "{name}: it was full of {items}");
        }
    }
}

#[test]
fn the_leases_of_a_holder_are_released_and_leased_again_however_full_it_is() {
    let holders = [7, 8].map(|number| Holder::new(number).unwrap());
    let backend = backend(LIMIT, Overflow::Reject);
    while produce(&backend, &home(0), 100, 50).is_ok() {}
    let items = done(backend.stats(&home(0))).unwrap().items() as usize;
    let lease_all = || {
        for turn in 0..items {
            let until = Timestamp::from_secs(1 + (turn * 7919 % 1000) as i64);
            let mut request = LeaseRequest::new(NOW, until, Count::ONE);
            request.holder = Some(holders[turn % 2]);
            assert_eq!(done(backend.lease(&home(0), request)).unwrap().len(), 1);
        }
    };

    for _ in 0..2 {
        lease_all();
        assert_within(&backend, LIMIT);
        for (holder, held) in holders.into_iter().zip([items.div_ceil(2), items / 2]) {
            let mut released = 0;
            loop {
                let step = done(backend.release_holder(&home(0), holder, Count::MAX)).unwrap();
                assert_within(&backend, LIMIT);
                released += step.released;
                if !step.more {
                    break;
                }
            }
            assert_eq!(released, held);
        }
        assert_eq!(
            done(backend.stats(&home(0))).unwrap().ready.items,
            items as u64
        );
    }
}

#[test]
fn what_a_deleted_partition_held_is_there_for_the_next_produce_however_large_it_was() {
    let backend = backend(LIMIT, Overflow::Reject);
    for number in 1..20 {
        while produce(&backend, &home(number - 1), 500, 100).is_ok() {}
        let items = done(backend.stats(&home(number - 1))).unwrap().items();
        assert!(items > 10_000, "{items} items are dropped by a thread");
        done(backend.create_partition(&home(number), PartitionConfig::default())).unwrap();

        done(backend.delete_partition(&home(number - 1))).unwrap();

        for _ in 0..10 {
            produce(&backend, &home(number), 1000, 100).unwrap();
        }
        assert_within(&backend, LIMIT);
    }
}

#[test]
fn compaction_beside_readers_who_hold_everything_stays_within_the_limit() {
    for gives_back in [false, true] {
        let backend = backend(LIMIT, Overflow::Reject);
        let home = home(0);
        while produce(&backend, &home, 1, 10_000).is_ok() {}
        let held = lease(&backend, &home, 10_000);
        let done_with = held.receipts().into_iter().enumerate();
        let done_with = done_with.filter_map(|(index, one)| (index % 3 > 0).then_some(one));
        done(backend.complete(&home, Receipts::collect(done_with).unwrap())).unwrap();
        assert_within(&backend, LIMIT);

        match gives_back {
            true => backend.trim().unwrap(),
            false => drop(produce(&backend, &home, 1, 10_000)),
        }

        assert_within(&backend, LIMIT);
        assert!(held.iter().all(|item| item.payload() == [7; 10_000]));
        drop(held);
        backend.trim().unwrap();
        let records = backend.report().unwrap().bytes[0].1;
        assert!(records < LIMIT / 2, "{records} bytes for a third of it");
    }
}

#[test]
fn what_other_partitions_keep_and_do_not_need_is_given_back_before_anything_is_refused() {
    for left in [0, 1] {
        let backend = backend(64 << 20, Overflow::Reject);
        for number in 1..=200 {
            done(backend.create_partition(&home(number), PartitionConfig::default())).unwrap();

            for _ in 0..3 {
                produce(&backend, &home(number), 4000, 100).unwrap();
            }
            loop {
                let mut receipts = lease(&backend, &home(number), 1000).receipts();
                if receipts.is_empty() {
                    break;
                }
                if receipts.len() < 1000 || receipts[0].item.get() > 11_000 {
                    receipts = receipts
                        .into_iter()
                        .skip(left)
                        .collect::<Vec<_>>()
                        .try_into()
                        .unwrap();
                }
                done(backend.complete(&home(number), receipts)).unwrap();
            }
        }
        assert_within(&backend, 64 << 20);
    }
}

/// Numbers that look drawn, and are the same for a seed each time.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

#[test]
fn whatever_comes_in_whatever_order_stays_within_the_limit() {
    for seed in 1..=40 {
        let mut draw = Draw(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let limit = 1 << (19 + draw.below(4));
        let policies = [
            Overflow::Reject,
            Overflow::DropOldest,
            Overflow::DropLowestPriority,
        ];
        let backend = backend(limit, policies[draw.below(3)]);
        for number in 1..4 {
            done(backend.create_partition(&home(number), PartitionConfig::default())).unwrap();
        }
        let lens = [0, 30, 300, 3000, 30_000];
        let mut leased: Vec<(PartitionId, Vec<Receipt>)> = Vec::new();
        let mut held = Vec::new();
        for _ in 0..600 {
            let home = home(draw.below(4) as u32);
            match draw.below(12) {
                0..=4 => {
                    let len = lens[draw.below(5)];
                    let items = 1 + draw.below(1 + 60_000 / (len + 60));
                    let _ = produce(&backend, &home, items, len);
                }
                5..=6 => {
                    let batch = lease(&backend, &home, 1 + draw.below(400));
                    leased.push((home, batch.receipts().into_vec()));
                    held.push(batch);
                }
                7..=9 if !leased.is_empty() => {
                    let index = draw.below(leased.len());
                    let (home, receipts) = &mut leased[index];
                    let step = 1 + draw.below(3);
                    let (some, rest) = (receipts.iter().step_by(step), receipts.iter().enumerate());
                    let some = Receipts::collect(some.copied()).unwrap();
                    let rest = rest
                        .filter(|(index, _)| index % step > 0)
                        .map(|(_, one)| *one);
                    match draw.below(3) {
                        0 => drop(done(backend.release(home, some)).unwrap()),
                        1 => {
                            let note = "n".repeat(draw.below(1024));
                            let retry = |one: &Receipt| {
                                Retry::new(*one, RetryTo::Dead)
                                    .with_note(note.as_str())
                                    .unwrap()
                            };
                            let retries = Retries::collect(some.iter().map(retry)).unwrap();
                            drop(done(backend.retry(home, NOW, retries)).unwrap());
                        }
                        _ => drop(done(backend.complete(home, some)).unwrap()),
                    }
                    *receipts = rest.collect();
                }
                10 if !held.is_empty() => drop(held.swap_remove(draw.below(held.len()))),
                _ if draw.below(10) == 0 => backend.trim().unwrap(),
                _ => {
                    let count = Count::new(1 + draw.below(500)).unwrap();
                    done(backend.clear(&home, State::Dead.into(), count)).unwrap();
                }
            }
            assert_within(&backend, limit);
        }
    }
}

#[test]
fn a_note_for_which_no_memory_is_left_is_not_kept_and_the_retry_applies() {
    let backend = backend(1 << 20, Overflow::Reject);
    let home = home(0);
    while produce(&backend, &home, 10, 50).is_ok() {}
    let receipts = lease(&backend, &home, 1000).receipts();

    let note = "n".repeat(1024);
    let retry = |receipt: &Receipt| {
        let retry = Retry::new(*receipt, RetryTo::Dead);
        retry.with_note(note.as_str()).unwrap()
    };
    let retries = Retries::collect(receipts.iter().map(retry)).unwrap();
    let outcomes = done(backend.retry(&home, NOW, retries)).unwrap();

    let rejected = RetryOutcome::Dead(DeadReason::Rejected);
    assert!(outcomes.iter().all(|outcome| *outcome == rejected));
    let ids = receipts.iter().map(|receipt| receipt.item);
    let entries = done(backend.get_items(&home, ItemIds::collect(ids).unwrap(), false)).unwrap();
    let notes = entries
        .iter()
        .flatten()
        .filter(|entry| entry.note.is_some());
    let notes = notes.count();
    assert!(
        notes > 10 && notes < 100,
        "{notes} notes found room in the reserve"
    );
    assert_within(&backend, 1 << 20);
}

#[test]
fn a_commit_takes_no_more_than_is_left_whatever_it_consists_of() {
    let backend = backend(1 << 20, Overflow::Reject);
    let namespace = Namespace::new("n").unwrap();
    let mut refused = 0;

    for number in 0_u32..20_000 {
        let mut request = CommitRequest::new(NOW);
        let key = Key::try_from(number.wrapping_mul(2_654_435_761).to_be_bytes().as_slice());
        let value = Value::try_from([7; 10].as_slice()).unwrap();
        let expires_at = Some(Timestamp::from_secs(i64::from(number)));
        request
            .put(&namespace, &key.unwrap(), value, expires_at)
            .unwrap();
        let mut batch = ItemBatch::new();
        let dedup_key = number.to_be_bytes();
        batch
            .push(NewItem::new("payload").dedup_key(&dedup_key))
            .unwrap();
        request.produce(&home(0), batch).unwrap();
        if let Err(error) = done(backend.commit(request)) {
            assert_eq!(error.kind(), ErrorKind::CapacityExceeded);
            refused += 1;
        }
        assert_within(&backend, 1 << 20);
    }

    assert!(refused > 10_000 && refused < 19_500, "{refused} refused");
}

#[test]
fn what_fits_is_restored_however_scattered_and_with_all_its_notes() {
    let scattered = backend(LIMIT, Overflow::Reject);
    let close = backend(LIMIT, Overflow::Reject);

    let apart = noted((0..20).map(|index| index * 2000 + 1), "");
    done(scattered.restore(&home(0), apart, Floors::none())).unwrap();
    // What was set aside for them is compared with what they take.
    let together = noted(1..=1000, &"n".repeat(1024));
    done(close.restore(&home(0), together, Floors::none())).unwrap();

    assert_eq!(ids(&scattered).len(), 20);
    assert_eq!(ids(&close).len(), 1000);
    assert_within(&scattered, LIMIT);
    assert_within(&close, LIMIT);
}

#[test]
fn clocks_at_their_ends_are_served_and_lose_nothing() {
    for now in [Timestamp::MIN, Timestamp::MAX] {
        let backend = backend(LIMIT, Overflow::DropNearestExpiry);
        let home = home(0);
        let mut batch = ItemBatch::new();
        for at in [Timestamp::MIN, Timestamp::EPOCH, Timestamp::MAX] {
            batch.push(NewItem::new("").enqueue_at(at)).unwrap();
        }
        done(backend.produce(&home, batch.seal(now))).unwrap();
        let other = produce(&backend, &home, 1, 10).unwrap();

        for deadline in [Timestamp::MAX, Timestamp::MIN] {
            done(backend.maintain(&home, now, Count::MAX)).unwrap();
            let request = LeaseRequest::new(now, deadline, Count::MAX);
            let leased = done(backend.lease(&home, request)).unwrap();
            assert!(leased.iter().any(|item| item.id().get() == other));
            done(backend.extend(&home, leased.receipts(), now)).unwrap();
        }
        let maintained = done(backend.maintain(&home, Timestamp::MAX, Count::MAX)).unwrap();

        assert_eq!(maintained.next_due, None, "{now}");
        assert_eq!(done(backend.stats(&home)).unwrap().ready.items, 4, "{now}");
    }
}

#[test]
fn filling_and_draining_changes_the_state_twice() {
    let backend = backend(LIMIT, Overflow::Reject);
    let home = home(0);

    while produce(&backend, &home, 100, 1000).is_ok() {}
    assert!(backend.report().unwrap().is_pressed);
    loop {
        let receipts = lease(&backend, &home, 50).receipts();
        if receipts.is_empty() {
            break;
        }
        done(backend.complete(&home, receipts)).unwrap();
    }

    let report = backend.report().unwrap();
    assert_eq!((report.is_pressed, report.mark_changes), (false, 2));
}

#[test]
fn sixteen_who_fill_refill_and_drain_change_the_state_twice() {
    for turn in 1..=5 {
        let backend = backend(LIMIT, Overflow::Reject);
        for number in 1..16 {
            done(backend.create_partition(&home(number), PartitionConfig::default())).unwrap();
        }

        std::thread::scope(|scope| {
            for number in 0..16 {
                let backend = &backend;
                scope.spawn(move || {
                    while produce(backend, &home(number), 20, 100).is_ok() {}
                    // A tenth goes and comes again: between the marks, so that it changes nothing.
                    for _ in 0..5 {
                        let items = done(backend.stats(&home(number))).unwrap().items();
                        let receipts = lease(backend, &home(number), 1 + items as usize / 10);
                        done(backend.complete(&home(number), receipts.receipts())).unwrap();
                        while produce(backend, &home(number), 20, 100).is_ok() {}
                    }
                });
            }
        });
        let full = backend.report().unwrap();
        std::thread::scope(|scope| {
            for number in 0..16 {
                let backend = &backend;
                scope.spawn(move || {
                    loop {
                        let receipts = lease(backend, &home(number), 20).receipts();
                        if receipts.is_empty() {
                            return;
                        }
                        done(backend.complete(&home(number), receipts)).unwrap();
                    }
                });
            }
        });

        assert_eq!((full.is_pressed, full.mark_changes), (true, 1), "{turn}");
        let empty = backend.report().unwrap();
        assert_eq!((empty.is_pressed, empty.mark_changes), (false, 2), "{turn}");
    }
}

#[test]
fn a_refusal_says_what_is_used_what_is_allowed_and_what_to_do() {
    let backend = backend(1 << 20, Overflow::DropOldest);

    let error = produce(&backend, &home(0), 1, 2 << 20).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::CapacityExceeded);
    let text = error.to_string();
    assert!(
        text.contains("1048576") && text.contains("max-memory"),
        "{text}"
    );
    assert_eq!(done(backend.stats(&home(0))).unwrap().items(), 0);
}

#[test]
fn metadata_and_partitions_count_too() {
    let backend = backend(1 << 20, Overflow::Reject);
    let namespace = Namespace::new("n").unwrap();
    let put = |number: u32| {
        let mut request = CommitRequest::new(NOW);
        let key = Key::try_from(number.to_be_bytes().as_slice()).unwrap();
        let value = Value::try_from([7; 10_000].as_slice()).unwrap();
        request.put(&namespace, &key, value, None).unwrap();
        request
    };

    let refused = (0..).find_map(|number| done(backend.commit(put(number))).err());
    let kind = refused.map(|error| error.kind());
    let partition = (1..).find_map(|number| {
        let config = PartitionConfig::default();
        done(backend.create_partition(&home(number), config)).err()
    });

    assert_eq!(kind, Some(ErrorKind::CapacityExceeded));
    let kind = partition.map(|error| error.kind());
    assert_eq!(kind, Some(ErrorKind::CapacityExceeded));
    assert_within(&backend, 1 << 20);
    let mut delete = CommitRequest::new(NOW);
    let key = Key::try_from(0_u32.to_be_bytes().as_slice()).unwrap();
    delete.delete(&namespace, &key).unwrap();
    done(backend.commit(delete)).unwrap();
    done(backend.commit(put(0))).unwrap();
}

#[test]
fn a_duplicate_is_no_growth_and_is_never_refused() {
    let backend = backend(1 << 20, Overflow::Reject);
    let keyed = || {
        let mut batch = ItemBatch::new();
        batch.push(NewItem::new("first").dedup_key("key")).unwrap();
        batch.seal(NOW)
    };
    done(backend.produce(&home(0), keyed())).unwrap();
    while produce(&backend, &home(0), 1, 100).is_ok() {}

    let produced = done(backend.produce(&home(0), keyed())).unwrap();

    assert_eq!(produced.stored(), 0);
}

#[test]
fn each_policy_drops_what_it_says_and_counts_it() {
    for (policy, survivors) in [
        (Overflow::DropOldest, [3, 4, 5, 6, 7]),
        (Overflow::DropNewest, [1, 2, 3, 4, 7]),
        (Overflow::DropLowestPriority, [2, 3, 4, 5, 7]),
        (Overflow::DropNearestExpiry, [1, 4, 5, 6, 7]),
    ] {
        let backend = MemoryBackend::open(MemoryConfig::default().overflow(policy)).unwrap();
        let five = PartitionConfig::default().with_items_max(5);
        done(backend.create_partition(&home(0), five)).unwrap();
        let mut batch = ItemBatch::new();
        let at = Timestamp::from_secs;
        for item in [
            NewItem::new("1").priority(9),
            NewItem::new("2").priority(1).expire_at(at(20)),
            NewItem::new("3").priority(2).expire_at(at(10)),
            NewItem::new("4").priority(8),
            NewItem::new("5").priority(3).expire_at(at(30)),
        ] {
            batch.push(item).unwrap();
        }
        done(backend.produce(&home(0), batch.seal(NOW))).unwrap();

        for _ in 0..2 {
            produce(&backend, &home(0), 1, 1).unwrap();
        }

        assert_eq!(ids(&backend), survivors, "{policy:?}");
        assert_eq!(backend.report().unwrap().dropped[2].1, 2, "{policy:?}");
    }
}

#[test]
fn dead_and_expired_items_go_first_and_leased_ones_never() {
    let backend =
        MemoryBackend::open(MemoryConfig::default().overflow(Overflow::DropOldest)).unwrap();
    let three = PartitionConfig::default().with_items_max(3);
    let home = home(0);
    done(backend.create_partition(&home, three)).unwrap();
    let mut batch = ItemBatch::new();
    let expired = NewItem::new("3").expire_at(NOW.saturating_add(Duration::from_micros(1)));
    for item in [NewItem::new("1"), NewItem::new("2"), expired] {
        batch.push(item).unwrap();
    }
    done(backend.produce(&home, batch.seal(NOW))).unwrap();
    let leased = lease(&backend, &home, 2).receipts();
    let retry = Retry::new(leased[1], RetryTo::Dead);
    done(backend.retry(&home, NOW, Retries::one(retry))).unwrap();

    let later = |count: usize| {
        let mut batch = ItemBatch::new();
        for _ in 0..count {
            batch.push(NewItem::new("later")).unwrap();
        }
        done(backend.produce(&home, batch.seal(Timestamp::from_secs(1))))
    };
    later(1).unwrap();
    let after_one = ids(&backend);
    later(1).unwrap();
    let after_two = ids(&backend);
    later(2).unwrap();
    let too_many = later(3).unwrap_err();

    assert_eq!(after_one, [1, 3, 4], "the dead one went");
    assert_eq!(after_two, [1, 4, 5], "the expired one went");
    assert_eq!(ids(&backend), [1, 6, 7], "the leased one stays");
    assert_eq!(too_many.kind(), ErrorKind::CapacityExceeded);
    let dropped = backend.report().unwrap().dropped;
    assert_eq!(dropped, [("dead", 1), ("expired", 1), ("policy", 2)]);
    let entries = done(backend.get_items(&home, ItemIds::one(ItemId::MIN), true));
    assert_eq!(entries.unwrap()[0].as_ref().unwrap().state(), State::Leased);
}

#[test]
fn under_a_policy_a_full_backend_goes_on_taking_items_within_the_limit() {
    for policy in [
        Overflow::DropOldest,
        Overflow::DropNewest,
        Overflow::DropLowestPriority,
    ] {
        let backend = backend(1 << 20, policy);

        for _ in 0..300 {
            produce(&backend, &home(0), 100, 100).unwrap();
            assert_within(&backend, 1 << 20);
        }

        let stats = done(backend.stats(&home(0))).unwrap();
        let dropped = backend.report().unwrap().dropped[2].1;
        assert_eq!(stats.ready.items + dropped, 30_000, "{policy:?}");
        assert!(
            stats.ready.items > 1500,
            "{policy:?}: {}",
            stats.ready.items
        );
    }
}

#[test]
fn limits_that_hold_nothing_are_refused_at_opening() {
    for limit in [0, 1, (64 << 10) - 1] {
        let error = MemoryBackend::open(MemoryConfig::default().max_memory(limit)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{limit}");
    }
    let smallest = backend(64 << 10, Overflow::Reject);
    produce(&smallest, &home(0), 1, 100).unwrap();
}
