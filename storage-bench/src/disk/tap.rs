//! An engine that counts what the driver does to it and, when told to, keeps what it writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use storage_api::Direction;
use storage_kv::{EngineTraits, Keyspace, KvResult, OrderedKv, Span, Visit, WriteBatch};

/// One thing that a driver did to its engine.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Write(WriteBatch),
    WriteSynced(WriteBatch),
    Sync,
}

impl Event {
    /// Does the same to another engine.
    pub(crate) fn replay(self, engine: &dyn OrderedKv) -> KvResult<()> {
        match self {
            Self::Write(batch) => engine.write(batch),
            Self::WriteSynced(batch) => engine.write_synced(batch),
            Self::Sync => engine.sync(),
        }
    }
}

/// What a driver did. Clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<State>);

#[derive(Debug, Default)]
struct State {
    rows: AtomicU64,
    syncs: AtomicU64,
    kept: std::sync::Mutex<Option<Vec<Event>>>,
}

impl Log {
    /// How many rows were put and removed.
    pub(crate) fn rows(&self) -> u64 {
        self.0.rows.load(Ordering::Acquire)
    }

    /// How often the engine was synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.0.syncs.load(Ordering::Acquire)
    }

    /// From now on what is written is kept.
    pub(crate) fn keep(&self) {
        *self.kept() = Some(Vec::new());
    }

    /// What was written since [`keep`](Self::keep) or the last call.
    pub(crate) fn take(&self) -> Vec<Event> {
        self.kept().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Does the same to another engine as was done since [`keep`](Self::keep) or the last call.
    pub(crate) fn replay(&self, engine: &dyn OrderedKv) -> KvResult<()> {
        self.take()
            .into_iter()
            .try_for_each(|event| event.replay(engine))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<Vec<Event>>> {
        self.0.kept.lock().expect("nobody panics under it")
    }

    fn wrote(&self, batch: &WriteBatch, event: impl FnOnce(WriteBatch) -> Event) {
        let rows = batch.len() + batch.ranges().len();
        self.0.rows.fetch_add(rows as u64, Ordering::AcqRel);
        if let Some(kept) = &mut *self.kept() {
            kept.push(event(batch.clone()));
        }
    }

    fn synced(&self) {
        self.0.syncs.fetch_add(1, Ordering::AcqRel);
    }
}

/// An engine behind a log.
pub(crate) struct Tap {
    engine: Arc<dyn OrderedKv>,
    log: Log,
}

impl Tap {
    pub(crate) fn new(engine: Arc<dyn OrderedKv>, log: &Log) -> Self {
        let log = log.clone();
        Self { engine, log }
    }
}

impl OrderedKv for Tap {
    fn get(&self, space: Keyspace, key: &[u8]) -> KvResult<Option<Vec<u8>>> {
        self.engine.get(space, key)
    }

    fn scan(
        &self,
        space: Keyspace,
        span: Span<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> KvResult<()> {
        self.engine.scan(space, span, direction, visit)
    }

    fn write(&self, batch: WriteBatch) -> KvResult<()> {
        self.log.wrote(&batch, Event::Write);
        self.engine.write(batch)
    }

    fn sync(&self) -> KvResult<()> {
        self.log.synced();
        if let Some(kept) = &mut *self.log.kept() {
            kept.push(Event::Sync);
        }
        self.engine.sync()
    }

    fn disk_bytes(&self) -> KvResult<u64> {
        self.engine.disk_bytes()
    }

    fn traits(&self) -> EngineTraits {
        self.engine.traits()
    }

    fn write_synced(&self, batch: WriteBatch) -> KvResult<()> {
        self.log.synced();
        self.log.wrote(&batch, Event::WriteSynced);
        self.engine.write_synced(batch)
    }

    fn backlog(&self) -> u64 {
        self.engine.backlog()
    }

    fn abandon(&self) {
        self.engine.abandon();
    }

    fn reclaim(&self, is_idle: bool) -> KvResult<bool> {
        self.engine.reclaim(is_idle)
    }

    fn close(&self) -> KvResult<()> {
        self.engine.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;
    use storage_kv::{Overlay, SimDisk};

    fn rows(engine: &dyn OrderedKv) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut rows = Vec::new();
        let show = &mut |key: &[u8], value: &[u8]| {
            rows.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        let forward = Direction::Forward;
        let scanned = engine.scan(Keyspace::Bodies, Span::all(), forward, show);
        scanned.unwrap();
        rows
    }

    #[test]
    fn what_is_replayed_leaves_the_same_rows_and_is_counted() {
        let (disk, twin) = (SimDisk::new(), SimDisk::new().open());
        let log = Log::default();
        log.keep();
        let overlay = Overlay::new(Tap::new(Arc::new(disk.open()), &log));
        for key in [b"a", b"b", b"c"] {
            let mut batch = WriteBatch::new();
            batch.put(Keyspace::Bodies, key, b"value");
            batch.delete(Keyspace::Bodies, b"b");
            overlay.write(batch).unwrap();
            overlay.sync().unwrap();
        }

        log.replay(&twin).unwrap();

        assert_eq!(rows(&twin), rows(&disk.open()));
        assert_eq!(rows(&twin).len(), 2);
        // Of one key in one batch the last write counts, so the second round has one row.
        assert_eq!((log.rows(), log.syncs()), (5, 3));
        assert!(log.take().is_empty());
    }
}
