//! Leasing from all partitions, and ending leases wherever the items are.

use storage_api::{
    CompleteOutcome, ErrorKind, Holder, ListRequest, Mode, NewItem, RetryTo, State, States,
    Timestamp,
};
use storage_queue::{PartitionStorage, QueueConfig, Queues, Storages};

use crate::faulty::Faulty;
use crate::{LEASE, memory, partitioned, quiet, up_to, waiting};

#[tokio::test]
async fn leases_begin_with_each_partition_in_turn() {
    let (queue, _clock) = partitioned(4).await;
    for partition in queue.partitions() {
        partition.produce(vec!["x"; 10]).await.unwrap();
    }

    let mut seen = Vec::new();
    for _ in 0..8 {
        let leased = queue.lease(up_to(1)).await.unwrap();
        seen.push(leased[0].partition());
    }

    assert_eq!(seen, [0, 1, 2, 3, 0, 1, 2, 3]);
}

#[tokio::test]
async fn a_lease_goes_through_the_partitions_until_it_has_enough() {
    let (queue, _clock) = partitioned(3).await;
    for partition in queue.partitions() {
        partition.produce(["a", "b"]).await.unwrap();
    }

    let leased = queue.lease(up_to(5)).await.unwrap();

    let partitions: Vec<u32> = leased
        .iter()
        .map(storage_queue::Delivery::partition)
        .collect();
    assert_eq!(partitions, [0, 0, 1, 1, 2]);
    assert_eq!(queue.stats().await.unwrap().ready.items, 1);
}

#[tokio::test]
async fn a_limit_of_bytes_holds_for_the_whole_lease() {
    let (queue, _clock) = partitioned(2).await;
    for partition in queue.partitions() {
        partition.produce(["123456", "123456"]).await.unwrap();
    }

    let leased = queue.lease(up_to(10).bytes_max(10)).await.unwrap();

    assert_eq!(leased.len(), 1);
}

#[tokio::test]
async fn a_waiting_consumer_is_woken_by_any_partition() {
    for number in 0..3 {
        let (queue, _clock) = partitioned(3).await;
        let consumer = queue.clone();
        let lease = waiting(async move { consumer.lease(up_to(1).wait(LEASE)).await }).await;

        queue.partitions()[number].produce(["x"]).await.unwrap();

        let leased = lease.await.unwrap().unwrap();
        assert_eq!(leased[0].partition() as usize, number);
    }
}

#[tokio::test]
async fn a_waiting_consumer_is_woken_by_the_earliest_due_time() {
    let (queue, clock) = partitioned(3).await;
    for (partition, secs) in queue.partitions().iter().zip([1020, 1005, 1010]) {
        let later = NewItem::new("x").enqueue_at(Timestamp::from_secs(secs));
        partition.produce([later]).await.unwrap();
    }
    let consumer = queue.clone();
    let lease = waiting(async move { consumer.lease(up_to(3).wait(LEASE)).await }).await;

    clock.set(Timestamp::from_secs(1005));

    let leased = lease.await.unwrap().unwrap();
    assert_eq!((leased.len(), leased[0].partition()), (1, 1));
}

