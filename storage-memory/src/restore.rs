//! Restore: whole items come back as they were, all or none (clauses MOVE-1 and MOVE-2).

use std::collections::BTreeSet;

use storage_api::{
    Error, ErrorKind, Floors, ItemEntry, ItemState, Object, Operation, RestoreBatch, Result, State,
};

use crate::capacity::Forecast;
use crate::demand::Demand;
use crate::leases::Members;
use crate::numbers::Counter;
use crate::partition::Partition;
use crate::slot::Slot;

impl Partition {
    pub(crate) fn restore(
        &mut self,
        batch: RestoreBatch,
        floors: &Floors,
        leases: &Counter,
        versions: &Counter,
    ) -> Result<()> {
        self.expect_free(&batch)?;
        Forecast::of(self)
            .restore(Operation::Restore, &batch)
            .map_err(|full| full.refuse(&self.budget))?;
        self.reserve(Operation::Restore, |_| Demand::of_entries(&batch), None)?;

        for entry in batch.into_vec() {
            self.ids.raise(entry.id.get());
            if let Some(position) = entry.state.position() {
                self.positions.raise(position.get());
            }
            if let ItemState::Leased { lease, .. } = entry.state {
                leases.raise(lease.get());
            }
            self.restore_one(entry);
        }
        self.assert_reserved();
        self.ids.raise(floors.id().map_or(0, u64::from));
        self.positions.raise(floors.position().map_or(0, u64::from));
        leases.raise(floors.lease().map_or(0, u64::from));
        versions.raise(floors.version().map_or(0, u64::from));
        Ok(())
    }

    fn restore_one(&mut self, entry: ItemEntry) {
        let (id, view) = (entry.id.get(), entry.record.view());
        let place = self.log.append(id, view.as_bytes(), view.created_at());
        let mut slot = Slot::new(view, place);
        slot.set_attempts(entry.attempts);
        if entry.is_revived {
            slot.set_revived();
        }
        match entry.state {
            ItemState::Ready { position } => slot.set_ready(position.get()),
            ItemState::Scheduled { enqueue_at } => slot.set_scheduled(enqueue_at),
            ItemState::Leased {
                position,
                lease,
                deadline,
                holder,
            } => {
                let members = Members::new(&[(id, lease.get())]);
                let grant = self.leases.grant(deadline, holder, members);
                slot.set_ready(position.get());
                slot.set_leased(grant, 0);
            }
            ItemState::Dead { reason, died_at } => slot.set_dead(reason, died_at),
        }
        self.insert(id, slot, entry.note);
    }

    /// The positions, by priority, that leased items will get back, among those of the batch.
    fn held_positions(&self, batch: &[ItemEntry]) -> BTreeSet<(u8, u64)> {
        // Only what is not above every position given so far can be taken.
        let last = self.positions.last();
        let mut asked = batch.iter().filter_map(|entry| entry.state.position());
        if self.sums.leased.items == 0 || !asked.any(|position| position.get() <= last) {
            return BTreeSet::new();
        }
        let grants = self.leases.iter();
        let items = grants.flat_map(|(number, grant)| {
            grant.items().filter_map(move |(id, index)| {
                let slot = self.slots.get(id)?;
                slot.is_leased_as(number, index)
                    .then(|| (slot.priority(), slot.position()))
            })
        });
        items.collect()
    }

    /// Whether a ready item stands at a position.
    fn is_ready_position(&self, priority: u8, position: u64) -> bool {
        let ids = self.ready.at(priority, position);
        ids.into_iter().flatten().any(|id| {
            let slot = self.slots.get(id);
            slot.is_some_and(|slot| slot.is_ready_at(position) && slot.state() == State::Ready)
        })
    }

    /// Refuses the first item whose id, position or dedup key is taken, in the partition or earlier in the batch.
    fn expect_free(&self, batch: &[ItemEntry]) -> Result<()> {
        let mut ids = BTreeSet::new();
        let mut positions = BTreeSet::new();
        let mut keys = BTreeSet::new();
        let held = self.held_positions(batch);
        for entry in batch {
            let view = entry.record.view();
            if self.slots.get(entry.id.get()).is_some() || !ids.insert(entry.id) {
                return Err(self.taken(entry, "an item has this id"));
            }
            if let Some(position) = entry.state.position() {
                let place = (view.priority(), position.get());
                let is_taken = held.contains(&place) || self.is_ready_position(place.0, place.1);
                if is_taken || !positions.insert(place) {
                    return Err(self.taken(
                        entry,
                        &format!("position {position} of priority {} is taken", place.0),
                    ));
                }
            }
            if let Some(key) = view.dedup_key() {
                let owner = self.keys.owner(key);
                if owner.is_some() || !keys.insert(key) {
                    return Err(self.taken(entry, "its dedup key is taken"));
                }
            }
        }
        Ok(())
    }

    fn taken(&self, entry: &ItemEntry, reason: &str) -> Error {
        Error::new(
            ErrorKind::AlreadyExists,
            Operation::Restore,
            Object::Item(self.info.id.clone(), entry.id),
            format!("{reason}; nothing was restored"),
        )
    }
}
