//! What cannot be measured is told, and the rest is measured all the same.
#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn each_measurement_that_fails_is_told_and_none_keeps_the_next_from_being_tried() {
    let scratch = tempfile::tempdir().unwrap();

    let ran = Command::new(env!("CARGO_BIN_EXE_storage-bench"))
        .args(["--quick", "--drivers", "redb", "--within", "3600"])
        .env("TMPDIR", scratch.path().join("missing"))
        .output()
        .unwrap();

    let printed = String::from_utf8_lossy(&ran.stdout);
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(!ran.status.success(), "{printed}");
    for what in [
        "the life of a store",
        "memory by depth",
        "many producers",
        "none, 100 B, 1000 deep",
        "none, 4096 B, 1000 deep",
        "power-loss, 100 B, 1000 deep",
        "power-loss, 4096 B, 1000 deep",
    ] {
        let line = format!("FAILED: redb: {what}: ");
        assert!(printed.contains(&line), "{line}: {printed}");
        assert!(told.contains(&format!("redb: {what}: ")), "{told}");
    }
    let left_out = "redb: left out: many producers where syncs are slow: ";
    assert!(printed.contains(left_out), "{printed}");
}
