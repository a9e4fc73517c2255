//! Many producers of single items, and how many of them share a sync.

use std::time::Instant;

use storage_api::PartitionConfig;

use super::tap::Log;
use super::{Failure, Measured, SMALL};
use crate::drivers::DiskDriver;
use crate::measure::{median, new_batch, rate};
use crate::report::Row;

const CROWD: usize = 64;
/// How many items each of one and of many producers adds in a round.
const ITEMS_ALONE: usize = 100;
const ITEMS_EACH: usize = 50;

pub(super) async fn measure(
    driver: DiskDriver,
    rounds: usize,
    measured: &mut Measured,
) -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let log = Log::default();
    let durability = driver.strongest();
    let storage = driver.open(directory.path(), &log, durability)?.storage;
    let partition = storage
        .create_partition(("bench", 0), PartitionConfig::default())
        .await?;
    let payload = [b'x'; SMALL];
    let mut rates: [Vec<f64>; 2] = Default::default();
    let mut operations_per_sync = [0.0; 2];
    for _ in 0..rounds {
        for (at, (producers, items)) in [(1, ITEMS_ALONE), (CROWD, ITEMS_EACH)]
            .into_iter()
            .enumerate()
        {
            let before = log.syncs();
            let start = Instant::now();
            let mut tasks = Vec::new();
            for _ in 0..producers {
                let partition = partition.clone();
                tasks.push(tokio::spawn(async move {
                    for _ in 0..items {
                        partition.produce_batch(new_batch(&payload, 1)?).await?;
                    }
                    Ok::<(), storage_api::Error>(())
                }));
            }
            for task in tasks {
                task.await??;
            }
            let operations = producers * items;
            rates[at].push(rate(operations, start.elapsed()));
            operations_per_sync[at] = operations as f64 / (log.syncs() - before) as f64;
        }
    }
    for (at, (producers, rates)) in [1, CROWD].into_iter().zip(rates).enumerate() {
        measured.rows.push(Row {
            driver: driver.name().to_owned(),
            durability: durability.to_string(),
            operation: "crowd",
            batch: 1,
            payload_bytes: SMALL,
            depth: 0,
            producers,
            items_per_second: Some(median(rates)),
            baseline: None,
            baseline_items_per_second: None,
            ratio: None,
            bytes_per_item: None,
            operations_per_sync: Some(operations_per_sync[at]),
            writes_per_item: None,
            cpu_ratio: None,
            cpu_per_item: None,
        });
    }
    storage.close().await?;
    Ok(())
}
