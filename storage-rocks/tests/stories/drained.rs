//! A queue through which much has gone: nobody walks over what is left of it.

use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};
use storage_api::{ItemStore, PartitionConfig, PartitionStore, StorageBackend};
use storage_rocks::RocksBackend;

use storage_stories::scene::{batch, home, lease, open};

use crate::driver::Rocks;

const ITEMS: usize = 20_000;
const BATCH: usize = 1_000;

/// How many rows and tombstones RocksDB steps over for the first lease of a backend.
async fn steps_of_first_lease(backend: &RocksBackend) -> u64 {
    set_perf_stats(PerfStatsLevel::EnableCount);
    let mut steps = PerfContext::default();
    steps.reset();
    let leased = lease(backend, 10).await;
    assert_eq!(leased.len(), 1);
    steps.metric(PerfMetric::InternalDeleteSkippedCount)
        + steps.metric(PerfMetric::InternalKeySkippedCount)
}

#[tokio::test]
async fn the_first_lease_behind_a_drained_head_steps_over_next_to_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let backend = open::<Rocks>(scratch.path()).await;
    let config = PartitionConfig::default();
    backend.create_partition(&home(), config).await.unwrap();
    for _ in 0..ITEMS / BATCH {
        let items = batch(BATCH, b"payload");
        backend.produce(&home(), items).await.unwrap();
    }
    for _ in 0..ITEMS / BATCH {
        let receipts = lease(&backend, BATCH).await;
        backend.complete(&home(), receipts).await.unwrap();
    }
    backend.produce(&home(), batch(1, b"one")).await.unwrap();

    let steps = steps_of_first_lease(&backend).await;

    // Looking from the beginning would take as many steps as there were items.
    assert!(steps < 100, "{steps} steps");
    backend.produce(&home(), batch(1, b"two")).await.unwrap();
    backend.close().await.unwrap();
    let backend = open::<Rocks>(scratch.path()).await;
    let steps = steps_of_first_lease(&backend).await;
    assert!(steps < 100, "{steps} steps after a reopening");
}
