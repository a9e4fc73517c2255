use std::sync::Arc;

use storage_api::{
    Durability, ErrorKind, ItemStore, PartitionConfig, PartitionStore, RetryHint, StorageBackend,
};
use storage_rocks::{Faults, RocksBackend, RocksConfig};

use crate::scene::{at, batch, home, lease, open, open_with};

async fn with_home(backend: RocksBackend) -> RocksBackend {
    let config = PartitionConfig::default();
    backend.create_partition(&home(), config).await.unwrap();
    backend
}

#[tokio::test]
async fn below_the_reserve_only_what_grows_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let backend = with_home(open(scratch.path()).await).await;
    backend
        .produce(&home(), batch(3, b"payload"))
        .await
        .unwrap();
    backend.close().await.unwrap();
    // No disk has as much free.
    let config = RocksConfig::new(scratch.path()).disk_reserve(u64::MAX);
    let backend = RocksBackend::open(config).await.unwrap();

    let error = backend
        .produce(&home(), batch(1, b"more"))
        .await
        .unwrap_err();

    assert_eq!(error.kind(), ErrorKind::CapacityExceeded);
    assert!(error.reason().contains("reserve"), "{error}");
    backend.produce(&home(), batch(0, b"")).await.unwrap();
    let receipts = lease(&backend, 3).await;
    backend
        .extend(&home(), receipts.clone(), at(60))
        .await
        .unwrap();
    backend.complete(&home(), receipts).await.unwrap();
    backend.delete_partition(&home()).await.unwrap();
}

#[tokio::test]
async fn a_disk_that_others_filled_stops_writes_until_a_reopening_and_loses_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let backend = with_home(open_with(scratch.path(), faults.clone()).await).await;
    backend
        .produce(&home(), batch(3, &[1; 5000]))
        .await
        .unwrap();
    faults.fill_disk();

    let error = backend
        .produce(&home(), batch(3, &[2; 5000]))
        .await
        .unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.retry_hint(), RetryHint::AfterReopen);
    assert_eq!(backend.stats(&home()).await.unwrap().ready.items, 3);
    assert!(!backend.health().await.unwrap().is_writable);
    let _ = backend.close().await;
    faults.heal();
    let backend = open(scratch.path()).await;
    assert_eq!(backend.stats(&home()).await.unwrap().ready.items, 3);
    backend
        .produce(&home(), batch(3, &[2; 5000]))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_producers_share_their_syncs() {
    const EACH: u64 = 10;
    let scratch = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let backend = Arc::new(with_home(open_with(scratch.path(), faults.clone()).await).await);
    let before = faults.syncs();

    let producing: Vec<_> = (0..64)
        .map(|_| {
            let backend = Arc::clone(&backend);
            tokio::spawn(async move {
                for _ in 0..EACH {
                    backend.produce(&home(), batch(1, b"one")).await.unwrap();
                }
            })
        })
        .collect();
    for task in producing {
        task.await.unwrap();
    }

    // How many share one is the business of the disk: the slower it is, the more. That they do is not.
    let syncs = faults.syncs() - before;
    assert!(
        syncs < 64 * EACH / 2,
        "{syncs} syncs for {} operations",
        64 * EACH
    );
    assert_eq!(backend.stats(&home()).await.unwrap().ready.items, 64 * EACH);
}

#[tokio::test]
async fn the_largest_batch_of_the_largest_payloads_comes_back_after_a_reopening() {
    let scratch = tempfile::tempdir().unwrap();
    let payload = vec![0xa5; storage_api::limits::PAYLOAD_BYTES_MAX];
    let backend = with_home(open(scratch.path()).await).await;
    backend.produce(&home(), batch(4, &payload)).await.unwrap();
    backend.close().await.unwrap();

    let backend = open(scratch.path()).await;

    let request = storage_api::LeaseRequest::new(at(1), at(50), storage_api::Count::MAX);
    let leased = backend.lease(&home(), request).await.unwrap();
    assert_eq!(leased.len(), 4);
    assert!(leased.iter().all(|item| item.payload() == payload));
    backend.complete(&home(), leased.receipts()).await.unwrap();
}

#[tokio::test]
async fn each_durability_says_what_it_is() {
    for durability in Durability::ALL {
        let scratch = tempfile::tempdir().unwrap();
        let config = RocksConfig::new(scratch.path()).durability(durability);
        let backend = with_home(RocksBackend::open(config.clone()).await.unwrap()).await;
        backend.produce(&home(), batch(1, b"one")).await.unwrap();

        assert_eq!(backend.descriptor().durability, durability);
        backend.close().await.unwrap();

        let backend = RocksBackend::open(config).await.unwrap();
        assert_eq!(backend.stats(&home()).await.unwrap().ready.items, 1);
    }
}
