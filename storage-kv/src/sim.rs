//! An engine in memory whose power can be cut.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use storage_api::Direction;

use crate::batch::WriteBatch;
use crate::engine::{EngineTraits, KvError, KvErrorKind, KvResult, OrderedKv, Span, Visit};
use crate::keyspace::Keyspace;
use crate::sync::{Mutex, MutexGuard};

/// The disk of a [`SimKv`]: it outlives the engine, and forgets what was not synced when the power goes.
///
/// Clones are the same disk.
///
/// ```
/// use storage_kv::{Keyspace, OrderedKv, SimDisk, WriteBatch};
///
/// let disk = SimDisk::new();
/// let engine = disk.open();
/// let mut batch = WriteBatch::new();
/// batch.put(Keyspace::Entries, b"key", b"value");
/// engine.write(batch)?;
/// disk.crash(0); // nothing of what was not synced reached the disk
/// assert_eq!(disk.open().get(Keyspace::Entries, b"key")?, None);
/// # Ok::<(), storage_kv::KvError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<Sim>>,
}

/// An ordered key-value engine in memory, opened on a [`SimDisk`].
#[derive(Debug)]
pub struct SimKv {
    disk: SimDisk,
    /// Which opening it is; after a crash an engine opened before it can do nothing any more.
    opening: u64,
    survives_kill: bool,
    /// Whether nobody else may open the disk as long as this is open.
    is_holder: bool,
}

type Rows = [BTreeMap<Vec<u8>, Vec<u8>>; Keyspace::COUNT];

#[derive(Debug, Default)]
struct Sim {
    /// What is seen.
    rows: Rows,
    /// What is on stable storage.
    synced: Rows,
    /// What leads from `synced` to `rows`.
    unsynced: Vec<WriteBatch>,
    opening: u64,
    is_held: bool,
    fails_write: bool,
    fails_sync: bool,
    is_full: bool,
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// An engine on this disk.
    pub fn open(&self) -> SimKv {
        SimKv {
            disk: self.clone(),
            opening: self.state.lock().opening,
            survives_kill: false,
            is_holder: false,
        }
    }

    /// An engine that holds this disk until it is closed or dropped; `None` while another does.
    pub fn hold(&self) -> Option<SimKv> {
        let is_held = std::mem::replace(&mut self.state.lock().is_held, true);
        if is_held {
            return None;
        }
        let mut engine = self.open();
        engine.is_holder = true;
        Some(engine)
    }

    /// How many batches were written and not synced.
    pub fn unsynced(&self) -> usize {
        self.state.lock().unsynced.len()
    }

    /// Cuts the power: of the batches that were not synced the first `kept` are on the disk, the rest is gone.
    ///
    /// Every engine that was opened before fails from here on.
    pub fn crash(&self, kept: usize) {
        let state = &mut *self.state.lock();
        state.unsynced.truncate(kept);
        state.settle();
        state.rows = state.synced.clone();
        state.opening += 1;
        state.is_held = false;
        state.heal();
    }

    /// The next write fails, and changes nothing.
    pub fn fail_next_write(&self) {
        self.state.lock().fails_write = true;
    }

    /// The next sync fails.
    pub fn fail_next_sync(&self) {
        self.state.lock().fails_sync = true;
    }

    /// Writes and syncs fail until [`heal`](Self::heal).
    pub fn fill(&self) {
        self.state.lock().is_full = true;
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.state.lock().heal();
    }

    /// Flips one bit of the value of the row at that place, counted over all rows; `false` where there is none.
    pub fn flip(&self, row: usize, byte: usize, bit: u8) -> bool {
        let state = &mut *self.state.lock();
        let rows = state.rows.iter_mut().flat_map(BTreeMap::values_mut);
        let Some(value) = rows.filter(|value| !value.is_empty()).nth(row) else {
            return false;
        };
        let at = byte % value.len();
        value[at] ^= 1 << (bit % 8);
        true
    }

    /// Every row that is seen, with its keyspace and key.
    pub fn rows(&self) -> Vec<(Keyspace, Vec<u8>, Vec<u8>)> {
        let state = self.state.lock();
        let of_space = |space: Keyspace| {
            state.rows[space.index()]
                .iter()
                .map(move |row| (space, row))
        };
        let rows = Keyspace::ALL.into_iter().flat_map(of_space);
        rows.map(|(space, (key, value))| (space, key.clone(), value.clone()))
            .collect()
    }

    /// Changes a row as no engine would: takes it away, or puts another in its place, as one from an earlier moment.
    pub fn tamper(&self, space: Keyspace, key: &[u8], value: Option<&[u8]>) {
        let state = &mut *self.state.lock();
        for rows in [&mut state.rows, &mut state.synced] {
            let rows = &mut rows[space.index()];
            match value {
                Some(value) => rows.insert(key.to_vec(), value.to_vec()),
                None => rows.remove(key),
            };
        }
    }
}

