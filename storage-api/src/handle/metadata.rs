//! The handle of one namespace of the metadata.

use tracing::{Instrument, debug_span};

use super::{Storage, accept};
use crate::call::{
    CommitOutcome, CommitRequest, Committed, KeyRange, MetadataEntry, Page, Refusal, ScanRequest,
};
use crate::error::{Error, ErrorKind, Object, Operation, Result};
use crate::names::{Key, Namespace, Value};
use crate::numbers::Version;
use crate::time::Timestamp;

/// What a conditional write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WriteOutcome {
    /// Written, as that version.
    Written(Version),
    /// Nothing has changed: the entry has this version, or there is none.
    Conflict(Option<Version>),
}

/// One namespace of the metadata: versioned entries that stand beside the items. Cheap to clone.
///
/// Each write is one commit of its own. Several writes at one instant, or together with items, are a
/// [`Transaction`](crate::Transaction).
#[derive(Debug, Clone)]
pub struct Metadata {
    storage: Storage,
    namespace: Namespace,
}

impl Metadata {
    pub(super) fn new(storage: Storage, namespace: Namespace) -> Self {
        Self { storage, namespace }
    }

    /// The namespace.
    ///
    /// ```
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// assert_eq!(storage.metadata("cursors")?.namespace().as_str(), "cursors");
    /// # Ok::<(), storage_api::Error>(())
    /// ```
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The entry of a key, unless there is none or it has expired by now (clauses META-3 and META-4).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// let cursors = storage.metadata("cursors")?;
    /// assert!(cursors.get("input").await?.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn get<K>(&self, key: K) -> Result<Option<MetadataEntry>>
    where
        K: TryInto<Key>,
        Error: From<K::Error>,
    {
        let key: Key = accept(key, Operation::Get, &self.namespace)?;
        let span = debug_span!("get", namespace = %self.namespace);
        let now = self.storage.now();
        let entry = self.storage.backend().get(now, &self.namespace, &key);
        entry.instrument(span).await
    }

    /// Sets an entry, whatever was there.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// let cursors = storage.metadata("cursors")?;
    /// let version = cursors.put("input", "42").await?;
    /// assert_eq!(cursors.get("input").await?.unwrap().version, version);
    /// # Ok(()) }
    /// ```
    pub async fn put<K, V>(&self, key: K, value: V) -> Result<Version>
    where
        K: TryInto<Key>,
        Error: From<K::Error>,
        V: TryInto<Value>,
        Error: From<V::Error>,
    {
        self.set(key, value, None).await
    }

    /// Sets an entry that is absent from `expires_at` on (clause META-4).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use std::time::Duration;
    ///
    /// let sessions = storage.metadata("sessions")?;
    /// sessions.put_until("s1", "ann", storage.now().saturating_add(Duration::from_secs(3600))).await?;
    /// assert!(sessions.get("s1").await?.is_some());
    /// # Ok(()) }
    /// ```
    pub async fn put_until<K, V>(&self, key: K, value: V, expires_at: Timestamp) -> Result<Version>
    where
        K: TryInto<Key>,
        Error: From<K::Error>,
        V: TryInto<Value>,
        Error: From<V::Error>,
    {
        self.set(key, value, Some(expires_at)).await
    }

    /// Sets an entry where there is none.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::WriteOutcome;
    ///
    /// let locks = storage.metadata("locks")?;
    /// let version = locks.put("door", "ann").await?;
    /// assert_eq!(locks.put_if_absent("door", "bob").await?, WriteOutcome::Conflict(Some(version)));
    /// # Ok(()) }
    /// ```
    pub async fn put_if_absent<K, V>(&self, key: K, value: V) -> Result<WriteOutcome>
    where
        K: TryInto<Key>,
        Error: From<K::Error>,
        V: TryInto<Value>,
        Error: From<V::Error>,
    {
        let (key, value) = self.entry(key, value)?;
        let mut request = self.request();
        self.added(request.check_absent(&self.namespace, &key))?;
        self.added(request.put(&self.namespace, &key, value, None))?;
        self.commit(request).await
    }

    /// Replaces an entry that has that version: compare and set.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::WriteOutcome;
    ///
    /// let cursors = storage.metadata("cursors")?;
    /// let first = cursors.put("input", "42").await?;
    /// let second = cursors.put("input", "43").await?;
    /// assert_eq!(cursors.put_if_version("input", "44", first).await?, WriteOutcome::Conflict(Some(second)));
    /// # Ok(()) }
    /// ```
    pub async fn put_if_version<K, V>(
        &self,
        key: K,
        value: V,
        version: Version,
    ) -> Result<WriteOutcome>
    where
        K: TryInto<Key>,
        Error: From<K::Error>,
        V: TryInto<Value>,
        Error: From<V::Error>,
    {
        let (key, value) = self.entry(key, value)?;
        let mut request = self.request();
        self.added(request.check_version(&self.namespace, &key, version))?;
        self.added(request.put(&self.namespace, &key, value, None))?;
        self.commit(request).await
    }

    /// Removes an entry; legal where there is none (clause META-7).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// let cursors = storage.metadata("cursors")?;
    /// cursors.put("input", "42").await?;
    /// cursors.delete("input").await?;
    /// assert!(cursors.get("input").await?.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn delete<K>(&self, key: K) -> Result<()>
    where
        K: TryInto<Key>,
        Error: From<K::Error>,
    {
        let key: Key = accept(key, Operation::Commit, &self.namespace)?;
        let mut request = self.request();
        self.added(request.delete(&self.namespace, &key))?;
        self.commit(request).await?;
        Ok(())
    }

