//! Driver and model side by side, and what both have given out.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::Arc;

use storage_api::{
    Cursor, Error, ErrorKind, ItemBatch, ItemEntry, ItemId, ItemState, Key, LeaseId,
    LimitViolation, Namespace, NewItem, Note, Object, Operation, Outcome, PartitionId, Position,
    Receipt, Record, Result as ApiResult, RetryHint, SealedBatch, State, StorageBackend, Timestamp,
    Value, Version,
};
use storage_model::Model;

use super::action::{IdPick, Item, KeyPick, Rank, ReceiptPick};
use super::generate::PARTITIONS;
use super::numbers::{Mismatch, Pairs, ranked};
use super::shortcuts::Kept;
use crate::env::at;
use crate::harness::Place;
use crate::log::shortened;

/// Queue names and numbers that a driver could take for each other.
const PARTITION_NAMES: [(&str, u32); PARTITIONS as usize] =
    [("q", 1), ("q", 10), ("q/1", 0), ("q\u{10ffff}", 1)];
const NAMESPACE_NAMES: [&str; 3] = ["n", "n\0", "n\u{10ffff}"];
const KEY_NAMES: [&[u8]; 6] = [b"a", b"a\0", b"ab", b"b", b"\xff", b"\xff\xff"];

/// The driver and the model, after the same calls.
pub(super) struct World {
    pub(super) place: Box<dyn Place>,
    pub(super) can_reopen: bool,
    pub(super) driver: Arc<dyn StorageBackend>,
    /// Which opening of the place the driver is.
    pub(super) opening: u64,
    pub(super) model: Model,
    pub(super) homes: Vec<Home>,
    pub(super) leases: Pairs<LeaseId>,
    pub(super) versions: Pairs<Version>,
    /// The version that each key had last: the next is larger.
    pub(super) key_versions: HashMap<(Namespace, Key), Version>,
    /// What the driver gave and what the model gave for the same page, of any listing.
    pub(super) cursors: Vec<(Cursor, Cursor)>,
    /// No number known to either side is larger.
    pub(super) ceiling: u64,
    /// Later leases and versions are larger than that (clause MOVE-2).
    pub(super) lease_floor: u64,
    pub(super) version_floor: u64,
    /// How many items were made, so that payloads differ.
    items_made: u8,
    /// The driver's answers, where somebody wants to read them.
    pub(super) trace: Option<Vec<String>>,
    /// What the driver refused since somebody took it out, of which the model knows less; `None` for an answer.
    pub(super) refusals: Vec<Option<Refusal>>,
}

/// What a driver says of a call that it refuses.
#[derive(Debug)]
pub(super) struct Refusal {
    fields: Fields,
    /// The error as the driver words it, which is its own affair.
    words: String,
}

/// The fields of an error.
#[derive(Debug, PartialEq, Eq)]
struct Fields {
    kind: ErrorKind,
    retry_hint: RetryHint,
    outcome: Outcome,
    operation: Operation,
    /// Without the numbers, which are each driver's own.
    object: String,
    limit: Option<LimitViolation>,
}

impl Refusal {
    fn of(error: &Error) -> Self {
        let fields = Fields {
            kind: error.kind(),
            retry_hint: error.retry_hint(),
            outcome: error.outcome(),
            operation: error.operation(),
            object: match error.object() {
                Object::Item(partition, _) => format!("an item of {partition}"),
                object => object.to_string(),
            },
            limit: error.limit_violation().copied(),
        };
        Self {
            fields,
            words: error.to_string(),
        }
    }

    /// Whether both say the same, whatever their words.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    {:?}", self.words, self.fields)
    }
}

/// What was given out in the partitions of one name.
pub(super) struct Home {
    pub(super) id: PartitionId,
    pub(super) ids: Pairs<ItemId>,
    pub(super) id_last: u64,
    /// The driver's and the model's.
    pub(super) receipts: Vec<(Receipt, Receipt)>,
    /// Positions that were restored, the same on both sides.
    pub(super) positions: Vec<Position>,
    /// Shortcuts that the driver gave, wherever they lead by now.
    pub(super) shortcuts: Vec<Kept>,
}

