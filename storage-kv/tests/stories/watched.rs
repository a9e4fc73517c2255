//! An engine that counts, and whose syncs can be held up.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use storage_api::{Direction, Durability, ItemBatch, NewItem, PartitionId, SealedBatch, Timestamp};
use storage_kv::{
    EngineTraits, Keyspace, KvBackend, KvOptions, KvResult, OrderedKv, SimDisk, SimKv, Span, Visit,
    WriteBatch,
};

/// What an engine was asked for. Clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    pub(crate) rows_read: Arc<AtomicU64>,
    pub(crate) rows_written: Arc<AtomicU64>,
    pub(crate) syncs: Arc<AtomicU64>,
    hold: Arc<(Mutex<bool>, Condvar)>,
}

impl Watch {
    pub(crate) fn read(&self) -> u64 {
        self.rows_read.load(Ordering::SeqCst)
    }

    pub(crate) fn written(&self) -> u64 {
        self.rows_written.load(Ordering::SeqCst)
    }

    pub(crate) fn synced(&self) -> u64 {
        self.syncs.load(Ordering::SeqCst)
    }

    /// Syncs do not come to an end until they are let go.
    pub(crate) fn hold_syncs(&self, is_held: bool) {
        *self.hold.0.lock().unwrap() = is_held;
        self.hold.1.notify_all();
    }
}

pub(crate) struct WatchedKv {
    engine: SimKv,
    watch: Watch,
}

impl WatchedKv {
    pub(crate) fn open(disk: &SimDisk, watch: &Watch) -> Self {
        Self {
            engine: disk.open(),
            watch: watch.clone(),
        }
    }
}

impl OrderedKv for WatchedKv {
    fn get(&self, space: Keyspace, key: &[u8]) -> KvResult<Option<Vec<u8>>> {
        self.watch.rows_read.fetch_add(1, Ordering::SeqCst);
        self.engine.get(space, key)
    }

    fn scan(
        &self,
        space: Keyspace,
        span: Span<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> KvResult<()> {
        self.engine.scan(space, span, direction, &mut |key,
                                                       value|
         -> ControlFlow<()> {
            self.watch.rows_read.fetch_add(1, Ordering::SeqCst);
            visit(key, value)
        })
    }

    fn write(&self, batch: WriteBatch) -> KvResult<()> {
        let rows = batch.len() as u64;
        self.watch.rows_written.fetch_add(rows, Ordering::SeqCst);
        self.engine.write(batch)
    }

    fn sync(&self) -> KvResult<()> {
        self.watch.syncs.fetch_add(1, Ordering::SeqCst);
        let mut is_held = self.watch.hold.0.lock().unwrap();
        while *is_held {
            is_held = self.watch.hold.1.wait(is_held).unwrap();
        }
        self.engine.sync()
    }

    fn disk_bytes(&self) -> KvResult<u64> {
        self.engine.disk_bytes()
    }

    fn traits(&self) -> EngineTraits {
        self.engine.traits()
    }
}

pub(crate) fn home() -> PartitionId {
    PartitionId::new("home", 0).unwrap()
}

pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

pub(crate) fn batch(count: usize) -> SealedBatch {
    let mut batch = ItemBatch::new();
    for _ in 0..count {
        batch.push(NewItem::new("payload")).unwrap();
    }
    batch.seal(at(0))
}

pub(crate) fn options() -> KvOptions {
    KvOptions::new("watched", "0", Durability::PowerLoss)
}

pub(crate) fn open(disk: &SimDisk, watch: &Watch) -> KvBackend<WatchedKv> {
    KvBackend::open(WatchedKv::open(disk, watch), options().inline()).unwrap()
}
