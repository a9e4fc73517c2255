//! Produce: items come in, whole batches or none (clauses ITEM-1 to ITEM-6).

use storage_api::{
    Duplicate, ItemEntry, ItemId, ItemState, Mode, Operation, Produced, Result, SealedBatch,
};

use crate::capacity::Forecast;
use crate::partition::Partition;

/// The modes in which nothing is produced.
pub(crate) const CLOSED_TO_PRODUCE: [Mode; 2] = [Mode::Draining, Mode::Frozen];

impl Partition {
    pub(crate) fn produce(&mut self, batch: &SealedBatch) -> Result<Produced> {
        if batch.is_empty() {
            return Ok(Produced::default());
        }
        self.refuse_in(Operation::Produce, &CLOSED_TO_PRODUCE)?;
        Forecast::of(self).produce(Operation::Produce, batch)?;
        Ok(self.store(batch))
    }

    /// Stores a batch for which there is room.
    pub(crate) fn store(&mut self, batch: &SealedBatch) -> Produced {
        let mut first = None;
        let mut duplicates = Vec::new();
        for (index, view) in batch.records().enumerate() {
            let owner = view.dedup_key().and_then(|key| self.keys.owner(key));
            if let Some(owner) = owner {
                let of = owner.id;
                let living = self.items.get(&of).filter(|_| !owner.has_gone);
                let state = living.map(ItemEntry::state);
                duplicates.push(Duplicate { index, of, state });
                continue;
            }
            let id = self.give_id();
            first = first.or(Some(id));
            let state = match view.enqueue_at() {
                Some(enqueue_at) if enqueue_at > batch.now() => ItemState::Scheduled { enqueue_at },
                _ => ItemState::Ready {
                    position: self.give_position(),
                },
            };
            // In a buffer of its own, a record that stays does not keep 32 MiB of its former neighbours.
            let record = match batch.len() {
                1 => batch.shared_record(index),
                _ => batch.shared_record(index).detached(),
            };
            self.insert(ItemEntry::new(id, record, state));
        }
        Produced::new(first, batch.len(), duplicates)
    }

    fn give_id(&mut self) -> ItemId {
        ItemId::new(self.ids.give()).expect("ids are reserved before they are given")
    }
}