    /// Removes an entry that has that version.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::WriteOutcome;
    ///
    /// let locks = storage.metadata("locks")?;
    /// let mine = locks.put("door", "ann").await?;
    /// assert!(matches!(locks.delete_if_version("door", mine).await?, WriteOutcome::Written(_)));
    /// # Ok(()) }
    /// ```
    pub async fn delete_if_version<K>(&self, key: K, version: Version) -> Result<WriteOutcome>
    where
        K: TryInto<Key>,
        Error: From<K::Error>,
    {
        let key: Key = accept(key, Operation::Commit, &self.namespace)?;
        let mut request = self.request();
        self.added(request.check_version(&self.namespace, &key, version))?;
        self.added(request.delete(&self.namespace, &key))?;
        self.commit(request).await
    }

    /// Every entry of a range, in byte order, page after page (clause META-3).
    ///
    /// The pages are not one instant; a [`Transaction`](crate::Transaction) reads as if they were.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::KeyRange;
    ///
    /// let users = storage.metadata("users")?;
    /// users.put("a/1", "ann").await?;
    /// users.put("b/1", "bob").await?;
    /// assert_eq!(users.scan(KeyRange::all()).await?.len(), 2);
    /// assert_eq!(users.scan(KeyRange::prefix("b/")?).await?[0].value.as_bytes(), b"bob");
    /// # Ok(()) }
    /// ```
    pub async fn scan(&self, range: KeyRange) -> Result<Vec<MetadataEntry>> {
        let span = debug_span!("scan", namespace = %self.namespace);
        let request = ScanRequest::new(self.namespace.clone(), range);
        scan_all(&self.storage, self.storage.now(), request)
            .instrument(span)
            .await
    }

    /// One page of entries, of this namespace whatever the request names (clause META-3).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::{Count, Direction, KeyRange, ScanRequest};
    ///
    /// let users = storage.metadata("users")?;
    /// users.put("ann", "1").await?;
    /// users.put("bob", "2").await?;
    /// let last = ScanRequest::new(users.namespace().clone(), KeyRange::all())
    ///     .direction(Direction::Backward)
    ///     .entries_max(Count::ONE);
    /// let page = users.page(last).await?;
    /// assert_eq!(page.items[0].key.as_bytes(), b"bob");
    /// assert!(page.next.is_some());
    /// # Ok(()) }
    /// ```
    pub async fn page(&self, mut request: ScanRequest) -> Result<Page<MetadataEntry>> {
        request.namespace = self.namespace.clone();
        let span = debug_span!("scan", namespace = %self.namespace);
        let page = self.storage.backend().scan(self.storage.now(), request);
        page.instrument(span).await
    }

    async fn set<K, V>(&self, key: K, value: V, expires_at: Option<Timestamp>) -> Result<Version>
    where
        K: TryInto<Key>,
        Error: From<K::Error>,
        V: TryInto<Value>,
        Error: From<V::Error>,
    {
        let (key, value) = self.entry(key, value)?;
        let mut request = self.request();
        self.added(request.put(&self.namespace, &key, value, expires_at))?;
        match self.commit(request).await? {
            WriteOutcome::Written(version) => Ok(version),
            WriteOutcome::Conflict(_) => Err(self.broken("it refused a commit without checks")),
        }
    }

    fn entry<K, V>(&self, key: K, value: V) -> Result<(Key, Value)>
    where
        K: TryInto<Key>,
        Error: From<K::Error>,
        V: TryInto<Value>,
        Error: From<V::Error>,
    {
        let key = accept(key, Operation::Commit, &self.namespace)?;
        let value = accept(value, Operation::Commit, &self.namespace)?;
        Ok((key, value))
    }

    fn request(&self) -> CommitRequest {
        CommitRequest::new(self.storage.now())
    }

    fn added(&self, added: Result<()>) -> Result<()> {
        added.map_err(|error| error.during(Operation::Commit, &self.namespace))
    }

    async fn commit(&self, request: CommitRequest) -> Result<WriteOutcome> {
        let span = debug_span!("commit", namespace = %self.namespace);
        match self
            .storage
            .backend()
            .commit(request)
            .instrument(span)
            .await?
        {
            CommitOutcome::Committed(Committed {
                version: Some(version),
                ..
            }) => Ok(WriteOutcome::Written(version)),
            CommitOutcome::Refused(Refusal::Check { found, .. }) => {
                Ok(WriteOutcome::Conflict(found))
            }
            _ => Err(self.broken("its answer does not fit what was asked")),
        }
    }

    fn broken(&self, reason: &str) -> Error {
        let driver = self.storage.descriptor().driver;
        Error::new(
            ErrorKind::Internal,
            Operation::Commit,
            Object::Namespace(self.namespace.clone()),
            format!("the driver {driver} broke the contract: {reason}"),
        )
    }
}

/// Every page of a scan.
pub(super) async fn scan_all(
    storage: &Storage,
    now: Timestamp,
    mut request: ScanRequest,
) -> Result<Vec<MetadataEntry>> {
    let mut entries = Vec::new();
    loop {
        let page = storage.backend().scan(now, request.clone()).await?;
        entries.extend(page.items);
        match page.next {
            None => return Ok(entries),
            next => request.after = next,
        }
    }
}
