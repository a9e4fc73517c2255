//! A backend that refuses some calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use storage_api::{
    CompleteOutcome, Error, ErrorKind, ItemStore, Object, Operation, Outcome, PartitionConfig,
    PartitionId, PartitionInfo, PartitionStore, Receipts, Result, RetryHint, Storage,
    StorageBackend, async_trait, forward_backend,
};

/// Refuses what it is told to refuse, and passes on everything else.
#[derive(Debug)]
pub(crate) struct Faulty {
    inner: Arc<dyn StorageBackend>,
    /// The partition that can be neither made nor deleted.
    pub(crate) stuck: Mutex<Option<u32>>,
    /// How many completions are refused with nothing done.
    pub(crate) refused: AtomicU32,
    /// How many completions apply, and say that nobody knows.
    pub(crate) unsure: AtomicU32,
}

impl Faulty {
    pub(crate) fn over(storage: &Storage) -> (Arc<Self>, Storage) {
        let faulty = Arc::new(Self {
            inner: Arc::clone(storage.backend()),
            stuck: Mutex::new(None),
            refused: AtomicU32::new(0),
            unsure: AtomicU32::new(0),
        });
        let backend: Arc<dyn StorageBackend> = faulty.clone();
        let clock = Arc::clone(storage.clock());
        (
            faulty,
            Storage::from_backend(backend).with_shared_clock(clock),
        )
    }

    fn check_stuck(&self, id: &PartitionId, operation: Operation) -> Result<()> {
        if *self.stuck.lock() == Some(id.number()) {
            return Err(refusal(operation));
        }
        Ok(())
    }
}

fn refusal(operation: Operation) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        operation,
        Object::Backend,
        "it is told to refuse",
    )
}

fn take(counter: &AtomicU32) -> bool {
    let less = |count: u32| count.checked_sub(1);
    counter
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        .is_ok()
}

#[async_trait]
impl PartitionStore for Faulty {
    forward_backend!(PartitionStore => inner, except [create_partition, delete_partition]);

    async fn create_partition(
        &self,
        id: &PartitionId,
        config: PartitionConfig,
    ) -> Result<PartitionInfo> {
        self.check_stuck(id, Operation::CreatePartition)?;
        self.inner.create_partition(id, config).await
    }

    async fn delete_partition(&self, id: &PartitionId) -> Result<()> {
        self.check_stuck(id, Operation::DeletePartition)?;
        self.inner.delete_partition(id).await
    }
}

#[async_trait]
impl ItemStore for Faulty {
    forward_backend!(ItemStore => inner, except [complete]);

    async fn complete(
        &self,
        partition: &PartitionId,
        receipts: Receipts,
    ) -> Result<Vec<CompleteOutcome>> {
        self.check_stuck(partition, Operation::Complete)?;
        if take(&self.refused) {
            return Err(refusal(Operation::Complete));
        }
        let outcomes = self.inner.complete(partition, receipts).await;
        if take(&self.unsure) {
            let error = refusal(Operation::Complete).with_outcome(Outcome::Unknown);
            return Err(error.with_retry_hint(RetryHint::SameCall));
        }
        outcomes
    }
}

forward_backend!(impl MetadataStore for Faulty => inner);
forward_backend!(impl StorageBackend for Faulty => inner);
