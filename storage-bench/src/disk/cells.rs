//! Rates of the driver, of its own writes replayed into a fresh engine, and of a queue by hand, side by side.
//!
//! ```text
//!   plain driver    timed
//!   second driver   does the same behind a tap that keeps its writes, and is not timed
//!   twin engine     gets those writes straight, timed
//!   queue by hand   timed
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use storage_api::{Durability, LeasedBatch, Partition, PartitionConfig, Retry, RetryTo};
use storage_kv::OrderedKv;
use tempfile::TempDir;

use super::Failure;
use super::hand::HandQueue;
use super::tap::Log;
use crate::drivers::{DiskDriver, Opened};
use crate::measure::{LEASE_FOR, median, new_batch, rate};
use crate::report::Row;

/// Items are added in batches of this size until the depth is reached.
const FILL_BATCH: usize = 1000;

/// What is timed. In the order in which the report lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    Produce,
    Lease,
    Complete,
    Retry,
    FullCycle,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Lease => "lease",
            Self::Complete => "complete",
            Self::Retry => "retry",
            Self::FullCycle => "full cycle",
        }
    }
}

/// What stays the same in all cells of one place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) driver: DiskDriver,
    pub(crate) durability: Durability,
    pub(crate) payload_bytes: usize,
    pub(crate) depth: usize,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            durability,
            payload_bytes,
            depth,
            ..
        } = self;
        write!(f, "{durability}, {payload_bytes} B, {depth} deep")
    }
}

impl Setting {
    /// How many items go through a verb in a round: enough that a cell lasts some tens of milliseconds.
    fn items(&self, batch: usize) -> usize {
        let waits = self.durability != Durability::None;
        let items = match (batch, waits) {
            (1, true) => 100,
            (1, false) => 4000,
            (..1000, true) => 5000,
            (.., true) => 40_000,
            (.., false) => 50_000,
        };
        let items = match self.payload_bytes {
            ..1000 => items,
            _ => items / 10,
        };
        (items / batch).max(1) * batch
    }
}

/// The drivers, engines and queues of one setting, each in a directory of its own, all at the depth.
pub(crate) struct Place {
    setting: Setting,
    plain: Queue,
    recorded: Queue,
    twin: Box<dyn OrderedKv>,
    hand: HandQueue,
    payload: Vec<u8>,
    cells: BTreeMap<(usize, Verb), Cell>,
    /// Held as long as the engines in it.
    _directories: [TempDir; 2],
}

/// A moment, on the clock on the wall and on that of the process.
struct Start {
    wall: Instant,
    cpu: Duration,
}

/// How long something took, and how much of the processors by all threads together.
#[derive(Debug, Clone, Copy)]
struct Spent {
    wall: Duration,
    cpu: Duration,
}

impl Start {
    fn now() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu_time(),
        }
    }

    fn spent(&self) -> Spent {
        Spent {
            wall: self.wall.elapsed(),
            cpu: cpu_time().saturating_sub(self.cpu),
        }
    }
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Items per second of each round, by either clock.
#[derive(Debug, Default)]
struct Rates {
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

impl Rates {
    fn add(&mut self, items: usize, spent: Spent) {
        self.wall.push(rate(items, spent.wall));
        self.cpu.push(rate(items, spent.cpu));
    }
}

/// The figures of one verb.
#[derive(Debug, Default)]
struct Cell {
    driver: Rates,
    replay: Rates,
    hand: Rates,
    items: u64,
    calls: u64,
    rows: u64,
    syncs: u64,
}

impl Place {
    pub(crate) async fn fill(setting: Setting) -> Result<Self, Failure> {
        let open_engine = || -> Result<_, Failure> {
            let directory = tempfile::tempdir()?;
            let engine = setting.driver.open_engine(directory.path())?;
            Ok((directory, engine))
        };
        let (twin_directory, twin) = open_engine()?;
        let (hand_directory, hand) = open_engine()?;
        let payload = vec![b'x'; setting.payload_bytes];
        let plain = Queue::open(setting).await?;
        let recorded = Queue::open_recorded(setting).await?;
        let mut place = Self {
            setting,
            plain,
            recorded,
            twin,
            hand: HandQueue::new(hand),
            payload,
            cells: BTreeMap::new(),
            _directories: [twin_directory, hand_directory],
        };
        for _ in 0..setting.depth / FILL_BATCH {
            let batch = || new_batch(&place.payload, FILL_BATCH);
            place.plain.partition.produce_batch(batch()?).await?;
            place.recorded.partition.produce_batch(batch()?).await?;
            place.hand.produce(&place.payload, FILL_BATCH)?;
            place.replay()?;
        }
        for queue in [&place.plain, &place.recorded] {
            queue.engine.sync()?;
        }
        place.replay()?;
        place.hand.sync()?;
        place
            .hand
            .set_durable(setting.durability != Durability::None);
        Ok(place)
    }

