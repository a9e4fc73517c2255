//! The user's handles over the memory driver, with a clock that is set by hand.

use std::time::Duration;

use storage_api::{
    CommitOutcome, DeadReason, Error, ErrorKind, Holder, ItemState, KeyRange, LeaseOptions,
    ListRequest, Maintainer, ManualClock, Mode, NewItem, Operation, Partition, PartitionConfig,
    PartitionId, PartitionInfo, PartitionStore, Refusal, Result, RetryHint, State, States,
    StepFailure, Storage, Timestamp, Transaction, async_trait, forward_backend,
};
use storage_memory::MemoryBackend;
use tokio::task::JoinHandle;

const LEASE: Duration = Duration::from_secs(30);

fn storage() -> (Storage, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_secs(1000));
    let storage = Storage::new(MemoryBackend::new()).with_clock(clock.clone());
    (storage, clock)
}

async fn partition() -> (Partition, ManualClock) {
    configured(PartitionConfig::default()).await
}

async fn configured(config: PartitionConfig) -> (Partition, ManualClock) {
    let (storage, clock) = storage();
    let created = storage.create_partition(("q", 0), config).await;
    (created.expect("the storage is empty"), clock)
}

/// Lets every other task run until it waits: nothing here waits for anything but the clock and signals.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn waiting<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let task = tokio::spawn(future);
    settle().await;
    assert!(!task.is_finished(), "it should wait");
    task
}

fn patient(wait: Duration) -> LeaseOptions {
    LeaseOptions::new(10, LEASE).wait(wait)
}

#[tokio::test]
async fn a_lease_first_moves_what_is_due() {
    let (partition, clock) = partition().await;
    let soon = Timestamp::from_secs(1010);
    partition
        .produce([
            NewItem::new("scheduled").enqueue_at(soon),
            NewItem::new("expires").expire_at(soon),
        ])
        .await
        .unwrap();

    clock.set(soon);
    let leased = partition.lease(10, LEASE).await.unwrap();

    let payloads: Vec<&[u8]> = leased.iter().map(|item| item.payload()).collect();
    assert_eq!(payloads, [b"scheduled"]);
    assert_eq!(leased.deadline(), soon.saturating_add(LEASE));
    let dead = partition
        .list(ListRequest::by_id(State::Dead))
        .await
        .unwrap();
    let reason = DeadReason::Expired;
    assert_eq!(
        dead.items[0].state,
        ItemState::Dead {
            reason,
            died_at: soon
        }
    );
}

#[tokio::test]
async fn maintaining_goes_on_through_slices_until_nothing_is_due() {
    let (partition, clock) = partition().await;
    let later = Timestamp::from_secs(1001);
    for _ in 0..3 {
        let items = (0..1000).map(|_| NewItem::new("x").enqueue_at(later));
        partition.produce(items).await.unwrap();
    }
    partition
        .produce([NewItem::new("x").enqueue_at(Timestamp::MAX)])
        .await
        .unwrap();

    clock.set(later);
    let maintained = partition.maintain().await.unwrap();

    assert_eq!(maintained.ready, 3000);
    assert_eq!(maintained.handled(), 3000);
    assert!(!maintained.more);
    assert_eq!(maintained.next_due, Some(Timestamp::MAX));
}

