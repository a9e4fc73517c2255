//! What a store takes of memory as it gets deeper, with caches so small that they cannot hide it.
//!
//! A process of its own, so that nothing but the store is counted. It fills the store to one depth after the other. At each,
//! bursts of items come and go, so that buffers and caches are in use whatever the depth; then it looks at its resident
//! memory.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use storage_api::{Durability, PartitionConfig};

use super::tap::Log;
use super::{Failure, Measured, SMALL};
use crate::child::Work;
use crate::drivers::{DiskDriver, Setup};
use crate::measure::{LEASE_FOR, new_batch, resident_bytes};
use crate::report::{Row, short};

const BATCH: usize = 1000;
/// More than fills the buffers of what is not synced.
const BURST: usize = 100_000;
const BURSTS: usize = 2;
/// What takes more grows with depth; there is no need to see how far.
const BYTES_MAX: u64 = 512 << 20;
/// A million small items take twenty times as much on disk.
const CACHE_BYTES: usize = 8 << 20;

/// What is measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ResidentWork {
    pub(super) driver: DiskDriver,
    pub(super) depths: Vec<usize>,
    /// When no more items are added.
    pub(super) time_max: Duration,
}

/// Bytes of resident memory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Resident {
    empty: u64,
    /// At each depth that was reached.
    filled: Vec<(usize, u64)>,
}

impl ResidentWork {
    pub(crate) async fn run(&self) -> Result<Resident, Failure> {
        let started = Instant::now();
        let directory = tempfile::tempdir()?;
        let setup = Setup {
            cache_bytes: Some(CACHE_BYTES),
            ..Setup::default()
        };
        let path = directory.path();
        let durability = Durability::None;
        let opened = self.driver.open(path, &Log::default(), durability, setup)?;
        let storage = opened.storage;
        let config = PartitionConfig::default();
        let partition = storage.create_partition(("bench", 0), config).await?;
        let payload = [b'x'; SMALL];
        let now = || resident_bytes().ok_or("the system does not tell the resident memory");
        let empty = now()?;
        let is_late = || started.elapsed() >= self.time_max;
        let mut depth = 0;
        let mut filled = Vec::new();
        for wanted in &self.depths {
            while depth < *wanted && !is_late() {
                partition.produce_batch(new_batch(&payload, BATCH)?).await?;
                depth += BATCH;
            }
            for _ in 0..BURSTS {
                let mut burst = 0;
                while burst < BURST && !is_late() {
                    partition.produce_batch(new_batch(&payload, BATCH)?).await?;
                    burst += BATCH;
                }
                for _ in 0..burst / BATCH {
                    let leased = partition.lease(BATCH, LEASE_FOR).await?;
                    partition.complete(leased.receipts()).await?;
                }
            }
            opened.engine.sync()?;
            filled.push((depth, now()?));
            if is_late() || now()? > BYTES_MAX {
                break;
            }
        }
        storage.close().await?;
        Ok(Resident { empty, filled })
    }
}

/// Measures it in a child.
pub(super) fn measure(work: ResidentWork, measured: &mut Measured) -> Result<(), Failure> {
    let driver = work.driver;
    let Resident { empty, filled } = Work::Resident(work).run_in_child(&[])?;
    let Some((shallow, first)) = filled.first().copied() else {
        return Ok(());
    };
    let mut told = vec![format!("{}B when empty", short(empty as f64))];
    for (depth, bytes) in &filled {
        let grown = bytes.saturating_sub(first);
        told.push(format!(
            "{}B with {} items",
            short(*bytes as f64),
            short(*depth as f64)
        ));
        if *depth > shallow {
            measured.rows.push(Row {
                driver: driver.name().to_owned(),
                durability: Durability::None.to_string(),
                operation: "memory grown",
                batch: BATCH,
                payload_bytes: SMALL,
                depth: *depth,
                producers: 1,
                bytes_per_item: Some(grown as f64 / (depth - shallow) as f64),
                ..Row::default()
            });
        }
    }
    let last = filled.last().map_or(first, |(_, last)| *last);
    measured.lines.push(format!(
        "{}: resident memory with caches of {}B: {}; {}B more with {} items than with {}",
        driver.name(),
        short(driver.caches_bytes(CACHE_BYTES) as f64),
        told.join(", "),
        short(last.saturating_sub(first) as f64),
        short(filled.last().map_or(0, |(depth, _)| *depth) as f64),
        short(shallow as f64),
    ));
    Ok(())
}
