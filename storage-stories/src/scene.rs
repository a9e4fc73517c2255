//! Builders of the stories.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use storage_api::{
    CommitRequest, Count, Error, Holder, ItemBatch, Key, KeyRange, LeaseRequest, ListRequest,
    Namespace, NewItem, PartitionConfig, PartitionId, Receipts, Requeue, Retries, Retry, RetryTo,
    ScanRequest, SealedBatch, States, StorageBackend, Timestamp, Value,
};

use crate::driver::{Opening, StoredDriver};

/// The partition of the stories.
pub fn home() -> PartitionId {
    PartitionId::new("home/\0\u{1f980}", 7).unwrap()
}

/// That many microseconds after the epoch.
pub fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// So many items with that payload, of the time 0.
pub fn batch(count: usize, payload: &[u8]) -> SealedBatch {
    let mut batch = ItemBatch::new();
    for _ in 0..count {
        batch.push(NewItem::new(payload)).unwrap();
    }
    batch.seal(at(0))
}

/// Opens a place as tests usually do.
pub async fn open<D: StoredDriver>(directory: &Path) -> D::Backend {
    D::open(directory, Opening::default()).await.unwrap()
}

/// Why a place that must be refused is.
pub async fn refusal<D: StoredDriver>(directory: &Path) -> Error {
    D::open(directory, Opening::default()).await.unwrap_err()
}

/// Leases so many items of [`home`], until 50.
pub async fn lease(backend: &impl StorageBackend, count: usize) -> Receipts {
    let request = LeaseRequest::new(at(1), at(50), Count::new(count).unwrap());
    backend.lease(&home(), request).await.unwrap().receipts()
}

/// Fills a new place with everything that there can be.
pub async fn furnish(backend: &impl StorageBackend) {
    let config = PartitionConfig::default()
        .with_dedup_for(Duration::from_secs(3600))
        .with_attempts_max(5)
        .with_requeue(Requeue::Original);
    backend.create_partition(&home(), config).await.unwrap();
    let mut items = ItemBatch::new();
    let full = NewItem::new("a whole item")
        .kind("kind")
        .encoding("encoding")
        .reference("reference");
    items.push(full.dedup_key("done").priority(0)).unwrap();
    items
        .push(NewItem::new("dies").dedup_key("dies").attempts_max(3))
        .unwrap();
    items
        .push(NewItem::new("is held").expire_at(at(500)))
        .unwrap();
    items
        .push(NewItem::new("waits").enqueue_at(at(900)))
        .unwrap();
    items.push(NewItem::new("is tried again")).unwrap();
    items.push(NewItem::new("is ready").priority(255)).unwrap();
    backend.produce(&home(), items.seal(at(0))).await.unwrap();
    let receipts = lease(backend, 2).await;
    let done = Receipts::one(receipts[0]);
    backend.complete(&home(), done).await.unwrap();
    let dead = Retry::new(receipts[1], RetryTo::Dead)
        .with_note("broken")
        .unwrap();
    backend
        .retry(&home(), at(2), Retries::one(dead))
        .await
        .unwrap();
    let holder = Holder::new(u64::MAX).unwrap();
    let request = LeaseRequest::new(at(1), at(50), Count::ONE).holder(holder);
    backend.lease(&home(), request).await.unwrap();
    let again = lease(backend, 1).await;
    let later = Retry::new(again[0], RetryTo::At(at(700)));
    backend
        .retry(&home(), at(2), Retries::one(later))
        .await
        .unwrap();
    let mut commit = CommitRequest::new(at(3));
    for (namespace, key, expires_at) in [("n", "kept", None), ("n\0", "expires", Some(at(800)))] {
        let (namespace, key) = (
            Namespace::new(namespace).unwrap(),
            Key::try_from(key).unwrap(),
        );
        let value = Value::try_from("value").unwrap();
        commit.put(&namespace, &key, value, expires_at).unwrap();
    }
    backend.commit(commit).await.unwrap();
}

/// Everything that can be seen, as text.
pub async fn contents(backend: &impl StorageBackend) -> String {
    let mut text = String::new();
    let partitions = backend.list_partitions(None, Count::MAX).await.unwrap();
    for info in partitions.items {
        writeln!(text, "{info:?}").unwrap();
        let listing = ListRequest::by_id(States::ALL);
        for item in backend.list_items(&info.id, listing).await.unwrap().items {
            let payload = item.record.view().payload().unwrap().escape_ascii();
            writeln!(text, "{item:?} {payload}").unwrap();
        }
        writeln!(text, "{:?}", backend.stats(&info.id).await.unwrap()).unwrap();
    }
    for namespace in backend.namespaces(None, Count::MAX).await.unwrap().items {
        let scan = ScanRequest::new(namespace.clone(), KeyRange::all());
        let entries = backend.scan(at(4), scan).await.unwrap().items;
        writeln!(text, "{namespace:?} {entries:?}").unwrap();
    }
    text
}

/// Leaves a closed place that holds something, and tells what that is.
pub async fn furnish_and_close<D: StoredDriver>(directory: &Path) -> String {
    let backend = open::<D>(directory).await;
    furnish(&backend).await;
    let contents = contents(&backend).await;
    backend.close().await.unwrap();
    contents
}

/// Asserts that the stored state agrees with itself.
pub async fn assert_verified(backend: &impl StorageBackend) {
    let found = backend.verify().unwrap().verify().await.unwrap();
    assert_eq!(found, Vec::<String>::new());
}

/// Marks a place with that text, as a driver would.
pub fn write_marker(directory: &Path, body: &str) -> io::Result<()> {
    let marker = format!("{body}\ncrc32c {:08x}\n", crc32c::crc32c(body.as_bytes()));
    fs::write(directory.join("storage-place"), marker)
}

/// Marks a place as one that is being made, or that was made before there was a mark for that.
pub fn unmake<D: StoredDriver>(directory: &Path) {
    write_marker(directory, &format!("format 1\ndriver {}", D::NAME)).unwrap();
}

/// The files to which the engine of a place appends.
pub fn data_files<D: StoredDriver>(directory: &Path) -> Vec<PathBuf> {
    let mut directories = vec![directory.to_owned()];
    let mut files = Vec::new();
    while let Some(some) = directories.pop() {
        for entry in fs::read_dir(some).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => directories.push(path),
                false if D::is_data(path.strip_prefix(directory).unwrap()) => files.push(path),
                false => {}
            }
        }
    }
    files.sort();
    files
}

/// Copies a place, open or closed: without its locks, which are about who holds it, and without what RocksDB tells about itself.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_left = |left: &&str| name.starts_with(*left);
        if ["lock", "LOCK", "LOG", "OPTIONS"].iter().any(is_left) {
            continue;
        }
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}
