//! Losses of power under a driver that neither promises to survive one nor can sync: it may lose what it likes, and lies of
//! nothing.
//!
//! What is found is the state behind some step that was done, or it is told that the place is corrupted.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use storage_api::{ErrorKind, StorageBackend};

use super::child::open_when_left;
use super::rounds::synced;
use super::sight::Sight;
use super::steps::Steps;
use super::story::{Loss, Moment, Story, Wrong};
use crate::env::Env;
use crate::harness::Vandal;
use crate::image::Image;
use crate::settings::{CRASH_ROUNDS, CRASH_SEED};

/// Rounds of the environment for each story, which has two kills and is in a place of its own.
const ROUNDS_OF_STORY: u64 = 3;
/// Steps in front of a kill, at least: there is something to lose.
const STEPS_MIN: usize = 20;
/// Lanes of every other story.
const LANES: usize = 3;

/// Runs as many stories as the environment says.
pub(crate) async fn lose_what_was_never_synced(env: Env) {
    env.close().await;
    if let Some(seed) = CRASH_SEED.value() {
        run_story(&env, seed).await;
        return;
    }
    let stories = CRASH_ROUNDS.value().div_ceil(ROUNDS_OF_STORY);
    let mut lost = 0;
    for seed in 0..stories {
        lost += u64::from(run_story(&env, seed).await);
    }
    assert!(
        lost > 0,
        "the power was lost {stories} times, and nothing with it"
    );
}

/// Runs the story of a seed, and panics with what was wrong and how to look again. Whether anything was lost.
async fn run_story(env: &Env, seed: u64) -> bool {
    let env = env.elsewhere().await;
    tell(&env, seed).await.unwrap_or_else(|wrong| {
        panic!(
            "{wrong}\n\nrepeat the story with: STORAGE_CRASH_SEED={seed} {}\n\
             (the moment of a kill cannot be repeated exactly: it may take several times)",
            crate::run::command(env.case())
        )
    })
}

async fn tell(env: &Env, seed: u64) -> Result<bool, Wrong> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    // The bias of a remainder does not matter here.
    let mut below = |end: usize| dice.next_u32() as usize % end;
    let steps = Steps::Random { seed };
    let lanes = if seed.is_multiple_of(2) { 1 } else { LANES };
    let told = |error: std::io::Error| format!("what was synced cannot be kept: {error}");
    let synced = synced(env).await;
    let mut story = Story::begin(env, steps, lanes).await;
    story = story.with_environment(synced.environment());

    // All of this is on the disk, and there to be mixed up with what comes.
    synced.begin().map_err(told)?;
    let mut said = kill(env, &mut story, lanes, below(60)).await?;
    let backend = open_when_left(env.place()).await;
    let backend = backend.map_err(|error| format!("the place does not open: {error}"))?;
    story.compare(&*backend, Loss::Process).await?;
    close(&*backend).await?;

    synced.begin().map_err(told)?;
    said += kill(env, &mut story, lanes, below(60)).await?;
    if !synced.was_loaded()? && said > 0 {
        env.inapplicable("LD_PRELOAD does not reach the process: nobody knows what was synced");
    }
    let directory = env.place().vandal().and_then(Vandal::directory);
    let directory = directory.ok_or("the place has no directory any more")?;
    let whole = Image::take(directory).map_err(told)?;
    // Nothing that was not synced reaches the disk, or any beginning of it.
    let reaches = below(3) > 0;
    let written = |changed| if reaches { below(changed + 1) } else { 0 };
    synced.lose_power(written).map_err(told)?;
    let is_lost = Image::take(directory).map_err(told)? != whole;

    look(env, &mut story, steps, lanes).await?;
    Ok(is_lost)
}

async fn kill(env: &Env, story: &mut Story, lanes: usize, more: usize) -> Result<usize, Wrong> {
    let moment = Moment::Steps {
        steps: STEPS_MIN + more,
        yields: 0,
    };
    story.kill(env, lanes, None, moment).await
}

/// Opens the place and judges what is there, unless it is told to be corrupted.
async fn look(env: &Env, story: &mut Story, steps: Steps, lanes: usize) -> Result<(), Wrong> {
    let opening = env.log().begin(format_args!("open"));
    let backend = match open_when_left(env.place()).await {
        Ok(backend) => backend,
        Err(error) => {
            opening.answer(&error);
            return told_to_be_corrupted("opening", &error);
        }
    };
    opening.answer(());
    for lane in 0..lanes {
        if let Err(error) = Sight::look(&*backend, steps, lane).await {
            return told_to_be_corrupted("a look", &error);
        }
    }
    let loss = Loss::Power { is_promised: false };
    story.compare(&*backend, loss).await?;
    close(&*backend).await
}

fn told_to_be_corrupted(what: &str, error: &storage_api::Error) -> Result<(), Wrong> {
    match error.kind() {
        ErrorKind::Corrupted => Ok(()),
        kind => Err(format!(
            "{what} is refused as {kind}, not as corrupted: {error}"
        )),
    }
}

async fn close(backend: &dyn StorageBackend) -> Result<(), Wrong> {
    let closed = backend.close().await;
    closed.map_err(|error| format!("close is refused: {error}"))
}
