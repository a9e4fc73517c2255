//! Leasing: maintain first, then lease, and wait where there is nothing.

use std::time::Duration;

use tracing::{Instrument, debug_span};

use super::Partition;
use crate::call::{LeaseRequest, LeasedBatch};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::numbers::{Count, Holder};
use crate::time::Timestamp;

/// How a lease is taken.
///
/// ```
/// use std::time::Duration;
/// use storage_api::{Holder, LeaseOptions};
///
/// let options = LeaseOptions::new(100, Duration::from_secs(30))
///     .bytes_max(1 << 20)
///     .holder(Holder::new(17)?)
///     .wait(Duration::from_secs(10));
/// # Ok::<(), storage_api::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseOptions {
    /// How many items at most, 1 to 10 000.
    pub items_max: usize,
    /// For how long from now.
    pub lease_for: Duration,
    /// How many payload bytes at most, if that is limited.
    pub bytes_max: Option<u64>,
    /// Who will hold the leases, if that is to be known.
    pub holder: Option<Holder>,
    /// For how long to wait for something to become ready.
    pub wait: Duration,
}

impl LeaseOptions {
    /// Up to `items_max` items (1 to 10 000) for that time, at once.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let options = storage_api::LeaseOptions::new(1, Duration::from_secs(30));
    /// ```
    pub fn new(items_max: usize, lease_for: Duration) -> Self {
        Self {
            items_max,
            lease_for,
            bytes_max: None,
            holder: None,
            wait: Duration::ZERO,
        }
    }

    /// Stops before the item that would exceed that many payload bytes; the first comes whatever its size (clause LEASE-5).
    ///
    /// ```
    /// # use std::time::Duration;
    /// let options = storage_api::LeaseOptions::new(100, Duration::from_secs(30)).bytes_max(1 << 20);
    /// ```
    #[must_use]
    pub fn bytes_max(mut self, bytes_max: u64) -> Self {
        self.bytes_max = Some(bytes_max);
        self
    }

    /// Says who holds the leases (clause LEASE-9).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use storage_api::{Holder, LeaseOptions};
    /// let options = LeaseOptions::new(1, Duration::from_secs(30)).holder(Holder::new(17)?);
    /// # Ok::<(), storage_api::Error>(())
    /// ```
    #[must_use]
    pub fn holder(mut self, holder: Holder) -> Self {
        self.holder = Some(holder);
        self
    }

    /// Waits up to that long for something to become ready.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use storage_api::LeaseOptions;
    /// let options = LeaseOptions::new(1, Duration::from_secs(30)).wait(Duration::from_secs(10));
    /// ```
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

impl LeaseOptions {
    /// What a driver is asked for.
    fn request(&self, now: Timestamp, items_max: Count) -> LeaseRequest {
        let deadline = now.saturating_add(self.lease_for);
        let mut request = LeaseRequest::new(now, deadline, items_max);
        request.bytes_max = self.bytes_max;
        request.holder = self.holder;
        request
    }
}

impl Partition {
    /// Maintains until nothing is due, then takes up to `items_max` ready items for that time (clauses LEASE-1 to LEASE-6).
    ///
    /// With nothing to lease the batch is empty. `items_max` is 1 to 10 000, anything else `InvalidArgument`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use std::time::Duration;
    ///
    /// partition.produce(["a", "b"]).await?;
    /// let leased = partition.lease(10, Duration::from_secs(30)).await?;
    /// let payloads: Vec<&[u8]> = leased.iter().map(|item| item.payload()).collect();
    /// assert_eq!(payloads, [b"a", b"b"]);
    /// # Ok(()) }
    /// ```
    pub fn lease(
        &self,
        items_max: usize,
        lease_for: Duration,
    ) -> impl Future<Output = Result<LeasedBatch>> + Send {
        self.lease_with(LeaseOptions::new(items_max, lease_for))
    }

