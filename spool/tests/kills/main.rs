//! spool killed at random moments and started again, until every line is done.
//!
//! `SPOOL_TEST_SEED` repeats a choice of moments; what happens at them is up to the machine.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod log;
mod moment;
#[path = "../scene/mod.rs"]
mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};

use log::{Log, Note};
use moment::Moments;
use scene::{Ran, Scene};

const KILLS: u64 = 50;
/// More than all killed runs together can do, so that each is killed before it has nothing more to do.
const LINES: u64 = KILLS * moment::BEGUN_MAX + 100;

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
    let scene = Scene::of(config);
    let lines: BTreeSet<String> = (1..=LINES).map(|number| format!("line-{number}")).collect();
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    scene.write("input", input);
    let mut log = Log::open(&scene);
    let mut moments = Moments::seeded();

    for round in 0..KILLS {
        let mut child = begin(&scene, workers, round);
        let moment = moments.next();
        moment.wait(&scene, &mut child, &mut log, round);
        child.kill().unwrap();
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(
            ran.code, None,
            "round {round} ended by itself before {moment:?}: {ran:?}"
        );
    }
    let last = begin(&scene, workers, KILLS);
    let ran = Ran::from(last.wait_with_output().unwrap());

    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.counts()[2..], [0, 0], "none failed: {ran:?}");
    assert!(ran.err.contains("going on behind line"), "{}", ran.err);
    let marker = scene.read("data/storage-place");
    assert!(marker.contains(&format!("driver {driver}\n")), "{marker}");
    Story::of(log.close()).judge(&lines, workers);
    let status = spool(&scene, &["status", "--queue", "webhooks", "--json"]).report();
    for state in ["ready", "scheduled", "leased", "dead"] {
        assert_eq!(status[state], 0, "{status}");
    }
    let verified = spool(&scene, &["verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

/// The same command each time; the commands that it runs say in which round they were begun.
fn begin(scene: &Scene, workers: usize, round: u64) -> Child {
    let workers = workers.to_string();
    let mut command = command(scene, &["run", "--queue", "webhooks", "--input", "input"]);
    command.args(["--workers", &workers, "--depth-max", "50", "--json"]);
    command.args(["--exec", log::COMMAND]);
    command.env(log::ROUND, round.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn spool(scene: &Scene, args: &[&str]) -> Ran {
    Ran::of(&mut command(scene, args))
}

fn command(scene: &Scene, args: &[&str]) -> Command {
    let mut spool = Command::new(env!("CARGO_BIN_EXE_spool"));
    spool.args(args).args(["--config", "queue.yaml"]);
    scene.here(spool)
}

/// What the commands of all rounds wrote down.
#[derive(Default)]
struct Story {
    /// By line: the items that it became, the rounds in which it was begun, whether it was ever ended.
    lines: BTreeMap<String, (BTreeSet<String>, Vec<u64>, bool)>,
    /// By round: the lines that were begun in it, in order.
    rounds: BTreeMap<u64, Vec<String>>,
}

impl Story {
    fn of(notes: Vec<Note>) -> Self {
        let mut story = Self::default();
        for note in notes {
            let (ids, begun, is_ended) = story.lines.entry(note.line.clone()).or_default();
            ids.insert(note.id);
            if note.is_end {
                *is_ended = true;
            } else {
                begun.push(note.round);
                story.rounds.entry(note.round).or_default().push(note.line);
            }
        }
        story
    }

    fn judge(&self, lines: &BTreeSet<String>, workers: usize) {
        let found: BTreeSet<String> = self.lines.keys().cloned().collect();
        let lost: Vec<_> = lines.difference(&found).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        assert_eq!(found.len(), lines.len(), "there are no others");
        for (line, (ids, begun, is_ended)) in &self.lines {
            assert!(is_ended, "{line} was begun in {begun:?} and never ended");
            assert_eq!(ids.len(), 1, "{line} became several items: {ids:?}");
            let rounds: BTreeSet<_> = begun.iter().collect();
            assert_eq!(rounds.len(), begun.len(), "{line} was begun in {begun:?}");
        }
        let mut repeated_in_all = 0;
        for (round, begun) in &self.rounds {
            let is_repeated = |line: &&String| self.lines[*line].1.iter().any(|at| at > round);
            let repeated: Vec<_> = begun.iter().filter(is_repeated).collect();
            repeated_in_all += repeated.len();
            // A worker begins a line when it is done with the one before, so at the kill it was at the last that it began.
            assert!(
                repeated.len() <= workers,
                "{workers} workers were at {repeated:?} in round {round}"
            );
            if workers == 1 && !repeated.is_empty() {
                let last = begun.last().into_iter().collect::<Vec<_>>();
                assert_eq!(repeated, last, "in round {round} it was at another line");
            }
        }
        // Else nothing was killed at work, and nothing is shown.
        assert!(self.rounds.len() > 10, "{} rounds", self.rounds.len());
        assert!(repeated_in_all > 0, "no line was ever at work at a kill");
    }
}
