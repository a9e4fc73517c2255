//! Wrong about partitions: their life, their names, their statistics, their modes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use storage_api::*;
use storage_model::Contents;

use crate::answered::{Told, answered};
use crate::edited::{around, edited, to_tail};
use crate::mutant::{Mutant, wrong};
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
            &[],
        ),
        Mutant::new(
            "creating_again_is_ok",
            "Creating a partition that is there is answered as if it had been made.",
            CreatesTwice::wrap,
            &[],
        ),
        Mutant::new(
            "missing_partitions_are_made",
            "Producing into a missing partition makes it (auto-create).",
            MakesMissing::wrap,
            &[],
        ),
        Mutant::new(
            "missing_partitions_are_empty",
            "A missing partition is an empty one to those who look, lease and maintain (DotNetWorkQueue, issue 356).",
            MissingIsEmpty::wrap,
            &[],
        ),
        Mutant::new(
            "a_queue_lends_its_first_partition",
            "Where a partition is missing, the first of its queue is taken.",
            FirstOfTheQueue::wrap,
            &[],
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
            &[],
        ),
        edited(
            "configurations_are_lost_at_reopening",
            "Configurations are kept in memory.",
            &[Operation::Open],
            |scene| scene.partitions(|_, now| now.info.config = PartitionConfig::default()),
            &[],
        ),
    ]
}

fn updating() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "update_ignores_the_expected_revision",
            "The last one who updates wins, whatever they had seen.",
            UpdatesBlindly::wrap,
            &[],
        ),
        Mutant::new(
            "update_needs_a_revision",
            "An update without an expected revision is in conflict with any.",
            UpdatesNeverBlindly::wrap,
            &[],
        ),
        Mutant::new(
            "conflict_tells_what_was_expected",
            "A conflict names the revision that was given, not the one that was found.",
            ConflictNamesExpected::wrap,
            &[],
        ),
        edited(
            "update_keeps_the_revision",
            "A configuration is replaced and its revision stays.",
            &[Operation::UpdatePartition],
            |scene| scene.partitions(|before, now| now.info.revision = before.info.revision),
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
        ),
    ]
}

fn deleting() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "deleted_partitions_come_back",
            "A deleted partition that is made again has the items of the deleted one.",
            ComesBack::wrap,
            &[],
        ),
        Mutant::new(
            "lingering_keys_outlive_the_partition",
            "Dedup keys belong to the name: a partition made again refuses what the deleted one had seen.",
            KeysComeBack::wrap,
            &[],
        ),
        Mutant::new(
            "deleted_partitions_are_there_after_reopening",
            "Deletion takes the partition out of memory and not out of the log.",
            ThereAgain::wrap,
            &[],
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
            &[],
        ),
        edited(
            "deleted_numbers_are_forgotten_at_reopening",
            "Which ids deleted partitions gave out is kept in memory.",
            &[Operation::Open],
            |scene| scene.after.deleted_number = 0,
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
        ),
        renamed(
            "names_are_trimmed",
            "Spaces at the ends of a name do not count.",
            |queue, number| (queue.trim_matches(' ').to_owned(), number),
            &[],
        ),
        renamed(
            "names_ignore_case",
            "The file system that keeps the names does not tell small letters from capitals.",
            |queue, number| (queue.to_lowercase(), number),
            &[],
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
            &[],
        ),
        renamed(
            "numbers_are_a_byte",
            "The number of a partition is stored in one byte.",
            |queue, number| (queue.to_owned(), number % 256),
            &[],
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
            &[],
        ),
        Mutant::new(
            "names_are_lost_at_reopening",
            "Names are read back as what a terminal would show of them.",
            NamesLost::wrap,
            &[],
        ),
    ]
}

