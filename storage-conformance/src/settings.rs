//! The numbers that the environment may set for a run: how many sequences, from which seed. The report shows them.

use crate::{differential, model};

/// A number that the environment may set.
#[derive(Debug)]
pub(crate) struct Setting {
    variable: &'static str,
    default: Default,
    /// With less a case would do nothing, and pass.
    least: u64,
}

/// A seed that the environment may set, so that what a failure was found with is run again and nothing else.
#[derive(Debug)]
pub(crate) struct OnlySeed {
    variable: &'static str,
}

/// What holds where the environment says nothing.
#[derive(Debug)]
enum Default {
    Number(u64),
    /// What that one says.
    As(&'static Setting),
}

/// Model runs of one driver.
pub(crate) const MODEL_RUNS: Setting = Setting::runs("STORAGE_MODEL_RUNS", 1000, model::PARTS);
/// The same on drivers with stored bytes, which may wait for the disk.
pub(crate) const MODEL_RUNS_STORED: Setting = Setting {
    variable: "STORAGE_MODEL_RUNS_STORED",
    default: Default::As(&MODEL_RUNS),
    least: model::PARTS,
};
/// The seed of the first model run; the others follow it.
pub(crate) const MODEL_FIRST_SEED: Setting = Setting::seed("STORAGE_MODEL_FIRST_SEED");
/// The model run of that seed alone.
pub(crate) const MODEL_SEED: OnlySeed = OnlySeed::new("STORAGE_MODEL_SEED");

/// Rounds of each case about crashes.
pub(crate) const CRASH_ROUNDS: Setting = Setting::runs("STORAGE_CRASH_ROUNDS", 30, 1);
/// The rounds of that seed alone.
pub(crate) const CRASH_SEED: OnlySeed = OnlySeed::new("STORAGE_CRASH_SEED");

/// Which bits are flipped.
pub(crate) const DAMAGE_SEED: Setting = Setting::seed("STORAGE_DAMAGE_SEED");

/// Histories of each case about them.
pub(crate) const HISTORY_RUNS: Setting = Setting::runs("STORAGE_HISTORY_RUNS", 100, 1);
/// The same on drivers with stored bytes, where each history opens files and may wait for the disk.
pub(crate) const HISTORY_RUNS_STORED: Setting = Setting::runs("STORAGE_HISTORY_RUNS_STORED", 20, 1);
/// The seed of the first history; the others follow it.
pub(crate) const HISTORY_FIRST_SEED: Setting = Setting::seed("STORAGE_HISTORY_FIRST_SEED");
/// The history of that seed alone.
pub(crate) const HISTORY_SEED: OnlySeed = OnlySeed::new("STORAGE_HISTORY_SEED");

/// Sequences that several drivers do side by side.
pub(crate) const DIFFERENTIAL_RUNS: Setting =
    Setting::runs("STORAGE_DIFFERENTIAL_RUNS", 40, differential::PARTS);
/// The seed of the first of them; the others follow it.
pub(crate) const DIFFERENTIAL_FIRST_SEED: Setting =
    Setting::seed("STORAGE_DIFFERENTIAL_FIRST_SEED");
/// The sequence of that seed alone. No record is of it, so that no report lists it.
pub(crate) const DIFFERENTIAL_SEED: OnlySeed = OnlySeed::new("STORAGE_DIFFERENTIAL_SEED");

/// Every setting, as the report lists them.
const SETTINGS: &[Setting] = &[
    MODEL_RUNS,
    MODEL_RUNS_STORED,
    MODEL_FIRST_SEED,
    CRASH_ROUNDS,
    DAMAGE_SEED,
    HISTORY_RUNS,
    HISTORY_RUNS_STORED,
    HISTORY_FIRST_SEED,
    DIFFERENTIAL_RUNS,
    DIFFERENTIAL_FIRST_SEED,
];

/// The seeds by which a run of the suite is less than the suite. The report lists those that are set.
const ONLY_SEEDS: &[OnlySeed] = &[MODEL_SEED, CRASH_SEED, HISTORY_SEED];

/// The one that `scripts/test` sets, and whoever runs the suite may: what the run is called.
const RUN_NAME: &str = "STORAGE_RUN_NAME";

impl Setting {
    const fn runs(variable: &'static str, default: u64, least: u64) -> Self {
        Self {
            variable,
            default: Default::Number(default),
            least,
        }
    }

