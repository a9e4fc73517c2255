//! Leases, and what ends them (clauses LEASE-1 to LEASE-9, DONE-1 and DONE-2, RETRY-1 to RETRY-6, DEAD-1 to DEAD-3).
//!
//! No deadline is looked at here: a lease ends by what its holder does or in `maintain`, never by the clock (LEASE-7).

use storage_api::limits::BATCH_BYTES_MAX;
use storage_api::{
    CompleteOutcome, Count, DeadPolicy, DeadReason, ExtendOutcome, Holder, ItemIds, ItemState,
    LeaseRequest, LeasedBatch, NewLease, Operation, PartitionId, Position, Receipt, Receipts,
    ReleaseOutcome, ReleasedHolder, Requeue, Result, Retries, Retry, RetryOutcome, RetryTo,
    ReviveOutcome, StepFailure, Timestamp,
};

use crate::model::{Model, Partition, next_lease};

impl Model {
    /// Takes ready items in lease order (clauses LEASE-1 to LEASE-6).
    pub fn lease(&mut self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        self.check_open(Operation::Lease)?;
        let mut last_lease = self.contents.last_lease;
        let partition = self.contents.find_mut(Operation::Lease, partition)?;
        partition.check_moves(Operation::Lease)?;

        let mut batch = LeasedBatch::new(request.deadline, request.holder);
        // LEASE-6: with nothing to take the batch is empty.
        for index in partition.takeable(&request) {
            let item = &mut partition.items[index];
            let Some(position) = item.state.position() else {
                continue;
            };
            // LEASE-2
            let lease = next_lease(&mut last_lease);
            item.attempts = item.attempts.saturating_add(1);
            item.state = ItemState::Leased {
                position,
                lease,
                deadline: request.deadline,
                holder: request.holder,
            };
            let new = NewLease {
                item: item.id,
                lease,
                position,
                attempts: item.attempts,
                is_revived: item.is_revived,
            };
            batch.push(new, &item.record, item.note.as_ref());
        }
        self.contents.last_lease = last_lease;
        Ok(batch)
    }

    /// Moves the deadline of valid receipts, later or earlier (clause LEASE-8).
    pub fn extend(
        &mut self,
        partition: &PartitionId,
        receipts: Receipts,
        deadline: Timestamp,
    ) -> Result<Vec<ExtendOutcome>> {
        let partition = self.find_mut(Operation::Extend, partition)?;
        // BATCH-1
        let outcomes = receipts
            .into_iter()
            .map(|receipt| match partition.leased(receipt) {
                Ok(index) => {
                    if let ItemState::Leased { deadline: at, .. } =
                        &mut partition.items[index].state
                    {
                        *at = deadline;
                    }
                    ExtendOutcome::Extended
                }
                Err(StepFailure::NotFound) => ExtendOutcome::NotFound,
                Err(StepFailure::LeaseLost) => ExtendOutcome::LeaseLost,
            });
        Ok(outcomes.collect())
    }

