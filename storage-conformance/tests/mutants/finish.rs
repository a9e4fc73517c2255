//! Wrong about what ends a lease: complete, retry, release, death, revival.

mod drivers;

use storage_api::*;

use self::drivers::*;
use crate::edited::{around, attempts_max, edited, insert, rewritten, tail, to_tail};
use crate::mutant::Mutant;

pub(crate) fn mutants() -> Vec<Mutant> {
    [
        completing(),
        retrying(),
        releasing(),
        attempts(),
        dying(),
        reviving(),
    ]
    .concat()
}

fn completing() -> Vec<Mutant> {
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

fn attempts() -> Vec<Mutant> {
    vec![
        edited(
            "retry_forgets_attempts",
            "A retried item starts anew and is never used up.",
            &[Operation::Retry],
            |scene| scene.moved(State::Leased, State::Ready, |_, item| item.attempts = 0),
            &[
                "finish::without_a_limit_attempts_never_kill",
                "lease::every_lease_counts_one_attempt",
            ],
        ),
        edited(
            "retry_counts_too",
            "An attempt counts at lease and again at retry.",
            &[Operation::Retry],
            |scene| {
                scene.items(|before, item| {
                    if before.state() == State::Leased && item.state() != State::Leased {
                        item.attempts = item.attempts.saturating_add(1);
                    }
                });
            },
            &[
                "finish::item_retried_for_later_comes_back_at_its_time",
                "lease::every_lease_counts_one_attempt",
            ],
        ),
        around(
            "attempts_are_for_lost_workers",
            "Attempts are looked at when a lease is taken back, not when an item is retried.",
            &[Operation::Retry],
            |contents| leased(contents, |item| item.attempts = 0),
            |scene| scene.items(|before, item| item.attempts = before.attempts),
            &[
                "finish::attempts_used_up_kill_at_a_retry_for_later_too",
                "finish::limit_of_the_item_goes_before_that_of_the_partition",
                "finish::retries_and_lost_workers_use_up_the_same_attempts",
                "finish::revived_item_starts_with_no_attempts",
            ],
        ),
        around(
            "attempts_are_for_retries",
            "Attempts are looked at when an item is retried, not when its lease is taken back.",
            &[Operation::Maintain],
            |contents| leased(contents, |item| item.attempts = 0),
            |scene| scene.items(|before, item| item.attempts = before.attempts),
            &["finish::dead_items_are_dropped_for_every_reason"],
        ),
        around(
            "attempts_end_one_early",
            "The attempt that is about to come is counted already (faktory, issue 409).",
            &[Operation::Retry, Operation::Maintain],
            |contents| {
                leased(contents, |item| {
                    item.attempts = item.attempts.saturating_add(1)
                })
            },
            |scene| scene.items(|before, item| item.attempts = before.attempts),
            &[
                "finish::attempts_used_up_kill_at_a_retry_for_later_too",
                "finish::retries_and_lost_workers_use_up_the_same_attempts",
            ],
        ),
        around(
            "attempts_of_the_item_are_ignored",
            "The limit of the partition holds for every item.",
            &[Operation::Retry, Operation::Maintain],
            |contents| {
                leased(contents, |item| {
                    item.record = rewritten(&item.record, |parts| parts.attempts_max = 0);
                });
            },
            |scene| scene.items(|before, item| item.record = before.record.clone()),
            &["finish::dead_item_shows_its_note"],
        ),
        around(
            "attempts_of_the_partition_are_ignored",
            "Only an item's own limit of attempts holds.",
            &[Operation::Retry, Operation::Maintain],
            |contents| {
                for partition in &mut contents.partitions {
                    partition.info.config = partition.info.config.clone().with_attempts_max(0);
                }
            },
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &[
                "finish::attempts_used_up_by_retries_kill",
                "finish::limit_in_force_at_the_retry_decides",
                "finish::limit_in_force_when_taken_back_decides",
                "finish::limit_of_the_item_goes_before_that_of_the_partition",
                "finish::released_attempts_can_be_used_again",
            ],
        ),
        around(
            "no_limit_is_twenty_five",
            "Where no limit is set, the default of another queue holds (Sidekiq).",
            &[Operation::Retry, Operation::Maintain],
            |contents| {
                for partition in &mut contents.partitions {
                    if partition.info.config.attempts_max() == 0
                        && partition.items.iter().any(|item| item.attempts >= 25)
                    {
                        partition.info.config = partition.info.config.clone().with_attempts_max(25);
                    }
                }
            },
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &[
                "finish::without_a_limit_attempts_never_kill",
                "lease::attempts_end_at_the_largest",
            ],
        ),
        around(
            "scheduled_items_are_used_up",
            "Attempts are looked at when a scheduled item becomes ready.",
            &[Operation::Maintain],
            |contents| {
                for partition in &mut contents.partitions {
                    let limit = partition.info.config.attempts_max();
                    for item in &mut partition.items {
                        if let (ItemState::Scheduled { enqueue_at }, 1..) = (item.state, limit)
                            && item.attempts >= limit
                        {
                            item.state = ItemState::Leased {
                                position: Position::MIN,
                                lease: LeaseId::MIN,
                                deadline: enqueue_at,
                                holder: None,
                            };
                        }
                    }
                }
            },
            |scene| {
                scene.moved(State::Scheduled, State::Leased, |before, item| {
                    item.state = before.state
                });
            },
            &["finish::scheduled_item_comes_back_whatever_its_attempts"],
        ),
        edited(
            "attempts_are_lost_at_reopening",
            "The count of attempts is kept in memory (NATS, pull 3365).",
            &[Operation::Open],
            |scene| scene.items(|_, item| item.attempts = 0),
            &[
                "finish::attempts_are_kept_over_a_reopening",
                "finish::dead_items_are_kept_over_a_reopening",
                "finish::retries_and_releases_are_kept_over_a_reopening",
            ],
        ),
        edited(
            "notes_are_lost_at_reopening",
            "Notes are kept in memory.",
            &[Operation::Open],
            |scene| scene.items(|_, item| item.note = None),
            &["finish::notes_are_kept_over_a_reopening"],
        ),
        edited(
            "leases_are_lost_at_reopening",
            "Reservations are forgotten when the process starts again, and two work at one item (beanstalkd, issue 47).",
            &[Operation::Open],
            |scene| {
                scene.moved(State::Leased, State::Leased, |_, item| {
                    if let Some(position) = item.state.position() {
                        item.state = ItemState::Ready { position };
                    }
                });
            },
            &["finish::receipts_are_good_after_a_reopening"],
        ),
    ]
}

fn dying() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "rejected_items_are_retried",
            "Retried as dead, an item is ready again.",
            RetriesDead::wrap,
            &[
                "finish::dead_items_leave_by_deleting_and_clearing",
                "finish::item_retried_as_dead_is_rejected_whatever_else_would_hold",
            ],
        ),
        edited(
            "used_up_goes_before_rejected",
            "An item that is retried as dead in its last attempt dies of its attempts.",
            &[Operation::Retry],
            |scene| {
                scene.changed(State::Leased, State::Dead, |partition, index| {
                    let limit = attempts_max(partition, &partition.items[index]);
                    let item = &mut partition.items[index];
                    let is_used_up = limit != 0 && item.attempts >= limit;
                    if let (ItemState::Dead { reason, .. }, true) = (&mut item.state, is_used_up) {
                        *reason = DeadReason::AttemptsExhausted;
                    }
                });
            },
            &["time::items_die_at_the_largest_and_the_smallest_timestamp"],
        ),
        edited(
            "every_death_is_a_rejection",
            "One reason of death is stored for all.",
            &[Operation::Retry, Operation::Maintain],
            |scene| {
                scene.items(|_, item| {
                    if let ItemState::Dead { reason, .. } = &mut item.state {
                        *reason = DeadReason::Rejected;
                    }
                });
            },
            &[
                "time::item_taken_back_past_its_expiry_dies_of_that",
                "time::overslept_item_dies_without_having_been_ready",
                "time::ready_item_dies_at_its_expiry_and_not_before",
                "time::scheduled_item_dies_at_its_expiry_if_that_comes_first",
            ],
        ),
        edited(
            "the_time_of_death_is_that_of_birth",
            "A dead item shows when it was created as when it died.",
            &[Operation::Retry, Operation::Maintain],
            |scene| {
                scene.items(|_, item| {
                    let created_at = item.record.view().created_at();
                    if let ItemState::Dead { died_at, .. } = &mut item.state {
                        *died_at = created_at;
                    }
                });
            },
            &[
                "finish::attempts_used_up_by_lost_workers_kill",
                "finish::item_retried_as_dead_is_rejected",
                "finish::revived_item_can_die_again",
                "time::ready_item_dies_at_its_expiry_and_not_before",
            ],
        ),
        edited(
            "the_dead_have_no_note",
            "The note is dropped with the lease when an item dies.",
            &[Operation::Retry, Operation::Maintain],
            |scene| {
                scene.items(|_, item| {
                    if item.state() == State::Dead {
                        item.note = None;
                    }
                });
            },
            &[
                "finish::dead_item_shows_its_note",
                "finish::revived_item_keeps_its_note",
            ],
        ),
        edited(
            "the_dead_are_dropped",
            "Dead items are removed where the partition keeps them.",
            &[Operation::Retry, Operation::Maintain],
            |scene| scene.partitions(|_, now| now.items.retain(|item| item.state() != State::Dead)),
            &["produce::id_stays_with_its_item"],
        ),
        edited(
            "rejected_items_are_kept",
            "Where dead items have no place, one that is retried as dead is kept (a queue without a dead-letter exchange, the other way round).",
            &[Operation::Retry],
            |scene| {
                let died_at = scene.now.unwrap_or(Timestamp::EPOCH);
                scene.gone(|item, partition| {
                    let reason = DeadReason::Rejected;
                    let state = ItemState::Dead { reason, died_at };
                    insert(partition, item, state);
                });
            },
            &[
                "finish::dead_policy_in_force_at_the_death_decides",
                "finish::dropped_items_leave_nothing",
                "finish::item_retried_as_dead_is_dropped_where_dead_items_have_no_place",
                "partitions::lingering_keys_count_in_no_sum",
            ],
        ),
        edited(
            "dropped_items_are_kept_when_time_kills",
            "What maintain finds dead is kept, whatever the policy of the partition.",
            &[Operation::Maintain],
            |scene| {
                let died_at = scene.now.unwrap_or(Timestamp::EPOCH);
                scene.gone(|item, partition| {
                    let reason = DeadReason::Expired;
                    let state = ItemState::Dead { reason, died_at };
                    insert(partition, item, state);
                });
            },
            &[
                "finish::dead_items_are_dropped_for_every_reason",
                "finish::dropped_items_leave_nothing",
                "produce::dropping_frees_the_dedup_key_at_once_without_a_time_for_it",
                "produce::ids_are_never_given_again_after_their_items_have_gone",
                "time::report_of_a_dropping_partition_counts_what_was_dropped",
            ],
        ),
        edited(
            "dead_items_come_back_at_reopening",
            "What was dead is ready when the process starts again.",
            &[Operation::Open],
            |scene| scene.changed(State::Dead, State::Dead, to_tail),
            &[
                "finish::dead_items_are_kept_over_a_reopening",
                "finish::retries_and_releases_are_kept_over_a_reopening",
            ],
        ),
        edited(
            "dead_items_are_lost_at_reopening",
            "Dead items are not in the log.",
            &[Operation::Open],
            |scene| scene.partitions(|_, now| now.items.retain(|item| item.state() != State::Dead)),
            &["finish::notes_are_kept_over_a_reopening"],
        ),
    ]
}

