//! The driver, as its tests open it.

use std::path::Path;

use storage_api::{Capability, Durability, Result};
use storage_conformance::Claims;
use storage_rocks::{RocksBackend, RocksConfig};
use storage_stories::{Opening, StoredDriver};

pub(crate) struct Rocks;

impl StoredDriver for Rocks {
    type Backend = RocksBackend;

    const NAME: &'static str = "rocks";
    const DURABILITIES: &'static [Durability] = &Durability::ALL;

    fn claims() -> Claims {
        Claims::all()
            .without(Capability::Shared, "one process owns the database")
            .without(Capability::RemoteWake, "there is no other opening")
    }

    /// Logs, tables, and the list of those.
    fn is_data(path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("MANIFEST-") || name.ends_with(".sst") || name.ends_with(".log")
    }

    async fn open(directory: &Path, opening: Opening) -> Result<RocksBackend> {
        let mut config = RocksConfig::new(directory)
            .disk_reserve(opening.disk_reserve)
            .cache_bytes(4 << 20);
        if let Some(durability) = opening.durability {
            config = config.durability(durability);
        }
        RocksBackend::open_with(config, opening.faults).await
    }
}
