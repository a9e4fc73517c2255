//! That nothing of the drivers' locking stands outside of what is replaced here.

use std::path::Path;

/// Where locks, atomics and threads come from; a sleep is none of them.
const SOURCES: [&str; 5] = [
    "parking_lot",
    "std::sync::atomic",
    "std::sync::Mutex",
    "tokio::sync",
    "std::thread::Builder",
];

#[test]
fn one_file_of_each_driver_says_where_its_locks_come_from() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for driver in ["storage-kv", "storage-memory"] {
        for entry in std::fs::read_dir(workspace.join(driver).join("src")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() || path.ends_with("sync.rs") {
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let found = SOURCES.iter().find(|name| source.contains(**name));

            assert_eq!(found, None, "{}: name it in sync.rs", path.display());
        }
    }
}
