//! Wrong about commits: checks, steps, all or nothing.

use storage_api::*;
use storage_model::{Contents, GoneKey, Model, Partition};

use crate::asked::{Ground, Wrong, metadata, unsealed};
use crate::edited::edited;
use crate::mutant::Mutant;

pub(crate) fn mutants() -> Vec<Mutant> {
    [
        atomicity(),
        checks(),
        ranges(),
        naming(),
        steps(),
        dedup_keys(),
        refusing(),
    ]
    .concat()
}

fn find<'a>(contents: &'a Contents, id: &PartitionId) -> Option<&'a Partition> {
    contents.partitions.iter().find(|one| one.info.id == *id)
}

fn refused(refusal: Refusal) -> Result<CommitOutcome> {
    Ok(CommitOutcome::Refused(refusal))
}

fn error(kind: ErrorKind) -> Result<CommitOutcome> {
    Err(Error::new(
        kind,
        Operation::Commit,
        Object::Backend,
        "the mutant says so",
    ))
}

/// The version of a key, expired or not.
fn version_of(contents: &Contents, namespace: &Namespace, key: &Key) -> Option<Version> {
    let mut entries = contents.metadata.iter();
    let found = entries.find(|one| one.namespace == *namespace && one.entry.key == *key);
    found.map(|one| one.entry.version)
}

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

