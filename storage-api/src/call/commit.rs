//! Commits: checks, metadata writes and item steps that apply at one instant or not at all (clauses META-1 to META-7).

use super::bounded::{ItemIds, Receipts};
use super::metadata::KeyRange;
use super::outcome::Produced;
use crate::error::{Error, Result};
use crate::item::{ItemBatch, SealedBatch};
use crate::limits::{BATCH_BYTES_MAX, BATCH_ITEMS_MAX};
use crate::names::{Key, Namespace, PartitionId, Value, check_len};
use crate::numbers::Version;
use crate::time::Timestamp;

/// A condition on the metadata (clause META-5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// The key has no entry.
    Absent {
        /// The namespace.
        namespace: Namespace,
        /// The key.
        key: Key,
    },
    /// The key's entry has that version.
    Version {
        /// The namespace.
        namespace: Namespace,
        /// The key.
        key: Key,
        /// The version.
        version: Version,
    },
    /// The range has exactly those keys at those versions.
    Range {
        /// The namespace.
        namespace: Namespace,
        /// The keys.
        range: KeyRange,
        /// What was seen, by key.
        seen: Vec<(Key, Version)>,
    },
}

/// A write to the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets an entry.
    Put {
        /// The namespace.
        namespace: Namespace,
        /// The key.
        key: Key,
        /// The value.
        value: Value,
        /// From when on the entry is absent.
        expires_at: Option<Timestamp>,
    },
    /// Removes an entry; legal where there is none (clause META-7).
    Delete {
        /// The namespace.
        namespace: Namespace,
        /// The key.
        key: Key,
    },
}

impl Write {
    /// What is written to.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let (namespace, key) = (Namespace::new("users")?, Key::try_from("ann")?);
    /// # let mut request = CommitRequest::new(Timestamp::EPOCH);
    /// request.delete(&namespace, &key)?;
    /// assert_eq!(request.writes()[0].target(), (&namespace, &key));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn target(&self) -> (&Namespace, &Key) {
        match self {
            Self::Put { namespace, key, .. } | Self::Delete { namespace, key } => (namespace, key),
        }
    }
}

/// A step on the items of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Produces a batch.
    Produce {
        /// The partition.
        partition: PartitionId,
        /// The batch; its `now` is that of the commit.
        batch: SealedBatch,
    },
    /// Completes leases; every one must be valid.
    Complete {
        /// The partition.
        partition: PartitionId,
        /// The receipts.
        receipts: Receipts,
    },
    /// Deletes items; every one must exist.
    Delete {
        /// The partition.
        partition: PartitionId,
        /// The ids.
        ids: ItemIds,
    },
}

impl Step {
    /// The partition of the step.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let (namespace, key) = (Namespace::new("users")?, Key::try_from("ann")?);
    /// # let mut request = CommitRequest::new(Timestamp::EPOCH);
    /// # let partition = PartitionId::new("emails", 0)?;
    /// request.complete(&partition, Receipts::default())?;
    /// assert_eq!(request.steps()[0].partition(), &partition);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn partition(&self) -> &PartitionId {
        match self {
            Self::Produce { partition, .. }
            | Self::Complete { partition, .. }
            | Self::Delete { partition, .. } => partition,
        }
    }
}

/// What `commit` is asked for: at most 10 000 checks (entries of ranges included), writes, items, receipts and ids
/// together, and 32 MiB of keys, values and payloads.
///
/// Every method that adds is `InvalidArgument` beyond that, and leaves the request as it was.
///
/// ```
/// use storage_api::{CommitRequest, Key, Namespace, Timestamp, Value};
///
/// let (namespace, key) = (Namespace::new("cursors")?, Key::try_from("input")?);
/// let mut request = CommitRequest::new(Timestamp::EPOCH);
/// request.check_absent(&namespace, &key)?;
/// request.put(&namespace, &key, Value::try_from("42")?, None)?;
/// assert!(request.delete(&namespace, &key).is_err(), "two writes to one key (clause META-7)");
/// # Ok::<(), storage_api::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRequest {
    now: Timestamp,
    checks: Vec<Check>,
    writes: Vec<Write>,
    steps: Vec<Step>,
    written: std::collections::HashSet<(Namespace, Key)>,
    entries: usize,
    bytes: usize,
}

