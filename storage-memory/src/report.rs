//! What a backend tells of its memory beyond what every driver does.

use storage_api::{Operation, Result};

use crate::backend::MemoryBackend;
use crate::budget::{Budget, Dropped, Rejected};
use crate::compaction::Work;
use crate::partition::Partition;
use crate::sync::atomic::Ordering;

/// The memory of a backend at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MemoryReport {
    /// The limit, if there is one.
    pub limit: Option<u64>,
    /// What counts against the limit: what is taken, and what its items may need to be leased. 0 where there is no limit.
    pub taken: u64,
    /// Bytes taken, by what for.
    pub bytes: Vec<(&'static str, u64)>,
    /// Items by state: ready, scheduled, leased, dead.
    pub items: [u64; 4],
    /// Segments by what they are doing.
    pub segments: Segments,
    /// How many operations were refused because a limit left no room: produces, restores, commits and new partitions.
    pub rejected: u64,
    /// The same by the limit: `max-memory` of the backend, `items-max` or `bytes-max` of a partition. Together they are
    /// `rejected`.
    pub rejected_for: [(&'static str, u64); 3],
    /// How many items were dropped to make room, by what they were: dead, expired, or chosen by the policy.
    pub dropped: [(&'static str, u64); 3],
    /// Whether the high mark was reached, and the low mark not since.
    pub is_pressed: bool,
    /// How often `is_pressed` changed.
    pub mark_changes: u64,
    /// Bytes of records that compaction has copied.
    pub moved_bytes: u64,
}

/// How many segments there are, by what they are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Segments {
    /// Being written.
    pub active: u64,
    /// Full, and at least half of it lives.
    pub sealed: u64,
    /// Full, and less than half of it lives.
    pub sparse: u64,
    /// Empty, waiting to be written again.
    pub spare: u64,
    /// Empty but for what readers still hold.
    pub lent: u64,
}

impl MemoryBackend {
    /// What the memory is used for.
    ///
    /// ```
    /// use storage_memory::{MemoryBackend, MemoryConfig};
    ///
    /// let backend = MemoryBackend::open(MemoryConfig::default().max_memory(1 << 20))?;
    /// assert_eq!(backend.report()?.limit, Some(1 << 20));
    /// # Ok::<(), storage_api::Error>(())
    /// ```
    pub fn report(&self) -> Result<MemoryReport> {
        let opened = self.enter(Operation::Usage)?;
        let budget = &opened.budget;
        let rejected = budget.rejected.by_limit();
        let mut report = MemoryReport {
            limit: budget.limit(),
            rejected: rejected.iter().map(|(_, count)| count).sum(),
            rejected_for: rejected,
            dropped: budget.dropped.by_reason(),
            is_pressed: budget.is_pressed(),
            mark_changes: budget.mark_changes(),
            ..MemoryReport::default()
        };
        let mut bytes = [0; 6];
        let mut own_bytes = 0;
        for partition in opened.partitions.values() {
            let partition = partition.lock();
            for (sum, items) in report.items.iter_mut().zip(items_by_state(&partition)) {
                *sum += items;
            }
            own_bytes += partition.own_bytes();
            report.segments.add(partition.log.segments());
            report.moved_bytes += partition.log.moved_bytes();
            for (sum, own) in bytes.iter_mut().zip(partition.bytes_by_kind()) {
                *sum += own;
            }
        }
        let kinds = ["records", "slots", "orders", "leases", "keys", "notes"];
        report.bytes = kinds.into_iter().zip(bytes).collect();
        report.bytes.push(("partitions", own_bytes));
        let metadata = opened.metadata.read().charge();
        report.bytes.push(("metadata", metadata));
        if report.limit.is_some() {
            report.taken = budget.taken();
        }
        Ok(report)
    }

    /// Gives back all memory that is kept to be used again, and compacts every segment that is less than half full.
    ///
    /// It looks at each sparse segment of each partition, and holds the partition meanwhile. Where nothing comes or goes for
    /// a second, [`maintain`](storage_api::PartitionStore::maintain) does the same for its partition, a bounded piece with each
    /// call. What is given back is the allocator's; whether the system gets it depends on that.
    ///
    /// ```
    /// storage_memory::MemoryBackend::new().trim()?;
    /// # Ok::<(), storage_api::Error>(())
    /// ```
    pub fn trim(&self) -> Result<()> {
        let opened = self.enter(Operation::Usage)?;
        for partition in opened.partitions.values() {
            let mut partition = partition.lock();
            partition.yield_memory(&mut { Work::ALL });
            partition.trim();
            partition.settle();
        }
        Ok(())
    }
}

impl Rejected {
    fn by_limit(&self) -> [(&'static str, u64); 3] {
        [
            ("max-memory", self.max_memory.load(Ordering::Relaxed)),
            ("items-max", self.items_max.load(Ordering::Relaxed)),
            ("bytes-max", self.bytes_max.load(Ordering::Relaxed)),
        ]
    }
}

impl Dropped {
    fn by_reason(&self) -> [(&'static str, u64); 3] {
        [
            ("dead", self.dead.load(Ordering::Relaxed)),
            ("expired", self.expired.load(Ordering::Relaxed)),
            ("policy", self.by_policy.load(Ordering::Relaxed)),
        ]
    }
}

/// What `usage()` counts beside the bytes: sums over the partitions.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    items: [u64; 4],
    segments: Segments,
    lent_bytes: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, partition: &Partition) {
        for (sum, items) in self.items.iter_mut().zip(items_by_state(partition)) {
            *sum += items;
        }
        self.segments.add(partition.log.segments());
        self.lent_bytes += partition.log.lent_bytes();
    }

    /// Their names, which [`MemoryBackend`] documents.
    pub(crate) fn named(&self, budget: &Budget) -> Vec<(&'static str, u64)> {
        let [ready, scheduled, leased, dead] = self.items;
        let mut counts = vec![
            ("items.ready", ready),
            ("items.scheduled", scheduled),
            ("items.leased", leased),
            ("items.dead", dead),
            ("segments.active", self.segments.active),
            ("segments.sealed", self.segments.sealed),
            ("segments.sparse", self.segments.sparse),
            ("segments.spare", self.segments.spare),
            ("segments.lent", self.segments.lent),
            ("bytes.lent", self.lent_bytes),
            ("dropped.dead", budget.dropped.dead.load(Ordering::Relaxed)),
            (
                "dropped.expired",
                budget.dropped.expired.load(Ordering::Relaxed),
            ),
            (
                "dropped.policy",
                budget.dropped.by_policy.load(Ordering::Relaxed),
            ),
            (
                "rejected.max-memory",
                budget.rejected.max_memory.load(Ordering::Relaxed),
            ),
            (
                "rejected.items-max",
                budget.rejected.items_max.load(Ordering::Relaxed),
            ),
            (
                "rejected.bytes-max",
                budget.rejected.bytes_max.load(Ordering::Relaxed),
            ),
        ];
        if budget.limit().is_some() {
            counts.push(("bytes.taken", budget.taken()));
        }
        counts
    }
}

fn items_by_state(partition: &Partition) -> [u64; 4] {
    let sums = &partition.sums;
    [sums.ready, sums.scheduled, sums.leased, sums.dead].map(|state| state.items)
}

impl Segments {
    pub(crate) fn add(&mut self, other: Self) {
        self.active += other.active;
        self.sealed += other.sealed;
        self.sparse += other.sparse;
        self.spare += other.spare;
        self.lent += other.lent;
    }
}
