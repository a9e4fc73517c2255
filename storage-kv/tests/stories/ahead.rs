use storage_api::{
    Count, Floors, ItemBatch, ItemEntry, ItemId, ItemIds, ItemState, ItemStore, LeaseRequest,
    NewItem, PartitionConfig, PartitionStore, Position, RestoreBatch,
};
use storage_kv::{KvBackend, SimDisk};

use crate::watched::{Watch, WatchedKv, at, batch, home, open};

/// A backend of which so many items were leased one by one, so that others behind them were read ahead.
async fn leased_one_by_one(watch: &Watch, leases: u64) -> KvBackend<WatchedKv> {
    let backend = open(&SimDisk::new(), watch);
    let config = PartitionConfig::default();
    backend.create_partition(&home(), config).await.unwrap();
    backend.produce(&home(), batch(100)).await.unwrap();
    for id in 1..=leases {
        assert_eq!(lease(&backend).await.0, id);
    }
    backend
}

/// The id and the payload of the item that is leased.
async fn lease(backend: &KvBackend<WatchedKv>) -> (u64, Vec<u8>) {
    let request = LeaseRequest::new(at(1), at(1000), Count::ONE);
    let leased = backend.lease(&home(), request).await.unwrap();
    let item = leased.iter().next().unwrap();
    let payload = item.record().payload().unwrap().to_vec();
    (item.receipt().item.get(), payload)
}

#[tokio::test]
async fn what_is_deleted_and_put_back_is_leased_as_it_is_now() {
    let watch = Watch::default();
    let backend = leased_one_by_one(&watch, 4).await;
    let read = watch.read();
    assert_eq!(lease(&backend).await.0, 5);
    assert_eq!(watch.read(), read, "the next ones were read ahead");

    let id = ItemId::new(6).unwrap();
    backend
        .delete_items(&home(), ItemIds::one(id))
        .await
        .unwrap();
    let mut other = ItemBatch::new();
    other.push(NewItem::new("another payload")).unwrap();
    let position = Position::new(6).unwrap();
    let record = other.seal(at(0)).shared_record(0).clone();
    let entry = ItemEntry::new(id, record, ItemState::Ready { position });
    let restored = RestoreBatch::new(vec![entry]).unwrap();
    backend
        .restore(&home(), restored, Floors::default())
        .await
        .unwrap();

    assert_eq!(lease(&backend).await, (6, b"another payload".to_vec()));
    assert_eq!(lease(&backend).await, (7, b"payload".to_vec()));
}

#[tokio::test]
async fn what_is_deleted_is_not_leased_because_it_was_read_ahead() {
    let backend = leased_one_by_one(&Watch::default(), 4).await;

    let gone = [5, 7].map(|id| ItemId::new(id).unwrap());
    let gone = ItemIds::collect(gone.into_iter()).unwrap();
    backend.delete_items(&home(), gone).await.unwrap();

    assert_eq!(lease(&backend).await.0, 6);
    assert_eq!(lease(&backend).await.0, 8);
}
