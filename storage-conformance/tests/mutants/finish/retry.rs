//! Wrong about retrying and releasing.

use storage_api::*;

use super::drivers::*;
use crate::edited::{attempts_max, edited, rewritten, to_tail};
use crate::mutant::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    [retrying(), releasing()].concat()
}

fn retrying() -> Vec<Mutant> {
    vec![
        edited(
            "retry_keeps_its_place",
            "A retried item goes back to where it stood, in front of all that came meanwhile, whatever the requeue says.",
            &[Operation::Retry],
            |scene| {
                scene.moved(State::Leased, State::Ready, |before, item| {
                    if let Some(position) = before.state.position() {
                        item.state = ItemState::Ready { position };
                    }
                });
            },
            &[
                "finish::item_retried_now_goes_to_the_tail",
                "restore::a_restored_item_retried_stands_behind_all",
            ],
        ),
        edited(
            "retry_always_goes_to_the_tail",
            "The requeue `Original` is read and forgotten.",
            &[Operation::Retry],
            |scene| scene.changed(State::Leased, State::Ready, to_tail),
            &[
                "finish::item_retried_at_a_time_that_has_come_goes_back_to_where_it_stood",
                "finish::item_retried_now_goes_back_to_where_it_stood_if_the_partition_says_so",
                "finish::receipts_of_a_call_are_treated_in_input_order",
                "finish::requeue_in_force_at_the_retry_decides",
                "produce::retried_items_come_to_the_tail_in_input_order",
            ],
        ),
        edited(
            "retry_for_later_is_at_once",
            "The time of a retry is ignored: the item is ready again at once.",
            &[Operation::Retry],
            |scene| scene.changed(State::Leased, State::Scheduled, to_tail),
            &[
                "finish::item_retried_for_later_comes_back_at_its_time",
                "finish::scheduled_item_comes_back_whatever_its_attempts",
            ],
        ),
        Mutant::new(
            "retry_at_a_time_is_always_scheduled",
            "A retry at a time that has come goes to the delayed ones and waits for the next round (BullMQ, issue 3050).",
            AlwaysScheduled::wrap,
            &[
                "finish::item_retried_at_a_later_time_is_scheduled_and_at_any_other_ready",
                "finish::item_retried_at_a_time_that_has_come_goes_back_to_where_it_stood",
                "time::retries_go_to_the_largest_and_the_smallest_timestamp",
            ],
        ),
        edited(
            "retry_goes_back_to_the_first_schedule",
            "The time of a produce is the item's for ever: a retry for another time comes at the old one.",
            &[Operation::Retry],
            |scene| {
                scene.moved(State::Leased, State::Scheduled, |_, item| {
                    if let Some(enqueue_at) = item.record.view().enqueue_at() {
                        item.state = ItemState::Scheduled { enqueue_at };
                    }
                });
            },
            &["finish::time_of_the_retry_replaces_that_of_the_produce"],
        ),
        edited(
            "retried_items_come_back_in_front",
            "With the requeue `Original` an item that was retried for later takes its old place when it is due.",
            &[Operation::Maintain],
            |scene| {
                scene.changed(State::Scheduled, State::Ready, |partition, index| {
                    let item = &partition.items[index];
                    let is_original = partition.info.config.requeue() == Requeue::Original;
                    if is_original
                        && item.attempts > 0
                        && let Ok(position) = Position::new(item.id.get())
                    {
                        partition.items[index].state = ItemState::Ready { position };
                    }
                });
            },
            &["finish::item_retried_for_later_comes_to_the_tail_whatever_the_requeue"],
        ),
        edited(
            "retry_looks_at_expiry",
            "A retried item whose expiry has passed dies at once.",
            &[Operation::Retry],
            |scene| {
                let now = scene.now;
                scene.items(|before, item| {
                    let is_late = item.expire_at().is_some_and(|at| Some(at) <= now);
                    let is_alive = !matches!(
                        item.state,
                        ItemState::Leased { .. } | ItemState::Dead { .. }
                    );
                    if let (State::Leased, true, true, Some(died_at)) =
                        (before.state(), is_late, is_alive, now)
                    {
                        let reason = DeadReason::Expired;
                        item.state = ItemState::Dead { reason, died_at };
                    }
                });
            },
            &["finish::retry_does_not_look_at_expiry"],
        ),
        edited(
            "retry_loses_the_priority",
            "A retried item is stored anew with the default priority.",
            &[Operation::Retry],
            |scene| {
                scene.moved(State::Leased, State::Ready, |_, item| {
                    item.record = rewritten(&item.record, |parts| parts.priority = 100);
                });
            },
            &[
                "finish::retried_item_keeps_what_it_is",
                "finish::retried_item_stays_within_its_priority",
            ],
        ),
        edited(
            "retry_makes_a_new_item",
            "A retried item is created again, now.",
            &[Operation::Retry],
            |scene| {
                let Some(now) = scene.now else { return };
                scene.items(|before, item| {
                    if before.state() == State::Leased && item.state() != State::Leased {
                        item.record = rewritten(&item.record, |parts| parts.created_at = now);
                    }
                });
            },
            &[
                "finish::retried_item_keeps_what_it_is",
                "finish::time_of_the_retry_replaces_that_of_the_produce",
            ],
        ),
        edited(
            "retry_loses_the_note",
            "A note is taken and not stored.",
            &[Operation::Retry],
            |scene| {
                scene.items(|before, item| {
                    if before.note != item.note {
                        item.note.clone_from(&before.note);
                    }
                });
            },
            &["finish::dead_item_shows_its_note"],
        ),
        edited(
            "first_note_stays",
            "A note is written once and never replaced.",
            &[Operation::Retry],
            |scene| {
                scene.items(|before, item| {
                    if before.note.is_some() {
                        item.note.clone_from(&before.note);
                    }
                });
            },
            &[
                "finish::note_may_be_empty_and_may_be_the_largest",
                "finish::note_stays_until_another_replaces_it",
            ],
        ),
        edited(
            "no_note_erases_the_note",
            "A retry without a note stores that there is none.",
            &[Operation::Retry],
            |scene| {
                scene.items(|before, item| {
                    if before.state() == State::Leased
                        && item.state() != State::Leased
                        && before.note == item.note
                    {
                        item.note = None;
                    }
                });
            },
            &["finish::note_stays_until_another_replaces_it"],
        ),
        edited(
            "empty_note_is_no_note",
            "An empty note is stored as none.",
            &[Operation::Retry],
            |scene| {
                scene.items(|_, item| {
                    item.note = item.note.take().filter(|note| !note.as_str().is_empty())
                });
            },
            &[
                "finish::note_may_be_empty_and_may_be_the_largest",
                "finish::notes_are_kept_over_a_reopening",
            ],
        ),
        Mutant::new(
            "lost_receipts_leave_their_note",
            "The note is written before the receipt is looked at.",
            NotesAnyway::wrap,
            &["finish::note_of_a_lost_receipt_is_not_written"],
        ),
        Mutant::new(
            "retry_without_a_lease",
            "An old receipt retries the item that another holds.",
            RetriesByItem::wrap,
            &[
                "finish::note_of_a_lost_receipt_is_not_written",
                "lease::first_holder_does_not_disturb_the_second",
            ],
        ),
    ]
}

