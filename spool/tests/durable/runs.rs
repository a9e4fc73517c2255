//! spool on a journal, run again and again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::gate::Gate;
use crate::scene::{Ran, Scene};

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

impl Scene {
    pub(crate) fn new() -> Self {
        Self::of(CONFIG)
    }

    /// The input: so many lines, each different.
    pub(crate) fn write_lines(&self, count: usize) -> Vec<String> {
        let lines: Vec<_> = (1..=count).map(|number| format!("line-{number}")).collect();
        self.write("input", lines.join("\n") + "\n");
        lines
    }

    /// `spool` on the queue `jobs`.
    pub(crate) fn spool(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
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
        Gate::open(self, "gate")
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
        self.here(command)
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
        let mut ran = Ran::from(self.child.wait_with_output().unwrap());
        ran.err = said;
        ran
    }
}
