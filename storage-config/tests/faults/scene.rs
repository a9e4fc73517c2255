//! A place of a driver, opened by its name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use storage_api::{
    Error, ErrorKind, ItemId, ListRequest, Partition, PartitionConfig, PartitionId, Receipts,
    Result, States, Storage,
};
use storage_config::Registry;

/// How long leases last: longer than any test.
pub(crate) const LEASE: Duration = Duration::from_secs(3600);

/// A directory with a place in it.
pub(crate) struct Scene {
    driver: String,
    root: PathBuf,
    reserve: u64,
    /// The default of the driver, if nothing is said.
    durability: Option<String>,
    /// Removed with everything in it, where the scene has made it.
    _scratch: Option<tempfile::TempDir>,
}

impl Scene {
    pub(crate) fn new(driver: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let mut scene = Self::at(driver, scratch.path().to_owned());
        scene._scratch = Some(scratch);
        scene
    }

    pub(crate) fn at(driver: &str, root: PathBuf) -> Self {
        Self {
            driver: driver.to_owned(),
            root,
            reserve: 0,
            durability: None,
            _scratch: None,
        }
    }

    pub(crate) fn with_reserve(mut self, bytes: u64) -> Self {
        self.reserve = bytes;
        self
    }

    pub(crate) fn with_durability(mut self, durability: &str) -> Self {
        self.durability = Some(durability.to_owned());
        self
    }

    pub(crate) fn durability(&self) -> Option<&str> {
        self.durability.as_deref()
    }

    pub(crate) fn driver(&self) -> &str {
        &self.driver
    }

    /// The directory around the place.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The place.
    pub(crate) fn place(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(crate) async fn try_open(&self) -> Result<Storage> {
        self.try_open_as(&self.driver).await
    }

    /// Opens the place with that driver.
    pub(crate) async fn try_open_as(&self, driver: &str) -> Result<Storage> {
        // Small, as the disks of the tests are: the engine keeps what it writes beside what it replaces.
        let buffers = match driver {
            "rocks" => ", memtables: 8MiB, log: 16MiB",
            _ => "",
        };
        let reserve = self.reserve;
        let durability = self.durability.as_deref();
        let durability = durability.map_or(String::new(), |it| format!(", durability: {it}"));
        let config =
            format!("{{ storage-dir: data, disk-reserve: {reserve}{buffers}{durability} }}");
        let text = format!(
            "queue-storage: {{ driver: {driver}, config: {config} }}\n\
             partition-storage: [{{ name: disk, driver: {driver}, config: {config} }}]\n"
        );
        let opened = Registry::builtin()
            .open_str(&text, &self.root, "queue.yaml")
            .await;
        match opened {
            Ok(opened) => Ok(opened.storages().metadata().clone()),
            Err(error) => Err(refused_by_storage(&error)),
        }
    }

    pub(crate) async fn open(&self) -> Storage {
        self.try_open().await.unwrap()
    }

    /// Opens a place that must be refused.
    pub(crate) async fn refusal(&self) -> Error {
        refusal(self.try_open().await)
    }

    /// A closed place with items, some of which were touched, and metadata.
    pub(crate) async fn furnish(&self) {
        let storage = self.open().await;
        let home = home_in(&storage).await;
        for number in 0..20 {
            produce(&home, number, 4096).await.unwrap();
        }
        let leased = home.lease(5, LEASE).await.unwrap().receipts();
        let done = Receipts::one(leased[0]);
        home.complete(done.to_vec()).await.unwrap();
        let entries = storage.metadata("space").unwrap();
        entries.put("key", "value").await.unwrap();
        storage.close().await.unwrap();
    }
}

/// Why an opening that must be refused was.
pub(crate) fn refusal(opened: Result<Storage>) -> Error {
    match opened {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

fn refused_by_storage(error: &storage_config::ConfigError) -> Error {
    let Some(refusal) = error.storage_error() else {
        panic!("the configuration is refused: {error}");
    };
    let (kind, object) = (refusal.kind(), refusal.object().clone());
    Error::new(kind, refusal.operation(), object, refusal.reason())
        .with_retry_hint(refusal.retry_hint())
}

/// Runs to the end, in this thread.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

/// The partition of the tests, made where it is not there.
pub(crate) async fn home_in(storage: &Storage) -> Partition {
    let id = || PartitionId::new("home", 0).unwrap();
    match storage
        .create_partition(id(), PartitionConfig::default())
        .await
    {
        Ok(home) => home,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => storage.partition(id()).unwrap(),
        Err(error) => panic!("{error}"),
    }
}

/// A payload that no other number has.
pub(crate) fn payload(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = vec![number.to_le_bytes()[0] ^ 0x5a; bytes];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    payload
}

/// Produces one item with the payload of that number.
pub(crate) async fn produce(home: &Partition, number: u64, bytes: usize) -> Result<ItemId> {
    let produced = home.produce([&payload(number, bytes)]).await?;
    Ok(produced.ids().next().unwrap())
}

/// Every item with its payload.
pub(crate) async fn items(home: &Partition) -> Result<BTreeMap<ItemId, Vec<u8>>> {
    let mut items = BTreeMap::new();
    let mut pages = home.pages(ListRequest::by_id(States::ALL));
    while let Some(page) = pages.next().await? {
        for item in page {
            let payload = item.record.view().payload().unwrap_or_default().to_vec();
            items.insert(item.id, payload);
        }
    }
    Ok(items)
}

/// Everything that can be seen of a furnished place.
pub(crate) async fn look(storage: &Storage) -> Result<String> {
    let home = storage.open_partition(PartitionId::new("home", 0)?).await?;
    let mut seen = format!("{:?}\n", home.stats().await?);
    let mut pages = home.pages(ListRequest::by_id(States::ALL));
    while let Some(page) = pages.next().await? {
        for item in page {
            let payload = item.record.view().payload().map(<[u8]>::to_vec);
            seen.push_str(&format!("{item:?} {payload:?}\n"));
        }
    }
    let entry = storage.metadata("space")?.get("key").await?;
    seen.push_str(&format!("{entry:?}"));
    Ok(seen)
}

/// Every file below a directory, with what is in it.
pub(crate) fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}