    const fn seed(variable: &'static str) -> Self {
        Self::runs(variable, 0, 0)
    }

    /// What the environment says, else the default. A text that is no number, or too small a one, panics with what to give.
    pub(crate) fn value(&self) -> u64 {
        self.read().unwrap_or_else(|problem| panic!("{problem}"))
    }

    fn read(&self) -> Result<u64, String> {
        match number(self.variable)? {
            Some(number) => self.accept(number),
            None => match self.default {
                Default::Number(default) => Ok(default),
                Default::As(other) => other.read(),
            },
        }
    }

    fn accept(&self, number: u64) -> Result<u64, String> {
        let (variable, least) = (self.variable, self.least);
        if number < least {
            return Err(format!(
                "{variable} is {number}: a case would do nothing and pass; give {least} or more"
            ));
        }
        Ok(number)
    }
}

impl OnlySeed {
    const fn new(variable: &'static str) -> Self {
        Self { variable }
    }

    /// The seed that the environment names, if any. A text that is no number panics with what to give.
    pub(crate) fn value(&self) -> Option<u64> {
        number(self.variable).unwrap_or_else(|problem| panic!("{problem}"))
    }
}

/// A number from the environment; `None` where it says nothing.
fn number(variable: &str) -> Result<Option<u64>, String> {
    let Ok(text) = std::env::var(variable) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(format!(
            "{variable} is {text:?}; give a number from 0 to 2^64-1"
        )),
    }
}

/// Tells what in the environment cannot be a setting, and what to give.
pub(crate) fn check() -> Result<(), String> {
    for setting in SETTINGS {
        setting.read()?;
    }
    for seed in ONLY_SEEDS {
        number(seed.variable)?;
    }
    Ok(())
}

/// Every setting with its value in this process, and the seeds that are run alone.
pub(crate) fn in_force() -> Vec<(String, u64)> {
    let seeds = ONLY_SEEDS
        .iter()
        .filter_map(|one| Some((one.variable.to_owned(), one.value()?)));
    numbers().chain(seeds).collect()
}

/// Every setting with its value in this process, without the seeds that are run alone.
pub(crate) fn numbers() -> impl Iterator<Item = (String, u64)> {
    let all = SETTINGS.iter();
    all.map(|one| (one.variable.to_owned(), one.value()))
}

/// The variables of the seeds that are run alone.
pub(crate) fn only_seeds() -> impl Iterator<Item = &'static str> {
    ONLY_SEEDS.iter().map(|one| one.variable)
}

/// Whether a run with that variable is less than the suite: it ran one seed alone.
pub(crate) fn is_only_seed(variable: &str) -> bool {
    ONLY_SEEDS.iter().any(|one| one.variable == variable)
}

/// What the environment calls this run, such as the profile of a test script; empty where it says nothing.
pub(crate) fn run_name() -> String {
    std::env::var(RUN_NAME).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_listed_once_and_documented() {
        let readme = include_str!("../README.md");
        let settings = SETTINGS.iter().map(|one| one.variable);
        let seeds = ONLY_SEEDS.iter().map(|one| one.variable);
        let all: Vec<_> = settings.chain(seeds).collect();
        for (index, one) in all.iter().enumerate() {
            assert!(!all[index + 1..].contains(one), "{one} is listed twice");
            assert!(readme.contains(one), "{one} stands in no table");
        }
        assert!(readme.contains(RUN_NAME));
    }

    #[test]
    fn every_number_of_runs_lets_each_case_run() {
        for one in SETTINGS {
            let is_seed = one.variable.ends_with("_SEED");

            assert_eq!(one.accept(0).is_ok(), is_seed, "{}", one.variable);
            assert_eq!(one.accept(one.least), Ok(one.least));
        }
        let refused = MODEL_RUNS.accept(7).unwrap_err();
        assert!(refused.contains("STORAGE_MODEL_RUNS is 7"), "{refused}");
        assert!(refused.contains("give 8 or more"), "{refused}");
    }
}
