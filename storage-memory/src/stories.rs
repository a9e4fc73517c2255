//! What only this driver can get wrong, told one story at a time; the contract itself is the conformance suite's.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use storage_api::limits::NUMBER_MAX;
use storage_api::{
    CommitOutcome, CommitRequest, CompleteOutcome, Count, Cursor, Error, ErrorKind, Floors,
    ItemBatch, ItemEntry, ItemId, ItemIds, ItemState, ItemStore, Key, LeaseId, LeaseRequest,
    ListRequest, Namespace, NewItem, Object, Operation, PartitionConfig, PartitionId,
    PartitionStore, Position, Receipts, Record, Refusal, RestoreBatch, Retries, Retry, RetryTo,
    Signal, State, States, StepFailure, StorageBackend, Timestamp, Value,
};

use crate::MemoryBackend;

/// The answer of an operation, which must be there after one poll (clause ATOM-2).
pub(crate) fn done<T>(operation: impl Future<Output = T>) -> T {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("an operation in memory ends in its first poll"),
    }
}

pub(crate) fn id(queue: &str, number: u32) -> PartitionId {
    PartitionId::new(queue, number).unwrap()
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn batch<'a>(items: impl IntoIterator<Item = NewItem<'a>>) -> ItemBatch {
    let mut batch = ItemBatch::new();
    for item in items {
        batch.push(item).unwrap();
    }
    batch
}

fn backend_with(home: &PartitionId) -> MemoryBackend {
    let backend = MemoryBackend::new();
    done(backend.create_partition(home, PartitionConfig::default())).unwrap();
    backend
}

fn produce(backend: &MemoryBackend, home: &PartitionId, count: usize) {
    let items = batch((0..count).map(|_| NewItem::new("payload")));
    done(backend.produce(home, items.seal(at(0)))).unwrap();
}

fn lease(backend: &MemoryBackend, home: &PartitionId, count: usize) -> storage_api::LeasedBatch {
    let request = LeaseRequest::new(at(0), at(100), Count::new(count).unwrap());
    done(backend.lease(home, request)).unwrap()
}

fn entry(number: u64, state: ItemState) -> ItemEntry {
    let record = batch([NewItem::new("payload").dedup_key(&number.to_le_bytes())]);
    let record = record.seal(at(0)).shared_record(0);
    ItemEntry::new(ItemId::new(number).unwrap(), record, state)
}

fn has_fired(signal: &mut Signal) -> bool {
    let fired = pin!(signal.fired());
    fired
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

#[test]
fn a_record_that_stays_keeps_no_neighbour_of_its_batch_alive() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    let large = vec![0; 1 << 20];
    let sealed = batch([NewItem::new("small"), NewItem::new(&large)]).seal(at(0));
    let batch_memory = sealed.buffer().as_ptr_range();

    done(backend.produce(&home, sealed.clone())).unwrap();

    let page = done(backend.list_items(&home, ListRequest::by_id(States::ALL))).unwrap();
    let address = |record: &Record| record.view().as_bytes().as_ptr();
    assert!(
        page.items
            .iter()
            .all(|entry| !batch_memory.contains(&address(&entry.record)))
    );
}

#[test]
fn usage_returns_to_that_of_a_new_partition_when_every_item_has_gone() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    let before = done(backend.usage()).unwrap();
    let items = batch([
        NewItem::new("done"),
        NewItem::new("dead").dedup_key("k"),
        NewItem::new("later").enqueue_at(at(5)),
    ]);
    done(backend.produce(&home, items.seal(at(0)))).unwrap();
    let leased = lease(&backend, &home, 2);
    let full = done(backend.usage()).unwrap();
    let receipts = leased.receipts();
    let retry = Retry::new(receipts[1], RetryTo::Dead)
        .with_note("a note")
        .unwrap();

    let first = Receipts::one(receipts[0]);
    done(backend.complete(&home, first)).unwrap();
    done(backend.retry(&home, at(0), Retries::one(retry))).unwrap();
    done(backend.clear(&home, States::ALL, Count::MAX)).unwrap();

    assert!(full.used > before.used);
    assert_eq!(done(backend.usage()).unwrap(), before);
}