    /// As [`lease`](Self::lease), with everything that can be said, and waiting where that is asked for.
    ///
    /// The wait ends at the first ready item, at an error, or with an empty batch. No wake-up is lost, and what becomes due
    /// meanwhile is maintained. Dropping the future while it waits leases nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use std::time::Duration;
    /// use storage_api::LeaseOptions;
    ///
    /// let patient = LeaseOptions::new(1, Duration::from_secs(30)).wait(Duration::from_secs(60));
    /// let (leased, produced) = tokio::join!(partition.lease_with(patient), partition.produce(["hello"]));
    /// produced?;
    /// assert_eq!(leased?.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn lease_with(
        &self,
        options: LeaseOptions,
    ) -> impl Future<Output = Result<LeasedBatch>> + Send {
        let items_max = self.items_max(&options);
        async move {
            let items_max = items_max?;
            let span = debug_span!("lease", partition = %self.id(), items_max = items_max.get());
            let now = self.storage().now();
            let request = options.request(now, items_max);
            let is_answer = |leased: &Result<LeasedBatch>| {
                options.wait.is_zero() || !leased.as_ref().is_ok_and(LeasedBatch::is_empty)
            };
            match span.in_scope(|| self.shortcut()?.lease(&request)) {
                Some(Ok((leased, _))) if options.wait.is_zero() || !leased.is_empty() => {
                    return Ok(leased);
                }
                Some(Err(error)) => return Err(error),
                _ => {}
            }
            let leasing = async {
                self.maintain_before(now).await?;
                let leased = self.backend().lease(self.id(), request).await;
                if is_answer(&leased) {
                    return leased;
                }
                let until = now.saturating_add(options.wait);
                self.lease_until(until, items_max, &options).await
            };
            leasing.instrument(span).await
        }
    }

    /// Maintains and leases at once, without waiting, and says when something will be due next if nothing happens before.
    ///
    /// For those who wait for several partitions at a time: take the [`watch`](Self::watch) of each, look with this, wait.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> storage_api::Result<()> {
    /// # let storage = storage_api::Storage::new(storage_memory::MemoryBackend::new());
    /// # let partition = storage.create_partition(("emails", 0), Default::default()).await?;
    /// use std::time::Duration;
    /// use storage_api::{LeaseOptions, NewItem, Timestamp};
    ///
    /// partition.produce([NewItem::new("later").enqueue_at(Timestamp::MAX)]).await?;
    /// let options = LeaseOptions::new(1, Duration::from_secs(30));
    /// let (leased, next_due) = partition.lease_or_due(options).await?;
    /// assert!(leased.is_empty());
    /// assert_eq!(next_due, Some(Timestamp::MAX));
    /// # Ok(()) }
    /// ```
    pub async fn lease_or_due(
        &self,
        options: LeaseOptions,
    ) -> Result<(LeasedBatch, Option<Timestamp>)> {
        let items_max = self.items_max(&options)?;
        let span = debug_span!("lease", partition = %self.id(), items_max = items_max.get());
        let now = self.storage().now();
        let request = options.request(now, items_max);
        if let Some(leased) = span.in_scope(|| self.shortcut()?.lease(&request)) {
            return leased;
        }
        let leasing = async {
            let next_due = self.maintain_before(now).await?;
            let batch = self.backend().lease(self.id(), request).await?;
            Ok((batch, next_due))
        };
        leasing.instrument(span).await
    }

    fn items_max(&self, options: &LeaseOptions) -> Result<Count> {
        Count::new(options.items_max).map_err(|error| error.during(Operation::Lease, self.id()))
    }

    async fn lease_until(
        &self,
        until: Timestamp,
        items_max: Count,
        options: &LeaseOptions,
    ) -> Result<LeasedBatch> {
        loop {
            // Signal, look, wait: what happens after the look fires the signal. A new one each time, so that a partition
            // deleted and made again is watched, too.
            let watched = self.backend().watch(self.id()).await;
            let mut signal = watched.map_err(|error| self.during_lease(error))?;
            let now = self.storage().now();
            let next_due = self.maintain_before(now).await?;
            let request = options.request(now, items_max);
            let batch = self.backend().lease(self.id(), request).await?;
            if !batch.is_empty() || now >= until {
                return Ok(batch);
            }
            let wake_at = next_due.map_or(until, |due| due.min(until));
            tokio::select! {
                () = signal.fired() => {}
                () = self.storage().clock().sleep_until(wake_at) => {}
            }
        }
    }

    /// Maintains for a lease, and says when something will be due next.
    async fn maintain_before(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        match self.maintain_until(now).await {
            Ok(maintained) => Ok(maintained.next_due),
            Err(error) => Err(self.during_lease(error)),
        }
    }

    /// What a look before the lease was refused for, the lease is refused for; what is broken keeps its own words.
    fn during_lease(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Closed => Error::closed(Operation::Lease),
            ErrorKind::NotFound | ErrorKind::Unavailable => {
                error.during(Operation::Lease, self.id())
            }
            _ => error,
        }
    }
}
