//! spool killed in each of its phases, at moments from a seed, and started again, until every line is done.
//!
//! `SPOOL_TEST_SEED` repeats a choice of moments.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod layer;
mod log;
mod moment;
#[path = "../scene/mod.rs"]
mod scene;
mod story;

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

use layer::Since;
use log::{Gate, Log};
use moment::{Moment, Moments};
use scene::{Ran, Scene};
use story::Story;

/// Files, one after the other in one place: ten kills each.
const FILES: usize = 5;
/// Of files that are read bit by bit: how many lines may be on their way.
const DEPTH: u64 = 10;
/// More than is begun before the last lines are to be held, and the depth.
const LINES: u64 = 80;

#[test]
fn one_worker_on_redb_repeats_only_the_line_that_it_was_at() {
    killed_again_and_again("redb", include_str!("../../../examples/disk.yaml"), 1);
}

#[test]
fn four_workers_on_redb_repeat_only_the_lines_that_they_were_at() {
    killed_again_and_again("redb", include_str!("../../../examples/disk.yaml"), 4);
}

#[cfg(feature = "rocks")]
#[test]
fn four_workers_on_rocks_repeat_only_the_lines_that_they_were_at() {
    killed_again_and_again("rocks", include_str!("../../../examples/rocks.yaml"), 4);
}

#[cfg(feature = "sled")]
#[test]
fn four_workers_on_sled_repeat_only_the_lines_that_they_were_at() {
    killed_again_and_again("sled", include_str!("../../../examples/sled.yaml"), 4);
}

