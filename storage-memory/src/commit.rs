//! Commit: checks, writes and steps that apply at one instant or not at all (clauses META-1 to META-7).

use std::collections::{BTreeMap, BTreeSet};

use storage_api::{
    CommitOutcome, CommitRequest, Committed, Error, ErrorKind, ItemId, Object, Operation,
    PartitionId, Receipt, Refusal, Result, Step, StepFailure, Version, Write,
};

use crate::backend::Opened;
use crate::budget::Budget;
use crate::capacity::Forecast;
use crate::demand::Demand;
use crate::metadata::Metadata;
use crate::partition::Partition;
use crate::produce::CLOSED_TO_PRODUCE;
use crate::sync::MutexGuard;

/// The partitions that a commit names, locked in order of their ids.
type Locked<'a> = BTreeMap<&'a PartitionId, MutexGuard<'a, Partition>>;

impl Opened {
    /// Locks everything that the request names, looks at all of it, and only then changes anything.
    ///
    /// Of several refusals the first of these is given: a mode, a missing partition, a check, a receipt or id, capacity.
    pub(crate) fn commit(&self, request: &CommitRequest) -> Result<CommitOutcome> {
        let (entries, bytes) = size(request);
        self.reclaim_for(entries, bytes);
        let mut metadata = self.metadata.write();
        let mut locked = self.lock(request)?;
        if let Some(refusal) = failed_check(&metadata, request) {
            return Ok(CommitOutcome::Refused(refusal));
        }
        if let Some(refusal) = failed_step(&self.budget, &locked, request)? {
            return Ok(CommitOutcome::Refused(refusal));
        }
        if let Err(error) = self.reserve(&mut metadata, &mut locked, request) {
            locked.values_mut().for_each(|partition| partition.settle());
            return Err(error);
        }
        let version = match request.writes() {
            [] => None,
            _ => Some(self.give_commit_version()?),
        };

        let outlooks: Vec<_> = locked
            .values()
            .map(|partition| partition.outlook())
            .collect();
        let produced = apply_steps(&mut locked, request);
        if let Some(version) = version {
            for write in request.writes() {
                metadata.write(write, version);
            }
        }
        self.settle_metadata(&mut metadata);
        for (partition, before) in locked.values_mut().zip(outlooks) {
            partition.compact_step();
            partition.settle();
            partition.wake_since(before);
        }
        Ok(CommitOutcome::Committed(Committed { version, produced }))
    }

    /// Sets aside what the commit stores. A refusal leaves nothing set aside once the partitions settle.
    fn reserve(
        &self,
        metadata: &mut Metadata,
        locked: &mut Locked<'_>,
        request: &CommitRequest,
    ) -> Result<()> {
        if self.budget.limit().is_none() {
            return Ok(());
        }
        for (id, partition) in locked {
            let batches = request.steps().iter().filter_map(|step| match step {
                Step::Produce { partition, batch } if partition == *id => Some(batch),
                _ => None,
            });
            let demand = Demand::of_batches(batches);
            partition.reserve(Operation::Commit, |_| demand, None)?;
        }
        let growth = metadata.growth_max(request.writes());
        if !self.budget.reserve(growth) {
            return Err(Error::new(
                ErrorKind::CapacityExceeded,
                Operation::Commit,
                Object::Backend,
                self.budget.refuse(growth),
            ));
        }
        metadata.charged += growth;
        Ok(())
    }

    /// Tells the budget what the metadata takes now.
    pub(crate) fn settle_metadata(&self, metadata: &mut Metadata) {
        let charge = metadata.charge();
        self.budget.settle(metadata.charged, charge);
        metadata.charged = charge;
    }

    fn lock<'a>(&'a self, request: &'a CommitRequest) -> Result<Locked<'a>> {
        let names: BTreeSet<_> = request.steps().iter().map(Step::partition).collect();
        let locked: Locked<'_> = names
            .into_iter()
            .filter_map(|id| Some((id, self.partitions.get(id)?.lock())))
            .collect();
        for step in request.steps() {
            if let Step::Produce { partition, batch } = step
                && let Some(partition) = locked.get(partition)
                && !batch.is_empty()
            {
                partition.refuse_in(Operation::Commit, &CLOSED_TO_PRODUCE)?;
            }
        }
        for step in request.steps() {
            if !locked.contains_key(step.partition()) {
                return Err(Error::partition_not_found(
                    Operation::Commit,
                    step.partition(),
                ));
            }
        }
        Ok(locked)
    }

