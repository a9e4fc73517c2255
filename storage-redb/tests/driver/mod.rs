//! The driver, as its tests open it.

use std::path::Path;

use storage_api::{Capability, Durability, Result};
use storage_conformance::Claims;
use storage_redb::{RedbBackend, RedbConfig};
use storage_stories::{Opening, StoredDriver};

pub(crate) struct Redb;

impl StoredDriver for Redb {
    type Backend = RedbBackend;

    const NAME: &'static str = "redb";
    const DURABILITIES: &'static [Durability] = &Durability::ALL;

    fn claims() -> Claims {
        Claims::all()
            .without(Capability::Shared, "one process owns the file")
            .without(Capability::RemoteWake, "there is no other opening")
    }

    fn is_data(path: &Path) -> bool {
        path == "queue.redb"
    }

    async fn open(directory: &Path, opening: Opening) -> Result<RedbBackend> {
        let mut config = RedbConfig::new(directory)
            .disk_reserve(opening.disk_reserve)
            .cache_bytes(4 << 20);
        if let Some(durability) = opening.durability {
            config = config.durability(durability);
        }
        RedbBackend::open_with(config, opening.faults).await
    }
}
