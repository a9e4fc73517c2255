//! Rounds: stories from a seed, each with several kills in one place.

use std::io;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use storage_api::{Capability, Durability};

use super::child::{Phase, open_when_left};
use super::phases::{Kills, Share};
use super::power::Synced;
use super::steps::Steps;
use super::story::{Loss, Moment, Story, Wrong};
use crate::env::Env;
use crate::harness::Vandal;
use crate::settings::{CRASH_ROUNDS, CRASH_SEED};

/// Rounds that go on in one place.
const ROUNDS_OF_STORY: u64 = 10;
/// Lanes at once, where there are several.
const LANES: usize = 3;

/// Up to which part of the time that a phase takes children live in it, in thousandths: some outlive it.
const SHARE_MAX: u32 = 1300;

/// When the children of a story are killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moments {
    /// Behind some acknowledgement of one caller.
    Steps,
    /// While it opens, syncs, maintains or closes, anywhere between the beginning of that and its end.
    Phases,
    /// Behind some acknowledgement of several callers at once.
    Concurrent,
}

/// Runs as many stories as the environment says, each in a place of its own.
pub(crate) async fn run(env: &Env, moments: Moments) {
    if env.backend().await.descriptor().durability == Durability::None {
        env.inapplicable("its durability is none: a crash may take everything");
    }
    env.close().await;
    if let Some(seed) = CRASH_SEED.value() {
        let kills = run_story(env, moments, seed).await;
        return env.log().remark(kills.to_string());
    }
    let rounds = CRASH_ROUNDS.value();
    let mut kills = Kills::default();
    for seed in 0..rounds.div_ceil(ROUNDS_OF_STORY) {
        kills.add(&run_story(env, moments, seed).await);
    }
    env.log().remark(kills.to_string());
}

/// Runs the story of a seed in a place of its own, and panics with what was wrong and how to look again.
async fn run_story(env: &Env, moments: Moments, seed: u64) -> Kills {
    let env = env.elsewhere().await;
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    let lanes = if moments == Moments::Concurrent {
        LANES
    } else {
        1
    };
    let mut story = Story::begin(&env, Steps::Random { seed }, lanes).await;
    for round in 1..=ROUNDS_OF_STORY {
        let plan = dice.plan(moments);
        let ran = run_round(&env, &mut story, lanes, plan).await;
        ran.unwrap_or_else(|wrong| ends(&env, &story, seed, round, &plan, &wrong));
    }
    story.kills().clone()
}

fn ends(env: &Env, story: &Story, seed: u64, round: u64, plan: &Plan, wrong: &Wrong) -> ! {
    panic!(
        "{wrong}\nin round {round} of the story of seed {seed}: {plan:?}\n{}\n\n\
         repeat the story with: STORAGE_CRASH_SEED={seed} {}\n\
         (the moment of a kill cannot be repeated exactly: it may take several times)",
        story.kills(),
        crate::run::command(env.case())
    );
}

/// As [`run`], with the power lost instead of a process killed. Whatever is promised, what was synced must survive it.
pub(crate) async fn lose_power(env: &Env) {
    let durability = env.backend().await.descriptor().durability;
    let is_promised = durability == Durability::PowerLoss;
    if !is_promised && !env.claims().has(Capability::Sync) {
        env.inapplicable(format!(
            "its durability is {durability}: it does not promise to survive that"
        ));
    }
    env.close().await;
    let loss = Loss::Power { is_promised };
    if let Some(seed) = CRASH_SEED.value() {
        return lose_power_of_story(env, seed, loss).await;
    }
    let rounds = CRASH_ROUNDS.value();
    for seed in 0..rounds.div_ceil(ROUNDS_OF_STORY) {
        lose_power_of_story(env, seed, loss).await;
    }
}

/// Runs the story of a seed in a place of its own; at the end of each round the power is lost.
async fn lose_power_of_story(env: &Env, seed: u64, loss: Loss) {
    let env = env.elsewhere().await;
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    let synced = synced(&env).await;
    // Every other one with several callers, who share what is synced.
    let (moments, lanes) = match seed % 2 {
        0 => (Moments::Steps, 1),
        _ => (Moments::Concurrent, LANES),
    };
    let mut story = Story::begin(&env, Steps::Random { seed }, lanes).await;
    story = story.with_environment(synced.environment());
    for round in 1..=ROUNDS_OF_STORY {
        let mut plan = dice.plan(moments);
        // Every third without a sync: then only what is promised reaches the disk.
        let every = 2 + u64::from(dice.below(9));
        plan.pause = (round % 3 != 0).then_some((Phase::Syncing, every));
        let ran = run_power_round(&env, &mut story, lanes, plan, &synced, &mut dice, loss).await;
        ran.unwrap_or_else(|wrong| ends(&env, &story, seed, round, &plan, &wrong));
    }
}

