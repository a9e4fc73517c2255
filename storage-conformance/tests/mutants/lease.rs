//! Wrong about leases: which items, to whom, until when.

mod drivers;

use std::time::Duration;

use storage_api::*;

use self::drivers::*;
use crate::answered::{Told, answered};
use crate::edited::{around, edited, rewritten, to_tail};
use crate::mutant::Mutant;

pub(crate) fn mutants() -> Vec<Mutant> {
    [
        taking(),
        numbers(),
        sizes(),
        deadlines(),
        extending(),
        holders(),
    ]
    .concat()
}

fn taking() -> Vec<Mutant> {
    vec![
        around(
            "priorities_do_not_count",
            "Items are leased by position alone.",
            &[Operation::Lease],
            |contents| {
                let items = contents
                    .partitions
                    .iter_mut()
                    .flat_map(|one| &mut one.items);
                items.for_each(|item| {
                    item.record = rewritten(&item.record, |parts| parts.priority = 100)
                });
            },
            |scene| scene.items(|before, item| item.record = before.record.clone()),
            &[
                "lease::answer_of_a_lease_shows_the_item_as_it_then_is",
                "lease::priorities_are_ordered_from_0_to_255",
                "lease::ready_items_come_by_priority_then_position",
            ],
        ),
        around(
            "large_priorities_come_first",
            "A larger number is taken for a higher priority.",
            &[Operation::Lease],
            |contents| {
                let items = contents
                    .partitions
                    .iter_mut()
                    .flat_map(|one| &mut one.items);
                items.for_each(|item| {
                    item.record =
                        rewritten(&item.record, |parts| parts.priority = 255 - parts.priority);
                });
            },
            |scene| scene.items(|before, item| item.record = before.record.clone()),
            &["lease::priorities_are_ordered_from_0_to_255"],
        ),
        around(
            "the_newest_is_leased_first",
            "Items are leased from the tail: a stack.",
            &[Operation::Lease],
            |contents| {
                let items = contents
                    .partitions
                    .iter_mut()
                    .flat_map(|one| &mut one.items);
                for item in items {
                    if let ItemState::Ready { position } = &mut item.state {
                        *position = Position::new(i64::MAX.unsigned_abs() - position.get())
                            .unwrap_or(*position);
                    }
                }
            },
            |scene| {
                scene.items(|before, item| {
                    if let (
                        ItemState::Ready { position } | ItemState::Leased { position, .. },
                        Some(was),
                    ) = (&mut item.state, before.state.position())
                    {
                        *position = was;
                    }
                });
            },
            &["lease::empty_payloads_fit_into_no_bytes"],
        ),
        Mutant::new(
            "lease_gives_one_more",
            "The batch ends behind the limit instead of at it.",
            OneMore::wrap,
            &[
                "lease::item_shows_its_holder_while_it_is_leased",
                "lease::lease_takes_as_many_as_there_are_up_to_items_max",
            ],
        ),
        Mutant::new(
            "lease_gives_a_thousand",
            "A batch ends at what one statement takes, however many are asked for.",
            AThousand::wrap,
            &[
                "finish::ten_thousand_receipts_are_completed_at_once",
                "lease::ten_thousand_items_are_leased_at_once",
            ],
        ),
        Mutant::new(
            "lease_promotes_what_is_due",
            "A lease makes scheduled items ready whose time has come.",
            Promotes::wrap,
            &[
                "lease::lease_of_nothing_changes_nothing",
                "lease::lease_takes_ready_items_only",
                "produce::scheduled_item_does_not_stand_in_front_of_ready_ones",
                "produce::scheduled_item_is_not_leased_however_late_it_is",
            ],
        ),
        Mutant::new(
            "lease_takes_back",
            "A lease gives away what is leased already once the deadline has passed (sidekiq, issue 4611).",
            TakesBack::wrap,
            &[
                "lease::deadline_alone_gives_the_item_to_nobody_else",
                "lease::late_holder_may_still_retry_release_and_extend",
                "lease::lease_takes_ready_items_only",
                "lease::leases_of_a_holder_are_released_before_and_after_the_deadline",
            ],
        ),
        Mutant::new(
            "leases_are_given_twice",
            "Where nothing is ready, what is leased is given to a second caller (RabbitMQ, issue 3064).",
            GivesTwice::wrap,
            &[
                "lease::deadline_alone_gives_the_item_to_nobody_else",
                "lease::late_completion_is_judged_by_whether_the_item_was_taken_back",
                "lease::leased_item_is_leased_to_nobody_else",
            ],
        ),
        Mutant::new(
            "lease_reads_then_writes",
            "What is to be leased is read first and taken later: two callers take the same (Bull, pull 377).",
            ReadsThenWrites::wrap,
            &["lease::no_two_callers_at_once_are_given_the_same_item"],
        ),
        Mutant::new(
            "the_dead_are_leased",
            "A lease takes whatever is there, dead or not.",
            LeasesDead::wrap,
            &[
                "finish::dead_items_are_in_nobodys_way",
                "listing::a_cursor_is_good_for_its_own_set_of_states_alone",
            ],
        ),
        Mutant::new(
            "lease_looks_at_attempts",
            "An item whose attempts are used up is passed over for ever (graphile-worker, issue 254).",
            PassesUsedUp::wrap,
            &["finish::lease_does_not_look_at_attempts"],
        ),
        around(
            "expired_items_are_leased",
            "Nobody looks at the expiry of an item that is leased.",
            &[Operation::Lease],
            |contents| {
                let items = contents
                    .partitions
                    .iter_mut()
                    .flat_map(|one| &mut one.items);
                items.for_each(|item| item.is_revived = true);
            },
            |scene| scene.items(|before, item| item.is_revived = before.is_revived),
            &[
                "lease::expired_item_is_passed_over",
                "lease::expired_items_hide_no_other",
                "lease::holder_is_that_of_the_last_lease",
                "lease::lease_is_not_taken_back_before_its_deadline",
            ],
        ),
        Mutant::new(
            "lease_buries_the_expired",
            "A lease lets expired items die, instead of passing them over.",
            Buries::wrap,
            &[
                "lease::expired_item_that_is_passed_over_stays_as_it_is",
                "partitions::expired_item_counts_as_ready_until_it_is_maintained",
            ],
        ),
        Mutant::new(
            "expired_items_count_towards_the_limit",
            "Expired items are read, counted and thrown away (river, pull 1318).",
            CountsExpired::wrap,
            &[
                "lease::expired_items_count_nothing_towards_the_limits",
                "lease::expired_items_hide_no_other",
            ],
        ),
        Mutant::new(
            "expired_bytes_count_towards_the_limit",
            "The bytes of expired items are taken from what a batch may hold.",
            CountsExpiredBytes::wrap,
            &["lease::expired_items_count_nothing_towards_the_limits"],
        ),
        Mutant::new(
            "nothing_to_lease_is_an_error",
            "An empty partition answers that there is nothing.",
            NothingIsAnError::wrap,
            &[
                "lease::empty_partition_leases_nothing",
                "lease::leased_item_is_leased_to_nobody_else",
                "partitions::expired_item_counts_as_ready_until_it_is_maintained",
                "produce::scheduled_item_is_not_leased_however_late_it_is",
            ],
        ),
        Mutant::new(
            "a_lease_of_nothing_writes",
            "Each call of a lease leaves something behind, also one that found nothing.",
            WritesForNothing::wrap,
            &[
                "lease::expired_item_that_is_passed_over_stays_as_it_is",
                "lease::lease_of_nothing_changes_nothing",
            ],
        ),
    ]
}

