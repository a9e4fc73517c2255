//! The least that a queue by hand needs on an engine: the payload written once, one small row per lease, and a cursor.
//!
//! It knows no order but that of production, no deadlines that anybody looks after, no states, sums, checks or numbers that
//! survive, and one consumer.

use std::collections::VecDeque;
use std::hint::black_box;
use std::ops::ControlFlow;

use storage_api::Direction;
use storage_kv::{Keyspace, KvResult, OrderedKv, Span, WriteBatch};

const CURSOR: &[u8] = b"cursor";
/// What a small row says: until when the lease is.
const DEADLINE: [u8; 8] = [7; 8];

/// A queue in an engine of its own.
pub(crate) struct HandQueue {
    engine: Box<dyn OrderedKv>,
    is_durable: bool,
    last: u64,
    /// The first that was not leased.
    cursor: u64,
    /// What is leased at the moment, batch by batch.
    leased: VecDeque<Vec<u64>>,
}

impl HandQueue {
    pub(crate) fn new(engine: Box<dyn OrderedKv>) -> Self {
        Self {
            engine,
            is_durable: false,
            last: 0,
            cursor: 1,
            leased: VecDeque::new(),
        }
    }

    /// Whether each call waits for the disk from now on.
    pub(crate) fn set_durable(&mut self, is_durable: bool) {
        self.is_durable = is_durable;
    }

    pub(crate) fn produce(&mut self, payload: &[u8], items: usize) -> KvResult<()> {
        let mut batch = WriteBatch::new();
        for _ in 0..items {
            self.last += 1;
            batch.put(Keyspace::Bodies, &self.last.to_be_bytes(), payload);
        }
        self.write(batch)
    }

    /// Copies the payloads of the next items out and remembers which they are.
    pub(crate) fn lease(&mut self, items: usize) -> KvResult<()> {
        let mut leased = Vec::with_capacity(items);
        let mut payloads = Vec::new();
        let from = self.cursor.to_be_bytes();
        let span = Span {
            from: &from,
            to: None,
        };
        let bodies = Keyspace::Bodies;
        self.engine
            .scan(bodies, span, Direction::Forward, &mut |key, payload| {
                let id = key.try_into().map_or(0, u64::from_be_bytes);
                leased.push(id);
                payloads.extend_from_slice(payload);
                match leased.len() == items {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            })?;
        let mut batch = WriteBatch::new();
        for id in &leased {
            batch.put(Keyspace::States, &id.to_be_bytes(), &DEADLINE);
            self.cursor = id + 1;
        }
        batch.put(Keyspace::Catalog, CURSOR, &self.cursor.to_be_bytes());
        black_box(payloads);
        self.leased.push_back(leased);
        self.write(batch)
    }

    /// Removes the batch that was leased first.
    pub(crate) fn complete(&mut self) -> KvResult<()> {
        let mut batch = WriteBatch::new();
        for id in self.leased.pop_front().unwrap_or_default() {
            batch.delete(Keyspace::Bodies, &id.to_be_bytes());
            batch.delete(Keyspace::States, &id.to_be_bytes());
        }
        self.write(batch)
    }

    pub(crate) fn sync(&self) -> KvResult<()> {
        self.engine.sync()
    }

    fn write(&self, batch: WriteBatch) -> KvResult<()> {
        match self.is_durable {
            true => self.engine.write_synced(batch),
            false => self.engine.write(batch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage_kv::SimDisk;

    #[test]
    fn a_queue_by_hand_gives_every_item_once_and_leaves_its_cursor_behind() {
        let disk = SimDisk::new();
        let mut queue = HandQueue::new(Box::new(disk.open()));
        queue.set_durable(true);
        queue.produce(b"payload", 5).unwrap();

        queue.lease(3).unwrap();
        queue.lease(3).unwrap();
        assert_eq!(queue.leased, [vec![1, 2, 3], vec![4, 5]]);
        queue.complete().unwrap();
        queue.complete().unwrap();

        let mut rows = 0;
        for space in Keyspace::ALL {
            let count = &mut |_: &[u8], _: &[u8]| {
                rows += 1;
                ControlFlow::Continue(())
            };
            let engine = disk.open();
            let forward = Direction::Forward;
            engine.scan(space, Span::all(), forward, count).unwrap();
        }
        assert_eq!(rows, 1);
    }
}
