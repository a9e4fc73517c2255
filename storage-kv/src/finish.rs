//! What ends leases, and what happens to items by name: extend, release, complete, retry, revive, delete, clear.

use std::ops::ControlFlow;

use storage_api::{
    Cleared, CompleteOutcome, Count, DeadPolicy, DeadReason, DeleteOutcome, ExtendOutcome, Holder,
    ItemIds, ItemState, Receipt, Receipts, ReleaseOutcome, ReleasedHolder, Requeue, Retries, Retry,
    RetryOutcome, RetryTo, ReviveOutcome, State, States, StepFailure, Timestamp,
};

use crate::engine::{KvResult, OrderedKv};
use crate::item::Item;
use crate::keys;
use crate::keyspace::Keyspace;
use crate::work::{Stop, Work};

impl<E: OrderedKv> Work<'_, E> {
    pub(crate) fn extend(
        &mut self,
        receipts: &Receipts,
        to: Timestamp,
    ) -> Result<Vec<ExtendOutcome>, Stop> {
        self.fetch_of(receipts)?;
        let mut outcomes = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            outcomes.push(match self.leased(*receipt) {
                Ok(()) => {
                    self.change(receipt.item.get(), |item| {
                        if let ItemState::Leased { deadline, .. } = &mut item.state {
                            *deadline = to;
                        }
                    });
                    ExtendOutcome::Extended
                }
                Err(StepFailure::NotFound) => ExtendOutcome::NotFound,
                Err(StepFailure::LeaseLost) => ExtendOutcome::LeaseLost,
            });
        }
        Ok(outcomes)
    }

    pub(crate) fn release(&mut self, receipts: &Receipts) -> Result<Vec<ReleaseOutcome>, Stop> {
        self.fetch_of(receipts)?;
        let mut outcomes = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            outcomes.push(match self.leased(*receipt) {
                Ok(()) => {
                    self.give_back(receipt.item.get());
                    ReleaseOutcome::Released
                }
                Err(StepFailure::NotFound) => ReleaseOutcome::NotFound,
                Err(StepFailure::LeaseLost) => ReleaseOutcome::LeaseLost,
            });
        }
        Ok(outcomes)
    }

    pub(crate) fn release_holder(
        &mut self,
        holder: Holder,
        items_max: Count,
    ) -> Result<ReleasedHolder, Stop> {
        let key = keys::holder(self.part(), holder.get(), 0);
        let mut held = Vec::new();
        self.store
            .scan_prefix(Keyspace::Holders, &key[..12], |key, _| {
                held.push(self.id_of(Keyspace::Holders, key)?);
                Ok(match held.len() > items_max.get() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                })
            })?;
        let more = held.len() > items_max.get();
        held.truncate(items_max.get());
        self.fetch(held.iter().copied())?;
        for id in &held {
            if self.indexed(*id)?.holder() != Some(holder) {
                return Err(self.elsewhere(*id).into());
            }
            self.give_back(*id);
        }
        Ok(ReleasedHolder {
            released: held.len(),
            more,
        })
    }

    pub(crate) fn complete(&mut self, receipts: &Receipts) -> Result<Vec<CompleteOutcome>, Stop> {
        self.fetch_of(receipts)?;
        let mut outcomes = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            outcomes.push(match self.leased(*receipt) {
                Ok(()) => {
                    self.depart(receipt.item.get())?;
                    CompleteOutcome::Done
                }
                Err(StepFailure::NotFound) => CompleteOutcome::NotFound,
                Err(StepFailure::LeaseLost) => CompleteOutcome::LeaseLost,
            });
        }
        Ok(outcomes)
    }

    pub(crate) fn retry(
        &mut self,
        now: Timestamp,
        retries: &Retries,
    ) -> Result<Vec<RetryOutcome>, Stop> {
        self.reserve(0, retries.len())?;
        self.fetch(retries.iter().map(|retry| retry.receipt.item.get()))?;
        let mut outcomes = Vec::with_capacity(retries.len());
        for retry in retries {
            outcomes.push(self.retry_one(now, retry)?);
        }
        Ok(outcomes)
    }

    fn retry_one(&mut self, now: Timestamp, retry: &Retry) -> KvResult<RetryOutcome> {
        let id = retry.receipt.item.get();
        match self.leased(retry.receipt) {
            Ok(()) => {}
            Err(StepFailure::NotFound) => return Ok(RetryOutcome::NotFound),
            Err(StepFailure::LeaseLost) => return Ok(RetryOutcome::LeaseLost),
        }
        if let Some(note) = &retry.note {
            self.change(id, |item| item.note = Some(note.clone()));
        }
        // RETRY-3 before RETRY-4 before RETRY-2 and RETRY-1.
        let death = match retry.to {
            RetryTo::Dead => Some(DeadReason::Rejected),
            _ if self.is_used_up(self.indexed(id)?) => Some(DeadReason::AttemptsExhausted),
            _ => None,
        };
        if let Some(reason) = death {
            return Ok(match self.die(id, reason, now)? {
                true => RetryOutcome::Dead(reason),
                false => RetryOutcome::Dropped(reason),
            });
        }
        Ok(match retry.to {
            RetryTo::At(enqueue_at) if enqueue_at > now => {
                self.change(id, |item| item.state = ItemState::Scheduled { enqueue_at });
                RetryOutcome::Scheduled
            }
            _ => {
                self.requeue(id);
                RetryOutcome::Ready
            }
        })
    }

    pub(crate) fn revive(&mut self, ids: &ItemIds) -> Result<Vec<ReviveOutcome>, Stop> {
        self.reserve(0, ids.len())?;
        self.fetch(ids.iter().map(|id| id.get()))?;
        let mut outcomes = Vec::with_capacity(ids.len());
        for id in ids {
            let id = id.get();
            outcomes.push(match self.item(id).map(Item::state) {
                None => ReviveOutcome::NotFound,
                Some(State::Dead) => {
                    let position = self.give_position();
                    self.change(id, |item| {
                        item.state = ItemState::Ready { position };
                        item.attempts = 0;
                        item.is_revived = true;
                    });
                    ReviveOutcome::Revived
                }
                Some(_) => ReviveOutcome::NotDead,
            });
        }
        Ok(outcomes)
    }

    pub(crate) fn delete_items(&mut self, ids: &ItemIds) -> Result<Vec<DeleteOutcome>, Stop> {
        self.fetch(ids.iter().map(|id| id.get()))?;
        let mut outcomes = Vec::with_capacity(ids.len());
        for id in ids {
            let is_there = self.item(id.get()).is_some();
            self.remove(id.get())?;
            outcomes.push(match is_there {
                true => DeleteOutcome::Deleted,
                false => DeleteOutcome::NotFound,
            });
        }
        Ok(outcomes)
    }

    pub(crate) fn clear(&mut self, states: States, items_max: Count) -> Result<Cleared, Stop> {
        let ids = self.ids_in(states, 0, items_max.get())?;
        self.fetch(ids.iter().copied())?;
        for id in &ids {
            if !states.contains(self.indexed(*id)?.state()) {
                return Err(self.elsewhere(*id).into());
            }
            self.remove(*id)?;
        }
        let stats = self.counters.stats();
        let left: u64 = states.iter().map(|state| stats.state(state).items).sum();
        Ok(Cleared {
            removed: ids.len(),
            more: left > 0,
        })
    }

    fn fetch_of(&mut self, receipts: &Receipts) -> KvResult<()> {
        self.expect_rows([Keyspace::Bodies, Keyspace::States], receipts.len(), 0);
        self.fetch(receipts.iter().map(|receipt| receipt.item.get()))
    }

    /// Whether a receipt of an item that was fetched is valid (clauses DONE-1 and LEASE-7).
    pub(crate) fn leased(&self, receipt: Receipt) -> Result<(), StepFailure> {
        let item = self.item(receipt.item.get());
        match item.ok_or(StepFailure::NotFound)?.state {
            ItemState::Leased { lease, .. } if lease == receipt.lease => Ok(()),
            _ => Err(StepFailure::LeaseLost),
        }
    }

    /// Whether an item may not be tried again (clause RETRY-4).
    pub(crate) fn is_used_up(&self, item: &Item) -> bool {
        let limit = match item.head.attempts_max {
            0 => self.info.config.attempts_max(),
            own => own,
        };
        limit != 0 && item.attempts >= limit
    }

    /// An item becomes ready again after a lease, or for the first time: at the tail, or where it stood (clause RETRY-1).
    pub(crate) fn requeue(&mut self, id: u64) {
        let kept = self.item(id).and_then(|item| item.state.position());
        let position = match (self.info.config.requeue(), kept) {
            (Requeue::Original, Some(position)) => position,
            _ => self.give_position(),
        };
        self.change(id, |item| item.state = ItemState::Ready { position });
    }

    /// An item dies: `true` if it is kept, `false` if it is dropped (clause DEAD-1).
    pub(crate) fn die(&mut self, id: u64, reason: DeadReason, now: Timestamp) -> KvResult<bool> {
        match self.info.config.dead() {
            DeadPolicy::Keep => {
                let died_at = now;
                self.change(id, |item| item.state = ItemState::Dead { reason, died_at });
                Ok(true)
            }
            DeadPolicy::Drop => {
                self.depart(id)?;
                Ok(false)
            }
        }
    }

    /// A lease is given back unused (clause RETRY-6).
    fn give_back(&mut self, id: u64) {
        self.change(id, |item| {
            if let ItemState::Leased { position, .. } = item.state {
                item.state = ItemState::Ready { position };
                item.attempts = item.attempts.saturating_sub(1);
            }
        });
    }
}
