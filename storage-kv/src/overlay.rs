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

use parking_lot::{Mutex, RwLock};
use storage_api::Direction;

use crate::batch::{RangeDelete, WriteBatch};
use crate::engine::{EngineTraits, KvError, KvErrorKind, KvResult, OrderedKv, Span, Visit};
use crate::keyspace::Keyspace;

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
    is_abandoned: bool,
}

/// Batches on top of each other. Their buffers are kept as they came, so that a row costs no allocation.
#[derive(Debug, Default)]
struct Layer {
    spaces: [Rows; Keyspace::COUNT],
    buffers: Vec<Vec<u8>>,
    /// Removed before the rows of `spaces` were written.
    ranges: Vec<RangeDelete>,
    bytes: u64,
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
        let mut layers = self.layers.write();
        layers.in_flight = None;
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
        if layers.is_abandoned {
            return Err(KvError::new(
                KvErrorKind::Unavailable,
                "a round before it failed",
            ));
        }
        layers.gathering.take(batch);
        Ok(())
    }

    fn sync(&self) -> KvResult<()> {
        let _round = self.round.lock();
        // What a failed round left goes first: rounds never overtake each other.
        self.write_round()?;
        {
            let mut layers = self.layers.write();
            if layers.gathering.is_empty() {
                return Ok(());
            }
            let gathered = std::mem::take(&mut layers.gathering);
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
        let in_flight = layers.in_flight.as_ref().map_or(0, |layer| layer.bytes);
        layers.gathering.bytes + in_flight
    }

    fn abandon(&self) {
        *self.layers.write() = Layers {
            is_abandoned: true,
            ..Layers::default()
        };
        self.engine.abandon();
    }

    fn reclaim(&self, is_idle: bool) -> KvResult<()> {
        self.engine.reclaim(is_idle)
    }

    fn close(&self) -> KvResult<()> {
        self.engine.close()
    }
}

impl Layers {
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

    fn get(&self, space: Keyspace, key: &[u8]) -> Option<Option<&[u8]>> {
        match self.spaces[space.index()].get(key) {
            Some(row) => Some(self.value(row.place)),
            None if self.removes(space, key) => Some(None),
            None => None,
        }
    }

    fn value(&self, place: Option<Place>) -> Option<&[u8]> {
        let Place { buffer, start, len } = place?;
        Some(&self.buffers[buffer][start..start + len])
    }

    fn removes(&self, space: Keyspace, key: &[u8]) -> bool {
        self.ranges
            .iter()
            .any(|range| range.space == space && *range.from <= *key && *key < *range.to)
    }

    fn take(&mut self, batch: WriteBatch) {
        self.bytes += batch.bytes() as u64;
        for range in batch.ranges() {
            self.spaces[range.space.index()].remove_range(&range.from, &range.to);
            self.ranges.push(range.clone());
        }
        let buffer = self.buffers.len();
        for space in Keyspace::ALL {
            let rows = &mut self.spaces[space.index()];
            for (key, place) in batch.places(space) {
                let place = place.map(|place| Place {
                    buffer,
                    start: place.start,
                    len: place.len(),
                });
                // The number of a batch tells which of two rows of one key is the newer.
                rows.insert(
                    RowKey::new(key),
                    RowAt {
                        batch: buffer,
                        place,
                    },
                );
            }
        }
        self.buffers.push(batch.into_buffer());
    }

    fn to_batch(&self) -> WriteBatch {
        let mut batch = WriteBatch::new();
        for range in &self.ranges {
            batch.delete_range(range.space, &range.from, &range.to);
        }
        for space in Keyspace::ALL {
            let mut sources = Vec::new();
            let forward = Direction::Forward;
            self.add_sources(&mut sources, space, Span::all(), forward, None);
            let merge = Merge {
                sources,
                direction: forward,
            };
            for (key, value) in merge {
                match value {
                    Some(value) => batch.put(space, key, value),
                    None => batch.delete(space, key),
                }
            }
        }
        batch
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
            add(SourceRows::Stream(within(stream, span)));
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
    streams: [Vec<(RowKey, RowAt)>; 2],
    others: BTreeMap<RowKey, RowAt>,
}

#[derive(Debug, Clone, Copy)]
struct RowAt {
    /// Which batch wrote it; of one key the latest counts.
    batch: usize,
    /// `None`: it is removed.
    place: Option<Place>,
}

/// Where the value of a row lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    buffer: usize,
    start: usize,
    len: usize,
}

