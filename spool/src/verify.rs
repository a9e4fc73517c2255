//! `spool verify`: what every storage of a configuration holds, checked against itself.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use storage_api::{ErrorKind, Result, Storage};
use storage_config::{Opened, Registry};

use crate::failure::Failure;
use crate::progress::Progress;

/// The exit code where something is found.
const DAMAGED: u8 = 4;
/// How the storage of the metadata is named, as in the configuration.
const METADATA: &str = "queue-storage";

/// What was found, in all storages.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Whether nothing was found; nothing is known where no driver can verify.
    sound: Option<bool>,
    /// Why a storage was not even opened: then no other is looked at.
    refused: Option<String>,
    storages: Vec<Checked>,
}

/// What was found in one storage.
#[derive(Debug, Serialize)]
struct Checked {
    /// The configuration may name it several times.
    names: Vec<String>,
    driver: String,
    /// Whether the driver can verify what it holds.
    verified: bool,
    partitions: u64,
    items: u64,
    findings: Vec<String>,
}

/// Checks every storage; the answer is the exit code.
pub async fn verify(
    registry: &Registry,
    config: &Path,
    json: bool,
) -> std::result::Result<u8, Failure> {
    let mut report = Report::default();
    match registry.open_existing(config).await {
        Ok(opened) => {
            let checked = check_all(&opened).await;
            let closed = opened.close().await;
            report.storages = checked?;
            // What cannot be closed for its damage is told as damage.
            if !report.is_damaged() {
                closed?;
            }
        }
        Err(error) => match error.storage_error() {
            Some(storage) if storage.kind() == ErrorKind::Corrupted => {
                report.refused = Some(error.to_string());
            }
            _ => return Err(error.into()),
        },
    }
    let is_known = report.is_damaged() || report.storages.iter().any(|storage| storage.verified);
    report.sound = is_known.then_some(!report.is_damaged());
    let text = if json {
        serde_json::to_string(&report).map_err(io::Error::other)? + "\n"
    } else {
        report.to_string()
    };
    io::stdout().write_all(text.as_bytes())?;
    match report.sound {
        Some(true) => Ok(0),
        Some(false) => Ok(DAMAGED),
        None => Err(Failure::broken(
            "nothing was verified: no driver of this configuration can do that",
        )),
    }
}

async fn check_all(opened: &Opened) -> Result<Vec<Checked>> {
    let storages = opened.storages();
    let mut backends = vec![(storages.metadata().clone(), vec![METADATA.to_owned()])];
    for partition in storages.partitions() {
        let name = partition.name().to_owned();
        let known = backends
            .iter_mut()
            .find(|(storage, _)| storage.is_same_backend(partition.storage()));
        match known {
            Some((_, names)) => names.push(name),
            None => backends.push((partition.storage().clone(), vec![name])),
        }
    }
    let progress = Progress::waiting();
    let mut checked = Vec::with_capacity(backends.len());
    for (storage, names) in backends {
        progress.set_message(format!("verifying {}", names.join(", ")));
        checked.push(check(&storage, names).await?);
    }
    progress.finish();
    Ok(checked)
}

/// Damage is a finding; whatever else keeps the check from going on is an error.
async fn check(storage: &Storage, names: Vec<String>) -> Result<Checked> {
    let mut checked = Checked {
        names,
        driver: storage.descriptor().driver.to_string(),
        verified: true,
        partitions: 0,
        items: 0,
        findings: Vec::new(),
    };
    match storage.verify().await {
        Ok(findings) => checked.findings = findings,
        Err(error) if error.kind() == ErrorKind::Unsupported => checked.verified = false,
        Err(error) => checked.found(error)?,
    }
    if let Err(error) = checked.count(storage).await {
        checked.found(error)?;
    }
    Ok(checked)
}

impl Checked {
    async fn count(&mut self, storage: &Storage) -> Result<()> {
        for info in storage.list_partitions().await? {
            self.partitions += 1;
            self.items += storage.partition(info.id)?.stats().await?.items();
        }
        Ok(())
    }

    fn found(&mut self, error: storage_api::Error) -> Result<()> {
        if error.kind() != ErrorKind::Corrupted {
            return Err(error);
        }
        let finding = error.to_string();
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
        Ok(())
    }
}

impl Report {
    fn is_damaged(&self) -> bool {
        let has_findings = |storage: &Checked| !storage.findings.is_empty();
        self.refused.is_some() || self.storages.iter().any(has_findings)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(refused) = &self.refused {
            writeln!(f, "damaged: {}", one_line(refused))?;
        }
        for storage in &self.storages {
            let verdict = match (storage.verified, storage.findings.len()) {
                (_, 1) => "1 finding".to_owned(),
                (_, findings @ 2..) => format!("{findings} findings"),
                (true, _) => "sound".to_owned(),
                (false, _) => format!(
                    "not verified: the driver {} cannot compare what it holds with itself",
                    storage.driver
                ),
            };
            writeln!(
                f,
                "{} ({}): {} partitions, {} items: {verdict}",
                one_line(&storage.names.join(", ")),
                storage.driver,
                storage.partitions,
                storage.items,
            )?;
            for finding in &storage.findings {
                writeln!(f, "  {}", one_line(finding))?;
            }
        }
        Ok(())
    }
}

/// What would move a terminal's cursor is escaped.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            // A string takes everything.
            let _ = write!(line, "{}", character.escape_debug());
        } else {
            line.push(character);
        }
    }
    line
}
