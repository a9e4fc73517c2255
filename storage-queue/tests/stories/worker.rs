//! Workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use storage_api::{
    DeadReason, ErrorKind, Holder, ItemState, ListRequest, ManualClock, Mode, NewItem,
    PartitionConfig, States, Timestamp,
};
use storage_queue::{
    Backoff, Delivery, Outcome, Queue, QueueConfig, QueueItem, Queues, RunningWorker, Storages,
    Worker,
};
use tokio::sync::Semaphore;

use crate::faulty::Faulty;
use crate::{LEASE, START, configured, memory, partitioned, quiet, up_to};

/// A handler that waits at a gate, item by item, and remembers what it has begun.
#[derive(Clone)]
struct Gate {
    open: Arc<Semaphore>,
    begun: Arc<Mutex<Vec<Vec<u8>>>>,
    running: Arc<AtomicUsize>,
    running_max: Arc<AtomicUsize>,
}

impl Gate {
    fn closed() -> Self {
        Self {
            open: Arc::new(Semaphore::new(0)),
            begun: Arc::default(),
            running: Arc::default(),
            running_max: Arc::default(),
        }
    }

    fn let_through(&self, items: usize) {
        self.open.add_permits(items);
    }

    fn begun(&self) -> usize {
        self.begun.lock().len()
    }

