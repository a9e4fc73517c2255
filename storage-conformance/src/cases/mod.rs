//! Every case, by area.
//!
//! To add one: write an `async fn` in the file of its area, add its name and its clauses to the list at the top of that file,
//! and its id to `cases.txt`.

mod capability;
mod commit;
mod concurrency;
mod damage;
mod durability;
mod errors;
mod finish;
mod history;
mod lease;
mod limits;
mod listing;
mod metadata;
mod open_close;
mod partitions;
mod produce;
mod restore;
mod shortcut;
mod signals;
mod staged;
mod time;

use crate::case::Case;

/// The lists of the areas, in the order in which they run.
const AREAS: &[&[Case]] = &[
    partitions::life::CASES,
    partitions::names::CASES,
    partitions::stats::CASES,
    partitions::mode::CASES,
    produce::storing::CASES,
    produce::order::CASES,
    produce::dedup::CASES,
    produce::dedup_time::CASES,
    lease::taking::CASES,
    lease::deadline::CASES,
    lease::extend::CASES,
    lease::holder::CASES,
    finish::call::CASES,
    finish::complete::CASES,
    finish::retry::CASES,
    finish::attempts::CASES,
    finish::dead::CASES,
    time::due::CASES,
    time::report::CASES,
    time::clock::CASES,
    listing::CASES,
    restore::CASES,
    metadata::CASES,
    commit::CASES,
    durability::CASES,
    open_close::CASES,
    damage::CASES,
    limits::CASES,
    errors::CASES,
    signals::CASES,
    shortcut::CASES,
    concurrency::items::CASES,
    concurrency::commits::CASES,
    concurrency::order::CASES,
    concurrency::dropped::CASES,
    capability::CASES,
    crate::model::CASES,
    crate::model::CORPUS,
    history::CASES,
    crate::history::CASES,
];

/// Every case.
pub fn all() -> Vec<Case> {
    AREAS.iter().copied().flatten().copied().collect()
}

/// The case of an id.
pub fn find(id: &str) -> Option<Case> {
    AREAS
        .iter()
        .copied()
        .flatten()
        .find(|case| case.id == id)
        .copied()
}

/// The list that is pinned in `cases.txt`: level, id and clauses of every case, by id.
pub fn pinned_list() -> String {
    let mut lines: Vec<_> = all()
        .iter()
        .map(|case| format!("{} {} {}\n", case.level, case.id, case.clauses.join(" ")))
        .collect();
    lines.sort();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_pinned_one() {
        let pinned = include_str!("../../cases.txt");
        let list = pinned_list();

        let gone = pinned
            .lines()
            .filter(|line| !list.lines().any(|one| one == *line));
        let new = list
            .lines()
            .filter(|line| !pinned.lines().any(|one| one == *line));
        let difference: Vec<_> = gone
            .map(|line| format!("- {line}"))
            .chain(new.map(|line| format!("+ {line}")))
            .collect();

        assert!(
            difference.is_empty(),
            "cases.txt differs from the cases; apply this if it is meant, or write the output of \
             `conformance-report --list` there:\n{}",
            difference.join("\n")
        );
    }

    #[test]
    fn ids_are_unique_and_plain() {
        let mut ids: Vec<_> = all().iter().map(|case| case.id).collect();
        for id in &ids {
            let is_plain = |part: &str| {
                part.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            };
            let (area, sentence) = id.split_once("::").unwrap();
            assert!(is_plain(area) && is_plain(sentence), "{id}");
        }

        ids.sort_unstable();

        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
    }

    /// The rows of a Markdown table that begin with a link.
    fn rows_of(page: &str) -> impl Iterator<Item = &str> {
        page.lines().filter(|line| line.starts_with("| ["))
    }

    /// What stands in backquotes.
    fn quoted(text: &str) -> impl Iterator<Item = &str> {
        text.split('`').skip(1).step_by(2)
    }

    #[test]
    fn every_defect_of_others_has_a_case() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/defects.md");
        let page = std::fs::read_to_string(path).expect("the page stands with the documents");

        for row in rows_of(&page) {
            let has_case = quoted(row).any(|quoted| quoted.contains("::"));
            assert!(has_case, "no case shows that we do not have it: {row}");
        }
        let cases = quoted(&page).filter(|quoted| quoted.contains("::"));
        let unknown: Vec<_> = cases.filter(|id| find(id).is_none()).collect();
        assert!(
            unknown.is_empty(),
            "docs/defects.md names cases that are not there: {unknown:?}"
        );
    }
}
