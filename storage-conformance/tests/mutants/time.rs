//! Wrong about time: what is due, when, in which order, and what is told of it.

mod drivers;

use std::time::Duration;

use storage_api::*;
use storage_model::Partition;

use self::drivers::*;
use crate::answered::{Told, answered};
use crate::edited::{around, edited, rewritten, to_tail};
use crate::mutant::Mutant;

pub(crate) fn mutants() -> Vec<Mutant> {
    [
        handling(),
        forgetting(),
        deciding(),
        reports(),
        due_times(),
        clocks(),
    ]
    .concat()
}

fn handling() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "maintain_is_a_moment_early",
            "What is due in a microsecond is handled now.",
            Early::wrap,
            &["time::scheduled_item_is_ready_at_its_time_and_not_before"],
        ),
        Mutant::new(
            "maintain_is_a_moment_late",
            "What is due now is handled in a microsecond: `<` for `<=`.",
            Late::wrap,
            &["produce::id_stays_with_its_item"],
        ),
        Mutant::new(
            "maintain_is_of_milliseconds",
            "The clock of maintain is cut to milliseconds.",
            Coarse::wrap,
            &["time::scheduled_item_that_expires_when_it_is_due_dies"],
        ),
        Mutant::new(
            "maintain_takes_everything_at_once",
            "The maximum of a step is not looked at.",
            AtOnce::wrap,
            &["time::due_items_of_one_time_are_handled_by_id"],
        ),
        Mutant::new(
            "maintain_handles_a_thousand",
            "A step ends at what one statement takes, and says that nothing is left.",
            HandlesAThousand::wrap,
            &["time::keys_of_dropped_items_are_freed_before_nothing_more_is_due"],
        ),
        Mutant::new(
            "maintain_handles_twice",
            "A step looks again at what it has just made ready.",
            Twice::wrap,
            &[
                "time::due_items_are_handled_in_order_of_their_time_not_of_their_age",
                "time::due_items_of_one_time_are_handled_by_id",
                "time::earliest_due_time_left_may_have_passed",
                "time::small_steps_reach_everything",
            ],
        ),
        Mutant::new(
            "one_item_stops_maintain",
            "An item that cannot be put back at once stops the step for all behind it (awa, issue 388; pg-boss, issue 492).",
            StopsAtKeys::wrap,
            &[
                "produce::item_is_no_duplicate_of_itself",
                "time::one_item_keeps_no_other_from_being_handled",
            ],
        ),
        Mutant::new(
            "the_oldest_items_hide_what_is_due",
            "A step looks at the first items by id, due or not (kue, issue 312; river, pull 1318).",
            LooksAtTheOldest::wrap,
            &[
                "time::due_items_are_handled_in_order_of_their_time_not_of_their_age",
                "time::lingering_keys_are_handled_in_their_turn",
                "time::scheduled_items_are_ordered_over_the_whole_of_time",
            ],
        ),
        Mutant::new(
            "two_maintainers_handle_the_same",
            "What is due is read first and handled later: two who maintain count it twice (asynq, issue 717).",
            ReadsThenHandles::wrap,
            &["time::two_who_maintain_at_once_handle_each_once"],
        ),
        edited(
            "items_of_one_time_come_backwards",
            "Items that are due at one time come by id, the largest first.",
            &[Operation::Maintain],
            |scene| {
                scene.partitions(|before, now| {
                    let became = |item: &ItemEntry| {
                        let was = before.items.iter().find(|one| one.id == item.id)?;
                        let is_new = was.state() != State::Ready && item.state() == State::Ready;
                        is_new.then(|| was.due_at())?
                    };
                    let new: Vec<_> = (0..now.items.len())
                        .filter_map(|index| Some((became(&now.items[index])?, index)))
                        .collect();
                    for pair in new.windows(2) {
                        if pair[0].0 == pair[1].0 {
                            let (a, b) = (now.items[pair[0].1].state, now.items[pair[1].1].state);
                            (now.items[pair[0].1].state, now.items[pair[1].1].state) = (b, a);
                        }
                    }
                });
            },
            &[
                "lease::late_completion_is_judged_by_whether_the_item_was_taken_back",
                "time::item_taken_back_goes_back_to_where_it_stood_if_the_partition_says_so",
                "time::one_item_keeps_no_other_from_being_handled",
            ],
        ),
    ]
}

