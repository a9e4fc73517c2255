//! The life of a store with many items: the disk that it takes, opening, draining, and what is given back.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use storage_api::{Durability, Partition, PartitionConfig, Storage};
use tempfile::TempDir;

use super::tap::Log;
use super::{DEEP, Failure, Plan, SHALLOW, SMALL};
use crate::drivers::{DiskDriver, Opened, Setup};
use crate::measure::{LEASE_FOR, new_batch, rate};
use crate::report::{Measured, Row, short};

const BATCH: usize = 1000;

/// A store that was filled and drained, and has not given its space back yet.
pub(super) struct Drained {
    driver: DiskDriver,
    storage: Storage,
    directory: TempDir,
    items: usize,
    full: u64,
    peak: u64,
    drained_at: Instant,
}

/// Fills a store, opens it, drains it, and opens it again; `None` if there was no time to drain it.
pub(super) async fn measure(
    driver: DiskDriver,
    plan: &Plan,
    measured: &mut Measured,
) -> Result<Option<Drained>, Failure> {
    let name = driver.name();
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
    let mut items = SHALLOW;
    let filling = Instant::now();
    while items < DEEP && filling.elapsed() < plan.filled_within && !plan.is_over() {
        partition.produce_batch(new_batch(&payload, BATCH)?).await?;
        items += BATCH;
    }
    opened.engine.sync()?;
    let full = disk_bytes(path)?;
    storage.close().await?;
    drop((partition, storage, opened.engine));

    let (opened, deep) = open(driver, path)?;
    let (storage, deep_engine) = (opened.storage, opened.engine_opened);
    let partition = storage.partition(("bench", 0))?;
    let millis = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    measured.lines.push(format!(
        "{name}: opened with {SHALLOW} items in {} (its engine alone {}), with {items} in {} ({})",
        millis(shallow),
        millis(shallow_engine),
        millis(deep),
        millis(deep_engine),
    ));
    for (depth, all, engine) in [
        (SHALLOW, shallow, shallow_engine),
        (items, deep, deep_engine),
    ] {
        let (all, engine) = (rate(depth, all), rate(depth, engine));
        measured.rows.push(Row {
            items_per_second: Some(all),
            // What is replayed into an engine is opened by the engine alone.
            baseline: Some("replay".to_owned()),
            baseline_items_per_second: Some(engine),
            ratio: Some(all / engine),
            ..row(driver, "open", depth)
        });
    }
    let mut peak = full;
    for drained in 0..items / BATCH {
        if plan.is_over() {
            let done = drained * BATCH;
            let what = format!(
                "the first lease after draining and the disk given back: {done} of {items} items were drained"
            );
            measured.leave_out(name, &what);
            measured
                .rows
                .push(disk_row(driver, "disk full", items, full));
            storage.close().await?;
            return Ok(None);
        }
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

    measured.lines.push(format!(
        "{name}: first lease after {items} items were produced and completed: {}, after reopening {}",
        millis(first),
        millis(first_reopened)
    ));
    for (operation, time) in [("first lease", first), ("reopened lease", first_reopened)] {
        measured.rows.push(Row {
            batch: 1,
            items_per_second: Some(rate(1, time)),
            ..row(driver, operation, items)
        });
    }
    Ok(Some(Drained {
        driver,
        storage,
        directory,
        items,
        full,
        peak,
        drained_at,
    }))
}

impl Drained {
    /// Waits until the space is given back.
    pub(super) async fn given_back(
        self,
        within: Duration,
        measured: &mut Measured,
    ) -> Result<(), Failure> {
        let Self {
            driver,
            items,
            full,
            peak,
            drained_at,
            ..
        } = self;
        let path = self.directory.path();
        let left = loop {
            let left = disk_bytes(path)?;
            let is_over = !driver.gives_space_back() || drained_at.elapsed() >= within;
            if is_over || left < peak / 10 {
                break left;
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        self.storage.close().await?;
        let seconds = drained_at.elapsed().as_secs_f64();
        measured.lines.push(format!(
            "{}: disk: {}B with {items} items, {}B at the peak while draining, {}B {seconds:.1} s after{}",
            driver.name(),
            short(full as f64),
            short(peak as f64),
            short(left as f64),
            match driver.gives_space_back() {
                true if left < peak / 10 => "",
                true => ", more than a tenth",
                false => ": it never gives space back",
            }
        ));
        for (operation, bytes) in [
            ("disk full", full),
            ("disk peak", peak),
            ("disk drained", left),
        ] {
            measured
                .rows
                .push(disk_row(driver, operation, items, bytes));
        }
        Ok(())
    }
}

/// What the rows of a store's life have in common.
fn row(driver: DiskDriver, operation: &'static str, items: usize) -> Row {
    Row {
        driver: driver.name().to_owned(),
        durability: Durability::None.to_string(),
        operation,
        batch: BATCH,
        payload_bytes: SMALL,
        depth: items,
        producers: 1,
        ..Row::default()
    }
}

fn disk_row(driver: DiskDriver, operation: &'static str, items: usize, bytes: u64) -> Row {
    Row {
        bytes_per_item: Some(bytes as f64 / items as f64),
        ..row(driver, operation, items)
    }
}

/// The storage of a directory, and how long all of it took to open.
fn open(driver: DiskDriver, path: &Path) -> Result<(Opened, Duration), Failure> {
    let start = Instant::now();
    let opened = driver.open(path, &Log::default(), Durability::None, Setup::default())?;
    Ok((opened, start.elapsed()))
}

/// How long the lease of a new item takes in a queue that was drained.
async fn first_lease(partition: &Partition) -> Result<Duration, Failure> {
    partition
        .produce_batch(new_batch(&[b'x'; SMALL], 1)?)
        .await?;
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