fn releasing() -> Vec<Mutant> {
    vec![
        edited(
            "release_goes_to_the_tail",
            "A lease that is given back is a retry: the item goes to the tail.",
            &[Operation::Release],
            |scene| scene.changed(State::Leased, State::Ready, to_tail),
            &[
                "finish::released_item_goes_back_to_where_it_stood_whatever_the_requeue",
                "listing::the_ready_listing_is_what_lease_gives",
                "produce::leased_item_keeps_its_position",
                "produce::released_items_stand_where_they_stood_in_whatever_order_they_return",
            ],
        ),
        edited(
            "release_counts_the_attempt",
            "A lease that was given back unused has cost an attempt (asynq, issue 1015).",
            &[Operation::Release],
            |scene| {
                scene.moved(State::Leased, State::Ready, |before, item| {
                    item.attempts = before.attempts
                })
            },
            &[
                "finish::release_counts_the_attempt_back",
                "finish::released_item_is_as_it_was_before_the_lease",
            ],
        ),
        edited(
            "release_forgets_every_attempt",
            "A lease that was given back sets the attempts to none.",
            &[Operation::Release],
            |scene| scene.moved(State::Leased, State::Ready, |_, item| item.attempts = 0),
            &[
                "finish::release_counts_the_attempt_back",
                "finish::released_item_is_as_it_was_before_the_lease",
                "restore::a_restored_lease_gives_its_place_and_attempt_back",
            ],
        ),
        edited(
            "release_counts_below_none",
            "The count of attempts wraps where there was none to take back (kvrocks, pull 3578).",
            &[Operation::Release],
            |scene| {
                scene.moved(State::Leased, State::Ready, |before, item| {
                    item.attempts = before.attempts.wrapping_sub(1);
                });
            },
            &[
                "finish::release_of_no_attempts_stays_at_none",
                "restore::the_smallest_and_largest_attempts_neither_wrap_nor_panic",
            ],
        ),
        edited(
            "release_looks_at_attempts",
            "An item that is given back in its last attempt dies.",
            &[Operation::Release],
            |scene| {
                scene.changed(State::Leased, State::Ready, |partition, index| {
                    let limit = attempts_max(partition, &partition.items[index]);
                    let item = &mut partition.items[index];
                    if limit != 0 && item.attempts + 1 >= limit {
                        let (reason, died_at) = (DeadReason::AttemptsExhausted, Timestamp::EPOCH);
                        item.state = ItemState::Dead { reason, died_at };
                    }
                });
            },
            &[
                "finish::release_does_not_look_at_attempts",
                "finish::released_attempts_can_be_used_again",
            ],
        ),
        Mutant::new(
            "second_release_counts_again",
            "A receipt that was used already takes an attempt back once more (solid_queue, pull 761).",
            ReleasesTwice::wrap,
            &[
                "lease::receipt_is_lost_for_good_once_taken_back",
                "lease::receipt_is_lost_once_retried",
            ],
        ),
    ]
}
