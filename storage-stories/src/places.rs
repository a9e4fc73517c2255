//! Places that are held, let go, and somebody else's.

use std::fs;

use storage_api::{ErrorKind, StorageBackend};
use storage_kv::Place;

use crate::driver::StoredDriver;
use crate::scene::{contents, furnish, open, refusal};

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
