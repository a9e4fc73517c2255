//! Produce, lease, complete: the life of an item.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use storage_api::{NewItem, PartitionConfig, Storage};
use storage_memory::MemoryBackend;

#[tokio::main(flavor = "current_thread")]
async fn main() -> storage_api::Result<()> {
    let storage = Storage::new(MemoryBackend::new());
    let config = PartitionConfig::default().with_attempts_max(3);
    let emails = storage.create_partition(("emails", 0), config).await?;
    emails
        .produce([NewItem::new("hello").kind("greeting")])
        .await?;

    let leased = emails.lease(10, Duration::from_secs(30)).await?;
    for item in leased.iter() {
        println!("{}: {}", item.kind(), item.payload().escape_ascii());
    }
    emails.complete(leased.receipts()).await?;

    println!("{} items left", emails.stats().await?.items());
    Ok(())
}
