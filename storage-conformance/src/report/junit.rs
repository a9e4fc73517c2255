//! The report in the form that build servers read: one test suite per driver, one test case per case.

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use super::{AbsentCapability, CaseReport, DriverReport, Report};
use crate::record::Verdict;

impl Report {
    /// The report as JUnit XML.
    ///
    /// A case that does not apply, and a known deviation, is *skipped* with its reason; a case that was not run is an *error*.
    pub fn to_junit(&self) -> String {
        let mut junit = Junit::new("storage-conformance");
        junit.add_test_suites(self.drivers.iter().map(suite));
        let text = junit.to_string();
        text.expect("names and reasons are texts, which XML can hold")
    }
}

fn suite(driver: &DriverReport) -> TestSuite {
    let mut suite = TestSuite::new(driver.name.as_str());
    suite
        .add_property(("version", driver.version.as_str()))
        .add_property(("verdict", driver.verdict.to_string().as_str()))
        .add_property(("suite", driver.suite.as_str()))
        .add_property(("profile", driver.profile.as_str()))
        .add_property(("run", driver.run.as_str()));
    if let Some(durability) = driver.durability {
        suite.add_property(("durability", durability.to_string().as_str()));
    }
    for AbsentCapability { capability, reason } in &driver.absent {
        let name = format!("does not claim {capability}");
        suite.add_property((name.as_str(), reason.as_str()));
    }
    for (name, value) in &driver.settings {
        suite.add_property((name.as_str(), value.to_string().as_str()));
    }
    suite.add_test_cases(driver.cases.iter().map(|case| test_case(driver, case)));
    suite
}

fn test_case(driver: &DriverReport, case: &CaseReport) -> TestCase {
    let (area, _) = case.id.split_once("::").unwrap_or((&case.id, ""));
    let mut told = TestCase::new(case.id.as_str(), status(case));
    told.set_classname(format!("{}.{area}", driver.name))
        .add_property(("clauses", case.clauses.join(" ").as_str()))
        .add_property(("level", case.level.to_string().as_str()));
    told
}

fn status(case: &CaseReport) -> TestCaseStatus {
    let mut status = match case.verdict {
        Verdict::Pass => return TestCaseStatus::success(),
        Verdict::Fail | Verdict::StaleDeviation => {
            TestCaseStatus::non_success(NonSuccessKind::Failure)
        }
        Verdict::NotRun => TestCaseStatus::non_success(NonSuccessKind::Error),
        Verdict::NotApplicable | Verdict::Deviation => TestCaseStatus::skipped(),
    };
    let reason = case.reason.as_deref().unwrap_or("no reason given");
    let (first, _) = reason.split_once('\n').unwrap_or((reason, ""));
    status
        .set_type(case.verdict.to_string())
        .set_message(format!("{}: {first}", case.verdict))
        .set_description(reason);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report_of;

    #[test]
    fn a_verdict_that_is_no_pass_never_looks_like_one() {
        let report = report_of(&[
            ("area::passes", Verdict::Pass, None),
            (
                "area::fails",
                Verdict::Fail,
                Some("left < right & \u{1b}[31m"),
            ),
            (
                "area::is_stale",
                Verdict::StaleDeviation,
                Some("take it away"),
            ),
            ("area::is_known", Verdict::Deviation, Some("known (link)")),
            (
                "area::does_not_apply",
                Verdict::NotApplicable,
                Some("no disk"),
            ),
            ("area::was_not_run", Verdict::NotRun, Some("no record")),
        ]);

        let text = report.to_junit();

        let head = r#"<testsuite name="mine" tests="6" skipped="2" errors="1" failures="2">"#;
        assert!(text.contains(head), "{text}");
        assert!(
            text.contains(r#"message="not applicable: no disk""#),
            "{text}"
        );
        assert!(text.contains("left &lt; right &amp; "), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        let levels = text.matches(r#"<property name="level" value=""#).count();
        assert_eq!(levels, 6, "one for each case: {text}");
    }
}
