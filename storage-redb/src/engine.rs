//! redb as an ordered key-value engine.

use std::fs;
use std::io;
use std::ops::{Bound, ControlFlow};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use redb::{
    Database, Durability, ReadOnlyTable, ReadTransaction, ReadableTable as _, TableDefinition,
    WriteTransaction,
};
use storage_api::Direction;
use storage_kv::{
    EngineTraits, Faults, Keyspace, KvError, KvErrorKind, KvResult, OrderedKv, Span, Visit,
    WriteBatch, taken_bytes,
};

use crate::error::{translate, translate_io};
use crate::file::{Disk as _, FaultyFile, SteadyFile, Tripwire};

pub(crate) const FILE: &str = "queue.redb";
/// A file that is not whole yet.
const FILE_NEW: &str = "queue.redb.new";

type Bytes = &'static [u8];
type Table = ReadOnlyTable<Bytes, Bytes>;

/// How many bytes of keys and values there are, kept so that it need not be counted.
const LIVE_BYTES: TableDefinition<'_, (), u64> = TableDefinition::new("live-bytes");

/// While nobody waits, files from this size on are compacted; a new one has half of it.
const COMPACT_BYTES_IDLE: u64 = 2 << 20;
/// While somebody does, only files from this size on: compacting takes several syncs.
const COMPACT_BYTES_BUSY: u64 = 64 << 20;
/// A file is compacted when it is so many times as large as what it holds. redb needs up to about twice.
const COMPACT_RATIO: u64 = 4;

/// Files up to this size are compared with their checksums when they are opened, which takes some milliseconds.
const CHECK_BYTES_MAX: u64 = 16 << 20;

/// redb counts the bytes of pages, and what keeps each of them comes on top: measured, three to four parts in a hundred. This
/// part of what the cache may take is left for it.
const CACHE_PART_BESIDE: usize = 16;

/// From so many neighbours on, rows are put in or removed together.
const NEIGHBOURS_MIN: usize = 4;
/// Where keys do not tell whether they are neighbours, so many are looked at together.
const NEIGHBOURS: usize = 64;
/// Numbers of neighbours differ by no more: passing over a row costs a small part of removing one.
const GAP_MAX: u64 = 4;
/// So many rows are put in one by one before neighbours are looked for again.
const SINGLE_ROWS: usize = 16;

/// A key, and the value that it gets; `None`: it is removed.
type RowChange<'a> = (&'a [u8], Option<&'a [u8]>);

/// One redb file, without the queue over it: for benchmarks that compare the two.
#[derive(Debug)]
pub struct RedbEngine {
    path: PathBuf,
    tripwire: Tripwire,
    is_row_by_row: bool,
    /// Whoever compacts or closes writes; everybody else reads.
    opened: RwLock<Option<Opened>>,
}

#[derive(Debug)]
struct Opened {
    /// Before the database, so that it goes first.
    view: Mutex<Arc<View>>,
    database: Database,
    live_bytes: Mutex<u64>,
}

/// What is seen until the next commit: one snapshot, its tables opened when first asked for.
struct View {
    snapshot: ReadTransaction,
    tables: [OnceLock<Table>; Keyspace::COUNT],
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

fn table(space: Keyspace) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(space.name())
}

impl RedbEngine {
    /// Opens the file of a directory, or makes it. Blocks; after a crash for as long as redb's repair takes. Whoever calls
    /// it holds the directory.
    pub fn open(directory: &Path, cache_bytes: usize, faults: &Faults) -> KvResult<Self> {
        let path = directory.join(FILE);
        if !path
            .try_exists()
            .map_err(|error| translate_io("looking for the file", error))?
        {
            make_file(directory, cache_bytes, faults)?;
        }
        check_file(&path)?;
        let tripwire = Tripwire::default();
        let database = open_file(&path, &tripwire, cache_bytes, faults)?;
        let snapshot = Snapshot::of(&database)?;
        let live_bytes = snapshot.live_bytes;
        Ok(Self {
            path,
            tripwire,
            is_row_by_row: false,
            opened: RwLock::new(Some(Opened {
                view: Mutex::new(Arc::new(snapshot.view)),
                database,
                live_bytes: Mutex::new(live_bytes),
            })),
        })
    }

