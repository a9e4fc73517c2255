//! Merges the record files of the suite's last runs into one report.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use storage_conformance::report::{Report, default_directories};

const HELP: &str = "\
usage: conformance-report [--dir DIR]... [--drivers A,B] [--out DIR | --json FILE | --into FILE | --check FILE]
                          [--require-conformant]
       conformance-report --list

Merges the records that the conformance tests of drivers left behind. Prints the matrix of drivers and
clauses in Markdown, or writes a file of JSON.

  --out DIR              write matrix.md, proof.md, report.json and junit.xml into that directory
  --json FILE            write {\"drivers\": [{\"name\", \"verdict\", \"cases\": [...]}]} there; `-` prints it
  --into FILE            write the matrix in short between the lines «<!-- matrix -->» and «<!-- /matrix -->»
  --check FILE           exit 1 unless that is what stands there already
  --drivers A,B          leave the other drivers out
  --dir DIR              read the directories of drivers in DIR; may be given several times. By default:
                         $STORAGE_CONFORMANCE_DIR, else target/conformance and examples/*/target/conformance
  --require-conformant   exit 1 unless there is a driver and all are conformant
  --list                 print the cases of the suite as they stand in cases.txt
  --help                 print this
";

#[derive(Debug, Default)]
struct Options {
    directories: Vec<PathBuf>,
    drivers: Option<Vec<String>>,
    out: Option<PathBuf>,
    json: Option<PathBuf>,
    into: Option<PathBuf>,
    check: Option<PathBuf>,
    is_conformance_required: bool,
    is_list: bool,
    is_help: bool,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        let mut operand = || {
            let operand = arguments.next();
            operand.ok_or_else(|| format!("{argument} needs an operand"))
        };
        match argument.as_str() {
            "--dir" => options.directories.push(operand()?.into()),
            "--out" => options.out = Some(operand()?.into()),
            "--json" => options.json = Some(operand()?.into()),
            "--into" => options.into = Some(operand()?.into()),
            "--check" => options.check = Some(operand()?.into()),
            "--drivers" => {
                let names = operand()?;
                options.drivers = Some(names.split(',').map(str::to_owned).collect());
            }
            "--require-conformant" => options.is_conformance_required = true,
            "--list" => options.is_list = true,
            "--help" | "-h" => options.is_help = true,
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(options) => match report(options) {
            Ok(code) => code,
            Err(error) => complain(&error.to_string(), 1),
        },
        Err(error) => complain(&format!("{error}; see --help"), 2),
    }
}

fn complain(error: &str, code: u8) -> ExitCode {
    // Nothing can be done where standard error is closed.
    let _ = writeln!(std::io::stderr(), "conformance-report: {error}");
    ExitCode::from(code)
}

fn report(options: Options) -> std::io::Result<ExitCode> {
    let mut out = std::io::stdout();
    if options.is_help {
        out.write_all(HELP.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.is_list {
        out.write_all(storage_conformance::cases::pinned_list().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let directories = if options.directories.is_empty() {
        default_directories()
    } else {
        options.directories
    };
    let mut report = Report::read(&directories)?;
    if let Some(names) = &options.drivers {
        report = report.only(names);
        if let Some(missing) = names
            .iter()
            .find(|name| report.drivers.iter().all(|driver| driver.name != **name))
        {
            let problem = format!("no records of {missing:?}; run its conformance tests first");
            return Ok(complain(&problem, 1));
        }
    }
    if report.drivers.is_empty() {
        let problem =
            format!("no records in {directories:?}; run the conformance tests of a driver first");
        return Ok(complain(&problem, 1));
    }
    if let Some(file) = &options.check {
        let text = std::fs::read_to_string(file)?;
        if report.summary_into(&text).as_ref() != Some(&text) {
            let problem = format!(
                "the matrix in {} is not that of the records; renew it with --into",
                file.display()
            );
            return Ok(complain(&problem, 1));
        }
    } else if let Some(file) = &options.into {
        let text = std::fs::read_to_string(file)?;
        let Some(text) = report.summary_into(&text) else {
            let problem = format!("{} has no place for a matrix; see --help", file.display());
            return Ok(complain(&problem, 1));
        };
        std::fs::write(file, text)?;
    } else if let Some(directory) = &options.out {
        report.write_files(directory)?;
    } else {
        write_whole(&report, options.json, &mut out)?;
    }
    if options.is_conformance_required && !report.is_conformant() {
        return Ok(complain("not every driver is conformant", 1));
    }
    Ok(ExitCode::SUCCESS)
}

fn write_whole(
    report: &Report,
    json: Option<PathBuf>,
    out: &mut impl std::io::Write,
) -> std::io::Result<()> {
    match json {
        Some(file) => {
            let text = serde_json::to_string_pretty(&report)?;
            if file.as_os_str() == "-" {
                writeln!(out, "{text}")?;
            } else {
                std::fs::write(&file, text + "\n").map_err(|error| {
                    std::io::Error::other(format!("cannot write {}: {error}", file.display()))
                })?;
            }
        }
        None => out.write_all(report.to_markdown().as_bytes())?,
    }
    Ok(())
}
