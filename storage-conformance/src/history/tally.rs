//! What histories were like, all together, and how many of them may stay undecided.

use super::call::{Call, Ending};

/// Of so many histories one may stay undecided; of fewer, one may as well.
///
/// How many orders there are to search depends on how threads take turns, and so on how busy the machine is: one history
/// that is given up is no finding. Many are: then the checker sees too little.
const HISTORIES_PER_UNDECIDED: usize = 20;
/// So many may, as long as most are decided: of few histories two or three can be the ones that are hard, by chance.
const UNDECIDED_BY_CHANCE: usize = 3;
/// Of so many histories one may by chance.
const HISTORIES_PER_CHANCE: usize = 5;

/// What histories were like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many were made.
    pub histories: usize,
    /// Of how many nobody knows whether they have an order, for the search was given up.
    pub undecided: usize,
    /// Calls of which the backend said that their outcome is unknown.
    pub unknown: usize,
    /// Calls that failed for a reason outside of what is stored, and applied nothing.
    pub failed: usize,
}

impl Tally {
    /// That of one history.
    pub(super) fn of(calls: &[Call], is_undecided: bool) -> Self {
        let times = |is: fn(&Ending) -> bool| calls.iter().filter(|call| is(&call.ending)).count();
        Self {
            histories: 1,
            undecided: usize::from(is_undecided),
            unknown: times(|ending| matches!(ending, Ending::Unknown(..))),
            failed: times(|ending| matches!(ending, Ending::Failed(..))),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        self.undecided += other.undecided;
        self.unknown += other.unknown;
        self.failed += other.failed;
    }

    /// What is to be said of those that stayed undecided; `Err` where they are too many.
    pub(super) fn remark(&self) -> Result<Option<String>, String> {
        let by_chance = (self.histories / HISTORIES_PER_CHANCE).clamp(1, UNDECIDED_BY_CHANCE);
        let undecided_max = (self.histories / HISTORIES_PER_UNDECIDED).max(by_chance);
        let told = format!(
            "of {} histories {} stayed undecided: the search for an order was given up",
            self.histories, self.undecided
        );
        match self.undecided {
            0 => Ok(None),
            few if few <= undecided_max => Ok(Some(told)),
            _ => Err(format!("{told}; at most {undecided_max} may")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_histories_may_stay_undecided_and_that_is_said() {
        let of = |histories, undecided| {
            let tally = Tally {
                histories,
                undecided,
                ..Tally::default()
            };
            tally.remark()
        };

        assert_eq!(of(100, 0), Ok(None));
        let told = of(100, 5).unwrap().unwrap();
        assert!(
            told.contains("of 100 histories 5 stayed undecided"),
            "{told}"
        );
        assert!(of(100, 6).unwrap_err().contains("at most 5 may"));
        assert!(of(20, 3).is_ok() && of(20, 4).is_err());
        assert!(of(10, 2).is_ok() && of(10, 3).is_err());
        assert!(of(2, 1).is_ok() && of(2, 2).is_err());
        assert!(of(1, 1).is_ok());
    }
}
