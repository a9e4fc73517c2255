//! Which call a task makes next: from a seed, biased so that tasks get into each other's way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use storage_api::{
    CommitRequest, Count, DeadPolicy, DeadReason, Direction, Holder, ItemBatch, ItemEntry, ItemId,
    ItemIds, ItemState, Key, KeyRange, LeaseRequest, ListRequest, Mode, Namespace, NewItem, Note,
    PartitionConfig, PartitionId, Position, Receipt, Receipts, Record, Requeue, RestoreBatch,
    Retries, Retry, RetryOutcome, RetryTo, ScanRequest, State, States, UpdateOutcome, Version,
};

use super::call::Call;
use super::request::{Answer, Request};
use crate::env::{at, count, key, namespace, partition_id, value};

/// What the calls of a history are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The items of one partition.
    OnePartition,
    /// The items of two partitions, and commits over both and the metadata.
    Commits,
    /// Reads of metadata, and commits that check what was read.
    Transactions,
    /// Partitions that come and go, with what is in them, and commits that may find them gone.
    Partitions,
}

impl Subject {
    pub(crate) const ALL: [Self; 4] = [
        Self::OnePartition,
        Self::Commits,
        Self::Transactions,
        Self::Partitions,
    ];
}

/// Numbers that no driver gives by itself, for restored items: far above, and far from each other.
const RESTORED: u64 = 1 << 40;

/// What the tasks of a history have learned, and tell each other.
#[derive(Debug, Default)]
pub(crate) struct Known {
    homes: BTreeMap<PartitionId, Home>,
    clock: i64,
    items_restored: u64,
}

#[derive(Debug, Default)]
struct Home {
    ids: Vec<ItemId>,
    receipts: Vec<Receipt>,
    /// Items that a retry has made dead.
    dead: Vec<ItemId>,
    revisions: Vec<Version>,
}

/// Chooses the calls of one task.
pub(crate) struct Chooser {
    random: ChaCha8Rng,
    subject: Subject,
    lane: usize,
    calls_made: usize,
    known: Arc<Mutex<Known>>,
    /// What this task has read last, and checks when it commits.
    read: BTreeMap<(Namespace, Key), Option<Version>>,
    scanned: Option<Scanned>,
}

/// What a range held.
#[derive(Debug, Clone)]
struct Scanned {
    namespace: Namespace,
    range: KeyRange,
    seen: Vec<(Key, Version)>,
}

impl Chooser {
    pub(crate) fn new(seed: u64, subject: Subject, lane: usize, known: Arc<Mutex<Known>>) -> Self {
        // Streams of one seed are independent.
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(lane as u64 + 1);
        Self {
            random,
            subject,
            lane,
            calls_made: 0,
            known,
            read: BTreeMap::new(),
            scanned: None,
        }
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        // The bias of the remainder does not matter here.
        self.random.next_u32() % end
    }

