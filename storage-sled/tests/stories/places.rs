use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use storage_api::{Capability, Durability, ErrorKind, Outcome, StorageBackend};
use storage_sled::{SledBackend, SledConfig};
use storage_stories::scene::{contents, furnish_and_close, open, refusal};
use storage_stories::{Opening, StoredDriver as _};

use crate::driver::Sled;

storage_stories::places!(Sled);

#[tokio::test]
async fn a_copy_of_the_lock_of_sled_that_a_starting_process_has_is_waited_for() {
    let scratch = tempfile::tempdir().unwrap();
    let before = furnish_and_close::<Sled>(scratch.path()).await;
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

    let backend = open::<Sled>(scratch.path()).await;

    child.wait().unwrap();
    assert_eq!(contents(&backend).await, before);
}

#[tokio::test]
async fn power_loss_is_refused_before_anything_is_made() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("data");

    let opening = Opening::with_durability(Durability::PowerLoss);
    let error = Sled::open(&directory, opening).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.reason().contains("choose durability process-crash"),
        "{error}"
    );
    assert!(!directory.exists());
}

#[tokio::test]
async fn a_cache_that_is_too_small_is_refused_and_harms_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let before = furnish_and_close::<Sled>(scratch.path()).await;
    let least = SledConfig::CACHE_BYTES_MIN;
    let config = |bytes| SledConfig::new(scratch.path()).cache_bytes(bytes);
    for bytes in [0, 1, 255, least - 1] {
        let error = SledBackend::open(config(bytes)).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        let advice = format!("give it at least {least}");
        assert!(error.reason().contains(&advice), "{error}");
    }

    let backend = SledBackend::open(config(least)).await.unwrap();

    assert_eq!(contents(&backend).await, before);
}

/// Versions before made it for everybody to read.
#[tokio::test]
async fn the_rights_of_others_are_taken_from_the_directory_of_sled() {
    let scratch = tempfile::tempdir().unwrap();
    furnish_and_close::<Sled>(scratch.path()).await;
    let directory = scratch.path().join("queue.sled");
    let mode = || fs::metadata(&directory).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o700, "of a new one");
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();

    open::<Sled>(scratch.path()).await;

    assert_eq!(mode(), 0o700);
}

#[tokio::test]
async fn a_sync_is_unsupported_as_sled_never_waits_for_the_disk() {
    let scratch = tempfile::tempdir().unwrap();
    let backend = open::<Sled>(scratch.path()).await;

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
    furnish_and_close::<Sled>(scratch.path()).await;
    let log = scratch.path().join("queue.sled/db");
    let whole = fs::read(&log).unwrap();
    // Its end, where sled takes damage for a crash, is among it.
    for cut in [1, whole.len() / 2, whole.len()] {
        fs::write(&log, &whole[..whole.len() - cut]).unwrap();

        let error = refusal::<Sled>(scratch.path()).await;

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
    let before = furnish_and_close::<Sled>(scratch.path()).await;
    fs::remove_file(scratch.path().join("seal")).unwrap();

    let backend = open::<Sled>(scratch.path()).await;

    assert_eq!(contents(&backend).await, before);
    assert!(
        !scratch.path().join("seal").exists(),
        "while it is open there is none"
    );
}

#[tokio::test]
async fn a_snapshot_that_a_kill_left_unfinished_is_no_damage() {
    for written in ["", "the beginning of a snapshot"] {
        let scratch = tempfile::tempdir().unwrap();
        let before = furnish_and_close::<Sled>(scratch.path()).await;
        fs::remove_file(scratch.path().join("seal")).unwrap();
        // Behind every other, as the newest is.
        let snapshot = "queue.sled/snap.7FFFFFFFFFFFFFFF.generating";
        fs::write(scratch.path().join(snapshot), written).unwrap();

        let backend = open::<Sled>(scratch.path()).await;

        assert_eq!(contents(&backend).await, before);
        assert!(!scratch.path().join(snapshot).exists());
    }
}
