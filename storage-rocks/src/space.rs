//! Giving space back.
//!
//! A removed row stays where it is, hidden by a tombstone, until the tables of both are merged; and until then both stay in
//! the log. RocksDB merges when tables grow. A queue that was drained does not grow any more, so that its last million would
//! lie there for ever: it is merged on purpose.
//!
//! Tables know how many rows and tombstones they hold, but not how many rows the tombstone of a range hides. So how many they
//! are is kept, or, where nobody knows it, the range itself, in the batch that removes them, until they are merged away.
//!
//! ```text
//! rows in the family that no keyspace has
//! 0 | keyspace                           how many rows of it runs have removed
//! 1 | keyspace | length of from | from | to      a range of which the rows were removed
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rocksdb::{
    BottommostLevelCompaction, CompactOptions, Direction, FlushOptions, IteratorMode, Range,
    WaitForCompactOptions, WriteBatch,
};
use storage_kv::{Keyspace, KvError, KvErrorKind, KvResult, RangeDelete};

use crate::engine::Opened;
use crate::error::translate;

/// While nobody waits, logs from this size on are written into tables, so that they can go.
const LOG_BYTES_IDLE: u64 = 1 << 20;
/// While nobody waits, keyspaces from this size on are merged; what is below is not worth it.
const TABLE_BYTES_IDLE: u64 = 64 << 10;
/// While somebody does, only what is of this size: RocksDB does most of it by itself.
const TABLE_BYTES_BUSY: u64 = 64 << 20;
/// So long is waited for files to be removed. Whoever closes waits as well; and what is not removed by then is soon.
const SETTLE_MAX: Duration = Duration::from_secs(5);
/// A keyspace is merged when so many times as many rows and tombstones lie in it as there are rows to be seen.
const ROWS_RATIO: u64 = 4;

const TABLE_PROPERTIES: &str = "rocksdb.aggregated-table-properties";
const TABLE_BYTES: &str = "rocksdb.live-sst-files-size";
/// What is not in tables yet: in the memtable that is written, and in those that wait to become tables.
const MEMTABLE_ENTRIES: [&str; 2] = [
    "rocksdb.num-entries-active-mem-table",
    "rocksdb.num-entries-imm-mem-tables",
];
const MEMTABLE_TOMBSTONES: [&str; 2] = [
    "rocksdb.num-deletes-active-mem-table",
    "rocksdb.num-deletes-imm-mem-tables",
];

const HIDDEN: u8 = 0;
const RANGE: u8 = 1;

/// How many rows the tombstones of runs hide, or hid before RocksDB merged them away by itself.
#[derive(Debug, Default)]
pub(crate) struct Hidden {
    rows: [AtomicU64; Keyspace::COUNT],
}

