//! Wrong about commits: checks, steps, all or nothing.

mod atomicity;
mod checks;
mod steps;

use storage_api::*;
use storage_model::{Contents, Partition};

use crate::mutant::Mutant;

pub(crate) fn mutants() -> Vec<Mutant> {
    [atomicity::mutants(), checks::mutants(), steps::mutants()].concat()
}

fn find<'a>(contents: &'a Contents, id: &PartitionId) -> Option<&'a Partition> {
    contents.partitions.iter().find(|one| one.info.id == *id)
}

fn refused(refusal: Refusal) -> Result<CommitOutcome> {
    Ok(CommitOutcome::Refused(refusal))
}

fn error(kind: ErrorKind) -> Result<CommitOutcome> {
    Err(Error::new(
        kind,
        Operation::Commit,
        Object::Backend,
        "the mutant says so",
    ))
}

/// The version of a key, expired or not.
fn version_of(contents: &Contents, namespace: &Namespace, key: &Key) -> Option<Version> {
    let mut entries = contents.metadata.iter();
    let found = entries.find(|one| one.namespace == *namespace && one.entry.key == *key);
    found.map(|one| one.entry.version)
}