fn pages() -> Vec<Mutant> {
    vec![
        answered(
            "partitions_are_listed_by_number",
            "Partitions are ordered by number, then by name.",
            Told::Partitions(|_, _, page| page.items.sort_by_key(|one| one.id.number())),
            &[],
        ),
        answered(
            "numbers_are_ordered_as_texts",
            "Partition 10 is listed before partition 2.",
            Told::Partitions(|_, _, page| {
                page.items
                    .sort_by_key(|one| (one.id.queue().clone(), one.id.number().to_string()));
            }),
            &[],
        ),
        answered(
            "names_are_ordered_without_case",
            "Names are ordered as a dictionary does.",
            Told::Partitions(|_, _, page| {
                page.items
                    .sort_by_key(|one| (one.id.queue().as_str().to_lowercase(), one.id.number()));
            }),
            &[],
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
            &[],
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
            &[],
        ),
        answered(
            "pages_of_partitions_drop_their_last",
            "The partition at the boundary of two pages is on neither.",
            Told::Partitions(|_, _, page| {
                if page.next.is_some() && page.items.len() > 1 {
                    page.items.pop();
                }
            }),
            &[],
        ),
        Mutant::new(
            "partitions_are_paged_by_offset",
            "A cursor counts what was shown: removing that hides as many (BullMQ, pull 3034).",
            PagesByOffset::wrap,
            &[],
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
            &[],
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
            &[],
        ),
        answered(
            "leased_bytes_are_not_counted",
            "The bytes of an item leave the count when it is leased.",
            Told::Stats(|_, stats| stats.leased.bytes = 0),
            &[],
        ),
        answered(
            "created_at_sums_are_not_kept",
            "The sum of the creation times is that of the ready items alone.",
            Told::Stats(|_, stats| {
                stats.scheduled.created_at_sum = 0;
                stats.leased.created_at_sum = 0;
                stats.dead.created_at_sum = 0;
            }),
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
        ),
        answered(
            "stats_forget_lingering_keys",
            "The earliest due time is that of the items.",
            Told::Stats(|partition, stats| {
                stats.next_due = partition.items.iter().filter_map(ItemEntry::due_at).min();
            }),
            &[],
        ),
        answered(
            "lingering_keys_are_counted",
            "A key whose item has gone is counted as an item.",
            Told::Stats(|partition, stats| stats.ready.items += partition.gone_keys.len() as u64),
            &[],
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
            &[],
        ),
        Mutant::new(
            "stats_count_completions_of_lost_receipts",
            "A receipt that is used again is subtracted again (solid_queue, pull 761; a count below zero in RabbitMQ).",
            CountsLost::wrap,
            &[],
        ),
        Mutant::new(
            "stats_forget_what_is_cleared",
            "Clearing does not lower the counts (Redis, issues 13337 and 13957).",
            ForgetsCleared::wrap,
            &[],
        ),
        Mutant::new(
            "stats_forget_deleted_leases",
            "Deleting a leased item leaves it in the count of leases.",
            ForgetsDeletedLeases::wrap,
            &[],
        ),
        Mutant::new(
            "stats_start_anew_at_reopening",
            "Counts are kept in memory and start with none.",
            StatsStartAnew::wrap,
            &[],
        ),
        Mutant::new(
            "stats_forget_commits",
            "Items of a commit are not counted.",
            ForgetsCommits::wrap,
            &[],
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
            &[],
        ),
        around(
            "frozen_partitions_take_produce",
            "A frozen partition takes what is produced.",
            &[Operation::Produce],
            |contents| open(contents, Mode::Frozen),
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &[],
        ),
        around(
            "frozen_partitions_lease",
            "A frozen partition gives items away.",
            &[Operation::Lease],
            |contents| open(contents, Mode::Frozen),
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &[],
        ),
        around(
            "frozen_partitions_maintain",
            "Time goes on in a frozen partition.",
            &[Operation::Maintain],
            |contents| open(contents, Mode::Frozen),
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &[],
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
            &[],
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
            &[],
        ),
        Mutant::new(
            "frozen_partitions_keep_their_leases",
            "A frozen partition refuses to complete, extend, release and retry: workers at work fail.",
            FrozenRefusesEnds::wrap,
            &[],
        ),
        Mutant::new(
            "frozen_partitions_take_no_restore",
            "A frozen partition cannot be moved: it refuses restore, revive and removal.",
            FrozenRefusesMoves::wrap,
            &[],
        ),
        Mutant::new(
            "duplicates_are_found_while_draining",
            "A draining partition refuses what it would store, and a batch of duplicates stores nothing.",
            DrainingTellsDuplicates::wrap,
            &[],
        ),
        Mutant::new(
            "empty_batches_are_refused_by_mode",
            "The mode is looked at before the batch.",
            ModeBeforeBatch::wrap,
            &[],
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
            &[],
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
            &[],
        ),
    ]
}

/// Opens every partition of that mode.
fn open(contents: &mut Contents, mode: Mode) {
    for partition in &mut contents.partitions {
        if partition.info.config.mode() == mode {
            partition.info.config = partition.info.config.clone().with_mode(Mode::Open);
        }
    }
}

wrong! { CreatesOver PartitionStore [create_partition] {
    async fn create_partition(&self, id: &PartitionId, config: PartitionConfig) -> Result<PartitionInfo> {
        match self.inner.create_partition(id, config.clone()).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.at.fire();
                self.inner.update_partition(id, None, config).await?;
                self.inner.partition(id).await
            }
            created => created,
        }
    }
}}