/// The layer that knows what was synced; without it the case does not apply.
pub(super) async fn synced(env: &Env) -> Synced {
    let Some(directory) = env.place().vandal().and_then(Vandal::directory) else {
        env.inapplicable("the harness names no directory that holds all that the place stores");
    };
    if !directory.exists() {
        env.backend().await;
        env.close().await;
    }
    Synced::below(directory).unwrap_or_else(|reason| env.inapplicable(reason))
}

async fn run_power_round(
    env: &Env,
    story: &mut Story,
    lanes: usize,
    plan: Plan,
    synced: &Synced,
    dice: &mut Dice,
    loss: Loss,
) -> Result<(), Wrong> {
    let told = |error: io::Error| format!("what was synced cannot be kept: {error}");
    synced.begin().map_err(told)?;
    let said = story.kill(env, lanes, plan.pause, plan.moment).await?;
    // One that was killed before it said a word may not have come so far.
    if !synced.was_loaded()? && said > 0 {
        env.inapplicable("LD_PRELOAD does not reach the process: nobody knows what was synced");
    }
    let reaches = dice.below(2) == 0;
    let written = |changed| match u32::try_from(changed) {
        Ok(changed @ 1..) if reaches => dice.below(changed) as usize,
        _ => 0,
    };
    synced.lose_power(written).map_err(told)?;
    look(env, story, loss).await
}

async fn run_round(env: &Env, story: &mut Story, lanes: usize, plan: Plan) -> Result<(), Wrong> {
    story.kill(env, lanes, plan.pause, plan.moment).await?;
    for share in plan.openings.into_iter().flatten() {
        // It finds what the one before it has left, and dies before it has done anything.
        let opening = Moment::Phase {
            phase: Phase::Opening,
            times: 1,
            share,
        };
        story.kill(env, 0, None, opening).await?;
    }
    look(env, story, Loss::Process).await
}

/// Opens the place, verifies it, and judges what is there.
async fn look(env: &Env, story: &mut Story, loss: Loss) -> Result<(), Wrong> {
    let opening = env.log().begin(format_args!("open"));
    let backend = open_when_left(env.place()).await;
    opening.answer(());
    let backend = backend.map_err(|error| format!("the place does not open: {error}"))?;
    if env.claims().has(Capability::Verify)
        && let Some(verify) = backend.verify()
    {
        let findings = verify.verify().await;
        let findings = findings.map_err(|error| format!("verify is refused: {error}"))?;
        if !findings.is_empty() {
            return Err(format!("verify finds: {findings:?}"));
        }
    }
    story.compare(&*backend, loss).await?;
    let closed = backend.close().await;
    closed.map_err(|error| format!("close is refused: {error}"))
}

/// One round.
#[derive(Debug, Clone, Copy)]
struct Plan {
    moment: Moment,
    pause: Option<(Phase, u64)>,
    /// When those children are killed that only open what was left.
    openings: [Option<Share>; 2],
}

struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, end: u32) -> u32 {
        // The bias of the remainder does not matter here.
        self.0.next_u32() % end
    }

    /// Mostly few, sometimes thousands.
    fn yields(&mut self) -> u32 {
        let magnitude = self.below(12);
        self.below(1 << magnitude)
    }

    /// Anywhere from the beginning of a phase to some time behind its end; every third near the beginning.
    fn share(&mut self) -> Share {
        let magnitude = match self.below(3) {
            0 => self.below(11),
            _ => 0,
        };
        Share::of_thousandths(self.below(1 + (SHARE_MAX >> magnitude)))
    }

    /// Seldom opening: most rounds have openings in which others are killed.
    fn phase(&mut self) -> Phase {
        match self.below(8) {
            0 => Phase::Opening,
            1 | 2 => Phase::Syncing,
            3 | 4 => Phase::Maintaining,
            _ => Phase::Closing,
        }
    }

    fn steps(&mut self) -> usize {
        let max = [3, 12, 40, 120][self.below(4) as usize];
        self.below(max) as usize
    }

    fn plan(&mut self, moments: Moments) -> Plan {
        let (moment, pause) = match moments {
            Moments::Steps | Moments::Concurrent => {
                let (steps, yields) = (self.steps(), self.yields());
                (Moment::Steps { steps, yields }, None)
            }
            Moments::Phases => {
                let phase = self.phase();
                let times = 1 + self.below(4) as usize;
                let share = self.share();
                let moment = Moment::Phase {
                    phase,
                    times,
                    share,
                };
                (moment, Some((phase, 7)))
            }
        };
        Plan {
            moment,
            pause,
            openings: [(); 2].map(|()| (self.below(3) == 0).then(|| self.share())),
        }
    }
}
