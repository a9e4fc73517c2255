//! What is measured of drivers on disk.

mod cells;
mod crowd;
mod hand;
mod life;
mod resident;
mod tap;

use std::error::Error;
use std::time::{Duration, Instant};

use storage_api::Durability;

use crate::drivers::DiskDriver;
use crate::progress::Progress;
use crate::report::Row;
use cells::{Load, Place, Setting};

pub(crate) use crowd::CrowdWork;
pub(crate) use resident::{FillWork, ResidentWork};
pub(crate) use tap::{Log, Tap};

/// Why there is no figure.
pub(crate) type Failure = Box<dyn Error>;

pub(crate) const SMALL: usize = 100;
pub(crate) const LARGE: usize = 4096;
const SHALLOW: usize = 1000;
const DEEP: usize = 1_000_000;
/// With large payloads a million items would take 20 GB in the five places that are compared.
const DEEP_LARGE: usize = 100_000;

/// The depths at which memory is looked at, the least first.
const RESIDENT_DEPTHS: [usize; 4] = [SHALLOW, 250_000, DEEP, 4 * DEEP];
/// A slow disk: many that are rotating or far away are slower.
const SLOW_SYNC: Duration = Duration::from_millis(2);

/// What part of the rounds' time those have that retry.
const RETRY_PART: f64 = 0.3;
/// What part of the most items goes through a verb when warming up begins.
const WARM_UP_PART: usize = 40;
/// The first time tells how many items fit into the time, roughly; the second, with so many, tells it better.
const WARM_UPS: usize = 2;

/// The figures of one driver.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) rows: Vec<Row>,
    /// What has no column.
    pub(crate) lines: Vec<String>,
}

/// How much is measured.
#[derive(Debug)]
pub(crate) struct Plan {
    is_quick: bool,
    batches: Vec<usize>,
    payloads: Vec<usize>,
    rounds: usize,
    /// How long all of it may take, if a round of everything fits into it.
    time_max: Option<Duration>,
    /// When no more is added to the store whose life is looked at.
    filled_within: Duration,
    /// How long space that was drained may take to be given back.
    given_back_within: Duration,
}

impl Plan {
    /// As many rounds, and as many items in each, as fit into that time.
    pub(crate) fn quick(batches: &[usize], payloads: &[usize], time_max: Duration) -> Self {
        Self {
            is_quick: true,
            batches: batches.to_vec(),
            payloads: payloads.to_vec(),
            rounds: 5,
            time_max: Some(time_max),
            filled_within: time_max / 12,
            given_back_within: (time_max / 3).min(Duration::from_secs(60)),
        }
    }

    /// Takes as long as it takes.
    pub(crate) fn full(batches: &[usize], payloads: &[usize]) -> Self {
        Self {
            is_quick: false,
            batches: batches.to_vec(),
            payloads: payloads.to_vec(),
            rounds: 7,
            time_max: None,
            filled_within: Duration::MAX,
            given_back_within: Duration::from_secs(60),
        }
    }

