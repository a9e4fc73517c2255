//! RocksDB as an ordered key-value engine.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBRecoveryMode, LogLevel,
    Options, ReadOptions, WriteBufferManager, WriteOptions,
};
use storage_api::Direction;
use storage_kv::{
    EngineTraits, Faults, Keyspace, KvError, KvErrorKind, KvResult, OrderedKv, Seal, Span, Visit,
    WriteBatch, taken_bytes,
};

use crate::config::RocksConfig;
use crate::error::{translate, translate_io, translate_opening};
use crate::first_log::{check_first_log, forget_first_log, note_first_log, open_without_note};
use crate::log::{check_logs, logs};
use crate::run::{Run, Runs};
use crate::space::{self, Hidden};

const DIRECTORY: &str = "queue.rocks";
/// The file that names the list of tables: what RocksDB knows a database by.
pub(crate) const CURRENT: &str = "queue.rocks/CURRENT";

/// A memtable becomes a table at this part of what all of them together may take: most rows are in two keyspaces, of which
/// each has one that is filled and one that is written.
const MEMTABLE_PART: usize = 4;
/// So many memtables may a keyspace have, all but one of them waiting to become tables. With RocksDB's two, who writes waits
/// for each one that becomes a table early; what all of them take together is bounded apart from that.
const MEMTABLES_MAX: i32 = 6;
/// Tables in the first level of a keyspace are merged from so many on.
const FIRST_LEVEL_TABLES: i32 = 4;
/// The open tables are dealt out to eight shards, each of which has at least one: with RocksDB's 64 a small bound is passed.
/// Of the bound it keeps ten for other files, so that seven more by rounding up do no harm.
const TABLE_SHARDS_LOG2: i32 = 3;
/// Ten bits a key: one search in a hundred for what is not there reads a block.
const FILTER_BITS: f64 = 10.0;
const BLOCK_BYTES: usize = 16 << 10;
/// Written tables go to the disk bit by bit, so that a sync of the log does not wait for all of one.
const BYTES_PER_SYNC: u64 = 1 << 20;
/// The list of tables is written anew from this size on.
const MANIFEST_BYTES: usize = 4 << 20;
const MANIFEST_AHEAD_BYTES: usize = 64 << 10;
/// Blocks are taken ahead of the end of a log in pieces of this size. RocksDB would take those of a whole memtable, which an
/// idle place holds on to; taking them a piece at a time is not felt.
const LOG_AHEAD_BYTES: usize = 1 << 20;
/// What RocksDB tells about itself: warnings, in this many files of this size.
const MESSAGE_FILES: usize = 2;
const MESSAGE_BYTES: usize = 1 << 20;

/// One RocksDB database, with a column family for each keyspace, without the queue over it: for benchmarks that compare the
/// two.
#[derive(Debug)]
pub struct RocksEngine {
    place: PathBuf,
    faults: Faults,
    is_row_by_row: bool,
    /// Whoever closes writes; everybody else reads.
    opened: RwLock<Option<Opened>>,
}

pub(crate) struct Opened {
    pub(crate) database: DB,
    write_options: WriteOptions,
    pub(crate) hidden: Hidden,
    runs: Runs,
    /// Whether the first log is noted.
    is_noted: AtomicBool,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

impl Opened {
    pub(crate) fn family(&self, space: Keyspace) -> KvResult<&ColumnFamily> {
        self.database.cf_handle(space.name()).ok_or_else(|| {
            let reason = format!("there is no column family {space}");
            KvError::new(KvErrorKind::Broken, reason)
        })
    }
}

impl RocksEngine {
    /// Opens the database of a directory, or makes it. Blocks; after a crash for as long as reading the logs takes. Whoever
    /// calls it holds the directory. With settings below their least, which [`RocksBackend`](crate::RocksBackend) refuses, its
    /// writers may wait for ever.
    pub fn open(place: &Path, config: &RocksConfig, faults: &Faults) -> KvResult<Self> {
        let opened = Seal::of(place).break_for(|| Self::open_sealed(place, config))?;
        Ok(Self {
            place: place.to_owned(),
            faults: faults.clone(),
            is_row_by_row: false,
            opened: RwLock::new(Some(opened)),
        })
    }

