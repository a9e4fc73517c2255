//! An order and the email about it: both are there, or neither is.
#![allow(clippy::print_stdout)]

use storage_api::{CommitOutcome, NewItem, PartitionConfig, Storage};
use storage_memory::MemoryBackend;

/// Takes an order once: the row and the item are written in one commit, guarded by the read before it.
async fn order(storage: &Storage, number: &str) -> storage_api::Result<bool> {
    let emails = storage.partition(("emails", 0))?;
    let mut transaction = storage.begin();
    if transaction.get("orders", number).await?.is_some() {
        return Ok(false);
    }
    transaction.put("orders", number, "paid")?;
    transaction.produce(&emails, [NewItem::new(number).kind("order-paid")])?;
    // Somebody else may have taken the order since the read: then the commit is refused, and nothing of it applied.
    Ok(matches!(
        transaction.commit().await?,
        CommitOutcome::Committed(_)
    ))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> storage_api::Result<()> {
    let storage = Storage::new(MemoryBackend::new());
    let emails = storage
        .create_partition(("emails", 0), PartitionConfig::default())
        .await?;

    let (first, second) = (order(&storage, "4711"), order(&storage, "4711"));
    println!(
        "ordered: {}, ordered again: {}",
        first.await?,
        second.await?
    );
    println!("{} email to send", emails.stats().await?.ready.items);
    Ok(())
}
