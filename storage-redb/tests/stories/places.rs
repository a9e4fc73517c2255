use std::fs;

use storage_api::{ErrorKind, PartitionConfig, PartitionStore, StorageBackend};
use storage_stories::scene::{home, open, refusal, unmake};

use crate::driver::Redb;

storage_stories::places!(Redb);

#[tokio::test]
async fn a_crash_while_the_file_was_made_is_no_harm() {
    let scratch = tempfile::tempdir().unwrap();
    open::<Redb>(scratch.path()).await.close().await.unwrap();
    let (file, new) = ("queue.redb", "queue.redb.new");
    let half = fs::read(scratch.path().join(file)).unwrap();
    fs::remove_file(scratch.path().join(file)).unwrap();
    unmake::<Redb>(scratch.path());
    fs::write(scratch.path().join(new), &half[..half.len() / 2]).unwrap();

    let backend = open::<Redb>(scratch.path()).await;

    let config = PartitionConfig::default();
    backend.create_partition(&home(), config).await.unwrap();
    assert!(!scratch.path().join(new).exists());
}

#[tokio::test]
async fn a_file_that_is_none_of_redbs_is_corrupted_and_left_as_it_was() {
    let scratch = tempfile::tempdir().unwrap();
    open::<Redb>(scratch.path()).await.close().await.unwrap();
    let file = scratch.path().join("queue.redb");
    for bytes in [vec![], vec![0; 3], vec![7; 70_000]] {
        fs::write(&file, &bytes).unwrap();

        let error = refusal::<Redb>(scratch.path()).await;

        assert_eq!(
            error.kind(),
            ErrorKind::Corrupted,
            "{} bytes: {error}",
            bytes.len()
        );
        assert_eq!(fs::read(&file).unwrap(), bytes);
    }
}
