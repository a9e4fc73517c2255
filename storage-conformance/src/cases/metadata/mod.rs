//! Metadata: entries and versions, scans, namespaces, expiry and purging.

mod entries;
mod expiry;
mod scans;

use storage_api::Capability::Reopen;
use storage_api::{Key, KeyRange, MetadataEntry, Version};

use crate::case::{Case, cases};
use crate::env::key;
use entries::*;
use expiry::*;
use scans::*;

pub(super) const CASES: &[Case] = cases![metadata:
    an_entry_comes_back_byte_for_byte ["META-3", "META-6"],
    what_was_never_set_is_absent ["META-3"],
    a_later_value_takes_the_place_of_the_earlier ["META-3", "META-2"],
    deleting_what_is_absent_is_legal ["META-7"],
    a_deleted_entry_is_absent ["META-3", "META-7"],
    versions_of_a_key_grow_also_across_its_deletion ["META-2"],
    no_two_commits_give_the_same_version ["META-2"],
    all_writes_of_a_commit_have_its_version ["META-2"],
    a_commit_without_writes_takes_no_version ["META-5", "META-2"],
    versions_grow_across_a_reopening ["META-2", "DUR-2"].requires(Reopen),
    metadata_survives_a_reopening ["META-3", "META-4", "DUR-2"].requires(Reopen),
    keys_that_begin_alike_are_kept_apart ["META-6"],
    namespaces_that_begin_alike_are_kept_apart ["META-6"],
    a_namespace_and_a_key_do_not_run_together ["META-6"],
    partitions_and_items_are_in_no_namespace ["META-3", "META-6"],
    a_partition_goes_without_the_namespace_of_its_name ["META-6", "PART-4"],

    a_scan_gives_the_keys_by_bytes_in_pages_of_every_size ["META-3", "LIST-2"],
    a_backward_scan_over_many_pages_is_the_forward_one_reversed ["META-3"],
    a_scan_goes_from_one_key_up_to_but_without_another ["META-3"],
    a_scan_of_a_reversed_range_gives_and_removes_nothing ["META-3"],
    a_scan_of_a_prefix_stops_before_its_neighbour ["META-3", "META-6"],
    a_scan_page_ends_before_the_entry_that_exceeds_an_answer ["META-3", "LIMIT-1"],
    a_scan_hides_and_repeats_nothing_while_what_it_showed_goes ["META-3", "LIST-2"],
    a_scan_shows_what_stays_once_while_others_come_and_change ["META-3", "LIST-2"],
    a_scan_cursor_is_good_for_its_own_scan_alone ["META-3", "LIST-3"],
    namespaces_page_by_bytes_in_pages_of_every_size ["META-3", "LIST-2"],
    namespaces_that_stay_come_once_while_others_come_and_go ["META-3", "LIST-2"],
    a_namespace_goes_with_its_last_entry ["META-3"],

    an_entry_is_absent_from_its_expiry_on ["META-4"],
    an_entry_expires_at_the_smallest_and_the_largest_time ["META-4", "TIME-4"],
    an_expired_entry_is_there_again_when_time_goes_back ["META-4", "TIME-3"],
    a_scan_passes_over_any_number_of_expired_entries ["META-4", "LIST-2"],
    expired_followers_give_a_page_no_cursor ["META-4", "LIST-2"],
    checks_see_entries_as_they_are_at_the_time_of_the_commit ["META-4", "META-5"],
    a_purge_reclaims_what_has_expired_and_nothing_else ["META-4"],
    a_purge_goes_by_expiry_then_namespace_then_key ["META-4"],
    a_purge_stops_at_its_maximum_and_tells_whether_there_is_more ["META-4"],
    a_purge_forgets_the_expiry_of_an_earlier_value ["META-4"],
    a_purge_counts_no_entry_that_was_deleted ["META-4", "META-7"],
    a_namespace_holds_expired_entries_until_they_are_purged ["META-3", "META-4"],
    an_entry_put_over_an_expired_one_has_a_greater_version ["META-2", "META-4"],
];

/// Keys and versions, to be compared.
fn versions(entries: &[MetadataEntry]) -> Vec<(Key, Version)> {
    let pairs = entries.iter();
    pairs
        .map(|entry| (entry.key.clone(), entry.version))
        .collect()
}

fn keys(entries: &[MetadataEntry]) -> Vec<Key> {
    entries.iter().map(|entry| entry.key.clone()).collect()
}

/// From one key up to but without another.
fn between(from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> KeyRange {
    KeyRange::new(Some(key(from)), Some(key(to)))
}
