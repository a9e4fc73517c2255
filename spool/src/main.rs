//! A durable xargs: feeds lines into a queue and runs a command for each.

use std::process::ExitCode;

use storage_config::Registry;

fn main() -> ExitCode {
    spool::app::main(&Registry::builtin(), std::env::args_os())
}
