//! What becomes of a million items: rates, disk, memory, the head of what was drained.
//!
//! `cargo run --release -p storage-rocks --example million [DIRECTORY]`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures, and says what"
)]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use storage_api::{
    Count, Durability, ItemBatch, ItemStore, LeaseRequest, NewItem, PartitionConfig, PartitionId,
    PartitionStore, StorageBackend, Timestamp,
};
use storage_kv::taken_bytes;
use storage_rocks::{RocksBackend, RocksConfig};

const ITEMS: usize = 1_000_000;
const BATCH: usize = 1_000;
/// Of the queue through which another million flows.
const DEPTH: usize = 10_000;
const GIVEN_BACK_WAIT: Duration = Duration::from_secs(60);

type Anything = Box<dyn Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Anything> {
    let scratch = tempfile::tempdir()?;
    let directory = match std::env::args_os().nth(1) {
        Some(directory) => directory.into(),
        None => scratch.path().join("data"),
    };
    let config = RocksConfig::new(&directory).durability(Durability::None);
    let home = PartitionId::new("home", 0)?;
    let backend = RocksBackend::open(config.clone()).await?;
    backend
        .create_partition(&home, PartitionConfig::default())
        .await?;
    tell("empty", &directory)?;

    let begun = now();
    for _ in 0..ITEMS / BATCH {
        let mut batch = ItemBatch::new();
        for _ in 0..BATCH {
            batch.push(NewItem::new(&[7; 100]))?;
        }
        backend.produce(&home, batch.seal(at(0))).await?;
    }
    rate("produced", begun);
    tell("full", &directory)?;
    let begun = Instant::now();
    backend.close().await?;
    println!("closed a full place in {:?}", begun.elapsed());
    let begun = Instant::now();
    let backend = RocksBackend::open(config.clone()).await?;
    println!("opened a full place in {:?}", begun.elapsed());

    let begun = now();
    let mut receipts = Vec::new();
    for _ in 0..ITEMS / BATCH {
        let request = LeaseRequest::new(at(1), at(1_000_000), Count::new(BATCH)?);
        receipts.push(backend.lease(&home, request).await?.receipts());
    }
    rate("leased", begun);
    let begun = now();
    for receipts in receipts {
        backend.complete(&home, receipts).await?;
    }
    rate("completed", begun);
    tell("drained", &directory)?;

    let mut one = ItemBatch::new();
    one.push(NewItem::new("one"))?;
    backend.produce(&home, one.seal(at(2))).await?;
    let begun = Instant::now();
    let request = LeaseRequest::new(at(1), at(1_000_000), Count::ONE);
    let leased = backend.lease(&home, request).await?;
    println!("first lease behind them in {:?}", begun.elapsed());
    backend.complete(&home, leased.receipts()).await?;

    let begun = now();
    for done in 0..(ITEMS + DEPTH) / BATCH {
        let mut items = ItemBatch::new();
        for _ in 0..BATCH {
            items.push(NewItem::new(&[7; 100]))?;
        }
        backend.produce(&home, items.seal(at(0))).await?;
        if done * BATCH >= DEPTH {
            let request = LeaseRequest::new(at(1), at(1_000_000), Count::new(BATCH)?);
            let receipts = backend.lease(&home, request).await?.receipts();
            backend.complete(&home, receipts).await?;
        }
    }
    rate("put through a queue", begun);
    let peak = disk_bytes(&directory)?;
    let begun = Instant::now();
    while disk_bytes(&directory)? > peak / 10 && begun.elapsed() < GIVEN_BACK_WAIT {
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("below a tenth of the disk after {:?}", begun.elapsed());
    tell("given back", &directory)?;
    backend.close().await?;
    let begun = Instant::now();
    let backend = RocksBackend::open(config).await?;
    println!("opened an empty place in {:?}", begun.elapsed());
    backend.close().await?;
    Ok(())
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// The processor's time is told too, as a machine is seldom idle; it includes that of RocksDB's own threads.
fn rate(what: &str, begun: (Instant, f64)) {
    let seconds = begun.0.elapsed().as_secs_f64();
    println!(
        "{what} {ITEMS} items in batches of {BATCH}: {:.0} items/s, {:.2} µs of processor each",
        ITEMS as f64 / seconds,
        (cpu_seconds() - begun.1) * 1e6 / ITEMS as f64
    );
}

fn now() -> (Instant, f64) {
    (Instant::now(), cpu_seconds())
}

fn cpu_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS_PER_SECOND
}

fn tell(when: &str, directory: &Path) -> Result<(), Anything> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.map_or("?", str::trim);
    println!(
        "{when}: {} bytes on disk, {resident} resident",
        disk_bytes(directory)?
    );
    Ok(())
}

fn disk_bytes(directory: &Path) -> Result<u64, Anything> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // A file may be gone by now.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        bytes += match metadata.is_dir() {
            true => disk_bytes(&entry.path())?,
            false => taken_bytes(&metadata),
        };
    }
    Ok(bytes)
}
