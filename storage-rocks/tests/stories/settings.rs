use storage_api::{
    ErrorKind, ItemStore as _, PartitionConfig, PartitionStore as _, StorageBackend as _, limits,
};
use storage_rocks::{RocksBackend, RocksConfig};
use storage_stories::scene::{assert_verified, batch, furnish, home, lease};

#[tokio::test]
async fn settings_below_their_least_are_refused_before_anything_is_made() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("data");
    let config = || RocksConfig::new(&directory);
    for (config, least) in [
        (
            config().memtable_bytes(RocksConfig::MEMTABLE_BYTES_MIN - 1),
            "1048576",
        ),
        (config().memtable_bytes(0), "1048576"),
        (
            config().log_bytes(RocksConfig::LOG_BYTES_MIN - 1),
            "1048576",
        ),
        (config().log_bytes(0), "1048576"),
    ] {
        let error = RocksBackend::open(config).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        let advice = format!("give it at least {least}");
        assert!(error.reason().contains(&advice), "{error}");
        assert!(!directory.exists());
    }
}

/// With less the first rows of all keyspaces fill the memtables, and writers wait for ever.
#[tokio::test]
async fn the_least_settings_hold_rows_of_every_kind_and_the_largest_batch() {
    let scratch = tempfile::tempdir().unwrap();
    let config = RocksConfig::new(scratch.path())
        .disk_reserve(0)
        .cache_bytes(0)
        .memtable_bytes(RocksConfig::MEMTABLE_BYTES_MIN)
        .log_bytes(RocksConfig::LOG_BYTES_MIN)
        .open_files_max(0);
    let backend = RocksBackend::open(config.clone()).await.unwrap();
    furnish(&backend).await;
    backend.delete_partition(&home()).await.unwrap();
    let again = PartitionConfig::default();
    backend.create_partition(&home(), again).await.unwrap();
    let payload = vec![7; limits::PAYLOAD_BYTES_MAX];
    let largest = || {
        batch(
            limits::BATCH_BYTES_MAX / limits::PAYLOAD_BYTES_MAX,
            &payload,
        )
    };
    for _ in 0..2 {
        backend.produce(&home(), largest()).await.unwrap();
        let leased = lease(&backend, 32).await;
        backend.complete(&home(), leased).await.unwrap();
    }
    for _ in 0..300 {
        backend
            .produce(&home(), batch(3, &payload[..3000]))
            .await
            .unwrap();
        let leased = lease(&backend, 2).await;
        backend.complete(&home(), leased).await.unwrap();
    }

    backend.close().await.unwrap();

    let backend = RocksBackend::open(config).await.unwrap();
    let stats = backend.stats(&home()).await.unwrap();
    assert_eq!(stats.ready.items, 300);
    assert_verified(&backend).await;
}