#[test]
fn a_recreated_partition_numbers_above_everything_any_deleted_one_gave() {
    let (first, second) = (id("first", 0), id("second", 0));
    let backend = backend_with(&first);
    produce(&backend, &first, 7);

    done(backend.delete_partition(&first)).unwrap();
    done(backend.create_partition(&second, PartitionConfig::default())).unwrap();
    produce(&backend, &second, 1);

    let page = done(backend.list_items(&second, ListRequest::ready())).unwrap();
    assert_eq!(page.items[0].id.get(), 8);
    assert_eq!(page.items[0].state.position().map(Position::get), Some(8));
}

#[test]
fn deleting_a_large_partition_wakes_its_watchers_at_once() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    for _ in 0..3 {
        produce(&backend, &home, 10_000);
    }
    let mut signal = done(backend.watch(&home)).unwrap();

    done(backend.delete_partition(&home)).unwrap();

    assert!(has_fired(&mut signal));
    assert!(has_fired(&mut signal), "it fires at every wait from now on");
}

#[test]
fn every_way_to_ready_and_every_earlier_due_time_wakes() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    type Act = fn(&MemoryBackend, &PartitionId);
    let acts: [(&str, Act); 7] = [
        ("produce", |backend, home| produce(backend, home, 1)),
        ("a lease has a deadline", |backend, home| {
            lease(backend, home, 1);
        }),
        ("taken back", |backend, home| {
            done(backend.maintain(home, at(100), Count::MAX)).unwrap();
        }),
        ("produce for later", |backend, home| {
            let items = batch([NewItem::new("").enqueue_at(at(50))]);
            done(backend.produce(home, items.seal(at(0)))).unwrap();
        }),
        ("produce for sooner", |backend, home| {
            let items = batch([NewItem::new("").enqueue_at(at(40))]);
            done(backend.produce(home, items.seal(at(0)))).unwrap();
        }),
        ("commit", |backend, home| {
            let mut request = CommitRequest::new(at(0));
            request.produce(home, batch([NewItem::new("")])).unwrap();
            done(backend.commit(request)).unwrap();
        }),
        ("update", |backend, home| {
            done(backend.update_partition(home, None, PartitionConfig::default())).unwrap();
        }),
    ];
    for (name, act) in acts {
        let mut signal = done(backend.watch(&home)).unwrap();
        assert!(!has_fired(&mut signal), "nothing happened before {name}");

        act(&backend, &home);

        assert!(has_fired(&mut signal), "{name} wakes");
    }
}

#[test]
fn what_is_later_than_the_first_due_time_wakes_nobody() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    let later = |micros| batch([NewItem::new("").enqueue_at(at(micros))]).seal(at(0));
    done(backend.produce(&home, later(50))).unwrap();
    let mut signal = done(backend.watch(&home)).unwrap();

    done(backend.produce(&home, later(60))).unwrap();

    assert!(!has_fired(&mut signal));
}

#[test]
fn a_position_that_a_leased_item_will_return_to_is_taken() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    produce(&backend, &home, 1);
    lease(&backend, &home, 1);
    let intruder = ItemState::Ready {
        position: Position::MIN,
    };

    let items = RestoreBatch::new(vec![entry(9, intruder)]).unwrap();
    let error = done(backend.restore(&home, items, Floors::none())).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let item = ItemId::new(9).unwrap();
    assert_eq!(error.object(), &Object::Item(home, item));
}

#[test]
fn used_up_numbers_are_refused_before_anything_changes() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    produce(&backend, &home, 1);
    let stats = done(backend.stats(&home)).unwrap();
    let opened = backend.enter(Operation::Stats).unwrap();
    opened.leases.raise(NUMBER_MAX);
    opened.versions.raise(NUMBER_MAX);
    opened.partitions[&home].lock().ids.raise(NUMBER_MAX);
    drop(opened);
    let kind = |error: Option<Error>| error.map(|error| error.kind());
    let full = Some(ErrorKind::CapacityExceeded);
    let mut put = CommitRequest::new(at(0));
    let key = Key::try_from("k").unwrap();
    let value = Value::try_from("v").unwrap();
    put.put(&Namespace::new("n").unwrap(), &key, value, None)
        .unwrap();
    let more = batch([NewItem::new("")]).seal(at(0));
    let request = LeaseRequest::new(at(0), at(1), Count::ONE);

    assert_eq!(kind(done(backend.produce(&home, more)).err()), full);
    assert_eq!(kind(done(backend.lease(&home, request)).err()), full);
    assert_eq!(kind(done(backend.commit(put)).err()), full);
    let config = PartitionConfig::default();
    let other = id("other", 0);
    assert_eq!(
        kind(done(backend.create_partition(&other, config)).err()),
        full
    );
    assert_eq!(done(backend.stats(&home)).unwrap(), stats);
}

