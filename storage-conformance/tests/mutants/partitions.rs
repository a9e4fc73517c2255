//! Wrong about partitions: their life, their names, their statistics, their modes.

mod drivers;
mod life;
mod mode;
mod names;
mod stats;

use crate::mutant::Mutant;

pub(crate) fn mutants() -> Vec<Mutant> {
    [
        life::mutants(),
        names::mutants(),
        stats::mutants(),
        mode::mutants(),
    ]
    .concat()
}