fn numbers() -> Vec<Mutant> {
    vec![
        edited(
            "attempts_are_not_counted",
            "A lease does not count as an attempt.",
            &[Operation::Lease],
            |scene| {
                scene.moved(State::Ready, State::Leased, |before, item| {
                    item.attempts = before.attempts
                })
            },
            &["lease::every_lease_counts_one_attempt"],
        ),
        edited(
            "attempts_are_counted_twice",
            "A lease counts as two attempts.",
            &[Operation::Lease],
            |scene| {
                scene.moved(State::Ready, State::Leased, |_, item| {
                    item.attempts = item.attempts.saturating_add(1)
                });
            },
            &["lease::every_lease_counts_one_attempt"],
        ),
        Mutant::new(
            "attempts_wrap",
            "The count of attempts begins anew behind the largest.",
            AttemptsWrap::wrap,
            &["lease::attempts_end_at_the_largest"],
        ),
        Mutant::new(
            "the_answer_shows_the_item_as_it_was",
            "The answer of a lease is read before the attempt is counted.",
            ShowsBefore::wrap,
            &["time::item_taken_back_is_leased_anew"],
        ),
        Mutant::new(
            "the_answer_shows_no_history",
            "The answer of a lease has neither note nor whether the item was revived.",
            ShowsNoHistory::wrap,
            &["lease::answer_of_a_lease_shows_what_happened_before"],
        ),
        Mutant::new(
            "lease_ids_count_per_partition",
            "Each partition counts its own leases.",
            CountsPerPartition::wrap,
            &[
                "lease::lease_ids_are_given_once_in_all_partitions",
                "lease::lease_ids_are_not_given_again_after_a_reopening",
            ],
        ),
        Mutant::new(
            "lease_ids_are_attempts",
            "A lease is known by item and attempt: what was released is leased under the same number.",
            LeaseIsAttempt::wrap,
            &[
                "lease::lease_ids_are_given_once_in_all_partitions",
                "lease::receipt_of_one_partition_is_worth_nothing_in_another",
            ],
        ),
        edited(
            "lease_ids_start_anew_at_reopening",
            "Leases are counted from one again after a reopening (RabbitMQ, pull 4004).",
            &[Operation::Open],
            |scene| scene.after.last_lease = 0,
            &["lease::lease_ids_are_not_given_again_after_a_reopening"],
        ),
    ]
}

