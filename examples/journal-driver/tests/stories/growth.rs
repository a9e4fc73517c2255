use storage_api::{
    Count, Durability, ItemStore, LeaseRequest, MetadataStore, NewItem, PartitionStore,
    StorageBackend, Timestamp, Verify,
};

use crate::story::{Story, at, home, sealed, seen};

#[tokio::test]
async fn a_journal_does_not_grow_for_ever() {
    let story = Story::new().with_durability(Durability::ProcessCrash);
    let backend = story.open_home().await;
    let stays = sealed(0, [NewItem::new("stays")]);
    backend.produce(&home(), stays).await.unwrap();
    let payload = vec![7; 100_000];
    let mut longest = 0;

    for _ in 0..50 {
        let batch = sealed(0, [NewItem::new(&payload).priority(1)]);
        backend.produce(&home(), batch).await.unwrap();
        let request = LeaseRequest::new(at(0), at(9), Count::ONE);
        let held = backend.lease(&home(), request).await.unwrap();
        backend.complete(&home(), held.receipts()).await.unwrap();
        longest = longest.max(story.bytes().len());
    }

    assert!(longest > 1 << 20, "there was something to give back");
    assert!(longest < 2 << 20, "{longest} bytes for one small item");
    let before = seen(&backend).await.unwrap();
    assert!(Verify::verify(&backend).await.unwrap().is_empty());
    drop(backend);
    let backend = story.open().await;
    assert_eq!(seen(&backend).await.unwrap(), before);
}

#[tokio::test]
async fn an_emptied_partition_uses_what_a_new_one_does() {
    let story = Story::new();
    let backend = story.open_home().await;
    let new = backend.usage().await.unwrap();
    let payload = vec![7; 10_000];
    let batch = sealed(0, [NewItem::new(&payload), NewItem::new("x")]);
    backend.produce(&home(), batch).await.unwrap();
    let full = backend.usage().await.unwrap();
    let request = LeaseRequest::new(at(0), at(9), Count::MAX);
    let held = backend.lease(&home(), request).await.unwrap();
    backend.complete(&home(), held.receipts()).await.unwrap();

    let emptied = backend.usage().await.unwrap();

    assert!(full.used > new.used + 10_000);
    assert_eq!(emptied, new);
    assert_eq!(story.bytes().len() as u64, emptied.used);
}

#[tokio::test]
async fn what_changes_nothing_writes_nothing() {
    let story = Story::new();
    let backend = story.open_home().await;
    let before = story.bytes();

    let nothing_due = backend.maintain(&home(), Timestamp::MAX, Count::MAX).await;
    assert_eq!(nothing_due.unwrap().handled(), 0);
    let request = LeaseRequest::new(at(0), at(9), Count::MAX);
    assert!(backend.lease(&home(), request).await.unwrap().is_empty());
    backend.produce(&home(), sealed(0, [])).await.unwrap();
    backend.purge(Timestamp::MAX, Count::MAX).await.unwrap();

    assert_eq!(story.bytes(), before);
}
