//! Measures the storage drivers through the user's handle.
//!
//! Every figure is the median of several rounds, and each round visits every cell once, so that a slow moment of the
//! machine falls on all of them. A cell keeps its partition at a depth while it works: what is produced is leased and
//! completed again. Items per second at a thousand and at a million items deep stand side by side.

mod baseline;
mod disk;
mod drivers;
mod engine;
mod measure;
mod report;

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::builder::RangedU64ValueParser;

use drivers::{Driver, Medium};
use measure::Plan;

/// Measures produce, lease, complete, retry, maintain and the full cycle of storage drivers.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Fewer and shorter rounds: ends within two minutes
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

    /// Instead of the drivers, measures what the memory engine promises beyond rates
    #[arg(long)]
    engine: bool,

    /// Writes the rows to this file, as a JSON array
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How long all drivers together may take if it has to be quick.
const QUICK_MAX: Duration = Duration::from_secs(80);

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
    // Opened before anything is measured: a path that cannot be written is found at once.
    let json = match &arguments.json {
        Some(path) => Some(
            File::create(path)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?,
        ),
        None => None,
    };
    let drivers = arguments.drivers.len().max(1);
    let (plan, disk_plan) = if arguments.quick {
        let share = QUICK_MAX / u32::try_from(drivers)?;
        let disk_plan = disk::Plan::quick(&arguments.batches, share);
        (Plan::quick(share), disk_plan)
    } else {
        (Plan::full(), disk::Plan::full(&arguments.batches))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    if arguments.engine {
        let findings = runtime.block_on(engine::measure(arguments.quick))?;
        engine::write(&findings, &mut std::io::stdout().lock())?;
        return Ok(());
    }
    let mut rows = Vec::new();
    // Each table as soon as it is whole: what follows may take minutes.
    for driver in &arguments.drivers {
        rows.extend(match driver.medium() {
            Medium::Memory(memory) => {
                let rows = runtime.block_on(measure::measure(memory, &plan))?;
                report::write_table(&rows, &mut std::io::stdout().lock())?;
                rows
            }
            Medium::Disk(disk) => {
                let measured = runtime.block_on(disk::measure(disk, &disk_plan))?;
                report::write_disk_table(&measured.rows, &mut std::io::stdout().lock())?;
                for line in measured.lines {
                    writeln!(std::io::stdout(), "{line}")?;
                }
                measured.rows
            }
        });
    }
    if let Some(json) = json {
        serde_json::to_writer_pretty(json, &rows)?;
    }
    Ok(())
}
