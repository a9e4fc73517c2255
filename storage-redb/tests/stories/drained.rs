//! A queue through which much has gone: nobody walks over what is left of it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use storage_api::{
    Direction, Durability, ItemStore, PartitionConfig, PartitionStore, StorageBackend,
};
use storage_kv::{
    EngineTraits, Faults, Keyspace, KvBackend, KvOptions, KvResult, OrderedKv, Overlay, Span,
    Visit, WriteBatch,
};
use storage_redb::RedbEngine;
use storage_stories::scene::{batch, home, lease};

const ITEMS: usize = 20_000;
const BATCH: usize = 1_000;

/// redb, and how many rows were looked at in it.
struct Counted {
    engine: RedbEngine,
    rows: Arc<AtomicU64>,
}

impl OrderedKv for Counted {
    fn get(&self, space: Keyspace, key: &[u8]) -> KvResult<Option<Vec<u8>>> {
        self.rows.fetch_add(1, Ordering::Relaxed);
        self.engine.get(space, key)
    }

    fn scan(
        &self,
        space: Keyspace,
        span: Span<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> KvResult<()> {
        let mut visit = |key: &[u8], value: &[u8]| {
            self.rows.fetch_add(1, Ordering::Relaxed);
            visit(key, value)
        };
        self.engine.scan(space, span, direction, &mut visit)
    }

    fn write(&self, batch: WriteBatch) -> KvResult<()> {
        self.engine.write(batch)
    }

    fn sync(&self) -> KvResult<()> {
        self.engine.sync()
    }

    fn write_synced(&self, batch: WriteBatch) -> KvResult<()> {
        self.engine.write_synced(batch)
    }

    fn disk_bytes(&self) -> KvResult<u64> {
        self.engine.disk_bytes()
    }

    fn traits(&self) -> EngineTraits {
        self.engine.traits()
    }

    fn close(&self) -> KvResult<()> {
        self.engine.close()
    }
}

/// The backend of the driver, at the durability at which what was removed stays in redb for longest.
fn open(directory: &Path, rows: &Arc<AtomicU64>) -> impl StorageBackend {
    let engine = Counted {
        engine: RedbEngine::open(directory, 4 << 20, &Faults::default()).unwrap(),
        rows: Arc::clone(rows),
    };
    let options = KvOptions::new("redb", "1", Durability::None);
    KvBackend::open(Overlay::new(engine), options).unwrap()
}

/// How many rows are looked at for the first lease of a backend.
async fn rows_of_first_lease(backend: &impl StorageBackend, rows: &AtomicU64) -> u64 {
    let before = rows.load(Ordering::Relaxed);
    let leased = lease(backend, 10).await;
    assert_eq!(leased.len(), 1);
    rows.load(Ordering::Relaxed) - before
}

#[tokio::test]
async fn the_first_lease_behind_a_drained_head_looks_at_next_to_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let rows = Arc::new(AtomicU64::new(0));
    let backend = open(scratch.path(), &rows);
    let config = PartitionConfig::default();
    backend.create_partition(&home(), config).await.unwrap();
    for _ in 0..ITEMS / BATCH {
        let items = batch(BATCH, b"payload");
        backend.produce(&home(), items).await.unwrap();
    }
    // What is removed from here on is in redb until it is written there, too.
    backend.sync().await.unwrap();
    for _ in 0..ITEMS / BATCH {
        let receipts = lease(&backend, BATCH).await;
        backend.complete(&home(), receipts).await.unwrap();
    }
    backend.produce(&home(), batch(1, b"one")).await.unwrap();

    let looked_at = rows_of_first_lease(&backend, &rows).await;

    // Looking from the beginning would find as many as there were items.
    assert!(looked_at < 100, "{looked_at} rows");
    backend.produce(&home(), batch(1, b"two")).await.unwrap();
    backend.close().await.unwrap();
    drop(backend);
    let backend = open(scratch.path(), &rows);
    let looked_at = rows_of_first_lease(&backend, &rows).await;
    assert!(looked_at < 100, "{looked_at} rows after a reopening");
}
