//! What the memory engine promises beyond rates: latencies, what the handle adds, threads, timers, pauses, starting and
//! dropping, and great depth.

use std::hint::black_box;
use std::io::{Result as IoResult, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use storage_api::{
    Count, ItemBatch, ItemStore, LeaseRequest, NewItem, Partition, PartitionConfig, PartitionId,
    PartitionStore, Receipts, Result, Storage, Timestamp,
};
use storage_memory::MemoryBackend;

const PAYLOAD: [u8; 100] = [b'x'; 100];
const LEASE_FOR: Duration = Duration::from_secs(86_400);
const SINGLE_CALLS: usize = 50_000;
const TIMERS: usize = 1_000_000;
const DEEP_ITEMS: usize = 10_000_000;
const ROUNDS: usize = 5;
const INSTANCES: usize = 1000;
const SCATTERED_ITEMS: usize = 1_000_000;
const CELL: Duration = Duration::from_millis(150);

/// One line of the report.
#[derive(Debug)]
pub(crate) struct Finding {
    what: String,
    figure: String,
}

pub(crate) fn write(findings: &[Finding], out: &mut impl Write) -> IoResult<()> {
    for Finding { what, figure } in findings {
        writeln!(out, "{what:<58} {figure}")?;
    }
    Ok(())
}

/// Measures everything; the deep queue takes 1.6 GB.
pub(crate) async fn measure(is_quick: bool) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut add = |what: &str, figure: String| {
        findings.push(Finding {
            what: what.to_owned(),
            figure,
        });
    };

    let [produce, lease, complete] = single_calls().await?;
    for (name, p50) in [
        ("produce", produce),
        ("lease", lease),
        ("complete", complete),
    ] {
        add(
            &format!("p50 of one {name} of one item, through the handle"),
            format!("{p50} ns"),
        );
    }
    let (with, without) = handle_and_engine().await?;
    add(
        "a cycle of single calls, through the handle and without",
        format!(
            "{with:.0} and {without:.0} ns; {:.0} ns a call",
            (with - without) / 3.0
        ),
    );
    // Each thread has a runtime of its own, and none runs within another.
    let threads = std::thread::spawn(two_threads).join();
    let threads = threads.expect("the measuring thread does not panic");
    add(
        "two threads on two partitions, of one thread on one",
        format!("{:.2}", threads?),
    );
    let (median, worst) = due_timers().await?;
    add(
        "maintain of 1000 due leases among a million, median, worst",
        format!("{:.2} and {:.2} ms", median * 1e3, worst * 1e3),
    );
    let (start, end) = starting().await?;
    add(
        "opening with a partition and an item, and dropping that",
        format!("{:.1} and {:.1} us", start * 1e6, end * 1e6),
    );
    let pauses = pauses().await?;
    add(
        "complete of one of a million in no order, p50, p99.9, worst",
        format!(
            "{:.1} us, {:.1} us, {:.2} ms; {:.2} bytes moved a byte",
            pauses.median * 1e6,
            pauses.rare * 1e6,
            pauses.worst * 1e3,
            pauses.moved
        ),
    );
    add(
        "deleting a partition of a million items",
        format!("{:.2} ms", deleting().await? * 1e3),
    );
    if !is_quick {
        add(
            "full cycle, batch 1000, ten million deep, of a thousand deep",
            format!("{:.2}", deep().await?),
        );
    }
    Ok(findings)
}

async fn open(depth: usize) -> Result<Partition> {
    let storage = Storage::new(MemoryBackend::new());
    let partition = storage
        .create_partition(("bench", 0), PartitionConfig::default())
        .await?;
    for _ in 0..depth / 1000 {
        partition.produce_batch(batch(1000)?).await?;
    }
    Ok(partition)
}

fn batch(items: usize) -> Result<ItemBatch> {
    let mut batch = ItemBatch::new();
    for _ in 0..items {
        batch.push(NewItem::new(&PAYLOAD))?;
    }
    Ok(batch)
}