fn sizes() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "the_batch_ends_behind_the_bytes",
            "The item that exceeds the bytes is given as well.",
            BehindTheBytes::wrap,
            &[
                "lease::batch_ends_before_the_item_that_would_exceed_bytes_max",
                "lease::item_that_is_too_large_is_not_jumped_over",
            ],
        ),
        Mutant::new(
            "a_large_first_item_is_never_leased",
            "An item that is larger than the bytes asked for is not given, and all behind it wait.",
            LargeFirstWaits::wrap,
            &["lease::first_item_comes_whatever_its_size"],
        ),
        Mutant::new(
            "large_items_are_jumped_over",
            "An item that does not fit is passed over for a smaller one behind it.",
            JumpsOver::wrap,
            &["lease::item_that_is_too_large_is_not_jumped_over"],
        ),
        Mutant::new(
            "bytes_of_a_lease_are_those_of_records",
            "Attributes count towards the bytes of a batch.",
            CountsRecords::wrap,
            &[
                "lease::batch_ends_before_the_item_that_would_exceed_bytes_max",
                "lease::bytes_of_a_lease_are_those_of_payloads",
                "lease::empty_payloads_fit_into_no_bytes",
            ],
        ),
        Mutant::new(
            "no_bytes_are_no_limit",
            "A limit of no bytes is none.",
            ZeroIsNone::wrap,
            &[
                "lease::empty_payloads_fit_into_no_bytes",
                "lease::first_item_comes_whatever_its_size",
            ],
        ),
        Mutant::new(
            "a_lease_has_no_limit_of_its_own",
            "Without a limit of the caller a batch grows beyond that of an answer.",
            NoLimit::wrap,
            &["lease::lease_ends_at_the_limit_of_an_answer"],
        ),
    ]
}

