//! Where the numbers end that are reserved: none that somebody saw is given again, whenever the power goes.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use storage_api::{
    Count, Durability, Floors, ItemId, ItemIds, ItemStore, LeaseRequest, PartitionConfig,
    PartitionStore, Position, RestoreBatch, Retries, Retry, RetryTo, StorageBackend,
};
use storage_kv::{KvBackend, KvOptions, SimDisk};

use crate::watched::{Watch, WatchedKv, at, batch, home, open};

/// The last id and the last position that a new partition may give before anything is synced.
const RESERVED: u64 = 65_536;
/// So many before the last one a place begins.
const LEFT: u64 = 3;

type Stand = (ItemId, Position);

/// A partition whose next numbers are the last ones that are reserved, and whose syncs are held up.
async fn nearly_used_up(disk: &SimDisk, watch: &Watch) -> KvBackend<WatchedKv> {
    let options = KvOptions::new("watched", "0", Durability::None);
    let backend = KvBackend::open(WatchedKv::open(disk, watch), options).unwrap();
    let config = PartitionConfig::default();
    backend.create_partition(&home(), config).await.unwrap();
    // The first lease waits for the numbers of the backend.
    backend.produce(&home(), batch(1)).await.unwrap();
    let first = LeaseRequest::new(at(0), at(1), Count::new(1).unwrap());
    let receipts = backend.lease(&home(), first).await.unwrap().receipts();
    backend.complete(&home(), receipts).await.unwrap();
    backend.sync().await.unwrap();
    watch.hold_syncs(true);
    let floors = Floors::none()
        .with_id(ItemId::new(RESERVED - LEFT).unwrap())
        .and_then(|floors| floors.with_position(Position::new(RESERVED - LEFT).unwrap()))
        .unwrap();
    let nothing = RestoreBatch::new(Vec::new()).unwrap();
    backend.restore(&home(), nothing, floors).await.unwrap();
    backend
}

/// What an operation answers that needs no sync; `None`: it waits for one.
fn at_once<T>(operation: impl Future<Output = T>) -> Option<T> {
    match pin!(operation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

fn produce(backend: &KvBackend<WatchedKv>) -> Option<Stand> {
    let produced = at_once(backend.produce(&home(), batch(1)))?.unwrap();
    stand_of(backend, produced.ids().last().unwrap())
}

/// The first item goes to the tail, which takes a position and no id.
fn retry(backend: &KvBackend<WatchedKv>) -> Option<Stand> {
    let request = LeaseRequest::new(at(0), at(1), Count::new(1).unwrap());
    let leased = at_once(backend.lease(&home(), request))?.unwrap();
    let receipt = leased.iter().next().unwrap().receipt();
    let retries = Retries::new(vec![Retry::new(receipt, RetryTo::Now)]).unwrap();
    at_once(backend.retry(&home(), at(0), retries))?.unwrap();
    stand_of(backend, receipt.item)
}

fn stand_of(backend: &KvBackend<WatchedKv>, id: ItemId) -> Option<Stand> {
    let ids = ItemIds::new(vec![id]).unwrap();
    let found = at_once(backend.get_items(&home(), ids, false))?.unwrap();
    Some((id, found[0].as_ref().unwrap().state.position().unwrap()))
}

#[tokio::test]
async fn no_number_that_somebody_saw_is_given_again_whenever_the_power_goes() {
    for operations in 1..=LEFT + 2 {
        for produced in 1..=operations {
            for kept in 0..=3 * LEFT {
                let (disk, watch) = (SimDisk::new(), Watch::default());
                let backend = nearly_used_up(&disk, &watch).await;
                let seen: Vec<Stand> = (0..operations)
                    .map_while(|step| match step < produced {
                        true => produce(&backend),
                        false => retry(&backend),
                    })
                    .collect();
                let last_id = seen.iter().map(|(id, _)| *id).max().unwrap();
                let last_position = seen.iter().map(|(_, position)| *position).max().unwrap();
                let unsynced = disk.unsynced();
                disk.crash(unsynced.min(usize::try_from(kept).unwrap()));
                watch.hold_syncs(false);
                drop(backend);

                let reserved = RESERVED - LEFT + operations.min(LEFT);
                assert_eq!(last_position.get(), reserved, "given without a sync");
                let reopened = open(&disk, &watch);
                let (id, position) = produce(&reopened).unwrap();
                assert!(
                    id > last_id && position > last_position,
                    "{kept} of {unsynced} batches are left of {seen:?}: then {id} at {position}"
                );
            }
        }
    }
}
