//! A driver of somebody else, registered under a name and chosen by that name in YAML.
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use journal_driver::{JournalBackend, JournalConfig};
use storage_api::StorageBackend;
use storage_config::{ConfigError, DriverConfig, Plan, Registry};

const FILE: &str = "
queue-storage:
  driver: journal
  config: { storage-dir: ./data }
partition-storage:
  - name: journal-01
    driver: journal
    config: { storage-dir: ./data }
queues:
  - name: emails
    attempts-max: 3
";

/// What `driver: journal` means: read the settings, then say how to open the place.
fn journal(config: &DriverConfig<'_>) -> Result<Plan, ConfigError> {
    let mut settings: JournalConfig = config.read()?;
    settings.storage_dir = config.resolve(&settings.storage_dir);
    let (place, shown) = (settings.storage_dir.clone(), settings.clone());
    let plan = Plan::new(&shown, async move {
        Ok(Arc::new(JournalBackend::open(settings).await?) as Arc<dyn StorageBackend>)
    });
    Ok(plan.at(place))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let registry = Registry::builtin().with("journal", journal);

    // Twice: what the first opening stores, the second finds.
    for payload in ["hello", "world"] {
        let opened = registry.open_str(FILE, dir.path(), "queue.yaml").await?;
        let queues = opened.queues().await?;
        let emails = queues.open("emails").await?;
        emails.produce([payload]).await?;
        println!("{} items are ready", emails.stats().await?.ready.items);
        opened.close().await?;
    }
    Ok(())
}
