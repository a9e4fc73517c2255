//! The report, made from the record files of one or more drivers and from nothing else.

mod files;
mod junit;
mod proof;
mod summary;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use storage_api::Durability;

use crate::clauses::CLAUSES;
use crate::record::{self, CaseRecord, DRIVER_FILE, DriverRecord, Verdict};
use crate::settings;

/// The heads of rows about what a driver promises.
const SURVIVES: &str = "an `Ok` survives";
const DOES_NOT_CLAIM: &str = "does not claim";

/// What the records say of all drivers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One entry per driver, by name.
    pub drivers: Vec<DriverReport>,
}

/// What the records say of one driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriverReport {
    /// Its name.
    pub name: String,
    /// `conformant`, `non-conformant` or `incomplete`.
    pub verdict: DriverVerdict,
    /// Its version.
    pub version: String,
    /// The suite that wrote the records.
    pub suite: String,
    /// The profile that it was built with.
    pub profile: String,
    /// What the run is called, such as the profile of a test script; empty where nobody named it.
    pub run: String,
    /// The numbers that the environment may set, as they stood: how many model runs, from which seed.
    pub settings: BTreeMap<String, u64>,
    /// What its `Ok` survives (clause DUR-1), as the backends said that its cases opened; of several the weakest. `None` where
    /// no case that counts has opened one.
    pub durability: Option<Durability>,
    /// What it does not claim, and why: cases about it do not apply.
    pub absent: Vec<AbsentCapability>,
    /// The settings by which one seed ran alone: the run was less than the suite, and no driver is conformant by it.
    pub only_seeds: Vec<String>,
    /// How many record files were refused, as another suite, build or run wrote them, or one with other settings.
    pub refused_records: usize,
    /// Every case of the suite.
    pub cases: Vec<CaseReport>,
}

/// A capability that a driver does not claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AbsentCapability {
    /// Its name.
    pub capability: String,
    /// Why the driver lacks it.
    pub reason: String,
}

/// What the records say of one case of one driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// Its id.
    pub id: String,
    /// The clauses that it proves.
    pub clauses: Vec<String>,
    /// The level of the suite at which it came.
    pub level: u32,
    /// What it found.
    pub verdict: Verdict,
    /// Why, where that is not clear by itself.
    pub reason: Option<String>,
}

/// Whether a driver is what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriverVerdict {
    /// Every case that applies passed.
    Conformant,
    /// A case did not pass, known or not.
    NonConformant,
    /// None failed, but some were not run, or not to their whole extent.
    Incomplete,
}

impl std::fmt::Display for DriverVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Conformant => "conformant",
            Self::NonConformant => "non-conformant",
            Self::Incomplete => "incomplete",
        })
    }
}

/// What a table says of a driver in one line.
type Cell<'a> = dyn Fn(&DriverReport) -> String + 'a;

