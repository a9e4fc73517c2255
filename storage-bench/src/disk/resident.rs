//! What a store takes of memory as it gets deeper, with caches so small that they cannot hide it.
//!
//! One process fills the store to a depth. Others open it, one after the other, do the same work whatever the depth, and look
//! at their resident memory then: nothing but the store is counted, and nothing that filling it left in the allocator.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use storage_api::{Durability, Partition, PartitionConfig};

use super::tap::Log;
use super::{Failure, Plan, SMALL};
use crate::child::Work;
use crate::drivers::{DiskDriver, Opened, Setup};
use crate::measure::{LEASE_FOR, median, new_batch, resident_bytes};
use crate::report::{Measured, Row, short};

const BATCH: usize = 1000;
/// How many batches come and go where every call is synced: more than fills the caches.
const CYCLES: usize = 150;
/// How many batches come before they go where none is: more than fills the buffers of what is not synced.
const BURST: usize = 100;
const BURSTS: usize = 2;
/// How many processes work at each depth and pace, if there is time.
const SAMPLES: usize = 3;
/// What takes more grows with depth; there is no need to see how far.
const BYTES_MAX: u64 = 512 << 20;
/// A million small items take twenty times as much on disk.
const CACHE_BYTES: usize = 8 << 20;

/// How work is done.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Pace {
    /// Batches of items come and go, and each call waits for its sync.
    Synced,
    /// So many items come before they go that what is not synced takes the most that it may.
    Bursts,
}

/// Adding items to a store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FillWork {
    driver: DiskDriver,
    directory: PathBuf,
    items: usize,
    is_new: bool,
    /// When no more are added.
    time_max: Duration,
}

impl FillWork {
    /// Answers how many were added: a batch at least.
    pub(crate) async fn run(&self) -> Result<usize, Failure> {
        let started = Instant::now();
        let opened = open(self.driver, &self.directory, Durability::None)?;
        let storage = opened.storage;
        if self.is_new {
            let config = PartitionConfig::default();
            storage.create_partition(("bench", 0), config).await?;
        }
        let partition = storage.partition(("bench", 0))?;
        let mut added = 0;
        while added < self.items && (added == 0 || started.elapsed() < self.time_max) {
            produce(&partition).await?;
            added += BATCH;
        }
        storage.close().await?;
        Ok(added)
    }
}

/// Working on a store that was filled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ResidentWork {
    driver: DiskDriver,
    directory: PathBuf,
    pace: Pace,
    /// When work ends that is not done.
    time_max: Duration,
}

impl ResidentWork {
    /// Answers the bytes of resident memory.
    pub(crate) async fn run(&self) -> Result<u64, Failure> {
        let started = Instant::now();
        let (durability, times, batches) = match self.pace {
            Pace::Synced => (self.driver.strongest(), CYCLES, 1),
            Pace::Bursts => (Durability::None, BURSTS, BURST),
        };
        let opened = open(self.driver, &self.directory, durability)?;
        let partition = opened.storage.partition(("bench", 0))?;
        let now = || resident_bytes().ok_or("the system does not tell the resident memory");
        for _ in 0..times {
            let mut come = 0;
            while come < batches && now()? < BYTES_MAX {
                produce(&partition).await?;
                come += 1;
            }
            for _ in 0..come {
                let leased = partition.lease(BATCH, LEASE_FOR).await?;
                partition.complete(leased.receipts()).await?;
            }
            if started.elapsed() >= self.time_max {
                break;
            }
        }
        opened.engine.sync()?;
        let bytes = now()?;
        opened.storage.close().await?;
        Ok(bytes)
    }
}

fn open(driver: DiskDriver, directory: &Path, durability: Durability) -> Result<Opened, Failure> {
    let setup = Setup {
        cache_bytes: Some(CACHE_BYTES),
        ..Setup::default()
    };
    driver.open(directory, &Log::default(), durability, setup)
}

async fn produce(partition: &Partition) -> Result<(), Failure> {
    let batch = new_batch(&[b'x'; SMALL], BATCH)?;
    partition.produce_batch(batch).await?;
    Ok(())
}

