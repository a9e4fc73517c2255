//! Producing: which partition an item goes to.

use std::time::Duration;

use storage_api::{Error, ItemBatch, NewItem, Operation, ProduceOutcome, Produced, Result};
use tracing::{Instrument, debug_span};

use super::Queue;
use crate::route::partition_of;

/// Batches by partition, and which partition each item went to.
pub(crate) struct Routed {
    pub(crate) batches: Vec<(u32, ItemBatch)>,
    /// The partition of each item; empty where there is one batch for all.
    pub(crate) partitions: Vec<u32>,
}

impl Routed {
    /// Routes items: one with a dedup key by the key, since a partition knows its own keys only, all others to the
    /// partition that `other` names.
    fn by_dedup_key<'i, I>(
        queue: &Queue,
        items: I,
        mut other: impl FnMut() -> Result<u32>,
    ) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: Into<NewItem<'i>>,
    {
        let mut routed = Self {
            batches: Vec::new(),
            partitions: Vec::new(),
        };
        let mut turn = None;
        for item in items {
            let item = item.into();
            let partition = match item.attributes().dedup_key {
                Some(key) if queue.width() > 1 => partition_of(key, queue.width()),
                _ => match turn {
                    Some(turn) => turn,
                    None => *turn.insert(other()?),
                },
            };
            routed.push(queue, partition, item)?;
        }
        if routed.batches.is_empty() {
            // An empty batch is produced too: it finds out what has gone or is closed.
            routed.batches.push((other()?, ItemBatch::new()));
        }
        if routed.batches.len() == 1 {
            routed.partitions.clear();
        }
        Ok(routed)
    }

    fn push(&mut self, queue: &Queue, partition: u32, item: NewItem<'_>) -> Result<()> {
        let at = self.batches.iter().position(|(at, _)| *at == partition);
        let at = at.unwrap_or_else(|| {
            self.batches.push((partition, ItemBatch::new()));
            self.batches.len() - 1
        });
        let pushed = self.batches[at].1.push(item);
        pushed.map_err(|error| error.during(Operation::Produce, queue.object()))?;
        if queue.width() > 1 {
            self.partitions.push(partition);
        }
        Ok(())
    }
}

/// What became of produced items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueProduced {
    parts: Vec<(u32, Produced)>,
    /// The partition of each item; empty where there is one part.
    partitions: Vec<u32>,
}

impl QueueProduced {
    /// How many items there were.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|(_, produced)| produced.len()).sum()
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many were stored; the others are duplicates.
    pub fn stored(&self) -> usize {
        self.parts
            .iter()
            .map(|(_, produced)| produced.stored())
            .sum()
    }

    /// The answers of the partitions that were produced into, with their numbers.
    pub fn parts(&self) -> &[(u32, Produced)] {
        &self.parts
    }

    /// The partition of each item and what became of it, in input order.
    pub fn outcomes(&self) -> Vec<(u32, ProduceOutcome)> {
        let mut parts: Vec<_> = self
            .parts
            .iter()
            .map(|(partition, produced)| (*partition, produced.outcomes()))
            .collect();
        match &mut parts[..] {
            [(partition, outcomes)] => outcomes.map(|outcome| (*partition, outcome)).collect(),
            parts => self
                .partitions
                .iter()
                .filter_map(|partition| {
                    let part = parts.iter_mut().find(|(number, _)| number == partition)?;
                    Some((*partition, part.1.next()?))
                })
                .collect(),
        }
    }
}

impl Queue {
    /// Stores items: the items of one call together in one partition, the partitions in turn.
    ///
    /// An item with a dedup key goes to the partition of that key, so that its duplicates are found. What goes to one partition
    /// is stored whole or not at all, in order; where dedup keys lead to several, an error may leave some stored, and calling
    /// again with the same keys stores the rest.
    ///
    /// The items are copied when this is called, before the future is polled. At most 10 000 items and 32 MiB a partition.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default().with_partitions(4)?).await?;
    /// use storage_api::NewItem;
    ///
    /// emails.produce(["hello", "again"]).await?;
    /// let once = NewItem::new("only once").dedup_key("order-17");
    /// assert_eq!(emails.produce([once, once]).await?.stored(), 1);
    /// # Ok(()) }
    /// ```
    pub fn produce<'i, I>(&self, items: I) -> impl Future<Output = Result<QueueProduced>> + Send
    where
        I: IntoIterator,
        I::Item: Into<NewItem<'i>>,
    {
        let routed = Routed::by_dedup_key(self, items, || Ok(self.next_to_produce()));
        self.produce_routed(routed, Duration::ZERO)
    }

