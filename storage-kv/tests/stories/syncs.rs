use std::sync::Arc;

use storage_api::{ItemStore, PartitionConfig, PartitionStore, StorageBackend};
use storage_kv::{KvBackend, SimDisk};

use crate::watched::{Watch, WatchedKv, batch, home, options};

async fn open(disk: &SimDisk, watch: &Watch) -> Arc<KvBackend<WatchedKv>> {
    let engine = WatchedKv::open(disk, watch);
    let backend = KvBackend::open(engine, options()).unwrap();
    let config = PartitionConfig::default();
    backend.create_partition(&home(), config).await.unwrap();
    // The first produce waits for the numbers of the partition.
    backend.produce(&home(), batch(1)).await.unwrap();
    Arc::new(backend)
}

#[tokio::test]
async fn everybody_who_waits_shares_one_sync() {
    let (disk, watch) = (SimDisk::new(), Watch::default());
    let backend = open(&disk, &watch).await;
    let before = watch.synced();
    watch.hold_syncs(true);

    let producing: Vec<_> = (0..64)
        .map(|_| {
            let backend = Arc::clone(&backend);
            tokio::spawn(async move { backend.produce(&home(), batch(1)).await })
        })
        .collect();
    // All have written, and none was answered, while the first sync is held up.
    while backend.stats(&home()).await.unwrap().ready.items < 65 {
        tokio::task::yield_now().await;
    }
    assert!(producing.iter().all(|task| !task.is_finished()));
    watch.hold_syncs(false);
    for task in producing {
        task.await.unwrap().unwrap();
    }

    // One that was begun with the first of them, and one for all others.
    let syncs = watch.synced() - before;
    assert!(syncs <= 2, "{syncs} syncs for 64 operations");
    backend.close().await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_survives_the_loss_of_power_and_the_rest_may_go() {
    let (disk, watch) = (SimDisk::new(), Watch::default());
    let backend = open(&disk, &watch).await;
    watch.hold_syncs(true);
    let waiting = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.produce(&home(), batch(10)).await }
    });
    while disk.unsynced() == 0 {
        tokio::task::yield_now().await;
    }

    disk.crash(0);

    watch.hold_syncs(false);
    waiting.await.unwrap().expect_err("the sync failed");
    let engine = WatchedKv::open(&disk, &watch);
    let reopened = KvBackend::open(engine, options()).unwrap();
    assert_eq!(reopened.stats(&home()).await.unwrap().ready.items, 1);
}

#[tokio::test]
async fn a_failed_sync_stops_writes_until_a_reopening_and_reads_go_on() {
    let (disk, watch) = (SimDisk::new(), Watch::default());
    let backend = open(&disk, &watch).await;
    disk.fail_next_sync();

    let failed = backend.produce(&home(), batch(1)).await.unwrap_err();
    let refused = backend.produce(&home(), batch(1)).await.unwrap_err();

    assert_eq!(failed.outcome(), storage_api::Outcome::Unknown);
    assert_eq!(refused.outcome(), storage_api::Outcome::NotApplied);
    assert_eq!(refused.retry_hint(), storage_api::RetryHint::AfterReopen);
    assert!(!backend.health().await.unwrap().is_writable);
    assert!(backend.stats(&home()).await.is_ok());
    backend.close().await.unwrap();
    let reopened = open_again(&disk, &watch);
    reopened.produce(&home(), batch(1)).await.unwrap();
    assert!(reopened.health().await.unwrap().is_writable);
}

fn open_again(disk: &SimDisk, watch: &Watch) -> KvBackend<WatchedKv> {
    KvBackend::open(WatchedKv::open(disk, watch), options()).unwrap()
}

#[tokio::test]
async fn numbers_of_a_new_partition_are_synced_though_nobody_waits_for_it() {
    let (disk, watch) = (SimDisk::new(), Watch::default());
    let options = storage_kv::KvOptions::new("watched", "0", storage_api::Durability::None);
    let backend = KvBackend::open(WatchedKv::open(&disk, &watch), options.inline()).unwrap();

    let config = PartitionConfig::default();
    backend.create_partition(&home(), config).await.unwrap();

    assert_eq!(disk.unsynced(), 0);
}
