//! What a partition consists of, and how an item enters, changes and leaves.

use std::sync::Arc;

use storage_api::{
    DeadPolicy, DeadReason, Error, ErrorKind, ItemEntry, ItemId, ItemState, Mode, Note, Operation,
    PartitionInfo, PartitionStats, Receipt, Record, Requeue, Result, SignalHub, State, StepFailure,
    Timestamp,
};

use crate::budget::Budget;
use crate::dedup::DedupKeys;
use crate::expiring::Expiring;
use crate::footprint::shared_bytes;
use crate::lease::Choice;
use crate::leases::Leases;
use crate::log::Log;
use crate::notes::Notes;
use crate::numbers::{Counter, Sequence};
use crate::ready::Ready;
use crate::slot::Slot;
use crate::slots::Slots;
use crate::sorted::Sorted;

/// Items of one state in the order of their due times.
pub(crate) type DueOrder = Sorted<(Timestamp, ItemId), ()>;

/// One partition, whole: everything that its lock protects.
///
/// A record is in the log, the state of its item in a slot, and whatever orders the items of a state is an index of its
/// own. [`link`](Self::link) and [`unlink`](Self::unlink) keep the orders and sums for one item at a time; only produce and
/// lease, which move whole batches, do that themselves.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) info: PartitionInfo,
    pub(crate) log: Log,
    pub(crate) slots: Slots,
    pub(crate) ready: Ready,
    /// Ready items that expire.
    pub(crate) expiring: Expiring,
    pub(crate) scheduled: DueOrder,
    pub(crate) leases: Leases,
    pub(crate) notes: Notes,
    pub(crate) keys: DedupKeys,
    pub(crate) choice: Choice,
    /// Sums by state; the times of the first items are left open.
    pub(crate) sums: PartitionStats,
    /// How often an item became ready.
    pub(crate) arrivals: u64,
    pub(crate) ids: Sequence,
    pub(crate) positions: Sequence,
    pub(crate) hub: SignalHub,
    /// What the leases of all partitions are numbered by.
    pub(crate) numbers: Arc<Counter>,
    pub(crate) budget: Arc<Budget>,
    /// What the budget was told that this partition takes.
    pub(crate) charged: u64,
    /// What the budget was told that its log takes beyond what lives.
    pub(crate) slack: u64,
    /// Since when no item came or went; `None` once what it does not need was given back for that.
    pub(crate) quiet_since: Option<Timestamp>,
    /// Whether it was deleted or its backend closed. Only who came by a [shortcut](crate::home) ever sees that.
    pub(crate) has_gone: bool,
}

/// What those who watch a partition care for (clause WAKE-1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outlook {
    arrivals: u64,
    next_due: Option<Timestamp>,
}

impl Partition {
    /// An empty partition whose ids and positions start above `floor`.
    pub(crate) fn new(
        info: PartitionInfo,
        floor: u64,
        numbers: Arc<Counter>,
        budget: Arc<Budget>,
    ) -> Self {
        Self {
            info,
            log: Log::new(budget.block_bytes_max()),
            charged: 0,
            slack: 0,
            quiet_since: None,
            has_gone: false,
            numbers,
            budget,
            slots: Slots::default(),
            ready: Ready::default(),
            expiring: Expiring::default(),
            scheduled: DueOrder::default(),
            leases: Leases::default(),
            notes: Notes::default(),
            keys: DedupKeys::default(),
            choice: Choice::default(),
            sums: PartitionStats::default(),
            arrivals: 0,
            ids: Sequence::above(floor),
            positions: Sequence::above(floor),
            hub: SignalHub::new(),
        }
    }