impl World {
    pub(super) fn new(
        place: Box<dyn Place>,
        driver: Arc<dyn StorageBackend>,
        can_reopen: bool,
        is_traced: bool,
    ) -> Self {
        let homes = PARTITION_NAMES.map(|(queue, number)| Home {
            id: crate::env::partition_id(queue, number),
            ids: Pairs::new("id"),
            id_last: 0,
            receipts: Vec::new(),
            positions: Vec::new(),
            shortcuts: Vec::new(),
        });
        Self {
            place,
            can_reopen,
            driver,
            opening: 0,
            model: Model::new(),
            homes: homes.into(),
            leases: Pairs::new("lease"),
            versions: Pairs::new("version"),
            key_versions: HashMap::new(),
            cursors: Vec::new(),
            ceiling: 0,
            lease_floor: 0,
            version_floor: 0,
            items_made: 0,
            trace: is_traced.then(Vec::new),
            refusals: Vec::new(),
        }
    }

    pub(super) fn id(&self, partition: u8) -> PartitionId {
        self.home(partition).id.clone()
    }

    pub(super) fn home(&self, partition: u8) -> &Home {
        &self.homes[usize::from(partition) % self.homes.len()]
    }

    pub(super) fn home_mut(&mut self, partition: u8) -> &mut Home {
        let len = self.homes.len();
        &mut self.homes[usize::from(partition) % len]
    }

    /// Both answers where both are there, `None` where both are the same error, and a mismatch otherwise.
    pub(super) fn both<T: Debug>(
        &mut self,
        driver: ApiResult<T>,
        model: ApiResult<T>,
    ) -> Result<Option<(T, T)>, Mismatch> {
        self.refusals.push(driver.as_ref().err().map(Refusal::of));
        if let Some(trace) = &mut self.trace {
            trace.push(match &driver {
                Ok(answer) => shortened(format_args!("{answer:?}")),
                Err(error) => format!("{}: {error}", error.kind()),
            });
        }
        match (driver, model) {
            (Ok(driver), Ok(model)) => Ok(Some((driver, model))),
            (Err(driver), Err(model)) => {
                self.same_error(&driver, &model)?;
                Ok(None)
            }
            (Ok(driver), Err(model)) => Err(format!(
                "the driver answers {}\n  the model refuses: {}: {model}",
                shortened(format_args!("{driver:?}")),
                model.kind()
            )),
            (Err(driver), Ok(model)) => Err(format!(
                "the driver refuses: {}: {driver}\n  the model answers {}",
                driver.kind(),
                shortened(format_args!("{model:?}"))
            )),
        }
    }

    /// As [`both`](Self::both), where the answers hold no numbers and must be equal.
    pub(super) fn equal<T: Debug + PartialEq>(
        &mut self,
        driver: ApiResult<T>,
        model: ApiResult<T>,
    ) -> Result<(), Mismatch> {
        match self.both(driver, model)? {
            Some((driver, model)) => same("answer", &driver, &model),
            None => Ok(()),
        }
    }

    fn same_error(&self, driver: &Error, model: &Error) -> Result<(), Mismatch> {
        let differs = |what: &str| {
            Err(format!(
                "the errors differ in their {what}\n  driver: {}: {driver}\n  model:  {}: {model}",
                driver.kind(),
                model.kind()
            ))
        };
        if driver.kind() != model.kind() {
            return differs("kind");
        }
        if driver.outcome() != Outcome::NotApplied {
            return differs("outcome");
        }
        // What exactly an invalid argument is blamed on is left to the driver.
        if driver.kind() == ErrorKind::InvalidArgument {
            return Ok(());
        }
        if driver.operation() != model.operation() {
            return differs("operation");
        }
        match (driver.object(), model.object()) {
            (Object::Item(home, driver), Object::Item(model_home, model)) if home == model_home => {
                // A restored id that was refused may be new to both.
                let home = self.homes.iter().find(|one| one.id == *home);
                let is_known = home.is_some_and(|home| home.ids.is_known(*driver, *model));
                if is_known || driver == model {
                    Ok(())
                } else {
                    differs("item")
                }
            }
            (_, Object::Item(..)) => differs("item"),
            (driver, Object::Partition(model)) => {
                if *driver == Object::Partition(model.clone()) {
                    Ok(())
                } else {
                    differs("partition")
                }
            }
            _ => Ok(()),
        }
    }

    /// The receipt of a pick, the driver's and the model's; `None` where none was given out yet.
    pub(super) fn receipt(&self, partition: u8, pick: ReceiptPick) -> Option<(Receipt, Receipt)> {
        let given = &self.home(partition).receipts;
        match pick {
            ReceiptPick::Valid(rank) => self
                .in_state(partition, State::Leased, rank)
                .and_then(|entry| self.receipt_of(partition, entry))
                .or_else(|| ranked(given, rank).copied()),
            ReceiptPick::Given(rank) => ranked(given, rank).copied(),
            ReceiptPick::Crossed(item, lease) => {
                let (item, lease) = (ranked(given, item)?, ranked(given, lease)?);
                let crossed = |item: Receipt, lease: Receipt| Receipt {
                    item: item.item,
                    lease: lease.lease,
                };
                Some((crossed(item.0, lease.0), crossed(item.1, lease.1)))
            }
        }
    }