    /// Gives leases back unused (clause RETRY-6).
    pub fn release(
        &mut self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<ReleaseOutcome>> {
        let partition = self.find_mut(Operation::Release, partition)?;
        // BATCH-1
        let outcomes = receipts
            .into_iter()
            .map(|receipt| match partition.leased(receipt) {
                Ok(index) => {
                    partition.release(index);
                    ReleaseOutcome::Released
                }
                Err(StepFailure::NotFound) => ReleaseOutcome::NotFound,
                Err(StepFailure::LeaseLost) => ReleaseOutcome::LeaseLost,
            });
        Ok(outcomes.collect())
    }

    /// Releases up to `items_max` leases of a holder, by id (clause LEASE-9).
    pub fn release_holder(
        &mut self,
        partition: &PartitionId,
        holder: Holder,
        items_max: Count,
    ) -> Result<ReleasedHolder> {
        let partition = self.find_mut(Operation::ReleaseHolder, partition)?;
        let is_held = |state: &ItemState| matches!(state, ItemState::Leased { holder: Some(by), .. } if *by == holder);
        let held: Vec<usize> = (0..partition.items.len())
            .filter(|index| is_held(&partition.items[*index].state))
            .collect();
        for index in held.iter().take(items_max.get()) {
            partition.release(*index);
        }
        Ok(ReleasedHolder {
            released: held.len().min(items_max.get()),
            more: held.len() > items_max.get(),
        })
    }

    /// Removes the item of each valid receipt (clause DONE-1).
    pub fn complete(
        &mut self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<CompleteOutcome>> {
        let partition = self.find_mut(Operation::Complete, partition)?;
        // BATCH-1. DONE-1: a lost receipt does not stop the others. DONE-2: the second of one receipt finds nothing.
        let outcomes = receipts
            .into_iter()
            .map(|receipt| partition.complete(receipt));
        Ok(outcomes.collect())
    }

    /// Ends leases without completion (clauses RETRY-1 to RETRY-5).
    pub fn retry(
        &mut self,
        partition: &PartitionId,
        now: Timestamp,
        retries: Retries,
    ) -> Result<Vec<RetryOutcome>> {
        let partition = self.find_mut(Operation::Retry, partition)?;
        // BATCH-1
        let outcomes = retries.into_iter().map(|retry| partition.retry(now, retry));
        Ok(outcomes.collect())
    }

    /// Makes dead items ready at the tail (clause DEAD-2).
    pub fn revive(&mut self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<ReviveOutcome>> {
        let partition = self.find_mut(Operation::Revive, partition)?;
        let mut outcomes = Vec::with_capacity(ids.len());
        // BATCH-1
        for id in ids {
            outcomes.push(match partition.index_of(id) {
                None => ReviveOutcome::NotFound,
                Some(index) => match partition.items[index].state {
                    ItemState::Dead { .. } => {
                        // DEAD-2. ORDER-1: in input order. DEAD-3: the note stays.
                        let position = partition.next_position();
                        let item = &mut partition.items[index];
                        item.state = ItemState::Ready { position };
                        item.attempts = 0;
                        item.is_revived = true;
                        ReviveOutcome::Revived
                    }
                    _ => ReviveOutcome::NotDead,
                },
            });
        }
        Ok(outcomes)
    }
}

impl Partition {
    /// The indexes of the items that a lease takes, in lease order.
    fn takeable(&self, request: &LeaseRequest) -> Vec<usize> {
        let answer_max = BATCH_BYTES_MAX as u64;
        let bytes_max = request
            .bytes_max
            .map_or(answer_max, |max| max.min(answer_max));
        let mut bytes = 0;
        let mut taken = Vec::new();
        // LEASE-1
        for item in self.ready_in_order() {
            // LEASE-4: passed over, and left for maintain.
            if item.expire_at().is_some_and(|at| at <= request.now) {
                continue;
            }
            bytes += item.record.view().payload_len() as u64;
            // LEASE-5: the first whatever its size.
            if taken.len() == request.items_max.get() || !taken.is_empty() && bytes > bytes_max {
                break;
            }
            taken.extend(self.index_of(item.id));
        }
        taken
    }

    /// Where the item of a valid receipt stands, or why the receipt is not valid (clauses DONE-1 and LEASE-7).
    pub(crate) fn leased(&self, receipt: Receipt) -> Result<usize, StepFailure> {
        let index = self.index_of(receipt.item).ok_or(StepFailure::NotFound)?;
        match self.items[index].state {
            ItemState::Leased { lease, .. } if lease == receipt.lease => Ok(index),
            _ => Err(StepFailure::LeaseLost),
        }
    }

    pub(crate) fn complete(&mut self, receipt: Receipt) -> CompleteOutcome {
        match self.leased(receipt) {
            Ok(index) => {
                self.depart(index);
                CompleteOutcome::Done
            }
            Err(StepFailure::NotFound) => CompleteOutcome::NotFound,
            Err(StepFailure::LeaseLost) => CompleteOutcome::LeaseLost,
        }
    }

    fn retry(&mut self, now: Timestamp, retry: Retry) -> RetryOutcome {
        let index = match self.leased(retry.receipt) {
            Ok(index) => index,
            Err(StepFailure::NotFound) => return RetryOutcome::NotFound,
            Err(StepFailure::LeaseLost) => return RetryOutcome::LeaseLost,
        };
        // RETRY-5: a note stays until another replaces it.
        if retry.note.is_some() {
            self.items[index].note = retry.note;
        }
        // RETRY-3 before RETRY-4 before RETRY-1 and RETRY-2; `expire_at` is not looked at.
        if retry.to == RetryTo::Dead {
            return self.end(index, DeadReason::Rejected, now);
        }
        if self.is_used_up(index) {
            return self.end(index, DeadReason::AttemptsExhausted, now);
        }
        match retry.to {
            // RETRY-2
            RetryTo::At(enqueue_at) if enqueue_at > now => {
                self.items[index].state = ItemState::Scheduled { enqueue_at };
                RetryOutcome::Scheduled
            }
            _ => {
                self.requeue(index);
                RetryOutcome::Ready
            }
        }
    }

    fn end(&mut self, index: usize, reason: DeadReason, now: Timestamp) -> RetryOutcome {
        if self.die(index, reason, now) {
            RetryOutcome::Dead(reason)
        } else {
            RetryOutcome::Dropped(reason)
        }
    }

    /// RETRY-4: at the item's limit, else the partition's; 0 is no limit.
    pub(crate) fn is_used_up(&self, index: usize) -> bool {
        let item = &self.items[index];
        let limit = match item.record.view().attempts_max() {
            0 => self.info.config.attempts_max(),
            own => own,
        };
        limit != 0 && item.attempts >= limit
    }

    /// RETRY-1: at the tail, or where it stood.
    pub(crate) fn requeue(&mut self, index: usize) {
        let kept = self.items[index].state.position();
        let position = match (self.info.config.requeue(), kept) {
            (Requeue::Original, Some(position)) => position,
            _ => self.next_position(),
        };
        self.make_ready(index, position);
    }

    pub(crate) fn make_ready(&mut self, index: usize, position: Position) {
        self.items[index].state = ItemState::Ready { position };
    }

    /// DEAD-1 and DEAD-3: whether the item was kept.
    pub(crate) fn die(&mut self, index: usize, reason: DeadReason, now: Timestamp) -> bool {
        match self.info.config.dead() {
            DeadPolicy::Keep => {
                let died_at = now;
                self.items[index].state = ItemState::Dead { reason, died_at };
                true
            }
            DeadPolicy::Drop => {
                self.depart(index);
                false
            }
        }
    }

    /// RETRY-6: at the position it had, one attempt less, whatever the limit of attempts.
    fn release(&mut self, index: usize) {
        let item = &mut self.items[index];
        if let ItemState::Leased { position, .. } = item.state {
            item.state = ItemState::Ready { position };
            item.attempts = item.attempts.saturating_sub(1);
        }
    }
}
