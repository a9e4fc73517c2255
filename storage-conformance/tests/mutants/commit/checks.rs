//! Wrong about checks: keys, ranges, and which one is named.

use storage_api::*;
use storage_model::Model;

use super::{refused, version_of};
use crate::asked::{Wrong, metadata};
use crate::mutant::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    [checks(), ranges(), naming()].concat()
}

fn checks() -> Vec<Mutant> {
    vec![
        metadata(
            "absence_is_not_checked",
            "Adding replaces what is there.",
            Wrong::Asked(|_, parts| {
                parts
                    .checks
                    .retain(|check| !matches!(check, Check::Absent { .. }))
            }),
            &["commit::absence_and_versions_are_checked"],
        ),
        metadata(
            "versions_are_not_checked",
            "The last writer wins: the lost update.",
            Wrong::Asked(|_, parts| {
                parts
                    .checks
                    .retain(|check| !matches!(check, Check::Version { .. }))
            }),
            &["commit::read_skew_is_refused"],
        ),
        metadata(
            "only_what_is_written_is_checked",
            "Snapshot isolation: what was read and not written is not looked at (write skew).",
            Wrong::Asked(|_, parts| {
                let writes = parts.writes.clone();
                parts.checks.retain(|check| match check {
                    Check::Absent { namespace, key } | Check::Version { namespace, key, .. } => {
                        writes
                            .iter()
                            .any(|write| write.target() == (namespace, key))
                    }
                    Check::Range { .. } => false,
                });
            }),
            &["commit::a_refused_commit_frees_no_dedup_key_and_takes_none"],
        ),
        metadata(
            "checks_without_writes_hold",
            "A transaction that only reads is not looked at.",
            Wrong::Asked(|_, parts| {
                if parts.writes.is_empty() && parts.steps.is_empty() {
                    parts.checks.clear();
                }
            }),
            &["commit::absence_and_versions_are_checked"],
        ),
        metadata(
            "checks_are_judged_after_the_writes",
            "A commit sees its own writes in its checks.",
            Wrong::Decided(|ground, sound| {
                let Ok(CommitOutcome::Committed(_)) = sound else {
                    return sound;
                };
                let mut writes = ground.parts();
                writes.checks.clear();
                let mut checks = ground.parts();
                (checks.writes, checks.steps) = (Vec::new(), Vec::new());
                let mut after = Model::of(ground.before.clone());
                after.commit(writes.request())?;
                match after.commit(checks.request())? {
                    CommitOutcome::Refused(refusal) => refused(refusal),
                    CommitOutcome::Committed(_) => sound,
                }
            }),
            &[
                "commit::items_move_between_partitions_with_their_cursor_or_not_at_all",
                "commit::write_skew_is_refused_by_versions",
            ],
        ),
        metadata(
            "checks_look_into_namespaces_that_begin_alike",
            "The range of a check begins at its namespace and has no end.",
            Wrong::Decided(|ground, sound| {
                for (index, check) in ground.request.checks().iter().enumerate() {
                    if let Check::Absent { namespace, key } = check {
                        let mut entries = ground.before.metadata.iter();
                        let alike = entries.find(|one| {
                            one.namespace.as_str().starts_with(namespace.as_str())
                                && one.entry.key == *key
                        });
                        if let Some(alike) = alike {
                            let (key, found) = (key.clone(), Some(alike.entry.version));
                            return refused(Refusal::Check { index, key, found });
                        }
                    }
                }
                sound
            }),
            &["commit::checks_stay_in_their_namespace"],
        ),
    ]
}

/// Changes the ranges that are checked.
fn ranged(
    parts: &mut crate::asked::Parts,
    change: impl Fn(&Namespace, &mut KeyRange, &mut Vec<(Key, Version)>),
) {
    for check in &mut parts.checks {
        if let Check::Range {
            namespace,
            range,
            seen,
        } = check
        {
            change(namespace, range, seen);
        }
    }
}