fn killed_again_and_again(driver: &str, config: &str, workers: usize) {
    let mut killed = Killed::new(config, workers);
    let mut moments = Moments::seeded();
    for file in 0..FILES {
        killed.write_file(file);
        for moment in moments.of_a_file() {
            killed.round(moment);
        }
        killed.finished();
    }

    Story::of(&killed.log.notes).judge(&killed.all, workers, &killed.held);
    let scene = &killed.scene;
    let marker = scene.read("data/storage-place");
    assert!(marker.contains(&format!("driver {driver}\n")), "{marker}");
    let status = spool(scene, &["status", "--queue", "webhooks", "--json"]).report();
    for state in ["ready", "scheduled", "leased", "dead"] {
        assert_eq!(status[state], 0, "{status}");
    }
    let verified = spool(scene, &["verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

/// A place whose runs are killed.
struct Killed {
    scene: Scene,
    workers: usize,
    log: Log,
    /// What is left of a killed run waits here until it was let by.
    gates: Vec<Gate>,
    /// The lines of the file.
    lines: BTreeSet<String>,
    /// How many of them may be on their way, if not all.
    depth: Option<u64>,
    /// The lines of all files so far.
    all: BTreeSet<String>,
    /// The rounds that were killed while every worker was in the middle of a line.
    held: BTreeSet<usize>,
}

impl Killed {
    fn new(config: &str, workers: usize) -> Self {
        let scene = Scene::of(config);
        Self {
            workers,
            log: Log::open(&scene),
            gates: Vec::new(),
            lines: BTreeSet::new(),
            depth: None,
            all: BTreeSet::new(),
            held: BTreeSet::new(),
            scene,
        }
    }

    /// Writes the next file over the one before. Of the even ones some lines are not read until the last are held, the odd
    /// ones have been read as a whole when their first line begins.
    fn write_file(&mut self, number: usize) {
        // One line more each time: another file by its size alone, however coarse the times of files are.
        let lines = 1..=LINES + number as u64;
        let lines: Vec<_> = lines.map(|line| format!("line-{number}-{line}")).collect();
        self.scene.write("input", lines.join("\n") + "\n");
        self.lines = lines.into_iter().collect();
        self.all.extend(self.lines.iter().cloned());
        self.depth = number.is_multiple_of(2).then_some(DEPTH);
    }

    /// Starts a run, and kills it at the moment.
    fn round(&mut self, moment: Moment) {
        let round = self.gates.len();
        self.gates.push(Gate::open(&self.scene, round));
        let since = format!("since-{round}");
        let mut command = self.run(round);
        match moment {
            Moment::Opening { touch } => layer::kill_at(&mut command, touch, &Since::Start),
            Moment::Closing { touch } => layer::kill_at(&mut command, touch, &Since::Report),
            Moment::Busy { touch, .. } | Moment::Ending { touch } => {
                layer::kill_at(&mut command, touch, &Since::File(since.clone()));
            }
            Moment::Held { .. } | Moment::Last => {}
        }
        let mut child = command.spawn().unwrap();

        match moment {
            // It does not come so far.
            Moment::Opening { .. } => self.hold(&mut child, 0),
            Moment::Held { lines } => {
                self.hold(&mut child, lines);
                self.held.insert(round);
            }
            Moment::Busy { lines, more, .. } => {
                self.hold(&mut child, lines);
                self.scene.write(&since, "");
                self.hold(&mut child, more);
            }
            Moment::Last => {
                self.hold_the_last(&mut child);
                self.held.insert(round);
            }
            Moment::Ending { .. } => {
                self.hold_the_last(&mut child);
                self.scene.write(&since, "");
                self.gates[round].pass(2 * LINES);
            }
            Moment::Closing { .. } => self.gates[round].pass(2 * LINES),
        }
        // Of what has its end before it only those are left that were not killed, and fail below.
        if !matches!(moment, Moment::Ending { .. } | Moment::Closing { .. }) {
            child.kill().unwrap();
        }
        let ran = Ran::from(child.wait_with_output().unwrap());
        // What lives on of it.
        self.gates[round].pass(self.workers as u64);

        self.log.catch_up();
        let story = || format!("round {round}, {moment:?}: {ran:?}");
        if let (Moment::Closing { touch: touch @ 2.. }, Some(0)) = (moment, ran.code) {
            // It had ended before. The next run has nothing to do but to end, too.
            return self.round(Moment::Closing { touch: touch / 2 });
        }
        assert_eq!(ran.code, None, "it was not killed: {}", story());
        let has_reported = !ran.out.is_empty();
        match moment {
            Moment::Opening { .. } => assert_eq!(self.log.begun(round), 0, "{}", story()),
            Moment::Held { .. } | Moment::Busy { .. } => {
                let left = self.log.never_begun(&self.lines);
                assert!(left > DEPTH, "only {left} lines were to come: {}", story());
                assert!(!has_reported, "{}", story());
            }
            Moment::Last => assert!(!has_reported, "{}", story()),
            Moment::Ending { .. } => {}
            Moment::Closing { .. } => assert!(has_reported, "{}", story()),
        }
        self.judge_place(&ran);
    }

    /// Lets lines by, and returns when each worker is in the middle of the next one, or when the run has ended.
    fn hold(&mut self, child: &mut Child, lines: u64) {
        let round = self.gates.len() - 1;
        self.gates[round].pass(lines);
        let held = self.gates[round].passed() + self.workers as u64;
        self.log.wait(child, |log| log.begun(round) == held);
    }

    /// The same at the last lines: every line was begun.
    fn hold_the_last(&mut self, child: &mut Child) {
        self.hold(child, 0);
        loop {
            match self.log.never_begun(&self.lines) {
                0 => return,
                // As many begin as end, so that one is left, or this was the last.
                left => self.hold(child, left.max(2) - 1),
            }
        }
    }

    /// The file is done: the same command has nothing to do, and says so.
    fn finished(&mut self) {
        let round = self.gates.len();
        self.gates.push(Gate::open(&self.scene, round));
        // Whatever is begun all the same ends, and is told below.
        self.gates[round].pass(2 * LINES);
        let ran = Ran::of(&mut self.run(round));

        self.log.catch_up();
        assert_eq!((ran.code, ran.counts()), (Some(0), [0; 4]), "{ran:?}");
        assert_eq!(self.log.begun(round), 0, "{ran:?}");
        self.judge_place(&ran);
    }

    /// A run that found where it stood says it: behind the end if the file was read as a whole.
    fn judge_place(&self, ran: &Ran) {
        let Some((_, said)) = ran.err.split_once("going on behind line ") else {
            return;
        };
        let line: u64 = said.split(' ').next().unwrap().parse().unwrap();
        let lines = self.lines.len() as u64;
        let begun = lines - self.log.never_begun(&self.lines);
        match self.depth {
            Some(depth) => assert!(line <= begun + depth, "{begun} were begun: {ran:?}"),
            None => assert_eq!(line, lines, "{ran:?}"),
        }
    }

    /// The same command each time; the commands that it runs say in which round they were begun.
    fn run(&self, round: usize) -> Command {
        let mut command = command(
            &self.scene,
            &["run", "--queue", "webhooks", "--input", "input", "--json"],
        );
        command.args(["--workers", &self.workers.to_string()]);
        if let Some(depth) = self.depth {
            command.args(["--depth-max", &depth.to_string()]);
        }
        command.args(["--exec", log::COMMAND]);
        command.env(log::ROUND, round.to_string());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn spool(scene: &Scene, args: &[&str]) -> Ran {
    Ran::of(&mut command(scene, args))
}

fn command(scene: &Scene, args: &[&str]) -> Command {
    let mut spool = Command::new(env!("CARGO_BIN_EXE_spool"));
    spool.args(args).args(["--config", "queue.yaml"]);
    scene.here(spool)
}
