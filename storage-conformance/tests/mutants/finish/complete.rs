//! Wrong about completing.

use storage_api::*;

use super::drivers::*;
use crate::edited::{edited, insert, tail};
use crate::mutant::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "complete_looks_at_the_item_alone",
            "A receipt is good for whoever has the item: a late holder removes what was given to another (LocalStack SQS, unstract).",
            CompletesByItem::wrap,
            &[
                "finish::receipt_of_an_item_and_the_lease_of_another_is_lost",
                "lease::holder_who_is_given_its_item_again_needs_the_new_receipt",
            ],
        ),
        Mutant::new(
            "complete_needs_no_lease",
            "An item that nobody holds any more is removed by an old receipt (Bull, issue 308).",
            CompletesWithoutLease::wrap,
            &[
                "finish::lost_and_unknown_receipts_change_nothing",
                "finish::receipts_are_good_after_a_reopening",
                "lease::late_holder_completes_unless_taken_back",
            ],
        ),
        Mutant::new(
            "complete_stops_at_the_first_it_does_not_know",
            "The receipts behind an unknown one are left as they are.",
            StopsAtUnknown::wrap,
            &[
                "finish::completing_known_unknown_known_does_both_known",
                "finish::not_found_and_lease_lost_are_told_apart",
                "finish::receipt_of_an_item_and_the_lease_of_another_is_lost",
            ],
        ),
        Mutant::new(
            "complete_says_done_to_everything",
            "Completing is taken for idempotent: what is not there is done, too.",
            SaysDone::wrap,
            &[
                "finish::receipt_completes_once",
                "lease::receipt_of_an_item_that_the_second_holder_completed_is_not_found",
            ],
        ),
        Mutant::new(
            "lost_is_not_found",
            "A lost lease is told as an item that is not there.",
            LostIsNotFound::wrap,
            &["finish::receipt_that_is_given_twice_is_used_once"],
        ),
        Mutant::new(
            "not_found_is_lost",
            "An item that has gone is told as a lost lease.",
            NotFoundIsLost::wrap,
            &[
                "finish::item_retried_as_dead_is_dropped_where_dead_items_have_no_place",
                "finish::receipt_completes_once",
                "finish::retry_tells_of_each_receipt",
                "lease::receipt_of_an_item_that_the_second_holder_completed_is_not_found",
                "listing::receipts_of_deleted_items_are_not_found",
            ],
        ),
        Mutant::new(
            "calls_are_done_one_by_one",
            "A call of many receipts is as many transactions: others see half of it.",
            OneByOne::wrap,
            &["finish::call_is_seen_whole_or_not_at_all"],
        ),
        Mutant::new(
            "calls_are_done_backwards",
            "A batch is taken from a stack: the last receipt is treated first.",
            Backwards::wrap,
            &[
                "finish::id_that_is_given_twice_is_used_once",
                "finish::receipt_that_is_given_twice_is_used_once",
                "finish::receipts_of_a_call_are_treated_in_input_order",
                "finish::second_of_the_same_receipt_in_a_call_is_not_found",
                "produce::retried_items_come_to_the_tail_in_input_order",
                "produce::revived_items_come_to_the_tail_in_input_order",
            ],
        ),
        Mutant::new(
            "calls_end_after_a_thousand",
            "Large calls are cut to what one statement takes, and the rest is said to be done.",
            CutToThousand::wrap,
            &["finish::ten_thousand_receipts_are_completed_at_once"],
        ),
        Mutant::new(
            "empty_calls_look_at_nothing",
            "An empty list is answered before the partition or the backend is looked at.",
            EmptyIsEasy::wrap,
            &[
                "finish::empty_calls_on_a_closed_backend_are_closed",
                "listing::a_call_for_no_item_is_refused_where_others_are",
            ],
        ),
        Mutant::new(
            "empty_calls_are_refused",
            "An empty list is an invalid argument, as in SQS.",
            EmptyIsInvalid::wrap,
            &[
                "finish::empty_calls_change_nothing",
                "finish::empty_calls_on_a_closed_backend_are_closed",
                "produce::empty_batch_stores_nothing",
            ],
        ),
        edited(
            "completed_items_come_back",
            "Completion removes the lease, not the item: it is there again.",
            &[Operation::Complete],
            |scene| {
                scene.gone(|item, partition| {
                    let position = tail(partition);
                    insert(partition, item, ItemState::Ready { position });
                });
            },
            &[
                "finish::completed_item_is_gone_and_leaves_nothing",
                "finish::dead_items_are_in_nobodys_way",
                "produce::completing_frees_the_dedup_key_at_once_without_a_time_for_it",
                "produce::items_without_a_dedup_key_are_no_duplicates",
            ],
        ),
        edited(
            "completing_takes_the_whole_lease_call",
            "All items leased by one call are one unit: completing one completes those with the same deadline and holder.",
            &[Operation::Complete],
            |scene| {
                scene.gone(|gone, partition| {
                    if let ItemState::Leased { deadline, .. } = gone.state {
                        partition.items.retain(|item| {
                            !matches!(item.state, ItemState::Leased { deadline: other, .. } if other == deadline)
                        });
                    }
                });
            },
            &[
                "finish::completing_known_unknown_known_does_both_known",
                "finish::release_tells_of_each_receipt",
                "finish::retry_tells_of_each_receipt",
                "lease::completed_lease_is_not_taken_back",
                "lease::lease_with_a_deadline_in_the_past_lasts_until_it_is_taken_back",
            ],
        ),
    ]
}