    /// Puts in and removes every row by a call of its own, also neighbours: for benchmarks that compare the two.
    #[must_use]
    pub fn row_by_row(self) -> Self {
        Self {
            is_row_by_row: true,
            ..self
        }
    }

    /// Calls `act` while the database is neither compacted nor closed.
    fn with<T>(&self, act: impl FnOnce(&Opened) -> KvResult<T>) -> KvResult<T> {
        match &*self.opened.read() {
            Some(opened) => act(opened),
            None => Err(closed()),
        }
    }

    fn commit(&self, batch: &WriteBatch, durability: Durability) -> KvResult<()> {
        self.with(|opened| {
            self.check()?;
            let mut live_bytes = opened.live_bytes.lock();
            let mut transaction = opened.database.begin_write().map_err(translate)?;
            transaction.set_durability(durability).map_err(translate)?;
            let after = apply(&transaction, batch, *live_bytes, self.is_row_by_row);
            let after = after.map_err(translate)?;
            transaction.commit().map_err(translate)?;
            // redb does not notice that a write failed.
            self.check()?;
            *live_bytes = after;
            *opened.view.lock() = Arc::new(View::of(&opened.database)?);
            Ok(())
        })
    }

    fn metadata(&self) -> KvResult<fs::Metadata> {
        fs::metadata(&self.path).map_err(|error| translate_io("looking at the file", error))
    }

    fn check(&self) -> KvResult<()> {
        match self.tripwire.tripped() {
            None => Ok(()),
            Some(reason) => Err(KvError::new(KvErrorKind::Unavailable, reason)),
        }
    }
}

fn closed() -> KvError {
    KvError::new(KvErrorKind::Broken, "the file is closed")
}

/// Makes the file under another name and renames it when it is whole, so that a crash leaves either nothing or all.
fn make_file(directory: &Path, cache_bytes: usize, faults: &Faults) -> KvResult<()> {
    let new = directory.join(FILE_NEW);
    let made = |error| translate_io("making the file", error);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(made(error)),
        _ => {}
    }
    let tripwire = Tripwire::default();
    let database = open_file(&new, &tripwire, cache_bytes, faults)?;
    let transaction = database.begin_write().map_err(translate)?;
    for space in Keyspace::ALL {
        transaction.open_table(table(space)).map_err(translate)?;
    }
    {
        let mut live_bytes = transaction.open_table(LIVE_BYTES).map_err(translate)?;
        live_bytes.insert((), 0).map_err(translate)?;
    }
    transaction.commit().map_err(translate)?;
    drop(database);
    if let Some(reason) = tripwire.tripped() {
        return Err(KvError::new(KvErrorKind::Unavailable, reason));
    }
    fs::rename(new, directory.join(FILE)).map_err(made)?;
    let synced = fs::File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(made)
}

