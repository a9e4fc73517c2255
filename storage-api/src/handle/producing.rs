//! Producing, and waiting for room.

use std::time::Duration;

use tracing::{Instrument, debug_span};

use super::Partition;
use crate::call::Produced;
use crate::error::{Error, ErrorKind, Operation, Outcome, Result, RetryHint};
use crate::item::{ItemBatch, NewItem};
use crate::time::Timestamp;

/// The first pause before a full partition is asked again. Completing fires no signal, so room must be asked for.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest pause: what a producer waits at most after room was made.
const PAUSE_MAX: Duration = Duration::from_millis(64);

/// The most bytes for which room is made before the items are seen.
const RESERVED_BYTES_MAX: usize = 1 << 20;

impl Partition {
    /// Stores items, all or none, in order (clauses ITEM-1 to ITEM-6).
    ///
    /// Takes anything that becomes a [`NewItem`], text and bytes included. They are copied when this is called, before the
    /// future is polled. More than 10 000 items or 32 MiB are `InvalidArgument`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use storage_api::NewItem;
    ///
    /// let produced = partition.produce([NewItem::new("hello").kind("greeting")]).await?;
    /// assert_eq!(produced.stored(), 1);
    /// partition.produce(["plain", "text"]).await?;
    /// # Ok(()) }
    /// ```
    pub fn produce<'i, I>(&self, items: I) -> impl Future<Output = Result<Produced>> + Send
    where
        I: IntoIterator,
        I::Item: Into<NewItem<'i>>,
    {
        let batch = self.batch(items);
        async move { self.produce_batch(batch?).await }
    }

    /// Stores a batch, all or none, stamped with the time now.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use storage_api::{ItemBatch, NewItem};
    ///
    /// let mut batch = ItemBatch::new();
    /// for line in "one\ntwo".lines() {
    ///     batch.push(NewItem::new(line))?;
    /// }
    /// assert_eq!(partition.produce_batch(batch).await?.stored(), 2);
    /// # Ok(()) }
    /// ```
    pub async fn produce_batch(&self, batch: ItemBatch) -> Result<Produced> {
        let span = debug_span!("produce", partition = %self.id(), items = batch.len());
        let sealed = batch.seal(self.storage().now());
        if let Some(produced) = span.in_scope(|| self.shortcut()?.produce(&sealed)) {
            return produced;
        }
        let produced = self.backend().produce(self.id(), sealed);
        produced.instrument(span).await
    }

    /// As [`produce`](Self::produce), but waits up to `timeout` for room where the backend or the partition is full, and
    /// for the partition to open where it is draining or frozen.
    ///
    /// After the timeout the refusal of the last try is the answer, and nothing is stored.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// use std::time::Duration;
    /// use storage_api::{ErrorKind, PartitionConfig};
    ///
    /// let config = PartitionConfig::default().with_items_max(1);
    /// let partition = storage.create_partition(("emails", 0), config).await?;
    /// partition.produce_wait(["fits"], Duration::from_secs(5)).await?;
    /// let refused = partition.produce_wait(["too many"], Duration::ZERO).await;
    /// assert_eq!(refused.unwrap_err().kind(), ErrorKind::CapacityExceeded);
    /// # Ok(()) }
    /// ```
    pub fn produce_wait<'i, I>(
        &self,
        items: I,
        timeout: Duration,
    ) -> impl Future<Output = Result<Produced>> + Send
    where
        I: IntoIterator,
        I::Item: Into<NewItem<'i>>,
    {
        let batch = self.batch(items);
        async move { self.produce_batch_wait(batch?, timeout).await }
    }

    /// As [`produce_wait`](Self::produce_wait), for a batch.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use std::time::Duration;
    /// use storage_api::ItemBatch;
    ///
    /// partition.produce_batch_wait(ItemBatch::new(), Duration::from_secs(5)).await?;
    /// # Ok(()) }
    /// ```
    pub async fn produce_batch_wait(
        &self,
        batch: ItemBatch,
        timeout: Duration,
    ) -> Result<Produced> {
        let span = debug_span!("produce_wait", partition = %self.id(), items = batch.len());
        let producing = async {
            let until = self.storage().now().saturating_add(timeout);
            let mut sealed = batch.seal(self.storage().now());
            let mut pause = PAUSE_MIN;
            loop {
                // The signal is taken before the look: a partition opened in between is not missed.
                let mut signal = None;
                let mut tried = self.backend().produce(self.id(), sealed.clone()).await;
                if tried.as_ref().is_err_and(is_opening_awaited) {
                    signal = Some(self.backend().watch(self.id()).await?);
                    tried = self.backend().produce(self.id(), sealed.clone()).await;
                }
                let now = self.storage().now();
                match tried {
                    Err(error) if is_worth_waiting(&error) && now < until => {}
                    tried => return tried,
                }
                let again_at = now.saturating_add(pause).min(until);
                self.pause(signal, again_at).await;
                pause = (pause * 2).min(PAUSE_MAX);
                sealed = sealed.reseal(self.storage().now());
            }
        };
        producing.instrument(span).await
    }

    async fn pause(&self, signal: Option<crate::Signal>, until: Timestamp) {
        let sleep = self.storage().clock().sleep_until(until);
        match signal {
            Some(mut signal) => tokio::select! {
                () = signal.fired() => {}
                () = sleep => {}
            },
            None => sleep.await,
        }
    }

    fn batch<'i, I>(&self, items: I) -> Result<ItemBatch>
    where
        I: IntoIterator,
        I::Item: Into<NewItem<'i>>,
    {
        let mut batch = ItemBatch::new();
        let mut items = items.into_iter();
        while let Some(item) = items.next() {
            batch
                .push(item.into())
                .map_err(|error| error.during(Operation::Produce, self.id()))?;
            let (left, _) = items.size_hint();
            if batch.len() == 1 && left > 0 {
                // Items of a batch are mostly alike. Where they are not, little was taken for nothing.
                let bytes = batch.payload_bytes().saturating_mul(left);
                batch.reserve(left, bytes.min(RESERVED_BYTES_MAX));
            }
        }
        Ok(batch)
    }
}

fn is_opening_awaited(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable && is_worth_waiting(error)
}

fn is_worth_waiting(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::CapacityExceeded | ErrorKind::Unavailable
    ) && error.retry_hint() == RetryHint::SameCall
        && error.outcome() == Outcome::NotApplied
}
