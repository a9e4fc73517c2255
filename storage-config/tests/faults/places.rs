//! What is refused as a place, and left as it was; and what a place is made of.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use storage_api::{ErrorKind, ItemBatch, NewItem, PartitionConfig, PartitionId, limits};
use storage_config::Registry;

use crate::Story;
use crate::scene::{LEASE, Scene, files, home_in, look, produce, refusal, run};

pub(crate) const ALL: &[(&str, Story)] = &[
    (
        "a_file_in_its_place_is_refused",
        a_file_in_its_place_is_refused,
    ),
    (
        "places_of_all_other_drivers_are_refused",
        places_of_all_other_drivers_are_refused,
    ),
    ("a_newer_format_is_refused", a_newer_format_is_refused),
    (
        "a_link_to_a_place_is_that_place",
        a_link_to_a_place_is_that_place,
    ),
    ("a_link_to_nothing_is_refused", a_link_to_nothing_is_refused),
    (
        "a_place_is_for_its_user_alone",
        a_place_is_for_its_user_alone,
    ),
    (
        "an_open_directory_lets_nobody_else_read_what_is_in_it",
        an_open_directory_lets_nobody_else_read_what_is_in_it,
    ),
    ("names_never_become_paths", names_never_become_paths),
    ("the_largest_batch_comes_back", the_largest_batch_comes_back),
];

fn a_file_in_its_place_is_refused(driver: &str) {
    let scene = Scene::new(driver);
    fs::write(scene.place(), "years of work").unwrap();

    let error = run(scene.refusal());

    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.reason().contains("not a directory"), "{error}");
    assert_eq!(fs::read(scene.place()).unwrap(), b"years of work");
}

fn places_of_all_other_drivers_are_refused(driver: &str) {
    let scene = Scene::new(driver);
    run(scene.furnish());
    let before = files(scene.root());

    for other in Registry::builtin().drivers() {
        if other == driver || other == "memory" {
            continue;
        }
        let error = run(async { refusal(scene.try_open_as(other).await) });

        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        let names_both = error.reason().contains(driver) && error.reason().contains(other);
        assert!(names_both, "{error}");
        assert!(files(scene.root()) == before, "{other} has changed it");
    }
    run(async { scene.open().await.close().await }).unwrap();
}

fn a_newer_format_is_refused(driver: &str) {
    let scene = Scene::new(driver);
    run(scene.furnish());
    let body = format!("format 4294967295\ndriver {driver}");
    let marker = format!("{body}\ncrc32c {:08x}\n", crc32c::crc32c(body.as_bytes()));
    fs::write(scene.place().join("storage-place"), marker).unwrap();
    let before = files(scene.root());

    let error = run(scene.refusal());

    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.reason().contains("newer"), "{error}");
    assert!(files(scene.root()) == before, "it was changed");
}

fn a_link_to_a_place_is_that_place(driver: &str) {
    let scene = Scene::new(driver);
    let elsewhere = scene.root().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, scene.place()).unwrap();

    run(scene.furnish());
    let found = run(async { look(&scene.open().await).await });

    assert!(found.is_ok(), "{found:?}");
    assert!(elsewhere.join("storage-place").exists());
    assert!(scene.place().is_symlink(), "the link is still one");
}

fn a_link_to_nothing_is_refused(driver: &str) {
    let scene = Scene::new(driver);
    symlink(scene.root().join("nothing"), scene.place()).unwrap();

    let error = run(scene.refusal());

    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(!scene.root().join("nothing").exists());
}

fn a_place_is_for_its_user_alone(driver: &str) {
    let scene = Scene::new(driver);

    run(scene.furnish());

    assert_eq!(mode(&scene.place()), 0o700);
}

/// The directory is left as it is: what lies in it is the driver's.
fn an_open_directory_lets_nobody_else_read_what_is_in_it(driver: &str) {
    let scene = Scene::new(driver);
    fs::create_dir(scene.place()).unwrap();
    fs::set_permissions(scene.place(), Permissions::from_mode(0o755)).unwrap();

    run(async {
        let storage = scene.open().await;
        let home = home_in(&storage).await;
        // Large ones have files of their own in some engines.
        produce(&home, 1, 1 << 20).await.unwrap();
        assert_eq!(reachable(&scene.place()), Vec::<PathBuf>::new(), "open");
        storage.close().await.unwrap();
    });

    assert_eq!(reachable(&scene.place()), Vec::<PathBuf>::new(), "closed");
    assert_eq!(mode(&scene.place()), 0o755);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// What somebody else can read or change of what lies in a directory that everybody may enter.
fn reachable(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if mode(&path) & 0o077 != 0 {
            found.push(path);
        }
    }
    found
}

fn names_never_become_paths(driver: &str) {
    let scene = Scene::new(driver);
    let long = "../".repeat(170);
    let names = ["..", "../x", "/", "/tmp/x", "\0", "a\0b", ".", "x/y", &long];

    run(async {
        let storage = scene.open().await;
        for (number, name) in (0..).zip(names) {
            let id = PartitionId::new(name, 0).unwrap();
            let config = PartitionConfig::default();
            let partition = storage.create_partition(id, config).await.unwrap();
            produce(&partition, number, 64).await.unwrap();
            let entries = storage.metadata(&long[..250]).unwrap();
            entries.put(name, name).await.unwrap();
        }
        storage.close().await.unwrap();
        let storage = scene.open().await;
        for (number, name) in (0..).zip(names) {
            let id = PartitionId::new(name, 0).unwrap();
            let leased = storage
                .partition(id)
                .unwrap()
                .lease(9, LEASE)
                .await
                .unwrap();
            let payloads: Vec<_> = leased.iter().map(|item| item.payload().to_vec()).collect();
            assert_eq!(payloads, [crate::scene::payload(number, 64)], "{name:?}");
        }
        storage.close().await.unwrap();
    });

    let around: Vec<_> = fs::read_dir(scene.root()).unwrap().collect();
    assert_eq!(around.len(), 1, "{around:?}");
    for path in files(&scene.place()).into_keys() {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(!names.contains(&name) && !name.contains('\0'), "{name:?}");
    }
}

fn the_largest_batch_comes_back(driver: &str) {
    const COUNT: usize = limits::BATCH_BYTES_MAX / limits::PAYLOAD_BYTES_MAX;
    let scene = Scene::new(driver);
    let payload = |number| crate::scene::payload(number, limits::PAYLOAD_BYTES_MAX);

    run(async {
        let storage = scene.open().await;
        let mut batch = ItemBatch::new();
        for number in 0..COUNT as u64 {
            batch.push(NewItem::new(&payload(number))).unwrap();
        }
        home_in(&storage).await.produce_batch(batch).await.unwrap();
        storage.close().await.unwrap();
        let storage = scene.open().await;
        let home = home_in(&storage).await;
        let leased = home.lease(COUNT, LEASE).await.unwrap();

        assert_eq!(leased.len(), COUNT);
        for (number, item) in (0..).zip(leased.iter()) {
            assert!(item.payload() == payload(number), "item {number}");
        }
        home.complete(leased.receipts()).await.unwrap();
        assert_eq!(home.stats().await.unwrap().items(), 0);
        storage.close().await.unwrap();
    });
}
