//! Measures the storage drivers through the user's handle.
//!
//! Every figure is the median of several rounds, and each round visits every cell of a place once, so that a slow moment of
//! the machine falls on all of them. A cell keeps its partition at a depth while it works: what is produced is leased and
//! completed again.

mod baseline;
mod budget;
mod child;
mod disk;
mod drivers;
mod engine;
mod json;
mod measure;
mod progress;
mod report;
mod slow_sync;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use tokio::runtime::Runtime;

use budget::Budget;
use child::Work;
use drivers::{Driver, Medium};
use json::JsonFile;
use measure::Plan;
use report::{Measured, Row};

/// Measures produce, lease, complete, retry, maintain and the full cycle of storage drivers.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Fewer and shorter rounds, and no great depth: ends within two minutes, all drivers together. What there is no time for
    /// is left out, and said so
    #[arg(long)]
    quick: bool,

    /// When `--quick` ends, in place of two minutes
    #[arg(
        long,
        value_name = "SECONDS",
        requires = "quick",
        default_value_t = 120,
        value_parser = RangedU64ValueParser::<u64>::new().range(1..=3600)
    )]
    within: u64,

    /// The drivers to measure, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Driver::ALL.to_vec())]
    drivers: Vec<Driver>,

    /// The batches in which items go through drivers on disk
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1,100,1000",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000)
    )]
    batches: Vec<usize>,

    /// The bytes of a payload on drivers on disk
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = [disk::SMALL, disk::LARGE],
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1 << 20)
    )]
    payloads: Vec<usize>,

    /// How many items deep the deep place is with payloads of 4096 bytes and more; with smaller ones it is a million. 100000
    /// take up to 4.2 GB of disk
    #[arg(
        long,
        value_name = "ITEMS",
        conflicts_with = "quick",
        default_value_t = disk::DEEP_LARGE,
        value_parser = RangedU64ValueParser::<usize>::new().range(2000..=10_000_000)
    )]
    depth_large: usize,

    /// Measures many producers of single items alone, on drivers on disk, with every sync made slower by so much. Needs a C
    /// compiler
    #[arg(
        long,
        value_name = "MILLISECONDS",
        value_parser = RangedU64ValueParser::<u64>::new().range(1..=1000)
    )]
    slow_sync: Option<u64>,

    /// Measures resident memory by depth alone, of drivers on disk
    #[arg(long, conflicts_with = "slow_sync")]
    memory: bool,

    /// Instead of the drivers, measures what the memory engine promises beyond rates
    #[arg(long)]
    engine: bool,

    /// Writes the rows to this file, as a JSON array: whole at the end, or as far as it came
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// What this program tells itself to do in a process of its own
    #[arg(long, hide = true, value_name = "JSON")]
    work: Option<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even standard error is closed, the exit code says it.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    if let Some(work) = &arguments.work {
        let work: Work = serde_json::from_str(work)?;
        let answer = runtime.block_on(work.run())?;
        writeln!(std::io::stdout(), "{answer}")?;
        return Ok(());
    }
    if arguments.engine {
        let findings = runtime.block_on(engine::measure(arguments.quick))?;
        engine::write(&findings, &mut std::io::stdout().lock())?;
        return Ok(());
    }
    let json = arguments.json.as_deref().map(JsonFile::begin).transpose()?;
    let mut rows = Vec::new();
    let measured = measure_drivers(arguments, &runtime, &mut rows);
    match json {
        Some(json) => json.end(&rows, measured),
        None => measured,
    }
}

/// Measures one driver after another, and shows and keeps the rows of each as soon as they are there. What fails is told at the
/// end: the rest is measured all the same.
fn measure_drivers(
    arguments: &Arguments,
    runtime: &Runtime,
    rows: &mut Vec<Row>,
) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let Arguments {
        batches, payloads, ..
    } = arguments;
    let budget = Budget::new(started, Duration::from_secs(arguments.within));
    let slow_sync = arguments.slow_sync.map(Duration::from_millis);
    let is_all = slow_sync.is_none() && !arguments.memory;
    let mut failures = Vec::new();
    for (at, driver) in arguments.drivers.iter().enumerate() {
        let share = arguments
            .quick
            .then(|| budget.share(Instant::now(), arguments.drivers.len() - at));
        let mut measured = Measured::default();
        match driver.medium() {
            Medium::Memory(memory) if is_all => {
                let plan = share.map_or_else(Plan::full, Plan::quick);
                let came = runtime.block_on(measure::measure(memory, &plan, &mut measured));
                measured.keep("memory", "rates", came);
            }
            Medium::Memory(_) => {}
            Medium::Disk(driver) => {
                let plan = match share {
                    Some(share) => disk::Plan::quick(batches, payloads, share),
                    None => disk::Plan::full(batches, payloads, arguments.depth_large),
                };
                measured = match slow_sync {
                    Some(wait) => disk::measure_slow(driver, &plan, wait),
                    None if arguments.memory => disk::measure_memory(driver, &plan),
                    None => runtime.block_on(disk::measure(driver, &plan)),
                };
            }
        }
        rows.extend_from_slice(&measured.rows);
        failures.extend_from_slice(&measured.failures);
        // Each table as soon as it is whole: what follows may take minutes.
        measured.write(&mut std::io::stdout().lock())?;
    }
    if arguments.quick && is_all {
        let is_on_disk = |driver: &Driver| matches!(driver.medium(), Medium::Disk(_));
        let left_out = match arguments.drivers.iter().any(is_on_disk) {
            true => disk::Plan::left_out(),
            false => String::new(),
        };
        let out = &mut std::io::stdout();
        writeln!(out, "quick: fewer and shorter rounds{left_out}")?;
    }
    let took = started.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "it took {took:.1} s")?;
    match failures.is_empty() {
        true => Ok(()),
        false => Err(failures.join("; ").into()),
    }
}
