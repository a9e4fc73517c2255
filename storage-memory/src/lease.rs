//! Lease, extend, release: the right to process items, and giving it back (clauses LEASE-1 to LEASE-9, RETRY-6).

use storage_api::limits::BATCH_BYTES_MAX;
use storage_api::{
    Count, ExtendOutcome, Holder, ItemId, ItemState, LeaseId, LeaseRequest, LeasedBatch, Mode,
    NewLease, Operation, Position, Receipts, ReleaseOutcome, ReleasedHolder, Result, StepFailure,
    Timestamp,
};

use crate::numbers::Counter;
use crate::partition::Partition;

impl Partition {
    /// Takes ready items in lease order; what has expired is passed over and left for maintain.
    pub(crate) fn lease(
        &mut self,
        request: &LeaseRequest,
        leases: &Counter,
    ) -> Result<LeasedBatch> {
        self.refuse_in(Operation::Lease, &[Mode::Frozen])?;
        let mut batch = LeasedBatch::new(request.deadline, request.holder);
        let chosen = self.choose(request);
        if chosen.is_empty() {
            return Ok(batch);
        }
        let Some(first) = leases.give(chosen.len()) else {
            return Err(self.capacity_exceeded(Operation::Lease, "the leases are used up"));
        };
        batch.reserve(chosen.len());
        for ((id, position), lease) in chosen.into_iter().zip(first..) {
            let lease = LeaseId::new(lease).expect("the counter gives numbers within the limit");
            self.update(id, |entry| {
                entry.attempts = entry.attempts.saturating_add(1);
                entry.state = ItemState::Leased {
                    position,
                    lease,
                    deadline: request.deadline,
                    holder: request.holder,
                };
                let lease = NewLease {
                    item: id,
                    lease,
                    position,
                    attempts: entry.attempts,
                    is_revived: entry.is_revived,
                };
                batch.push(lease, &entry.record, entry.note.as_ref());
            });
        }
        Ok(batch)
    }

    /// As many items as there are within the request.
    fn choose(&self, request: &LeaseRequest) -> Vec<(ItemId, Position)> {
        let answer_max = BATCH_BYTES_MAX as u64;
        let bytes_max = request
            .bytes_max
            .map_or(answer_max, |max| max.min(answer_max));
        let mut chosen = Vec::new();
        let mut bytes = 0;
        for (&(_, position), id) in self.index.ready() {
            if chosen.len() == request.items_max.get() {
                break;
            }
            let Some(entry) = self.items.get(id) else {
                continue;
            };
            if entry.expire_at().is_some_and(|at| at <= request.now) {
                continue;
            }
            bytes += entry.record.view().payload_len() as u64;
            if bytes > bytes_max && !chosen.is_empty() {
                break;
            }
            chosen.push((*id, position));
        }
        chosen
    }

    pub(crate) fn extend(
        &mut self,
        receipts: &Receipts,
        deadline: Timestamp,
    ) -> Vec<ExtendOutcome> {
        let extend = |receipt| match self.leased(receipt).map(|entry| entry.id) {
            Err(StepFailure::NotFound) => ExtendOutcome::NotFound,
            Err(StepFailure::LeaseLost) => ExtendOutcome::LeaseLost,
            Ok(id) => {
                self.update(id, |entry| {
                    if let ItemState::Leased { deadline: old, .. } = &mut entry.state {
                        *old = deadline;
                    }
                });
                ExtendOutcome::Extended
            }
        };
        receipts.iter().copied().map(extend).collect()
    }

    pub(crate) fn release(&mut self, receipts: &Receipts) -> Vec<ReleaseOutcome> {
        let release = |receipt| match self.leased(receipt).map(|entry| entry.id) {
            Err(StepFailure::NotFound) => ReleaseOutcome::NotFound,
            Err(StepFailure::LeaseLost) => ReleaseOutcome::LeaseLost,
            Ok(id) => {
                self.give_back(id);
                ReleaseOutcome::Released
            }
        };
        receipts.iter().copied().map(release).collect()
    }

    pub(crate) fn release_holder(&mut self, holder: Holder, items_max: Count) -> ReleasedHolder {
        let mut released = 0;
        while released < items_max.get() {
            let Some(id) = self.index.first_of_holder(holder) else {
                break;
            };
            self.give_back(id);
            released += 1;
        }
        ReleasedHolder {
            released,
            more: self.index.first_of_holder(holder).is_some(),
        }
    }

    /// A lease ends unused: the item stands where it stood, one attempt less.
    fn give_back(&mut self, id: ItemId) {
        self.update(id, |entry| {
            if let Some(position) = entry.state.position() {
                entry.attempts = entry.attempts.saturating_sub(1);
                entry.state = ItemState::Ready { position };
            }
        });
    }
}
