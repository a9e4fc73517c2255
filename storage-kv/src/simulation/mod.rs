//! The real core against the reference model, from a seed: every answer compared, the power cut at any moment.
//!
//! A world runs random operations on a backend over [`SimKv`] and on the model. From time to time the backend is closed and
//! opened, or the power goes: then the disk keeps what was synced and some of the rest, and what is found after the
//! reopening must be what the model was after some prefix of the operations that contains every one that was acknowledged
//! (clause DUR-3).

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use storage_api::{
    CommitRequest, Count, Cursor, Direction, Durability, ErrorKind, Floors, ItemEntry, ItemId,
    ItemState, ItemStore, KeyRange, LeaseId, LeaseRequest, LeasedBatch, ListRequest, Listing,
    MetadataEntry, MetadataStore, Operation, Page, PartitionId, PartitionStore, Position, Receipt,
    RestoreBatch, Result, ScanRequest, States, StorageBackend, Timestamp, Value, Version,
};
use storage_model::{Contents, Model};

use crate::backend::{KvBackend, KvOptions};
use crate::engine::{OrderedKv, Span};
use crate::keyspace::Keyspace;
use crate::overlay::Overlay;
use crate::prove::Dice;
use crate::sim::{SimDisk, SimKv};

mod arguments;

/// The answer of an operation that does everything in this thread.
fn now<T>(operation: impl Future<Output = T>) -> T {
    let mut operation = pin!(operation);
    let mut context = Context::from_waker(Waker::noop());
    match operation.as_mut().poll(&mut context) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("an operation of an inline backend never waits"),
    }
}

/// A result as text: what must be equal on both sides.
fn told<T>(result: Result<T>, show: impl Fn(&T) -> String) -> String {
    match result {
        Ok(value) => show(&value),
        // Which item was refused is part of the contract; how a cursor is called is not.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            format!("{:?} {:?}", error.outcome(), error.object())
        }
        Err(error) => format!("{:?} {:?}", error.kind(), error.outcome()),
    }
}

fn debug<T: std::fmt::Debug>(value: &T) -> String {
    format!("{value:?}")
}

fn entry(entry: &ItemEntry) -> String {
    let record = entry.record.view().as_bytes().escape_ascii().to_string();
    format!(
        "{} {:?} {} {:?} {} {record}",
        entry.id, entry.state, entry.attempts, entry.note, entry.is_revived
    )
}

fn leased(batch: &LeasedBatch) -> String {
    let items = batch.iter().map(|item| entry(&item.to_entry()));
    items.collect::<Vec<_>>().join("\n")
}

fn items(page: &Page<ItemEntry>) -> String {
    let items: Vec<_> = page.items.iter().map(entry).collect();
    format!("{items:#?} {:?}", page.next.as_ref().map(Cursor::as_bytes))
}

fn entries(page: &Page<MetadataEntry>) -> String {
    format!(
        "{:?} {:?}",
        page.items,
        page.next.as_ref().map(Cursor::as_bytes)
    )
}

/// What a world is run with.
#[derive(Debug, Clone, Copy)]
struct Setting {
    durability: Durability,
    survives_kill: bool,
}

const SETTINGS: [Setting; 5] = [
    Setting {
        durability: Durability::None,
        survives_kill: false,
    },
    Setting {
        durability: Durability::ProcessCrash,
        survives_kill: true,
    },
    Setting {
        durability: Durability::ProcessCrash,
        survives_kill: false,
    },
    Setting {
        durability: Durability::PowerLoss,
        survives_kill: true,
    },
    Setting {
        durability: Durability::PowerLoss,
        survives_kill: false,
    },
];

/// How the engine is made of the disk.
trait Engine: OrderedKv {
    fn open(disk: &SimDisk, setting: Setting) -> Self;
    /// Whether batches that were written are in the engine when the process ends.
    const KEEPS_BATCHES: bool;
}

impl Engine for SimKv {
    const KEEPS_BATCHES: bool = true;

    fn open(disk: &SimDisk, setting: Setting) -> Self {
        disk.open().surviving_kill(setting.survives_kill)
    }
}

impl Engine for Overlay<SimKv> {
    const KEEPS_BATCHES: bool = false;

    fn open(disk: &SimDisk, setting: Setting) -> Self {
        Self::new(SimKv::open(disk, setting))
    }
}