fn deadlines() -> Vec<Mutant> {
    vec![
        around(
            "leases_end_a_moment_early",
            "A lease is taken back a microsecond before its deadline.",
            &[Operation::Maintain],
            |contents| shift_deadlines(contents, -1),
            restore_deadlines,
            &[
                "lease::item_at_work_in_its_last_attempt_is_completed",
                "lease::item_at_work_past_its_expiry_is_completed",
                "time::lease_taken_with_an_earlier_time_lasts_until_its_deadline",
            ],
        ),
        around(
            "leases_end_a_moment_late",
            "A lease is taken back a microsecond behind its deadline.",
            &[Operation::Maintain],
            |contents| shift_deadlines(contents, 1),
            restore_deadlines,
            &["lease::holder_who_is_given_its_item_again_needs_the_new_receipt"],
        ),
        edited(
            "maintain_takes_every_lease_back",
            "Items at work are taken for orphans (apalis, issue 530).",
            &[Operation::Maintain],
            |scene| scene.changed(State::Leased, State::Leased, to_tail),
            &["lease::extended_lease_is_completed_after_its_first_deadline"],
        ),
        edited(
            "the_last_attempt_is_taken_away",
            "An item at work in its last attempt dies at the next maintain.",
            &[Operation::Maintain],
            |scene| {
                let died_at = scene.now.unwrap_or(Timestamp::EPOCH);
                scene.changed(State::Leased, State::Leased, |partition, index| {
                    let limit = crate::edited::attempts_max(partition, &partition.items[index]);
                    let item = &mut partition.items[index];
                    if limit != 0 && item.attempts >= limit {
                        let reason = DeadReason::AttemptsExhausted;
                        item.state = ItemState::Dead { reason, died_at };
                    }
                });
            },
            &[
                "lease::item_at_work_in_its_last_attempt_is_completed",
                "lease::item_at_work_past_its_expiry_in_its_last_attempt_is_taken_by_nobody",
            ],
        ),
        edited(
            "expired_items_are_taken_away",
            "An item at work dies when its expiry has come.",
            &[Operation::Maintain],
            |scene| {
                let Some(died_at) = scene.now else { return };
                scene.moved(State::Leased, State::Leased, |_, item| {
                    if item.expire_at().is_some_and(|at| at <= died_at) {
                        let reason = DeadReason::Expired;
                        item.state = ItemState::Dead { reason, died_at };
                    }
                });
            },
            &[
                "lease::item_at_work_past_its_expiry_in_its_last_attempt_is_taken_by_nobody",
                "lease::item_at_work_past_its_expiry_is_completed",
                "time::item_at_work_is_left_alone_before_its_deadline",
            ],
        ),
        edited(
            "leases_are_never_taken_back",
            "What decodes the record of a lease reads another, and nothing is taken back (faktory, pull 94).",
            &[Operation::Maintain],
            |scene| {
                scene.items(|before, item| {
                    if before.state() == State::Leased {
                        *item = before.clone();
                    }
                });
            },
            &["lease::holder_who_is_given_its_item_again_needs_the_new_receipt"],
        ),
        edited(
            "leases_are_not_taken_back_after_reopening",
            "The index of deadlines is kept in memory (asynq, issue 1144).",
            &[Operation::Open],
            |scene| {
                scene.moved(State::Leased, State::Leased, |_, item| {
                    if let ItemState::Leased { deadline, .. } = &mut item.state {
                        *deadline = Timestamp::MAX;
                    }
                });
            },
            &["lease::extension_is_kept_over_a_reopening"],
        ),
        Mutant::new(
            "late_receipts_are_refused",
            "A holder who is late may not complete, retry, release or extend, though nobody else has the item.",
            RefusesLate::wrap,
            &[
                "finish::item_retried_as_dead_is_rejected_whatever_else_would_hold",
                "lease::holder_who_is_given_its_item_again_needs_the_new_receipt",
                "lease::late_holder_may_still_retry_release_and_extend",
                "lease::lease_with_a_deadline_in_the_past_lasts_until_it_is_taken_back",
                "time::retry_is_judged_by_its_own_time",
            ],
        ),
        Mutant::new(
            "receipts_come_back_with_the_item",
            "The first holder may complete once the second has given the item back.",
            ComesBackToTheFirst::wrap,
            &[
                "lease::late_holder_completes_unless_taken_back",
                "lease::receipt_is_lost_once_released",
                "lease::receipt_stays_lost_when_the_second_holder_gives_the_item_back",
                "lease::receipts_of_a_released_holder_are_lost",
                "partitions::receipts_used_twice_change_no_statistics",
            ],
        ),
        Mutant::new(
            "released_receipts_stay_valid",
            "A receipt that was released may still complete.",
            StaysValid::wrap,
            &[
                "finish::lost_and_unknown_receipts_change_nothing",
                "lease::receipt_is_lost_for_good_once_taken_back",
                "lease::receipt_is_lost_once_released",
                "lease::receipt_is_lost_once_retried",
                "lease::receipt_stays_lost_when_the_second_holder_gives_the_item_back",
                "partitions::receipts_used_twice_change_no_statistics",
            ],
        ),
        edited(
            "deadlines_in_the_past_are_taken_from_the_epoch",
            "A negative deadline is stored as none at all: 0.",
            &[Operation::Lease, Operation::Extend],
            |scene| {
                scene.items(|_, item| {
                    if let ItemState::Leased { deadline, .. } = &mut item.state {
                        *deadline = (*deadline).max(Timestamp::EPOCH);
                    }
                });
            },
            &[
                "listing::due_times_are_ordered_over_the_whole_range",
                "time::leases_end_at_the_largest_and_the_smallest_timestamp",
            ],
        ),
    ]
}

