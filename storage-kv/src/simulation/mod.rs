//! The real core against the reference model, from a seed: every answer compared, the power cut at any moment.
//!
//! A world runs random operations on a backend over [`SimKv`] and on the model. From time to time the backend is closed and
//! opened, or the power goes: then the disk keeps what was synced and some of the rest, and what is found after the
//! reopening must be what the model was after some prefix of the operations that contains every one that was acknowledged
//! (clause DUR-3).

mod arguments;
mod operations;
mod reopening;
mod seen;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use storage_api::{
    Cursor, Durability, ItemId, Listing, PartitionId, Receipt, StorageBackend, Version,
};
use storage_model::{Contents, Model};

use self::seen::state_of_model;
use crate::backend::{KvBackend, KvOptions};
use crate::engine::OrderedKv;
use crate::overlay::Overlay;
use crate::prove::Dice;
use crate::sim::{SimDisk, SimKv};

/// What a world is run with.
#[derive(Debug, Clone, Copy)]
struct Setting {
    durability: Durability,
    survives_kill: bool,
}

const SETTINGS: [Setting; 5] = [
    Setting {
        durability: Durability::None,
        survives_kill: false,
    },
    Setting {
        durability: Durability::ProcessCrash,
        survives_kill: true,
    },
    Setting {
        durability: Durability::ProcessCrash,
        survives_kill: false,
    },
    Setting {
        durability: Durability::PowerLoss,
        survives_kill: true,
    },
    Setting {
        durability: Durability::PowerLoss,
        survives_kill: false,
    },
];

/// How the engine is made of the disk.
trait Engine: OrderedKv {
    fn open(disk: &SimDisk, setting: Setting) -> Self;
    /// Whether batches that were written are in the engine when the process ends.
    const KEEPS_BATCHES: bool;
}

impl Engine for SimKv {
    const KEEPS_BATCHES: bool = true;

    fn open(disk: &SimDisk, setting: Setting) -> Self {
        disk.open().surviving_kill(setting.survives_kill)
    }
}

impl Engine for Overlay<SimKv> {
    const KEEPS_BATCHES: bool = false;

    fn open(disk: &SimDisk, setting: Setting) -> Self {
        Self::new(SimKv::open(disk, setting))
    }
}

struct World<E: Engine> {
    seed: u64,
    step: usize,
    dice: Dice,
    setting: Setting,
    disk: SimDisk,
    backend: Option<KvBackend<E>>,
    model: Model,
    /// What the model was after each operation since the last one that is certainly on stable storage, that one first.
    history: Vec<Contents>,
    receipts: Vec<(PartitionId, Receipt)>,
    cursors: Vec<(PartitionId, Listing, Cursor)>,
    /// The largest numbers that anybody was shown, never to be given again.
    shown_ids: BTreeMap<PartitionId, u64>,
    shown_lease: u64,
    shown_version: u64,
    /// How often the power went.
    losses: usize,
    last_operation: String,
}

/// How strong an acknowledgement is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strength {
    Full,
    Crash,
    Read,
    Synced,
}

impl<E: Engine> World<E> {
    fn new(seed: u64, setting: Setting) -> Self {
        let mut world = Self {
            seed,
            step: 0,
            dice: Dice::new(seed),
            setting,
            disk: SimDisk::new(),
            backend: None,
            model: Model::new(),
            history: vec![Contents::default()],
            receipts: Vec::new(),
            cursors: Vec::new(),
            shown_ids: BTreeMap::new(),
            shown_lease: 0,
            shown_version: 0,
            losses: 0,
            last_operation: String::new(),
        };
        world.open();
        world
    }

    fn open(&mut self) {
        let engine = E::open(&self.disk, self.setting);
        let options = KvOptions::new("sim", "0", self.setting.durability).inline();
        self.backend = Some(KvBackend::open(engine, options).expect("the place opens"));
    }

    fn backend(&self) -> &KvBackend<E> {
        self.backend.as_ref().expect("it is open between the steps")
    }

    fn at(&self) -> String {
        format!(
            "seed {}, step {}, {:?}: {}",
            self.seed, self.step, self.setting, self.last_operation
        )
    }

    /// The answer is how often the power went.
    fn run(mut self, steps: usize, crash_one_in: usize) -> usize {
        for step in 0..steps {
            self.step = step;
            self.operate();
            if self.dice.below(12) == 0 {
                self.compare();
            }
            if self.dice.below(60) == 0 {
                self.reopen();
            }
            if crash_one_in > 0 && self.dice.below(crash_one_in) == 0 {
                self.crash();
            }
        }
        self.compare();
        self.reopen();
        self.losses
    }

