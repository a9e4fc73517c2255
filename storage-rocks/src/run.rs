//! Runs: neighbours that are removed together.
//!
//! Who leases or completes a batch removes rows that stand next to each other. One tombstone for all of them costs a part of
//! what one for each does, when they are removed, when they are stepped over, and when they are merged away. But while
//! memtables hold many of those, every read looks through them; so short runs are removed row by row, and a memtable that
//! holds many becomes a table early when it is read. One that is only written to, as that of `ready` while items are leased in
//! the order in which they were produced, is left alone for longer: making a table of it costs as much as filling it.

use std::sync::atomic::{AtomicUsize, Ordering};

use rocksdb::{ColumnFamily, FlushOptions, WriteBatch};
use storage_kv::Keyspace;

use crate::engine::Opened;

/// So many neighbours are removed by one tombstone. Below, the tombstones of ranges would be too many for the reads between.
const ROWS_MIN: usize = 64;
/// A memtable becomes a table when so many batches have removed runs from it, and it is read.
const READ_BATCHES_MAX: usize = 256;
/// So many make it one though nobody reads it, so that the first who does need not look through all that were ever removed.
const BATCHES_MAX: usize = 4096;

/// Keys that follow each other, of one keyspace and one batch.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    /// How long keys are that can be in a run; `None`: none can.
    key_len: Option<usize>,
    keys: Vec<&'a [u8]>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(space: Keyspace) -> Self {
        Self {
            key_len: space.numbered_key_len(),
            keys: Vec::new(),
        }
    }

    /// Whether a key follows those of the run.
    fn is_followed_by(&self, key: &[u8]) -> bool {
        let Some((prefix, number)) = split(key) else {
            return false;
        };
        let last = self.keys.last().and_then(|last| split(last));
        self.key_len == Some(key.len())
            && last.is_some_and(|(last_prefix, last)| {
                last_prefix == prefix && last.checked_add(1) == Some(number)
            })
    }

    /// Removes a key, now or together with those that follow; the answer is how many rows were removed as a range meanwhile.
    pub(crate) fn remove(
        &mut self,
        key: &'a [u8],
        changes: &mut WriteBatch,
        family: &ColumnFamily,
    ) -> usize {
        let removed = match self.is_followed_by(key) {
            true => 0,
            false => self.end(changes, family),
        };
        self.keys.push(key);
        removed
    }

    /// Removes what was gathered; the answer is how many rows were removed as a range.
    pub(crate) fn end(&mut self, changes: &mut WriteBatch, family: &ColumnFamily) -> usize {
        let keys = std::mem::take(&mut self.keys);
        let (Some(first), Some(last), ROWS_MIN..) = (keys.first(), keys.last(), keys.len()) else {
            for key in keys {
                changes.delete_cf(family, key);
            }
            return 0;
        };
        // The smallest key behind the last.
        let to = [last, &[0][..]].concat();
        changes.delete_range_cf(family, *first, &to[..]);
        keys.len()
    }
}

/// How many batches have removed runs from the memtable of each keyspace.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    batches: [AtomicUsize; Keyspace::COUNT],
}

impl Runs {
    pub(crate) fn count(&self, space: Keyspace) {
        self.batches[space.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Has memtables become tables that hold very many runs.
    pub(crate) fn relieve(&self, opened: &Opened) {
        for space in Keyspace::ALL {
            self.relieve_space(opened, space, BATCHES_MAX);
        }
    }

    /// Has a memtable become a table if it holds many runs: for those who read it next.
    pub(crate) fn relieve_read(&self, opened: &Opened, space: Keyspace) {
        self.relieve_space(opened, space, READ_BATCHES_MAX);
    }

    /// Waits for nothing. What fails is told by the next write.
    fn relieve_space(&self, opened: &Opened, space: Keyspace, batches_max: usize) {
        let batches = &self.batches[space.index()];
        if batches.load(Ordering::Relaxed) < batches_max {
            return;
        }
        // Of many who see it, one.
        if batches.swap(0, Ordering::Relaxed) < batches_max {
            return;
        }
        let mut options = FlushOptions::default();
        options.set_wait(false);
        if let Ok(family) = opened.family(space) {
            let _ = opened.database.flush_cf_opt(family, &options);
        }
    }
}

/// What a key begins with, and its number.
fn split(key: &[u8]) -> Option<(&[u8], u64)> {
    let (prefix, number) = key.split_last_chunk()?;
    Some((prefix, u64::from_be_bytes(*number)))
}
