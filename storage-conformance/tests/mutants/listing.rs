//! Wrong about listing, looking up, deleting and clearing.

mod drivers;

use storage_api::limits::BATCH_BYTES_MAX;
use storage_api::*;

use self::drivers::*;
use crate::answered::{Told, answered};
use crate::edited::edited;
use crate::mutant::Mutant;

pub(crate) fn mutants() -> Vec<Mutant> {
    [pages(), orders(), cursors(), looking(), removing()].concat()
}

fn pages() -> Vec<Mutant> {
    vec![
        answered(
            "pages_drop_their_last",
            "The item at the boundary of two pages is on neither.",
            Told::Items(|_, _, page| {
                if page.next.is_some() && page.items.len() > 1 {
                    page.items.pop();
                }
            }),
            &["listing::what_stays_comes_once_while_others_come_go_and_move"],
        ),
        answered(
            "pages_repeat_their_last",
            "The item at the boundary of two pages is on both.",
            Told::Items(|partition, request, page| {
                if page.next.is_some() && page.items.len() > 1 {
                    let before = &page.items[page.items.len() - 2];
                    page.next = Some(cursor_at(partition, request.listing(), before));
                }
            }),
            &[
                "listing::pages_of_every_size_give_the_scheduled_by_due_time",
                "produce::positions_stay_in_order_where_they_grow_a_byte",
            ],
        ),
        answered(
            "full_pages_have_a_cursor",
            "A page that is full is taken for one that is not the last.",
            Told::Items(|partition, request, page| {
                let is_full = page.items.len() == request.page_items_max().get();
                if let (None, true, Some(last)) = (&page.next, is_full, page.items.last()) {
                    page.next = Some(cursor_at(partition, request.listing(), last));
                }
            }),
            &[
                "listing::pages_of_every_size_give_all_items_by_id",
                "listing::pages_of_every_size_give_the_leased_by_deadline",
                "listing::pages_of_every_size_give_the_ready_in_lease_order",
                "listing::pages_of_every_size_give_the_scheduled_by_due_time",
            ],
        ),
        answered(
            "pages_end_early",
            "A page that is not full is the last, also where it ended at its bytes.",
            Told::Items(|_, request, page| {
                if page.items.len() < request.page_items_max().get() {
                    page.next = None;
                }
            }),
            &["listing::a_look_without_payloads_counts_no_bytes"],
        ),
        answered(
            "the_second_page_is_the_last",
            "A page that was begun with a cursor has none (BullMQ, pull 3034).",
            Told::Items(|_, request, page| {
                if matches!(request.start(), Start::After(_)) {
                    page.next = None;
                }
            }),
            &[
                "listing::positions_are_ordered_as_numbers",
                "listing::priorities_are_ordered_as_numbers",
                "listing::what_stays_comes_once_while_others_come_go_and_move",
            ],
        ),
        answered(
            "each_state_has_its_own_limit",
            "A page of several states holds as many of each (BullMQ, issue 1990).",
            Told::Items(|partition, request, page| {
                if let (Listing::ById(states), Some(last)) = (request.listing(), page.items.last())
                    && states.iter().count() > 1
                    && page.next.is_some()
                {
                    let last = last.id;
                    let more = partition
                        .items
                        .iter()
                        .find(|item| item.id > last && states.contains(item.state()));
                    page.items.extend(more.cloned());
                }
            }),
            &[
                "listing::a_damaged_item_cursor_is_invalid_whatever_byte_it_is",
                "listing::ids_are_ordered_as_numbers",
                "listing::looking_changes_nothing",
            ],
        ),
        answered(
            "no_state_lists_every_state",
            "An empty set of states is taken for no filter.",
            Told::Items(|partition, request, page| {
                if request.listing() == Listing::ById(States::NONE) {
                    page.items.clone_from(&partition.items);
                }
            }),
            &["listing::no_state_lists_nothing"],
        ),
        answered(
            "from_an_id_is_behind_it",
            "A listing from an id begins behind it.",
            Told::Items(|_, request, page| {
                if let Start::FromId(id) = request.start() {
                    page.items.retain(|item| item.id != *id);
                }
            }),
            &["listing::from_an_id_starts_at_it_or_at_the_next"],
        ),
        answered(
            "a_page_has_no_limit_of_bytes",
            "A page grows beyond the limit of an answer.",
            Told::Items(|partition, request, page| {
                let bytes: usize = page
                    .items
                    .iter()
                    .map(|item| item.record.view().payload_len())
                    .sum();
                if let (true, Some(last)) = (request.has_payloads() && bytes > 0, page.items.last())
                    && page.next.is_some()
                    && page.items.len() < request.page_items_max().get()
                {
                    let last = last.id;
                    page.items
                        .extend(partition.items.iter().find(|item| item.id > last).cloned());
                }
            }),
            &[
                "listing::a_page_ends_before_the_item_that_exceeds_an_answer",
                "listing::a_page_without_payloads_counts_no_bytes",
            ],
        ),
        answered(
            "absent_payloads_count_bytes",
            "A page without payloads ends where one with payloads would.",
            Told::Items(|partition, request, page| {
                let mut bytes = 0;
                let fits = page.items.iter().take_while(|item| {
                    bytes += item.record.view().payload_len();
                    bytes <= BATCH_BYTES_MAX
                });
                let fits = fits.count().max(1);
                if !request.has_payloads() && fits < page.items.len() {
                    page.items.truncate(fits);
                    page.next = page
                        .items
                        .last()
                        .map(|last| cursor_at(partition, request.listing(), last));
                }
            }),
            &["listing::a_page_without_payloads_counts_no_bytes"],
        ),
        answered(
            "absent_payloads_have_no_length",
            "An item that is listed without its payload has one of no bytes.",
            Told::Items(|_, request, page| {
                if !request.has_payloads() {
                    for item in &mut page.items {
                        item.record =
                            crate::edited::rewritten(&item.record, |parts| parts.payload.clear());
                    }
                }
            }),
            &[
                "listing::a_look_without_payloads_tells_their_lengths",
                "listing::a_page_may_differ_in_size_and_payloads_from_the_one_before",
            ],
        ),
        answered(
            "payloads_are_always_listed",
            "Payloads are listed though they were left away.",
            Told::Items(|partition, request, page| {
                if !request.has_payloads() {
                    for item in &mut page.items {
                        let mut there = partition.items.iter();
                        if let Some(there) = there.find(|one| one.id == item.id) {
                            *item = there.clone();
                        }
                    }
                }
            }),
            &["listing::a_page_may_differ_in_size_and_payloads_from_the_one_before"],
        ),
    ]
}

