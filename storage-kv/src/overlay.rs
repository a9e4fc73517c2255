//! An engine that takes one writer at a time, made to take many.
//!
//! Batches go into memory, where they are visible at once. `sync` takes everything that has gathered there, writes it as
//! one batch, and waits for the disk once: a round. While a round is on its way, the next one gathers.
//!
//! ```text
//!   write ──► gathering ──sync──► in flight ──► engine
//!                 │                   │            │
//!   get, scan ◄───┴───────────────────┴────────────┘   the first that knows of a key decides
//! ```

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use storage_api::Direction;

use crate::batch::{RangeDelete, Row, WriteBatch};
use crate::engine::{EngineTraits, KvError, KvErrorKind, KvResult, OrderedKv, Span, Visit};
use crate::keyspace::Keyspace;
use crate::sync::{Mutex, RwLock};

/// The memory of a round is used again if it is no larger: as much as it has that grew to the bytes at which operations wait.
/// What is freed instead is kept by the allocator, in pieces, and memory grows with every round that is as large.
const SPARE_BYTES_MAX: usize = 32 << 20;

/// Gathers batches in memory in front of an engine, and writes them in rounds.
///
/// What was not synced is lost with the process, whatever the engine beneath can do.
#[derive(Debug)]
pub struct Overlay<E> {
    engine: E,
    layers: RwLock<Layers>,
    /// Held from the begin to the end of a round.
    round: Mutex<()>,
}

#[derive(Debug, Default)]
struct Layers {
    gathering: Layer,
    /// Stays after a round that failed: reads go on as if it had not.
    in_flight: Option<Arc<Layer>>,
    /// An empty one whose memory is used again, as fresh memory costs more than what is written to it.
    spare: Layer,
    is_abandoned: bool,
}

/// Batches on top of each other, all in one buffer: a row costs no allocation, and that which was written later lies
/// behind. A round is the same buffer, with the rows of each keyspace merged.
#[derive(Debug, Default)]
struct Layer {
    spaces: [Rows; Keyspace::COUNT],
    buffer: Arc<Vec<u8>>,
    /// Removed before the rows of `spaces` were written.
    ranges: Vec<RangeDelete>,
}

impl<E: OrderedKv> Overlay<E> {
    /// That engine behind an empty overlay.
    pub fn new(engine: E) -> Self {
        Self {
            engine,
            layers: RwLock::default(),
            round: Mutex::new(()),
        }
    }

    /// Writes what is in flight, if there is something.
    fn write_round(&self) -> KvResult<()> {
        let Some(layer) = self.layers.read().in_flight.clone() else {
            return Ok(());
        };
        self.engine.write_synced(layer.to_batch())?;
        self.layers.write().in_flight = None;
        if layer.buffer.capacity() <= SPARE_BYTES_MAX
            && let Ok(emptied) = Arc::try_unwrap(layer)
        {
            self.layers.write().spare = emptied.cleared();
        }
        Ok(())
    }
}

impl<E: OrderedKv> OrderedKv for Overlay<E> {
    fn get(&self, space: Keyspace, key: &[u8]) -> KvResult<Option<Vec<u8>>> {
        {
            let layers = self.layers.read();
            if let Some(known) = layers.get(space, key) {
                return Ok(known.map(<[u8]>::to_vec));
            }
        }
        // What left the overlay meanwhile is in the engine by now.
        self.engine.get(space, key)
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
        // Held to the end, so that a round cannot leave the overlay between its rows and those of the engine.
        let layers = self.layers.read();
        let mut own = layers.rows(space, span, direction).peekable();
        let is_before = |a: &[u8], b: &[u8]| match direction {
            Direction::Forward => a < b,
            Direction::Backward => a > b,
        };
        let mut flow = ControlFlow::Continue(());
        self.engine
            .scan(space, span, direction, &mut |key, value| {
                while let Some((own_key, own_value)) =
                    own.next_if(|(own_key, _)| is_before(own_key, key))
                {
                    if let Some(own_value) = own_value {
                        flow = visit(own_key, own_value);
                        flow?;
                    }
                }
                flow = match own.next_if(|(own_key, _)| *own_key == key) {
                    Some((_, Some(own_value))) => visit(key, own_value),
                    Some((_, None)) => ControlFlow::Continue(()),
                    None if layers.removes(space, key) => ControlFlow::Continue(()),
                    None => visit(key, value),
                };
                flow
            })?;
        if flow.is_continue() {
            for (key, value) in own {
                if let Some(value) = value
                    && visit(key, value).is_break()
                {
                    break;
                }
            }
        }
        Ok(())
    }

