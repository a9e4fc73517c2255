//! Ending and prolonging leases, wherever the items are.

use std::collections::BTreeMap;
use std::time::Duration;

use storage_api::limits::BATCH_ITEMS_MAX;
use storage_api::{
    CompleteOutcome, ExtendOutcome, Partition, Receipt, ReleaseOutcome, Result, RetryOutcome,
};
use tracing::{Instrument, debug_span};

use super::{Queue, QueueReceipt, QueueRetry};

impl Queue {
    /// Removes the item of each valid receipt; the outcomes are in input order.
    ///
    /// Takes deliveries and receipts of any partitions, any number. Each partition is one step: where one fails the others are
    /// still done, and the first error is the answer; calling again is harmless.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// # use std::time::Duration;
    /// use storage_api::{CompleteOutcome, LeaseOptions};
    ///
    /// emails.produce(["hello"]).await?;
    /// let leased = emails.lease(LeaseOptions::new(10, Duration::from_secs(30))).await?;
    /// assert_eq!(emails.complete(&leased).await?, [CompleteOutcome::Done]);
    /// # Ok(()) }
    /// ```
    pub async fn complete<I>(&self, receipts: I) -> Result<Vec<CompleteOutcome>>
    where
        I: IntoIterator,
        I::Item: Into<QueueReceipt>,
    {
        let span = debug_span!("complete", queue = %self.name());
        let complete = |partition: Partition, receipts: Vec<Receipt>| async move {
            partition.complete(receipts).await
        };
        self.by_partition(by_receipt(receipts), complete)
            .instrument(span)
            .await
    }

    /// Gives leases back unused; as [`complete`](Self::complete) otherwise.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// # use std::time::Duration;
    /// use storage_api::{LeaseOptions, ReleaseOutcome};
    ///
    /// emails.produce(["hello"]).await?;
    /// let leased = emails.lease(LeaseOptions::new(10, Duration::from_secs(30))).await?;
    /// assert_eq!(emails.release(leased).await?, [ReleaseOutcome::Released]);
    /// # Ok(()) }
    /// ```
    pub async fn release<I>(&self, receipts: I) -> Result<Vec<ReleaseOutcome>>
    where
        I: IntoIterator,
        I::Item: Into<QueueReceipt>,
    {
        let span = debug_span!("release", queue = %self.name());
        let release = |partition: Partition, receipts: Vec<Receipt>| async move {
            partition.release(receipts).await
        };
        self.by_partition(by_receipt(receipts), release)
            .instrument(span)
            .await
    }

    /// Moves the deadline of leases to that time from now; as [`complete`](Self::complete) otherwise.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// # use std::time::Duration;
    /// use storage_api::{ExtendOutcome, LeaseOptions};
    ///
    /// emails.produce(["hello"]).await?;
    /// let leased = emails.lease(LeaseOptions::new(10, Duration::from_secs(30))).await?;
    /// let outcomes = emails.extend(&leased, Duration::from_secs(300)).await?;
    /// assert_eq!(outcomes, [ExtendOutcome::Extended]);
    /// # Ok(()) }
    /// ```
    pub async fn extend<I>(&self, receipts: I, lease_for: Duration) -> Result<Vec<ExtendOutcome>>
    where
        I: IntoIterator,
        I::Item: Into<QueueReceipt>,
    {
        let span = debug_span!("extend", queue = %self.name());
        let extend = |partition: Partition, receipts: Vec<Receipt>| async move {
            partition.extend(receipts, lease_for).await
        };
        self.by_partition(by_receipt(receipts), extend)
            .instrument(span)
            .await
    }

    /// Ends leases without completion; as [`complete`](Self::complete) otherwise.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// # use std::time::Duration;
    /// use storage_api::{LeaseOptions, RetryOutcome, RetryTo};
    ///
    /// emails.produce(["hello"]).await?;
    /// let leased = emails.lease(LeaseOptions::new(10, Duration::from_secs(30))).await?;
    /// let retries = leased.iter().map(|delivery| delivery.retry(RetryTo::Now));
    /// assert_eq!(emails.retry(retries).await?, [RetryOutcome::Ready]);
    /// # Ok(()) }
    /// ```
    pub async fn retry<I>(&self, retries: I) -> Result<Vec<RetryOutcome>>
    where
        I: IntoIterator<Item = QueueRetry>,
    {
        let span = debug_span!("retry", queue = %self.name());
        let retries = retries.into_iter();
        let retries = retries
            .map(|retry| (retry.partition, retry.retry))
            .collect();
        let retry =
            |partition: Partition, retries: Vec<_>| async move { partition.retry(retries).await };
        self.by_partition(retries, retry).instrument(span).await
    }

    /// Makes a call for the entries of each partition, and puts the outcomes back into input order.
    ///
    /// The partition is given by value: a call that borrowed it would make a future that cannot be shown to be `Send`.
    pub(super) async fn by_partition<T, O, F, C>(
        &self,
        entries: Vec<(u32, T)>,
        call: F,
    ) -> Result<Vec<O>>
    where
        F: Fn(Partition, Vec<T>) -> C,
        C: Future<Output = Result<Vec<O>>>,
    {
        let mut groups: BTreeMap<u32, (Vec<usize>, Vec<T>)> = BTreeMap::new();
        for (index, (partition, entry)) in entries.into_iter().enumerate() {
            let group = groups.entry(partition).or_default();
            group.0.push(index);
            group.1.push(entry);
        }
        let mut outcomes: Vec<(usize, O)> = Vec::new();
        let mut failed = None;
        for (number, (indexes, entries)) in groups {
            let called = async {
                let partition = self.partition(number)?;
                let mut called = Vec::with_capacity(entries.len());
                let mut entries = entries.into_iter().peekable();
                while entries.peek().is_some() {
                    let chunk = entries.by_ref().take(BATCH_ITEMS_MAX).collect();
                    called.extend(call(partition.clone(), chunk).await?);
                }
                Ok(called)
            };
            match called.await {
                Ok(called) => outcomes.extend(indexes.into_iter().zip(called)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        outcomes.sort_unstable_by_key(|(index, _)| *index);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }
}

fn by_receipt<I>(receipts: I) -> Vec<(u32, Receipt)>
where
    I: IntoIterator,
    I::Item: Into<QueueReceipt>,
{
    let receipts = receipts.into_iter().map(Into::into);
    receipts
        .map(|receipt: QueueReceipt| (receipt.partition, receipt.receipt))
        .collect()
}
