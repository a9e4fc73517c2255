//! Wrong about all or nothing.

use storage_api::*;

use super::{error, find};
use crate::asked::{Ground, Wrong, metadata};
use crate::mutant::Mutant;

/// Whether a produce step would not fit, as each is counted by itself.
fn is_too_full(ground: &Ground<'_>) -> bool {
    ground.request.steps().iter().any(|step| {
        let (Step::Produce { batch, .. }, Some(found)) =
            (step, find(ground.before, step.partition()))
        else {
            return false;
        };
        let items_max = found.info.config.items_max();
        items_max != 0 && (found.items.len() + batch.len()) as u64 > items_max
    })
}

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        metadata(
            "what_a_check_refuses_is_written_all_the_same",
            "Checks are looked at when everything is written already.",
            Wrong::Decided(|ground, sound| {
                if let Ok(CommitOutcome::Refused(Refusal::Check { .. })) = sound {
                    let mut parts = ground.parts();
                    parts.checks.clear();
                    ground.apply(parts);
                }
                sound
            }),
            &[
                "commit::a_failed_check_applies_nothing_wherever_it_stands",
                "commit::a_refused_commit_frees_no_dedup_key_and_takes_none",
                "commit::checks_are_judged_before_the_writes_of_their_commit",
                "commit::read_skew_is_refused",
                "commit::write_skew_is_refused_by_ranges",
            ],
        ),
        metadata(
            "steps_before_the_invalid_one_stay",
            "Each step is a transaction of its own.",
            Wrong::Decided(|ground, sound| {
                if let Ok(CommitOutcome::Refused(Refusal::Step { index, .. })) = &sound {
                    let mut parts = ground.parts();
                    parts.steps.truncate(*index);
                    ground.apply(parts);
                }
                sound
            }),
            &["commit::an_item_of_the_commit_itself_is_not_found"],
        ),
        metadata(
            "metadata_of_a_refused_commit_stays",
            "Metadata lives in another store, and is written before the items.",
            Wrong::Decided(|ground, sound| {
                let kind = sound.as_ref().err().map(Error::kind);
                if matches!(kind, Some(ErrorKind::NotFound | ErrorKind::Unavailable)) {
                    let mut parts = ground.parts();
                    parts.steps.clear();
                    ground.apply(parts);
                }
                sound
            }),
            &["commit::a_refused_partition_applies_nothing_wherever_it_stands"],
        ),
        metadata(
            "a_full_partition_ends_a_commit_in_the_middle",
            "There is no way back from a step that finds no room.",
            Wrong::Decided(|ground, sound| {
                let kind = sound.as_ref().err().map(Error::kind);
                if kind == Some(ErrorKind::CapacityExceeded) {
                    let mut parts = ground.parts();
                    parts.steps.pop();
                    while ground.instead(parts.clone()).is_err() && !parts.steps.is_empty() {
                        parts.steps.pop();
                    }
                    ground.apply(parts);
                }
                sound
            }),
            &["commit::a_full_partition_applies_nothing_wherever_it_stands"],
        ),
        metadata(
            "room_is_looked_at_before_checks",
            "Whether there is room is asked first.",
            Wrong::Decided(|ground, sound| match sound {
                Ok(CommitOutcome::Refused(_)) if is_too_full(ground) => {
                    error(ErrorKind::CapacityExceeded)
                }
                sound => sound,
            }),
            &[
                "commit::a_refusal_comes_before_capacity",
                "errors::a_failed_check_is_told_before_a_full_partition",
            ],
        ),
        metadata(
            "deletions_are_forgotten",
            "Only puts are written.",
            Wrong::Asked(|_, parts| {
                parts
                    .writes
                    .retain(|write| matches!(write, Write::Put { .. }))
            }),
            &["metadata::a_deleted_entry_is_absent"],
        ),
        metadata(
            "an_empty_commit_is_a_mistake",
            "A commit of nothing is an invalid argument.",
            Wrong::Decided(|ground, sound| {
                let parts = ground.parts();
                let is_empty =
                    parts.checks.is_empty() && parts.writes.is_empty() && parts.steps.is_empty();
                if is_empty {
                    error(ErrorKind::InvalidArgument)
                } else {
                    sound
                }
            }),
            &[
                "commit::an_empty_commit_is_legal",
                "metadata::a_commit_without_writes_takes_no_version",
            ],
        ),
    ]
}
