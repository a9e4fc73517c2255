//! What is asked of a backend and what it answers, as values: the same request can be sent to a driver and put to the model.

use storage_api::{
    Cleared, CommitOutcome, CommitRequest, CompleteOutcome, Count, DeleteOutcome, ExtendOutcome,
    Floors, Holder, ItemEntry, ItemIds, Key, LeaseRequest, LeasedBatch, ListRequest, Maintained,
    MetadataEntry, Namespace, Page, PartitionConfig, PartitionId, PartitionInfo, PartitionStats,
    Produced, Purged, Receipts, ReleaseOutcome, ReleasedHolder, RestoreBatch, Result, Retries,
    RetryOutcome, ReviveOutcome, ScanRequest, SealedBatch, Shortcut, States, StorageBackend,
    Timestamp, UpdateOutcome, Version,
};
use storage_model::Model;

/// One call with its arguments. Every number in it is one that the driver gave.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    CreatePartition(PartitionId, PartitionConfig),
    UpdatePartition(PartitionId, Option<Version>, PartitionConfig),
    DeletePartition(PartitionId),
    Partition(PartitionId),
    ListPartitions(Count),
    Stats(PartitionId),
    Produce(PartitionId, SealedBatch),
    Lease(PartitionId, LeaseRequest),
    Extend(PartitionId, Receipts, Timestamp),
    Release(PartitionId, Receipts),
    ReleaseHolder(PartitionId, Holder, Count),
    Complete(PartitionId, Receipts),
    Retry(PartitionId, Timestamp, Retries),
    Revive(PartitionId, ItemIds),
    GetItems(PartitionId, ItemIds, bool),
    /// From the first; cursors are left to the model runs.
    ListItems(PartitionId, ListRequest),
    DeleteItems(PartitionId, ItemIds),
    Clear(PartitionId, States, Count),
    Maintain(PartitionId, Timestamp, Count),
    Restore(PartitionId, RestoreBatch),
    Commit(CommitRequest),
    Get(Timestamp, Namespace, Key),
    Scan(Timestamp, ScanRequest),
    Namespaces(Count),
    Purge(Timestamp, Count),
}

/// What a call answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Done,
    Partition(PartitionInfo),
    Partitions(Listed<PartitionInfo>),
    Updated(UpdateOutcome),
    Stats(PartitionStats),
    Produced(Produced),
    Leased(Vec<ItemEntry>),
    Extended(Vec<ExtendOutcome>),
    Released(Vec<ReleaseOutcome>),
    ReleasedHolder(ReleasedHolder),
    Completed(Vec<CompleteOutcome>),
    Retried(Vec<RetryOutcome>),
    Revived(Vec<ReviveOutcome>),
    Found(Vec<Option<ItemEntry>>),
    Items(Listed<ItemEntry>),
    Deleted(Vec<DeleteOutcome>),
    Cleared(Cleared),
    Maintained(Maintained),
    Commit(CommitOutcome),
    Entry(Option<MetadataEntry>),
    Entries(Listed<MetadataEntry>),
    Namespaces(Listed<Namespace>),
    Purged(Purged),
}

/// A page whose cursor is only there or not.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listed<T> {
    pub(crate) items: Vec<T>,
    pub(crate) has_next: bool,
}

/// The same call on a driver, awaited, and on the model.
macro_rules! put {
    ($request:expr => $target:ident $($then:tt)*) => {
        match $request.clone() {
            Request::CreatePartition(id, config) => $target.create_partition(&id, config)$($then)*.map(Answer::Partition),
            Request::UpdatePartition(id, expected, config) => $target.update_partition(&id, expected, config)$($then)*.map(Answer::Updated),
            Request::DeletePartition(id) => $target.delete_partition(&id)$($then)*.map(done),
            Request::Partition(id) => $target.partition(&id)$($then)*.map(Answer::Partition),
            Request::ListPartitions(max) => $target.list_partitions(None, max)$($then)*.map(|page| Answer::Partitions(listed(page))),
            Request::Stats(id) => $target.stats(&id)$($then)*.map(Answer::Stats),
            Request::Produce(id, batch) => $target.produce(&id, batch)$($then)*.map(Answer::Produced),
            Request::Lease(id, request) => $target.lease(&id, request)$($then)*.map(|batch| leased(&batch)),
            Request::Extend(id, receipts, deadline) => $target.extend(&id, receipts, deadline)$($then)*.map(Answer::Extended),
            Request::Release(id, receipts) => $target.release(&id, receipts)$($then)*.map(Answer::Released),
            Request::ReleaseHolder(id, holder, max) => $target.release_holder(&id, holder, max)$($then)*.map(Answer::ReleasedHolder),
            Request::Complete(id, receipts) => $target.complete(&id, receipts)$($then)*.map(Answer::Completed),
            Request::Retry(id, now, retries) => $target.retry(&id, now, retries)$($then)*.map(Answer::Retried),
            Request::Revive(id, ids) => $target.revive(&id, ids)$($then)*.map(Answer::Revived),
            Request::GetItems(id, ids, payloads) => $target.get_items(&id, ids, payloads)$($then)*.map(Answer::Found),
            Request::ListItems(id, request) => $target.list_items(&id, request)$($then)*.map(|page| Answer::Items(listed(page))),
            Request::DeleteItems(id, ids) => $target.delete_items(&id, ids)$($then)*.map(Answer::Deleted),
            Request::Clear(id, states, max) => $target.clear(&id, states, max)$($then)*.map(Answer::Cleared),
            Request::Maintain(id, now, max) => $target.maintain(&id, now, max)$($then)*.map(Answer::Maintained),
            Request::Restore(id, items) => $target.restore(&id, items, Floors::none())$($then)*.map(done),
            Request::Commit(request) => $target.commit(request)$($then)*.map(Answer::Commit),
            Request::Get(now, namespace, key) => $target.get(now, &namespace, &key)$($then)*.map(Answer::Entry),
            Request::Scan(now, request) => $target.scan(now, request)$($then)*.map(|page| Answer::Entries(listed(page))),
            Request::Namespaces(max) => $target.namespaces(None, max)$($then)*.map(|page| Answer::Namespaces(listed(page))),
            Request::Purge(now, max) => $target.purge(now, max)$($then)*.map(Answer::Purged),
        }
    };
}

