//! One block of records: written from front to back, read where it lies, reused when nobody needs it.

use bytes::{Bytes, BytesMut};

use crate::footprint::vec_bytes;

/// A part of a segment that is frozen, so that slices of it can be given away.
#[derive(Debug)]
struct Run {
    start: usize,
    bytes: Bytes,
}

/// Ids whose records were appended one after the other.
#[derive(Debug, Clone, Copy)]
struct IdRun {
    first: u64,
    len: u64,
}

/// A block of memory with records.
///
/// ```text
/// | run: frozen, shared with readers | run | open: the records since | room |
/// ```
///
/// Freezing ends a run; nothing is copied by it, and what is frozen is never written again until the whole block is.
#[derive(Debug)]
pub(crate) struct Segment {
    runs: Vec<Run>,
    open: BytesMut,
    /// Where `open` starts.
    open_start: usize,
    capacity: usize,
    /// The bytes of records whose items live.
    live: usize,
    /// The ids of the records, so that compaction finds their slots.
    ids: Vec<IdRun>,
    /// How many runs of ids were taken, all of each.
    ids_taken: usize,
    /// The creation of the first record, in microseconds.
    created_at: i64,
    /// Nothing more is written.
    is_sealed: bool,
    pub(crate) is_sparse: bool,
}

/// What is left of a segment that nobody refers to.
#[derive(Debug)]
pub(crate) enum Remains {
    /// Memory to be written again.
    Block(BytesMut),
    /// Readers hold slices of it.
    Lent(Bytes),
}

impl Segment {
    pub(crate) fn new(block: BytesMut, created_at: i64) -> Self {
        Self {
            capacity: block.capacity(),
            runs: Vec::new(),
            open: block,
            open_start: 0,
            live: 0,
            ids: Vec::new(),
            ids_taken: 0,
            created_at,
            is_sealed: false,
            is_sparse: false,
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn live(&self) -> usize {
        self.live
    }

    pub(crate) fn created_at(&self) -> i64 {
        self.created_at
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Takes an id whose record was appended here, in the order in which they were: neighbours stay neighbours.
    pub(crate) fn take_id(&mut self) -> Option<u64> {
        let run = self.ids.get_mut(self.ids_taken)?;
        let id = run.first;
        run.first += 1;
        run.len -= 1;
        if run.len == 0 {
            self.ids_taken += 1;
        }
        Some(id)
    }

    /// Takes what stands before that id in the run that is taken from.
    pub(crate) fn skip_ids(&mut self, until: u64) {
        if let Some(run) = self.ids.get_mut(self.ids_taken) {
            let skipped = until.saturating_sub(run.first).min(run.len);
            run.first += skipped;
            run.len -= skipped;
            if run.len == 0 {
                self.ids_taken += 1;
            }
        }
    }

    pub(crate) fn has_room_for(&self, len: usize) -> bool {
        !self.is_sealed && self.open.capacity() - self.open.len() >= len
    }

    /// How many more bytes fit.
    pub(crate) fn room(&self) -> usize {
        self.open.capacity() - self.open.len()
    }

    /// Where the next record goes.
    pub(crate) fn offset(&self) -> usize {
        self.open_start + self.open.len()
    }

    /// Appends records of consecutive ids, for which there is room; answers whether what describes the block grew.
    pub(crate) fn append(&mut self, first: u64, count: u64, records: &[u8]) -> bool {
        self.open.extend_from_slice(records);
        self.live += records.len();
        match self.ids.last_mut() {
            Some(run) if run.first + run.len == first => {
                run.len += count;
                false
            }
            _ => {
                self.ids.push(IdRun { first, len: count });
                true
            }
        }
    }

    /// A record's bytes.
    pub(crate) fn bytes(&self, offset: usize, len: usize) -> &[u8] {
        if !self.is_frozen(offset) {
            let start = offset - self.open_start;
            return &self.open[start..start + len];
        }
        let run = self.run_of(offset);
        &run.bytes[offset - run.start..][..len]
    }

    /// Whether the record there can be shared.
    pub(crate) fn is_frozen(&self, offset: usize) -> bool {
        offset < self.open_start
    }

    /// The run of a record and its offset in there; `None` while it is not frozen.
    pub(crate) fn shared(&self, offset: usize) -> Option<(&Bytes, usize)> {
        if !self.is_frozen(offset) {
            return None;
        }
        let run = self.run_of(offset);
        Some((&run.bytes, offset - run.start))
    }

    /// How many bytes are not frozen.
    pub(crate) fn open_len(&self) -> usize {
        self.open.len()
    }

    /// Ends a run.
    pub(crate) fn freeze(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let bytes = self.open.split().freeze();
        let start = self.open_start;
        self.open_start += bytes.len();
        self.runs.push(Run { start, bytes });
    }

    /// Nothing more is written here.
    pub(crate) fn seal(&mut self) {
        self.freeze();
        self.open = BytesMut::new();
        self.is_sealed = true;
    }

    /// A record's item has gone.
    pub(crate) fn release(&mut self, len: usize) {
        self.live -= len;
    }

    /// What becomes of the memory.
    pub(crate) fn dissolve(mut self) -> Option<Remains> {
        self.seal();
        self.runs.truncate(1);
        let first = self.runs.pop()?;
        Some(match first.bytes.try_into_mut() {
            Ok(block) => Remains::Block(emptied(block)),
            Err(lent) => Remains::Lent(lent),
        })
    }

    /// The bytes of what describes the block.
    pub(crate) fn index_bytes(&self) -> u64 {
        vec_bytes::<Run>(self.runs.capacity()) + vec_bytes::<IdRun>(self.ids.capacity())
    }

    /// What that many ids more take at most in the list of a segment, beyond as much as it takes already.
    pub(crate) fn id_bytes_max(ids: usize) -> u64 {
        vec_bytes::<IdRun>(2 * ids)
    }

    fn run_of(&self, offset: usize) -> &Run {
        let behind = self.runs.partition_point(|run| run.start <= offset);
        &self.runs[behind - 1]
    }
}

/// A block that starts anew.
pub(crate) fn emptied(mut block: BytesMut) -> BytesMut {
    block.clear();
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_holds_is_never_written_again() {
        let mut segment = Segment::new(BytesMut::with_capacity(64), 0);
        let first = segment.offset();
        segment.append(1, 1, b"first");
        segment.freeze();
        let (run, start) = segment.shared(first).unwrap();
        let held = run.slice(start..start + 5);
        let second = segment.offset();
        assert!(!segment.append(2, 1, b"second"), "one run of ids");

        assert_eq!(segment.bytes(first, 5), b"first");
        assert_eq!(segment.bytes(second, 6), b"second");
        assert!(segment.shared(second).is_none(), "it is not frozen");

        let Some(Remains::Lent(lent)) = segment.dissolve() else {
            panic!("a reader holds it");
        };
        assert_eq!(held, b"first"[..]);
        drop(held);
        let block = emptied(lent.try_into_mut().unwrap());
        assert_eq!(block.capacity(), 64, "the whole block is there again");
    }

    #[test]
    fn a_segment_that_nobody_holds_is_a_block_again() {
        let mut segment = Segment::new(BytesMut::with_capacity(64), 0);
        for id in 0..4 {
            segment.append(id, 1, b"record");
            segment.freeze();
        }

        let Some(Remains::Block(block)) = segment.dissolve() else {
            panic!("nobody holds it");
        };

        assert_eq!((block.len(), block.capacity()), (0, 64));
    }
}