    fn open_sealed(place: &Path, config: &RocksConfig) -> KvResult<Opened> {
        let directory = place.join(DIRECTORY);
        make_directory(place, &directory)
            .map_err(|error| translate_io("making the directory", error))?;
        check_logs(&directory)?;
        check_first_log(&directory)?;
        open_without_note(&directory, || Self::open_database(&directory, config))
    }

    fn open_database(directory: &Path, config: &RocksConfig) -> KvResult<Opened> {
        let cache = Cache::new_lru_cache(config.get_cache_bytes());
        let families = Keyspace::ALL.map(|space| {
            ColumnFamilyDescriptor::new(space.name(), family_options(space, config, &cache))
        });
        let options = database_options(config);
        let database = DB::open_cf_descriptors(&options, directory, families);
        let opened = Opened {
            hidden: Hidden::default(),
            runs: Runs::default(),
            is_noted: AtomicBool::new(false),
            write_options: WriteOptions::default(),
            database: database.map_err(translate_opening)?,
        };
        opened.hidden.load(&opened)?;
        Ok(opened)
    }

    /// Removes every row by a tombstone of its own, also where one would do for many neighbours: for benchmarks that compare
    /// the two.
    #[must_use]
    pub fn row_by_row(self) -> Self {
        Self {
            is_row_by_row: true,
            ..self
        }
    }

    /// Calls `act` while the database is not closed.
    fn with<T>(&self, act: impl FnOnce(&Opened) -> KvResult<T>) -> KvResult<T> {
        match &*self.opened.read() {
            Some(opened) => act(opened),
            None => Err(KvError::new(KvErrorKind::Broken, "the database is closed")),
        }
    }

    fn directory(&self) -> PathBuf {
        self.place.join(DIRECTORY)
    }

    /// What a closed database consists of, that without which nothing is found first. What RocksDB tells about itself is
    /// not part of it.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.directory())? {
            let path = PathBuf::from(DIRECTORY).join(entry?.file_name());
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let rank = match path.extension().and_then(|extension| extension.to_str()) {
                _ if name == "CURRENT" => 0,
                _ if name.starts_with("MANIFEST-") => 1,
                Some("log") => 2,
                Some("sst") => 3,
                _ => continue,
            };
            files.push((rank, path));
        }
        files.sort();
        Ok(files.into_iter().map(|(_, path)| path).collect())
    }
}

/// Makes the directory of the database, if it is not there, and puts its name onto stable storage: RocksDB sees to the names
/// in it alone.
fn make_directory(place: &Path, directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    File::open(place)?.sync_all()
}

fn database_options(config: &RocksConfig) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    // Damage before the tail of a log was looked for before; what is left to RocksDB is what a crash leaves. Of several
    // logs it drops the later ones where an earlier one has lost its tail, so that what is left is a prefix.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(config.get_log_bytes());
    let memtable_bytes = config.get_memtable_bytes();
    // Writers wait when tables cannot be written as fast: without that nothing bounds the memory.
    let memtables = WriteBufferManager::new_write_buffer_manager(memtable_bytes, true);
    options.set_write_buffer_manager(&memtables);
    // Where there is a manager, this bounds nothing but what is taken ahead of the end of a log.
    options.set_db_write_buffer_size(LOG_AHEAD_BYTES);
    let open_files_max = i32::try_from(config.get_open_files_max()).unwrap_or(i32::MAX);
    options.set_max_open_files(open_files_max);
    options.set_table_cache_num_shard_bits(TABLE_SHARDS_LOG2);
    options.set_bytes_per_sync(BYTES_PER_SYNC);
    options.set_max_manifest_file_size(MANIFEST_BYTES);
    options.set_manifest_preallocation_size(MANIFEST_AHEAD_BYTES);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(MESSAGE_FILES);
    options.set_max_log_file_size(MESSAGE_BYTES);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

