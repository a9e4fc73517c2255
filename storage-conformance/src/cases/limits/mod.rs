//! Limits: the largest of everything, configured capacity, usage.

mod capacity;
mod largest;
mod usage;

use crate::case::{Case, cases};
use capacity::*;
use largest::*;
use usage::*;

pub(super) const CASES: &[Case] = cases![limits:
    the_largest_partition_name_holds_items ["LIMIT-1", "PART-6"],
    the_largest_metadata_names_and_value_come_back ["LIMIT-1", "META-6"],
    the_largest_keys_are_kept_apart_and_scanned ["LIMIT-1", "META-3"],
    the_smallest_and_the_largest_payload_come_back ["LIMIT-1", "ITEM-5"],
    the_largest_attributes_and_note_come_back ["LIMIT-1", "ITEM-5", "RETRY-5"],
    the_largest_dedup_keys_are_told_apart ["LIMIT-1", "ITEM-4"],
    the_largest_batch_of_the_largest_payloads_comes_back ["LIMIT-1", "ITEM-1", "ITEM-5"].long(),
    ten_thousand_items_live_through_every_operation ["LIMIT-1", "BATCH-1"].long(),
    ten_thousand_items_of_the_largest_attributes_come_back ["LIMIT-1", "ITEM-5"].long(),
    two_thousand_keys_are_freed_by_one_maintain ["LIMIT-1", "ITEM-4", "TIME-2"],
    the_largest_restore_is_taken ["LIMIT-1", "MOVE-1"].long(),
    the_largest_commit_of_bytes_applies ["LIMIT-1", "META-1"].long(),
    the_largest_commit_of_writes_is_scanned_and_purged ["LIMIT-1", "META-1", "META-4"].long(),
    the_largest_range_is_checked ["LIMIT-1", "META-5"].long(),
    the_largest_commit_of_receipts_applies ["LIMIT-1", "META-1"].long(),

    items_are_produced_up_to_the_limit_and_not_beyond ["LIMIT-2", "ITEM-1"],
    bytes_are_produced_up_to_the_limit_and_not_beyond ["LIMIT-2", "ITEM-1"],
    bytes_are_those_of_payloads ["LIMIT-2"],
    items_of_every_state_count ["LIMIT-2"],
    duplicates_need_no_room ["LIMIT-2", "ITEM-4"],
    what_stores_nothing_is_never_refused_for_being_full ["LIMIT-2", "BATCH-2"],
    a_full_partition_serves_everything_else ["LIMIT-2"],
    each_way_of_going_makes_room_for_one ["LIMIT-2"],
    a_key_that_lingers_takes_no_room ["LIMIT-2", "ITEM-4"],
    a_lowered_limit_touches_no_item_and_a_raised_one_makes_room ["LIMIT-2", "PART-3"],
    the_largest_configured_limits_are_no_limits ["LIMIT-2"],
    a_full_partition_leaves_others_and_metadata_alone ["LIMIT-2"],
    items_are_restored_up_to_the_limit_and_not_beyond ["LIMIT-2", "MOVE-1"],
    bytes_are_restored_up_to_the_limit_and_not_beyond ["LIMIT-2", "MOVE-1"],
    a_refused_restore_to_a_full_partition_moves_nothing ["LIMIT-2", "MOVE-1", "ATOM-1"],
    a_commit_counts_all_it_produces ["LIMIT-2", "META-1"],
    draining_comes_before_full ["ERR-2", "PART-8", "LIMIT-2"],
    taken_comes_before_full ["ERR-2", "MOVE-1", "LIMIT-2"],

    usage_is_the_sum_of_its_parts ["USE-1"],
    usage_returns_when_all_items_have_gone ["USE-1"],
    usage_returns_when_partitions_and_metadata_have_gone ["USE-1", "PART-4", "META-4"],
];
