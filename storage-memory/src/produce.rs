//! Produce: items come in, whole batches or none (clauses ITEM-1 to ITEM-6).

use storage_api::limits::PRIORITY_DEFAULT;
use storage_api::{
    Duplicate, ItemId, Mode, Operation, Produced, RecordView, Result, SealedBatch, State, Timestamp,
};

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
    /// Items that come behind: they lengthen the run, or it is queued and they begin the next.
    fn follow(&mut self, ready: &mut Ready, next: Self) {
        if (self.priority, self.position + self.len, self.id + self.len)
            == (next.priority, next.position, next.id)
        {
            self.len += next.len;
        } else {
            self.queue(ready);
            *self = next;
        }
    }

    fn queue(&self, ready: &mut Ready) {
        if self.len > 0 {
            ready.push(self.priority, (self.position, self.id), self.len);
        }
    }
}

/// What has become of a batch so far.
#[derive(Debug, Default)]
struct Storing {
    first: Option<ItemId>,
    duplicates: Vec<Duplicate>,
    /// Most items are ready and do not expire: they are queued and counted together.
    run: Run,
    tally: Tally,
}

/// The modes in which nothing is produced.
pub(crate) const CLOSED_TO_PRODUCE: [Mode; 2] = [Mode::Draining, Mode::Frozen];

impl Partition {
    // Into its callers, so that the answer is made where it is returned.
    #[inline(always)]
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

    /// Stores a batch for which there is room.
    #[inline(always)]
    pub(crate) fn store(&mut self, batch: &SealedBatch) -> Produced {
        if batch.len() == 1 {
            let view = batch.record(0);
            if view.is_plain() && !self.log.is_large(view.as_bytes().len()) {
                let id = self.store_single(view, batch.now());
                return Produced::new(Some(typed(id)), 1, Vec::new());
            }
        }
        self.store_many(batch)
    }

    fn store_many(&mut self, batch: &SealedBatch) -> Produced {
        let mut storing = Storing::default();
        let mut index = 0;
        while index < batch.len() {
            let view = batch.record(index);
            if view.is_plain() && !self.log.is_large(view.as_bytes().len()) {
                index += self.store_plain(batch, index, &mut storing);
            } else {
                self.store_one(index, view, batch.now(), &mut storing);
                index += 1;
            }
        }
        storing.run.queue(&mut self.ready);
        self.arrivals += storing.tally.items;
        self.count(State::Ready, &storing.tally, true);
        Produced::new(storing.first, batch.len(), storing.duplicates)
    }

    /// Stores a plain record that is not large and the only one of its batch; answers its id.
    fn store_single(&mut self, view: RecordView<'_>, now: Timestamp) -> u64 {
        let record = view.as_bytes();
        let (place, _) = self.log.open(record.len(), now);
        let (id, position) = (self.ids.give(), self.positions.give());
        self.log.append_run(place, id, 1, record);
        let slot = Slot::plain(view, place, position);
        self.slots.insert(id, slot);
        self.ready.push(PRIORITY_DEFAULT, (position, id), 1);
        self.arrivals += 1;
        let mut tally = Tally::default();
        tally.add(&slot, now, None);
        self.count(State::Ready, &tally, true);
        id
    }

    /// Stores plain records that are not large, from one of the batch on, and answers how many: as many as go to one segment
    /// and one chunk of slots. That is at least one, and mostly all.
    fn store_plain(&mut self, batch: &SealedBatch, from: usize, storing: &mut Storing) -> usize {
        let len = batch.record(from).as_bytes().len();
        let (place, room) = self.log.open(len, batch.now());
        let (id, position) = (self.ids.last() + 1, self.positions.last() + 1);
        let log = &self.log;
        let (mut end, mut bytes, mut payload_bytes) = (from, 0, 0);
        let mut at = (place, position);
        let next = || {
            let view = (end < batch.len()).then(|| batch.record(end))?;
            let len = view.as_bytes().len();
            if !view.is_plain() || bytes + len > room || log.is_large(len) {
                return None;
            }
            let slot = Slot::plain(view, at.0, at.1);
            at = (at.0.behind(len), at.1 + 1);
            end += 1;
            bytes += len;
            payload_bytes += slot.payload_len();
            Some(slot)
        };
        let count = self.slots.append_ready(id, next);

        let items = count as u64;
        let records = batch.bytes_of(from..from + count);
        self.log.append_run(place, id, items, records);
        self.ids.raise(id + items - 1);
        self.positions.raise(position + items - 1);
        storing.first = storing.first.or(Some(typed(id)));
        storing
            .tally
            .add_many(items, payload_bytes as u64, batch.now());
        let run = Run {
            priority: PRIORITY_DEFAULT,
            position,
            id,
            len: items,
        };
        storing.run.follow(&mut self.ready, run);
        count
    }

    fn store_one(
        &mut self,
        index: usize,
        view: RecordView<'_>,
        now: Timestamp,
        storing: &mut Storing,
    ) {
        let key = view.dedup_key();
        if let Some(owner) = key.and_then(|key| self.keys.owner(key)) {
            let of = owner.id;
            let slot = self.slots.get(of.get()).filter(|_| !owner.has_gone);
            let state = slot.map(Slot::state);
            storing.duplicates.push(Duplicate { index, of, state });
            return;
        }
        let id = self.ids.give();
        storing.first = storing.first.or(Some(typed(id)));
        let place = self.log.append(id, view.as_bytes(), now);
        let mut slot = Slot::new(view, place);
        match view.enqueue_at() {
            Some(enqueue_at) if enqueue_at > now => slot.set_scheduled(enqueue_at),
            _ => slot.set_ready(self.positions.give()),
        }
        if let Some(key) = key {
            self.keys.take(key, typed(id));
        }
        if slot.state() == State::Ready && !slot.expires() {
            let run = Run {
                priority: slot.priority(),
                position: slot.position(),
                id,
                len: 1,
            };
            storing.run.follow(&mut self.ready, run);
            storing.tally.add(&slot, now, None);
        } else {
            storing.run.queue(&mut self.ready);
            storing.run = Run::default();
            self.link(id, &slot);
        }
        self.slots.insert(id, slot);
    }
}
