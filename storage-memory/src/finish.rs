//! Complete, retry, revive: how a lease ends, and how the dead return (clauses DONE-1 to DEAD-3).

use storage_api::{
    CompleteOutcome, DeadReason, ItemIds, Operation, Receipts, Result, Retries, Retry,
    RetryOutcome, RetryTo, ReviveOutcome, State, StepFailure, Timestamp,
};

use crate::partition::{Partition, Tally};
use crate::slot::Slot;

impl Partition {
    pub(crate) fn complete(&mut self, receipts: &Receipts) -> Vec<CompleteOutcome> {
        let mut tally = Tally::default();
        let complete = |receipt| match self.complete_one(receipt, &mut tally) {
            Ok(()) => CompleteOutcome::Done,
            Err(StepFailure::NotFound) => CompleteOutcome::NotFound,
            Err(StepFailure::LeaseLost) => CompleteOutcome::LeaseLost,
        };
        let outcomes = receipts.iter().copied().map(complete).collect();
        self.count(State::Leased, &tally, false);
        outcomes
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
            self.annotate(id, note);
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
