//! Reading ahead: who leases again where the last lease ended finds the next records in memory.
//!
//! Beginning a scan costs an engine as much as some tens of rows do, so that short leases would mostly begin scans. A lease that
//! goes on where the one before ended reads more than it needs, twice as much each time, and the next ones take that.
//!
//! What is kept are records of the run of a partition, see [`FreshRun`](crate::counters::FreshRun). A body never changes, an id is
//! never given again, and what has left the run does not come back to it: so what is kept of an id that is in the run is what
//! the engine has. What is kept of others is never asked for.

use crate::sync::Mutex;

/// So many partitions are read ahead. Where more are leased from by turns, none finds what it has left behind, and so none
/// reads ahead for nothing.
const PARTITIONS_MAX: usize = 8;
/// So many bytes of records are kept of each: some hundreds of small items, and few enough to be still in the processor's
/// cache when they are leased.
const BYTES_MAX: usize = 256 << 10;

/// Records, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) buffer: Vec<u8>,
    /// Where each ends.
    pub(crate) ends: Vec<usize>,
}

impl Records {
    pub(crate) fn push(&mut self, record: &[u8]) {
        self.buffer.extend_from_slice(record);
        self.ends.push(self.buffer.len());
    }

    fn get(&self, at: usize) -> Option<&[u8]> {
        let end = *self.ends.get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.buffer[start..end])
    }

    fn clear(&mut self) {
        self.buffer.clear();
        self.ends.clear();
    }
}

/// What was read ahead of the leases of one partition.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    partition: u32,
    /// The id of the first record.
    first: u64,
    records: Records,
    /// How many records were wanted the last time.
    wanted: u64,
}

impl Ahead {
    /// The record of an id, if it was read.
    pub(crate) fn get(&self, id: u64) -> Option<&[u8]> {
        let at = id.checked_sub(self.first)?;
        self.records.get(usize::try_from(at).ok()?)
    }

    /// Forgets what is there, as so many ids from one on are about to be read; the answer is how many behind them are
    /// wanted.
    pub(crate) fn begin(&mut self, id: u64, count: u64) -> u64 {
        let goes_on = self.is_next(id);
        self.wanted = match goes_on {
            true => count.max(self.wanted.saturating_mul(2)),
            false => 0,
        };
        self.records.clear();
        self.first = id + count;
        self.wanted
    }

    /// Forgets what is there, and where it ended.
    pub(crate) fn forget(&mut self) {
        self.records.clear();
        (self.first, self.wanted) = (0, 0);
    }

    /// Whether the record of an id is the next to be kept.
    pub(crate) fn is_next(&self, id: u64) -> bool {
        id == self.next()
    }

    fn next(&self) -> u64 {
        self.first + self.records.ends.len() as u64
    }

    /// Keeps the record of the next id; the answer is whether there is room for another.
    pub(crate) fn push(&mut self, record: &[u8]) -> bool {
        if self.records.ends.is_empty() {
            // As likely as not the others are as long.
            let wanted = usize::try_from(self.wanted).unwrap_or(usize::MAX);
            let bytes = record.len().saturating_mul(wanted);
            self.records.buffer.reserve(bytes.min(BYTES_MAX));
        }
        self.records.push(record);
        self.records.buffer.len() + record.len() <= BYTES_MAX
    }
}

/// What was read ahead, of the few partitions that were leased from last.
#[derive(Debug, Default)]
pub(crate) struct Aheads {
    /// The last one is the newest.
    kept: Mutex<Vec<Ahead>>,
}

impl Aheads {
    /// What was read ahead of a partition, for who holds its lock.
    pub(crate) fn take(&self, partition: u32) -> Ahead {
        let mut kept = self.kept.lock();
        match kept.iter().position(|ahead| ahead.partition == partition) {
            Some(at) => kept.remove(at),
            None => Ahead {
                partition,
                ..Ahead::default()
            },
        }
    }

    /// Keeps what was taken.
    pub(crate) fn keep(&self, ahead: Ahead) {
        let mut kept = self.kept.lock();
        if kept.len() == PARTITIONS_MAX {
            kept.remove(0);
        }
        kept.push(ahead);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_goes_on_where_the_last_read_ended_reads_ahead_and_more_each_time() {
        let mut ahead = Ahead::default();

        assert_eq!(ahead.begin(5, 10), 0);
        assert_eq!(ahead.begin(15, 10), 10);
        assert!(ahead.push(b"25"));
        assert_eq!(ahead.begin(26, 10), 20);
        assert_eq!(ahead.begin(36, 100), 100);
        assert_eq!(ahead.begin(135, 10), 0);
    }

    #[test]
    fn what_was_read_is_found_by_its_id() {
        let mut ahead = Ahead::default();
        ahead.begin(1, 6);
        for record in ["seven", "", "nine"] {
            assert!(ahead.push(record.as_bytes()));
        }

        let found = [6, 7, 8, 9, 10].map(|id| ahead.get(id));

        assert_eq!(
            found,
            [None, Some(&b"seven"[..]), Some(b""), Some(b"nine"), None]
        );
        ahead.begin(1, 6);
        assert_eq!(ahead.get(7), None);
    }

    #[test]
    fn memory_is_bounded_by_bytes_and_partitions() {
        let aheads = Aheads::default();
        for partition in 0..100 {
            let mut ahead = aheads.take(partition);
            ahead.begin(1, 1);
            while ahead.push(&[7; 1000]) {}
            assert!(ahead.records.buffer.len() <= BYTES_MAX);
            aheads.keep(ahead);
        }

        let kept = aheads.kept.lock().len();

        assert_eq!(kept, PARTITIONS_MAX);
        assert_eq!(aheads.take(99).get(2), Some(&[7; 1000][..]));
        assert_eq!(aheads.take(91).get(2), None);
    }
}
