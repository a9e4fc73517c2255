//! Lease, extend, release: the right to process items, and giving it back (clauses LEASE-1 to LEASE-9, RETRY-6).

use storage_api::limits::BATCH_BYTES_MAX;
use storage_api::{
    Count, ExtendOutcome, Holder, LeaseId, LeaseRequest, LeasedBatch, Mode, NewLease, Note,
    Operation, Receipts, ReleaseOutcome, ReleasedHolder, Result, State, StepFailure, Timestamp,
};

use crate::expiring::Expiring;
use crate::leases::Members;
use crate::log::{Lent, Log};
use crate::notes::Notes;
use crate::partition::{Partition, Tally, is_ready_at, typed};
use crate::ready::Stand;
use crate::slot::Slot;

/// The longest list of chosen runs that is kept for the next call: 512 bytes, within what a partition counts for itself.
const CHOICE_RUNS_KEPT_MAX: usize = 32;

const LEASES_USED_UP: &str = "the leases are used up";

/// The item that is leased next, as it is before.
#[derive(Debug, Clone, Copy)]
struct First {
    priority: u8,
    stand: Stand,
    slot: Slot,
}

/// The items that a lease takes of one priority.
#[derive(Debug, Default)]
struct Taken {
    priority: u8,
    items: u64,
    /// Up to this position nothing is left of what came to the tail.
    through: Option<u64>,
    /// The positions of those that had been put back.
    from_back: Vec<u64>,
}

/// What a lease is going to take; kept between calls, so that a call allocates nothing for it.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// Consecutive ids: the first, and how many.
    runs: Vec<(u64, u64)>,
    items: usize,
    bytes: u64,
    lanes: Vec<Taken>,
}

impl Choice {
    fn push(&mut self, id: u64) {
        match self.runs.last_mut() {
            Some((first, len)) if *first + *len == id => *len += 1,
            _ => self.runs.push((id, 1)),
        }
        self.items += 1;
    }

    /// The same, to be used again, unless it is large.
    fn emptied(mut self) -> Self {
        if self.runs.capacity() > CHOICE_RUNS_KEPT_MAX {
            return Self::default();
        }
        self.runs.clear();
        self.lanes.clear();
        (self.items, self.bytes) = (0, 0);
        self
    }
}

impl Partition {
    /// Takes ready items in lease order; what has expired is passed over and left for maintain.
    pub(crate) fn lease(&mut self, request: &LeaseRequest) -> Result<LeasedBatch> {
        self.refuse_in(Operation::Lease, &[Mode::Frozen])?;
        if let Some(first) = self.plain_first(request) {
            return self.lease_first(request, first);
        }
        let mut batch = LeasedBatch::new(request.deadline, request.holder);
        let mut choice = std::mem::take(&mut self.choice);
        self.choose(request, &mut choice);
        let answer = match self.numbers.give(choice.items) {
            _ if choice.items == 0 => Ok(batch),
            None => Err(self.capacity_exceeded(Operation::Lease, LEASES_USED_UP)),
            Some(first) => {
                self.apply(request, &choice, first, &mut batch);
                Ok(batch)
            }
        };
        self.choice = choice.emptied();
        answer
    }

    /// The first item, where no other is asked for and nothing speaks against it.
    fn plain_first(&self, request: &LeaseRequest) -> Option<First> {
        if request.items_max != Count::ONE {
            return None;
        }
        let (priority, (position, id)) = self.ready.first_queued()?;
        let slot = self.slots.get(id)?;
        (slot.is_ready_at(position) && !slot.expires()).then_some(First {
            priority,
            stand: (position, id),
            slot: *slot,
        })
    }

    /// Leases the first item alone.
    fn lease_first(&mut self, request: &LeaseRequest, first: First) -> Result<LeasedBatch> {
        let Some(lease) = self.numbers.give(1) else {
            return Err(self.capacity_exceeded(Operation::Lease, LEASES_USED_UP));
        };
        let (position, id) = first.stand;
        let members = Members::Run {
            item: id,
            lease,
            len: 1,
        };
        let number = self.leases.grant(request.deadline, request.holder, members);
        let (buffer, range) = self.log.lend_single(&first.slot);
        let begin = |slot: &mut Slot| begin(slot, id, lease, (number, 0));
        let lease = self.slots.update(id, begin);
        let lease = lease.expect("the first item is there");
        let mut tally = Tally::default();
        tally.add(&first.slot, self.log.created_at(&first.slot), None);
        self.count(State::Ready, &tally, false);
        self.count(State::Leased, &tally.due_at(request.deadline), true);
        let slots = &self.slots;
        let is_ready = |stand| is_ready_at(slots, stand);
        self.ready
            .take(first.priority, 1, Some(position), &[], is_ready);
        let note = note_of(&self.notes, id, &first.slot);
        Ok(LeasedBatch::one(request, lease, buffer, range, note))
    }