#[test]
fn a_refused_commit_changes_no_partition_that_it_names() {
    let (full, open) = (id("full", 0), id("open", 0));
    let backend = backend_with(&open);
    let one = PartitionConfig::default().with_items_max(1);
    done(backend.create_partition(&full, one)).unwrap();
    let mut request = CommitRequest::new(at(0));
    let items = || batch([NewItem::new("")]);
    request.produce(&open, items()).unwrap();
    request.produce(&full, items()).unwrap();
    request.produce(&full, items()).unwrap();

    let error = done(backend.commit(request)).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::CapacityExceeded);
    for home in [&open, &full] {
        assert_eq!(done(backend.stats(home)).unwrap().items(), 0, "{home}");
    }
}

#[test]
fn a_commit_that_completes_makes_room_and_frees_the_key_for_its_own_produce() {
    let home = id("q", 0);
    let backend = MemoryBackend::new();
    let one = PartitionConfig::default().with_items_max(1);
    done(backend.create_partition(&home, one)).unwrap();
    let keyed = || batch([NewItem::new("").dedup_key("k")]);
    done(backend.produce(&home, keyed().seal(at(0)))).unwrap();
    let receipts = lease(&backend, &home, 1).receipts();
    let mut request = CommitRequest::new(at(0));
    request.complete(&home, receipts).unwrap();
    request.produce(&home, keyed()).unwrap();
    request.produce(&home, keyed()).unwrap();

    let CommitOutcome::Committed(committed) = done(backend.commit(request)).unwrap() else {
        panic!("the commit applies");
    };

    assert_eq!(committed.produced[0].stored(), 1);
    let duplicate = committed.produced[1].duplicates()[0];
    assert_eq!(duplicate.of.get(), 2);
    assert_eq!(duplicate.state, Some(State::Ready));
}

#[test]
fn a_commit_cannot_remove_one_item_twice() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    produce(&backend, &home, 1);
    let receipts = lease(&backend, &home, 1).receipts();
    let mut request = CommitRequest::new(at(0));
    let ids = ItemIds::one(receipts[0].item);
    request.complete(&home, receipts).unwrap();
    request.delete_items(&home, ids).unwrap();

    let outcome = done(backend.commit(request)).unwrap();

    let refusal = Refusal::Step {
        index: 1,
        entry: 0,
        found: StepFailure::NotFound,
    };
    assert_eq!(outcome, CommitOutcome::Refused(refusal));
    assert_eq!(done(backend.stats(&home)).unwrap().leased.items, 1);
}

#[test]
fn after_closing_everything_is_closed_but_closing_and_the_descriptor() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    let mut signal = done(backend.watch(&home)).unwrap();

    done(backend.close()).unwrap();
    done(backend.close()).unwrap();

    assert!(has_fired(&mut signal), "who waits is woken");
    let damaged = Cursor::from_bytes("damaged");
    let answers = [
        done(backend.stats(&home)).err(),
        done(backend.delete_partition(&home)).err(),
        done(backend.list_partitions(Some(&damaged), Count::ONE)).err(),
        done(backend.commit(CommitRequest::new(at(0)))).err(),
        done(backend.sync()).err(),
        done(backend.health()).err(),
    ];
    for answer in answers {
        assert_eq!(answer.map(|error| error.kind()), Some(ErrorKind::Closed));
    }
    assert_eq!(backend.descriptor().driver, "memory");
}

#[test]
fn closing_waits_for_what_is_under_way() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    let under_way = backend.enter(Operation::Produce).unwrap();

    std::thread::scope(|scope| {
        let closing = scope.spawn(|| done(backend.close()));
        // Whatever the other thread has done by now, what entered before still finds everything.
        assert!(under_way.partition(Operation::Produce, &home).is_ok());
        assert!(!closing.is_finished());
        drop(under_way);
        closing.join().unwrap().unwrap();
    });

    assert!(backend.enter(Operation::Produce).is_err());
}

