use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use storage_api::{
    CompleteOutcome, Count, Durability, ErrorKind, ItemStore, LeaseRequest, NewItem, Outcome,
    PartitionStore, RetryHint, StorageBackend,
};

use crate::story::{Story, at, home, sealed, seen};

#[tokio::test]
async fn after_a_failed_write_reads_go_on_and_writes_do_not() {
    for durability in [Durability::PowerLoss, Durability::ProcessCrash] {
        let story = Story::new().with_durability(durability);
        let backend = story.open_home().await;
        let first = sealed(0, [NewItem::new("acknowledged")]);
        backend.produce(&home(), first).await.unwrap();
        let before = seen(&backend).await.unwrap();
        let whole = story.bytes();
        story.faults.fail_next_write();

        let lost = sealed(0, [NewItem::new("lost")]);
        let error = backend.produce(&home(), lost).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert_eq!(error.retry_hint(), RetryHint::AfterReopen);
        assert_eq!(
            seen(&backend).await.unwrap(),
            before,
            "what may be gone is not shown"
        );
        let late = sealed(0, [NewItem::new("late")]);
        let error = backend.produce(&home(), late).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert!(!backend.health().await.unwrap().is_writable);
        assert_eq!(
            backend.sync().await.unwrap_err().kind(),
            ErrorKind::Unavailable
        );
        backend.close().await.unwrap();
        assert_eq!(story.bytes(), whole, "what was half written is taken back");

        let backend = story.open().await;
        assert_eq!(seen(&backend).await.unwrap(), before);
        let again = sealed(0, [NewItem::new("again")]);
        backend.produce(&home(), again).await.unwrap();
    }
}

#[tokio::test]
async fn after_a_failed_sync_reads_go_on_and_writes_do_not() {
    let story = Story::new();
    let backend = story.open_home().await;
    let first = sealed(0, [NewItem::new("acknowledged")]);
    backend.produce(&home(), first).await.unwrap();
    let before = seen(&backend).await.unwrap();
    story.faults.fail_next_sync();

    let lost = sealed(0, [NewItem::new("written, and not synced")]);
    let error = backend.produce(&home(), lost).await.unwrap_err();
    let late = sealed(0, [NewItem::new("late")]);
    let refused = backend.produce(&home(), late).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(refused.outcome(), Outcome::NotApplied);
    assert_eq!(refused.retry_hint(), RetryHint::AfterReopen);
    assert_eq!(seen(&backend).await.unwrap(), before);
    assert!(!backend.health().await.unwrap().is_writable);
    backend.close().await.unwrap();
    let backend = story.open().await;
    assert_eq!(seen(&backend).await.unwrap(), before);
    let again = sealed(0, [NewItem::new("again")]);
    backend.produce(&home(), again).await.unwrap();
}

#[tokio::test]
async fn a_short_volume_takes_nothing_new_and_serves_the_rest() {
    let mut story = Story::new();
    let backend = story.open_home().await;
    let item = || sealed(0, [NewItem::new("x").dedup_key("k")]);
    backend.produce(&home(), item()).await.unwrap();
    drop(backend);
    story.config = story.config.clone().disk_reserve(u64::MAX);

    let backend = story.open().await;
    let before = seen(&backend).await.unwrap();

    let new = sealed(0, [NewItem::new("new")]);
    let error = backend.produce(&home(), new).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CapacityExceeded);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(seen(&backend).await.unwrap(), before);
    let config = storage_api::PartitionConfig::default();
    let error = backend.create_partition(&home(), config).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::AlreadyExists,
        "before capacity (ERR-2)"
    );
    let duplicate = backend.produce(&home(), item()).await.unwrap();
    assert_eq!(duplicate.stored(), 0);
    let request = LeaseRequest::new(at(0), at(9), Count::ONE);
    let held = backend.lease(&home(), request).await.unwrap();
    let outcomes = backend.complete(&home(), held.receipts()).await.unwrap();
    assert_eq!(outcomes, [CompleteOutcome::Done]);
    backend.delete_partition(&home()).await.unwrap();
}

#[tokio::test]
async fn a_volume_filled_by_a_stranger_loses_nothing() {
    let story = Story::new();
    let backend = story.open_home().await;
    let first = sealed(0, [NewItem::new("x")]);
    backend.produce(&home(), first).await.unwrap();
    let before = seen(&backend).await.unwrap();
    story.faults.fill_disk();

    let new = sealed(0, [NewItem::new("y")]);
    let error = backend.produce(&home(), new).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CapacityExceeded);
    let error = backend.delete_partition(&home()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(seen(&backend).await.unwrap(), before);
    drop(backend);
    story.faults.heal();

    assert_eq!(seen(&story.open().await).await.unwrap(), before);
}

#[tokio::test]
async fn a_future_dropped_after_its_first_poll_has_its_effect_before_the_next_call() {
    let story = Story::new();
    let backend = story.open_home().await;

    for round in 1..=50 {
        {
            let home = home();
            let mut produce = pin!(backend.produce(&home, sealed(0, [NewItem::new("x")])));
            let mut context = Context::from_waker(Waker::noop());
            // Ready or not: it was called.
            let _ = produce.as_mut().poll(&mut context);
        }
        let stats = backend.stats(&home()).await.unwrap();
        assert_eq!(stats.ready.items, round);
    }
}

#[tokio::test]
async fn a_change_wakes_those_who_watch() {
    let story = Story::new();
    let backend = story.open_home().await;
    let mut signal = backend.watch(&home()).await.unwrap();

    let produced = sealed(0, [NewItem::new("x")]);
    backend.produce(&home(), produced).await.unwrap();
    signal.fired().await;
    backend.delete_partition(&home()).await.unwrap();
    signal.fired().await;
    let mut signal = {
        let config = storage_api::PartitionConfig::default();
        backend.create_partition(&home(), config).await.unwrap();
        backend.watch(&home()).await.unwrap()
    };
    backend.close().await.unwrap();

    signal.fired().await;
}