fn family_options(space: Keyspace, config: &RocksConfig, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_block_size(BLOCK_BYTES);
    // So that they are part of what is bounded.
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    if is_searched(space) {
        blocks.set_bloom_filter(FILTER_BITS, false);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(config.get_memtable_bytes() / MEMTABLE_PART);
    options.set_max_write_buffer_number(MEMTABLES_MAX);
    options.set_level_zero_file_num_compaction_trigger(FIRST_LEVEL_TABLES);
    options
}

/// Whether rows are looked for that may not be there.
fn is_searched(space: Keyspace) -> bool {
    matches!(
        space,
        Keyspace::States | Keyspace::Dedup | Keyspace::Entries | Keyspace::Dead
    )
}

impl OrderedKv for RocksEngine {
    fn get(&self, space: Keyspace, key: &[u8]) -> KvResult<Option<Vec<u8>>> {
        self.with(|opened| {
            opened.runs.relieve_read(opened, space);
            let found = opened.database.get_cf(opened.family(space)?, key);
            found.map_err(translate)
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
            opened.runs.relieve_read(opened, space);
            // Within bounds no tombstone outside is looked at.
            let mut options = ReadOptions::default();
            options.set_iterate_lower_bound(span.from);
            if let Some(to) = span.to {
                options.set_iterate_upper_bound(to);
            }
            let family = opened.family(space)?;
            let mut rows = opened.database.raw_iterator_cf_opt(family, options);
            match direction {
                Direction::Forward => rows.seek_to_first(),
                Direction::Backward => rows.seek_to_last(),
            }
            while let Some((key, value)) = rows.item() {
                if let ControlFlow::Break(()) = visit(key, value) {
                    return Ok(());
                }
                match direction {
                    Direction::Forward => rows.next(),
                    Direction::Backward => rows.prev(),
                }
            }
            // It ends as well where it cannot go on.
            rows.status().map_err(translate)
        })
    }

    fn write(&self, batch: WriteBatch) -> KvResult<()> {
        self.with(|opened| {
            self.faults.check_write()?;
            let mut changes = rocksdb::WriteBatch::with_capacity_bytes(
                batch.bytes() + batch.len() * ROW_BYTES_MORE,
            );
            for space in Keyspace::ALL {
                let family = opened.family(space)?;
                for range in batch.ranges().iter().filter(|range| range.space == space) {
                    changes.delete_range_cf(family, &range.from, &range.to);
                    space::keep_range(&mut changes, range);
                }
                let mut run = Run::new(space);
                let mut hidden = 0;
                for (key, value) in batch.rows(space) {
                    match value {
                        Some(value) => changes.put_cf(family, key, value),
                        None if self.is_row_by_row => changes.delete_cf(family, key),
                        None => hidden += run.remove(key, &mut changes, family),
                    }
                }
                hidden += run.end(&mut changes, family);
                if hidden > 0 {
                    opened.hidden.add(space, hidden, &mut changes);
                    opened.runs.count(space);
                }
            }
            let written = opened.database.write_opt(changes, &opened.write_options);
            written.map_err(translate)?;
            opened.runs.relieve(opened);
            Ok(())
        })
    }

    fn sync(&self) -> KvResult<()> {
        self.with(|opened| {
            self.faults.check_sync()?;
            opened.database.flush_wal(true).map_err(translate)?;
            if !opened.is_noted.load(Ordering::Relaxed) {
                let noted = note_first_log(&self.directory());
                let is_noted = noted.map_err(|error| translate_io("noting its logs", error))?;
                opened.is_noted.store(is_noted, Ordering::Relaxed);
            }
            Ok(())
        })
    }

    /// The blocks of every file.
    fn disk_bytes(&self) -> KvResult<u64> {
        let looked_at = |error| translate_io("looking at the files", error);
        let mut bytes = 0;
        for entry in fs::read_dir(self.directory()).map_err(looked_at)? {
            bytes += match entry.and_then(|entry| entry.metadata()) {
                Ok(metadata) => taken_bytes(&metadata),
                // RocksDB removes some at any time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(looked_at(error)),
            };
        }
        Ok(bytes)
    }

    fn traits(&self) -> EngineTraits {
        EngineTraits {
            survives_kill: true,
            survives_power_loss: true,
            has_cheap_range_deletes: true,
        }
    }

    /// Removes what hides removed rows, and the rows that it hides.
    fn reclaim(&self, is_idle: bool) -> KvResult<bool> {
        self.with(|opened| {
            let mut log_bytes = 0;
            for log in logs(&self.directory())
                .map_err(|error| translate_io("looking at the logs", error))?
            {
                log_bytes += fs::metadata(log).map_or(0, |metadata| metadata.len());
            }
            space::collect(opened, log_bytes, is_idle)
        })
    }

    fn close(&self) -> KvResult<()> {
        let Some(opened) = self.opened.write().take() else {
            return Ok(());
        };
        // What is in tables need not be read from a log when it is opened. If this fails it will be.
        let _ = space::flush(&opened);
        drop(opened);
        // Without a seal the next opening takes the place for that of a process that was killed.
        let sealed = self
            .files()
            .and_then(|files| Seal::of(&self.place).set(&files));
        if sealed.is_ok() {
            // The seal tells more.
            let _ = forget_first_log(&self.directory());
        }
        Ok(())
    }
}

/// What a row takes in a batch beside key and value: two lengths, a family and a tag.
const ROW_BYTES_MORE: usize = 12;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use rocksdb::WaitForCompactOptions;
    use storage_kv::prove;

    use super::*;

    fn open(place: &Path) -> RocksEngine {
        let config = RocksConfig::new(place).memtable_bytes(1 << 20);
        RocksEngine::open(place, &config, &Faults::default()).unwrap()
    }

    #[test]
    fn rocksdb_is_an_ordered_kv() {
        for seed in 0..10 {
            let scratch = tempfile::tempdir().unwrap();
            prove(seed, 300, || open(scratch.path()));
        }
    }

    #[test]
    fn rocksdb_row_by_row_is_an_ordered_kv_without_tombstones_of_runs() {
        let scratch = tempfile::tempdir().unwrap();
        prove(0, 300, || open(scratch.path()).row_by_row());

        let engine = open(scratch.path()).row_by_row();
        let mut batch = WriteBatch::new();
        for id in 0..1000 {
            batch.delete(Keyspace::Bodies, &body(1, id));
        }
        engine.write(batch).unwrap();

        let opened = engine.opened.read();
        let opened = opened.as_ref().unwrap();
        let family = opened.family(Keyspace::Bodies).unwrap();
        let name = "rocksdb.num-deletes-active-mem-table";
        let tombstones = opened.database.property_int_value_cf(family, name);
        assert_eq!(tombstones.unwrap(), Some(1000));
    }

    #[test]
    fn memory_and_logs_stay_within_their_bounds_however_much_is_written() {
        const BOUND: u64 = 1 << 20;
        let scratch = tempfile::tempdir().unwrap();
        let config = RocksConfig::new(scratch.path())
            .memtable_bytes(1 << 20)
            .cache_bytes(1 << 20)
            .log_bytes(BOUND);
        let engine = RocksEngine::open(scratch.path(), &config, &Faults::default()).unwrap();
        let opened = engine.opened.read();
        let opened = opened.as_ref().unwrap();
        let bytes = |space: Keyspace, name: &str| {
            let family = opened.family(space).unwrap();
            let bytes = opened.database.property_int_value_cf(family, name);
            bytes.unwrap().unwrap()
        };
        let memtables = || {
            let bytes = |space| bytes(space, "rocksdb.cur-size-all-mem-tables");
            Keyspace::ALL.into_iter().map(bytes).sum::<u64>()
        };
        let mut most_memtables = 0;
        let row = [7; 1000];
        for chunk in 0..200_u32 {
            let mut batch = WriteBatch::new();
            for n in 0..10 {
                let key = (chunk * 10 + n).to_be_bytes();
                // Many memtables that are not full take memory, and one that never is keeps every log.
                let is_rare = chunk < 2;
                let spaces = Keyspace::ALL.into_iter();
                for space in spaces.filter(|space| is_rare || *space != Keyspace::Catalog) {
                    batch.put(space, &key, &row);
                }
            }
            engine.write(batch).unwrap();
            most_memtables = most_memtables.max(memtables());
        }
        let mut rows = 0;
        let scanned = engine.scan(
            Keyspace::Bodies,
            Span::all(),
            Direction::Forward,
            &mut |_, _| {
                rows += 1;
                ControlFlow::Continue(())
            },
        );
        scanned.unwrap();
        assert_eq!(rows, 2_000);

        // One cache for all.
        let cached = bytes(Keyspace::Bodies, "rocksdb.block-cache-usage");
        // What was to be flushed is, and its logs are gone with it.
        let settled = WaitForCompactOptions::default();
        opened.database.wait_for_compact(&settled).unwrap();
        let logs = logs(&engine.directory()).unwrap().into_iter();
        let logs: u64 = logs.map(|log| fs::metadata(log).unwrap().len()).sum();
        // Who waits does so once the bound is passed.
        assert!(
            most_memtables <= BOUND + BOUND / 2,
            "{most_memtables} bytes of memtables"
        );
        // The block that is read may be one too many.
        assert!(
            cached <= BOUND + BLOCK_BYTES as u64 * 2,
            "{cached} bytes cached"
        );
        assert!(logs <= 3 * BOUND, "{logs} bytes of logs");
    }

    /// The tables below that directory that this process has open.
    #[cfg(target_os = "linux")]
    fn open_tables(directory: &Path) -> usize {
        let links = fs::read_dir("/proc/self/fd").unwrap();
        let files = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
        let is_table = |file: &PathBuf| {
            file.starts_with(directory) && file.extension().is_some_and(|end| end == "sst")
        };
        files.filter(is_table).count()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn no_more_tables_are_open_than_may_be_however_many_there_are() {
        const OPEN_MAX: u32 = 32;
        const TABLES: u32 = 100;
        let scratch = tempfile::tempdir().unwrap();
        let config = RocksConfig::new(scratch.path()).open_files_max(OPEN_MAX);
        let engine = RocksEngine::open(scratch.path(), &config, &Faults::default()).unwrap();
        {
            // Or they would be merged into a few.
            let opened = engine.opened.read();
            let opened = opened.as_ref().unwrap();
            let family = opened.family(Keyspace::Bodies).unwrap();
            let apart = [("disable_auto_compactions", "true")];
            opened.database.set_options_cf(family, &apart).unwrap();
            for n in 0..TABLES {
                let mut batch = WriteBatch::new();
                batch.put(Keyspace::Bodies, &n.to_be_bytes(), b"row");
                engine.write(batch).unwrap();
                opened.database.flush_cf(family).unwrap();
            }
        }

        let directory = engine.directory().canonicalize().unwrap();
        let mut most = 0;
        for n in 0..TABLES {
            let row = engine.get(Keyspace::Bodies, &n.to_be_bytes()).unwrap();
            assert_eq!(row.as_deref(), Some(&b"row"[..]));
            most = most.max(open_tables(&directory));
        }

        let files = engine.files().unwrap();
        let is_table = |file: &&PathBuf| file.extension().is_some_and(|end| end == "sst");
        assert_eq!(files.iter().filter(is_table).count(), TABLES as usize);
        assert!(
            (1..=OPEN_MAX as usize).contains(&most),
            "{most} tables are open, and {OPEN_MAX} files may be"
        );
    }

    fn body(partition: u32, id: u64) -> Vec<u8> {
        [&partition.to_be_bytes()[..], &id.to_be_bytes()].concat()
    }

    fn bodies(engine: &RocksEngine) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        let scanned = engine.scan(
            Keyspace::Bodies,
            Span::all(),
            Direction::Forward,
            &mut |key, _| {
                keys.push(key.to_vec());
                ControlFlow::Continue(())
            },
        );
        scanned.unwrap();
        keys
    }

    #[test]
    fn a_run_removes_its_rows_and_none_beside_them() {
        let scratch = tempfile::tempdir().unwrap();
        let engine = open(scratch.path());
        let ids = 200..1200_u64;
        let mut batch = WriteBatch::new();
        for partition in [1, 2, 3] {
            for id in ids.clone() {
                batch.put(Keyspace::Bodies, &body(partition, id), b"body");
            }
        }
        engine.write(batch).unwrap();

        let mut batch = WriteBatch::new();
        // Two runs with a gap between them, and neighbours that are too few.
        let is_removed = |partition: u32, id: u64| match partition {
            // Its numbers go on where those of the first end.
            2 => (300..500).contains(&id) || (501..600).contains(&id) || (700..703).contains(&id),
            partition => partition == 1 && (200..300).contains(&id),
        };
        for partition in [1, 2] {
            for id in ids.clone().filter(|id| is_removed(partition, *id)) {
                batch.delete(Keyspace::Bodies, &body(partition, id));
            }
        }
        // In the middle of a run, which so becomes two.
        batch.put(Keyspace::Bodies, &body(2, 400), b"put again");
        engine.write(batch).unwrap();

        let expected: Vec<_> = [1, 2, 3]
            .into_iter()
            .flat_map(|partition| ids.clone().map(move |id| (partition, id)))
            .filter(|(partition, id)| !is_removed(*partition, *id) || (*partition, *id) == (2, 400))
            .map(|(partition, id)| body(partition, id))
            .collect();
        assert_eq!(bodies(&engine), expected);
        engine.reclaim(true).unwrap();
        assert_eq!(bodies(&engine), expected);
        engine.close().unwrap();
        assert_eq!(bodies(&open(scratch.path())), expected);
    }

    /// What a place takes that holds next to nothing: a log, the blocks ahead of its end, and what has too few rows to be merged.
    const LITTLE_BYTES: u64 = LOG_AHEAD_BYTES as u64 + (256 << 10);

    /// Asks for space until nothing is left that could be given back, as the chores do while nobody writes.
    fn gives_back(engine: &RocksEngine) -> bool {
        (0..100).any(|_| matches!(engine.reclaim(true), Ok(false)))
    }

    #[test]
    fn a_new_place_takes_little_and_says_how_much() {
        let scratch = tempfile::tempdir().unwrap();
        let config = RocksConfig::new(scratch.path());
        let engine = RocksEngine::open(scratch.path(), &config, &Faults::default()).unwrap();
        let mut batch = WriteBatch::new();
        batch.put(Keyspace::Bodies, &body(1, 1), b"body");
        engine.write(batch).unwrap();

        let told = engine.disk_bytes().unwrap();

        let files = fs::read_dir(engine.directory()).unwrap();
        let blocks = files.map(|file| file.unwrap().metadata().unwrap().blocks() * 512);
        let taken: u64 = blocks.sum();
        assert!(taken <= 2 << 20, "{taken} bytes are taken");
        assert!(
            told.abs_diff(taken) <= 64 << 10,
            "{told} bytes are told, and {taken} are taken"
        );
    }

    /// How the rows of a test are removed.
    #[derive(Debug, Clone, Copy)]
    enum Removed {
        OneByOne,
        AsRuns,
        AsRange,
    }

    #[test]
    fn what_cannot_be_merged_yet_is_merged_later_and_given_back() {
        for removed in [Removed::OneByOne, Removed::AsRuns, Removed::AsRange] {
            let scratch = tempfile::tempdir().unwrap();
            let engine = open(scratch.path());
            let fresh = engine.disk_bytes().unwrap();
            let step = match removed {
                Removed::OneByOne => 2,
                Removed::AsRuns | Removed::AsRange => 1,
            };
            let ids = || (0..1000_u64).map(|id| id * step);
            for id in ids() {
                let mut batch = WriteBatch::new();
                batch.put(Keyspace::Bodies, &body(1, id), &[7; 5000]);
                engine.write(batch).unwrap();
            }
            let mut batch = WriteBatch::new();
            match removed {
                Removed::AsRange => {
                    batch.delete_range(Keyspace::Bodies, &body(1, 0), &body(2, 0));
                }
                Removed::OneByOne | Removed::AsRuns => {
                    ids().for_each(|id| batch.delete(Keyspace::Bodies, &body(1, id)));
                }
            }
            {
                let opened = engine.opened.read();
                let opened = opened.as_ref().unwrap();
                // Whoever looks through it sees what was there, so that a merge leaves all of it.
                let _snapshot = opened.database.snapshot();
                engine.write(batch).unwrap();

                let is_left = engine.reclaim(true).unwrap();

                let bytes = engine.disk_bytes().unwrap();
                assert!(is_left && bytes > 4_000_000, "{removed:?}: {bytes}");
            }

            assert!(gives_back(&engine));

            let after = engine.disk_bytes().unwrap();
            assert!(
                after <= fresh + LITTLE_BYTES,
                "{removed:?}: {fresh} new, {after} after"
            );
        }
    }

    #[test]
    fn the_space_of_runs_is_given_back_also_across_a_reopening() {
        let scratch = tempfile::tempdir().unwrap();
        let engine = open(scratch.path());
        let fresh = engine.disk_bytes().unwrap();
        for chunk in 0..20 {
            let mut batch = WriteBatch::new();
            for id in 0..1000 {
                batch.put(Keyspace::Bodies, &body(1, chunk * 1000 + id), &[7; 1000]);
            }
            engine.write(batch).unwrap();
        }
        let peak = engine.disk_bytes().unwrap();
        for chunk in 0..20 {
            let mut batch = WriteBatch::new();
            for id in 0..1000 {
                batch.delete(Keyspace::Bodies, &body(1, chunk * 1000 + id));
            }
            engine.write(batch).unwrap();
        }
        engine.close().unwrap();
        let engine = open(scratch.path());

        assert!(gives_back(&engine));

        let after = engine.disk_bytes().unwrap();
        assert!(peak > 20_000_000, "{peak}");
        assert!(
            after <= fresh + LITTLE_BYTES,
            "{fresh} new, {peak} at the peak, {after} after"
        );
    }

    #[test]
    fn the_space_of_a_few_large_rows_is_given_back_across_a_reopening() {
        for is_run in [true, false] {
            let scratch = tempfile::tempdir().unwrap();
            let engine = open(scratch.path());
            let fresh = engine.disk_bytes().unwrap();
            let ids = || (0..100_u64).map(|id| if is_run { id } else { 2 * id });
            for id in ids() {
                let mut batch = WriteBatch::new();
                batch.put(Keyspace::Bodies, &body(1, id), &[7; 100_000]);
                engine.write(batch).unwrap();
            }
            engine.close().unwrap();
            let engine = open(scratch.path());
            let peak = engine.disk_bytes().unwrap();
            // What removes them takes next to nothing in the log.
            let mut batch = WriteBatch::new();
            ids().for_each(|id| batch.delete(Keyspace::Bodies, &body(1, id)));
            engine.write(batch).unwrap();

            assert!(gives_back(&engine));

            let after = engine.disk_bytes().unwrap();
            assert!(peak > 9_000_000, "{peak}");
            assert!(
                after <= fresh + LITTLE_BYTES,
                "run {is_run}: {fresh} new, {peak} at the peak, {after} after"
            );
        }
    }

    #[test]
    fn what_is_given_back_has_left_the_disk_though_others_are_busy() {
        for _ in 0..3 {
            let scratch = tempfile::tempdir().unwrap();
            let engine = open(scratch.path());
            let ids = || (0..100_u64).map(|id| 2 * id);
            for id in ids() {
                let mut batch = WriteBatch::new();
                batch.put(Keyspace::Bodies, &body(1, id), &[7; 100_000]);
                engine.write(batch).unwrap();
            }
            let mut batch = WriteBatch::new();
            ids().for_each(|id| batch.delete(Keyspace::Bodies, &body(1, id)));
            engine.write(batch).unwrap();
            let has_ended = AtomicBool::new(false);

            // RocksDB wakes all who wait whenever it has done anything, also those whose files are still being removed.
            let after = thread::scope(|scope| {
                scope.spawn(|| {
                    let opened = engine.opened.read();
                    let opened = opened.as_ref().unwrap();
                    let family = opened.family(Keyspace::Catalog).unwrap();
                    while !has_ended.load(Ordering::Relaxed) {
                        opened.database.put_cf(family, b"key", b"row").unwrap();
                        opened.database.flush_cf(family).unwrap();
                    }
                });
                let is_done = gives_back(&engine);
                let after = engine.disk_bytes();
                has_ended.store(true, Ordering::Relaxed);
                after.map(|after| (is_done, after))
            });

            let (is_done, after) = after.unwrap();
            assert!(is_done && after <= 4_000_000, "{after} bytes after");
        }
    }

    #[test]
    fn the_space_of_what_has_gone_is_given_back() {
        let scratch = tempfile::tempdir().unwrap();
        let engine = open(scratch.path());
        let fresh = engine.disk_bytes().unwrap();
        let key = |n: u32| n.to_be_bytes();
        for chunk in 0..20 {
            let mut batch = WriteBatch::new();
            for n in 0..1000 {
                batch.put(Keyspace::Bodies, &key(chunk * 1000 + n), &[7; 1000]);
            }
            engine.write(batch).unwrap();
        }
        let peak = engine.disk_bytes().unwrap();
        let mut batch = WriteBatch::new();
        batch.delete_range(Keyspace::Bodies, &key(1), &key(10_000));
        for n in 10_000..20_000 {
            batch.delete(Keyspace::Bodies, &key(n));
        }
        engine.write(batch).unwrap();

        assert!(gives_back(&engine));

        let after = engine.disk_bytes().unwrap();
        assert!(peak > 20_000_000, "{peak}");
        assert!(
            after <= fresh + LITTLE_BYTES,
            "{fresh} new, {peak} at the peak, {after} after"
        );
        assert!(engine.get(Keyspace::Bodies, &key(0)).unwrap().is_some());
        assert!(engine.get(Keyspace::Bodies, &key(1)).unwrap().is_none());
    }
}
