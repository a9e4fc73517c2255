//! Which items go to make room, where that was asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use storage_api::{Operation, Result, SealedBatch, State, States, Timestamp};

use crate::budget::Budget;
use crate::capacity::Forecast;
use crate::config::Overflow;
use crate::demand::{Demand, PROMISE_BYTES};
use crate::partition::{Partition, is_ready_at};
use crate::slot::Slot;
use crate::sync::atomic::Ordering;

/// How many items go before it is looked whether memory has come back, which it does by blocks: fewer where they come to one.
const DROPPED_AT_A_TIME: u64 = 64;
/// The largest block that several records share.
const BLOCK_BYTES_MAX: u64 = 1 << 20;
/// Dropping for memory ends once so many blocks have gone over to readers, and less has come back.
const BLOCKS_LEFT_TO_READERS_MAX: u64 = 4;
/// At how many due scheduled items is looked for one that has expired, which goes before others.
const SCHEDULED_LOOKED_AT: usize = 256;
/// What an item takes at least beside its payload: the head of its record, its slot, and what is promised to it.
const ITEM_BYTES_MIN: u64 = 24 + size_of::<Slot>() as u64 + PROMISE_BYTES;

/// Items and their payload bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    pub(crate) items: u64,
    pub(crate) bytes: u64,
}

/// What a partition will hold above its limits; less than nothing where there is room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Missing {
    pub(crate) items: i128,
    pub(crate) bytes: i128,
}

/// Items that a batch names by their dedup keys, each with the payload bytes of the new item that it stands for: once
/// it is dropped, that one is stored.
pub(crate) type Duplicates = BTreeMap<u64, u64>;

/// The dropping of items for one produce, which goes on where it was.
#[derive(Debug)]
pub(crate) struct Dropping {
    budget: Arc<Budget>,
    now: Timestamp,
    /// Scheduled items that have expired, with their payload bytes. The last goes first.
    expired: Vec<(u64, u64)>,
    /// No dead item has an id below this one, no item waits with one below the next or above the last.
    dead_from: u64,
    oldest: u64,
    newest: u64,
    /// What the partition was charged, and what readers held of it, before anything went.
    charged: u64,
    lent: u64,
}

impl Dropping {
    fn at(partition: &Partition, now: Timestamp) -> Self {
        let due = partition.scheduled.keys().take(SCHEDULED_LOOKED_AT);
        let due = due.take_while(|(at, _)| *at <= now);
        let mut expired: Vec<_> = due
            .filter_map(|(_, id)| {
                let slot = partition.slots.get(id.get())?;
                let expire_at = partition.expire_at(slot)?;
                (expire_at <= now).then_some((id.get(), slot.payload_len() as u64))
            })
            .collect();
        expired.reverse();
        Self {
            budget: partition.budget.clone(),
            now,
            expired,
            dead_from: 0,
            oldest: 0,
            newest: u64::MAX,
            charged: partition.charged,
            lent: partition.log.lent_bytes(),
        }
    }

    /// Everything that the policy drops.
    fn droppable(&self, partition: &Partition) -> Sum {
        let sums = &partition.sums;
        match self.budget.policy {
            Overflow::Reject => Sum::default(),
            Overflow::DropNearestExpiry => {
                let scheduled = self.expired.iter().map(|(_, bytes)| bytes);
                let expiring = &partition.expiring;
                Sum {
                    items: sums.dead.items + expiring.items() + self.expired.len() as u64,
                    bytes: sums.dead.bytes + expiring.payload_bytes() + scheduled.sum::<u64>(),
                }
            }
            _ => Sum {
                items: sums.items() - sums.leased.items,
                bytes: sums.bytes() - sums.leased.bytes,
            },
        }
    }

    /// Whether the policy drops that item, sooner or later.
    fn may_drop(&self, id: u64, slot: &Slot) -> bool {
        match (self.budget.policy, slot.state()) {
            (Overflow::Reject, _) | (_, State::Leased) => false,
            (Overflow::DropNearestExpiry, State::Ready) => slot.expires(),
            (Overflow::DropNearestExpiry, State::Scheduled) => {
                self.expired.iter().any(|(expired, _)| *expired == id)
            }
            (_, State::Dead | State::Ready | State::Scheduled) => true,
        }
    }

