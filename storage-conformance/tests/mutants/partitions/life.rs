//! Wrong about the life of partitions: creating, updating, deleting.

use storage_api::*;

use super::drivers::*;
use crate::edited::edited;
use crate::mutant::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    [making(), updating(), deleting()].concat()
}

fn making() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "creating_again_updates",
            "Creating a partition that is there replaces its configuration, as a declaration does in many brokers.",
            CreatesOver::wrap,
            &["partitions::existing_partition_is_left_as_it_is_by_creating_it_again"],
        ),
        Mutant::new(
            "creating_again_is_ok",
            "Creating a partition that is there is answered as if it had been made.",
            CreatesTwice::wrap,
            &["partitions::existing_partition_is_left_as_it_is_by_creating_it_again"],
        ),
        Mutant::new(
            "missing_partitions_are_made",
            "Producing into a missing partition makes it (auto-create).",
            MakesMissing::wrap,
            &[
                "partitions::deleted_partition_is_gone_with_everything_in_it",
                "partitions::missing_partition_is_found_by_no_operation",
                "partitions::missing_partition_is_not_found_by_empty_calls_either",
            ],
        ),
        Mutant::new(
            "missing_partitions_are_empty",
            "A missing partition is an empty one to those who look, lease and maintain (DotNetWorkQueue, issue 356).",
            MissingIsEmpty::wrap,
            &[
                "partitions::deleted_partition_is_gone_with_everything_in_it",
                "partitions::missing_partition_is_found_by_no_operation",
                "partitions::missing_partition_is_not_found_by_empty_calls_either",
                "partitions::partition_of_the_same_queue_does_not_stand_in_for_a_missing_one",
            ],
        ),
        Mutant::new(
            "a_queue_lends_its_first_partition",
            "Where a partition is missing, the first of its queue is taken.",
            FirstOfTheQueue::wrap,
            &["partitions::partition_of_the_same_queue_does_not_stand_in_for_a_missing_one"],
        ),
        edited(
            "new_partitions_have_defaults",
            "The configuration given at creation is not stored.",
            &[Operation::CreatePartition],
            |scene| {
                let before = scene.before;
                for one in &mut scene.after.partitions {
                    if before
                        .partitions
                        .iter()
                        .all(|old| old.info.created != one.info.created)
                    {
                        one.info.config = PartitionConfig::default();
                    }
                }
            },
            &[
                "partitions::new_partition_is_empty_and_has_its_configuration",
                "produce::batch_beyond_the_bytes_of_the_partition_is_refused_whole",
                "produce::batch_beyond_the_items_of_the_partition_is_refused_whole",
            ],
        ),
        edited(
            "configurations_are_lost_at_reopening",
            "Configurations are kept in memory.",
            &[Operation::Open],
            |scene| scene.partitions(|_, now| now.info.config = PartitionConfig::default()),
            &["partitions::configuration_is_kept_over_a_reopening"],
        ),
    ]
}

