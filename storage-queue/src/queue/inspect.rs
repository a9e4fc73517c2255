//! Looking at a queue, and what an operator does to it.

use std::time::Duration;

use storage_api::{
    DeleteOutcome, Holder, ItemEntry, ItemId, ItemPages, ListRequest, Maintained, Mode, Partition,
    PartitionStats, Result, ReviveOutcome, State, States,
};

use super::Queue;

/// An item of a queue, by its partition and its id there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueItemId {
    /// The number of the partition.
    pub partition: u32,
    /// The id within it.
    pub item: ItemId,
}

/// A whole item of a queue, as listing gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueItem {
    /// The number of the partition.
    pub partition: u32,
    /// The item.
    pub entry: ItemEntry,
}

impl QueueItem {
    /// Its id.
    pub fn id(&self) -> QueueItemId {
        QueueItemId {
            partition: self.partition,
            item: self.entry.id,
        }
    }
}

/// The pages of a listing over all partitions; see [`Queue::pages`].
#[derive(Debug, Clone)]
pub struct QueuePages {
    request: ListRequest,
    /// The partitions that were not begun.
    left: std::vec::IntoIter<(u32, Partition)>,
    pages: Option<(u32, ItemPages)>,
}

impl QueuePages {
    /// The next page, of one partition; `None` after the last. After an error the same page is asked for again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// assert!(emails.dead().next().await?.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn next(&mut self) -> Result<Option<Vec<QueueItem>>> {
        loop {
            if let Some((partition, pages)) = &mut self.pages
                && let Some(entries) = pages.next().await?
            {
                let partition = *partition;
                let items = entries
                    .into_iter()
                    .map(|entry| QueueItem { partition, entry });
                return Ok(Some(items.collect()));
            }
            let Some((number, partition)) = self.left.next() else {
                self.pages = None;
                return Ok(None);
            };
            self.pages = Some((number, partition.pages(self.request.clone())));
        }
    }
}

impl Queue {
    /// The statistics of all partitions together.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default().with_partitions(2)?).await?;
    /// emails.produce(["a"]).await?;
    /// emails.produce(["b"]).await?;
    /// assert_eq!(emails.stats().await?.ready.items, 2);
    /// # Ok(()) }
    /// ```
    pub async fn stats(&self) -> Result<PartitionStats> {
        let mut sum = PartitionStats::default();
        for partition in self.partitions() {
            let stats = partition.stats().await?;
            for state in State::ALL {
                let (sum, part) = (sum.state_mut(state), stats.state(state));
                sum.items += part.items;
                sum.bytes += part.bytes;
                sum.created_at_sum += part.created_at_sum;
                sum.due_at_sum += part.due_at_sum;
            }
            let created = [sum.first_ready_created_at, stats.first_ready_created_at];
            sum.first_ready_created_at = created.into_iter().flatten().min();
            let due = [sum.next_due, stats.next_due];
            sum.next_due = due.into_iter().flatten().min();
        }
        Ok(sum)
    }