#[test]
fn a_shortcut_ends_with_its_partition_and_leads_to_no_other() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    produce(&backend, &home, 1);
    let shortcut = backend.shortcut(&home).unwrap();
    let more = batch([NewItem::new("")]).seal(at(0));
    let request = LeaseRequest::new(at(0), at(1), Count::ONE);
    assert!(shortcut.produce(&more).is_some(), "it is there");

    done(backend.delete_partition(&home)).unwrap();
    let deleted = shortcut.produce(&more);
    done(backend.create_partition(&home, PartitionConfig::default())).unwrap();
    produce(&backend, &home, 1);
    let made_again = shortcut.lease(&request);
    let new = backend.shortcut(&home).unwrap();
    done(backend.close()).unwrap();
    let closed = new.complete(&Receipts::default());

    assert!(deleted.is_none());
    assert!(made_again.is_none());
    assert!(closed.is_none());
    assert!(backend.shortcut(&home).is_none());
}

#[test]
fn closing_waits_for_who_came_by_a_shortcut() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    let opened = backend.enter(Operation::Produce).unwrap();
    let place = Arc::clone(opened.partition(Operation::Produce, &home).unwrap());
    drop(opened);
    let under_way = place.lock();

    std::thread::scope(|scope| {
        let closing = scope.spawn(|| done(backend.close()));
        // Whatever the other thread has done by now, what entered before still finds everything.
        assert!(!under_way.has_gone);
        assert!(!closing.is_finished());
        drop(under_way);
        closing.join().unwrap().unwrap();
    });

    assert!(place.lock().has_gone);
}

#[test]
fn leases_are_never_given_twice_to_threads_that_race() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    produce(&backend, &home, 4000);

    let mut receipts: Vec<_> = std::thread::scope(|scope| {
        let drain = || {
            let mut taken = Vec::new();
            loop {
                let leased = lease(&backend, &home, 7);
                if leased.is_empty() {
                    return taken;
                }
                taken.extend(leased.receipts());
            }
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(drain)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });

    receipts.sort();
    receipts.dedup_by_key(|receipt| receipt.item);
    assert_eq!(receipts.len(), 4000, "each item once");
    receipts.sort_by_key(|receipt| receipt.lease);
    receipts.dedup_by_key(|receipt| receipt.lease);
    assert_eq!(receipts.len(), 4000, "each lease once");
}

#[test]
fn a_key_let_go_by_maintain_is_freed_by_the_next_call() {
    let home = id("q", 0);
    let backend = MemoryBackend::new();
    let config = PartitionConfig::default()
        .with_dead(storage_api::DeadPolicy::Drop)
        .with_dedup_for(Duration::from_micros(1));
    done(backend.create_partition(&home, config)).unwrap();
    let items = batch([NewItem::new("").dedup_key("k").expire_at(at(5))]);
    done(backend.produce(&home, items.seal(at(0)))).unwrap();

    let first = done(backend.maintain(&home, at(5), Count::MAX)).unwrap();
    let second = done(backend.maintain(&home, at(5), Count::MAX)).unwrap();

    assert_eq!((first.dropped, first.keys_freed, first.more), (1, 0, true));
    assert_eq!((second.keys_freed, second.next_due), (1, None));
}

#[test]
fn a_key_that_outlived_its_item_is_not_that_of_an_item_restored_under_its_id() {
    let home = id("q", 0);
    let backend = MemoryBackend::new();
    let config = PartitionConfig::default().with_dedup_for(Duration::from_secs(1));
    done(backend.create_partition(&home, config)).unwrap();
    let keyed = || batch([NewItem::new("").dedup_key("k")]).seal(at(0));
    done(backend.produce(&home, keyed())).unwrap();
    let receipts = lease(&backend, &home, 1).receipts();
    done(backend.complete(&home, receipts)).unwrap();
    let ready = ItemState::Ready {
        position: Position::MIN,
    };
    let items = RestoreBatch::new(vec![entry(1, ready)]).unwrap();
    done(backend.restore(&home, items, Floors::none())).unwrap();

    let produced = done(backend.produce(&home, keyed())).unwrap();

    assert_eq!(produced.duplicates()[0].of, ItemId::MIN);
    assert_eq!(produced.duplicates()[0].state, None, "its item has gone");
}

