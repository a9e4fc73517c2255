//! Wrong about restoring whole items.

mod drivers;

use storage_api::*;

use self::drivers::*;
use crate::edited::{around, edited, rewritten, to_tail};
use crate::mutant::Mutant;

pub(crate) fn mutants() -> Vec<Mutant> {
    [refusing(), losing(), counting()].concat()
}

fn refusing() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "restore_stores_what_it_can",
            "A restore that is refused leaves those in front of the one that was refused.",
            HalfARestore::wrap,
            &[
                "restore::a_refused_restore_leaves_nothing_behind",
                "restore::what_stands_twice_in_a_batch_is_refused_the_second_time",
            ],
        ),
        Mutant::new(
            "restore_overwrites",
            "An item whose id is taken replaces the one that is there.",
            Overwrites::wrap,
            &[
                "restore::a_refused_restore_leaves_nothing_behind",
                "restore::a_taken_id_is_refused_whatever_state_has_it",
            ],
        ),
        Mutant::new(
            "restore_shares_positions",
            "Nobody looks whether a position is taken.",
            SharesPositions::wrap,
            &["restore::a_position_of_a_ready_or_leased_item_is_taken"],
        ),
        around(
            "restore_does_not_look_at_keys",
            "Nobody looks whether a dedup key is taken.",
            &[Operation::Restore],
            |contents| {
                let items = contents
                    .partitions
                    .iter_mut()
                    .flat_map(|one| &mut one.items);
                items.for_each(|item| {
                    item.record = rewritten(&item.record, |parts| parts.dedup_key = None)
                });
            },
            |scene| scene.items(|before, item| item.record = before.record.clone()),
            &[
                "restore::a_dedup_key_is_taken_whatever_state_has_it",
                "restore::the_first_of_several_refused_items_is_named",
            ],
        ),
        around(
            "restore_does_not_look_at_lingering_keys",
            "A key whose item has gone is free for a restore.",
            &[Operation::Restore],
            |contents| {
                contents
                    .partitions
                    .iter_mut()
                    .for_each(|one| one.gone_keys.clear())
            },
            |scene| scene.partitions(|before, now| now.gone_keys.clone_from(&before.gone_keys)),
            &["restore::a_dedup_key_that_lingers_is_taken_until_it_is_freed"],
        ),
        Mutant::new(
            "restore_names_the_last",
            "The error of a restore names the last item of the batch.",
            NamesTheLast::wrap,
            &["restore::the_first_of_several_refused_items_is_named"],
        ),
        Mutant::new(
            "restore_needs_an_order",
            "A batch that is not ordered by id is refused.",
            NeedsAnOrder::wrap,
            &[
                "listing::ids_are_ordered_as_numbers",
                "restore::a_batch_may_stand_in_any_order",
                "restore::later_numbers_are_greater_than_restored_ones",
            ],
        ),
        Mutant::new(
            "restore_makes_the_partition",
            "A restore into a missing partition makes it.",
            MakesThePartition::wrap,
            &[
                "listing::a_call_for_no_item_is_refused_where_others_are",
                "restore::a_restore_into_a_missing_partition_makes_none",
            ],
        ),
        Mutant::new(
            "ids_of_the_gone_are_taken",
            "An id that was given out cannot be restored, though its item has gone.",
            GoneIsTaken::wrap,
            &["restore::a_restored_item_stands_at_its_position"],
        ),
        Mutant::new(
            "positions_of_the_gone_are_taken",
            "A position that was given out cannot be restored, though its item has left it.",
            LeftIsTaken::wrap,
            &[
                "restore::a_position_that_was_left_is_free",
                "restore::a_restored_item_stands_at_its_position",
            ],
        ),
        Mutant::new(
            "positions_are_taken_in_every_priority",
            "A position is taken whatever the priority of the item that has it.",
            TakenInEvery::wrap,
            &["restore::a_position_is_taken_in_its_priority_alone"],
        ),
        Mutant::new(
            "restored_keys_are_of_the_backend",
            "A key is taken for a restore if another partition has it.",
            KeysOfTheBackend::wrap,
            &[
                "restore::a_dedup_key_is_taken_in_its_partition_alone",
                "restore::restored_items_survive_reopening",
            ],
        ),
        Mutant::new(
            "restore_does_not_look_into_its_batch",
            "Items of a batch are compared with what is there, not with one another.",
            TakesTwins::wrap,
            &[
                "restore::a_dedup_key_is_taken_whatever_state_has_it",
                "restore::a_dedup_key_that_lingers_is_taken_until_it_is_freed",
                "restore::what_stands_twice_in_a_batch_is_refused_the_second_time",
            ],
        ),
    ]
}

