//! What is measured, and how.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use storage_api::{
    ItemBatch, LeasedBatch, ManualClock, NewItem, Partition, PartitionConfig, Result, Retry,
    RetryTo,
};

use crate::baseline::{BareQueue, Baseline};
use crate::budget::Share;
use crate::drivers::Memory;
use crate::progress::Progress;
use crate::report::{Measured, Row};

const PAYLOAD: [u8; 100] = [b'x'; 100];
const BATCHES: [usize; 3] = [1, 100, 1000];
/// What fits the nearest cache, what fits the last one, and what fits neither.
const DEPTHS: [usize; 3] = [1000, 20_000, 1_000_000];
/// How many items are under way in a cell at most: few enough not to change what the depth is, enough that reading the
/// clock around them (20 ns) is nothing.
const UNDER_WAY_ITEMS: usize = 1000;
/// Longer than any run, so that no lease ends but by what is measured.
pub(crate) const LEASE_FOR: Duration = Duration::from_secs(86_400);

/// How long to measure.
#[derive(Debug)]
pub(crate) struct Plan {
    rounds: usize,
    /// How long one cell works in one round.
    cell: Duration,
    /// When no cell is begun any more.
    ends: Option<Instant>,
}

impl Plan {
    /// 36 cells in 5 rounds, and the baselines: with the filling about as long as it may take, and 20 seconds at least.
    pub(crate) fn quick(share: Share) -> Self {
        let time_min = Duration::from_secs(20);
        Self {
            rounds: 5,
            // Filling takes a part of each round, and the baselines as much as the cells.
            cell: (share.planned.saturating_sub(time_min) / 500).max(Duration::from_millis(10)),
            ends: Some(share.ends),
        }
    }

    /// 36 cells of half a second in 9 rounds, and the baselines: about six minutes.
    pub(crate) fn full() -> Self {
        Self {
            rounds: 9,
            cell: Duration::from_millis(500),
            ends: None,
        }
    }

    fn is_over(&self) -> bool {
        self.ends.is_some_and(|ends| Instant::now() >= ends)
    }
}

/// What a row is about. In the order in which the report lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    Produce,
    Lease,
    Complete,
    Retry,
    Maintain,
    FullCycle,
    Growing,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Lease => "lease",
            Self::Complete => "complete",
            Self::Retry => "retry",
            Self::Maintain => "maintain",
            Self::FullCycle => "full cycle",
            Self::Growing => "growing",
        }
    }
}

/// Items per second of each round, by verb, batch and depth.
type Rates = BTreeMap<(Verb, usize, usize), Vec<f64>>;

/// The same of each baseline, for the verbs that it has.
type BaselineRates = BTreeMap<(Baseline, Verb, usize, usize), Vec<f64>>;

/// How many items a growing cell adds to an empty storage, and in batches of how many.
const GROWING_ITEMS: usize = 1_000_000;
const GROWING_BATCH: usize = 1000;
const GROWING: (Verb, usize, usize) = (Verb::Growing, GROWING_BATCH, GROWING_ITEMS);

