//! Lease, extend, release: the right to process items, and giving it back (clauses LEASE-1 to LEASE-9, RETRY-6).

use storage_api::limits::BATCH_BYTES_MAX;
use storage_api::{
    Count, ExtendOutcome, Holder, LeaseId, LeaseRequest, LeasedBatch, Mode, NewLease, Operation,
    Receipts, ReleaseOutcome, ReleasedHolder, Result, State, StepFailure, Timestamp,
};

use crate::numbers::Counter;
use crate::partition::{Partition, Tally, is_ready_at, typed};

/// The largest list of chosen items that is kept for the next call: 2 KiB, within what a partition counts for itself.
const CHOICE_ITEMS_KEPT_MAX: usize = 256;

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
    items: Vec<u64>,
    lanes: Vec<Taken>,
}

impl Choice {
    /// The same, to be used again, unless it is large.
    fn emptied(mut self) -> Self {
        if self.items.capacity() > CHOICE_ITEMS_KEPT_MAX {
            return Self::default();
        }
        self.items.clear();
        self.lanes.clear();
        self
    }
}

impl Partition {
    /// Takes ready items in lease order; what has expired is passed over and left for maintain.
    pub(crate) fn lease(
        &mut self,
        request: &LeaseRequest,
        leases: &Counter,
    ) -> Result<LeasedBatch> {
        self.refuse_in(Operation::Lease, &[Mode::Frozen])?;
        let mut batch = LeasedBatch::new(request.deadline, request.holder);
        let mut choice = std::mem::take(&mut self.choice);
        self.choose(request, &mut choice);
        let answer = match leases.give(choice.items.len()) {
            _ if choice.items.is_empty() => Ok(batch),
            None => Err(self.capacity_exceeded(Operation::Lease, "the leases are used up")),
            Some(first) => {
                self.apply(request, &choice, first, &mut batch);
                Ok(batch)
            }
        };
        self.choice = choice.emptied();
        answer
    }

    /// Leases what was chosen, under consecutive leases from `first` on.
    fn apply(
        &mut self,
        request: &LeaseRequest,
        choice: &Choice,
        first: u64,
        batch: &mut LeasedBatch,
    ) {
        let items = &choice.items;
        batch.reserve_slices(items.len());
        let grant = self
            .leases
            .grant_from(request.deadline, request.holder, items, first);
        let mut last_buffer = None;
        let mut tally = Tally::default();
        for ((index, id), lease) in (0..).zip(items).zip(first..) {
            let leased = self.slots.update(*id, |slot| {
                slot.set_attempts(slot.attempts().saturating_add(1));
                slot.set_leased(grant, index);
                *slot
            });
            let slot = leased.expect("a chosen item is there");
            let expire_at = self.expire_at(&slot);
            if let Some(expire_at) = expire_at {
                self.expiring.remove(&(expire_at, typed(*id)));
            }
            tally.add(&slot, self.log.created_at(&slot), expire_at);

            let lease = NewLease {
                item: typed(*id),
                lease: LeaseId::new(lease).expect("the counter gives numbers within the limit"),
                position: slot.typed_position(),
                attempts: slot.attempts(),
                is_revived: slot.is_revived(),
            };
            let note = match slot.is_noted() {
                true => self.notes.get(id),
                false => None,
            };
            self.log.lend(&slot, lease, note, &mut last_buffer, batch);
        }
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

    /// As many items as there are within the request.
    fn choose(&self, request: &LeaseRequest, choice: &mut Choice) {
        let answer_max = BATCH_BYTES_MAX as u64;
        let bytes_max = request
            .bytes_max
            .map_or(answer_max, |max| max.min(answer_max));
        let items_max = request.items_max.get();
        let Choice { items, lanes } = choice;
        let mut bytes = 0;
        for priority in self.ready.priorities() {
            let mut taken = Taken {
                priority,
                ..Taken::default()
            };
            let mut is_front = true;
            let mut is_full = false;
            for ((position, id), is_back) in self.ready.after(priority, None) {
                if items.len() == items_max {
                    is_full = true;
                    break;
                }
                let slot = self.slots.get(id);
                let Some(slot) = slot.filter(|slot| slot.is_ready_at(position)) else {
                    continue;
                };
                if self.expire_at(slot).is_some_and(|at| at <= request.now) {
                    is_front = false;
                    continue;
                }
                bytes += slot.payload_len() as u64;
                if bytes > bytes_max && !items.is_empty() {
                    is_full = true;
                    break;
                }
                items.push(id);
                taken.items += 1;
                if is_back {
                    taken.from_back.push(position);
                } else if is_front {
                    taken.through = Some(position);
                }
            }
            if taken.items > 0 {
                lanes.push(taken);
            }
            if is_full || items.len() == items_max {
                break;
            }
        }
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
            moving.items.push(id);
            moving.leases.push(lease);
            // Its grant is not there yet: until they are joined, nothing but a second receipt for it can ask.
            let grant = self.leases.grant(deadline, holder, &[id], &[lease]);
            self.slots.update(id, |slot| slot.set_leased(grant, 0));
        }
        self.join_grants(&mut moving, deadline);
        outcomes
    }

    /// Joins the grants of items that were extended one by one.
    fn join_grants(&mut self, moving: &mut Moving, deadline: Timestamp) {
        let Moving {
            holder,
            items,
            leases,
        } = std::mem::take(moving);
        if items.len() < 2 {
            return;
        }
        for id in &items {
            if let Some(slot) = self.slots.get(*id) {
                self.leases.leave(slot.grant().0, *id);
            }
        }
        let grant = self.leases.grant(deadline, holder, &items, &leases);
        for (index, id) in (0..).zip(&items) {
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
    items: Vec<u64>,
    leases: Vec<u64>,
}
