//! What a case works with: a place, a backend that is opened when first needed, and builders that read like sentences.
//!
//! Every method panics when the backend refuses, and says what it was asked and where in the case; the `try_` ones give the
//! result instead.

use std::fmt::Debug;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use storage_api::{
    CommitOutcome, CommitRequest, Committed, Count, Cursor, Direction, Error, ErrorKind, Key,
    KeyRange, MetadataEntry, Namespace, Outcome, PartitionConfig, PartitionId, PartitionInfo,
    Refusal, Result, ScanRequest, StorageBackend, Timestamp, Value, Version,
};
use tokio::sync::Mutex;

use crate::crash::{AFTER_ATTEMPT, ATTEMPTS_MAX};
use crate::harness::{Claims, Harness, Place, Spot};
use crate::log::OperationLog;
use crate::logged::LoggedBackend;
use crate::part::Part;
use crate::prove::Effort;

/// The surroundings of one case. Clones share everything.
#[derive(Clone)]
pub struct Env {
    shared: Arc<Shared>,
    /// Behind the place, so that it is removed after it.
    spot: Option<Arc<Spot>>,
    effort: Effort,
}

impl Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Env")
    }
}

struct Shared {
    case: &'static str,
    harness: Arc<dyn Harness>,
    place: Box<dyn Place>,
    log: Arc<OperationLog>,
    opened: Mutex<Option<Arc<dyn StorageBackend>>>,
}

/// The point in time that many microseconds after the epoch.
pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// The namespace of that name.
pub(crate) fn namespace(name: &str) -> Namespace {
    Namespace::new(name).expect("a case uses namespaces within the limits")
}

/// The key of those bytes.
pub(crate) fn key(bytes: impl AsRef<[u8]>) -> Key {
    Key::try_from(bytes.as_ref()).expect("a case uses keys within the limits")
}

/// The value of those bytes.
pub(crate) fn value(bytes: impl AsRef<[u8]>) -> Value {
    Value::try_from(bytes.as_ref()).expect("a case uses values within the limits")
}

/// The partition of that queue name and number.
pub(crate) fn partition_id(queue: &str, number: u32) -> PartitionId {
    PartitionId::new(queue, number).expect("a case uses names within the limits")
}

/// That many, within the limits of a call.
pub(crate) fn count(count: usize) -> Count {
    Count::new(count).expect("a case uses counts within the limits")
}

/// The value of a call that must not be refused.
pub(crate) fn granted<T>(at: &Location<'_>, result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!(
            "{at}: expected the call to succeed, got {} ({:?}): {error}",
            error.kind(),
            error.outcome()
        ),
    }
}

/// The answer of a call that must not be refused, or the number of those digits, at the line of the case.
#[track_caller]
pub(crate) fn answer_of<T>(result: Result<T>) -> T {
    granted(Location::caller(), result)
}

/// The error of a call that must be refused with that kind and must have changed nothing (clause ATOM-1).
#[track_caller]
pub(crate) fn refused<T: Debug>(result: Result<T>, kind: ErrorKind) -> Error {
    match result {
        Ok(value) => panic!("expected a refusal of kind {kind}, got {value:?}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "the kind of: {error}");
            assert_eq!(
                error.outcome(),
                Outcome::NotApplied,
                "the outcome of: {error}"
            );
            error
        }
    }
}

/// What a panic carries when a case finds out that it does not apply to the place.
pub(crate) struct Inapplicable(pub(crate) String);