    /// The item of that rank among those in that state, as the model has it.
    fn in_state(&self, partition: u8, state: State, rank: Rank) -> Option<&ItemEntry> {
        let id = &self.home(partition).id;
        let mut partitions = self.model.contents().partitions.iter();
        let found = partitions.find(|one| one.info.id == *id)?;
        let entries: Vec<_> = found
            .items
            .iter()
            .filter(|entry| entry.state() == state)
            .collect();
        ranked(&entries, rank).copied()
    }

    /// The receipt of a leased item, the driver's and the model's.
    fn receipt_of(&self, partition: u8, model: &ItemEntry) -> Option<(Receipt, Receipt)> {
        let model = model.receipt()?;
        let driver = Receipt {
            item: self.home(partition).ids.driver_of(model.item)?,
            lease: self.leases.driver_of(model.lease)?,
        };
        Some((driver, model))
    }

    pub(super) fn receipts(
        &self,
        partition: u8,
        picks: &[ReceiptPick],
    ) -> (Vec<Receipt>, Vec<Receipt>) {
        picks
            .iter()
            .filter_map(|pick| self.receipt(partition, *pick))
            .unzip()
    }

    pub(super) fn item_id(&self, partition: u8, pick: IdPick) -> Option<(ItemId, ItemId)> {
        match pick {
            IdPick::In(state, rank) => self
                .in_state(partition, state, rank)
                .and_then(|entry| Some((self.home(partition).ids.driver_of(entry.id)?, entry.id)))
                .or_else(|| self.home(partition).ids.ranked(rank)),
            IdPick::Given(rank) => self.home(partition).ids.ranked(rank),
            IdPick::Never => {
                let never = ItemId::new(storage_api::limits::NUMBER_MAX).ok()?;
                Some((never, never))
            }
        }
    }

    pub(super) fn item_ids(&self, partition: u8, picks: &[IdPick]) -> (Vec<ItemId>, Vec<ItemId>) {
        picks
            .iter()
            .filter_map(|pick| self.item_id(partition, *pick))
            .unzip()
    }

    /// A cursor of that rank, the driver's and the model's.
    pub(super) fn cursor(&self, rank: Rank) -> Option<(Cursor, Cursor)> {
        ranked(&self.cursors, rank).cloned()
    }

    /// Keeps the cursors of a page, which both sides have or have not.
    pub(super) fn keep_cursor(
        &mut self,
        driver: Option<Cursor>,
        model: Option<Cursor>,
    ) -> Result<(), Mismatch> {
        match (driver, model) {
            (Some(driver), Some(model)) => {
                self.cursors.push((driver, model));
                Ok(())
            }
            (None, None) => Ok(()),
            (Some(_), None) => {
                Err("the driver's page has a next one, the model's is the last".into())
            }
            (None, Some(_)) => {
                Err("the driver's page is the last, the model's has a next one".into())
            }
        }
    }

    /// The records of those items.
    pub(super) fn batch(&mut self, items: &[Item]) -> ItemBatch {
        let mut batch = ItemBatch::new();
        for item in items {
            self.items_made = self.items_made.wrapping_add(1);
            let payload = vec![self.items_made; item.bytes as usize];
            let new = new_item(item, &payload);
            batch.push(new).expect("a small item is within the limits");
        }
        batch
    }

    /// The records of those items, for each side.
    pub(super) fn two_batches(&mut self, items: &[Item]) -> [ItemBatch; 2] {
        let made = self.items_made;
        let one = self.batch(items);
        self.items_made = made;
        [one, self.batch(items)]
    }

    /// The same items, sealed at that time.
    pub(super) fn sealed(&mut self, items: &[Item], now: i64) -> SealedBatch {
        self.batch(items).seal(at(now))
    }

    pub(super) fn record(&mut self, item: &Item, created_at: Timestamp) -> Record {
        let batch = self.batch(std::slice::from_ref(item));
        batch.seal(created_at).shared_record(0).detached()
    }

