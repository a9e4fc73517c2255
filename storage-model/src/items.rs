//! Items come and go (clauses ITEM-1 to ITEM-6, LIMIT-2 and LIST-4).

use bytes::Bytes;
use storage_api::{
    Cleared, Count, DeleteOutcome, Duplicate, Error, ErrorKind, ItemEntry, ItemId, ItemIds,
    ItemState, Operation, PartitionId, Position, Produced, Result, SealedBatch, State, States,
};

use crate::model::{GoneKey, Model, NUMBERS_LEFT, Partition};

impl Model {
    /// Stores a batch whole or not at all (clause ITEM-1).
    pub fn produce(&mut self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let partition = self.find_mut(Operation::Produce, partition)?;
        // BATCH-2: an empty batch is legal in every mode.
        if !batch.is_empty() {
            partition.check_produces(Operation::Produce)?;
        }
        partition.produce(Operation::Produce, &batch)
    }

    /// Removes items by id, whatever their state (clause LIST-4).
    pub fn delete_items(
        &mut self,
        partition: &PartitionId,
        ids: ItemIds,
    ) -> Result<Vec<DeleteOutcome>> {
        let partition = self.find_mut(Operation::DeleteItems, partition)?;
        // BATCH-1
        let outcomes = ids.into_iter().map(|id| partition.delete(id));
        Ok(outcomes.collect())
    }

    /// Removes up to `items_max` items of those states, by id (clause LIST-4).
    pub fn clear(
        &mut self,
        partition: &PartitionId,
        states: States,
        items_max: Count,
    ) -> Result<Cleared> {
        let partition = self.find_mut(Operation::Clear, partition)?;
        let ids: Vec<_> = partition
            .items
            .iter()
            .filter(|item| states.contains(item.state()))
            .map(|item| item.id)
            .collect();
        for id in ids.iter().take(items_max.get()) {
            partition.delete(*id);
        }
        Ok(Cleared {
            removed: ids.len().min(items_max.get()),
            more: ids.len() > items_max.get(),
        })
    }
}

impl Partition {
    pub(crate) fn produce(
        &mut self,
        operation: Operation,
        batch: &SealedBatch,
    ) -> Result<Produced> {
        let mut new: Vec<ItemEntry> = Vec::new();
        let mut duplicates = Vec::new();
        // Counted here and kept at the end: a refused batch takes no number.
        let (mut last_id, mut last_position) = (self.last_id, self.last_position);
        for index in 0..batch.len() {
            let record = batch.shared_record(index);
            let key = record.view().dedup_key();
            // ITEM-4: taken by an item that is there, by one that has gone, or by an earlier one of the batch.
            if let Some((of, state)) = key.and_then(|key| {
                self.owner(key)
                    .or_else(|| living_owner(&new, key).map(|(of, state)| (of, Some(state))))
            }) {
                duplicates.push(Duplicate { index, of, state });
                continue;
            }
            // ITEM-2: consecutive for what is stored; a duplicate takes none.
            last_id += 1;
            let state = match record.view().enqueue_at() {
                // ITEM-3
                Some(enqueue_at) if enqueue_at > batch.now() => ItemState::Scheduled { enqueue_at },
                _ => {
                    // ORDER-1: at the tail, in batch order.
                    last_position += 1;
                    let position = Position::new(last_position).expect(NUMBERS_LEFT);
                    ItemState::Ready { position }
                }
            };
            // ITEM-5, ITEM-6: the record as it is (it carries `created_at`), and no attempts.
            let id = ItemId::new(last_id).expect(NUMBERS_LEFT);
            new.push(ItemEntry::new(id, record, state));
        }
        // ITEM-1: the whole batch or nothing.
        self.check_room(operation, &new)?;

        let first = new.first().map(|item| item.id);
        self.items.append(&mut new);
        (self.last_id, self.last_position) = (last_id, last_position);
        Ok(Produced::new(first, batch.len(), duplicates))
    }

    /// LIMIT-2: items of every state count, dead ones too; nothing new always fits.
    pub(crate) fn check_room(&self, operation: Operation, new: &[ItemEntry]) -> Result<()> {
        if new.is_empty() {
            return Ok(());
        }
        let (items_max, bytes_max) = (self.info.config.items_max(), self.info.config.bytes_max());
        let items = (self.items.len() + new.len()) as u64;
        let bytes = payload_bytes(&self.items) + payload_bytes(new);
        let full = |what, max, would_be| {
            let reason = format!(
                "it would hold {would_be} {what} and may hold {max}; complete or delete items, or raise the limit"
            );
            let kind = ErrorKind::CapacityExceeded;
            Err(Error::new(kind, operation, &self.info.id, reason))
        };
        if items_max != 0 && items > items_max {
            return full("items", items_max, items);
        }
        if bytes_max != 0 && bytes > bytes_max {
            return full("payload bytes", bytes_max, bytes);
        }
        Ok(())
    }

    /// The item that a dedup key belongs to, and its state if it has not gone (clause ITEM-4).
    pub(crate) fn owner(&self, key: &[u8]) -> Option<(ItemId, Option<State>)> {
        let living = living_owner(&self.items, key).map(|(of, state)| (of, Some(state)));
        let mut gone = self.gone_keys.iter();
        living.or_else(|| {
            gone.find(|gone| gone.key == key)
                .map(|gone| (gone.of, None))
        })
    }

    pub(crate) fn index_of(&self, id: ItemId) -> Option<usize> {
        self.items.iter().position(|item| item.id == id)
    }

    /// Removes an item that is done or dropped: its key stays for `dedup_for` after `created_at` (clause ITEM-4).
    ///
    /// The time in force now is what counts, even if it is over already: only maintain frees the key.
    pub(crate) fn depart(&mut self, index: usize) {
        let item = self.items.remove(index);
        let view = item.record.view();
        let dedup_for = self.info.config.dedup_for();
        if let Some(key) = view.dedup_key()
            && !dedup_for.is_zero()
        {
            self.gone_keys.push(GoneKey {
                key: Bytes::copy_from_slice(key),
                of: item.id,
                due_at: view.created_at().saturating_add(dedup_for),
            });
        }
    }

    /// Removes an item on request: its key is free at once (clauses LIST-4 and ITEM-4).
    pub(crate) fn delete(&mut self, id: ItemId) -> DeleteOutcome {
        match self.index_of(id) {
            Some(index) => {
                self.items.remove(index);
                DeleteOutcome::Deleted
            }
            None => DeleteOutcome::NotFound,
        }
    }
}

fn living_owner(items: &[ItemEntry], key: &[u8]) -> Option<(ItemId, State)> {
    let mut items = items.iter();
    let owner = items.find(|item| item.record.view().dedup_key() == Some(key))?;
    Some((owner.id, owner.state()))
}

fn payload_bytes(items: &[ItemEntry]) -> u64 {
    let lens = items.iter().map(|item| item.record.view().payload_len());
    lens.sum::<usize>() as u64
}
