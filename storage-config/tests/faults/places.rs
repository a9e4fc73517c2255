//! What is refused as a place, and left as it was; and what a place is made of.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use storage_api::{ErrorKind, ItemBatch, NewItem, PartitionConfig, PartitionId, limits};
use storage_config::Registry;

use crate::Story;
use crate::processes::say;
use crate::role;
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
        "what_may_not_be_written_is_refused_with_what_helps",
        what_may_not_be_written_is_refused_with_what_helps,
    ),
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

/// What the process says that has seen each refusal.
const REFUSED: &str = "each was refused";

/// In a process of its own, which the rights of files keep from nothing if it is root's.
fn what_may_not_be_written_is_refused_with_what_helps(driver: &str) {
    const NOBODY: u32 = 65534;
    let scene = Scene::new(driver);
    fs::set_permissions(scene.root(), Permissions::from_mode(0o777)).unwrap();
    let mut command = role::command(&[], "without-rights", driver, scene.root());
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // Where everybody may start it.
        let program = scene.root().join("program");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        command = role::command_of(&program, "without-rights", driver, scene.root());
        command.uid(NOBODY).gid(NOBODY);
    }

    let told = command.output().unwrap();

    let out = String::from_utf8_lossy(&told.stdout);
    let err = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{out}{err}");
    assert!(out.contains(REFUSED), "{out}{err}");
}

/// Directories without the right to write, and files of the engine without it.
pub(crate) fn without_rights(scene: &Scene) {
    run(scene.furnish());
    let before = run(looked_at(scene));
    let directories: fn(&Path) -> bool = Path::is_dir;
    let files: fn(&Path) -> bool = |path| path.is_file() && !is_lock(path);
    // redb makes no file where it has one.
    let forbid = match scene.driver() {
        "redb" => vec![files],
        _ => vec![directories, files],
    };
    for is_forbidden in forbid {
        let contents = data(scene);
        let forbidden: Vec<_> = everything(&scene.place())
            .into_iter()
            .filter(|path| is_forbidden(path))
            .map(|path| (mode(&path), path))
            .collect();
        for (mode, path) in &forbidden {
            fs::set_permissions(path, Permissions::from_mode(mode & 0o555)).unwrap();
        }

        let error = run(scene.refusal());

        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let advice = "the right to read and write";
        assert!(error.reason().contains(advice), "{error}");
        for (mode, path) in &forbidden {
            let allowed = fs::set_permissions(path, Permissions::from_mode(*mode));
            assert!(allowed.is_ok() || is_told(path), "{}", path.display());
        }
        assert!(data(scene) == contents, "it was changed: {error}");
    }
    assert_eq!(run(looked_at(scene)), before);
    say(REFUSED);
}

/// The directory and all that is in it.
fn everything(directory: &Path) -> Vec<PathBuf> {
    let mut paths = vec![directory.to_owned()];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => paths.extend(everything(&path)),
            false => paths.push(path),
        }
    }
    paths
}

/// The files of a place that hold something.
fn data(scene: &Scene) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut data = files(&scene.place());
    data.retain(|path, _| !is_told(path));
    data
}

/// Whether RocksDB tells there what it does.
fn is_told(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with("LOG")
}

/// The lock of the place: whoever may not write to it does not get as far as the engine.
fn is_lock(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "lock")
}

async fn looked_at(scene: &Scene) -> String {
    let storage = scene.open().await;
    let seen = look(&storage).await.unwrap();
    storage.close().await.unwrap();
    seen
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