struct World<E: Engine> {
    seed: u64,
    step: usize,
    dice: Dice,
    setting: Setting,
    disk: SimDisk,
    backend: Option<KvBackend<E>>,
    model: Model,
    /// What the model was after each operation since the last one that is certainly on stable storage, that one first.
    history: Vec<Contents>,
    receipts: Vec<(PartitionId, Receipt)>,
    cursors: Vec<(PartitionId, Listing, Cursor)>,
    /// The largest numbers that anybody was shown, never to be given again.
    shown_ids: BTreeMap<PartitionId, u64>,
    shown_lease: u64,
    shown_version: u64,
    last_operation: String,
}

/// How strong an acknowledgement is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strength {
    Full,
    Crash,
    Read,
    Synced,
}

impl<E: Engine> World<E> {
    fn new(seed: u64, setting: Setting) -> Self {
        let mut world = Self {
            seed,
            step: 0,
            dice: Dice::new(seed),
            setting,
            disk: SimDisk::new(),
            backend: None,
            model: Model::new(),
            history: vec![Contents::default()],
            receipts: Vec::new(),
            cursors: Vec::new(),
            shown_ids: BTreeMap::new(),
            shown_lease: 0,
            shown_version: 0,
            last_operation: String::new(),
        };
        world.open();
        world
    }

    fn open(&mut self) {
        let engine = E::open(&self.disk, self.setting);
        let options = KvOptions::new("sim", "0", self.setting.durability).inline();
        self.backend = Some(KvBackend::open(engine, options).expect("the place opens"));
    }

    fn backend(&self) -> &KvBackend<E> {
        self.backend.as_ref().expect("it is open between the steps")
    }

    fn at(&self) -> String {
        format!(
            "seed {}, step {}, {:?}: {}",
            self.seed, self.step, self.setting, self.last_operation
        )
    }

    fn run(&mut self, steps: usize, crash_one_in: usize) {
        for step in 0..steps {
            self.step = step;
            self.operate();
            if self.dice.below(12) == 0 {
                self.compare();
            }
            if self.dice.below(60) == 0 {
                self.reopen();
            }
            if crash_one_in > 0 && self.dice.below(crash_one_in) == 0 {
                self.crash();
            }
        }
        self.compare();
        self.reopen();
    }

    // What may happen.

