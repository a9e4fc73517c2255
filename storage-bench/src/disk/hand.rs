//! The least that a queue by hand needs on an engine: the payload written once, one small row per lease, a cursor, and for
//! what is to be tried again a small row that says where in the order it stands now.
//!
//! It knows no order but that of production, no deadlines that anybody looks after, no states, attempts, sums, checks or
//! numbers that survive, and one consumer.

use std::collections::VecDeque;
use std::hint::black_box;
use std::ops::ControlFlow;

use storage_api::Direction;
use storage_kv::{Keyspace, KvError, KvErrorKind, KvResult, OrderedKv, Span, WriteBatch};

const CURSOR: &[u8] = b"cursor";
/// What a small row says: until when the lease is.
const DEADLINE: [u8; 8] = [7; 8];

/// A queue in an engine of its own.
pub(crate) struct HandQueue {
    engine: Box<dyn OrderedKv>,
    is_durable: bool,
    /// The last number that was given: items have one, and another for each time that they are put at the back again.
    last: u64,
    /// The first that was not leased.
    cursor: u64,
    /// What stands at the back again, by number: the first that was not leased, and the last.
    again: (u64, u64),
    /// What is leased at the moment, batch by batch.
    leased: VecDeque<Vec<u64>>,
}

/// An item on the way to a consumer.
struct Next {
    id: u64,
    /// The number under which it stands at the back again.
    again: Option<u64>,
}

impl HandQueue {
    pub(crate) fn new(engine: Box<dyn OrderedKv>) -> Self {
        Self {
            engine,
            is_durable: false,
            last: 0,
            cursor: 1,
            again: (1, 0),
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
        let mut next = Vec::with_capacity(items);
        let mut payloads = Vec::new();
        let mut again = self.next_again(items)?.into_iter().peekable();
        let from = self.cursor.to_be_bytes();
        let span = Span {
            from: &from,
            to: None,
        };
        let bodies = Keyspace::Bodies;
        self.engine
            .scan(bodies, span, Direction::Forward, &mut |key, payload| {
                let id = number(key);
                let stands_first = |other: &Next| other.again.is_some_and(|at| at < id);
                while let Some(other) =
                    again.next_if(|other| next.len() < items && stands_first(other))
                {
                    next.push(other);
                }
                if next.len() < items {
                    next.push(Next { id, again: None });
                    payloads.extend_from_slice(payload);
                }
                match next.len() == items {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            })?;
        next.extend(again.take(items - next.len()));
        let mut batch = WriteBatch::new();
        for Next { id, again } in &next {
            batch.put(Keyspace::States, &id.to_be_bytes(), &DEADLINE);
            match again {
                None => self.cursor = id + 1,
                Some(at) => {
                    let payload = self.engine.get(bodies, &id.to_be_bytes())?;
                    payloads.extend(payload.ok_or_else(|| lost(*id))?);
                    batch.delete(Keyspace::Ready, &at.to_be_bytes());
                    self.again.0 = at + 1;
                }
            }
        }
        batch.put(Keyspace::Catalog, CURSOR, &self.cursor.to_be_bytes());
        black_box(payloads);
        let leased = next.into_iter().map(|next| next.id).collect();
        self.leased.push_back(leased);
        self.write(batch)
    }

    /// What stands at the back again and was not leased since: so many at most, in order.
    fn next_again(&self, items: usize) -> KvResult<Vec<Next>> {
        let mut again = Vec::new();
        let (first, last) = self.again;
        if first > last {
            return Ok(again);
        }
        let (from, to) = (first.to_be_bytes(), (last + 1).to_be_bytes());
        let (rows, span) = (Keyspace::Ready, Span::new(&from, &to));
        self.engine
            .scan(rows, span, Direction::Forward, &mut |key, id| {
                again.push(Next {
                    id: number(id),
                    again: Some(number(key)),
                });
                match again.len() == items {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            })?;
        Ok(again)
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

    /// Puts the batch that was leased first at the back again: the small row of each lease goes, and another one comes.
    pub(crate) fn retry(&mut self) -> KvResult<()> {
        let mut batch = WriteBatch::new();
        for id in self.leased.pop_front().unwrap_or_default() {
            self.last += 1;
            self.again.1 = self.last;
            batch.delete(Keyspace::States, &id.to_be_bytes());
            let at = self.last.to_be_bytes();
            batch.put(Keyspace::Ready, &at, &id.to_be_bytes());
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

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

fn lost(id: u64) -> KvError {
    let reason = format!("item {id} of the queue by hand stands at its back and is not there");
    KvError::new(KvErrorKind::Corrupted, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage_kv::SimDisk;

    /// How many rows an engine holds.
    fn rows(engine: &dyn OrderedKv) -> usize {
        let mut rows = 0;
        for space in Keyspace::ALL {
            let count = &mut |_: &[u8], _: &[u8]| {
                rows += 1;
                ControlFlow::Continue(())
            };
            let forward = Direction::Forward;
            engine.scan(space, Span::all(), forward, count).unwrap();
        }
        rows
    }

    fn queue_of(disk: &SimDisk, items: usize) -> HandQueue {
        let mut queue = HandQueue::new(Box::new(disk.open()));
        queue.set_durable(true);
        queue.produce(b"payload", items).unwrap();
        queue
    }

    #[test]
    fn a_queue_by_hand_gives_every_item_once_and_leaves_its_cursor_behind() {
        let disk = SimDisk::new();
        let mut queue = queue_of(&disk, 5);

        queue.lease(3).unwrap();
        queue.lease(3).unwrap();
        assert_eq!(queue.leased, [vec![1, 2, 3], vec![4, 5]]);
        queue.complete().unwrap();
        queue.complete().unwrap();

        assert_eq!(rows(&disk.open()), 1);
    }

    #[test]
    fn what_is_retried_by_hand_is_leased_again_behind_what_was_there_and_before_what_comes() {
        let disk = SimDisk::new();
        let mut queue = queue_of(&disk, 3);
        queue.lease(2).unwrap();
        queue.retry().unwrap();
        queue.produce(b"payload", 2).unwrap();

        for _ in 0..3 {
            queue.lease(2).unwrap();
        }

        // The new ones have the numbers behind those under which the others stand at the back.
        assert_eq!(queue.leased, [vec![3, 1], vec![2, 6], vec![7]]);
    }

    #[test]
    fn what_is_retried_by_hand_again_and_again_leaves_nothing_behind() {
        let disk = SimDisk::new();
        let mut queue = queue_of(&disk, 3);
        for _ in 0..3 {
            queue.lease(2).unwrap();
            queue.retry().unwrap();
        }
        // Bodies, what says where they stand now, and the cursor: the rows of the leases went.
        assert_eq!(rows(&disk.open()), 3 + 3 + 1);

        queue.lease(4).unwrap();
        assert_eq!(queue.leased, [vec![1, 2, 3]]);
        queue.complete().unwrap();

        assert_eq!(rows(&disk.open()), 1);
    }
}
