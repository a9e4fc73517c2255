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
#[derive(Debug, Clone, Serialize, Deserialize)]
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

/// How an allocator of the system is told to give large blocks back as soon as they are freed: what it keeps of them otherwise
/// comes on top, and differs from run to run.
const GIVING_BACK: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// Measures it in a child, and in one whose allocator keeps little.
pub(super) fn measure(work: &ResidentWork, measured: &mut Measured) -> Result<(), Failure> {
    let name = work.driver.name();
    let caches = work.driver.caches_bytes(CACHE_BYTES) as f64;
    let (variable, value) = GIVING_BACK;
    let run = |environment: &[_]| -> Result<Resident, Failure> {
        Work::Resident(work.clone()).run_in_child(environment)
    };
    let kept = run(&[])?;
    measured.lines.push(format!(
        "{name}: resident memory with caches of {}B: {}",
        short(caches),
        kept.told()
    ));
    measured.lines.push(format!(
        "{name}: the same with {variable}={value}: {}",
        run(&[(variable, value.to_owned())])?.told()
    ));
    if let [(shallow, first), .., (depth, last)] = kept.filled[..] {
        let grown = last.saturating_sub(first);
        measured.rows.push(Row {
            driver: name.to_owned(),
            durability: Durability::None.to_string(),
            operation: "memory grown",
            batch: BATCH,
            payload_bytes: SMALL,
            depth,
            producers: 1,
            bytes_per_item: Some(grown as f64 / (depth - shallow) as f64),
            ..Row::default()
        });
    }
    Ok(())
}

impl Resident {
    fn told(&self) -> String {
        let mut told = vec![format!("{}B when empty", short(self.empty as f64))];
        for (depth, bytes) in &self.filled {
            let (bytes, depth) = (short(*bytes as f64), short(*depth as f64));
            told.push(format!("{bytes}B with {depth} items"));
        }
        let mut told = told.join(", ");
        if let [(_, first), .., (_, last)] = self.filled[..] {
            let grown = last.saturating_sub(first);
            told += &format!("; grown by {}B", short(grown as f64));
        }
        told
    }
}
