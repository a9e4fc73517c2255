//! What is measured of drivers on disk.

mod cells;
mod crowd;
mod hand;
mod hand_crowd;
mod life;
mod resident;
mod tap;

use std::error::Error;
use std::time::{Duration, Instant};

use storage_api::Durability;

use crate::budget::Share;
use crate::drivers::DiskDriver;
use crate::progress::Progress;
use crate::report::Measured;
use cells::{Load, Place, Setting};

pub(crate) use crowd::CrowdWork;
pub(crate) use resident::{FillWork, ResidentWork};
pub(crate) use tap::{Log, Tap};

/// Why there is no figure.
pub(crate) type Failure = Box<dyn Error>;

pub(crate) const SMALL: usize = 100;
pub(crate) const LARGE: usize = 4096;
pub(crate) const SHALLOW: usize = 1000;
const DEEP: usize = 1_000_000;
/// With large payloads so many items take 4.2 GB in the five stores of redb that are compared, as a page holds one, and a
/// million would take ten times as much.
pub(crate) const DEEP_LARGE: usize = 100_000;

/// The depths at which memory is looked at, the least first.
const RESIDENT_DEPTHS: [usize; 4] = [SHALLOW, 250_000, DEEP, 4 * DEEP];
/// A slow disk: many that are rotating or far away are slower.
const SLOW_SYNC: Duration = Duration::from_millis(2);

/// What part of the time is left to rates, and before them to many producers, whatever else took.
const RATES_PART: f64 = 0.2;
const CROWDS_PART: f64 = 0.1;
/// What part of the rounds' time those have that retry.
const RETRY_PART: f64 = 0.3;
/// What part of the most items goes through a verb when warming up begins.
const WARM_UP_PART: usize = 40;
/// The first time tells how many items fit into the time, roughly; the second, with so many, tells it better.
const WARM_UPS: usize = 2;

/// How much is measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    is_quick: bool,
    batches: Vec<usize>,
    payloads: Vec<usize>,
    deep_large: usize,
    rounds: usize,
    /// How long all of it may take, if a round of everything fits into it.
    time_max: Option<Duration>,
    /// When nothing is begun any more.
    ends: Option<Instant>,
    /// When no more is added to the store whose life is looked at.
    filled_within: Duration,
    /// How long space that was drained may take to be given back.
    given_back_within: Duration,
}

impl Plan {
    /// As many rounds, and as many items in each, as fit into that time.
    pub(crate) fn quick(batches: &[usize], payloads: &[usize], share: Share) -> Self {
        let Share { planned, ends } = share;
        Self {
            is_quick: true,
            batches: batches.to_vec(),
            payloads: payloads.to_vec(),
            deep_large: DEEP_LARGE,
            rounds: 5,
            time_max: Some(planned),
            ends: Some(ends),
            filled_within: planned / 12,
            given_back_within: (planned / 3).min(Duration::from_secs(60)),
        }
    }

    /// Takes as long as it takes.
    pub(crate) fn full(batches: &[usize], payloads: &[usize], deep_large: usize) -> Self {
        Self {
            is_quick: false,
            batches: batches.to_vec(),
            payloads: payloads.to_vec(),
            deep_large,
            rounds: 7,
            time_max: None,
            ends: None,
            filled_within: Duration::MAX,
            given_back_within: Duration::from_secs(60),
        }
    }

    /// Payloads and depths.
    fn places(&self) -> Vec<(usize, usize)> {
        let deep = |payload| match payload {
            ..LARGE => DEEP,
            _ => self.deep_large,
        };
        let places = self.payloads.iter().flat_map(|payload| {
            let is_deep = !self.is_quick;
            let deep = is_deep.then_some((*payload, deep(*payload)));
            std::iter::once((*payload, SHALLOW)).chain(deep)
        });
        places.collect()
    }

    /// Large payloads are measured in batches of a hundred only when it has to be quick.
    fn batches(&self, payload_bytes: usize) -> Vec<usize> {
        let is_measured = |batch: &usize| !self.is_quick || payload_bytes < LARGE || *batch == 100;
        self.batches.iter().copied().filter(is_measured).collect()
    }