#[test]
fn a_key_freed_by_a_commit_counts_when_its_produce_takes_room() {
    let home = id("q", 0);
    let backend = MemoryBackend::new();
    let one = PartitionConfig::default().with_items_max(1);
    done(backend.create_partition(&home, one)).unwrap();
    let keyed = || NewItem::new("").dedup_key("k");
    done(backend.produce(&home, batch([keyed()]).seal(at(0)))).unwrap();
    let mut request = CommitRequest::new(at(0));
    let ids = ItemIds::one(ItemId::MIN);
    request.delete_items(&home, ids).unwrap();
    request
        .produce(&home, batch([keyed(), NewItem::new("")]))
        .unwrap();

    let error = done(backend.commit(request)).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::CapacityExceeded);
    assert_eq!(done(backend.stats(&home)).unwrap().ready.items, 1);
}

#[test]
fn leases_go_on_above_a_restored_one() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    let leased = ItemState::Leased {
        position: Position::MIN,
        lease: LeaseId::new(50).unwrap(),
        deadline: at(1),
        holder: None,
    };
    let items = RestoreBatch::new(vec![entry(1, leased)]).unwrap();
    done(backend.restore(&home, items, Floors::none())).unwrap();
    produce(&backend, &home, 1);

    let receipts = lease(&backend, &home, 1).receipts();

    assert_eq!(receipts[0].lease.get(), 51);
}

#[test]
fn what_is_given_twice_in_a_restored_batch_is_taken_the_second_time() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    let ready = |position| ItemState::Ready {
        position: Position::new(position).unwrap(),
    };
    let mut same_key = entry(1, ready(2));
    same_key.id = ItemId::new(2).unwrap();
    let seconds = [
        ("id", entry(1, ready(2))),
        ("position", entry(2, ready(1))),
        ("dedup key", same_key),
    ];
    for (what, second) in seconds {
        let refused = Object::Item(home.clone(), second.id);
        let items = RestoreBatch::new(vec![entry(1, ready(1)), second]).unwrap();

        let error = done(backend.restore(&home, items, Floors::none())).unwrap_err();

        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{what}");
        assert_eq!(error.object(), &refused, "{what}");
        assert_eq!(done(backend.stats(&home)).unwrap().items(), 0, "{what}");
    }
}

#[test]
fn the_report_tells_what_each_segment_is_doing() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    let segments = || {
        let segments = backend.report().unwrap().segments;
        let (active, sealed) = (segments.active, segments.sealed);
        (
            active,
            sealed,
            segments.sparse,
            segments.spare,
            segments.lent,
        )
    };
    assert_eq!(segments(), (0, 0, 0, 0, 0), "nothing was written");

    // Each has a segment of its own, as it is larger than an eighth of the largest one that is shared.
    let large = vec![0; 200_000];
    let items = batch([
        NewItem::new(&large),
        NewItem::new("small"),
        NewItem::new(&large),
    ]);
    done(backend.produce(&home, items.seal(at(0)))).unwrap();
    assert_eq!(segments(), (1, 2, 0, 0, 0), "written");

    let leased = lease(&backend, &home, 3);
    let receipts = leased.receipts();
    done(backend.complete(&home, Receipts::one(receipts[0]))).unwrap();
    done(backend.complete(&home, Receipts::one(receipts[2]))).unwrap();
    assert_eq!(segments(), (1, 0, 0, 0, 2), "a reader holds two");

    drop(leased);
    backend.trim().unwrap();
    assert_eq!(segments(), (1, 0, 0, 0, 0), "nobody holds them");
    let outcome = done(backend.complete(&home, Receipts::one(receipts[1]))).unwrap();
    assert_eq!(outcome, [CompleteOutcome::Done], "what is leased stays so");
}

#[test]
fn the_report_tells_sparse_and_spare_segments() {
    let home = id("q", 0);
    let backend = backend_with(&home);
    produce(&backend, &home, 200);
    let receipts = lease(&backend, &home, 200).receipts();
    let complete = |is_chosen: &dyn Fn(usize) -> bool| {
        let chosen = (0..200).filter(|index| is_chosen(*index));
        let chosen = Receipts::collect(chosen.map(|index| receipts[index])).unwrap();
        done(backend.complete(&home, chosen)).unwrap();
        backend.report().unwrap().segments
    };

    let thinned = complete(&|index| index % 5 > 0);
    backend.trim().unwrap();
    let trimmed = backend.report().unwrap().segments;
    let emptied = complete(&|index| index % 5 == 0);

    assert!(thinned.sparse > 0, "{thinned:?}");
    assert_eq!((trimmed.sparse, trimmed.spare), (0, 0), "{trimmed:?}");
    assert!(thinned.spare + emptied.spare > 0, "{thinned:?} {emptied:?}");
}
