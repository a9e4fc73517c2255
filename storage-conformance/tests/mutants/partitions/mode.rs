//! Wrong about modes.

use storage_api::*;

use super::drivers::*;
use crate::edited::{around, edited, to_tail};
use crate::mutant::Mutant;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        around(
            "draining_partitions_take_produce",
            "A draining partition takes what is produced.",
            &[Operation::Produce],
            |contents| open(contents, Mode::Draining),
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &[
                "partitions::batch_of_duplicates_is_refused_while_draining",
                "partitions::draining_partition_refuses_produce",
            ],
        ),
        around(
            "frozen_partitions_take_produce",
            "A frozen partition takes what is produced.",
            &[Operation::Produce],
            |contents| open(contents, Mode::Frozen),
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &["partitions::frozen_partition_refuses_produce_lease_and_maintain"],
        ),
        around(
            "frozen_partitions_lease",
            "A frozen partition gives items away.",
            &[Operation::Lease],
            |contents| open(contents, Mode::Frozen),
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &["partitions::frozen_partition_refuses_produce_lease_and_maintain"],
        ),
        around(
            "frozen_partitions_maintain",
            "Time goes on in a frozen partition.",
            &[Operation::Maintain],
            |contents| open(contents, Mode::Frozen),
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &["partitions::time_that_passes_while_frozen_is_handled_once_open"],
        ),
        around(
            "modes_do_not_hold_for_commits",
            "A commit produces into a partition that is draining or frozen.",
            &[Operation::Commit],
            |contents| {
                open(contents, Mode::Draining);
                open(contents, Mode::Frozen);
            },
            |scene| scene.partitions(|before, now| now.info.config = before.info.config.clone()),
            &["partitions::commit_that_produces_is_refused_whole_while_draining"],
        ),
        around(
            "draining_partitions_are_frozen",
            "A draining partition refuses lease and maintain.",
            &[Operation::Lease, Operation::Maintain],
            |contents| {
                for partition in &mut contents.partitions {
                    if partition.info.config.mode() == Mode::Draining {
                        partition.info.config =
                            partition.info.config.clone().with_mode(Mode::Frozen);
                    }
                }
            },
            |_| {},
            &["partitions::draining_partition_leases_and_maintains"],
        ),
        Mutant::new(
            "frozen_partitions_keep_their_leases",
            "A frozen partition refuses to complete, extend, release and retry: workers at work fail.",
            FrozenRefusesEnds::wrap,
            &["partitions::frozen_partition_lets_leases_end"],
        ),
        Mutant::new(
            "frozen_partitions_take_no_restore",
            "A frozen partition cannot be moved: it refuses restore, revive and removal.",
            FrozenRefusesMoves::wrap,
            &[
                "partitions::frozen_partition_lets_items_be_revived_removed_and_restored",
                "restore::a_frozen_partition_takes_a_restore",
            ],
        ),
        Mutant::new(
            "duplicates_are_found_while_draining",
            "A draining partition refuses what it would store, and a batch of duplicates stores nothing.",
            DrainingTellsDuplicates::wrap,
            &["partitions::batch_of_duplicates_is_refused_while_draining"],
        ),
        Mutant::new(
            "empty_batches_are_refused_by_mode",
            "The mode is looked at before the batch.",
            ModeBeforeBatch::wrap,
            &["partitions::empty_batch_is_refused_in_no_mode"],
        ),
        edited(
            "freezing_takes_leases_back",
            "A partition that is frozen takes its leases back.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.changed(State::Leased, State::Leased, |partition, index| {
                    if partition.info.config.mode() == Mode::Frozen {
                        to_tail(partition, index);
                    }
                });
            },
            &[
                "partitions::commit_that_completes_goes_on_while_frozen",
                "partitions::frozen_partition_lets_items_be_revived_removed_and_restored",
                "partitions::frozen_partition_lets_leases_end",
            ],
        ),
        edited(
            "time_is_lost_while_frozen",
            "What is due when a partition is opened again was due while it was frozen, and is pushed on.",
            &[Operation::UpdatePartition],
            |scene| {
                scene.partitions(|before, now| {
                    let was_frozen = before.info.config.mode() == Mode::Frozen;
                    for item in &mut now.items {
                        if let (ItemState::Leased { deadline, .. }, true) =
                            (&mut item.state, was_frozen)
                        {
                            *deadline =
                                deadline.saturating_add(std::time::Duration::from_secs(3600));
                        }
                    }
                });
            },
            &["partitions::time_that_passes_while_frozen_is_handled_once_open"],
        ),
    ]
}
