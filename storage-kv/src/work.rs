//! One operation on one partition: what it read, what it changes, and the one batch in which that is written.
//!
//! An operation changes items in memory; their rows are worked out once, at the end, from what each item was and what it
//! is now. So an index can neither be forgotten nor moved twice, whatever an operation does to an item on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use storage_api::limits::NUMBER_MAX;
use storage_api::{
    Error, ErrorKind, ItemId, ItemState, Object, Operation, PartitionInfo, Position, State,
    Timestamp,
};

use crate::catalog::encode_partition;
use crate::codec::{Reader, Writer};
use crate::counters::{BLOCK, Counters, NextDue, Pair};
use crate::due::{RunChanges, mark_runs};
use crate::engine::{KvError, KvResult, OrderedKv};
use crate::item::{Head, Item, split_body};
use crate::keys::{self, DueKind};
use crate::keyspace::Keyspace;
use crate::numbers::{NumberFloors, Numbers};
use crate::partition::{Partition, PartitionState};
use crate::store::{Level, Rows, Store, damaged};
use crate::touched::{Changed, One, Touched};

/// About what the index rows of an item take in one step: two or three of them.
const ROW_BYTES: usize = 128;

/// Why an operation does not go on. Nothing has changed.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is refused.
    Refused(Error),
    /// The engine failed.
    Engine(KvError),
    /// It needs numbers that may be given once that batch is synced; then it begins anew.
    Unsynced(u64),
    /// No numbers are left.
    UsedUp,
}

impl From<KvError> for Stop {
    fn from(error: KvError) -> Self {
        Self::Engine(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// One operation on a partition whose lock it holds.
#[derive(Debug)]
pub(crate) struct Work<'a, E> {
    pub(crate) store: &'a Store<E>,
    pub(crate) numbers: &'a Numbers,
    pub(crate) operation: Operation,
    pub(crate) partition: &'a Partition,
    pub(crate) info: Arc<PartitionInfo>,
    new_info: Option<PartitionInfo>,
    state: &'a mut PartitionState,
    /// The partition's, as they will be.
    pub(crate) counters: Counters,
    rows: Rows,
    /// The row that is being encoded.
    scratch: Writer,
    runs: RunChanges,
    items: Touched,
    keys: BTreeMap<Vec<u8>, DedupKey>,
    /// The states of new items that have a dedup key, which later ones may meet.
    born: BTreeMap<u64, State>,
    /// What every lease and version given later must exceed.
    floors: NumberFloors,
    /// Whether there is something that watchers are to be woken for.
    is_woken: bool,
    due_before: NextDue,
    /// The earliest due time of each kind that came into being.
    new_due: [Option<Timestamp>; DueKind::COUNT],
}

#[derive(Debug)]
struct DedupKey {
    owner: Option<Owner>,
    is_changed: bool,
}

/// Whom a dedup key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) id: u64,
    /// When the key becomes free, if the item has gone.
    pub(crate) lingers_until: Option<Timestamp>,
}

impl<'a, E: OrderedKv> Work<'a, E> {
    pub(crate) fn new(
        store: &'a Store<E>,
        numbers: &'a Numbers,
        operation: Operation,
        partition: &'a Partition,
        state: &'a mut PartitionState,
    ) -> Self {
        if store.is_synced(state.ceiling_batch) {
            state.durable = state.counters.ceiling;
        }
        let counters = state.counters.clone();
        Self {
            store,
            numbers,
            operation,
            partition,
            info: partition.info(),
            new_info: None,
            state,
            due_before: counters.next_due(),
            counters,
            rows: Rows::default(),
            scratch: Writer::with_capacity(128),
            runs: RunChanges::default(),
            items: Touched::default(),
            keys: BTreeMap::new(),
            born: BTreeMap::new(),
            floors: NumberFloors::default(),
            is_woken: false,
            new_due: [None; DueKind::COUNT],
        }
    }

    /// Makes room for the rows of so many items, most of them of two keyspaces, and that many bytes of records.
    pub(crate) fn expect_rows(&mut self, spaces: [Keyspace; 2], items: usize, bytes: usize) {
        self.rows.reserve(bytes + items * ROW_BYTES);
        for space in spaces {
            self.rows.reserve_rows(space, items);
        }
    }

