//! Restore: whole items come back as they were, all or none (clauses MOVE-1 and MOVE-2).

use std::collections::BTreeSet;

use storage_api::{
    Error, ErrorKind, Floors, ItemEntry, ItemState, Object, Operation, RestoreBatch, Result,
};

use crate::capacity::Forecast;
use crate::numbers::Counter;
use crate::partition::Partition;

impl Partition {
    pub(crate) fn restore(
        &mut self,
        batch: RestoreBatch,
        floors: &Floors,
        leases: &Counter,
        versions: &Counter,
    ) -> Result<()> {
        self.expect_free(&batch)?;
        Forecast::of(self).restore(Operation::Restore, &batch)?;

        for mut entry in batch.into_vec() {
            self.ids.raise(entry.id.get());
            if let Some(position) = entry.state.position() {
                self.positions.raise(position.get());
            }
            if let ItemState::Leased { lease, .. } = entry.state {
                leases.raise(lease.get());
            }
            entry.record = entry.record.detached();
            self.insert(entry);
        }
        self.ids.raise(floors.id().map_or(0, u64::from));
        self.positions.raise(floors.position().map_or(0, u64::from));
        leases.raise(floors.lease().map_or(0, u64::from));
        versions.raise(floors.version().map_or(0, u64::from));
        Ok(())
    }

    /// Refuses the first item whose id, position or dedup key is taken, in the partition or earlier in the batch.
    fn expect_free(&self, batch: &[ItemEntry]) -> Result<()> {
        let mut ids = BTreeSet::new();
        let mut positions = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for entry in batch {
            let view = entry.record.view();
            if self.items.contains_key(&entry.id) || !ids.insert(entry.id) {
                return Err(self.taken(entry, "an item has this id"));
            }
            if let Some(position) = entry.state.position() {
                let place = (view.priority(), position);
                let is_taken = self.index.is_position_taken(place.0, place.1);
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
