//! What is configured.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use storage_api::Durability;

/// Where a journal is kept, and what its `Ok` means.
///
/// ```
/// use journal_driver::JournalConfig;
/// use storage_api::Durability;
///
/// let config = JournalConfig::new("data/journal").durability(Durability::ProcessCrash);
/// assert_eq!(config.durability, Durability::ProcessCrash);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub struct JournalConfig {
    /// The directory of the journal. It is made, for its owner alone, where it does not exist.
    pub storage_dir: PathBuf,
    /// What an `Ok` means: `power-loss` (the default) waits for the disk, `process-crash` and `none` for the operating system.
    #[serde(default = "durability_default")]
    pub durability: Durability,
    /// Free bytes of the volume that are kept for what makes room: below them nothing new is taken (clause LIMIT-2).
    /// 256 MiB by default.
    #[serde(default = "disk_reserve_default")]
    pub disk_reserve: u64,
}

impl JournalConfig {
    /// A journal in that directory, with the defaults.
    pub fn new(storage_dir: impl Into<PathBuf>) -> Self {
        Self {
            storage_dir: storage_dir.into(),
            durability: durability_default(),
            disk_reserve: disk_reserve_default(),
        }
    }

    /// With that meaning of an `Ok`.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// With that many free bytes kept in reserve.
    #[must_use]
    pub fn disk_reserve(mut self, bytes: u64) -> Self {
        self.disk_reserve = bytes;
        self
    }
}

fn durability_default() -> Durability {
    Durability::PowerLoss
}

fn disk_reserve_default() -> u64 {
    256 << 20
}
