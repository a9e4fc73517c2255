//! Record files: what each case found, written by the run and read by the report.
//!
//! A run leaves `driver.json`, which says what was to be run and why some of it does not apply, and one file for each case
//! that ran. Both name the suite, the build of the test binary, the run and its settings, so that what an older one wrote, or one
//! that tried less, is told from what counts.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use storage_api::Durability;

use crate::case::Case;
use crate::cases;
use crate::harness::{Claims, Deviation, DriverInfo};
use crate::report::Report;
use crate::settings;

/// The level of the suite: the largest of its cases. Levels are frozen once released.
pub const SUITE_LEVEL: u32 = 2;

/// The name of the file that says what was to be run.
pub(crate) const DRIVER_FILE: &str = "driver.json";

/// What a case found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// The driver keeps what the case asks.
    #[serde(rename = "pass")]
    Pass,
    /// It does not.
    #[serde(rename = "fail")]
    Fail,
    /// It does not, and says so.
    #[serde(rename = "deviation")]
    Deviation,
    /// It does, but says that it does not.
    #[serde(rename = "stale deviation")]
    StaleDeviation,
    /// The case is about something that the driver does not claim.
    #[serde(rename = "not applicable")]
    NotApplicable,
    /// Nobody knows.
    #[serde(rename = "not run")]
    NotRun,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Deviation => "deviation",
            Self::StaleDeviation => "stale deviation",
            Self::NotApplicable => "not applicable",
            Self::NotRun => "not run",
        })
    }
}

/// Which suite, which build of the test binary and which settings a file comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// Version, level and list of cases of the suite.
    pub(crate) suite: String,
    /// The test binary.
    pub(crate) build: String,
    /// The profile that cargo built it with.
    pub(crate) profile: String,
    /// What the run is called; empty where nobody named it.
    #[serde(default)]
    pub(crate) run: String,
    /// The numbers that the environment may set, as they stood: how many model runs, from which seed.
    #[serde(default)]
    pub(crate) settings: Vec<(String, u64)>,
}

/// The suite of this build: another version, level or list of cases gives another text.
pub(crate) fn suite_id() -> String {
    let list = cases::pinned_list();
    format!(
        "{} level {SUITE_LEVEL}, {} cases, list {:08x}",
        env!("CARGO_PKG_VERSION"),
        cases::all().len(),
        crc32c::crc32c(list.as_bytes())
    )
}

impl Origin {
    /// The origin of what this process writes.
    pub(crate) fn current() -> Self {
        let profile = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        Self {
            suite: suite_id(),
            build: build_id().unwrap_or_else(|| "unknown".to_owned()),
            profile: profile.to_owned(),
            run: settings::run_name(),
            settings: settings::in_force(),
        }
    }
}

/// Tells one build of the running binary from another: its length and the time it was written.
fn build_id() -> Option<String> {
    let binary = std::env::current_exe().ok()?.metadata().ok()?;
    let modified = binary.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(format!("{} bytes of {}", binary.len(), since.as_nanos()))
}

/// The content of `driver.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DriverRecord {
    pub(crate) origin: Origin,
    pub(crate) name: String,
    pub(crate) version: String,
    /// Capabilities that are claimed.
    pub(crate) claims: Vec<String>,
    /// Capabilities that are not, and why.
    pub(crate) absent: Vec<(String, String)>,
    pub(crate) cases: Vec<PlannedCase>,
}

/// A case as it stands in `driver.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlannedCase {
    pub(crate) id: String,
    pub(crate) clauses: Vec<String>,
    pub(crate) level: u32,
    /// Why the case does not apply, where it does not.
    pub(crate) inapplicable: Option<String>,
    /// What is said of its failing, where that is known.
    pub(crate) deviation: Option<String>,
}

impl DriverRecord {
    pub(crate) fn new(info: &DriverInfo, claims: &Claims, deviations: &[Deviation]) -> Self {
        let claimed = claims.capabilities();
        let absent = storage_api::Capability::ALL.into_iter().filter_map(|one| {
            let reason = claims.reason(one)?;
            Some((one.to_string(), reason.to_owned()))
        });
        let planned = cases::all().into_iter().map(|case| PlannedCase {
            id: case.id.to_owned(),
            clauses: case.clauses.iter().map(|&clause| clause.into()).collect(),
            level: case.level,
            inapplicable: case.inapplicable(claims),
            deviation: deviations
                .iter()
                .find(|deviation| deviation.case() == case.id)
                .map(|deviation| format!("{} ({})", deviation.reason(), deviation.link())),
        });
        Self {
            origin: Origin::current(),
            name: info.name().to_owned(),
            version: info.version().to_owned(),
            claims: claimed.iter().map(|one| one.to_string()).collect(),
            absent: absent.collect(),
            cases: planned.collect(),
        }
    }
}

/// The content of the file of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CaseRecord {
    pub(crate) origin: Origin,
    pub(crate) driver: String,
    pub(crate) id: String,
    pub(crate) clauses: Vec<String>,
    pub(crate) level: u32,
    pub(crate) verdict: Verdict,
    pub(crate) reason: Option<String>,
    /// What the backend said that its `Ok` means, where the case opened one.
    pub(crate) durability: Option<Durability>,
}