impl Report {
    /// Reads every driver's records from those directories, each of which holds a directory per driver.
    ///
    /// A directory that is missing holds nothing; a file that cannot be read or understood is an error.
    pub fn read(directories: &[PathBuf]) -> std::io::Result<Self> {
        let mut drivers = Vec::new();
        for directory in directories {
            for entry in entries(directory)? {
                if entry.join(DRIVER_FILE).is_file() {
                    drivers.push(DriverReport::read(&entry)?);
                }
            }
        }
        drivers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { drivers })
    }

    /// The report of the driver whose records lie in that directory.
    pub(crate) fn of_driver(directory: &Path) -> std::io::Result<Self> {
        Ok(Self {
            drivers: vec![DriverReport::read(directory)?],
        })
    }

    /// Whether there is a driver, and all are conformant.
    pub fn is_conformant(&self) -> bool {
        let mut verdicts = self.drivers.iter().map(|driver| driver.verdict);
        !self.drivers.is_empty() && verdicts.all(|verdict| verdict == DriverVerdict::Conformant)
    }

    /// The matrix of drivers against clauses, and below it whatever did not pass.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        self.write_markdown(&mut text)
            .expect("writing into a string does not fail");
        text
    }

    /// The first lines of a table with a column for each driver.
    fn write_head(&self, text: &mut String, head: &str) -> std::fmt::Result {
        self.write_row(text, head, &|driver| driver.name.clone())?;
        writeln!(text, "|---|{}", "---|".repeat(self.drivers.len()))
    }

    /// A line of such a table.
    fn write_row(&self, text: &mut String, head: &str, cell: &Cell<'_>) -> std::fmt::Result {
        let cells: Vec<_> = self.drivers.iter().map(cell).collect();
        writeln!(text, "| {head} | {} |", cells.join(" | "))
    }

    fn write_markdown(&self, text: &mut String) -> std::fmt::Result {
        self.write_head(text, "clause")?;
        let row = |text: &mut String, head: &str, cell: &Cell<'_>| self.write_row(text, head, cell);
        row(text, "**verdict**", &|driver| {
            format!("**{}**", driver.verdict)
        })?;
        row(text, "version", &|driver| driver.version.clone())?;
        row(text, SURVIVES, &DriverReport::durability_cell)?;
        row(text, DOES_NOT_CLAIM, &DriverReport::absent_cell)?;
        for clause in CLAUSES {
            row(text, clause, &|driver| driver.cell(clause))?;
        }
        writeln!(
            text,
            "\n✓ passed, ✗ failed, △ known deviation, – does not apply, ? not run; the figure is the number of cases."
        )?;
        for driver in &self.drivers {
            driver.write_remarks(text)?;
        }
        Ok(())
    }
}

impl DriverReport {
    fn read(directory: &Path) -> std::io::Result<Self> {
        let plan: DriverRecord = parse(&directory.join(DRIVER_FILE))?;
        let mut records = BTreeMap::new();
        for path in entries(directory)? {
            let is_record =
                path.extension().is_some_and(|end| end == "json") && !path.ends_with(DRIVER_FILE);
            if is_record {
                let record: CaseRecord = parse(&path)?;
                records.insert(record.id.clone(), record);
            }
        }
        Ok(Self::merge(plan, records))
    }

    /// Sets the records against the plan, and the plan against the suite of this build.
    fn merge(plan: DriverRecord, mut records: BTreeMap<String, CaseRecord>) -> Self {
        let before = records.len();
        records.retain(|_, record| record.origin == plan.origin && record.driver == plan.name);
        let refused_records = before - records.len();

        let only_seeds: Vec<_> = plan
            .origin
            .settings
            .iter()
            .filter(|(variable, _)| settings::is_only_seed(variable))
            .map(|(variable, seed)| format!("{variable}={seed}"))
            .collect();
        let own_suite = record::suite_id();
        let is_own_suite = plan.origin.suite == own_suite;
        let opened = records.values().filter_map(|record| record.durability);
        let durability = opened.min().filter(|_| is_own_suite);
        let not_run = |reason: String| (Verdict::NotRun, Some(reason));
        let cases: Vec<_> = plan
            .cases
            .into_iter()
            .map(|planned| {
                let (verdict, reason) = match (records.remove(&planned.id), planned.inapplicable) {
                    _ if !is_own_suite => not_run(format!(
                        "its records come from suite {}; this is suite {own_suite}; run the tests again",
                        plan.origin.suite
                    )),
                    (_, Some(reason)) => (Verdict::NotApplicable, Some(reason)),
                    (Some(record), None) => (record.verdict, record.reason),
                    (None, None) => not_run("no record of this build of the tests with these settings".to_owned()),
                };
                CaseReport {
                    id: planned.id,
                    clauses: planned.clauses,
                    level: planned.level,
                    verdict,
                    reason,
                }
            })
            .collect();
        Self {
            name: plan.name,
            verdict: match driver_verdict(&cases) {
                DriverVerdict::Conformant if !only_seeds.is_empty() => DriverVerdict::Incomplete,
                verdict => verdict,
            },
            version: plan.version,
            suite: plan.origin.suite,
            profile: plan.origin.profile,
            run: plan.origin.run,
            settings: plan.origin.settings.into_iter().collect(),
            durability,
            absent: plan
                .absent
                .into_iter()
                .map(|(capability, reason)| AbsentCapability { capability, reason })
                .collect(),
            only_seeds,
            refused_records,
            cases,
        }
    }