    /// The number that the partition's rows are found by.
    pub(crate) fn part(&self) -> u32 {
        self.partition.number
    }

    // What is there.

    /// Reads the items of those ids, as far as that has not been done.
    pub(crate) fn fetch(&mut self, ids: impl IntoIterator<Item = u64>) -> KvResult<()> {
        self.fetch_if(ids, |_| true)
    }

    /// The same; of those without a state row, the ones that are asked for must stand where new items do.
    pub(crate) fn fetch_if(
        &mut self,
        ids: impl IntoIterator<Item = u64>,
        is_proven: impl Fn(&Item) -> bool,
    ) -> KvResult<()> {
        let mut unknown: Vec<u64> = ids.into_iter().collect();
        if !unknown.is_sorted_by(|a, b| a < b) {
            unknown.sort_unstable();
            unknown.dedup();
        }
        if !self.items.is_empty() {
            unknown.retain(|id| self.items.find(*id).is_none());
        }
        let read = self.read_items(&unknown)?;
        let fresh = read.iter().filter_map(One::as_read);
        self.expect_fresh(fresh.filter(|(_, item)| item.is_fresh && is_proven(item)))?;
        self.items.add(read);
        Ok(())
    }

    /// An item that was fetched, as it is now.
    pub(crate) fn item(&self, id: u64) -> Option<&Item> {
        self.items.get(id)
    }

    /// An item that an index row speaks of; that there is none is damage.
    pub(crate) fn indexed(&self, id: u64) -> KvResult<&Item> {
        self.item(id).ok_or_else(|| self.missing(id))
    }

    /// The damage of an index row whose item is not there.
    pub(crate) fn missing(&self, id: u64) -> KvError {
        let key = keys::item(self.part(), id);
        damaged(Keyspace::Bodies, &key, "it is missing")
    }

    /// The damage of an index row whose item is not where it says.
    pub(crate) fn elsewhere(&self, id: u64) -> KvError {
        let key = keys::item(self.part(), id);
        damaged(Keyspace::States, &key, "it is not what an index says")
    }

    /// The dedup key of an item that has one, from its body.
    fn dedup_key_of(&self, id: u64) -> KvResult<Vec<u8>> {
        let key = keys::item(self.part(), id);
        let body = self.store.get(Keyspace::Bodies, &key)?;
        let body = body.ok_or_else(|| self.missing(id))?;
        split_body(&body)
            .and_then(|(_, record)| record.dedup_key())
            .map(<[u8]>::to_vec)
            .ok_or_else(|| damaged(Keyspace::Bodies, &key, "it has no dedup key"))
    }

    /// Whom a dedup key belongs to.
    pub(crate) fn owner(&mut self, key: &[u8]) -> KvResult<Option<Owner>> {
        if let Some(known) = self.keys.get(key) {
            return Ok(known.owner);
        }
        let row_key = keys::dedup(self.part(), key);
        let owner = match self.store.get(Keyspace::Dedup, &row_key)? {
            None => None,
            Some(row) => Some(
                decode_owner(&row)
                    .ok_or_else(|| damaged(Keyspace::Dedup, &row_key, "it does not decode"))?,
            ),
        };
        self.keys.insert(
            key.to_vec(),
            DedupKey {
                owner,
                is_changed: false,
            },
        );
        Ok(owner)
    }

    // What changes.

    /// Puts a new item in, with its record.
    pub(crate) fn insert(&mut self, id: u64, item: &Item, record: &[u8]) {
        let position = item.body_position().to_le_bytes();
        let key = keys::item(self.part(), id);
        self.rows.put(Keyspace::Bodies, &key, &[&position, record]);
        self.joined(item, false);
        self.move_rows(id, None, Some(item));
    }

    /// Changes an item that was fetched and is there.
    pub(crate) fn change(&mut self, id: u64, change: impl FnOnce(&mut Item)) {
        let Some(item) = self.items.get_mut(id) else {
            return;
        };
        self.counters.leave(item);
        let was_ready = is_ready(item);
        change(item);
        item.is_fresh = false;
        let (due, is_ready) = (item.due(), is_ready(item));
        self.counters.join(item);
        self.noticed(due, is_ready && !was_ready);
    }

