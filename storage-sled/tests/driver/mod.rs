//! The driver, as its tests open it.

use std::path::Path;

use storage_api::{Capability, Durability, Result};
use storage_conformance::Claims;
use storage_sled::{SledBackend, SledConfig};
use storage_stories::{Opening, StoredDriver};

pub(crate) struct Sled;

impl StoredDriver for Sled {
    type Backend = SledBackend;

    const NAME: &'static str = "sled";
    const DURABILITIES: &'static [Durability] = &[Durability::None, Durability::ProcessCrash];

    fn claims() -> Claims {
        Claims::all()
            .without(Capability::Shared, "one process owns the directory")
            .without(Capability::RemoteWake, "there is no other opening")
            .without(Capability::Sync, "sled 0.34 never waits for the disk")
            .keeping_space("sled 0.34 uses its log again, and gives little of it back to the disk")
    }

    fn is_data(path: &Path) -> bool {
        path == "queue.sled/db"
    }

    async fn open(directory: &Path, opening: Opening) -> Result<SledBackend> {
        let mut config = SledConfig::new(directory)
            .disk_reserve(opening.disk_reserve)
            .cache_bytes(4 << 20);
        if let Some(durability) = opening.durability {
            config = config.durability(durability);
        }
        SledBackend::open_with(config, opening.faults).await
    }
}
