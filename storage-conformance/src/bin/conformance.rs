//! Soaks a driver of this workspace by name: finds its conformance test, and has cargo run that.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const HELP: &str = "\
usage: conformance soak --driver D [--release] [--minutes N | --rounds N] [--seed S] [--kinds A,B] [--replay FILE]

Runs cases of the suite on a driver with one seed after the other, until something is found. A driver is looked
for in ./storage-D and ./examples/D-driver; that of another workspace is soaked there by
`cargo test --test conformance -- soak`, which this runs and which explains the other arguments.

exit code: 0 nothing was found, 1 something was, 2 the arguments are wrong, or the test of the driver cannot be built or run
";

/// What is to be run.
struct Wanted {
    manifest: PathBuf,
    is_release: bool,
    /// What is not for this program.
    rest: Vec<String>,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Wanted>, String> {
    match arguments.next().as_deref() {
        Some("soak") => {}
        None | Some("--help" | "-h") => return Ok(None),
        Some(other) => return Err(format!("there is no {other:?}, only soak")),
    }
    let (mut driver, mut is_release, mut rest) = (None, false, Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--driver" => driver = Some(arguments.next().ok_or("--driver needs a name")?),
            "--release" => is_release = true,
            "--help" | "-h" => return Ok(None),
            _ => rest.push(argument),
        }
    }
    let driver = driver.ok_or("which driver? give --driver")?;
    // Now, and not once cargo has built the driver.
    storage_conformance::check_soak_arguments(rest.iter().cloned())?;
    let places = [
        format!("storage-{driver}"),
        format!("examples/{driver}-driver"),
    ];
    let manifests = places.map(|place| PathBuf::from(place).join("Cargo.toml"));
    let Some(manifest) = manifests.iter().find(|manifest| manifest.is_file()) else {
        return Err(format!(
            "there is no driver {driver:?} here: none of {manifests:?} is a file"
        ));
    };
    Ok(Some(Wanted {
        manifest: manifest.clone(),
        is_release,
        rest,
    }))
}

fn main() -> ExitCode {
    let wanted = match parse(std::env::args().skip(1)) {
        Ok(Some(wanted)) => wanted,
        Ok(None) => {
            // Nothing can be done where standard output is closed.
            let _ = std::io::stdout().write_all(HELP.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(problem) => return complain(&format!("{problem}; see --help")),
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "test",
        "--quiet",
        "--test",
        "conformance",
        "--manifest-path",
    ]);
    command.arg(&wanted.manifest);
    if wanted.is_release {
        command.arg("--release");
    }
    command.args(["--", "soak"]).args(&wanted.rest);
    match command.status() {
        // cargo ends with the code of the test that it ran, and with one of its own where it ran none.
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) if status.code() == Some(1) => ExitCode::FAILURE,
        Ok(status) => complain(&format!("nothing can be said: cargo ended with {status}")),
        Err(error) => complain(&format!("cannot run cargo: {error}")),
    }
}

fn complain(problem: &str) -> ExitCode {
    // Nothing can be done where standard error is closed.
    let _ = writeln!(std::io::stderr(), "conformance: {problem}");
    ExitCode::from(2)
}