    /// Leases what was chosen, under consecutive leases from `first` on.
    fn apply(
        &mut self,
        request: &LeaseRequest,
        choice: &Choice,
        first: u64,
        batch: &mut LeasedBatch,
    ) {
        batch.reserve_slices(choice.items);
        let members = members_of(choice, first);
        let number = self.leases.grant(request.deadline, request.holder, members);
        let mut grant = Granting::new(number, first, batch);
        for &(id, len) in &choice.runs {
            self.lease_run(id, len, &mut grant);
        }
        let tally = grant.tally;
        self.count(State::Ready, &tally, false);
        self.count(State::Leased, &tally.due_at(request.deadline), true);
        for lane in &choice.lanes {
            let slots = &self.slots;
            self.ready.take(
                lane.priority,
                lane.items,
                lane.through,
                &lane.from_back,
                |stand| is_ready_at(slots, stand),
            );
        }
    }

    /// Leases ready items of consecutive ids.
    fn lease_run(&mut self, id: u64, len: u64, grant: &mut Granting<'_>) {
        let Self {
            slots,
            log,
            notes,
            expiring,
            ..
        } = self;
        let mut done = 0;
        while done < len {
            let left = usize::try_from(len - done).expect("at most 10 000 items");
            let from = id + done;
            let change = |step: usize, slot: &mut Slot| {
                grant.take(from + step as u64, slot, log, notes, expiring);
            };
            let moved = slots.move_neighbours(from, left, [State::Ready, State::Leased], change);
            if moved == 0 {
                let take = |slot: &mut Slot| grant.take(from, slot, log, notes, expiring);
                slots.update(from, take).expect("a chosen item is there");
            }
            done += moved.max(1) as u64;
        }
    }

    /// As many items as there are within the request.
    fn choose(&self, request: &LeaseRequest, choice: &mut Choice) {
        let answer_max = BATCH_BYTES_MAX as u64;
        let bytes_max = request
            .bytes_max
            .map_or(answer_max, |max| max.min(answer_max));
        for priority in self.ready.priorities() {
            let mut taken = Taken {
                priority,
                ..Taken::default()
            };
            let is_full = self.choose_of(priority, request, bytes_max, choice, &mut taken);
            if taken.items > 0 {
                choice.lanes.push(taken);
            }
            if is_full || choice.items == request.items_max.get() {
                break;
            }
        }
    }

    /// The items of one priority; answers whether the request is full.
    fn choose_of(
        &self,
        priority: u8,
        request: &LeaseRequest,
        bytes_max: u64,
        choice: &mut Choice,
        taken: &mut Taken,
    ) -> bool {
        let items_max = request.items_max.get();
        let mut is_front = true;
        for span in self.ready.spans(priority) {
            let mut done = 0;
            while done < span.len {
                if choice.items == items_max {
                    return true;
                }
                let (position, id) = (span.position + done, span.id + done);
                let left = usize::try_from(span.len - done).unwrap_or(usize::MAX);
                let neighbours = self
                    .slots
                    .neighbours(id, left.min(items_max - choice.items));
                let slots = match neighbours {
                    [] => self.slots.get(id).map_or(&[][..], std::slice::from_ref),
                    neighbours => neighbours,
                };
                done += slots.len().max(1) as u64;
                for ((slot, position), id) in slots.iter().zip(position..).zip(id..) {
                    if !slot.is_ready_at(position) {
                        continue;
                    }
                    if self.expire_at(slot).is_some_and(|at| at <= request.now) {
                        is_front = false;
                        continue;
                    }
                    choice.bytes += slot.payload_len() as u64;
                    if choice.bytes > bytes_max && choice.items > 0 {
                        return true;
                    }
                    choice.push(id);
                    taken.items += 1;
                    if span.is_back {
                        taken.from_back.push(position);
                    } else if is_front {
                        taken.through = Some(position);
                    }
                }
            }
        }
        false
    }