impl Rows {
    fn is_empty(&self) -> bool {
        self.streams.iter().all(Vec::is_empty) && self.others.is_empty()
    }

    fn get(&self, key: &[u8]) -> Option<RowAt> {
        let in_stream = |stream: &Vec<(RowKey, RowAt)>| {
            let found = stream.binary_search_by(|(own, _)| own.as_slice().cmp(key));
            found.ok().map(|at| stream[at].1)
        };
        let in_streams = self.streams.iter().filter_map(in_stream);
        let in_others = self.others.get(key).copied();
        in_streams.chain(in_others).max_by_key(|row| row.batch)
    }

    fn insert(&mut self, key: RowKey, row: RowAt) {
        for stream in &mut self.streams {
            match stream.last_mut() {
                Some((last, at)) if *last == key => {
                    *at = row;
                    return;
                }
                Some((last, _)) if *last > key => {}
                _ => {
                    stream.push((key, row));
                    return;
                }
            }
        }
        self.others.insert(key, row);
    }

    fn remove_range(&mut self, from: &[u8], to: &[u8]) {
        let span = Span::new(from, to);
        for stream in &mut self.streams {
            stream.retain(|(key, _)| !span.contains(key.as_slice()));
        }
        self.others.retain(|key, _| !span.contains(key.as_slice()));
    }
}

/// The part of an ordered list whose keys lie within a span.
fn within<'a>(stream: &'a [(RowKey, RowAt)], span: Span<'_>) -> &'a [(RowKey, RowAt)] {
    let from = stream.partition_point(|(key, _)| key.as_slice() < span.from);
    let to = span.to.map_or(stream.len(), |to| {
        stream.partition_point(|(key, _)| key.as_slice() < to)
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
    head: Option<(&'a [u8], RowAt)>,
}

enum SourceRows<'a> {
    Stream(&'a [(RowKey, RowAt)]),
    Others(btree_map::Range<'a, RowKey, RowAt>),
}

impl<'a> Source<'a> {
    /// Goes on to the next row that is not hidden.
    fn step(&mut self) {
        loop {
            let next = match (&mut self.rows, self.direction) {
                (SourceRows::Stream(rows), Direction::Forward) => {
                    rows.split_first().map(|(first, rest)| {
                        *rows = rest;
                        (&first.0, &first.1)
                    })
                }
                (SourceRows::Stream(rows), Direction::Backward) => {
                    rows.split_last().map(|(last, rest)| {
                        *rows = rest;
                        (&last.0, &last.1)
                    })
                }
                (SourceRows::Others(rows), Direction::Forward) => rows.next(),
                (SourceRows::Others(rows), Direction::Backward) => rows.next_back(),
            };
            self.head = next.map(|(key, row)| (key.as_slice(), *row));
            let is_hidden = |(key, _): &(&[u8], RowAt)| {
                self.hidden_by
                    .is_some_and(|newer| newer.removes(self.space, key))
            };
            if !self.head.as_ref().is_some_and(is_hidden) {
                return;
            }
        }
    }

    /// Which of two rows of one key is the newer.
    fn age(&self, row: RowAt) -> (bool, usize) {
        (self.hidden_by.is_none(), row.batch)
    }
}

/// The rows of several sources in order; of one key the newest.
struct Merge<'a> {
    sources: Vec<Source<'a>>,
    direction: Direction,
}

impl<'a> Iterator for Merge<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut first: Option<(&'a [u8], RowAt, usize)> = None;
        for (at, source) in self.sources.iter().enumerate() {
            let Some((key, row)) = source.head else {
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
        let value = self.sources[at].layer.value(row.place);
        for source in &mut self.sources {
            if source.head.is_some_and(|(other, _)| other == key) {
                source.step();
            }
        }
        Some((key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prove::prove;
    use crate::sim::SimDisk;

    #[test]
    fn what_is_abandoned_is_not_seen_any_more() {
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
