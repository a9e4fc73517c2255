//! Checks, metadata writes and item steps at one instant or not at all (clauses META-1, META-2, META-5 and META-7).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use storage_api::{
    CommitOutcome, CommitRequest, Committed, Error, ErrorKind, Object, Operation, PartitionId,
    Refusal, Result, Step, StepFailure, Version, Write,
};

use crate::engine::{KvResult, OrderedKv};
use crate::kernel::Kernel;
use crate::metadata::{self, MetadataState};
use crate::numbers::Number;
use crate::partition::{CLOSED_TO_PRODUCE, LockedPartition, Partition, check_mode};
use crate::store::{Level, Rows};
use crate::sync::awaited::RwLockWriteGuard;
use crate::work::{Stop, Work};

/// The partitions of a commit, locked in the order of their ids. What is missing was not there when the locks were taken.
type LockedPartitions = BTreeMap<PartitionId, (Arc<Partition>, LockedPartition)>;

/// What became of one try.
enum Tried {
    Refused(Refusal, u64),
    Applied(Committed, u64),
}

impl<E: OrderedKv> Kernel<E> {
    pub(crate) async fn commit(&self, request: &CommitRequest) -> Result<CommitOutcome> {
        let operation = Operation::Commit;
        let _pass = self.gate.enter(operation)?;
        self.admit(operation).await?;
        let mut metadata = self.metadata_for(request).await;
        let mut partitions = self.lock_all(request).await?;
        check_steps(request, &partitions)?;
        let tried = loop {
            match self.try_commit(request, &mut metadata, &mut partitions) {
                Ok(tried) => break tried?,
                Err(stop) => {
                    let unsynced = self.unsynced(operation, Object::Backend, stop)?;
                    self.synced(operation, unsynced).await?;
                }
            }
        };
        drop(partitions);
        drop(metadata);
        let (outcome, batch) = match tried {
            Tried::Refused(refusal, batch) => (CommitOutcome::Refused(refusal), batch),
            Tried::Applied(committed, batch) => (CommitOutcome::Committed(committed), batch),
        };
        self.settle(operation, batch, Level::Full).await?;
        Ok(outcome)
    }

    /// The metadata, if the commit reads or writes any: items alone do not wait for it.
    async fn metadata_for(
        &self,
        request: &CommitRequest,
    ) -> Option<RwLockWriteGuard<'_, MetadataState>> {
        if request.checks().is_empty() && request.writes().is_empty() {
            return None;
        }
        Some(self.metadata.write().await)
    }

    async fn lock_all(&self, request: &CommitRequest) -> Result<LockedPartitions> {
        let ids: std::collections::BTreeSet<_> =
            request.steps().iter().map(Step::partition).collect();
        let mut locked = LockedPartitions::new();
        // Until all are locked, none comes or goes.
        let _catalog = self.catalog.read().await;
        for id in ids {
            if let Some(partition) = self.find(Operation::Commit, id)? {
                let state = partition.lock(&self.store).await;
                if let Some(state) = state.map_err(self.failed(Operation::Commit))? {
                    locked.insert(id.clone(), (partition, state));
                }
            }
        }
        Ok(locked)
    }

    /// Judges and applies; the outer error begins anew, the inner one is that of a write that failed.
    fn try_commit(
        &self,
        request: &CommitRequest,
        metadata: &mut Option<RwLockWriteGuard<'_, MetadataState>>,
        partitions: &mut LockedPartitions,
    ) -> Result<Result<Tried>, Stop> {
        for (index, check) in request.checks().iter().enumerate() {
            if let Some((key, found)) = metadata::mismatch(&self.store, request.now(), check)? {
                let refusal = Refusal::Check { index, key, found };
                return Ok(Ok(Tried::Refused(refusal, self.store.last_written())));
            }
        }
        let operation = Operation::Commit;
        let mut works: BTreeMap<&PartitionId, Work<'_, E>> = BTreeMap::new();
        for (id, (partition, state)) in partitions.iter_mut() {
            let work = Work::new(&self.store, &self.numbers, operation, partition, state);
            works.insert(id, work);
        }
        if let Some(refusal) = refusal(request, &mut works)? {
            return Ok(Ok(Tried::Refused(refusal, self.store.last_written())));
        }
        reserve(request, &mut works)?;

        let mut committed = Committed::default();
        for step in request.steps() {
            let Some(work) = works.get_mut(step.partition()) else {
                continue;
            };
            match step {
                Step::Produce { batch, .. } => {
                    // In step order: what an earlier step removed has made room.
                    committed.produced.push(work.store_batch(batch)?);
                }
                Step::Complete { receipts, .. } => {
                    for receipt in receipts {
                        work.depart(receipt.item.get())?;
                    }
                }
                Step::Delete { ids, .. } => {
                    for id in ids {
                        work.remove(id.get())?;
                    }
                }
            }
        }
        let mut rows = Rows::default();
        if let Some(metadata) = metadata {
            committed.version = self.write_metadata(request, metadata, &mut rows)?;
        }
        let mut changed = Vec::new();
        for (_, mut work) in works {
            match work.seal()? {
                Some(sealed) => {
                    rows.append(&sealed);
                    changed.push(work);
                }
                None => drop(work.unchanged()),
            }
        }
        Ok(self.write_commit(rows, metadata.as_deref_mut(), changed, committed))
    }

    /// One version for all writes (clause META-2); none for checks alone.
    fn write_metadata(
        &self,
        request: &CommitRequest,
        metadata: &mut MetadataState,
        rows: &mut Rows,
    ) -> Result<Option<Version>, Stop> {
        if request.writes().is_empty() {
            return Ok(None);
        }
        let is_growing = |write: &Write| matches!(write, Write::Put { .. });
        if request.writes().iter().any(is_growing)
            && let Some(shortage) = self.store.shortage()
        {
            let kind = ErrorKind::CapacityExceeded;
            let full = Error::new(kind, Operation::Commit, Object::Backend, shortage);
            return Err(full.into());
        }
        let version = self.numbers.take(&self.store, Number::Version, 1)?;
        let version = Version::new(version).map_err(|_| Stop::UsedUp)?;
        for write in request.writes() {
            metadata::write(&self.store, metadata, write, version, rows)?;
        }
        Ok(Some(version))
    }

    fn write_commit(
        &self,
        rows: Rows,
        metadata: Option<&mut MetadataState>,
        changed: Vec<Work<'_, E>>,
        committed: Committed,
    ) -> Result<Tried> {
        // What was seen and not changed is made durable too, with all that was acknowledged before.
        let batch = match rows.is_empty() {
            true => self.store.last_written(),
            false => {
                let written = self.store.write(rows);
                written.map_err(|error| self.store.unknown(Operation::Commit, error))?
            }
        };
        for work in changed {
            work.written(batch);
        }
        if let Some(metadata) = metadata {
            metadata.batch = batch;
        }
        Ok(Tried::Applied(committed, batch))
    }
}