fn forgetting() -> Vec<Mutant> {
    vec![
        edited(
            "only_the_first_scheduled_item_is_timed",
            "After the first scheduled item the others are forgotten.",
            &[Operation::Maintain],
            |scene| {
                scene.partitions(|before, now| {
                    let scheduled = |one: &Partition| {
                        one.items
                            .iter()
                            .filter(|item| item.state() == State::Scheduled)
                            .count()
                    };
                    if scheduled(before) > scheduled(now) {
                        now.items.iter_mut().for_each(never);
                    }
                });
            },
            &[
                "restore::a_restored_scheduled_item_becomes_ready_when_due",
                "time::nothing_is_lost_when_time_goes_backwards",
                "time::two_scheduled_items_are_ready_each_at_its_time",
                "time::two_who_maintain_at_once_handle_each_once",
            ],
        ),
        edited(
            "scheduled_items_are_forgotten_at_reopening",
            "After a reopening nobody waits for what was scheduled (Bull, issue 103).",
            &[Operation::Open],
            |scene| scene.items(|_, item| never(item)),
            &[
                "time::leases_are_taken_back_after_a_reopening",
                "time::two_scheduled_items_are_ready_each_at_its_time_after_a_reopening",
            ],
        ),
        edited(
            "times_start_anew_at_reopening",
            "What is stored is how long to wait, and the wait begins anew with the process (beanstalkd, issue 62).",
            &[Operation::Open],
            |scene| {
                scene.items(|_, item| match &mut item.state {
                    ItemState::Scheduled { enqueue_at: at }
                    | ItemState::Leased { deadline: at, .. } => {
                        *at = at.saturating_add(Duration::from_micros(1));
                    }
                    _ => {}
                });
            },
            &["time::two_scheduled_items_are_ready_each_at_its_time_after_a_reopening"],
        ),
        Mutant::new(
            "time_that_goes_back_loses_items",
            "What is due before the last look is not looked for any more.",
            LooksForward::wrap,
            &[
                "time::nothing_is_due_early_after_time_went_backwards",
                "time::times_of_every_length_are_exact_to_the_microsecond",
            ],
        ),
    ]
}