    /// Replaces an item that was not fetched: for items that are handled once and never looked at again.
    pub(crate) fn replace_once(&mut self, id: u64, old: &Item, new: &Item) {
        self.counters.leave(old);
        self.joined(new, is_ready(old));
        self.move_rows(id, Some(old), Some(new));
    }

    /// Takes an item that was fetched out for good; its dedup key is free at once (clause ITEM-4).
    pub(crate) fn remove(&mut self, id: u64) -> KvResult<()> {
        if let Some(head) = self.take(id)
            && head.has_dedup_key
        {
            let key = self.dedup_key_of(id)?;
            self.set_owner(key, None);
        }
        Ok(())
    }

    /// Takes an item that is done or dropped out: its dedup key lingers if the partition says so (clause ITEM-4).
    pub(crate) fn depart(&mut self, id: u64) -> KvResult<()> {
        let Some(head) = self.take(id) else {
            return Ok(());
        };
        if !head.has_dedup_key {
            return Ok(());
        }
        let key = self.dedup_key_of(id)?;
        let dedup_for = self.info.config.dedup_for();
        if dedup_for.is_zero() {
            self.set_owner(key, None);
            return Ok(());
        }
        let until = head.created_at.saturating_add(dedup_for);
        let row_key = keys::due(self.part(), DueKind::Key, until, id);
        self.rows.put(Keyspace::Due, &row_key, &[&key]);
        self.join_due(DueKind::Key, until);
        let owner = Owner {
            id,
            lingers_until: Some(until),
        };
        self.set_owner(key, Some(owner));
        Ok(())
    }

    /// Frees a key that lingered until that time.
    pub(crate) fn free_key(&mut self, key: Vec<u8>, id: u64, until: Timestamp) {
        let row_key = keys::due(self.part(), DueKind::Key, until, id);
        self.rows.delete(Keyspace::Due, &row_key);
        self.counters.leave_due(DueKind::Key, until);
        self.set_owner(key, None);
    }

    pub(crate) fn set_owner(&mut self, key: Vec<u8>, owner: Option<Owner>) {
        let changed = DedupKey {
            owner,
            is_changed: true,
        };
        self.keys.insert(key, changed);
    }

    /// Remembers the state of a new item that has a dedup key.
    pub(crate) fn bear(&mut self, id: u64, item: &Item) {
        self.born.insert(id, item.state());
    }

    /// The state of an item that is new in this operation, and has a dedup key.
    pub(crate) fn state_of_new(&self, id: u64) -> Option<State> {
        self.born.get(&id).copied()
    }

    /// Every lease and version given once this is written is larger than these.
    pub(crate) fn raise_numbers(&mut self, floors: NumberFloors) {
        self.floors = floors;
    }

    /// Replaces the partition's configuration.
    pub(crate) fn set_info(&mut self, info: PartitionInfo) {
        let key = keys::partition(self.part());
        let row = encode_partition(&info);
        self.rows.put_row(Keyspace::Catalog, &key, &row);
        self.new_info = Some(info);
        self.is_woken = true;
    }

    /// The earliest due time of a kind that came into being in this operation.
    pub(crate) fn new_due(&self, kind: DueKind) -> Option<Timestamp> {
        self.new_due[kind as usize]
    }

    /// The next id; that it may be given was made sure of by [`reserve`](Self::reserve).
    pub(crate) fn give_id(&mut self) -> u64 {
        let id = self.counters.next.id;
        self.counters.next.id += 1;
        id
    }

    /// The next position, as [`give_id`](Self::give_id).
    pub(crate) fn give_position(&mut self) -> Position {
        let position = self.counters.next.position;
        self.counters.next.position += 1;
        Position::new(position).expect("positions are reserved before they are given")
    }