/// Measures everything on one driver. What there is no time for is left out and told.
pub(crate) async fn measure(driver: Memory, plan: &Plan, measured: &mut Measured) -> Result<()> {
    let progress = Progress::new();
    progress.stage("memory: filling", 0);
    let mut places = Vec::new();
    let mut bare = Vec::new();
    for depth in DEPTHS {
        if plan.is_over() {
            break;
        }
        places.push(Place::fill(driver, depth).await?);
        bare.extend(Baseline::ALL.map(|baseline| BarePlace::fill(baseline, depth)));
    }
    let mut rates = Rates::new();
    let mut baselines = BaselineRates::new();
    for round in 1..=plan.rounds {
        let what = format!("memory: round {round} of {}", plan.rounds);
        progress.stage(&what, places.len() * BATCHES.len());
        for place in &places {
            for batch in BATCHES {
                if plan.is_over() {
                    break;
                }
                place.measure(batch, plan.cell, &mut rates).await?;
                for bare in &mut bare {
                    if bare.depth == place.depth {
                        let rate = bare.measure_cycle(batch, plan.cell / 3);
                        let key = (bare.baseline, Verb::FullCycle, batch, bare.depth);
                        baselines.entry(key).or_default().push(rate);
                    }
                }
                progress.step();
            }
        }
        if plan.is_over() {
            break;
        }
        rates
            .entry(GROWING)
            .or_default()
            .push(measure_growing(driver).await?);
        for baseline in Baseline::ALL {
            let rate = measure_bare_growing(baseline);
            let key = (baseline, GROWING.0, GROWING.1, GROWING.2);
            baselines.entry(key).or_default().push(rate);
        }
    }
    progress.clear();

    let descriptor = driver.open().descriptor();
    let cells = DEPTHS
        .into_iter()
        .flat_map(|depth| BATCHES.map(|batch| (Verb::FullCycle, batch, depth)));
    for cell in cells.chain([GROWING]) {
        if !rates.contains_key(&cell) {
            let (verb, batch, depth) = cell;
            let verbs = match verb {
                Verb::Growing => "growing",
                _ => "every verb",
            };
            let what = format!("{depth} deep, {verbs} in batches of {batch}");
            measured.leave_out(&descriptor.driver, &what);
        }
    }
    let row = |((verb, batch, depth), rates): ((Verb, usize, usize), Vec<f64>)| Row {
        driver: descriptor.driver.to_string(),
        durability: descriptor.durability.to_string(),
        operation: verb.name(),
        batch,
        payload_bytes: PAYLOAD.len(),
        depth,
        producers: 1,
        items_per_second: Some(median(rates)),
        bytes_per_item: places
            .iter()
            .find(|place| place.depth == depth && verb == Verb::Produce)
            .and_then(|place| place.bytes_per_item),
        ..Row::default()
    };
    let baselines: BTreeMap<_, f64> = baselines
        .into_iter()
        .map(|(key, rates)| (key, median(rates)))
        .collect();
    measured
        .rows
        .extend(rates.into_iter().flat_map(|(key, rates)| {
            let (verb, batch, depth) = key;
            let plain = row((key, rates));
            let compared = Baseline::ALL.map(|baseline| {
                let rate = *baselines.get(&(baseline, verb, batch, depth))?;
                Some(Row {
                    baseline: Some(baseline.name().to_owned()),
                    baseline_items_per_second: Some(rate),
                    ratio: plain.items_per_second.map(|plain| plain / rate),
                    ..plain.clone()
                })
            });
            let compared: Vec<Row> = compared.into_iter().flatten().collect();
            if compared.is_empty() {
                return vec![plain];
            }
            compared
        }));
    Ok(())
}

/// Adds a million items to an empty storage.
async fn measure_growing(driver: Memory) -> Result<f64> {
    let storage = driver.open();
    let partition = storage
        .create_partition(("bench", 0), PartitionConfig::default())
        .await?;
    let started = Instant::now();
    for _ in 0..GROWING_ITEMS / GROWING_BATCH {
        partition
            .produce_batch(new_batch(&PAYLOAD, GROWING_BATCH)?)
            .await?;
    }
    Ok(rate(GROWING_ITEMS, started.elapsed()))
}

fn measure_bare_growing(baseline: Baseline) -> f64 {
    let mut queue = baseline.open(GROWING_ITEMS, &PAYLOAD);
    let started = Instant::now();
    for _ in 0..GROWING_ITEMS / GROWING_BATCH {
        queue.produce(&PAYLOAD, GROWING_BATCH);
    }
    rate(GROWING_ITEMS, started.elapsed())
}

/// A baseline that holds a depth of items.
struct BarePlace {
    baseline: Baseline,
    depth: usize,
    queue: Box<dyn BareQueue>,
}

impl BarePlace {
    fn fill(baseline: Baseline, depth: usize) -> Self {
        let mut queue = baseline.open(depth, &PAYLOAD);
        queue.produce(&PAYLOAD, depth);
        Self {
            baseline,
            depth,
            queue,
        }
    }

    fn measure_cycle(&mut self, batch: usize, cell: Duration) -> f64 {
        let started = Instant::now();
        let mut items = 0;
        while started.elapsed() < cell {
            for _ in 0..UNDER_WAY_ITEMS / batch {
                self.queue.produce(&PAYLOAD, batch);
                std::hint::black_box(self.queue.lease(batch));
                self.queue.complete();
                items += batch;
            }
        }
        rate(items, started.elapsed())
    }
}

/// A partition that holds a depth of ready items.
struct Place {
    depth: usize,
    partition: Partition,
    /// The same partition seen with a clock that is set by hand, so that leases can be made late.
    late: Partition,
    clock: ManualClock,
    /// What an item took of resident memory while the partition was filled, payload included.
    bytes_per_item: Option<f64>,
}

impl Place {
    async fn fill(driver: Memory, depth: usize) -> Result<Self> {
        let storage = driver.open();
        let clock = ManualClock::new(storage.now());
        let partition = storage
            .create_partition(("bench", 0), PartitionConfig::default())
            .await?;
        let late = storage.with_clock(clock.clone()).partition(("bench", 0))?;

        let before = resident_bytes();
        for _ in 0..depth / 1000 {
            partition.produce_batch(new_batch(&PAYLOAD, 1000)?).await?;
        }
        // Pages are counted in thousands of items: a small depth says nothing about one.
        let bytes_per_item = match (before, resident_bytes()) {
            (Some(before), Some(after)) if depth >= 100_000 => {
                Some(after.saturating_sub(before) as f64 / depth as f64)
            }
            _ => None,
        };
        Ok(Self {
            depth,
            partition,
            late,
            clock,
            bytes_per_item,
        })
    }

