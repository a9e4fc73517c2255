//! What a backend on redb is opened with.

use std::path::{Path, PathBuf};

use storage_api::Durability;

/// Where and how. Every setting but the directory has a default.
///
/// ```
/// use storage_api::Durability;
/// use storage_redb::RedbConfig;
///
/// let config = RedbConfig::new("./data").durability(Durability::None).cache_bytes(1 << 20);
/// assert_eq!(config.get_durability(), Durability::None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedbConfig {
    storage_dir: PathBuf,
    durability: Durability,
    disk_reserve: u64,
    cache_bytes: usize,
}

impl RedbConfig {
    /// The free space that is kept for what makes room: 256 MiB.
    pub const DISK_RESERVE: u64 = 256 << 20;
    /// The memory for pages of the file: 64 MiB.
    pub const CACHE_BYTES: usize = 64 << 20;

    /// A place in that directory, which is made if it is not there; `power-loss`.
    pub fn new(storage_dir: impl AsRef<Path>) -> Self {
        Self {
            storage_dir: storage_dir.as_ref().to_owned(),
            durability: Durability::PowerLoss,
            disk_reserve: Self::DISK_RESERVE,
            cache_bytes: Self::CACHE_BYTES,
        }
    }

    /// What `Ok` means (clause DUR-1).
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// While fewer bytes are free on the disk, what makes the data grow is refused (clause LIMIT-2). 0 refuses nothing.
    #[must_use]
    pub fn disk_reserve(mut self, bytes: u64) -> Self {
        self.disk_reserve = bytes;
        self
    }

    /// How much memory pages of the file may take, with what keeps them.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// The directory.
    pub fn storage_dir(&self) -> &Path {
        &self.storage_dir
    }

    /// What `Ok` means.
    pub fn get_durability(&self) -> Durability {
        self.durability
    }

    /// The free space that is kept.
    pub fn get_disk_reserve(&self) -> u64 {
        self.disk_reserve
    }

    /// The memory for pages.
    pub fn get_cache_bytes(&self) -> usize {
        self.cache_bytes
    }
}