    /// Changes it, and does what is due after every change: compaction, accounts, signals.
    #[inline]
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.outlook();
        let answer = change(self);
        self.compact_step();
        // What was refused may have set memory aside, or dropped items.
        self.settle();
        self.wake_since(before);
        answer
    }

    /// The slot of a receipt, if its lease is the one that is valid.
    pub(crate) fn leased(&self, receipt: Receipt) -> Result<Slot, StepFailure> {
        let slot = self.slots.get(receipt.item.get());
        let slot = slot.ok_or(StepFailure::NotFound)?;
        expect_lease(&self.leases, slot, receipt)?;
        Ok(*slot)
    }

    /// The item as listing shows it.
    pub(crate) fn entry(&self, id: u64, slot: &Slot, payloads: bool) -> ItemEntry {
        let record = match payloads {
            true => self.log.shared_record(slot),
            // A head of its own does not keep a segment.
            false => {
                let record = self.log.shared_record(slot).without_payload();
                Record::detached(&record)
            }
        };
        let state = match slot.state() {
            State::Ready => ItemState::Ready {
                position: slot.typed_position(),
            },
            State::Scheduled => ItemState::Scheduled {
                enqueue_at: slot.time(),
            },
            State::Leased => {
                let (grant, index) = slot.grant();
                let grant = self.leases.get(grant);
                ItemState::Leased {
                    position: slot.typed_position(),
                    lease: grant.lease(index),
                    deadline: grant.deadline,
                    holder: grant.holder,
                }
            }
            State::Dead => ItemState::Dead {
                reason: slot.dead_reason(),
                died_at: slot.time(),
            },
        };
        let mut entry = ItemEntry::new(typed(id), record, state);
        entry.attempts = slot.attempts();
        entry.note = self.note(id, slot).cloned();
        entry.is_revived = slot.is_revived();
        entry
    }

    pub(crate) fn note(&self, id: u64, slot: &Slot) -> Option<&Note> {
        if slot.is_noted() {
            self.notes.get(id)
        } else {
            None
        }
    }

    /// When the item expires; `None` for a revived one.
    pub(crate) fn expire_at(&self, slot: &Slot) -> Option<Timestamp> {
        if slot.expires() {
            self.log.record(slot).expire_at()
        } else {
            None
        }
    }

    /// The dedup key of the item.
    pub(crate) fn key(&self, slot: &Slot) -> Option<&[u8]> {
        if slot.is_keyed() {
            self.log.record(slot).dedup_key()
        } else {
            None
        }
    }

    /// When `maintain` will handle the item if nothing else happens (clause TIME-1).
    pub(crate) fn due_at(&self, slot: &Slot) -> Option<Timestamp> {
        match slot.state() {
            State::Ready => self.expire_at(slot),
            State::Scheduled => {
                let enqueue_at = slot.time();
                Some(
                    self.expire_at(slot)
                        .map_or(enqueue_at, |at| at.min(enqueue_at)),
                )
            }
            State::Leased => Some(self.leases.get(slot.grant().0).deadline),
            State::Dead => None,
        }
    }

    /// A new item takes its place; its id, position and dedup key are free, and its record is in the log.
    pub(crate) fn insert(&mut self, id: u64, slot: Slot, note: Option<Note>) {
        if let Some(key) = self.key(&slot).map(Box::<[u8]>::from) {
            self.keys.take(&key, typed(id));
        }
        let mut slot = slot;
        if let Some(note) = note {
            slot.set_noted(true);
            self.notes.put(id, &note);
        }
        self.slots.insert(id, slot);
        self.link(id, &slot);
    }

    /// Changes what the orders are built from: state, attempts, revival.
    pub(crate) fn update(&mut self, id: u64, change: impl FnOnce(&mut Slot)) {
        let Some(mut slot) = self.slots.get(id).copied() else {
            return;
        };
        self.unlink(id, &slot);
        change(&mut slot);
        self.slots.update(id, |place| *place = slot);
        self.link(id, &slot);
    }

    /// Leaves a note at an item in place of the one that is there; none where there is no memory left for it.
    pub(crate) fn annotate(&mut self, id: u64, note: &Note) {
        self.notes.remove(id);
        let growth = self.notes.growth_max(1, shared_bytes(note.as_str().len()));
        let is_room = self.reserve_last(growth);
        self.slots.update(id, |slot| slot.set_noted(is_room));
        if is_room {
            self.notes.put(id, note);
        }
    }

    /// Removes an item that is done with or dropped: its dedup key may outlive it (clause ITEM-4).
    pub(crate) fn finish(&mut self, id: u64) {
        let dedup_for = self.info.config.dedup_for();
        let Some(slot) = self.slots.get(id).copied() else {
            return;
        };
        self.let_go_of_key(&slot, dedup_for);
        self.take(id, &slot);
    }

    /// The key of an item that is done with is free, or lingers.
    pub(crate) fn let_go_of_key(&mut self, slot: &Slot, dedup_for: std::time::Duration) {
        if !slot.is_keyed() {
            return;
        }
        let view = self.log.record(slot);
        if let Some(key) = view.dedup_key() {
            if dedup_for.is_zero() {
                self.keys.free(key);
            } else {
                let due = view.created_at().saturating_add(dedup_for);
                self.keys.linger(key, due);
            }
        }
    }

    pub(crate) fn forget_note(&mut self, id: u64, slot: &Slot) {
        if slot.is_noted() {
            self.notes.remove(id);
        }
    }

    /// Removes an item for good, its dedup key with it.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let Some(slot) = self.slots.get(id).copied() else {
            return false;
        };
        if slot.is_keyed()
            && let Some(key) = self.log.record(&slot).dedup_key()
        {
            self.keys.free(key);
        }
        self.take(id, &slot);
        true
    }

    fn take(&mut self, id: u64, slot: &Slot) {
        self.unlink(id, slot);
        self.forget_note(id, slot);
        self.slots.remove(id);
        self.log.release(slot);
    }

    /// An item stands in the order of its state, and counts there.
    pub(crate) fn link(&mut self, id: u64, slot: &Slot) {
        let due_at = self.due_at(slot);
        match slot.state() {
            State::Ready => {
                self.ready.insert(slot.priority(), (slot.position(), id));
                if let Some(due_at) = due_at {
                    self.expiring.insert(due_at, typed(id), slot);
                }
                self.arrivals += 1;
            }
            State::Scheduled => {
                if let Some(due_at) = due_at {
                    self.scheduled.insert((due_at, typed(id)), ());
                }
            }
            State::Leased | State::Dead => {}
        }
        let mut tally = Tally::default();
        tally.add(slot, self.log.created_at(slot), due_at);
        self.count(slot.state(), &tally, true);
    }

    /// An item leaves the order of the state that its slot still has.
    fn unlink(&mut self, id: u64, slot: &Slot) {
        let due_at = self.due_at(slot);
        match slot.state() {
            State::Ready => {
                let slots = &self.slots;
                let is_ready =
                    |(position, other)| other != id && is_ready_at(slots, (position, other));
                self.ready
                    .remove(slot.priority(), (slot.position(), id), is_ready);
                if let Some(due_at) = due_at {
                    self.expiring.remove(due_at, typed(id), slot);
                }
            }
            State::Scheduled => {
                if let Some(due_at) = due_at {
                    self.scheduled.remove(&(due_at, typed(id)));
                }
            }
            State::Leased => {
                self.leases.leave(slot.grant().0, id);
            }
            State::Dead => {}
        }
        let mut tally = Tally::default();
        tally.add(slot, self.log.created_at(slot), due_at);
        self.count(slot.state(), &tally, false);
    }

    /// An item dies: `true` if it is kept, `false` if it is dropped (clause DEAD-1).
    pub(crate) fn die(&mut self, id: u64, reason: DeadReason, now: Timestamp) -> bool {
        let is_kept = self.info.config.dead() == DeadPolicy::Keep;
        if is_kept {
            self.update(id, |slot| slot.set_dead(reason, now));
        } else {
            self.finish(id);
        }
        is_kept
    }

    /// An item becomes ready again after a lease: at the tail, or where it stood (clause RETRY-1).
    pub(crate) fn requeue(&mut self, id: u64) {
        match self.info.config.requeue() {
            Requeue::Original => self.update(id, |slot| slot.set_ready(slot.position())),
            Requeue::Tail => self.queue(id),
        }
    }

    /// An item becomes ready behind all of its priority (clause ORDER-1).
    pub(crate) fn queue(&mut self, id: u64) {
        let position = self.positions.give();
        self.update(id, |slot| slot.set_ready(position));
    }

    /// Whether an item may not be tried again, by its own limit or else the partition's (clause RETRY-4).
    pub(crate) fn is_exhausted(&self, slot: &Slot) -> bool {
        let own = match slot.is_limited() {
            true => self.log.record(slot).attempts_max(),
            false => 0,
        };
        let attempts_max = match own {
            0 => self.info.config.attempts_max(),
            own => own,
        };
        attempts_max != 0 && slot.attempts() >= attempts_max
    }

    /// Makes sure that so many positions can be given, before anything changes.
    pub(crate) fn expect_positions(&self, operation: Operation, count: usize) -> Result<()> {
        if self.positions.has(count) {
            return Ok(());
        }
        Err(self.capacity_exceeded(operation, "its positions are used up; move its items"))
    }

    /// Refuses what a mode excludes (clause PART-8).
    pub(crate) fn refuse_in(&self, operation: Operation, modes: &[Mode]) -> Result<()> {
        let mode = self.info.config.mode();
        if !modes.contains(&mode) {
            return Ok(());
        }
        let word = match mode {
            Mode::Open => "open",
            Mode::Draining => "draining",
            Mode::Frozen => "frozen",
        };
        Err(Error::new(
            ErrorKind::Unavailable,
            operation,
            &self.info.id,
            format!("its mode is {word}; call again once it is open"),
        ))
    }

    pub(crate) fn capacity_exceeded(
        &self,
        operation: Operation,
        reason: impl Into<String>,
    ) -> Error {
        Error::new(
            ErrorKind::CapacityExceeded,
            operation,
            &self.info.id,
            reason,
        )
    }

    /// The statistics (clause PART-7).
    pub(crate) fn stats(&self) -> PartitionStats {
        let mut stats = self.sums;
        let first_ready = self.ready.first();
        stats.first_ready_created_at = first_ready
            .and_then(|(_, id)| self.slots.get(id))
            .map(|slot| self.log.created_at(slot));
        stats.next_due = self.next_due();
        stats
    }

    /// The earliest due time, of items and of lingering dedup keys.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let firsts = [
            self.expiring.first().map(|(at, _)| at),
            self.scheduled.first().map(|((at, _), ())| *at),
            self.leases.first_due(),
            self.keys.first_due(),
        ];
        firsts.into_iter().flatten().min()
    }

    /// What to compare with after a change; nothing where nobody watches.
    pub(crate) fn outlook(&self) -> Option<Outlook> {
        self.hub.is_watched().then(|| Outlook {
            arrivals: self.arrivals,
            next_due: self.next_due(),
        })
    }

    /// Wakes those who watch if an item became ready, or something is due earlier than before.
    ///
    /// Called under the lock under which the change was made, so that who looks afterwards sees it or is woken.
    pub(crate) fn wake_since(&self, before: Option<Outlook>) {
        // Who begins to watch holds the lock for it, so that nobody came in between.
        let Some(before) = before else {
            return;
        };
        let Some(now) = self.outlook() else {
            return;
        };
        let is_earlier = match (before.next_due, now.next_due) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(before), Some(now)) => now < before,
        };
        if is_earlier || now.arrivals != before.arrivals {
            self.hub.fire();
        }
    }

    /// An item joins or leaves the sums of a state; the time is its due time.
    pub(crate) fn count(&mut self, state: State, tally: &Tally, joins: bool) {
        let sums = self.sums.state_mut(state);
        if joins {
            sums.items += tally.items;
            sums.bytes += tally.bytes;
            sums.created_at_sum += tally.created_at_sum;
            sums.due_at_sum += tally.due_at_sum;
        } else {
            sums.items -= tally.items;
            sums.bytes -= tally.bytes;
            sums.created_at_sum -= tally.created_at_sum;
            sums.due_at_sum -= tally.due_at_sum;
        }
    }
}

