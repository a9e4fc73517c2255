//! What the tasks of a worker share: the items that wait, those at work, and those whose outcome is not stored yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use storage_api::limits::BATCH_ITEMS_MAX;
use storage_api::{Clock, LeaseOptions, Timestamp};
use tokio::sync::{Notify, Semaphore, oneshot, watch};

use super::WorkerReport;
use super::handler::Outcome;
use crate::queue::{Deliveries, Delivery, Queue, QueueReceipt};

pub(super) struct Shared {
    pub(super) queue: Queue,
    pub(super) lease_for: Duration,
    pub(super) concurrency: usize,
    pub(super) timeout: Option<Duration>,
    pub(super) seed: u64,
    pub(super) settles_first: bool,
    pub(super) options: LeaseOptions,
    pub(super) counters: Arc<Counters>,
    pub(super) stop: watch::Receiver<bool>,
    /// One permit for each waiting item, and stale ones for items that were released: whoever gets one looks.
    pub(super) waiting: Semaphore,
    /// There may be room for more items.
    pub(super) room: Notify,
    /// There are outcomes to store, or there will be no more.
    pub(super) outcomes: Notify,
    pub(super) is_drained: AtomicBool,
    state: Mutex<State>,
}

struct State {
    waiting: VecDeque<Delivery>,
    /// What is at work, by slot.
    running: Vec<Option<Running>>,
    running_count: usize,
    ended: Vec<Ended>,
    /// How many items have ended whose outcome is not stored yet, those taken from `ended` included.
    unsettled: usize,
    /// How many items may wait beyond those that a slot is free for.
    prefetch: usize,
}

/// A lease at work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    pub(super) receipt: QueueReceipt,
    pub(super) deadline: Timestamp,
}

/// An item whose work has ended.
pub(super) struct Ended {
    pub(super) receipt: QueueReceipt,
    pub(super) attempts: u32,
    pub(super) outcome: Outcome,
    /// Dropped when the outcome is stored, or given up: whoever waits for that has the other end.
    pub(super) settled: Option<oneshot::Sender<()>>,
}

impl Shared {
    pub(super) fn new(
        queue: Queue,
        options: LeaseOptions,
        settings: &super::Settings,
        counters: Arc<Counters>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            queue,
            lease_for: options.lease_for,
            concurrency: settings.concurrency,
            timeout: settings.timeout,
            seed: settings.seed,
            settles_first: settings.settles_first,
            options,
            counters,
            stop,
            waiting: Semaphore::new(0),
            room: Notify::new(),
            outcomes: Notify::new(),
            is_drained: AtomicBool::new(false),
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                running: vec![None; settings.concurrency],
                running_count: 0,
                ended: Vec::new(),
                unsettled: 0,
                prefetch: 0,
            }),
        }
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        self.queue.metadata().clock()
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// How many items to lease now: as many as slots are free, and those that will soon be.
    ///
    /// Zero until at least one slot would stand idle, or half of what is kept waiting has been begun, so that leases are as
    /// large as they can be without anybody waiting for them. Zero also while a whole call's worth of outcomes waits to be
    /// stored: where the storage is slower than the handlers, more leases would only end before their turn comes.
    pub(super) fn room(&self) -> usize {
        let state = self.state.lock();
        if state.unsettled >= BATCH_ITEMS_MAX {
            return 0;
        }
        let free = self.concurrency - state.running_count;
        let waiting = state.waiting.len();
        let is_low = free > waiting || (state.prefetch > 0 && waiting <= state.prefetch / 2);
        if is_low {
            (free + state.prefetch).saturating_sub(waiting)
        } else {
            0
        }
    }

    pub(super) fn prefetch(&self) -> usize {
        self.state.lock().prefetch
    }

    pub(super) fn set_prefetch(&self, prefetch: usize) {
        self.state.lock().prefetch = prefetch;
    }

    /// Lets leased items wait for a slot.
    pub(super) fn add(&self, deliveries: Deliveries) {
        let count = deliveries.len();
        self.state.lock().waiting.extend(deliveries);
        self.waiting.add_permits(count);
    }

    /// Takes the next waiting item to work in a slot.
    pub(super) fn begin(&self, slot: usize) -> Option<Delivery> {
        let mut state = self.state.lock();
        let delivery = state.waiting.pop_front()?;
        state.running[slot] = Some(Running {
            receipt: delivery.receipt(),
            deadline: delivery.deadline(),
        });
        state.running_count += 1;
        let is_low = state.waiting.len() <= state.prefetch / 2;
        drop(state);
        if is_low {
            self.room.notify_one();
        }
        Some(delivery)
    }

    /// Hands over the outcome of the item in a slot, and frees the slot.
    pub(super) fn end(&self, slot: usize, ended: Ended) {
        let mut state = self.state.lock();
        state.running[slot] = None;
        state.running_count -= 1;
        state.ended.push(ended);
        state.unsettled += 1;
        let is_idle = state.waiting.is_empty();
        drop(state);
        self.outcomes.notify_one();
        if is_idle {
            self.room.notify_one();
        }
    }

    /// The outcomes that are to be stored.
    pub(super) fn take_ended(&self) -> Vec<Ended> {
        std::mem::take(&mut self.state.lock().ended)
    }

    /// Remembers that so many outcomes were stored, or given up.
    pub(super) fn settled(&self, count: usize) {
        let mut state = self.state.lock();
        let was_full = state.unsettled >= BATCH_ITEMS_MAX;
        state.unsettled -= count;
        drop(state);
        if was_full {
            self.room.notify_one();
        }
    }

    /// The items that wait and whose lease ends before `limit`, or all of them: they wait no longer.
    pub(super) fn take_waiting(&self, limit: Option<Timestamp>) -> Vec<Delivery> {
        let mut state = self.state.lock();
        let is_taken = |delivery: &Delivery| limit.is_none_or(|limit| delivery.deadline() <= limit);
        let waiting = std::mem::take(&mut state.waiting);
        let (taken, kept): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_taken);
        state.waiting = kept.into();
        taken
    }

    /// What is at work under a lease that ends before `limit`.
    pub(super) fn running_until(&self, limit: Timestamp) -> Vec<QueueReceipt> {
        let state = self.state.lock();
        let running = state.running.iter().flatten();
        let ending = running.filter(|running| running.deadline <= limit);
        ending.map(|running| running.receipt).collect()
    }

    /// Remembers that a lease at work was extended.
    pub(super) fn extended(&self, receipt: QueueReceipt, deadline: Timestamp) {
        let mut state = self.state.lock();
        let mut running = state.running.iter_mut().flatten();
        if let Some(running) = running.find(|running| running.receipt == receipt) {
            running.deadline = deadline;
        }
    }
}

/// What a worker has done so far.
pub(super) struct Counters {
    pub(super) completed: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) dead: AtomicU64,
    pub(super) settled: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) released: AtomicU64,
    pub(super) panicked: AtomicU64,
    pub(super) timed_out: AtomicU64,
    /// Sent to after every change.
    pub(super) changed: watch::Sender<()>,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            completed: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            dead: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            released: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            changed: watch::Sender::new(()),
        }
    }

    pub(super) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn report(&self) -> WorkerReport {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WorkerReport {
            completed: read(&self.completed),
            retried: read(&self.retried),
            dead: read(&self.dead),
            settled: read(&self.settled),
            lost: read(&self.lost),
            released: read(&self.released),
            panicked: read(&self.panicked),
            timed_out: read(&self.timed_out),
        }
    }
}