    fn write(&self, mut batch: WriteBatch) -> KvResult<()> {
        batch.order();
        let mut layers = self.layers.write();
        layers.check_kept()?;
        layers.gathering.take(batch);
        Ok(())
    }

    fn sync(&self) -> KvResult<()> {
        let _round = self.round.lock();
        // What a failed round left goes first: rounds never overtake each other.
        self.write_round()?;
        {
            let mut layers = self.layers.write();
            // What was abandoned is no longer there to be written, and whoever wrote it must not hear that it was.
            layers.check_kept()?;
            if layers.gathering.is_empty() {
                return Ok(());
            }
            let empty = std::mem::take(&mut layers.spare);
            let gathered = std::mem::replace(&mut layers.gathering, empty);
            layers.in_flight = Some(Arc::new(gathered));
        }
        self.write_round()
    }

    fn disk_bytes(&self) -> KvResult<u64> {
        self.engine.disk_bytes()
    }

    fn traits(&self) -> EngineTraits {
        EngineTraits {
            survives_kill: false,
            ..self.engine.traits()
        }
    }

    fn backlog(&self) -> u64 {
        let layers = self.layers.read();
        let in_flight = layers.in_flight.as_ref().map_or(0, |layer| layer.bytes());
        layers.gathering.bytes() + in_flight
    }

    fn abandon(&self) {
        // A round that another thread has begun comes to its end, so that it does not find its layer gone.
        let _round = self.round.lock();
        *self.layers.write() = Layers {
            is_abandoned: true,
            ..Layers::default()
        };
        self.engine.abandon();
    }

    fn reclaim(&self, is_idle: bool) -> KvResult<bool> {
        self.engine.reclaim(is_idle)
    }

    fn close(&self) -> KvResult<()> {
        self.engine.close()
    }
}

impl Layers {
    fn check_kept(&self) -> KvResult<()> {
        if self.is_abandoned {
            let reason = "a round before it failed";
            return Err(KvError::new(KvErrorKind::Unavailable, reason));
        }
        Ok(())
    }

    fn newest_first(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.gathering).chain(self.in_flight.as_deref())
    }

    /// What the overlay knows of a key: `Some(None)` that it is removed, `None` nothing.
    fn get(&self, space: Keyspace, key: &[u8]) -> Option<Option<&[u8]>> {
        self.newest_first().find_map(|layer| layer.get(space, key))
    }

    fn removes(&self, space: Keyspace, key: &[u8]) -> bool {
        self.newest_first().any(|layer| layer.removes(space, key))
    }

    /// What the overlay knows of the keys of a span, in the direction's order. What a range removes is not among it unless
    /// the overlay has a row of that key.
    fn rows<'a>(&'a self, space: Keyspace, span: Span<'_>, direction: Direction) -> Merge<'a> {
        let mut sources = Vec::new();
        for (depth, layer) in self.newest_first().enumerate() {
            let hidden_by = (depth > 0).then_some(&self.gathering);
            layer.add_sources(&mut sources, space, span, direction, hidden_by);
        }
        Merge { sources, direction }
    }
}

