//! Damage in any file of a place: what is wrong is never returned as data.

use std::path::PathBuf;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use storage_api::{Capability, ErrorKind, PartitionId, Result, StorageBackend};

use crate::case::{Case, cases};
use crate::change::{CHANGES, Stage};
use crate::crash::{Sight, Steps};
use crate::env::{Env, at, partition_id};
use crate::harness::Vandal;
use crate::image::Image;
use crate::settings;

pub(super) const CASES: &[Case] = cases![damage:
    bits_flipped_in_any_file_are_never_returned_as_data ["OPEN-3"]
        .since(2) .requires(Capability::Reopen) .long(),
    any_file_may_lose_its_tail ["OPEN-3", "DUR-3"]
        .since(2) .requires(Capability::Reopen) .long(),
    a_file_that_is_empty_or_gone_is_no_data_either ["OPEN-3"]
        .since(2) .requires(Capability::Reopen) .long(),
];

/// Bits that are flipped in all files together.
const FLIPS: usize = 240;
/// Bits that are flipped in one file at least.
const FLIPS_OF_FILE_MIN: usize = 16;

/// A closed place with everything in it, written over several openings, and what it went through.
struct Scene {
    env: Env,
    directory: PathBuf,
    whole: Image,
    /// What was to be seen behind each change, the last one last.
    history: Vec<Sight>,
    id_last: u64,
}

fn home() -> PartitionId {
    partition_id("home", 0)
}

impl Scene {
    async fn set(env: &Env) -> Self {
        let env = env.elsewhere().await;
        let Some(directory) = env.place().vandal().and_then(Vandal::directory) else {
            env.inapplicable("the harness names no directory that holds all that the place stores");
        };
        let directory = directory.to_owned();
        let mut scene = Self {
            env: env.clone(),
            directory,
            whole: Image::default(),
            history: Vec::new(),
            id_last: 0,
        };
        scene.remember().await;
        env.create(&home(), storage_api::PartitionConfig::default())
            .await;
        scene.remember().await;
        for session in 0..3 {
            scene.work(session).await;
            env.reopen().await;
        }
        let stage = Stage::set(&env).await;
        scene.remember().await;
        for change in CHANGES {
            // Some of them meet what an earlier one has taken away.
            let _ = (change.on)(env.backend().await, stage.clone()).await;
            scene.remember().await;
        }
        scene.work(3).await;
        env.close().await;
        scene.whole = Image::take(&scene.directory).expect("the place can be read");
        scene
    }

    /// Some of everything in the home of the scene.
    async fn work(&mut self, session: i64) {
        let part = self.env.part(&home());
        for round in 0..4 {
            let payload = format!("payload {round} of session {session} ").repeat(20);
            let produced = part
                .produce(at(session), [payload.as_str(), "", "short"])
                .await;
            self.id_last = produced.iter().map(|id| id.get()).max().unwrap_or(0);
            self.remember().await;
            part.lease(at(session), at(100), 1).await;
            self.remember().await;
            let name = format!("key {session} {round}");
            self.env.put("ns", name, payload).await;
            self.remember().await;
        }
    }

    async fn remember(&mut self) {
        let sight = look(&*self.env.backend().await).await;
        self.history.push(sight.expect("it is open and whole"));
    }

    /// Puts that image into the place, and looks at what is returned: an honest refusal, or what was there at the end.
    ///
    /// All of it was acknowledged, and the place was closed: only its last change can pass for a tail that a crash cut off.
    async fn judge(&self, image: &Image, damage: &str) {
        image
            .put(&self.directory)
            .expect("the place can be written");
        let env = self.env.clone();
        // As a task of its own: a driver that panics is a failure like any other.
        let seen = tokio::spawn(async move { open_and_look(&env).await }).await;
        let seen = match seen {
            Ok(seen) => seen,
            Err(error) => match error.try_into_panic() {
                Ok(payload) => {
                    let text = crate::run::panic_text(&*payload);
                    panic!("with {damage}, the driver panics: {text}")
                }
                Err(error) => panic!("with {damage}: {error}"),
            },
        };
        match seen {
            Ok((sight, next_id)) => {
                let [.., _, last] = self.history.as_slice() else {
                    panic!("nothing was done to the place");
                };
                if !self.history[self.history.len() - 2..].contains(&sight) {
                    let difference = sight.difference(last);
                    panic!(
                        "with {damage}, the place shows what it did not hold at its end\n    {difference}"
                    );
                }
                let is_newest = Some(&sight) == self.history.last();
                if let (true, Some(next_id)) = (is_newest, next_id) {
                    let last = self.id_last;
                    assert!(
                        next_id > last,
                        "with {damage}, id {next_id} is given behind {last}"
                    );
                }
            }
            Err(error) => {
                let is_honest =
                    matches!(error.kind(), ErrorKind::Corrupted | ErrorKind::Unsupported);
                assert!(is_honest, "with {damage}: {}: {error}", error.kind());
            }
        }
    }
}

