//! What a backend on RocksDB is opened with.

use std::path::{Path, PathBuf};

use storage_api::Durability;

/// Where and how. Every setting but the directory has a default.
///
/// ```
/// use storage_api::Durability;
/// use storage_rocks::RocksConfig;
///
/// let config = RocksConfig::new("./data").durability(Durability::None).cache_bytes(1 << 20);
/// assert_eq!(config.get_durability(), Durability::None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RocksConfig {
    storage_dir: PathBuf,
    durability: Durability,
    disk_reserve: u64,
    cache_bytes: usize,
    memtable_bytes: usize,
    log_bytes: u64,
    open_files_max: u32,
}

impl RocksConfig {
    /// The free space that is kept for what makes room: 256 MiB.
    pub const DISK_RESERVE: u64 = 256 << 20;
    /// The memory for blocks of tables, their indexes and filters included: 64 MiB.
    pub const CACHE_BYTES: usize = 64 << 20;
    /// The memory for what is not in tables yet: 64 MiB.
    pub const MEMTABLE_BYTES: usize = 64 << 20;
    /// The least memory for what is not in tables yet: 1 MiB. Every keyspace takes a block of it with its first row, and
    /// where these blocks alone fill it, nothing is left to be written and writers would wait for ever; that is so from
    /// 256 KiB down, so this is four times as much.
    pub const MEMTABLE_BYTES_MIN: usize = 1 << 20;
    /// The size of the logs from which on tables are written so that logs can go: 128 MiB.
    pub const LOG_BYTES: u64 = 128 << 20;
    /// The least size of the logs: 1 MiB. Below it every few batches write a table for each keyspace, and 0 would have
    /// RocksDB choose.
    pub const LOG_BYTES_MIN: u64 = 1 << 20;
    /// How many tables are kept open: 256, well below what a process usually may.
    pub const OPEN_FILES_MAX: u32 = 256;

    /// A place in that directory, which is made if it is not there; `power-loss`.
    pub fn new(storage_dir: impl AsRef<Path>) -> Self {
        Self {
            storage_dir: storage_dir.as_ref().to_owned(),
            durability: Durability::PowerLoss,
            disk_reserve: Self::DISK_RESERVE,
            cache_bytes: Self::CACHE_BYTES,
            memtable_bytes: Self::MEMTABLE_BYTES,
            log_bytes: Self::LOG_BYTES,
            open_files_max: Self::OPEN_FILES_MAX,
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

    /// How much memory blocks of tables, indexes and filters may take, in all keyspaces together.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How much memory what is not in tables yet may take, in all keyspaces together, at least
    /// [`MEMTABLE_BYTES_MIN`](Self::MEMTABLE_BYTES_MIN). Writers wait where tables cannot be written as fast.
    #[must_use]
    pub fn memtable_bytes(mut self, bytes: usize) -> Self {
        self.memtable_bytes = bytes;
        self
    }

    /// How large the write-ahead logs may grow, at least [`LOG_BYTES_MIN`](Self::LOG_BYTES_MIN); an opening after a crash
    /// reads them.
    #[must_use]
    pub fn log_bytes(mut self, bytes: u64) -> Self {
        self.log_bytes = bytes;
        self
    }

    /// How many tables may be open at once. Logs and a few others come on top.
    #[must_use]
    pub fn open_files_max(mut self, files: u32) -> Self {
        self.open_files_max = files;
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

    /// The memory for blocks.
    pub fn get_cache_bytes(&self) -> usize {
        self.cache_bytes
    }

    /// The memory for what is not in tables yet.
    pub fn get_memtable_bytes(&self) -> usize {
        self.memtable_bytes
    }

    /// The size of the logs.
    pub fn get_log_bytes(&self) -> u64 {
        self.log_bytes
    }

    /// Why nothing can be opened with these settings, if that is so.
    pub(crate) fn misfit(&self) -> Option<String> {
        let (memtables, log) = (self.memtable_bytes, self.log_bytes);
        if memtables < Self::MEMTABLE_BYTES_MIN {
            let least = Self::MEMTABLE_BYTES_MIN;
            return Some(format!(
                "writers would wait for ever with {memtables} bytes for memtables; give it at least {least}"
            ));
        }
        (log < Self::LOG_BYTES_MIN).then(|| {
            let least = Self::LOG_BYTES_MIN;
            format!(
                "with {log} bytes of log every few batches would write tables; give it at least {least}"
            )
        })
    }

    /// How many tables may be open.
    pub fn get_open_files_max(&self) -> u32 {
        self.open_files_max
    }
}
