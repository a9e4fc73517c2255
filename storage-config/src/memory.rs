//! The driver `memory`: it has no settings, so that every storage that names it is the same backend.

use std::sync::Arc;

use storage_api::StorageBackend;
use storage_memory::MemoryBackend;

use crate::driver::{DriverConfig, Plan};
use crate::error::ConfigError;

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {}

pub(crate) fn plan(config: &DriverConfig<'_>) -> Result<Plan, ConfigError> {
    let settings: Settings = config.read()?;
    Ok(Plan::new(&settings, async {
        Ok(Arc::new(MemoryBackend::new()) as Arc<dyn StorageBackend>)
    }))
}
