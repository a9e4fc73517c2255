//! What a backend on sled is opened with.

use std::path::{Path, PathBuf};

use storage_api::Durability;

/// Where and how. Every setting but the directory has a default.
///
/// ```
/// use storage_api::Durability;
/// use storage_sled::SledConfig;
///
/// let config = SledConfig::new("./data").durability(Durability::None).cache_bytes(1 << 20);
/// assert_eq!(config.get_durability(), Durability::None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SledConfig {
    storage_dir: PathBuf,
    durability: Durability,
    disk_reserve: u64,
    cache_bytes: usize,
}

impl SledConfig {
    /// The free space that is kept for what makes room: 256 MiB.
    pub const DISK_RESERVE: u64 = 256 << 20;
    /// The memory that sled is asked to keep its pages in: 64 MiB.
    pub const CACHE_BYTES: usize = 64 << 20;

    /// The least memory for pages: 1 MiB. sled deals it out to 256 shards and opens nothing with less than a byte for each.
    pub const CACHE_BYTES_MIN: usize = 1 << 20;

    /// A place in that directory, which is made if it is not there; `process-crash`, which is the most that sled has.
    pub fn new(storage_dir: impl AsRef<Path>) -> Self {
        Self {
            storage_dir: storage_dir.as_ref().to_owned(),
            durability: Durability::ProcessCrash,
            disk_reserve: Self::DISK_RESERVE,
            cache_bytes: Self::CACHE_BYTES,
        }
    }

    /// What `Ok` means (clause DUR-1). `power-loss` is refused at opening.
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

    /// How much memory sled is asked to keep its pages in, at least [`CACHE_BYTES_MIN`](Self::CACHE_BYTES_MIN): less is refused
    /// at opening. What it needs beside that grows with the data.
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