fn reviving() -> Vec<Mutant> {
    vec![
        edited(
            "revived_items_keep_their_attempts",
            "A revived item has its old attempts, and dies of them.",
            &[Operation::Revive],
            |scene| {
                scene.moved(State::Dead, State::Ready, |before, item| {
                    item.attempts = before.attempts
                })
            },
            &["finish::revived_item_starts_with_no_attempts"],
        ),
        edited(
            "revived_items_expire",
            "A revived item has its old expiry, and dies of it.",
            &[Operation::Revive],
            |scene| scene.moved(State::Dead, State::Ready, |_, item| item.is_revived = false),
            &[
                "finish::revived_item_does_not_expire_while_scheduled_or_leased",
                "finish::revived_item_never_expires",
                "finish::revived_items_are_kept_over_a_reopening",
                "time::earliest_due_time_follows_retries_and_revival",
            ],
        ),
        edited(
            "revived_items_expire_after_their_lease",
            "That an item was revived is forgotten once it was leased and came back.",
            &[Operation::Retry, Operation::Release, Operation::Maintain],
            |scene| scene.items(|_, item| item.is_revived = false),
            &[
                "finish::revived_item_does_not_expire_while_scheduled_or_leased",
                "finish::revived_item_never_expires",
            ],
        ),
        edited(
            "revived_items_lose_their_note",
            "A revived item starts without its note.",
            &[Operation::Revive],
            |scene| scene.moved(State::Dead, State::Ready, |_, item| item.note = None),
            &[
                "finish::revived_item_keeps_its_note",
                "restore::a_restored_dead_item_is_revived",
            ],
        ),
        edited(
            "revived_items_stand_in_front",
            "A revived item takes the place that its id once had.",
            &[Operation::Revive],
            |scene| {
                scene.moved(State::Dead, State::Ready, |_, item| {
                    if let Ok(position) = Position::new(item.id.get()) {
                        item.state = ItemState::Ready { position };
                    }
                });
            },
            &[
                "finish::revived_item_is_ready_at_the_tail",
                "produce::item_that_came_later_stands_behind_whatever_its_age",
                "produce::revived_items_come_to_the_tail_in_input_order",
            ],
        ),
        edited(
            "revival_is_lost_at_reopening",
            "That an item was revived is kept in memory.",
            &[Operation::Open],
            |scene| scene.items(|_, item| item.is_revived = false),
            &["finish::revived_items_are_kept_over_a_reopening"],
        ),
        Mutant::new(
            "revive_says_revived_to_every_item",
            "Whatever is there is told as revived.",
            SaysRevived::wrap,
            &[
                "finish::id_that_is_given_twice_is_used_once",
                "finish::revive_tells_of_each_id",
            ],
        ),
        Mutant::new(
            "missing_items_are_not_dead",
            "Ids of items that are not there are told as items that are alive.",
            SaysNotDead::wrap,
            &["finish::revive_tells_of_each_id"],
        ),
    ]
}