    /// The cell of a clause: the worst verdict, and how many cases stand behind it.
    fn cell(&self, clause: &str) -> String {
        let of = |verdicts: &[Verdict]| {
            let cases = self.cases.iter().filter(|case| {
                case.clauses.iter().any(|one| one == clause) && verdicts.contains(&case.verdict)
            });
            cases.count()
        };
        let marks = [
            ("✗", of(&[Verdict::Fail, Verdict::StaleDeviation])),
            ("△", of(&[Verdict::Deviation])),
            ("?", of(&[Verdict::NotRun])),
            ("✓", of(&[Verdict::Pass])),
            ("–", of(&[Verdict::NotApplicable])),
        ];
        let shown: Vec<_> = marks
            .iter()
            .filter(|(_, cases)| *cases > 0)
            .map(|(mark, cases)| format!("{mark} {cases}"))
            .collect();
        shown.join(", ")
    }

    /// What an `Ok` survives, in the words of clause DUR-1.
    fn durability_cell(&self) -> String {
        self.durability
            .map_or_else(|| "?".to_owned(), |durability| durability.to_string())
    }

    /// The names of what is not claimed.
    fn absent_cell(&self) -> String {
        let names: Vec<_> = self
            .absent
            .iter()
            .map(|one| one.capability.as_str())
            .collect();
        if names.is_empty() {
            "–".to_owned()
        } else {
            names.join(", ")
        }
    }

    /// The run's name and settings, to follow other words.
    fn run_remark(&self) -> String {
        let mut text = String::new();
        if !self.run.is_empty() {
            text.push_str(&format!(", run {}", self.run));
        }
        for (name, value) in &self.settings {
            text.push_str(&format!(", {name}={value}"));
        }
        text
    }