impl Sim {
    /// What was written is on stable storage.
    fn settle(&mut self) {
        for batch in self.unsynced.drain(..) {
            apply(&mut self.synced, &batch);
        }
    }

    fn heal(&mut self) {
        self.fails_write = false;
        self.fails_sync = false;
        self.is_full = false;
    }
}

impl SimKv {
    /// The same, said to keep what it was given when its process is killed.
    #[must_use]
    pub fn surviving_kill(mut self, survives_kill: bool) -> Self {
        self.survives_kill = survives_kill;
        self
    }

    fn let_go(&self) {
        let mut state = self.disk.state.lock();
        if self.is_holder && state.opening == self.opening {
            state.is_held = false;
        }
    }

    fn state(&self) -> KvResult<MutexGuard<'_, Sim>> {
        let state = self.disk.state.lock();
        if state.opening != self.opening {
            return Err(KvError::new(
                KvErrorKind::Broken,
                "the power went after this engine was opened",
            ));
        }
        Ok(state)
    }
}

impl Drop for SimKv {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl OrderedKv for SimKv {
    fn get(&self, space: Keyspace, key: &[u8]) -> KvResult<Option<Vec<u8>>> {
        Ok(self.state()?.rows[space.index()].get(key).cloned())
    }

    fn scan(
        &self,
        space: Keyspace,
        span: Span<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> KvResult<()> {
        let state = self.state()?;
        if span.is_empty() {
            return Ok(());
        }
        let to = span.to.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows = state.rows[space.index()].range::<[u8], _>((Bound::Included(span.from), to));
        loop {
            let row = match direction {
                Direction::Forward => rows.next(),
                Direction::Backward => rows.next_back(),
            };
            let Some((key, value)) = row else {
                return Ok(());
            };
            if visit(key, value).is_break() {
                return Ok(());
            }
        }
    }

    fn write(&self, batch: WriteBatch) -> KvResult<()> {
        let state = &mut *self.state()?;
        if std::mem::take(&mut state.fails_write) || state.is_full {
            return Err(full());
        }
        apply(&mut state.rows, &batch);
        state.unsynced.push(batch);
        Ok(())
    }

    fn sync(&self) -> KvResult<()> {
        let mut state = self.state()?;
        if std::mem::take(&mut state.fails_sync) || state.is_full {
            return Err(full());
        }
        state.settle();
        Ok(())
    }

    fn disk_bytes(&self) -> KvResult<u64> {
        let state = self.state()?;
        let rows = state.rows.iter().flatten();
        Ok(rows
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum())
    }

    fn traits(&self) -> EngineTraits {
        EngineTraits {
            survives_kill: self.survives_kill,
            survives_power_loss: true,
            has_cheap_range_deletes: false,
        }
    }

    fn close(&self) -> KvResult<()> {
        self.let_go();
        Ok(())
    }
}

fn full() -> KvError {
    KvError::new(KvErrorKind::Unavailable, "the simulated disk refused it")
}

fn apply(rows: &mut Rows, batch: &WriteBatch) {
    for range in batch.ranges() {
        let space = &mut rows[range.space.index()];
        let behind = space.split_off(&range.from);
        let kept = behind.into_iter().filter(|(key, _)| *key >= range.to);
        space.extend(kept);
    }
    for space in Keyspace::ALL {
        let into = &mut rows[space.index()];
        for (key, value) in batch.rows(space) {
            match value {
                Some(value) => into.insert(key.to_vec(), value.to_vec()),
                None => into.remove(key),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prove::prove;

    fn put(engine: &SimKv, key: &[u8]) {
        let mut batch = WriteBatch::new();
        batch.put(Keyspace::Entries, key, b"");
        engine.write(batch).unwrap();
    }

    fn keys(engine: &SimKv) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        engine
            .scan(
                Keyspace::Entries,
                Span::all(),
                Direction::Forward,
                &mut |key, _| {
                    keys.push(key.to_vec());
                    std::ops::ControlFlow::Continue(())
                },
            )
            .unwrap();
        keys
    }

    #[test]
    fn a_sim_kv_is_an_ordered_kv() {
        for seed in 0..20 {
            let disk = SimDisk::new();
            prove(seed, 400, || disk.open());
        }
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_a_prefix_of_the_rest() {
        let disk = SimDisk::new();
        let engine = disk.open();
        put(&engine, b"a");
        engine.sync().unwrap();
        for key in [b"b", b"c", b"d"] {
            put(&engine, key);
        }

        disk.crash(2);

        assert_eq!(keys(&disk.open()), [b"a", b"b", b"c"]);
        assert!(engine.get(Keyspace::Entries, b"a").is_err(), "it is dead");
    }
}