    fn operate(&mut self) {
        let id = self.partition();
        match self.dice.below(34) {
            0 => {
                let config = self.config();
                self.note(format!("create {id} {config:?}"));
                let theirs = now(self.backend().create_partition(&id, config.clone()));
                let ours = self.model.create_partition(&id, config);
                if let Ok(info) = &theirs {
                    self.show_version(info.created);
                }
                self.same(&told(theirs, debug), &told(ours, debug), Strength::Full);
            }
            1 => {
                let config = self.config();
                let expected = self.some_version();
                self.note(format!("update {id} {expected:?} {config:?}"));
                let theirs = now(self
                    .backend()
                    .update_partition(&id, expected, config.clone()));
                let ours = self.model.update_partition(&id, expected, config);
                self.same(&told(theirs, debug), &told(ours, debug), Strength::Full);
            }
            2 if self.dice.below(4) == 0 => {
                self.note(format!("delete {id}"));
                let theirs = now(self.backend().delete_partition(&id));
                let ours = self.model.delete_partition(&id);
                self.same(&told(theirs, debug), &told(ours, debug), Strength::Full);
            }
            2..=9 => self.produce(&id),
            10..=14 => self.lease(&id),
            15..=17 => {
                let receipts = self.some_receipts(&id);
                self.note(format!("complete {id} {receipts:?}"));
                let theirs = now(self.backend().complete(&id, receipts.clone()));
                let ours = self.model.complete(&id, receipts);
                self.same(&told(theirs, debug), &told(ours, debug), Strength::Full);
            }
            18 => {
                let receipts = self.some_receipts(&id);
                let deadline = self.time();
                self.note(format!("extend {id} {receipts:?} {deadline}"));
                let theirs = now(self.backend().extend(&id, receipts.clone(), deadline));
                let ours = self.model.extend(&id, receipts, deadline);
                self.same(&told(theirs, debug), &told(ours, debug), Strength::Full);
            }
            19 => {
                let receipts = self.some_receipts(&id);
                self.note(format!("release {id} {receipts:?}"));
                let theirs = now(self.backend().release(&id, receipts.clone()));
                let ours = self.model.release(&id, receipts);
                self.same(&told(theirs, debug), &told(ours, debug), Strength::Full);
            }
            20 => {
                let (holder, max) = (self.holder(), self.count());
                self.note(format!("release holder {id} {holder} {max:?}"));
                let theirs = now(self.backend().release_holder(&id, holder, max));
                let ours = self.model.release_holder(&id, holder, max);
                self.same(&told(theirs, debug), &told(ours, debug), Strength::Full);
            }
            21 | 22 => {
                let retries = self.retries(&id);
                let at = self.time();
                self.note(format!("retry {id} {at} {retries:?}"));
                let theirs = now(self.backend().retry(&id, at, retries.clone()));
                let ours = self.model.retry(&id, at, retries);
                self.same(&told(theirs, debug), &told(ours, debug), Strength::Full);
            }
            23 => {
                let ids = self.some_ids(&id);
                self.note(format!("revive {id} {ids:?}"));
                let theirs = now(self.backend().revive(&id, ids.clone()));
                let ours = self.model.revive(&id, ids);
                self.same(&told(theirs, debug), &told(ours, debug), Strength::Full);
            }
            24 => {
                let ids = self.some_ids(&id);
                self.note(format!("delete items {id} {ids:?}"));
                let theirs = now(self.backend().delete_items(&id, ids.clone()));
                let ours = self.model.delete_items(&id, ids);
                self.same(&told(theirs, debug), &told(ours, debug), Strength::Full);
            }
            25 if self.dice.below(3) == 0 => {
                let (states, max) = (self.states(), self.count());
                self.note(format!("clear {id} {states:?} {max:?}"));
                let theirs = now(self.backend().clear(&id, states, max));
                let ours = self.model.clear(&id, states, max);
                self.same(&told(theirs, debug), &told(ours, debug), Strength::Full);
            }
            25 => self.restore(&id),
            26..=28 => {
                let (at, max) = (self.time(), self.count());
                self.note(format!("maintain {id} {at} {max:?}"));
                let theirs = now(self.backend().maintain(&id, at, max));
                let ours = self.model.maintain(&id, at, max);
                self.same(&told(theirs, debug), &told(ours, debug), Strength::Crash);
            }
            29 | 30 => self.commit(),
            31 => {
                let (at, max) = (self.time(), self.count());
                self.note(format!("purge {at} {max:?}"));
                let theirs = now(self.backend().purge(at, max));
                let ours = self.model.purge(at, max);
                self.same(&told(theirs, debug), &told(ours, debug), Strength::Crash);
            }
            32 => {
                self.note("sync".to_owned());
                now(self.backend().sync()).expect("the disk works");
                self.acknowledge(Strength::Synced);
            }
            _ => self.list(&id),
        }
    }

    fn produce(&mut self, id: &PartitionId) {
        let at = self.time();
        let count = self.dice.below(5);
        let batch = self.batch(count).seal(at);
        self.note(format!(
            "produce {id} {:?}",
            batch.records().collect::<Vec<_>>()
        ));
        let theirs = now(self.backend().produce(id, batch.clone()));
        let ours = self.model.produce(id, batch);
        if let Ok(produced) = &theirs {
            for new in produced.ids() {
                self.show_id(id, new);
            }
        }
        self.same(&told(theirs, debug), &told(ours, debug), Strength::Full);
    }

    fn lease(&mut self, id: &PartitionId) {
        let mut request = LeaseRequest::new(self.time(), self.time(), self.count());
        if self.dice.below(3) == 0 {
            request = request.holder(self.holder());
        }
        if self.dice.below(4) == 0 {
            request = request.bytes_max(self.dice.below(30) as u64);
        }
        self.note(format!("lease {id} {request:?}"));
        let theirs = now(self.backend().lease(id, request));
        let ours = self.model.lease(id, request);
        if let Ok(batch) = &theirs {
            for item in batch.iter() {
                let lease = item.receipt().lease.get();
                assert!(
                    lease > self.shown_lease,
                    "{}: lease {lease} again",
                    self.at()
                );
                self.shown_lease = lease;
                self.receipts.push((id.clone(), item.receipt()));
            }
        }
        self.same(&told(theirs, leased), &told(ours, leased), Strength::Crash);
    }

