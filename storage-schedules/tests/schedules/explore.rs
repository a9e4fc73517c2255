//! One scene under many schedules.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};

use shuttle::scheduler::{
    PctScheduler, RandomScheduler, ReplayScheduler, Scheduler,
    UncontrolledNondeterminismCheckScheduler as Twice,
};
use shuttle::{Config, MaxSteps, Runner};

/// What runs under each schedule, from an empty backend to its last look.
pub(crate) type Scene = fn();

/// How many schedules of each plan a scene runs under, where nothing else is asked for.
const RUNS: usize = 100;
/// A mistake may take so many times as long: a driver that is changed elsewhere moves the schedule that finds it.
const PATIENCE: u64 = 10;
/// How many run twice, to see that a schedule says everything.
const RUNS_TWICE: usize = 10;
/// The seeds, each with how often a schedule takes the turn from the task that has precedence: few such moments find most
/// mistakes, if they are the right ones.
const SEEDS: [(u64, usize); 4] = [(1, 2), (2, 3), (3, 4), (4, 6)];
/// A scene takes some hundreds of steps, so that one which takes so many goes round in circles.
const STEPS_MAX: usize = 50_000;
/// Tasks run on stacks of their own, whose pages are only taken when they are touched.
const STACK_BYTES: usize = 1 << 20;

/// Declares a test for each scene.
macro_rules! scenes {
    ($($(#[$about:meta])* $name:ident => $scene:expr;)*) => {
        $(
            $(#[$about])*
            #[test]
            fn $name() {
                let path = concat!(module_path!(), "::", stringify!($name));
                crate::explore::explore(path, || $scene);
            }
        )*
    };
}
pub(crate) use scenes;

/// Runs a scene under every schedule of the plan; with `STORAGE_SCHEDULE` under that one alone.
pub(crate) fn explore(path: &str, scene: Scene) {
    if let Some(schedule) = variable("STORAGE_SCHEDULE") {
        run(ReplayScheduler::new_from_encoded(&schedule), scene);
        return;
    }
    let name = path.split_once("::").map_or(path, |(_, name)| name);
    for plan in plans(0) {
        let _told = Told { name, plan };
        plan.run(scene);
    }
    // Otherwise what fails could not be run again.
    run(
        Twice::new(RandomScheduler::new_from_seed(0, RUNS_TWICE)),
        scene,
    );
}

/// Runs a scene until it fails: after how many schedules it does, and what its first panic says; `None` where it never does.
pub(crate) fn failure(scene: Scene) -> Option<(usize, String)> {
    listen();
    let counted = Arc::new(AtomicUsize::new(0));
    for plan in (0..PATIENCE).flat_map(plans) {
        let counter = Arc::clone(&counted);
        let run = || {
            plan.run(move || {
                counter.fetch_add(1, Ordering::Relaxed);
                scene();
            });
        };
        HEARD.take();
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            return Some((counted.load(Ordering::Relaxed), HEARD.take()));
        }
    }
    None
}

thread_local! {
    /// The first panic of this thread, which runs every task of its schedules.
    static HEARD: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Has panics heard before shuttle tells that there was one.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            HEARD.with_borrow_mut(|heard| {
                if heard.is_empty() {
                    *heard = panic.to_string();
                }
            });
            others(panic);
        }));
    });
}

/// Schedules of one kind and seed.
#[derive(Debug, Clone, Copy)]
struct Plan {
    seed: u64,
    /// `None`: whoever can run is as likely as any other to be next.
    turns: Option<usize>,
    runs: usize,
}

/// The plans of a turn; each turn has seeds of its own.
fn plans(turn: u64) -> impl Iterator<Item = Plan> {
    let runs = variable("STORAGE_SCHEDULE_RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    SEEDS.into_iter().flat_map(move |(seed, turns)| {
        let seed = seed + 100 * turn;
        [Some(turns), None].map(|turns| Plan { seed, turns, runs })
    })
}

impl Plan {
    fn run(self, scene: impl Fn() + Send + Sync + 'static) {
        match self.turns {
            Some(turns) => run(
                PctScheduler::new_from_seed(self.seed, turns, self.runs),
                scene,
            ),
            None => run(RandomScheduler::new_from_seed(self.seed, self.runs), scene),
        }
    }
}

fn run(scheduler: impl Scheduler + 'static, scene: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    // The drivers' orderings are argued where they stand; here every one is as strong as can be.
    config.silence_warnings = true;
    config
        .ungraceful_shutdown_config
        .immediately_return_on_panic = true;
    Runner::new(scheduler, config).run(scene);
}

#[allow(
    clippy::disallowed_methods,
    reason = "a program of tests is asked by its environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Says how to run what failed again, if it did.
struct Told<'a> {
    name: &'a str,
    plan: Plan,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { name, plan } = self;
            eprintln!(
                "{name} failed under {plan:?}. Its schedule is the text in quotes above; this runs it again:\n\
                 STORAGE_SCHEDULE=<schedule> cargo test -p storage-schedules --test schedules -- --exact {name}"
            );
        }
    }
}
