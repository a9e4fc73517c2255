//! The proof that an engine is what the core takes it for.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use storage_api::Direction;

use crate::batch::WriteBatch;
use crate::engine::{OrderedKv, Span};
use crate::keyspace::Keyspace;

/// Compares an engine with a `BTreeMap` for that many random steps: writes, range removals, reads and scans in both
/// directions, syncs, reclaiming of space, and closings followed by an `open` of the same place.
///
/// `open` begins with an empty engine, and gives what was closed at every later call. Panics where the two differ, with the
/// seed and the step. To be called from the tests of every engine, with many seeds.
pub fn prove<E: OrderedKv>(seed: u64, steps: usize, mut open: impl FnMut() -> E) {
    let mut dice = Dice::new(seed);
    let mut engine = open();
    let mut model: [BTreeMap<Vec<u8>, Vec<u8>>; Keyspace::COUNT] = Default::default();
    for step in 0..steps {
        let at = format!("seed {seed}, step {step}");
        let space = Keyspace::ALL[dice.below(3) * 4];
        match dice.below(10) {
            0..=3 => {
                let mut batch = WriteBatch::new();
                if dice.below(6) == 0 {
                    let (from, to) = (dice.key(), dice.key());
                    batch.delete_range(space, &from, &to);
                    model[space.index()].retain(|key, _| from > to || *key < from || *key >= to);
                }
                for _ in 0..dice.below(12) {
                    let space = Keyspace::ALL[dice.below(3) * 4];
                    let key = dice.key();
                    if dice.below(3) == 0 {
                        batch.delete(space, &key);
                        model[space.index()].remove(&key);
                    } else {
                        let value = dice.value();
                        batch.put(space, &key, &value);
                        model[space.index()].insert(key, value);
                    }
                }
                if dice.below(4) == 0 {
                    engine.write_synced(batch).expect(&at);
                } else {
                    engine.write(batch).expect(&at);
                }
            }
            4 => {
                let key = dice.key();
                let found = engine.get(space, &key).expect(&at);
                assert_eq!(
                    found.as_ref(),
                    model[space.index()].get(&key),
                    "{at}: get {key:?}"
                );
            }
            5..=7 => check_scan(&engine, &model[space.index()], space, &mut dice, &at),
            8 => engine.sync().expect(&at),
            _ if dice.below(4) == 0 => {
                engine.sync().expect(&at);
                engine.close().expect(&at);
                drop(engine);
                engine = open();
            }
            _ if dice.below(3) == 0 => {
                engine.reclaim(dice.below(2) == 0).expect(&at);
            }
            _ => assert!(engine.disk_bytes().is_ok(), "{at}"),
        }
    }
    engine.close().expect("the last close");
}

fn check_scan<E: OrderedKv>(
    engine: &E,
    model: &BTreeMap<Vec<u8>, Vec<u8>>,
    space: Keyspace,
    dice: &mut Dice,
    at: &str,
) {
    let from = if dice.below(4) == 0 {
        Vec::new()
    } else {
        dice.key()
    };
    let to = (dice.below(4) != 0).then(|| dice.key());
    let span = Span {
        from: &from,
        to: to.as_deref(),
    };
    let direction = if dice.below(2) == 0 {
        Direction::Forward
    } else {
        Direction::Backward
    };
    let rows_max = 1 + dice.below(60);

    let mut found = Vec::new();
    let scanned = engine.scan(space, span, direction, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        if found.len() == rows_max {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });

    scanned.expect(at);
    let mut expected = Vec::new();
    if !span.is_empty() {
        let to = span.to.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = model.range::<[u8], _>((Bound::Included(&*from), to));
        let row = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        expected = match direction {
            Direction::Forward => rows.map(row).take(rows_max).collect(),
            Direction::Backward => rows.rev().map(row).take(rows_max).collect(),
        };
    }
    assert_eq!(found, expected, "{at}: scan {space} {span:?} {direction:?}");
}

/// Numbers from a seed (SplitMix64): the same on every machine and in every version.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to but without `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = bound.max(1) as u64;
        usize::try_from(self.next() % bound).expect("smaller than a usize")
    }

    /// Few bytes out of few, so that keys meet; at the ends of the range of a byte, where bounds go wrong.
    fn key(&mut self) -> Vec<u8> {
        const BYTES: [u8; 5] = [0, 1, 0x7f, 0xfe, 0xff];
        (0..=self.below(4)).map(|_| BYTES[self.below(5)]).collect()
    }

    /// From nothing up to more than a page.
    fn value(&mut self) -> Vec<u8> {
        let len = match self.below(20) {
            0 => self.below(10_000),
            1..=4 => 0,
            _ => self.below(40),
        };
        vec![u8::try_from(self.below(256)).unwrap_or(0); len]
    }
}
