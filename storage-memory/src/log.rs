//! Where records are: appended to segments, read in place, given back segment by segment.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use storage_api::{LeasedBatch, NewLease, Note, Record, RecordView, Timestamp};

use crate::footprint::vec_bytes;
use crate::report::Segments;
use crate::segment::{Remains, Segment, emptied};
use crate::slot::{CREATED_IN_RECORD, Place, Slot};

/// The largest segment that several records share.
const SEGMENT_BYTES: usize = 1 << 20;
/// The smallest segment: what a partition with one small item takes. Less in tests, so that random calls fill many.
const SEGMENT_BYTES_MIN: usize = if cfg!(test) { 256 } else { 4 << 10 };
/// Fewer bytes than these are copied for a reader rather than frozen: a run costs 40 bytes, and keeps its segment alive.
const COPIED_BYTES_MAX: usize = if cfg!(test) { 64 } else { 4 << 10 };
/// How many emptied blocks wait to be written again.
const SPARE_BLOCKS_MAX: usize = 2;
/// How many of the blocks that readers held are looked at again whenever one is needed or emptied.
const LENT_BLOCKS_LOOKED_AT: usize = 4;

/// The records of a partition.
#[derive(Debug)]
pub(crate) struct Log {
    /// By number. A number is used again once its segment has gone.
    segments: Vec<Option<Segment>>,
    vacant: Vec<u32>,
    /// The segment that is being written.
    active: Option<u32>,
    spare: Vec<BytesMut>,
    /// Emptied blocks that readers hold slices of.
    lent: VecDeque<(Bytes, usize)>,
    /// Sealed segments that became less than half full, oldest first.
    sparse: VecDeque<u32>,
    /// The largest block that records share: a power of two. A record of more than an eighth of it gets a block of its own,
    /// so that no more than that is left unused at the end of a segment.
    block_bytes_max: usize,
    /// The capacity of every block, whatever it is doing.
    block_bytes: u64,
    /// The bytes of records whose items live.
    live_bytes: u64,
    /// The bytes of what describes the segments.
    index_bytes: u64,
    /// How many bytes compaction has copied.
    moved_bytes: u64,
    /// Whether a record came or went since that was [asked](Self::take_touched).
    is_touched: bool,
}

/// The run, or the copy of one record, that the last buffer of an answer is.
#[derive(Debug)]
pub(crate) struct Lent {
    segment: u32,
    start: usize,
    end: usize,
}