/// Compares every checksum of a small file that was closed properly: then nothing can have been cut off, and what does not
/// fit is damage. Nothing is written.
///
/// A file that was not closed is repaired by redb, which compares all of them and goes back to the commit before if the
/// last one is not whole. In a large one that was closed, damage to a page is told when a row of it is read or missed by
/// another; items of which no row can be found are told by `verify`.
fn check_file(path: &Path) -> KvResult<()> {
    let file = FaultyFile {
        file: fs::File::open(path).map_err(|error| translate_io("opening the file", error))?,
        faults: Faults::default(),
    };
    let looked_at = |error| translate_io("looking at the file", error);
    match file.len().map_err(looked_at)? {
        // redb would make a new one of it.
        0 => {
            return Err(KvError::new(
                KvErrorKind::Corrupted,
                "its file is empty; restore it from a copy",
            ));
        }
        1..=CHECK_BYTES_MAX => {}
        _ => return Ok(()),
    }
    let was_closed = Arc::new(AtomicBool::new(true));
    let mut builder = Database::builder();
    builder.set_repair_callback({
        let was_closed = Arc::clone(&was_closed);
        move |repair| {
            was_closed.store(false, Ordering::Release);
            repair.abort();
        }
    });
    let opened = builder.create_with_backend(SteadyFile::dry(file).map_err(looked_at)?);
    if !was_closed.load(Ordering::Acquire) {
        return Ok(());
    }
    let mut database = opened.map_err(translate)?;
    match database.check_integrity() {
        Ok(true) => Ok(()),
        Ok(false) => Err(KvError::new(
            KvErrorKind::Corrupted,
            "checksums of its file do not match; restore it from a copy",
        )),
        Err(error) => Err(translate(error)),
    }
}

fn open_file(
    path: &Path,
    tripwire: &Tripwire,
    cache_bytes: usize,
    faults: &Faults,
) -> KvResult<Database> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(0o600).open(path);
    let file = FaultyFile {
        file: file.map_err(|error| translate_io("opening the file", error))?,
        faults: faults.clone(),
    };
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes - cache_bytes / CACHE_PART_BESIDE);
    let opened = builder.create_with_backend(SteadyFile::new(file, tripwire.clone()));
    let database = opened.map_err(translate)?;
    match tripwire.tripped() {
        None => Ok(database),
        Some(reason) => Err(KvError::new(KvErrorKind::Unavailable, reason)),
    }
}

/// Puts a batch into a transaction; the answer is how many bytes of keys and values there are then.
fn apply(
    transaction: &WriteTransaction,
    batch: &WriteBatch,
    live_bytes: u64,
    is_row_by_row: bool,
) -> Result<u64, redb::Error> {
    let mut live = live_bytes;
    for space in Keyspace::ALL {
        let rows: Vec<_> = batch.rows(space).collect();
        let ranges = batch.ranges().iter().filter(|range| range.space == space);
        if rows.is_empty() && ranges.clone().next().is_none() {
            continue;
        }
        let mut table = transaction.open_table(table(space))?;
        for range in ranges {
            let keys = range.from.as_slice()..range.to.as_slice();
            table.retain_in::<&[u8], _>(keys, |key, value| {
                live = live.saturating_sub((key.len() + value.len()) as u64);
                false
            })?;
        }
        if is_row_by_row {
            change_singles(&mut table, &rows, &mut live)?;
            continue;
        }
        // Runs of puts and runs of removals, each ordered by key.
        for run in rows.chunk_by(|(_, a), (_, b)| a.is_some() == b.is_some()) {
            match run.first() {
                Some((_, Some(_))) => put_rows(&mut table, run, &mut live)?,
                _ => remove_rows(&mut table, run, &mut live)?,
            }
        }
    }
    if live != live_bytes {
        transaction.open_table(LIVE_BYTES)?.insert((), live)?;
    }
    Ok(live)
}

