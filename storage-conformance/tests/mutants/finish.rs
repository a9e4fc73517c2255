//! Wrong about what ends a lease: complete, retry, release, death, revival.

mod attempts;
mod complete;
mod dead;
mod drivers;
mod retry;

use crate::mutant::Mutant;

pub(crate) fn mutants() -> Vec<Mutant> {
    [
        complete::mutants(),
        retry::mutants(),
        attempts::mutants(),
        dead::mutants(),
    ]
    .concat()
}