/// The median time of each call, reading the clock included.
async fn single_calls() -> Result<[u128; 3]> {
    let partition = open(1000).await?;
    let mut times: [Vec<u128>; 3] = Default::default();
    for _ in 0..SINGLE_CALLS {
        let batch = batch(1)?;
        let start = Instant::now();
        black_box(partition.produce_batch(batch).await?);
        let produced = Instant::now();
        let leased = partition.lease(1, LEASE_FOR).await?;
        let leased_at = Instant::now();
        let receipts = leased.receipts();
        let before = Instant::now();
        black_box(partition.complete(receipts).await?);
        let completed = Instant::now();
        times[0].push((produced - start).as_nanos());
        times[1].push((leased_at - produced).as_nanos());
        times[2].push((completed - before).as_nanos());
    }
    Ok(times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    }))
}

/// Nanoseconds of a cycle of three single calls, through the handle and on the engine itself.
async fn handle_and_engine() -> Result<(f64, f64)> {
    let partition = open(1000).await?;
    let backend = MemoryBackend::new();
    let home = PartitionId::new("bench", 0)?;
    backend
        .create_partition(&home, PartitionConfig::default())
        .await?;
    let now = Timestamp::EPOCH;
    backend.produce(&home, batch(1000)?.seal(now)).await?;
    let request = LeaseRequest::new(now, now.saturating_add(LEASE_FOR), Count::ONE);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..SINGLE_CALLS {
            partition.produce_batch(batch(1)?).await?;
            let leased = partition.lease(1, LEASE_FOR).await?;
            partition.complete(leased.receipts()).await?;
        }
        with.push(start.elapsed().as_nanos() as f64 / SINGLE_CALLS as f64);
        let start = Instant::now();
        for _ in 0..SINGLE_CALLS {
            backend.produce(&home, batch(1)?.seal(now)).await?;
            let leased = backend.lease(&home, request).await?;
            backend.complete(&home, leased.receipts()).await?;
        }
        without.push(start.elapsed().as_nanos() as f64 / SINGLE_CALLS as f64);
    }
    Ok((median(with), median(without)))
}

/// Items a second of two threads on two partitions of a backend, of those of one thread on one.
fn two_threads() -> Result<f64> {
    let storage = Storage::new(MemoryBackend::new());
    let runtime = || tokio::runtime::Builder::new_current_thread().build();
    let make = |number| {
        let runtime = runtime().expect("a runtime without drivers can be made");
        runtime.block_on(async {
            let partition = storage
                .create_partition(("bench", number), PartitionConfig::default())
                .await?;
            for _ in 0..20 {
                partition.produce_batch(batch(1000)?).await?;
            }
            Ok::<Partition, storage_api::Error>(partition)
        })
    };
    let partitions: [Arc<Partition>; 2] = [Arc::new(make(0)?), Arc::new(make(1)?)];
    let work = |partition: Arc<Partition>| {
        let runtime = runtime().expect("a runtime without drivers can be made");
        runtime.block_on(cycle(&partition))
    };
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let one = work(partitions[0].clone())?;
        let two = std::thread::scope(|scope| {
            let threads: Vec<_> = partitions
                .iter()
                .map(|partition| scope.spawn(|| work(partition.clone())))
                .collect();
            let mut sum = 0.0;
            for thread in threads {
                sum += thread.join().expect("a worker does not panic")?;
            }
            Ok::<f64, storage_api::Error>(sum)
        })?;
        ratios.push(two / one);
    }
    Ok(median(ratios))
}

/// Items a second of full cycles in batches of a thousand.
async fn cycle(partition: &Partition) -> Result<f64> {
    let start = Instant::now();
    let mut items = 0;
    while start.elapsed() < CELL {
        partition.produce_batch(batch(1000)?).await?;
        let leased = partition.lease(1000, LEASE_FOR).await?;
        items += partition.complete(leased.receipts()).await?.len();
    }
    Ok(items as f64 / start.elapsed().as_secs_f64())
}