#[tokio::test]
async fn a_wait_ends_with_nothing_after_its_time() {
    let (queue, clock) = partitioned(2).await;
    let lease = waiting(async move { queue.lease(up_to(1).wait(LEASE)).await }).await;

    clock.advance(LEASE);

    assert!(lease.await.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn frozen_partitions_are_passed_over_while_others_work() {
    let (queue, _clock) = partitioned(3).await;
    for partition in queue.partitions() {
        partition.produce(["x"]).await.unwrap();
    }
    let frozen = &queue.partitions()[0];
    frozen
        .update(|config| config.with_mode(Mode::Frozen))
        .await
        .unwrap();

    assert_eq!(queue.lease(up_to(10)).await.unwrap().len(), 2);
    assert!(queue.lease(up_to(10)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_frozen_queue_is_waited_for_and_unavailable_in_the_end() {
    let (queue, clock) = partitioned(2).await;
    queue.set_mode(Mode::Frozen).await.unwrap();
    let consumer = queue.clone();
    let opened = waiting(async move { consumer.lease(up_to(1).wait(LEASE)).await }).await;
    queue.set_mode(Mode::Open).await.unwrap();
    queue.produce(["x"]).await.unwrap();
    assert_eq!(opened.await.unwrap().unwrap().len(), 1);

    queue.set_mode(Mode::Frozen).await.unwrap();
    let frozen = waiting(async move { queue.lease(up_to(1).wait(LEASE)).await }).await;
    clock.advance(LEASE);

    assert_eq!(
        frozen.await.unwrap().unwrap_err().kind(),
        ErrorKind::Unavailable
    );
}

#[tokio::test]
async fn a_waiting_consumer_of_a_deleted_queue_is_told() {
    let (storage, _clock) = memory();
    let queues = Queues::new(Storages::single(storage));
    let queue = queues.create("q", QueueConfig::default()).await.unwrap();
    let lease = waiting(async move { queue.lease(up_to(1).wait(LEASE)).await }).await;

    queues.delete("q").await.unwrap();

    assert_eq!(
        lease.await.unwrap().unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn outcomes_are_in_input_order_across_partitions() {
    let (queue, _clock) = partitioned(3).await;
    for partition in queue.partitions() {
        partition.produce(["a", "b"]).await.unwrap();
    }
    let mut receipts = queue.lease(up_to(6)).await.unwrap().receipts();
    receipts.reverse();
    queue.complete([receipts[1], receipts[4]]).await.unwrap();

    let outcomes = queue.complete(&receipts).await.unwrap();

    let (done, gone) = (CompleteOutcome::Done, CompleteOutcome::NotFound);
    assert_eq!(outcomes, [done, gone, done, done, gone, done]);
}

#[tokio::test]
async fn a_failing_partition_does_not_stop_the_others() {
    let (memory, _clock) = memory();
    let (faulty, storage) = Faulty::over(&memory);
    let queues = Queues::new(Storages::single(storage));
    let config = QueueConfig::default().with_partitions(3).unwrap();
    let queue = queues.create("q", config).await.unwrap();
    for partition in queue.partitions() {
        partition.produce(["x"]).await.unwrap();
    }
    let leased = queue.lease(up_to(3)).await.unwrap();
    *faulty.stuck.lock() = Some(0);

    let error = queue.complete(&leased).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(queue.stats().await.unwrap().items(), 1);
}

#[tokio::test]
async fn more_than_one_call_holds_is_several_calls() {
    let (queue, _clock) = partitioned(1).await;
    queue.produce(vec!["x"; 10_000]).await.unwrap();
    queue.produce(vec!["x"; 5]).await.unwrap();
    let mut receipts = queue.lease(up_to(10_000)).await.unwrap().receipts();
    receipts.extend(queue.lease(up_to(10)).await.unwrap().receipts());

    let outcomes = queue.complete(&receipts).await.unwrap();

    assert_eq!(outcomes, vec![CompleteOutcome::Done; 10_005]);
}

#[tokio::test]
async fn a_receipt_of_a_partition_that_is_not_there_is_refused() {
    let (queue, _clock) = partitioned(1).await;
    queue.produce(["x"]).await.unwrap();
    let mut receipt = queue.lease(up_to(1)).await.unwrap()[0].receipt();
    receipt.partition = 1;

    let error = queue.complete([receipt]).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(
        error.to_string().contains("queue q: it has no partition 1"),
        "{error}"
    );
}

#[tokio::test]
async fn what_an_operator_does_reaches_every_partition() {
    let (queue, _clock) = partitioned(3).await;
    for partition in queue.partitions() {
        partition.produce(["a", "b"]).await.unwrap();
    }
    let worker = Holder::new(7).unwrap();
    let leased = queue.lease(up_to(6).holder(worker)).await.unwrap();
    let dying = leased.iter().step_by(2);
    queue
        .retry(dying.map(|delivery| delivery.retry(RetryTo::Dead)))
        .await
        .unwrap();

    let mut dead = Vec::new();
    let mut pages = queue.dead();
    while let Some(items) = pages.next().await.unwrap() {
        dead.extend(items.iter().map(|item| item.partition));
    }
    assert_eq!(dead, [0, 1, 2]);
    assert_eq!(queue.release_holder(worker).await.unwrap(), 3);
    assert_eq!(queue.revive_all().await.unwrap(), 3);
    assert_eq!(queue.stats().await.unwrap().ready.items, 6);
    let mut first = queue.pages(ListRequest::by_id(States::ALL));
    let items = first.next().await.unwrap().unwrap();
    queue
        .delete(items.iter().map(storage_queue::QueueItem::id))
        .await
        .unwrap();
    assert_eq!(queue.clear(State::Ready).await.unwrap(), 4);
}

#[tokio::test]
async fn everything_due_in_any_partition_is_maintained() {
    let (queue, clock) = partitioned(2).await;
    for (partition, secs) in queue.partitions().iter().zip([1001, 1002]) {
        let later = NewItem::new("x").enqueue_at(Timestamp::from_secs(secs));
        partition.produce([later]).await.unwrap();
    }

    clock.set(Timestamp::from_secs(1001));
    let maintained = queue.maintain().await.unwrap();

    assert_eq!(maintained.ready, 1);
    assert_eq!(maintained.next_due, Some(Timestamp::from_secs(1002)));
    clock.set(Timestamp::from_secs(1011));
    assert_eq!(
        queue.lag().await.unwrap().as_secs(),
        11,
        "it was produced at 1000"
    );
}

#[tokio::test]
async fn partitions_in_several_backends_are_one_queue() {
    let (metadata, _clock) = memory();
    let named = |name: &str| PartitionStorage::new(name, memory().0, 1).unwrap();
    let storages = Storages::new(metadata, vec![named("a"), named("b")]).unwrap();
    let config = QueueConfig::default().with_partitions(2).unwrap();
    let queue = Queues::new(storages).create("q", config).await.unwrap();
    let consumer = queue.clone();
    let lease = waiting(async move { consumer.lease(up_to(2).wait(LEASE)).await }).await;

    queue.produce(["x"]).await.unwrap();
    quiet().await;

    let leased = lease.await.unwrap().unwrap();
    assert_eq!(
        queue.complete(&leased).await.unwrap(),
        [CompleteOutcome::Done]
    );
}
