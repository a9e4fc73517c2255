//! The driver `sled`: where its directory is, and what its `Ok` means.

use std::path::PathBuf;
use std::sync::Arc;

use storage_api::{Durability, StorageBackend};
use storage_queue::ByteSize;
use storage_sled::{SledBackend, SledConfig};

use crate::driver::{DriverConfig, Plan};
use crate::error::ConfigError;

#[derive(Debug, Clone, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    storage_dir: PathBuf,
    #[serde(default = "durability_default")]
    durability: Durability,
    #[serde(default = "disk_reserve_default")]
    disk_reserve: ByteSize,
    #[serde(default = "cache_default")]
    cache: ByteSize,
}

fn durability_default() -> Durability {
    Durability::ProcessCrash
}

fn disk_reserve_default() -> ByteSize {
    ByteSize::new(SledConfig::DISK_RESERVE)
}

fn cache_default() -> ByteSize {
    ByteSize::new(SledConfig::CACHE_BYTES as u64)
}

pub(crate) fn plan(config: &DriverConfig<'_>) -> Result<Plan, ConfigError> {
    let mut settings: Settings = config.read()?;
    settings.storage_dir = config.resolve(&settings.storage_dir);
    if settings.durability == Durability::PowerLoss {
        return Err(config.refuse(
            "durability",
            "sled 0.34 does not wait for the disk, so that nothing it holds survives the loss of power for sure; choose \
             process-crash, or the driver redb or rocks",
        ));
    }
    let least = SledConfig::CACHE_BYTES_MIN as u64;
    config.at_least("cache", settings.cache, least, "sled does not open")?;
    let sled = SledConfig::new(&settings.storage_dir)
        .durability(settings.durability)
        .disk_reserve(settings.disk_reserve.bytes())
        .cache_bytes(config.memory("cache", settings.cache)?);
    let plan = Plan::new(&settings, async move {
        Ok(Arc::new(SledBackend::open(sled).await?) as Arc<dyn StorageBackend>)
    });
    Ok(plan.at(&settings.storage_dir))
}