impl CaseRecord {
    pub(crate) fn new(driver: &str, case: &Case, verdict: Verdict, reason: Option<String>) -> Self {
        Self {
            origin: Origin::current(),
            driver: driver.to_owned(),
            id: case.id.to_owned(),
            clauses: case.clauses.iter().map(|&clause| clause.into()).collect(),
            level: case.level,
            verdict,
            reason,
            durability: None,
        }
    }

    /// The same, of a backend that was opened with that durability.
    pub(crate) fn with_durability(mut self, durability: Option<Durability>) -> Self {
        self.durability = durability;
        self
    }
}

/// The directory of the records of one driver.
#[derive(Debug, Clone)]
pub(crate) struct RecordDirectory(PathBuf);

impl RecordDirectory {
    /// `$STORAGE_CONFORMANCE_DIR/<driver>`, else `<target directory>/conformance/<driver>`.
    pub(crate) fn of(driver: &str) -> Self {
        let root = std::env::var_os("STORAGE_CONFORMANCE_DIR")
            .map(PathBuf::from)
            .or_else(|| Some(own_target_directory()?.join("conformance")))
            .unwrap_or_else(|| PathBuf::from("target/conformance"));
        Self(root.join(driver))
    }

    /// The report of what lies here.
    pub(crate) fn report(&self) -> std::io::Result<Report> {
        Report::of_driver(&self.0)
    }

    /// The directory of these records, whatever the driver is called.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Writes `driver.json`, unless it says the same already.
    ///
    /// A runner that gives each test a process of its own comes here once for every case, several at a time.
    pub(crate) fn write_driver(&self, record: &DriverRecord) -> std::io::Result<()> {
        let path = self.0.join(DRIVER_FILE);
        let text = serde_json::to_string_pretty(record)?;
        match std::fs::read_to_string(&path) {
            Ok(found) if found == text => Ok(()),
            _ => self.write(&path, &text),
        }
    }

    /// Writes the file of one case.
    pub(crate) fn write_case(&self, record: &CaseRecord) -> std::io::Result<()> {
        let text = serde_json::to_string_pretty(record)?;
        self.write(&self.case_path(&record.id), &text)
    }

    /// Removes the file of one case, so that a run that dies leaves none.
    pub(crate) fn remove_case(&self, id: &str) -> std::io::Result<()> {
        match std::fs::remove_file(self.case_path(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes a sequence that failed beside the records, and gives its path.
    pub(crate) fn write_candidate(&self, name: &str, text: &str) -> std::io::Result<PathBuf> {
        let directory = Self(self.0.join("corpus-candidates"));
        let path = directory.0.join(name);
        directory.write(&path, text)?;
        Ok(path)
    }

    /// Writes the page of a history and says where.
    pub(crate) fn write_history(&self, name: &str, text: &str) -> std::io::Result<PathBuf> {
        let directory = Self(self.0.join("histories"));
        let path = directory.0.join(name);
        directory.write(&path, text)?;
        Ok(path)
    }

    /// Writes what a soak has found beside the records, and gives its path.
    pub(crate) fn write_finding(&self, name: &str, text: &str) -> std::io::Result<PathBuf> {
        let directory = Self(self.0.join("findings"));
        let path = directory.0.join(name);
        directory.write(&path, text)?;
        Ok(path)
    }

    /// The record of one case, where there is one that can be read.
    pub(crate) fn read_case(&self, id: &str) -> std::io::Result<Option<CaseRecord>> {
        match std::fs::read_to_string(self.case_path(id)) {
            Ok(text) => Ok(serde_json::from_str(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where the records lie.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn case_path(&self, id: &str) -> PathBuf {
        self.0.join(format!("{}.json", id.replace("::", "__")))
    }

    /// Whole or not at all: others may be reading or writing the same file.
    fn write(&self, path: &Path, text: &str) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
        file.write_all(text.as_bytes())?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// The target directory that the running binary was built in: cargo marks it with a `CACHEDIR.TAG`.
pub(crate) fn own_target_directory() -> Option<PathBuf> {
    let binary = std::env::current_exe().ok()?;
    let mut above = binary.ancestors().skip(1);
    let marked = above.find(|directory| directory.join("CACHEDIR.TAG").is_file());
    marked.map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_written_as_they_are_shown() {
        for verdict in [
            Verdict::Pass,
            Verdict::Fail,
            Verdict::Deviation,
            Verdict::StaleDeviation,
            Verdict::NotApplicable,
            Verdict::NotRun,
        ] {
            let written = serde_json::to_value(verdict).unwrap();

            assert_eq!(written, verdict.to_string());
        }
    }

    #[test]
    fn the_level_of_the_suite_is_that_of_its_latest_case() {
        let latest = cases::all().iter().map(|case| case.level).max();

        assert_eq!(latest, Some(SUITE_LEVEL));
    }
}
