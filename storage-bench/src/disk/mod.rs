//! What is measured of drivers on disk.

mod cells;
mod crowd;
mod hand;
mod life;
mod tap;

use std::error::Error;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use storage_api::Durability;

use crate::drivers::DiskDriver;
use crate::report::Row;
use cells::{Place, Setting};

pub(crate) use tap::{Log, Tap};

/// Why there is no figure.
pub(crate) type Failure = Box<dyn Error>;

const SMALL: usize = 100;
const LARGE: usize = 4096;
const SHALLOW: usize = 1000;
const DEEP: usize = 1_000_000;
/// With large payloads a million items would take 16 GB in the four places that are compared.
const DEEP_LARGE: usize = 100_000;

/// A store with a million items is filled and drained only if there is at least as much time.
const QUICK_DEEP: Duration = Duration::from_secs(40);

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
    rounds: usize,
    /// When no round is begun any more but the first.
    time_max: Duration,
    /// How many items the life of a store is measured with.
    life_items: usize,
    /// How long space that was drained may take to be given back.
    given_back_within: Duration,
}

impl Plan {
    /// Ends within that time, if a round of everything fits into it.
    pub(crate) fn quick(batches: &[usize], time_max: Duration) -> Self {
        Self {
            is_quick: true,
            batches: batches.to_vec(),
            rounds: 5,
            time_max,
            life_items: if time_max < QUICK_DEEP {
                DEEP / 5
            } else {
                DEEP
            },
            given_back_within: time_max.min(Duration::from_secs(60)) / 2,
        }
    }

    /// Takes as long as it takes.
    pub(crate) fn full(batches: &[usize]) -> Self {
        Self {
            is_quick: false,
            batches: batches.to_vec(),
            rounds: 7,
            time_max: Duration::MAX,
            life_items: DEEP,
            given_back_within: Duration::from_secs(60),
        }
    }

    /// Payloads and depths.
    fn places(&self) -> &'static [(usize, usize)] {
        match self.is_quick {
            true => &[(SMALL, SHALLOW), (LARGE, SHALLOW)],
            false => &[
                (SMALL, SHALLOW),
                (LARGE, SHALLOW),
                (SMALL, DEEP),
                (LARGE, DEEP_LARGE),
            ],
        }
    }

    /// Large payloads are measured in batches of a hundred only when it has to be quick.
    fn batches(&self, payload_bytes: usize) -> Vec<usize> {
        let is_measured = |batch: &usize| !self.is_quick || payload_bytes == SMALL || *batch == 100;
        self.batches.iter().copied().filter(is_measured).collect()
    }
}

/// Measures everything of one driver.
pub(crate) async fn measure(driver: DiskDriver, plan: &Plan) -> Result<Measured, Failure> {
    let started = Instant::now();
    let durabilities = [Durability::None, driver.strongest()];
    let places = durabilities.len() * plan.places().len();
    let bar = ProgressBar::new((2 + places * (1 + 2 * plan.rounds)) as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {elapsed}") {
        bar.set_style(style);
    }
    let name = driver.name();
    let mut measured = Measured::default();

    bar.set_message(format!("{name}: the life of {} items", plan.life_items));
    life::measure(driver, plan, &mut measured).await?;
    bar.inc(1);
    bar.set_message(format!("{name}: many producers"));
    crowd::measure(driver, plan.rounds, &mut measured).await?;
    bar.inc(1);
    let mut filled = Vec::new();
    for durability in durabilities {
        for (payload_bytes, depth) in plan.places() {
            bar.set_message(format!("{name}: filling to {depth}"));
            filled.push(
                Place::fill(Setting {
                    driver,
                    durability,
                    payload_bytes: *payload_bytes,
                    depth: *depth,
                })
                .await?,
            );
            bar.inc(1);
        }
    }
    // Retrying comes last, as it leaves items behind that are no longer as they were produced.
    for (what, part) in [("rates", 0.8), ("retry", 1.0)] {
        for round in 1..=plan.rounds {
            if round > 1 && started.elapsed().as_secs_f64() > plan.time_max.as_secs_f64() * part {
                break;
            }
            for place in &mut filled {
                bar.set_message(format!(
                    "{name}: {what}, round {round}, {}",
                    place.setting()
                ));
                for batch in plan.batches(place.setting().payload_bytes) {
                    match what {
                        "rates" => place.round(batch).await?,
                        _ => place.retry_round(batch).await?,
                    }
                }
                bar.inc(1);
            }
        }
    }
    for place in filled {
        measured.rows.extend(place.rows());
    }
    bar.finish_and_clear();
    if plan.is_quick {
        measured.lines.push(format!(
            "{name}: quick, so no rates at {DEEP} items deep, large payloads in batches of 100 only, and a life of {} items",
            plan.life_items
        ));
    }
    Ok(measured)
}
