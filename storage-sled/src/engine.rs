//! sled as an ordered key-value engine.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::ops::{Bound, ControlFlow};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use parking_lot::RwLock;
use sled::{Batch, Db, IVec};
use storage_api::Direction;
use storage_kv::{
    EngineTraits, Faults, Keyspace, KvError, KvErrorKind, KvResult, OrderedKv, Seal, Span, Visit,
    WriteBatch, free_bytes, taken_bytes,
};

use crate::error::{translate, translate_io};

const DIRECTORY: &str = "queue.sled";
/// The file that sled locks, and keeps almost everything in.
const LOG: &str = "db";
/// The same within the place.
pub(crate) const FILE: &str = "queue.sled/db";
/// Where sled keeps what may not change between openings.
const SETTINGS: &str = "conf";
/// Where sled keeps values that are too large for its log.
const BLOBS: &str = "blobs";
/// How the name of a snapshot ends while it is written.
const UNFINISHED: &str = "generating";

/// What must be free on the disk before a batch is handed to sled: a few segments of its log, and for each byte of the batch
/// so many, as it writes whole pages.
const ROOM_BYTES: u64 = 4 << 20;
const ROOM_RATIO: u64 = 4;

/// How long sled's own threads may take to let go of its log. One that has panicked never does.
const LET_GO_WAIT: Duration = Duration::from_secs(10);

/// One sled tree, without the queue over it: for benchmarks that compare the two.
///
/// The byte of its keyspace stands before every key: batches are of one tree.
#[derive(Debug)]
pub struct SledEngine {
    place: PathBuf,
    faults: Faults,
    /// Whoever closes writes; everybody else reads.
    opened: RwLock<Option<Db>>,
    undone: OnceLock<Undone>,
}

/// What was there of the keys of a batch that failed, in order. sled shows such a batch, or a part of it, though it never
/// reaches the disk.
type Undone = Vec<(IVec, Option<IVec>)>;

impl SledEngine {
    /// Opens what is in a directory, or makes it. Blocks for as long as sled takes to read its log. Whoever calls it holds the
    /// directory.
    pub fn open(place: &Path, cache_bytes: usize, faults: &Faults) -> KvResult<Self> {
        let db = Seal::of(place).break_for(|| Self::open_sealed(place, cache_bytes))?;
        Ok(Self {
            place: place.to_owned(),
            faults: faults.clone(),
            opened: RwLock::new(Some(db)),
            undone: OnceLock::new(),
        })
    }

    fn open_sealed(place: &Path, cache_bytes: usize) -> KvResult<Db> {
        let directory = place.join(DIRECTORY);
        make_private(&directory).map_err(|error| translate_io("making the directory", error))?;
        let removed = remove_unfinished(&directory);
        removed.map_err(|error| translate_io("removing what is unfinished", error))?;
        let config = sled::Config::new()
            .path(directory)
            .cache_capacity(cache_bytes as u64)
            // Whoever waits asks for it.
            .flush_every_ms(None);
        config.open().map_err(translate)
    }

    /// The file that sled locks, and unlocks by closing it.
    pub(crate) fn lock_of(place: &Path) -> PathBuf {
        place.join(DIRECTORY).join("db")
    }

    /// Calls `act` while the tree is not closed.
    fn with<T>(&self, act: impl FnOnce(&Db) -> KvResult<T>) -> KvResult<T> {
        match &*self.opened.read() {
            Some(db) => act(db),
            None => Err(KvError::new(KvErrorKind::Broken, "the tree is closed")),
        }
    }

    fn commit(
        &self,
        db: &Db,
        batch: &WriteBatch,
        then: impl FnOnce(&Db) -> KvResult<()>,
    ) -> KvResult<()> {
        if self.undone.get().is_some() {
            let reason = "a batch before it failed";
            return Err(KvError::new(KvErrorKind::Unavailable, reason));
        }
        self.check_room(batch)?;
        let (changes, before) = changes(db, batch)?;
        // Until it is known to have worked, it has failed: sled may panic.
        let mut undoing = Undoing {
            engine: self,
            before,
        };
        db.apply_batch(changes).map_err(translate)?;
        then(db)?;
        undoing.before.clear();
        Ok(())
    }