fn losing() -> Vec<Mutant> {
    vec![
        edited(
            "restored_items_are_ready",
            "A restored item is ready, whatever it was.",
            &[Operation::Restore],
            |scene| scene.new_in(to_tail),
            &["restore::a_frozen_partition_takes_a_restore"],
        ),
        edited(
            "restored_items_go_to_the_tail",
            "A restored item that is ready stands behind all others.",
            &[Operation::Restore],
            |scene| {
                scene.new_in(|partition, index| {
                    if partition.items[index].state() == State::Ready {
                        to_tail(partition, index);
                    }
                });
            },
            &[
                "listing::positions_are_ordered_as_numbers",
                "restore::a_batch_may_stand_in_any_order",
                "restore::a_frozen_partition_takes_a_restore",
                "restore::a_position_is_taken_in_its_priority_alone",
            ],
        ),
        edited(
            "restored_items_have_no_attempts",
            "Attempts are not restored.",
            &[Operation::Restore],
            |scene| scene.new_items(|item| item.attempts = 0),
            &[
                "restore::a_restored_lease_gives_its_place_and_attempt_back",
                "restore::a_restored_lease_is_taken_back_after_its_deadline",
            ],
        ),
        edited(
            "restored_attempts_are_small",
            "Attempts are restored into sixteen bits.",
            &[Operation::Restore],
            |scene| scene.new_items(|item| item.attempts &= 0xffff),
            &[
                "lease::attempts_end_at_the_largest",
                "restore::the_smallest_and_largest_attempts_neither_wrap_nor_panic",
            ],
        ),
        edited(
            "restored_items_have_no_note",
            "Notes are not restored.",
            &[Operation::Restore],
            |scene| scene.new_items(|item| item.note = None),
            &[
                "restore::a_restored_dead_item_is_revived",
                "restore::items_of_every_state_are_restored_after_their_deletion",
                "restore::items_of_every_state_move_to_another_partition",
            ],
        ),
        edited(
            "restored_items_were_never_revived",
            "That an item was revived is not restored.",
            &[Operation::Restore],
            |scene| scene.new_items(|item| item.is_revived = false),
            &["restore::a_restored_item_that_was_revived_does_not_expire"],
        ),
        edited(
            "restored_leases_have_no_holder",
            "Holders are not restored.",
            &[Operation::Restore],
            |scene| {
                scene.new_items(|item| {
                    if let ItemState::Leased { holder, .. } = &mut item.state {
                        *holder = None;
                    }
                });
            },
            &["restore::a_restored_lease_is_valid"],
        ),
        edited(
            "restored_leases_are_new",
            "A restored lease has a number of its own: its receipt is lost.",
            &[Operation::Restore],
            |scene| {
                let last = scene.after.last_lease;
                scene.new_items(|item| {
                    if let (ItemState::Leased { lease, .. }, Ok(new)) =
                        (&mut item.state, LeaseId::new(last + 1))
                    {
                        *lease = new;
                    }
                });
            },
            &["restore::a_restored_lease_is_valid"],
        ),
        edited(
            "restored_leases_have_no_deadline",
            "The deadline of a restored lease is not looked at any more.",
            &[Operation::Restore],
            |scene| {
                scene.new_items(|item| {
                    if let ItemState::Leased { deadline, .. } = &mut item.state {
                        *deadline = Timestamp::MAX;
                    }
                });
            },
            &[
                "restore::a_restored_lease_is_taken_back_after_its_deadline",
                "restore::what_is_long_due_is_restored_as_it_is",
            ],
        ),
        edited(
            "restored_schedules_are_forgotten",
            "A restored scheduled item is not waited for.",
            &[Operation::Restore],
            |scene| {
                scene.new_items(|item| {
                    if let ItemState::Scheduled { enqueue_at } = &mut item.state {
                        *enqueue_at = Timestamp::MAX;
                    }
                });
            },
            &["restore::a_restored_scheduled_item_becomes_ready_when_due"],
        ),
        edited(
            "restored_items_have_no_key",
            "The dedup key of a restored item is not taken.",
            &[Operation::Restore],
            |scene| {
                scene.new_items(|item| {
                    item.record = rewritten(&item.record, |parts| parts.dedup_key = None)
                });
            },
            &["restore::a_restored_item_holds_its_dedup_key"],
        ),
        edited(
            "restored_deaths_are_rejections",
            "The reason of death is not restored.",
            &[Operation::Restore],
            |scene| {
                scene.new_items(|item| {
                    if let ItemState::Dead { reason, .. } = &mut item.state {
                        *reason = DeadReason::Rejected;
                    }
                });
            },
            &[
                "restore::items_of_every_state_are_restored_after_their_deletion",
                "restore::items_of_every_state_move_to_another_partition",
                "restore::the_smallest_and_largest_times_come_back",
            ],
        ),
        edited(
            "restore_maintains",
            "What is long due is handled as it is restored.",
            &[Operation::Restore],
            |scene| {
                scene.new_in(|partition, index| {
                    let item = &partition.items[index];
                    let is_past = item.due_at().is_some_and(|at| at <= Timestamp::EPOCH);
                    if is_past && item.state() != State::Ready {
                        to_tail(partition, index);
                    }
                });
            },
            &[
                "restore::the_smallest_and_largest_times_come_back",
                "restore::what_is_long_due_is_restored_as_it_is",
            ],
        ),
        Mutant::new(
            "restored_items_are_lost_at_reopening",
            "A restore is not in the log.",
            LostAtReopening::wrap,
            &["restore::restored_items_survive_reopening"],
        ),
    ]
}

