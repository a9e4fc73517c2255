//! Transactions: reads become checks, writes wait for the commit.

use std::collections::BTreeMap;
use std::fmt;

use tracing::{Instrument, debug_span};

use super::metadata::scan_all;
use super::{Partition, Storage, accept};
use crate::call::{
    CommitOutcome, CommitRequest, Committed, ItemIds, KeyRange, Receipts, Refusal, ScanRequest,
    StepFailure,
};
use crate::error::{Error, ErrorKind, Object, Operation, Result, RetryHint};
use crate::item::{ItemBatch, NewItem};
use crate::names::{Key, Namespace, PartitionId, Value};
use crate::time::Timestamp;

type Target = (Namespace, Key);

/// Reads, metadata writes and item steps that apply at one instant, or not at all.
///
/// Everything read is checked at the commit, ranges included, so that a transaction that commits is serializable
/// (clause META-5). A read sees the writes of its own transaction. Nothing is sent before the commit; dropping the
/// transaction forgets it. Its time is that of its beginning.
///
/// Together at most 10 000 reads, entries of scanned ranges, writes, items, receipts and ids, and 32 MiB.
pub struct Transaction {
    storage: Storage,
    request: CommitRequest,
    reads: BTreeMap<Target, Option<Value>>,
    writes: BTreeMap<Target, Option<(Value, Option<Timestamp>)>>,
    steps: Vec<PartitionId>,
}

impl Transaction {
    pub(super) fn new(storage: Storage) -> Self {
        let request = CommitRequest::new(storage.now());
        Self {
            storage,
            request,
            reads: BTreeMap::new(),
            writes: BTreeMap::new(),
            steps: Vec::new(),
        }
    }

    /// The time of the transaction: that of its beginning.
    ///
    /// ```
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// let txn = storage.begin();
    /// assert!(txn.now() <= storage.now());
    /// ```
    pub fn now(&self) -> Timestamp {
        self.request.now()
    }

    /// The value of a key, and from here on the wish that it stays: read once, it is the same at every later read.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// let mut txn = storage.begin();
    /// assert!(txn.get("users", "ann").await?.is_none());
    /// txn.put("users", "ann", "{}")?;
    /// assert_eq!(txn.get("users", "ann").await?.unwrap().as_bytes(), b"{}");
    /// # Ok(()) }
    /// ```
    pub async fn get<N, K>(&mut self, namespace: N, key: K) -> Result<Option<Value>>
    where
        N: TryInto<Namespace>,
        Error: From<N::Error>,
        K: TryInto<Key>,
        Error: From<K::Error>,
    {
        let (namespace, key) = self.target(Operation::Get, namespace, key)?;
        let target = (namespace, key);
        if let Some(written) = self.writes.get(&target) {
            return Ok(self.visible(written.as_ref()));
        }
        if let Some(read) = self.reads.get(&target) {
            return Ok(read.clone());
        }
        let (namespace, key) = &target;
        let span = debug_span!("get", %namespace);
        let entry = self.storage.backend().get(self.now(), namespace, key);
        let value = match entry.instrument(span).await? {
            Some(entry) => {
                let check = self.request.check_version(namespace, key, entry.version);
                added(check)?;
                Some(entry.value)
            }
            None => {
                added(self.request.check_absent(namespace, key))?;
                None
            }
        };
        self.reads.insert(target, value.clone());
        Ok(value)
    }

    /// Every key and value of a range in byte order, and from here on the wish that none comes, goes or changes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::KeyRange;
    ///
    /// let mut txn = storage.begin();
    /// txn.put("seats", "1a", "ann")?;
    /// assert_eq!(txn.scan("seats", KeyRange::all()).await?.len(), 1);
    /// # Ok(()) }
    /// ```
    pub async fn scan<N>(&mut self, namespace: N, range: KeyRange) -> Result<Vec<(Key, Value)>>
    where
        N: TryInto<Namespace>,
        Error: From<N::Error>,
    {
        let namespace: Namespace = accept(namespace, Operation::Scan, Object::Backend)?;
        let span = debug_span!("scan", %namespace);
        let request = ScanRequest::new(namespace.clone(), range.clone());
        let scan = scan_all(&self.storage, self.now(), request);
        let entries = scan.instrument(span).await?;
        let seen = entries
            .iter()
            .map(|entry| (entry.key.clone(), entry.version))
            .collect();
        added(self.request.check_range(&namespace, range.clone(), seen))?;

        let mut found: BTreeMap<Key, Value> = entries
            .into_iter()
            .map(|entry| (entry.key, entry.value))
            .collect();
        for ((_, key), written) in self
            .writes
            .iter()
            .filter(|((written_to, key), _)| *written_to == namespace && range.contains(key))
        {
            match self.visible(written.as_ref()) {
                Some(value) => found.insert(key.clone(), value),
                None => found.remove(key),
            };
        }
        Ok(found.into_iter().collect())
    }

