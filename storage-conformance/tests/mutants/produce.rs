//! Wrong about what comes in: ids, order, records, dedup keys.

use storage_api::*;

use crate::edited::{edited, rewritten};
use crate::mutant::Mutant;

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![edited(
        "produce_takes_created_at_from_nowhere",
        "The time of a produce is not stored.",
        &[Operation::Produce],
        |scene| {
            scene.new_items(|item| {
                item.record = rewritten(&item.record, Timestamp::EPOCH, |new| new)
            })
        },
        &[],
    )]
}