fn deciding() -> Vec<Mutant> {
    vec![
        edited(
            "expired_leases_go_to_the_head",
            "An item that is taken back stands where it stood, whatever the requeue says.",
            &[Operation::Maintain],
            |scene| {
                scene.moved(State::Leased, State::Ready, |before, item| {
                    if let Some(position) = before.state.position() {
                        item.state = ItemState::Ready { position };
                    }
                });
            },
            &[
                "produce::maintained_items_come_to_the_tail_in_the_order_of_handling",
                "time::item_taken_back_goes_to_the_tail",
            ],
        ),
        edited(
            "expired_leases_go_to_the_tail",
            "An item that is taken back goes to the tail, though the requeue is `Original`.",
            &[Operation::Maintain],
            |scene| scene.changed(State::Leased, State::Ready, to_tail),
            &[
                "partitions::draining_partition_leases_and_maintains",
                "time::item_taken_back_goes_back_to_where_it_stood_if_the_partition_says_so",
            ],
        ),
        around(
            "overslept_items_are_ready_first",
            "A scheduled item becomes ready when it is due, though its expiry has come as well.",
            &[Operation::Maintain],
            |contents| {
                let items = contents
                    .partitions
                    .iter_mut()
                    .flat_map(|one| &mut one.items);
                for item in items.filter(|item| item.state() == State::Scheduled) {
                    item.is_revived = true;
                }
            },
            |scene| scene.items(|before, item| item.is_revived = before.is_revived),
            &[
                "finish::retry_for_later_does_not_look_at_expiry",
                "time::earliest_due_time_follows_produce_and_delete",
                "time::item_that_becomes_ready_expires_later",
                "time::nothing_is_handled_twice_in_a_call",
                "time::overslept_item_dies_without_having_been_ready",
                "time::scheduled_item_dies_at_its_expiry_if_that_comes_first",
                "time::scheduled_item_that_expires_when_it_is_due_dies",
            ],
        ),
        around(
            "ready_items_do_not_expire",
            "Expiry is looked at when an item is leased, never by maintain.",
            &[Operation::Maintain],
            |contents| {
                let items = contents
                    .partitions
                    .iter_mut()
                    .flat_map(|one| &mut one.items);
                for item in items.filter(|item| item.state() == State::Ready) {
                    item.is_revived = true;
                }
            },
            |scene| scene.items(|before, item| item.is_revived = before.is_revived),
            &["time::largest_timestamp_is_a_time_like_any_other"],
        ),
        around(
            "leased_items_do_not_expire",
            "An item that is taken back after its expiry is ready again.",
            &[Operation::Maintain],
            |contents| {
                let items = contents
                    .partitions
                    .iter_mut()
                    .flat_map(|one| &mut one.items);
                for item in items.filter(|item| item.state() == State::Leased) {
                    item.is_revived = true;
                }
            },
            |scene| scene.items(|before, item| item.is_revived = before.is_revived),
            &[
                "finish::dead_item_shows_its_reason_and_the_time_of_its_death",
                "time::expiry_goes_before_attempts_used_up",
                "time::item_taken_back_past_its_expiry_dies_of_that",
                "time::nothing_is_due_early_after_time_went_backwards",
                "time::nothing_is_handled_twice_in_a_call",
            ],
        ),
        edited(
            "used_up_goes_before_expired",
            "An item that is taken back after its expiry and its last attempt dies of its attempts.",
            &[Operation::Maintain],
            |scene| {
                scene.changed(State::Leased, State::Dead, |partition, index| {
                    let limit = crate::edited::attempts_max(partition, &partition.items[index]);
                    let item = &mut partition.items[index];
                    let is_used_up = limit != 0 && item.attempts >= limit;
                    if let (ItemState::Dead { reason, .. }, true) = (&mut item.state, is_used_up) {
                        *reason = DeadReason::AttemptsExhausted;
                    }
                });
            },
            &[
                "finish::dead_item_shows_its_reason_and_the_time_of_its_death",
                "time::expiry_goes_before_attempts_used_up",
            ],
        ),
        edited(
            "what_becomes_ready_never_expires",
            "The expiry of a scheduled item ends with its wait.",
            &[Operation::Maintain],
            |scene| {
                scene.moved(State::Scheduled, State::Ready, |_, item| {
                    item.record = rewritten(&item.record, |parts| parts.expire_at = None);
                });
            },
            &[
                "time::earliest_due_time_follows_retries_and_revival",
                "time::item_that_becomes_ready_expires_later",
            ],
        ),
        edited(
            "taken_back_items_keep_their_lease",
            "An item that is taken back is leased again to the same holder.",
            &[Operation::Maintain],
            |scene| {
                scene.moved(State::Leased, State::Ready, |before, item| {
                    item.state = before.state;
                    if let ItemState::Leased { deadline, .. } = &mut item.state {
                        *deadline = Timestamp::MAX;
                    }
                });
            },
            &["time::one_item_keeps_no_other_from_being_handled"],
        ),
    ]
}

fn reports() -> Vec<Mutant> {
    vec![
        answered(
            "the_report_counts_no_deaths",
            "What died is not in the report (beanstalkd, issue 69).",
            Told::Maintained(|_, done| (done.expired, done.attempts_exhausted) = (0, 0)),
            &[
                "finish::retry_does_not_look_at_expiry",
                "finish::retry_for_later_does_not_look_at_expiry",
                "restore::a_restored_item_that_was_revived_does_not_expire",
                "time::scheduled_item_that_expires_when_it_is_due_dies",
            ],
        ),
        answered(
            "the_report_takes_deaths_for_one",
            "What died of its attempts is reported as expired.",
            Told::Maintained(|_, done| {
                done.expired += done.attempts_exhausted;
                done.attempts_exhausted = 0;
            }),
            &[
                "finish::attempts_are_kept_over_a_reopening",
                "finish::attempts_used_up_by_lost_workers_kill",
                "finish::limit_in_force_when_taken_back_decides",
                "time::report_tells_what_became_of_everything",
            ],
        ),
        answered(
            "the_report_counts_the_dropped_as_dead",
            "What was dropped is reported as dead.",
            Told::Maintained(|_, done| {
                done.expired += done.dropped;
                done.dropped = 0;
            }),
            &[
                "finish::dead_items_are_dropped_for_every_reason",
                "time::keys_of_dropped_items_are_freed_before_nothing_more_is_due",
                "time::report_of_a_dropping_partition_counts_what_was_dropped",
            ],
        ),
        answered(
            "the_report_counts_no_keys",
            "Keys that were freed are not in the report.",
            Told::Maintained(|_, done| done.keys_freed = 0),
            &["time::keys_of_dropped_items_are_freed_before_nothing_more_is_due"],
        ),
        answered(
            "the_report_counts_nothing_ready",
            "What became ready is not in the report.",
            Told::Maintained(|_, done| done.ready = 0),
            &["time::time_that_stands_still_handles_everything_once"],
        ),
        answered(
            "maintain_has_never_more",
            "What is left behind a step is not told.",
            Told::Maintained(|_, done| done.more = false),
            &["time::small_steps_reach_everything"],
        ),
        answered(
            "maintain_has_more_when_something_waits",
            "A due time that is still to come is told as something that is due.",
            Told::Maintained(|_, done| done.more = done.next_due.is_some()),
            &[
                "time::maintaining_nothing_changes_nothing",
                "time::more_is_due_exactly_if_the_step_was_too_small",
                "time::report_tells_what_became_of_everything",
            ],
        ),
        Mutant::new(
            "a_full_step_says_more",
            "A step that handled as many as it may says that there are more.",
            FullSaysMore::wrap,
            &[
                "time::lingering_keys_are_handled_in_their_turn",
                "time::more_is_due_exactly_if_the_step_was_too_small",
            ],
        ),
        answered(
            "passed_due_times_are_not_told",
            "The earliest due time that is told is never one that has passed.",
            Told::Maintained(|_, done| {
                if done.more {
                    done.next_due = None;
                }
            }),
            &["time::earliest_due_time_left_may_have_passed"],
        ),
        edited(
            "maintaining_nothing_writes",
            "Each look for what is due leaves something behind.",
            &[Operation::Maintain],
            |scene| {
                let is_same = *scene.before == *scene.after;
                scene.after.last_version += u64::from(is_same);
                let version = Version::new(scene.after.last_version);
                if let (Ok(version), true) = (version, is_same) {
                    scene.partitions(|_, now| now.info.revision = version);
                }
            },
            &["time::maintaining_nothing_changes_nothing"],
        ),
    ]
}

