//! Commits: checks, steps, and all or nothing.

mod atomicity;
mod checks;
mod steps;

use storage_api::Capability::Reopen;
use storage_api::{Refusal, StepFailure, Version};

use crate::case::{Case, cases};
use crate::env::key;
use atomicity::*;
use checks::*;
use steps::*;

pub(super) const CASES: &[Case] = cases![commit:
    all_of_a_commit_applies ["META-1", "META-2", "PART-7"],
    an_empty_commit_is_legal ["META-1", "META-5"],
    a_failed_check_applies_nothing_wherever_it_stands ["META-1", "META-5", "ATOM-1"],
    an_invalid_step_applies_nothing_wherever_it_stands ["META-1", "ATOM-1"],
    a_refused_partition_applies_nothing_wherever_it_stands ["META-1", "PART-2", "PART-8", "ATOM-1"],
    a_full_partition_applies_nothing_wherever_it_stands ["META-1", "LIMIT-2", "ATOM-1"],
    a_refused_commit_frees_no_dedup_key_and_takes_none ["META-1", "ITEM-4", "ATOM-1"],
    items_move_between_partitions_with_their_cursor_or_not_at_all ["META-1"],
    a_commit_survives_a_reopening ["META-1", "DUR-2"].requires(Reopen),
    a_refusal_comes_before_capacity ["ERR-2", "META-1", "LIMIT-2"],

    the_first_check_that_fails_is_named ["META-1"],
    a_check_is_named_before_a_step ["META-1"],
    absence_and_versions_are_checked ["META-5"],
    checks_are_judged_before_the_writes_of_their_commit ["META-5", "META-1"],
    a_key_written_again_is_not_the_one_seen ["META-5", "META-2"],
    checks_stay_in_their_namespace ["META-5", "META-6"],
    a_range_that_is_as_it_was_seen_holds ["META-5"],
    a_phantom_is_refused ["META-5"],
    a_key_gone_from_a_range_is_refused ["META-5"],
    a_key_changed_in_a_range_is_refused ["META-5"],
    the_first_difference_of_a_range_is_named ["META-5", "META-1"],
    keys_beside_a_range_do_not_matter ["META-5", "META-3"],
    a_range_without_an_end_sees_the_largest_key ["META-5"],
    a_reversed_range_has_no_key ["META-5", "META-3"],
    a_lost_update_is_refused ["META-5"],
    write_skew_is_refused_by_versions ["META-5"],
    write_skew_is_refused_by_ranges ["META-5"],
    read_skew_is_refused ["META-5"],
    a_read_only_transaction_tells_whether_its_reads_hold_together ["META-5", "META-2"],

    produced_items_are_as_if_produced_alone ["META-1", "ITEM-2", "ITEM-3", "ITEM-6", "ORDER-1"],
    a_completed_key_is_free_for_a_later_step ["META-1", "ITEM-4"],
    a_key_is_taken_for_a_step_before_its_completion ["META-1", "ITEM-4"],
    a_completed_key_lingers_for_a_later_step ["META-1", "ITEM-4"],
    a_deleted_key_is_free_for_a_later_step ["META-1", "ITEM-4"],
    a_duplicate_is_no_failure ["META-1", "ITEM-4"],
    a_key_produced_by_a_step_is_taken_for_the_next ["META-1", "ITEM-4"],
    an_item_of_the_commit_itself_is_not_found ["META-1"],
    the_same_receipt_twice_is_refused_the_second_time ["META-1", "DONE-2"],
    an_item_removed_by_an_earlier_step_is_not_found ["META-1"],
    the_receipt_of_a_lease_taken_back_is_lost ["META-1", "LEASE-7"],
    a_late_receipt_is_valid_until_taken_back ["META-1", "LEASE-7"],
    the_receipt_of_another_partition_is_not_valid ["META-1", "DONE-1"],
    the_first_step_that_fails_is_named ["META-1"],
    items_of_every_state_are_deleted_by_a_step ["META-1", "PART-7"],
    a_frozen_partition_takes_completions_and_deletions ["META-1", "PART-8"],
    empty_steps_are_refused_where_others_are ["BATCH-2", "META-1", "PART-2", "PART-8"],
    room_made_by_an_earlier_step_is_used_by_a_later ["META-1", "LIMIT-2"],
];

/// The check of that index was refused.
fn check_refused(index: usize, name: impl AsRef<[u8]>, found: Option<Version>) -> Refusal {
    let key = key(name);
    Refusal::Check { index, key, found }
}

/// That entry of the step of that index was refused.
fn step_refused(index: usize, entry: usize, found: StepFailure) -> Refusal {
    Refusal::Step {
        index,
        entry,
        found,
    }
}