fn orders() -> Vec<Mutant> {
    vec![
        answered(
            "states_are_listed_one_by_one",
            "Several states are as many listings, one behind the other.",
            Told::Items(|_, request, page| {
                if matches!(request.listing(), Listing::ById(_)) {
                    page.items.sort_by_key(|item| item.state() as u8);
                }
            }),
            &[
                "listing::an_item_is_looked_up_as_it_is_listed",
                "listing::several_states_are_one_listing",
                "produce::attributes_come_back_from_the_smallest_to_the_largest",
                "time::earliest_due_time_follows_clear_and_restore",
            ],
        ),
        answered(
            "ids_are_ordered_as_texts",
            "Item 10 is listed before item 9 (fakecloud, pull 2237).",
            Told::Items(|_, request, page| {
                if matches!(request.listing(), Listing::ById(_)) {
                    page.items.sort_by_key(|item| item.id.get().to_string());
                }
            }),
            &[
                "listing::several_states_are_one_listing",
                "produce::ids_stay_in_order_where_they_grow_a_byte",
                "produce::largest_batch_is_stored_whole",
            ],
        ),
        answered(
            "ready_items_are_listed_by_id",
            "The ready items are listed by id, not in lease order.",
            Told::Items(|_, request, page| {
                if request.listing() == Listing::Ready {
                    page.items.sort_by_key(|item| item.id);
                }
            }),
            &[
                "finish::item_retried_for_later_comes_to_the_tail_whatever_the_requeue",
                "finish::item_retried_now_goes_to_the_tail",
                "time::item_taken_back_goes_to_the_tail",
                "time::two_scheduled_items_are_ready_each_at_its_time",
            ],
        ),
        answered(
            "ready_items_are_listed_by_position",
            "The ready items are listed by position, whatever their priority.",
            Told::Items(|_, request, page| {
                if request.listing() == Listing::Ready {
                    page.items.sort_by_key(|item| item.state.position());
                }
            }),
            &[
                "finish::retried_item_stays_within_its_priority",
                "listing::pages_of_every_size_give_the_ready_in_lease_order",
                "listing::the_ready_listing_is_what_lease_gives",
            ],
        ),
        answered(
            "priorities_have_a_sign",
            "Priorities from 128 on are listed in front.",
            Told::Items(|partition, request, page| {
                if request.listing() == Listing::Ready {
                    resorted(partition, request, page, |item| {
                        let priority = item.record.view().priority().cast_signed();
                        (
                            i64::from(priority),
                            item.state.position().map_or(0, Position::get),
                        )
                    });
                }
            }),
            &["listing::priorities_are_ordered_as_numbers"],
        ),
        answered(
            "scheduled_items_are_listed_by_enqueue_at",
            "The scheduled items are listed by the time they are for, also those that expire earlier.",
            Told::Items(|_, request, page| {
                if request.listing() == Listing::Scheduled {
                    page.items.sort_by_key(|item| match item.state {
                        ItemState::Scheduled { enqueue_at } => (enqueue_at, item.id),
                        _ => (Timestamp::MAX, item.id),
                    });
                }
            }),
            &["listing::the_scheduled_are_due_at_the_earlier_of_two_times"],
        ),
        answered(
            "leased_items_are_listed_by_id",
            "The leased items are listed by id, not by deadline.",
            Told::Items(|_, request, page| {
                if request.listing() == Listing::Leased {
                    page.items.sort_by_key(|item| item.id);
                }
            }),
            &[
                "listing::pages_of_every_size_give_the_leased_by_deadline",
                "listing::what_was_shown_and_goes_hides_and_repeats_nothing",
            ],
        ),
        answered(
            "due_times_have_no_sign",
            "Times before 1970 are listed behind all others.",
            Told::Items(|partition, request, page| {
                if matches!(request.listing(), Listing::Scheduled | Listing::Leased) {
                    resorted(partition, request, page, |item| {
                        let due_at = item.due_at().map_or(0, Timestamp::as_micros);
                        (due_at.wrapping_add(i64::MIN), item.id.get())
                    });
                }
            }),
            &["listing::due_times_are_ordered_over_the_whole_range"],
        ),
    ]
}