    /// Every page of a listing, one partition after the other, by number.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default().with_partitions(2)?).await?;
    /// use storage_api::ListRequest;
    ///
    /// emails.produce(["a"]).await?;
    /// emails.produce(["b"]).await?;
    /// let mut pages = emails.pages(ListRequest::ready());
    /// while let Some(items) = pages.next().await? {
    ///     assert_eq!(items.len(), 1);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn pages(&self, request: ListRequest) -> QueuePages {
        let partitions: Vec<_> = (0..).zip(self.partitions().iter().cloned()).collect();
        QueuePages {
            request,
            left: partitions.into_iter(),
            pages: None,
        }
    }

    /// The pages of the dead items, by partition and id.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// let mut dead = emails.dead();
    /// while let Some(items) = dead.next().await? {
    ///     for item in items {
    ///         println!("{}: {:?}", item.entry.id, item.entry.note);
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn dead(&self) -> QueuePages {
        self.pages(ListRequest::by_id(State::Dead))
    }

    /// Makes dead items ready again; the outcomes are in input order.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// let mut dead = emails.dead();
    /// while let Some(items) = dead.next().await? {
    ///     emails.revive(items.iter().map(|item| item.id())).await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn revive<I>(&self, ids: I) -> Result<Vec<ReviveOutcome>>
    where
        I: IntoIterator<Item = QueueItemId>,
    {
        let revive =
            |partition: Partition, ids: Vec<ItemId>| async move { partition.revive(ids).await };
        self.by_partition(by_id(ids), revive).await
    }

    /// Makes every dead item ready again, and says how many.
    ///
    /// What dies meanwhile may be revived or not.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// assert_eq!(emails.revive_all().await?, 0);
    /// # Ok(()) }
    /// ```
    pub async fn revive_all(&self) -> Result<u64> {
        let mut revived = 0;
        let mut pages = self.pages(ListRequest::by_id(State::Dead).without_payloads());
        while let Some(items) = pages.next().await? {
            let outcomes = self.revive(items.iter().map(QueueItem::id)).await?;
            let is_revived = |outcome: &&ReviveOutcome| **outcome == ReviveOutcome::Revived;
            revived += outcomes.iter().filter(is_revived).count() as u64;
        }
        Ok(revived)
    }

    /// Removes items, whatever their state; the outcomes are in input order.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// assert!(emails.delete([]).await?.is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn delete<I>(&self, ids: I) -> Result<Vec<DeleteOutcome>>
    where
        I: IntoIterator<Item = QueueItemId>,
    {
        let delete =
            |partition: Partition, ids: Vec<ItemId>| async move { partition.delete(ids).await };
        self.by_partition(by_id(ids), delete).await
    }

    /// Removes every item of those states, and says how many.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// use storage_api::States;
    ///
    /// emails.produce(["hello"]).await?;
    /// assert_eq!(emails.clear(States::ALL).await?, 1);
    /// # Ok(()) }
    /// ```
    pub async fn clear(&self, states: impl Into<States>) -> Result<u64> {
        let states = states.into();
        let mut removed = 0;
        for partition in self.partitions() {
            removed += partition.clear(states).await?;
        }
        Ok(removed)
    }

    /// Releases every lease of a holder, so that a dead worker's items need not wait, and says how many.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// # use std::time::Duration;
    /// use storage_api::{Holder, LeaseOptions};
    ///
    /// emails.produce(["hello"]).await?;
    /// let worker = Holder::new(17)?;
    /// emails.lease(LeaseOptions::new(1, Duration::from_secs(30)).holder(worker)).await?;
    /// assert_eq!(emails.release_holder(worker).await?, 1);
    /// # Ok(()) }
    /// ```
    pub async fn release_holder(&self, holder: Holder) -> Result<u64> {
        let mut released = 0;
        for partition in self.partitions() {
            released += partition.release_holder(holder).await?;
        }
        Ok(released)
    }

    /// Handles everything that is due in every partition, and says what was done and what is due next.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// assert_eq!(emails.maintain().await?.handled(), 0);
    /// # Ok(()) }
    /// ```
    pub async fn maintain(&self) -> Result<Maintained> {
        let mut sum = Maintained::default();
        for partition in self.partitions() {
            let part = partition.maintain().await?;
            sum.ready += part.ready;
            sum.expired += part.expired;
            sum.attempts_exhausted += part.attempts_exhausted;
            sum.dropped += part.dropped;
            sum.keys_freed += part.keys_freed;
            sum.next_due = [sum.next_due, part.next_due].into_iter().flatten().min();
        }
        Ok(sum)
    }

    /// Opens, drains or freezes every partition.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// use storage_api::Mode;
    ///
    /// emails.set_mode(Mode::Draining).await?;
    /// assert!(emails.produce(["too late"]).await.is_err());
    /// # Ok(()) }
    /// ```
    pub async fn set_mode(&self, mode: Mode) -> Result<()> {
        for partition in self.partitions() {
            partition.update(|config| config.with_mode(mode)).await?;
        }
        Ok(())
    }

    /// How long the item has waited that has waited longest of those first in line; zero where none is ready.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # use storage_queue::{QueueConfig, Queues, Storages};
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let queues = Queues::new(Storages::single(storage));
    /// # let emails = queues.create("emails", QueueConfig::default()).await?;
    /// assert!(emails.lag().await?.is_zero());
    /// # Ok(()) }
    /// ```
    pub async fn lag(&self) -> Result<Duration> {
        let stats = self.stats().await?;
        let now = self.metadata().now();
        let since = |at| now.saturating_since(at);
        Ok(stats.first_ready_created_at.map_or(Duration::ZERO, since))
    }
}

fn by_id(ids: impl IntoIterator<Item = QueueItemId>) -> Vec<(u32, ItemId)> {
    let ids = ids.into_iter().map(|id| (id.partition, id.item));
    ids.collect()
}