impl Log {
    /// An empty log whose blocks have at most that many bytes, and 1 MiB.
    pub(crate) fn new(block_bytes_max: u64) -> Self {
        let most = usize::try_from(block_bytes_max).unwrap_or(usize::MAX);
        let most = most.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES);
        Self {
            segments: Vec::new(),
            vacant: Vec::new(),
            active: None,
            spare: Vec::new(),
            lent: VecDeque::new(),
            sparse: VecDeque::new(),
            block_bytes_max: 1 << most.ilog2(),
            block_bytes: 0,
            live_bytes: 0,
            index_bytes: 0,
            moved_bytes: 0,
            is_touched: false,
        }
    }

    /// Appends the record of an item that is created then.
    pub(crate) fn append(&mut self, id: u64, record: &[u8], created_at: Timestamp) -> Place {
        let (place, _) = self.open(record.len(), created_at);
        self.append_run(place, id, 1, record);
        if record.len() > self.shared_record_bytes_max() {
            let segment = self.segment_mut(place.segment);
            let before = segment.index_bytes();
            segment.seal();
            let after = segment.index_bytes();
            self.index_bytes += after - before;
        }
        place
    }

    /// Where a record of that length goes which is created then, and how many bytes of records fit there. It is a segment
    /// of its own where the record is [large](Self::is_large).
    pub(crate) fn open(&mut self, len: usize, created_at: Timestamp) -> (Place, usize) {
        let created_at = created_at.as_micros();
        let number = match self.active {
            Some(number) if self.has_room(number, len) => number,
            _ => self.open_segment(len, created_at),
        };
        let segment = self.segment(number);
        let since = created_at.checked_sub(segment.created_at());
        let created = since.and_then(|micros| u32::try_from(micros).ok());
        let place = Place {
            segment: number,
            offset: u32::try_from(segment.offset())
                .expect("a segment is at most 1 MiB or has one record"),
            created: created.unwrap_or(CREATED_IN_RECORD),
        };
        (place, segment.room())
    }

    /// Whether a record of that length shares no segment.
    pub(crate) fn is_large(&self, len: usize) -> bool {
        len > self.shared_record_bytes_max()
    }

    /// Appends the records of consecutive ids at a place that was [opened](Self::open) for them.
    pub(crate) fn append_run(&mut self, place: Place, first: u64, count: u64, records: &[u8]) {
        self.live_bytes += records.len() as u64;
        self.is_touched = true;
        let segment = self.segment_mut(place.segment);
        let before = segment.index_bytes();
        if segment.append(first, count, records) {
            let after = segment.index_bytes();
            self.index_bytes += after - before;
        }
    }

    /// The item of a record has gone.
    pub(crate) fn release(&mut self, slot: &Slot) {
        self.release_some(slot.place().segment, slot.len());
    }

    /// The items of some records of a segment have gone, which take that many bytes.
    pub(crate) fn release_some(&mut self, number: u32, bytes: usize) {
        self.live_bytes -= bytes as u64;
        self.is_touched = true;
        let segment = self.segment_mut(number);
        segment.release(bytes);
        if segment.is_sealed() {
            if segment.live() == 0 {
                self.dissolve(number);
            } else if segment.live() * 2 < segment.capacity() && !segment.is_sparse {
                segment.is_sparse = true;
                self.sparse.push_back(number);
            }
        }
        if self.live_bytes == 0 {
            self.give_spare_back();
        }
    }

    /// The record of an item.
    pub(crate) fn record(&self, slot: &Slot) -> RecordView<'_> {
        let place = slot.place();
        let segment = self.segment(place.segment);
        RecordView::trusted(segment.bytes(place.offset as usize, slot.len()))
    }

    /// The record, shared where its segment is frozen so far.
    pub(crate) fn shared_record(&self, slot: &Slot) -> Record {
        let place = slot.place();
        let segment = self.segment(place.segment);
        Record::trusted(match segment.shared(place.offset as usize) {
            Some((run, start)) => run.slice(start..start + slot.len()),
            None => Bytes::copy_from_slice(segment.bytes(place.offset as usize, slot.len())),
        })
    }

    pub(crate) fn created_at(&self, slot: &Slot) -> Timestamp {
        let place = slot.place();
        if place.created == CREATED_IN_RECORD {
            return self.record(slot).created_at();
        }
        let first = self.segment(place.segment).created_at();
        Timestamp::from_micros(first + i64::from(place.created))
    }

    /// Appends a record to an answer, without a copy where its segment is frozen or worth freezing.
    ///
    /// `last` is what was lent last, so that neighbours share a buffer.
    pub(crate) fn lend(
        &mut self,
        slot: &Slot,
        lease: NewLease,
        note: Option<&Note>,
        last: &mut Option<Lent>,
        batch: &mut LeasedBatch,
    ) {
        let (place, len) = (slot.place(), slot.len());
        let offset = place.offset as usize;
        if let Some(last) = last
            && last.segment == place.segment
            && (last.start..last.end).contains(&offset)
        {
            let start = offset - last.start;
            return batch.push_slice(lease, start..start + len, note);
        }
        self.lend_from(slot, lease, note, last, batch);
    }

    /// Appends a record that is in no run which was lent last.
    fn lend_from(
        &mut self,
        slot: &Slot,
        lease: NewLease,
        note: Option<&Note>,
        last: &mut Option<Lent>,
        batch: &mut LeasedBatch,
    ) {
        let (buffer, range) = self.lend_single(slot);
        let place = slot.place();
        let start = place.offset as usize - range.start;
        *last = Some(Lent {
            segment: place.segment,
            start,
            end: start + buffer.len(),
        });
        batch.add_buffer(buffer);
        batch.push_slice(lease, range, note);
    }

    /// A buffer with a record, and where it stands in it: without a copy where its segment is frozen or worth freezing.
    pub(crate) fn lend_single(&mut self, slot: &Slot) -> (Bytes, Range<usize>) {
        let (place, len) = (slot.place(), slot.len());
        let offset = place.offset as usize;
        let segment = self.segments[place.segment as usize].as_mut();
        let segment = segment.expect("an item keeps the segment of its record");
        if !segment.is_frozen(offset) && segment.open_len() > COPIED_BYTES_MAX {
            let before = segment.index_bytes();
            segment.freeze();
            self.index_bytes += segment.index_bytes() - before;
        }
        match segment.shared(offset) {
            Some((run, start)) => (run.clone(), start..start + len),
            None => (Bytes::copy_from_slice(segment.bytes(offset, len)), 0..len),
        }
    }

    /// The bytes that everything here takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.block_bytes + self.index_bytes + self.table_bytes()
    }

    /// The bytes of blocks whose items have gone, and which readers still hold.
    pub(crate) fn lent_bytes(&self) -> u64 {
        self.lent.iter().map(|(_, capacity)| *capacity as u64).sum()
    }

    /// The bytes of the tables of segments and blocks.
    fn table_bytes(&self) -> u64 {
        vec_bytes::<Option<Segment>>(self.segments.capacity())
            + vec_bytes::<u32>(self.vacant.capacity() + self.sparse.capacity())
            + vec_bytes::<(Bytes, usize)>(self.lent.capacity())
            + vec_bytes::<BytesMut>(self.spare.capacity())
    }

    /// How many bytes more that many records can take at most, of so many bytes together and that many the largest.
    pub(crate) fn growth_max(&self, bytes: u64, largest: u64) -> u64 {
        let room = self.active.map_or(0, |number| self.segment(number).room()) as u64;
        // A run of ids for each produce, in a list that doubles.
        let ids = self
            .active
            .map_or(64, |number| self.segment(number).index_bytes());
        if bytes <= room && largest <= self.shared_record_bytes_max() as u64 {
            return ids;
        }
        // What is left unused at the end of a segment is less than its eighth.
        // The last may be wanted for the largest record that shares one.
        let shared = self.shared_record_bytes_max();
        let shared = usize::try_from(largest).map_or(shared, |largest| largest.min(shared));
        let last = self.wanted_block_bytes(shared, bytes) as u64;
        let blocks = bytes + bytes / 7 + last;
        let count = bytes / self.wanted_block_bytes(0, 0) as u64 + bytes / largest.max(1) + 2;
        let count = count.min(blocks / SEGMENT_BYTES_MIN as u64 + 2);
        let tables = match self.segments.len() as u64 + count > self.segments.capacity() as u64 {
            true => (self.segments.capacity() as u64 + count + 4) * vec_bytes::<Segment>(1),
            false => 0,
        };
        blocks + ids + count * 256 + tables
    }

    /// How many segments there are, by what they are doing.
    pub(crate) fn segments(&self) -> Segments {
        let mut segments = Segments {
            active: u64::from(self.active.is_some()),
            spare: self.spare.len() as u64,
            lent: self.lent.len() as u64,
            ..Segments::default()
        };
        for segment in self.segments.iter().flatten().filter(|it| it.is_sealed()) {
            match segment.is_sparse {
                true => segments.sparse += 1,
                false => segments.sealed += 1,
            }
        }
        segments
    }

    /// Whether a record came or went since this was last asked.
    #[inline]
    pub(crate) fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.is_touched)
    }

    /// How many bytes compaction has copied.
    pub(crate) fn moved_bytes(&self) -> u64 {
        self.moved_bytes
    }

    /// Whether there are more than `left` sparse segments.
    pub(crate) fn has_sparse(&self, left: usize) -> bool {
        self.sparse.len() > left
    }

    /// An id whose record is in the oldest of more than `left` sparse segments, or was.
    pub(crate) fn next_sparse(&mut self, left: usize) -> Option<(u32, u64)> {
        while self.sparse.len() > left {
            let number = *self.sparse.front()?;
            let segment = self.segments[number as usize].as_mut();
            // A number that was used again may be that of a full segment.
            let segment = segment.filter(|segment| segment.is_sparse);
            if let Some(id) = segment.and_then(Segment::take_id) {
                return Some((number, id));
            }
            self.sparse.pop_front();
        }
        None
    }

    /// No id from that one on, up to `until`, is that of an item: they are not asked for again, if a segment has them next.
    pub(crate) fn skip_sparse(&mut self, number: u32, until: u64) {
        if let Some(segment) = &mut self.segments[number as usize] {
            segment.skip_ids(until);
        }
    }

    /// Copies a record to the end of the log. Its old place is released.
    pub(crate) fn relocate(&mut self, id: u64, slot: &Slot) -> Place {
        let created_at = self.created_at(slot);
        let copy = self.shared_record(slot);
        let place = self.append(id, copy.view().as_bytes(), created_at);
        drop(copy);
        self.moved_bytes += slot.len() as u64;
        self.release(slot);
        place
    }

    fn give_spare_back(&mut self) {
        for block in std::mem::take(&mut self.spare) {
            self.block_bytes -= block.capacity() as u64;
        }
    }

    /// The bytes of blocks that no record needs which lives.
    pub(crate) fn slack(&self) -> u64 {
        self.block_bytes - self.live_bytes
    }

    /// Writes no more into a segment that was opened for much more than lives now: what is in there goes to a smaller one,
    /// with the next compaction.
    pub(crate) fn shrink(&mut self) {
        if let Some(number) = self.active
            && self.segment(number).live() > 0
            && self.segment(number).live() * 2 < self.segment(number).capacity()
            && self.wanted_block_bytes(0, 0) < self.segment(number).capacity()
        {
            self.active = None;
            self.seal(number);
        }
    }

    /// How much compaction may grow while it moves that many records, of so many bytes and one more.
    pub(crate) fn growth_of_moves_max(&self, items: usize, bytes: usize) -> u64 {
        let largest = self.shared_record_bytes_max();
        self.growth_max((bytes + largest) as u64, largest as u64) + Segment::id_bytes_max(items)
    }

    /// Gives back the blocks that nobody needs.
    pub(crate) fn trim(&mut self) {
        self.give_spare_back();
        self.take_back(usize::MAX);
        self.give_spare_back();
        if let Some(number) = self.active
            && self.segment(number).live() == 0
        {
            self.active = None;
            if let Some(segment) = self.segments[number as usize].take() {
                self.index_bytes -= segment.index_bytes();
                self.block_bytes -= segment.capacity() as u64;
                self.vacant.push(number);
            }
        }
        self.lent.shrink_to_fit();
        if self.segments.iter().all(Option::is_none) {
            self.segments = Vec::new();
            self.vacant = Vec::new();
            self.sparse = VecDeque::new();
        }
    }

    fn segment(&self, number: u32) -> &Segment {
        let segment = self.segments.get(number as usize);
        segment
            .and_then(Option::as_ref)
            .expect("an item keeps the segment of its record")
    }

    fn segment_mut(&mut self, number: u32) -> &mut Segment {
        let segment = self.segments.get_mut(number as usize);
        segment
            .and_then(Option::as_mut)
            .expect("an item keeps the segment of its record")
    }

    fn has_room(&self, number: u32, len: usize) -> bool {
        len <= self.shared_record_bytes_max() && self.segment(number).has_room_for(len)
    }

    /// A segment for a record of that length; the active one, unless the record is large.
    fn open_segment(&mut self, len: usize, created_at: i64) -> u32 {
        let is_large = len > self.shared_record_bytes_max();
        let block = if is_large {
            self.block_bytes += len as u64;
            BytesMut::with_capacity(len)
        } else {
            if let Some(number) = self.active.take() {
                self.seal(number);
            }
            self.block(self.wanted_block_bytes(len, 0))
        };
        let segment = Segment::new(block, created_at);
        let number = match self.vacant.pop() {
            Some(number) => {
                self.segments[number as usize] = Some(segment);
                number
            }
            None => {
                self.segments.push(Some(segment));
                u32::try_from(self.segments.len() - 1).expect("fewer than 2^32 segments")
            }
        };
        if !is_large {
            self.active = Some(number);
        }
        number
    }

    fn seal(&mut self, number: u32) {
        let segment = self.segments[number as usize].as_mut();
        let segment = segment.expect("the active segment is there");
        let before = segment.index_bytes();
        segment.seal();
        self.index_bytes += segment.index_bytes() - before;
        if segment.live() == 0 {
            self.dissolve(number);
        } else if segment.live() * 2 < segment.capacity() {
            segment.is_sparse = true;
            self.sparse.push_back(number);
        }
    }

    /// A segment grows with what lives in the partition, so that a thousand small partitions take little.
    fn wanted_block_bytes(&self, len: usize, more: u64) -> usize {
        let live = usize::try_from(self.live_bytes + more).unwrap_or(usize::MAX);
        let wanted = live.saturating_mul(2).max(len.saturating_mul(8));
        wanted
            .next_power_of_two()
            .clamp(SEGMENT_BYTES_MIN, self.block_bytes_max)
    }

    fn shared_record_bytes_max(&self) -> usize {
        self.block_bytes_max / 8
    }

    /// A block of at least that capacity: one that was used before, or a new one.
    fn block(&mut self, wanted: usize) -> BytesMut {
        self.take_back(LENT_BLOCKS_LOOKED_AT);
        if let Some(index) = self
            .spare
            .iter()
            .position(|block| block.capacity() >= wanted)
        {
            return self.spare.swap_remove(index);
        }
        self.block_bytes += wanted as u64;
        BytesMut::with_capacity(wanted)
    }

    /// Takes blocks back that readers have let go of.
    fn take_back(&mut self, look_at: usize) {
        for _ in 0..look_at.min(self.lent.len()) {
            let Some((bytes, capacity)) = self.lent.pop_front() else {
                return;
            };
            match bytes.try_into_mut() {
                Ok(block) => self.keep(emptied(block)),
                Err(bytes) => self.lent.push_back((bytes, capacity)),
            }
        }
    }

    /// Keeps a block to be written again, unless there are enough or it is of no common size.
    fn keep(&mut self, block: BytesMut) {
        if self.spare.len() < SPARE_BLOCKS_MAX && block.capacity() <= SEGMENT_BYTES {
            self.spare.push(block);
        } else {
            self.block_bytes -= block.capacity() as u64;
        }
    }

    fn dissolve(&mut self, number: u32) {
        let Some(segment) = self.segments[number as usize].take() else {
            return;
        };
        self.vacant.push(number);
        if segment.is_sparse {
            // Its number is going to be used again. Mostly it is the oldest.
            self.sparse.retain(|other| *other != number);
        }
        self.index_bytes -= segment.index_bytes();
        let capacity = segment.capacity();
        match segment.dissolve() {
            Some(Remains::Block(block)) => self.keep(block),
            Some(Remains::Lent(bytes)) => {
                self.take_back(LENT_BLOCKS_LOOKED_AT);
                self.lent.push_back((bytes, capacity));
            }
            None => self.block_bytes -= capacity as u64,
        }
    }
}