    /// Payloads and depths.
    fn places(&self) -> Vec<(usize, usize)> {
        let deep = |payload| match payload {
            ..LARGE => DEEP,
            _ => DEEP_LARGE,
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

    /// What is not measured when it has to be quick.
    pub(crate) fn left_out(&self) -> String {
        format!(
            "; on disk no rates at {DEEP} items deep, large payloads in batches of 100 only, no memory with {} and {} items, and the life of a store with as many items as could be added in {:.1} s, {DEEP} at most",
            RESIDENT_DEPTHS[1],
            RESIDENT_DEPTHS[3],
            self.filled_within.as_secs_f64()
        )
    }

    /// What a crowd is measured with.
    pub(crate) fn crowd(&self, driver: DiskDriver) -> CrowdWork {
        CrowdWork {
            driver,
            rounds: self.rounds,
            time_max: self.part(16),
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
}

/// Measures everything of one driver.
pub(crate) async fn measure(driver: DiskDriver, plan: &Plan) -> Result<Measured, Failure> {
    let started = Instant::now();
    let name = driver.name();
    let progress = Progress::new();
    let mut measured = Measured::default();

    progress.stage(&format!("{name}: the life of a store"), 0);
    let drained = life::measure(driver, plan, &mut measured).await?;
    let mut drained = Some(drained);
    // In processes of their own: where it has to be quick, while the space of what was drained is given back in this one.
    for is_memory in [plan.is_quick, !plan.is_quick] {
        if is_memory {
            progress.stage(&format!("{name}: memory by depth"), 0);
            resident::measure(driver, plan.resident_depths(), plan.part(5), &mut measured)?;
        } else if let Some(drained) = drained.take() {
            progress.stage(&format!("{name}: until space is given back"), 0);
            let within = plan.given_back_within;
            drained.given_back(within, &mut measured).await?;
        }
    }
    progress.stage(&format!("{name}: many producers"), 0);
    crowd::measure(plan.crowd(driver), &mut measured).await?;
    let mut slow = Measured::default();
    match crowd::measure_slow(plan.crowd(driver), SLOW_SYNC, &mut slow) {
        Ok(()) => measured.lines.append(&mut slow.lines),
        Err(error) => measured.lines.push(format!("{name}: slow syncs: {error}")),
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
        if cells == 0 {
            continue;
        }
        let time_max = plan.time_max.map(|time_max| {
            let left = time_max.saturating_sub(started.elapsed());
            left.mul_f64(cells as f64 / cells_left as f64)
        });
        cells_left -= cells;
        let rows = measure_place(setting, plan, time_max, &progress).await?;
        measured.rows.extend(rows);
    }
    progress.clear();
    Ok(measured)
}

/// Measures the memory of one driver alone, by depth.
pub(crate) fn measure_memory(driver: DiskDriver, plan: &Plan) -> Result<Measured, Failure> {
    let progress = Progress::new();
    progress.stage(&format!("{}: memory by depth", driver.name()), 0);
    let mut measured = Measured::default();
    resident::measure(driver, plan.resident_depths(), plan.part(2), &mut measured)?;
    progress.clear();
    Ok(measured)
}

/// Measures the drivers' crowd where each sync takes so much longer.
pub(crate) fn measure_slow(
    driver: DiskDriver,
    plan: &Plan,
    wait: Duration,
) -> Result<Measured, Failure> {
    let progress = Progress::new();
    let name = driver.name();
    progress.stage(&format!("{name}: many producers, slow syncs"), 0);
    let mut measured = Measured::default();
    crowd::measure_slow(plan.crowd(driver), wait, &mut measured)?;
    progress.clear();
    Ok(measured)
}

/// Every verb in every batch, in rounds that visit all of them.
async fn measure_place(
    setting: Setting,
    plan: &Plan,
    time_max: Option<Duration>,
    progress: &Progress,
) -> Result<Vec<Row>, Failure> {
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
    let what = format!("{}: {setting}", setting.driver.name());
    progress.stage(&what, 2 * (warm_ups + rounds) * batches.len());
    let mut place = Place::fill(setting).await?;
    // Retrying comes last, as it leaves items behind that are no longer as they were produced.
    for (is_retry, part) in [(false, 1.0 - RETRY_PART), (true, 1.0)] {
        let ends = time_max.map(|time_max| time_max.mul_f64(part));
        let warm_up = |batch| whole(setting.items_max(batch) / WARM_UP_PART, batch);
        let mut items: Vec<usize> = batches.iter().copied().map(warm_up).collect();
        for round in 0..warm_ups + rounds {
            let is_warming_up = round < warm_ups;
            let is_late = ends.is_some_and(|ends| started.elapsed() > ends);
            if round > warm_ups && is_late {
                break;
            }
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
    Ok(place.rows())
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
