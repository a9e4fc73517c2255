//! Wrong about what is there after a reopening.

use storage_api::*;

use crate::edited::edited;
use crate::mutant::Mutant;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        edited(
            "keys_that_linger_are_lost_at_reopening",
            "Dedup keys are gathered from the items that are there (NATS, issue 3272).",
            &[Operation::Open],
            |scene| scene.partitions(|_, now| now.gone_keys.clear()),
            &[
                "durability::everything_is_as_it_was_after_a_reopening",
                "durability::opening_again_and_again_changes_nothing",
            ],
        ),
        edited(
            "whoever_leased_is_forgotten_at_reopening",
            "Who holds a lease is kept in memory.",
            &[Operation::Open],
            |scene| {
                scene.items(|_, item| {
                    if let ItemState::Leased { holder, .. } = &mut item.state {
                        *holder = None;
                    }
                });
            },
            &["open_close::a_closed_place_can_be_opened_again"],
        ),
        edited(
            "found_partitions_are_configured_anew",
            "A partition that is found again has the configuration of a new one.",
            &[Operation::Open],
            |scene| scene.partitions(|_, now| now.info.config = PartitionConfig::default()),
            &[
                "durability::attempts_are_counted_across_reopenings",
                "durability::each_operation_outlives_a_reopening_by_itself",
            ],
        ),
        edited(
            "an_empty_place_gets_a_partition_at_reopening",
            "What the engine needs for itself is a partition like any other.",
            &[Operation::Open],
            |scene| {
                if scene.after.partitions.is_empty() {
                    let mut model = storage_model::Model::new();
                    let id = PartitionId::new("system", 0).expect("a short name");
                    model
                        .create_partition(&id, PartitionConfig::default())
                        .expect("the name is free");
                    *scene.after = model.contents().clone();
                }
            },
            &["durability::an_empty_place_stays_empty"],
        ),
        edited(
            "each_reopening_counts_an_attempt",
            "Opening releases what was leased, and leases it again.",
            &[Operation::Open],
            |scene| scene.items(|_, item| item.attempts = item.attempts.saturating_add(1)),
            &["durability::attempts_are_counted_across_reopenings"],
        ),
        edited(
            "delays_begin_anew_at_reopening",
            "The log keeps delays and not times: replaying it begins each anew (beanstalkd, issue 62).",
            &[Operation::Open],
            |scene| {
                scene.items(|_, item| {
                    if let ItemState::Leased { deadline, .. } = &mut item.state {
                        *deadline = deadline.saturating_add(std::time::Duration::from_micros(1));
                    }
                });
            },
            &[
                "durability::receipts_are_good_after_a_reopening",
                "durability::times_stay_where_they_were_over_a_reopening",
            ],
        ),
        edited(
            "small_partitions_are_lost_at_reopening",
            "A partition that was never written out is dropped with its log (fjall, issue 112).",
            &[Operation::Open],
            |scene| {
                let most = scene
                    .after
                    .partitions
                    .iter()
                    .map(|one| one.items.len())
                    .max();
                if most > Some(100) {
                    scene.partitions(|_, now| {
                        if now.items.len() < 10 {
                            now.items.clear();
                        }
                    });
                }
            },
            &["durability::uneven_partitions_are_kept_alike"],
        ),
        edited(
            "the_log_has_the_first_deadline",
            "An extension moves the deadline in memory, and the log still has the first.",
            &[Operation::Open],
            |scene| {
                scene.items(|_, item| match &mut item.state {
                    ItemState::Leased { deadline, .. } if deadline.as_micros() == 20 => {
                        *deadline = Timestamp::from_micros(30)
                    }
                    _ => {}
                });
            },
            &["durability::what_is_due_is_known_at_once_after_a_reopening"],
        ),
        edited(
            "positions_begin_anew_at_reopening",
            "The counter of positions is kept in memory: what is new stands in front of what was there.",
            &[Operation::Open],
            |scene| {
                scene.partitions(|_, now| {
                    now.last_position = 0;
                    for item in &mut now.items {
                        if let ItemState::Ready { position } = &mut item.state {
                            *position = Position::new(position.get() + 1000)
                                .expect("far below the largest");
                        }
                    }
                });
            },
            &["durability::order_goes_on_behind_what_was_there"],
        ),
    ]
}
