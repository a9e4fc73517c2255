use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use storage_api::{Error, ErrorKind};
use storage_kv::Place;

/// Every file of a directory.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap();
    let file = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

fn refused(directory: &Path, driver: &str) -> Error {
    Place::hold(directory, driver).expect_err("the place must be refused")
}

#[test]
fn a_place_is_made_for_its_user_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("deep/down");

    let place = Place::hold(&directory, "sim").unwrap();

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for file in files(place.path()).into_keys() {
        assert_eq!(mode(&directory.join(&file)), 0o600, "{file}");
    }
}

#[test]
fn a_held_place_is_refused_names_its_holder_and_is_free_afterwards() {
    let scratch = tempfile::tempdir().unwrap();
    let place = Place::hold(scratch.path(), "sim").unwrap();
    let before = files(scratch.path());

    let error = refused(scratch.path(), "sim");

    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let pid = std::process::id().to_string();
    assert!(error.reason().contains(&pid), "{error}");
    assert_eq!(files(scratch.path()), before);
    drop(place);
    Place::hold(scratch.path(), "sim").unwrap();
}

#[test]
fn a_lock_that_a_dead_process_left_to_its_child_is_waited_for() {
    let scratch = tempfile::tempdir().unwrap();
    drop(Place::hold(scratch.path(), "sim").unwrap());
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let mut lock = fs::File::create(scratch.path().join("lock")).unwrap();
    lock.lock().unwrap();
    writeln!(lock, "{}", dead.id()).unwrap();
    // It holds the lock as long as it lives, under the name of the dead.
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(lock)
        .spawn()
        .unwrap();
    let directory = scratch.path().to_owned();

    let holding = std::thread::spawn(move || Place::hold(&directory, "sim"));
    assert!(!holding.is_finished());
    drop(child.stdin.take());
    child.wait().unwrap();

    holding.join().unwrap().unwrap();
}

#[test]
fn two_ways_to_a_directory_are_one_place() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("data");
    let _place = Place::hold(&directory, "sim").unwrap();
    let link = scratch.path().join("link");
    symlink(&directory, &link).unwrap();

    assert_eq!(refused(&link, "sim").kind(), ErrorKind::Unavailable);
}

#[test]
fn a_link_to_nothing_is_refused_and_makes_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let link = scratch.path().join("link");
    symlink(scratch.path().join("nothing"), &link).unwrap();

    assert_eq!(refused(&link, "sim").kind(), ErrorKind::Unsupported);

    assert!(!scratch.path().join("nothing").exists());
}

#[test]
fn what_somebody_else_put_there_is_left_as_it_was() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("thesis.txt"), "years of work").unwrap();
    let before = files(scratch.path());
    assert_eq!(
        refused(scratch.path(), "sim").kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(files(scratch.path()), before);

    let file = scratch.path().join("thesis.txt");
    assert_eq!(refused(&file, "sim").kind(), ErrorKind::Unsupported);
    assert_eq!(files(scratch.path()), before);
}

#[test]
fn the_place_of_another_driver_is_refused_by_name() {
    let scratch = tempfile::tempdir().unwrap();
    drop(Place::hold(scratch.path(), "redb").unwrap());
    let before = files(scratch.path());

    let error = refused(scratch.path(), "rocks");

    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.reason().contains("the driver redb made it"),
        "{error}"
    );
    assert_eq!(files(scratch.path()), before);
}

#[test]
fn a_newer_format_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let body = "format 2\ndriver sim\nmade by the future";
    let marker = format!("{body}\ncrc32c {:08x}\n", crc32c::crc32c(body.as_bytes()));
    fs::write(scratch.path().join("storage-place"), marker).unwrap();
    let before = files(scratch.path());

    let error = refused(scratch.path(), "sim");

    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.reason().contains("newer version"), "{error}");
    assert_eq!(files(scratch.path()), before);
}

#[test]
fn a_format_before_the_first_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let body = "format 0\ndriver sim";
    let marker = format!("{body}\ncrc32c {:08x}\n", crc32c::crc32c(body.as_bytes()));
    fs::write(scratch.path().join("storage-place"), marker).unwrap();
    let before = files(scratch.path());

    let error = refused(scratch.path(), "sim");

    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.reason().contains("its format is 0"), "{error}");
    assert_eq!(files(scratch.path()), before);
}

#[test]
fn every_flipped_bit_and_every_cut_of_the_marker_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    drop(Place::hold(scratch.path(), "sim").unwrap());
    let marker = scratch.path().join("storage-place");
    let whole = fs::read(&marker).unwrap();
    let check = |damaged: &[u8], what: &str| {
        fs::write(&marker, damaged).unwrap();
        let kind = refused(scratch.path(), "sim").kind();
        let is_told = matches!(kind, ErrorKind::Corrupted | ErrorKind::Unsupported);
        assert!(is_told, "{what}: {kind}");
    };

    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        check(&damaged, &format!("bit {bit}"));
    }
    for len in 0..whole.len() {
        check(&whole[..len], &format!("cut to {len}"));
    }

    fs::write(&marker, whole).unwrap();
    Place::hold(scratch.path(), "sim").unwrap();
}

#[test]
fn what_a_crash_while_marking_left_is_taken_over() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("lock"), "1         \n").unwrap();
    fs::write(scratch.path().join("storage-place.new"), "form").unwrap();

    Place::hold(scratch.path(), "sim").unwrap();
}

#[test]
fn a_place_that_cannot_be_made_is_unavailable() {
    // Nobody may make directories here, whoever runs this.
    let error = refused(Path::new("/proc/storage"), "sim");

    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.reason().contains("name another place"), "{error}");
}
