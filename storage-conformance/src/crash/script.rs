//! The fixed steps: seven operations on one partition, over and over.

use storage_api::{
    CommitOutcome, CommitRequest, ItemEntry, ItemIds, LeaseRequest, ListRequest, PartitionConfig,
    PartitionId, Produced, Receipts, Result, Retries, Retry, RetryTo, State, StorageBackend,
};

use super::steps::Done;
use crate::env::{at, count, key, namespace, partition_id, value};
use crate::part::batch;

fn work() -> PartitionId {
    partition_id("work", 0)
}

/// One operation, which follows from its number and from what is there.
pub(super) async fn step(backend: &dyn StorageBackend, number: u64) -> Result<Done> {
    let now = at(i64::try_from(number).unwrap_or(i64::MAX));
    let id = work();
    let mut shown = Vec::new();
    if number == 0 {
        let info = backend.create_partition(&id, PartitionConfig::default());
        shown.push(format!("version:{}", info.await?.created));
        return Ok(Done::new("create_partition", shown));
    }
    let operation = match number % 7 {
        1 | 4 => {
            let items = ["a", "b"].map(|which| format!("{number}{which}"));
            let produced = backend.produce(&id, batch(&items).seal(now)).await?;
            shown.extend(produced.ids().map(|id| format!("id:{id}")));
            "produce"
        }
        2 => {
            let request = LeaseRequest::new(now, at(i64::MAX), count(2));
            let leased = backend.lease(&id, request).await?;
            let leases = leased.iter().map(|item| item.receipt().lease);
            shown.extend(leases.map(|lease| format!("lease:{lease}")));
            "lease"
        }
        3 => {
            let leased = first(backend, State::Leased).await?;
            let receipts = leased.iter().filter_map(ItemEntry::receipt);
            backend.complete(&id, Receipts::collect(receipts)?).await?;
            "complete"
        }
        5 => {
            let leased = first(backend, State::Leased).await?;
            let retries = leased.iter().filter_map(|entry| {
                let retry = Retry::new(entry.receipt()?, RetryTo::Dead);
                retry.with_note(format!("step {number}")).ok()
            });
            let retries = Retries::collect(retries)?;
            backend.retry(&id, now, retries).await?;
            "retry"
        }
        6 => {
            let mut request = CommitRequest::new(now);
            let count = value(number.to_string());
            request.put(&namespace("steps"), &key("last commit"), count, None)?;
            request.produce(&id, batch([format!("{number}c").as_str()]))?;
            let dead = first(backend, State::Dead).await?;
            let dead = ItemIds::collect(dead.iter().map(|entry| entry.id))?;
            request.delete_items(&id, dead)?;
            if let CommitOutcome::Committed(committed) = backend.commit(request).await? {
                shown.extend(committed.version.map(|one| format!("version:{one}")));
                let ids = committed.produced.iter().flat_map(Produced::ids);
                shown.extend(ids.map(|id| format!("id:{id}")));
            }
            "commit"
        }
        _ => {
            backend.clear(&id, State::Ready.into(), count(1)).await?;
            "clear"
        }
    };
    Ok(Done::new(operation, shown))
}

/// The first item of that state, if there is one.
async fn first(backend: &dyn StorageBackend, state: State) -> Result<Vec<ItemEntry>> {
    let request = ListRequest::by_id(state).items_max(count(1));
    Ok(backend.list_items(&work(), request).await?.items)
}