    /// What is not measured when it has to be quick, however much time there is.
    pub(crate) fn left_out() -> String {
        format!(
            "; on disk no rates at {DEEP} items deep, large payloads in batches of 100 only, no memory with {} and {} items, and the life of a store with as many items as could be added in a twelfth of the time, {DEEP} at most",
            RESIDENT_DEPTHS[1], RESIDENT_DEPTHS[3],
        )
    }

    /// What a crowd is measured with.
    pub(crate) fn crowd(&self, driver: DiskDriver) -> CrowdWork {
        CrowdWork {
            driver,
            rounds: self.rounds,
            time_max: self.part(16).min(self.left()),
            turn_max: self.part(48).min(Duration::from_secs(1)),
        }
    }

    /// The depths at which memory is looked at, the least first.
    fn resident_depths(&self) -> &'static [usize] {
        match self.is_quick {
            true => &[SHALLOW, DEEP],
            false => &RESIDENT_DEPTHS,
        }
    }

    /// A part of the time.
    fn part(&self, part: u32) -> Duration {
        self.time_max.map_or(Duration::MAX, |time| time / part)
    }

    /// How long it is until the end.
    fn left(&self) -> Duration {
        let until = |ends: Instant| ends.saturating_duration_since(Instant::now());
        self.ends.map_or(Duration::MAX, until)
    }

    fn is_over(&self) -> bool {
        self.left() == Duration::ZERO
    }

    /// The same, over so much earlier that a part of the time is left.
    fn leaving(&self, part: f64) -> Self {
        let ends = self.ends.map(|ends| ends - self.left().mul_f64(part));
        Self {
            ends,
            ..self.clone()
        }
    }
}

/// Measures everything of one driver. What fails is told, and the rest is measured all the same.
pub(crate) async fn measure(driver: DiskDriver, plan: &Plan) -> Measured {
    let started = Instant::now();
    let name = driver.name();
    let progress = Progress::new();
    let mut measured = Measured::default();
    let before_rates = plan.leaving(RATES_PART);
    let before_crowds = plan.leaving(RATES_PART + CROWDS_PART);
    let is_over = |what: &str, plan: &Plan, measured: &mut Measured| {
        let is_over = plan.is_over();
        if is_over {
            measured.leave_out(name, what);
        }
        is_over
    };

    let mut drained = None;
    let what = "the life of a store";
    if !is_over(what, &before_crowds, &mut measured) {
        progress.stage(&format!("{name}: {what}"), 0);
        let lived = life::measure(driver, &before_crowds, &mut measured).await;
        drained = measured.keep(name, what, lived).flatten();
    }
    // In processes of their own: where it has to be quick, while the space of what was drained is given back in this one.
    for is_memory in [plan.is_quick, !plan.is_quick] {
        if is_memory {
            let what = "memory by depth";
            if !is_over(what, &before_crowds, &mut measured) {
                progress.stage(&format!("{name}: {what}"), 0);
                let plan = &before_crowds;
                let resident = resident::measure(driver, plan, plan.part(5), &mut measured);
                measured.keep(name, what, resident);
            }
        } else if let Some(drained) = drained.take() {
            let what = "until space is given back";
            progress.stage(&format!("{name}: {what}"), 0);
            let within = plan.given_back_within.min(before_crowds.left());
            let given_back = drained.given_back(within, &mut measured).await;
            measured.keep(name, what, given_back);
        }
    }
    let what = "many producers";
    if !is_over(what, &before_rates, &mut measured) {
        progress.stage(&format!("{name}: {what}"), 0);
        let crowd = crowd::measure(before_rates.crowd(driver), &mut measured).await;
        measured.keep(name, what, crowd);
    }
    let what = "many producers where syncs are slow";
    if !is_over(what, &before_rates, &mut measured) {
        progress.stage(&format!("{name}: {what}"), 0);
        let mut slow = Measured::default();
        // Not every machine has a compiler, which is told and is no failure.
        match crowd::measure_slow(before_rates.crowd(driver), SLOW_SYNC, &mut slow) {
            Ok(()) => measured.lines.append(&mut slow.lines),
            Err(error) => measured.leave_out_why(name, what, &error.to_string()),
        }
    }

    let mut settings = Vec::new();
    for durability in [Durability::None, driver.strongest()] {
        for (payload_bytes, depth) in plan.places() {
            settings.push(Setting {
                driver,
                durability,
                payload_bytes,
                depth,
            });
        }
    }
    let cells = |setting: &Setting| plan.batches(setting.payload_bytes).len();
    let mut cells_left: usize = settings.iter().map(cells).sum();
    for setting in settings {
        let cells = cells(&setting);
        if cells == 0 || is_over(&setting.to_string(), plan, &mut measured) {
            cells_left -= cells;
            continue;
        }
        let time_max = plan.time_max.map(|time_max| {
            let left = time_max.saturating_sub(started.elapsed());
            left.mul_f64(cells as f64 / cells_left as f64)
        });
        cells_left -= cells;
        measure_place(setting, plan, time_max, &progress, &mut measured).await;
    }
    progress.clear();
    measured
}

