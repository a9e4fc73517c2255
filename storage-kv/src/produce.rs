//! Produce and restore: items come in, whole batches or none (clauses ITEM-1 to ITEM-6, MOVE-1 and MOVE-2).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use storage_api::{
    Duplicate, ErrorKind, Floors, ItemEntry, ItemId, ItemState, Produced, RestoreBatch, SealedBatch,
};

use crate::counters::Pair;
use crate::engine::{KvResult, OrderedKv};
use crate::item::{Head, Item};
use crate::keys;
use crate::keyspace::Keyspace;
use crate::numbers::NumberFloors;
use crate::partition::{CLOSED_TO_PRODUCE, check_mode};
use crate::work::{Owner, Stop, Work};

impl<E: OrderedKv> Work<'_, E> {
    pub(crate) fn produce(&mut self, batch: &SealedBatch) -> Result<Produced, Stop> {
        if batch.is_empty() {
            return Ok(Produced::default());
        }
        let (id, config) = (&self.info.id, &self.info.config);
        check_mode(self.operation, id, config, CLOSED_TO_PRODUCE)?;
        self.reserve(batch.len(), batch.len())?;
        self.store_batch(batch)
    }

    /// Stores a batch for which there are numbers.
    pub(crate) fn store_batch(&mut self, batch: &SealedBatch) -> Result<Produced, Stop> {
        let mut first = None;
        let mut duplicates = Vec::new();
        let bytes = batch.records().map(|record| record.as_bytes().len()).sum();
        self.expect_rows([Keyspace::Bodies, Keyspace::Ready], batch.len(), bytes);
        for (index, record) in batch.records().enumerate() {
            if let Some(key) = record.dedup_key()
                && let Some(owner) = self.owner(key)?
            {
                duplicates.push(self.duplicate(index, owner)?);
                continue;
            }
            let id = self.give_id();
            first = first.or(Some(id));
            let state = match record.enqueue_at() {
                Some(enqueue_at) if enqueue_at > batch.now() => ItemState::Scheduled { enqueue_at },
                _ => ItemState::Ready {
                    position: self.give_position(),
                },
            };
            let item = Item::fresh(Head::of(record), state);
            if let Some(key) = record.dedup_key() {
                let owner = Owner {
                    id,
                    lingers_until: None,
                };
                self.set_owner(key.to_vec(), Some(owner));
                self.bear(id, &item);
            }
            self.insert(id, &item, record.as_bytes());
            self.counters.extend_run(id, &item);
        }
        if first.is_some() {
            self.check_room()?;
        }
        let first = first.map(item_id);
        Ok(Produced::new(first, batch.len(), duplicates))
    }

    fn duplicate(&mut self, index: usize, owner: Owner) -> KvResult<Duplicate> {
        let state = match (owner.lingers_until, self.state_of_new(owner.id)) {
            (Some(_), _) => None,
            // Of this very batch: it is not in the engine yet.
            (None, Some(state)) => Some(state),
            (None, None) => {
                self.fetch([owner.id])?;
                Some(self.indexed(owner.id)?.state())
            }
        };
        Ok(Duplicate {
            index,
            of: item_id(owner.id),
            state,
        })
    }

    /// Stores whole items, all or none.
    pub(crate) fn restore(&mut self, batch: &RestoreBatch, floors: &Floors) -> Result<(), Stop> {
        self.check_free(batch)?;
        // Numbers that somebody will see are covered before anybody does (clauses ITEM-2 and MOVE-2).
        let mut last = Pair {
            id: floors.id().map_or(0, u64::from),
            position: floors.position().map_or(0, u64::from),
        };
        let mut numbers = NumberFloors {
            lease: floors.lease().map_or(0, u64::from),
            version: floors.version().map_or(0, u64::from),
        };
        for entry in batch.iter() {
            last = last.raised(Pair {
                id: entry.id.get(),
                position: entry.state.position().map_or(0, u64::from),
            });
            if let ItemState::Leased { lease, .. } = entry.state {
                numbers.lease = numbers.lease.max(lease.get());
            }
        }
        self.cover(last)?;
        self.numbers.cover(self.store, numbers)?;
        self.raise_numbers(numbers);
        self.counters.next = self.counters.next.raised(Pair {
            id: last.id + 1,
            position: last.position + 1,
        });

        for entry in batch.iter() {
            let id = entry.id.get();
            let view = entry.record.view();
            self.counters.first_id = self.counters.first_id.min(id);
            if let Some(key) = view.dedup_key() {
                let owner = Owner {
                    id,
                    lingers_until: None,
                };
                self.set_owner(key.to_vec(), Some(owner));
            }
            self.insert(id, &Item::restored(entry), view.as_bytes());
        }
        if !batch.is_empty() {
            self.check_room()?;
        }
        Ok(())
    }

    /// Refuses the first item whose id, position or dedup key is taken, here or earlier in the batch (clause MOVE-1).
    fn check_free(&mut self, batch: &[ItemEntry]) -> Result<(), Stop> {
        let leased = self.leased_places(batch)?;
        let mut ids = BTreeSet::new();
        let mut places = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for entry in batch {
            let id = entry.id.get();
            let view = entry.record.view();
            let taken = |what: &str| {
                let reason =
                    format!("its {what} is taken; delete what has it, or leave the item out");
                self.refused_item(ErrorKind::AlreadyExists, entry.id, reason)
            };
            if !ids.insert(id) || self.is_there(id)? {
                return Err(taken("id"));
            }
            if let Some(position) = entry.state.position() {
                let place = (view.priority(), position.get());
                if !places.insert(place) || leased.contains(&place) || self.is_ready_at(place)? {
                    return Err(taken("position"));
                }
            }
            if let Some(key) = view.dedup_key()
                && (!keys.insert(key) || self.has_owner(key)?)
            {
                return Err(taken("dedup key"));
            }
        }
        Ok(())
    }

    fn is_there(&self, id: u64) -> KvResult<bool> {
        // Larger ones were never given.
        if id >= self.counters.next.id {
            return Ok(false);
        }
        let key = keys::item(self.part(), id);
        Ok(self.store.get(Keyspace::Bodies, &key)?.is_some())
    }

    fn is_ready_at(&self, (priority, position): (u8, u64)) -> KvResult<bool> {
        if position >= self.counters.next.position {
            return Ok(false);
        }
        let key = keys::ready(self.part(), priority, position);
        Ok(self.store.get(Keyspace::Ready, &key)?.is_some())
    }

    fn has_owner(&self, key: &[u8]) -> KvResult<bool> {
        let key = keys::dedup(self.part(), key);
        Ok(self.store.get(Keyspace::Dedup, &key)?.is_some())
    }

    /// The places that leased items keep, if the batch has one that could be among them.
    ///
    /// No index knows them, as nothing else asks: this walks over what has changed since it was produced.
    fn leased_places(&self, batch: &[ItemEntry]) -> KvResult<BTreeSet<(u8, u64)>> {
        let next = self.counters.next.position;
        let positions = batch.iter().filter_map(|entry| entry.state.position());
        let could_be_taken = positions.into_iter().any(|position| position.get() < next);
        let mut places = BTreeSet::new();
        if !could_be_taken || self.counters.stats().leased.items == 0 {
            return Ok(places);
        }
        let prefix = keys::prefix(self.part());
        self.store
            .scan_prefix(Keyspace::States, &prefix, |key, row| {
                let item = self.decode_state(self.id_of(Keyspace::States, key)?, row)?;
                if let ItemState::Leased { position, .. } = item.state {
                    places.insert((item.head.priority, position.get()));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        Ok(places)
    }
}

/// An id that was given.
pub(crate) fn item_id(id: u64) -> ItemId {
    ItemId::new(id).expect("only numbers within the limit are given")
}