/// Seconds that `maintain` takes for a thousand leases that are due, of a million that were taken one by one.
async fn due_timers() -> Result<(f64, f64)> {
    let backend = MemoryBackend::new();
    let home = PartitionId::new("bench", 0)?;
    backend
        .create_partition(&home, PartitionConfig::default())
        .await?;
    let now = Timestamp::EPOCH;
    for _ in 0..TIMERS / 1000 {
        backend.produce(&home, batch(1000)?.seal(now)).await?;
    }
    for second in 0..TIMERS {
        let deadline = now.saturating_add(Duration::from_secs(second as u64 + 1));
        let request = LeaseRequest::new(now, deadline, Count::ONE);
        backend.lease(&home, request).await?;
    }
    let mut times = Vec::new();
    for round in 1..=100 {
        let due = now.saturating_add(Duration::from_secs(round * 1000));
        let start = Instant::now();
        let maintained = backend.maintain(&home, due, Count::MAX).await?;
        times.push(start.elapsed().as_secs_f64());
        assert_eq!(maintained.ready, 1000, "a thousand leases were due");
    }
    let worst = times.iter().copied().fold(0.0, f64::max);
    Ok((median(times), worst))
}

/// Seconds that an instance takes to be opened, with a partition and an item in it, and to be dropped.
async fn starting() -> Result<(f64, f64)> {
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut instances = Vec::with_capacity(INSTANCES);
        for _ in 0..INSTANCES {
            let partition = open(0).await?;
            partition.produce_batch(batch(1)?).await?;
            instances.push(partition);
        }
        starts.push(start.elapsed().as_secs_f64() / INSTANCES as f64);
        let start = Instant::now();
        drop(instances);
        ends.push(start.elapsed().as_secs_f64() / INSTANCES as f64);
    }
    Ok((median(starts), median(ends)))
}

/// Seconds that single calls wait while segments are compacted under them.
struct Pauses {
    median: f64,
    /// One call of a thousand waits longer.
    rare: f64,
    worst: f64,
    /// Bytes moved for each byte of records.
    moved: f64,
}

async fn pauses() -> Result<Pauses> {
    let backend = MemoryBackend::new();
    let home = PartitionId::new("bench", 0)?;
    backend
        .create_partition(&home, PartitionConfig::default())
        .await?;
    let now = Timestamp::EPOCH;
    let (mut receipts, mut bytes) = (Vec::new(), 0);
    for _ in 0..SCATTERED_ITEMS / 1000 {
        let sealed = batch(1000)?.seal(now);
        bytes += sealed.buffer().len();
        backend.produce(&home, sealed).await?;
        let request = LeaseRequest::new(now, now.saturating_add(LEASE_FOR), Count::MAX);
        receipts.extend(backend.lease(&home, request).await?.receipts());
    }
    let mut times = Vec::with_capacity(SCATTERED_ITEMS);
    for index in 0..SCATTERED_ITEMS {
        // As scattered as drawn lots, each once, and the same in every run.
        let receipt = receipts[index * 7919 % SCATTERED_ITEMS];
        let start = Instant::now();
        backend.complete(&home, Receipts::one(receipt)).await?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(Pauses {
        median: times[SCATTERED_ITEMS / 2],
        rare: times[SCATTERED_ITEMS - SCATTERED_ITEMS / 1000],
        worst: times[SCATTERED_ITEMS - 1],
        moved: backend.report()?.moved_bytes as f64 / bytes as f64,
    })
}

/// Seconds until a partition of a million items has gone.
async fn deleting() -> Result<f64> {
    let partition = open(SCATTERED_ITEMS).await?;
    let start = Instant::now();
    partition
        .storage()
        .delete_partition(partition.id().clone())
        .await?;
    Ok(start.elapsed().as_secs_f64())
}

/// The rate at ten million items, of that at a thousand.
async fn deep() -> Result<f64> {
    let (shallow, deep) = (open(1000).await?, open(DEEP_ITEMS).await?);
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let at_shallow = cycle(&shallow).await?;
        ratios.push(cycle(&deep).await? / at_shallow);
    }
    Ok(median(ratios))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
