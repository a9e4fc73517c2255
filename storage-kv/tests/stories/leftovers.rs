use std::sync::Arc;

use storage_api::{
    Durability, Floors, ItemEntry, ItemId, ItemState, ItemStore, PartitionConfig, PartitionStore,
    Position, RestoreBatch, StorageBackend,
};
use storage_kv::{KvBackend, KvOptions, OrderedKv, SimDisk};

use crate::watched::{Watch, WatchedKv, batch, home, open};

#[tokio::test]
async fn what_a_deleted_partition_held_goes_even_if_the_power_does() {
    let (disk, watch) = (SimDisk::new(), Watch::default());
    let options = KvOptions::new("watched", "0", Durability::PowerLoss);
    let backend = KvBackend::open(WatchedKv::open(&disk, &watch), options).unwrap();
    let backend = Arc::new(backend);
    let config = PartitionConfig::default();
    backend.create_partition(&home(), config).await.unwrap();
    for _ in 0..30 {
        backend.produce(&home(), batch(100)).await.unwrap();
    }
    backend.sync().await.unwrap();
    watch.hold_syncs(true);
    let deleting = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move { backend.delete_partition(&home()).await }
    });
    while disk.unsynced() == 0 {
        tokio::task::yield_now().await;
    }

    // The deletion is one small batch; nothing of what it left to be removed behind it reached the disk.
    disk.crash(1);

    watch.hold_syncs(false);
    deleting.await.unwrap().expect_err("the sync failed");
    let bytes = |disk: &SimDisk| disk.open().disk_bytes().unwrap();
    assert!(bytes(&disk) > 3000 * 7, "the payloads are still there");
    open(&disk, &watch).close().await.unwrap();
    let new = SimDisk::new();
    open(&new, &watch).close().await.unwrap();
    assert_eq!(bytes(&disk), bytes(&new));
}

#[tokio::test]
async fn a_restored_number_is_seen_only_once_it_cannot_be_given_again() {
    let (disk, watch) = (SimDisk::new(), Watch::default());
    let options = KvOptions::new("watched", "0", Durability::None);
    let backend = KvBackend::open(WatchedKv::open(&disk, &watch), options).unwrap();
    let backend = Arc::new(backend);
    let config = PartitionConfig::default();
    backend.create_partition(&home(), config).await.unwrap();
    backend.sync().await.unwrap();
    watch.hold_syncs(true);
    // Above what may be given without a sync.
    let id = ItemId::new(1 << 40).unwrap();
    let position = Position::new(1).unwrap();
    let record = batch(1).shared_record(0);
    let item = ItemEntry::new(id, record, ItemState::Ready { position });

    let restoring = tokio::spawn({
        let backend = Arc::clone(&backend);
        let items = RestoreBatch::new(vec![item]).unwrap();
        async move { backend.restore(&home(), items, Floors::none()).await }
    });
    while disk.unsynced() == 0 && !restoring.is_finished() {
        tokio::task::yield_now().await;
    }

    assert!(
        !restoring.is_finished(),
        "it did not wait for the sync of its numbers"
    );
    watch.hold_syncs(false);
    restoring.await.unwrap().unwrap();
    disk.crash(0);
    drop(backend);
    let reopened = open(&disk, &watch);
    let produced = reopened.produce(&home(), batch(1)).await.unwrap();
    assert!(produced.ids().all(|new| new > id), "{produced:?}");
}
