//! A directory with a configuration and inputs, for spool to be run in, and what a run leaves behind.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

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
    /// A directory with that configuration, as `queue.yaml`.
    pub(crate) fn of(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let scene = Self { dir };
        scene.write("queue.yaml", config);
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

    /// A program in the directory, with nothing on its standard input.
    pub(crate) fn here(&self, mut program: Command) -> Command {
        program.current_dir(self.dir.path()).stdin(Stdio::null());
        program
    }
}

impl Ran {
    /// Runs to the end.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap())
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
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