#[tokio::test]
async fn a_waiting_lease_takes_what_is_produced() {
    let (partition, _clock) = partition().await;
    let consumer = partition.clone();
    let lease = waiting(async move { consumer.lease_with(patient(LEASE)).await }).await;

    partition.produce(["hello"]).await.unwrap();

    assert_eq!(lease.await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn a_waiting_lease_takes_what_becomes_due() {
    let (partition, clock) = partition().await;
    let due = Timestamp::from_secs(1010);
    partition
        .produce([NewItem::new("later").enqueue_at(due)])
        .await
        .unwrap();
    let consumer = partition.clone();
    let lease = waiting(async move { consumer.lease_with(patient(LEASE)).await }).await;

    clock.set(due);

    assert_eq!(lease.await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn a_waiting_lease_is_told_of_what_is_due_earlier_than_it_knew() {
    let (partition, clock) = partition().await;
    partition
        .produce([NewItem::new("late").enqueue_at(Timestamp::from_secs(1020))])
        .await
        .unwrap();
    let consumer = partition.clone();
    let lease = waiting(async move { consumer.lease_with(patient(LEASE)).await }).await;

    partition
        .produce([NewItem::new("soon").enqueue_at(Timestamp::from_secs(1005))])
        .await
        .unwrap();
    settle().await;
    clock.set(Timestamp::from_secs(1005));

    assert_eq!(
        lease.await.unwrap().unwrap().get(0).unwrap().payload(),
        b"soon"
    );
}

#[tokio::test]
async fn a_waiting_lease_ends_empty_after_its_time() {
    let (partition, clock) = partition().await;
    let consumer = partition.clone();
    let wait = Duration::from_secs(5);
    let lease = waiting(async move { consumer.lease_with(patient(wait)).await }).await;

    clock.advance(wait);

    assert!(lease.await.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn a_waiting_lease_notices_that_the_partition_has_gone_or_is_a_new_one() {
    let (partition, _clock) = partition().await;
    let storage = partition.storage().clone();
    let consumer = partition.clone();
    let lease = waiting(async move { consumer.lease_with(patient(LEASE)).await }).await;

    // Deleted and made again before the waiting task runs: it goes on with the new one.
    storage.delete_partition(("q", 0)).await.unwrap();
    storage
        .create_partition(("q", 0), PartitionConfig::default())
        .await
        .unwrap();
    settle().await;
    assert!(!lease.is_finished());
    storage.delete_partition(("q", 0)).await.unwrap();

    let error = lease.await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.operation()),
        (ErrorKind::NotFound, Operation::Lease)
    );
}

#[tokio::test]
async fn a_lease_from_a_frozen_partition_is_refused_as_a_lease() {
    let (partition, _clock) = configured(PartitionConfig::default().with_mode(Mode::Frozen)).await;

    let error = partition.lease(1, LEASE).await.unwrap_err();

    assert_eq!(
        (error.kind(), error.operation()),
        (ErrorKind::Unavailable, Operation::Lease)
    );
}

#[tokio::test]
async fn a_waiting_produce_goes_on_when_there_is_room() {
    let (partition, clock) = configured(PartitionConfig::default().with_items_max(1)).await;
    partition.produce(["first"]).await.unwrap();
    let producer = partition.clone();
    let produce = waiting(async move { producer.produce_wait(["second"], LEASE).await }).await;

    let leased = partition.lease(1, LEASE).await.unwrap();
    partition.complete(leased.receipts()).await.unwrap();
    clock.advance(Duration::from_secs(1));

    let id = produce.await.unwrap().unwrap().ids().next().unwrap();
    let stored = partition.get(id).await.unwrap().unwrap();
    assert_eq!(
        stored.record.view().created_at(),
        Timestamp::from_secs(1001)
    );
}

#[tokio::test]
async fn a_waiting_produce_goes_on_when_the_partition_opens() {
    let (partition, _clock) =
        configured(PartitionConfig::default().with_mode(Mode::Draining)).await;
    let producer = partition.clone();
    let produce = waiting(async move { producer.produce_wait(["a"], LEASE).await }).await;

    partition
        .update(|config| config.with_mode(Mode::Open))
        .await
        .unwrap();

    assert_eq!(produce.await.unwrap().unwrap().stored(), 1);
}

#[tokio::test]
async fn a_waiting_produce_is_refused_after_its_time_and_stores_nothing() {
    let (partition, clock) = configured(PartitionConfig::default().with_items_max(1)).await;
    partition.produce(["first"]).await.unwrap();
    let producer = partition.clone();
    let produce = waiting(async move { producer.produce_wait(["second"], LEASE).await }).await;

    clock.advance(LEASE);

    let error = produce.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CapacityExceeded);
    assert_eq!(partition.stats().await.unwrap().items(), 1);
}

#[tokio::test]
async fn what_waiting_cannot_mend_is_refused_at_once() {
    let (storage, _clock) = storage();
    let missing = storage.partition(("missing", 0)).unwrap();

    let error = missing.produce_wait(["a"], LEASE).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn refused_arguments_name_the_operation_and_the_partition() {
    let (partition, _clock) = partition().await;
    let receipt = {
        partition.produce(["a"]).await.unwrap();
        partition
            .lease(1, LEASE)
            .await
            .unwrap()
            .get(0)
            .unwrap()
            .receipt()
    };

    let errors = [
        partition.complete(vec![receipt; 10_001]).await.unwrap_err(),
        partition.lease(0, LEASE).await.unwrap_err(),
        partition.produce(vec!["x"; 10_001]).await.unwrap_err(),
    ];

    for (error, operation) in
        errors
            .iter()
            .zip([Operation::Complete, Operation::Lease, Operation::Produce])
    {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(error.operation(), operation);
        assert!(error.to_string().contains("partition q/0"), "{error}");
        assert!(error.limit_violation().is_some());
    }
}

#[tokio::test]
async fn clearing_and_releasing_go_beyond_one_call() {
    let (partition, _clock) = partition().await;
    for _ in 0..2 {
        partition.produce((0..10_000).map(|_| "x")).await.unwrap();
    }
    partition.produce(["x"]).await.unwrap();
    let worker = Holder::new(7).unwrap();
    for _ in 0..3 {
        let options = LeaseOptions::new(10_000, LEASE).holder(worker);
        partition.lease_with(options).await.unwrap();
    }

    assert_eq!(partition.release_holder(worker).await.unwrap(), 20_001);
    assert_eq!(partition.clear(States::ALL).await.unwrap(), 20_001);
    assert_eq!(partition.stats().await.unwrap().items(), 0);
}

#[tokio::test]
async fn entries_come_in_input_order_beyond_the_size_of_one_answer() {
    let (partition, _clock) = partition().await;
    let large = vec![0; 8 << 20];
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.extend(partition.produce([&large]).await.unwrap().ids());
    }
    ids.reverse();

    let entries = partition.get_many(ids.clone(), true).await.unwrap();

    let found: Vec<_> = entries.iter().flatten().map(|entry| entry.id).collect();
    assert_eq!(found, ids);
}

#[tokio::test]
async fn pages_continue_after_an_error() {
    let (partition, _clock) = partition().await;
    partition.produce(["a"]).await.unwrap();
    let mut pages = partition.pages(ListRequest::ready());
    let storage = partition.storage().clone();
    let missing = storage.partition(("missing", 0)).unwrap();
    let mut of_missing = missing.pages(ListRequest::ready());

    assert!(of_missing.next().await.is_err());
    storage
        .create_partition(("missing", 0), PartitionConfig::default())
        .await
        .unwrap();
    missing.produce(["b"]).await.unwrap();

    assert_eq!(of_missing.next().await.unwrap().unwrap().len(), 1);
    assert_eq!(pages.next().await.unwrap().unwrap().len(), 1);
    assert!(pages.next().await.unwrap().is_none());
}

/// Lets others go on between a look at a partition and what follows from it.
#[derive(Debug)]
struct Hesitant(MemoryBackend);

#[async_trait]
impl PartitionStore for Hesitant {
    forward_backend!(PartitionStore => 0, except [partition]);

    async fn partition(&self, id: &PartitionId) -> Result<PartitionInfo> {
        let info = self.0.partition(id).await;
        tokio::task::yield_now().await;
        info
    }
}

forward_backend!(impl ItemStore for Hesitant => 0);
forward_backend!(impl MetadataStore for Hesitant => 0);
forward_backend!(impl StorageBackend for Hesitant => 0);

#[tokio::test]
async fn concurrent_updates_of_a_configuration_are_all_kept() {
    let storage = Storage::new(Hesitant(MemoryBackend::new()));
    let config = PartitionConfig::default();
    let partition = storage.create_partition(("q", 0), config).await.unwrap();
    let add_one = |config: PartitionConfig| {
        let items_max = config.items_max();
        config.with_items_max(items_max + 1)
    };

    let adding = (0..10).map(|_| {
        let partition = partition.clone();
        tokio::spawn(async move { partition.update(add_one).await })
    });
    for task in adding.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }

    let config = partition.info().await.unwrap().config;
    assert_eq!(config.items_max(), 10);
}

#[tokio::test]
async fn a_transaction_sees_its_own_writes_and_others_see_none_before_the_commit() {
    let (storage, _clock) = storage();
    let users = storage.metadata("users").unwrap();
    users.put("ann", "1").await.unwrap();
    users.put("bob", "1").await.unwrap();
    let mut txn = storage.begin();

    txn.put("users", "ann", "2").unwrap();
    txn.put("users", "ann", "3").unwrap();
    txn.delete("users", "bob").unwrap();
    txn.put("users", "cid", "1").unwrap();
    txn.put_until("users", "gone", "1", txn.now()).unwrap();
    txn.put("others", "dan", "1").unwrap();

    assert_eq!(
        txn.get("users", "ann").await.unwrap().unwrap().as_bytes(),
        b"3"
    );
    assert!(txn.get("users", "bob").await.unwrap().is_none());
    assert!(txn.get("users", "gone").await.unwrap().is_none());
    let seen = txn.scan("users", KeyRange::all()).await.unwrap();
    let seen: Vec<_> = seen
        .iter()
        .map(|(key, value)| (key.as_bytes(), value.as_bytes()))
        .collect();
    assert_eq!(seen, [(&b"ann"[..], &b"3"[..]), (b"cid", b"1")]);
    assert_eq!(
        users.get("ann").await.unwrap().unwrap().value.as_bytes(),
        b"1"
    );

    assert!(matches!(
        txn.commit().await.unwrap(),
        CommitOutcome::Committed(_)
    ));
    assert_eq!(users.scan(KeyRange::all()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_read_is_the_same_at_every_look_and_refuses_the_commit_when_it_has_changed() {
    let (storage, _clock) = storage();
    let users = storage.metadata("users").unwrap();
    users.put("ann", "1").await.unwrap();
    let mut txn = storage.begin();
    txn.get("users", "ann").await.unwrap();

    let version = users.put("ann", "2").await.unwrap();

    assert_eq!(
        txn.get("users", "ann").await.unwrap().unwrap().as_bytes(),
        b"1"
    );
    let refused = txn.commit().await.unwrap();
    let CommitOutcome::Refused(Refusal::Check { found, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(found, Some(version));
}

#[tokio::test]
async fn a_phantom_refuses_the_commit() {
    let (storage, _clock) = storage();
    let mut txn = storage.begin();
    txn.scan("seats", KeyRange::prefix("1").unwrap())
        .await
        .unwrap();
    txn.put("seats", "1a", "ann").unwrap();

    storage
        .metadata("seats")
        .unwrap()
        .put("1b", "bob")
        .await
        .unwrap();

    assert!(matches!(
        txn.commit().await.unwrap(),
        CommitOutcome::Refused(Refusal::Check { .. })
    ));
    assert!(
        storage
            .metadata("seats")
            .unwrap()
            .get("1a")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_step_into_another_backend_is_unsupported() {
    let (partition, _clock) = partition().await;
    let (elsewhere, _) = storage();
    let mut txn = elsewhere.begin();

    let error = txn.produce(&partition, ["a"]).unwrap_err();

    assert_eq!(
        (error.kind(), error.operation()),
        (ErrorKind::Unsupported, Operation::Commit)
    );
}

#[tokio::test]
async fn items_and_metadata_change_together_or_not_at_all() {
    let (partition, _clock) = partition().await;
    let storage = partition.storage().clone();
    partition.produce(["work"]).await.unwrap();
    let leased = partition.lease(1, LEASE).await.unwrap();
    let finish = || {
        let mut txn = storage.begin();
        txn.complete(&partition, leased.receipts()).unwrap();
        txn.produce(&partition, ["next"]).unwrap();
        txn.put("done", "work", "yes").unwrap();
        txn.commit()
    };

    let first = finish().await.unwrap();
    let second = finish().await.unwrap();

    let CommitOutcome::Committed(committed) = first else {
        panic!("{first:?}");
    };
    assert_eq!(committed.produced[0].stored(), 1);
    let found = StepFailure::NotFound;
    assert_eq!(
        second,
        CommitOutcome::Refused(Refusal::Step {
            index: 0,
            entry: 0,
            found
        })
    );
    assert_eq!(
        partition.stats().await.unwrap().ready.items,
        1,
        "the second produced nothing"
    );
}

#[tokio::test]
async fn transactions_that_conflict_are_all_kept() {
    let (storage, _clock) = storage();
    let counting = (0..20).map(|_| {
        let storage = storage.clone();
        tokio::spawn(async move {
            storage
                .transact(|mut txn| async move {
                    let count = txn.get("n", "count").await?;
                    tokio::task::yield_now().await;
                    let count = count.map_or(0, |value| value.as_bytes()[0]);
                    txn.put("n", "count", vec![count + 1])?;
                    Ok((txn, ()))
                })
                .await
        })
    });
    for task in counting.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }

    let metadata = storage.metadata("n").unwrap();
    let count = metadata.get("count").await.unwrap().unwrap();
    assert_eq!(count.value.as_bytes(), [20]);
}

#[tokio::test]
async fn a_transaction_that_always_conflicts_ends_unavailable() {
    let (storage, _clock) = storage();
    let metadata = &storage.metadata("n").unwrap();
    let mut tries = 0;

    let outcome = storage
        .transact(|mut txn| {
            tries += 1;
            async move {
                txn.get("n", "k").await?;
                metadata.put("k", "changed").await?;
                txn.put("n", "k", "mine")?;
                Ok((txn, ()))
            }
        })
        .await;

    let error = outcome.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry_hint()),
        (ErrorKind::Unavailable, RetryHint::SameCall)
    );
    assert_eq!(tries, 64);
}

#[tokio::test]
async fn a_transaction_whose_body_fails_applies_nothing_and_is_not_tried_again() {
    let (storage, _clock) = storage();
    let mut tries = 0;

    let outcome: Result<((), _)> = storage
        .transact(|mut txn| {
            tries += 1;
            async move {
                txn.put("n", "k", "v")?;
                Err(Error::invalid("input", "it is wrong"))
            }
        })
        .await;

    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(tries, 1);
    let metadata = storage.metadata("n").unwrap();
    assert!(metadata.get("k").await.unwrap().is_none());
}

#[tokio::test]
async fn a_lost_lease_ends_a_transaction_for_good() {
    let (partition, clock) = partition().await;
    partition.produce(["work"]).await.unwrap();
    let lost = &partition.lease(1, LEASE).await.unwrap();
    clock.advance(LEASE);
    partition.maintain().await.unwrap();
    let partition = &partition;

    let outcome = partition
        .storage()
        .transact(|mut txn| async move {
            txn.complete(partition, lost.receipts())?;
            Ok((txn, ()))
        })
        .await;

    let error = outcome.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry_hint()),
        (ErrorKind::NotFound, RetryHint::Never)
    );
    assert!(error.to_string().contains("has lost its lease"), "{error}");
}

#[tokio::test]
async fn a_transaction_in_a_task_may_borrow_what_the_task_owns() {
    let (partition, _clock) = partition().await;
    let names = vec!["ann".to_owned(), "bob".to_owned()];

    let task = tokio::spawn(async move {
        let (partition, names) = (&partition, &names);
        let body = |mut txn: Transaction| async move {
            for name in names {
                txn.put("users", name.as_str(), "{}")?;
            }
            txn.get("users", "cid").await?;
            txn.produce(partition, names)?;
            Ok((txn, ()))
        };
        partition.storage().transact(body).await
    });

    let (_, committed) = task.await.unwrap().unwrap();
    assert_eq!(committed.produced[0].stored(), 2);
}

#[tokio::test]
async fn a_maintainer_moves_items_when_they_are_due() {
    let (partition, clock) = partition().await;
    let maintainer = Maintainer::start([partition.clone()]);
    settle().await;
    let due = Timestamp::from_secs(1010);
    partition
        .produce([NewItem::new("later").enqueue_at(due)])
        .await
        .unwrap();
    settle().await;
    assert_eq!(partition.stats().await.unwrap().scheduled.items, 1);

    clock.set(due);
    settle().await;

    assert_eq!(partition.stats().await.unwrap().ready.items, 1);
    maintainer.stop().await;
}

#[tokio::test]
async fn a_maintainer_goes_on_when_a_frozen_partition_opens() {
    let (partition, clock) = configured(PartitionConfig::default().with_mode(Mode::Open)).await;
    let due = Timestamp::from_secs(1010);
    partition
        .produce([NewItem::new("later").enqueue_at(due)])
        .await
        .unwrap();
    partition
        .update(|config| config.with_mode(Mode::Frozen))
        .await
        .unwrap();
    clock.set(due);
    let maintainer = Maintainer::start([partition.clone()]);
    settle().await;
    assert_eq!(partition.stats().await.unwrap().scheduled.items, 1);

    partition
        .update(|config| config.with_mode(Mode::Open))
        .await
        .unwrap();
    settle().await;

    assert_eq!(partition.stats().await.unwrap().ready.items, 1);
    maintainer.stop().await;
}

#[tokio::test]
async fn a_stopped_or_dropped_maintainer_does_nothing_more() {
    let (partition, clock) = partition().await;
    let other = partition
        .storage()
        .create_partition(("q", 1), PartitionConfig::default())
        .await
        .unwrap();
    let due = Timestamp::from_secs(1010);
    for partition in [&partition, &other] {
        partition
            .produce([NewItem::new("later").enqueue_at(due)])
            .await
            .unwrap();
    }
    let stopped = Maintainer::start([partition.clone()]);
    let dropped = Maintainer::start([other.clone()]);
    settle().await;

    stopped.stop().await;
    drop(dropped);
    clock.set(due);
    settle().await;

    assert_eq!(partition.stats().await.unwrap().scheduled.items, 1);
    assert_eq!(other.stats().await.unwrap().scheduled.items, 1);
}

#[tokio::test]
async fn a_maintainer_of_what_has_gone_comes_to_its_end() {
    let (partition, clock) = partition().await;
    let storage = partition.storage().clone();
    let maintainer = Maintainer::start([partition.clone()]);
    settle().await;

    storage.delete_partition(("q", 0)).await.unwrap();
    settle().await;
    storage
        .create_partition(("q", 0), PartitionConfig::default())
        .await
        .unwrap();
    let due = Timestamp::from_secs(1010);
    partition
        .produce([NewItem::new("later").enqueue_at(due)])
        .await
        .unwrap();
    clock.set(due);
    settle().await;

    assert_eq!(partition.stats().await.unwrap().scheduled.items, 1);
    maintainer.stop().await;
}