/// Measures the memory of one driver alone, by depth.
pub(crate) fn measure_memory(driver: DiskDriver, plan: &Plan) -> Measured {
    let progress = Progress::new();
    let (name, what) = (driver.name(), "memory by depth");
    progress.stage(&format!("{name}: {what}"), 0);
    let mut measured = Measured::default();
    let resident = resident::measure(driver, plan, plan.part(2), &mut measured);
    measured.keep(name, what, resident);
    progress.clear();
    measured
}

/// Measures the drivers' crowd where each sync takes so much longer.
pub(crate) fn measure_slow(driver: DiskDriver, plan: &Plan, wait: Duration) -> Measured {
    let progress = Progress::new();
    let (name, what) = (driver.name(), "many producers where syncs are slow");
    progress.stage(&format!("{name}: {what}"), 0);
    let mut measured = Measured::default();
    let crowd = crowd::measure_slow(plan.crowd(driver), wait, &mut measured);
    measured.keep(name, what, crowd);
    progress.clear();
    measured
}

/// Every verb in every batch, in rounds that visit all of them. What was measured before something fails is kept.
async fn measure_place(
    setting: Setting,
    plan: &Plan,
    time_max: Option<Duration>,
    progress: &Progress,
    measured: &mut Measured,
) {
    let (name, what) = (setting.driver.name(), setting.to_string());
    let started = Instant::now();
    let batches = plan.batches(setting.payload_bytes);
    let rounds = match setting.depth {
        SHALLOW => plan.rounds,
        _ => plan.rounds.div_ceil(2),
    };
    let warm_ups = match time_max {
        Some(_) => WARM_UPS,
        None => 1,
    };
    let steps = 2 * (warm_ups + rounds) * batches.len();
    progress.stage(&format!("{name}: {what}"), steps);
    let filled = Place::fill(setting, plan.ends).await;
    let Some(mut place) = measured.keep(name, &what, filled) else {
        return;
    };
    let rounds = Rounds {
        batches: &batches,
        warm_ups,
        rounds,
        started,
        time_max,
    };
    let worked = rounds.work(&mut place, progress).await;
    if measured.keep(name, &what, worked).is_some() {
        for missing in place.missing(&batches) {
            measured.leave_out(name, &format!("{what}, {missing}"));
        }
    }
    measured.rows.extend(place.rows());
}

/// How often what is measured in a place.
struct Rounds<'a> {
    batches: &'a [usize],
    warm_ups: usize,
    rounds: usize,
    started: Instant,
    time_max: Option<Duration>,
}

