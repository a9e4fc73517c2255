//! Rates of the driver, of its own writes replayed into a fresh engine, and of a queue by hand, side by side.
//!
//! ```text
//!   plain driver       timed
//!   second driver      does the same behind a tap that keeps its writes, and is not timed
//!   twin engine        gets those writes straight, row by row, timed
//!   gathering engine   gets them as the driver's own does, which puts in or removes neighbours together, timed
//!   queue by hand      timed
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use storage_api::{Durability, LeasedBatch, Partition, PartitionConfig, Retry, RetryTo};
use storage_kv::OrderedKv;
use tempfile::TempDir;

use super::hand::HandQueue;
use super::tap::{Event, Log};
use super::{Failure, SHALLOW};
use crate::drivers::{DiskDriver, Opened, Setup};
use crate::measure::{LEASE_FOR, median, new_batch, rate};
use crate::report::Row;

/// Items are added in batches of up to this size until the depth is reached.
const FILL_BATCH: usize = 10_000;

/// The bytes of a batch are limited, too (clause LIMIT-1).
const BATCH_BYTES: usize = 32 << 20;

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
    const ALL: [Self; 5] = [
        Self::Produce,
        Self::Lease,
        Self::Complete,
        Self::Retry,
        Self::FullCycle,
    ];

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
    /// How many items go through a verb in a round at most: enough that a cell lasts some tens of milliseconds.
    pub(super) fn items_max(&self, batch: usize) -> usize {
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

/// What goes through in a round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) batch: usize,
    pub(super) items: usize,
    /// Its figures are not kept.
    pub(super) is_warming_up: bool,
}