    fn restore(&mut self, id: &PartitionId) {
        // Items as they are or were, with some of their numbers changed.
        let there: Vec<ItemEntry> = self
            .model
            .contents()
            .partitions
            .iter()
            .flat_map(|partition| partition.items.iter().cloned())
            .collect();
        let mut batch = Vec::new();
        for _ in 0..self.dice.below(4) {
            let Some(mut item) = self.pick(&there) else {
                break;
            };
            if self.dice.below(4) != 0 {
                item.id = ItemId::new(1 + self.number()).expect("within the limit");
            }
            let place = Position::new(1 + self.number()).expect("within the limit");
            let other_lease = LeaseId::new(1 + self.number()).expect("within the limit");
            let is_moved = self.dice.below(4) != 0;
            match &mut item.state {
                ItemState::Ready { position } if is_moved => *position = place,
                ItemState::Leased {
                    position, lease, ..
                } if is_moved => (*position, *lease) = (place, other_lease),
                _ => {}
            }
            batch.push(item);
        }
        let mut floors = Floors::none();
        if self.dice.below(4) == 0 {
            let floor = |number: u64| 1 + number;
            floors = floors
                .with_id(ItemId::new(floor(self.number())).expect("within the limit"))
                .and_then(|floors| {
                    floors.with_lease(LeaseId::new(floor(self.number())).expect("within the limit"))
                })
                .and_then(|floors| {
                    floors
                        .with_version(Version::new(floor(self.number())).expect("within the limit"))
                })
                .expect("within the limit");
        }
        let batch = RestoreBatch::new(batch).expect("a small batch");
        let shown: Vec<_> = batch.iter().map(entry).collect();
        self.note(format!("restore {id} {shown:#?} {floors:?}"));
        let theirs = now(self.backend().restore(id, batch.clone(), floors));
        let ours = self.model.restore(id, batch.clone(), floors);
        if theirs.is_ok() {
            for item in batch.iter() {
                let shown = self.shown_ids.entry(id.clone()).or_default();
                *shown = (*shown).max(item.id.get());
                if let ItemState::Leased { lease, .. } = item.state {
                    self.shown_lease = self.shown_lease.max(lease.get());
                }
            }
        }
        self.same(&told(theirs, debug), &told(ours, debug), Strength::Full);
    }

    fn commit(&mut self) {
        let mut request = CommitRequest::new(self.time());
        for _ in 0..self.dice.below(3) {
            let (namespace, key) = (self.namespace(), self.key());
            let version = self.some_version().unwrap_or(Version::MIN);
            let checked = match self.dice.below(5) {
                0 => request.check_absent(&namespace, &key),
                1 => request.check_version(&namespace, &key, version),
                2 => {
                    let seen = self.seen(&namespace);
                    request.check_range(&namespace, KeyRange::all(), seen)
                }
                _ => Ok(()),
            };
            checked.expect("a small commit");
        }
        for _ in 0..self.dice.below(4) {
            let (namespace, key) = (self.namespace(), self.key());
            let expires_at = (self.dice.below(2) == 0).then(|| self.time());
            // A second write to a key is refused, and left away.
            let _ = match self.dice.below(3) {
                0 => request.delete(&namespace, &key),
                _ => {
                    let value = Value::new(vec![7; self.dice.below(9)]).expect("small");
                    request.put(&namespace, &key, value, expires_at)
                }
            };
        }
        for _ in 0..self.dice.below(4) {
            let id = self.partition();
            let added = match self.dice.below(3) {
                0 => {
                    let count = self.dice.below(3);
                    let batch = self.batch(count);
                    request.produce(&id, batch)
                }
                1 => {
                    let receipts = self.valid_receipts(&id);
                    request.complete(&id, receipts)
                }
                _ => {
                    let ids = self.some_ids(&id);
                    request.delete_items(&id, ids)
                }
            };
            added.expect("a small commit");
        }
        self.note(format!("commit {request:?}"));
        let theirs = now(self.backend().commit(request.clone()));
        let ours = self.model.commit(request);
        self.same(&told(theirs, debug), &told(ours, debug), Strength::Full);
    }