fn atomicity() -> Vec<Mutant> {
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

/// The lease of an item now.
fn lease_of(contents: &Contents, id: &PartitionId, item: ItemId) -> Option<Receipt> {
    let found = find(contents, id)?.items.iter().find(|one| one.id == item);
    found.and_then(ItemEntry::receipt)
}

fn steps() -> Vec<Mutant> {
    vec![
        metadata(
            "a_commit_looks_at_the_item_alone",
            "A receipt in a commit is good for whoever has the item.",
            Wrong::Asked(|contents, parts| {
                for step in &mut parts.steps {
                    if let Step::Complete {
                        partition,
                        receipts,
                    } = step
                    {
                        let now = receipts
                            .iter()
                            .map(|one| lease_of(contents, partition, one.item).unwrap_or(*one));
                        *receipts = Receipts::collect(now).expect("as many");
                    }
                }
            }),
            &[
                "commit::the_receipt_of_a_lease_taken_back_is_lost",
                "commit::the_receipt_of_another_partition_is_not_valid",
            ],
        ),
        metadata(
            "a_commit_drops_receipts_that_are_not_valid",
            "What cannot be completed is left out of the commit.",
            Wrong::Asked(|contents, parts| {
                for step in &mut parts.steps {
                    if let Step::Complete {
                        partition,
                        receipts,
                    } = step
                    {
                        let valid = receipts
                            .iter()
                            .filter(|one| lease_of(contents, partition, one.item) == Some(**one));
                        *receipts = Receipts::collect(valid.copied()).expect("no more");
                    }
                }
            }),
            &["commit::the_receipt_of_a_lease_taken_back_is_lost"],
        ),
        metadata(
            "a_late_receipt_is_lost_to_a_commit",
            "A commit refuses a receipt whose deadline has passed.",
            Wrong::Decided(|ground, sound| {
                let now = ground.request.now();
                for (index, step) in ground.request.steps().iter().enumerate() {
                    let Step::Complete {
                        partition,
                        receipts,
                    } = step
                    else {
                        continue;
                    };
                    for (entry, receipt) in receipts.iter().enumerate() {
                        let found = find(ground.before, partition);
                        let item = found
                            .and_then(|one| one.items.iter().find(|one| one.id == receipt.item));
                        if let Some(ItemState::Leased { deadline, .. }) =
                            item.map(|item| item.state)
                            && deadline <= now
                        {
                            let found = StepFailure::LeaseLost;
                            return refused(Refusal::Step {
                                index,
                                entry,
                                found,
                            });
                        }
                    }
                }
                sound
            }),
            &["commit::a_late_receipt_is_valid_until_taken_back"],
        ),
        metadata(
            "a_receipt_is_good_in_every_partition",
            "A receipt is looked up by its lease, wherever that may be.",
            Wrong::Asked(|contents, parts| {
                for step in &mut parts.steps {
                    if let Step::Complete {
                        partition,
                        receipts,
                    } = step
                    {
                        let has = |one: &&Partition| {
                            receipts.iter().all(|receipt| {
                                one.items
                                    .iter()
                                    .any(|item| item.receipt() == Some(*receipt))
                            })
                        };
                        if let Some(home) = contents.partitions.iter().find(has)
                            && !receipts.is_empty()
                        {
                            *partition = home.info.id.clone();
                        }
                    }
                }
            }),
            &["commit::an_invalid_step_applies_nothing_wherever_it_stands"],
        ),
        metadata(
            "what_comes_twice_in_a_commit_counts_once",
            "Receipts and ids of a commit are gathered in sets.",
            Wrong::Asked(|_, parts| {
                let mut seen = std::collections::HashSet::new();
                for step in &mut parts.steps {
                    match step {
                        Step::Complete {
                            partition,
                            receipts,
                        } => {
                            let new = receipts
                                .iter()
                                .filter(|one| seen.insert((partition.clone(), one.item)));
                            *receipts = Receipts::collect(new.copied()).expect("no more");
                        }
                        Step::Delete { partition, ids } => {
                            let new = ids
                                .iter()
                                .filter(|one| seen.insert((partition.clone(), **one)));
                            *ids = ItemIds::collect(new.copied()).expect("no more");
                        }
                        Step::Produce { .. } => {}
                    }
                }
            }),
            &[
                "commit::an_item_removed_by_an_earlier_step_is_not_found",
                "commit::the_same_receipt_twice_is_refused_the_second_time",
            ],
        ),
        metadata(
            "a_commit_deletes_what_it_produces",
            "Ids are looked up after the batches of the commit were stored.",
            Wrong::Asked(|contents, parts| {
                let mut has_produced = false;
                for step in &mut parts.steps {
                    match step {
                        Step::Produce { .. } => has_produced = true,
                        Step::Delete { partition, ids } if has_produced => {
                            let last = find(contents, partition).map_or(0, |one| one.last_id);
                            let old = ids.iter().filter(|id| id.get() <= last);
                            *ids = ItemIds::collect(old.copied()).expect("no more");
                        }
                        _ => {}
                    }
                }
            }),
            &["commit::an_item_of_the_commit_itself_is_not_found"],
        ),
        metadata(
            "only_ready_items_are_deleted_by_a_commit",
            "A commit deletes what is in the ready order.",
            Wrong::Asked(|contents, parts| {
                for step in &mut parts.steps {
                    if let Step::Delete { partition, ids } = step {
                        let is_ready = |id: &&ItemId| {
                            let found = find(contents, partition);
                            let item =
                                found.and_then(|one| one.items.iter().find(|one| one.id == **id));
                            item.is_none_or(|item| item.state() == State::Ready)
                        };
                        *ids = ItemIds::collect(ids.iter().filter(is_ready).copied())
                            .expect("no more");
                    }
                }
            }),
            &["commit::items_of_every_state_are_deleted_by_a_step"],
        ),
        metadata(
            "batches_are_stored_first",
            "A commit stores its batches before it completes and deletes.",
            Wrong::Asked(|_, parts| {
                parts
                    .steps
                    .sort_by_key(|step| !matches!(step, Step::Produce { .. }))
            }),
            &[
                "commit::a_completed_key_is_free_for_a_later_step",
                "commit::room_made_by_an_earlier_step_is_used_by_a_later",
            ],
        ),
        metadata(
            "batches_are_stored_last",
            "A commit completes and deletes before it stores its batches.",
            Wrong::Asked(|_, parts| {
                parts
                    .steps
                    .sort_by_key(|step| matches!(step, Step::Produce { .. }))
            }),
            &["commit::a_key_is_taken_for_a_step_before_its_completion"],
        ),
        edited(
            "a_commit_stores_everything_as_ready",
            "Items of a commit do not wait for their time.",
            &[Operation::Commit],
            |scene| {
                let mut position = 1 << 40;
                scene.new_items(|item| {
                    if item.state() == State::Scheduled {
                        position += 1;
                        let position = Position::new(position).expect("far below the largest");
                        item.state = ItemState::Ready { position };
                    }
                });
            },
            &["commit::produced_items_are_as_if_produced_alone"],
        ),
        metadata(
            "empty_steps_are_left_out",
            "A step of nothing is not looked at.",
            Wrong::Asked(|_, parts| {
                parts.steps.retain(|step| match step {
                    Step::Produce { batch, .. } => !batch.is_empty(),
                    Step::Complete { receipts, .. } => !receipts.is_empty(),
                    Step::Delete { ids, .. } => !ids.is_empty(),
                });
            }),
            &["commit::empty_steps_are_refused_where_others_are"],
        ),
    ]
}

fn dedup_keys() -> Vec<Mutant> {
    vec![
        edited(
            "a_commit_leaves_no_key_behind",
            "A key whose item is completed by a commit is free at once, whatever the partition says.",
            &[Operation::Commit],
            |scene| scene.partitions(|before, now| now.gone_keys.clone_from(&before.gone_keys)),
            &["commit::a_completed_key_lingers_for_a_later_step"],
        ),
        edited(
            "a_commit_keeps_the_keys_of_what_it_deletes",
            "Deleting by a commit is completing.",
            &[Operation::Commit],
            |scene| {
                scene.gone(|item, partition| {
                    let view = item.record.view();
                    let dedup_for = partition.info.config.dedup_for();
                    let is_there = partition.gone_keys.iter().any(|gone| gone.of == item.id);
                    if let (Some(key), false, false) =
                        (view.dedup_key(), dedup_for.is_zero(), is_there)
                    {
                        partition.gone_keys.push(GoneKey {
                            key: Bytes::copy_from_slice(key),
                            of: item.id,
                            due_at: view.created_at().saturating_add(dedup_for),
                        });
                    }
                });
            },
            &["commit::a_deleted_key_is_free_for_a_later_step"],
        ),
        metadata(
            "steps_do_not_see_the_keys_of_each_other",
            "Dedup keys are looked up in what was stored before the commit.",
            Wrong::Asked(|_, parts| {
                let mut taken = std::collections::HashSet::new();
                for step in &mut parts.steps {
                    if let Step::Produce { partition, batch } = step {
                        let key_of =
                            |item: &NewItem<'_>| item.attributes().dedup_key.map(<[u8]>::to_vec);
                        let is_taken = |item: &NewItem<'_>| {
                            key_of(item)
                                .is_some_and(|key| taken.contains(&(partition.clone(), key)))
                        };
                        let free = unsealed(batch, |item| {
                            if is_taken(&item) {
                                NewItem::new(item.payload())
                            } else {
                                item
                            }
                        });
                        let new: Vec<_> = batch
                            .records()
                            .filter_map(|view| view.dedup_key().map(<[u8]>::to_vec))
                            .collect();
                        *batch = free.seal(batch.now());
                        taken.extend(new.into_iter().map(|key| (partition.clone(), key)));
                    }
                }
            }),
            &["commit::a_key_produced_by_a_step_is_taken_for_the_next"],
        ),
        metadata(
            "a_duplicate_refuses_the_commit",
            "A duplicate is a failure.",
            Wrong::Decided(|_, sound| {
                let Ok(CommitOutcome::Committed(committed)) = &sound else {
                    return sound;
                };
                let has_duplicates = |one: &Produced| !one.duplicates().is_empty();
                if committed.produced.iter().any(has_duplicates) {
                    let found = StepFailure::NotFound;
                    return refused(Refusal::Step {
                        index: 0,
                        entry: 0,
                        found,
                    });
                }
                sound
            }),
            &[
                "commit::a_duplicate_is_no_failure",
                "commit::a_key_is_taken_for_a_step_before_its_completion",
            ],
        ),
    ]
}

