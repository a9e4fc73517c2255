//! What a backend in memory can be told.

use storage_api::{Error, ErrorKind, Object, Operation, Result};

/// The smallest limit: less would not hold a partition and one common item.
const MAX_MEMORY_BYTES_MIN: u64 = 64 << 10;

/// What becomes of a produce for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Overflow {
    /// It is refused, `CapacityExceeded`, and nothing is lost.
    #[default]
    Reject,
    /// The items that were produced first go.
    DropOldest,
    /// The items that were produced last go.
    DropNewest,
    /// The items that would be leased last go; after the ready ones scheduled ones, the last produced first.
    DropLowestPriority,
    /// The ready items that expire first go; where too few expire, the produce is refused and none goes.
    ///
    /// Dead items and those that have expired, ready or scheduled, go before them. Scheduled items whose `expire_at` is still to
    /// come and ready ones without any are never dropped.
    DropNearestExpiry,
}

impl Overflow {
    /// Every policy with the name under which configuration chooses it.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("reject", Self::Reject),
        ("drop-oldest", Self::DropOldest),
        ("drop-newest", Self::DropNewest),
        ("drop-lowest-priority", Self::DropLowestPriority),
        ("drop-nearest-expiry", Self::DropNearestExpiry),
    ];
}

/// How a [`MemoryBackend`](crate::MemoryBackend) is opened.
///
/// ```
/// use storage_memory::{MemoryBackend, MemoryConfig, Overflow};
///
/// let config = MemoryConfig::default().max_memory(64 << 20).overflow(Overflow::DropOldest);
/// MemoryBackend::open(config)?;
/// # Ok::<(), storage_api::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MemoryConfig {
    max_memory: Option<u64>,
    overflow: Overflow,
}

impl MemoryConfig {
    /// At most that many bytes are taken, everything included; without it there is no limit.
    ///
    /// What an item may need later, to be leased, is set aside when it is produced.
    ///
    /// What the system sees may be more, by what its allocator keeps of memory that was given back: with many threads and blocks
    /// above 128 KiB glibc's does so unless the environment says `MALLOC_MMAP_THRESHOLD_=65536`, under which
    /// `tests/resident.rs` holds sixteen writers to 1.15 of the limit.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.max_memory = Some(bytes);
        self
    }

    /// What becomes of a produce for which there is no room. Whatever the policy, leased items are never dropped, and dead
    /// and expired ones go first; of the scheduled ones that have expired, those among the first 256 that are due.
    ///
    /// A produce that would be refused all the same drops nothing, with one exception: that what is dropped is held by
    /// readers shows only then. Dropping ends once four blocks (of 1 MiB, or a 64th of a small limit) have gone over to them.
    /// Restores and commits drop nothing.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        self.max_memory
    }

    pub(crate) fn policy(&self) -> Overflow {
        self.overflow
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self.max_memory {
            Some(bytes) if bytes < MAX_MEMORY_BYTES_MIN => Err(Error::new(
                ErrorKind::InvalidArgument,
                Operation::Open,
                Object::Field("max-memory"),
                format!(
                    "{bytes} bytes hold no item; give it at least {MAX_MEMORY_BYTES_MIN} bytes"
                ),
            )),
            _ => Ok(()),
        }
    }
}
