//! Produce: items come in, whole batches or none (clauses ITEM-1 to ITEM-6).

use storage_api::{Duplicate, Mode, Operation, Produced, Result, SealedBatch, State};

use crate::capacity::Forecast;
use crate::demand::Demand;
use crate::partition::{Partition, Tally, typed};
use crate::ready::Ready;
use crate::slot::Slot;

/// Items of a batch that come to the tail of one priority, one right behind the other.
#[derive(Debug, Default)]
struct Run {
    priority: u8,
    position: u64,
    id: u64,
    len: u64,
}

impl Run {
    /// A run that begins with an item, which is still to be counted.
    fn of(slot: &Slot, id: u64) -> Self {
        Self {
            priority: slot.priority(),
            position: slot.position(),
            id,
            len: 0,
        }
    }

    fn is_followed_by(&self, slot: &Slot, id: u64) -> bool {
        (self.priority, self.position + self.len, self.id + self.len)
            == (slot.priority(), slot.position(), id)
    }

    fn queue(&self, ready: &mut Ready) {
        if self.len > 0 {
            ready.push(self.priority, (self.position, self.id), self.len);
        }
    }
}

/// The modes in which nothing is produced.
pub(crate) const CLOSED_TO_PRODUCE: [Mode; 2] = [Mode::Draining, Mode::Frozen];

impl Partition {
    pub(crate) fn produce(&mut self, batch: &SealedBatch) -> Result<Produced> {
        if batch.is_empty() {
            return Ok(Produced::default());
        }
        self.refuse_in(Operation::Produce, &CLOSED_TO_PRODUCE)?;
        self.make_room(batch)?;
        let demand = |partition: &Self| Demand::of_batch(partition, batch);
        self.reserve(Operation::Produce, demand, Some(batch.now()))?;
        let produced = self.store(batch);
        self.assert_reserved();
        Ok(produced)
    }

    /// Makes sure that the limits of the partition hold, by dropping other items where that was asked for.
    fn make_room(&mut self, batch: &SealedBatch) -> Result<()> {
        loop {
            let mut forecast = Forecast::of(self);
            let Err(error) = forecast.produce(Operation::Produce, batch) else {
                return Ok(());
            };
            let Some(items) = forecast.droppable_shortage() else {
                return Err(error);
            };
            let budget = self.budget.clone();
            if !self.drop_some(&budget, batch.now(), items) {
                return Err(error);
            }
        }
    }

    /// Stores a batch for which there is room.
    pub(crate) fn store(&mut self, batch: &SealedBatch) -> Produced {
        let mut first = None;
        let mut duplicates = Vec::new();
        let now = batch.now();
        let mut tally = Tally::default();
        let mut run = Run::default();
        for (index, view) in batch.records().enumerate() {
            let key = view.dedup_key();
            if let Some(owner) = key.and_then(|key| self.keys.owner(key)) {
                let of = owner.id;
                let slot = self.slots.get(of.get()).filter(|_| !owner.has_gone);
                let state = slot.map(Slot::state);
                duplicates.push(Duplicate { index, of, state });
                continue;
            }
            let id = self.ids.give();
            first = first.or(Some(typed(id)));
            let place = self.log.append(id, view.as_bytes(), now);
            let mut slot = Slot::new(view, place);
            match view.enqueue_at() {
                Some(enqueue_at) if enqueue_at > now => slot.set_scheduled(enqueue_at),
                _ => slot.set_ready(self.positions.give()),
            }
            if let Some(key) = key {
                self.keys.take(key, typed(id));
            }
            // Most items are ready and do not expire: they are queued and counted together.
            if slot.state() == State::Ready && !slot.expires() {
                if !run.is_followed_by(&slot, id) {
                    run.queue(&mut self.ready);
                    run = Run::of(&slot, id);
                }
                run.len += 1;
                tally.add(&slot, now, None);
            } else {
                run.queue(&mut self.ready);
                run = Run::default();
                self.link(id, &slot);
            }
            self.slots.insert(id, slot);
        }
        run.queue(&mut self.ready);
        self.arrivals += tally.items;
        self.count(State::Ready, &tally, true);
        Produced::new(first, batch.len(), duplicates)
    }
}