fn cursors() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "a_cursor_needs_its_item",
            "Where the item of a cursor has gone, nothing follows: the cursor jumps to the end.",
            NeedsItsItem::wrap,
            &[
                "listing::a_cursor_goes_on_behind_where_its_item_stood",
                "listing::what_was_shown_and_goes_hides_and_repeats_nothing",
            ],
        ),
        Mutant::new(
            "items_are_paged_by_offset",
            "A cursor counts what was shown: what goes hides as many behind it (BullMQ, pull 3034).",
            PagesByOffset::wrap,
            &[
                "listing::a_cursor_goes_on_behind_where_its_item_stood",
                "listing::a_cursor_is_good_after_reopening",
            ],
        ),
        Mutant::new(
            "cursors_fit_every_partition",
            "A cursor of one partition goes on in another.",
            FitsPartitions::wrap,
            &["listing::a_cursor_of_another_partition_is_invalid"],
        ),
        Mutant::new(
            "cursors_fit_the_next_of_the_name",
            "A cursor of a deleted partition goes on in the next one of its name.",
            FitsTheNext::wrap,
            &["listing::a_cursor_of_an_earlier_partition_of_the_name_is_invalid"],
        ),
        Mutant::new(
            "cursors_fit_every_listing",
            "A cursor of one listing goes on in another.",
            FitsListings::wrap,
            &[
                "listing::a_cursor_is_good_for_its_own_listing_alone",
                "listing::a_cursor_is_good_for_its_own_set_of_states_alone",
            ],
        ),
        Mutant::new(
            "cursors_have_no_checksum",
            "A damaged cursor begins anew, or somewhere.",
            TakesDamaged::wrap,
            &[
                "listing::a_cursor_is_good_for_its_own_listing_alone",
                "listing::a_cursor_of_an_earlier_partition_of_the_name_is_invalid",
                "listing::a_damaged_cursor_of_the_backend_is_invalid_whatever_byte_it_is",
                "listing::a_damaged_item_cursor_is_invalid_whatever_byte_it_is",
            ],
        ),
        Mutant::new(
            "cursors_end_with_the_process",
            "A cursor is known to the backend that gave it, and to no later one.",
            EndsWithProcess::wrap,
            &["listing::a_cursor_is_good_after_reopening"],
        ),
        Mutant::new(
            "closed_backends_judge_cursors",
            "A cursor is judged before it is seen that the backend is closed.",
            JudgesWhenClosed::wrap,
            &["listing::closed_comes_before_a_bad_cursor_and_a_missing_partition"],
        ),
        Mutant::new(
            "missing_partitions_have_bad_cursors",
            "A cursor is judged before its partition is looked for.",
            CursorFirst::wrap,
            &["listing::closed_comes_before_a_bad_cursor_and_a_missing_partition"],
        ),
    ]
}