/// Puts rows in, which are ordered by key.
fn put_rows(
    table: &mut redb::Table<'_, Bytes, Bytes>,
    mut rows: &[RowChange<'_>],
    live: &mut u64,
) -> Result<(), redb::Error> {
    while !rows.is_empty() {
        if rows.len() >= NEIGHBOURS_MIN {
            let put = put_neighbours(table, rows, live)?;
            rows = &rows[put..];
        }
        // The next is there already, or behind something that is. So are those behind it, as likely as not.
        let (single, rest) = rows.split_at(rows.len().min(SINGLE_ROWS));
        change_singles(table, single, live)?;
        rows = rest;
    }
    Ok(())
}

/// Puts in or removes rows one by one.
fn change_singles(
    table: &mut redb::Table<'_, Bytes, Bytes>,
    rows: &[RowChange<'_>],
    live: &mut u64,
) -> Result<(), redb::Error> {
    for (key, value) in rows {
        let old = match value {
            Some(value) => {
                *live += (key.len() + value.len()) as u64;
                table.insert(*key, *value)?
            }
            None => table.remove(*key)?,
        };
        let old = old.map(|old| (key.len() + old.value().len()) as u64);
        *live = live.saturating_sub(old.unwrap_or(0));
    }
    Ok(())
}

/// Puts in the first of some ordered rows that all come into one gap of the table; the answer is how many those are.
fn put_neighbours(
    table: &mut redb::Table<'_, Bytes, Bytes>,
    rows: &[RowChange<'_>],
    live: &mut u64,
) -> Result<usize, redb::Error> {
    let Some((first, _)) = rows.first() else {
        return Ok(0);
    };
    let mut cursor = table.lower_bound_mut(Bound::Included(*first))?;
    let behind = cursor.peek_next()?.map(|(key, _)| key.value().to_vec());
    let put = match behind {
        None => rows.len(),
        Some(behind) => rows.partition_point(|(key, _)| *key < behind.as_slice()),
    };
    for (key, value) in &rows[..put] {
        let Some(value) = value else { continue };
        cursor
            .insert_before(*key, *value)
            .map_err(|error| match error {
                redb::CursorError::Storage(error) => error.into(),
                other => redb::Error::Corrupted(format!("rows are not in order: {other}")),
            })?;
        *live += (key.len() + value.len()) as u64;
    }
    cursor.close()?;
    Ok(put)
}

/// Removes rows, which are ordered by key: neighbours in one go, as one by one costs up to ten times as much.
fn remove_rows(
    table: &mut redb::Table<'_, Bytes, Bytes>,
    mut rows: &[RowChange<'_>],
    live: &mut u64,
) -> Result<(), redb::Error> {
    while !rows.is_empty() {
        let mut len = numbered_neighbours(rows);
        let mut are_neighbours = len >= NEIGHBOURS_MIN;
        if !are_neighbours {
            len = rows.len().min(NEIGHBOURS);
            are_neighbours = len >= NEIGHBOURS_MIN && are_dense(table, &rows[..len])?;
        }
        let (first, rest) = rows.split_at(len);
        if are_neighbours {
            remove_neighbours(table, first, live)?;
        } else {
            change_singles(table, first, live)?;
        }
        rows = rest;
    }
    Ok(())
}

/// How many of the first keys differ only in the number that they end with, and not by much: then nothing else can lie
/// between them but a few rows of the same kind.
fn numbered_neighbours(rows: &[RowChange<'_>]) -> usize {
    if are_numbered_neighbours(rows) {
        return rows.len();
    }
    let is_near = |a: &[u8], b: &[u8]| {
        let number = |key: &[u8]| {
            let (prefix, number) = key.split_last_chunk()?;
            Some((prefix.len(), u64::from_be_bytes(*number)))
        };
        let Some(((len, a_number), (b_len, b_number))) = number(a).zip(number(b)) else {
            return false;
        };
        len == b_len && a[..len] == b[..len] && b_number.saturating_sub(a_number) <= GAP_MAX
    };
    let together = rows
        .windows(2)
        .take_while(|two| is_near(two[0].0, two[1].0));
    together.count() + 1
}

/// Whether all of some ordered keys are neighbours, seen at a glance: those between two of one length and one beginning have
/// that beginning, too, if they have that length.
fn are_numbered_neighbours(rows: &[RowChange<'_>]) -> bool {
    let (Some((first, _)), Some((last, _))) = (rows.first(), rows.last()) else {
        return false;
    };
    let ends = first.split_last_chunk().zip(last.split_last_chunk());
    let Some(((prefix, first_number), (last_prefix, last_number))) = ends else {
        return false;
    };
    let numbers =
        u64::from_be_bytes(*last_number).saturating_sub(u64::from_be_bytes(*first_number));
    prefix == last_prefix
        && numbers / GAP_MAX <= rows.len() as u64
        && rows.iter().all(|(key, _)| key.len() == first.len())
}

/// Whether the table has next to nothing else between some ordered keys.
fn are_dense(
    table: &redb::Table<'_, Bytes, Bytes>,
    rows: &[RowChange<'_>],
) -> Result<bool, redb::Error> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(false);
    };
    let between = (Bound::Included(first.0), Bound::Included(last.0));
    // A step of a scan costs a small part of a removal.
    let others_max = rows.len() + rows.len() / 2;
    let found = table.range::<&[u8]>(between)?.take(others_max + 1);
    Ok(found.count() <= others_max)
}

fn remove_neighbours(
    table: &mut redb::Table<'_, Bytes, Bytes>,
    rows: &[RowChange<'_>],
    live: &mut u64,
) -> Result<(), redb::Error> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(());
    };
    let between = (Bound::Included(first.0), Bound::Included(last.0));
    let mut keys = rows.iter().map(|(key, _)| *key).peekable();
    table.retain_in::<&[u8], _>(between, |key, value| {
        // Mostly it is the next; if not, some were not there.
        let mut is_removed = keys.next_if(|wanted| *wanted == key).is_some();
        if !is_removed {
            while keys.next_if(|wanted| *wanted < key).is_some() {}
            is_removed = keys.next_if(|wanted| *wanted == key).is_some();
        }
        if is_removed {
            *live = live.saturating_sub((key.len() + value.len()) as u64);
        }
        !is_removed
    })?;
    Ok(())
}

struct Snapshot {
    view: View,
    live_bytes: u64,
}

impl Snapshot {
    fn of(database: &Database) -> KvResult<Self> {
        let view = View::of(database)?;
        let table = view.snapshot.open_table(LIVE_BYTES).map_err(translate)?;
        let live_bytes = table.get(()).map_err(translate)?;
        let live_bytes = live_bytes.map_or(0, |bytes| bytes.value());
        Ok(Self { view, live_bytes })
    }
}

impl View {
    fn of(database: &Database) -> KvResult<Self> {
        use redb::ReadableDatabase as _;
        Ok(Self {
            snapshot: database.begin_read().map_err(translate)?,
            tables: Default::default(),
        })
    }

    fn table(&self, space: Keyspace) -> KvResult<&Table> {
        let slot = &self.tables[space.index()];
        if let Some(opened) = slot.get() {
            return Ok(opened);
        }
        let opened = self.snapshot.open_table(table(space)).map_err(translate)?;
        Ok(slot.get_or_init(|| opened))
    }
}

impl OrderedKv for RedbEngine {
    fn get(&self, space: Keyspace, key: &[u8]) -> KvResult<Option<Vec<u8>>> {
        self.with(|opened| {
            let view = Arc::clone(&opened.view.lock());
            let found = view.table(space)?.get(key).map_err(translate)?;
            Ok(found.map(|value| value.value().to_vec()))
        })
    }

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
        self.with(|opened| {
            let view = Arc::clone(&opened.view.lock());
            let to = span.to.map_or(Bound::Unbounded, Bound::Excluded);
            let bounds = (Bound::Included(span.from), to);
            let mut rows = view
                .table(space)?
                .range::<&[u8]>(bounds)
                .map_err(translate)?;
            loop {
                let row = match direction {
                    Direction::Forward => rows.next(),
                    Direction::Backward => rows.next_back(),
                };
                let Some(row) = row else {
                    return Ok(());
                };
                let (key, value) = row.map_err(translate)?;
                if let ControlFlow::Break(()) = visit(key.value(), value.value()) {
                    return Ok(());
                }
            }
        })
    }

    fn write(&self, batch: WriteBatch) -> KvResult<()> {
        self.commit(&batch, Durability::None)
    }

    fn sync(&self) -> KvResult<()> {
        self.commit(&WriteBatch::new(), Durability::Immediate)
    }

    fn write_synced(&self, batch: WriteBatch) -> KvResult<()> {
        self.commit(&batch, Durability::Immediate)
    }

    fn disk_bytes(&self) -> KvResult<u64> {
        Ok(taken_bytes(&self.metadata()?))
    }

    fn traits(&self) -> EngineTraits {
        EngineTraits {
            survives_kill: false,
            survives_power_loss: true,
            has_cheap_range_deletes: false,
        }
    }

    /// Compacts the file if little of it is in use. Everybody else waits meanwhile.
    fn reclaim(&self, is_idle: bool) -> KvResult<bool> {
        // What compacting makes shorter, whether it has holes or not.
        let bytes = self.metadata()?.len();
        let live_bytes = self.with(|opened| Ok(*opened.live_bytes.lock()))?;
        let bytes_min = match is_idle {
            true => COMPACT_BYTES_IDLE,
            false => COMPACT_BYTES_BUSY,
        };
        if bytes < bytes_min || bytes / COMPACT_RATIO < live_bytes {
            return Ok(false);
        }
        let mut opened = self.opened.write();
        let Some(Opened {
            view,
            mut database,
            live_bytes,
        }) = opened.take()
        else {
            return Err(closed());
        };
        self.check()?;
        // redb compacts only while nobody reads.
        drop(view);
        let compacted = database.compact();
        let view = View::of(&database)?;
        *opened = Some(Opened {
            view: Mutex::new(Arc::new(view)),
            database,
            live_bytes,
        });
        compacted.map_err(translate)?;
        self.check()?;
        // It compacts until nothing more can be had.
        Ok(false)
    }

    fn close(&self) -> KvResult<()> {
        *self.opened.write() = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage_kv::{Overlay, prove};

    #[test]
    fn redb_is_an_ordered_kv() {
        for seed in 0..10 {
            let scratch = tempfile::tempdir().unwrap();
            prove(seed, 300, || {
                RedbEngine::open(scratch.path(), 1 << 20, &Faults::default()).unwrap()
            });
        }
    }

    #[test]
    fn redb_row_by_row_is_an_ordered_kv() {
        let scratch = tempfile::tempdir().unwrap();
        prove(0, 300, || {
            let engine = RedbEngine::open(scratch.path(), 1 << 20, &Faults::default()).unwrap();
            engine.row_by_row()
        });
    }

    #[test]
    fn redb_behind_an_overlay_is_an_ordered_kv() {
        for seed in 0..10 {
            let scratch = tempfile::tempdir().unwrap();
            prove(seed, 300, || {
                Overlay::new(RedbEngine::open(scratch.path(), 1 << 20, &Faults::default()).unwrap())
            });
        }
    }

    #[test]
    fn the_space_of_what_has_gone_is_given_back() {
        let scratch = tempfile::tempdir().unwrap();
        let engine = RedbEngine::open(scratch.path(), 1 << 20, &Faults::default()).unwrap();
        let fresh = engine.disk_bytes().unwrap();
        let key = |n: u32| n.to_be_bytes();
        for chunk in 0..20 {
            let mut batch = WriteBatch::new();
            for n in 0..1000 {
                batch.put(Keyspace::Bodies, &key(chunk * 1000 + n), &[7; 1000]);
            }
            engine.write_synced(batch).unwrap();
        }
        let peak = engine.disk_bytes().unwrap();
        let mut batch = WriteBatch::new();
        batch.delete_range(Keyspace::Bodies, &key(1), &key(20_000));
        engine.write_synced(batch).unwrap();

        engine.reclaim(true).unwrap();

        let after = engine.disk_bytes().unwrap();
        assert!(peak > 20_000_000, "{peak}");
        assert!(
            after <= fresh * 2,
            "{fresh} new, {peak} at the peak, {after} after"
        );
        assert!(engine.get(Keyspace::Bodies, &key(0)).unwrap().is_some());
    }
}
