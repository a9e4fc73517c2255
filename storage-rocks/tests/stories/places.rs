use std::fs;
use std::path::{Path, PathBuf};

use storage_api::{Capability, Durability, ErrorKind, ItemStore, StorageBackend};
use storage_stories::scene::{
    assert_verified, batch, contents, copy, data_files, furnish, furnish_and_close, home, open,
    refusal,
};

use crate::driver::Rocks;

storage_stories::places!(Rocks);

#[tokio::test]
async fn power_loss_is_the_default_and_survived() {
    let scratch = tempfile::tempdir().unwrap();
    let backend = open::<Rocks>(scratch.path()).await;

    backend.sync().await.unwrap();

    let descriptor = backend.descriptor();
    assert_eq!(descriptor.durability, Durability::PowerLoss);
    assert!(descriptor.capabilities.has(Capability::Sync));
}

#[tokio::test]
async fn a_file_that_was_changed_after_the_closing_is_corrupted_and_left_as_it_was() {
    let scratch = tempfile::tempdir().unwrap();
    furnish_and_close::<Rocks>(scratch.path()).await;
    let files: Vec<_> = fs::read_dir(scratch.path().join("queue.rocks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            ["CURRENT", "MANIFEST", ".sst", ".log"]
                .iter()
                .any(|part| name.contains(part))
        })
        .collect();
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        let whole = fs::read(&file).unwrap();
        let mut longer = whole.clone();
        longer.push(0);
        fs::write(&file, &longer).unwrap();

        let error = refusal::<Rocks>(scratch.path()).await;

        assert_eq!(error.kind(), ErrorKind::Corrupted, "{file:?}: {error}");
        assert_eq!(fs::read(&file).unwrap(), longer);
        fs::write(&file, whole).unwrap();
    }
    open::<Rocks>(scratch.path()).await;
}

/// A place as a process that was killed leaves it, the path of its last log, and what it holds.
async fn killed(place: &Path) -> (PathBuf, String) {
    let scratch = tempfile::tempdir().unwrap();
    let backend = open::<Rocks>(scratch.path()).await;
    furnish(&backend).await;
    let contents = contents(&backend).await;
    copy(scratch.path(), place);
    let mut logs: Vec<_> = fs::read_dir(place.join("queue.rocks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    (logs.pop().unwrap(), contents)
}

#[tokio::test]
async fn a_place_whose_process_was_killed_holds_what_was_acknowledged() {
    let scratch = tempfile::tempdir().unwrap();
    let (_, before) = killed(scratch.path()).await;

    let backend = open::<Rocks>(scratch.path()).await;

    assert_eq!(contents(&backend).await, before);
    assert_verified(&backend).await;
}

#[tokio::test]
async fn a_log_that_is_damaged_before_its_tail_is_refused_and_left_as_it_was() {
    for part in [0, 1, 5, 9] {
        let scratch = tempfile::tempdir().unwrap();
        let (log, _) = killed(scratch.path()).await;
        let mut bytes = fs::read(&log).unwrap();
        let at = bytes.len() * part / 10;
        bytes[at] ^= 0x10;
        fs::write(&log, &bytes).unwrap();

        let error = refusal::<Rocks>(scratch.path()).await;

        assert_eq!(error.kind(), ErrorKind::Corrupted, "byte {at}: {error}");
        assert_eq!(fs::read(&log).unwrap(), bytes);
    }
}

/// What was written since the opening is in logs alone, and what was there before is in tables.
#[tokio::test]
async fn logs_of_which_nothing_is_left_are_refused_also_where_there_are_tables() {
    let scratch = tempfile::tempdir().unwrap();
    let place = scratch.path().join("place");
    furnish_and_close::<Rocks>(&place).await;
    let backend = open::<Rocks>(&place).await;
    let later = batch(3, b"later");
    backend.produce(&home(), later).await.unwrap();
    for is_removed in [true, false] {
        let damaged = scratch.path().join("damaged");
        copy(&place, &damaged);
        let files = data_files::<Rocks>(&damaged).into_iter();
        let logs: Vec<_> = files
            .filter(|file| file.extension().is_some_and(|end| end == "log"))
            .collect();
        assert!(!logs.is_empty());
        for log in logs {
            match is_removed {
                true => fs::remove_file(log).unwrap(),
                false => fs::write(log, "").unwrap(),
            }
        }

        for _ in 0..2 {
            let error = refusal::<Rocks>(&damaged).await;

            let kind = error.kind();
            assert_eq!(kind, ErrorKind::Corrupted, "removed {is_removed}: {error}");
        }
        fs::remove_dir_all(damaged).unwrap();
    }
}

#[tokio::test]
async fn the_tail_of_a_log_that_a_crash_cut_off_is_dropped_and_no_more() {
    for cut in [1, 7, 60] {
        let scratch = tempfile::tempdir().unwrap();
        let (log, before) = killed(scratch.path()).await;
        let bytes = fs::read(&log).unwrap();
        fs::write(&log, &bytes[..bytes.len() - cut]).unwrap();

        let backend = open::<Rocks>(scratch.path()).await;

        let after = contents(&backend).await;
        assert_ne!(after, before, "{cut} bytes were cut off");
        // The last operation was the commit of two entries; the one before it is there.
        assert!(after.contains("is tried again"), "{after}");
        assert_verified(&backend).await;
    }
}
