//! One entry of the journal: an operation with its arguments.
//!
//! The model is deterministic, so that calling it again with the same arguments gives the same state. What an operation
//! answers is not written, and neither is an operation that changed nothing.

use storage_api::limits::NUMBER_MAX;
use storage_api::{PartitionId, Result};
use storage_model::{Contents, Model};

use crate::codec::{Field, Input};

/// Which operation an entry is. The numbers are part of the format: none is ever used for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    CreatePartition = 1,
    UpdatePartition = 2,
    DeletePartition = 3,
    Maintain = 4,
    Produce = 5,
    Lease = 6,
    Extend = 7,
    Release = 8,
    ReleaseHolder = 9,
    Complete = 10,
    Retry = 11,
    Revive = 12,
    DeleteItems = 13,
    Clear = 14,
    Restore = 15,
    Purge = 16,
    Commit = 17,
    /// The whole state: the first entry of every journal.
    Snapshot = 18,
    /// The journal was closed. It changes nothing, but shows that all before it had reached the disk.
    Close = 19,
    /// What follows is acknowledged before it reaches the disk: a loss of power may take numbers that somebody was shown.
    Loose = 20,
    /// Numbers that such a loss may have taken are passed over (clauses ITEM-2, LEASE-2 and META-2).
    Skip = 21,
}

impl Kind {
    const ALL: [Self; 21] = [
        Self::CreatePartition,
        Self::UpdatePartition,
        Self::DeletePartition,
        Self::Maintain,
        Self::Produce,
        Self::Lease,
        Self::Extend,
        Self::Release,
        Self::ReleaseHolder,
        Self::Complete,
        Self::Retry,
        Self::Revive,
        Self::DeleteItems,
        Self::Clear,
        Self::Restore,
        Self::Purge,
        Self::Commit,
        Self::Snapshot,
        Self::Close,
        Self::Loose,
        Self::Skip,
    ];

    /// Whether the operation can take room that it does not give back (clause LIMIT-2).
    pub(crate) fn can_grow(self) -> bool {
        matches!(
            self,
            Self::CreatePartition | Self::Produce | Self::Restore | Self::Commit
        )
    }

    /// Whether numbers that are given behind the operation can be far above those that were given before it.
    pub(crate) fn can_leap(self) -> bool {
        matches!(self, Self::DeletePartition | Self::Restore)
    }
}

/// An entry that is to be written.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
    /// Whose watchers are woken.
    pub(crate) partitions: Vec<PartitionId>,
}

impl Entry {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            bytes: vec![kind as u8],
            partitions: Vec::new(),
        }
    }

    /// An operation on one partition.
    pub(crate) fn on(kind: Kind, partition: &PartitionId) -> Self {
        let mut entry = Self::new(kind).with(partition);
        entry.partitions.push(partition.clone());
        entry
    }

    /// Appends an argument, in the order in which [`replay`] hands them to the model.
    pub(crate) fn with(mut self, argument: &impl Field) -> Self {
        argument.write(&mut self.bytes);
        self
    }
}

/// The entry behind which nothing waits for the disk.
pub(crate) fn loose() -> Vec<u8> {
    Entry::new(Kind::Loose).bytes
}

/// The entry that passes over so many numbers of each count.
pub(crate) fn skip(numbers: u64) -> Vec<u8> {
    Entry::new(Kind::Skip).with(&numbers).bytes
}

/// Whether a loss of power may take what follows the entry, although it was acknowledged; `None` where that is as before.
pub(crate) fn loosens(bytes: &[u8]) -> Option<bool> {
    match *bytes.first()? {
        kind if kind == Kind::Loose as u8 => Some(true),
        kind if kind == Kind::Close as u8 || kind == Kind::Skip as u8 => Some(false),
        _ => None,
    }
}

/// The entry that holds the whole state.
pub(crate) fn snapshot(contents: &Contents) -> Vec<u8> {
    Entry::new(Kind::Snapshot).with(contents).bytes
}

/// Applies an entry to the state that the entries before it made. `None` where the bytes are no entry; an error where the
/// model refuses what it did not refuse then.
pub(crate) fn replay(bytes: &[u8], model: &mut Model) -> Option<Result<()>> {
    let mut input = Input::new(bytes);
    let number: u8 = input.take()?;
    let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == number)?;
    let applied = apply(kind, &mut input, model)?;
    input.is_empty().then_some(applied)
}

fn apply(kind: Kind, input: &mut Input<'_>, model: &mut Model) -> Option<Result<()>> {
    let i = input;
    Some(match kind {
        Kind::CreatePartition => model.create_partition(&i.take()?, i.take()?).map(drop),
        Kind::UpdatePartition => model
            .update_partition(&i.take()?, i.take()?, i.take()?)
            .map(drop),
        Kind::DeletePartition => model.delete_partition(&i.take()?),
        Kind::Maintain => model.maintain(&i.take()?, i.take()?, i.take()?).map(drop),
        Kind::Produce => model.produce(&i.take()?, i.take()?).map(drop),
        Kind::Lease => model.lease(&i.take()?, i.take()?).map(drop),
        Kind::Extend => model.extend(&i.take()?, i.take()?, i.take()?).map(drop),
        Kind::Release => model.release(&i.take()?, i.take()?).map(drop),
        Kind::ReleaseHolder => model
            .release_holder(&i.take()?, i.take()?, i.take()?)
            .map(drop),
        Kind::Complete => model.complete(&i.take()?, i.take()?).map(drop),
        Kind::Retry => model.retry(&i.take()?, i.take()?, i.take()?).map(drop),
        Kind::Revive => model.revive(&i.take()?, i.take()?).map(drop),
        Kind::DeleteItems => model.delete_items(&i.take()?, i.take()?).map(drop),
        Kind::Clear => model.clear(&i.take()?, i.take()?, i.take()?).map(drop),
        Kind::Restore => model.restore(&i.take()?, i.take()?, i.take()?),
        Kind::Purge => model.purge(i.take()?, i.take()?).map(drop),
        Kind::Commit => model.commit(i.take()?).map(drop),
        Kind::Snapshot => {
            *model = Model::of(i.take()?);
            Ok(())
        }
        Kind::Close | Kind::Loose => Ok(()),
        Kind::Skip => {
            pass_over(i.take()?, model);
            Ok(())
        }
    })
}

/// Gives none of the next so many numbers of each count.
pub(crate) fn pass_over(numbers: u64, model: &mut Model) {
    let pass = |last: &mut u64| *last = last.saturating_add(numbers).min(NUMBER_MAX);
    let mut contents = std::mem::take(model).into_contents();
    pass(&mut contents.last_lease);
    pass(&mut contents.last_version);
    // A partition that was lost is made again above the ids that it gave.
    pass(&mut contents.deleted_number);
    for partition in &mut contents.partitions {
        pass(&mut partition.last_id);
    }
    *model = Model::of(contents);
}
