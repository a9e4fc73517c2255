//! Wrong about attempts: how they are counted, and when they are used up.

use storage_api::*;

use super::drivers::*;
use crate::edited::{around, edited, rewritten};
use crate::mutant::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
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