#[cfg(test)]
impl Log {
    /// Fails unless the sums are those of the segments.
    pub(crate) fn assert_sound(&self, live_bytes: u64) {
        let segments = || self.segments.iter().flatten();
        let live: usize = segments().map(Segment::live).sum();
        assert_eq!(self.live_bytes, live_bytes, "live bytes of the items");
        assert_eq!(self.live_bytes, live as u64, "live bytes of the segments");
        let index: u64 = segments().map(Segment::index_bytes).sum();
        assert_eq!(self.index_bytes, index, "bytes of runs");
        let blocks: usize = segments().map(Segment::capacity).sum();
        let spare: usize = self.spare.iter().map(BytesMut::capacity).sum();
        let lent: usize = self.lent.iter().map(|(_, capacity)| capacity).sum();
        assert_eq!(
            self.block_bytes,
            (blocks + spare + lent) as u64,
            "bytes of blocks"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_records_are_said_to_take_a_few_times_their_bytes() {
        let log = Log::new(1 << 20);

        let growth = log.growth_max(100_000, 10);

        assert!((100_000..1_000_000).contains(&growth), "{growth}");
    }

    #[test]
    fn what_is_said_has_room_for_the_list_of_segments() {
        let mut log = Log::new(SEGMENT_BYTES_MIN as u64);
        for id in 1..=10_000 {
            let record = [7; SEGMENT_BYTES_MIN / 8];
            let before = log.bytes();

            let said = log.growth_max(record.len() as u64, record.len() as u64);
            log.append(id, &record, Timestamp::EPOCH);

            let grown = log.bytes() - before;
            assert!(
                grown <= said,
                "record {id}: {said} were said, {grown} taken"
            );
        }
    }

    #[test]
    fn what_is_said_has_room_for_the_segment_that_a_record_opens() {
        for block in [1_usize << 16, 1 << 19, 1 << 23] {
            for first in [
                1,
                100,
                block / 64,
                block / 16,
                block / 8,
                block / 8 + 1,
                block,
            ] {
                let mut log = Log::new(block as u64);
                // Ever smaller ones behind a first, then ever larger ones.
                let lens = (0..12).map(|turn| (first >> turn).max(1));
                let lens = lens.clone().chain(lens.rev());
                for (id, len) in (1..).zip(lens) {
                    let before = log.bytes();
                    let said = log.growth_max(len as u64, len as u64);

                    log.append(id, &vec![7; len], Timestamp::EPOCH);

                    let grown = log.bytes() - before;
                    let case = format!("block {block}, first {first}, record {id} of {len}");
                    assert!(grown <= said, "{case}: {said} were said, {grown} taken");
                }
            }
        }
    }
}