    /// As [`produce`](Self::produce), but waits up to `timeout` for room where a partition or its backend is full, and for the
    /// partition to open where it is draining or frozen.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// emails.produce_wait(["hello"], std::time::Duration::from_secs(5)).await?;
    /// # Ok(()) }
    /// ```
    pub fn produce_wait<'i, I>(
        &self,
        items: I,
        timeout: Duration,
    ) -> impl Future<Output = Result<QueueProduced>> + Send
    where
        I: IntoIterator,
        I::Item: Into<NewItem<'i>>,
    {
        let routed = Routed::by_dedup_key(self, items, || Ok(self.next_to_produce()));
        self.produce_routed(routed, timeout)
    }

    /// Stores items in the partition of a key, all or none: items of one key stay in order.
    ///
    /// The partition of a key is the same for every process and version, until the queue grows. Dedup keys hold within that
    /// partition.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default().with_partitions(4)?).await?;
    /// let first = emails.produce_by_key("customer-17", ["created"]).await?;
    /// let second = emails.produce_by_key("customer-17", ["paid"]).await?;
    /// assert_eq!(first.parts()[0].0, second.parts()[0].0);
    /// # Ok(()) }
    /// ```
    pub fn produce_by_key<'i, I>(
        &self,
        key: impl AsRef<[u8]>,
        items: I,
    ) -> impl Future<Output = Result<QueueProduced>> + Send
    where
        I: IntoIterator,
        I::Item: Into<NewItem<'i>>,
    {
        let routed = self.routed_by_key(key.as_ref(), items);
        self.produce_routed(routed, Duration::ZERO)
    }

    /// The partition that [`produce_by_key`](Self::produce_by_key) chooses.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default().with_partitions(4)?).await?;
    /// assert!(emails.partition_of("customer-17") < 4);
    /// # Ok(()) }
    /// ```
    pub fn partition_of(&self, key: impl AsRef<[u8]>) -> u32 {
        partition_of(key.as_ref(), self.width())
    }

    pub(crate) fn routed_by_key<'i, I>(&self, key: &[u8], items: I) -> Result<Routed>
    where
        I: IntoIterator,
        I::Item: Into<NewItem<'i>>,
    {
        let mut batch = ItemBatch::new();
        for item in items {
            let pushed = batch.push(item.into());
            pushed.map_err(|error| error.during(Operation::Produce, self.object()))?;
        }
        Ok(Routed {
            batches: vec![(partition_of(key, self.width()), batch)],
            partitions: Vec::new(),
        })
    }

    pub(crate) fn routed_beside_metadata<'i, I>(&self, items: I) -> Result<Routed>
    where
        I: IntoIterator,
        I::Item: Into<NewItem<'i>>,
    {
        Routed::by_dedup_key(self, items, || self.next_beside_metadata())
    }

    async fn produce_routed(
        &self,
        routed: Result<Routed, Error>,
        timeout: Duration,
    ) -> Result<QueueProduced> {
        let routed = routed?;
        let span = debug_span!("produce", queue = %self.name());
        let producing = async {
            let clock = self.metadata().clock();
            let until = clock.now().saturating_add(timeout);
            let mut parts = Vec::with_capacity(routed.batches.len());
            for (number, batch) in routed.batches {
                let partition = self.partition(number)?;
                let produced = if timeout.is_zero() {
                    partition.produce_batch(batch).await?
                } else {
                    let left = until.saturating_since(clock.now());
                    partition.produce_batch_wait(batch, left).await?
                };
                parts.push((number, produced));
            }
            Ok(QueueProduced {
                parts,
                partitions: routed.partitions,
            })
        };
        producing.instrument(span).await
    }
}
