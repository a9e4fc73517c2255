//! Wrong about statistics.

use storage_api::*;

use super::drivers::*;
use crate::answered::{Told, answered};
use crate::mutant::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
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
