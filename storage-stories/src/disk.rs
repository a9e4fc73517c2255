//! Full disks, failed and shared syncs, the largest batch, and what each durability keeps.

use std::sync::Arc;

use storage_api::{
    CommitOutcome, CommitRequest, Count, ErrorKind, Floors, ItemEntry, ItemId, ItemIds, ItemState,
    ItemStore, Key, LeaseRequest, ListRequest, Namespace, Outcome, PartitionConfig, PartitionId,
    PartitionStore, Position, RestoreBatch, RetryHint, States, StorageBackend, Value,
};
use storage_kv::Faults;

use crate::driver::{Opening, StoredDriver};
use crate::scene::{at, batch, home, lease, open};

/// A test for each story of [`disk`](mod@crate::disk), on that driver.
#[macro_export]
macro_rules! disk {
    ($driver:ty) => {
        $crate::told! { disk of $driver, ():
            #[tokio::test]
            below_the_reserve_only_what_grows_is_refused;
            #[tokio::test]
            a_disk_that_others_filled_stops_writes_until_a_reopening_and_loses_nothing;
            #[tokio::test]
            a_failed_sync_stops_writes_until_a_reopening_and_reads_go_on;
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            sixty_four_producers_share_their_syncs;
            #[tokio::test]
            the_largest_batch_of_the_largest_payloads_comes_back_after_a_reopening;
            #[tokio::test]
            each_durability_says_what_it_is;
        }
    };
}

async fn with_home<B: StorageBackend>(backend: B) -> B {
    let config = PartitionConfig::default();
    backend.create_partition(&home(), config).await.unwrap();
    backend
}

async fn ready(backend: &impl StorageBackend) -> u64 {
    backend.stats(&home()).await.unwrap().ready.items
}

/// A commit with nothing in it yet.
fn commit() -> CommitRequest {
    CommitRequest::new(at(2))
}

fn key(name: &str) -> (Namespace, Key) {
    let key = Key::try_from(name).unwrap();
    (Namespace::new("n").unwrap(), key)
}

/// A commit that puts an entry of that name.
fn put(name: &str) -> CommitRequest {
    let ((namespace, key), value) = (key(name), Value::try_from("value").unwrap());
    let mut request = commit();
    request.put(&namespace, &key, value, None).unwrap();
    request
}

async fn committed(backend: &impl StorageBackend, request: CommitRequest) {
    let outcome = backend.commit(request).await.unwrap();
    assert!(
        matches!(outcome, CommitOutcome::Committed(_)),
        "{outcome:?}"
    );
}

/// Clause LIMIT-2.
pub async fn below_the_reserve_only_what_grows_is_refused<D: StoredDriver>() {
    let scratch = tempfile::tempdir().unwrap();
    let backend = with_home(open::<D>(scratch.path()).await).await;
    let items = batch(5, b"payload");
    backend.produce(&home(), items).await.unwrap();
    committed(&backend, put("kept")).await;
    backend.close().await.unwrap();
    // No disk has as much free.
    let opening = Opening::with_disk_reserve(u64::MAX);
    let backend = D::open(scratch.path(), opening).await.unwrap();

    let elsewhere = PartitionId::new("elsewhere", 0).unwrap();
    let config = PartitionConfig::default();
    let position = Position::new(1000).unwrap();
    let record = batch(1, b"restored").shared_record(0);
    let state = ItemState::Ready { position };
    let item = ItemEntry::new(ItemId::new(1000).unwrap(), record, state);
    let restored = RestoreBatch::new(vec![item]).unwrap();
    let more = backend.produce(&home(), batch(1, b"more")).await;
    let partition = backend.create_partition(&elsewhere, config).await;
    let restored = backend.restore(&home(), restored, Floors::none()).await;
    let entry = backend.commit(put("grows")).await;

    for (call, refused) in [
        ("produce", more.err()),
        ("create_partition", partition.err()),
        ("restore", restored.err()),
        ("a commit that puts", entry.err()),
    ] {
        let error = refused.expect(call);
        assert_eq!(error.kind(), ErrorKind::CapacityExceeded, "{call}: {error}");
        assert_eq!(error.outcome(), Outcome::NotApplied, "{call}: {error}");
        let wanted = u64::MAX.to_string();
        for said in ["disk-reserve", &wanted, "make room"] {
            assert!(error.reason().contains(said), "{call}: {error}");
        }
    }
    assert_eq!(ready(&backend).await, 5);
    backend.produce(&home(), batch(0, b"")).await.unwrap();
    let receipts = lease(&backend, 3).await;
    let later = backend.extend(&home(), receipts.clone(), at(60)).await;
    later.unwrap();
    backend.complete(&home(), receipts).await.unwrap();
    let mut completing = commit();
    let last = lease(&backend, 1).await;
    completing.complete(&home(), last).unwrap();
    committed(&backend, completing).await;
    let mut deleting = commit();
    let (namespace, kept) = key("kept");
    deleting.delete(&namespace, &kept).unwrap();
    committed(&backend, deleting).await;
    let cleared = backend.clear(&home(), States::ALL, Count::MAX).await;
    assert_eq!(cleared.unwrap().removed, 1);
    backend.delete_partition(&home()).await.unwrap();
}

/// Clause LIMIT-2.
pub async fn a_disk_that_others_filled_stops_writes_until_a_reopening_and_loses_nothing<
    D: StoredDriver,
