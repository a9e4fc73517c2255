//! Wrong about the dead: how items die, and how they are revived.

use storage_api::*;

use super::drivers::*;
use crate::edited::{attempts_max, edited, insert, to_tail};
use crate::mutant::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    [dying(), reviving()].concat()
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
