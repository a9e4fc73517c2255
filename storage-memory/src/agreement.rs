//! Random calls on the backend and the model side by side: same answers, sound indexes.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use storage_api::{
    CommitRequest, Count, DeadPolicy, Error, Floors, Holder, ItemBatch, ItemId, ItemIds, ItemStore,
    Key, KeyRange, LeaseId, LeaseRequest, ListRequest, Listing, Maintained, MetadataStore, Mode,
    Namespace, NewItem, Operation, PartitionConfig, PartitionId, PartitionStore, Receipt, Receipts,
    Requeue, RestoreBatch, Result, Retries, Retry, RetryTo, ScanRequest, Shortcut, State, States,
    StorageBackend, Timestamp, Value,
};
use storage_model::Model;

use crate::stories::{done, id};
use crate::{MemoryBackend, MemoryConfig};

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to but without `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    /// One of few times, so that times collide and go backwards.
    fn time(&mut self) -> Timestamp {
        Timestamp::from_micros(self.below(30).cast_signed())
    }

    fn count(&mut self) -> Count {
        Count::clamped(usize::try_from(self.below(6)).unwrap())
    }

    fn list<T>(&mut self, mut draw: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(5)).map(|_| draw(self)).collect()
    }

    fn id(&mut self) -> ItemId {
        ItemId::new(1 + self.below(40)).unwrap()
    }

    fn states(&mut self) -> States {
        States::of(State::ALL.into_iter().filter(|_| self.one_in(2)))
    }

    fn holder(&mut self) -> Option<Holder> {
        Holder::new(self.below(3)).ok()
    }

    fn batch(&mut self) -> ItemBatch {
        let mut batch = ItemBatch::new();
        for _ in 0..self.below(4) {
            let payload = vec![7; usize::try_from(self.below(20)).unwrap()];
            let key = [u8::try_from(self.below(6)).unwrap()];
            let mut item = NewItem::new(&payload)
                .priority(u8::try_from(self.below(2)).unwrap())
                .attempts_max(u32::try_from(self.below(3)).unwrap());
            if self.one_in(3) {
                item = item.enqueue_at(self.time());
            }
            if self.one_in(3) {
                item = item.expire_at(self.time());
            }
            if self.one_in(2) {
                item = item.dedup_key(&key);
            }
            batch.push(item).unwrap();
        }
        batch
    }

    fn config(&mut self) -> PartitionConfig {
        let pick = |dice: &mut Self| dice.one_in(2);
        PartitionConfig::default()
            .with_attempts_max(u32::try_from(self.below(4)).unwrap())
            .with_requeue(if pick(self) {
                Requeue::Original
            } else {
                Requeue::Tail
            })
            .with_dead(if pick(self) {
                DeadPolicy::Drop
            } else {
                DeadPolicy::Keep
            })
            .with_dedup_for(Duration::from_micros(self.below(3) * 8))
            .with_items_max(if pick(self) { 12 } else { 0 })
            .with_bytes_max(if pick(self) { 100 } else { 0 })
            .with_mode(match self.below(8) {
                0 => Mode::Draining,
                1 => Mode::Frozen,
                _ => Mode::Open,
            })
    }
}

struct Pair {
    backend: MemoryBackend,
    model: Model,
    dice: Dice,
    /// Receipts that were given out, valid or not.
    receipts: Vec<Receipt>,
    /// Shortcuts that were found, whether their partitions are there or not.
    shortcuts: Vec<(PartitionId, Arc<dyn Shortcut>)>,
    log: Log,
}

/// The calls so far.
struct Log(Vec<String>);

impl Log {
    /// Fails unless both answered the same; of errors the kind and the object.
    fn same<T: Debug + PartialEq>(&mut self, call: String, found: Result<T>, expected: Result<T>) {
        self.0.push(call);
        let comparable = |answer: Result<T>| {
            answer.map_err(|error: Error| (error.kind(), error.outcome(), error.retry_hint()))
        };
        assert_eq!(
            comparable(found),
            comparable(expected),
            "backend (left) and model differ after:\n{}",
            self.0.join("\n")
        );
    }
}

impl Pair {
    fn receipt(&mut self) -> Receipt {
        let count = self.receipts.len() as u64;
        if count == 0 || self.dice.one_in(10) {
            let lease = LeaseId::new(1 + self.dice.below(40)).unwrap();
            let item = self.dice.id();
            return Receipt { item, lease };
        }
        // The late ones are mostly those that are valid.
        let back = self.dice.below(count.min(12));
        self.receipts[usize::try_from(count - 1 - back).unwrap()]
    }

    /// Half of the time a shortcut, now or formerly that of the partition.
    fn shortcut(&mut self, home: &PartitionId) -> Option<Arc<dyn Shortcut>> {
        if self.dice.one_in(2) {
            return None;
        }
        if let Some(shortcut) = self.backend.shortcut(home).filter(|_| self.dice.one_in(4)) {
            self.shortcuts.push((home.clone(), shortcut));
        }
        let of_home = self.shortcuts.iter().filter(|(of, _)| of == home);
        let known: Vec<_> = of_home.map(|(_, shortcut)| shortcut).collect();
        let drawn = self.dice.below(known.len().max(1) as u64);
        known
            .get(usize::try_from(drawn).unwrap())
            .map(|shortcut| Arc::clone(shortcut))
    }

    fn receipts(&mut self) -> Receipts {
        let receipts = (0..self.dice.below(5)).map(|_| self.receipt()).collect();
        Receipts::new(receipts).unwrap()
    }

    fn step(&mut self) {
        let home = id("q", u32::try_from(self.dice.below(2)).unwrap());
        let now = self.dice.time();
        match self.dice.below(20) {
            0 => self.partitions(&home),
            1..=4 => {
                let batch = self.dice.batch().seal(now);
                let shortcut = self.shortcut(&home);
                let found = shortcut.and_then(|shortcut| shortcut.produce(&batch));
                let found =
                    found.unwrap_or_else(|| done(self.backend.produce(&home, batch.clone())));
                self.log.same(
                    format!("produce into {home}: {batch:?}"),
                    found,
                    self.model.produce(&home, batch),
                );
            }
            5..=7 => self.lease(&home, now),
            8 | 9 => {
                let receipts = self.receipts();
                let shortcut = self.shortcut(&home);
                let found = shortcut.and_then(|shortcut| shortcut.complete(&receipts));
                let found =
                    found.unwrap_or_else(|| done(self.backend.complete(&home, receipts.clone())));
                self.log.same(
                    format!("complete in {home}: {receipts:?}"),
                    found,
                    self.model.complete(&home, receipts),
                );
            }
            10 | 11 => self.retry(&home, now),
            12 => {
                let (receipts, deadline) = (self.receipts(), self.dice.time());
                self.log.same(
                    format!("extend in {home} to {deadline:?}: {receipts:?}"),
                    done(self.backend.extend(&home, receipts.clone(), deadline)),
                    self.model.extend(&home, receipts, deadline),
                );
            }
            13 => self.give_back(&home),
            14 => {
                let ids = ItemIds::new(self.dice.list(Dice::id)).unwrap();
                self.log.same(
                    format!("revive in {home}: {ids:?}"),
                    done(self.backend.revive(&home, ids.clone())),
                    self.model.revive(&home, ids),
                );
            }
            15 | 16 => self.maintain(&home, now),
            17 => self.remove(&home),
            18 => self.restore(&home),
            _ => self.commit(now),
        }
        self.look(&home, now);
    }

    fn partitions(&mut self, home: &PartitionId) {
        let config = self.dice.config();
        match self.dice.below(6) {
            0 => self.log.same(
                format!("delete {home}"),
                done(self.backend.delete_partition(home)),
                self.model.delete_partition(home),
            ),
            1..=3 => self.log.same(
                format!("update {home}: {config:?}"),
                done(self.backend.update_partition(home, None, config.clone())),
                self.model.update_partition(home, None, config),
            ),
            _ => self.log.same(
                format!("create {home}: {config:?}"),
                done(self.backend.create_partition(home, config.clone())),
                self.model.create_partition(home, config),
            ),
        }
    }

    fn lease(&mut self, home: &PartitionId, now: Timestamp) {
        let mut request = LeaseRequest::new(now, self.dice.time(), self.dice.count());
        request.holder = self.dice.holder();
        if self.dice.one_in(3) {
            request = request.bytes_max(self.dice.below(40));
        }
        let shortcut = self.shortcut(home);
        let found = match shortcut.and_then(|shortcut| shortcut.lease(&request)) {
            Some(leased) => {
                let maintained = self.model.maintain(home, now, Count::MAX);
                assert_eq!(maintained.as_ref().map(Maintained::handled).ok(), Some(0));
                let leased = leased.map(|(leased, next_due)| {
                    assert_eq!(Some(next_due), maintained.ok().map(|it| it.next_due));
                    leased
                });
                self.log.0.push("by the shortcut".to_owned());
                leased
            }
            None => done(self.backend.lease(home, request)),
        };
        if let Ok(batch) = &found {
            self.receipts.extend(batch.receipts());
        }
        let entries = |batch: storage_api::LeasedBatch| -> Vec<_> {
            batch.iter().map(|item| item.to_entry()).collect()
        };
        self.log.same(
            format!("lease from {home}: {request:?}"),
            found.map(entries),
            self.model.lease(home, request).map(entries),
        );
    }

    fn retry(&mut self, home: &PartitionId, now: Timestamp) {
        let retries = (0..self.dice.below(4))
            .map(|_| {
                let to = match self.dice.below(4) {
                    0 => RetryTo::Dead,
                    1 => RetryTo::Now,
                    _ => RetryTo::At(self.dice.time()),
                };
                let retry = Retry::new(self.receipt(), to);
                if self.dice.one_in(2) {
                    return retry.with_note("a note").unwrap();
                }
                retry
            })
            .collect();
        let retries = Retries::new(retries).unwrap();
        self.log.same(
            format!("retry in {home} at {now:?}: {retries:?}"),
            done(self.backend.retry(home, now, retries.clone())),
            self.model.retry(home, now, retries),
        );
    }

    fn give_back(&mut self, home: &PartitionId) {
        if let Some(holder) = self.dice.holder() {
            let count = self.dice.count();
            self.log.same(
                format!("release holder {holder} in {home}: {count:?}"),
                done(self.backend.release_holder(home, holder, count)),
                self.model.release_holder(home, holder, count),
            );
            return;
        }
        let receipts = self.receipts();
        self.log.same(
            format!("release in {home}: {receipts:?}"),
            done(self.backend.release(home, receipts.clone())),
            self.model.release(home, receipts),
        );
    }

    fn maintain(&mut self, home: &PartitionId, now: Timestamp) {
        let count = self.dice.count();
        self.log.same(
            format!("maintain {home} at {now:?}: {count:?}"),
            done(self.backend.maintain(home, now, count)),
            self.model.maintain(home, now, count),
        );
    }

    fn remove(&mut self, home: &PartitionId) {
        if self.dice.one_in(3) {
            let (states, count) = (self.dice.states(), self.dice.count());
            self.log.same(
                format!("clear {home}: {states:?} {count:?}"),
                done(self.backend.clear(home, states, count)),
                self.model.clear(home, states, count),
            );
            return;
        }
        let ids = ItemIds::new(self.dice.list(Dice::id)).unwrap();
        self.log.same(
            format!("delete in {home}: {ids:?}"),
            done(self.backend.delete_items(home, ids.clone())),
            self.model.delete_items(home, ids),
        );
    }

    /// Restores what another partition holds, or what this one held, under ids that may be taken.
    fn restore(&mut self, home: &PartitionId) {
        let source = id("q", u32::try_from(self.dice.below(2)).unwrap());
        let request = ListRequest::by_id(States::ALL).items_max(self.dice.count());
        let Ok(page) = self.model.list_items(&source, request) else {
            return;
        };
        let mut entries = page.items;
        for entry in &mut entries {
            if self.dice.one_in(2) {
                entry.id = self.dice.id();
            }
        }
        let batch = RestoreBatch::new(entries).unwrap();
        let floors = Floors::none().with_id(self.dice.id()).unwrap();
        self.log.same(
            format!("restore into {home}: {batch:?} {floors:?}"),
            done(self.backend.restore(home, batch.clone(), floors)),
            self.model.restore(home, batch, floors),
        );
    }

    fn key(&mut self) -> (Namespace, Key) {
        let namespace = ["m", "n"][usize::from(self.dice.one_in(3))];
        let key = vec![u8::try_from(self.dice.below(4)).unwrap()];
        (Namespace::new(namespace).unwrap(), Key::new(key).unwrap())
    }

    fn commit(&mut self, now: Timestamp) {
        let mut request = CommitRequest::new(now);
        for _ in 0..self.dice.below(2) {
            let (namespace, key) = self.key();
            let found = self.model.get(now, &namespace, &key).unwrap();
            match found.filter(|_| !self.dice.one_in(5)) {
                Some(entry) => request.check_version(&namespace, &key, entry.version),
                None => request.check_absent(&namespace, &key),
            }
            .unwrap();
        }
        for _ in 0..self.dice.below(4) {
            let home = id("q", u32::try_from(self.dice.below(2)).unwrap());
            match self.dice.below(5) {
                0 => request.complete(&home, self.receipts()),
                1 => {
                    let ids = ItemIds::new(self.dice.list(Dice::id)).unwrap();
                    request.delete_items(&home, ids)
                }
                2 | 3 => request.produce(&home, self.dice.batch()),
                _ => {
                    let (namespace, key) = self.key();
                    let expires_at = self.dice.one_in(2).then(|| self.dice.time());
                    let value = Value::try_from("value").unwrap();
                    // A second write to a key is refused by the request itself.
                    let _ = request.put(&namespace, &key, value, expires_at);
                    Ok(())
                }
            }
            .unwrap();
        }
        self.log.same(
            format!("commit {request:?}"),
            done(self.backend.commit(request.clone())),
            self.model.commit(request),
        );
        if self.dice.one_in(4) {
            let count = self.dice.count();
            self.log.same(
                format!("purge at {now:?}: {count:?}"),
                done(self.backend.purge(now, count)),
                self.model.purge(now, count),
            );
        }
    }

    /// Compares what can be seen, a page at a time, and the indexes with the items.
    fn look(&mut self, home: &PartitionId, now: Timestamp) {
        self.log.same(
            format!("stats of {home}"),
            done(self.backend.stats(home)),
            self.model.stats(home),
        );
        let states = self.dice.states();
        let listing = match self.dice.below(4) {
            0 => Listing::Ready,
            1 => Listing::Scheduled,
            2 => Listing::Leased,
            _ => Listing::ById(states),
        };
        let mut request = ListRequest::new(listing).items_max(self.dice.count());
        loop {
            let page = done(self.backend.list_items(home, request.clone()));
            let next = page.as_ref().ok().and_then(|page| page.next.clone());
            let expected = self.model.list_items(home, request.clone());
            self.log
                .same(format!("list {home}: {listing:?}"), page, expected);
            match next {
                Some(next) => request = request.after(next),
                None => break,
            }
        }
        let (namespace, _) = self.key();
        let scan = ScanRequest::new(namespace, KeyRange::all()).entries_max(self.dice.count());
        self.log.same(
            format!("scan {scan:?}"),
            done(self.backend.scan(now, scan.clone())),
            self.model.scan(now, scan),
        );
        let opened = self.backend.enter(Operation::Stats).unwrap();
        for partition in opened.partitions.values() {
            partition.lock().assert_sound();
        }
    }
}

#[test]
fn random_calls_are_answered_as_the_model_answers_them() {
    for seed in 0..400 {
        let mut pair = Pair {
            // Half of them keep accounts, with a limit that nothing reaches.
            backend: match seed % 2 {
                0 => MemoryBackend::new(),
                _ => MemoryBackend::open(MemoryConfig::default().max_memory(1 << 30)).unwrap(),
            },
            model: Model::new(),
            dice: Dice(seed),
            receipts: Vec::new(),
            shortcuts: Vec::new(),
            log: Log(vec![format!("seed {seed}")]),
        };
        for number in 0..2 {
            let home = id("q", number);
            let config = pair.dice.config().with_mode(Mode::Open);
            pair.log.same(
                format!("create {home}: {config:?}"),
                done(pair.backend.create_partition(&home, config.clone())),
                pair.model.create_partition(&home, config),
            );
        }
        for _ in 0..120 {
            pair.step();
        }
    }
}