    fn give_commit_version(&self) -> Result<Version> {
        let version = self.versions.give(1);
        version
            .and_then(|version| Version::new(version).ok())
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::CapacityExceeded,
                    Operation::Commit,
                    Object::Backend,
                    "the versions are used up",
                )
            })
    }
}

/// How many entries and items a commit stores, and their bytes.
fn size(request: &CommitRequest) -> (usize, usize) {
    let writes = request.writes().iter().map(|write| match write {
        Write::Put { key, value, .. } => (1, key.len() + value.len()),
        Write::Delete { .. } => (0, 0),
    });
    let steps = request.steps().iter().map(|step| match step {
        Step::Produce { batch, .. } => (batch.len(), batch.buffer().len()),
        Step::Complete { .. } | Step::Delete { .. } => (0, 0),
    });
    let add = |sum: (usize, usize), one: (usize, usize)| (sum.0 + one.0, sum.1 + one.1);
    writes.chain(steps).fold((0, 0), add)
}

fn failed_check(metadata: &Metadata, request: &CommitRequest) -> Option<Refusal> {
    let mut checks = request.checks().iter().enumerate();
    checks.find_map(|(index, check)| {
        let (key, found) = metadata.check(request.now(), check).err()?;
        Some(Refusal::Check { index, key, found })
    })
}

/// The first receipt or id that is not valid, counting as gone what an entry before it removes.
///
/// An item that an earlier step produces has no id yet, so that no entry can name it. What has no room is an error, but
/// only where no receipt or id fails.
fn failed_step(
    budget: &Budget,
    locked: &Locked<'_>,
    request: &CommitRequest,
) -> Result<Option<Refusal>> {
    let mut forecasts: BTreeMap<_, _> = locked
        .iter()
        .map(|(id, partition)| (*id, (Forecast::of(partition), BTreeSet::new())))
        .collect();
    let mut capacity = Ok(());
    for (index, step) in request.steps().iter().enumerate() {
        let Some((forecast, gone)) = forecasts.get_mut(step.partition()) else {
            continue;
        };
        let partition = &*locked[step.partition()];
        let failure = match step {
            Step::Produce { batch, .. } => {
                let room = forecast.produce(Operation::Commit, batch);
                capacity = capacity.and(room);
                None
            }
            Step::Complete { receipts, .. } => first_failure(receipts, |receipt: &Receipt| {
                let slot = living(gone, receipt.item, partition.leased(*receipt))?;
                forecast.complete(&slot);
                Ok(())
            }),
            Step::Delete { ids, .. } => first_failure(ids, |id: &ItemId| {
                let slot = partition.slots.get(id.get());
                let slot = living(gone, *id, slot.ok_or(StepFailure::NotFound))?;
                forecast.delete(slot);
                Ok(())
            }),
        };
        if let Some((entry, found)) = failure {
            return Ok(Some(Refusal::Step {
                index,
                entry,
                found,
            }));
        }
    }
    capacity.map(|()| None).map_err(|full| full.refuse(budget))
}

/// What was found of an item, unless an entry before has removed it; from here on it counts as removed.
fn living<T>(
    gone: &mut BTreeSet<ItemId>,
    id: ItemId,
    found: Result<T, StepFailure>,
) -> Result<T, StepFailure> {
    if gone.contains(&id) {
        return Err(StepFailure::NotFound);
    }
    let found = found?;
    gone.insert(id);
    Ok(found)
}

fn first_failure<T>(
    entries: &[T],
    mut judge: impl FnMut(&T) -> Result<(), StepFailure>,
) -> Option<(usize, StepFailure)> {
    let mut entries = entries.iter().enumerate();
    entries.find_map(|(index, entry)| Some((index, judge(entry).err()?)))
}

/// Applies steps that were all found valid.
fn apply_steps(locked: &mut Locked<'_>, request: &CommitRequest) -> Vec<storage_api::Produced> {
    let mut produced = Vec::new();
    for step in request.steps() {
        let Some(partition) = locked.get_mut(step.partition()) else {
            continue;
        };
        match step {
            Step::Produce { batch, .. } => produced.push(partition.store(batch)),
            Step::Complete { receipts, .. } => {
                receipts
                    .iter()
                    .for_each(|receipt| partition.finish(receipt.item.get()));
            }
            Step::Delete { ids, .. } => ids.iter().for_each(|id| {
                partition.remove(id.get());
            }),
        }
    }
    produced
}
