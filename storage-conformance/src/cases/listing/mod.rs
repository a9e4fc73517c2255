//! Listing, looking up, paging, cursors, deleting, clearing.

mod cursors;
mod lookup;
mod orders;
mod pages;
mod removal;

use storage_api::Capability::Reopen;
use storage_api::{ListRequest, Listing, States};

use crate::case::{Case, cases};
use cursors::*;
use lookup::*;
use orders::*;
use pages::*;
use removal::*;

pub(super) const CASES: &[Case] = cases![listing:
    ids_are_answered_in_input_order_with_nothing_for_what_is_absent ["LIST-1"],
    an_item_is_looked_up_as_it_is_listed ["LIST-1", "LIST-2"],
    a_look_without_payloads_tells_their_lengths ["LIST-1", "LIST-2"],
    a_look_ends_before_the_item_that_exceeds_an_answer ["LIST-1", "LIMIT-1"],
    a_look_without_payloads_counts_no_bytes ["LIST-1", "LIMIT-1"],
    looking_changes_nothing ["LIST-1", "LIST-2", "PART-7"],

    pages_of_every_size_give_all_items_by_id ["LIST-2"],
    pages_of_every_size_give_the_ready_in_lease_order ["LIST-2", "LEASE-1"],
    pages_of_every_size_give_the_scheduled_by_due_time ["LIST-2"],
    pages_of_every_size_give_the_leased_by_deadline ["LIST-2"],
    several_states_are_one_listing ["LIST-2"],
    no_state_lists_nothing ["LIST-2"],
    from_an_id_starts_at_it_or_at_the_next ["LIST-2"],
    a_page_ends_before_the_item_that_exceeds_an_answer ["LIST-2", "LIMIT-1"],
    a_page_without_payloads_counts_no_bytes ["LIST-2", "LIMIT-1"],
    what_was_shown_and_goes_hides_and_repeats_nothing ["LIST-2", "LIST-3"],
    what_stays_comes_once_while_others_come_go_and_move ["LIST-2"],
    a_cursor_whose_followers_have_gone_leads_to_an_empty_end ["LIST-2"],
    a_page_may_differ_in_size_and_payloads_from_the_one_before ["LIST-2", "LIST-3"],

    the_ready_listing_is_what_lease_gives ["LIST-2", "LEASE-1", "ORDER-1"],
    the_scheduled_are_due_at_the_earlier_of_two_times ["LIST-2", "TIME-1"],
    an_extended_lease_moves_in_the_listing ["LIST-2", "LEASE-8"],
    due_times_are_ordered_over_the_whole_range ["LIST-2", "TIME-4"],
    ids_are_ordered_as_numbers ["LIST-2", "MOVE-1"],
    positions_are_ordered_as_numbers ["LIST-2", "LEASE-1", "MOVE-1"],
    priorities_are_ordered_as_numbers ["LIST-2", "LEASE-1"],

    a_cursor_is_good_for_its_own_listing_alone ["LIST-3"],
    a_cursor_is_good_for_its_own_set_of_states_alone ["LIST-3"],
    a_cursor_of_another_partition_is_invalid ["LIST-3"],
    a_cursor_of_an_earlier_partition_of_the_name_is_invalid ["LIST-3", "PART-4"],
    a_damaged_item_cursor_is_invalid_whatever_byte_it_is ["LIST-3"],
    a_damaged_cursor_of_the_backend_is_invalid_whatever_byte_it_is ["LIST-3", "PART-5", "META-3"],
    a_cursor_is_good_after_reopening ["LIST-3", "DUR-2"].requires(Reopen),
    a_cursor_goes_on_behind_where_its_item_stood ["LIST-3"],

    partitions_page_by_the_bytes_of_the_name_then_by_number ["PART-5", "LIST-2"],
    partitions_that_stay_come_once_while_others_come_and_go ["PART-5", "LIST-2", "LIST-3"],

    items_of_every_state_are_deleted ["LIST-4", "PART-7"],
    deleted_items_are_answered_in_input_order ["LIST-4", "BATCH-1"],
    receipts_of_deleted_items_are_not_found ["LIST-4", "DONE-1"],
    deleted_items_are_never_due ["LIST-4", "TIME-2"],
    deleting_frees_a_dedup_key_at_once ["LIST-4", "ITEM-4"],
    clearing_frees_a_dedup_key_at_once ["LIST-4", "ITEM-4"],
    clearing_removes_the_states_given_and_no_other ["LIST-4", "PART-7"],
    clearing_removes_by_id_up_to_its_maximum_and_tells_what_is_left ["LIST-4"],
    clearing_no_state_removes_nothing ["LIST-4"],
    receipts_of_cleared_items_are_not_found ["LIST-4", "LEASE-9"],
    cleared_items_are_never_due ["LIST-4", "TIME-2"],
    deleting_and_clearing_stay_in_their_partition ["LIST-4", "PART-6"],
    a_hundred_thousand_items_are_cleared ["LIST-4", "PART-7"].long(),
    a_call_for_no_item_is_refused_where_others_are ["BATCH-2", "PART-2", "ERR-2"],
    closed_comes_before_a_bad_cursor_and_a_missing_partition ["ERR-2", "CLOSE-1"],
];

/// Every order in which items are listed.
const LISTINGS: [Listing; 4] = [
    Listing::ById(States::ALL),
    Listing::Ready,
    Listing::Scheduled,
    Listing::Leased,
];

/// Pages of one item.
fn one_by_one(listing: Listing) -> ListRequest {
    ListRequest::new(listing).items_max(storage_api::Count::ONE)
}
