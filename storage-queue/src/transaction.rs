//! Transactions over the metadata and the items of a queue.

use storage_api::{
    CommitOutcome, Error, Key, KeyRange, Namespace, NewItem, Partition, Result, Timestamp,
    Transaction, Value,
};

use crate::queue::{Queue, QueueReceipt, Routed};

/// Metadata and items of a queue that change at one instant, or not at all.
///
/// Only partitions in the backend of the metadata can take part; what would need another one is `Unsupported`, and
/// [`Queue::is_transactional`] tells before. See [`Transaction`] for what reads and writes mean.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
/// # use storage_queue::{QueueConfig, Queues, Storages};
/// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
/// # let queues = Queues::new(Storages::single(storage));
/// # let emails = queues.create("emails", QueueConfig::default()).await?;
/// use storage_api::CommitOutcome;
///
/// let mut txn = emails.begin();
/// if txn.get("users", "ann").await?.is_none() {
///     txn.put("users", "ann", "{}")?;
///     txn.produce(["welcome, ann"])?;
/// }
/// assert!(matches!(txn.commit().await?, CommitOutcome::Committed(_)));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct QueueTransaction {
    queue: Queue,
    transaction: Transaction,
}

impl QueueTransaction {
    pub(crate) fn new(queue: Queue) -> Self {
        let transaction = queue.metadata().begin();
        Self { queue, transaction }
    }

    /// The time of the transaction: that of its beginning.
    pub fn now(&self) -> Timestamp {
        self.transaction.now()
    }

    /// The value of a key, which must be the same at the commit.
    pub async fn get<N, K>(&mut self, namespace: N, key: K) -> Result<Option<Value>>
    where
        N: TryInto<Namespace>,
        Error: From<N::Error>,
        K: TryInto<Key>,
        Error: From<K::Error>,
    {
        self.transaction.get(namespace, key).await
    }

    /// The keys and values of a range, which must be the same at the commit.
    pub async fn scan<N>(&mut self, namespace: N, range: KeyRange) -> Result<Vec<(Key, Value)>>
    where
        N: TryInto<Namespace>,
        Error: From<N::Error>,
    {
        self.transaction.scan(namespace, range).await
    }

    /// Sets an entry at the commit.
    pub fn put<N, K, V>(&mut self, namespace: N, key: K, value: V) -> Result<()>
    where
        N: TryInto<Namespace>,
        Error: From<N::Error>,
        K: TryInto<Key>,
        Error: From<K::Error>,
        V: TryInto<Value>,
        Error: From<V::Error>,
    {
        self.transaction.put(namespace, key, value)
    }

    /// Sets an entry at the commit that is absent from `expires_at` on.
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
        self.transaction
            .put_until(namespace, key, value, expires_at)
    }

    /// Removes an entry at the commit.
    pub fn delete<N, K>(&mut self, namespace: N, key: K) -> Result<()>
    where
        N: TryInto<Namespace>,
        Error: From<N::Error>,
        K: TryInto<Key>,
        Error: From<K::Error>,
    {
        self.transaction.delete(namespace, key)
    }

    /// Produces items at the commit: into the partition whose turn it is of those that can take part, with a dedup key into
    /// that of the key.
    pub fn produce<'i, I>(&mut self, items: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: Into<NewItem<'i>>,
    {
        let routed = self.queue.routed_beside_metadata(items)?;
        self.add(routed)
    }

    /// Produces items at the commit into the partition of a key.
    pub fn produce_by_key<'i, I>(&mut self, key: impl AsRef<[u8]>, items: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: Into<NewItem<'i>>,
    {
        let routed = self.queue.routed_by_key(key.as_ref(), items)?;
        self.add(routed)
    }

    /// Completes leases at the commit; one that is not valid by then refuses the whole commit.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// # emails.produce(["hello"]).await?;
    /// # use std::time::Duration;
    /// use storage_api::LeaseOptions;
    ///
    /// let leased = emails.lease(LeaseOptions::new(1, Duration::from_secs(30))).await?;
    /// let mut txn = emails.begin();
    /// txn.put("sent", "ann", "yes")?;
    /// txn.complete(&leased)?;
    /// txn.commit().await?;
    /// # Ok(()) }
    /// ```
    pub fn complete<I>(&mut self, receipts: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: Into<QueueReceipt>,
    {
        for receipt in receipts {
            let QueueReceipt { partition, receipt } = receipt.into();
            let partition: &Partition = self.queue.partition(partition)?;
            self.transaction.complete(partition, receipt)?;
        }
        Ok(())
    }

    /// Applies all of it at one instant, if everything read is still so and every receipt is valid; else nothing, and the
    /// answer says why.
    pub async fn commit(self) -> Result<CommitOutcome> {
        self.transaction.commit().await
    }

    fn add(&mut self, routed: Routed) -> Result<()> {
        for (number, batch) in routed.batches {
            let partition = self.queue.partition(number)?;
            self.transaction.produce_batch(partition, batch)?;
        }
        Ok(())
    }
}
