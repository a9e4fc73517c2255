//! Complete, retry, revive: how a lease ends, and how the dead return (clauses DONE-1 to DEAD-3).

use storage_api::{
    CompleteOutcome, DeadReason, ItemIds, Operation, Receipt, Receipts, Result, Retries, Retry,
    RetryOutcome, RetryTo, ReviveOutcome, State, StepFailure, Timestamp,
};

use crate::partition::{Partition, Tally, expect_lease};
use crate::slot::Slot;

/// Neighbours that are completed: their grant and their segment are told once.
#[derive(Debug, Default)]
struct Leaving {
    grant: u32,
    segment: u32,
    deadline: Timestamp,
    is_held: bool,
    /// How many, at most as many as a grant has, and the bytes of their records.
    items: u16,
    bytes: usize,
}

impl Partition {
    pub(crate) fn complete(&mut self, receipts: &Receipts) -> Vec<CompleteOutcome> {
        if let [receipt] = receipts[..] {
            return vec![self.complete_single(receipt)];
        }
        let mut tally = Tally::default();
        let mut leaving = Leaving::default();
        let complete = |receipt| outcome_of(self.complete_one(receipt, &mut tally, &mut leaving));
        let outcomes = receipts.iter().copied().map(complete).collect();
        self.let_leave(&mut leaving);
        self.count(State::Leased, &tally, false);
        outcomes
    }

    /// Removes the item of a receipt, which is done with and has no neighbours.
    pub(crate) fn complete_single(&mut self, receipt: Receipt) -> CompleteOutcome {
        let slot = match self.remove_leased(receipt) {
            Ok(slot) => slot,
            Err(failure) => return outcome_of(Err(failure)),
        };
        let deadline = self.leases.leave(slot.grant().0, receipt.item.get());
        let mut tally = Tally::default();
        tally.add(&slot, self.log.created_at(&slot), Some(deadline));
        self.log.release(&slot);
        self.count(State::Leased, &tally, false);
        CompleteOutcome::Done
    }

    /// Takes out the slot of a receipt; key and note go along, lease and record are left behind.
    #[inline(always)]
    fn remove_leased(&mut self, receipt: Receipt) -> Result<Slot, StepFailure> {
        let id = receipt.item.get();
        let leases = &self.leases;
        let check = |slot: &Slot| expect_lease(leases, slot, receipt);
        let slot = self.slots.remove_if(id, StepFailure::NotFound, check)?;
        if slot.is_keyed() {
            self.let_go_of_key(&slot, self.info.config.dedup_for());
        }
        if slot.is_noted() {
            self.forget_note(id, &slot);
        }
        Ok(slot)
    }

    /// Removes the item of a receipt, which is done with.
    fn complete_one(
        &mut self,
        receipt: Receipt,
        tally: &mut Tally,
        leaving: &mut Leaving,
    ) -> Result<(), StepFailure> {
        let slot = self.remove_leased(receipt)?;
        let (grant, segment) = (slot.grant().0, slot.place().segment);
        if leaving.items == 0 || (leaving.grant, leaving.segment) != (grant, segment) {
            self.let_leave(leaving);
            let grant = self.leases.get(grant);
            leaving.deadline = grant.deadline;
            leaving.is_held = grant.holder.is_some();
            (leaving.grant, leaving.segment) = (slot.grant().0, segment);
        }
        tally.add(&slot, self.log.created_at(&slot), Some(leaving.deadline));
        if leaving.is_held {
            self.leases.leave(grant, receipt.item.get());
            self.log.release(&slot);
        } else {
            leaving.items += 1;
            leaving.bytes += slot.len();
        }
        Ok(())
    }

    /// What was left together leaves its grant and its segment.
    fn let_leave(&mut self, leaving: &mut Leaving) {
        if leaving.items > 0 {
            self.leases.leave_many(leaving.grant, leaving.items);
            self.log.release_some(leaving.segment, leaving.bytes);
        }
        *leaving = Leaving::default();
    }

    pub(crate) fn retry(&mut self, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        self.expect_positions(Operation::Retry, retries.len())?;
        let retry = |retry| self.retry_one(now, retry);
        Ok(retries.into_iter().map(retry).collect())
    }

    fn retry_one(&mut self, now: Timestamp, retry: Retry) -> RetryOutcome {
        let is_exhausted = match self.leased(retry.receipt) {
            Err(StepFailure::NotFound) => return RetryOutcome::NotFound,
            Err(StepFailure::LeaseLost) => return RetryOutcome::LeaseLost,
            Ok(slot) => self.is_exhausted(&slot),
        };
        let id = retry.receipt.item.get();
        if let Some(note) = retry.note {
            self.annotate(id, &note);
        }

        // The order is that of the clauses: RETRY-3 whatever else holds, then RETRY-4, then where it goes.
        let death = match retry.to {
            RetryTo::Dead => Some(DeadReason::Rejected),
            _ if is_exhausted => Some(DeadReason::AttemptsExhausted),
            _ => None,
        };
        if let Some(reason) = death {
            return match self.die(id, reason, now) {
                true => RetryOutcome::Dead(reason),
                false => RetryOutcome::Dropped(reason),
            };
        }
        match retry.to {
            RetryTo::At(enqueue_at) if enqueue_at > now => {
                self.update(id, |slot| slot.set_scheduled(enqueue_at));
                RetryOutcome::Scheduled
            }
            _ => {
                self.requeue(id);
                RetryOutcome::Ready
            }
        }
    }

    pub(crate) fn revive(&mut self, ids: &ItemIds) -> Result<Vec<ReviveOutcome>> {
        self.expect_positions(Operation::Revive, ids.len())?;
        let revive = |id: storage_api::ItemId| {
            let id = id.get();
            match self.slots.get(id).map(Slot::state) {
                None => ReviveOutcome::NotFound,
                Some(State::Dead) => {
                    let position = self.positions.give();
                    self.update(id, |slot| {
                        slot.set_attempts(0);
                        slot.set_revived();
                        slot.set_ready(position);
                    });
                    ReviveOutcome::Revived
                }
                Some(_) => ReviveOutcome::NotDead,
            }
        };
        Ok(ids.iter().copied().map(revive).collect())
    }
}

fn outcome_of(completed: Result<(), StepFailure>) -> CompleteOutcome {
    match completed {
        Ok(()) => CompleteOutcome::Done,
        Err(StepFailure::NotFound) => CompleteOutcome::NotFound,
        Err(StepFailure::LeaseLost) => CompleteOutcome::LeaseLost,
    }
}