fn looking() -> Vec<Mutant> {
    vec![
        answered(
            "items_are_found_by_id_order",
            "Items that are looked up are answered by id, not in input order.",
            Told::Found(|_, _, found| found.sort_by_key(|item| item.as_ref().map(|item| item.id))),
            &[
                "lease::answer_of_a_lease_shows_the_item_as_it_then_is",
                "lease::answer_of_a_lease_shows_what_happened_before",
            ],
        ),
        answered(
            "missing_items_are_left_out",
            "Items that are not there are left out of the answer.",
            Told::Found(|_, _, found| found.retain(Option::is_some)),
            &["listing::ids_are_answered_in_input_order_with_nothing_for_what_is_absent"],
        ),
        answered(
            "a_look_has_no_limit_of_bytes",
            "A look grows beyond the limit of an answer.",
            Told::Found(|partition, ids, found| {
                let rest = ids.iter().skip(found.len());
                found.extend(
                    rest.map(|id| partition.items.iter().find(|item| item.id == *id).cloned()),
                );
            }),
            &["listing::a_look_ends_before_the_item_that_exceeds_an_answer"],
        ),
        Mutant::new(
            "looks_without_payloads_count_bytes",
            "A look without payloads ends where one with payloads would.",
            LooksCountBytes::wrap,
            &["listing::a_look_without_payloads_counts_no_bytes"],
        ),
        answered(
            "a_look_shows_no_note",
            "An item that is looked up has no note.",
            Told::Found(|_, _, found| found.iter_mut().flatten().for_each(|item| item.note = None)),
            &["finish::note_may_be_empty_and_may_be_the_largest"],
        ),
        answered(
            "a_look_shows_leased_items_as_ready",
            "An item that is looked up shows where it stands, not that it is leased.",
            Told::Found(|_, _, found| {
                for item in found.iter_mut().flatten() {
                    if let ItemState::Leased { position, .. } = item.state {
                        item.state = ItemState::Ready { position };
                    }
                }
            }),
            &["lease::lease_is_not_taken_back_before_its_deadline"],
        ),
        Mutant::new(
            "looking_counts_an_attempt",
            "Looking at an item changes it (NATS, issue 6538).",
            LookingCounts::wrap,
            &[
                "listing::clearing_no_state_removes_nothing",
                "listing::looking_changes_nothing",
                "produce::duplicate_changes_nothing_of_the_item_that_is_there",
                "restore::a_position_of_a_ready_or_leased_item_is_taken",
                "restore::a_taken_id_is_refused_whatever_state_has_it",
            ],
        ),
        answered(
            "a_listing_shows_no_attempts",
            "Listing and looking up read different tables.",
            Told::Items(|_, _, page| page.items.iter_mut().for_each(|item| item.attempts = 0)),
            &[
                "finish::attempts_used_up_by_retries_kill",
                "listing::an_item_is_looked_up_as_it_is_listed",
                "listing::pages_of_every_size_give_all_items_by_id",
            ],
        ),
        answered(
            "empty_looks_are_refused",
            "An item without payload cannot be looked up without it.",
            Told::Found(|_, _, found| {
                for item in found {
                    if item
                        .as_ref()
                        .is_some_and(|item| item.record.view().payload().is_none())
                    {
                        *item = None;
                    }
                }
            }),
            &[
                "listing::a_look_without_payloads_counts_no_bytes",
                "listing::a_look_without_payloads_tells_their_lengths",
            ],
        ),
    ]
}

