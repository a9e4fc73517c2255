//! What the commands write down, read as it is written.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::scene::Scene;

/// The command for each line. Where spool was killed before it had written the line, there is none.
pub(crate) const COMMAND: &str = "read line || exit 1; \
    echo $ROUND begun $SPOOL_ID $line > log; echo $ROUND ended $SPOOL_ID $line > log";
/// The variable that tells the commands their round.
pub(crate) const ROUND: &str = "ROUND";

/// How often it is looked whether a run still lives while it writes nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// One line of a command.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) round: u64,
    pub(crate) is_end: bool,
    pub(crate) id: String,
    pub(crate) line: String,
}

/// A fifo: what is written into it wakes whoever waits for it.
pub(crate) struct Log {
    fifo: File,
    lines: Receiver<String>,
    notes: Vec<Note>,
}

impl Log {
    pub(crate) fn open(scene: &Scene) -> Self {
        let path = scene.path("log");
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success(), "mkfifo {}: {made}", path.display());
        // Open at both ends: neither commands nor the test wait for the other to open it.
        let fifo = OpenOptions::new().read(true).write(true).open(path);
        let fifo = fifo.unwrap();
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

    /// Returns when so many lines were begun in a round, or when the run has ended.
    pub(crate) fn wait_begun(&mut self, child: &mut Child, round: u64, count: u64) {
        let mut left = count;
        while left > 0 {
            match self.lines.recv_timeout(LOOK_AGAIN) {
                Ok(line) => {
                    let note = note(&line);
                    left -= u64::from(note.round == round && !note.is_end);
                    self.notes.push(note);
                }
                Err(RecvTimeoutError::Timeout) if child.try_wait().unwrap().is_none() => {}
                Err(_) => return,
            }
        }
    }

    /// How many lines were begun in a round so far.
    pub(crate) fn begun(&mut self, round: u64) -> u64 {
        self.notes
            .extend(self.lines.try_iter().map(|line| note(&line)));
        let begun = |note: &&Note| note.round == round && !note.is_end;
        self.notes.iter().filter(begun).count() as u64
    }

    /// Everything that was written.
    pub(crate) fn close(mut self) -> Vec<Note> {
        const END: &str = "end";
        writeln!(self.fifo, "{END}").unwrap();
        let rest = self.lines.iter().take_while(|line| line != END);
        self.notes.extend(rest.map(|line| note(&line)));
        self.notes
    }
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
