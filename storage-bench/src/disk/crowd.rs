//! Many producers of single items, and how many of them share a sync.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use storage_api::PartitionConfig;

use super::hand_crowd::HandCrowd;
use super::tap::Log;
use super::{Failure, SMALL};
use crate::child::Work;
use crate::drivers::{DiskDriver, Setup};
use crate::measure::{median, new_batch, rate};
use crate::report::{Measured, Row, short};
use crate::slow_sync::{SlowSync, measure_sync};

const CROWD: usize = 64;
const PRODUCERS: [usize; 2] = [1, CROWD];
/// How many items each of one and of many producers adds in a round, if there is time.
const ITEMS_EACH: [usize; 2] = [100, 50];

/// What is measured.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct CrowdWork {
    pub(super) driver: DiskDriver,
    pub(super) rounds: usize,
    /// When no round is begun any more but the first.
    pub(super) time_max: Duration,
    /// When who produces begins no item any more but the first: an engine that syncs for each item takes long on a slow disk.
    pub(super) turn_max: Duration,
}

/// The figures of one and of many producers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Crowd {
    durability: String,
    of: [Producers; 2],
    /// How long a sync of a byte takes.
    sync: Duration,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Producers {
    rates: Vec<f64>,
    replay_rates: Vec<f64>,
    hand_rates: Vec<f64>,
    operations: u64,
    syncs: u64,
    rows: u64,
}

impl CrowdWork {
    pub(crate) async fn run(self) -> Result<Crowd, Failure> {
        let Self {
            driver, turn_max, ..
        } = self;
        let started = Instant::now();
        let directories = [
            tempfile::tempdir()?,
            tempfile::tempdir()?,
            tempfile::tempdir()?,
        ];
        let [directory, twin_directory, hand_directory] = &directories;
        let setup = Setup {
            is_row_by_row: true,
            ..Setup::default()
        };
        let twin = driver.open_engine(twin_directory.path(), setup)?;
        let log = Log::default();
        log.keep();
        let durability = driver.strongest();
        let path = directory.path();
        let opened = driver.open(path, &log, durability, Setup::default())?;
        let storage = opened.storage;
        let partition = storage
            .create_partition(("bench", 0), PartitionConfig::default())
            .await?;
        let hand = HandCrowd::open(driver, hand_directory.path())?;
        let numbers = AtomicU64::new(0);
        let payload = [b'x'; SMALL];
        let mut of: [Producers; 2] = Default::default();
        for round in 0..self.rounds {
            if round > 0 && started.elapsed() > self.time_max {
                break;
            }
            for at in 0..PRODUCERS.len() {
                let (producers, items) = (PRODUCERS[at], ITEMS_EACH[at]);
                log.replay(&*twin)?;
                let (rows, syncs) = (log.rows(), log.syncs());
                let start = Instant::now();
                let mut tasks = Vec::new();
                for _ in 0..producers {
                    let partition = partition.clone();
                    tasks.push(tokio::spawn(async move {
                        let mut done = 0;
                        while done < items && (done == 0 || start.elapsed() < turn_max) {
                            partition.produce_batch(new_batch(&payload, 1)?).await?;
                            done += 1;
                        }
                        Ok::<usize, storage_api::Error>(done)
                    }));
                }
                let mut operations = 0;
                for task in tasks {
                    operations += task.await??;
                }
                let time = start.elapsed();
                let of = &mut of[at];
                of.rows += log.rows() - rows;
                of.syncs += log.syncs() - syncs;
                of.operations += operations as u64;
                of.rates.push(rate(operations, time));
                let start = Instant::now();
                log.replay(&*twin)?;
                of.replay_rates.push(rate(operations, start.elapsed()));
                let by_hand = hand.produce(&numbers, producers, items, turn_max)?;
                of.hand_rates.push(by_hand);
            }
        }
        storage.close().await?;
        Ok(Crowd {
            durability: durability.to_string(),
            of,
            sync: measure_sync()?,
        })
    }
}

impl Crowd {
    /// How many times the rate of one producer the rate of many is.
    fn gain(&self) -> f64 {
        let [alone, crowd] = &self.of;
        median(crowd.rates.clone()) / median(alone.rates.clone())
    }

    /// Its rows, and a line on both.
    fn add_to(self, driver: DiskDriver, measured: &mut Measured) {
        let [alone, crowd] = &self.of;
        measured.lines.push(format!(
            "{}: {CROWD} producers reach {:.1} times the rate of one ({} and {} items/s, {:.1} operations a sync), where a sync takes {:.2} ms",
            driver.name(),
            self.gain(),
            short(median(crowd.rates.clone())),
            short(median(alone.rates.clone())),
            crowd.operations as f64 / crowd.syncs as f64,
            self.sync.as_secs_f64() * 1e3,
        ));
        for (producers, of) in PRODUCERS.into_iter().zip(self.of) {
            let rate = median(of.rates);
            for (name, baseline) in [
                ("replay", median(of.replay_rates)),
                ("by-hand", median(of.hand_rates)),
            ] {
                measured.rows.push(Row {
                    driver: driver.name().to_owned(),
                    durability: self.durability.clone(),
                    operation: "produce",
                    batch: 1,
                    payload_bytes: SMALL,
                    producers,
                    items_per_second: Some(rate),
                    baseline: Some(name.to_owned()),
                    baseline_items_per_second: Some(baseline),
                    ratio: Some(rate / baseline),
                    operations_per_sync: Some(of.operations as f64 / of.syncs as f64),
                    writes_per_item: Some(of.rows as f64 / of.operations as f64),
                    ..Row::default()
                });
            }
        }
    }
}

/// Measures them on the disk as it is.
pub(super) async fn measure(work: CrowdWork, measured: &mut Measured) -> Result<(), Failure> {
    work.run().await?.add_to(work.driver, measured);
    Ok(())
}

/// Measures them in a process whose syncs take so much longer.
pub(super) fn measure_slow(
    work: CrowdWork,
    wait: Duration,
    measured: &mut Measured,
) -> Result<(), Failure> {
    let slow = SlowSync::new(wait)?;
    let crowd: Crowd = Work::Crowd(work).run_in_child(&slow.environment())?;
    slow.check(crowd.sync)?;
    crowd.add_to(work.driver, measured);
    Ok(())
}
