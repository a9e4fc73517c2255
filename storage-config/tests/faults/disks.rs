//! Disks that are full, are filled by a stranger, or cannot be written: each test mounts one of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind as IoErrorKind, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use storage_api::{
    Error, ErrorKind, ItemId, Outcome, Partition, Result, Retry, RetryHint, RetryTo, States,
    Storage,
};

use crate::Story;
use crate::role;
use crate::scene::{LEASE, Scene, home_in, items, payload, produce, run};

pub(crate) const ALL: &[(&str, Story)] = &[
    (
        "a_full_disk_refuses_what_grows_and_a_stranger_on_it_loses_nothing",
        |driver| in_a_mount("full-disk", driver),
    ),
    (
        "a_disk_that_cannot_be_written_is_refused_and_left_as_it_was",
        |driver| in_a_mount("read-only", driver),
    ),
];

const MIB: u64 = 1 << 20;
const DISK_BYTES: u64 = 160 * MIB;
const RESERVE_BYTES: u64 = 64 * MIB;
const PAYLOAD_BYTES: usize = 256 << 10;
/// What removes everything may take that long to give the space back.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Ways to a namespace in which this user may mount, the one for root first.
const LAUNCHERS: [&[&str]; 2] = [&["unshare", "-m"], &["unshare", "-rm"]];

/// The first way that works here.
fn launcher() -> Option<&'static [&'static str]> {
    LAUNCHERS.into_iter().find(|launcher| {
        let scratch = tempfile::tempdir().unwrap();
        let mut probe = Command::new(launcher[0]);
        probe.args(&launcher[1..]);
        probe
            .args(["mount", "-t", "tmpfs", "none"])
            .arg(scratch.path());
        probe.output().is_ok_and(|probed| probed.status.success())
    })
}

pub(crate) fn can_mount() -> bool {
    launcher().is_some()
}

/// Plays a part where it may mount; its failure is that of the test.
fn in_a_mount(part: &str, driver: &str) {
    let launcher = launcher().expect("mounting needs root or user namespaces: run as root");
    let scratch = tempfile::tempdir().unwrap();
    let played = role::command(launcher, part, driver, scratch.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&played.stderr);
    assert!(played.status.success(), "{}: {said}", played.status);
}

fn mount(options: &str, directory: &Path) {
    let mut command = Command::new("mount");
    command
        .args(["-t", "tmpfs", "-o", options, "none"])
        .arg(directory);
    let mounted = command.output().unwrap();
    assert!(mounted.status.success(), "{mounted:?}");
}

pub(crate) fn read_only(scene: &Scene) {
    mount("size=64m", scene.root());
    run(scene.furnish());
    let before = crate::scene::files(scene.root());
    mount("remount,ro", scene.root());

    let error = run(scene.refusal());
    let elsewhere = Scene::at(scene.driver(), scene.root().join("new"));
    let new = run(elsewhere.refusal());

    for error in [error, new] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.reason().contains("Read-only"), "{error}");
        let advice = "mounted for writing, or name another place";
        assert!(error.reason().contains(advice), "{error}");
    }
    assert!(
        crate::scene::files(scene.root()) == before,
        "it was changed"
    );
    mount("remount,rw", scene.root());
    run(async { scene.open().await.close().await }).unwrap();
}

/// What must be in the place, as far as anybody was told.
#[derive(Default)]
struct Ledger {
    produced: BTreeMap<ItemId, u64>,
    gone: BTreeSet<ItemId>,
    /// Which nobody knows of.
    unsure: BTreeSet<ItemId>,
    unsure_new: usize,
    /// Whether an error has asked for a reopening.
    asks_to_reopen: bool,
}

impl Ledger {
    async fn produce(&mut self, home: &Partition, number: u64) -> Result<()> {
        match produce(home, number, PAYLOAD_BYTES).await {
            Ok(id) => {
                self.produced.insert(id, number);
                Ok(())
            }
            Err(error) => {
                self.unsure_new += usize::from(error.outcome() == Outcome::Unknown);
                Err(self.note(error))
            }
        }
    }

    async fn complete_one(&mut self, home: &Partition) -> Result<bool> {
        let leased = home
            .lease(1, LEASE)
            .await
            .map_err(|error| self.note(error))?;
        let Some(item) = leased.iter().next() else {
            return Ok(false);
        };
        let id = item.id();
        match home.complete(leased.receipts()).await {
            Ok(_) => {
                self.gone.insert(id);
                Ok(true)
            }
            Err(error) => {
                if error.outcome() == Outcome::Unknown {
                    self.unsure.insert(id);
                }
                Err(self.note(error))
            }
        }
    }

    /// Tries items again, with notes, until the engine has used up what it had at hand; one that needs nothing goes on.
    async fn write_until_refused(&mut self, home: &Partition) {
        for round in 0..300 {
            let leased = match home.lease(100, LEASE).await {
                Ok(leased) => leased.receipts(),
                Err(error) => return drop(self.note(error)),
            };
            let note = format!("{round} ").repeat(200);
            let again = leased.iter().map(|receipt| {
                let retry = Retry::new(*receipt, RetryTo::Now);
                retry.with_note(note.as_str()).unwrap()
            });
            if let Err(error) = home.retry(again.collect::<Vec<_>>()).await {
                return drop(self.note(error));
            }
        }
    }

    /// What an error of a full disk may be.
    fn note(&mut self, error: Error) -> Error {
        let kind = error.kind();
        let is_expected = matches!(kind, ErrorKind::CapacityExceeded | ErrorKind::Unavailable);
        assert!(is_expected, "{error}");
        assert!(error.reason().contains("make room"), "{error}");
        self.asks_to_reopen |= error.retry_hint() == RetryHint::AfterReopen;
        error
    }

