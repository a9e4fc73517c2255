//! The numbers that the environment may set for a run: how many sequences, from which seed. The report shows them.

/// A number that the environment may set.
#[derive(Debug)]
pub(crate) struct Setting {
    variable: &'static str,
    default: Default,
}

/// What holds where the environment says nothing.
#[derive(Debug)]
enum Default {
    Number(u64),
    /// What that one says.
    As(&'static Setting),
}

/// Model runs of one driver.
pub(crate) const MODEL_RUNS: Setting = Setting::new("STORAGE_MODEL_RUNS", 1000);
/// The same on drivers with stored bytes, which may wait for the disk.
pub(crate) const MODEL_RUNS_STORED: Setting = Setting {
    variable: "STORAGE_MODEL_RUNS_STORED",
    default: Default::As(&MODEL_RUNS),
};
/// The seed of the first model run; the others follow it.
pub(crate) const MODEL_FIRST_SEED: Setting = Setting::new("STORAGE_MODEL_FIRST_SEED", 0);

/// Rounds of each case about crashes.
pub(crate) const CRASH_ROUNDS: Setting = Setting::new("STORAGE_CRASH_ROUNDS", 30);

/// Histories of each case about them.
pub(crate) const HISTORY_RUNS: Setting = Setting::new("STORAGE_HISTORY_RUNS", 100);
/// The same on drivers with stored bytes, where each history opens files and may wait for the disk.
pub(crate) const HISTORY_RUNS_STORED: Setting = Setting::new("STORAGE_HISTORY_RUNS_STORED", 20);
/// The seed of the first history; the others follow it.
pub(crate) const HISTORY_FIRST_SEED: Setting = Setting::new("STORAGE_HISTORY_FIRST_SEED", 0);

/// Sequences that several drivers do side by side.
pub(crate) const DIFFERENTIAL_RUNS: Setting = Setting::new("STORAGE_DIFFERENTIAL_RUNS", 40);
/// The seed of the first of them; the others follow it.
pub(crate) const DIFFERENTIAL_FIRST_SEED: Setting =
    Setting::new("STORAGE_DIFFERENTIAL_FIRST_SEED", 0);

/// Every setting, as the report lists them.
const SETTINGS: &[Setting] = &[
    MODEL_RUNS,
    MODEL_RUNS_STORED,
    MODEL_FIRST_SEED,
    CRASH_ROUNDS,
    HISTORY_RUNS,
    HISTORY_RUNS_STORED,
    HISTORY_FIRST_SEED,
    DIFFERENTIAL_RUNS,
    DIFFERENTIAL_FIRST_SEED,
];

/// The one that `scripts/test` sets, and whoever runs the suite may: what the run is called.
const RUN_NAME: &str = "STORAGE_RUN_NAME";

impl Setting {
    const fn new(variable: &'static str, default: u64) -> Self {
        Self {
            variable,
            default: Default::Number(default),
        }
    }

    /// What the environment says, else the default. A text that is no number panics with what to give.
    pub(crate) fn value(&self) -> u64 {
        number(self.variable).unwrap_or_else(|| match self.default {
            Default::Number(default) => default,
            Default::As(other) => other.value(),
        })
    }
}

/// A number from the environment; `None` where it says nothing. A text that is no number panics with what to give.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{variable} is {text:?}; give a number from 0 to 2^64-1"),
    }
}

/// Every setting with its value in this process.
pub(crate) fn in_force() -> Vec<(String, u64)> {
    let values = SETTINGS
        .iter()
        .map(|one| (one.variable.to_owned(), one.value()));
    values.collect()
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
        for (index, one) in SETTINGS.iter().enumerate() {
            let again = SETTINGS[index + 1..].iter();
            assert_eq!(
                again.filter(|other| other.variable == one.variable).count(),
                0
            );
            assert!(
                readme.contains(one.variable),
                "{} stands in no table",
                one.variable
            );
        }
        assert!(readme.contains(RUN_NAME));
    }
}