wrong! { CreatesTwice PartitionStore [create_partition] {
    async fn create_partition(&self, id: &PartitionId, config: PartitionConfig) -> Result<PartitionInfo> {
        match self.inner.create_partition(id, config).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.at.fire();
                self.inner.partition(id).await
            }
            created => created,
        }
    }
}}

wrong! { MakesMissing ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        if self.inner.partition(partition).await.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            self.at.fire();
            self.inner.create_partition(partition, PartitionConfig::default()).await?;
        }
        self.inner.produce(partition, batch).await
    }
}}

/// Is the answer that something is missing?
fn is_missing<T>(answer: &Result<T>) -> bool {
    answer
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

wrong! { MissingIsEmpty
    PartitionStore [stats, maintain] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let answer = self.inner.stats(id).await;
            match self.at.fired.fire_if(is_missing(&answer)) {
                true => Ok(PartitionStats::default()),
                false => answer,
            }
        }
        async fn maintain(&self, id: &PartitionId, now: Timestamp, items_max: Count) -> Result<Maintained> {
            let answer = self.inner.maintain(id, now, items_max).await;
            match self.at.fired.fire_if(is_missing(&answer)) {
                true => Ok(Maintained::default()),
                false => answer,
            }
        }
    }
    ItemStore [lease, list_items] {
        async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
            let nothing = LeasedBatch::new(request.deadline, request.holder);
            let answer = self.inner.lease(partition, request).await;
            match self.at.fired.fire_if(is_missing(&answer)) {
                true => Ok(nothing),
                false => answer,
            }
        }
        async fn list_items(&self, partition: &PartitionId, request: ListRequest) -> Result<Page<ItemEntry>> {
            let answer = self.inner.list_items(partition, request).await;
            match self.at.fired.fire_if(is_missing(&answer)) {
                true => Ok(Page::last(Vec::new())),
                false => answer,
            }
        }
    }
}

wrong! { FirstOfTheQueue ItemStore [lease] {
    async fn lease(&self, partition: &PartitionId, request: LeaseRequest) -> Result<LeasedBatch> {
        let answer = self.inner.lease(partition, request).await;
        let first = PartitionId::new(partition.queue().clone(), 0)?;
        if is_missing(&answer) && self.inner.partition(&first).await.is_ok() {
            self.at.fire();
            return self.inner.lease(&first, request).await;
        }
        answer
    }
}}

wrong! { UpdatesBlindly PartitionStore [update_partition] {
    async fn update_partition(
        &self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome> {
        let found = self.inner.partition(id).await.ok().map(|info| info.revision);
        self.at.fired.fire_if(expected.is_some() && found != expected);
        self.inner.update_partition(id, None, config).await
    }
}}

wrong! { UpdatesNeverBlindly PartitionStore [update_partition] {
    async fn update_partition(
        &self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome> {
        if self.at.fired.fire_if(expected.is_none()) {
            return Ok(UpdateOutcome::Conflict(self.inner.partition(id).await?.revision));
        }
        self.inner.update_partition(id, expected, config).await
    }
}}

wrong! { ConflictNamesExpected PartitionStore [update_partition] {
    async fn update_partition(
        &self,
        id: &PartitionId,
        expected: Option<Version>,
        config: PartitionConfig,
    ) -> Result<UpdateOutcome> {
        let outcome = self.inner.update_partition(id, expected, config).await?;
        match (outcome, expected) {
            (UpdateOutcome::Conflict(_), Some(expected)) => {
                self.at.fire();
                Ok(UpdateOutcome::Conflict(expected))
            }
            _ => Ok(outcome),
        }
    }
}}

wrong! { ComesBack PartitionStore [create_partition, delete_partition] {
    async fn create_partition(&self, id: &PartitionId, config: PartitionConfig) -> Result<PartitionInfo> {
        let info = self.inner.create_partition(id, config).await?;
        let deleted = self.at.deleted(id);
        self.at.edit(|contents| {
            let mut partitions = contents.partitions.iter_mut();
            let made = partitions.find(|one| one.info.id == *id);
            if let (Some(made), Some(deleted)) = (made, deleted) {
                made.items = deleted.items;
            }
        });
        Ok(info)
    }
    async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
        self.at.keep(id);
        self.inner.delete_partition(id).await
    }
}}

wrong! { KeysComeBack PartitionStore [create_partition, delete_partition] {
    async fn create_partition(&self, id: &PartitionId, config: PartitionConfig) -> Result<PartitionInfo> {
        let info = self.inner.create_partition(id, config).await?;
        let deleted = self.at.deleted(id);
        self.at.edit(|contents| {
            let mut partitions = contents.partitions.iter_mut();
            let made = partitions.find(|one| one.info.id == *id);
            if let (Some(made), Some(deleted)) = (made, deleted) {
                made.gone_keys = deleted.gone_keys;
            }
        });
        Ok(info)
    }
    async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
        self.at.keep(id);
        self.inner.delete_partition(id).await
    }
}}

