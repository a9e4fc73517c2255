use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use journal_driver::JournalConfig;
use storage_api::{ErrorKind, PartitionStore, StorageBackend};

use crate::story::{Story, home};

fn listing(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_lock_that_a_dead_process_left_to_its_child_is_waited_for() {
    let story = Story::new();
    story.open().await.close().await.unwrap();
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let mut lock = fs::File::create(story.path("LOCK")).unwrap();
    lock.lock().unwrap();
    writeln!(lock, "{}", dead.id()).unwrap();
    // It holds the lock as long as it lives, under the name of the dead.
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(lock)
        .spawn()
        .unwrap();

    let ending = std::thread::spawn(move || {
        drop(child.stdin.take());
        child.wait().unwrap();
    });
    let opened = story.try_open().await;

    ending.join().unwrap();
    opened.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_second_opening_names_the_holder_and_harms_nothing() {
    let story = Story::new();
    let backend = story.open_home().await;

    let error = story.try_open().await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.reason().contains("this process"), "{error}");
    let pid = fs::read_to_string(story.path("LOCK")).unwrap();
    assert_eq!(pid.trim(), std::process::id().to_string());
    backend.partition(&home()).await.unwrap();
    backend.close().await.unwrap();
    let again = story.open().await;
    drop(backend);
    again.partition(&home()).await.unwrap();
}

#[tokio::test]
async fn dropping_closes_at_once() {
    let story = Story::new();

    drop(story.open_home().await);

    story.open().await.partition(&home()).await.unwrap();
}

#[tokio::test]
async fn closing_twice_is_ok_and_everything_else_is_closed() {
    let story = Story::new();
    let backend = story.open_home().await;

    let (first, second) = tokio::join!(backend.close(), backend.close());

    first.unwrap();
    second.unwrap();
    for error in [
        backend.partition(&home()).await.unwrap_err(),
        backend.delete_partition(&home()).await.unwrap_err(),
        backend.sync().await.unwrap_err(),
        backend.health().await.unwrap_err(),
        backend.usage().await.unwrap_err(),
        backend.watch(&home()).await.unwrap_err(),
        backend.verify().unwrap().verify().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
}

#[tokio::test]
async fn a_directory_is_made_for_its_owner_alone() {
    let mut story = Story::new();
    story.config = JournalConfig::new(story.root().join("a/b/c")).disk_reserve(0);

    let backend = story.open().await;

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&story.config.storage_dir), 0o700);
    assert_eq!(mode(&story.path("journal")), 0o600);
    assert_eq!(mode(&story.path("LOCK")), 0o600);
    assert_eq!(
        backend.descriptor().place.as_deref(),
        story.config.storage_dir.to_str()
    );
}

#[tokio::test]
async fn a_place_of_something_else_is_left_as_it_was() {
    let story = Story::new();
    let dir = story.config.storage_dir.clone();
    fs::create_dir(&dir).unwrap();
    for (name, bytes) in [
        ("letters.txt", b"dear".as_slice()),
        ("journal", b"dear diary, a stranger came today"),
        ("journal", b""),
    ] {
        fs::write(dir.join(name), bytes).unwrap();
        let before = listing(&dir);

        let error = story.try_open().await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
        assert_eq!(listing(&dir), before);
    }
}

#[tokio::test]
async fn a_file_in_place_of_the_directory_is_left_as_it_was() {
    let story = Story::new();
    fs::write(&story.config.storage_dir, "a file").unwrap();

    let error = story.try_open().await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error}");
    assert_eq!(fs::read(&story.config.storage_dir).unwrap(), b"a file");
}

#[tokio::test]
async fn a_newer_format_is_unsupported_and_left_as_it_was() {
    let story = Story::new();
    drop(story.open_home().await);
    let mut bytes = story.bytes();
    bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes.truncate(20);
    story.set_bytes(&bytes);

    let error = story.try_open().await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert_eq!(story.bytes(), bytes);
}
