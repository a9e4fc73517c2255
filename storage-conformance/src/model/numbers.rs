//! Opaque numbers: what the driver calls something, and what the model calls the same thing.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

use super::action::Rank;

/// Why driver and model differ.
pub(super) type Mismatch = String;

/// Pairs of numbers in the order in which they were given out, one to one.
#[derive(Debug)]
pub(super) struct Pairs<N> {
    what: &'static str,
    given: Vec<(N, N)>,
    to_model: HashMap<N, N>,
    to_driver: HashMap<N, N>,
}

impl<N: Copy + Eq + Hash + Debug> Pairs<N> {
    pub(super) fn new(what: &'static str) -> Self {
        Self {
            what,
            given: Vec::new(),
            to_model: HashMap::new(),
            to_driver: HashMap::new(),
        }
    }

    /// Both gave a number that nobody was given before.
    pub(super) fn give(&mut self, driver: N, model: N) -> Result<(), Mismatch> {
        let what = self.what;
        if let Some(earlier) = self.to_model.insert(driver, model) {
            return Err(format!(
                "the driver gave {what} {driver:?} a second time; the first time the model had called it {earlier:?}"
            ));
        }
        // The model is trusted, and its numbers are looked up through this.
        self.to_driver.insert(model, driver);
        self.given.push((driver, model));
        Ok(())
    }

    /// Both showed the same number, which was given before.
    pub(super) fn meet(&self, driver: N, model: N) -> Result<(), Mismatch> {
        let what = self.what;
        match self.to_model.get(&driver) {
            Some(expected) if *expected == model => Ok(()),
            Some(other) => Err(format!(
                "the driver shows {what} {driver:?}, which the model calls {other:?}, where the model shows {model:?}"
            )),
            None => Err(format!(
                "the driver shows {what} {driver:?}, which it never gave out; expected {:?}",
                self.to_driver.get(&model)
            )),
        }
    }

    /// As [`meet`](Self::meet), where there may be none.
    pub(super) fn meet_some(&self, driver: Option<N>, model: Option<N>) -> Result<(), Mismatch> {
        match (driver, model) {
            (None, None) => Ok(()),
            (Some(driver), Some(model)) => self.meet(driver, model),
            (driver, model) => Err(format!(
                "{}: the driver shows {driver:?}, the model {model:?}",
                self.what
            )),
        }
    }

    pub(super) fn is_known(&self, driver: N, model: N) -> bool {
        self.to_model.get(&driver) == Some(&model)
    }

    pub(super) fn driver_of(&self, model: N) -> Option<N> {
        self.to_driver.get(&model).copied()
    }

    /// The pair of that rank, 0 being the latest.
    pub(super) fn ranked(&self, rank: Rank) -> Option<(N, N)> {
        ranked(&self.given, rank).copied()
    }
}

/// The entry of that rank, 0 being the latest; `None` where there is none at all.
pub(crate) fn ranked<T>(list: &[T], rank: Rank) -> Option<&T> {
    let back = usize::from(rank).checked_rem(list.len())?;
    list.get(list.len() - 1 - back)
}
