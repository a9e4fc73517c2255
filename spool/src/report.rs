//! What a run has done, for people and for programs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use storage_api::Durability;

/// The numbers of one run. As JSON it is one object of exactly these fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The driver of the items.
    pub driver: String,
    /// What an acknowledgement of the driver means.
    pub durability: Durability,
    /// Lines that became items in this run.
    pub produced: u64,
    /// Items that completed.
    pub completed: u64,
    /// Attempts that failed and were followed, or will be, by another one.
    pub retried: u64,
    /// Items that died.
    pub dead: u64,
    /// How long it took.
    pub seconds: f64,
    /// Items that completed or died, in a second.
    pub items_per_second: f64,
}

impl Report {
    /// The report of a run that took so long.
    pub fn new(driver: String, durability: Durability, counts: Counts, took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        let ended = u32::try_from(counts.completed + counts.dead).unwrap_or(u32::MAX);
        let items_per_second = if seconds > 0.0 {
            f64::from(ended) / seconds
        } else {
            0.0
        };
        Self {
            driver,
            durability,
            produced: counts.produced,
            completed: counts.completed,
            retried: counts.retried,
            dead: counts.dead,
            seconds: (seconds * 1e6).round() / 1e6,
            items_per_second: (items_per_second * 10.0).round() / 10.0,
        }
    }
}

/// What is counted while a run is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Lines that became items.
    pub produced: u64,
    /// Items that completed.
    pub completed: u64,
    /// Attempts that failed, but were not the last.
    pub retried: u64,
    /// Items that died.
    pub dead: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "driver      {}", self.driver.escape_debug())?;
        let meaning = match self.durability {
            Durability::None => "items live as long as the process",
            Durability::ProcessCrash => "items survive the end of the process",
            Durability::PowerLoss => "items survive the loss of power",
        };
        writeln!(f, "durability  {} ({meaning})", self.durability)?;
        for (name, number) in [
            ("produced", self.produced),
            ("completed", self.completed),
            ("retried", self.retried),
            ("dead", self.dead),
        ] {
            writeln!(f, "{name:<12}{number}")?;
        }
        writeln!(f, "time        {:.3} s", self.seconds)?;
        write!(f, "rate        {:.0} items/s", self.items_per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let counts = Counts {
            produced: 3,
            completed: 2,
            retried: 4,
            dead: 1,
        };
        let took = Duration::from_millis(1500);
        Report::new("memory".to_owned(), Durability::None, counts, took)
    }

    #[test]
    fn as_json_it_is_one_object_of_these_fields() {
        assert_eq!(
            serde_json::to_string(&report()).unwrap(),
            r#"{"driver":"memory","durability":"none","produced":3,"completed":2,"retried":4,"dead":1,"seconds":1.5,"items_per_second":2.0}"#
        );
    }

    #[test]
    fn for_people_it_is_one_line_a_number() {
        assert_eq!(
            report().to_string(),
            "driver      memory\n\
             durability  none (items live as long as the process)\n\
             produced    3\n\
             completed   2\n\
             retried     4\n\
             dead        1\n\
             time        1.500 s\n\
             rate        2 items/s"
        );
    }

    #[test]
    fn a_run_that_took_no_time_has_no_rate() {
        let counts = Counts {
            completed: 5,
            ..Counts::default()
        };

        let report = Report::new(
            "memory".to_owned(),
            Durability::None,
            counts,
            Duration::ZERO,
        );

        assert_eq!(report.items_per_second, 0.0);
    }
}
