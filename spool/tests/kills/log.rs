//! What the commands write down, read as it is written, and where they wait.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::scene::Scene;

/// The command for each line: begun, it waits until it may end. Where spool was killed before it had written the whole line,
/// it does nothing.
pub(crate) const COMMAND: &str = "read line || exit 1; \
    echo $ROUND begun $SPOOL_ID $line > log; read go < gate-$ROUND; echo $ROUND ended $SPOOL_ID $line > log";
/// The variable that tells the commands their round.
pub(crate) const ROUND: &str = "ROUND";

/// How often it is looked whether a run still lives while it writes nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// So many looks in a row at a run that lives and writes nothing are enough: what it is waited for was lost. Five minutes,
/// which no load takes from a run that has work to do.
const LOOKS_MAX: u32 = 15_000;

/// One line of a command.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) round: usize,
    pub(crate) is_end: bool,
    pub(crate) id: String,
    pub(crate) line: String,
}

/// The fifo that all commands write into.
pub(crate) struct Log {
    fifo: File,
    lines: Receiver<String>,
    pub(crate) notes: Vec<Note>,
}

impl Log {
    pub(crate) fn open(scene: &Scene) -> Self {
        let fifo = make_fifo(scene, "log");
        let reader = BufReader::new(fifo.try_clone().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // Ends with the test, which ends the receiver.
            for line in reader.lines() {
                if sender.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        Self {
            fifo,
            lines,
            notes: Vec::new(),
        }
    }

    /// Returns when that holds of what was written, or when the run has ended: whether it holds.
    pub(crate) fn wait(&mut self, child: &mut Child, holds: impl Fn(&Self) -> bool) -> bool {
        let mut looks = 0;
        while !holds(self) {
            match self.lines.recv_timeout(LOOK_AGAIN) {
                Ok(line) => {
                    self.notes.push(note(&line));
                    looks = 0;
                }
                Err(RecvTimeoutError::Timeout) if child.try_wait().unwrap().is_none() => {
                    looks += 1;
                    if looks == LOOKS_MAX {
                        child.kill().unwrap();
                        panic!(
                            "a run begins no more lines, and some are left: {:?}",
                            self.notes
                        );
                    }
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Reads what was written so far.
    pub(crate) fn catch_up(&mut self) {
        const MARK: &str = "mark";
        // In one write, as those of the commands: no other comes between.
        self.fifo.write_all(format!("{MARK}\n").as_bytes()).unwrap();
        let lines = self.lines.iter().take_while(|line| line != MARK);
        self.notes.extend(lines.map(|line| note(&line)));
    }

    /// How many lines were begun in a round.
    pub(crate) fn begun(&self, round: usize) -> u64 {
        let begun = |note: &&Note| note.round == round && !note.is_end;
        self.notes.iter().filter(begun).count() as u64
    }

    /// How many of those lines no run has begun yet.
    pub(crate) fn never_begun(&self, lines: &BTreeSet<String>) -> u64 {
        let begun: BTreeSet<_> = self.notes.iter().map(|note| &note.line).collect();
        lines.iter().filter(|line| !begun.contains(line)).count() as u64
    }
}

/// Where the commands of one round wait.
pub(crate) struct Gate {
    fifo: File,
    passed: u64,
}

impl Gate {
    pub(crate) fn open(scene: &Scene, round: usize) -> Self {
        Self {
            fifo: make_fifo(scene, &format!("gate-{round}")),
            passed: 0,
        }
    }

    /// Lets so many commands more end. They need not be there yet.
    pub(crate) fn pass(&mut self, commands: u64) {
        let turns = vec![b'\n'; usize::try_from(commands).unwrap()];
        self.fifo.write_all(&turns).unwrap();
        self.passed += commands;
    }

    /// How many may have ended.
    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }
}

/// A fifo open at both ends: neither commands nor the test wait for the other side to open it.
fn make_fifo(scene: &Scene, name: &str) -> File {
    let path = scene.path(name);
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success(), "mkfifo {}: {made}", path.display());
    let fifo = OpenOptions::new().read(true).write(true).open(path);
    fifo.unwrap()
}

fn note(line: &str) -> Note {
    let words: Vec<_> = line.split(' ').collect();
    let [round, what, id, line] = words[..] else {
        panic!("«{line}» is no note");
    };
    Note {
        round: round.parse().unwrap(),
        is_end: what == "ended",
        id: id.to_owned(),
        line: line.to_owned(),
    }
}
