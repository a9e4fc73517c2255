//! A wrapper made with `forward_backend!` is its inner backend, but for the methods that it writes itself.
#![deny(clippy::missing_trait_methods)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use storage_api::{
    CommitOutcome, CommitRequest, Descriptor, ErrorKind, ItemStore, MetadataStore, PartitionConfig,
    PartitionId, PartitionInfo, PartitionStore, Produced, Result, SealedBatch, Shortcut, Storage,
    StorageBackend, Verify, async_trait, forward_backend,
};
use storage_memory::MemoryBackend;

/// Counts what it passes on by hand; one exception in each trait, first, last and in the middle, and a plain function.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn StorageBackend>,
    calls: AtomicU64,
}

impl Counting {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::new(MemoryBackend::new()),
            calls: AtomicU64::new(0),
        })
    }

    fn count(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn counted(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl PartitionStore for Counting {
    async fn create_partition(
        &self,
        id: &PartitionId,
        config: PartitionConfig,
    ) -> Result<PartitionInfo> {
        self.count();
        self.inner.create_partition(id, config).await
    }

    forward_backend!(PartitionStore => inner, except [create_partition]);
}

#[async_trait]
impl ItemStore for Counting {
    forward_backend!(ItemStore => inner, except [restore, produce]);

    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        self.count();
        self.inner.produce(partition, batch).await
    }

    async fn restore(
        &self,
        partition: &PartitionId,
        items: storage_api::RestoreBatch,
        floors: storage_api::Floors,
    ) -> Result<()> {
        self.count();
        self.inner.restore(partition, items, floors).await
    }
}

#[async_trait]
impl MetadataStore for Counting {
    forward_backend!(MetadataStore => inner);
}

#[async_trait]
impl StorageBackend for Counting {
    forward_backend!(StorageBackend => inner, except [commit, descriptor]);

    fn descriptor(&self) -> Descriptor {
        self.count();
        self.inner.descriptor()
    }

    async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
        self.count();
        self.inner.commit(request).await
    }
}

/// Passes everything on; its backend is no pointer.
#[derive(Debug)]
struct Transparent {
    inner: MemoryBackend,
}

forward_backend!(impl all for Transparent => inner);

/// Passes everything on, shortcuts as well.
#[derive(Debug)]
struct Short {
    inner: MemoryBackend,
}

forward_backend!(impl PartitionStore for Short => inner);
forward_backend!(impl ItemStore for Short => inner);
forward_backend!(impl MetadataStore for Short => inner);

#[async_trait]
impl StorageBackend for Short {
    forward_backend!(StorageBackend => inner, except [shortcut]);

    fn shortcut(&self, partition: &PartitionId) -> Option<Arc<dyn Shortcut>> {
        self.inner.shortcut(partition)
    }
}

#[tokio::test]
async fn excepted_methods_are_the_wrappers_own_and_all_others_are_passed_on() {
    let counting = Counting::new();
    let storage = Storage::from_backend(Arc::clone(&counting) as Arc<dyn StorageBackend>);

    let partition = storage
        .create_partition(("q", 0), PartitionConfig::default())
        .await
        .unwrap();
    partition.produce(["a"]).await.unwrap();
    storage.metadata("n").unwrap().put("k", "v").await.unwrap();
    assert_eq!(counting.counted(), 3);

    let leased = partition.lease(1, Duration::from_secs(1)).await.unwrap();
    partition.complete(leased.receipts()).await.unwrap();
    assert_eq!(counting.counted(), 3, "lease and complete are not counted");
}

#[tokio::test]
async fn a_transparent_wrapper_is_its_inner_backend() {
    let storage = Storage::new(Transparent {
        inner: MemoryBackend::new(),
    });

    assert_eq!(storage.descriptor(), MemoryBackend::new().descriptor());
    assert_eq!(
        storage.backend().verify().map(|_: &dyn Verify| ()),
        MemoryBackend::new().verify().map(|_: &dyn Verify| ()),
    );
    storage
        .create_partition(("q", 0), PartitionConfig::default())
        .await
        .unwrap();
    storage.metadata("n").unwrap().put("k", "v").await.unwrap();
    assert_eq!(storage.list_partitions().await.unwrap().len(), 1);
    assert_eq!(storage.namespaces().await.unwrap().len(), 1);
    storage.close().await.unwrap();
    assert_eq!(
        storage.health().await.unwrap_err().kind(),
        ErrorKind::Closed
    );
}

#[tokio::test]
async fn a_wrapper_has_no_shortcut_unless_it_writes_one() {
    let id = PartitionId::new("q", 0).unwrap();
    let config = PartitionConfig::default();
    let transparent = Transparent {
        inner: MemoryBackend::new(),
    };
    let short = Short {
        inner: MemoryBackend::new(),
    };

    for backend in [&transparent as &dyn StorageBackend, &short] {
        backend.create_partition(&id, config.clone()).await.unwrap();
    }

    assert!(transparent.inner.shortcut(&id).is_some());
    assert!(transparent.shortcut(&id).is_none());
    assert!(short.shortcut(&id).is_some());
}
