//! Bytes that are not what was written: told, never shown.

use std::fs;
use std::path::Path;

use storage_api::ErrorKind;

use crate::Story;
use crate::scene::{Scene, files, look, run};

pub(crate) const ALL: &[(&str, Story)] = &[(
    "damage_of_any_file_is_told_or_without_effect",
    damage_of_any_file_is_told_or_without_effect,
)];

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Emptied,
    Halved,
    OneByteShorter,
    Flipped { eighths: usize },
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

/// The directory as it was.
fn restore(place: &Path, whole: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>) {
    fs::remove_dir_all(place).unwrap();
    for (path, bytes) in whole {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