async fn look(backend: &dyn StorageBackend) -> Result<Sight> {
    Sight::look(backend, Steps::Script, 0).await
}

/// Everything that is seen, and the id that is given next.
async fn open_and_look(env: &Env) -> Result<(Sight, Option<u64>)> {
    let backend = env.try_open().await?;
    let seen = async {
        let sight = look(&*backend).await?;
        let batch = crate::part::batch(["next"]).seal(at(1000));
        let next = match backend.produce(&home(), batch).await {
            Ok(produced) => produced.ids().next().map(storage_api::ItemId::get),
            // An earlier state may not have the partition yet.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok((sight, next))
    };
    let seen = seen.await;
    // What is damaged may well not close.
    let _ = backend.close().await;
    seen
}

async fn bits_flipped_in_any_file_are_never_returned_as_data(env: Env) {
    // Which bits is up to the seed.
    let seed = settings::DAMAGE_SEED.value();
    let scene = Scene::set(&env).await;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let files = scene.whole.files().count().max(1);
    let flips = (FLIPS / files).max(FLIPS_OF_FILE_MIN);
    for (path, bytes) in scene.whole.files() {
        for offset in offsets(bytes, flips, &mut random) {
            let bit = random.next_u32() % 8;
            let mut image = scene.whole.clone();
            image.bytes_mut(path)[offset] ^= 1 << bit;
            let damage = format!(
                "bit {bit} of byte {offset} of {} flipped in {} (seed {seed})",
                bytes.len(),
                path.display()
            );
            scene.judge(&image, &damage).await;
        }
    }
    restore(&scene).await;
}

/// Bytes to damage: most of them where something is written, some where nothing is, and the ends.
fn offsets(bytes: &[u8], flips: usize, random: &mut ChaCha8Rng) -> Vec<usize> {
    let Some(last) = bytes.len().checked_sub(1) else {
        return Vec::new();
    };
    let written: Vec<_> = (0..=last).filter(|at| bytes[*at] != 0).collect();
    let mut pick = |len: usize| random.next_u32() as usize % len.max(1);
    let mut offsets = vec![0, last, last.saturating_sub(4)];
    while offsets.len() < flips {
        offsets.push(match offsets.len() % 6 {
            0 => pick(bytes.len()),
            _ => written.get(pick(written.len())).copied().unwrap_or(0),
        });
    }
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}

async fn any_file_may_lose_its_tail(env: Env) {
    let scene = Scene::set(&env).await;
    for (path, bytes) in scene.whole.files() {
        let len = bytes.len();
        let cuts = [
            1,
            2,
            3,
            8,
            17,
            64,
            300,
            4096,
            len / 3,
            len / 2,
            len - len / 5,
        ];
        for cut in cuts.into_iter().filter(|cut| (1..len).contains(cut)) {
            let mut image = scene.whole.clone();
            image.bytes_mut(path).truncate(len - cut);
            let damage = format!("{cut} of {len} bytes cut off {}", path.display());
            scene.judge(&image, &damage).await;
        }
    }
    restore(&scene).await;
}

async fn a_file_that_is_empty_or_gone_is_no_data_either(env: Env) {
    let scene = Scene::set(&env).await;
    for (path, _) in scene.whole.files() {
        let mut emptied = scene.whole.clone();
        emptied.bytes_mut(path).clear();
        let damage = format!("nothing left in {}", path.display());
        scene.judge(&emptied, &damage).await;

        let mut missing = scene.whole.clone();
        missing.0.remove(path);
        let damage = format!("{} missing", path.display());
        scene.judge(&missing, &damage).await;
    }
    restore(&scene).await;
}

/// Leaves the place as it was, so that what comes behind every case can be done with it.
async fn restore(scene: &Scene) {
    let written = scene.whole.put(&scene.directory);
    written.expect("the place can be written");
    let seen = open_and_look(&scene.env).await;
    let (sight, _) = seen.unwrap_or_else(|error| panic!("the place without damage: {error}"));
    assert_eq!(
        Some(&sight),
        scene.history.last(),
        "the place without damage"
    );
}
