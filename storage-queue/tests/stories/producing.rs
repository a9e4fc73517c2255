//! Which partition an item goes to.

use std::time::Duration;

use storage_api::{ErrorKind, Mode, NewItem, PartitionConfig, ProduceOutcome, State};
use storage_queue::QueueConfig;

use crate::{LEASE, configured, partitioned, quiet, waiting};

async fn counts(queue: &storage_queue::Queue) -> Vec<u64> {
    let mut counts = Vec::new();
    for partition in queue.partitions() {
        counts.push(partition.stats().await.unwrap().items());
    }
    counts
}

#[tokio::test]
async fn calls_go_to_the_partitions_in_turn_and_stay_together() {
    let (queue, _clock) = partitioned(3).await;

    for _ in 0..6 {
        let produced = queue.produce(["a", "b"]).await.unwrap();
        assert_eq!(produced.parts().len(), 1);
    }

    assert_eq!(counts(&queue).await, [4, 4, 4]);
}

#[tokio::test]
async fn a_dedup_key_is_found_whichever_partitions_turn_it_is() {
    let (queue, _clock) = partitioned(7).await;
    let once = NewItem::new("x").dedup_key("order-17");
    let first = queue.produce([once]).await.unwrap();
    let [(at, ProduceOutcome::Stored(id))] = first.outcomes()[..] else {
        panic!("{first:?}");
    };

    for _ in 0..7 {
        let again = queue.produce([once]).await.unwrap();
        let state = Some(State::Ready);
        assert_eq!(
            again.outcomes(),
            [(at, ProduceOutcome::Duplicate { of: id, state })]
        );
    }
}

#[tokio::test]
async fn outcomes_are_in_input_order_wherever_the_items_went() {
    let (queue, _clock) = partitioned(5).await;
    let keys: Vec<String> = (0..20).map(|key| format!("k{key}")).collect();
    let items = keys.iter().flat_map(|key| {
        let keyed = NewItem::new("keyed").dedup_key(key);
        [keyed, NewItem::new("plain"), keyed]
    });

    let produced = queue.produce(items).await.unwrap();

    let outcomes = produced.outcomes();
    assert_eq!((produced.len(), produced.stored()), (60, 40));
    let plain_at = outcomes[1].0;
    for (triple, key) in outcomes.chunks(3).zip(&keys) {
        let [
            (first_at, ProduceOutcome::Stored(id)),
            (at, ProduceOutcome::Stored(_)),
            (again_at, again),
        ] = triple
        else {
            panic!("{triple:?}");
        };
        assert_eq!(*first_at, queue.partition_of(key));
        assert_eq!(*at, plain_at, "the items without a key stay together");
        assert_eq!(again_at, first_at);
        assert!(matches!(again, ProduceOutcome::Duplicate { of, .. } if of == id));
    }
}

#[tokio::test]
async fn items_of_one_key_are_in_one_partition_in_order() {
    let (queue, _clock) = partitioned(4).await;
    for step in ["created", "paid", "sent"] {
        queue.produce_by_key("customer-17", [step]).await.unwrap();
        queue.produce_by_key("customer-18", [step]).await.unwrap();
    }

    let partition = &queue.partitions()[queue.partition_of("customer-17") as usize];
    let leased = partition.lease(10, LEASE).await.unwrap();

    let payloads: Vec<&[u8]> = leased.iter().map(|item| item.payload()).collect();
    let own = payloads.chunks(payloads.len() / 3).map(|step| step[0]);
    assert_eq!(own.collect::<Vec<_>>(), [&b"created"[..], b"paid", b"sent"]);
}

#[tokio::test]
async fn producing_waits_for_room_in_the_partition_whose_turn_it_is() {
    let config = QueueConfig::default();
    let (queue, clock) =
        configured(config.with_partition(&PartitionConfig::default().with_items_max(1))).await;
    queue.produce(["first"]).await.unwrap();
    let producer = queue.clone();
    let produce = waiting(async move { producer.produce_wait(["second"], LEASE).await }).await;

    queue.clear(State::Ready).await.unwrap();
    clock.advance(Duration::from_secs(1));

    assert_eq!(produce.await.unwrap().unwrap().stored(), 1);
}

#[tokio::test]
async fn a_refused_batch_names_the_queue_or_its_partition() {
    let (queue, _clock) = partitioned(1).await;

    let error = queue.produce(vec!["x"; 10_001]).await.unwrap_err();
    assert!(
        error.to_string().contains("cannot produce into queue q"),
        "{error}"
    );

    queue.set_mode(Mode::Frozen).await.unwrap();
    let error = queue.produce(["x"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("partition q/0"), "{error}");
}

#[tokio::test]
async fn everything_can_be_called_from_a_task_that_borrows() {
    let (queue, _clock) = partitioned(2).await;

    let task = tokio::spawn(async move {
        let lines = ["a".to_owned(), "b".to_owned()];
        let items = lines.iter().map(|line| NewItem::new(line).kind("line"));
        queue.produce(items.clone()).await?;
        queue.produce_wait(items, Duration::from_secs(1)).await?;
        let leased = queue.lease(crate::up_to(10)).await?;
        queue.extend(leased.iter(), LEASE).await?;
        let (retried, rest) = leased.split_at(1);
        let to = storage_api::RetryTo::Dead;
        queue
            .retry(retried.iter().map(|delivery| delivery.retry(to)))
            .await?;
        queue.complete(rest).await?;
        let mut dead = queue.dead();
        while let Some(items) = dead.next().await? {
            queue
                .revive(items.iter().map(storage_queue::QueueItem::id))
                .await?;
        }
        let leased = queue.lease(crate::up_to(10)).await?;
        queue.release(&leased).await?;
        queue.stats().await
    });
    quiet().await;

    assert_eq!(task.await.unwrap().unwrap().ready.items, 1);
}
