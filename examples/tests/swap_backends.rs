//! One test, several backends: what is tested knows none of them.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use journal_driver::{JournalBackend, JournalConfig};
use rstest::rstest;
use storage_api::{ManualClock, PartitionConfig, Storage, StorageBackend, Timestamp};
use storage_memory::MemoryBackend;
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

async fn memory(_dir: &TempDir) -> Arc<dyn StorageBackend> {
    Arc::new(MemoryBackend::new())
}

async fn journal(dir: &TempDir) -> Arc<dyn StorageBackend> {
    let config = JournalConfig::new(dir.path().join("journal"));
    Arc::new(JournalBackend::open(config).await.unwrap())
}

#[rstest]
#[case::memory(memory)]
#[case::journal(journal)]
#[tokio::test]
async fn every_email_is_sent_once<F>(#[case] open: F)
where
    F: AsyncFnOnce(&TempDir) -> Arc<dyn StorageBackend>,
{
    let dir = TempDir::new().unwrap();
    let clock = ManualClock::new(Timestamp::EPOCH);
    let storage = Storage::from_backend(open(&dir).await).with_clock(clock.clone());
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
}