impl Layer {
    fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.spaces.iter().all(Rows::is_empty)
    }

    /// Without anything in it.
    fn cleared(mut self) -> Self {
        match Arc::get_mut(&mut self.buffer) {
            Some(buffer) => buffer.clear(),
            None => self.buffer = Arc::default(),
        }
        for rows in &mut self.spaces {
            rows.streams.iter_mut().for_each(Vec::clear);
            rows.others.clear();
        }
        self.ranges.clear();
        self
    }

    fn bytes(&self) -> u64 {
        self.buffer.len() as u64
    }

    fn get(&self, space: Keyspace, key: &[u8]) -> Option<Option<&[u8]>> {
        match self.spaces[space.index()].get(key, &self.buffer) {
            Some(row) => Some(row.value(&self.buffer)),
            None if self.removes(space, key) => Some(None),
            None => None,
        }
    }

    fn removes(&self, space: Keyspace, key: &[u8]) -> bool {
        self.ranges
            .iter()
            .any(|range| range.space == space && *range.from <= *key && *key < *range.to)
    }

    fn take(&mut self, mut batch: WriteBatch) {
        for range in batch.ranges() {
            let rows = &mut self.spaces[range.space.index()];
            rows.remove_range(&range.from, &range.to, &self.buffer);
            self.ranges.push(range.clone());
        }
        let shift = self.buffer.len();
        if shift == 0 && self.buffer.capacity() < batch.buffer().len() {
            // The batch is dropped in the end, so that what is added later need not copy it.
            self.buffer = batch.share_buffer();
        } else {
            Arc::make_mut(&mut self.buffer).extend_from_slice(batch.buffer());
        }
        for space in Keyspace::ALL {
            let rows = &mut self.spaces[space.index()];
            rows.extend(&batch.ordered(space), shift, &self.buffer);
        }
    }

    fn to_batch(&self) -> WriteBatch {
        let rows = Keyspace::ALL.map(|space| self.merged(space));
        WriteBatch::of_ordered(Arc::clone(&self.buffer), rows, self.ranges.clone())
    }

    /// The rows of a keyspace, ordered by key; of one key the newest.
    fn merged(&self, space: Keyspace) -> Vec<Row> {
        let rows = &self.spaces[space.index()];
        if rows.others.is_empty() {
            let [first, second] = &rows.streams;
            let is_before = match (first.last(), second.first()) {
                (Some(last), Some(first)) => last.key(&self.buffer) < first.key(&self.buffer),
                _ => true,
            };
            if is_before {
                return [first.as_slice(), second].concat();
            }
        }
        let mut sources = Vec::new();
        let direction = Direction::Forward;
        self.add_sources(&mut sources, space, Span::all(), direction, None);
        let mut merge = Merge { sources, direction };
        let mut merged = Vec::with_capacity(rows.len());
        merged.extend(std::iter::from_fn(|| merge.next_row()).map(|(row, _)| row));
        merged
    }

    fn add_sources<'a>(
        &'a self,
        sources: &mut Vec<Source<'a>>,
        space: Keyspace,
        span: Span<'_>,
        direction: Direction,
        hidden_by: Option<&'a Self>,
    ) {
        let rows = &self.spaces[space.index()];
        let mut add = |rows| {
            let mut source = Source {
                layer: self,
                hidden_by,
                space,
                rows,
                direction,
                head: None,
            };
            source.step();
            if source.head.is_some() {
                sources.push(source);
            }
        };
        for stream in &rows.streams {
            add(SourceRows::Stream(within(stream, span, &self.buffer)));
        }
        if !rows.others.is_empty() {
            let to = span.to.map_or(Bound::Unbounded, Bound::Excluded);
            let others = rows
                .others
                .range::<[u8], _>((Bound::Included(span.from), to));
            add(SourceRows::Others(others));
        }
    }
}

/// The rows of a keyspace in one layer.
///
/// A queue writes in few ascending streams: what comes is put in at the tail, what goes is removed at the head. Adding to
/// the end of a list costs a small part of finding a place in a tree, so that only what fits neither stream goes there.
#[derive(Debug, Default)]
struct Rows {
    streams: [Vec<Row>; 2],
    others: BTreeMap<RowKey, Row>,
}