impl Hidden {
    /// Reads what was kept.
    pub(crate) fn load(&self, opened: &Opened) -> KvResult<()> {
        for space in Keyspace::ALL {
            let kept = opened.database.get(hidden_key(space)).map_err(translate)?;
            if let Some(kept) = kept {
                let rows = kept.try_into().map_err(|_| {
                    let reason = format!("the count of removed rows of {space} does not decode");
                    KvError::new(KvErrorKind::Corrupted, reason)
                })?;
                self.of(space)
                    .store(u64::from_be_bytes(rows), Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Counts rows that a batch hides. Of batches that meet the later may be counted without the earlier: it is an estimate.
    pub(crate) fn add(&self, space: Keyspace, rows: usize, changes: &mut WriteBatch) {
        let before = self.of(space).fetch_add(rows as u64, Ordering::Relaxed);
        changes.put(hidden_key(space), (before + rows as u64).to_be_bytes());
    }

    /// So many have been merged away.
    fn forget(&self, opened: &Opened, space: Keyspace, rows: u64) -> KvResult<()> {
        let before = self.of(space).fetch_sub(rows, Ordering::Relaxed);
        let kept = (before - rows).to_be_bytes();
        let written = opened.database.put(hidden_key(space), kept);
        written.map_err(translate)
    }

    fn get(&self, space: Keyspace) -> u64 {
        self.of(space).load(Ordering::Relaxed)
    }

    fn of(&self, space: Keyspace) -> &AtomicU64 {
        &self.rows[space.index()]
    }
}

fn hidden_key(space: Keyspace) -> [u8; 2] {
    [HIDDEN, byte_of(space)]
}

fn byte_of(space: Keyspace) -> u8 {
    u8::try_from(space.index()).expect("there are few keyspaces")
}

/// Keeps a range of which a batch removes the rows.
pub(crate) fn keep_range(changes: &mut WriteBatch, range: &RangeDelete) {
    let from_len = u32::try_from(range.from.len()).expect("keys are short");
    let mut key = vec![RANGE, byte_of(range.space)];
    key.extend_from_slice(&from_len.to_be_bytes());
    key.extend_from_slice(&range.from);
    key.extend_from_slice(&range.to);
    changes.put(key, []);
}

/// The range of a kept row.
fn range_of(key: &[u8]) -> Option<RangeDelete> {
    let ([RANGE, space], rest) = key.split_first_chunk()? else {
        return None;
    };
    let (from_len, rest) = rest.split_first_chunk()?;
    let from_len = usize::try_from(u32::from_be_bytes(*from_len)).ok()?;
    let (from, to) = rest.split_at_checked(from_len)?;
    Some(RangeDelete {
        space: *Keyspace::ALL.get(usize::from(*space))?,
        from: from.to_vec(),
        to: to.to_vec(),
    })
}

/// Merges what is worth it; `log_bytes` is the size of the logs. The answer is whether something of it is left.
pub(crate) fn collect(opened: &Opened, log_bytes: u64, is_idle: bool) -> KvResult<bool> {
    if is_idle && log_bytes >= LOG_BYTES_IDLE {
        flush(opened)?;
    }
    let mut is_left = collect_ranges(opened, is_idle)?;
    let bytes_min = match is_idle {
        true => TABLE_BYTES_IDLE,
        false => TABLE_BYTES_BUSY,
    };
    for space in Keyspace::ALL {
        // While much is written, RocksDB merges away most of what is hidden, so that the count says little.
        let hidden = match is_idle {
            true => opened.hidden.get(space),
            false => 0,
        };
        let contents = Contents::of(opened, space)?;
        if contents.table_bytes >= bytes_min && contents.are_mostly_garbage(hidden) {
            merge(opened, space, None)?;
            match Contents::of(opened, space)?.are_mostly_garbage(hidden) {
                true => is_left = true,
                false => opened.hidden.forget(opened, space, hidden)?,
            }
        }
    }
    Ok(is_left || (is_idle && !settle(opened)))
}

/// Waits for the files that nobody needs any more to be removed, which those do who merge and flush, after they have told that
/// they are done. The answer is whether all are gone.
fn settle(opened: &Opened) -> bool {
    let mut options = WaitForCompactOptions::default();
    // Where something is written meanwhile, there may be no end to it.
    options.set_timeout(u64::try_from(SETTLE_MAX.as_micros()).unwrap_or(u64::MAX));
    opened.database.wait_for_compact(&options).is_ok()
}

/// Writes everything that is in memory into tables, so that the logs can go.
pub(crate) fn flush(opened: &Opened) -> KvResult<()> {
    let options = FlushOptions::default();
    for space in Keyspace::ALL {
        let flushed = opened
            .database
            .flush_cf_opt(opened.family(space)?, &options);
        flushed.map_err(translate)?;
    }
    opened.database.flush_opt(&options).map_err(translate)
}

/// The answer is whether the rows of some ranges are still there.
fn collect_ranges(opened: &Opened, is_idle: bool) -> KvResult<bool> {
    let mut kept = Vec::new();
    let ranges = IteratorMode::From(&[RANGE], Direction::Forward);
    for row in opened.database.iterator(ranges) {
        let (key, _) = row.map_err(translate)?;
        let range = range_of(&key).ok_or_else(|| {
            let reason = format!("the kept range {} does not decode", key.escape_ascii());
            KvError::new(KvErrorKind::Corrupted, reason)
        })?;
        kept.push((key, range));
    }
    let mut is_left = false;
    for (key, range) in kept {
        if !is_idle && table_bytes_of(opened, &range)? < TABLE_BYTES_BUSY {
            continue;
        }
        merge(opened, range.space, Some(&range))?;
        match table_bytes_of(opened, &range)? >= TABLE_BYTES_IDLE {
            true => is_left = true,
            false => opened.database.delete(key).map_err(translate)?,
        }
    }
    Ok(is_left)
}

/// Roughly what the rows of a range take in tables, those that are hidden included.
fn table_bytes_of(opened: &Opened, range: &RangeDelete) -> KvResult<u64> {
    let family = opened.family(range.space)?;
    let whole = Range::new(&range.from, &range.to);
    let sizes = opened.database.get_approximate_sizes_cf(family, &[whole]);
    Ok(sizes.iter().sum())
}

/// Merges the tables of a keyspace, or of a range of it, and what is in memory with them; until then everybody else goes on.
fn merge(opened: &Opened, space: Keyspace, range: Option<&RangeDelete>) -> KvResult<()> {
    let mut options = CompactOptions::default();
    options.set_exclusive_manual_compaction(false);
    // A table that is merely moved down keeps its tombstones.
    options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
    let (from, to) = (range.map(|range| &range.from), range.map(|range| &range.to));
    let family = opened.family(space)?;
    // Whether it worked is not told: whoever calls looks at what is left.
    opened
        .database
        .compact_range_cf_opt(family, from, to, &options);
    Ok(())
}

/// What lies in a keyspace. A few tombstones that are still in memory may hide large tables, and no log grows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Contents {
    table_bytes: u64,
    /// Rows and tombstones, wherever they are.
    entries: u64,
    /// Of those in memory only the tombstones of single rows are told.
    tombstones: u64,
    /// Those of `entries` that are in memory.
    memtable_entries: u64,
}

impl Contents {
    fn of(opened: &Opened, space: Keyspace) -> KvResult<Self> {
        let family = opened.family(space)?;
        let database = &opened.database;
        let number = |name: &str| {
            let number = database.property_int_value_cf(family, name);
            Ok(number.map_err(translate)?.unwrap_or(0))
        };
        let sum = |names: [&str; 2]| Ok(number(names[0])? + number(names[1])?);
        let properties = database.property_value_cf(family, TABLE_PROPERTIES);
        let properties = properties.map_err(translate)?.unwrap_or_default();
        let count = |name: &str| {
            let found = properties.split("; ").find_map(|it| it.strip_prefix(name));
            found.and_then(|count| count.parse::<u64>().ok())
        };
        let counts = (count("# entries="), count("# deletions="));
        let (Some(entries), Some(tombstones)) = counts else {
            let reason = format!("RocksDB does not say what the tables of {space} hold");
            return Err(KvError::new(KvErrorKind::Unavailable, reason));
        };
        let memtable_entries = sum(MEMTABLE_ENTRIES)?;
        Ok(Self {
            table_bytes: number(TABLE_BYTES)?,
            entries: entries + memtable_entries,
            tombstones: tombstones + sum(MEMTABLE_TOMBSTONES)?,
            memtable_entries,
        })
    }

    /// A tombstone hides one row, as the core removes only what is there; those of runs hide so many more.
    fn are_mostly_garbage(self, hidden: u64) -> bool {
        let seen = self.entries.saturating_sub(2 * self.tombstones + hidden);
        // Whether a tombstone in memory is that of a run is not told.
        let has_tombstones = self.tombstones > 0 || (hidden > 0 && self.memtable_entries > 0);
        has_tombstones && seen * ROWS_RATIO <= self.entries
    }
}