    /// Works a while on every verb with batches of that size.
    async fn measure(&self, batch: usize, cell: Duration, rates: &mut Rates) -> Result<()> {
        let mut add = |verb, rate| {
            rates
                .entry((verb, batch, self.depth))
                .or_default()
                .push(rate);
        };
        let [produce, lease, complete] = self.measure_apart(batch, cell).await?;
        add(Verb::Produce, produce);
        add(Verb::Lease, lease);
        add(Verb::Complete, complete);
        add(Verb::Retry, self.measure_retry(batch, cell).await?);
        add(Verb::Maintain, self.measure_maintain(batch, cell).await?);
        add(Verb::FullCycle, self.measure_cycle(batch, cell).await?);
        Ok(())
    }

    /// Produces, leases and completes some batches each, and times the three apart.
    async fn measure_apart(&self, batch: usize, cell: Duration) -> Result<[f64; 3]> {
        let started = Instant::now();
        let mut items = 0;
        let mut times = [Duration::ZERO; 3];
        while started.elapsed() < cell {
            let calls = UNDER_WAY_ITEMS / batch;
            let start = Instant::now();
            for _ in 0..calls {
                self.partition
                    .produce_batch(new_batch(&PAYLOAD, batch)?)
                    .await?;
            }
            times[0] += start.elapsed();

            let mut leased = Vec::with_capacity(calls);
            let start = Instant::now();
            for _ in 0..calls {
                leased.push(self.partition.lease(batch, LEASE_FOR).await?);
            }
            times[1] += start.elapsed();

            let start = Instant::now();
            for batch in &leased {
                self.partition.complete(batch.receipts()).await?;
            }
            times[2] += start.elapsed();
            items += calls * batch;
        }
        Ok(times.map(|time| rate(items, time)))
    }

    /// Retries what it has leased, to the tail.
    async fn measure_retry(&self, batch: usize, cell: Duration) -> Result<f64> {
        let retries = |leased: &LeasedBatch| -> Vec<Retry> {
            let receipts = leased.iter().map(|item| item.receipt());
            receipts
                .map(|receipt| Retry::new(receipt, RetryTo::Now))
                .collect()
        };
        let started = Instant::now();
        let (mut items, mut time) = (0, Duration::ZERO);
        while started.elapsed() < cell {
            let mut calls = Vec::new();
            for _ in 0..UNDER_WAY_ITEMS / batch {
                calls.push(retries(&self.partition.lease(batch, LEASE_FOR).await?));
            }
            let start = Instant::now();
            for retries in calls {
                items += self.partition.retry(retries).await?.len();
            }
            time += start.elapsed();
        }
        Ok(rate(items, time))
    }

    /// Takes back what was leased and is late.
    async fn measure_maintain(&self, batch: usize, cell: Duration) -> Result<f64> {
        let started = Instant::now();
        let (mut items, mut time) = (0, Duration::ZERO);
        while started.elapsed() < cell {
            for _ in 0..UNDER_WAY_ITEMS / batch {
                self.late.lease(batch, Duration::from_secs(1)).await?;
                self.clock.advance(Duration::from_secs(2));
                let start = Instant::now();
                items += self.late.maintain().await?.handled();
                time += start.elapsed();
            }
        }
        Ok(rate(items, time))
    }

    /// Produces, leases and completes one batch after the other.
    async fn measure_cycle(&self, batch: usize, cell: Duration) -> Result<f64> {
        let started = Instant::now();
        let mut items = 0;
        while started.elapsed() < cell {
            for _ in 0..UNDER_WAY_ITEMS / batch {
                self.partition
                    .produce_batch(new_batch(&PAYLOAD, batch)?)
                    .await?;
                let leased = self.partition.lease(batch, LEASE_FOR).await?;
                items += self.partition.complete(leased.receipts()).await?.len();
            }
        }
        Ok(rate(items, started.elapsed()))
    }
}

/// Building the batch is part of producing: users do it too.
pub(crate) fn new_batch(payload: &[u8], items: usize) -> Result<ItemBatch> {
    let mut batch = ItemBatch::new();
    for _ in 0..items {
        batch.push(NewItem::new(payload))?;
    }
    Ok(batch)
}

pub(crate) fn rate(items: usize, time: Duration) -> f64 {
    items as f64 / time.as_secs_f64()
}

pub(crate) fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// The resident memory of this process, where the system tells it.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