/// The drivers, engines and queues of one setting, each in a directory of its own, all at the depth.
pub(crate) struct Place {
    setting: Setting,
    plain: Queue,
    recorded: Queue,
    twin: Box<dyn OrderedKv>,
    /// Where it does otherwise than the twin.
    gathering: Option<Box<dyn OrderedKv>>,
    hand: HandQueue,
    payload: Vec<u8>,
    is_filled: bool,
    /// When no verb is begun any more.
    ends: Option<Instant>,
    cells: BTreeMap<(usize, Verb), Cell>,
    /// Held as long as the engines in it.
    _directories: [TempDir; 3],
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

/// Processor time of this process in a moment in which nothing is going on.
const IDLE: Duration = Duration::from_millis(2);
const MOMENT: Duration = Duration::from_millis(20);
/// Nobody waits longer for nothing to go on.
const SETTLED_MAX: Duration = Duration::from_secs(3);

/// Waits until no engine works in the background: what one side left to be merged would be counted as the time of the next.
fn settle() {
    let started = Instant::now();
    while started.elapsed() < SETTLED_MAX {
        let before = cpu_time();
        std::thread::sleep(MOMENT);
        if cpu_time().saturating_sub(before) < IDLE {
            return;
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
    gathering: Rates,
    hand: Rates,
    items: u64,
    calls: u64,
    rows: u64,
    syncs: u64,
}

impl Place {
    /// All sides at the depth. When it ends is when no verb is begun any more.
    pub(crate) async fn fill(setting: Setting, ends: Option<Instant>) -> Result<Self, Failure> {
        let driver = setting.driver;
        let open_engine = |directory: &TempDir, is_row_by_row| {
            let setup = Setup {
                is_row_by_row,
                ..Setup::default()
            };
            driver.open_engine(directory.path(), setup)
        };
        let directories = [
            tempfile::tempdir()?,
            tempfile::tempdir()?,
            tempfile::tempdir()?,
        ];
        let twin = open_engine(&directories[0], true)?;
        let gathering = match driver.gathers_neighbours() {
            true => Some(open_engine(&directories[1], false)?),
            false => None,
        };
        // Straight into the engine, too, as one who writes a queue by hand does.
        let hand = open_engine(&directories[2], true)?;
        let payload = vec![b'x'; setting.payload_bytes];
        let plain = Queue::open(setting).await?;
        let recorded = Queue::open_recorded(setting).await?;
        let mut place = Self {
            setting,
            plain,
            recorded,
            twin,
            gathering,
            hand: HandQueue::new(hand),
            payload,
            is_filled: false,
            ends,
            cells: BTreeMap::new(),
            _directories: directories,
        };
        // As many as a batch may hold.
        let items = FILL_BATCH.min(BATCH_BYTES / setting.payload_bytes);
        let mut left = setting.depth;
        while left > 0 {
            let items = items.min(left);
            let batch = || new_batch(&place.payload, items);
            place.plain.partition.produce_batch(batch()?).await?;
            place.recorded.partition.produce_batch(batch()?).await?;
            place.hand.produce(&place.payload, items)?;
            place.replay()?;
            left -= items;
        }
        for queue in [&place.plain, &place.recorded] {
            queue.engine.sync()?;
        }
        place.replay()?;
        place.hand.sync()?;
        place
            .hand
            .set_durable(setting.durability != Durability::None);
        place.is_filled = true;
        Ok(place)
    }

    /// Does to the twin, and to the gathering engine, what the second driver has done since.
    fn replay(&self) -> Result<Replayed, Failure> {
        let events = self.recorded.log.take();
        let gathering = match &self.gathering {
            None => None,
            Some(engine) => {
                self.settle();
                Some(replay(events.clone(), &**engine)?)
            }
        };
        self.settle();
        let straight = replay(events, &*self.twin)?;
        Ok(Replayed {
            straight,
            gathering,
        })
    }

    /// Small stores have next to nothing to merge.
    fn settle(&self) {
        if self.is_filled && self.setting.depth > SHALLOW {
            settle();
        }
    }

    /// Lets some items go through every verb but retry.
    pub(super) async fn round(&mut self, load: Load) -> Result<(), Failure> {
        for verb in [Verb::Produce, Verb::Lease, Verb::Complete, Verb::FullCycle] {
            if self.is_over() {
                break;
            }
            self.measure(verb, load).await?;
        }
        Ok(())
    }

    /// Retries some items. After all rounds of the rest, as it leaves items behind that are no longer as they were produced.
    pub(super) async fn retry_round(&mut self, load: Load) -> Result<(), Failure> {
        if self.is_over() {
            return Ok(());
        }
        self.go(&[Verb::Produce, Verb::Lease], load).await?;
        self.measure(Verb::Retry, load).await?;
        self.go(&[Verb::Lease, Verb::Complete], load).await
    }

    fn is_over(&self) -> bool {
        self.ends.is_some_and(|ends| Instant::now() >= ends)
    }

    /// Lets some items go through verbs on all sides, untimed.
    async fn go(&mut self, verbs: &[Verb], load: Load) -> Result<(), Failure> {
        for verb in verbs {
            for queue in [&mut self.plain, &mut self.recorded] {
                queue.go(*verb, load).await?;
            }
            self.by_hand(*verb, load)?;
        }
        self.replay()?;
        Ok(())
    }

    async fn measure(&mut self, verb: Verb, load: Load) -> Result<(), Failure> {
        let Load { batch, items, .. } = load;
        let (rows, syncs) = (self.plain.log.rows(), self.plain.log.syncs());
        self.settle();
        let spent = self.plain.go(verb, load).await?;
        let rows = self.plain.log.rows() - rows;
        let syncs = self.plain.log.syncs() - syncs;
        self.recorded.go(verb, load).await?;
        let replayed = self.replay()?;
        self.settle();
        let by_hand = self.by_hand(verb, load)?;
        if load.is_warming_up {
            return Ok(());
        }

        let cell = self.cells.entry((batch, verb)).or_default();
        cell.driver.add(items, spent);
        cell.replay.add(items, replayed.straight);
        if let Some(gathering) = replayed.gathering {
            cell.gathering.add(items, gathering);
        }
        cell.hand.add(items, by_hand);
        cell.items += items as u64;
        let calls = (items / batch) as u64;
        cell.calls += calls * if verb == Verb::FullCycle { 3 } else { 1 };
        cell.rows += rows;
        cell.syncs += syncs;
        Ok(())
    }

    fn by_hand(&mut self, verb: Verb, load: Load) -> Result<Spent, Failure> {
        let Load { batch, items, .. } = load;
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
                Verb::Retry => hand.retry()?,
            }
        }
        if self.setting.durability == Durability::None {
            hand.sync()?;
        }
        Ok(start.spent())
    }

    pub(super) fn setting(&self) -> Setting {
        self.setting
    }

    /// What was not measured once: a verb, and the batches.
    pub(super) fn missing(&self, batches: &[usize]) -> Vec<String> {
        let missing = Verb::ALL.into_iter().filter_map(|verb| {
            let is_missing = |batch: &&usize| !self.cells.contains_key(&(**batch, verb));
            let batches: Vec<String> = batches
                .iter()
                .filter(is_missing)
                .map(usize::to_string)
                .collect();
            let verb = verb.name();
            (!batches.is_empty()).then(|| format!("{verb} in batches of {}", batches.join(", ")))
        });
        missing.collect()
    }

    /// The rows of the report.
    pub(crate) fn rows(self) -> Vec<Row> {
        let setting = self.setting;
        let mut rows = Vec::new();
        for ((batch, verb), cell) in self.cells {
            let Cell {
                driver,
                replay,
                gathering,
                hand,
                items,
                calls,
                rows: written,
                syncs,
            } = cell;
            let items_per_second = median(driver.wall);
            let cpu = median(driver.cpu);
            let waits = setting.durability != Durability::None;
            let gathered_ratio = match gathering.wall.is_empty() {
                true => None,
                false => Some(items_per_second / median(gathering.wall)),
            };
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
                    operations_per_sync: (waits && syncs > 0).then(|| calls as f64 / syncs as f64),
                    writes_per_item: Some(written as f64 / items as f64),
                    gathered_ratio,
                    cpu_ratio: Some(cpu / median(rates.cpu)),
                    cpu_per_item: Some(1e6 / cpu),
                    ..Row::default()
                });
            }
        }
        rows
    }
}

/// How long it took to do what was done.
struct Replayed {
    straight: Spent,
    gathering: Option<Spent>,
}

fn replay(events: Vec<Event>, engine: &dyn OrderedKv) -> Result<Spent, Failure> {
    let start = Start::now();
    for event in events {
        event.replay(engine)?;
    }
    Ok(start.spent())
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
            .open(directory.path(), &log, setting.durability, Setup::default())?;
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
    async fn go(&mut self, verb: Verb, load: Load) -> Result<Spent, Failure> {
        let Load { batch, items, .. } = load;
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