fn updating() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "update_ignores_the_expected_revision",
            "The last one who updates wins, whatever they had seen.",
            UpdatesBlindly::wrap,
            &[
                "partitions::second_update_of_one_revision_is_in_conflict",
                "partitions::update_of_another_revision_changes_nothing",
            ],
        ),
        Mutant::new(
            "update_needs_a_revision",
            "An update without an expected revision is in conflict with any.",
            UpdatesNeverBlindly::wrap,
            &[
                "partitions::commit_that_completes_goes_on_while_frozen",
                "partitions::commit_that_produces_is_refused_whole_while_draining",
                "partitions::draining_partition_refuses_produce",
                "partitions::partition_that_is_opened_again_takes_everything",
                "restore::a_floor_of_versions_holds_for_partitions_and_metadata",
            ],
        ),
        Mutant::new(
            "conflict_tells_what_was_expected",
            "A conflict names the revision that was given, not the one that was found.",
            ConflictNamesExpected::wrap,
            &[
                "partitions::second_update_of_one_revision_is_in_conflict",
                "partitions::update_of_another_revision_changes_nothing",
            ],
        ),
        edited(
            "update_keeps_the_revision",
            "A configuration is replaced and its revision stays.",
            &[Operation::UpdatePartition],
            |scene| scene.partitions(|before, now| now.info.revision = before.info.revision),
            &[
                "partitions::update_of_the_expected_revision_replaces_the_configuration",
                "partitions::update_without_an_expected_revision_replaces_any",
            ],
        ),
        edited(
            "update_resets_the_other_settings",
            "An update of the attempts writes the defaults into all other settings.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.partitions(|before, now| {
                    let (old, new) = (&before.info.config, &now.info.config);
                    if old.attempts_max() != new.attempts_max() {
                        let config = PartitionConfig::default();
                        now.info.config = config.with_attempts_max(new.attempts_max());
                    }
                });
            },
            &[
                "partitions::configuration_is_kept_over_a_reopening",
                "partitions::update_of_each_setting_leaves_the_others",
                "partitions::update_of_one_setting_leaves_the_others",
                "partitions::update_of_the_expected_revision_replaces_the_configuration",
            ],
        ),
        edited(
            "update_kills_what_is_used_up",
            "A lowered limit of attempts acts on the items that are there.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.partitions(|_, now| {
                    let limit = now.info.config.attempts_max();
                    for item in &mut now.items {
                        if limit != 0 && item.attempts >= limit && item.state() != State::Dead {
                            let reason = DeadReason::AttemptsExhausted;
                            let died_at = Timestamp::EPOCH;
                            item.state = ItemState::Dead { reason, died_at };
                        }
                    }
                });
            },
            &[
                "finish::lease_does_not_look_at_attempts",
                "finish::limit_in_force_at_the_retry_decides",
                "finish::scheduled_item_comes_back_whatever_its_attempts",
            ],
        ),
        edited(
            "update_drops_the_dead",
            "A policy of `Drop` removes what died before.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.partitions(|_, now| {
                    if now.info.config.dead() == DeadPolicy::Drop {
                        now.items.retain(|item| item.state() != State::Dead);
                    }
                });
            },
            &[
                "finish::dead_policy_in_force_at_the_death_decides",
                "partitions::update_touches_no_item",
            ],
        ),
        edited(
            "lowered_limits_evict",
            "A lowered limit of items removes the oldest that are too many.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.partitions(|_, now| {
                    let items_max =
                        usize::try_from(now.info.config.items_max()).unwrap_or(usize::MAX);
                    if items_max != 0 && now.items.len() > items_max {
                        now.items.drain(..now.items.len() - items_max);
                    }
                });
            },
            &["partitions::update_touches_no_item"],
        ),
        edited(
            "update_forgets_the_attempts",
            "The limit of attempts of the creation holds for ever.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.partitions(|before, now| {
                    let attempts_max = before.info.config.attempts_max();
                    now.info.config = now.info.config.clone().with_attempts_max(attempts_max);
                });
            },
            &["partitions::update_of_one_setting_leaves_the_others"],
        ),
        edited(
            "update_forgets_the_requeue",
            "The requeue of the creation holds for ever.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.partitions(|before, now| {
                    let requeue = before.info.config.requeue();
                    now.info.config = now.info.config.clone().with_requeue(requeue);
                });
            },
            &["finish::requeue_in_force_at_the_retry_decides"],
        ),
        edited(
            "update_forgets_the_dead_policy",
            "What becomes of the dead is decided at the creation for ever.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.partitions(|before, now| {
                    let dead = before.info.config.dead();
                    now.info.config = now.info.config.clone().with_dead(dead);
                });
            },
            &["partitions::update_of_the_expected_revision_replaces_the_configuration"],
        ),
        edited(
            "update_forgets_the_dedup_time",
            "The `dedup_for` of the creation holds for ever.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.partitions(|before, now| {
                    let dedup_for = before.info.config.dedup_for();
                    now.info.config = now.info.config.clone().with_dedup_for(dedup_for);
                });
            },
            &[
                "partitions::update_without_an_expected_revision_replaces_any",
                "produce::time_in_force_at_completion_decides",
            ],
        ),
        edited(
            "update_moves_lingering_keys",
            "A new `dedup_for` is applied to keys that linger already.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.partitions(|before, now| {
                    let (old, new) = (before.info.config.dedup_for(), now.info.config.dedup_for());
                    for key in &mut now.gone_keys {
                        key.due_at = key.due_at.saturating_sub(old).saturating_add(new);
                    }
                });
            },
            &["produce::later_change_of_the_time_does_not_move_a_lingering_key"],
        ),
        edited(
            "update_forgets_the_limits",
            "The limits of items and bytes of the creation hold for ever.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.partitions(|before, now| {
                    let (items, bytes) = (
                        before.info.config.items_max(),
                        before.info.config.bytes_max(),
                    );
                    let config = now.info.config.clone();
                    now.info.config = config.with_items_max(items).with_bytes_max(bytes);
                });
            },
            &["partitions::second_update_of_one_revision_is_in_conflict"],
        ),
        edited(
            "closed_modes_stay",
            "A partition that was frozen or drained is never open again.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.partitions(|before, now| {
                    if before.info.config.mode() != Mode::Open {
                        now.info.config =
                            now.info.config.clone().with_mode(before.info.config.mode());
                    }
                });
            },
            &[
                "partitions::partition_that_is_opened_again_takes_everything",
                "partitions::update_of_each_setting_leaves_the_others",
            ],
        ),
    ]
}

