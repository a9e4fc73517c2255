//! Wrong about partitions: their life, their names, their statistics, their modes.

mod drivers;

use storage_api::*;

use self::drivers::*;
use crate::answered::{Told, answered};
use crate::edited::{around, edited, to_tail};
use crate::mutant::Mutant;
use crate::renamed::renamed;

pub(crate) fn mutants() -> Vec<Mutant> {
    [
        making(),
        updating(),
        deleting(),
        names(),
        pages(),
        statistics(),
        modes(),
    ]
    .concat()
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

fn names() -> Vec<Mutant> {
    vec![
        renamed(
            "queue_and_number_are_joined",
            "The key is the name followed by the number: partition 10 of `x` is partition 0 of `x1`.",
            |queue, number| match number {
                0..10 => (queue.to_owned(), number),
                _ => (format!("{queue}{}", number / 10), number % 10),
            },
            &["listing::a_cursor_of_another_partition_is_invalid"],
        ),
        renamed(
            "names_are_paths",
            "A name is a directory: `..` and `/` are resolved.",
            |queue, number| {
                let mut parts: Vec<&str> = Vec::new();
                for part in queue.split('/') {
                    match part {
                        "" | "." => {}
                        ".." => drop(parts.pop()),
                        part => parts.push(part),
                    }
                }
                (format!("/{}", parts.join("/")), number)
            },
            &[
                "finish::call_is_seen_whole_or_not_at_all",
                "restore::a_dedup_key_is_taken_in_its_partition_alone",
            ],
        ),
        renamed(
            "names_end_at_nul",
            "A name is a C string.",
            |queue, number| {
                (
                    queue.split('\0').next().unwrap_or_default().to_owned(),
                    number,
                )
            },
            &["partitions::names_that_collide_are_kept_apart"],
        ),
        renamed(
            "names_are_trimmed",
            "Spaces at the ends of a name do not count.",
            |queue, number| (queue.trim_matches(' ').to_owned(), number),
            &["partitions::names_that_collide_are_kept_apart"],
        ),
        renamed(
            "names_ignore_case",
            "The file system that keeps the names does not tell small letters from capitals.",
            |queue, number| (queue.to_lowercase(), number),
            &["partitions::names_that_collide_are_kept_apart"],
        ),
        renamed(
            "names_are_cut_to_255_bytes",
            "A name is as long as a file name may be.",
            |queue, number| {
                let end = (0..=queue.len().min(255))
                    .rev()
                    .find(|end| queue.is_char_boundary(*end));
                (queue[..end.unwrap_or(0)].to_owned(), number)
            },
            &[
                "partitions::names_are_kept_over_a_reopening",
                "partitions::names_that_collide_are_deleted_apart",
                "partitions::names_that_collide_are_kept_apart",
            ],
        ),
        renamed(
            "numbers_are_a_byte",
            "The number of a partition is stored in one byte.",
            |queue, number| (queue.to_owned(), number % 256),
            &["partitions::names_that_collide_are_kept_apart"],
        ),
        edited(
            "clear_takes_the_neighbours",
            "Clearing reaches into the next partition, as its range has no end (muninndb, pull 834).",
            &[Operation::Clear],
            |scene| {
                let cleared = scene.before.partitions.iter().zip(&scene.after.partitions);
                let is_cleared: Vec<_> = cleared
                    .map(|(old, new)| old.items.len() > new.items.len())
                    .collect();
                for index in 1..is_cleared.len() {
                    if is_cleared[index - 1] {
                        scene.after.partitions[index].items.clear();
                    }
                }
            },
            &[
                "listing::deleting_and_clearing_stay_in_their_partition",
                "partitions::clearing_one_partition_leaves_its_neighbours",
            ],
        ),
        Mutant::new(
            "names_are_lost_at_reopening",
            "Names are read back as what a terminal would show of them.",
            NamesLost::wrap,
            &["partitions::names_are_kept_over_a_reopening"],
        ),
    ]
}

fn pages() -> Vec<Mutant> {
    vec![
        answered(
            "partitions_are_listed_by_number",
            "Partitions are ordered by number, then by name.",
            Told::Partitions(|_, _, page| page.items.sort_by_key(|one| one.id.number())),
            &[
                "listing::partitions_page_by_the_bytes_of_the_name_then_by_number",
                "partitions::pages_of_partitions_join_to_the_whole_list",
            ],
        ),
        answered(
            "numbers_are_ordered_as_texts",
            "Partition 10 is listed before partition 2.",
            Told::Partitions(|_, _, page| {
                page.items
                    .sort_by_key(|one| (one.id.queue().clone(), one.id.number().to_string()));
            }),
            &[
                "listing::partitions_page_by_the_bytes_of_the_name_then_by_number",
                "partitions::names_that_collide_are_listed_as_they_were_given",
            ],
        ),
        answered(
            "names_are_ordered_without_case",
            "Names are ordered as a dictionary does.",
            Told::Partitions(|_, _, page| {
                page.items
                    .sort_by_key(|one| (one.id.queue().as_str().to_lowercase(), one.id.number()));
            }),
            &[
                "partitions::names_that_collide_are_listed_as_they_were_given",
                "partitions::partitions_are_listed_by_the_bytes_of_the_name_then_by_number",
            ],
        ),
        answered(
            "names_are_ordered_by_utf16",
            "Names are ordered as a runtime with 16-bit characters does.",
            Told::Partitions(|_, _, page| {
                page.items.sort_by_key(|one| {
                    let name: Vec<u16> = one.id.queue().as_str().encode_utf16().collect();
                    (name, one.id.number())
                });
            }),
            &["partitions::partitions_are_listed_by_the_bytes_of_the_name_then_by_number"],
        ),
        answered(
            "full_page_of_partitions_has_a_cursor",
            "A page that is full is taken for one that is not the last.",
            Told::Partitions(|_, max, page| {
                if page.items.len() == max.get() && page.next.is_none() {
                    page.next = page
                        .items
                        .last()
                        .map(|last| Cursor::after_partition(&last.id));
                }
            }),
            &["partitions::last_page_of_partitions_has_no_cursor_even_if_it_is_full"],
        ),
        answered(
            "pages_of_partitions_drop_their_last",
            "The partition at the boundary of two pages is on neither.",
            Told::Partitions(|_, _, page| {
                if page.next.is_some() && page.items.len() > 1 {
                    page.items.pop();
                }
            }),
            &[
                "partitions::last_page_of_partitions_has_no_cursor_even_if_it_is_full",
                "partitions::pages_of_partitions_join_to_the_whole_list",
                "partitions::partitions_deleted_between_pages_hide_no_other",
            ],
        ),
        Mutant::new(
            "partitions_are_paged_by_offset",
            "A cursor counts what was shown: removing that hides as many (BullMQ, pull 3034).",
            PagesByOffset::wrap,
            &[
                "listing::a_damaged_cursor_of_the_backend_is_invalid_whatever_byte_it_is",
                "listing::partitions_that_stay_come_once_while_others_come_and_go",
                "partitions::partitions_deleted_between_pages_hide_no_other",
            ],
        ),
        answered(
            "an_empty_backend_has_one_page_more",
            "A list of nothing says that a page follows.",
            Told::Partitions(|contents, _, page| {
                if contents.partitions.is_empty() && page.next.is_none() {
                    let none = PartitionId::new("none", 0).expect("it is within the limits");
                    page.next = Some(Cursor::after_partition(&none));
                }
            }),
            &[
                "partitions::backend_without_partitions_lists_none",
                "restore::a_restore_into_a_missing_partition_makes_none",
            ],
        ),
    ]
}

fn statistics() -> Vec<Mutant> {
    vec![
        answered(
            "the_dead_count_as_ready",
            "Dead items are counted among the ready ones (bunqueue, issue 92).",
            Told::Stats(|_, stats| {
                stats.ready.items += stats.dead.items;
                stats.dead.items = 0;
            }),
            &["partitions::receipts_used_twice_change_no_statistics"],
        ),
        answered(
            "leased_bytes_are_not_counted",
            "The bytes of an item leave the count when it is leased.",
            Told::Stats(|_, stats| stats.leased.bytes = 0),
            &["partitions::missing_partition_is_found_by_no_operation"],
        ),
        answered(
            "created_at_sums_are_not_kept",
            "The sum of the creation times is that of the ready items alone.",
            Told::Stats(|_, stats| {
                stats.scheduled.created_at_sum = 0;
                stats.leased.created_at_sum = 0;
                stats.dead.created_at_sum = 0;
            }),
            &["partitions::first_ready_item_of_the_statistics_is_the_first_in_lease_order"],
        ),
        answered(
            "due_sums_ignore_expiry",
            "The sum of due times of scheduled items is that of their `enqueue_at`.",
            Told::Stats(|partition, stats| {
                let scheduled = partition.items.iter().filter_map(|item| match item.state {
                    ItemState::Scheduled { enqueue_at } => Some(i128::from(enqueue_at.as_micros())),
                    _ => None,
                });
                stats.scheduled.due_at_sum = scheduled.sum();
            }),
            &[
                "listing::the_scheduled_are_due_at_the_earlier_of_two_times",
                "partitions::stats_tell_the_sums_of_each_state",
                "produce::item_that_has_expired_already_is_stored_as_any_other",
            ],
        ),
        answered(
            "sums_are_of_64_bits",
            "The sums of times are cut to 64 bits.",
            Told::Stats(|_, stats| {
                for state in State::ALL {
                    let sums = stats.state_mut(state);
                    let cut = |sum: i128| sum.clamp(i64::MIN.into(), i64::MAX.into());
                    sums.created_at_sum = cut(sums.created_at_sum);
                    sums.due_at_sum = cut(sums.due_at_sum);
                }
            }),
            &[
                "produce::item_for_a_later_time_is_scheduled_and_any_other_is_ready",
                "produce::produced_item_has_the_time_of_its_produce_and_no_attempts",
            ],
        ),
        answered(
            "the_first_ready_is_the_oldest",
            "The first ready item of the statistics is the one that was created first.",
            Told::Stats(|partition, stats| {
                let ready = partition
                    .items
                    .iter()
                    .filter(|item| item.state() == State::Ready);
                stats.first_ready_created_at =
                    ready.map(|item| item.record.view().created_at()).min();
            }),
            &["partitions::first_ready_item_of_the_statistics_is_the_first_in_lease_order"],
        ),
        answered(
            "the_first_ready_ignores_priority",
            "The first ready item of the statistics is the one of the smallest position.",
            Told::Stats(|partition, stats| {
                let ready = partition
                    .items
                    .iter()
                    .filter(|item| item.state() == State::Ready);
                let first = ready.min_by_key(|item| item.state.position());
                stats.first_ready_created_at = first.map(|item| item.record.view().created_at());
            }),
            &[
                "partitions::first_ready_item_of_the_statistics_is_the_first_in_lease_order",
                "partitions::stats_tell_the_sums_of_each_state",
            ],
        ),
        answered(
            "stats_forget_lingering_keys",
            "The earliest due time is that of the items.",
            Told::Stats(|partition, stats| {
                stats.next_due = partition.items.iter().filter_map(ItemEntry::due_at).min();
            }),
            &[
                "partitions::earliest_due_time_of_the_statistics_includes_lingering_keys",
                "produce::dedup_key_lingers_even_if_its_time_had_passed_before_completion",
                "produce::lingering_keys_are_kept_over_a_reopening",
                "time::earliest_due_time_includes_lingering_keys",
            ],
        ),
        answered(
            "lingering_keys_are_counted",
            "A key whose item has gone is counted as an item.",
            Told::Stats(|partition, stats| stats.ready.items += partition.gone_keys.len() as u64),
            &[
                "partitions::lingering_keys_count_in_no_sum",
                "partitions::stats_are_kept_over_a_reopening",
            ],
        ),
        answered(
            "expired_items_are_not_counted",
            "An item that can expire and is passed over is not counted as ready.",
            Told::Stats(|partition, stats| {
                let ready = partition
                    .items
                    .iter()
                    .filter(|item| item.state() == State::Ready);
                let expires = ready.filter(|item| item.expire_at().is_some()).count();
                stats.ready.items -= expires as u64;
            }),
            &["partitions::expired_item_counts_as_ready_until_it_is_maintained"],
        ),
        Mutant::new(
            "stats_count_completions_of_lost_receipts",
            "A receipt that is used again is subtracted again (solid_queue, pull 761; a count below zero in RabbitMQ).",
            CountsLost::wrap,
            &["partitions::removed_leases_change_the_statistics_once"],
        ),
        Mutant::new(
            "stats_forget_what_is_cleared",
            "Clearing does not lower the counts (Redis, issues 13337 and 13957).",
            ForgetsCleared::wrap,
            &[
                "finish::dead_items_leave_by_deleting_and_clearing",
                "finish::release_of_no_attempts_stays_at_none",
                "lease::lease_takes_as_many_as_there_are_up_to_items_max",
                "time::what_was_removed_is_never_due",
            ],
        ),
        Mutant::new(
            "stats_forget_deleted_leases",
            "Deleting a leased item leaves it in the count of leases.",
            ForgetsDeletedLeases::wrap,
            &[
                "lease::completed_lease_is_not_taken_back",
                "lease::leases_that_ended_are_held_by_nobody",
                "listing::items_of_every_state_are_deleted",
                "partitions::removed_leases_change_the_statistics_once",
                "time::what_was_removed_is_never_due",
            ],
        ),
        Mutant::new(
            "stats_start_anew_at_reopening",
            "Counts are kept in memory and start with none.",
            StatsStartAnew::wrap,
            &["partitions::partition_made_again_gives_no_id_twice_after_a_reopening"],
        ),
        Mutant::new(
            "stats_forget_commits",
            "Items of a commit are not counted.",
            ForgetsCommits::wrap,
            &[
                "partitions::stats_equal_listing_after_every_operation",
                "produce::dedup_key_freed_by_a_step_of_a_commit_is_free_for_the_next",
            ],
        ),
    ]
}

fn modes() -> Vec<Mutant> {
    vec![
        around(
            "draining_partitions_take_produce",
            "A draining partition takes what is produced.",
            &[Operation::Produce],
            |contents| open(contents, Mode::Draining),
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &[
                "partitions::batch_of_duplicates_is_refused_while_draining",
                "partitions::draining_partition_refuses_produce",
            ],
        ),
        around(
            "frozen_partitions_take_produce",
            "A frozen partition takes what is produced.",
            &[Operation::Produce],
            |contents| open(contents, Mode::Frozen),
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &["partitions::frozen_partition_refuses_produce_lease_and_maintain"],
        ),
        around(
            "frozen_partitions_lease",
            "A frozen partition gives items away.",
            &[Operation::Lease],
            |contents| open(contents, Mode::Frozen),
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &["partitions::frozen_partition_refuses_produce_lease_and_maintain"],
        ),
        around(
            "frozen_partitions_maintain",
            "Time goes on in a frozen partition.",
            &[Operation::Maintain],
            |contents| open(contents, Mode::Frozen),
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &["partitions::time_that_passes_while_frozen_is_handled_once_open"],
        ),
        around(
            "modes_do_not_hold_for_commits",
            "A commit produces into a partition that is draining or frozen.",
            &[Operation::Commit],
            |contents| {
                open(contents, Mode::Draining);
                open(contents, Mode::Frozen);
            },
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &["partitions::commit_that_produces_is_refused_whole_while_draining"],
        ),
        around(
            "draining_partitions_are_frozen",
            "A draining partition refuses lease and maintain.",
            &[Operation::Lease, Operation::Maintain],
            |contents| {
                for partition in &mut contents.partitions {
                    if partition.info.config.mode() == Mode::Draining {
                        partition.info.config =
                            partition.info.config.clone().with_mode(Mode::Frozen);
                    }
                }
            },
            |_| {},
            &["partitions::draining_partition_leases_and_maintains"],
        ),
        Mutant::new(
            "frozen_partitions_keep_their_leases",
            "A frozen partition refuses to complete, extend, release and retry: workers at work fail.",
            FrozenRefusesEnds::wrap,
            &["partitions::frozen_partition_lets_leases_end"],
        ),
        Mutant::new(
            "frozen_partitions_take_no_restore",
            "A frozen partition cannot be moved: it refuses restore, revive and removal.",
            FrozenRefusesMoves::wrap,
            &[
                "partitions::frozen_partition_lets_items_be_revived_removed_and_restored",
                "restore::a_frozen_partition_takes_a_restore",
            ],
        ),
        Mutant::new(
            "duplicates_are_found_while_draining",
            "A draining partition refuses what it would store, and a batch of duplicates stores nothing.",
            DrainingTellsDuplicates::wrap,
            &["partitions::batch_of_duplicates_is_refused_while_draining"],
        ),
        Mutant::new(
            "empty_batches_are_refused_by_mode",
            "The mode is looked at before the batch.",
            ModeBeforeBatch::wrap,
            &["partitions::empty_batch_is_refused_in_no_mode"],
        ),
        edited(
            "freezing_takes_leases_back",
            "A partition that is frozen takes its leases back.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.changed(State::Leased, State::Leased, |partition, index| {
                    if partition.info.config.mode() == Mode::Frozen {
                        to_tail(partition, index);
                    }
                });
            },
            &[
                "partitions::commit_that_completes_goes_on_while_frozen",
                "partitions::frozen_partition_lets_items_be_revived_removed_and_restored",
                "partitions::frozen_partition_lets_leases_end",
            ],
        ),
        edited(
            "time_is_lost_while_frozen",
            "What is due when a partition is opened again was due while it was frozen, and is pushed on.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.partitions(|before, now| {
                    let was_frozen = before.info.config.mode() == Mode::Frozen;
                    for item in &mut now.items {
                        if let (ItemState::Leased { deadline, .. }, true) =
                            (&mut item.state, was_frozen)
                        {
                            *deadline =
                                deadline.saturating_add(std::time::Duration::from_secs(3600));
                        }
                    }
                });
            },
            &["partitions::time_that_passes_while_frozen_is_handled_once_open"],
        ),
    ]
}