    pub(crate) fn setting(&self) -> &Setting {
        &self.setting
    }

    /// Does to the twin what the second driver has done since.
    fn replay(&self) -> Result<Spent, Failure> {
        let events = self.recorded.log.take();
        let start = Start::now();
        for event in events {
            event.replay(&*self.twin)?;
        }
        Ok(start.spent())
    }

    /// Lets some items go through every verb but retry.
    pub(crate) async fn round(&mut self, batch: usize) -> Result<(), Failure> {
        for verb in [Verb::Produce, Verb::Lease, Verb::Complete, Verb::FullCycle] {
            self.measure(verb, batch).await?;
        }
        Ok(())
    }

    /// Retries some items. After all rounds of the rest, as it leaves items behind that are no longer as they were produced.
    pub(crate) async fn retry_round(&mut self, batch: usize) -> Result<(), Failure> {
        let items = self.setting.items(batch);
        for queue in [&mut self.plain, &mut self.recorded] {
            queue.go(Verb::Produce, batch, items).await?;
            queue.go(Verb::Lease, batch, items).await?;
        }
        self.replay()?;
        self.measure(Verb::Retry, batch).await?;
        for queue in [&mut self.plain, &mut self.recorded] {
            queue.go(Verb::Lease, batch, items).await?;
            queue.go(Verb::Complete, batch, items).await?;
        }
        self.replay()?;
        Ok(())
    }

    async fn measure(&mut self, verb: Verb, batch: usize) -> Result<(), Failure> {
        let items = self.setting.items(batch);
        let (rows, syncs) = (self.plain.log.rows(), self.plain.log.syncs());
        let spent = self.plain.go(verb, batch, items).await?;
        let rows = self.plain.log.rows() - rows;
        let syncs = self.plain.log.syncs() - syncs;
        self.recorded.go(verb, batch, items).await?;
        let replayed = self.replay()?;
        let by_hand = self.by_hand(verb, batch, items)?;

        let cell = self.cells.entry((batch, verb)).or_default();
        cell.driver.add(items, spent);
        cell.replay.add(items, replayed);
        if let Some(by_hand) = by_hand {
            cell.hand.add(items, by_hand);
        }
        cell.items += items as u64;
        let calls = (items / batch) as u64;
        cell.calls += calls * if verb == Verb::FullCycle { 3 } else { 1 };
        cell.rows += rows;
        cell.syncs += syncs;
        Ok(())
    }

    fn by_hand(
        &mut self,
        verb: Verb,
        batch: usize,
        items: usize,
    ) -> Result<Option<Spent>, Failure> {
        let hand = &mut self.hand;
        let start = Start::now();
        for _ in 0..items / batch {
            match verb {
                Verb::Produce => hand.produce(&self.payload, batch)?,
                Verb::Lease => hand.lease(batch)?,
                Verb::Complete => hand.complete()?,
                Verb::FullCycle => {
                    hand.produce(&self.payload, batch)?;
                    hand.lease(batch)?;
                    hand.complete()?;
                }
                // The least has none.
                Verb::Retry => return Ok(None),
            }
        }
        if self.setting.durability == Durability::None {
            hand.sync()?;
        }
        Ok(Some(start.spent()))
    }

