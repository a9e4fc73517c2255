use std::fs;

use storage_api::{ErrorKind, PartitionConfig, PartitionStore, StorageBackend};
use storage_redb::{RedbBackend, RedbConfig};

use crate::scene::{contents, furnish, home, open};

#[tokio::test]
async fn a_second_opening_is_refused_and_harms_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let backend = open(scratch.path()).await;
    furnish(&backend).await;
    let before = contents(&backend).await;

    let error = RedbBackend::open(RedbConfig::new(scratch.path()))
        .await
        .unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.reason().contains(&std::process::id().to_string()),
        "{error}"
    );
    assert_eq!(contents(&backend).await, before);
    backend.close().await.unwrap();
    assert_eq!(contents(&open(scratch.path()).await).await, before);
}

#[tokio::test]
async fn a_backend_that_was_dropped_has_lost_nothing_and_let_go() {
    let scratch = tempfile::tempdir().unwrap();
    let backend = open(scratch.path()).await;
    furnish(&backend).await;
    let before = contents(&backend).await;

    drop(backend);

    assert_eq!(contents(&open(scratch.path()).await).await, before);
}

#[tokio::test]
async fn a_crash_while_the_file_was_made_is_no_harm() {
    let scratch = tempfile::tempdir().unwrap();
    open(scratch.path()).await.close().await.unwrap();
    let (file, new) = ("queue.redb", "queue.redb.new");
    let half = fs::read(scratch.path().join(file)).unwrap();
    fs::remove_file(scratch.path().join(file)).unwrap();
    fs::write(scratch.path().join(new), &half[..half.len() / 2]).unwrap();

    let backend = open(scratch.path()).await;

    let config = PartitionConfig::default();
    backend.create_partition(&home(), config).await.unwrap();
    assert!(!scratch.path().join(new).exists());
}

#[tokio::test]
async fn a_file_that_is_none_of_redbs_is_corrupted_and_left_as_it_was() {
    let scratch = tempfile::tempdir().unwrap();
    open(scratch.path()).await.close().await.unwrap();
    let file = scratch.path().join("queue.redb");
    for bytes in [vec![], vec![0; 3], vec![7; 70_000]] {
        fs::write(&file, &bytes).unwrap();

        let error = RedbBackend::open(RedbConfig::new(scratch.path()))
            .await
            .unwrap_err();

        assert_eq!(
            error.kind(),
            ErrorKind::Corrupted,
            "{} bytes: {error}",
            bytes.len()
        );
        assert_eq!(fs::read(&file).unwrap(), bytes);
    }
}
