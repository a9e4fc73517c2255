//! A directory with a configuration and inputs, and spool run on them.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

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

pub(crate) struct Scene {
    dir: tempfile::TempDir,
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let scene = Self { dir };
        scene.write("queue.yaml", CONFIG);
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// A fifo that the test holds open at both ends, so that nobody waits for the other side to open it.
    pub(crate) fn gate(&self, name: &str) -> Gate {
        let path = self.fifo(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        Gate {
            path,
            lines: BufReader::new(file),
        }
    }

    pub(crate) fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        path
    }

    /// `spool` with those arguments, in the directory.
    pub(crate) fn spool<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spool"));
        command.args(args).current_dir(self.dir.path());
        command.stdin(Stdio::null());
        command
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
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap())
    }

    pub(crate) fn waited(child: Child) -> Self {
        Self::from(child.wait_with_output().unwrap())
    }

    /// The report that `--json` prints as the last line.
    pub(crate) fn report(&self) -> Value {
        let last = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The numbers of the report: produced, completed, retried, dead.
    pub(crate) fn counts(&self) -> [u64; 4] {
        let report = self.report();
        ["produced", "completed", "retried", "dead"].map(|name| report[name].as_u64().unwrap())
    }

    /// The lines of standard output, without the report, in order.
    pub(crate) fn sorted_lines(&self) -> Vec<&str> {
        let mut lines: Vec<_> = self.out.lines().collect();
        lines.pop();
        lines.sort_unstable();
        lines
    }
}

impl From<std::process::Output> for Ran {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Where commands and the test meet. A command that reads from it waits until the test drops it.
pub(crate) struct Gate {
    pub(crate) path: PathBuf,
    lines: BufReader<File>,
}

impl Gate {
    /// Returns when a command has written a line.
    pub(crate) fn wait_for_line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn path(&self) -> std::path::Display<'_> {
        self.path.display()
    }
}
