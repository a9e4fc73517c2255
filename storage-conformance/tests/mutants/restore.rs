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
            &[],
        ),
        Mutant::new(
            "restore_overwrites",
            "An item whose id is taken replaces the one that is there.",
            Overwrites::wrap,
            &[],
        ),
        Mutant::new(
            "restore_shares_positions",
            "Nobody looks whether a position is taken.",
            SharesPositions::wrap,
            &[],
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
            &[],
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
            &[],
        ),
        Mutant::new(
            "restore_names_the_last",
            "The error of a restore names the last item of the batch.",
            NamesTheLast::wrap,
            &[],
        ),
        Mutant::new(
            "restore_needs_an_order",
            "A batch that is not ordered by id is refused.",
            NeedsAnOrder::wrap,
            &[],
        ),
        Mutant::new(
            "restore_makes_the_partition",
            "A restore into a missing partition makes it.",
            MakesThePartition::wrap,
            &[],
        ),
        Mutant::new(
            "ids_of_the_gone_are_taken",
            "An id that was given out cannot be restored, though its item has gone.",
            GoneIsTaken::wrap,
            &[],
        ),
        Mutant::new(
            "positions_of_the_gone_are_taken",
            "A position that was given out cannot be restored, though its item has left it.",
            LeftIsTaken::wrap,
            &[],
        ),
        Mutant::new(
            "positions_are_taken_in_every_priority",
            "A position is taken whatever the priority of the item that has it.",
            TakenInEvery::wrap,
            &[],
        ),
        Mutant::new(
            "restored_keys_are_of_the_backend",
            "A key is taken for a restore if another partition has it.",
            KeysOfTheBackend::wrap,
            &[],
        ),
        Mutant::new(
            "restore_does_not_look_into_its_batch",
            "Items of a batch are compared with what is there, not with one another.",
            TakesTwins::wrap,
            &[],
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
            &[],
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
            &[],
        ),
        edited(
            "restored_items_have_no_attempts",
            "Attempts are not restored.",
            &[Operation::Restore],
            |scene| scene.new_items(|item| item.attempts = 0),
            &[],
        ),
        edited(
            "restored_attempts_are_small",
            "Attempts are restored into sixteen bits.",
            &[Operation::Restore],
            |scene| scene.new_items(|item| item.attempts &= 0xffff),
            &[],
        ),
        edited(
            "restored_items_have_no_note",
            "Notes are not restored.",
            &[Operation::Restore],
            |scene| scene.new_items(|item| item.note = None),
            &[],
        ),
        edited(
            "restored_items_were_never_revived",
            "That an item was revived is not restored.",
            &[Operation::Restore],
            |scene| scene.new_items(|item| item.is_revived = false),
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
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
            &[],
        ),
        Mutant::new(
            "restored_items_are_lost_at_reopening",
            "A restore is not in the log.",
            LostAtReopening::wrap,
            &[],
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
            &[],
        ),
        edited(
            "restored_positions_are_given_again",
            "Positions are counted from where they were, whatever was restored.",
            &[Operation::Restore],
            |scene| scene.partitions(|before, now| now.last_position = before.last_position),
            &[],
        ),
        edited(
            "restored_leases_are_given_again",
            "Leases are counted from where they were, whatever was restored.",
            &[Operation::Restore],
            |scene| scene.after.last_lease = scene.before.last_lease,
            &[],
        ),
        edited(
            "floors_of_versions_are_ignored",
            "Versions are counted from where they were, whatever floor came along.",
            &[Operation::Restore],
            |scene| scene.after.last_version = scene.before.last_version,
            &[],
        ),
        Mutant::new(
            "floors_need_an_item",
            "The floors of a restore without items are not looked at.",
            FloorsNeedItems::wrap,
            &[],
        ),
        Mutant::new(
            "low_floors_lower",
            "A floor sets the count, also to less.",
            FloorsLower::wrap,
            &[],
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
            &[],
        ),
        Mutant::new(
            "leases_are_restored_for_their_partition",
            "A restored lease raises the count of its own partition and of no other.",
            LeasesOfThePartition::wrap,
            &[],
        ),
    ]
}