    /// Sets an entry at the commit. A later write to the same key in this transaction replaces this one.
    ///
    /// ```
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// let mut txn = storage.begin();
    /// txn.put("users", "ann", "{}")?;
    /// # Ok::<(), storage_api::Error>(())
    /// ```
    pub fn put<N, K, V>(&mut self, namespace: N, key: K, value: V) -> Result<()>
    where
        N: TryInto<Namespace>,
        Error: From<N::Error>,
        K: TryInto<Key>,
        Error: From<K::Error>,
        V: TryInto<Value>,
        Error: From<V::Error>,
    {
        let target = self.target(Operation::Commit, namespace, key)?;
        let value = accept(value, Operation::Commit, &target.0)?;
        self.writes.insert(target, Some((value, None)));
        Ok(())
    }

    /// As [`put`](Self::put), for an entry that is absent from `expires_at` on (clause META-4).
    ///
    /// ```
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// let mut txn = storage.begin();
    /// let expires_at = txn.now().saturating_add(std::time::Duration::from_secs(60));
    /// txn.put_until("sessions", "s1", "ann", expires_at)?;
    /// # Ok::<(), storage_api::Error>(())
    /// ```
    pub fn put_until<N, K, V>(
        &mut self,
        namespace: N,
        key: K,
        value: V,
        expires_at: Timestamp,
    ) -> Result<()>
    where
        N: TryInto<Namespace>,
        Error: From<N::Error>,
        K: TryInto<Key>,
        Error: From<K::Error>,
        V: TryInto<Value>,
        Error: From<V::Error>,
    {
        let target = self.target(Operation::Commit, namespace, key)?;
        let value = accept(value, Operation::Commit, &target.0)?;
        self.writes.insert(target, Some((value, Some(expires_at))));
        Ok(())
    }

    /// Removes an entry at the commit; legal where there is none (clause META-7).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// let mut txn = storage.begin();
    /// txn.put("users", "ann", "{}")?;
    /// txn.delete("users", "ann")?;
    /// assert!(txn.get("users", "ann").await?.is_none());
    /// # Ok(()) }
    /// ```
    pub fn delete<N, K>(&mut self, namespace: N, key: K) -> Result<()>
    where
        N: TryInto<Namespace>,
        Error: From<N::Error>,
        K: TryInto<Key>,
        Error: From<K::Error>,
    {
        let target = self.target(Operation::Commit, namespace, key)?;
        self.writes.insert(target, None);
        Ok(())
    }

    /// Produces items at the commit, into a partition of the same backend; of another one it is `Unsupported`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = storage.create_partition(("emails", 0), Default::default()).await?;
    /// let mut txn = storage.begin();
    /// txn.put("users", "ann", "{}")?;
    /// txn.produce(&emails, ["welcome, ann"])?;
    /// txn.commit().await?;
    /// assert_eq!(emails.stats().await?.ready.items, 1);
    /// # Ok(()) }
    /// ```
    pub fn produce<'i, I>(&mut self, partition: &Partition, items: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: Into<NewItem<'i>>,
    {
        let mut batch = ItemBatch::new();
        for item in items {
            let pushed = batch.push(item.into());
            pushed.map_err(|error| error.during(Operation::Commit, partition.id()))?;
        }
        self.produce_batch(partition, batch)
    }

    /// As [`produce`](Self::produce), for a batch.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = storage.create_partition(("emails", 0), Default::default()).await?;
    /// let mut txn = storage.begin();
    /// txn.produce_batch(&emails, storage_api::ItemBatch::new())?;
    /// # Ok(()) }
    /// ```
    pub fn produce_batch(&mut self, partition: &Partition, batch: ItemBatch) -> Result<()> {
        self.step(partition, |request| request.produce(partition.id(), batch))
    }

    /// Completes leases at the commit; one that is not valid by then refuses the whole commit.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = storage.create_partition(("emails", 0), Default::default()).await?;
    /// # emails.produce(["hello"]).await?;
    /// use std::time::Duration;
    ///
    /// let leased = emails.lease(1, Duration::from_secs(30)).await?;
    /// let mut txn = storage.begin();
    /// txn.complete(&emails, leased.receipts())?;
    /// txn.put("sent", "ann", "yes")?;
    /// txn.commit().await?; // exactly once: done and remembered at one instant
    /// # Ok(()) }
    /// ```
    pub fn complete<R>(&mut self, partition: &Partition, receipts: R) -> Result<()>
    where
        R: TryInto<Receipts>,
        Error: From<R::Error>,
    {
        let receipts = accept(receipts, Operation::Commit, partition.id())?;
        self.step(partition, |request| {
            request.complete(partition.id(), receipts)
        })
    }

