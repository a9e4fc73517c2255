//! A disk whose syncs fail: the system itself says so, to the engine.

use std::fs;
use std::path::PathBuf;

use libtest_mimic::{Completion, Failed, Trial};
use storage_api::{ErrorKind, Outcome, RetryHint};

use crate::scene::{Scene, home_in, items, payload, produce, run};
use crate::{layer, role};

const SOURCE: &str = include_str!("failing_sync.c");

/// The variable that names the file which is there while syncs fail.
const BROKEN: &str = "STORAGE_FAILING_SYNC";

const ACKNOWLEDGED: u64 = 5;

/// The test on the driver of that name.
pub(crate) fn trial(driver: &str) -> Trial {
    let of = driver.to_owned();
    let name = format!("{driver}::a_sync_that_the_system_fails_stops_writes_until_a_reopening");
    Trial::ignorable_test(name, move || stops_writes(&of))
}

fn stops_writes(driver: &str) -> Result<Completion, Failed> {
    if driver == "sled" {
        let reason = "sled 0.34 never waits for the disk";
        return Ok(Completion::ignored_with(reason));
    }
    let scratch = tempfile::tempdir()?;
    let layer = match layer::compile(scratch.path(), SOURCE) {
        Ok(layer) => layer,
        Err(reason) => return Ok(Completion::ignored_with(reason)),
    };
    let scene = Scene::new(driver);

    let ran = role::command(&[], "broken-disk", driver, scene.root())
        .env("LD_PRELOAD", layer)
        .env(BROKEN, scratch.path().join("broken"))
        .output()?;

    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{told}");
    run(async {
        let storage = scene.open().await;
        let found = items(&home_in(&storage).await).await.unwrap();
        let mut expected = (0..ACKNOWLEDGED).map(|number| payload(number, 300));
        assert!(expected.all(|payload| found.values().any(|found| *found == payload)));
        // Nobody knows whether the one that failed applied; the one that was refused did not.
        assert!(found.len() as u64 <= ACKNOWLEDGED + 1, "{}", found.len());
        assert_eq!(storage.verify().await.unwrap(), Vec::<String>::new());
        storage.close().await.unwrap();
    });
    Ok(Completion::Completed)
}

/// The life of the process whose disk breaks.
pub(crate) fn broken_disk(scene: &Scene) {
    let broken = PathBuf::from(std::env::var_os(BROKEN).unwrap());
    run(async {
        let storage = scene.open().await;
        let home = home_in(&storage).await;
        for number in 0..ACKNOWLEDGED {
            produce(&home, number, 300).await.unwrap();
        }
        fs::write(&broken, "").unwrap();

        let failed = produce(&home, 100, 300).await.unwrap_err();
        // The disk is whole again, and yet nobody knows what it holds.
        fs::remove_file(&broken).unwrap();
        let refused = produce(&home, 101, 300).await.unwrap_err();

        assert_eq!(failed.outcome(), Outcome::Unknown, "{failed}");
        assert_eq!(refused.outcome(), Outcome::NotApplied, "{refused}");
        for error in [failed, refused] {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert_eq!(error.retry_hint(), RetryHint::AfterReopen, "{error}");
        }
        let seen = items(&home).await.unwrap();
        assert!(seen.len() as u64 >= ACKNOWLEDGED, "reads go on");
        // It may say that it has stopped.
        let _ = storage.close().await;
    });
}