fn removing() -> Vec<Mutant> {
    vec![
        edited(
            "leased_items_are_not_deleted",
            "Deleting passes over items that are at work.",
            &[Operation::DeleteItems],
            |scene| {
                scene.gone(|item, partition| {
                    if item.state() == State::Leased {
                        crate::edited::insert(partition, item, item.state);
                    }
                });
            },
            &[
                "listing::deleted_items_are_never_due",
                "listing::deleting_frees_a_dedup_key_at_once",
                "listing::items_of_every_state_are_deleted",
                "listing::receipts_of_deleted_items_are_not_found",
            ],
        ),
        edited(
            "clearing_spares_leased_items",
            "Clearing passes over items that are at work.",
            &[Operation::Clear],
            |scene| {
                scene.gone(|item, partition| {
                    if item.state() == State::Leased {
                        crate::edited::insert(partition, item, item.state);
                    }
                });
            },
            &[
                "listing::cleared_items_are_never_due",
                "listing::clearing_frees_a_dedup_key_at_once",
                "listing::receipts_of_cleared_items_are_not_found",
            ],
        ),
        answered(
            "deleting_is_always_deleted",
            "What is not there is told as deleted.",
            Told::Deleted(|outcomes| outcomes.fill(DeleteOutcome::Deleted)),
            &["listing::deleted_items_are_answered_in_input_order"],
        ),
        answered(
            "deletions_are_answered_by_outcome",
            "The outcomes of a deletion stand in an order of their own.",
            Told::Deleted(|outcomes| outcomes.sort_by_key(|one| *one == DeleteOutcome::NotFound)),
            &["listing::deleted_items_are_answered_in_input_order"],
        ),
        Mutant::new(
            "deleting_reaches_into_every_partition",
            "Items are deleted by id in all partitions.",
            DeletesEverywhere::wrap,
            &["listing::deleting_and_clearing_stay_in_their_partition"],
        ),
        Mutant::new(
            "clear_takes_every_state",
            "The states of a clear are not looked at.",
            ClearsEverything::wrap,
            &["listing::clearing_removes_the_states_given_and_no_other"],
        ),
        Mutant::new(
            "no_state_clears_every_state",
            "An empty set of states is taken for no filter.",
            NoStateClears::wrap,
            &["listing::clearing_no_state_removes_nothing"],
        ),
        Mutant::new(
            "clear_takes_the_newest",
            "Clearing begins with the largest id.",
            ClearsFromTheEnd::wrap,
            &["listing::clearing_removes_by_id_up_to_its_maximum_and_tells_what_is_left"],
        ),
        answered(
            "clear_has_never_more",
            "What is left behind a step of a clear is not told.",
            Told::Cleared(|cleared| cleared.more = false),
            &["listing::clearing_removes_by_id_up_to_its_maximum_and_tells_what_is_left"],
        ),
        answered(
            "clear_tells_one_less",
            "The number of items that were cleared is one too small.",
            Told::Cleared(|cleared| cleared.removed = cleared.removed.saturating_sub(1)),
            &[
                "listing::a_hundred_thousand_items_are_cleared",
                "listing::clearing_removes_the_states_given_and_no_other",
            ],
        ),
        Mutant::new(
            "receipts_outlive_deletion",
            "Receipts of deleted items are told as lost, not as not found.",
            LostAfterDeletion::wrap,
            &["finish::not_found_and_lease_lost_are_told_apart"],
        ),
        Mutant::new(
            "receipts_outlive_clearing",
            "Receipts of cleared items complete as before.",
            DoneAfterClearing::wrap,
            &["listing::receipts_of_cleared_items_are_not_found"],
        ),
    ]
}
