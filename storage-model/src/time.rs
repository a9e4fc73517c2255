//! What time does to items: only here, and only when `maintain` is called (clauses TIME-1 to TIME-4).

use storage_api::{
    Count, DeadReason, ItemId, ItemState, Maintained, Operation, PartitionId, Result, Timestamp,
};

use crate::model::{Model, Partition};

/// What can be due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Item,
    GoneKey,
}

impl Model {
    /// Handles up to `items_max` of what is due, in order of (due time, id) (clause TIME-1).
    pub fn maintain(
        &mut self,
        partition: &PartitionId,
        now: Timestamp,
        items_max: Count,
    ) -> Result<Maintained> {
        let partition = self.find_mut(Operation::Maintain, partition)?;
        partition.check_moves(Operation::Maintain)?;

        let mut done = Maintained::default();
        // TIME-1: each once. TIME-3: nothing that is due later than `now`, whatever was called before.
        let due = partition.due(now);
        for (due_at, id, what) in due.iter().take(items_max.get()) {
            match what {
                Due::Item => partition.handle(*id, now, &mut done),
                Due::GoneKey => {
                    partition.free_key(*due_at, *id);
                    done.keys_freed += 1;
                }
            }
        }
        // TIME-2. A key whose item this very call dropped may be due already; the next call frees it.
        done.next_due = partition.next_due();
        done.more = done.next_due.is_some_and(|due| due <= now);
        Ok(done)
    }
}

impl Partition {
    fn due(&self, now: Timestamp) -> Vec<(Timestamp, ItemId, Due)> {
        let items = self
            .items
            .iter()
            .filter_map(|item| Some((item.due_at()?, item.id, Due::Item)));
        let keys = self
            .gone_keys
            .iter()
            .map(|key| (key.due_at, key.of, Due::GoneKey));
        let mut due: Vec<_> = items.chain(keys).filter(|(at, ..)| *at <= now).collect();
        due.sort();
        due
    }

    /// ITEM-4: the time of the key has passed.
    fn free_key(&mut self, due_at: Timestamp, of: ItemId) {
        let mut keys = self.gone_keys.iter();
        let index = keys.position(|key| key.due_at == due_at && key.of == of);
        self.gone_keys.remove(index.expect("what is due is there"));
    }

    /// What becomes of an item that is due: the first that fits (clause TIME-1).
    fn handle(&mut self, id: ItemId, now: Timestamp, done: &mut Maintained) {
        let index = self.index_of(id).expect("what is due is there");
        let item = &self.items[index];
        let is_leased = matches!(item.state, ItemState::Leased { .. });
        if item.expire_at().is_some_and(|at| at <= now) {
            match self.die(index, DeadReason::Expired, now) {
                true => done.expired += 1,
                false => done.dropped += 1,
            }
        } else if is_leased && self.is_used_up(index) {
            match self.die(index, DeadReason::AttemptsExhausted, now) {
                true => done.attempts_exhausted += 1,
                false => done.dropped += 1,
            }
        } else {
            // A scheduled item has no position to go back to, so that it comes to the tail (ORDER-1); a leased one as
            // RETRY-1 says.
            self.requeue(index);
            done.ready += 1;
        }
    }
}
