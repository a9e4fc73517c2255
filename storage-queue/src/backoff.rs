//! How long a failed item rests before it is tried again.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use storage_api::{Error, Result};

/// The rest between the attempts of an item: grows by a factor up to a limit, a part of it by chance.
///
/// The rest before attempt n+1 is `initial * factor^(n-1)`, at most `max`, less a random part of up to `jitter` of it, so
/// that what failed together does not come back together.
///
/// ```
/// use std::time::Duration;
/// use storage_queue::Backoff;
///
/// let backoff = Backoff::new(Duration::from_secs(1), 2.0, Duration::from_secs(60), 0.0)?;
/// assert_eq!(backoff.rest(1, 0), Duration::from_secs(1));
/// assert_eq!(backoff.rest(4, 0), Duration::from_secs(8));
/// assert_eq!(backoff.rest(99, 0), Duration::from_secs(60));
/// # Ok::<(), storage_api::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Backoff {
    #[serde(with = "crate::units::duration")]
    initial: Duration,
    #[serde(deserialize_with = "factor")]
    factor: f64,
    #[serde(with = "crate::units::duration")]
    max: Duration,
    #[serde(deserialize_with = "jitter")]
    jitter: f64,
}

impl Backoff {
    /// From `initial` on, times `factor` (at least 1) each time, up to `max`, less up to `jitter` (0 to 1) of it.
    ///
    /// A factor or a jitter outside of that is `InvalidArgument`.
    pub fn new(initial: Duration, factor: f64, max: Duration, jitter: f64) -> Result<Self> {
        if !(factor.is_finite() && factor >= 1.0) {
            return Err(Error::invalid(
                "backoff",
                format!("its factor {factor} is less than 1 or no number; take 1 or more"),
            ));
        }
        if !(0.0..=1.0).contains(&jitter) {
            return Err(Error::invalid(
                "backoff",
                format!("its jitter {jitter} is outside of 0 to 1"),
            ));
        }
        Ok(Self {
            initial,
            factor,
            max,
            jitter,
        })
    }

    /// The same rest each time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use storage_queue::Backoff;
    ///
    /// assert_eq!(Backoff::constant(Duration::from_secs(5)).rest(7, 123), Duration::from_secs(5));
    /// ```
    pub fn constant(rest: Duration) -> Self {
        Self {
            initial: rest,
            factor: 1.0,
            max: rest,
            jitter: 0.0,
        }
    }

    /// The rest after that many attempts; `random` is any number, every bit of it by chance.
    pub fn rest(&self, attempts: u32, random: u64) -> Duration {
        let grown = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.initial.as_secs_f64() * self.factor.powi(grown);
        let rest = grown.min(self.max.as_secs_f64());
        // The upper 32 bits as a fraction: 0 <= fraction < 1.
        let fraction = f64::from((random >> 32) as u32) / 4_294_967_296.0;
        let rest = rest * (1.0 - self.jitter * fraction);
        Duration::try_from_secs_f64(rest).unwrap_or(self.max)
    }
}

/// One second, doubled up to ten minutes, a tenth of it by chance: a server that is down for a moment is asked again soon,
/// one that is down for an hour is left alone.
impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(600),
            jitter: 0.1,
        }
    }
}

fn factor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let factor = f64::deserialize(deserializer)?;
    let checked = Backoff::new(Duration::ZERO, factor, Duration::ZERO, 0.0);
    checked.map_err(serde::de::Error::custom)?;
    Ok(factor)
}

fn jitter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let jitter = f64::deserialize(deserializer)?;
    let checked = Backoff::new(Duration::ZERO, 1.0, Duration::ZERO, jitter);
    checked.map_err(serde::de::Error::custom)?;
    Ok(jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_takes_away_up_to_its_part() {
        let backoff = Backoff::new(Duration::from_secs(8), 1.0, Duration::MAX, 0.5).unwrap();

        assert_eq!(backoff.rest(1, 0), Duration::from_secs(8));
        assert_eq!(backoff.rest(1, 1 << 63), Duration::from_secs(6));
        assert!(backoff.rest(1, u64::MAX) > Duration::from_secs(4));
    }

    #[test]
    fn no_number_of_attempts_overflows() {
        let backoff = Backoff::new(Duration::MAX, 1e300, Duration::MAX, 1.0).unwrap();

        assert_eq!(backoff.rest(u32::MAX, 0), Duration::MAX);
        assert!(backoff.rest(0, u64::MAX) < Duration::MAX);
        assert_eq!(Backoff::constant(Duration::ZERO).rest(9, 9), Duration::ZERO);
    }

    #[test]
    fn a_factor_below_one_and_a_jitter_beyond_one_are_refused() {
        let second = Duration::from_secs(1);
        for (factor, jitter) in [(0.9, 0.0), (f64::NAN, 0.0), (2.0, 1.1), (2.0, -0.1)] {
            assert!(Backoff::new(second, factor, second, jitter).is_err());
        }
    }
}
