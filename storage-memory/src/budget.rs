//! How much memory is taken, by all partitions together, and whether there is room.

use crate::config::Overflow;
use crate::discard::Discarded;
use crate::sync::atomic::{AtomicU64, Ordering};

/// What is kept for the operations that always work: one part in so many of the limit.
const RESERVE_PARTS: u64 = 32;
/// From this share of the limit on, in percent, a backend is pressed; below what even large batches leave when they are
/// refused.
const HIGH_PERCENT: u64 = 90;
/// Below this share, in percent, it no longer is.
const LOW_PERCENT: u64 = 75;
/// The bit of the account that says whether the backend is pressed; what is taken are the others.
const PRESSED: u64 = 1 << 63;

/// The account of a backend.
///
/// Whoever makes something grow reserves the most that it can take, under no lock but its own, and settles what it took
/// afterwards. What is taken is therefore never above the limit, however many write at a time. The one number is the only
/// thing that threads share here, and orders nothing else: relaxed access is enough.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    pub(crate) policy: Overflow,
    /// What is taken, and [`PRESSED`]: one number, so that the mark never lags behind what it is judged by.
    account: AtomicU64,
    /// How often it became pressed, or no longer was.
    mark_changes: AtomicU64,
    /// The bytes that logs take beyond what lives in them.
    slack: AtomicU64,
    /// What was left of it when nothing more of it was to be had.
    slack_left: AtomicU64,
    pub(crate) rejected: Rejected,
    pub(crate) dropped: Dropped,
    pub(crate) discarded: Discarded,
}

/// How many items were dropped to make room, by the reason why these.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    pub(crate) dead: AtomicU64,
    pub(crate) expired: AtomicU64,
    pub(crate) by_policy: AtomicU64,
}

