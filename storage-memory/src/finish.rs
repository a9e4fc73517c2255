//! Complete, retry, revive: how a lease ends, and how the dead return (clauses DONE-1 to DEAD-3).

use storage_api::{
    CompleteOutcome, DeadReason, ItemIds, ItemState, Operation, Receipts, Result, Retries, Retry,
    RetryOutcome, RetryTo, ReviveOutcome, State, StepFailure, Timestamp,
};

use crate::partition::Partition;

impl Partition {
    pub(crate) fn complete(&mut self, receipts: &Receipts) -> Vec<CompleteOutcome> {
        let complete = |receipt| match self.leased(receipt).map(|entry| entry.id) {
            Err(StepFailure::NotFound) => CompleteOutcome::NotFound,
            Err(StepFailure::LeaseLost) => CompleteOutcome::LeaseLost,
            Ok(id) => {
                self.finish(id);
                CompleteOutcome::Done
            }
        };
        receipts.iter().copied().map(complete).collect()
    }

    pub(crate) fn retry(&mut self, now: Timestamp, retries: Retries) -> Result<Vec<RetryOutcome>> {
        self.expect_positions(Operation::Retry, retries.len())?;
        let retry = |retry| self.retry_one(now, retry);
        Ok(retries.into_iter().map(retry).collect())
    }

    fn retry_one(&mut self, now: Timestamp, retry: Retry) -> RetryOutcome {
        let (id, is_exhausted) = match self.leased(retry.receipt) {
            Err(StepFailure::NotFound) => return RetryOutcome::NotFound,
            Err(StepFailure::LeaseLost) => return RetryOutcome::LeaseLost,
            Ok(entry) => (entry.id, self.is_exhausted(entry)),
        };
        if retry.note.is_some() {
            self.update(id, |entry| entry.note = retry.note);
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
                self.update(id, |entry| {
                    entry.state = ItemState::Scheduled { enqueue_at };
                });
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
        let revive = |id| match self.items.get(&id).map(storage_api::ItemEntry::state) {
            None => ReviveOutcome::NotFound,
            Some(State::Dead) => {
                let position = self.give_position();
                self.update(id, |entry| {
                    entry.attempts = 0;
                    entry.is_revived = true;
                    entry.state = ItemState::Ready { position };
                });
                ReviveOutcome::Revived
            }
            Some(_) => ReviveOutcome::NotDead,
        };
        Ok(ids.iter().copied().map(revive).collect())
    }
}
