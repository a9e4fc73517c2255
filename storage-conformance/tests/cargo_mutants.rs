//! The page about the mutants that cargo-mutants made is whole: enough of them ran, and what survived is seen or explained.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use storage_conformance::cases;

/// How many must have run: those that did not compile do not count.
const RAN_MIN: usize = 150;
/// How many of each of the two crates.
const RAN_MIN_OF_EACH: usize = 75;
const CRATES: [&str; 2] = ["storage-kv", "storage-memory"];

/// A line of the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    mutant: String,
    verdict: String,
    /// Without its mark.
    remark: String,
    /// Whether it was added by hand to what the script has found.
    is_marked: bool,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page() -> Vec<Row> {
    rows(&text_of("docs/cargo-mutants.md"))
}

fn text_of(file: &str) -> String {
    let path = root().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// All rows of tables whose first cell is code. A `|` within a cell is escaped.
fn rows(text: &str) -> Vec<Row> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix('|'))
        .map(|line| {
            let line = line.replace("\\|", "\u{0}");
            let cells: Vec<_> = line
                .split('|')
                .map(|cell| cell.replace('\u{0}', "|"))
                .collect();
            let [mutant, verdict, remark] = &cells[..] else {
                panic!(
                    "a line of the page has other cells than mutant, verdict and remark: {line}"
                );
            };
            let remark = remark.trim();
            let unmarked = remark.strip_suffix('†');
            Row {
                mutant: mutant.trim().trim_end_matches('`').to_owned(),
                verdict: verdict.trim().to_owned(),
                remark: unmarked.unwrap_or(remark).trim().to_owned(),
                is_marked: unmarked.is_some(),
            }
        })
        .collect()
}

/// What is wrong with a row.
fn complaint(row: &Row) -> Option<String> {
    let remark = row.remark.as_str();
    match row.verdict.as_str() {
        "caught" => {
            let case = remark.strip_prefix("`conformance ");
            let case = case.and_then(|case| case.strip_suffix('`'));
            let is_there = case.is_some_and(|case| cases::find(case).is_some());
            (!is_there).then(|| format!("no case of the suite has the name in «{remark}»"))
        }
        "timeout" | "unviable" => None,
        "missed" => {
            if let Some(test) = remark.strip_prefix("seen by `") {
                let name = test.trim_end_matches('`').rsplit(['/', ':', ' ']).next();
                let is_there = name.is_some_and(is_a_test);
                return (!is_there).then(|| format!("no test has the name in «{remark}»"));
            }
            if remark == "open" || remark.starts_with("seen by ") {
                return None;
            }
            let reason = remark.strip_prefix("no difference: ").unwrap_or_default();
            (reason.len() < 20)
                .then(|| "it survived, and nothing says why or what sees it now".to_owned())
        }
        other => Some(format!("«{other}» is no verdict")),
    }
}

/// Whether a function of that name stands in the two crates, their adapters or the suite.
fn is_a_test(name: &str) -> bool {
    let wanted = format!("fn {name}(");
    [
        "storage-memory",
        "storage-kv",
        "storage-redb",
        "storage-conformance",
    ]
    .iter()
    .any(|part| holds(&root().join(part), &wanted))
}

fn holds(directory: &Path, wanted: &str) -> bool {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{directory:?}: {error}"));
    entries.flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return holds(&path, wanted);
        }
        path.extension().is_some_and(|ending| ending == "rs")
            && fs::read_to_string(&path).is_ok_and(|text| text.contains(wanted))
    })
}

#[test]
fn enough_mutants_of_both_crates_ran() {
    let rows = page();

    let ran = |of: &str| {
        let of = format!("{of}/");
        rows.iter()
            .filter(|row| row.mutant.starts_with(&of) && row.verdict != "unviable")
            .count()
    };

    let each = CRATES.map(ran);
    assert!(
        each.iter().all(|&ran| ran >= RAN_MIN_OF_EACH),
        "{CRATES:?}: {each:?} ran"
    );
    assert!(
        each.iter().sum::<usize>() >= RAN_MIN,
        "{CRATES:?}: {each:?} ran"
    );
}

#[test]
fn no_survivor_is_open() {
    let rows = page();

    let open: Vec<_> = rows.iter().filter(|row| row.remark == "open").collect();

    assert!(open.is_empty(), "nobody has looked into these: {open:#?}");
}

#[test]
fn the_page_says_with_how_much_effort_its_rows_were_found() {
    let (page, script) = (
        text_of("docs/cargo-mutants.md"),
        text_of("scripts/mutants-sample"),
    );

    let (_, effort) = script.split_once("EFFORT = {\n").unwrap();
    let (effort, _) = effort.split_once("\n}").unwrap();
    for line in effort.lines() {
        let line = line.trim().trim_end_matches(',').replace('"', "");
        let setting = format!("`{}`", line.replace(": ", "="));
        assert!(page.contains(&setting), "the page does not say {setting}");
    }
    let rows = rows(&page);
    let of = |verdict: &str| rows.iter().filter(|row| row.verdict == verdict).count();
    let ran = rows.len() - of("unviable");
    let told = format!(
        "Of {ran} mutants that ran the suite let {} through.",
        of("missed")
    );
    assert!(page.contains(&told), "the page does not say: {told}");
    let marked = rows.iter().filter(|row| row.is_marked).count();
    assert!(page.contains(&format!("- † ({marked} rows): not found by this script.")));
}

#[test]
fn no_mutant_stands_in_the_page_twice() {
    let rows = page();

    let names: BTreeSet<_> = rows.iter().map(|row| &row.mutant).collect();

    assert_eq!(names.len(), rows.len());
}

#[test]
fn every_survivor_is_explained_or_seen_by_a_test_that_is_there() {
    let complaints: Vec<_> = page()
        .iter()
        .filter_map(|row| Some(format!("{}: {}", row.mutant, complaint(row)?)))
        .collect();

    assert!(
        complaints.is_empty(),
        "docs/cargo-mutants.md:\n{}",
        complaints.join("\n")
    );
}

#[test]
fn a_survivor_without_a_reason_is_complained_about() {
    let found = |line: &str| rows(line).iter().find_map(complaint);

    assert!(found("| `storage-kv/src/a.rs:1:2: replace \\| with ^` | missed | |").is_some());
    assert!(
        found(
            "| `storage-kv/src/a.rs:1:2: delete !` | missed | seen by `a::there_is_no_such_test` |"
        )
        .is_some()
    );
    assert!(found("| `storage-kv/src/a.rs:1:2: delete !` | sleeping | |").is_some());
    assert!(found("| `storage-kv/src/a.rs:1:2: delete !` | caught | |").is_some());
    assert!(
        found("| `storage-kv/src/a.rs:1:2: delete !` | caught | `conformance lease::no_case` |")
            .is_some()
    );
    assert!(found("| `storage-kv/src/a.rs:1:2: delete !` | missed | no difference: the order is not told to anybody |").is_none());
}