    /// Makes sure that so many ids and positions may be given.
    pub(crate) fn reserve(&mut self, ids: usize, positions: usize) -> Result<(), Stop> {
        let next = self.counters.next;
        // The last of them; if none is wanted, one that was given.
        self.cover(Pair {
            id: next.id.saturating_add(ids as u64) - 1,
            position: next.position.saturating_add(positions as u64) - 1,
        })
    }

    /// Makes sure that a ceiling above these numbers is on stable storage, so that none of them is given again.
    pub(crate) fn cover(&mut self, last: Pair) -> Result<(), Stop> {
        let is_covered_by =
            |ceiling: Pair| last.id <= ceiling.id && last.position <= ceiling.position;
        if is_covered_by(self.state.durable) {
            return Ok(());
        }
        if !is_covered_by(Pair::both(NUMBER_MAX)) {
            return Err(Stop::UsedUp);
        }
        if !is_covered_by(self.state.counters.ceiling) {
            let mut counters = self.state.counters.clone();
            counters.ceiling = counters.ceiling.raised(block_above(last));
            let mut rows = Rows::default();
            let key = keys::counters(self.part());
            rows.put_row(Keyspace::Catalog, &key, &counters.encode());
            self.state.ceiling_batch = self.store.write(rows)?;
            self.state.counters = counters;
        }
        Err(Stop::Unsynced(self.state.ceiling_batch))
    }

    // What is refused.

    pub(crate) fn refused(&self, kind: ErrorKind, reason: impl Into<String>) -> Stop {
        Error::new(kind, self.operation, &self.info.id, reason).into()
    }

    pub(crate) fn refused_item(&self, kind: ErrorKind, id: ItemId, reason: String) -> Stop {
        let object = Object::Item(self.info.id.clone(), id);
        Error::new(kind, self.operation, object, reason).into()
    }

    /// Refuses what was put in if it is too much, or the disk is too full (clause LIMIT-2).
    pub(crate) fn check_room(&self) -> Result<(), Stop> {
        let config = &self.info.config;
        let stats = self.counters.stats();
        let limits = [
            ("items", config.items_max(), stats.items()),
            ("payload bytes", config.bytes_max(), stats.bytes()),
        ];
        for (what, max, would_be) in limits {
            if max != 0 && would_be > max {
                return Err(self.refused(
                    ErrorKind::CapacityExceeded,
                    format!(
                        "it would hold {would_be} {what} and may hold {max}; complete or delete items, or raise the limit"
                    ),
                ));
            }
        }
        match self.store.shortage() {
            None => Ok(()),
            Some(shortage) => Err(self.refused(ErrorKind::CapacityExceeded, shortage)),
        }
    }

    // How it ends.

    /// Writes what was [sealed](Self::seal); the answer is the batch that the operation's durability hangs on.
    ///
    /// `Err` says that nobody knows whether it was written.
    pub(crate) fn write(self, sealed: Option<Rows>, level: Level) -> KvResult<u64> {
        let Some(rows) = sealed else {
            let last = self.store.last_written();
            let seen = self.unchanged();
            // What a crash leaves is a prefix that holds every `Ok`, also of what changed nothing (clause DUR-3).
            return Ok(match level {
                Level::Full => last,
                Level::Crash => seen,
            });
        };
        let batch = self.store.write(rows)?;
        self.written(batch);
        Ok(batch)
    }

    /// Nothing was written. What was learnt of marks is kept.
    pub(crate) fn unchanged(self) -> u64 {
        self.numbers.raise(self.floors);
        self.state.counters = self.counters;
        self.state.batch
    }