    /// Drops the item that goes next: its id and slot. Dead and expired ones come first, whatever the policy.
    fn drop_next(&mut self, partition: &mut Partition) -> Option<(u64, Slot)> {
        let (id, counter) = self.victim(partition)?;
        let slot = partition.slots.get(id).copied()?;
        let dropped = &self.budget.dropped;
        let counter = match counter {
            Reason::Dead => &dropped.dead,
            Reason::Expired => &dropped.expired,
            Reason::Policy => &dropped.by_policy,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        partition.finish(id);
        Some((id, slot))
    }

    fn victim(&mut self, partition: &mut Partition) -> Option<(u64, Reason)> {
        if self.budget.policy == Overflow::Reject {
            return None;
        }
        if partition.sums.dead.items > 0
            && let Some(id) = partition.slots.first_id(State::Dead.into(), self.dead_from)
        {
            self.dead_from = id;
            return Some((id, Reason::Dead));
        }
        if let Some((at, id)) = partition.expiring.first()
            && at <= self.now
        {
            return Some((id.get(), Reason::Expired));
        }
        if let Some((id, _)) = self.expired.pop() {
            return Some((id, Reason::Expired));
        }
        let waiting = States::of([State::Ready, State::Scheduled]);
        let Partition {
            slots,
            ready,
            expiring,
            ..
        } = partition;
        let id = match self.budget.policy {
            Overflow::Reject => None,
            Overflow::DropOldest => slots.first_id(waiting, self.oldest),
            Overflow::DropNewest => slots.last_id(waiting, self.newest),
            Overflow::DropLowestPriority => {
                let last = ready.last(|stand| is_ready_at(slots, stand));
                last.or_else(|| slots.last_id(State::Scheduled.into(), self.newest))
            }
            Overflow::DropNearestExpiry => expiring.first().map(|(_, id)| id.get()),
        }?;
        match self.budget.policy {
            Overflow::DropOldest => self.oldest = id,
            Overflow::DropNewest => self.newest = id,
            _ => {}
        }
        Some((id, Reason::Policy))
    }
}

/// Why an item goes.
#[derive(Debug, Clone, Copy)]
enum Reason {
    Dead,
    Expired,
    Policy,
}

impl Partition {
    /// Makes sure that the limits of the partition hold, by dropping other items where that was asked for.
    ///
    /// A produce that would be refused all the same drops nothing.
    pub(crate) fn make_room(&mut self, batch: &SealedBatch) -> Result<()> {
        if self.takes_any(batch.len()) {
            return Ok(());
        }
        let mut forecast = Forecast::of(self);
        let Err(full) = forecast.produce(Operation::Produce, batch) else {
            return Ok(());
        };
        let mut dropping = Dropping::at(self, batch.now());
        let duplicates = self.droppable_duplicates(&dropping, batch);
        let missing = forecast.missing(dropping.droppable(self), &duplicates);
        let Some(mut missing) = missing else {
            return Err(full.refuse(&self.budget));
        };
        let demand = Demand::of_batch(self, batch);
        if self.is_hopeless(&dropping, demand.growth_max(self)) {
            // What cannot be set aside now cannot be later either.
            self.reserve(Operation::Produce, |_| demand, None)?;
            self.settle();
        }
        while missing.items > 0 || missing.bytes > 0 {
            let Some((id, slot)) = dropping.drop_next(self) else {
                break;
            };
            missing.items -= 1;
            missing.bytes -= slot.payload_len() as i128;
            if let Some(payload_bytes) = duplicates.get(&id) {
                missing.items += 1;
                missing.bytes += i128::from(*payload_bytes);
            }
        }
        debug_assert!(
            missing.items <= 0 && missing.bytes <= 0,
            "what may be dropped was summed up before"
        );
        Ok(())
    }

    /// The items of a batch that are duplicates of what may be dropped, whose keys are free then.
    fn droppable_duplicates(&self, dropping: &Dropping, batch: &SealedBatch) -> Duplicates {
        let mut duplicates = Duplicates::new();
        if !self.info.config.dedup_for().is_zero() {
            return duplicates;
        }
        for view in batch.records() {
            let owner = view.dedup_key().and_then(|key| self.keys.owner(key));
            let Some(id) = owner.filter(|owner| !owner.has_gone).map(|it| it.id.get()) else {
                continue;
            };
            if self
                .slots
                .get(id)
                .is_some_and(|slot| dropping.may_drop(id, slot))
            {
                duplicates.entry(id).or_insert(view.payload_len() as u64);
            }
        }
        duplicates
    }

    /// Drops some items for memory that is wanted; `false` where no more may go, or where it would be for nothing.
    pub(crate) fn drop_some(
        &mut self,
        dropping: &mut Option<Dropping>,
        growth: u64,
        now: Timestamp,
    ) -> bool {
        if self.budget.policy == Overflow::Reject {
            return false;
        }
        let dropping = dropping.get_or_insert_with(|| Dropping::at(self, now));
        let block = self.budget.block_bytes_max().min(BLOCK_BYTES_MAX);
        let left = self.log.lent_bytes().saturating_sub(dropping.lent);
        let came_back = dropping.charged.saturating_sub(self.charged);
        let is_vain = left > BLOCKS_LEFT_TO_READERS_MAX * block && left > came_back;
        if is_vain || self.is_hopeless(dropping, growth) {
            return false;
        }
        let wanted = self.budget.taken().saturating_add(growth);
        let missing = wanted.saturating_sub(self.budget.soft_limit());
        let (mut items, mut bytes) = (0, 0);
        while bytes < missing || items < DROPPED_AT_A_TIME && bytes < block {
            let Some((_, slot)) = dropping.drop_next(self) else {
                break;
            };
            items += 1;
            bytes += slot.len() as u64 + PROMISE_BYTES;
        }
        items > 0
    }

    /// Whether memory for that growth would be missing even if everything went that the policy drops. What readers hold does
    /// not come back with the items.
    fn is_hopeless(&self, dropping: &Dropping, growth: u64) -> bool {
        if self.budget.limit().is_none() {
            return false;
        }
        let droppable = dropping.droppable(self);
        let kept = self.sums.bytes() - droppable.bytes
            + ITEM_BYTES_MIN * (self.sums.items() - droppable.items)
            + self.own_bytes()
            + self.log.lent_bytes();
        let comes_back = self.charged.saturating_sub(kept);
        let stays = self.budget.taken().saturating_sub(comes_back);
        stays.saturating_add(growth) > self.budget.soft_limit()
    }
}