wrong! { ThereAgain PartitionStore [create_partition, delete_partition, partition, list_partitions] {
    async fn create_partition(&self, id: &PartitionId, config: PartitionConfig) -> Result<PartitionInfo> {
        let info = self.inner.create_partition(id, config).await?;
        self.at.deleted(id);
        Ok(info)
    }
    async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
        self.at.keep(id);
        self.inner.delete_partition(id).await
    }
    async fn partition(&self, id: &PartitionId) -> Result<PartitionInfo> {
        self.raise();
        self.inner.partition(id).await
    }
    async fn list_partitions(&self, after: Option<&Cursor>, partitions_max: Count) -> Result<Page<PartitionInfo>> {
        self.raise();
        self.inner.list_partitions(after, partitions_max).await
    }
}}

impl ThereAgain {
    /// The first look of a later opening finds what was deleted.
    fn raise(&self) {
        if self.at.opening == 1 {
            return;
        }
        for deleted in self.at.all_deleted() {
            self.at.edit(|contents| {
                contents.partitions.push(deleted);
                contents
                    .partitions
                    .sort_by(|a, b| a.info.id.cmp(&b.info.id));
            });
        }
    }
}

wrong! { NamesLost PartitionStore [list_partitions] {
    async fn list_partitions(&self, after: Option<&Cursor>, partitions_max: Count) -> Result<Page<PartitionInfo>> {
        let mut page = self.inner.list_partitions(after, partitions_max).await?;
        for info in &mut page.items {
            let shown = info.id.queue().as_str().replace(|c: char| !c.is_ascii_graphic(), "?");
            if self.at.opening > 1 && shown != info.id.queue().as_str() {
                self.at.fire();
                info.id = PartitionId::new(shown, info.id.number())?;
            }
        }
        Ok(page)
    }
}}

wrong! { PagesByOffset { shown: Mutex<usize> } PartitionStore [list_partitions] {
    async fn list_partitions(&self, after: Option<&Cursor>, partitions_max: Count) -> Result<Page<PartitionInfo>> {
        let mut shown = self.shown.lock().expect("nobody panics with it");
        if after.is_none() {
            *shown = 0;
        }
        let all = self.inner.contents().partitions;
        let page: Vec<_> = all.iter().skip(*shown).take(partitions_max.get()).map(|one| one.info.clone()).collect();
        let sound = all.iter().filter(|one| {
            let point = after.and_then(|after| after.partition_point().ok());
            point.is_none_or(|point| one.info.id > point)
        });
        let sound: Vec<_> = sound.take(partitions_max.get()).map(|one| one.info.clone()).collect();
        self.at.fired.fire_if(page != sound);
        *shown += page.len();
        let is_more = *shown < all.len();
        let next = page.last().filter(|_| is_more).map(|last| Cursor::after_partition(&last.id));
        Ok(Page { items: page, next })
    }
}}

wrong! { CountsLost { lost: AtomicU64 }
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let mut stats = self.inner.stats(id).await?;
            let lost = self.lost.load(Ordering::Relaxed);
            self.at.fired.fire_if(lost > 0);
            stats.leased.items = stats.leased.items.wrapping_sub(lost);
            Ok(stats)
        }
    }
    ItemStore [complete] {
        async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
            let outcomes = self.inner.complete(partition, receipts).await?;
            let lost = outcomes.iter().filter(|outcome| **outcome != CompleteOutcome::Done);
            self.lost.fetch_add(lost.count() as u64, Ordering::Relaxed);
            Ok(outcomes)
        }
    }
}

wrong! { ForgetsCleared { cleared: AtomicU64 }
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let mut stats = self.inner.stats(id).await?;
            let cleared = self.cleared.load(Ordering::Relaxed);
            self.at.fired.fire_if(cleared > 0);
            stats.ready.items += cleared;
            Ok(stats)
        }
    }
    ItemStore [clear] {
        async fn clear(&self, partition: &PartitionId, states: States, items_max: Count) -> Result<Cleared> {
            let cleared = self.inner.clear(partition, states, items_max).await?;
            self.cleared.fetch_add(cleared.removed as u64, Ordering::Relaxed);
            Ok(cleared)
        }
    }
}