    fn list(&mut self, id: &PartitionId) {
        let payloads = self.dice.below(2) == 0;
        match self.dice.below(7) {
            0 => {
                let ids = self.some_ids(id);
                self.note(format!("get {id} {ids:?}"));
                let theirs = now(self.backend().get_items(id, ids.clone(), payloads));
                let ours = self.model.get_items(id, ids, payloads);
                let show = |found: &Vec<Option<ItemEntry>>| {
                    let found = found.iter().map(|found| found.as_ref().map(entry));
                    format!("{:#?}", found.collect::<Vec<_>>())
                };
                self.same(&told(theirs, show), &told(ours, show), Strength::Read);
            }
            1..=3 => {
                let (listing, mut request) = self.listing();
                if !payloads {
                    request = request.without_payloads();
                }
                let mut of = id.clone();
                if self.dice.below(2) == 0
                    && let Some((there, _, cursor)) = self.pick(&self.cursors.clone())
                {
                    request = request.after(cursor);
                    of = there;
                }
                self.note(format!("list {of} {request:?}"));
                let theirs = now(self.backend().list_items(&of, request.clone()));
                let ours = self.model.list_items(&of, request);
                if let Ok(page) = &theirs
                    && let Some(next) = &page.next
                {
                    self.cursors.push((of, listing, next.clone()));
                    if self.cursors.len() > 8 {
                        self.cursors.remove(0);
                    }
                }
                self.same(&told(theirs, items), &told(ours, items), Strength::Read);
            }
            4 => {
                let (at, max) = (self.time(), self.count());
                let from = (self.dice.below(2) == 0).then(|| self.key());
                let to = (self.dice.below(2) == 0).then(|| self.key());
                let direction = match self.dice.below(2) {
                    0 => Direction::Forward,
                    _ => Direction::Backward,
                };
                let mut request = ScanRequest::new(self.namespace(), KeyRange::new(from, to))
                    .direction(direction)
                    .entries_max(max);
                loop {
                    self.note(format!("scan {at} {request:?}"));
                    let theirs = now(self.backend().scan(at, request.clone()));
                    let ours = self.model.scan(at, request.clone());
                    let next = theirs.as_ref().ok().and_then(|page| page.next.clone());
                    self.same(&told(theirs, entries), &told(ours, entries), Strength::Read);
                    let Some(next) = next else { break };
                    request = request.after(next);
                }
            }
            5 => {
                let max = self.count();
                let mut after = None;
                loop {
                    self.note(format!("namespaces {max:?}"));
                    let theirs = now(self.backend().namespaces(after.as_ref(), max));
                    let ours = self.model.namespaces(after.as_ref(), max);
                    after = theirs.as_ref().ok().and_then(|page| page.next.clone());
                    self.same(&told(theirs, debug), &told(ours, debug), Strength::Read);
                    if after.is_none() {
                        break;
                    }
                }
            }
            _ => {
                let max = self.count();
                let mut after = None;
                loop {
                    self.note(format!("partitions {max:?}"));
                    let theirs = now(self.backend().list_partitions(after.as_ref(), max));
                    let ours = self.model.list_partitions(after.as_ref(), max);
                    after = theirs.as_ref().ok().and_then(|page| page.next.clone());
                    self.same(&told(theirs, debug), &told(ours, debug), Strength::Read);
                    if after.is_none() {
                        break;
                    }
                }
            }
        }
    }

    // What must hold.

    fn note(&mut self, operation: String) {
        self.last_operation = operation;
    }

    fn same(&mut self, theirs: &str, ours: &str, strength: Strength) {
        assert!(
            theirs == ours,
            "{}\n--- the driver ---\n{theirs}\n--- the model ---\n{ours}",
            self.at()
        );
        if strength != Strength::Read {
            self.acknowledge(strength);
        }
    }

    /// Notes the state after an operation, and forgets what can no longer be lost.
    fn acknowledge(&mut self, strength: Strength) {
        let contents = self.model.contents().clone();
        let is_durable = match strength {
            Strength::Synced => true,
            Strength::Full => self.setting.durability == Durability::PowerLoss,
            Strength::Crash | Strength::Read => false,
        };
        // What changed nothing, or was refused, has nothing that had to become durable.
        let is_durable =
            is_durable && (strength == Strength::Synced || self.history.last() != Some(&contents));
        if is_durable {
            self.history.clear();
        }
        self.history.push(contents);
    }

    /// The whole state, by listing it.
    fn compare(&mut self) {
        self.note("compare".to_owned());
        let theirs = self.state_of_backend();
        let ours = state_of_model(&mut self.model.clone());
        self.same(&theirs, &ours, Strength::Read);
        let verify = self.backend().verify().expect("the core can");
        let found = now(verify.verify()).expect("the disk works");
        assert!(found.is_empty(), "{}: {found:#?}", self.at());
    }

