//! Which items go to make room, where that was asked for.

use storage_api::{State, States, Timestamp};

use crate::budget::Budget;
use crate::config::Overflow;
use crate::partition::{Partition, is_ready_at};
use crate::sync::atomic::{AtomicU64, Ordering};

/// How many items go before room is looked for again: memory comes back by segments.
const DROPPED_AT_A_TIME: usize = 64;

impl Partition {
    /// Drops some items by the policy; `false` where it finds none. Leased ones are never dropped.
    pub(crate) fn drop_some(&mut self, budget: &Budget, now: Timestamp, count: u64) -> bool {
        let mut has_dropped = false;
        let mut from = (0, u64::MAX);
        for _ in 0..count.min(DROPPED_AT_A_TIME as u64) {
            let Some((id, counter)) = self.victim(budget, now, &mut from) else {
                break;
            };
            counter.fetch_add(1, Ordering::Relaxed);
            self.finish(id);
            has_dropped = true;
        }
        has_dropped
    }

    /// The item that goes next. Dead and expired ones come first, whatever the policy.
    fn victim<'a>(
        &mut self,
        budget: &'a Budget,
        now: Timestamp,
        (oldest, newest): &mut (u64, u64),
    ) -> Option<(u64, &'a AtomicU64)> {
        let dropped = &budget.dropped;
        if budget.policy == Overflow::Reject {
            return None;
        }
        if self.sums.dead.items > 0
            && let Some(id) = self.slots.first_id(State::Dead.into(), 0)
        {
            return Some((id, &dropped.dead));
        }
        if let Some(((at, id), ())) = self.expiring.first()
            && *at <= now
        {
            return Some((id.get(), &dropped.expired));
        }
        let waiting = States::of([State::Ready, State::Scheduled]);
        let id = match budget.policy {
            Overflow::Reject => None,
            Overflow::DropOldest => self.slots.first_id(waiting, *oldest),
            Overflow::DropNewest => self.slots.last_id(waiting, *newest),
            Overflow::DropLowestPriority => {
                let slots = &self.slots;
                let last = self.ready.last(|stand| is_ready_at(slots, stand));
                last.or_else(|| slots.last_id(State::Scheduled.into(), u64::MAX))
            }
            Overflow::DropNearestExpiry => self.expiring.first().map(|((_, id), ())| id.get()),
        }?;
        (*oldest, *newest) = (id, id);
        Some((id, &dropped.by_policy))
    }
}
