//! The corpus: sequences that once told a driver from the model. Every driver replays them for ever.

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::{CLAUSES, attempt, told};
use crate::case::Case;
use crate::env::Env;

/// A file of the corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sequence {
    /// What it shows.
    pub(super) about: String,
    pub(super) actions: Vec<Action>,
}

impl Sequence {
    /// One action a line.
    pub(super) fn to_json(&self) -> String {
        let line = |action| serde_json::to_string(action).expect("an action is JSON");
        let lines: Vec<_> = self.actions.iter().map(line).collect();
        let about = serde_json::to_string(&self.about).expect("a text is JSON");
        format!(
            "{{\n\"about\": {about},\n\"actions\": [\n{}\n]\n}}\n",
            lines.join(",\n")
        )
    }
}

/// The files of the corpus, as cases.
macro_rules! corpus {
    ($($name:literal),* $(,)?) => {
        pub(crate) const CASES: &[Case] = &[$(
            Case::new(concat!("corpus::", $name), CLAUSES, |env| {
                Box::pin(replay(env, include_str!(concat!("../../corpus/", $name, ".json"))))
            })
        ),*];
    };
}

corpus![
    "a_holder_who_is_late_may_still_finish",
    "a_key_may_be_due_as_soon_as_it_lingers",
    "a_purge_of_a_part_says_that_more_is_left",
    "a_release_goes_back_between_its_neighbours",
    "a_restored_item_comes_back_under_its_receipt",
];

async fn replay(env: Env, text: &str) {
    let sequence: Sequence = match serde_json::from_str(text) {
        Ok(sequence) => sequence,
        Err(error) => panic!("the file of the corpus is damaged: {error}"),
    };
    if let Err(failure) = attempt(&env, &sequence.actions, true).await {
        panic!(
            "{}\n\nthe sequence is in the corpus because: {}",
            told("driver and model differ", &sequence.actions, &failure),
            sequence.about
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::generate;

    #[test]
    fn every_file_of_the_corpus_is_a_case() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
        let mut names: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter_map(|name| {
                name.strip_suffix(".json")
                    .map(|stem| format!("corpus::{stem}"))
            })
            .collect();

        names.sort();

        let mut cases: Vec<_> = CASES.iter().map(|case| case.id.to_owned()).collect();
        cases.sort();
        assert_eq!(names, cases);
    }

    #[test]
    fn a_sequence_survives_its_file() {
        let sequence = Sequence {
            about: "«quotes\" and lines\n»".to_owned(),
            actions: generate::actions(3, 300),
        };

        let read: Sequence = serde_json::from_str(&sequence.to_json()).unwrap();

        assert_eq!(read, sequence);
    }
}
