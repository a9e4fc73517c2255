//! Whole items put back (clauses MOVE-1 and MOVE-2).

use storage_api::{
    Error, ErrorKind, Floors, ItemEntry, ItemId, ItemState, LeaseId, Object, Operation,
    PartitionId, Position, RestoreBatch, Result, Version,
};

use crate::model::{Model, Partition};
use crate::partitions::place;

impl Model {
    /// Stores whole items, all or none (clause MOVE-1).
    pub fn restore(
        &mut self,
        partition: &PartitionId,
        items: RestoreBatch,
        floors: Floors,
    ) -> Result<()> {
        let partition = self.find_mut(Operation::Restore, partition)?;
        for (index, item) in items.iter().enumerate() {
            partition.check_free(item, &items[..index])?;
        }
        partition.check_room(Operation::Restore, &items)?;

        // MOVE-2: above everything restored, and above the floors.
        let mut last_lease = floors.lease().map_or(0, LeaseId::get);
        let last_version = floors.version().map_or(0, Version::get);
        let id_floor = floors.id().map_or(0, ItemId::get);
        let position_floor = floors.position().map_or(0, Position::get);
        partition.last_id = partition.last_id.max(id_floor);
        partition.last_position = partition.last_position.max(position_floor);
        for item in items.into_vec() {
            partition.last_id = partition.last_id.max(item.id.get());
            let position = item.state.position().map_or(0, Position::get);
            partition.last_position = partition.last_position.max(position);
            if let ItemState::Leased { lease, .. } = item.state {
                last_lease = last_lease.max(lease.get());
            }
            partition.items.push(item);
        }
        partition.items.sort_by_key(|item| item.id);
        let contents = &mut self.contents;
        contents.last_lease = contents.last_lease.max(last_lease);
        contents.last_version = contents.last_version.max(last_version);
        Ok(())
    }
}

impl Partition {
    /// MOVE-1: id, position and dedup key are free, here and among those restored before it.
    fn check_free(&self, item: &ItemEntry, before: &[ItemEntry]) -> Result<()> {
        let taken = |what| {
            let object = Object::Item(self.info.id.clone(), item.id);
            let reason = format!("its {what} is taken; delete what has it, or leave the item out");
            let kind = ErrorKind::AlreadyExists;
            Err(Error::new(kind, Operation::Restore, object, reason))
        };
        let mut others = self.items.iter().chain(before);
        if others.clone().any(|other| other.id == item.id) {
            return taken("id");
        }
        // Ready and leased items have a position, and no two of one priority have the same.
        let own_place = item.state.position().map(|position| place(item, position));
        let place_of = |other: &ItemEntry| other.state.position().map(|at| place(other, at));
        if own_place.is_some() && others.clone().any(|other| place_of(other) == own_place) {
            return taken("position");
        }
        let own_key = item.record.view().dedup_key();
        let is_gone_key = |key: &[u8]| self.gone_keys.iter().any(|gone| gone.key == key);
        if own_key.is_some_and(is_gone_key)
            || own_key.is_some() && others.any(|other| other.record.view().dedup_key() == own_key)
        {
            return taken("dedup key");
        }
        Ok(())
    }
}
