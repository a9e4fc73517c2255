//! Places that are held, let go, and somebody else's.

use std::fs;

use storage_api::{ErrorKind, ItemStore, StorageBackend};
use storage_kv::Place;

use crate::driver::StoredDriver;
use crate::scene::{
    batch, contents, copy, data_files, furnish, furnish_and_close, home, open, refusal, unmake,
};

/// A test for each story of [`places`](mod@crate::places), on that driver.
#[macro_export]
macro_rules! places {
    ($driver:ty) => {
        $crate::told! { places of $driver, ():
            #[tokio::test]
            a_second_opening_is_refused_and_harms_nothing;
            #[tokio::test]
            a_backend_that_was_dropped_has_lost_nothing_and_let_go;
            #[tokio::test]
            a_place_of_another_driver_is_refused;
            #[tokio::test]
            an_engine_that_lost_its_file_is_refused_and_not_made_anew;
            #[tokio::test]
            a_place_that_was_not_made_to_its_end_is_made_anew;
            #[tokio::test]
            a_place_of_before_there_was_a_mark_gets_it;
        }
    };
}

/// Clause OPEN-1.
pub async fn a_second_opening_is_refused_and_harms_nothing<D: StoredDriver>() {
    let scratch = tempfile::tempdir().unwrap();
    let backend = open::<D>(scratch.path()).await;
    furnish(&backend).await;
    let before = contents(&backend).await;

    let error = refusal::<D>(scratch.path()).await;

    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let holder = std::process::id().to_string();
    assert!(error.reason().contains(&holder), "{error}");
    assert_eq!(contents(&backend).await, before);
    backend.close().await.unwrap();
    let backend = open::<D>(scratch.path()).await;
    assert_eq!(contents(&backend).await, before);
}

/// Clause CLOSE-1.
pub async fn a_backend_that_was_dropped_has_lost_nothing_and_let_go<D: StoredDriver>() {
    let scratch = tempfile::tempdir().unwrap();
    let backend = open::<D>(scratch.path()).await;
    furnish(&backend).await;
    let before = contents(&backend).await;

    drop(backend);

    let backend = open::<D>(scratch.path()).await;
    assert_eq!(contents(&backend).await, before);
}

/// Clause OPEN-2.
pub async fn a_place_of_another_driver_is_refused<D: StoredDriver>() {
    let scratch = tempfile::tempdir().unwrap();
    drop(Place::hold(scratch.path(), "another").unwrap());
    let files = || fs::read_dir(scratch.path()).unwrap().count();
    let before = files();

    let error = refusal::<D>(scratch.path()).await;

    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.reason().contains("another"), "{error}");
    assert_eq!(files(), before, "nothing was put there");
}

/// Clause OPEN-3: of a place that was closed, and of those that processes left that were killed in their first and in their
/// second session.
pub async fn an_engine_that_lost_its_file_is_refused_and_not_made_anew<D: StoredDriver>() {
    let scratch = tempfile::tempdir().unwrap();
    let [place, first, second, closed] =
        ["place", "first", "second", "closed"].map(|name| scratch.path().join(name));
    let backend = open::<D>(&place).await;
    furnish(&backend).await;
    copy(&place, &first);
    backend.close().await.unwrap();
    let backend = open::<D>(&place).await;
    backend.produce(&home(), batch(3, b"later")).await.unwrap();
    copy(&place, &second);
    backend.close().await.unwrap();
    copy(&place, &closed);

    for place in [first, second, closed] {
        let files = data_files::<D>(&place);
        assert!(!files.is_empty(), "{}", place.display());
        for is_removed in [true, false] {
            let damaged = scratch.path().join("damaged");
            copy(&place, &damaged);
            for file in data_files::<D>(&damaged) {
                match is_removed {
                    true => fs::remove_file(file).unwrap(),
                    false => fs::write(file, "").unwrap(),
                }
            }
            for opening in 1..=2 {
                let error = refusal::<D>(&damaged).await;

                let what = format!("{}, removed {is_removed}", place.display());
                assert_eq!(error.kind(), ErrorKind::Corrupted, "{what}: {error}");
                assert!(
                    error.reason().contains("copy"),
                    "{what}, {opening}: {error}"
                );
            }
            fs::remove_dir_all(damaged).unwrap();
        }
    }
}

/// Whoever was killed while it made a place has acknowledged nothing.
pub async fn a_place_that_was_not_made_to_its_end_is_made_anew<D: StoredDriver>() {
    let scratch = tempfile::tempdir().unwrap();
    unmake::<D>(scratch.path());

    let backend = open::<D>(scratch.path()).await;
    furnish(&backend).await;
    let before = contents(&backend).await;
    backend.close().await.unwrap();

    let backend = open::<D>(scratch.path()).await;
    assert_eq!(contents(&backend).await, before);
}

/// What was made by versions that did not mark it is marked when it is opened.
pub async fn a_place_of_before_there_was_a_mark_gets_it<D: StoredDriver>() {
    let scratch = tempfile::tempdir().unwrap();
    let before = furnish_and_close::<D>(scratch.path()).await;
    unmake::<D>(scratch.path());

    let backend = open::<D>(scratch.path()).await;
    assert_eq!(contents(&backend).await, before);
    backend.close().await.unwrap();

    for file in data_files::<D>(scratch.path()) {
        fs::remove_file(file).unwrap();
    }
    assert_eq!(
        refusal::<D>(scratch.path()).await.kind(),
        ErrorKind::Corrupted
    );
}