    fn one_in(&mut self, chances: u32) -> bool {
        self.below(chances) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(u32::try_from(choices.len()).expect("few choices")) as usize].clone()
    }

    /// One of the latest.
    fn recent<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        let back = self.below(4) as usize;
        list.iter()
            .rev()
            .nth(back.min(list.len().checked_sub(1)?))
            .copied()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic elsewhere leaves the lists whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls that make the stage, one after the other.
    pub(crate) fn stage(&mut self) -> Vec<Request> {
        let partitions = self.partitions();
        let mut requests = Vec::new();
        for id in partitions {
            if self.subject != Subject::Partitions || self.one_in(2) {
                let config = self.config();
                requests.push(Request::CreatePartition(id.clone(), config));
                self.calls_made += 1;
                requests.push(Request::Produce(id, self.batch(3).seal(at(0))));
            }
        }
        if matches!(self.subject, Subject::Transactions | Subject::Commits) {
            let mut request = CommitRequest::new(at(0));
            self.calls_made += 1;
            for name in &KEYS[..2] {
                let content = value(format!("first {name}"));
                let put = request.put(&namespace("n"), &key(name), content, None);
                put.expect("a small commit");
            }
            requests.push(Request::Commit(request));
        }
        requests
    }

    /// The calls that look at everything once the tasks have ended.
    pub(crate) fn looks(&self) -> Vec<Request> {
        let mut requests = vec![
            Request::ListPartitions(Count::MAX),
            Request::Namespaces(Count::MAX),
        ];
        for id in self.partitions() {
            requests.push(Request::Stats(id.clone()));
            for request in [ListRequest::by_id(States::ALL), ListRequest::ready()] {
                requests.push(Request::ListItems(id.clone(), request));
            }
        }
        for space in NAMESPACES {
            let request = ScanRequest::new(namespace(space), KeyRange::all());
            requests.push(Request::Scan(at(0), request));
        }
        requests
    }

    fn partitions(&self) -> Vec<PartitionId> {
        match self.subject {
            Subject::OnePartition => vec![partition_id("h", 1)],
            Subject::Commits | Subject::Partitions => {
                vec![partition_id("h", 1), partition_id("h", 10)]
            }
            Subject::Transactions => Vec::new(),
        }
    }

    /// Takes in what a call of this task has answered.
    pub(crate) fn learn(&mut self, call: &Call) {
        let mut known = self.known();
        for (partition, produced) in call.produced() {
            let home = known.homes.entry(partition.clone()).or_default();
            home.ids.extend(produced.ids());
        }
        if let Request::Lease(partition, _) = &call.request {
            let home = known.homes.entry(partition.clone()).or_default();
            let receipts = call.shown().into_iter().filter_map(ItemEntry::receipt);
            home.receipts.extend(receipts);
        }
        if let (Request::Retry(partition, _, retries), Some(Answer::Retried(outcomes))) =
            (&call.request, call.answer())
        {
            let retried = retries.iter().zip(outcomes);
            let dead = retried.filter(|(_, outcome)| matches!(outcome, RetryOutcome::Dead(_)));
            let home = known.homes.entry(partition.clone()).or_default();
            home.dead.extend(dead.map(|(retry, _)| retry.receipt.item));
        }
        let revision = match (&call.request, call.answer()) {
            (_, Some(Answer::Partition(info))) => Some((&info.id, info.revision)),
            (
                Request::UpdatePartition(id, ..),
                Some(Answer::Updated(
                    UpdateOutcome::Updated(version) | UpdateOutcome::Conflict(version),
                )),
            ) => Some((id, *version)),
            _ => None,
        };
        if let Some((partition, revision)) = revision {
            let home = known.homes.entry(partition.clone()).or_default();
            home.revisions.push(revision);
        }
        drop(known);
        match (&call.request, call.answer()) {
            (Request::Get(_, space, name), Some(Answer::Entry(entry))) => {
                let version = entry.as_ref().map(|entry| entry.version);
                self.read.insert((space.clone(), name.clone()), version);
            }
            (Request::Scan(_, request), Some(Answer::Entries(page))) if !page.has_next => {
                let seen = page.items.iter();
                let seen = seen
                    .map(|entry| (entry.key.clone(), entry.version))
                    .collect();
                self.scanned = Some(Scanned {
                    namespace: request.namespace.clone(),
                    range: request.range.clone(),
                    seen,
                });
            }
            _ => {}
        }
    }

    /// The next call of this task.
    pub(crate) fn next(&mut self) -> Request {
        self.calls_made += 1;
        match self.subject {
            Subject::OnePartition => self.on_items(),
            Subject::Commits => match self.below(20) {
                0..=7 => self.commit(),
                8..=9 => self.read(),
                _ => self.on_items(),
            },
            Subject::Transactions => match self.below(20) {
                0..=8 => self.commit(),
                9 => Request::Purge(self.now(), count(2)),
                _ => self.read(),
            },
            Subject::Partitions => match self.below(20) {
                0..=2 => Request::CreatePartition(self.partition(), self.config()),
                3 => Request::DeletePartition(self.partition()),
                4..=8 => {
                    let partition = self.partition();
                    let revisions = self.given(&partition, |home| home.revisions.clone());
                    let latest = revisions.last().copied();
                    let expected = if self.one_in(4) { None } else { latest };
                    Request::UpdatePartition(partition, expected, self.config())
                }
                9 => Request::ListPartitions(self.max()),
                10 => Request::Partition(self.partition()),
                11..=13 => self.commit(),
                14 => self.read(),
                _ => self.on_items(),
            },
        }
    }

    fn on_items(&mut self) -> Request {
        let (partition, now) = (self.partition(), self.now());
        match self.below(60) {
            0..=11 => Request::Produce(partition, self.batch(3).seal(now)),
            12..=24 => {
                let deadline = self.near(now);
                let mut request = LeaseRequest::new(now, deadline, self.max());
                if self.one_in(3) {
                    request = request.holder(self.holder());
                }
                if self.one_in(6) {
                    request = request.bytes_max(u64::from(self.below(12)));
                }
                Request::Lease(partition, request)
            }
            25..=31 => Request::Complete(partition.clone(), self.receipts(&partition)),
            32..=37 => Request::Retry(partition.clone(), now, self.retries(&partition, now)),
            38..=39 => {
                let receipts = self.receipts(&partition);
                Request::Extend(partition, receipts, self.near(now))
            }
            40..=42 => Request::Release(partition.clone(), self.receipts(&partition)),
            43 => Request::ReleaseHolder(partition, self.holder(), self.max()),
            44..=47 => Request::Maintain(partition, now, self.max()),
            48..=50 => {
                let dead = self.given(&partition, |home| home.dead.clone());
                let ids = match self.recent(&dead) {
                    Some(dead) if !self.one_in(4) => ItemIds::one(dead),
                    _ => self.ids(&partition),
                };
                Request::Revive(partition, ids)
            }
            51 => Request::DeleteItems(partition.clone(), self.ids(&partition)),
            52 => Request::GetItems(partition.clone(), self.ids(&partition), self.one_in(2)),
            53..=55 => Request::ListItems(partition, self.listing()),
            56..=57 => Request::Stats(partition),
            58 => {
                let states = [State::ALL.into(), vec![State::Dead], vec![State::Ready]];
                Request::Clear(partition, States::of(self.of(&states)), self.max())
            }
            _ => Request::Restore(partition, self.restored(now)),
        }
    }

    fn partition(&mut self) -> PartitionId {
        let partitions = self.partitions();
        self.of(&partitions)
    }

    /// Mostly a little later than before, sometimes earlier.
    fn now(&mut self) -> storage_api::Timestamp {
        let (step, back) = (self.below(3), self.below(8));
        let mut known = self.known();
        known.clock += i64::from(step / 2);
        at(known.clock - i64::from(back / 6))
    }

    fn near(&mut self, now: storage_api::Timestamp) -> storage_api::Timestamp {
        at(now.as_micros() + i64::from(self.below(6)) - 1)
    }

    fn max(&mut self) -> Count {
        count(self.of(&[1, 1, 2, 3, 100]))
    }

    fn holder(&mut self) -> Holder {
        Holder::new(self.of(&[1, 2])).expect("not zero")
    }

    fn config(&mut self) -> PartitionConfig {
        let requeue = self.of(&[Requeue::Tail, Requeue::Original]);
        let dead = self.of(&[DeadPolicy::Keep, DeadPolicy::Keep, DeadPolicy::Drop]);
        let mode = match self.below(16) {
            0 => Mode::Draining,
            1 if self.subject == Subject::Partitions => Mode::Frozen,
            _ => Mode::Open,
        };
        PartitionConfig::default()
            .with_attempts_max(self.of(&[0, 0, 1, 2]))
            .with_requeue(requeue)
            .with_dead(dead)
            .with_dedup_for(Duration::from_micros(self.of(&[0, 0, 4])))
            .with_items_max(self.of(&[0, 0, 0, 5]))
            .with_mode(mode)
    }

    /// Items that say which call of which task they are of.
    fn batch(&mut self, items_max: u32) -> ItemBatch {
        let mut batch = ItemBatch::new();
        for index in 0..=self.below(items_max) {
            let name = format!("{}.{}.{index}", self.lane, self.calls_made);
            let mut item = NewItem::new(&name).reference(&name);
            if self.one_in(4) {
                item = item.priority(99);
            }
            if self.one_in(4) {
                item = item.dedup_key(["k", "l"][self.below(2) as usize]);
            }
            let now = at(self.known().clock);
            if self.one_in(5) {
                item = item.enqueue_at(self.near(now));
            }
            if self.one_in(6) {
                item = item.expire_at(self.near(now));
            }
            batch.push(item).expect("few small items");
        }
        batch
    }

    fn receipts(&mut self, partition: &PartitionId) -> Receipts {
        let given = self.given(partition, |home| home.receipts.clone());
        let picks = (0..=self.below(2)).filter_map(|_| self.recent(&given));
        Receipts::collect(picks.collect::<Vec<_>>()).expect("few receipts")
    }

    fn retries(&mut self, partition: &PartitionId, now: storage_api::Timestamp) -> Retries {
        let receipts = self.receipts(partition);
        let retries = receipts.into_iter().map(|receipt| {
            let to = match self.below(4) {
                0 | 1 => RetryTo::Now,
                2 => RetryTo::At(self.near(now)),
                _ => RetryTo::Dead,
            };
            let mut retry = Retry::new(receipt, to);
            retry.note = self.one_in(3).then(|| Note::truncated("again"));
            retry
        });
        Retries::collect(retries.collect::<Vec<_>>()).expect("few retries")
    }

    fn ids(&mut self, partition: &PartitionId) -> ItemIds {
        let given = self.given(partition, |home| home.ids.clone());
        let picks = (0..=self.below(2)).filter_map(|_| self.recent(&given));
        ItemIds::collect(picks.collect::<Vec<_>>()).expect("few ids")
    }

    fn given<T>(&self, partition: &PartitionId, of: impl Fn(&Home) -> Vec<T>) -> Vec<T> {
        self.known().homes.get(partition).map_or_else(Vec::new, of)
    }

    fn listing(&mut self) -> ListRequest {
        let request = match self.below(4) {
            0 | 1 => ListRequest::by_id(States::ALL),
            2 => ListRequest::ready(),
            _ => ListRequest::leased(),
        };
        request.items_max(self.of(&[Count::MAX, Count::MAX, count(2)]))
    }

    /// An item of numbers that nobody has, beside another.
    fn restored(&mut self, now: storage_api::Timestamp) -> RestoreBatch {
        let entries = (0..=self.below(2)).map(|_| {
            let mut known = self.known();
            known.items_restored += 1;
            let number = known.items_restored * RESTORED;
            drop(known);
            let record = self.record(number, now);
            let position = Position::new(number).expect("far below the limit");
            let state = if self.one_in(3) {
                let died_at = now;
                let reason = DeadReason::Rejected;
                ItemState::Dead { reason, died_at }
            } else {
                ItemState::Ready { position }
            };
            ItemEntry::new(
                ItemId::new(number).expect("far below the limit"),
                record,
                state,
            )
        });
        RestoreBatch::new(entries.collect()).expect("few small items")
    }

    fn record(&self, number: u64, now: storage_api::Timestamp) -> Record {
        let name = format!("{}.{}.r{}", self.lane, self.calls_made, number / RESTORED);
        let mut batch = ItemBatch::new();
        let pushed = batch.push(NewItem::new(&name).reference(&name));
        pushed.expect("a small item");
        batch.seal(now).shared_record(0).detached()
    }

    fn key(&mut self) -> (Namespace, Key) {
        let space = if self.one_in(6) { 1 } else { 0 };
        (namespace(NAMESPACES[space]), key(self.of(&KEYS)))
    }

    fn read(&mut self) -> Request {
        let (space, name) = self.key();
        let now = self.now();
        match self.below(10) {
            0..=4 => Request::Get(now, space, name),
            5 => Request::Namespaces(Count::MAX),
            _ => {
                let to = self.one_in(3).then(|| key("c"));
                let mut request = ScanRequest::new(space, KeyRange::new(None, to));
                if self.one_in(4) {
                    request = request.direction(Direction::Backward);
                }
                if self.one_in(5) {
                    request = request.entries_max(count(1));
                }
                Request::Scan(now, request)
            }
        }
    }

    /// Mostly one that checks what this task has read.
    fn commit(&mut self) -> Request {
        let now = self.now();
        let mut request = CommitRequest::new(now);
        let read: Vec<_> = self
            .read
            .iter()
            .map(|(at, version)| (at.clone(), *version))
            .collect();
        let scanned = self.scanned.clone();
        // Few checks on few keys, each written once: always within the limits.
        for _ in 0..self.below(3) {
            let added = match (self.below(3), &scanned) {
                (
                    0,
                    Some(Scanned {
                        namespace,
                        range,
                        seen,
                    }),
                ) => request.check_range(namespace, range.clone(), seen.clone()),
                _ if read.is_empty() => Ok(()),
                _ => match self.of(&read) {
                    ((space, name), Some(version)) => request.check_version(&space, &name, version),
                    ((space, name), None) => request.check_absent(&space, &name),
                },
            };
            added.expect("few checks");
        }
        for _ in 0..self.below(3) {
            let (space, name) = self.key();
            // A second write to a key is refused, and leaves the request as it was (clause META-7).
            let _ = if self.one_in(5) {
                request.delete(&space, &name)
            } else {
                let content = format!("{}.{} of {name}", self.lane, self.calls_made);
                let expires_at = self.one_in(8).then(|| self.near(now));
                request.put(&space, &name, value(content), expires_at)
            };
        }
        if matches!(self.subject, Subject::Commits | Subject::Partitions) {
            for _ in 0..self.below(3) {
                let partition = self.partition();
                let added = match self.below(4) {
                    0 | 1 => {
                        self.calls_made += 1;
                        let batch = self.batch(2);
                        request.produce(&partition, batch)
                    }
                    2 => request.complete(&partition, self.receipts(&partition)),
                    _ => request.delete_items(&partition, self.ids(&partition)),
                };
                added.expect("few steps");
            }
        }
        Request::Commit(request)
    }

    /// Whether the next call is to be dropped, and after how many polls.
    pub(crate) fn drops_after(&mut self) -> Option<usize> {
        let polls = self.below(4) as usize + 1;
        self.one_in(5).then_some(polls)
    }
}

const NAMESPACES: [&str; 2] = ["n", "m"];
const KEYS: [&str; 4] = ["a", "b", "c", "d"];