    fn note(&mut self, operation: String) {
        self.last_operation = operation;
    }

    fn same(&mut self, theirs: &str, ours: &str, strength: Strength) {
        assert!(
            theirs == ours,
            "{}\n--- the driver ---\n{theirs}\n--- the model ---\n{ours}",
            self.at()
        );
        if strength != Strength::Read {
            self.acknowledge(strength);
        }
    }

    /// Notes the state after an operation, and forgets what can no longer be lost.
    fn acknowledge(&mut self, strength: Strength) {
        let contents = self.model.contents().clone();
        let is_durable = match strength {
            Strength::Synced => true,
            Strength::Full => self.setting.durability == Durability::PowerLoss,
            Strength::Crash | Strength::Read => false,
        };
        // What changed nothing, or was refused, has nothing that had to become durable.
        let is_durable =
            is_durable && (strength == Strength::Synced || self.history.last() != Some(&contents));
        if is_durable {
            self.history.clear();
        }
        self.history.push(contents);
    }

    /// The whole state, by listing it.
    fn compare(&mut self) {
        self.note("compare".to_owned());
        let theirs = self.state_of_backend();
        let ours = state_of_model(&mut self.model.clone());
        self.same(&theirs, &ours, Strength::Read);
        self.verify();
    }

    fn verify(&self) {
        let verify = self.backend().verify().expect("the core can");
        let found = now(verify.verify()).expect("the disk works");
        assert!(found.is_empty(), "{}: {found:#?}", self.at());
    }

    fn show_id(&mut self, partition: &PartitionId, id: ItemId) {
        let shown = self.shown_ids.entry(partition.clone()).or_default();
        assert!(
            id.get() > *shown,
            "seed {}, step {}: id {id} of {partition} again",
            self.seed,
            self.step
        );
        *shown = id.get();
    }

    fn show_version(&mut self, version: Version) {
        assert!(
            version.get() > self.shown_version,
            "{}: version again",
            self.at()
        );
        self.shown_version = version.get();
    }
}

/// The answer of an operation that does everything in this thread.
fn now<T>(operation: impl Future<Output = T>) -> T {
    let mut operation = pin!(operation);
    let mut context = Context::from_waker(Waker::noop());
    match operation.as_mut().poll(&mut context) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("an operation of an inline backend never waits"),
    }
}

/// How many worlds a test runs: many more if the environment asks for them.
#[expect(
    clippy::disallowed_methods,
    reason = "a test may be told how long to run"
)]
fn worlds(usual: u64) -> u64 {
    let asked = std::env::var("STORAGE_KV_WORLDS").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(usual)
}

/// Runs that many worlds, with a crash in each of those so many steps in turn; the answer is how often the power went.
fn simulate<E: Engine>(worlds: u64, steps: usize, crash_one_in: &[usize]) -> usize {
    let turn = |seed: u64, of: usize| usize::try_from(seed).unwrap_or(0) % of;
    (0..worlds)
        .map(|seed| {
            let setting = SETTINGS[turn(seed, SETTINGS.len())];
            let crash_one_in = crash_one_in[turn(seed, crash_one_in.len())];
            World::<E>::new(seed, setting).run(steps, crash_one_in)
        })
        .sum()
}

/// So many worlds lose their power in each of two tests,
const WORLDS: u64 = 720;
/// and so often together.
const LOSSES_MIN: usize = 10_000;

/// Worlds that lose their power soon after it came back, and others that have more to lose.
#[expect(clippy::print_stdout, reason = "so that it can be seen how often")]
fn lose_power<E: Engine>() {
    let worlds = worlds(WORLDS);

    let losses = simulate::<E>(worlds, 100, &[3, 6, 12]);

    println!("{worlds} worlds lost their power {losses} times");
    assert!(
        losses >= LOSSES_MIN || worlds < WORLDS,
        "{worlds} worlds lost their power {losses} times, which is less than {LOSSES_MIN}"
    );
}

#[test]
fn every_answer_is_that_of_the_model() {
    simulate::<SimKv>(worlds(150), 300, &[0]);
}

#[test]
fn every_answer_through_an_overlay_is_that_of_the_model() {
    simulate::<Overlay<SimKv>>(worlds(60), 300, &[0]);
}

#[test]
fn what_a_power_loss_leaves_is_a_prefix_with_all_that_was_acknowledged() {
    lose_power::<SimKv>();
}

#[test]
fn what_a_power_loss_leaves_of_an_overlay_is_a_prefix_with_all_that_was_acknowledged() {
    lose_power::<Overlay<SimKv>>();
}