    fn write_remarks(&self, text: &mut String) -> std::fmt::Result {
        let count = |verdict| {
            self.cases
                .iter()
                .filter(|one| one.verdict == verdict)
                .count()
        };
        writeln!(
            text,
            "\n**{}** {}: {}. {} of {} cases passed, {} do not apply, {} were not run. Suite {}, {} build{}.",
            self.name,
            self.version,
            self.verdict,
            count(Verdict::Pass),
            self.cases.len(),
            count(Verdict::NotApplicable),
            count(Verdict::NotRun),
            self.suite,
            self.profile,
            self.run_remark()
        )?;
        if !self.only_seeds.is_empty() {
            writeln!(
                text,
                "One seed ran alone, whatever the number of runs says: {}. That is less than the suite, so that nobody is \
                 conformant by it; run it without.",
                self.only_seeds.join(", ")
            )?;
        }
        if self.refused_records > 0 {
            writeln!(
                text,
                "{} record files of another suite, build, run or other settings were refused.",
                self.refused_records
            )?;
        }
        if !self.absent.is_empty() {
            writeln!(text)?;
        }
        for AbsentCapability { capability, reason } in &self.absent {
            writeln!(text, "- does not claim {capability}: {reason}")?;
        }
        // One line per reason: a hundred cases that were not run have one.
        let mut remarks: BTreeMap<(Verdict, &str), Vec<&str>> = BTreeMap::new();
        for case in &self.cases {
            if case.verdict != Verdict::Pass {
                let reason = case.reason.as_deref().unwrap_or("no reason given");
                let reason = reason.lines().next().unwrap_or_default();
                let ids = remarks.entry((case.verdict, reason)).or_default();
                ids.push(&case.id);
            }
        }
        if !remarks.is_empty() && self.absent.is_empty() {
            writeln!(text)?;
        }
        for ((verdict, reason), ids) in remarks {
            const SHOWN_MAX: usize = 6;
            let shown: Vec<_> = ids
                .iter()
                .take(SHOWN_MAX)
                .map(|id| format!("`{id}`"))
                .collect();
            let rest = match ids.len().saturating_sub(SHOWN_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            writeln!(text, "- {verdict}: {}{rest}: {reason}", shown.join(", "))?;
        }
        Ok(())
    }
}

fn driver_verdict(cases: &[CaseReport]) -> DriverVerdict {
    let has = |verdict| cases.iter().any(|case| case.verdict == verdict);
    if has(Verdict::Fail) || has(Verdict::Deviation) || has(Verdict::StaleDeviation) {
        DriverVerdict::NonConformant
    } else if has(Verdict::NotRun) || !has(Verdict::Pass) {
        DriverVerdict::Incomplete
    } else {
        DriverVerdict::Conformant
    }
}

/// Where runs of this machine leave their records: `$STORAGE_CONFORMANCE_DIR`; else `conformance` in the target directory that
/// the running binary stands in (or `$CARGO_TARGET_DIR`, or `target`) and in those of the crates below `examples`.
pub fn default_directories() -> Vec<PathBuf> {
    if let Some(directory) = std::env::var_os("STORAGE_CONFORMANCE_DIR") {
        return vec![directory.into()];
    }
    let target = record::own_target_directory()
        .or_else(|| std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("target"));
    let mut directories = vec![target.join("conformance")];
    // Crates outside of the workspace have a target directory of their own.
    for example in entries(Path::new("examples")).unwrap_or_default() {
        directories.push(example.join("target").join("conformance"));
    }
    directories
}

/// The paths in a directory, sorted; none where there is no directory, or a file instead.
fn entries(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let found = match std::fs::read_dir(directory) {
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        found => found?,
    };
    let mut paths = found
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> std::io::Result<T> {
    let named = |reason: String| std::io::Error::other(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| {
        named(format!(
            "not a record of this suite ({error}); remove it and run the tests again"
        ))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cases;
    use crate::harness::{Claims, DriverInfo};
    use crate::record::RecordDirectory;

    /// A directory with the records of one driver that passed all cases but the last, which has none.
    fn recorded(claims: &Claims) -> (tempfile::TempDir, RecordDirectory) {
        let root = tempfile::tempdir().unwrap();
        let records = RecordDirectory::at(root.path().join("mine"));
        let info = DriverInfo::new("mine", "1.2.3");
        records
            .write_driver(&DriverRecord::new(&info, claims, &[]))
            .unwrap();
        let all = cases::all();
        for case in &all[..all.len() - 1] {
            let record = CaseRecord::new("mine", case, Verdict::Pass, None);
            records.write_case(&record).unwrap();
        }
        (root, records)
    }

    /// A report of one driver with these cases, all about the first clause.
    pub(crate) fn report_of(cases: &[(&str, Verdict, Option<&str>)]) -> Report {
        let cases = cases.iter().map(|(id, verdict, reason)| CaseReport {
            id: (*id).to_owned(),
            clauses: vec![CLAUSES[0].to_owned()],
            level: 1,
            verdict: *verdict,
            reason: reason.map(str::to_owned),
        });
        Report {
            drivers: vec![DriverReport {
                name: "mine".into(),
                verdict: DriverVerdict::Incomplete,
                version: "1".into(),
                suite: "1".into(),
                profile: "debug".into(),
                run: "fast".into(),
                settings: BTreeMap::from([("STORAGE_MODEL_RUNS".into(), 7)]),
                durability: Some(Durability::ProcessCrash),
                absent: vec![AbsentCapability {
                    capability: "sync".into(),
                    reason: "it never waits for the disk".into(),
                }],
                only_seeds: Vec::new(),
                refused_records: 0,
                cases: cases.collect(),
            }],
        }
    }

    #[test]
    fn the_report_names_the_run_and_its_settings() {
        let text = report_of(&[]).to_markdown();

        assert!(
            text.contains("debug build, run fast, STORAGE_MODEL_RUNS=7."),
            "{text}"
        );
    }

    fn read(root: &tempfile::TempDir) -> DriverReport {
        let mut report = Report::read(&[root.path().to_owned()]).unwrap();
        report.drivers.remove(0)
    }

    fn last_case() -> crate::Case {
        *cases::all().last().unwrap()
    }

    #[test]
    fn a_case_without_a_record_makes_a_driver_incomplete() {
        let (root, records) = recorded(&Claims::all());
        let before = read(&root);

        let record = CaseRecord::new("mine", &last_case(), Verdict::Pass, None);
        records.write_case(&record).unwrap();
        let after = read(&root);

        assert_eq!(before.verdict, DriverVerdict::Incomplete);
        assert_eq!(before.cases.last().unwrap().verdict, Verdict::NotRun);
        assert_eq!(after.verdict, DriverVerdict::Conformant);
    }

    #[test]
    fn an_ok_survives_what_the_weakest_opening_of_its_records_says() {
        let (root, records) = recorded(&Claims::all());
        let unopened = read(&root).durability;
        let all = cases::all();
        let opened = [
            (Durability::PowerLoss, Verdict::Pass),
            (Durability::ProcessCrash, Verdict::Fail),
        ];
        for (case, (durability, verdict)) in all.iter().zip(opened) {
            let record = CaseRecord::new("mine", case, verdict, None);
            let record = record.with_durability(Some(durability));
            records.write_case(&record).unwrap();
        }
        let mut refused = CaseRecord::new("mine", &all[2], Verdict::Pass, None);
        refused.origin.build.push('x');
        let refused = refused.with_durability(Some(Durability::None));
        records.write_case(&refused).unwrap();

        let report = Report::read(&[root.path().to_owned()]).unwrap();

        assert_eq!(unopened, None);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["drivers"][0]["durability"], "process-crash");
    }

    #[test]
    fn what_a_driver_promises_and_what_it_does_not_claim_stand_in_every_form_of_the_report() {
        let claims = Claims::all()
            .without(storage_api::Capability::Shared, "one process owns it")
            .without(storage_api::Capability::Sync, "it never waits");
        let (root, records) = recorded(&claims);
        let record = CaseRecord::new("mine", &cases::all()[0], Verdict::Pass, None);
        let record = record.with_durability(Some(Durability::ProcessCrash));
        records.write_case(&record).unwrap();

        let report = Report::read(&[root.path().to_owned()]).unwrap();

        let (markdown, summary) = (report.to_markdown(), report.to_summary());
        for table in [&markdown, &summary] {
            let rows = "| an `Ok` survives | process-crash |\n| does not claim | sync, shared |\n";
            assert!(table.contains(rows), "{table}");
        }
        let reasons = "\n\n- does not claim sync: it never waits\n\
                       - does not claim shared: one process owns it\n";
        assert!(markdown.contains(reasons), "{markdown}");
        let json = serde_json::to_value(&report).unwrap();
        let absent = &json["drivers"][0]["absent"][1];
        assert_eq!(absent["capability"], "shared");
        assert_eq!(absent["reason"], "one process owns it");
        let junit = report.to_junit();
        for property in [
            r#"<property name="durability" value="process-crash"/>"#,
            r#"<property name="does not claim sync" value="it never waits"/>"#,
        ] {
            assert!(junit.contains(property), "{junit}");
        }
    }

    #[test]
    fn a_failure_a_deviation_and_a_stale_one_each_make_it_non_conformant() {
        for verdict in [Verdict::Fail, Verdict::Deviation, Verdict::StaleDeviation] {
            let (root, records) = recorded(&Claims::all());
            let record = CaseRecord::new("mine", &last_case(), verdict, Some("why".into()));
            records.write_case(&record).unwrap();

            assert_eq!(read(&root).verdict, DriverVerdict::NonConformant);
        }
    }

    #[test]
    fn records_of_another_suite_build_run_or_setting_do_not_count() {
        type Change = fn(&mut record::Origin);
        let changes: [Change; 4] = [
            |origin| origin.run.push('x'),
            |origin| origin.settings[0].1 += 1,
            |origin| origin.suite.push('x'),
            |origin| origin.build.push('x'),
        ];
        for change in changes {
            let (root, records) = recorded(&Claims::all());
            let mut record = CaseRecord::new("mine", &last_case(), Verdict::Pass, None);
            change(&mut record.origin);
            records.write_case(&record).unwrap();

            let report = read(&root);

            assert_eq!(report.refused_records, 1);
            assert_eq!(report.cases.last().unwrap().verdict, Verdict::NotRun);
        }
    }

    #[test]
    fn a_run_of_one_seed_alone_says_so_and_makes_nobody_conformant() {
        let root = tempfile::tempdir().unwrap();
        let records = RecordDirectory::at(root.path().join("mine"));
        let info = DriverInfo::new("mine", "1.2.3");
        let mut plan = DriverRecord::new(&info, &Claims::all(), &[]);
        let seed = ("STORAGE_HISTORY_SEED".to_owned(), 7);
        plan.origin.settings.push(seed);
        records.write_driver(&plan).unwrap();
        for case in cases::all() {
            let mut record = CaseRecord::new("mine", &case, Verdict::Pass, None);
            record.origin = plan.origin.clone();
            records.write_case(&record).unwrap();
        }

        let report = Report::read(&[root.path().to_owned()]).unwrap();

        assert_eq!(report.drivers[0].only_seeds, ["STORAGE_HISTORY_SEED=7"]);
        assert_eq!(report.drivers[0].verdict, DriverVerdict::Incomplete);
        assert!(!report.is_conformant());
        let told = "One seed ran alone, whatever the number of runs says: STORAGE_HISTORY_SEED=7.";
        assert!(report.to_markdown().contains(told));
    }

    #[test]
    fn a_driver_that_another_suite_ran_on_has_run_nothing() {
        let (root, records) = recorded(&Claims::all());
        let info = DriverInfo::new("mine", "1.2.3");
        let mut plan = DriverRecord::new(&info, &Claims::all(), &[]);
        plan.origin.suite.push('x');
        records.write_driver(&plan).unwrap();

        let report = read(&root);

        assert_eq!(report.verdict, DriverVerdict::Incomplete);
        assert!(
            report
                .cases
                .iter()
                .all(|case| case.verdict == Verdict::NotRun)
        );
    }

    #[test]
    fn a_file_where_a_directory_could_be_holds_no_records() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("notes.txt");
        std::fs::write(&file, "no records").unwrap();

        let report = Report::read(&[file.join("target"), file]).unwrap();

        assert_eq!(report.drivers, []);
    }

    #[test]
    fn the_report_shows_every_clause_and_every_reason() {
        let claims = storage_api::Capability::ALL
            .into_iter()
            .fold(Claims::all(), |claims, one| {
                claims.without(one, format!("no {one} here"))
            });
        let (root, _) = recorded(&claims);

        let report = Report::read(&[root.path().to_owned()]).unwrap();
        let markdown = report.to_markdown();
        let json = serde_json::to_value(&report).unwrap();

        for clause in CLAUSES {
            assert!(markdown.contains(&format!("| {clause} |")), "{clause}");
        }
        let is_inapplicable = |case: &crate::Case| case.inapplicable(&claims).is_some();
        for case in cases::all().iter().filter(|case| is_inapplicable(case)) {
            let shown = &json["drivers"][0]["cases"];
            let mut shown = shown.as_array().unwrap().iter();
            let found = shown.find(|one| one["id"] == case.id).unwrap();
            assert_eq!(found["verdict"], "not applicable");
            assert!(found["reason"].as_str().unwrap().contains("here"));
        }
        assert_eq!(json["drivers"][0]["verdict"], "incomplete");
    }
}
