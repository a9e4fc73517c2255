//! Bytes that are not what was written: told, never shown.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, Read as _};
use std::path::{Path, PathBuf};

use storage_api::{ErrorKind, Storage};

use crate::Story;
use crate::processes::{say, start};
use crate::scene::{LEASE, Scene, files, home_in, look, payload, produce, run};

pub(crate) const ALL: &[(&str, Story)] = &[
    (
        "damage_of_any_file_is_told_or_without_effect",
        damage_of_any_file_is_told_or_without_effect,
    ),
    (
        "damage_of_a_killed_place_is_told_or_passes_for_its_tail",
        damage_of_a_killed_place_is_told_or_passes_for_its_tail,
    ),
];

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Emptied,
    Halved,
    OneByteShorter,
    Flipped { eighths: usize },
    FlippedAt { at: usize },
}

impl Damage {
    const ALL: [Self; 6] = [
        Self::Emptied,
        Self::Halved,
        Self::OneByteShorter,
        Self::Flipped { eighths: 1 },
        Self::Flipped { eighths: 4 },
        Self::Flipped { eighths: 7 },
    ];

    fn of(self, whole: &[u8]) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        match self {
            Self::Emptied => bytes.clear(),
            Self::Halved => bytes.truncate(whole.len() / 2),
            Self::OneByteShorter => bytes.truncate(whole.len() - 1),
            Self::Flipped { eighths } => bytes[whole.len() * eighths / 8] ^= 0x10,
            Self::FlippedAt { at } => bytes[at] ^= 0x10,
        }
        bytes
    }
}

fn damage_of_any_file_is_told_or_without_effect(driver: &str) {
    let scene = Scene::new(driver);
    run(scene.furnish());
    let whole = files(&scene.place());
    let seen = run(async {
        let storage = scene.open().await;
        let seen = look(&storage).await.unwrap();
        storage.close().await.unwrap();
        seen
    });
    let mut told = 0;
    for (path, bytes) in whole.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        for damage in Damage::ALL {
            let name = path.strip_prefix(scene.place()).unwrap().display();
            restore(&scene.place(), &whole);
            fs::write(path, damage.of(bytes)).unwrap();

            let found = run(async {
                let storage = scene.try_open().await?;
                let found = look(&storage).await;
                // Closing a damaged place may fail; its lock ends with it.
                let _ = storage.close().await;
                found
            });

            match found {
                Ok(found) => assert!(found == seen, "{name} {damage:?}: it shows something else"),
                Err(error) => {
                    let is_told =
                        matches!(error.kind(), ErrorKind::Corrupted | ErrorKind::Unsupported);
                    assert!(is_told, "{name} {damage:?}: {error}");
                    told += 1;
                }
            }
        }
    }
    assert!(told > 0, "nothing was damaged");
}

const MOMENT: &str = "moment";
const GROWN: &str = "grown";
/// Items of a place that grows.
const ITEMS: u64 = 6;
const ITEM_BYTES: usize = 3000;

/// Opens the place and works in it; says what is to be seen after each operation. Then it waits to be killed.
pub(crate) fn grow(scene: &Scene) {
    run(async {
        let storage = scene.open().await;
        let say_moment = async || say(&format!("{MOMENT} {}", moment(&storage).await.unwrap()));
        say_moment().await;
        let home = home_in(&storage).await;
        for number in 0..ITEMS {
            say_moment().await;
            produce(&home, number, ITEM_BYTES).await.unwrap();
            say_moment().await;
            let leased = home.lease(1, LEASE).await.unwrap().receipts();
            say_moment().await;
            if number % 2 == 0 {
                home.complete(leased).await.unwrap();
            }
        }
        say_moment().await;
        say(GROWN);
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    });
}

/// Drivers whose engine cannot tell damage in the log of a killed process from its end, wherever in the log it is: there it
/// goes back to a moment that there was, which is not what clause OPEN-3 wants.
const GO_BACK: [&str; 1] = ["sled"];

/// Where a killed process stopped writing, nobody can tell what was cut off from what the kill cut off: an engine may go back
/// to a moment that there was, and shows nothing else. Where a bit flipped it may miss the last change alone, and where
/// nothing is left of a file it misses all.
fn damage_of_a_killed_place_is_told_or_passes_for_its_tail(driver: &str) {
    const FLIPS: usize = 48;
    let scene = Scene::new(driver);
    let (mut child, says) = start("grow", driver, &scene);
    let said = says.lines().map(Result::unwrap);
    let moments: Vec<_> = said.take_while(|line| line != GROWN).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let whole = files(&scene.place());
    let last = payload(ITEMS - 1, ITEM_BYTES);
    let holds_items = |bytes: &[u8]| bytes.windows(64).any(|some| *some == last[8..72]);
    let newest = moments.last().unwrap();
    let before = moments.iter().rfind(|moment| *moment != newest).unwrap();
    let goes_back = GO_BACK.contains(&driver);
    let (mut told, mut earlier) = (0, 0);

    for (path, bytes) in whole.iter().filter(|(_, bytes)| holds_items(bytes)) {
        let written: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let flips = (0..FLIPS).map(|part| written[written.len() * part / FLIPS]);
        let flips = flips.map(|at| Damage::FlippedAt { at });
        for damage in Damage::ALL.into_iter().chain(flips) {
            let name = path.strip_prefix(scene.place()).unwrap().display();
            restore(&scene.place(), &whole);
            fs::write(path, damage.of(bytes)).unwrap();

            let found = run(async {
                let storage = scene.try_open().await?;
                let found = moment(&storage).await;
                // Closing a damaged place may fail; its lock ends with it.
                let _ = storage.close().await;
                found
            });

            match found {
                Ok(found) => {
                    let found = format!("{MOMENT} {found}");
                    let is_allowed = match damage {
                        Damage::Emptied => false,
                        Damage::Flipped { .. } | Damage::FlippedAt { .. } if !goes_back => {
                            [newest, before].contains(&&found)
                        }
                        _ => moments.contains(&found),
                    };
                    assert!(is_allowed, "{name} {damage:?} shows {found}");
                    earlier += usize::from(found != *newest);
                }
                Err(error) => {
                    let is_told =
                        matches!(error.kind(), ErrorKind::Corrupted | ErrorKind::Unsupported);
                    assert!(is_told, "{name} {damage:?}: {error}");
                    told += 1;
                }
            }
        }
    }
    assert!(told > 0, "nothing was told, {earlier} times it went back");
    restore(&scene.place(), &whole);
    let found = run(async { moment(&scene.open().await).await.unwrap() });
    assert_eq!(Some(&format!("{MOMENT} {found}")), moments.last());
}

/// What there is to be seen, before there is a partition, too.
async fn moment(storage: &Storage) -> storage_api::Result<String> {
    match look(storage).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok("nothing".to_owned()),
        // In one line, so that a process can say it.
        seen => seen.map(|seen| format!("{seen:?}")),
    }
}

/// The directory as it was.
fn restore(place: &Path, whole: &BTreeMap<PathBuf, Vec<u8>>) {
    fs::remove_dir_all(place).unwrap();
    for (path, bytes) in whole {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