/// `Unavailable` before `NotFound` (clause ERR-2), and both before anything is looked at.
fn check_steps(request: &CommitRequest, partitions: &LockedPartitions) -> Result<()> {
    let operation = Operation::Commit;
    for step in request.steps() {
        if let Step::Produce { partition, batch } = step
            && !batch.is_empty()
            && let Some((found, _)) = partitions.get(partition)
        {
            let info = found.info();
            check_mode(operation, &info.id, &info.config, CLOSED_TO_PRODUCE)?;
        }
    }
    for step in request.steps() {
        if !partitions.contains_key(step.partition()) {
            return Err(Error::partition_not_found(operation, step.partition()));
        }
    }
    Ok(())
}

/// The first receipt or id that is not valid, judged by the state before the commit, less what earlier entries remove.
fn refusal<E: OrderedKv>(
    request: &CommitRequest,
    works: &mut BTreeMap<&PartitionId, Work<'_, E>>,
) -> KvResult<Option<Refusal>> {
    let mut gone = HashSet::new();
    for (index, step) in request.steps().iter().enumerate() {
        let Some(work) = works.get_mut(step.partition()) else {
            continue;
        };
        let found: Vec<(u64, Result<(), StepFailure>)> = match step {
            Step::Produce { .. } => Vec::new(),
            Step::Complete { receipts, .. } => {
                work.fetch(receipts.iter().map(|receipt| receipt.item.get()))?;
                receipts
                    .iter()
                    .map(|receipt| (receipt.item.get(), work.leased(*receipt)))
                    .collect()
            }
            Step::Delete { ids, .. } => {
                work.fetch(ids.iter().map(|id| id.get()))?;
                ids.iter()
                    .map(|id| {
                        let item = work.item(id.get());
                        (id.get(), item.map(drop).ok_or(StepFailure::NotFound))
                    })
                    .collect()
            }
        };
        for (entry, (id, found)) in found.into_iter().enumerate() {
            let found = match found {
                Ok(()) if gone.insert((step.partition(), id)) => continue,
                Ok(()) => StepFailure::NotFound,
                // A second entry for what is gone finds nothing, whatever its receipt says.
                Err(_) if gone.contains(&(step.partition(), id)) => StepFailure::NotFound,
                Err(failure) => failure,
            };
            return Ok(Some(Refusal::Step {
                index,
                entry,
                found,
            }));
        }
    }
    Ok(None)
}

/// Makes sure that every partition has the numbers for all that is produced into it.
fn reserve<E: OrderedKv>(
    request: &CommitRequest,
    works: &mut BTreeMap<&PartitionId, Work<'_, E>>,
) -> Result<(), Stop> {
    for (id, work) in works {
        let produced = request.steps().iter().filter_map(|step| match step {
            Step::Produce { partition, batch } if partition == *id => Some(batch.len()),
            _ => None,
        });
        let count = produced.sum();
        if count > 0 {
            work.reserve(count, count)?;
        }
    }
    Ok(())
}