/// Whether an item is leased as a receipt says.
#[inline]
pub(crate) fn expect_lease(
    leases: &Leases,
    slot: &Slot,
    receipt: Receipt,
) -> Result<(), StepFailure> {
    let (grant, index) = slot.grant();
    let is_valid = slot.state() == State::Leased && leases.get(grant).lease(index) == receipt.lease;
    match is_valid {
        true => Ok(()),
        false => Err(StepFailure::LeaseLost),
    }
}

/// What some items add to the sums of a state.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) items: u64,
    bytes: u64,
    created_at_sum: i128,
    due_at_sum: i128,
}

impl Tally {
    pub(crate) fn add(&mut self, slot: &Slot, created_at: Timestamp, due_at: Option<Timestamp>) {
        self.items += 1;
        self.bytes += slot.payload_len() as u64;
        self.created_at_sum += i128::from(created_at.as_micros());
        if let Some(due_at) = due_at {
            self.due_at_sum += i128::from(due_at.as_micros());
        }
    }

    /// Items that are created then and not due, of so many payload bytes together.
    pub(crate) fn add_many(&mut self, items: u64, bytes: u64, created_at: Timestamp) {
        self.items += items;
        self.bytes += bytes;
        self.created_at_sum += i128::from(created_at.as_micros()) * i128::from(items);
    }