    pub(crate) fn extend(
        &mut self,
        receipts: &Receipts,
        deadline: Timestamp,
    ) -> Vec<ExtendOutcome> {
        let mut moving = Moving::default();
        let mut outcomes = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            let slot = match self.leased(*receipt) {
                Err(StepFailure::NotFound) => {
                    outcomes.push(ExtendOutcome::NotFound);
                    continue;
                }
                Err(StepFailure::LeaseLost) => {
                    outcomes.push(ExtendOutcome::LeaseLost);
                    continue;
                }
                Ok(slot) => slot,
            };
            outcomes.push(ExtendOutcome::Extended);
            let id = receipt.item.get();
            let (number, index) = slot.grant();
            let (before, holder) = {
                let grant = self.leases.get(number);
                (grant.deadline, grant.holder)
            };
            if before == deadline {
                continue;
            }
            let due = &mut self.sums.leased.due_at_sum;
            *due += i128::from(deadline.as_micros()) - i128::from(before.as_micros());
            if self.leases.extend_last(number, deadline) {
                continue;
            }
            // It leaves its grant for one that all items of this call and holder share.
            if moving.holder != holder {
                self.join_grants(&mut moving, deadline);
                moving.holder = holder;
            }
            let lease = self.leases.get(number).lease(index).get();
            self.leases.leave(number, id);
            moving.members.push((id, lease));
            // Its grant is not there yet: until they are joined, nothing but a second receipt for it can ask.
            let member = Members::new(&[(id, lease)]);
            let grant = self.leases.grant(deadline, holder, member);
            self.slots.update(id, |slot| slot.set_leased(grant, 0));
        }
        self.join_grants(&mut moving, deadline);
        outcomes
    }

    /// Joins the grants of items that were extended one by one.
    fn join_grants(&mut self, moving: &mut Moving, deadline: Timestamp) {
        let Moving { holder, members } = std::mem::take(moving);
        if members.len() < 2 {
            return;
        }
        for (id, _) in &members {
            if let Some(slot) = self.slots.get(*id) {
                self.leases.leave(slot.grant().0, *id);
            }
        }
        let grant = self.leases.grant(deadline, holder, Members::new(&members));
        for (index, (id, _)) in (0..).zip(&members) {
            self.slots.update(*id, |slot| slot.set_leased(grant, index));
        }
    }

    pub(crate) fn release(&mut self, receipts: &Receipts) -> Vec<ReleaseOutcome> {
        let release = |receipt: storage_api::Receipt| match self.leased(receipt) {
            Err(StepFailure::NotFound) => ReleaseOutcome::NotFound,
            Err(StepFailure::LeaseLost) => ReleaseOutcome::LeaseLost,
            Ok(_) => {
                self.give_back(receipt.item.get());
                ReleaseOutcome::Released
            }
        };
        receipts.iter().copied().map(release).collect()
    }

    pub(crate) fn release_holder(&mut self, holder: Holder, items_max: Count) -> ReleasedHolder {
        let mut released = 0;
        while released < items_max.get() {
            let Some(id) = self.leases.first_of_holder(holder) else {
                break;
            };
            self.give_back(id.get());
            released += 1;
        }
        ReleasedHolder {
            released,
            more: self.leases.first_of_holder(holder).is_some(),
        }
    }

    /// A lease ends unused: the item stands where it stood, one attempt less.
    fn give_back(&mut self, id: u64) {
        self.update(id, |slot| {
            slot.set_attempts(slot.attempts().saturating_sub(1));
            slot.set_ready(slot.position());
        });
    }
}

/// Items that were extended and are to share a grant.
#[derive(Debug, Default)]
struct Moving {
    holder: Option<Holder>,
    members: Vec<(u64, u64)>,
}

/// What was chosen, under leases from `first` on.
fn members_of(choice: &Choice, first: u64) -> Members {
    if let ([(item, _)], Ok(len)) = (&choice.runs[..], u16::try_from(choice.items)) {
        return Members::Run {
            item: *item,
            lease: first,
            len,
        };
    }
    let items = choice.runs.iter().flat_map(|(id, len)| *id..*id + len);
    let members: Vec<_> = items.zip(first..).collect();
    Members::new(&members)
}

/// A call that leases one item after the other.
struct Granting<'a> {
    number: u32,
    /// Of the next item.
    index: u16,
    lease: u64,
    tally: Tally,
    last_buffer: Option<Lent>,
    batch: &'a mut LeasedBatch,
}

impl<'a> Granting<'a> {
    fn new(number: u32, lease: u64, batch: &'a mut LeasedBatch) -> Self {
        Self {
            number,
            index: 0,
            lease,
            tally: Tally::default(),
            last_buffer: None,
            batch,
        }
    }

    fn take(
        &mut self,
        id: u64,
        slot: &mut Slot,
        log: &mut Log,
        notes: &Notes,
        expiring: &mut Expiring,
    ) {
        let lease = begin(slot, id, self.lease, (self.number, self.index));
        let expire_at = match slot.expires() {
            true => log.record(slot).expire_at(),
            false => None,
        };
        if let Some(expire_at) = expire_at {
            expiring.remove(expire_at, typed(id), slot);
        }
        self.tally.add(slot, log.created_at(slot), expire_at);
        self.index += 1;
        self.lease += 1;
        let note = note_of(notes, id, slot);
        log.lend(slot, lease, note, &mut self.last_buffer, self.batch);
    }
}

/// The lease of an item begins, as the one at an index of a grant.
fn begin(slot: &mut Slot, id: u64, lease: u64, (grant, index): (u32, u16)) -> NewLease {
    slot.set_attempts(slot.attempts().saturating_add(1));
    slot.set_leased(grant, index);
    NewLease {
        item: typed(id),
        lease: LeaseId::new(lease).expect("the counter gives numbers within the limit"),
        position: slot.typed_position(),
        attempts: slot.attempts(),
        is_revived: slot.is_revived(),
    }
}

fn note_of<'a>(notes: &'a Notes, id: u64, slot: &Slot) -> Option<&'a Note> {
    match slot.is_noted() {
        true => notes.get(id),
        false => None,
    }
}