impl Rows {
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.streams.iter().map(Vec::len).sum::<usize>() + self.others.len()
    }

    fn get(&self, key: &[u8], buffer: &[u8]) -> Option<Row> {
        let in_stream = |stream: &Vec<Row>| {
            let found = stream.binary_search_by(|own| own.key(buffer).cmp(key));
            found.ok().map(|at| stream[at])
        };
        let in_streams = self.streams.iter().filter_map(in_stream);
        let in_others = self.others.get(key).copied();
        in_streams
            .chain(in_others)
            .max_by_key(|row| Row::start(*row))
    }

    /// Takes rows that are newer than all others and lie that many bytes further behind in the buffer than they say.
    fn extend(&mut self, rows: &[Row], shift: usize, buffer: &[u8]) {
        let Some(first) = rows.first() else {
            return;
        };
        let first = first.shifted(shift);
        let ends_before = |stream: &Vec<Row>| {
            let last = stream.last();
            last.is_none_or(|last| last.key(buffer) < first.key(buffer))
        };
        let shifted = rows.iter().map(|row| row.shifted(shift));
        match self.streams.iter().position(ends_before) {
            Some(stream) => self.streams[stream].extend(shifted),
            None => shifted.for_each(|row| self.insert(row, buffer)),
        }
    }

    /// Takes a row that is newer than all others.
    fn insert(&mut self, row: Row, buffer: &[u8]) {
        let key = row.key(buffer);
        for stream in &mut self.streams {
            match stream
                .last_mut()
                .map(|last| (last.key(buffer).cmp(key), last))
            {
                Some((Ordering::Equal, last)) => {
                    *last = row;
                    return;
                }
                Some((Ordering::Greater, _)) => {}
                Some((Ordering::Less, _)) | None => {
                    stream.push(row);
                    return;
                }
            }
        }
        self.others.insert(RowKey::new(key), row);
    }

    fn remove_range(&mut self, from: &[u8], to: &[u8], buffer: &[u8]) {
        let span = Span::new(from, to);
        for stream in &mut self.streams {
            stream.retain(|row| !span.contains(row.key(buffer)));
        }
        self.others.retain(|key, _| !span.contains(key.as_slice()));
    }
}

/// The part of an ordered list whose keys lie within a span.
fn within<'a>(stream: &'a [Row], span: Span<'_>, buffer: &[u8]) -> &'a [Row] {
    let from = stream.partition_point(|row| row.key(buffer) < span.from);
    let to = span.to.map_or(stream.len(), |to| {
        stream.partition_point(|row| row.key(buffer) < to)
    });
    &stream[from..to.max(from)]
}

/// A key, within the map if it is short: all but those of names and metadata are.
#[derive(Clone)]
enum RowKey {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

/// As many bytes as a long key takes anyway, and more than the keys of items have.
const SHORT: usize = 22;

impl RowKey {
    fn new(key: &[u8]) -> Self {
        match u8::try_from(key.len()) {
            Ok(len) if key.len() <= SHORT => {
                let mut bytes = [0; SHORT];
                bytes[..key.len()].copy_from_slice(key);
                Self::Short { len, bytes }
            }
            _ => Self::Long(key.into()),
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for RowKey {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for RowKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for RowKey {}

impl PartialOrd for RowKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RowKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl std::fmt::Debug for RowKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.as_slice().escape_ascii())
    }
}

/// One ordered list of a layer.
struct Source<'a> {
    layer: &'a Layer,
    /// The newer layer, whose range removals hide what this one has.
    hidden_by: Option<&'a Layer>,
    space: Keyspace,
    rows: SourceRows<'a>,
    direction: Direction,
    head: Option<Row>,
}

enum SourceRows<'a> {
    Stream(&'a [Row]),
    Others(btree_map::Range<'a, RowKey, Row>),
}

impl<'a> Source<'a> {
    /// Goes on to the next row that is not hidden.
    fn step(&mut self) {
        loop {
            self.head = match (&mut self.rows, self.direction) {
                (SourceRows::Stream(rows), Direction::Forward) => rows.split_off_first().copied(),
                (SourceRows::Stream(rows), Direction::Backward) => rows.split_off_last().copied(),
                (SourceRows::Others(rows), Direction::Forward) => rows.next().map(|(_, row)| *row),
                (SourceRows::Others(rows), Direction::Backward) => {
                    rows.next_back().map(|(_, row)| *row)
                }
            };
            let is_hidden = |key: &[u8]| {
                self.hidden_by
                    .is_some_and(|newer| newer.removes(self.space, key))
            };
            if !self.key().is_some_and(is_hidden) {
                return;
            }
        }
    }

    fn key(&self) -> Option<&'a [u8]> {
        self.head.map(|row| row.key(&self.layer.buffer))
    }

    /// Which of two rows of one key is the newer.
    fn age(&self, row: Row) -> (bool, usize) {
        (self.hidden_by.is_none(), row.start())
    }
}

/// The rows of several sources in order; of one key the newest.
struct Merge<'a> {
    sources: Vec<Source<'a>>,
    direction: Direction,
}

