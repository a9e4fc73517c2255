//! Places that earlier versions wrote are read for ever.

use std::fs;
use std::path::{Path, PathBuf};

use storage_api::{ItemBatch, ItemStore, NewItem, StorageBackend};

use crate::scene::{at, contents, copy, furnish, home, open};

fn golden(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format)
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

/// Writes the directory of a new format, to be run once for each: `cargo test -p storage-rocks -- --ignored write`.
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
