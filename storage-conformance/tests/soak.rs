//! Soak on a driver that forgets and on one that is sound: what it says, what it leaves, how it ends.
//!
//! This binary is the conformance test of whichever driver `SOAK_SUBJECT` names, and the tests of that where nothing is named.

use std::path::Path;
use std::process::{Command, ExitCode, Output};

use libtest_mimic::{Arguments, Failed, Trial};
use storage_api::{Result, async_trait};
use storage_conformance::reference::ReferenceHarness;
use storage_conformance::{DriverInfo, Harness, Place, Spot};

const SUBJECT: &str = "SOAK_SUBJECT";

/// A driver that forgets between two openings, and claims that it does not.
struct Forgetful;

#[async_trait]
impl Harness for Forgetful {
    fn driver(&self) -> DriverInfo {
        DriverInfo::new("forgetful", "1")
    }

    async fn provision(&self, spot: &Spot) -> Result<Box<dyn Place>> {
        ReferenceHarness::volatile().provision(spot).await
    }
}

fn main() -> ExitCode {
    match std::env::var(SUBJECT).as_deref() {
        Ok("forgetful") => return storage_conformance::run(Forgetful),
        Ok("sound") => return storage_conformance::run(ReferenceHarness::new()),
        _ => {}
    }
    let trials = vec![
        Trial::test(
            "what_is_found_is_repeated_from_its_file",
            found_and_repeated,
        ),
        Trial::test("nothing_is_found_in_a_sound_driver", nothing_found),
        Trial::test(
            "the_command_that_repeats_a_finding_runs_where_the_driver_is_a_stranger",
            repeated_by_its_command,
        ),
        Trial::test(
            "a_seed_alone_in_the_environment_is_none_of_a_round",
            seed_alone_ignored,
        ),
        Trial::test("wrong_arguments_are_told_from_findings", wrong_arguments),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn soak(subject: &str, records: &Path, arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(std::env::current_exe()?)
        .arg("soak")
        .args(arguments)
        .env(SUBJECT, subject)
        .env("STORAGE_CONFORMANCE_DIR", records)
        .output()
}

/// The standard output of a process that must end with that code.
fn told(output: &Output, code: i32) -> std::result::Result<String, Failed> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.code() == Some(code) {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}, not {code}: {text}{errors}", output.status).into())
}

fn found_and_repeated() -> std::result::Result<(), Failed> {
    let records = tempfile::tempdir()?;
    let found = soak(
        "forgetful",
        records.path(),
        &["--rounds", "50", "--seed", "3"],
    )?;

    let found = told(&found, 1)?;

    let file = found
        .lines()
        .find_map(|line| line.strip_prefix("replay file: "));
    let file = file.ok_or_else(|| format!("no file is named: {found}"))?;
    assert!(found.contains(&format!("soak --replay {file}")), "{found}");
    let again = soak("forgetful", records.path(), &["--replay", file])?;
    let again = told(&again, 1)?;
    assert!(again.contains("found again at attempt 1"), "{again}");
    // It is about another driver.
    told(&soak("sound", records.path(), &["--replay", file])?, 2)?;
    Ok(())
}

/// The crate of a driver that belongs to no workspace here. Its test says which arguments it was given.
fn stranger(directory: &Path, target: &str) -> std::io::Result<()> {
    let manifest = format!(
        "[package]\nname = \"stranger\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [[test]]\nname = \"{target}\"\npath = \"told.rs\"\nharness = false\n"
    );
    let source = "fn main() { println!(\"{:?}\", std::env::args().skip(1).collect::<Vec<_>>()); }";
    std::fs::create_dir_all(directory.join("src"))?;
    std::fs::write(directory.join("src/lib.rs"), "")?;
    std::fs::write(directory.join("told.rs"), source)?;
    std::fs::write(directory.join("Cargo.toml"), manifest)
}

fn repeated_by_its_command() -> std::result::Result<(), Failed> {
    let records = tempfile::tempdir()?;
    let scratch = tempfile::tempdir()?;
    let package = scratch.path().join("a stranger's");
    let binary = std::env::current_exe()?;
    let stem = binary.file_stem().and_then(|stem| stem.to_str());
    let (target, _) = stem
        .and_then(|stem| stem.rsplit_once('-'))
        .ok_or("no hash")?;
    stranger(&package, target)?;
    let found = Command::new(&binary)
        .args(["soak", "--rounds", "50", "--kinds", "model"])
        .env(SUBJECT, "forgetful")
        .env("STORAGE_CONFORMANCE_DIR", records.path())
        // What cargo says to the test of a package.
        .env("CARGO_PKG_NAME", "stranger")
        .env("CARGO_MANIFEST_DIR", &package)
        .output()?;
    let found = told(&found, 1)?;
    let of = |head: &str| found.lines().find_map(|line| line.strip_prefix(head));
    let command = of("repeat it with: cargo ").ok_or_else(|| format!("no command: {found}"))?;
    let file = of("replay file: ").ok_or_else(|| format!("no file: {found}"))?;

    // From here, where cargo knows no such package.
    let ran = Command::new("sh")
        .args(["-c", &format!("\"$CARGO\" {command}")])
        .env("CARGO", std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .env("CARGO_TARGET_DIR", scratch.path().join("target"))
        .output()?;

    let given = told(&ran, 0)?;
    let expected = format!("{:?}", ["soak", "--replay", file]);
    assert!(given.contains(&expected), "{command}: {given}");
    Ok(())
}

fn seed_alone_ignored() -> std::result::Result<(), Failed> {
    let records = tempfile::tempdir()?;
    let alone = |arguments: &[&str]| {
        Command::new(std::env::current_exe()?)
            .arg("soak")
            .args(arguments)
            .env(SUBJECT, "forgetful")
            .env("STORAGE_CONFORMANCE_DIR", records.path())
            .env("STORAGE_MODEL_SEED", "7")
            .env("STORAGE_CRASH_ROUNDS", "3")
            .output()
    };

    let found = told(&alone(&["--rounds", "50", "--kinds", "model"])?, 1)?;

    let record = records.path().join("forgetful/soak/forgetful/driver.json");
    let record = std::fs::read_to_string(record)?;
    assert!(!record.contains("STORAGE_MODEL_SEED"), "{record}");
    let file = found
        .lines()
        .find_map(|line| line.strip_prefix("replay file: "));
    let file = file.ok_or_else(|| format!("no file is named: {found}"))?;
    let kept = std::fs::read_to_string(file)?;
    assert!(kept.contains("\"STORAGE_CRASH_ROUNDS\": \"3\""), "{kept}");
    Ok(())
}

fn nothing_found() -> std::result::Result<(), Failed> {
    let records = tempfile::tempdir()?;
    let output = soak(
        "sound",
        records.path(),
        &["--rounds", "2", "--kinds", "model,crash"],
    )?;

    let text = told(&output, 0)?;

    assert!(text.contains("2 model rounds"), "{text}");
    assert!(text.contains("nothing was found"), "{text}");
    assert!(text.contains("crash: no rounds of"), "{text}");
    Ok(())
}

fn wrong_arguments() -> std::result::Result<(), Failed> {
    let records = tempfile::tempdir()?;

    for wrong in [
        &["--minutes"][..],
        &["--kinds", "mdoel"],
        &["--replay", "/no/such/file"],
    ] {
        told(&soak("sound", records.path(), wrong)?, 2)?;
    }
    Ok(())
}
