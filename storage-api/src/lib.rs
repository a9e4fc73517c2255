//! The storage contract for queues.
//!
//! One object-safe trait, [`StorageBackend`], covers queue items, partitions and metadata; drivers implement it over
//! memory or an engine on disk. Users call a handle. `CONTRACT.md` says clause by clause what every driver promises.

pub mod limits;

mod backend;
mod call;
mod clock;
mod descriptor;
mod error;
mod forward;
mod handle;
mod item;
mod names;
mod numbers;
mod partition;
mod shortcut;
mod time;
mod verify;
mod watch;

pub use async_trait::async_trait;
pub use backend::{ItemStore, MetadataStore, PartitionStore, StorageBackend};
pub use bytes::Bytes;
pub use call::*;
pub use clock::{Clock, ManualClock, SystemClock};
pub use descriptor::{Capabilities, Capability, Descriptor, Durability, Health, Usage};
pub use error::{Error, ErrorKind, LimitViolation, Object, Operation, Outcome, Result, RetryHint};
pub use handle::{
    ItemPages, LeaseOptions, Maintainer, Metadata, Partition, Storage, Transaction, WriteOutcome,
};
pub use item::{
    Attributes, DeadReason, ItemBatch, ItemEntry, ItemState, NewItem, Record, RecordView,
    SealedBatch, State, States,
};
pub use names::{Key, Namespace, Note, PartitionId, QueueName, Value};
pub use numbers::{Count, Holder, ItemId, LeaseId, Position, Version};
pub use partition::{
    DeadPolicy, Mode, PartitionConfig, PartitionInfo, PartitionStats, Requeue, StateStats,
};
pub use shortcut::Shortcut;
pub use time::Timestamp;
pub use verify::Verify;
pub use watch::{Signal, SignalHub};