fn counting() -> Vec<Mutant> {
    vec![
        edited(
            "restored_ids_are_given_again",
            "Ids are counted from where they were, whatever was restored.",
            &[Operation::Restore],
            |scene| scene.partitions(|before, now| now.last_id = before.last_id),
            &[
                "restore::later_numbers_are_greater_than_restored_ones",
                "restore::later_numbers_are_greater_than_the_floors",
            ],
        ),
        edited(
            "restored_positions_are_given_again",
            "Positions are counted from where they were, whatever was restored.",
            &[Operation::Restore],
            |scene| scene.partitions(|before, now| now.last_position = before.last_position),
            &["restore::a_restored_item_retried_stands_behind_all"],
        ),
        edited(
            "restored_leases_are_given_again",
            "Leases are counted from where they were, whatever was restored.",
            &[Operation::Restore],
            |scene| scene.after.last_lease = scene.before.last_lease,
            &[
                "restore::later_numbers_are_greater_than_the_floors",
                "restore::leases_of_other_partitions_are_greater_than_restored_ones",
            ],
        ),
        edited(
            "floors_of_versions_are_ignored",
            "Versions are counted from where they were, whatever floor came along.",
            &[Operation::Restore],
            |scene| scene.after.last_version = scene.before.last_version,
            &[
                "restore::a_floor_of_versions_holds_for_partitions_and_metadata",
                "restore::floors_hold_without_an_item",
                "restore::floors_survive_reopening",
                "restore::low_floors_and_numbers_lower_nothing",
            ],
        ),
        Mutant::new(
            "floors_need_an_item",
            "The floors of a restore without items are not looked at.",
            FloorsNeedItems::wrap,
            &["restore::floors_hold_without_an_item"],
        ),
        Mutant::new(
            "low_floors_lower",
            "A floor sets the count, also to less.",
            FloorsLower::wrap,
            &["restore::low_floors_and_numbers_lower_nothing"],
        ),
        edited(
            "floors_are_lost_at_reopening",
            "Floors are kept in memory: counting goes on behind what is there.",
            &[Operation::Open],
            |scene| {
                scene.partitions(|_, now| {
                    now.last_id = now.items.last().map_or(0, |item| item.id.get());
                    let positions = now.items.iter().filter_map(|item| item.state.position());
                    now.last_position = positions.max().map_or(0, Position::get);
                });
            },
            &["restore::floors_survive_reopening"],
        ),
        Mutant::new(
            "leases_are_restored_for_their_partition",
            "A restored lease raises the count of its own partition and of no other.",
            LeasesOfThePartition::wrap,
            &["restore::leases_of_other_partitions_are_greater_than_restored_ones"],
        ),
    ]
}