impl CommitRequest {
    /// A commit of nothing, at that time.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(CommitRequest::new(Timestamp::EPOCH).writes().is_empty());
    /// ```
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            checks: Vec::new(),
            writes: Vec::new(),
            steps: Vec::new(),
            written: std::collections::HashSet::new(),
            entries: 0,
            bytes: 0,
        }
    }

    /// Holds if the key has no entry.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let (namespace, key) = (Namespace::new("users")?, Key::try_from("ann")?);
    /// # let mut request = CommitRequest::new(Timestamp::EPOCH);
    /// request.check_absent(&namespace, &key)?;
    /// assert!(matches!(request.checks(), [Check::Absent { .. }]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn check_absent(&mut self, namespace: &Namespace, key: &Key) -> Result<()> {
        self.count(1, key.len())?;
        self.checks.push(Check::Absent {
            namespace: namespace.clone(),
            key: key.clone(),
        });
        Ok(())
    }

    /// Holds if the key's entry has that version.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let (namespace, key) = (Namespace::new("users")?, Key::try_from("ann")?);
    /// # let mut request = CommitRequest::new(Timestamp::EPOCH);
    /// request.check_version(&namespace, &key, Version::MIN)?;
    /// assert!(matches!(request.checks(), [Check::Version { .. }]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn check_version(
        &mut self,
        namespace: &Namespace,
        key: &Key,
        version: Version,
    ) -> Result<()> {
        self.count(1, key.len())?;
        self.checks.push(Check::Version {
            namespace: namespace.clone(),
            key: key.clone(),
            version,
        });
        Ok(())
    }

    /// Holds if the range has exactly those keys at those versions.
    ///
    /// A key outside of the range, or one given twice, is `InvalidArgument`: such a check could never hold.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let (namespace, key) = (Namespace::new("users")?, Key::try_from("ann")?);
    /// # let mut request = CommitRequest::new(Timestamp::EPOCH);
    /// let range = KeyRange::prefix("a")?;
    /// request.check_range(&namespace, range.clone(), vec![(key, Version::MIN)])?;
    /// let outside = vec![(Key::try_from("bob")?, Version::MIN)];
    /// assert!(request.check_range(&namespace, range, outside).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn check_range(
        &mut self,
        namespace: &Namespace,
        range: KeyRange,
        mut seen: Vec<(Key, Version)>,
    ) -> Result<()> {
        seen.sort();
        let is_twice = seen.windows(2).any(|pair| pair[0].0 == pair[1].0);
        if is_twice || seen.iter().any(|(key, _)| !range.contains(key)) {
            return Err(Error::invalid(
                "range check",
                "a key seen is given twice or lies outside of the range",
            ));
        }
        let bytes = seen.iter().map(|(key, _)| key.len()).sum();
        self.count(1 + seen.len(), bytes)?;
        self.checks.push(Check::Range {
            namespace: namespace.clone(),
            range,
            seen,
        });
        Ok(())
    }

    /// Sets an entry. A second write to the same key is `InvalidArgument` (clause META-7).
    ///
    /// ```
    /// # use storage_api::*;
    /// # let (namespace, key) = (Namespace::new("users")?, Key::try_from("ann")?);
    /// # let mut request = CommitRequest::new(Timestamp::EPOCH);
    /// request.put(&namespace, &key, Value::try_from("{}")?, Some(Timestamp::MAX))?;
    /// assert!(request.put(&namespace, &key, Value::try_from("{}")?, None).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn put(
        &mut self,
        namespace: &Namespace,
        key: &Key,
        value: Value,
        expires_at: Option<Timestamp>,
    ) -> Result<()> {
        self.write(Write::Put {
            namespace: namespace.clone(),
            key: key.clone(),
            value,
            expires_at,
        })
    }

    /// Removes an entry. A second write to the same key is `InvalidArgument` (clause META-7).
    ///
    /// ```
    /// # use storage_api::*;
    /// # let (namespace, key) = (Namespace::new("users")?, Key::try_from("ann")?);
    /// # let mut request = CommitRequest::new(Timestamp::EPOCH);
    /// request.delete(&namespace, &key)?;
    /// assert!(matches!(request.writes(), [Write::Delete { .. }]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn delete(&mut self, namespace: &Namespace, key: &Key) -> Result<()> {
        self.write(Write::Delete {
            namespace: namespace.clone(),
            key: key.clone(),
        })
    }

    /// Produces a batch, sealed with the time of the commit.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let (namespace, key) = (Namespace::new("users")?, Key::try_from("ann")?);
    /// # let mut request = CommitRequest::new(Timestamp::EPOCH);
    /// # let partition = PartitionId::new("emails", 0)?;
    /// let mut batch = ItemBatch::new();
    /// batch.push(NewItem::new("hello"))?;
    /// request.produce(&partition, batch)?;
    /// assert!(matches!(request.steps(), [Step::Produce { .. }]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn produce(&mut self, partition: &PartitionId, batch: ItemBatch) -> Result<()> {
        self.count(batch.len(), batch.payload_bytes())?;
        self.steps.push(Step::Produce {
            partition: partition.clone(),
            batch: batch.seal(self.now),
        });
        Ok(())
    }

    /// Completes leases; a receipt that is not valid refuses the commit.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let (namespace, key) = (Namespace::new("users")?, Key::try_from("ann")?);
    /// # let mut request = CommitRequest::new(Timestamp::EPOCH);
    /// # let partition = PartitionId::new("emails", 0)?;
    /// let receipt = Receipt { item: ItemId::MIN, lease: LeaseId::MIN };
    /// request.complete(&partition, Receipts::one(receipt))?;
    /// assert!(matches!(request.steps(), [Step::Complete { .. }]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn complete(&mut self, partition: &PartitionId, receipts: Receipts) -> Result<()> {
        self.count(receipts.len(), 0)?;
        self.steps.push(Step::Complete {
            partition: partition.clone(),
            receipts,
        });
        Ok(())
    }

    /// Deletes items; an id that does not exist refuses the commit.
    ///
    /// ```
    /// # use storage_api::*;
    /// # let (namespace, key) = (Namespace::new("users")?, Key::try_from("ann")?);
    /// # let mut request = CommitRequest::new(Timestamp::EPOCH);
    /// # let partition = PartitionId::new("emails", 0)?;
    /// request.delete_items(&partition, ItemIds::one(ItemId::MIN))?;
    /// assert!(matches!(request.steps(), [Step::Delete { .. }]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn delete_items(&mut self, partition: &PartitionId, ids: ItemIds) -> Result<()> {
        self.count(ids.len(), 0)?;
        self.steps.push(Step::Delete {
            partition: partition.clone(),
            ids,
        });
        Ok(())
    }

    /// The caller's time.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(CommitRequest::new(Timestamp::MAX).now(), Timestamp::MAX);
    /// ```
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The checks, in the order in which they are looked at.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(CommitRequest::new(Timestamp::EPOCH).checks().is_empty());
    /// ```
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The metadata writes; no two to one key.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(CommitRequest::new(Timestamp::EPOCH).writes().is_empty());
    /// ```
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// The item steps, in the order in which they apply.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert!(CommitRequest::new(Timestamp::EPOCH).steps().is_empty());
    /// ```
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    fn write(&mut self, write: Write) -> Result<()> {
        let (namespace, key) = write.target();
        let target = (namespace.clone(), key.clone());
        if self.written.contains(&target) {
            return Err(Error::invalid(
                "commit",
                format!("it writes key {key} of namespace {namespace} twice; join the two writes"),
            ));
        }
        let value_bytes = match &write {
            Write::Put { value, .. } => value.len(),
            Write::Delete { .. } => 0,
        };
        self.count(1, key.len() + value_bytes)?;
        self.written.insert(target);
        self.writes.push(write);
        Ok(())
    }

    fn count(&mut self, entries: usize, bytes: usize) -> Result<()> {
        let entries = self.entries + entries;
        let bytes = self.bytes + bytes;
        if entries > BATCH_ITEMS_MAX {
            return Err(Error::limit(
                "commit",
                0,
                BATCH_ITEMS_MAX as u64,
                entries as u64,
                "entries",
            ));
        }
        check_len("commit", 0, BATCH_BYTES_MAX, bytes)?;
        self.entries = entries;
        self.bytes = bytes;
        Ok(())
    }
}

/// What became of a commit. A refusal is a value, not an error (clause META-1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// All of it applied.
    Committed(Committed),
    /// Nothing of it applied.
    Refused(Refusal),
}

/// What a commit that applied gave out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    /// The version of all metadata writes; `None` where there were none (clause META-2).
    pub version: Option<Version>,
    /// The answer to each produce step, in input order.
    pub produced: Vec<Produced>,
}

/// The first check or step, in input order, that failed: checks come before steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A check did not hold.
    Check {
        /// Which one, from 0.
        index: usize,
        /// The key that was not as expected; of a range, the first in byte order.
        key: Key,
        /// The version found; `None`: the key has no entry.
        found: Option<Version>,
    },
    /// A receipt or id of a step was not valid.
    Step {
        /// Which step, from 0.
        index: usize,
        /// Which receipt or id of the step, from 0.
        entry: usize,
        /// What was found.
        found: StepFailure,
    },
}

/// Why a receipt or id of a commit was not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepFailure {
    /// There is no such item.
    NotFound,
    /// The item lives, but this is not its lease.
    LeaseLost,
}
