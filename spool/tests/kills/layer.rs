//! A layer under spool that kills it at a touch of the disk: exact, however fast the disk is and whatever else runs.

use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

/// Compiled once, by the compiler that links Rust programs too.
static LIBRARY: LazyLock<TempDir> = LazyLock::new(|| {
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("layer.c");
    std::fs::write(&source, include_str!("layer.c")).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
    compiler.args([&scratch.path().join(NAME), &source]);
    let ran = compiler.arg("-ldl").status();
    assert!(
        ran.is_ok_and(|ran| ran.success()),
        "cc does not compile layer.c"
    );
    scratch
});

const NAME: &str = "layer.so";

/// From when touches are counted.
#[derive(Debug, Clone)]
pub(crate) enum Since {
    Start,
    /// The report is on standard output: all that is left is to end.
    Report,
    /// There is a file of that name.
    File(String),
}

/// Kills that process before a touch, the first one being 1.
pub(crate) fn kill_at(command: &mut Command, touch: u64, since: &Since) {
    command.env("LD_PRELOAD", LIBRARY.path().join(NAME));
    command.env("SPOOL_TEST_TOUCH", touch.to_string());
    command.env(
        "SPOOL_TEST_SINCE",
        match since {
            Since::Start => "start",
            Since::Report => "report",
            Since::File(name) => name,
        },
    );
}
