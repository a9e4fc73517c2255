//! The driver `rocks`: where its directory is, what its `Ok` means, and how much of the machine it may take.

use std::path::PathBuf;
use std::sync::Arc;

use storage_api::{Durability, StorageBackend};
use storage_queue::ByteSize;
use storage_rocks::{RocksBackend, RocksConfig};

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
    #[serde(default = "memtables_default")]
    memtables: ByteSize,
    #[serde(default = "log_default")]
    log: ByteSize,
    #[serde(default = "open_files_max_default")]
    open_files_max: u32,
}

fn durability_default() -> Durability {
    Durability::PowerLoss
}

fn disk_reserve_default() -> ByteSize {
    ByteSize::new(RocksConfig::DISK_RESERVE)
}

fn cache_default() -> ByteSize {
    ByteSize::new(RocksConfig::CACHE_BYTES as u64)
}

fn memtables_default() -> ByteSize {
    ByteSize::new(RocksConfig::MEMTABLE_BYTES as u64)
}

fn log_default() -> ByteSize {
    ByteSize::new(RocksConfig::LOG_BYTES)
}

fn open_files_max_default() -> u32 {
    RocksConfig::OPEN_FILES_MAX
}

pub(crate) fn plan(config: &DriverConfig<'_>) -> Result<Plan, ConfigError> {
    let mut settings: Settings = config.read()?;
    settings.storage_dir = config.resolve(&settings.storage_dir);
    let least = RocksConfig::MEMTABLE_BYTES_MIN as u64;
    let otherwise = "writers would wait for ever";
    config.at_least("memtables", settings.memtables, least, otherwise)?;
    let otherwise = "every few batches would write tables";
    config.at_least("log", settings.log, RocksConfig::LOG_BYTES_MIN, otherwise)?;
    let rocks = RocksConfig::new(&settings.storage_dir)
        .durability(settings.durability)
        .disk_reserve(settings.disk_reserve.bytes())
        .cache_bytes(config.memory("cache", settings.cache)?)
        .memtable_bytes(config.memory("memtables", settings.memtables)?)
        .log_bytes(settings.log.bytes())
        .open_files_max(settings.open_files_max);
    let plan = Plan::new(&settings, async move {
        Ok(Arc::new(RocksBackend::open(rocks).await?) as Arc<dyn StorageBackend>)
    });
    Ok(plan.at(&settings.storage_dir))
}
