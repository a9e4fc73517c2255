//! How long a run may take, and what each driver may take of it.

use std::time::{Duration, Instant};

/// The time of a run that has to be quick.
///
/// Measuring is planned to be done in four fifths of it, which leaves a busy machine some. What is not measured shortly before
/// the end is left out: nothing is begun then but what ends by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    started: Instant,
    within: Duration,
}

/// What one driver may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// For which its rounds are planned.
    pub(crate) planned: Duration,
    /// When nothing more of it is begun.
    pub(crate) ends: Instant,
}

/// Which part of the time measuring is planned to take, and in which it has to be over.
const PLANNED: f64 = 0.8;
const OVER: f64 = 0.9;

impl Budget {
    pub(crate) fn new(started: Instant, within: Duration) -> Self {
        Self { started, within }
    }

    /// What the next of so many drivers may take, if the ones before it took until now.
    pub(crate) fn share(&self, now: Instant, drivers_left: usize) -> Share {
        let took = now.saturating_duration_since(self.started);
        let part_of = |part: f64| {
            let left = self.within.mul_f64(part).saturating_sub(took);
            left.div_f64(drivers_left.max(1) as f64)
        };
        Share {
            planned: part_of(PLANNED),
            ends: now + part_of(OVER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_one_driver_took_more_the_others_have_less() {
        let started = Instant::now();
        let budget = Budget::new(started, 100 * SECOND);

        let first = budget.share(started, 4);
        let late = started + 30 * SECOND;
        let second = budget.share(late, 3);

        assert_eq!(
            (first.planned, first.ends),
            (20 * SECOND, started + 22 * SECOND + SECOND / 2)
        );
        assert_eq!(second.ends, late + 20 * SECOND);
        assert!(second.planned < 17 * SECOND && second.planned > 16 * SECOND);
    }

    #[test]
    fn no_time_is_left_behind_the_end() {
        let started = Instant::now();
        let now = started + 120 * SECOND;

        let share = Budget::new(started, 100 * SECOND).share(now, 2);

        assert_eq!((share.planned, share.ends), (Duration::ZERO, now));
    }
}
