//! One test, several backends: what is tested knows none of them, and each is chosen by its name.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use journal_driver::{JournalBackend, JournalConfig};
use rstest::rstest;
use storage_api::{ManualClock, PartitionConfig, Storage, StorageBackend, Timestamp};
use storage_config::{ConfigError, DriverConfig, Plan, Registry};
use tempfile::TempDir;

/// The code under test: it takes any storage.
async fn send_all(storage: &Storage) -> storage_api::Result<Vec<String>> {
    let emails = storage.partition(("emails", 0))?;
    let leased = emails.lease(100, Duration::from_secs(30)).await?;
    let sent = leased
        .iter()
        .map(|item| String::from_utf8_lossy(item.payload()).into_owned())
        .collect();
    emails.complete(leased.receipts()).await?;
    Ok(sent)
}

/// A storage of the driver of that name, as a YAML file would choose it.
async fn open(driver: &str, dir: &TempDir) -> Storage {
    let config = match driver {
        "memory" => "{}",
        // The volume of the tests may be small.
        _ => "{ storage-dir: data, disk-reserve: 0 }",
    };
    let text = format!(
        "queue-storage: {{ driver: {driver}, config: {config} }}\n\
         partition-storage: [{{ name: all, driver: {driver}, config: {config} }}]\n"
    );
    let registry = Registry::builtin().with("journal", journal);
    let opened = registry.open_str(&text, dir.path(), "test.yaml").await;
    opened.unwrap().storages().metadata().clone()
}

/// A driver of somebody else; `custom_driver.rs` explains it.
fn journal(config: &DriverConfig<'_>) -> Result<Plan, ConfigError> {
    let mut settings: JournalConfig = config.read()?;
    settings.storage_dir = config.resolve(&settings.storage_dir);
    let (place, shown) = (settings.storage_dir.clone(), settings.clone());
    let plan = Plan::new(&shown, async move {
        Ok(Arc::new(JournalBackend::open(settings).await?) as Arc<dyn StorageBackend>)
    });
    Ok(plan.at(place))
}

#[rstest]
#[case::memory("memory")]
#[case::journal("journal")]
#[case::redb("redb")]
#[cfg_attr(feature = "rocks", case::rocks("rocks"))]
#[cfg_attr(feature = "sled", case::sled("sled"))]
#[tokio::test]
async fn every_email_is_sent_once(#[case] driver: &str) {
    let dir = TempDir::new().unwrap();
    let clock = ManualClock::new(Timestamp::EPOCH);
    let storage = open(driver, &dir).await.with_clock(clock.clone());
    let emails = storage
        .create_partition(("emails", 0), PartitionConfig::default())
        .await
        .unwrap();
    emails.produce(["a", "b"]).await.unwrap();

    let first = send_all(&storage).await.unwrap();
    clock.advance(Duration::from_secs(3600));
    let second = send_all(&storage).await.unwrap();

    assert_eq!(first, ["a", "b"]);
    assert!(
        second.is_empty(),
        "an hour later there is nothing left to send"
    );
    storage.close().await.unwrap();
}
