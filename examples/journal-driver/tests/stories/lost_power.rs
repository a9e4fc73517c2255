//! What a loss of power leaves at `process-crash`: the file as it was when it was last synced.

use storage_api::{
    CommitOutcome, CommitRequest, Count, Durability, Floors, ItemStore, LeaseRequest, NewItem,
    PartitionConfig, PartitionStore, RestoreBatch, StorageBackend,
};

use crate::story::{Story, at, home, put, sealed};

use journal_driver::JournalBackend;

/// A lease, a version and an id that somebody was shown.
#[derive(Debug, Clone, Copy)]
struct Shown {
    lease: u64,
    version: u64,
    id: u64,
}

impl Shown {
    fn is_above(self, earlier: Self) -> bool {
        self.lease > earlier.lease && self.version > earlier.version && self.id > earlier.id
    }
}

/// Produces and leases an item, and commits.
async fn show(backend: &JournalBackend) -> Shown {
    let batch = sealed(0, [NewItem::new("work")]);
    let produced = backend.produce(&home(), batch).await.unwrap();
    let request = LeaseRequest::new(at(0), at(9), Count::ONE);
    let leased = backend.lease(&home(), request).await.unwrap();
    let mut request = CommitRequest::new(at(0));
    put(&mut request, "key", "value");
    let CommitOutcome::Committed(committed) = backend.commit(request).await.unwrap() else {
        panic!("nothing was checked");
    };
    Shown {
        lease: leased.receipts().iter().next().unwrap().lease.get(),
        version: committed.version.unwrap().get(),
        id: produced.ids().next().unwrap().get(),
    }
}

fn weak() -> Story {
    Story::new().with_durability(Durability::ProcessCrash)
}

#[tokio::test]
async fn numbers_that_were_lost_are_not_given_again() {
    let story = weak();
    let backend = story.open_home().await;
    backend.sync().await.unwrap();
    let on_disk = story.bytes();
    let lost = show(&backend).await;
    drop(backend);

    story.set_bytes(&on_disk);
    let backend = story.open().await;

    let later = show(&backend).await;
    assert!(later.is_above(lost), "{later:?} behind {lost:?}");
}

#[tokio::test]
async fn numbers_of_a_partition_that_was_lost_are_not_given_again() {
    let story = weak();
    let backend = story.open().await;
    let on_disk = story.bytes();
    let config = PartitionConfig::default();
    let made = backend.create_partition(&home(), config.clone()).await;
    assert!(made.is_ok());
    let lost = show(&backend).await;
    drop(backend);

    story.set_bytes(&on_disk);
    let backend = story.open().await;
    backend.create_partition(&home(), config).await.unwrap();

    let later = show(&backend).await;
    assert!(later.is_above(lost), "{later:?} behind {lost:?}");
}

#[tokio::test]
async fn numbers_that_were_lost_behind_a_replaced_journal_are_not_given_again() {
    let story = weak();
    let backend = story.open_home().await;
    let before = story.bytes();
    backend.usage().await.unwrap();
    let on_disk = story.bytes();
    assert_ne!(on_disk, before, "usage has replaced it");
    let lost = show(&backend).await;
    drop(backend);

    story.set_bytes(&on_disk);
    // Whatever it promises now.
    let backend = story.with_durability(Durability::PowerLoss).open().await;

    let later = show(&backend).await;
    assert!(later.is_above(lost), "{later:?} behind {lost:?}");
}

#[tokio::test]
async fn a_journal_that_was_closed_goes_on_with_the_next_number() {
    let story = weak();
    let backend = story.open_home().await;
    let earlier = show(&backend).await;
    backend.close().await.unwrap();

    let backend = story.open().await;

    let later = show(&backend).await;
    assert_eq!(later.id, earlier.id + 1);
    assert_eq!(later.version, earlier.version + 1);
}

/// What comes behind them is far above what was synced: their loss could not be passed over.
#[tokio::test]
async fn restoring_and_deleting_a_partition_wait_for_the_disk() {
    let story = weak();
    let backend = story.open_home().await;

    story.faults.fail_next_sync();
    let empty = RestoreBatch::new(Vec::new()).unwrap();
    let restored = backend.restore(&home(), empty, Floors::none()).await;
    restored.unwrap_err();
    backend.close().await.unwrap();

    let backend = story.open().await;
    story.faults.fail_next_sync();
    backend.delete_partition(&home()).await.unwrap_err();
}

#[tokio::test]
async fn one_change_in_many_waits_for_the_disk() {
    const CHANGES_MAX: usize = 1 << 16;
    let story = weak();
    let backend = story.open().await;
    story.faults.fail_next_sync();

    let mut changes = 0;
    let refused = loop {
        let mut request = CommitRequest::new(at(0));
        put(&mut request, "key", "value");
        match backend.commit(request).await {
            Ok(_) => changes += 1,
            Err(error) => break error,
        }
        assert!(changes < CHANGES_MAX, "none of them was synced");
    };

    assert_eq!(changes, CHANGES_MAX - 1, "{refused}");
}
