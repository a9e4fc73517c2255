//! A directory with a journal, an input and a queue, and spool run on them again and again.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const CONFIG: &str = "\
queue-storage:
  driver: journal
  config: { storage-dir: journal, durability: process-crash }
partition-storage:
  - name: journal-01
    driver: journal
    config: { storage-dir: journal, durability: process-crash }
queues:
  - name: jobs
    partitions: 2
    attempts-max: 2
    backoff: { initial: 1ms, factor: 1, max: 1ms }
";

pub(crate) struct Scene {
    dir: tempfile::TempDir,
}

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

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The input: so many lines, each different.
    pub(crate) fn write_lines(&self, count: usize) -> Vec<String> {
        let lines: Vec<_> = (1..=count).map(|number| format!("line-{number}")).collect();
        self.write("input", lines.join("\n") + "\n");
        lines
    }

    /// `spool` on the queue `jobs`.
    pub(crate) fn spool(&self, args: &[&str]) -> Ran {
        let output = self.command(args).output().unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// `spool run` of a command on every line of the input.
    pub(crate) fn run(&self, exec: &str, args: &[&str]) -> Ran {
        self.spool(&run_args(exec, args))
    }

    /// The same, begun: returns when the command has written its process id to the gate.
    pub(crate) fn begin(&self, exec: &str, args: &[&str], gate: &mut Gate) -> Begun {
        let mut command = self.command(&run_args(exec, args));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let waiting = gate.wait_for_line().trim().parse().unwrap();
        Begun {
            child,
            waiting: Pid::from_raw(waiting).unwrap(),
        }
    }

    pub(crate) fn gate(&self) -> Gate {
        let path = self.path("gate");
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        Gate(BufReader::new(file))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut arguments = String::new();
        for argument in args
            .iter()
            .chain(&["--config", "queue.yaml", "--queue", "jobs"])
        {
            arguments.push_str(argument);
            arguments.push(crate::SEPARATOR);
        }
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(crate::ARGUMENTS, arguments);
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }
}

fn run_args<'a>(exec: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["run", "--input", "input", "--json", "--exec", exec];
    [&fixed, args].concat()
}

/// A run whose command waits.
pub(crate) struct Begun {
    child: Child,
    waiting: Pid,
}

impl Begun {
    /// The end that nobody can prepare for.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // In a group of its own the command lives on.
        kill_process(self.waiting, Signal::KILL).unwrap();
    }

    /// Ctrl-C, while the command is told to go on.
    pub(crate) fn interrupt(mut self) -> Ran {
        let spool = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(spool, Signal::INT).unwrap();
        let mut err = BufReader::new(self.child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("Ctrl-C") {
            assert_ne!(err.read_line(&mut said).unwrap(), 0, "it ended: {said}");
        }
        kill_process(self.waiting, Signal::USR1).unwrap();
        std::io::Read::read_to_string(&mut err, &mut said).unwrap();
        let output = self.child.wait_with_output().unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: said,
        }
    }
}

/// Where commands and the test meet.
pub(crate) struct Gate(BufReader<File>);

impl Gate {
    fn wait_for_line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }
}

impl Ran {
    /// The numbers of the report: produced, completed, retried, dead.
    pub(crate) fn counts(&self) -> [u64; 4] {
        let last = self.out.lines().last().unwrap_or_default();
        let report: Value =
            serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        ["produced", "completed", "retried", "dead"].map(|name| report[name].as_u64().unwrap())
    }
}