>() {
    let scratch = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let opened = D::open(scratch.path(), Opening::with_faults(&faults)).await;
    let backend = with_home(opened.unwrap()).await;
    let kept = batch(3, &[1; 5000]);
    backend.produce(&home(), kept).await.unwrap();
    faults.fill_disk();

    let refused = backend.produce(&home(), batch(3, &[2; 5000])).await;

    let again = backend.produce(&home(), batch(1, b"late")).await;
    for error in [refused.unwrap_err(), again.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.retry_hint(), RetryHint::AfterReopen);
        let advice = "make room on the disk first";
        assert!(error.reason().contains(advice), "{error}");
    }
    assert_eq!(ready(&backend).await, 3);
    assert!(!backend.health().await.unwrap().is_writable);
    let _ = backend.close().await;
    faults.heal();
    let backend = open::<D>(scratch.path()).await;
    assert_eq!(ready(&backend).await, 3);
    let more = batch(3, &[2; 5000]);
    backend.produce(&home(), more).await.unwrap();
}

/// Clauses ATOM-1 and DUR-3.
pub async fn a_failed_sync_stops_writes_until_a_reopening_and_reads_go_on<D: StoredDriver>() {
    let scratch = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let opened = D::open(scratch.path(), Opening::with_faults(&faults)).await;
    let backend = with_home(opened.unwrap()).await;
    let acknowledged = backend.produce(&home(), batch(3, b"kept")).await.unwrap();
    faults.fail_next_sync();

    let failed = backend.produce(&home(), batch(1, b"unknown")).await;
    let refused = backend.produce(&home(), batch(1, b"late")).await;

    assert_eq!(failed.unwrap_err().outcome(), Outcome::Unknown);
    let refused = refused.unwrap_err();
    assert_eq!(refused.outcome(), Outcome::NotApplied);
    assert_eq!(refused.retry_hint(), RetryHint::AfterReopen);
    assert!(!backend.health().await.unwrap().is_writable);
    assert!((3..=4).contains(&ready(&backend).await));
    let all = ListRequest::by_id(States::ALL);
    let listed = backend.list_items(&home(), all).await.unwrap().items;
    let ids: Vec<_> = listed.iter().map(|item| item.id).collect();
    assert!(acknowledged.ids().all(|id| ids.contains(&id)));
    let _ = backend.close().await;
    let backend = open::<D>(scratch.path()).await;
    let found = ready(&backend).await;
    assert!((3..=4).contains(&found), "{found} of 3 or 4 are there");
    let kept = ItemIds::new(acknowledged.ids().collect()).unwrap();
    let kept = backend.get_items(&home(), kept, true).await.unwrap();
    assert!(kept.iter().all(Option::is_some));
    let more = batch(1, b"again");
    backend.produce(&home(), more).await.unwrap();
    assert_eq!(ready(&backend).await, found + 1);
}

/// Group commit.
pub async fn sixty_four_producers_share_their_syncs<D: StoredDriver>() {
    let scratch = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let opened = D::open(scratch.path(), Opening::with_faults(&faults)).await;
    let backend = Arc::new(with_home(opened.unwrap()).await);
    // The first waits for the numbers of the partition, too.
    backend.produce(&home(), batch(1, b"one")).await.unwrap();
    let before = faults.syncs();
    backend.produce(&home(), batch(1, b"one")).await.unwrap();
    let of_one = faults.syncs() - before;

    let before = faults.syncs();
    let held = faults.hold_syncs();
    let producing: Vec<_> = (0..64)
        .map(|_| {
            let backend = Arc::clone(&backend);
            tokio::spawn(async move { backend.produce(&home(), batch(1, b"one")).await })
        })
        .collect();
    // All have written while the first sync is held up.
    while ready(&*backend).await < 66 {
        tokio::task::yield_now().await;
    }
    drop(held);
    for task in producing {
        task.await.unwrap().unwrap();
    }

    // That of the first, and one for all others.
    let syncs = faults.syncs() - before;
    assert!(
        (1..=2 * of_one).contains(&syncs),
        "{syncs} syncs for 64 operations, {of_one} for one"
    );
    backend.close().await.unwrap();
}

/// Clauses ITEM-5 and LIMIT-1.
pub async fn the_largest_batch_of_the_largest_payloads_comes_back_after_a_reopening<
    D: StoredDriver,
>() {
    let scratch = tempfile::tempdir().unwrap();
    let payload = vec![0xa5; storage_api::limits::PAYLOAD_BYTES_MAX];
    let backend = with_home(open::<D>(scratch.path()).await).await;
    backend.produce(&home(), batch(4, &payload)).await.unwrap();
    backend.close().await.unwrap();

    let backend = open::<D>(scratch.path()).await;

    let request = LeaseRequest::new(at(1), at(50), Count::MAX);
    let leased = backend.lease(&home(), request).await.unwrap();
    assert_eq!(leased.len(), 4);
    assert!(leased.iter().all(|item| item.payload() == payload));
    backend.complete(&home(), leased.receipts()).await.unwrap();
}

/// Clause DUR-1.
pub async fn each_durability_says_what_it_is<D: StoredDriver>() {
    for durability in D::DURABILITIES {
        let scratch = tempfile::tempdir().unwrap();
        let opening = Opening::with_durability(*durability);
        let opened = D::open(scratch.path(), opening.clone()).await;
        let backend = with_home(opened.unwrap()).await;
        backend.produce(&home(), batch(1, b"one")).await.unwrap();

        assert_eq!(backend.descriptor().durability, *durability);
        backend.close().await.unwrap();

        let backend = D::open(scratch.path(), opening).await.unwrap();
        assert_eq!(ready(&backend).await, 1);
    }
}
