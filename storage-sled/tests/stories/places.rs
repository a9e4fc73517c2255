use std::fs;
use std::path::Path;
use std::process::Command;

use storage_api::{Capability, Durability, ErrorKind, Outcome, StorageBackend};
use storage_sled::{SledBackend, SledConfig};

use crate::scene::{contents, furnish, open};

#[tokio::test]
async fn a_second_opening_is_refused_and_harms_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let backend = open(scratch.path()).await;
    furnish(&backend).await;
    let before = contents(&backend).await;

    let error = SledBackend::open(SledConfig::new(scratch.path()))
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

/// A closed place that holds something, and what that is.
async fn closed(directory: &Path) -> String {
    let backend = open(directory).await;
    furnish(&backend).await;
    let contents = contents(&backend).await;
    backend.close().await.unwrap();
    contents
}

#[tokio::test]
async fn a_copy_of_the_lock_of_sled_that_a_starting_process_has_is_waited_for() {
    let scratch = tempfile::tempdir().unwrap();
    let backend = open(scratch.path()).await;
    furnish(&backend).await;
    let before = contents(&backend).await;
    backend.close().await.unwrap();
    let file = scratch.path().join("queue.sled/db");
    let lock = fs::File::open(&file).unwrap();
    lock.lock().unwrap();
    // It lets go as soon as it sees that somebody here asks for the lock.
    let mut child = Command::new("sh")
        .args([
            "-c",
            "until ls -l /proc/$PPID/fd | grep -q \"$0\"; do :; done",
        ])
        .arg(file.canonicalize().unwrap())
        .stdout(lock)
        .spawn()
        .unwrap();

    let backend = open(scratch.path()).await;

    child.wait().unwrap();
    assert_eq!(contents(&backend).await, before);
}

#[tokio::test]
async fn power_loss_is_refused_before_anything_is_made() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("data");

    let config = SledConfig::new(&directory).durability(Durability::PowerLoss);
    let error = SledBackend::open(config).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.reason().contains("choose durability process-crash"),
        "{error}"
    );
    assert!(!directory.exists());
}

#[tokio::test]
async fn a_sync_is_unsupported_as_sled_never_waits_for_the_disk() {
    let scratch = tempfile::tempdir().unwrap();
    let backend = open(scratch.path()).await;

    let error = backend.sync().await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    let descriptor = backend.descriptor();
    assert_eq!(descriptor.durability, Durability::ProcessCrash);
    assert!(!descriptor.capabilities.has(Capability::Sync));
}

#[tokio::test]
async fn a_log_that_was_changed_after_the_closing_is_corrupted_and_left_as_it_was() {
    let scratch = tempfile::tempdir().unwrap();
    closed(scratch.path()).await;
    let log = scratch.path().join("queue.sled/db");
    let whole = fs::read(&log).unwrap();
    // Its end, where sled takes damage for a crash, is among it.
    for cut in [1, whole.len() / 2, whole.len()] {
        fs::write(&log, &whole[..whole.len() - cut]).unwrap();

        let error = SledBackend::open(SledConfig::new(scratch.path()))
            .await
            .unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Corrupted, "{cut} bytes: {error}");
        assert_eq!(
            fs::metadata(&log).unwrap().len(),
            (whole.len() - cut) as u64
        );
    }
}

#[tokio::test]
async fn a_place_whose_process_was_killed_is_opened_without_its_seal() {
    let scratch = tempfile::tempdir().unwrap();
    let before = closed(scratch.path()).await;
    fs::remove_file(scratch.path().join("seal")).unwrap();

    let backend = open(scratch.path()).await;

    assert_eq!(contents(&backend).await, before);
    assert!(
        !scratch.path().join("seal").exists(),
        "while it is open there is none"
    );
}

#[tokio::test]
async fn a_place_of_another_driver_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let held = storage_kv::Place::hold(scratch.path(), "redb").unwrap();
    drop(held);

    let error = SledBackend::open(SledConfig::new(scratch.path()))
        .await
        .unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(!scratch.path().join("queue.sled").exists());
}
