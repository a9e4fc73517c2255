//! Many producers of single items where a sync is slow: nearly all that waits goes into one.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::Value;

#[test]
fn sixty_four_producers_put_twenty_operations_and_more_into_a_slow_sync() {
    let scratch = tempfile::tempdir().unwrap();
    let json = scratch.path().join("rows.json");

    let ran = Command::new(env!("CARGO_BIN_EXE_storage-bench"))
        .args(["--quick", "--drivers", "redb,rocks", "--slow-sync", "25"])
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();

    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{told}");
    let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    for driver in ["redb", "rocks"] {
        let operations_per_sync = |producers: u64| {
            let is_it = |row: &&Value| row["driver"] == driver && row["producers"] == producers;
            let row = rows.iter().find(is_it).unwrap();
            assert_eq!(row["durability"], "power-loss");
            row["operations_per_sync"].as_f64().unwrap()
        };
        let alone = operations_per_sync(1);
        assert!((0.8..=1.0).contains(&alone), "{driver}: {alone} of one");
        let crowd = operations_per_sync(64);
        assert!(crowd >= 20.0, "{driver}: {crowd} of many");
        let by_hand = |producers: u64| {
            let is_it = |row: &&Value| {
                let key = (&row["driver"], &row["producers"], &row["baseline"]);
                key == (&driver.into(), &producers.into(), &"by-hand".into())
            };
            let row = rows.iter().find(is_it).unwrap();
            row["baseline_items_per_second"].as_f64().unwrap()
        };
        // One at a time, each waits for a sync of its own.
        let alone = by_hand(1);
        assert!(alone <= 40.0, "{driver}: {alone} items/s by hand");
        assert!(by_hand(64) > 0.0, "{driver}");
    }
}
