//! The page that shows, clause by clause, which case stands behind it, which wrong drivers that case fails on, and what it
//! found on each driver.

use std::fmt::Write as _;

use super::{CaseReport, DriverReport, Report};
use crate::clauses::CLAUSES;
use crate::proofs::Proofs;
use crate::record::Verdict;

impl Report {
    /// Clause, case, mutants, and a column of verdicts for each driver.
    pub(crate) fn to_proof(&self, proofs: &Proofs<'_>) -> String {
        let mut text = String::new();
        self.write_proof(proofs, &mut text)
            .expect("writing into a string does not fail");
        text
    }

    fn write_proof(&self, proofs: &Proofs<'_>, text: &mut String) -> std::fmt::Result {
        writeln!(text, "# What stands behind each clause\n")?;
        writeln!(
            text,
            "Each case fails on the mutants beside it, which are drivers that are wrong in one way; a driver keeps the clause if its \
             column shows ✓ throughout. ✗ failed, △ known deviation, – does not apply, ? not run."
        )?;
        let Some(first) = self.drivers.first() else {
            return writeln!(text, "\nNo driver has records.");
        };
        let names: Vec<_> = self.drivers.iter().map(|one| one.name.as_str()).collect();
        for clause in CLAUSES {
            writeln!(text, "\n## {clause}\n")?;
            writeln!(text, "| case | mutants | {} |", names.join(" | "))?;
            writeln!(text, "|---|---|{}", "---|".repeat(names.len()))?;
            let proves = |case: &&CaseReport| case.clauses.iter().any(|one| one == clause);
            for case in first.cases.iter().filter(proves) {
                let cells: Vec<_> = self.drivers.iter().map(|one| mark(one, &case.id)).collect();
                let (mutants, id) = (named(proofs.of(&case.id)), &case.id);
                writeln!(text, "| `{id}` | {mutants} | {} |", cells.join(" | "))?;
            }
        }
        Ok(())
    }
}

/// Every name: what is not there has not been seen.
fn named(mutants: &[&str]) -> String {
    let names: Vec<_> = mutants.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn mark(driver: &DriverReport, id: &str) -> &'static str {
    let case = driver.cases.iter().find(|case| case.id == id);
    match case.map(|case| case.verdict) {
        Some(Verdict::Pass) => "✓",
        Some(Verdict::Fail | Verdict::StaleDeviation) => "✗",
        Some(Verdict::Deviation) => "△",
        Some(Verdict::NotApplicable) => "–",
        Some(Verdict::NotRun) | None => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report_of;

    #[test]
    fn a_row_has_the_case_its_mutants_and_a_verdict_per_driver() {
        let mut report = report_of(&[("area::holds", Verdict::Pass, None)]);
        let mut other = report_of(&[("area::holds", Verdict::NotApplicable, Some("no disk"))]);
        report.drivers.append(&mut other.drivers);

        let text = report.to_proof(&Proofs::parse("area::holds wrong-in-one-way\n"));

        let row = "| `area::holds` | `wrong-in-one-way` | ✓ | – |";
        assert!(text.contains(row), "{text}");
    }

    #[test]
    fn every_mutant_of_a_case_is_named() {
        let report = report_of(&[("area::holds", Verdict::Pass, None)]);
        let list: String = (1..=9)
            .map(|n| format!("area::holds wrong-{n}\n"))
            .collect();

        let text = report.to_proof(&Proofs::parse(&list));

        for number in 1..=9 {
            assert!(text.contains(&format!("`wrong-{number}`")), "{text}");
        }
        assert_eq!(named(&[]), "");
    }
}
