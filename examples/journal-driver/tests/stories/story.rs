//! A journal in a directory of its own, a day in its life, and the whole state for comparing.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use journal_driver::{Faults, JournalBackend, JournalConfig};
use storage_api::{
    CommitRequest, Count, Durability, Holder, ItemBatch, ItemEntry, ItemId, ItemIds, ItemStore,
    Key, KeyRange, LeaseRequest, ListRequest, MetadataEntry, MetadataStore, Namespace, NewItem,
    PartitionConfig, PartitionId, PartitionInfo, PartitionStats, PartitionStore, Receipts,
    RestoreBatch, Result, Retries, Retry, RetryTo, ScanRequest, SealedBatch, States,
    StorageBackend, Timestamp, Value,
};
use tempfile::TempDir;

pub(crate) struct Story {
    directory: TempDir,
    pub(crate) faults: Faults,
    pub(crate) config: JournalConfig,
}

/// Everything that a user can see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    pub(crate) partitions: Vec<(PartitionInfo, PartitionStats, Vec<ItemEntry>)>,
    pub(crate) metadata: Vec<MetadataEntry>,
}

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

pub(crate) fn home() -> PartitionId {
    PartitionId::new("home", 0).unwrap()
}

pub(crate) fn sealed<'a>(now: i64, items: impl IntoIterator<Item = NewItem<'a>>) -> SealedBatch {
    let mut batch = ItemBatch::new();
    for item in items {
        batch.push(item).unwrap();
    }
    batch.seal(at(now))
}

pub(crate) fn space() -> Namespace {
    Namespace::new("space").unwrap()
}

pub(crate) fn put(request: &mut CommitRequest, key: &str, value: &str) {
    let (key, value) = (Key::try_from(key).unwrap(), Value::try_from(value).unwrap());
    request.put(&space(), &key, value, Some(at(50))).unwrap();
}

pub(crate) async fn seen(backend: &JournalBackend) -> Result<Seen> {
    let mut seen = Seen::default();
    for info in backend.list_partitions(None, Count::MAX).await?.items {
        let stats = backend.stats(&info.id).await?;
        let all = ListRequest::by_id(States::ALL);
        let items = backend.list_items(&info.id, all).await?.items;
        seen.partitions.push((info, stats, items));
    }
    let all = ScanRequest::new(space(), KeyRange::all());
    seen.metadata = backend.scan(Timestamp::MIN, all).await?.items;
    Ok(seen)
}

impl Story {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The tests' volume may be small; how full it is is a story of its own.
        let config = JournalConfig::new(directory.path().join("journal")).disk_reserve(0);
        Self {
            directory,
            faults: Faults::default(),
            config,
        }
    }

    pub(crate) fn with_durability(mut self, durability: Durability) -> Self {
        self.config = self.config.durability(durability);
        self
    }

    pub(crate) async fn try_open(&self) -> Result<JournalBackend> {
        JournalBackend::open_with(self.config.clone(), self.faults.clone()).await
    }

    pub(crate) async fn open(&self) -> JournalBackend {
        self.try_open().await.unwrap()
    }

    /// Opens, with an empty partition `home`.
    pub(crate) async fn open_home(&self) -> JournalBackend {
        let backend = self.open().await;
        let config = PartitionConfig::default();
        backend.create_partition(&home(), config).await.unwrap();
        backend
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.config.storage_dir.join(name)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(self.path("journal")).unwrap()
    }

    /// Leaves the journal as one that was not closed.
    pub(crate) fn set_bytes(&self, bytes: &[u8]) {
        // It may be gone already.
        let _ = fs::remove_file(self.path("MARK"));
        fs::write(self.path("journal"), bytes).unwrap();
    }

    /// A day in which every kind of change happens once; after each, the length of the file and what is seen.
    pub(crate) async fn day(&self, backend: &JournalBackend) -> Vec<(usize, Seen)> {
        let mut marks = vec![self.mark(backend).await];
        let (home, other) = (home(), PartitionId::new("other", 7).unwrap());
        let holder = Holder::new(7).unwrap();
        let dedup = PartitionConfig::default().with_dedup_for(Duration::from_secs(100));
        let lease = |items| {
            let items_max = Count::new(items).unwrap();
            LeaseRequest::new(at(2), at(20), items_max).holder(holder)
        };
        macro_rules! then {
            ($call:expr) => {{
                let answer = $call.await.unwrap();
                marks.push(self.mark(backend).await);
                answer
            }};
        }

        then!(backend.create_partition(&home, PartitionConfig::default()));
        then!(backend.create_partition(&other, PartitionConfig::default()));
        then!(backend.update_partition(&home, None, dedup));
        let items = ["one", "two", "three", "four", "five", "six"];
        let items = items.map(|text| NewItem::new(text).dedup_key(text).kind("kind"));
        then!(backend.produce(&home, sealed(1, items)));
        let later = NewItem::new("later").enqueue_at(at(9)).expire_at(at(90));
        then!(backend.produce(&home, sealed(1, [later])));
        let held = then!(backend.lease(&home, lease(5))).receipts();
        then!(backend.extend(&home, Receipts::one(held[0]), at(15)));
        then!(backend.release(&home, Receipts::one(held[1])));
        then!(backend.complete(&home, Receipts::one(held[0])));
        let retry = Retry::new(held[2], RetryTo::Dead).with_note("no").unwrap();
        let again = Retry::new(held[3], RetryTo::At(at(30)));
        let retries = Retries::new(vec![retry, again]).unwrap();
        then!(backend.retry(&home, at(3), retries));
        then!(backend.release_holder(&home, holder, Count::MAX));
        then!(backend.maintain(&home, at(10), Count::MAX));
        then!(backend.revive(&home, ItemIds::one(held[2].item)));
        let held = then!(backend.lease(&home, lease(1))).receipts();
        let mut request = CommitRequest::new(at(4));
        put(&mut request, "cursor", "42");
        request.complete(&home, held).unwrap();
        let mut batch = ItemBatch::new();
        batch.push(NewItem::new("from a commit")).unwrap();
        request.produce(&other, batch).unwrap();
        then!(backend.commit(request));
        let listed = ListRequest::by_id(States::ALL);
        let listed = backend.list_items(&home, listed).await.unwrap().items;
        let moved = RestoreBatch::new(listed[..2].to_vec()).unwrap();
        let floors = storage_api::Floors::none().with_id(ItemId::new(99).unwrap());
        let fresh = PartitionId::new("fresh", 0).unwrap();
        then!(backend.create_partition(&fresh, PartitionConfig::default()));
        then!(backend.restore(&fresh, moved, floors.unwrap()));
        then!(backend.delete_items(&home, ItemIds::one(listed[0].id)));
        then!(backend.clear(&home, States::ALL, Count::ONE));
        then!(backend.delete_partition(&other));
        then!(backend.purge(at(99), Count::MAX));
        marks
    }

    async fn mark(&self, backend: &JournalBackend) -> (usize, Seen) {
        (self.bytes().len(), seen(backend).await.unwrap())
    }
}
