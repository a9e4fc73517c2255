//! Metadata and items that change together.

use storage_api::{CommitOutcome, ErrorKind, NewItem, Operation};
use storage_queue::{PartitionStorage, Queue, QueueConfig, Queues, Storages};

use crate::{memory, partitioned, up_to};

/// A queue with one partition beside the metadata for each `true`, in this order of storages.
async fn mixed(is_beside: &[bool]) -> Queue {
    let (metadata, _clock) = memory();
    let named = is_beside.iter().enumerate().map(|(number, is_beside)| {
        let storage = if *is_beside {
            metadata.clone()
        } else {
            memory().0
        };
        PartitionStorage::new(format!("s{number}"), storage, 1).unwrap()
    });
    let storages = Storages::new(metadata.clone(), named.collect()).unwrap();
    let partitions = u32::try_from(is_beside.len()).unwrap();
    let config = QueueConfig::default().with_partitions(partitions).unwrap();
    Queues::new(storages).create("q", config).await.unwrap()
}

#[tokio::test]
async fn a_cursor_and_items_move_together() {
    let (queue, _clock) = partitioned(3).await;
    let mut txn = queue.begin();
    assert!(txn.get("cursors", "input").await.unwrap().is_none());
    txn.put("cursors", "input", "2").unwrap();
    txn.produce(["line 1", "line 2"]).unwrap();

    let outcome = txn.commit().await.unwrap();

    assert!(matches!(outcome, CommitOutcome::Committed(_)));
    assert_eq!(queue.stats().await.unwrap().ready.items, 2);
    let cursor = queue
        .metadata()
        .metadata("cursors")
        .unwrap()
        .get("input")
        .await
        .unwrap();
    assert_eq!(cursor.unwrap().value.as_bytes(), b"2");
}

#[tokio::test]
async fn a_conflict_produces_nothing() {
    let (queue, _clock) = partitioned(3).await;
    let mut txn = queue.begin();
    txn.get("cursors", "input").await.unwrap();
    txn.put("cursors", "input", "2").unwrap();
    txn.produce(["line 1"]).unwrap();

    let cursors = queue.metadata().metadata("cursors").unwrap();
    cursors.put("input", "somebody else").await.unwrap();

    assert!(matches!(
        txn.commit().await.unwrap(),
        CommitOutcome::Refused(_)
    ));
    assert_eq!(queue.stats().await.unwrap().items(), 0);
}

#[tokio::test]
async fn completing_and_producing_are_one_step_across_partitions() {
    let (queue, _clock) = partitioned(3).await;
    for partition in queue.partitions() {
        partition.produce(["first"]).await.unwrap();
    }
    let leased = queue.lease(up_to(3)).await.unwrap();
    let mut txn = queue.begin();
    txn.complete(&leased).unwrap();
    txn.produce_by_key("k", ["second"]).unwrap();
    txn.produce([NewItem::new("third").dedup_key("d")]).unwrap();

    txn.commit().await.unwrap();

    assert_eq!(queue.stats().await.unwrap().items(), 2);
}

#[tokio::test]
async fn a_transaction_produces_where_it_can_reach() {
    let queue = mixed(&[false, true, false]).await;
    assert!(!queue.is_transactional());

    for _ in 0..4 {
        let mut txn = queue.begin();
        txn.produce(["x"]).unwrap();
        txn.commit().await.unwrap();
    }

    assert_eq!(queue.partitions()[1].stats().await.unwrap().items(), 4);
}

#[tokio::test]
async fn what_a_transaction_cannot_reach_is_unsupported() {
    let queue = mixed(&[false]).await;
    queue.produce(["x"]).await.unwrap();
    let leased = queue.lease(up_to(1)).await.unwrap();
    let mut txn = queue.begin();

    let errors = [
        txn.produce(["x"]).unwrap_err(),
        txn.produce_by_key("k", ["x"]).unwrap_err(),
        txn.complete(&leased).unwrap_err(),
    ];

    for error in errors {
        assert_eq!(
            (error.kind(), error.operation()),
            (ErrorKind::Unsupported, Operation::Commit)
        );
    }
    let cursors_still_work = txn.put("cursors", "input", "2");
    assert!(cursors_still_work.is_ok());
}
