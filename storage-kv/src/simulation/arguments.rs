//! The arguments of random operations: few of each, so that they meet.

use std::time::Duration;

use storage_api::{
    Count, DeadPolicy, Holder, ItemBatch, ItemEntry, ItemId, ItemIds, Key, ListRequest, Listing,
    Mode, Namespace, NewItem, PartitionConfig, PartitionId, Receipt, Receipts, Requeue, Retries,
    Retry, RetryTo, State, States, Timestamp, Version,
};

use super::{Engine, World};

impl<E: Engine> World<E> {
    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() {
            return None;
        }
        Some(from[self.dice.below(from.len())].clone())
    }

    pub(super) fn partition(&mut self) -> PartitionId {
        let queues = ["a", "a/b", "\0"];
        let kinds = if self.dice.below(3) == 0 { 3 } else { 1 };
        let queue = queues[self.dice.below(kinds)];
        let number = [1, 10][self.dice.below(2)];
        PartitionId::new(queue, number).expect("a name")
    }

    pub(super) fn config(&mut self) -> PartitionConfig {
        let mut config = PartitionConfig::default();
        if self.dice.below(3) == 0 {
            config = config.with_attempts_max(1 + u32::try_from(self.dice.below(3)).unwrap_or(0));
        }
        if self.dice.below(2) == 0 {
            config = config.with_requeue(Requeue::Original);
        }
        if self.dice.below(3) == 0 {
            config = config.with_dead(DeadPolicy::Drop);
        }
        if self.dice.below(2) == 0 {
            config = config.with_dedup_for(Duration::from_micros(self.dice.below(20) as u64));
        }
        if self.dice.below(4) == 0 {
            config = config.with_items_max(5 + self.dice.below(20) as u64);
        }
        if self.dice.below(4) == 0 {
            config = config.with_bytes_max(20 + self.dice.below(100) as u64);
        }
        match self.dice.below(12) {
            0 => config.with_mode(Mode::Frozen),
            1 => config.with_mode(Mode::Draining),
            _ => config,
        }
    }

    pub(super) fn time(&mut self) -> Timestamp {
        match self.dice.below(40) {
            0 => Timestamp::MIN,
            1 => Timestamp::MAX,
            _ => Timestamp::from_micros(i64::try_from(self.dice.below(30)).unwrap_or(0)),
        }
    }

    pub(super) fn count(&mut self) -> Count {
        Count::clamped(1 + self.dice.below(6))
    }

    pub(super) fn holder(&mut self) -> Holder {
        Holder::new([1, u64::MAX][self.dice.below(2)]).expect("not zero")
    }

    /// Mostly small; sometimes above any ceiling.
    pub(super) fn number(&mut self) -> u64 {
        match self.dice.below(30) {
            0 => 70_000 + self.dice.below(100_000) as u64,
            _ => self.dice.below(60) as u64,
        }
    }

    pub(super) fn states(&mut self) -> States {
        States::of(State::ALL.into_iter().filter(|_| self.dice.below(2) == 0))
    }

    pub(super) fn namespace(&mut self) -> Namespace {
        Namespace::new(["n", "n\0", "n\0\u{1}"][self.dice.below(3)]).expect("a name")
    }

    pub(super) fn key(&mut self) -> Key {
        let keys: [&[u8]; 5] = [b"\0", b"k", b"k\0", b"k\xff", b"\xff\xff"];
        Key::try_from(keys[self.dice.below(5)]).expect("a key")
    }

    pub(super) fn some_version(&mut self) -> Option<Version> {
        let contents = self.model.contents();
        let revisions = contents
            .partitions
            .iter()
            .map(|partition| partition.info.revision);
        let versions = contents.metadata.iter().map(|entry| entry.entry.version);
        let known: Vec<_> = revisions.chain(versions).collect();
        self.pick(&known).filter(|_| self.dice.below(3) != 0)
    }

    pub(super) fn seen(&mut self, namespace: &Namespace) -> Vec<(Key, Version)> {
        let metadata = self.model.contents().metadata.clone();
        let there = metadata
            .into_iter()
            .filter(|entry| entry.namespace == *namespace);
        there
            .filter(|_| self.dice.below(8) != 0)
            .map(|entry| (entry.entry.key, entry.entry.version))
            .collect()
    }

    pub(super) fn batch(&mut self, count: usize) -> ItemBatch {
        let mut batch = ItemBatch::new();
        for _ in 0..count {
            let payload = vec![b'p'; self.dice.below(12)];
            let mut item = NewItem::new(&payload).priority([0, 100, 100, 255][self.dice.below(4)]);
            if self.dice.below(3) == 0 {
                item = item.enqueue_at(self.time());
            }
            if self.dice.below(3) == 0 {
                item = item.expire_at(self.time());
            }
            if self.dice.below(4) == 0 {
                item = item.attempts_max(1);
            }
            let keys = ["d", "d\0", "e"];
            let key = keys[self.dice.below(3)];
            if self.dice.below(3) == 0 {
                item = item.dedup_key(key);
            }
            batch.push(item).expect("a small item");
        }
        batch
    }

    pub(super) fn some_receipts(&mut self, id: &PartitionId) -> Receipts {
        let mut known: Vec<Receipt> = self
            .receipts
            .iter()
            .rev()
            .filter(|(of, _)| of == id)
            .map(|(_, receipt)| *receipt)
            .take(12)
            .collect();
        known.extend(self.valid_receipts(id).iter());
        let count = self.dice.below(4);
        let receipts = (0..count).filter_map(|_| self.pick(&known));
        Receipts::new(receipts.collect()).expect("few")
    }

    pub(super) fn valid_receipts(&mut self, id: &PartitionId) -> Receipts {
        let found = self.model.list_items(id, ListRequest::leased());
        let valid: Vec<Receipt> = found
            .map(|page| page.items.iter().filter_map(ItemEntry::receipt).collect())
            .unwrap_or_default();
        let count = self.dice.below(3);
        let receipts = (0..count).filter_map(|_| self.pick(&valid));
        Receipts::new(receipts.collect()).expect("few")
    }

    pub(super) fn some_ids(&mut self, id: &PartitionId) -> ItemIds {
        let found = self.model.list_items(id, ListRequest::by_id(States::ALL));
        let mut known: Vec<ItemId> = found
            .map(|page| page.items.iter().map(|item| item.id).collect())
            .unwrap_or_default();
        known.push(ItemId::MIN);
        let count = self.dice.below(4);
        let ids = (0..count).filter_map(|_| self.pick(&known));
        ItemIds::new(ids.collect()).expect("few")
    }

    pub(super) fn retries(&mut self, id: &PartitionId) -> Retries {
        let mut retries = Vec::new();
        for receipt in &self.some_receipts(id) {
            let to = match self.dice.below(5) {
                0 => RetryTo::Dead,
                1 | 2 => RetryTo::At(self.time()),
                _ => RetryTo::Now,
            };
            let mut retry = Retry::new(*receipt, to);
            if self.dice.below(3) == 0 {
                retry = retry
                    .with_note(["", "why"][self.dice.below(2)])
                    .expect("short");
            }
            retries.push(retry);
        }
        Retries::new(retries).expect("few")
    }

    pub(super) fn listing(&mut self) -> (Listing, ListRequest) {
        let listing = match self.dice.below(6) {
            0 => Listing::Ready,
            1 => Listing::Scheduled,
            2 => Listing::Leased,
            _ => Listing::ById(self.states()),
        };
        let mut request = ListRequest::new(listing);
        if let Listing::ById(states) = listing
            && self.dice.below(3) == 0
        {
            let from = ItemId::new(1 + self.number()).expect("within the limit");
            request = ListRequest::from_id(states, from);
        }
        (listing, request.items_max(self.count()))
    }
}
