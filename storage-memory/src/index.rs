//! In which orders items are found, and what is kept about them.

use std::collections::{BTreeMap, BTreeSet};

use storage_api::{
    Holder, ItemEntry, ItemId, ItemState, PartitionStats, Position, State, States, Timestamp,
};

use crate::number_set::NumberSet;

/// Items of one state in the order of their due times.
pub(crate) type DueOrder = BTreeSet<(Timestamp, ItemId)>;

/// Every order and every sum that an operation needs, kept with each change so that nothing is searched or counted.
///
/// An item is in exactly the parts that its entry says; [`insert`](Self::insert) and [`remove`](Self::remove) are the
/// only ways in and out, and must see the same entry.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Ready items in lease order (clause LEASE-1).
    ready: BTreeMap<(u8, Position), ItemId>,
    /// The positions, by priority, that leased items will get back, so that restore gives them to no other.
    held: BTreeMap<u8, NumberSet>,
    /// The items of each state by id.
    ids: [NumberSet; 4],
    /// The items of each state that have a due time; never a dead one.
    due: [DueOrder; 4],
    /// The leases of each holder.
    holders: BTreeMap<Holder, NumberSet>,
    stats: PartitionStats,
    /// Bytes of records and notes.
    bytes: u64,
    /// How often an item became ready.
    arrivals: u64,
}

impl Index {
    /// Takes an item in, as its entry says.
    pub(crate) fn insert(&mut self, entry: &ItemEntry) {
        let view = entry.record.view();
        let due_at = entry.due_at();
        let state = entry.state();

        self.ids[state as usize].insert(entry.id.get());
        if let Some(due_at) = due_at {
            self.due[state as usize].insert((due_at, entry.id));
        }
        match entry.state {
            ItemState::Ready { position } => {
                self.ready.insert((view.priority(), position), entry.id);
                self.arrivals += 1;
            }
            ItemState::Leased {
                position, holder, ..
            } => {
                let held = self.held.entry(view.priority()).or_default();
                held.insert(position.get());
                if let Some(holder) = holder {
                    let leases = self.holders.entry(holder).or_default();
                    leases.insert(entry.id.get());
                }
            }
            ItemState::Scheduled { .. } | ItemState::Dead { .. } => {}
        }

        self.bytes += bytes_of(entry);
        let stats = self.stats.state_mut(state);
        stats.items += 1;
        stats.bytes += view.payload_len() as u64;
        stats.created_at_sum += i128::from(view.created_at().as_micros());
        stats.due_at_sum += due_at.map_or(0, |at| i128::from(at.as_micros()));
    }

    /// Takes an item out that was taken in with this entry.
    pub(crate) fn remove(&mut self, entry: &ItemEntry) {
        let view = entry.record.view();
        let due_at = entry.due_at();
        let state = entry.state();

        self.ids[state as usize].remove(entry.id.get());
        if let Some(due_at) = due_at {
            self.due[state as usize].remove(&(due_at, entry.id));
        }
        match entry.state {
            ItemState::Ready { position } => {
                self.ready.remove(&(view.priority(), position));
            }
            ItemState::Leased {
                position, holder, ..
            } => {
                remove_from(&mut self.held, &view.priority(), position.get());
                if let Some(holder) = holder {
                    remove_from(&mut self.holders, &holder, entry.id.get());
                }
            }
            ItemState::Scheduled { .. } | ItemState::Dead { .. } => {}
        }

        self.bytes -= bytes_of(entry);
        let stats = self.stats.state_mut(state);
        stats.items -= 1;
        stats.bytes -= view.payload_len() as u64;
        stats.created_at_sum -= i128::from(view.created_at().as_micros());
        stats.due_at_sum -= due_at.map_or(0, |at| i128::from(at.as_micros()));
    }

    /// Ready items in lease order.
    pub(crate) fn ready(&self) -> &BTreeMap<(u8, Position), ItemId> {
        &self.ready
    }

    /// The items of a state that have a due time, in the order of (due time, id).
    pub(crate) fn due(&self, state: State) -> &DueOrder {
        &self.due[state as usize]
    }

    /// The earliest due time of an item of any state.
    pub(crate) fn first_due(&self) -> Option<Timestamp> {
        let firsts = self.due.iter().filter_map(DueOrder::first);
        firsts.map(|(at, _)| *at).min()
    }

    /// The first item of those states whose id is at least `from`.
    pub(crate) fn first_id(&self, states: States, from: u64) -> Option<ItemId> {
        let first = states
            .iter()
            .filter_map(|state| self.ids[state as usize].first_from(from))
            .min()?;
        ItemId::new(first).ok()
    }

    /// The first item that a holder has leased.
    pub(crate) fn first_of_holder(&self, holder: Holder) -> Option<ItemId> {
        let first = self.holders.get(&holder)?.first_from(0)?;
        ItemId::new(first).ok()
    }

    /// Whether a ready item stands at a position, or a leased one will return to it.
    pub(crate) fn is_position_taken(&self, priority: u8, position: Position) -> bool {
        self.ready.contains_key(&(priority, position))
            || self
                .held
                .get(&priority)
                .is_some_and(|held| held.contains(position.get()))
    }

    /// The sums by state; the times of the first items are left open.
    pub(crate) fn sums(&self) -> &PartitionStats {
        &self.stats
    }

    /// Bytes of records and notes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How often an item became ready.
    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals
    }
}

fn bytes_of(entry: &ItemEntry) -> u64 {
    let note = entry.note.as_ref().map_or(0, |note| note.as_str().len());
    (entry.record.view().as_bytes().len() + note) as u64
}

fn remove_from<K: Ord>(sets: &mut BTreeMap<K, NumberSet>, key: &K, number: u64) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(number);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

#[cfg(test)]
impl Index {
    /// Fails unless this is the index of exactly those items.
    pub(crate) fn assert_is_of<'a>(&self, entries: impl IntoIterator<Item = &'a ItemEntry>) {
        let mut anew = Self::default();
        for entry in entries {
            anew.insert(entry);
        }
        assert_eq!(self.ready, anew.ready, "ready order");
        assert_eq!(self.held, anew.held, "held positions");
        assert_eq!(self.ids, anew.ids, "ids by state");
        assert_eq!(self.due, anew.due, "due orders");
        assert_eq!(self.holders, anew.holders, "holders");
        assert_eq!(self.stats, anew.stats, "sums");
        assert_eq!(self.bytes, anew.bytes, "bytes");
    }
}