    /// The rows of the report.
    pub(crate) fn rows(self) -> Vec<Row> {
        let setting = self.setting;
        let mut rows = Vec::new();
        for ((batch, verb), cell) in self.cells {
            let Cell {
                driver,
                replay,
                hand,
                items,
                calls,
                rows: written,
                syncs,
            } = cell;
            let items_per_second = median(driver.wall);
            let cpu = median(driver.cpu);
            let waits = setting.durability != Durability::None;
            for (name, rates) in [("replay", replay), ("by-hand", hand)] {
                if rates.wall.is_empty() {
                    continue;
                }
                let baseline = median(rates.wall);
                rows.push(Row {
                    driver: setting.driver.name().to_owned(),
                    durability: setting.durability.to_string(),
                    operation: verb.name(),
                    batch,
                    payload_bytes: setting.payload_bytes,
                    depth: setting.depth,
                    producers: 1,
                    items_per_second: Some(items_per_second),
                    baseline: Some(name.to_owned()),
                    baseline_items_per_second: Some(baseline),
                    ratio: Some(items_per_second / baseline),
                    bytes_per_item: None,
                    operations_per_sync: (waits && syncs > 0).then(|| calls as f64 / syncs as f64),
                    writes_per_item: Some(written as f64 / items as f64),
                    cpu_ratio: Some(cpu / median(rates.cpu)),
                    cpu_per_item: Some(1e6 / cpu),
                });
            }
        }
        rows
    }
}

/// One storage with one partition.
struct Queue {
    partition: Partition,
    engine: Arc<dyn OrderedKv>,
    log: Log,
    /// What is leased at the moment.
    leased: Vec<LeasedBatch>,
    payload: Vec<u8>,
    waits: bool,
    /// Gone last.
    _directory: TempDir,
}

impl Queue {
    async fn open(setting: Setting) -> Result<Self, Failure> {
        Self::open_with(setting, Log::default()).await
    }

    /// As [`open`](Self::open); the log keeps what is written from the first row on.
    async fn open_recorded(setting: Setting) -> Result<Self, Failure> {
        let log = Log::default();
        log.keep();
        Self::open_with(setting, log).await
    }

    async fn open_with(setting: Setting, log: Log) -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let Opened {
            storage, engine, ..
        } = setting
            .driver
            .open(directory.path(), &log, setting.durability)?;
        let partition = storage
            .create_partition(("bench", 0), PartitionConfig::default())
            .await?;
        Ok(Self {
            engine,
            partition,
            log,
            leased: Vec::new(),
            payload: vec![b'x'; setting.payload_bytes],
            waits: setting.durability != Durability::None,
            _directory: directory,
        })
    }

    /// Lets items go through a verb and answers how long it took, the sync that makes it durable included.
    async fn go(&mut self, verb: Verb, batch: usize, items: usize) -> Result<Spent, Failure> {
        let calls = items / batch;
        let retries: Vec<Vec<Retry>> = match verb {
            Verb::Retry => self
                .leased
                .drain(..)
                .map(|leased| retries(&leased))
                .collect(),
            _ => Vec::new(),
        };
        let start = Start::now();
        match verb {
            Verb::Produce => {
                for _ in 0..calls {
                    self.produce(batch).await?;
                }
            }
            Verb::Lease => {
                for _ in 0..calls {
                    let leased = self.partition.lease(batch, LEASE_FOR).await?;
                    self.leased.push(leased);
                }
            }
            Verb::Complete => {
                for leased in std::mem::take(&mut self.leased) {
                    self.partition.complete(leased.receipts()).await?;
                }
            }
            Verb::Retry => {
                for retries in retries {
                    self.partition.retry(retries).await?;
                }
            }
            Verb::FullCycle => {
                for _ in 0..calls {
                    self.produce(batch).await?;
                    let leased = self.partition.lease(batch, LEASE_FOR).await?;
                    self.partition.complete(leased.receipts()).await?;
                }
            }
        }
        if !self.waits {
            self.engine.sync()?;
        }
        Ok(start.spent())
    }

    async fn produce(&self, batch: usize) -> Result<(), Failure> {
        let batch = new_batch(&self.payload, batch)?;
        self.partition.produce_batch(batch).await?;
        Ok(())
    }
}

fn retries(leased: &LeasedBatch) -> Vec<Retry> {
    let receipts = leased.iter().map(|item| item.receipt());
    receipts
        .map(|receipt| Retry::new(receipt, RetryTo::Now))
        .collect()
}
