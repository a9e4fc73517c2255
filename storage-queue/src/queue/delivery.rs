//! What a lease from a queue gives: items that know their partition.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use storage_api::{
    Bytes, ItemId, LeasedBatch, LeasedItem, Note, Receipt, Retry, RetryTo, Timestamp,
};

/// The proof of one lease of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueReceipt {
    /// The number of the partition.
    pub partition: u32,
    /// The receipt within it.
    pub receipt: Receipt,
}

/// One retry of a queue: which lease, where to, and what to remember.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QueueRetry {
    /// The number of the partition.
    pub partition: u32,
    /// The retry within it.
    pub retry: Retry,
}

/// One leased item. Cheap to clone: it shares the batch that it came in.
///
/// Dropping it ends no lease.
#[derive(Clone)]
pub struct Delivery {
    partition: u32,
    batch: Arc<LeasedBatch>,
    index: usize,
}

impl Delivery {
    /// The number of the partition that the item is in.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// The item, with everything that is known of it.
    pub fn item(&self) -> LeasedItem<'_> {
        self.batch
            .get(self.index)
            .expect("a delivery is made for an item of its batch")
    }

    /// The id within its partition.
    pub fn id(&self) -> ItemId {
        self.item().id()
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        self.item().payload()
    }

    /// The payload, shared: it keeps the batch's buffer alive, and copies nothing.
    pub fn shared_payload(&self) -> Bytes {
        self.item().shared_payload()
    }

    /// How often the item was leased, this time included.
    pub fn attempts(&self) -> u32 {
        self.item().attempts()
    }

    /// Until when the lease could not be taken back when it was given; a worker extends it.
    pub fn deadline(&self) -> Timestamp {
        self.batch.deadline()
    }

    /// The note of the last retry that left one.
    pub fn note(&self) -> Option<&Note> {
        self.item().note()
    }

    /// The receipt.
    pub fn receipt(&self) -> QueueReceipt {
        QueueReceipt {
            partition: self.partition,
            receipt: self.item().receipt(),
        }
    }

    /// A retry of it, for [`Queue::retry`](crate::Queue::retry).
    pub fn retry(&self, to: RetryTo) -> QueueRetry {
        QueueRetry {
            partition: self.partition,
            retry: Retry::new(self.item().receipt(), to),
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("partition", &self.partition)
            .field("item", &self.item())
            .finish()
    }
}

impl From<&Self> for QueueReceipt {
    fn from(receipt: &Self) -> Self {
        *receipt
    }
}

impl From<&Delivery> for QueueReceipt {
    fn from(delivery: &Delivery) -> Self {
        delivery.receipt()
    }
}

impl From<Delivery> for QueueReceipt {
    fn from(delivery: Delivery) -> Self {
        delivery.receipt()
    }
}

/// The deliveries of one lease.
#[derive(Debug, Clone, Default)]
pub struct Deliveries(Vec<Delivery>);

impl Deliveries {
    pub(crate) fn add(&mut self, partition: u32, batch: LeasedBatch) {
        let batch = Arc::new(batch);
        let deliveries = (0..batch.len()).map(|index| Delivery {
            partition,
            batch: Arc::clone(&batch),
            index,
        });
        self.0.extend(deliveries);
    }

    /// The receipts, in lease order.
    pub fn receipts(&self) -> Vec<QueueReceipt> {
        self.0.iter().map(Delivery::receipt).collect()
    }

    /// The deliveries.
    pub fn into_vec(self) -> Vec<Delivery> {
        self.0
    }
}

impl Deref for Deliveries {
    type Target = [Delivery];

    fn deref(&self) -> &[Delivery] {
        &self.0
    }
}

impl IntoIterator for Deliveries {
    type Item = Delivery;
    type IntoIter = std::vec::IntoIter<Delivery>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Deliveries {
    type Item = &'a Delivery;
    type IntoIter = std::slice::Iter<'a, Delivery>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
