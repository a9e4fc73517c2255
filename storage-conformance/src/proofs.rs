//! Which wrong drivers each case fails on: what shows that the case can see anything.

use std::collections::BTreeMap;

/// The list that the test target `mutants` writes and keeps current: case and mutant, one pair a line.
const LIST: &str = include_str!("../mutants.txt");

/// The mutants by the cases that fail on them.
#[derive(Debug, Default)]
pub(crate) struct Proofs<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl Proofs<'static> {
    /// Those of this suite.
    pub(crate) fn of_this_suite() -> Self {
        Proofs::parse(LIST)
    }
}

impl<'a> Proofs<'a> {
    pub(crate) fn parse(list: &'a str) -> Self {
        let mut proofs = Self::default();
        for (case, mutant) in list.lines().filter_map(|line| line.split_once(' ')) {
            proofs.0.entry(case).or_default().push(mutant);
        }
        proofs
    }

    /// The mutants that a case fails on.
    pub(crate) fn of(&self, case: &str) -> &[&'a str] {
        self.0.get(case).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;

    #[test]
    fn a_case_has_every_mutant_that_is_listed_for_it() {
        let proofs = Proofs::parse("a::b one\na::c one\na::b two\n");

        assert_eq!(proofs.of("a::b"), ["one", "two"]);
        assert_eq!(proofs.of("a::d"), [""; 0]);
    }

    #[test]
    fn the_list_names_cases_of_this_suite() {
        for case in Proofs::of_this_suite().0.keys() {
            assert!(cases::find(case).is_some(), "{case} is no case");
        }
    }
}