fn ranges() -> Vec<Mutant> {
    vec![
        metadata(
            "ranges_are_not_checked",
            "Only single keys are looked at.",
            Wrong::Asked(|_, parts| {
                parts
                    .checks
                    .retain(|check| !matches!(check, Check::Range { .. }))
            }),
            &["commit::a_key_changed_in_a_range_is_refused"],
        ),
        metadata(
            "phantoms_are_not_seen",
            "A range is checked as the keys that were seen in it.",
            Wrong::Asked(|_, parts| {
                let checks = std::mem::take(&mut parts.checks);
                for check in checks {
                    match check {
                        Check::Range {
                            namespace, seen, ..
                        } => {
                            parts.checks.extend(seen.into_iter().map(|(key, version)| {
                                let namespace = namespace.clone();
                                Check::Version {
                                    namespace,
                                    key,
                                    version,
                                }
                            }));
                        }
                        check => parts.checks.push(check),
                    }
                }
            }),
            &["commit::a_key_changed_in_a_range_is_refused"],
        ),
        metadata(
            "a_range_is_checked_by_its_keys_alone",
            "The keys of a range are compared, not their versions.",
            Wrong::Asked(|contents, parts| {
                ranged(parts, |namespace, _, seen| {
                    for (key, version) in seen {
                        *version = version_of(contents, namespace, key).unwrap_or(*version);
                    }
                });
            }),
            &[
                "commit::a_key_changed_in_a_range_is_refused",
                "commit::a_key_written_again_is_not_the_one_seen",
            ],
        ),
        metadata(
            "what_has_gone_from_a_range_is_not_missed",
            "A range is checked by walking over what is there.",
            Wrong::Asked(|contents, parts| {
                ranged(parts, |namespace, _, seen| {
                    seen.retain(|(key, _)| version_of(contents, namespace, key).is_some());
                });
            }),
            &["commit::a_key_gone_from_a_range_is_refused"],
        ),
        metadata(
            "the_end_of_a_checked_range_belongs_to_it",
            "The upper end of a range is checked too.",
            Wrong::Asked(|_, parts| {
                ranged(parts, |_, range, _| {
                    let end = range.to().map(|to| [to.as_bytes(), b"\0"].concat());
                    if let Some(end) = end
                        && !range.is_empty()
                        && let Ok(end) = Key::try_from(&end[..])
                    {
                        *range = KeyRange::new(range.from().cloned(), Some(end));
                    }
                });
            }),
            &[
                "commit::a_phantom_is_refused",
                "commit::keys_beside_a_range_do_not_matter",
            ],
        ),
        metadata(
            "a_range_without_an_end_ends_at_ff",
            "The largest key is taken to be one byte of ff.",
            Wrong::Asked(|_, parts| {
                ranged(parts, |_, range, _| {
                    if range.to().is_none() {
                        let end = Key::try_from(&[0xff][..]).expect("a short key");
                        *range = KeyRange::new(range.from().cloned(), Some(end));
                    }
                });
            }),
            &["commit::a_range_without_an_end_sees_the_largest_key"],
        ),
        metadata(
            "a_checked_range_is_turned_round",
            "The ends of a range are put in order.",
            Wrong::Asked(|_, parts| {
                ranged(parts, |_, range, _| {
                    if range.is_empty() {
                        *range = KeyRange::new(range.to().cloned(), range.from().cloned());
                    }
                });
            }),
            &["commit::a_reversed_range_has_no_key"],
        ),
        metadata(
            "the_last_difference_of_a_range_is_named",
            "A range is compared from its end.",
            Wrong::Decided(|ground, sound| {
                let Ok(CommitOutcome::Refused(Refusal::Check { index, key, found })) = sound else {
                    return sound;
                };
                let last = match &ground.request.checks()[index] {
                    Check::Range {
                        namespace, seen, ..
                    } => {
                        let changed = |(key, version): &&(Key, Version)| {
                            version_of(ground.before, namespace, key) != Some(*version)
                        };
                        let last = seen.iter().rfind(changed);
                        last.map(|(key, _)| {
                            (key.clone(), version_of(ground.before, namespace, key))
                        })
                    }
                    _ => None,
                };
                let (key, found) = last.unwrap_or((key, found));
                refused(Refusal::Check { index, key, found })
            }),
            &["commit::the_first_difference_of_a_range_is_named"],
        ),
    ]
}

fn naming() -> Vec<Mutant> {
    vec![
        metadata(
            "checks_are_looked_at_backwards",
            "The last check that fails is named.",
            Wrong::Decided(|ground, sound| {
                let Ok(CommitOutcome::Refused(Refusal::Check { .. })) = sound else {
                    return sound;
                };
                let checks = ground.request.checks();
                for (index, check) in checks.iter().enumerate().rev() {
                    let mut parts = ground.parts();
                    (parts.checks, parts.writes, parts.steps) =
                        (vec![check.clone()], Vec::new(), Vec::new());
                    if let CommitOutcome::Refused(Refusal::Check { key, found, .. }) =
                        ground.instead(parts)?
                    {
                        return refused(Refusal::Check { index, key, found });
                    }
                }
                sound
            }),
            &["commit::the_first_check_that_fails_is_named"],
        ),
        metadata(
            "steps_are_judged_before_checks",
            "What is wrong with the items is told first.",
            Wrong::Decided(|ground, sound| {
                let Ok(CommitOutcome::Refused(Refusal::Check { .. })) = sound else {
                    return sound;
                };
                let mut parts = ground.parts();
                parts.checks.clear();
                match ground.instead(parts)? {
                    CommitOutcome::Refused(refusal) => refused(refusal),
                    CommitOutcome::Committed(_) => sound,
                }
            }),
            &["commit::a_check_is_named_before_a_step"],
        ),
        metadata(
            "the_entry_of_a_step_is_not_told",
            "A refusal names the step, and always its first entry.",
            Wrong::Decided(|_, sound| match sound {
                Ok(CommitOutcome::Refused(Refusal::Step { index, found, .. })) => {
                    refused(Refusal::Step {
                        index,
                        entry: 0,
                        found,
                    })
                }
                sound => sound,
            }),
            &["commit::the_first_step_that_fails_is_named"],
        ),
        metadata(
            "every_invalid_receipt_is_lost",
            "What is wrong with a receipt is not told apart.",
            Wrong::Decided(|_, sound| match sound {
                Ok(CommitOutcome::Refused(Refusal::Step { index, entry, .. })) => {
                    let found = StepFailure::LeaseLost;
                    refused(Refusal::Step {
                        index,
                        entry,
                        found,
                    })
                }
                sound => sound,
            }),
            &["commit::a_check_is_named_before_a_step"],
        ),
    ]
}
