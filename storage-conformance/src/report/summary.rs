//! The matrix in short, one row for each area of the contract, as a README shows it.

use std::collections::BTreeSet;

use super::{Cell, DOES_NOT_CLAIM, DriverReport, Report, SURVIVES};
use crate::clauses::CLAUSES;
use crate::record::Verdict;

/// Between these lines a file shows the summary.
const BEGIN: &str = "<!-- matrix -->";
const END: &str = "<!-- /matrix -->";

/// What the clauses that begin with a word are about.
const AREAS: [(&str, &[&str]); 8] = [
    ("partitions", &["PART"]),
    ("produce, order, dedup", &["ITEM", "ORDER"]),
    ("lease", &["LEASE"]),
    (
        "complete, retry, release, dead",
        &["BATCH", "DONE", "RETRY", "DEAD"],
    ),
    ("time and waking", &["TIME", "WAKE"]),
    ("listing, deleting, moving", &["LIST", "MOVE"]),
    ("metadata and transactions", &["META"]),
    (
        "atomicity, concurrency, durability, limits, errors",
        &[
            "ATOM", "CONC", "DUR", "OPEN", "CLOSE", "LIMIT", "USE", "ERR",
        ],
    ),
];

impl Report {
    /// Keeps the drivers of those names.
    #[must_use]
    pub fn only(mut self, names: &[String]) -> Self {
        self.drivers.retain(|driver| names.contains(&driver.name));
        self
    }

    /// The matrix of drivers against areas of the contract, for a README.
    pub fn to_summary(&self) -> String {
        let mut text = String::new();
        self.write_summary(&mut text)
            .expect("writing into a string does not fail");
        text
    }

    /// A text with the summary between its two marking lines, in place of what stood there.
    ///
    /// `None` where the lines `<!-- matrix -->` and `<!-- /matrix -->` are not there.
    pub fn summary_into(&self, text: &str) -> Option<String> {
        let (before, rest) = text.split_once(BEGIN)?;
        let (_, after) = rest.split_once(END)?;
        Some(format!(
            "{before}{BEGIN}\n{}{END}{after}",
            self.to_summary()
        ))
    }

    fn write_summary(&self, text: &mut String) -> std::fmt::Result {
        self.write_head(text, "clauses about")?;
        let row = |text: &mut String, head: &str, cell: &Cell<'_>| self.write_row(text, head, cell);
        row(text, SURVIVES, &DriverReport::durability_cell)?;
        row(text, DOES_NOT_CLAIM, &DriverReport::absent_cell)?;
        for (area, words) in AREAS {
            row(text, area, &|driver| driver.area_cell(words))?;
        }
        let cases = |driver: &DriverReport, verdict| {
            let cases = driver.cases.iter();
            cases.filter(|case| case.verdict == verdict).count()
        };
        row(text, "cases passed", &|driver| {
            format!("{} of {}", cases(driver, Verdict::Pass), driver.cases.len())
        })?;
        row(text, "cases that do not apply", &|driver| {
            cases(driver, Verdict::NotApplicable).to_string()
        })?;
        row(text, "**verdict**", &|driver| {
            format!("**{}**", driver.verdict)
        })
    }
}

