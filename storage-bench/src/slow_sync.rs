//! A slower disk for a child: a layer that waits before each sync.
//!
//! The layer is a shared library of three calls, compiled by the system's C compiler when it is needed, and preloaded.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::disk::Failure;

const SOURCE: &str = include_str!("slow_sync.c");

/// The compiled layer.
#[derive(Debug)]
pub(crate) struct SlowSync {
    wait: Duration,
    /// With the library in it.
    scratch: TempDir,
}

impl SlowSync {
    /// The layer that waits so long; where it cannot be had, why not.
    pub(crate) fn new(wait: Duration) -> Result<Self, Failure> {
        let slow = Self {
            wait,
            scratch: tempfile::tempdir()?,
        };
        let source = slow.scratch.path().join("slow_sync.c");
        std::fs::write(&source, SOURCE)?;
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let ran = Command::new(&compiler)
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&slow.library(), &source])
            .arg("-ldl")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("no C compiler for slow syncs: {compiler}: {error}"))?;
        if !ran.status.success() {
            let text = String::from_utf8_lossy(&ran.stderr);
            let first = text.lines().next().unwrap_or("it says nothing");
            return Err(format!("{compiler} does not compile slow syncs: {first}").into());
        }
        Ok(slow)
    }

    fn library(&self) -> std::path::PathBuf {
        self.scratch.path().join("slow_sync.so")
    }

    /// What a child needs to have the layer.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        let mut preloaded = self.library().display().to_string();
        if let Ok(others) = std::env::var("LD_PRELOAD") {
            preloaded = format!("{preloaded}:{others}");
        }
        let micros = self.wait.as_micros().to_string();
        [
            ("LD_PRELOAD", preloaded),
            ("STORAGE_SLOW_SYNC_MICROS", micros),
        ]
    }

    /// Refuses what was measured where a sync did not take as long as it should have.
    pub(crate) fn check(&self, sync: Duration) -> Result<(), Failure> {
        if sync >= self.wait {
            return Ok(());
        }
        let (wait, sync) = (self.wait, sync);
        Err(
            format!("a sync that is to take {wait:?} took {sync:?}: the layer is not at work")
                .into(),
        )
    }
}

/// The shortest of a few syncs of a byte.
pub(crate) fn measure_sync() -> Result<Duration, Failure> {
    let mut file = tempfile::tempfile()?;
    let mut shortest = Duration::MAX;
    for _ in 0..5 {
        file.write_all(b"x")?;
        let start = Instant::now();
        file.sync_data()?;
        shortest = shortest.min(start.elapsed());
    }
    Ok(shortest)
}