    async fn pass(self, delivery: Delivery) {
        self.begun.lock().push(delivery.payload().to_vec());
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.running_max.fetch_max(running, Ordering::SeqCst);
        self.open.acquire().await.unwrap().forget();
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn gated(queue: &Queue, gate: &Gate) -> Worker<impl storage_queue::Handler + use<>> {
    let gate = gate.clone();
    Worker::new(queue.clone(), move |delivery| gate.clone().pass(delivery)).lease_for(LEASE)
}

async fn until(worker: &mut RunningWorker, is_so: impl Fn(&storage_queue::WorkerReport) -> bool) {
    while !is_so(&worker.report()) {
        worker.changed().await;
    }
}

async fn items(queue: &Queue) -> Vec<QueueItem> {
    let mut pages = queue.pages(ListRequest::by_id(States::ALL));
    let mut items = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        items.extend(page);
    }
    items
}

async fn only(queue: &Queue) -> QueueItem {
    let mut items = items(queue).await;
    assert_eq!(items.len(), 1);
    items.remove(0)
}

fn note(item: &QueueItem) -> &str {
    item.entry
        .note
        .as_ref()
        .map_or("", storage_api::Note::as_str)
}

/// A queue of one partition whose items rest for ten seconds and die after three attempts.
async fn strict() -> (Queue, ManualClock) {
    let partition = PartitionConfig::default().with_attempts_max(3);
    let backoff = Backoff::constant(Duration::from_secs(10));
    configured(
        QueueConfig::default()
            .with_partition(&partition)
            .with_backoff(backoff),
    )
    .await
}

#[tokio::test]
async fn every_item_of_every_partition_is_handled_once_and_completed() {
    let (queue, _clock) = partitioned(3).await;
    for call in 0..300 {
        queue
            .produce([format!("item {call}")].iter())
            .await
            .unwrap();
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let handled = Arc::clone(&seen);

    let mut worker = Worker::new(queue.clone(), move |delivery: Delivery| {
        handled.lock().push(delivery.payload().to_vec());
        async {}
    })
    .concurrency(4)
    .start();
    until(&mut worker, |report| report.completed == 300).await;

    let mut seen = std::mem::take(&mut *seen.lock());
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 300);
    assert_eq!(queue.stats().await.unwrap().items(), 0);
    let report = worker.stop().await.report;
    assert_eq!((report.completed, report.lost, report.retried), (300, 0, 0));
}

#[tokio::test]
async fn no_more_items_run_or_are_leased_than_there_are_slots() {
    let (queue, _clock) = partitioned(2).await;
    for _ in 0..10 {
        queue.produce(["x"]).await.unwrap();
    }
    let gate = Gate::closed();
    let mut worker = gated(&queue, &gate).concurrency(3).start();
    quiet().await;
    assert_eq!(gate.begun(), 3);
    assert_eq!(
        queue.stats().await.unwrap().leased.items,
        3,
        "nothing is leased ahead"
    );

    gate.let_through(10);
    until(&mut worker, |report| report.completed == 10).await;

    assert_eq!(gate.running_max.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_idle_worker_takes_what_is_produced_and_what_becomes_due() {
    let (queue, clock) = partitioned(2).await;
    let gate = Gate::closed();
    let mut worker = gated(&queue, &gate).start();
    quiet().await;

    queue
        .produce([NewItem::new("later").enqueue_at(START.saturating_add(LEASE))])
        .await
        .unwrap();
    queue.produce(["now"]).await.unwrap();
    quiet().await;
    assert_eq!(*gate.begun.lock(), [b"now"]);
    gate.let_through(2);
    until(&mut worker, |report| report.completed == 1).await;
    clock.advance(LEASE);
    until(&mut worker, |report| report.completed == 2).await;

    assert_eq!(gate.begun.lock()[1], b"later");
}

#[tokio::test]
async fn a_failed_item_rests_comes_again_and_dies_after_its_attempts() {
    let (queue, clock) = strict().await;
    queue.produce(["x"]).await.unwrap();
    let mut worker = Worker::new(queue.clone(), |delivery: Delivery| async move {
        Err::<(), _>(format!("attempt {} failed", delivery.attempts()))
    })
    .start();

    for attempt in 1..=2 {
        until(&mut worker, |report| report.retried == attempt).await;
        let item = only(&queue).await;
        let enqueue_at = clock_now(&clock).saturating_add(Duration::from_secs(10));
        assert_eq!(item.entry.state, ItemState::Scheduled { enqueue_at });
        assert_eq!(note(&item), format!("attempt {attempt} failed"));
        clock.advance(Duration::from_secs(10));
    }
    until(&mut worker, |report| report.dead == 1).await;

    let item = only(&queue).await;
    assert!(matches!(
        item.entry.state,
        ItemState::Dead {
            reason: DeadReason::AttemptsExhausted,
            ..
        }
    ));
    assert_eq!(note(&item), "attempt 3 failed");
}

fn clock_now(clock: &ManualClock) -> Timestamp {
    storage_api::Clock::now(clock)
}

#[tokio::test]
async fn the_backoff_grows_with_the_attempts_and_its_chance_comes_from_the_seed() {
    let second = Duration::from_secs(1);
    let mut rests = Vec::new();
    for seed in [1, 1, 2] {
        let backoff = Backoff::new(second, 2.0, second * 60, 0.5).unwrap();
        let (queue, clock) = configured(QueueConfig::default().with_backoff(backoff)).await;
        queue.produce(["x"]).await.unwrap();
        let mut worker = Worker::new(queue.clone(), |_| async { Err::<(), _>("no") })
            .seed(seed)
            .start();
        let mut rested = Vec::new();
        for attempt in 1..=4_u32 {
            until(&mut worker, |report| report.retried == u64::from(attempt)).await;
            let ItemState::Scheduled { enqueue_at } = only(&queue).await.entry.state else {
                panic!("it should rest");
            };
            let rest = enqueue_at.saturating_since(clock_now(&clock));
            let most = second * 2_u32.pow(attempt - 1);
            assert!(rest > most / 2 && rest <= most, "{attempt}: {rest:?}");
            rested.push(rest);
            clock.set(enqueue_at);
        }
        rests.push(rested);
    }

    assert_eq!(rests[0], rests[1]);
    assert_ne!(rests[0], rests[2]);
}

#[tokio::test]
async fn a_handler_decides_what_becomes_of_its_item() {
    let (queue, clock) = strict().await;
    queue
        .produce(["done", "busy", "nonsense", "again"])
        .await
        .unwrap();
    let mut worker = Worker::new(queue.clone(), |delivery: Delivery| async move {
        match delivery.payload() {
            b"busy" => Outcome::retry_after(Duration::from_secs(90), "come back"),
            b"again" if delivery.attempts() == 1 => Outcome::retry_after(Duration::ZERO, ""),
            b"done" | b"again" => Outcome::Complete,
            _ => Outcome::dead("no such thing"),
        }
    })
    .start();
    until(&mut worker, |report| {
        (report.completed, report.retried, report.dead) == (2, 2, 1)
    })
    .await;

    let items = items(&queue).await;
    let enqueue_at = clock_now(&clock).saturating_add(Duration::from_secs(90));
    assert_eq!(items[0].entry.state, ItemState::Scheduled { enqueue_at });
    assert_eq!(note(&items[0]), "come back");
    let (reason, died_at) = (DeadReason::Rejected, clock_now(&clock));
    assert_eq!(items[1].entry.state, ItemState::Dead { reason, died_at });
    assert_eq!(note(&items[1]), "no such thing");
}

#[tokio::test]
async fn a_panic_is_a_retry_with_its_message_and_the_worker_goes_on() {
    let (queue, _clock) = strict().await;
    queue.produce(["bad", "good"]).await.unwrap();
    let mut worker = Worker::new(queue.clone(), |delivery: Delivery| async move {
        tokio::task::yield_now().await;
        assert_eq!(delivery.payload(), b"good", "this one is bad");
    })
    .start();
    until(&mut worker, |report| {
        (report.completed, report.retried) == (1, 1)
    })
    .await;

    assert_eq!(worker.report().panicked, 1);
    let item = only(&queue).await;
    assert!(
        note(&item).starts_with("the handler panicked: ")
            && note(&item).contains("this one is bad")
    );
}

#[tokio::test]
async fn a_panic_before_the_first_wait_is_a_retry_too() {
    let (queue, _clock) = strict().await;
    queue.produce(["bad"]).await.unwrap();
    fn broken(_: Delivery) -> std::future::Ready<()> {
        panic!("at once")
    }
    let mut worker = Worker::new(queue.clone(), broken).start();
    until(&mut worker, |report| report.retried == 1).await;

    assert_eq!(note(&only(&queue).await), "the handler panicked: at once");
}

#[tokio::test]
async fn a_lease_is_extended_for_as_long_as_its_handler_runs() {
    let (queue, clock) = partitioned(1).await;
    queue.produce(["slow"]).await.unwrap();
    let gate = Gate::closed();
    let mut worker = gated(&queue, &gate).start();
    quiet().await;

    for _ in 0..30 {
        clock.advance(LEASE / 3);
        quiet().await;
        assert!(
            queue.lease(up_to(1)).await.unwrap().is_empty(),
            "nobody else gets it"
        );
    }
    gate.let_through(1);
    until(&mut worker, |report| report.completed == 1).await;

    assert_eq!(worker.report().lost, 0);
    assert_eq!(gate.begun(), 1);
}

#[tokio::test]
async fn a_lease_that_was_lost_is_counted_and_its_item_left_to_the_other() {
    let (queue, clock) = partitioned(1).await;
    queue.produce(["slow"]).await.unwrap();
    let gate = Gate::closed();
    let mut worker = gated(&queue, &gate).start();
    quiet().await;

    // The clock jumps over every extension, and somebody else is faster than the worker.
    clock.advance(LEASE * 2);
    let other = queue.lease(up_to(1)).await.unwrap();
    gate.let_through(1);
    until(&mut worker, |report| report.lost == 1).await;

    assert_eq!(worker.report().completed, 0);
    queue.complete(&other).await.unwrap();
    assert_eq!(queue.stats().await.unwrap().items(), 0);
}

/// A worker for one item at a time that has leased ahead, since items went fast, and is now held up by a slow one.
async fn held_up(queue: &Queue, gate: &Gate) -> RunningWorker {
    let payloads: Vec<String> = (0..100).map(|number| format!("{number:02}")).collect();
    queue.produce(&payloads).await.unwrap();
    gate.let_through(50);
    let worker = gated(queue, gate).start();
    quiet().await;
    assert_eq!(gate.begun(), 51);
    let leased = queue.stats().await.unwrap().leased.items;
    assert!(leased > 1, "it has leased ahead: {leased}");
    worker
}

#[tokio::test]
async fn a_stop_finishes_what_runs_and_gives_back_unused_what_was_not_begun() {
    let (queue, _clock) = partitioned(1).await;
    let gate = Gate::closed();
    let worker = held_up(&queue, &gate).await;

    let stopping = tokio::spawn(worker.stop());
    quiet().await;
    assert!(!stopping.is_finished(), "it waits for what runs");
    let stats = queue.stats().await.unwrap();
    assert_eq!(
        (stats.leased.items, stats.ready.items),
        (1, 49),
        "the others wait for nobody"
    );
    gate.let_through(1);
    let stopped = stopping.await.unwrap();

    assert_eq!(stopped.report.completed, 51);
    assert!(stopped.report.released > 0);
    assert!(stopped.error.is_none());
    assert_eq!(gate.begun(), 51, "nothing more was begun");
    let left = items(&queue).await;
    assert!(
        left.iter().all(|item| item.entry.attempts == 0),
        "a release is no attempt"
    );
    let next = queue.lease(up_to(1)).await.unwrap();
    assert_eq!(next[0].payload(), b"51", "and keeps its place");
}

#[tokio::test]
async fn what_is_not_begun_after_a_third_of_the_lease_is_given_back() {
    let (queue, clock) = partitioned(1).await;
    let gate = Gate::closed();
    let mut worker = held_up(&queue, &gate).await;

    clock.advance(LEASE / 3);
    quiet().await;

    assert_eq!(queue.stats().await.unwrap().leased.items, 1);
    assert!(worker.report().released > 0);
    gate.let_through(50);
    until(&mut worker, |report| report.completed == 100).await;
    assert_eq!(worker.report().lost, 0);
}

#[tokio::test]
async fn a_dropped_worker_drops_its_handlers_and_completes_nothing() {
    let (queue, clock) = partitioned(1).await;
    queue.produce(["x"]).await.unwrap();
    let gate = Gate::closed();
    let worker = gated(&queue, &gate).start();
    quiet().await;

    drop(worker);
    quiet().await;
    gate.let_through(1);
    quiet().await;
    clock.advance(LEASE);

    let again = queue.lease(up_to(1)).await.unwrap();
    assert_eq!(
        again[0].attempts(),
        2,
        "it comes again after its lease has ended"
    );
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_stopped_and_retried() {
    let (queue, clock) = strict().await;
    queue.produce(["stuck", "fine"]).await.unwrap();
    let mut worker = Worker::new(queue.clone(), |delivery: Delivery| async move {
        if delivery.payload() == b"stuck" {
            std::future::pending::<()>().await;
        }
    })
    .timeout(Duration::from_secs(600))
    .start();
    quiet().await;

    // The lease is extended until the timeout.
    for _ in 0..60 {
        clock.advance(Duration::from_secs(10));
        quiet().await;
    }
    until(&mut worker, |report| report.completed == 1).await;

    let report = worker.report();
    assert_eq!((report.timed_out, report.retried, report.lost), (1, 1, 0));
    assert_eq!(
        note(&only(&queue).await),
        "the handler was stopped after 10m"
    );
}

#[tokio::test]
async fn a_worker_ends_when_its_queue_is_deleted() {
    let (storage, _clock) = memory();
    let queues = Queues::new(Storages::single(storage));
    let queue = queues.create("q", QueueConfig::default()).await.unwrap();
    let worker = Worker::new(queue, |_| async {}).start();
    quiet().await;

    queues.delete("q").await.unwrap();
    worker.ended().await;

    let error = worker.stop().await.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_frozen_queue_is_waited_for() {
    let (queue, _clock) = partitioned(2).await;
    queue.produce(["x"]).await.unwrap();
    queue.set_mode(Mode::Frozen).await.unwrap();
    let mut worker = Worker::new(queue.clone(), |_| async {}).start();
    quiet().await;
    assert_eq!(worker.report().completed, 0);

    queue.set_mode(Mode::Open).await.unwrap();
    until(&mut worker, |report| report.completed == 1).await;
}

#[tokio::test]
async fn more_outcomes_than_one_call_holds_are_all_stored() {
    let (queue, _clock) = partitioned(1).await;
    for _ in 0..3 {
        queue.produce(vec!["x"; 5000]).await.unwrap();
    }
    let gate = Gate::closed();
    let mut worker = gated(&queue, &gate).concurrency(15_000).start();
    while gate.begun() < 15_000 {
        quiet().await;
    }

    gate.let_through(15_000);
    until(&mut worker, |report| {
        report.completed + report.lost == 15_000
    })
    .await;

    assert_eq!(worker.report().completed, 15_000);
}

#[tokio::test]
async fn an_outcome_that_is_refused_for_now_is_stored_later() {
    let (memory, clock) = memory();
    let (faulty, storage) = Faulty::over(&memory);
    let queue = Queues::new(Storages::single(storage))
        .create("q", QueueConfig::default())
        .await
        .unwrap();
    queue.produce(["x"]).await.unwrap();
    faulty.refused.store(3, Ordering::SeqCst);
    let mut worker = Worker::new(queue.clone(), |_| async {}).start();
    quiet().await;
    assert_eq!(worker.report().completed, 0);

    for _ in 0..3 {
        clock.advance(Duration::from_secs(1));
        quiet().await;
    }
    until(&mut worker, |report| report.completed == 1).await;

    assert_eq!(worker.report().lost, 0);
}

#[tokio::test]
async fn a_completion_of_which_nobody_knew_counts_once() {
    let (memory, clock) = memory();
    let (faulty, storage) = Faulty::over(&memory);
    let queue = Queues::new(Storages::single(storage))
        .create("q", QueueConfig::default())
        .await
        .unwrap();
    queue.produce(["x"]).await.unwrap();
    faulty.unsure.store(1, Ordering::SeqCst);
    let mut worker = Worker::new(queue.clone(), |_| async {}).start();
    quiet().await;

    clock.advance(Duration::from_secs(1));
    until(&mut worker, |report| report.completed + report.lost == 1).await;

    assert_eq!(worker.report().completed, 1);
}

#[tokio::test]
async fn an_outcome_that_is_refused_for_ever_is_given_up_when_the_lease_has_ended() {
    let (memory, clock) = memory();
    let (faulty, storage) = Faulty::over(&memory);
    let queue = Queues::new(Storages::single(storage))
        .create("q", QueueConfig::default())
        .await
        .unwrap();
    queue.produce(["x"]).await.unwrap();
    faulty.refused.store(u32::MAX, Ordering::SeqCst);
    let worker = Worker::new(queue.clone(), |_| async {})
        .lease_for(LEASE)
        .start();
    quiet().await;

    let stopping = tokio::spawn(worker.stop());
    quiet().await;
    clock.advance(LEASE);
    let stopped = stopping.await.unwrap();

    assert_eq!((stopped.report.completed, stopped.report.lost), (0, 1));
}

#[tokio::test]
async fn a_handler_may_end_the_lease_itself_in_a_transaction() {
    let (queue, _clock) = partitioned(2).await;
    queue.produce(["order 17"]).await.unwrap();
    let own = queue.clone();
    let mut worker = Worker::new(queue.clone(), move |delivery: Delivery| {
        let queue = own.clone();
        async move {
            let mut txn = queue.begin();
            txn.complete([&delivery])?;
            txn.put("done", delivery.shared_payload(), "yes")?;
            txn.commit().await?;
            Ok::<_, storage_api::Error>(Outcome::Settled)
        }
    })
    .start();
    until(&mut worker, |report| report.settled == 1).await;

    assert_eq!(queue.stats().await.unwrap().items(), 0);
    let done = queue.metadata().metadata("done").unwrap();
    assert!(done.get("order 17").await.unwrap().is_some());
}

#[tokio::test]
async fn the_leases_of_a_dead_worker_are_released_by_its_holder() {
    let (queue, _clock) = partitioned(2).await;
    queue.produce(["x"]).await.unwrap();
    let gate = Gate::closed();
    let holder = Holder::new(17).unwrap();
    drop({
        let worker = gated(&queue, &gate).holder(holder).start();
        quiet().await;
        worker
    });

    assert_eq!(queue.release_holder(holder).await.unwrap(), 1);

    let again = queue.lease(up_to(1)).await.unwrap();
    assert_eq!(again[0].attempts(), 1);
}

#[tokio::test]
async fn a_partition_that_cannot_store_outcomes_holds_up_no_other() {
    let (memory, clock) = memory();
    let (faulty, storage) = Faulty::over(&memory);
    let config = QueueConfig::default().with_partitions(3).unwrap();
    let queue = Queues::new(Storages::single(storage))
        .create("q", config)
        .await
        .unwrap();
    for partition in queue.partitions() {
        partition.produce(["a", "b"]).await.unwrap();
    }
    *faulty.stuck.lock() = Some(0);
    let mut worker = Worker::new(queue.clone(), |_| async {}).start();
    until(&mut worker, |report| report.completed == 4).await;

    *faulty.stuck.lock() = None;
    clock.advance(Duration::from_secs(1));
    until(&mut worker, |report| report.completed == 6).await;

    assert_eq!(worker.report().lost, 0);
}

#[tokio::test]
async fn where_outcomes_are_settled_first_no_slot_begins_another_item() {
    for (is_first, begun) in [(false, 4), (true, 2)] {
        let (memory, clock) = memory();
        let (faulty, storage) = Faulty::over(&memory);
        let queue = Queues::new(Storages::single(storage))
            .create("q", QueueConfig::default())
            .await
            .unwrap();
        queue.produce(["a", "b", "c", "d"]).await.unwrap();
        *faulty.stuck.lock() = Some(0);
        let gate = Gate::closed();
        gate.let_through(4);
        let worker = gated(&queue, &gate).concurrency(2);
        let worker = if is_first {
            worker.settle_first()
        } else {
            worker
        };

        let mut worker = worker.start();
        quiet().await;
        assert_eq!(gate.begun(), begun, "settled first: {is_first}");
        *faulty.stuck.lock() = None;
        clock.advance(Duration::from_secs(1));
        until(&mut worker, |report| report.completed == 4).await;

        assert_eq!(gate.begun(), 4);
    }
}
