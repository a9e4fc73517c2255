//! What a partition takes of the memory, and what it sets aside before it grows.

use std::sync::Arc;

use storage_api::{Operation, PartitionId, Result, Timestamp};

use crate::compaction::Work;
use crate::demand::{Demand, PROMISE_BYTES, PROMISE_BYTES_FIRST};
use crate::footprint::{shared_bytes, tree_bytes};
use crate::home::Home;
use crate::partition::Partition;

/// What the signals of a partition take.
const HUB_BYTES: u64 = 384;

/// What a partition of that name takes that holds nothing.
pub(crate) fn own_bytes(id: &PartitionId) -> u64 {
    let place = tree_bytes::<PartitionId, Arc<Home>>(100) / 100;
    shared_bytes(size_of::<Home>()) + place + HUB_BYTES + shared_bytes(id.queue().as_str().len())
}

impl Partition {
    /// The bytes of records: the blocks that they are in, and what describes those.
    pub(crate) fn record_bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// The bytes of slots, orders, leases, keys and notes.
    pub(crate) fn index_bytes(&self) -> u64 {
        self.bytes_by_kind()[1..].iter().sum()
    }

    /// The bytes of records, slots, orders, leases, keys and notes.
    pub(crate) fn bytes_by_kind(&self) -> [u64; 6] {
        [
            self.record_bytes(),
            self.slots.bytes(),
            self.ready.bytes() + self.expiring.bytes() + self.scheduled.bytes(),
            self.leases.bytes(),
            self.keys.bytes(),
            self.notes.bytes(),
        ]
    }

    /// What it takes while it holds nothing, its name included.
    pub(crate) fn own_bytes(&self) -> u64 {
        own_bytes(&self.info.id)
    }

    /// What counts against the limit: everything that is taken, and what its items may take in the orders that they go
    /// through.
    pub(crate) fn charge(&self) -> u64 {
        let [records, slots, orders, leases, keys, notes] = self.bytes_by_kind();
        let promised = match self.sums.items() {
            0 => 0,
            items => PROMISE_BYTES_FIRST + PROMISE_BYTES * items,
        };
        self.own_bytes() + records + slots + keys + notes + promised.max(orders + leases)
    }

    /// Sets aside what an operation that always works needs more than was promised, from what is kept for it; `false` where
    /// even that is used up.
    pub(crate) fn reserve_last(&mut self, bytes: u64) -> bool {
        let is_room = self.budget.limit().is_none() || self.budget.reserve_last(bytes);
        if is_room && self.budget.limit().is_some() {
            self.charged += bytes;
        }
        is_room
    }

    /// Tells the budget what is taken now. Without a limit nobody asks.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if self.budget.limit().is_some() {
            self.settle_charge();
        }
    }

    #[inline(never)]
    fn settle_charge(&mut self) {
        let charge = self.charge();
        self.budget.settle(self.charged, charge);
        self.charged = charge;
        let slack = self.log.slack();
        self.budget.settle_slack(self.slack, slack);
        self.slack = slack;
    }

    /// Fails, where that is looked at, if more was taken than had been set aside.
    pub(crate) fn assert_reserved(&self) {
        debug_assert!(
            self.budget.limit().is_none() || self.charge() <= self.charged,
            "{} bytes were set aside and {} taken",
            self.charged,
            self.charge()
        );
    }

    /// Sets aside what items need that are going to be stored, and makes room for them where the policy says so.
    ///
    /// What was set aside counts as taken by the partition until it [settles](Self::settle).
    pub(crate) fn reserve(
        &mut self,
        operation: Operation,
        demand: impl Fn(&Self) -> Demand,
        dropping_at: Option<Timestamp>,
    ) -> Result<()> {
        if self.budget.limit().is_none() {
            return Ok(());
        }
        let budget = self.budget.clone();
        let mut work = Work::where_memory_is_short();
        let (mut is_trimmed, mut dropping) = (false, None);
        loop {
            let growth = demand(self).growth_max(self);
            if budget.reserve(growth) {
                self.charged += growth;
                return Ok(());
            }
            if !is_trimmed {
                is_trimmed = true;
                self.yield_memory(&mut work);
                continue;
            }
            let has_dropped =
                dropping_at.is_some_and(|now| self.drop_some(&mut dropping, growth, now));
            if !has_dropped {
                return Err(self.capacity_exceeded(operation, budget.refuse(growth)));
            }
            is_trimmed = false;
        }
    }

    /// Gives back what no item needs, and compacts for that work.
    pub(crate) fn yield_memory(&mut self, work: &mut Work) {
        // What readers have let go of makes room for what is moved.
        self.log.trim();
        self.settle();
        self.log.shrink();
        self.compact(work);
        match self.sums.items() {
            0 => self.trim(),
            _ => self.log.trim(),
        }
        self.settle();
    }

    /// Gives back the memory that is kept to be used again.
    pub(crate) fn trim(&mut self) {
        self.log.trim();
        self.slots.trim();
        self.ready.trim();
        self.leases.trim();
    }
}