fn due_times() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "the_next_deadline_is_not_told",
            "The earliest due time is that of the scheduled items; leases are left out (beanstalkd, pull 174).",
            NextDue::<0>::wrap,
            &[
                "lease::bytes_of_a_lease_are_those_of_payloads",
                "lease::no_two_callers_at_once_are_given_the_same_item",
            ],
        ),
        Mutant::new(
            "the_next_expiry_is_not_told",
            "The earliest due time leaves out the expiry of ready items.",
            NextDue::<1>::wrap,
            &[
                "finish::release_does_not_look_at_attempts",
                "time::expiry_of_a_leased_item_is_no_due_time_until_it_is_released",
            ],
        ),
        Mutant::new(
            "the_next_schedule_is_not_told",
            "The earliest due time is that of the leases; scheduled items are left out.",
            NextDue::<2>::wrap,
            &["listing::no_state_lists_nothing"],
        ),
        Mutant::new(
            "the_next_key_is_not_told",
            "The earliest due time leaves out keys that linger.",
            NextDue::<3>::wrap,
            &[
                "partitions::earliest_due_time_of_the_statistics_includes_lingering_keys",
                "time::earliest_due_time_includes_lingering_keys",
            ],
        ),
        Mutant::new(
            "items_at_work_expire_in_the_index",
            "The expiry of an item at work is told as a due time.",
            NextDue::<4>::wrap,
            &[
                "time::expiry_of_a_leased_item_is_no_due_time_until_it_is_released",
                "time::item_at_work_is_left_alone_before_its_deadline",
            ],
        ),
        Mutant::new(
            "the_largest_time_is_never",
            "The largest timestamp is taken for none.",
            NextDue::<5>::wrap,
            &[
                "produce::dedup_time_beyond_the_largest_timestamp_ends_there",
                "time::largest_timestamp_is_a_time_like_any_other",
                "time::retries_go_to_the_largest_and_the_smallest_timestamp",
            ],
        ),
        Mutant::new(
            "the_smallest_time_is_never",
            "Negative timestamps are taken for none.",
            NextDue::<6>::wrap,
            &[
                "lease::expired_item_is_passed_over",
                "partitions::sums_hold_the_largest_and_smallest_times",
            ],
        ),
        Mutant::new(
            "what_was_removed_is_due",
            "Deleting and clearing leave entries in the index of due times (Redis, issue 6199).",
            LeaksDue::wrap,
            &[
                "partitions::removed_leases_change_the_statistics_once",
                "produce::clearing_frees_the_dedup_key_at_once",
                "time::earliest_due_time_follows_clear_and_restore",
                "time::earliest_due_time_follows_produce_and_delete",
            ],
        ),
        Mutant::new(
            "what_was_completed_is_due",
            "Completing leaves an entry in the index of deadlines.",
            LeaksDeadlines::wrap,
            &[
                "finish::completing_one_item_leaves_the_others",
                "finish::second_of_the_same_receipt_in_a_call_is_not_found",
                "partitions::stats_of_what_was_emptied_are_those_of_a_new_partition",
                "produce::items_without_a_dedup_key_are_no_duplicates",
            ],
        ),
        Mutant::new(
            "what_died_at_work_is_due",
            "An item that is retried as dead leaves its lease in the index of deadlines.",
            LeaksOfTheRejected::wrap,
            &["time::earliest_due_time_follows_retries_and_revival"],
        ),
        Mutant::new(
            "what_time_has_killed_is_due",
            "What maintain finds dead stays in the index of due times.",
            LeaksOfTheExpired::wrap,
            &[
                "finish::revived_item_never_expires",
                "restore::a_restored_item_that_was_revived_does_not_expire",
                "time::report_tells_what_became_of_everything",
            ],
        ),
        Mutant::new(
            "the_first_deadline_stays_due",
            "An extension leaves the first deadline in the index.",
            LeaksFirstDeadline::wrap,
            &[
                "lease::extended_lease_is_still_released_with_its_holder",
                "time::earliest_due_time_follows_leases",
            ],
        ),
    ]
}