    /// Refuses what the disk may have no room for: once a write of sled has failed, many of its reads do too.
    fn check_room(&self, batch: &WriteBatch) -> KvResult<()> {
        let wanted = ROOM_BYTES + ROOM_RATIO * batch.bytes() as u64;
        let free = free_bytes(&self.place);
        let free = free.map_err(|error| translate_io("asking for the free space", error))?;
        if free >= wanted {
            return Ok(());
        }
        let reason = format!("{free} bytes are free on the disk, and sled may need {wanted}");
        let full = KvError::new(KvErrorKind::Unavailable, reason);
        Err(full.with_source(io::Error::from(io::ErrorKind::StorageFull)))
    }

    /// The files of sled, the log first.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = vec![Path::new(DIRECTORY).join(LOG)];
        for directory in [DIRECTORY.into(), Path::new(DIRECTORY).join(BLOBS)] {
            for entry in fs::read_dir(self.place.join(&directory))? {
                let entry = entry?;
                if entry.file_type()?.is_file() && entry.file_name() != LOG {
                    files.push(directory.join(entry.file_name()));
                }
            }
        }
        Ok(files)
    }
}

/// Removes what a process was writing when it was killed: a snapshot, and the settings of a log that was never made.
///
/// sled gives a snapshot a name of its own until it is whole, and takes it for a damaged one all the same; the one before it is
/// still there. Settings are written before the log is made, and half of them are damaged for ever.
fn remove_unfinished(directory: &Path) -> io::Result<()> {
    if !directory.join(LOG).try_exists()? && directory.join(SETTINGS).try_exists()? {
        fs::remove_file(directory.join(SETTINGS))?;
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == UNFINISHED)
        {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Undoes a batch, unless what was before it is cleared.
struct Undoing<'a> {
    engine: &'a SledEngine,
    before: Undone,
}

impl Drop for Undoing<'_> {
    fn drop(&mut self) {
        if !self.before.is_empty() {
            // The first that fails is the last that is tried.
            let _ = self.engine.undone.set(std::mem::take(&mut self.before));
        }
    }
}

/// Makes the directory of sled for this user alone, or takes the rights of others from it: sled makes its files for everybody
/// to read.
fn make_private(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let is_open = fs::metadata(directory)?.permissions().mode() & 0o077 != 0;
    match is_open {
        true => fs::set_permissions(directory, Permissions::from_mode(0o700)),
        false => Ok(()),
    }
}

fn key_of(space: Keyspace, key: &[u8]) -> Vec<u8> {
    let space = u8::try_from(space.index()).expect("there are few keyspaces");
    let mut bytes = Vec::with_capacity(1 + key.len());
    bytes.push(space);
    bytes.extend_from_slice(key);
    bytes
}

type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

fn bounds(space: Keyspace, span: Span<'_>) -> Bounds {
    let to = match span.to {
        Some(to) => key_of(space, to),
        // The first of the next keyspace.
        None => vec![key_of(space, &[])[0] + 1],
    };
    (
        Bound::Included(key_of(space, span.from)),
        Bound::Excluded(to),
    )
}

/// What a batch changes, and what is there before it.
fn changes(db: &Db, batch: &WriteBatch) -> KvResult<(Batch, Undone)> {
    let mut changes = Batch::default();
    let mut before = Undone::new();
    for range in batch.ranges() {
        for row in db.range(bounds(range.space, Span::new(&range.from, &range.to))) {
            let (key, value) = row.map_err(translate)?;
            changes.remove(&key);
            before.push((key, Some(value)));
        }
    }
    for space in Keyspace::ALL {
        for (key, value) in batch.rows(space) {
            let key = IVec::from(key_of(space, key));
            before.push((key.clone(), db.get(&key).map_err(translate)?));
            match value {
                Some(value) => changes.insert(key, value),
                None => changes.remove(key),
            }
        }
    }
    if !batch.ranges().is_empty() {
        before.sort_by(|(a, _), (b, _)| a.cmp(b));
        before.dedup_by(|(a, _), (b, _)| a == b);
    }
    Ok((changes, before))
}

