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

use std::collections::{BTreeMap, btree_map};
use std::iter::{Peekable, Rev};
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

#[derive(Debug, Default)]
struct Layer {
    spaces: [BTreeMap<Vec<u8>, Option<Vec<u8>>>; Keyspace::COUNT],
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
        layers.gathering.take(&batch);
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

    fn reclaim(&self) -> KvResult<()> {
        self.engine.reclaim()
    }

    fn close(&self) -> KvResult<()> {
        self.engine.close()
    }
}

type LayerRow<'a> = (&'a [u8], Option<&'a [u8]>);

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
        let older = self.in_flight.as_deref();
        Merge {
            newer: LayerRows::new(&self.gathering, space, span, direction).peekable(),
            older: older.map(|older| LayerRows::new(older, space, span, direction).peekable()),
            hidden_by: &self.gathering,
            space,
            direction,
        }
    }
}

impl Layer {
    fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.spaces.iter().all(BTreeMap::is_empty)
    }

    fn get(&self, space: Keyspace, key: &[u8]) -> Option<Option<&[u8]>> {
        match self.spaces[space.index()].get(key) {
            Some(value) => Some(value.as_deref()),
            None if self.removes(space, key) => Some(None),
            None => None,
        }
    }

    fn removes(&self, space: Keyspace, key: &[u8]) -> bool {
        self.ranges
            .iter()
            .any(|range| range.space == space && *range.from <= *key && *key < *range.to)
    }

    fn take(&mut self, batch: &WriteBatch) {
        self.bytes += batch.bytes() as u64;
        for range in batch.ranges() {
            let rows = &mut self.spaces[range.space.index()];
            let bounds = (Bound::Included(&range.from), Bound::Excluded(&range.to));
            let covered: Vec<_> = rows
                .range::<Vec<u8>, _>(bounds)
                .map(|(key, _)| key.clone())
                .collect();
            for key in covered {
                rows.remove(&key);
            }
            self.ranges.push(range.clone());
        }
        for space in Keyspace::ALL {
            let rows = &mut self.spaces[space.index()];
            for (key, value) in batch.rows(space) {
                rows.insert(key.to_vec(), value.map(<[u8]>::to_vec));
            }
        }
    }

    fn to_batch(&self) -> WriteBatch {
        let mut batch = WriteBatch::new();
        for range in &self.ranges {
            batch.delete_range(range.space, &range.from, &range.to);
        }
        for space in Keyspace::ALL {
            for (key, value) in &self.spaces[space.index()] {
                match value {
                    Some(value) => batch.put(space, key, value),
                    None => batch.delete(space, key),
                }
            }
        }
        batch
    }
}

/// The rows of one layer in either direction.
enum LayerRows<'a> {
    Forward(btree_map::Range<'a, Vec<u8>, Option<Vec<u8>>>),
    Backward(Rev<btree_map::Range<'a, Vec<u8>, Option<Vec<u8>>>>),
}

impl<'a> LayerRows<'a> {
    fn new(layer: &'a Layer, space: Keyspace, span: Span<'_>, direction: Direction) -> Self {
        let to = span.to.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = layer.spaces[space.index()].range::<[u8], _>((Bound::Included(span.from), to));
        match direction {
            Direction::Forward => Self::Forward(rows),
            Direction::Backward => Self::Backward(rows.rev()),
        }
    }
}

impl<'a> Iterator for LayerRows<'a> {
    type Item = LayerRow<'a>;

    fn next(&mut self) -> Option<LayerRow<'a>> {
        let (key, value) = match self {
            Self::Forward(rows) => rows.next()?,
            Self::Backward(rows) => rows.next()?,
        };
        Some((key, value.as_deref()))
    }
}

/// The rows of both layers; of one key that of the newer, and none of the older that the newer removes as a range.
struct Merge<'a> {
    newer: Peekable<LayerRows<'a>>,
    older: Option<Peekable<LayerRows<'a>>>,
    hidden_by: &'a Layer,
    space: Keyspace,
    direction: Direction,
}

impl<'a> Iterator for Merge<'a> {
    type Item = LayerRow<'a>;

    fn next(&mut self) -> Option<LayerRow<'a>> {
        let Some(older) = &mut self.older else {
            return self.newer.next();
        };
        loop {
            let Some((key, _)) = older.peek() else {
                return self.newer.next();
            };
            let order = self.newer.peek().map(|(newer, _)| match self.direction {
                Direction::Forward => (*newer).cmp(key),
                Direction::Backward => (*key).cmp(newer),
            });
            match order {
                Some(std::cmp::Ordering::Less) => return self.newer.next(),
                Some(std::cmp::Ordering::Equal) => {
                    older.next();
                    return self.newer.next();
                }
                Some(std::cmp::Ordering::Greater) | None => {
                    let (key, value) = older.next()?;
                    if !self.hidden_by.removes(self.space, key) {
                        return Some((key, value));
                    }
                }
            }
        }
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