fn extending() -> Vec<Mutant> {
    vec![
        edited(
            "extensions_are_not_stored",
            "An extension is answered and not stored (etcd, issue 15247).",
            &[Operation::Extend],
            |scene| scene.items(|before, item| item.state = before.state),
            &[
                "lease::extended_lease_is_completed_after_its_first_deadline",
                "lease::extension_into_the_past_is_due_at_once",
            ],
        ),
        edited(
            "extensions_never_shorten",
            "An extension to an earlier time is ignored.",
            &[Operation::Extend],
            |scene| {
                scene.items(|before, item| {
                    if before.due_at() > item.due_at() {
                        item.state = before.state;
                    }
                });
            },
            &[
                "finish::release_tells_of_each_receipt",
                "lease::extension_into_the_past_is_due_at_once",
                "lease::extension_to_an_earlier_time_takes_the_lease_back_earlier",
                "lease::last_of_several_extensions_holds",
            ],
        ),
        edited(
            "extensions_never_lengthen",
            "A lease cannot be extended beyond its first deadline.",
            &[Operation::Extend],
            |scene| {
                scene.items(|before, item| {
                    if before.due_at() < item.due_at() {
                        item.state = before.state;
                    }
                });
            },
            &[
                "lease::extended_lease_is_completed_after_its_first_deadline",
                "lease::extension_to_a_later_time_is_binding",
                "listing::an_extended_lease_moves_in_the_listing",
            ],
        ),
        edited(
            "extensions_are_added",
            "The time of an extension is added to the deadline.",
            &[Operation::Extend],
            |scene| {
                scene.items(|before, item| {
                    let was = before.due_at().unwrap_or(Timestamp::EPOCH).as_micros();
                    let is_extended = before.state != item.state;
                    if let (ItemState::Leased { deadline, .. }, true) =
                        (&mut item.state, is_extended)
                    {
                        *deadline =
                            Timestamp::from_micros(deadline.as_micros().saturating_add(was));
                    }
                });
            },
            &[
                "lease::extension_to_a_later_time_is_binding",
                "lease::extension_to_an_earlier_time_takes_the_lease_back_earlier",
                "listing::an_extended_lease_moves_in_the_listing",
            ],
        ),
        edited(
            "extensions_lose_the_holder",
            "An extension stores the lease anew, without its holder.",
            &[Operation::Extend],
            |scene| {
                scene.items(|before, item| {
                    let is_extended = before.state != item.state;
                    if let (ItemState::Leased { holder, .. }, true) = (&mut item.state, is_extended)
                    {
                        *holder = None;
                    }
                });
            },
            &[
                "lease::extended_lease_is_still_released_with_its_holder",
                "lease::extension_changes_the_deadline_alone",
            ],
        ),
        edited(
            "extensions_count_an_attempt",
            "An extension is a lease and counts as an attempt.",
            &[Operation::Extend],
            |scene| {
                scene.items(|before, item| {
                    if before.state != item.state {
                        item.attempts = item.attempts.saturating_add(1);
                    }
                });
            },
            &["lease::extension_changes_the_deadline_alone"],
        ),
        Mutant::new(
            "the_first_extension_holds",
            "Only one extension of a lease is stored.",
            FirstExtensionHolds::wrap,
            &[
                "lease::extension_tells_of_each_receipt",
                "lease::last_of_several_extensions_holds",
                "time::earliest_due_time_follows_leases",
            ],
        ),
        Mutant::new(
            "extensions_extend_whoever_has_the_item",
            "An old receipt extends the lease of another.",
            ExtendsByItem::wrap,
            &[
                "lease::extension_tells_of_each_receipt",
                "lease::first_holder_does_not_disturb_the_second",
                "lease::receipt_of_one_partition_is_worth_nothing_in_another",
            ],
        ),
        edited(
            "extensions_are_lost_at_reopening",
            "After a reopening the first deadline holds.",
            &[Operation::Open],
            |scene| {
                scene.moved(State::Leased, State::Leased, |_, item| {
                    if let ItemState::Leased { deadline, .. } = &mut item.state {
                        *deadline = deadline.saturating_sub(Duration::from_micros(1));
                    }
                });
            },
            &[
                "lease::extension_is_kept_over_a_reopening",
                "time::leases_are_taken_back_after_a_reopening",
            ],
        ),
    ]
}

