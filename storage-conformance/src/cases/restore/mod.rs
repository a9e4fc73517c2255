//! Restoring whole items: every state, what is taken, and the numbers that come later.

mod numbers;
mod taken;
mod whole_items;

use storage_api::Capability::Reopen;

use crate::case::{Case, cases};
use numbers::*;
use taken::*;
use whole_items::*;

pub(super) const CASES: &[Case] = cases![restore:
    items_of_every_state_move_to_another_partition ["MOVE-1", "PART-7"],
    items_of_every_state_are_restored_after_their_deletion ["MOVE-1"],
    a_batch_may_stand_in_any_order ["MOVE-1", "LIST-2"],
    a_restored_item_stands_at_its_position ["MOVE-1", "LEASE-1"],
    a_restored_lease_is_valid ["MOVE-1", "LEASE-9", "DONE-1"],
    a_restored_lease_gives_its_place_and_attempt_back ["MOVE-1", "RETRY-6"],
    a_restored_lease_is_taken_back_after_its_deadline ["MOVE-1", "TIME-1", "RETRY-4"],
    a_restored_scheduled_item_becomes_ready_when_due ["MOVE-1", "TIME-1", "TIME-2"],
    a_restored_dead_item_is_revived ["MOVE-1", "DEAD-2"],
    a_restored_item_that_was_revived_does_not_expire ["MOVE-1", "DEAD-2"],
    what_is_long_due_is_restored_as_it_is ["MOVE-1", "TIME-1"],
    a_restored_item_holds_its_dedup_key ["MOVE-1", "ITEM-4"],
    the_smallest_and_largest_times_come_back ["MOVE-1", "TIME-4", "PART-7"],
    the_smallest_and_largest_attempts_neither_wrap_nor_panic ["MOVE-1", "RETRY-6", "ERR-1"],
    a_frozen_partition_takes_a_restore ["MOVE-1", "PART-8"],
    restored_items_survive_reopening ["MOVE-1", "DUR-2"].requires(Reopen),

    a_taken_id_is_refused_whatever_state_has_it ["MOVE-1"],
    a_position_of_a_ready_or_leased_item_is_taken ["MOVE-1", "ORDER-1"],
    a_position_is_taken_in_its_priority_alone ["MOVE-1", "ORDER-1"],
    a_position_that_was_left_is_free ["MOVE-1", "ORDER-1"],
    a_dedup_key_is_taken_whatever_state_has_it ["MOVE-1", "ITEM-4"],
    a_dedup_key_that_lingers_is_taken_until_it_is_freed ["MOVE-1", "ITEM-4"],
    a_dedup_key_is_taken_in_its_partition_alone ["MOVE-1", "ITEM-4"],
    what_stands_twice_in_a_batch_is_refused_the_second_time ["MOVE-1"],
    the_first_of_several_refused_items_is_named ["MOVE-1", "ATOM-1"],
    a_refused_restore_leaves_nothing_behind ["MOVE-1", "ATOM-1"],
    a_restore_into_a_missing_partition_makes_none ["MOVE-1", "PART-2"],

    later_numbers_are_greater_than_restored_ones ["MOVE-2"],
    later_numbers_are_greater_than_the_floors ["MOVE-2"],
    floors_hold_without_an_item ["MOVE-2"],
    low_floors_and_numbers_lower_nothing ["MOVE-2", "ITEM-2"],
    leases_of_other_partitions_are_greater_than_restored_ones ["MOVE-2", "LEASE-2"],
    a_floor_of_versions_holds_for_partitions_and_metadata ["MOVE-2", "META-2"],
    a_restored_item_retried_stands_behind_all ["MOVE-2", "ORDER-1"],
    floors_survive_reopening ["MOVE-2", "DUR-2"].requires(Reopen),
];