    fn state_of_backend(&self) -> String {
        let backend = self.backend();
        let mut state = Vec::new();
        let partitions = now(backend.list_partitions(None, Count::MAX)).expect("it is open");
        for info in partitions.items {
            state.push(format!("{info:?}"));
            for request in all_listings() {
                let page = now(backend.list_items(&info.id, request));
                state.push(told(page, items));
            }
            state.push(told(now(backend.stats(&info.id)), debug));
        }
        for namespace in now(backend.namespaces(None, Count::MAX))
            .expect("it is open")
            .items
        {
            let request = ScanRequest::new(namespace.clone(), KeyRange::all());
            let page = now(backend.scan(Timestamp::MIN, request));
            state.push(format!("{namespace:?} {}", told(page, entries)));
        }
        state.join("\n")
    }

    /// What no operation shows: entries that are never seen, and dedup keys.
    fn hidden_in_backend(&self) -> String {
        let kernel = self.backend().kernel();
        let keys = |space| kernel.store.keys(space, Span::all(), usize::MAX);
        let entries = keys(Keyspace::Entries).expect("the disk works").len();
        let mut hidden = vec![format!("{entries} entries")];
        for partition in kernel.all_partitions().expect("the disk works") {
            let prefix = crate::keys::prefix(partition.number);
            let mut of_partition = Vec::new();
            let scanned = kernel
                .store
                .scan_prefix(Keyspace::Dedup, &prefix, |key, row| {
                    let owner = crate::work::decode_owner(row).expect("it decodes");
                    let key = key[prefix.len()..].escape_ascii();
                    of_partition.push(format!("{key} {} {:?}", owner.id, owner.lingers_until));
                    Ok(std::ops::ControlFlow::Continue(()))
                });
            scanned.expect("the disk works");
            hidden.push(format!("{} {of_partition:?}", partition.id));
        }
        hidden.join("\n")
    }

    fn reopen(&mut self) {
        self.note("reopen".to_owned());
        now(self.backend().close()).expect("the disk works");
        self.backend = None;
        self.open();
        self.acknowledge(Strength::Synced);
        self.compare();
    }

    /// The power goes, or the process.
    fn crash(&mut self) {
        let unsynced = self.disk.unsynced();
        let is_kill = self.dice.below(2) == 0;
        let survives = self.setting.survives_kill && E::KEEPS_BATCHES;
        let kept = match is_kill && survives {
            // Every batch is with the system already.
            true => unsynced,
            false => self.dice.below(unsynced + 1),
        };
        self.note(format!(
            "crash, {kept} of {unsynced} batches kept, killed {is_kill}"
        ));
        self.disk.crash(kept);
        // The dead backend notices when it is dropped, and must not mind.
        self.backend = None;
        self.open();

        let found = self.state_of_backend() + &self.hidden_in_backend();
        // A process that is killed loses nothing that was acknowledged, unless that was promised to nobody.
        let is_promised = is_kill && self.setting.durability != Durability::None;
        let candidates = match is_promised {
            true => &self.history[self.history.len() - 1..],
            false => &self.history[..],
        };
        let state = |contents: &Contents| {
            state_of_model(&mut Model::of(contents.clone())) + &hidden_in_model(contents)
        };
        let matching = candidates
            .iter()
            .rev()
            .find(|contents| state(contents) == found);
        let Some(matching) = matching else {
            let last = self.history.last().map(state).unwrap_or_default();
            panic!(
                "{}: what was found is no prefix of {} that could be\n--- found ---\n{found}\n--- the last ---\n{last}",
                self.at(),
                candidates.len()
            );
        };
        let mut contents = matching.clone();
        self.take_numbers(&mut contents);
        self.history = vec![contents.clone()];
        self.model = Model::of(contents);
        self.compare();
    }

