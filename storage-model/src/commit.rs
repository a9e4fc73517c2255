//! Checks, metadata writes and item steps at one instant or not at all (clauses META-1, META-2, META-5 and META-7).

use std::collections::HashSet;

use storage_api::{
    Check, CommitOutcome, CommitRequest, Committed, Key, MetadataEntry, Operation, Refusal, Result,
    Step, StepFailure, Timestamp, Version, Write,
};

use crate::model::{Contents, Model};

impl Model {
    /// Applies all of a request or nothing of it (clause META-1).
    pub fn commit(&mut self, request: CommitRequest) -> Result<CommitOutcome> {
        let operation = Operation::Commit;
        self.check_open(operation)?;
        // ERR-2: Unavailable before NotFound; both before anything is looked at.
        for step in request.steps() {
            if let Step::Produce { partition, batch } = step
                && !batch.is_empty()
                && let Ok(partition) = self.find(operation, partition)
            {
                partition.check_produces(operation)?;
            }
        }
        for step in request.steps() {
            self.find(operation, step.partition())?;
        }
        if let Some(refusal) = self.contents.refusal(&request)? {
            return Ok(CommitOutcome::Refused(refusal));
        }

        // Applied to a copy, which takes the place of the original only if there was room for every step.
        let mut after = self.contents.clone();
        let committed = after.apply(&request)?;
        self.contents = after;
        Ok(CommitOutcome::Committed(committed))
    }
}

impl Contents {
    /// The first check or step, in input order, that fails (clause META-1).
    fn refusal(&mut self, request: &CommitRequest) -> Result<Option<Refusal>> {
        for (index, check) in request.checks().iter().enumerate() {
            if let Some((key, found)) = self.mismatch(request.now(), check) {
                return Ok(Some(Refusal::Check { index, key, found }));
            }
        }
        // Judged against the state before the commit; what an earlier entry removes counts as gone.
        let mut gone = HashSet::new();
        for (index, step) in request.steps().iter().enumerate() {
            let partition = self.find_mut(Operation::Commit, step.partition())?;
            let entries: Vec<_> = match step {
                Step::Produce { .. } => Vec::new(),
                Step::Complete { receipts, .. } => receipts
                    .iter()
                    .map(|receipt| (receipt.item, partition.leased(*receipt)))
                    .collect(),
                Step::Delete { ids, .. } => ids
                    .iter()
                    .map(|id| (*id, partition.index_of(*id).ok_or(StepFailure::NotFound)))
                    .collect(),
            };
            for (entry, (item, found)) in entries.into_iter().enumerate() {
                let found = match found {
                    Ok(_) if gone.insert((step.partition(), item)) => continue,
                    Ok(_) => StepFailure::NotFound,
                    // A second entry for what is gone finds nothing, whatever its receipt says.
                    Err(_) if gone.contains(&(step.partition(), item)) => StepFailure::NotFound,
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

    /// META-5: the key that is not as a check says, and the version found there. META-4: expired entries are absent.
    fn mismatch(&self, now: Timestamp, check: &Check) -> Option<(Key, Option<Version>)> {
        match check {
            Check::Absent { namespace, key } => {
                let found = self.entry(now, namespace, key)?;
                Some((key.clone(), Some(found.version)))
            }
            Check::Version {
                namespace,
                key,
                version,
            } => {
                let found = self.entry(now, namespace, key).map(|entry| entry.version);
                (found != Some(*version)).then(|| (key.clone(), found))
            }
            Check::Range {
                namespace,
                range,
                seen,
            } => {
                let found: Vec<_> = self
                    .entries(now, namespace)
                    .filter(|entry| range.contains(&entry.key))
                    .map(|entry| (entry.key.clone(), entry.version))
                    .collect();
                let only_found = found.iter().filter(|pair| !seen.contains(pair));
                let only_seen = seen.iter().filter(|pair| !found.contains(pair));
                let key = only_found.chain(only_seen).map(|(key, _)| key).min()?;
                let version = found.iter().find(|(other, _)| other == key);
                Some((key.clone(), version.map(|(_, version)| *version)))
            }
        }
    }

    fn apply(&mut self, request: &CommitRequest) -> Result<Committed> {
        let mut committed = Committed::default();
        for step in request.steps() {
            let partition = self.find_mut(Operation::Commit, step.partition())?;
            match step {
                Step::Produce { batch, .. } => {
                    // LIMIT-2 in step order: what an earlier step removed has made room. A duplicate is no failure.
                    let produced = partition.produce(Operation::Commit, batch)?;
                    committed.produced.push(produced);
                }
                Step::Complete { receipts, .. } => {
                    for receipt in receipts {
                        partition.complete(*receipt);
                    }
                }
                Step::Delete { ids, .. } => {
                    for id in ids {
                        partition.delete(*id);
                    }
                }
            }
        }
        // META-2: one version for all writes; META-5: none for checks alone.
        if !request.writes().is_empty() {
            let version = self.next_version();
            committed.version = Some(version);
            for write in request.writes() {
                self.write(write, version);
            }
        }
        Ok(committed)
    }

    fn write(&mut self, write: &Write, version: Version) {
        match write {
            Write::Put {
                namespace,
                key,
                value,
                expires_at,
            } => {
                let entry = MetadataEntry {
                    key: key.clone(),
                    value: value.clone(),
                    version,
                    expires_at: *expires_at,
                };
                self.set_entry(namespace, entry);
            }
            Write::Delete { namespace, key } => self.remove_entry(namespace, key),
        }
    }
}