    /// The rows of all that has changed; `None`: nothing has.
    pub(crate) fn seal(&mut self) -> KvResult<Option<Rows>> {
        let mut items = std::mem::take(&mut self.items);
        mark_runs(items.changed());
        for Changed { id, old, new } in items.changed() {
            self.move_rows(id, Some(old), new.as_deref());
        }
        let mut rows = std::mem::take(&mut self.rows);
        let runs = std::mem::take(&mut self.runs);
        self.settle_runs(runs, &mut rows)?;
        self.rows = rows;
        for (key, known) in std::mem::take(&mut self.keys) {
            if known.is_changed {
                let row_key = keys::dedup(self.part(), &key);
                match known.owner {
                    Some(owner) => {
                        self.rows
                            .put_row(Keyspace::Dedup, &row_key, &encode_owner(owner));
                    }
                    None => self.rows.delete(Keyspace::Dedup, &row_key),
                }
            }
        }
        let (next, ceiling) = (self.counters.next, self.counters.ceiling);
        if self.rows.is_empty() && next == self.state.counters.next {
            return Ok(None);
        }
        // Long before there are none left, so that the next operations need not wait for a sync of their own.
        if ceiling.id.saturating_sub(next.id) < BLOCK / 2
            || ceiling.position.saturating_sub(next.position) < BLOCK / 2
        {
            self.counters.ceiling = ceiling.raised(block_above(next));
        }
        let key = keys::counters(self.part());
        let row = self.counters.encode();
        self.rows.put_row(Keyspace::Catalog, &key, &row);
        Ok(Some(std::mem::take(&mut self.rows)))
    }

    /// The rows are in that batch.
    pub(crate) fn written(self, batch: u64) {
        let is_raised = self.counters.ceiling != self.state.counters.ceiling;
        if is_raised {
            self.state.ceiling_batch = batch;
        }
        self.state.counters = self.counters;
        self.state.batch = batch;
        if let Some(info) = self.new_info {
            self.partition.set_info(info);
        }
        self.numbers.raise(self.floors);
        if self.is_woken {
            // Under the lock, so that who looks afterwards sees it or is woken (clause WAKE-1).
            self.partition.hub.fire();
        }
        if is_raised {
            self.store.want_sync();
        }
    }

    /// Takes an item out; the answer is what is left to know of it.
    fn take(&mut self, id: u64) -> Option<Head> {
        self.items.take(id, |item| self.counters.leave(item))
    }

    /// An item came, or came back changed.
    fn joined(&mut self, item: &Item, was_ready: bool) {
        self.noticed(item.due(), is_ready(item) && !was_ready);
        self.counters.join(item);
    }

    fn noticed(&mut self, due: Option<(DueKind, Timestamp)>, became_ready: bool) {
        if let Some((kind, at)) = due {
            self.look_out(kind, at);
        }
        self.is_woken |= became_ready;
    }

    fn join_due(&mut self, kind: DueKind, at: Timestamp) {
        self.look_out(kind, at);
        self.counters.join_due(kind, at);
    }

    /// Whether something that is due then makes the earliest due time earlier. It may wake for nothing.
    fn look_out(&mut self, kind: DueKind, at: Timestamp) {
        self.is_woken |= match self.due_before {
            NextDue::Never | NextDue::NotBefore(_) => true,
            NextDue::At(before) => at < before,
        };
        let new = &mut self.new_due[kind as usize];
        *new = Some(new.map_or(at, |first| first.min(at)));
    }

