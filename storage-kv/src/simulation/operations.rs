//! One random operation, on the backend and on the model.

use storage_api::{
    CommitRequest, Direction, Floors, ItemEntry, ItemId, ItemState, ItemStore, KeyRange, LeaseId,
    LeaseRequest, MetadataStore, PartitionId, PartitionStore, Position, RestoreBatch, ScanRequest,
    StorageBackend, Value, Version,
};

use super::seen::{debug, entries, entry, items, leased, told};
use super::{Engine, Strength, World, now};

impl<E: Engine> World<E> {
    pub(super) fn operate(&mut self) {
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
}