wrong! { ForgetsDeletedLeases { deleted: AtomicU64 }
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let mut stats = self.inner.stats(id).await?;
            let deleted = self.deleted.load(Ordering::Relaxed);
            self.at.fired.fire_if(deleted > 0);
            stats.leased.items += deleted;
            Ok(stats)
        }
    }
    ItemStore [delete_items] {
        async fn delete_items(&self, partition: &PartitionId, ids: ItemIds) -> Result<Vec<DeleteOutcome>> {
            let before = self.inner.stats(partition).await?.leased.items;
            let outcomes = self.inner.delete_items(partition, ids).await?;
            let after = self.inner.stats(partition).await?.leased.items;
            self.deleted.fetch_add(before - after, Ordering::Relaxed);
            Ok(outcomes)
        }
    }
}

wrong! { StatsStartAnew PartitionStore [stats] {
    async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
        let stats = self.inner.stats(id).await?;
        if self.at.opening == 1 {
            return Ok(stats);
        }
        self.at.fired.fire_if(stats != PartitionStats::default());
        Ok(PartitionStats::default())
    }
}}

wrong! { ForgetsCommits { produced: AtomicU64 }
    PartitionStore [stats] {
        async fn stats(&self, id: &PartitionId) -> Result<PartitionStats> {
            let mut stats = self.inner.stats(id).await?;
            let produced = self.produced.load(Ordering::Relaxed);
            self.at.fired.fire_if(produced > 0);
            stats.ready.items = stats.ready.items.saturating_sub(produced);
            Ok(stats)
        }
    }
    StorageBackend [commit] {
        async fn commit(&self, request: CommitRequest) -> Result<CommitOutcome> {
            let outcome = self.inner.commit(request).await?;
            if let CommitOutcome::Committed(committed) = &outcome {
                let produced: usize = committed.produced.iter().map(Produced::stored).sum();
                self.produced.fetch_add(produced as u64, Ordering::Relaxed);
            }
            Ok(outcome)
        }
    }
}

/// What a partition that is frozen says to what it does not take.
fn frozen(operation: Operation, id: &PartitionId) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        operation,
        id,
        "it is frozen; open it again",
    )
}

wrong! { FrozenRefusesEnds ItemStore [complete] {
    async fn complete(&self, partition: &PartitionId, receipts: Receipts) -> Result<Vec<CompleteOutcome>> {
        let mode = self.inner.partition(partition).await?.config.mode();
        match self.at.fired.fire_if(mode == Mode::Frozen) {
            true => Err(frozen(Operation::Complete, partition)),
            false => self.inner.complete(partition, receipts).await,
        }
    }
}}

wrong! { FrozenRefusesMoves ItemStore [restore] {
    async fn restore(&self, partition: &PartitionId, items: RestoreBatch, floors: Floors) -> Result<()> {
        let mode = self.inner.partition(partition).await?.config.mode();
        match self.at.fired.fire_if(mode == Mode::Frozen) {
            true => Err(frozen(Operation::Restore, partition)),
            false => self.inner.restore(partition, items, floors).await,
        }
    }
}}

wrong! { DrainingTellsDuplicates ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let contents = self.inner.contents();
        let mut partitions = contents.partitions.iter();
        let found = partitions.find(|one| one.info.id == *partition);
        let owner = |key: &[u8]| {
            let mut items = found.into_iter().flat_map(|one| &one.items);
            items.find(|item| item.record.view().dedup_key() == Some(key))
        };
        let duplicates = batch.records().enumerate().filter_map(|(index, record)| {
            let item = owner(record.dedup_key()?)?;
            Some(Duplicate { index, of: item.id, state: Some(item.state()) })
        });
        let duplicates: Vec<_> = duplicates.collect();
        let is_refused = found.is_some_and(|one| one.info.config.mode() != Mode::Open);
        if is_refused && !batch.is_empty() && duplicates.len() == batch.len() {
            self.at.fire();
            return Ok(Produced::new(None, batch.len(), duplicates));
        }
        self.inner.produce(partition, batch).await
    }
}}

wrong! { ModeBeforeBatch ItemStore [produce] {
    async fn produce(&self, partition: &PartitionId, batch: SealedBatch) -> Result<Produced> {
        let mode = self.inner.partition(partition).await?.config.mode();
        match self.at.fired.fire_if(mode != Mode::Open && batch.is_empty()) {
            true => Err(frozen(Operation::Produce, partition)),
            false => self.inner.produce(partition, batch).await,
        }
    }
}}
