//! Wrong in ways that random sequences find, and once found.

use storage_api::*;

use crate::edited::{edited, to_tail};
use crate::mutant::Mutant;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        edited(
            "what_is_released_stands_behind_all",
            "A lease that is given back unused costs the item its place.",
            &[Operation::Release, Operation::ReleaseHolder],
            |scene| scene.changed(State::Leased, State::Ready, to_tail),
            &["corpus::a_release_goes_back_between_its_neighbours"],
        ),
        edited(
            "extensions_are_acknowledged_and_dropped",
            "The deadline of the first lease holds, whatever was extended (LocalStack, issue 12954).",
            &[Operation::Extend],
            |scene| {
                scene.moved(State::Leased, State::Leased, |before, item| {
                    item.state = before.state
                })
            },
            &["corpus::a_holder_who_is_late_may_still_finish"],
        ),
        edited(
            "maintain_drops_the_key_with_the_item",
            "What maintain drops leaves no dedup key, whatever the partition says.",
            &[Operation::Maintain],
            |scene| {
                scene.partitions(|before, now| {
                    now.gone_keys
                        .retain(|key| before.gone_keys.iter().any(|one| one.of == key.of));
                });
            },
            &[
                "corpus::a_key_may_be_due_as_soon_as_it_lingers",
                "model::random_sequences_agree_part_2",
                "model::random_sequences_agree_part_4",
                "model::random_sequences_agree_part_5",
                "model::random_sequences_agree_part_6",
                "model::random_sequences_agree_part_7",
                "model::random_sequences_agree_part_8",
            ],
        ),
        edited(
            "restored_leases_get_another_receipt",
            "A lease that is restored is a new one.",
            &[Operation::Restore],
            |scene| {
                scene.after.last_lease += 1;
                let next = scene.after.last_lease;
                scene.new_items(|item| {
                    if let ItemState::Leased { lease, .. } = &mut item.state {
                        *lease = LeaseId::new(next).expect("far below the largest");
                    }
                });
            },
            &["corpus::a_restored_item_comes_back_under_its_receipt"],
        ),
        edited(
            "every_tenth_item_is_lost",
            "A batch is cut where a page of the engine ends.",
            &[Operation::Produce, Operation::Commit],
            |scene| {
                for partition in &mut scene.after.partitions {
                    partition
                        .items
                        .retain(|item| !item.id.get().is_multiple_of(10));
                }
            },
            &[
                "model::random_sequences_agree_part_1",
                "model::random_sequences_agree_part_3",
            ],
        ),
    ]
}
