//! Wrong about steps: what they see of each other, their dedup keys, what they refuse.

use storage_api::*;
use storage_model::{Contents, GoneKey, Partition};

use super::{error, find, refused};
use crate::asked::{Wrong, metadata, unsealed};
use crate::edited::edited;
use crate::mutant::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    [steps(), dedup_keys(), refusing()].concat()
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