/// How many operations were refused, by the limit that left them no room.
#[derive(Debug, Default)]
pub(crate) struct Rejected {
    pub(crate) max_memory: AtomicU64,
    pub(crate) items_max: AtomicU64,
    pub(crate) bytes_max: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit: Option<u64>, policy: Overflow) -> Self {
        Self {
            limit: limit.unwrap_or(u64::MAX),
            policy,
            account: AtomicU64::new(0),
            mark_changes: AtomicU64::new(0),
            slack: AtomicU64::new(0),
            slack_left: AtomicU64::new(0),
            rejected: Rejected::default(),
            dropped: Dropped::default(),
            discarded: Discarded::default(),
        }
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        (self.limit != u64::MAX).then_some(self.limit)
    }

    /// Taken or promised.
    pub(crate) fn taken(&self) -> u64 {
        taken(self.account.load(Ordering::Relaxed))
    }

    /// The limit of what may grow.
    pub(crate) fn soft_limit(&self) -> u64 {
        self.limit - self.limit / RESERVE_PARTS
    }

    /// The largest block that a log may ask for: several fit into what is kept in reserve.
    pub(crate) fn block_bytes_max(&self) -> u64 {
        self.limit / (2 * RESERVE_PARTS)
    }

    /// Sets bytes aside; `false`, and nothing is, where so many are not left, not even once partitions that have gone give
    /// theirs back.
    pub(crate) fn reserve(&self, bytes: u64) -> bool {
        if bytes == 0 || self.reserve_within(bytes, self.soft_limit()) {
            return true;
        }
        self.drop_discarded();
        self.reserve_within(bytes, self.soft_limit())
    }

    /// Sets bytes aside from what is kept for the operations that always work; `false`, and nothing is, where even so many
    /// are not left.
    pub(crate) fn reserve_last(&self, bytes: u64) -> bool {
        if self.reserve_within(bytes, self.limit) {
            return true;
        }
        self.drop_discarded();
        self.reserve_within(bytes, self.limit)
    }

    fn reserve_within(&self, bytes: u64, limit: u64) -> bool {
        let limit = limit.min(!PRESSED);
        let reserved = self
            .account
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |account| {
                let sum = taken(account).checked_add(bytes);
                sum.filter(|sum| *sum <= limit)
                    .map(|sum| sum | (account & PRESSED))
            });
        reserved.is_ok()
    }

    /// The slack of a partition was `before` and is `after`.
    pub(crate) fn settle_slack(&self, before: u64, after: u64) {
        if before != after {
            // Wraps around where it falls, and the sum is right.
            let more = after.wrapping_sub(before);
            self.slack.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Whether so many bytes may not be left, while other partitions take memory that they do not need.
    pub(crate) fn wants_slack_back(&self, bytes: u64) -> bool {
        if self.limit == u64::MAX || self.taken().saturating_add(bytes) <= self.soft_limit() {
            return false;
        }
        let slack = self.slack.load(Ordering::Relaxed);
        let left = self.slack_left.fetch_min(slack, Ordering::Relaxed);
        slack >= left.min(slack) + self.block_bytes_max()
    }

    /// Every partition has given back what it could.
    pub(crate) fn has_no_slack_left(&self) {
        let slack = self.slack.load(Ordering::Relaxed);
        self.slack_left.store(slack, Ordering::Relaxed);
    }

    /// Counts a refusal: why there is no room for that many bytes, and what to do.
    pub(crate) fn refuse(&self, bytes: u64) -> String {
        self.rejected.max_memory.fetch_add(1, Ordering::Relaxed);
        let (taken, limit) = (self.taken(), self.limit);
        if bytes > self.soft_limit() {
            return format!(
                "it may take {bytes} bytes, more than the {limit} bytes of max-memory ever hold; make it smaller, or raise \
                 max-memory"
            );
        }
        format!(
            "{taken} of {limit} bytes of max-memory are taken or promised, and it may take {bytes} more; complete or delete \
             items, or raise max-memory"
        )
    }

    /// What was `before` is `after`.
    pub(crate) fn settle(&self, before: u64, after: u64) {
        if before == after {
            return;
        }
        let settled = |account| {
            let taken = taken(account) + after - before;
            taken | self.mark(is_pressed(account), taken)
        };
        let account = self
            .account
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |account| {
                Some(settled(account))
            });
        if let Ok(account) = account
            && is_pressed(account) != is_pressed(settled(account))
        {
            self.mark_changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// [`PRESSED`], or nothing. Two marks, so that a backend which is filled and drained changes its mind twice and not with
    /// every item.
    fn mark(&self, is_pressed: bool, taken: u64) -> u64 {
        let mark = match is_pressed {
            true => LOW_PERCENT,
            false => HIGH_PERCENT,
        };
        let is_reached =
            u128::from(taken) * 100 >= u128::from(self.limit.max(1)) * u128::from(mark);
        if is_reached { PRESSED } else { 0 }
    }

    pub(crate) fn is_pressed(&self) -> bool {
        is_pressed(self.account.load(Ordering::Relaxed))
    }

    pub(crate) fn mark_changes(&self) -> u64 {
        self.mark_changes.load(Ordering::Relaxed)
    }
}

fn taken(account: u64) -> u64 {
    account & !PRESSED
}

fn is_pressed(account: u64) -> bool {
    account & PRESSED != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_cross_the_limit_is_refused_and_all_that_is_below_is_not() {
        let budget = Budget::new(Some(3200), Overflow::Reject);

        assert!(!budget.reserve(3101), "100 are kept");
        assert!(budget.reserve(3100));
        assert!(!budget.reserve(1));
        budget.settle(3100, 3000);
        assert!(budget.reserve(100));
        assert!(!budget.reserve(u64::MAX));
        assert_eq!(budget.taken(), 3100);
    }

    #[test]
    fn filling_and_draining_changes_the_mark_twice() {
        let budget = Budget::new(Some(1000), Overflow::Reject);
        let mut taken = 0_u64;
        let steps = (0_u64..=970).step_by(10).chain((0..=970).rev().step_by(10));

        for step in steps {
            for wobble in [step, step.saturating_sub(15), step] {
                budget.settle(taken, wobble);
                taken = wobble;
            }
        }

        assert_eq!(budget.mark_changes(), 2);
        assert!(!budget.is_pressed());
    }
}
