//! The life of a store with many items: memory and disk that it takes, opening, draining, and what is given back.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use storage_api::{Durability, Partition, PartitionConfig};

use super::tap::Log;
use super::{Failure, Measured, Plan, SHALLOW, SMALL};
use crate::drivers::{DiskDriver, Opened};
use crate::measure::{LEASE_FOR, new_batch, resident_bytes};
use crate::report::{Row, short};

const BATCH: usize = 1000;
pub(super) async fn measure(
    driver: DiskDriver,
    plan: &Plan,
    measured: &mut Measured,
) -> Result<(), Failure> {
    let name = driver.name();
    let (items, within) = (plan.life_items, plan.given_back_within);
    let directory = tempfile::tempdir()?;
    let path = directory.path();
    let payload = [b'x'; SMALL];

    let storage = open(driver, path)?.0.storage;
    let config = PartitionConfig::default();
    let partition = storage.create_partition(("bench", 0), config).await?;
    for _ in 0..SHALLOW / BATCH {
        partition.produce_batch(new_batch(&payload, BATCH)?).await?;
    }
    storage.close().await?;
    let (opened, shallow) = open(driver, path)?;
    let (storage, shallow_engine) = (opened.storage, opened.engine_opened);

    let partition = storage.partition(("bench", 0))?;
    let before = resident_bytes();
    for _ in 0..(items - SHALLOW) / BATCH {
        partition.produce_batch(new_batch(&payload, BATCH)?).await?;
    }
    opened.engine.sync()?;
    let resident = before.zip(resident_bytes());
    let full = disk_bytes(path)?;
    storage.close().await?;
    drop((partition, storage, opened.engine));

    let (opened, deep) = open(driver, path)?;
    let (storage, deep_engine) = (opened.storage, opened.engine_opened);
    let partition = storage.partition(("bench", 0))?;
    let mut peak = full;
    for drained in 0..items / BATCH {
        let leased = partition.lease(BATCH, LEASE_FOR).await?;
        partition.complete(leased.receipts()).await?;
        if drained % 10 == 0 {
            peak = peak.max(disk_bytes(path)?);
        }
    }
    opened.engine.sync()?;
    let drained_at = Instant::now();
    peak = peak.max(disk_bytes(path)?);
    let first = first_lease(&partition).await?;
    storage.close().await?;
    drop((partition, storage, opened.engine));
    let storage = open(driver, path)?.0.storage;
    let partition = storage.partition(("bench", 0))?;
    let first_reopened = first_lease(&partition).await?;
    let mut left = disk_bytes(path)?;
    let mut given_back = None;
    while given_back.is_none() && drained_at.elapsed() < within {
        left = disk_bytes(path)?;
        if left < peak / 10 {
            given_back = Some(drained_at.elapsed());
        } else {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    storage.close().await?;

    let mut row = |operation, bytes_per_item| {
        measured.rows.push(Row {
            driver: name.to_owned(),
            durability: Durability::None.to_string(),
            operation,
            batch: BATCH,
            payload_bytes: SMALL,
            depth: items,
            producers: 1,
            items_per_second: None,
            baseline: None,
            baseline_items_per_second: None,
            ratio: None,
            bytes_per_item,
            operations_per_sync: None,
            writes_per_item: None,
            cpu_ratio: None,
            cpu_per_item: None,
        });
    };
    let per_item = |bytes: u64| Some(bytes as f64 / items as f64);
    let grown = resident.map(|(before, after)| after.saturating_sub(before));
    row("memory grown", grown.and_then(per_item));
    row("disk full", per_item(full));
    row("disk peak", per_item(peak));
    row("disk drained", per_item(left));

    let millis = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    let mut line = |text: String| measured.lines.push(format!("{name}: {text}"));
    line(format!(
        "opened with {SHALLOW} items in {} (its engine alone {}), with {items} in {} ({})",
        millis(shallow),
        millis(shallow_engine),
        millis(deep),
        millis(deep_engine),
    ));
    line(format!(
        "first lease after {items} items were produced and completed: {}, after reopening {}",
        millis(first),
        millis(first_reopened)
    ));
    line(format!(
        "disk: {}B with {items} items, {}B at the peak while draining, {}B {}",
        short(full as f64),
        short(peak as f64),
        short(left as f64),
        match given_back {
            Some(time) => format!("{:.1} s after", time.as_secs_f64()),
            None => format!("{within:?} after, more than a tenth"),
        }
    ));
    if let Some((before, after)) = resident {
        line(format!(
            "resident memory: {}B with {SHALLOW} items of {SMALL} B, {}B with {items}",
            short(before as f64),
            short(after as f64)
        ));
    }
    Ok(())
}

/// The storage of a directory, and how long all of it took to open.
fn open(driver: DiskDriver, path: &Path) -> Result<(Opened, Duration), Failure> {
    let start = Instant::now();
    let opened = driver.open(path, &Log::default(), Durability::None)?;
    Ok((opened, start.elapsed()))
}

/// How long the lease of a new item takes in a queue that was drained.
async fn first_lease(partition: &Partition) -> Result<Duration, Failure> {
    partition.produce(["first"]).await?;
    let start = Instant::now();
    let leased = partition.lease(1, LEASE_FOR).await?;
    let time = start.elapsed();
    partition.complete(leased.receipts()).await?;
    Ok(time)
}

/// What the files of a directory take on the disk.
fn disk_bytes(path: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        // A file may go while it is looked at.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        bytes += match metadata.is_dir() {
            true => disk_bytes(&entry.path())?,
            false => metadata.blocks() * 512,
        };
    }
    Ok(bytes)
}
