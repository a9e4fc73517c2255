//! A backend whose contents were all removed: what it says that it uses is what it said before there were any (clause USE-1).

use std::time::Duration;

use storage_api::{
    Capability, CommitRequest, Count, KeyRange, Result as ApiResult, ScanRequest, StorageBackend,
    Timestamp, Usage,
};

use super::numbers::Mismatch;

/// Removes everything, and compares the usage with that of the place when it was fresh.
///
/// Waits no longer than that for what a driver does behind everybody's back. All drivers owe the same parts and the same limit.
/// The same bytes are owed by those without a place on disk: on disk they come back after a delay that each driver states for
/// itself. What a driver counts beside the bytes is its own affair, and may tell of what has been.
pub(super) async fn uses_no_more(
    driver: &dyn StorageBackend,
    fresh: &Usage,
    patience: Duration,
) -> Result<(), Mismatch> {
    let removed = remove_everything(driver).await;
    removed.map_err(|error| format!("not everything can be removed: {error}"))?;
    let refused = |error: storage_api::Error| format!("it does not tell its usage: {error}");
    let has_disk = driver.descriptor().place.is_some();
    let coming_back = async {
        loop {
            let usage = driver.usage().await.map_err(refused)?;
            if has_disk || takes_as_much(&usage, fresh) {
                return Ok::<_, Mismatch>(usage);
            }
            // What was removed may be counted until it is on stable storage.
            if driver.descriptor().capabilities.has(Capability::Sync) {
                driver.sync().await.map_err(refused)?;
            }
            tokio::task::yield_now().await;
        }
    };
    let usage = match tokio::time::timeout(patience, coming_back).await {
        Ok(usage) => usage?,
        Err(_) => driver.usage().await.map_err(refused)?,
    };
    let is_same = if has_disk {
        usage.allowed == fresh.allowed && names(&usage) == names(fresh)
    } else {
        takes_as_much(&usage, fresh)
    };
    if is_same {
        return Ok(());
    }
    Err(format!(
        "everything was removed, and the usage is another than that of a fresh place\n  fresh:   {fresh:?}\n  emptied: {usage:?}"
    ))
}

fn takes_as_much(one: &Usage, other: &Usage) -> bool {
    (one.used, one.allowed, &one.parts) == (other.used, other.allowed, &other.parts)
}

fn names(usage: &Usage) -> Vec<&'static str> {
    usage.parts.iter().map(|(name, _)| *name).collect()
}

async fn remove_everything(driver: &dyn StorageBackend) -> ApiResult<()> {
    loop {
        let page = driver.list_partitions(None, Count::MAX).await?;
        if page.items.is_empty() {
            break;
        }
        for info in page.items {
            driver.delete_partition(&info.id).await?;
        }
    }
    // Whatever can expire has done so; the rest is seen at any time.
    while driver.purge(Timestamp::MAX, Count::MAX).await?.more {}
    loop {
        let page = driver.namespaces(None, Count::MAX).await?;
        if page.items.is_empty() {
            return Ok(());
        }
        for namespace in page.items {
            let everything = ScanRequest::new(namespace.clone(), KeyRange::all());
            let entries = driver.scan(Timestamp::EPOCH, everything).await?;
            let mut commit = CommitRequest::new(Timestamp::EPOCH);
            for entry in &entries.items {
                commit.delete(&namespace, &entry.key)?;
            }
            driver.commit(commit).await?;
        }
    }
}