fn deleting() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "deleted_partitions_come_back",
            "A deleted partition that is made again has the items of the deleted one.",
            ComesBack::wrap,
            &[
                "finish::released_item_goes_back_to_where_it_stood_whatever_the_requeue",
                "partitions::deleted_partition_stays_deleted_over_a_reopening",
                "partitions::number_10_of_a_queue_is_not_number_0_of_the_next",
                "partitions::partition_made_again_frees_every_dedup_key",
                "partitions::partition_made_again_is_empty",
            ],
        ),
        Mutant::new(
            "lingering_keys_outlive_the_partition",
            "Dedup keys belong to the name: a partition made again refuses what the deleted one had seen.",
            KeysComeBack::wrap,
            &["partitions::partition_made_again_frees_every_dedup_key"],
        ),
        Mutant::new(
            "deleted_partitions_are_there_after_reopening",
            "Deletion takes the partition out of memory and not out of the log.",
            ThereAgain::wrap,
            &["partitions::deleted_partition_stays_deleted_over_a_reopening"],
        ),
        edited(
            "a_new_partition_counts_from_one",
            "A partition made again gives the ids of the deleted one.",
            &[Operation::CreatePartition],
            |scene| {
                let before = scene.before;
                for one in &mut scene.after.partitions {
                    if before
                        .partitions
                        .iter()
                        .all(|old| old.info.created != one.info.created)
                    {
                        (one.last_id, one.last_position) = (0, 0);
                    }
                }
            },
            &[
                "partitions::partition_made_again_gives_no_id_twice",
                "partitions::partition_made_again_gives_no_id_twice_after_a_reopening",
                "partitions::receipt_of_a_deleted_partition_completes_nothing_in_the_next",
            ],
        ),
        edited(
            "deleted_numbers_are_forgotten_at_reopening",
            "Which ids deleted partitions gave out is kept in memory.",
            &[Operation::Open],
            |scene| scene.after.deleted_number = 0,
            &["partitions::partition_made_again_gives_no_id_twice_after_a_reopening"],
        ),
        edited(
            "leases_start_anew_with_a_partition",
            "Lease and item ids of a partition made again are those of the deleted one: an old receipt completes a new item.",
            &[Operation::CreatePartition],
            |scene| {
                scene.after.last_lease = 0;
                for one in &mut scene.after.partitions {
                    if one.items.is_empty() {
                        (one.last_id, one.last_position) = (0, 0);
                    }
                }
            },
            &[
                "partitions::partition_made_again_gives_no_id_twice",
                "partitions::receipt_of_a_deleted_partition_completes_nothing_in_the_next",
            ],
        ),
        edited(
            "versions_start_anew_with_a_partition",
            "A partition made again has the versions of the deleted one: old cursors fit it.",
            &[Operation::DeletePartition],
            |scene| {
                let kept = &scene.after.partitions;
                let gone = scene.before.partitions.iter();
                let mut gone = gone.filter(|old| kept.iter().all(|one| one.info.id != old.info.id));
                if let Some(gone) = gone.next() {
                    scene.after.last_version = gone.info.created.get() - 1;
                }
            },
            &["partitions::partition_made_again_is_another_one"],
        ),
        edited(
            "delete_takes_ten_thousand",
            "Deleting a partition removes what one statement takes; the rest is there as before.",
            &[Operation::DeletePartition],
            |scene| {
                let kept: Vec<_> = scene
                    .after
                    .partitions
                    .iter()
                    .map(|one| one.info.created)
                    .collect();
                let gone = scene.before.partitions.iter();
                for gone in gone.filter(|old| !kept.contains(&old.info.created)) {
                    if gone.items.len() > 10_000 {
                        let mut rest = gone.clone();
                        rest.items.drain(..10_000);
                        scene.after.partitions.push(rest);
                        scene
                            .after
                            .partitions
                            .sort_by(|a, b| a.info.id.cmp(&b.info.id));
                    }
                }
            },
            &["partitions::a_hundred_thousand_items_are_deleted_in_one_step"],
        ),
        edited(
            "delete_takes_all_of_the_prefix",
            "Deleting a queue deletes every one whose name begins with it (muninndb, pull 834).",
            &[Operation::DeletePartition],
            |scene| {
                let kept: Vec<_> = scene
                    .after
                    .partitions
                    .iter()
                    .map(|one| one.info.created)
                    .collect();
                let gone = scene.before.partitions.iter();
                for gone in gone.filter(|old| !kept.contains(&old.info.created)) {
                    let (queue, number) = (gone.info.id.queue().as_str(), gone.info.id.number());
                    let prefix = format!("{queue}{number}");
                    scene.after.partitions.retain(|one| {
                        !format!("{}{}", one.info.id.queue(), one.info.id.number())
                            .starts_with(&prefix)
                    });
                }
            },
            &[
                "listing::partitions_that_stay_come_once_while_others_come_and_go",
                "partitions::names_that_collide_are_deleted_apart",
                "partitions::number_10_of_a_queue_is_not_number_0_of_the_next",
            ],
        ),
        edited(
            "delete_leaves_the_partition",
            "Deleting removes the items, and the partition stays.",
            &[Operation::DeletePartition],
            |scene| {
                let kept: Vec<_> = scene
                    .after
                    .partitions
                    .iter()
                    .map(|one| one.info.created)
                    .collect();
                let gone = scene.before.partitions.iter();
                for gone in gone.filter(|old| !kept.contains(&old.info.created)) {
                    let mut shell = gone.clone();
                    shell.items.clear();
                    scene.after.partitions.push(shell);
                    scene
                        .after
                        .partitions
                        .sort_by(|a, b| a.info.id.cmp(&b.info.id));
                }
            },
            &[
                "partitions::partition_made_again_is_another_one",
                "partitions::partition_made_again_is_empty",
            ],
        ),
    ]
}
