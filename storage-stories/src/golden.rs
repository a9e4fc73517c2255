//! Places that earlier versions wrote are read for ever.

use std::fs;
use std::path::Path;

use storage_api::{ItemBatch, ItemStore, NewItem, StorageBackend};

use crate::driver::StoredDriver;
use crate::scene::{assert_verified, at, contents, copy, furnish, home, open};

/// The tests of [`golden`](mod@crate::golden) on that driver, with the directories in `tests/golden` of the crate that calls it.
#[macro_export]
macro_rules! golden {
    ($driver:ty) => {
        $crate::told! { golden of $driver,
            (::std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))):
            #[tokio::test]
            a_place_of_format_1_shows_what_was_put_into_it;
            /// Writes the directory of a new format, to be run once for each: `cargo test -p CRATE -- --ignored write`.
            #[tokio::test]
            #[ignore = "writes the golden directory of a new format"]
            write_the_golden_directory;
        }
    };
}

/// Reads the directory `format-1`, made by [`write_the_golden_directory`].
pub async fn a_place_of_format_1_shows_what_was_put_into_it<D: StoredDriver>(golden: &Path) {
    let golden = golden.join("format-1");
    let scratch = tempfile::tempdir().unwrap();
    copy(&golden, scratch.path());

    let backend = open::<D>(scratch.path()).await;

    let expected = fs::read_to_string(golden.join("contents.txt")).unwrap();
    assert_eq!(contents(&backend).await, expected);
    assert_verified(&backend).await;
    // What is not seen is there too: a key that lingers, and where the numbers stand.
    let mut again = ItemBatch::new();
    again.push(NewItem::new("again").dedup_key("done")).unwrap();
    again.push(NewItem::new("new")).unwrap();
    let produced = backend.produce(&home(), again.seal(at(5))).await.unwrap();
    assert_eq!(produced.duplicates().len(), 1);
    assert_eq!(produced.ids().map(u64::from).collect::<Vec<_>>(), [7]);
    backend.close().await.unwrap();
}

/// Leaves the directory `format-new`: a closed place, and what is in it as text.
pub async fn write_the_golden_directory<D: StoredDriver>(golden: &Path) {
    let golden = golden.join("format-new");
    let scratch = tempfile::tempdir().unwrap();
    let backend = open::<D>(scratch.path()).await;
    furnish(&backend).await;
    let text = contents(&backend).await;
    backend.close().await.unwrap();

    copy(scratch.path(), &golden);

    fs::write(golden.join("contents.txt"), text).unwrap();
}