    /// Both show the same item; its lease is one that was given before, or is given now.
    pub(super) fn same_entry(
        &mut self,
        partition: u8,
        driver: &ItemEntry,
        model: &ItemEntry,
        is_new_lease: bool,
    ) -> Result<(), Mismatch> {
        let told = |why: Mismatch| format!("{why}\n  driver: {driver:?}\n  model:  {model:?}");
        let home = self.home(partition);
        home.ids.meet(driver.id, model.id).map_err(told)?;
        if let (
            ItemState::Leased {
                lease: driver_lease,
                ..
            },
            ItemState::Leased {
                lease: model_lease, ..
            },
        ) = (driver.state, model.state)
        {
            let leases = &mut self.leases;
            if is_new_lease {
                if driver_lease.get() <= self.lease_floor {
                    let floor = self.lease_floor;
                    return Err(told(format!(
                        "lease {driver_lease} is not above the floor of {floor}"
                    )));
                }
                leases.give(driver_lease, model_lease).map_err(told)?;
            } else {
                leases.meet(driver_lease, model_lease).map_err(told)?;
            }
        }
        for position in [driver.state.position(), model.state.position()] {
            self.ceiling = self.ceiling.max(position.map_or(0, Position::get));
        }
        // All else is equal as it stands: give the driver's item the model's numbers.
        let mut renamed = driver.clone();
        renamed.id = model.id;
        renamed.state = with_numbers_of(driver.state, model.state);
        if renamed == *model {
            Ok(())
        } else {
            Err(told("the items differ".to_owned()))
        }
    }

    /// Raises the ceiling above everything that the model has given out, shown or not.
    pub(super) fn raise_ceiling_above_the_model(&mut self) {
        let contents = self.model.contents();
        let inner = contents
            .partitions
            .iter()
            .flat_map(|one| [one.last_id, one.last_position]);
        let outer = [
            contents.last_lease,
            contents.last_version,
            contents.deleted_number,
        ];
        let model = inner.chain(outer).max().unwrap_or(0);
        self.ceiling = self.ceiling.max(model);
    }

    /// A number above everything that either side has shown.
    pub(super) fn fresh(&mut self) -> u64 {
        self.ceiling += 1;
        self.ceiling
    }

    /// Notes that a number was seen.
    pub(super) fn see(&mut self, number: u64) {
        self.ceiling = self.ceiling.max(number);
    }
}

/// The state with the model's position and lease, where both have such.
fn with_numbers_of(driver: ItemState, model: ItemState) -> ItemState {
    match (driver, model) {
        (ItemState::Ready { .. }, ItemState::Ready { position }) => ItemState::Ready { position },
        (
            ItemState::Leased {
                deadline, holder, ..
            },
            ItemState::Leased {
                position, lease, ..
            },
        ) => ItemState::Leased {
            position,
            lease,
            deadline,
            holder,
        },
        (driver, _) => driver,
    }
}

pub(super) fn same<T: Debug + PartialEq>(
    what: &str,
    driver: &T,
    model: &T,
) -> Result<(), Mismatch> {
    if driver == model {
        return Ok(());
    }
    Err(format!(
        "the {what} differs\n  driver: {driver:?}\n  model:  {model:?}"
    ))
}

pub(super) fn namespace(pick: u8) -> Namespace {
    crate::env::namespace(NAMESPACE_NAMES[usize::from(pick) % NAMESPACE_NAMES.len()])
}

pub(crate) fn key(pick: u8) -> Key {
    crate::env::key(KEY_NAMES[usize::from(pick) % KEY_NAMES.len()])
}

pub(super) fn key_of(pick: KeyPick) -> (Namespace, Key) {
    (namespace(pick.namespace), key(pick.key))
}

pub(crate) fn value(bytes: u16) -> Value {
    crate::env::value(vec![b'v'; usize::from(bytes)])
}

/// The item of a step, with that payload.
pub(crate) fn new_item<'a>(item: &Item, payload: &'a [u8]) -> NewItem<'a> {
    const DEDUP_KEYS: [&[u8]; 4] = [b"k", b"k\0", b"ka", b"\xff"];
    let mut new = NewItem::new(payload)
        .priority(item.priority)
        .attempts_max(item.attempts_max);
    if let Some(key) = item.dedup_key {
        new = new.dedup_key(DEDUP_KEYS[usize::from(key) % DEDUP_KEYS.len()]);
    }
    if let Some(enqueue_at) = item.enqueue_at {
        new = new.enqueue_at(at(enqueue_at));
    }
    if let Some(expire_at) = item.expire_at {
        new = new.expire_at(at(expire_at));
    }
    new
}

pub(crate) fn note(pick: u8) -> Note {
    Note::truncated(&format!("note {pick}"))
}