impl Request {
    /// Asks the driver.
    pub(crate) async fn send(&self, backend: &dyn StorageBackend) -> Result<Answer> {
        put!(self => backend.await)
    }

    /// The partition to which a shortcut could lead the call.
    pub(crate) fn may_go_shortly(&self) -> Option<&PartitionId> {
        match self {
            Self::Produce(id, ..) | Self::Lease(id, ..) | Self::Complete(id, ..) => Some(id),
            _ => None,
        }
    }

    /// Asks the driver by a shortcut; `None` where that has no answer.
    pub(crate) fn send_shortly(&self, shortcut: &dyn Shortcut) -> Option<Result<Answer>> {
        Some(match self {
            Self::Produce(_, batch) => shortcut.produce(batch)?.map(Answer::Produced),
            Self::Lease(_, request) => shortcut.lease(request)?.map(|(batch, _)| leased(&batch)),
            Self::Complete(_, receipts) => shortcut.complete(receipts)?.map(Answer::Completed),
            _ => return None,
        })
    }

    /// Asks the model, which changes as a driver would.
    pub(crate) fn apply(&self, model: &mut Model) -> Result<Answer> {
        put!(self => model)
    }

    /// What it reads or changes: calls that share nothing need no order among them.
    pub(crate) fn scopes(&self) -> Vec<Scope> {
        let partition = match self {
            Self::CreatePartition(id, ..)
            | Self::UpdatePartition(id, ..)
            | Self::DeletePartition(id)
            | Self::Partition(id)
            | Self::Stats(id)
            | Self::Produce(id, ..)
            | Self::Lease(id, ..)
            | Self::Extend(id, ..)
            | Self::Release(id, ..)
            | Self::ReleaseHolder(id, ..)
            | Self::Complete(id, ..)
            | Self::Retry(id, ..)
            | Self::Revive(id, ..)
            | Self::GetItems(id, ..)
            | Self::ListItems(id, ..)
            | Self::DeleteItems(id, ..)
            | Self::Clear(id, ..)
            | Self::Maintain(id, ..)
            | Self::Restore(id, ..) => id,
            Self::ListPartitions(_) => return vec![Scope::Partitions],
            Self::Get(..) | Self::Scan(..) | Self::Namespaces(_) | Self::Purge(..) => {
                return vec![Scope::Metadata];
            }
            Self::Commit(request) => {
                let steps = request.steps().iter().map(|step| step.partition().clone());
                let mut scopes: Vec<_> = steps.map(Scope::Partition).collect();
                if !(request.checks().is_empty() && request.writes().is_empty()) {
                    scopes.push(Scope::Metadata);
                }
                return scopes;
            }
        };
        vec![Scope::Partition(partition.clone())]
    }

    /// Whether it only looks, whatever it answers.
    pub(crate) fn is_look(&self) -> bool {
        matches!(
            self,
            Self::Partition(_)
                | Self::ListPartitions(_)
                | Self::Stats(_)
                | Self::GetItems(..)
                | Self::ListItems(..)
                | Self::Get(..)
                | Self::Scan(..)
                | Self::Namespaces(_)
        )
    }
}

/// A part of what a backend holds that can be judged by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    Partition(PartitionId),
    /// Which partitions there are, and so each of them.
    Partitions,
    Metadata,
}

impl Scope {
    /// Whether a call on one of them may see what a call on the other does.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Metadata, Self::Metadata) => true,
            (Self::Metadata, _) | (_, Self::Metadata) => false,
            (Self::Partition(one), Self::Partition(other)) => one == other,
            _ => true,
        }
    }
}

fn done((): ()) -> Answer {
    Answer::Done
}

fn leased(batch: &LeasedBatch) -> Answer {
    Answer::Leased(batch.iter().map(|item| item.to_entry()).collect())
}

fn listed<T>(page: Page<T>) -> Listed<T> {
    Listed {
        has_next: page.next.is_some(),
        items: page.items,
    }
}
