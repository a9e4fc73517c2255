//! Where commands and a test meet: a fifo.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Command;

use crate::scene::Scene;

/// A fifo that the test holds open at both ends, so that nobody waits for the other side to open it. A command that reads
/// from it waits until the test drops it.
pub(crate) struct Gate(BufReader<File>);

impl Gate {
    pub(crate) fn open(scene: &Scene, name: &str) -> Self {
        let path = make_fifo(scene, name);
        let file = OpenOptions::new().read(true).write(true).open(path);
        Self(BufReader::new(file.unwrap()))
    }

    /// Returns when a command has written a line.
    pub(crate) fn wait_for_line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }
}

/// A fifo that nobody holds open yet.
pub(crate) fn make_fifo(scene: &Scene, name: &str) -> PathBuf {
    let path = scene.path(name);
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success(), "mkfifo {}: {made}", path.display());
    path
}