fn holders() -> Vec<Mutant> {
    vec![
        edited(
            "holders_are_not_stored",
            "Who holds an item is not stored.",
            &[Operation::Lease],
            |scene| {
                scene.moved(State::Ready, State::Leased, |_, item| {
                    set_holder(item, None)
                })
            },
            &[
                "lease::holder_is_released_in_one_partition",
                "lease::item_shows_its_holder_while_it_is_leased",
            ],
        ),
        edited(
            "holders_are_of_32_bits",
            "A holder is stored in 32 bits.",
            &[Operation::Lease],
            |scene| {
                scene.moved(State::Ready, State::Leased, |_, item| {
                    if let ItemState::Leased {
                        holder: Some(holder),
                        ..
                    } = item.state
                    {
                        set_holder(item, Holder::new(holder.get() & u64::from(u32::MAX)).ok());
                    }
                });
            },
            &[
                "lease::any_number_but_0_is_a_holder",
                "lease::holders_are_kept_over_a_reopening",
            ],
        ),
        edited(
            "holders_are_lost_at_reopening",
            "Holders are kept in memory.",
            &[Operation::Open],
            |scene| {
                scene.moved(State::Leased, State::Leased, |_, item| {
                    set_holder(item, None)
                })
            },
            &["lease::holders_are_kept_over_a_reopening"],
        ),
        Mutant::new(
            "the_first_holder_stays",
            "The holder is written with the first lease of an item and not replaced.",
            FirstHolderStays::wrap,
            &[
                "lease::holder_is_that_of_the_last_lease",
                "lease::leases_that_ended_are_held_by_nobody",
            ],
        ),
        Mutant::new(
            "every_holder_is_released",
            "Releasing one holder releases all (apalis, pull 507).",
            ReleasesAll::wrap,
            &[
                "lease::any_number_but_0_is_a_holder",
                "lease::full_last_step_of_a_holder_leaves_no_more",
                "lease::leases_of_one_holder_are_released_and_of_no_other",
            ],
        ),
        Mutant::new(
            "a_holder_is_released_everywhere",
            "Releasing a holder in one partition releases it in all.",
            ReleasesEverywhere::wrap,
            &["lease::holder_is_released_in_one_partition"],
        ),
        Mutant::new(
            "a_holder_is_released_in_one_step",
            "The maximum of a step is not looked at.",
            ReleasesAtOnce::wrap,
            &["partitions::stats_equal_listing_after_every_operation"],
        ),
        edited(
            "released_holders_count_the_attempt",
            "The lease of a dead worker has cost an attempt when its holder is released.",
            &[Operation::ReleaseHolder],
            |scene| {
                scene.moved(State::Leased, State::Ready, |before, item| {
                    item.attempts = before.attempts
                })
            },
            &["lease::released_leases_of_a_holder_count_no_attempt_and_keep_their_place"],
        ),
        edited(
            "items_of_a_released_holder_go_to_the_tail",
            "Items of a released holder lose their place.",
            &[Operation::ReleaseHolder],
            |scene| scene.changed(State::Leased, State::Ready, to_tail),
            &["lease::released_leases_of_a_holder_count_no_attempt_and_keep_their_place"],
        ),
        answered(
            "a_full_step_of_a_holder_says_more",
            "A step that released as many as it may says that there are more.",
            Told::ReleasedHolder(|released| released.more |= released.released > 0),
            &[
                "lease::full_last_step_of_a_holder_leaves_no_more",
                "lease::leases_of_one_holder_are_released_and_of_no_other",
            ],
        ),
        answered(
            "a_holder_has_never_more",
            "What is left behind a step is not told (Redis, issue 9745).",
            Told::ReleasedHolder(|released| released.more = false),
            &["lease::leases_of_a_holder_are_released_by_id_in_steps"],
        ),
        Mutant::new(
            "late_holders_cannot_be_released",
            "Leases whose deadline has passed are left to maintain when their holder is released.",
            SparesLate::wrap,
            &["lease::leases_of_a_holder_are_released_before_and_after_the_deadline"],
        ),
        Mutant::new(
            "a_holder_keeps_its_receipts",
            "A holder that was released may still complete.",
            HolderKeepsReceipts::wrap,
            &["lease::receipts_of_a_released_holder_are_lost"],
        ),
        Mutant::new(
            "a_holder_is_released_from_its_end",
            "The leases of a holder are released by id, the largest first.",
            ReleasesFromTheEnd::wrap,
            &["lease::leases_of_a_holder_are_released_by_id_in_steps"],
        ),
    ]
}
