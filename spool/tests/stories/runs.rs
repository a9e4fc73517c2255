//! spool on the memory driver, run to its end or begun.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Child, Command, Stdio};

use crate::scene::{Ran, Scene};

/// The queue `jobs`, whose failed items come back at once, on the memory driver.
const CONFIG: &str = "\
queue-storage: { driver: memory }
partition-storage: [{ name: memory-01, driver: memory }]
queues:
  - name: jobs
    partitions: 2
    attempts-max: 3
    backoff: { initial: 1ms, factor: 1, max: 1ms }
";

impl Scene {
    pub(crate) fn new() -> Self {
        Self::of(CONFIG)
    }

    /// `spool` with those arguments, in the directory.
    pub(crate) fn spool<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut spool = Command::new(env!("CARGO_BIN_EXE_spool"));
        spool.args(args);
        self.here(spool)
    }

    /// `spool run` on the queue `jobs` with the input `input` and what else is said.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_on("input", args)
    }

    pub(crate) fn run_on(&self, input: &str, args: &[&str]) -> Ran {
        Ran::of(&mut self.spool(&run_args(input, args)))
    }

    /// The same with lines on standard input.
    pub(crate) fn run_with_stdin(&self, lines: &[u8], args: &[&str]) -> Ran {
        let mut child = self.start("-", args, Stdio::piped());
        child.stdin.take().unwrap().write_all(lines).unwrap();
        Ran::waited(child)
    }

    /// Starts the same and does not wait.
    pub(crate) fn start(&self, input: &str, args: &[&str], stdin: Stdio) -> Child {
        self.spool(&run_args(input, args))
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

fn run_args(input: &str, args: &[&str]) -> Vec<String> {
    let fixed = [
        "run",
        "--config",
        "queue.yaml",
        "--queue",
        "jobs",
        "--input",
        input,
    ];
    fixed.iter().chain(args).map(ToString::to_string).collect()
}

impl Ran {
    pub(crate) fn waited(child: Child) -> Self {
        Self::from(child.wait_with_output().unwrap())
    }

    /// The lines of standard output, without the report, in order.
    pub(crate) fn sorted_lines(&self) -> Vec<&str> {
        let mut lines: Vec<_> = self.out.lines().collect();
        lines.pop();
        lines.sort_unstable();
        lines
    }
}

/// With as many threads, and as much address space for each, as on a machine of two processors: for what is run within a limit of
/// address space.
pub(crate) fn frugal(command: &mut Command) -> &mut Command {
    command
        .env("TOKIO_WORKER_THREADS", "2")
        .env("MALLOC_ARENA_MAX", "2")
}