fn clocks() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "time_never_goes_back",
            "The largest time that was ever seen is the time of every call (chronos, issue 85).",
            NeverBack::wrap,
            &[
                "time::lease_taken_with_an_earlier_time_lasts_until_its_deadline",
                "time::no_operation_looks_at_the_time_of_another",
                "time::nothing_is_lost_when_time_goes_backwards",
            ],
        ),
        Mutant::new(
            "retries_are_judged_by_the_last_maintain",
            "Whether a retry is for later is judged by the time of the last maintain.",
            RetryByMaintain::wrap,
            &[
                "finish::item_retried_as_dead_is_rejected",
                "finish::revived_item_can_die_again",
                "time::retry_is_judged_by_its_own_time",
            ],
        ),
        edited(
            "negative_times_are_of_the_epoch",
            "A time before 1970 is stored as 1970.",
            &[Operation::Produce, Operation::Retry],
            |scene| {
                for item in scene
                    .after
                    .partitions
                    .iter_mut()
                    .flat_map(|one| &mut one.items)
                {
                    if let ItemState::Scheduled { enqueue_at } = &mut item.state {
                        *enqueue_at = (*enqueue_at).max(Timestamp::EPOCH);
                    }
                }
            },
            &[
                "listing::due_times_are_ordered_over_the_whole_range",
                "time::scheduled_items_are_ordered_over_the_whole_of_time",
                "time::smallest_timestamp_is_a_time_like_any_other",
                "time::times_of_every_length_are_exact_to_the_microsecond",
            ],
        ),
        edited(
            "times_of_death_are_of_the_epoch",
            "A death before 1970 is stored as one in 1970.",
            &[Operation::Maintain, Operation::Retry],
            |scene| {
                scene.items(|_, item| {
                    if let ItemState::Dead { died_at, .. } = &mut item.state {
                        *died_at = (*died_at).max(Timestamp::EPOCH);
                    }
                });
            },
            &["time::items_die_at_the_largest_and_the_smallest_timestamp"],
        ),
        edited(
            "the_largest_time_overflows",
            "A time at the end of the range is one at its beginning (fakecloud, pull 2237).",
            &[
                Operation::Produce,
                Operation::Retry,
                Operation::Lease,
                Operation::Extend,
            ],
            |scene| {
                for item in scene
                    .after
                    .partitions
                    .iter_mut()
                    .flat_map(|one| &mut one.items)
                {
                    match &mut item.state {
                        ItemState::Scheduled { enqueue_at: at }
                        | ItemState::Leased { deadline: at, .. }
                            if *at == Timestamp::MAX =>
                        {
                            *at = Timestamp::MIN;
                        }
                        _ => {}
                    }
                }
            },
            &[
                "finish::item_retried_at_a_later_time_is_scheduled_and_at_any_other_ready",
                "partitions::sums_hold_the_largest_and_smallest_times",
                "time::largest_timestamp_is_a_time_like_any_other",
                "time::leases_end_at_the_largest_and_the_smallest_timestamp",
            ],
        ),
    ]
}
