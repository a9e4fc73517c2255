//! Places that earlier versions wrote are read for ever.

use std::fs;
use std::path::{Path, PathBuf};

use storage_api::{ItemBatch, ItemStore, NewItem, StorageBackend};

use crate::scene::{at, contents, furnish, home, open};

fn golden(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format)
}

/// Copies a closed place, or what describes it; who held it is of no interest.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() == "lock" {
            continue;
        }
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[tokio::test]
async fn a_place_of_format_1_shows_what_was_put_into_it() {
    let scratch = tempfile::tempdir().unwrap();
    copy(&golden("format-1"), scratch.path());

    let backend = open(scratch.path()).await;

    let expected = fs::read_to_string(golden("format-1").join("contents.txt")).unwrap();
    assert_eq!(contents(&backend).await, expected);
    let found = backend.verify().unwrap().verify().await.unwrap();
    assert_eq!(found, Vec::<String>::new());
    // What is not seen is there too: a key that lingers, and where the numbers stand.
    let mut again = ItemBatch::new();
    again.push(NewItem::new("again").dedup_key("done")).unwrap();
    again.push(NewItem::new("new")).unwrap();
    let produced = backend.produce(&home(), again.seal(at(5))).await.unwrap();
    assert_eq!(produced.duplicates().len(), 1);
    assert_eq!(produced.ids().map(u64::from).collect::<Vec<_>>(), [7]);
    backend.close().await.unwrap();
}

/// Writes the directory of a new format, to be run once for each: `cargo test -p storage-sled -- --ignored write`.
#[tokio::test]
#[ignore = "writes the golden directory of a new format"]
async fn write_the_golden_directory() {
    let scratch = tempfile::tempdir().unwrap();
    let backend = open(scratch.path()).await;
    furnish(&backend).await;
    let text = contents(&backend).await;
    backend.close().await.unwrap();
    let golden = golden("format-new");
    fs::create_dir_all(&golden).unwrap();
    fs::write(golden.join("contents.txt"), text).unwrap();
    copy(scratch.path(), &golden);
}
