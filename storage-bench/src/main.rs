//! Measures the storage drivers through the user's handle.
//!
//! Every figure is the median of several rounds, and each round visits every cell of a place once, so that a slow moment of
//! the machine falls on all of them. A cell keeps its partition at a depth while it works: what is produced is leased and
//! completed again.

mod baseline;
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

use child::Work;
use drivers::{DiskDriver, Driver, Medium};
use json::JsonFile;
use measure::Plan;
use report::Row;

/// Measures produce, lease, complete, retry, maintain and the full cycle of storage drivers.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Fewer and shorter rounds, and no great depth: ends within two minutes
    #[arg(long)]
    quick: bool,

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

/// How long all drivers together may take if it has to be quick: enough below two minutes that a busy machine does not pass
/// them.
const QUICK_MAX: Duration = Duration::from_secs(96);

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

/// Measures one driver after another, and shows and keeps the rows of each as soon as they are there.
fn measure_drivers(
    arguments: &Arguments,
    runtime: &Runtime,
    rows: &mut Vec<Row>,
) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let Arguments {
        batches, payloads, ..
    } = arguments;
    let (plan, disk_plan) = if arguments.quick {
        let drivers = u32::try_from(arguments.drivers.len().max(1))?;
        let share = QUICK_MAX / drivers;
        let disk_plan = disk::Plan::quick(batches, payloads, share);
        (Plan::quick(share), disk_plan)
    } else {
        (Plan::full(), disk::Plan::full(batches, payloads))
    };
    let slow_sync = arguments.slow_sync.map(Duration::from_millis);
    // Each table as soon as it is whole: what follows may take minutes.
    for driver in &arguments.drivers {
        let measure_disk = |driver: DiskDriver| match slow_sync {
            Some(wait) => disk::measure_slow(driver, &disk_plan, wait),
            None if arguments.memory => disk::measure_memory(driver, &disk_plan),
            None => runtime.block_on(disk::measure(driver, &disk_plan)),
        };
        rows.extend(match driver.medium() {
            Medium::Memory(_) if slow_sync.is_some() || arguments.memory => Vec::new(),
            Medium::Memory(memory) => {
                let rows = runtime.block_on(measure::measure(memory, &plan))?;
                report::write_table(&rows, &mut std::io::stdout().lock())?;
                rows
            }
            Medium::Disk(driver) => {
                let measured = measure_disk(driver)?;
                report::write_disk_table(&measured.rows, &mut std::io::stdout().lock())?;
                for line in measured.lines {
                    writeln!(std::io::stdout(), "{line}")?;
                }
                measured.rows
            }
        });
    }
    if arguments.quick && slow_sync.is_none() && !arguments.memory {
        let is_on_disk = |driver: &Driver| matches!(driver.medium(), Medium::Disk(_));
        let left_out = match arguments.drivers.iter().any(is_on_disk) {
            true => disk_plan.left_out(),
            false => String::new(),
        };
        let out = &mut std::io::stdout();
        writeln!(out, "quick: fewer and shorter rounds{left_out}")?;
    }
    let took = started.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "it took {took:.1} s")?;
    Ok(())
}