/// The median of the bytes at each depth.
type ByDepth = Vec<(usize, f64)>;

/// Measures it at each of the plan's depths, the least first.
pub(super) fn measure(
    driver: DiskDriver,
    plan: &Plan,
    time_max: Duration,
    measured: &mut Measured,
) -> Result<(), Failure> {
    let depths = plan.resident_depths();
    let started = Instant::now();
    let scratch = tempfile::tempdir()?;
    let directory = scratch.path().to_owned();
    let part = time_max / 4;
    let mut depth = 0;
    let (mut synced, mut in_bursts) = (ByDepth::new(), ByDepth::new());
    let of_each = time_max / u32::try_from(depths.len().max(1))?;
    let part = || part.min(plan.left());
    for (at, wanted) in (1..).zip(depths) {
        if plan.is_over() {
            let what = format!("memory with {wanted} items and more");
            measured.leave_out(driver.name(), &what);
            break;
        }
        let fill = FillWork {
            driver,
            directory: directory.clone(),
            items: wanted - depth,
            is_new: depth == 0,
            time_max: part(),
        };
        depth += Work::Fill(fill).run_in_child::<usize>(&[])?;
        if depth < *wanted {
            let what = format!("memory with {wanted} items: {depth} were added");
            measured.leave_out(driver.name(), &what);
        }
        let ends = of_each * at;
        let mut samples = [Vec::new(), Vec::new()];
        for sample in 0..SAMPLES {
            if sample > 0 && (started.elapsed() >= ends || plan.is_over()) {
                break;
            }
            for (pace, bytes) in [Pace::Synced, Pace::Bursts].into_iter().zip(&mut samples) {
                let work = ResidentWork {
                    driver,
                    directory: directory.clone(),
                    pace,
                    time_max: part(),
                };
                bytes.push(Work::Resident(work).run_in_child::<u64>(&[])? as f64);
            }
        }
        for (of, samples) in [&mut synced, &mut in_bursts].into_iter().zip(samples) {
            of.push((depth, median(samples)));
        }
        if in_bursts
            .iter()
            .any(|(_, bytes)| *bytes >= BYTES_MAX as f64)
        {
            break;
        }
    }
    if synced.is_empty() {
        return Ok(());
    }
    let caches = driver.caches_bytes(CACHE_BYTES) as f64;
    let name = driver.name();
    measured.lines.push(format!(
        "{name}: resident memory, each call synced, caches of {}B: {}",
        short(caches),
        told(&synced, caches)
    ));
    measured.lines.push(format!(
        "{name}: resident memory, bursts of {} unsynced items: {}",
        BURST * BATCH,
        told(&in_bursts, caches)
    ));
    for (durability, bytes) in [(driver.strongest(), synced), (Durability::None, in_bursts)] {
        let [(shallow, first), .., (depth, last)] = bytes[..] else {
            continue;
        };
        measured.rows.push(Row {
            driver: name.to_owned(),
            durability: durability.to_string(),
            operation: "memory grown",
            batch: BATCH,
            payload_bytes: SMALL,
            depth,
            producers: 1,
            bytes_per_item: Some((last - first).max(0.0) / (depth - shallow) as f64),
            ..Row::default()
        });
    }
    Ok(())
}

fn told(bytes: &[(usize, f64)], caches: f64) -> String {
    let at_depths: Vec<String> = bytes
        .iter()
        .map(|(depth, bytes)| format!("{}B with {} items", short(*bytes), short(*depth as f64)))
        .collect();
    let mut told = at_depths.join(", ");
    if let [(_, first), .., (_, last)] = bytes[..] {
        let grown = (last - first).max(0.0);
        let of_caches = grown / caches;
        told += &format!("; grown by {}B, {of_caches:.2} of the caches", short(grown));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_grown_stands_beside_the_caches() {
        let told = told(&[(1000, 20e6), (2000, 21e6), (1_000_000, 26e6)], 8e6);

        assert_eq!(
            told,
            "20 MB with 1 k items, 21 MB with 2 k items, 26 MB with 1 M items; grown by 6 MB, 0.75 of the caches"
        );
    }
}
