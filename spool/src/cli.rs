//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use storage_api::QueueName;
use storage_queue::{TimeSpan, UnitError};

/// A durable xargs: feeds lines into a queue and runs a command for each.
///
/// Without a command it shows itself at work: the events of examples/webhooks.jsonl on the storages of
/// examples/memory.yaml.
#[derive(Debug, Parser)]
#[command(
    name = "spool",
    version,
    after_help = EXIT_CODES,
)]
pub struct Cli {
    /// What to do; nothing runs the example.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    the queue is drained, dead items included
  1    something went wrong on the way
  2    the command line or the configuration is wrong
  3    with --fail-on-dead: the queue is drained, and items are dead
  4    verify: what a storage holds contradicts itself, or is damaged
  130  interrupted by Ctrl-C: running work was finished, the rest released";

/// What spool can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Feed lines into a queue, and work until the queue is drained
    ///
    /// Every line of the input becomes an item, byte for byte and without its line end. Without --exec an item completes
    /// when it parses as JSON; one that does not is retried, and is dead when its attempts are used up.
    ///
    /// On a durable driver a run that was killed goes on where it was, with no line lost or produced twice, when it is
    /// started again with the same queue and the same, unchanged file; of a file that was finished nothing is left to do,
    /// unless --again is given. Standard input cannot be resumed. On the memory driver everything lives as long as the
    /// process.
    #[command(after_help = RUN_HELP)]
    Run(RunArgs),
    /// Show how many items of a queue are ready, scheduled, leased and dead
    ///
    /// Items of the memory driver live as long as the process that produced them: a new process finds none.
    Status {
        /// Which queue, where.
        #[command(flatten)]
        place: Place,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List or revive dead items
    #[command(subcommand)]
    Dead(DeadCommand),
    /// Delete the items of a queue, in every state, and where it stands in its inputs
    Clear {
        /// Which queue, where.
        #[command(flatten)]
        place: Place,
        /// Delete the dead items only
        #[arg(long)]
        dead: bool,
    },
    /// Check what the storages hold against itself: items, indexes, counters, checksums
    ///
    /// Every storage of the configuration is opened, which has to be there, and checked whole; nothing is repaired. Each
    /// finding is one line. No other process may have the storages open.
    ///
    /// The exit code is 0 where every storage that can be checked is sound, and 4 where something is found. Memory has no
    /// stored bytes that could be checked, and says so.
    Verify {
        /// The YAML file that names the storages
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// How many items are on their way unless the command line says so: far more than any worker leases at once, and few enough
/// that a file of any size goes through the memory of a small machine.
pub const DEPTH_MAX: u64 = 100_000;

const RUN_HELP: &str = "\
The command of --exec is run by «sh -c», once for each item, with:
  standard input    the line, ended by a newline
  SPOOL_ID          the item, unique within the queue: its partition and its number, such as 0-42
  SPOOL_ATTEMPT     how often the item was begun, this time included
  SPOOL_DEADLINE    when the command will be killed, in seconds since 1970

Exit code 0 completes the item. Anything else retries it after a while; when its attempts are used up it is dead, and the \
last line of the command's standard error is its note. Output passes through in whole lines.

A command runs in a process group of its own: Ctrl-C reaches spool alone, and the commands of a spool that was killed live on, \
with a line that may be cut off: a whole one ends with a newline.

After a kill, at whatever moment, the same command, started again, goes on where it was: every line is processed, none becomes \
two items, and none is processed twice but those whose commands were at work at the kill, at most as many as there are workers. \
Where the file was finished it says so and does nothing; a changed file is read from its beginning, and with --again the same one.

The report goes to standard output, with --exec to standard error, and with --json to standard output as one object.";

/// What can be done with dead items.
#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// List the dead items of a queue: id, attempts, reason, time of death, note, first bytes
    List {
        /// Which queue, where.
        #[command(flatten)]
        place: Place,
        /// Print one JSON object a line, payloads included.
        #[arg(long)]
        json: bool,
    },
    /// Make dead items ready again, with all their attempts before them
    Revive {
        /// Which queue, where.
        #[command(flatten)]
        place: Place,
        /// The items, as «dead list» shows them; none stands for all
        #[arg(value_name = "ID")]
        ids: Vec<ShownId>,
    },
}

/// A queue of a configuration.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// The YAML file that names the storages
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The name of the queue
    #[arg(long, value_name = "NAME", value_parser = queue_name)]
    pub queue: QueueName,
}

/// What `run` is told.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Which queue, where. A queue that does not exist is made.
    #[command(flatten)]
    pub place: Place,
    /// The file whose lines become items; - is standard input
    #[arg(long, value_name = "FILE")]
    pub input: OsString,
    /// The command that is run for each item
    #[arg(long, value_name = "COMMAND", value_parser = command)]
    pub exec: Option<String>,
    /// How many items are worked on at once [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub workers: Option<u16>,
    /// How long an item stays with a worker that says nothing; extended while it works
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = positive_duration)]
    pub lease: Duration,
    /// How long a command may take before it is killed and its item retried
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = positive_duration)]
    pub timeout: Duration,
    /// How often an item is begun before it is dead [default: what the queue says, else 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_attempts: Option<u32>,
    /// How many partitions a queue that does not exist gets [default: what the configuration says, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub partitions: Option<u32>,
    /// Reading waits while that many items, or 256 MiB of them, are not done; dead ones do not count
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEPTH_MAX,
        value_parser = clap::value_parser!(u64).range(1..),
    )]
    pub depth_max: u64,
    /// Read a file again that an earlier run has finished; one that was not finished is gone on with
    #[arg(long)]
    pub again: bool,
    /// Exit with 3 when items are dead
    #[arg(long)]
    pub fail_on_dead: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// An item as a person names it: its partition and its number within, `0-42`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownId {
    /// The number of the partition.
    pub partition: u32,
    /// The id within the partition.
    pub item: storage_api::ItemId,
}

impl std::fmt::Display for ShownId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.partition, self.item)
    }
}

impl std::str::FromStr for ShownId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "an id is a partition and a number, such as 0-42";
        let (partition, item) = text.split_once('-').ok_or(SHAPE)?;
        let item: u64 = item.parse().map_err(|_| SHAPE)?;
        Ok(Self {
            partition: partition.parse().map_err(|_| SHAPE)?,
            item: storage_api::ItemId::new(item).map_err(|_| SHAPE)?,
        })
    }
}

fn queue_name(text: &str) -> Result<QueueName, String> {
    QueueName::new(text).map_err(|error| error.reason().to_owned())
}

fn command(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() {
        return Err("the command is empty; leave --exec away to look at the lines only");
    }
    Ok(text.to_owned())
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    let span: TimeSpan = text.parse().map_err(|error: UnitError| error.to_string())?;
    match span.duration() {
        Duration::ZERO => Err("it must be longer than nothing".to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_id_reads_as_it_is_shown() {
        let id: ShownId = "3-42".parse().unwrap();

        assert_eq!(id.to_string(), "3-42");
        for wrong in ["", "42", "0-0", "-1-2", "0-x", "4294967296-1"] {
            assert!(wrong.parse::<ShownId>().is_err(), "{wrong}");
        }
    }
}