    /// The same items, all due then.
    pub(crate) fn due_at(self, due_at: Timestamp) -> Self {
        Self {
            due_at_sum: i128::from(due_at.as_micros()) * i128::from(self.items),
            ..self
        }
    }
}

/// An id that was given out, or restored.
pub(crate) fn typed(id: u64) -> ItemId {
    ItemId::new(id).expect("ids are given out within their limit")
}

/// Whether a pair of the ready order is not stale.
pub(crate) fn is_ready_at(slots: &Slots, (position, id): (u64, u64)) -> bool {
    slots.get(id).is_some_and(|slot| slot.is_ready_at(position))
}

#[cfg(test)]
impl Partition {
    /// Fails unless orders, sums and dedup keys are exactly those of the items.
    pub(crate) fn assert_sound(&self) {
        let mut sums = PartitionStats::default();
        let (mut ready, mut leased) = (Vec::new(), Vec::new());
        let (mut expiring, mut scheduled) = (Expiring::default(), DueOrder::default());
        let (mut keys, mut live_bytes) = (Vec::new(), 0);
        for (id, slot) in self.slots.iter() {
            let entry = self.entry(id, slot, true);
            let view = entry.record.view();
            assert_eq!(slot.payload_len(), view.payload_len(), "payload of {id}");
            assert_eq!(
                self.log.created_at(slot),
                view.created_at(),
                "creation of {id}"
            );
            assert_eq!(entry.due_at(), self.due_at(slot), "due time of {id}");
            let state = sums.state_mut(slot.state());
            state.items += 1;
            state.bytes += view.payload_len() as u64;
            state.created_at_sum += i128::from(view.created_at().as_micros());
            state.due_at_sum += entry.due_at().map_or(0, |at| i128::from(at.as_micros()));
            match (slot.state(), entry.due_at()) {
                (State::Ready, due) => {
                    ready.push((slot.priority(), (slot.position(), id)));
                    if let Some(at) = due {
                        expiring.insert(at, typed(id), slot);
                    }
                }
                (State::Scheduled, due) => {
                    due.map(|at| scheduled.insert((at, typed(id)), ()));
                }
                (State::Leased, _) => leased.push((id, slot.grant().0, slot.grant().1)),
                (State::Dead, _) => {}
            }
            if let Some(key) = view.dedup_key() {
                keys.push((key.to_vec(), typed(id)));
            }
            live_bytes += slot.len() as u64;
        }
        assert_eq!(self.sums, sums, "sums");
        assert_eq!(self.expiring, expiring, "expiring items");
        assert_eq!(self.scheduled, scheduled, "scheduled items");
        let notes = self.slots.iter().filter(|(_, slot)| slot.is_noted());
        self.notes.assert_is_of(notes.map(|(id, _)| id).collect());
        self.ready.assert_is_of(ready);
        self.leases.assert_is_of(&leased);
        self.keys.assert_is_of(keys);
        self.slots.assert_sound();
        self.log.assert_sound(live_bytes);
    }
}
