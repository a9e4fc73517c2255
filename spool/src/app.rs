//! From the command line to the exit code.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use storage_config::Registry;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::{inspect, run, verify};

/// Runs spool with the drivers of a registry.
pub fn main(registry: &Registry, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(help_or_error) => {
            // Where neither can be printed the exit code still tells.
            let _ = help_or_error.print();
            return ExitCode::from(u8::try_from(help_or_error.exit_code()).unwrap_or(2));
        }
    };
    match start(registry, cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            // Where standard error is closed the exit code still tells.
            let _ = writeln!(io::stderr(), "spool: error: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn start(registry: &Registry, cli: Cli) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(dispatch(registry, cli));
    // A write to a reader that has stopped reading is not waited for.
    runtime.shutdown_background();
    ended
}

async fn dispatch(registry: &Registry, cli: Cli) -> Result<u8, Failure> {
    match cli.command {
        None => run::demonstrate(registry).await,
        Some(Command::Run(args)) => run::run(registry, &args).await,
        Some(Command::Status { place, json }) => {
            inspect::status(registry, &place, json).await.map(|()| 0)
        }
        Some(Command::Dead(command)) => inspect::dead(registry, &command).await.map(|()| 0),
        Some(Command::Clear { place, dead }) => {
            inspect::clear(registry, &place, dead).await.map(|()| 0)
        }
        Some(Command::Verify { config, json }) => verify::verify(registry, &config, json).await,
    }
}