impl<'a> Merge<'a> {
    /// The next row, and the layer that has it.
    fn next_row(&mut self) -> Option<(Row, &'a Layer)> {
        let mut first: Option<(&'a [u8], Row, usize)> = None;
        for (at, source) in self.sources.iter().enumerate() {
            let Some((key, row)) = source.key().zip(source.head) else {
                continue;
            };
            let Some((first_key, first_row, first_at)) = first else {
                first = Some((key, row, at));
                continue;
            };
            let order = match self.direction {
                Direction::Forward => key.cmp(first_key),
                Direction::Backward => first_key.cmp(key),
            };
            let is_newer = || source.age(row) > self.sources[first_at].age(first_row);
            if order == Ordering::Less || order == Ordering::Equal && is_newer() {
                first = Some((key, row, at));
            }
        }
        let (key, row, at) = first?;
        let layer = self.sources[at].layer;
        for source in &mut self.sources {
            if source.key() == Some(key) {
                source.step();
            }
        }
        Some((row, layer))
    }
}

impl<'a> Iterator for Merge<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let (row, layer) = self.next_row()?;
        Some((row.key(&layer.buffer), row.value(&layer.buffer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prove::prove;
    use crate::sim::SimDisk;

    #[test]
    fn what_is_abandoned_is_neither_seen_nor_called_synced() {
        let disk = SimDisk::new();
        let overlay = Overlay::new(disk.open());
        let put = |key: &[u8]| {
            let mut batch = WriteBatch::new();
            batch.put(Keyspace::Dead, key, b"");
            overlay.write(batch)
        };
        put(b"synced").unwrap();
        overlay.sync().unwrap();
        put(b"lost").unwrap();

        overlay.abandon();

        assert!(overlay.get(Keyspace::Dead, b"synced").unwrap().is_some());
        assert!(overlay.get(Keyspace::Dead, b"lost").unwrap().is_none());
        put(b"late").unwrap_err();
        // Another thread may sync before it hears of the failure: nothing left to write does not mean that all is written.
        overlay.sync().unwrap_err();
    }

    #[test]
    fn an_overlay_is_an_ordered_kv() {
        for seed in 0..20 {
            let disk = SimDisk::new();
            prove(seed, 400, || Overlay::new(disk.open()));
        }
    }

    #[test]
    fn what_a_failed_round_left_is_still_read_and_goes_first() {
        let disk = SimDisk::new();
        let overlay = Overlay::new(disk.open());
        let put = |value: &[u8]| {
            let mut batch = WriteBatch::new();
            batch.put(Keyspace::Dead, b"k", value);
            overlay.write(batch).unwrap();
        };
        put(b"1");
        disk.fail_next_write();

        overlay.sync().unwrap_err();

        assert_eq!(overlay.get(Keyspace::Dead, b"k").unwrap().unwrap(), b"1");
        put(b"2");
        overlay.sync().unwrap();
        assert_eq!(
            disk.open().get(Keyspace::Dead, b"k").unwrap().unwrap(),
            b"2"
        );
    }
}
