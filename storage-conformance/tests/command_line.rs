//! What authors of drivers call from a shell: the report of one driver by one command, and the soak of one by name.
//!
//! This binary is the conformance test of a sound driver where `COMMAND_LINE_SUBJECT` is set, and the tests of that where not.

use std::process::{Command, ExitCode, Output};

use libtest_mimic::{Arguments, Failed, Trial};
use storage_conformance::reference::ReferenceHarness;

const SUBJECT: &str = "COMMAND_LINE_SUBJECT";

fn main() -> ExitCode {
    if std::env::var_os(SUBJECT).is_some() {
        return storage_conformance::run(ReferenceHarness::new());
    }
    let trials = vec![
        Trial::test("one_command_writes_the_report_of_a_driver", report_written),
        Trial::test("a_seed_alone_stands_in_the_report", seed_reported),
        Trial::test("a_number_of_runs_that_is_none_is_refused", none_refused),
        Trial::test(
            "wrong_arguments_are_told_before_cargo_is_started",
            wrong_arguments,
        ),
        Trial::test("the_code_of_a_soak_is_passed_on", code_passed_on),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn report_written() -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let directory = scratch.path().join("report");

    let ran = Command::new(std::env::current_exe()?)
        .args(["--exact", "durability::a_durability_is_stated_and_stays"])
        .arg("--report")
        .arg(&directory)
        .env(SUBJECT, "")
        .env("STORAGE_CONFORMANCE_DIR", scratch.path().join("records"))
        .output()?;

    assert!(ran.status.success(), "{ran:?}");
    for (name, part) in [
        ("matrix.md", "| clause | reference |"),
        ("proof.md", "| case | mutants | reference |"),
        ("report.json", "\"name\": \"reference\""),
        ("junit.xml", "<testsuite name=\"reference\""),
    ] {
        let text = std::fs::read_to_string(directory.join(name))?;
        assert!(text.contains(part), "{name}: {text}");
    }
    let matrix = std::fs::read_to_string(directory.join("matrix.md"))?;
    assert!(matrix.contains("1 of "), "one case has passed: {matrix}");
    assert!(matrix.contains("| an `Ok` survives | none |"), "{matrix}");
    Ok(())
}

fn seed_reported() -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let directory = scratch.path().join("report");

    let ran = Command::new(std::env::current_exe()?)
        .args(["--exact", "model::random_sequences_agree_part_1"])
        .arg("--report")
        .arg(&directory)
        .env(SUBJECT, "")
        .env("STORAGE_CONFORMANCE_DIR", scratch.path().join("records"))
        .env("STORAGE_MODEL_SEED", "3")
        .env("STORAGE_DAMAGE_SEED", "5")
        .output()?;

    assert!(ran.status.success(), "{ran:?}");
    let matrix = std::fs::read_to_string(directory.join("matrix.md"))?;
    let told = "One seed ran alone, whatever the number of runs says: STORAGE_MODEL_SEED=3.";
    assert!(matrix.contains(told), "{matrix}");
    let junit = std::fs::read_to_string(directory.join("junit.xml"))?;
    for (name, seed) in [("STORAGE_MODEL_SEED", 3), ("STORAGE_DAMAGE_SEED", 5)] {
        let property = format!("<property name=\"{name}\" value=\"{seed}\"/>");
        assert!(junit.contains(&property), "{junit}");
    }
    Ok(())
}

fn none_refused() -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    for (name, least) in [
        ("STORAGE_MODEL_RUNS", 8),
        ("STORAGE_MODEL_RUNS_STORED", 8),
        ("STORAGE_HISTORY_RUNS", 1),
        ("STORAGE_HISTORY_RUNS_STORED", 1),
        ("STORAGE_CRASH_ROUNDS", 1),
        ("STORAGE_DIFFERENTIAL_RUNS", 4),
    ] {
        let ran = Command::new(std::env::current_exe()?)
            .args(["--exact", "durability::a_durability_is_stated_and_stays"])
            .env(SUBJECT, "")
            .env("STORAGE_CONFORMANCE_DIR", scratch.path())
            .env(name, "0")
            .output()?;

        let told = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{ran:?}");
        let refusal =
            format!("{name} is 0: a case would do nothing and pass; give {least} or more");
        assert!(told.contains(&refusal), "{told}");
    }
    Ok(())
}

/// `conformance soak` of the one driver of a directory. In place of cargo a shell is started, which is told to run `test` with
/// arguments, as cargo is: a script, which ends with that code.
fn conformance(cargo_ends_with: i32, arguments: &[&str]) -> std::io::Result<Output> {
    let workspace = tempfile::tempdir()?;
    let driver = workspace.path().join("storage-mine");
    std::fs::create_dir(&driver)?;
    std::fs::write(driver.join("Cargo.toml"), "")?;
    let script = format!("exit {cargo_ends_with}\n");
    std::fs::write(workspace.path().join("test"), script)?;
    Command::new(env!("CARGO_BIN_EXE_conformance"))
        .args(["soak", "--driver", "mine"])
        .args(arguments)
        .current_dir(workspace.path())
        .env("CARGO", "sh")
        .output()
}

fn wrong_arguments() -> Result<(), Failed> {
    for (wrong, named) in [
        (&["--minutes"][..], "--minutes needs an operand"),
        (&["--rounds", "many"], "\"many\""),
        (&["--kinds", "model,mdoel"], "\"mdoel\""),
        (&["--hours", "1"], "\"--hours\""),
    ] {
        let ended = conformance(0, wrong)?;

        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{wrong:?}: {told}");
        assert!(told.contains(named), "{wrong:?}: {told}");
    }
    Ok(())
}

fn code_passed_on() -> Result<(), Failed> {
    let right = ["--rounds", "1", "--kinds", "model"];

    // cargo has codes of its own for what it cannot build.
    for (cargo, code) in [(0, 0), (1, 1), (2, 2), (101, 2)] {
        let ended = conformance(cargo, &right)?;

        assert_eq!(ended.status.code(), Some(code), "{cargo}: {ended:?}");
    }
    Ok(())
}