    /// The index rows of an item that was `old` and is `new`, and its own rows.
    fn move_rows(&mut self, id: u64, old: Option<&Item>, new: Option<&Item>) {
        let part = self.part();
        let rows = &mut self.rows;

        let place = |item: &Item| match item.state {
            ItemState::Ready { position } => {
                Some(keys::ready(part, item.head.priority, position.get()))
            }
            _ => None,
        };
        let (old_place, new_place) = (old.and_then(place), new.and_then(place));
        if let Some(old_place) = old_place.filter(|old| Some(old) != new_place.as_ref()) {
            rows.delete(Keyspace::Ready, &old_place);
        }
        if let (Some(new_place), Some(new)) = (new_place, new) {
            ReadyRow::of(id, new).encode_into(self.scratch.reset());
            rows.put_row(Keyspace::Ready, &new_place, &self.scratch);
        }

        self.runs.move_row(part, id, old, new, rows);

        let is_dead = |item: &Item| matches!(item.state, ItemState::Dead { .. });
        let key = keys::item(part, id);
        match (old.is_some_and(is_dead), new.is_some_and(is_dead)) {
            (false, true) => rows.put(Keyspace::Dead, &key, &[]),
            (true, false) => rows.delete(Keyspace::Dead, &key),
            (true, true) | (false, false) => {}
        }

        let (old_holder, new_holder) = (old.and_then(Item::holder), new.and_then(Item::holder));
        if old_holder != new_holder {
            if let Some(holder) = old_holder {
                rows.delete(Keyspace::Holders, &keys::holder(part, holder.get(), id));
            }
            if let Some(holder) = new_holder {
                rows.put(
                    Keyspace::Holders,
                    &keys::holder(part, holder.get(), id),
                    &[],
                );
            }
        }

        match new {
            Some(new) if !new.is_fresh => {
                new.encode_into(self.scratch.reset());
                rows.put_row(Keyspace::States, &key, &self.scratch);
            }
            Some(_) => {}
            None => {
                if old.is_some_and(|old| !old.is_fresh) {
                    rows.delete(Keyspace::States, &key);
                }
                rows.delete(Keyspace::Bodies, &key);
            }
        }
    }
}

fn is_ready(item: &Item) -> bool {
    matches!(item.state, ItemState::Ready { .. })
}

fn block_above(last: Pair) -> Pair {
    Pair {
        id: last.id.saturating_add(BLOCK).min(NUMBER_MAX),
        position: last.position.saturating_add(BLOCK).min(NUMBER_MAX),
    }
}

/// The value of a row of `ready`: enough to choose what to lease without reading any item.
///
/// ```text
/// 8 id, 1 flags (1 fresh, 2 expires), 4 length of the payload, 8 expire_at if it expires
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadyRow {
    pub(crate) id: u64,
    pub(crate) is_fresh: bool,
    pub(crate) payload_len: u32,
    pub(crate) expire_at: Option<Timestamp>,
}

impl ReadyRow {
    pub(crate) fn of(id: u64, item: &Item) -> Self {
        Self {
            id,
            is_fresh: item.is_fresh,
            payload_len: item.head.payload_len,
            expire_at: item.expire_at(),
        }
    }

    pub(crate) fn encode(&self) -> Writer {
        let mut row = Writer::with_capacity(24);
        self.encode_into(&mut row);
        row
    }

    fn encode_into(&self, row: &mut Writer) {
        let flags = u8::from(self.is_fresh) | u8::from(self.expire_at.is_some()) << 1;
        row.u64(self.id).u8(flags).u32(self.payload_len);
        if let Some(at) = self.expire_at {
            row.i64(at.as_micros());
        }
    }

    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let mut row = Reader::new(row);
        let id = row.u64()?;
        let flags = row.u8()?;
        let payload_len = row.u32()?;
        let expire_at = match flags & 2 != 0 {
            true => Some(Timestamp::from_micros(row.i64()?)),
            false => None,
        };
        row.end()?;
        Some(Self {
            id,
            is_fresh: flags & 1 != 0,
            payload_len,
            expire_at,
        })
    }
}

/// The value of a row of `dedup`: the id, and the time until which the key lingers if its item has gone.
fn encode_owner(owner: Owner) -> Writer {
    let mut row = Writer::with_capacity(16);
    row.u64(owner.id);
    if let Some(until) = owner.lingers_until {
        row.i64(until.as_micros());
    }
    row
}

pub(crate) fn decode_owner(row: &[u8]) -> Option<Owner> {
    let mut row = Reader::new(row);
    let id = row.u64()?;
    let lingers_until = match row.end() {
        Some(()) => None,
        None => Some(Timestamp::from_micros(row.i64()?)),
    };
    row.end()?;
    Some(Owner { id, lingers_until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_and_dedup_rows_give_back_what_went_into_them() {
        for expire_at in [None, Some(Timestamp::MIN), Some(Timestamp::MAX)] {
            for is_fresh in [false, true] {
                let row = ReadyRow {
                    id: u64::MAX,
                    is_fresh,
                    payload_len: 8 << 20,
                    expire_at,
                };
                assert_eq!(ReadyRow::decode(row.encode().as_slice()), Some(row));
            }
            let owner = Owner {
                id: 5,
                lingers_until: expire_at,
            };
            assert_eq!(decode_owner(encode_owner(owner).as_slice()), Some(owner));
        }
        assert_eq!(ReadyRow::decode(b"short"), None);
        assert_eq!(decode_owner(b"123456789"), None);
    }
}