/// The rows of sled, but of the keys of a batch that failed those that were there before it.
fn merged<'a>(
    rows: impl Iterator<Item = sled::Result<(IVec, IVec)>> + 'a,
    before: impl Iterator<Item = &'a (IVec, Option<IVec>)> + 'a,
    direction: Direction,
) -> impl Iterator<Item = sled::Result<(IVec, IVec)>> + 'a {
    let is_first = move |a: &IVec, b: &IVec| match direction {
        Direction::Forward => a <= b,
        Direction::Backward => a >= b,
    };
    let (mut rows, mut before) = (rows.peekable(), before.peekable());
    std::iter::from_fn(move || {
        loop {
            let (key, value) = match (rows.peek(), before.peek()) {
                (Some(Ok((row, _))), Some((key, value))) if is_first(key, row) => {
                    if row == key {
                        rows.next();
                    }
                    (key, value)
                }
                (None, Some((key, value))) => (key, value),
                _ => return rows.next(),
            };
            before.next();
            if let Some(value) = value {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    })
}

impl OrderedKv for SledEngine {
    fn get(&self, space: Keyspace, key: &[u8]) -> KvResult<Option<Vec<u8>>> {
        let key = key_of(space, key);
        self.with(|db| {
            let found = db.get(&key).map_err(translate)?;
            let undone = self.undone.get().and_then(|undone| {
                let at = undone.binary_search_by(|(known, _)| (**known).cmp(&*key));
                at.ok().map(|at| &undone[at].1)
            });
            let found = undone.unwrap_or(&found);
            Ok(found.as_ref().map(|value| value.to_vec()))
        })
    }

    /// sled shows what is written meanwhile; the overlay before it makes one state of it.
    fn scan(
        &self,
        space: Keyspace,
        span: Span<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> KvResult<()> {
        if span.is_empty() {
            return Ok(());
        }
        let bounds = bounds(space, span);
        let mut show = |row: sled::Result<(IVec, IVec)>| -> KvResult<ControlFlow<()>> {
            let (key, value) = row.map_err(translate)?;
            Ok(visit(&key[1..], &value))
        };
        self.with(|db| {
            let before = self.undone.get().map_or(&[][..], |undone| {
                let (from, to) = &bounds;
                let is_before =
                    |key: &IVec| matches!(from, Bound::Included(from) if **key < **from);
                let is_within = |key: &IVec| matches!(to, Bound::Excluded(to) if **key < **to);
                let start = undone.partition_point(|(key, _)| is_before(key));
                let end = undone.partition_point(|(key, _)| is_within(key));
                &undone[start..end]
            });
            let rows = db.range(bounds.clone());
            let mut rows: Box<dyn Iterator<Item = _>> = match direction {
                Direction::Forward => Box::new(merged(rows, before.iter(), direction)),
                Direction::Backward => Box::new(merged(rows.rev(), before.iter().rev(), direction)),
            };
            for row in &mut rows {
                if show(row)?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn write(&self, batch: WriteBatch) -> KvResult<()> {
        self.with(|db| {
            self.faults.check_write()?;
            self.commit(db, &batch, |_| Ok(()))
        })
    }

    fn sync(&self) -> KvResult<()> {
        self.with(|db| {
            self.faults.check_sync()?;
            db.flush().map_err(translate)?;
            Ok(())
        })
    }

    fn write_synced(&self, batch: WriteBatch) -> KvResult<()> {
        self.with(|db| {
            self.faults.check_sync()?;
            self.commit(db, &batch, |db| {
                db.flush().map_err(translate)?;
                Ok(())
            })
        })
    }

    fn disk_bytes(&self) -> KvResult<u64> {
        let looked_at = |error| translate_io("looking at the files", error);
        let mut bytes = 0;
        for file in self.files().map_err(looked_at)? {
            bytes += match fs::metadata(self.place.join(file)) {
                Ok(metadata) => taken_bytes(&metadata),
                // sled removes some at any time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(looked_at(error)),
            };
        }
        Ok(bytes)
    }

    fn traits(&self) -> EngineTraits {
        EngineTraits {
            survives_kill: false,
            survives_power_loss: false,
            has_cheap_range_deletes: false,
        }
    }

    fn close(&self) -> KvResult<()> {
        let Some(db) = self.opened.write().take() else {
            return Ok(());
        };
        drop(db);
        let log = self.place.join(DIRECTORY).join(LOG);
        wait_until_let_go(&log).map_err(|error| translate_io("closing its log", error))?;
        // Without a seal the next opening takes the place for that of a process that was killed.
        let _ = self
            .files()
            .and_then(|files| Seal::of(&self.place).set(&files));
        Ok(())
    }
}

/// sled's threads hold its log for a moment longer than the tree is held, and with it the lock that another opening needs.
fn wait_until_let_go(log: &Path) -> io::Result<()> {
    let log = File::open(log)?;
    let (sender, let_go) = mpsc::channel();
    let thread = std::thread::Builder::new().name("sled-close".to_owned());
    thread.spawn(move || {
        let locked = log.lock();
        drop(log);
        // An error says that nobody waits any more.
        let _ = sender.send(locked);
    })?;
    let let_go = let_go.recv_timeout(LET_GO_WAIT);
    let_go.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage_kv::{Overlay, prove};

    fn open(place: &Path) -> SledEngine {
        SledEngine::open(place, 1 << 20, &Faults::default()).unwrap()
    }

    #[test]
    fn sled_is_an_ordered_kv() {
        for seed in 0..10 {
            let scratch = tempfile::tempdir().unwrap();
            prove(seed, 300, || open(scratch.path()));
        }
    }

    #[test]
    fn sled_behind_an_overlay_is_an_ordered_kv() {
        for seed in 0..10 {
            let scratch = tempfile::tempdir().unwrap();
            prove(seed, 300, || Overlay::new(open(scratch.path())));
        }
    }

    /// Every row, forwards; backwards they are the same.
    fn rows(engine: &SledEngine) -> Vec<(Vec<u8>, Vec<u8>)> {
        let [mut rows, backwards] = [Direction::Forward, Direction::Backward].map(|direction| {
            let mut rows = Vec::new();
            let scanned = engine.scan(
                Keyspace::Ready,
                Span::all(),
                direction,
                &mut |key, value| {
                    rows.push((key.to_vec(), value.to_vec()));
                    ControlFlow::Continue(())
                },
            );
            scanned.unwrap();
            rows
        });
        rows.reverse();
        assert_eq!(rows, backwards);
        rows.reverse();
        rows
    }

    #[test]
    fn a_batch_that_failed_behind_sleds_back_is_not_shown() {
        let scratch = tempfile::tempdir().unwrap();
        let engine = open(scratch.path());
        let mut batch = WriteBatch::new();
        for key in [b"b", b"c", b"d", b"f"] {
            batch.put(Keyspace::Ready, key, b"old");
        }
        batch.put(Keyspace::Bodies, b"z", b"not asked for");
        batch.put(Keyspace::Due, b"a", b"not asked for");
        engine.write(batch).unwrap();
        let before = rows(&engine);
        let mut batch = WriteBatch::new();
        for key in [b"a", b"c", b"g"] {
            batch.put(Keyspace::Ready, key, b"new");
        }
        batch.delete(Keyspace::Ready, b"d");
        batch.delete_range(Keyspace::Ready, b"e", b"g");

        let failed = engine.with(|db| {
            engine.commit(db, &batch, |_| {
                Err(KvError::new(KvErrorKind::Unavailable, "the disk is full"))
            })
        });

        assert!(failed.is_err());
        assert_eq!(rows(&engine), before);
        for (key, value) in before {
            let found = engine.get(Keyspace::Ready, &key).unwrap();
            assert_eq!(found, Some(value), "{}", key.escape_ascii());
        }
        assert_eq!(engine.get(Keyspace::Ready, b"g").unwrap(), None);
        assert!(
            engine.write(WriteBatch::new()).is_err(),
            "nothing is written any more"
        );
    }
}