fn refusing() -> Vec<Mutant> {
    vec![
        metadata(
            "a_frozen_partition_takes_part_in_no_commit",
            "A commit asks every partition whether it is open.",
            Wrong::Decided(|ground, sound| {
                let is_frozen = |step: &Step| {
                    find(ground.before, step.partition())
                        .is_some_and(|one| one.info.config.mode() == Mode::Frozen)
                };
                if ground.request.steps().iter().any(is_frozen) {
                    return error(ErrorKind::Unavailable);
                }
                sound
            }),
            &["commit::a_frozen_partition_takes_completions_and_deletions"],
        ),
        metadata(
            "a_missing_partition_is_told_before_a_mode",
            "Partitions are looked up before their modes are.",
            Wrong::Decided(|ground, sound| {
                let is_missing = |step: &Step| find(ground.before, step.partition()).is_none();
                let is_by_mode = sound
                    .as_ref()
                    .is_err_and(|error| error.kind() == ErrorKind::Unavailable);
                if is_by_mode && ground.request.steps().iter().any(is_missing) {
                    return error(ErrorKind::NotFound);
                }
                sound
            }),
            &["errors::a_mode_is_named_before_a_missing_partition_of_a_commit"],
        ),
        metadata(
            "a_failed_check_is_told_before_a_missing_partition",
            "Metadata is looked at before the partitions.",
            Wrong::Decided(|ground, sound| {
                let is_missing = sound
                    .as_ref()
                    .is_err_and(|error| error.kind() == ErrorKind::NotFound);
                if is_missing {
                    let mut parts = ground.parts();
                    parts.steps.clear();
                    parts.writes.clear();
                    if let CommitOutcome::Refused(refusal) = ground.instead(parts)? {
                        return refused(refusal);
                    }
                }
                sound
            }),
            &["errors::a_missing_partition_is_named_before_a_failed_check"],
        ),
    ]
}
