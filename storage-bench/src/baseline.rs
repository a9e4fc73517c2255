//! What the driver is compared with, in the same run: structures of the standard library, which know no leases, checks,
//! accounting or trait, and a bare ring as the physical floor.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hint::black_box;
use std::sync::Mutex;

use clap::ValueEnum;

/// A structure by the name under which the report lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Baseline {
    /// `BTreeMap<u64, Vec<u8>>`
    Btree,
    /// `VecDeque<u64>` and `HashMap<u64, Vec<u8>>` behind a mutex
    Deque,
    /// Blocks that are written over and over: no allocation, no lock, no order but the first
    Ring,
}

impl Baseline {
    pub(crate) const ALL: [Self; 3] = [Self::Btree, Self::Deque, Self::Ring];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Btree => "btree",
            Self::Deque => "deque",
            Self::Ring => "ring",
        }
    }

    /// An empty queue that will hold up to that many items of that payload.
    pub(crate) fn open(self, depth: usize, payload: &[u8]) -> Box<dyn BareQueue> {
        match self {
            Self::Btree => Box::<BtreeQueue>::default(),
            Self::Deque => Box::<DequeQueue>::default(),
            Self::Ring => Box::new(RingQueue::new(depth, payload.len())),
        }
    }
}

/// The least that a queue does.
pub(crate) trait BareQueue {
    fn produce(&mut self, payload: &[u8], items: usize);
    /// Looks at the first items and remembers which they are; answers the sum of their lengths.
    fn lease(&mut self, items: usize) -> usize;
    /// Removes what was leased.
    fn complete(&mut self);
}

#[derive(Default)]
struct BtreeQueue {
    items: BTreeMap<u64, Vec<u8>>,
    last: u64,
    leased: Vec<u64>,
}

impl BareQueue for BtreeQueue {
    fn produce(&mut self, payload: &[u8], items: usize) {
        for _ in 0..items {
            self.last += 1;
            self.items.insert(self.last, payload.to_vec());
        }
    }

    fn lease(&mut self, items: usize) -> usize {
        let mut bytes = 0;
        for (id, payload) in self.items.iter().take(items) {
            self.leased.push(*id);
            bytes += payload.len();
        }
        bytes
    }

    fn complete(&mut self) {
        for id in self.leased.drain(..) {
            black_box(self.items.remove(&id));
        }
    }
}

/// The order, and the payloads by id.
type DequeParts = (VecDeque<u64>, HashMap<u64, Vec<u8>>);

#[derive(Default)]
struct DequeQueue {
    shared: Mutex<DequeParts>,
    last: u64,
    leased: Vec<u64>,
}

impl BareQueue for DequeQueue {
    fn produce(&mut self, payload: &[u8], items: usize) {
        let mut shared = self.shared.lock().expect("nobody panics under it");
        for _ in 0..items {
            self.last += 1;
            shared.0.push_back(self.last);
            shared.1.insert(self.last, payload.to_vec());
        }
    }

    fn lease(&mut self, items: usize) -> usize {
        let mut shared = self.shared.lock().expect("nobody panics under it");
        let mut bytes = 0;
        for _ in 0..items {
            let Some(id) = shared.0.pop_front() else {
                break;
            };
            bytes += shared.1.get(&id).map_or(0, Vec::len);
            self.leased.push(id);
        }
        bytes
    }

    fn complete(&mut self) {
        let mut shared = self.shared.lock().expect("nobody panics under it");
        for id in self.leased.drain(..) {
            black_box(shared.1.remove(&id));
        }
    }
}

/// One buffer that is written round and round.
struct RingQueue {
    buffer: Vec<u8>,
    payload_len: usize,
    places: usize,
    produced: usize,
    leased: usize,
    completed: usize,
}

impl RingQueue {
    fn new(depth: usize, payload_len: usize) -> Self {
        // Room for what is under way, too.
        let places = depth + 20_000;
        Self {
            buffer: vec![0; places * payload_len],
            payload_len,
            places,
            produced: 0,
            leased: 0,
            completed: 0,
        }
    }
}

impl BareQueue for RingQueue {
    fn produce(&mut self, payload: &[u8], items: usize) {
        for _ in 0..items {
            let start = self.produced % self.places * self.payload_len;
            self.buffer[start..start + self.payload_len].copy_from_slice(payload);
            self.produced += 1;
        }
    }

    fn lease(&mut self, items: usize) -> usize {
        let items = items.min(self.produced - self.leased);
        self.leased += items;
        black_box(&self.buffer);
        items * self.payload_len
    }

    fn complete(&mut self) {
        self.completed = self.leased;
        black_box(self.completed);
    }
}
