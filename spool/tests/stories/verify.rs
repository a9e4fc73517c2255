//! `spool verify` on sound and on damaged places.

use redb::{Database, ReadableTable, TableDefinition};
use serde_json::{Value, json};

use crate::scene::{Ran, Scene};

/// Two storages over one file.
const ON_REDB: &str = "\
queue-storage: { driver: redb, config: { storage-dir: data } }
partition-storage: [{ name: disk-01, driver: redb, config: { storage-dir: data } }]
queues: [{ name: jobs, attempts-max: 1 }]
";
const FILE: &str = "data/queue.redb";

/// A place with three dead items.
fn furnished() -> Scene {
    let scene = Scene::of(ON_REDB);
    scene.write("input", "1\n2\n3\n");
    let ran = scene.run(&["--json", "--exec", "false"]);
    assert_eq!(ran.counts(), [3, 0, 0, 3], "{ran:?}");
    scene
}

fn verify(scene: &Scene, args: &[&str]) -> Ran {
    let args = [&["verify", "--config", "queue.yaml"], args].concat();
    Ran::of(&mut scene.spool(&args))
}

#[test]
fn a_sound_place_is_said_to_be_sound_with_what_was_checked() {
    let scene = furnished();

    let told = verify(&scene, &[]);
    let as_json = verify(&scene, &["--json"]);

    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(
        told.out,
        "queue-storage, disk-01 (redb): 1 partitions, 3 items: sound\n"
    );
    assert_eq!(as_json.code, Some(0), "{as_json:?}");
    let storage = json!({
        "names": ["queue-storage", "disk-01"], "driver": "redb", "verified": true,
        "partitions": 1, "items": 3, "findings": [],
    });
    assert_eq!(
        as_json.report(),
        json!({ "sound": true, "refused": null, "storages": [storage] })
    );
}

#[test]
fn a_place_that_is_not_there_is_refused_and_not_made() {
    let scene = Scene::of(ON_REDB);

    let verified = verify(&scene, &[]);
    let shown = Ran::of(&mut scene.spool(&["status", "--config", "queue.yaml", "--queue", "jobs"]));

    for ran in [verified, shown] {
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains("there is nothing at "), "{ran:?}");
        assert!(!scene.path("data").exists(), "{ran:?}");
    }
}

#[test]
fn a_row_that_is_missing_is_found() {
    let scene = furnished();
    let database = Database::open(scene.path(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    let dead: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("dead");
    let mut table = transaction.open_table(dead).unwrap();
    let first = table.first().unwrap().unwrap().0.value().to_vec();
    table.remove(first.as_slice()).unwrap().unwrap();
    drop(table);
    transaction.commit().unwrap();
    drop(database);

    let told = verify(&scene, &[]);
    let as_json = verify(&scene, &["--json"]);

    assert_eq!((told.code, as_json.code), (Some(4), Some(4)), "{told:?}");
    let row = "jobs/0: item 1: its row of dead is missing";
    assert!(told.out.contains(row), "{}", told.out);
    assert!(told.out.contains("findings\n"), "{}", told.out);
    let report = as_json.report();
    assert_eq!(report["sound"], false);
    let Value::Array(findings) = &report["storages"][0]["findings"] else {
        panic!("{report}");
    };
    assert!(
        findings.iter().any(|finding| finding
            .as_str()
            .is_some_and(|finding| finding.ends_with(row))),
        "{report}"
    );
}

#[test]
fn a_place_that_is_too_damaged_to_be_opened_is_told() {
    let scene = furnished();
    let mut bytes = std::fs::read(scene.path(FILE)).unwrap();
    bytes.truncate(bytes.len() / 2);
    scene.write(FILE, &bytes);

    let told = verify(&scene, &[]);
    let as_json = verify(&scene, &["--json"]);

    assert_eq!((told.code, as_json.code), (Some(4), Some(4)), "{told:?}");
    assert!(
        told.out.starts_with("damaged: queue.yaml:1:"),
        "{}",
        told.out
    );
    let report = as_json.report();
    assert_eq!(report["sound"], false);
    assert!(report["refused"].is_string(), "{report}");
    assert_eq!(std::fs::read(scene.path(FILE)).unwrap(), bytes, "untouched");
}

#[test]
fn where_nothing_can_be_verified_nothing_is_called_sound() {
    let scene = Scene::new();

    let told = verify(&scene, &[]);
    let as_json = verify(&scene, &["--json"]);

    assert_eq!((told.code, as_json.code), (Some(1), Some(1)), "{told:?}");
    assert!(told.out.contains("not verified"), "{}", told.out);
    assert!(told.err.contains("nothing was verified"), "{}", told.err);
    assert_eq!(as_json.report()["sound"], Value::Null);
}