    /// Deletes items at the commit; one that does not exist by then refuses the whole commit.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let emails = storage.create_partition(("emails", 0), Default::default()).await?;
    /// let id = emails.produce(["hello"]).await?.ids().next().unwrap();
    /// let mut txn = storage.begin();
    /// txn.delete_items(&emails, id)?;
    /// txn.commit().await?;
    /// assert!(emails.get(id).await?.is_none());
    /// # Ok(()) }
    /// ```
    pub fn delete_items<I>(&mut self, partition: &Partition, ids: I) -> Result<()>
    where
        I: TryInto<ItemIds>,
        Error: From<I::Error>,
    {
        let ids = accept(ids, Operation::Commit, partition.id())?;
        self.step(partition, |request| {
            request.delete_items(partition.id(), ids)
        })
    }

    /// Applies all of it at one instant, if everything read is still so and every receipt and id is valid; else nothing.
    ///
    /// The refusal is a value; [`Storage::transact`] tries again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use storage_api::{CommitOutcome, Refusal};
    ///
    /// let mut txn = storage.begin();
    /// txn.get("users", "ann").await?;
    /// storage.metadata("users")?.put("ann", "somebody was faster").await?;
    /// txn.put("users", "ann", "{}")?;
    /// assert!(matches!(txn.commit().await?, CommitOutcome::Refused(Refusal::Check { .. })));
    /// # Ok(()) }
    /// ```
    pub async fn commit(mut self) -> Result<CommitOutcome> {
        self.send().await
    }

    /// As `commit`: `None` is a conflict, an entry that is not valid is an error.
    pub(super) async fn try_commit(mut self) -> Result<Option<Committed>> {
        match self.send().await? {
            CommitOutcome::Committed(committed) => Ok(Some(committed)),
            CommitOutcome::Refused(Refusal::Check { .. }) => Ok(None),
            CommitOutcome::Refused(Refusal::Step {
                index,
                entry,
                found,
            }) => {
                let found = match found {
                    StepFailure::NotFound => "has no item",
                    StepFailure::LeaseLost => "has lost its lease",
                };
                let object = self.steps.get(index).map_or(Object::Backend, Object::from);
                let reason = format!("entry {entry} of its step {index} {found}; leave it out");
                let error = Error::new(ErrorKind::NotFound, Operation::Commit, object, reason);
                Err(error.with_retry_hint(RetryHint::Never))
            }
        }
    }

    async fn send(&mut self) -> Result<CommitOutcome> {
        let empty = CommitRequest::new(self.now());
        let mut request = std::mem::replace(&mut self.request, empty);
        for ((namespace, key), write) in std::mem::take(&mut self.writes) {
            added(match write {
                Some((value, expires_at)) => request.put(&namespace, &key, value, expires_at),
                None => request.delete(&namespace, &key),
            })?;
        }
        let span = debug_span!("commit", checks = request.checks().len());
        let commit = self.storage.backend().commit(request);
        commit.instrument(span).await
    }

    fn step<F>(&mut self, partition: &Partition, add: F) -> Result<()>
    where
        F: FnOnce(&mut CommitRequest) -> Result<()>,
    {
        if !partition.storage().is_same_backend(&self.storage) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                Operation::Commit,
                partition.id(),
                "the partition is in another backend than the transaction, and no commit spans two; \
                 keep both in one storage",
            ));
        }
        add(&mut self.request).map_err(|error| error.during(Operation::Commit, partition.id()))?;
        self.steps.push(partition.id().clone());
        Ok(())
    }

    fn target<N, K>(&self, operation: Operation, namespace: N, key: K) -> Result<Target>
    where
        N: TryInto<Namespace>,
        Error: From<N::Error>,
        K: TryInto<Key>,
        Error: From<K::Error>,
    {
        let namespace: Namespace = accept(namespace, operation, Object::Backend)?;
        let key = accept(key, operation, &namespace)?;
        Ok((namespace, key))
    }

    /// What a read sees of a write of this transaction.
    fn visible(&self, written: Option<&(Value, Option<Timestamp>)>) -> Option<Value> {
        let (value, expires_at) = written?;
        let is_expired = expires_at.is_some_and(|at| at <= self.now());
        (!is_expired).then(|| value.clone())
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("now", &self.now())
            .field("checks", &self.request.checks().len())
            .field("writes", &self.writes.len())
            .field("steps", &self.steps)
            .finish()
    }
}

fn added(added: Result<()>) -> Result<()> {
    added.map_err(|error| error.during(Operation::Commit, Object::Backend))
}
