//! Maintain: the only operation that moves an item because time has passed (clauses TIME-1 to TIME-3).

use storage_api::{
    Count, DeadReason, ItemId, Maintained, Mode, Operation, Result, State, Timestamp,
};

use crate::partition::Partition;

/// Something whose time has come, in the order in which it is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Timestamp,
    id: ItemId,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Item,
    /// A dedup key that outlived this item.
    Key,
}

impl Partition {
    /// When something is due next, where nothing is now; `None` where there is something to handle.
    pub(crate) fn maintain_nothing(&self, now: Timestamp) -> Result<Option<Option<Timestamp>>> {
        self.refuse_in(Operation::Maintain, &[Mode::Frozen])?;
        let next_due = self.next_due();
        Ok(next_due.is_none_or(|at| at > now).then_some(next_due))
    }

    /// Handles what is due, the earliest first.
    pub(crate) fn maintain(&mut self, now: Timestamp, items_max: Count) -> Result<Maintained> {
        self.refuse_in(Operation::Maintain, &[Mode::Frozen])?;
        let due = self.first_due(now, items_max.get());
        self.expect_positions(Operation::Maintain, due.len())?;
        let mut done = Maintained::default();
        for Due { at, id, what } in due {
            match what {
                What::Item => self.maintain_item(id, now, &mut done),
                What::Key => {
                    self.keys.free_due(at, id);
                    done.keys_freed += 1;
                }
            }
        }
        done.next_due = self.next_due();
        done.more = done.next_due.is_some_and(|at| at <= now);
        Ok(done)
    }

    /// What is due now, chosen before any of it is handled: a key that is let go on the way waits for the next call.
    fn first_due(&self, now: Timestamp, max: usize) -> Vec<Due> {
        let item = |(at, id): (Timestamp, ItemId)| Due {
            at,
            id,
            what: What::Item,
        };
        let key = |(at, id)| Due {
            at,
            id,
            what: What::Key,
        };
        let leased = self
            .leases
            .due(None, |id, grant, index| {
                let slot = self.slots.get(id);
                slot.is_some_and(|slot| slot.is_leased_as(grant, index))
            })
            .take_while(|(at, _)| *at <= now);
        let mut ready = self.expiring.keys().map(item).peekable();
        let mut scheduled = self.scheduled.keys().copied().map(item).peekable();
        let mut leased = leased.map(item).peekable();
        let mut keys = self.keys.due().map(key).peekable();

        let mut due = Vec::new();
        while due.len() < max {
            let heads = [ready.peek(), scheduled.peek(), leased.peek(), keys.peek()];
            let first = heads.into_iter().flatten().min().copied();
            let Some(first) = first.filter(|first| first.at <= now) else {
                break;
            };
            let is_first = |head: &Due| *head == first;
            // Exactly one of the orders has it, and moves on.
            let _ = ready
                .next_if(is_first)
                .or_else(|| scheduled.next_if(is_first))
                .or_else(|| leased.next_if(is_first))
                .or_else(|| keys.next_if(is_first));
            due.push(first);
        }
        due
    }

    /// What becomes of an item that is due is the first that fits (clause TIME-1).
    fn maintain_item(&mut self, id: ItemId, now: Timestamp, done: &mut Maintained) {
        let id = id.get();
        let Some(slot) = self.slots.get(id).copied() else {
            return;
        };
        let is_leased = slot.state() == State::Leased;
        if self.expire_at(&slot).is_some_and(|at| at <= now) {
            match self.die(id, DeadReason::Expired, now) {
                true => done.expired += 1,
                false => done.dropped += 1,
            }
        } else if is_leased && self.is_exhausted(&slot) {
            match self.die(id, DeadReason::AttemptsExhausted, now) {
                true => done.attempts_exhausted += 1,
                false => done.dropped += 1,
            }
        } else {
            match is_leased {
                true => self.requeue(id),
                false => self.queue(id),
            }
            done.ready += 1;
        }
    }
}