impl Env {
    pub(crate) fn new(
        case: &'static str,
        harness: Arc<dyn Harness>,
        place: Box<dyn Place>,
        log: Arc<OperationLog>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                case,
                harness,
                place,
                log,
                opened: Mutex::new(None),
            }),
            spot: None,
            effort: Effort::default(),
        }
    }

    /// The same, with that much effort.
    pub(crate) fn with_effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }

    /// How much is to be tried.
    pub(crate) fn effort(&self) -> Effort {
        self.effort
    }

    /// The id of the case.
    pub(crate) fn case(&self) -> &'static str {
        self.shared.case
    }

    /// What the driver claims.
    pub(crate) fn claims(&self) -> Claims {
        self.shared.harness.claims()
    }

    /// The harness.
    pub(crate) fn harness(&self) -> &dyn Harness {
        &*self.shared.harness
    }

    /// The place.
    pub(crate) fn place(&self) -> &dyn Place {
        &*self.shared.place
    }

    /// The log of operations.
    pub(crate) fn log(&self) -> &OperationLog {
        &self.shared.log
    }

    /// Ends the case: it cannot be run on this place, for that reason.
    pub(crate) fn inapplicable(&self, reason: impl Into<String>) -> ! {
        std::panic::panic_any(Inapplicable(reason.into()))
    }

    /// The backend, opened at the first call.
    #[track_caller]
    pub(crate) fn backend(&self) -> impl Future<Output = Arc<dyn StorageBackend>> + Send {
        let at = Location::caller();
        let env = self.clone();
        async move {
            let mut opened = env.shared.opened.lock().await;
            if let Some(backend) = &*opened {
                return backend.clone();
            }
            let backend = granted(at, env.try_open().await);
            *opened = Some(backend.clone());
            backend
        }
    }

    /// Opens the place, whoever has it open already; the case keeps its own backend.
    pub(crate) async fn try_open(&self) -> Result<Arc<dyn StorageBackend>> {
        let log = &self.shared.log;
        let entry = log.begin(format_args!("open"));
        let opened = self.shared.place.open().await;
        let opened = entry.answer(opened)?;
        log.opened_with(opened.descriptor().durability);
        Ok(Arc::new(LoggedBackend::new(opened, log.clone())))
    }

    /// Closes the backend, where one is open, and forgets it: the next use opens the place again.
    #[track_caller]
    pub(crate) fn close(&self) -> impl Future<Output = ()> + Send {
        let at = Location::caller();
        let env = self.clone();
        async move {
            if let Some(backend) = env.forget().await {
                granted(at, backend.close().await);
            }
        }
    }

    /// Gives the backend away without closing it: the next use opens the place again.
    pub(crate) async fn forget(&self) -> Option<Arc<dyn StorageBackend>> {
        self.shared.opened.lock().await.take()
    }

    /// Closes and opens again.
    #[track_caller]
    pub(crate) fn reopen(&self) -> impl Future<Output = Arc<dyn StorageBackend>> + Send {
        let at = Location::caller();
        let env = self.clone();
        async move {
            if let Some(backend) = env.forget().await {
                granted(at, backend.close().await);
            }
            let backend = granted(at, env.try_open().await);
            *env.shared.opened.lock().await = Some(backend.clone());
            backend
        }
    }

    /// Opens a place that was left without closing it; whoever left it may still be on the way out.
    #[track_caller]
    pub(crate) fn open_when_left(&self) -> impl Future<Output = Arc<dyn StorageBackend>> + Send {
        let at = Location::caller();
        let env = self.clone();
        async move {
            let mut attempts = 0;
            let backend = loop {
                attempts += 1;
                match env.try_open().await {
                    Err(error)
                        if error.kind() == ErrorKind::Unavailable && attempts < ATTEMPTS_MAX =>
                    {
                        tokio::time::sleep(AFTER_ATTEMPT).await;
                    }
                    opened => break granted(at, opened),
                }
            };
            *env.shared.opened.lock().await = Some(backend.clone());
            backend
        }
    }

    /// A fresh place of the same driver, for a case that needs several.
    pub(crate) async fn elsewhere(&self) -> Self {
        let spot = Arc::new(Spot::new(self.shared.case));
        let place = self.shared.harness.provision(&spot).await;
        let place = place.unwrap_or_else(|error| panic!("cannot provision a place: {error}"));
        let mut env = Self::new(
            self.shared.case,
            self.shared.harness.clone(),
            place,
            self.shared.log.clone(),
        )
        .with_effort(self.effort);
        env.spot = Some(spot);
        env
    }

    /// Makes partition 0 of that queue, with the default configuration.
    #[track_caller]
    pub(crate) fn partition(&self, queue: &str) -> impl Future<Output = Part> + Send + use<> {
        self.partition_with(queue, PartitionConfig::default())
    }

    /// Makes partition 0 of that queue.
    #[track_caller]
    pub(crate) fn partition_with(
        &self,
        queue: &str,
        config: PartitionConfig,
    ) -> impl Future<Output = Part> + Send + use<> {
        self.create(&partition_id(queue, 0), config)
    }

    /// Makes that partition.
    #[track_caller]
    pub(crate) fn create(
        &self,
        id: &PartitionId,
        config: PartitionConfig,
    ) -> impl Future<Output = Part> + Send + use<> {
        let at = Location::caller();
        let (env, id) = (self.clone(), id.clone());
        async move {
            let backend = env.backend().await;
            granted(at, backend.create_partition(&id, config).await);
            env.part(&id)
        }
    }

    /// A partition that need not exist.
    pub(crate) fn part(&self, id: &PartitionId) -> Part {
        Part::new(self.clone(), id.clone())
    }

    /// Every partition, read in pages of that size.
    #[track_caller]
    pub(crate) fn partitions_paged(
        &self,
        page_max: usize,
    ) -> impl Future<Output = Vec<PartitionInfo>> + Send + use<> {
        let at = Location::caller();
        let env = self.clone();
        async move {
            let backend = env.backend().await;
            let mut all = Vec::new();
            let mut after: Option<Cursor> = None;
            loop {
                let page = backend.list_partitions(after.as_ref(), count(page_max));
                let page = granted(at, page.await);
                assert_page(at, page.items.len(), page_max, page.next.is_some());
                all.extend(page.items);
                match page.next {
                    Some(next) => after = Some(next),
                    None => return all,
                }
            }
        }
    }

    /// Every partition.
    #[track_caller]
    pub(crate) fn partitions(&self) -> impl Future<Output = Vec<PartitionInfo>> + Send + use<> {
        self.partitions_paged(Count::MAX.get())
    }

    /// Commits, and is not refused by a check or a step.
    #[track_caller]
    pub(crate) fn commit(
        &self,
        request: impl Into<CommitRequest>,
    ) -> impl Future<Output = Committed> + Send {
        let at = Location::caller();
        let (env, request) = (self.clone(), request.into());
        async move {
            match granted(at, env.try_commit(request).await) {
                CommitOutcome::Committed(committed) => committed,
                CommitOutcome::Refused(refusal) => {
                    panic!("{at}: expected the commit to apply, got {refusal:?}")
                }
            }
        }
    }

    /// Commits, and is refused by a check or a step.
    #[track_caller]
    pub(crate) fn commit_refused(
        &self,
        request: impl Into<CommitRequest>,
    ) -> impl Future<Output = Refusal> + Send {
        let at = Location::caller();
        let (env, request) = (self.clone(), request.into());
        async move {
            match granted(at, env.try_commit(request).await) {
                CommitOutcome::Refused(refusal) => refusal,
                CommitOutcome::Committed(committed) => {
                    panic!("{at}: expected the commit to be refused, got {committed:?}")
                }
            }
        }
    }

    /// Commits.
    pub(crate) fn try_commit(
        &self,
        request: impl Into<CommitRequest>,
    ) -> impl Future<Output = Result<CommitOutcome>> + Send {
        let (env, request) = (self.clone(), request.into());
        async move { env.backend().await.commit(request).await }
    }

    /// Sets one entry that does not expire, and gives its version.
    #[track_caller]
    pub(crate) fn put(
        &self,
        space: &str,
        name: impl AsRef<[u8]>,
        content: impl AsRef<[u8]>,
    ) -> impl Future<Output = Version> + Send {
        self.put_until(space, name, content, None)
    }

    /// Sets one entry, and gives its version.
    #[track_caller]
    pub(crate) fn put_until(
        &self,
        space: &str,
        name: impl AsRef<[u8]>,
        content: impl AsRef<[u8]>,
        expires_at: Option<Timestamp>,
    ) -> impl Future<Output = Version> + Send {
        let at = Location::caller();
        let mut request = CommitRequest::new(Timestamp::EPOCH);
        granted(
            at,
            request.put(&namespace(space), &key(name), value(content), expires_at),
        );
        let committed = self.commit(request);
        async move {
            let version = committed.await.version;
            version.unwrap_or_else(|| panic!("{at}: a commit that writes has a version"))
        }
    }

    /// Removes one entry.
    #[track_caller]
    pub(crate) fn delete(
        &self,
        space: &str,
        name: impl AsRef<[u8]>,
    ) -> impl Future<Output = Committed> + Send {
        let mut request = CommitRequest::new(Timestamp::EPOCH);
        granted(
            Location::caller(),
            request.delete(&namespace(space), &key(name)),
        );
        self.commit(request)
    }

    /// The entry of a key.
    #[track_caller]
    pub(crate) fn get(
        &self,
        now: Timestamp,
        space: &str,
        name: impl AsRef<[u8]>,
    ) -> impl Future<Output = Option<MetadataEntry>> + Send {
        let at = Location::caller();
        let (env, space, name) = (self.clone(), namespace(space), key(name));
        async move { granted(at, env.backend().await.get(now, &space, &name).await) }
    }

    /// Every entry of a range, read in pages of that size.
    #[track_caller]
    pub(crate) fn scan_paged(
        &self,
        now: Timestamp,
        space: &Namespace,
        range: KeyRange,
        direction: Direction,
        page_max: usize,
    ) -> impl Future<Output = Vec<MetadataEntry>> + Send + use<> {
        let at = Location::caller();
        let (env, space) = (self.clone(), space.clone());
        async move {
            let backend = env.backend().await;
            let request = ScanRequest::new(space, range)
                .direction(direction)
                .entries_max(count(page_max));
            let mut all = Vec::new();
            let mut page = granted(at, backend.scan(now, request.clone()).await);
            loop {
                assert_page(at, page.items.len(), page_max, page.next.is_some());
                all.extend(page.items);
                let Some(next) = page.next else { return all };
                page = granted(at, backend.scan(now, request.clone().after(next)).await);
            }
        }
    }

    /// Every entry of a namespace, forwards.
    #[track_caller]
    pub(crate) fn scan(
        &self,
        now: Timestamp,
        space: &str,
    ) -> impl Future<Output = Vec<MetadataEntry>> + Send + use<> {
        let all = (KeyRange::all(), Direction::Forward, Count::MAX.get());
        self.scan_paged(now, &namespace(space), all.0, all.1, all.2)
    }

    /// Every namespace, read in pages of that size.
    #[track_caller]
    pub(crate) fn namespaces_paged(
        &self,
        page_max: usize,
    ) -> impl Future<Output = Vec<Namespace>> + Send + use<> {
        let at = Location::caller();
        let env = self.clone();
        async move {
            let backend = env.backend().await;
            let mut all = Vec::new();
            let mut after: Option<Cursor> = None;
            loop {
                let page = backend.namespaces(after.as_ref(), count(page_max)).await;
                let page = granted(at, page);
                assert_page(at, page.items.len(), page_max, page.next.is_some());
                all.extend(page.items);
                match page.next {
                    Some(next) => after = Some(next),
                    None => return all,
                }
            }
        }
    }

    /// Everything that can be seen of the backend, to be compared with an earlier or later look.
    #[track_caller]
    pub(crate) fn snapshot(&self) -> impl Future<Output = Snapshot> + Send + use<> {
        let (partitions, namespaces) = (self.partitions(), self.namespaces_paged(1000));
        let env = self.clone();
        async move {
            let mut snapshot = Snapshot::default();
            for info in partitions.await {
                let part = env.part(&info.id);
                let items = part.list_all().await;
                let stats = part.stats().await;
                snapshot.partitions.push((info, stats, items));
            }
            for space in namespaces.await {
                // At the smallest time almost nothing has expired: entries that wait for purge are seen.
                let range = (KeyRange::all(), Direction::Forward);
                let entries = env
                    .scan_paged(Timestamp::MIN, &space, range.0, range.1, 1000)
                    .await;
                snapshot.metadata.push((space, entries));
            }
            snapshot
        }
    }

    /// What holds after every case: the statistics equal what listing finds (clause PART-7), and closing succeeds.
    pub(crate) async fn finish(&self) {
        let Some(backend) = self.shared.opened.lock().await.clone() else {
            return;
        };
        match backend.list_partitions(None, Count::ONE).await {
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(error) => panic!("after the case: {error}"),
            Ok(_) => {}
        }
        for info in self.partitions().await {
            self.part(&info.id)
                .assert_stats_are_those_of_the_items()
                .await;
        }
        self.close().await;
    }
}

/// Everything that can be seen of a backend.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Snapshot {
    pub(crate) partitions: Vec<(
        PartitionInfo,
        storage_api::PartitionStats,
        Vec<storage_api::ItemEntry>,
    )>,
    pub(crate) metadata: Vec<(Namespace, Vec<MetadataEntry>)>,
}

/// A page holds at most what was asked for, and something where one follows (clause LIST-2).
pub(crate) fn assert_page(at: &Location<'_>, len: usize, page_max: usize, has_next: bool) {
    assert!(len <= page_max, "{at}: a page of {page_max} holds {len}");
    assert!(
        len > 0 || !has_next,
        "{at}: an empty page says that another follows"
    );
}