impl DriverReport {
    /// How many clauses of an area stand at which verdict, each at the worst of its cases.
    fn area_cell(&self, words: &[&str]) -> String {
        let is_of_area = |clause: &str| {
            words
                .iter()
                .any(|word| clause.split('-').next() == Some(word))
        };
        let mut marks = [("✗", 0), ("△", 0), ("?", 0), ("✓", 0), ("–", 0)];
        for clause in CLAUSES.iter().filter(|clause| is_of_area(clause)) {
            let found: BTreeSet<_> = self
                .cases
                .iter()
                .filter(|case| case.clauses.iter().any(|one| one == clause))
                .map(|case| match case.verdict {
                    Verdict::Fail | Verdict::StaleDeviation => 0,
                    Verdict::Deviation => 1,
                    Verdict::NotRun => 2,
                    Verdict::Pass => 3,
                    Verdict::NotApplicable => 4,
                })
                .collect();
            if let Some(worst) = found.first() {
                let worst: &usize = worst;
                marks[*worst].1 += 1;
            }
        }
        let shown: Vec<_> = marks
            .iter()
            .filter(|(_, clauses)| *clauses > 0)
            .map(|(mark, clauses)| format!("{mark} {clauses}"))
            .collect();
        shown.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use storage_api::Capability;

    use super::*;
    use crate::cases;
    use crate::harness::Claims;
    use crate::report::CaseReport;
    use crate::report::tests::report_of;

    fn driver(verdicts: &[(&str, Verdict)]) -> Report {
        let cases = verdicts.iter().map(|(clause, verdict)| CaseReport {
            id: format!("area::about_{clause}"),
            clauses: vec![(*clause).to_owned()],
            level: 1,
            verdict: *verdict,
            reason: None,
        });
        let mut report = report_of(&[]);
        report.drivers[0].cases = cases.collect();
        report
    }

    #[test]
    fn every_clause_belongs_to_one_area() {
        for clause in CLAUSES {
            let word = clause.split('-').next().unwrap();
            let areas = AREAS.iter().filter(|(_, words)| words.contains(&word));

            assert_eq!(areas.count(), 1, "{clause}");
        }
    }

    #[test]
    fn a_clause_stands_at_the_worst_of_its_cases() {
        let report = driver(&[
            ("LEASE-1", Verdict::Pass),
            ("LEASE-1", Verdict::Fail),
            ("LEASE-2", Verdict::Pass),
            ("LEASE-2", Verdict::NotApplicable),
            ("LEASE-3", Verdict::NotRun),
        ]);

        let summary = report.to_summary();

        assert!(summary.contains("| lease | ✗ 1, ? 1, ✓ 1 |"), "{summary}");
        assert!(summary.contains("| cases passed | 2 of 5 |"), "{summary}");
    }

    /// The cells of each row of the matrix that the project's README shows, the first of which is its head.
    fn shown_in_the_readme() -> Vec<Vec<String>> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, rest) = text.split_once(BEGIN).unwrap();
        let (matrix, _) = rest.split_once(END).unwrap();
        matrix.trim().lines().map(cells).collect()
    }

    fn cells(row: &str) -> Vec<String> {
        let row = row.trim_matches('|').split('|');
        row.map(|cell| cell.trim().to_owned()).collect()
    }

    fn numbers(cell: &str) -> Vec<usize> {
        let words = cell.split([' ', ',']);
        words.filter_map(|word| word.parse().ok()).collect()
    }

    /// What a driver claims of which such a cell says what it does not.
    fn claims_without(absent: &str) -> Claims {
        let absent: Vec<_> = absent.split(", ").collect();
        let all = Capability::ALL.into_iter();
        let is_absent = |one: &Capability| absent.contains(&one.to_string().as_str());
        all.filter(is_absent).fold(Claims::all(), |claims, one| {
            claims.without(one, "the README says so")
        })
    }

    /// All that can be known without a run. Which verdicts a run gives only a run says: the last step of `scripts/test`, after
    /// all drivers, compares every cell.
    #[test]
    fn the_matrix_of_the_readme_is_that_of_this_suite() {
        let rows = shown_in_the_readme();
        let summary = driver(&[]).to_summary();

        let heads: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
        let own_heads: Vec<_> = summary.lines().map(|row| cells(row).remove(0)).collect();
        assert_eq!(heads, own_heads, "renew the matrix of the README");
        let row = |head: &str| rows.iter().find(|row| row[0] == head).unwrap();
        let (passed, absent) = (row("cases passed"), row("cases that do not apply"));
        let verdicts = row("**verdict**");
        for (column, name) in rows[0].iter().enumerate().skip(1) {
            let all = cases::all().len();
            let [passed, of] = numbers(&passed[column])[..] else {
                panic!("{name}: {}", passed[column]);
            };
            assert_eq!(
                of, all,
                "{name}: the README is about another number of cases"
            );
            if verdicts[column] == "**conformant**" {
                assert_eq!(passed + numbers(&absent[column])[0], all, "{name}");
            }
            // Others may find only when they run that they do not apply.
            let claims = claims_without(&row(DOES_NOT_CLAIM)[column]);
            let excluded = cases::all().into_iter();
            let excluded = excluded.filter(|case| case.inapplicable(&claims).is_some());
            let (excluded, shown) = (excluded.count(), numbers(&absent[column])[0]);
            assert!(
                excluded > 0 && excluded <= shown,
                "{name}: its claims exclude {excluded} cases, and the README says {shown}"
            );
            for (area, words) in AREAS {
                let is_of_area =
                    |clause: &&&str| words.contains(&clause.split('-').next().unwrap());
                let clauses = CLAUSES.iter().filter(is_of_area).count();
                let shown: usize = numbers(&row(area)[column]).iter().sum();
                assert_eq!(shown, clauses, "{name}: clauses about {area}");
            }
        }
    }

    #[test]
    fn the_summary_replaces_what_stood_between_the_lines() {
        let report = driver(&[]);

        let text = report.summary_into("a\n<!-- matrix -->\nold\n<!-- /matrix -->\nb\n");

        let text = text.unwrap();
        assert!(
            text.starts_with("a\n<!-- matrix -->\n| clauses about | mine |"),
            "{text}"
        );
        assert!(
            text.ends_with("\n<!-- /matrix -->\nb\n") && !text.contains("old"),
            "{text}"
        );
        assert_eq!(
            report.summary_into(&text).unwrap(),
            text,
            "a second time changes nothing"
        );
        assert_eq!(report.summary_into("no lines"), None);
    }
}
