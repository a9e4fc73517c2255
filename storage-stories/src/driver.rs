//! What a driver says of itself.

use std::path::Path;

use storage_api::{Durability, Result, StorageBackend};
use storage_conformance::Claims;
use storage_kv::Faults;

/// A driver over `storage-kv`, as its tests see it.
pub trait StoredDriver: Send + Sync + 'static {
    /// What it opens.
    type Backend: StorageBackend;

    /// The name that its places are marked with.
    const NAME: &'static str;
    /// What it can promise.
    const DURABILITIES: &'static [Durability];

    /// What the suite may ask of it.
    fn claims() -> Claims;

    /// Whether the engine appends to that file of a place: as [`DirectoryVandal::new`] asks.
    ///
    /// [`DirectoryVandal::new`]: storage_conformance::DirectoryVandal::new
    fn is_data(path: &Path) -> bool;

    /// Opens a place, with caches as small as the disks of tests are.
    fn open(
        directory: &Path,
        opening: Opening,
    ) -> impl Future<Output = Result<Self::Backend>> + Send;
}

/// How a place is opened.
#[derive(Debug, Clone, Default)]
pub struct Opening {
    /// What is promised; `None` is the driver's default.
    pub durability: Option<Durability>,
    /// The free space that is kept: none, if nothing is said, as the volume of the tests may be small.
    pub disk_reserve: u64,
    /// What fails.
    pub faults: Faults,
}

impl Opening {
    /// The default, with that promise.
    pub fn with_durability(durability: Durability) -> Self {
        Self {
            durability: Some(durability),
            ..Self::default()
        }
    }

    /// The default, keeping that space free.
    pub fn with_disk_reserve(disk_reserve: u64) -> Self {
        Self {
            disk_reserve,
            ..Self::default()
        }
    }

    /// The default, with those faults.
    pub fn with_faults(faults: &Faults) -> Self {
        Self {
            faults: faults.clone(),
            ..Self::default()
        }
    }
}