    /// After a crash the numbers go on where the driver says, which is behind all that anybody was shown.
    fn take_numbers(&self, contents: &mut Contents) {
        let kernel = self.backend().kernel();
        for partition in &mut contents.partitions {
            let found = kernel.find(Operation::Stats, &partition.info.id);
            let found = found.expect("the disk works").expect("it is listed");
            let next = found.try_lock().expect("nobody is inside").counters.next;
            let shown = self.shown_ids.get(&partition.info.id).copied().unwrap_or(0);
            assert!(
                next.id > shown,
                "{}: id {shown} could be given again",
                self.at()
            );
            assert!(next.id > partition.last_id && next.position > partition.last_position);
            (partition.last_id, partition.last_position) = (next.id - 1, next.position - 1);
        }
        let numbers = kernel.numbers.lock();
        let row = numbers.row();
        assert!(row.leases.last >= self.shown_lease, "{}: leases", self.at());
        assert!(
            row.versions.last >= self.shown_version,
            "{}: versions",
            self.at()
        );
        contents.last_lease = row.leases.last;
        contents.last_version = row.versions.last;
        contents.deleted_number = row.floor;
    }

    fn show_id(&mut self, partition: &PartitionId, id: ItemId) {
        let shown = self.shown_ids.entry(partition.clone()).or_default();
        assert!(
            id.get() > *shown,
            "seed {}, step {}: id {id} of {partition} again",
            self.seed,
            self.step
        );
        *shown = id.get();
    }

    fn show_version(&mut self, version: Version) {
        assert!(
            version.get() > self.shown_version,
            "{}: version again",
            self.at()
        );
        self.shown_version = version.get();
    }
}

fn all_listings() -> [ListRequest; 4] {
    [
        ListRequest::by_id(States::ALL),
        ListRequest::ready(),
        ListRequest::scheduled(),
        ListRequest::leased(),
    ]
}

fn state_of_model(model: &mut Model) -> String {
    let mut state = Vec::new();
    let infos: Vec<_> = model
        .contents()
        .partitions
        .iter()
        .map(|partition| partition.info.clone())
        .collect();
    for info in infos {
        state.push(format!("{info:?}"));
        for request in all_listings() {
            state.push(told(model.list_items(&info.id, request), items));
        }
        state.push(told(model.stats(&info.id), debug));
    }
    for namespace in model
        .namespaces(None, Count::MAX)
        .expect("it is open")
        .items
    {
        let request = ScanRequest::new(namespace.clone(), KeyRange::all());
        let page = model.scan(Timestamp::MIN, request);
        state.push(format!("{namespace:?} {}", told(page, entries)));
    }
    state.join("\n")
}

fn hidden_in_model(contents: &Contents) -> String {
    let mut hidden = vec![format!("{} entries", contents.metadata.len())];
    for partition in &contents.partitions {
        let living = partition.items.iter().filter_map(|item| {
            let key = item.record.view().dedup_key()?;
            Some((key.to_vec(), item.id.get(), None))
        });
        let gone = partition.gone_keys.iter();
        let gone = gone.map(|gone| (gone.key.to_vec(), gone.of.get(), Some(gone.due_at)));
        let mut keys: Vec<_> = living.chain(gone).collect();
        keys.sort();
        let keys: Vec<_> = keys
            .into_iter()
            .map(|(key, id, until)| format!("{} {id} {until:?}", key.escape_ascii()))
            .collect();
        hidden.push(format!("{} {keys:?}", partition.info.id));
    }
    hidden.join("\n")
}

/// How many worlds a test runs: many more if the environment asks for them.
#[expect(
    clippy::disallowed_methods,
    reason = "a test may be told how long to run"
)]
fn worlds(usual: u64) -> u64 {
    let asked = std::env::var("STORAGE_KV_WORLDS").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(usual)
}

fn simulate<E: Engine>(worlds: u64, steps: usize, crash_one_in: usize) {
    for seed in 0..worlds {
        let setting = SETTINGS[usize::try_from(seed).unwrap_or(0) % SETTINGS.len()];
        World::<E>::new(seed, setting).run(steps, crash_one_in);
    }
}

#[test]
fn every_answer_is_that_of_the_model() {
    simulate::<SimKv>(worlds(150), 300, 0);
}

#[test]
fn every_answer_through_an_overlay_is_that_of_the_model() {
    simulate::<Overlay<SimKv>>(worlds(60), 300, 0);
}

#[test]
fn what_a_power_loss_leaves_is_a_prefix_with_all_that_was_acknowledged() {
    simulate::<SimKv>(worlds(300), 100, 12);
}

#[test]
fn what_a_power_loss_leaves_of_an_overlay_is_a_prefix_with_all_that_was_acknowledged() {
    simulate::<Overlay<SimKv>>(worlds(150), 100, 12);
}
