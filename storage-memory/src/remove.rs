//! Delete and clear: items go whatever their state, their dedup keys with them (clause LIST-4).

use storage_api::{Cleared, Count, DeleteOutcome, ItemId, ItemIds, States};

use crate::partition::Partition;

impl Partition {
    pub(crate) fn delete_items(&mut self, ids: &ItemIds) -> Vec<DeleteOutcome> {
        let delete = |id: ItemId| match self.remove(id.get()) {
            true => DeleteOutcome::Deleted,
            false => DeleteOutcome::NotFound,
        };
        ids.iter().copied().map(delete).collect()
    }

    pub(crate) fn clear(&mut self, states: States, items_max: Count) -> Cleared {
        let mut removed = 0;
        let mut next = self.slots.first_id(states, 0);
        while let Some(id) = next.filter(|_| removed < items_max.get()) {
            self.remove(id);
            removed += 1;
            next = self.slots.first_id(states, id);
        }
        Cleared {
            removed,
            more: next.is_some(),
        }
    }
}