impl Rounds<'_> {
    async fn work(&self, place: &mut Place, progress: &Progress) -> Result<(), Failure> {
        let Self {
            batches,
            warm_ups,
            rounds,
            started,
            time_max,
        } = *self;
        let setting = place.setting();
        // Retrying comes last, as it leaves items behind that are no longer as they were produced.
        for (is_retry, part) in [(false, 1.0 - RETRY_PART), (true, 1.0)] {
            let ends = time_max.map(|time_max| time_max.mul_f64(part));
            let warm_up = |batch| whole(setting.items_max(batch) / WARM_UP_PART, batch);
            let mut items: Vec<usize> = batches.iter().copied().map(warm_up).collect();
            let mut is_measured = false;
            for round in 0..warm_ups + rounds {
                let is_late = ends.is_some_and(|ends| started.elapsed() > ends);
                if is_measured && is_late {
                    break;
                }
                // Who is late warms up once.
                let is_warming_up = round < warm_ups && (round == 0 || !is_late);
                is_measured |= !is_warming_up;
                for (batch, items) in batches.iter().copied().zip(&mut items) {
                    let load = Load {
                        batch,
                        items: *items,
                        is_warming_up,
                    };
                    let start = Instant::now();
                    match is_retry {
                        true => place.retry_round(load).await?,
                        false => place.round(load).await?,
                    }
                    if is_warming_up {
                        let items_max = setting.items_max(batch);
                        let fitting = ends.map_or(items_max, |ends| {
                            let left = ends.saturating_sub(started.elapsed());
                            let parts = (warm_ups + rounds - round) * batches.len();
                            fitting(load.items, start.elapsed(), left, parts)
                        });
                        *items = whole(fitting.min(items_max), batch);
                    }
                    progress.step();
                }
            }
        }
        Ok(())
    }
}

/// How many items fit into each of so many parts of a time, if some took as long as they did.
fn fitting(items: usize, took: Duration, time: Duration, parts: usize) -> usize {
    let fitting = items as u128 * time.as_micros() / took.as_micros().max(1) / parts as u128;
    usize::try_from(fitting).unwrap_or(usize::MAX)
}

/// That many items in whole batches, and one batch at least.
fn whole(items: usize, batch: usize) -> usize {
    (items / batch).max(1) * batch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    }

    /// A plan whose time is over.
    fn over() -> Plan {
        let share = Share {
            planned: Duration::ZERO,
            ends: Instant::now(),
        };
        Plan::quick(&[1, 100], &[SMALL, LARGE], share)
    }

    #[test]
    fn what_there_is_no_time_for_is_told() {
        let measured = runtime().block_on(measure(DiskDriver::Redb, &over()));

        assert_eq!(measured.rows.len(), 0, "{measured:?}");
        let left_out = [
            "redb: left out: the life of a store: no time",
            "redb: left out: memory by depth: no time",
            "redb: left out: many producers: no time",
            "redb: left out: many producers where syncs are slow: no time",
            "redb: left out: none, 100 B, 1000 deep: no time",
            "redb: left out: none, 4096 B, 1000 deep: no time",
            "redb: left out: power-loss, 100 B, 1000 deep: no time",
            "redb: left out: power-loss, 4096 B, 1000 deep: no time",
        ];
        assert_eq!(measured.lines, left_out);
        assert!(measured.failures.is_empty(), "{measured:?}");
    }

    #[test]
    fn every_cell_that_a_place_did_not_come_to_is_told() {
        let setting = Setting {
            driver: DiskDriver::Redb,
            durability: Durability::None,
            payload_bytes: SMALL,
            depth: SHALLOW,
        };
        let (plan, progress) = (over(), Progress::new());
        let mut measured = Measured::default();

        let placed = measure_place(setting, &plan, None, &progress, &mut measured);
        runtime().block_on(placed);

        assert_eq!(measured.rows.len(), 0, "{measured:?}");
        let told: Vec<String> = ["produce", "lease", "complete", "retry", "full cycle"]
            .map(|verb| {
                format!(
                    "redb: left out: none, 100 B, 1000 deep, {verb} in batches of 1, 100: no time"
                )
            })
            .to_vec();
        assert_eq!(measured.lines, told);
    }

    #[test]
    fn what_fits_into_a_part_of_the_time_is_in_whole_batches_and_one_at_least() {
        let second = Duration::from_secs(1);

        // A hundred a second, in five parts of ten seconds.
        assert_eq!(fitting(100, second, 10 * second, 5), 200);
        assert_eq!(fitting(100, second, Duration::ZERO, 5), 0);
        assert_eq!(fitting(100, Duration::ZERO, second, 1), 100_000_000);
        assert_eq!(whole(299, 100), 200);
        assert_eq!(whole(0, 100), 100);
    }
}