    /// That nothing acknowledged is lost, and nothing else is there.
    async fn audit(&self, home: &Partition) {
        let found = items(home).await.unwrap();
        for (id, number) in &self.produced {
            match found.get(id) {
                Some(found) => {
                    assert!(!self.gone.contains(id), "item {id} is back");
                    assert!(*found == payload(*number, PAYLOAD_BYTES), "item {id}");
                }
                None => {
                    let may_be_gone = self.gone.contains(id) || self.unsure.contains(id);
                    assert!(may_be_gone, "item {id} is lost");
                }
            }
        }
        let others = found.keys().filter(|id| !self.produced.contains_key(id));
        let others = others.count();
        assert!(
            others <= self.unsure_new,
            "{others} items that nobody knows"
        );
    }
}

pub(crate) fn full_disk(scene: &Scene) {
    mount(&format!("size={DISK_BYTES}"), scene.root());
    let scene = Scene::at(scene.driver(), scene.root().to_owned()).with_reserve(RESERVE_BYTES);
    run(async {
        let storage = scene.open().await;
        let home = home_in(&storage).await;
        let mut ledger = Ledger::default();

        fill_to_the_reserve(&home, &mut ledger).await;
        work_while_full(&home, &mut ledger).await;
        ledger.audit(&home).await;

        let stranger = scene.root().join("stranger");
        fill(&stranger);
        for number in 10_000..10_050 {
            ledger.produce(&home, number).await.unwrap_err();
            // Works, or says why not.
            let _ = ledger.complete_one(&home).await;
        }
        ledger.write_until_refused(&home).await;
        ledger.audit(&home).await;

        let storage = match ledger.asks_to_reopen {
            true => reopen(&scene, storage, &stranger).await,
            false => {
                fs::remove_file(&stranger).unwrap();
                storage
            }
        };
        let home = home_in(&storage).await;
        ledger.audit(&home).await;
        assert_eq!(storage.verify().await.unwrap(), Vec::<String>::new());
        assert!(ledger.complete_one(&home).await.unwrap());
        home.clear(States::ALL).await.unwrap();
        // sled says that it gives no space back to the disk, but it uses it again.
        if scene.driver() != "sled" {
            until_produced(&home).await;
        }
        storage.close().await.unwrap();
        let scene = scene.with_reserve(0);
        let storage = scene.open().await;
        until_produced(&home_in(&storage).await).await;
        storage.close().await.unwrap();
    });
}

async fn fill_to_the_reserve(home: &Partition, ledger: &mut Ledger) {
    let most = DISK_BYTES / PAYLOAD_BYTES as u64;
    for number in 0..most {
        if let Err(error) = ledger.produce(home, number).await {
            assert_eq!(error.kind(), ErrorKind::CapacityExceeded, "{error}");
            assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
            assert!(number > 20, "after {number} items: {error}");
            return;
        }
    }
    panic!("{most} items fill the disk, and none was refused");
}

/// Everything but growing goes on.
async fn work_while_full(home: &Partition, ledger: &mut Ledger) {
    let leased = home.lease(8, LEASE).await.unwrap().receipts();
    home.extend(leased.to_vec(), LEASE).await.unwrap();
    let (done, rest) = leased.split_at(2);
    home.complete(done.to_vec()).await.unwrap();
    let (back, rest) = rest.split_at(2);
    home.release(back.to_vec()).await.unwrap();
    let (again, dead) = rest.split_at(2);
    let to = |receipts: &[storage_api::Receipt], to: RetryTo| -> Vec<Retry> {
        receipts
            .iter()
            .map(|receipt| Retry::new(*receipt, to))
            .collect()
    };
    home.retry(to(again, RetryTo::Now)).await.unwrap();
    home.retry(to(dead, RetryTo::Dead)).await.unwrap();
    home.revive(vec![dead[0].item]).await.unwrap();
    home.delete(vec![dead[1].item]).await.unwrap();
    home.maintain().await.unwrap();
    home.stats().await.unwrap();
    let gone = done.iter().map(|receipt| receipt.item);
    ledger.gone.extend(gone.chain([dead[1].item]));
}

/// Takes every byte that is free.
fn fill(stranger: &Path) {
    let mut file = File::create(stranger).unwrap();
    let mut chunk = vec![1; 1 << 20];
    while !chunk.is_empty() {
        match file.write(&chunk) {
            Ok(_) => {}
            Err(error) if error.kind() == IoErrorKind::StorageFull => {
                chunk.truncate(chunk.len() / 2);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Opens again while the disk is full, which may be refused, and then when the stranger has gone.
async fn reopen(scene: &Scene, storage: Storage, stranger: &Path) -> Storage {
    // It has stopped writing, and may say so.
    let _ = storage.close().await;
    drop(storage);
    match scene.try_open().await {
        Ok(storage) => {
            let _ = storage.close().await;
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.reason().contains("make room"), "{error}");
        }
    }
    fs::remove_file(stranger).unwrap();
    scene.open().await
}

/// Returns when there is room again: the driver gives space back in its own time.
async fn until_produced(home: &Partition) {
    for _ in 0..PATIENCE.as_millis() / LOOK_AGAIN.as_millis() {
        match produce(home, 1, PAYLOAD_BYTES).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.kind(), ErrorKind::CapacityExceeded, "{error}"),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    panic!("everything was cleared, and there is still no room");
}
