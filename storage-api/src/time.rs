//! Points in time, as numbers that the caller brings.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, in `i64::MIN..=i64::MAX`. Arithmetic saturates (clause TIME-4).
///
/// ```
/// use std::time::Duration;
/// use storage_api::Timestamp;
///
/// let noon = Timestamp::from_micros(43_200_000_000);
/// assert_eq!(noon.saturating_add(Duration::from_secs(1)).as_micros(), 43_201_000_000);
/// assert_eq!(Timestamp::MAX.saturating_add(Duration::from_secs(1)), Timestamp::MAX);
/// assert_eq!(noon.to_string(), "1970-01-01T12:00:00.000000Z");
/// ```
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The smallest timestamp.
    pub const MIN: Self = Self(i64::MIN);
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// The largest timestamp.
    pub const MAX: Self = Self(i64::MAX);

    /// The point that many microseconds after the epoch, before it where negative.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Timestamp::from_micros(-1).to_string(), "1969-12-31T23:59:59.999999Z");
    /// ```
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The point that many seconds after the epoch, saturating.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Timestamp::from_secs(1).as_micros(), 1_000_000);
    /// assert_eq!(Timestamp::from_secs(i64::MAX), Timestamp::MAX);
    /// ```
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    ///
    /// ```
    /// # use storage_api::*;
    /// assert_eq!(Timestamp::EPOCH.as_micros(), 0);
    /// ```
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This point moved later; at most [`Timestamp::MAX`]. Fractions of a microsecond are cut.
    ///
    /// ```
    /// # use storage_api::*;
    /// let hour = std::time::Duration::from_secs(3600);
    /// assert_eq!(Timestamp::EPOCH.saturating_add(hour), Timestamp::from_secs(3600));
    /// ```
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add_unsigned(micros(duration)))
    }

    /// This point moved earlier; at least [`Timestamp::MIN`]. Fractions of a microsecond are cut.
    ///
    /// ```
    /// # use storage_api::*;
    /// let hour = std::time::Duration::from_secs(3600);
    /// assert_eq!(Timestamp::MIN.saturating_sub(hour), Timestamp::MIN);
    /// ```
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub_unsigned(micros(duration)))
    }

    /// The time from `earlier` to this point; zero where `earlier` is later.
    ///
    /// ```
    /// # use storage_api::*;
    /// let (earlier, later) = (Timestamp::from_secs(1), Timestamp::from_secs(3));
    /// assert_eq!(later.saturating_since(earlier).as_secs(), 2);
    /// assert!(earlier.saturating_since(later).is_zero());
    /// ```
    pub fn saturating_since(self, earlier: Self) -> Duration {
        let micros = i128::from(self.0) - i128::from(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// RFC 3339 in UTC with microseconds; years outside of 0..=9999 carry a sign.
///
/// No calendar library covers the whole range of `i64` microseconds (292 000 years either way), and an error must be
/// printable whatever time it names.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: i64 = 86_400_000_000;
        let (days, rest) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        // Days to civil date by eras of 400 years (146 097 days), counted from 0000-03-01.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (secs, micros) = (rest / 1_000_000, rest % 1_000_000);
        let sign = match year {
            0..=9999 => "",
            i64::MIN..0 => "-",
            _ => "+",
        };
        write!(
            f,
            "{sign}{:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{micros:06}Z",
            year.abs(),
            secs / 3600,
            secs / 60 % 60,
            secs % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_rfc_3339_over_the_whole_range() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_763_600_000_250_000, "2025-11-20T00:53:20.250000Z"),
            (i64::MAX, "+294247-01-10T04:00:54.775807Z"),
            (i64::MIN, "-290308-12-21T19:59:05.224192Z"),
        ];
        for (micros, text) in cases {
            assert_eq!(Timestamp::from_micros(micros).to_string(), text);
        }
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.saturating_sub(Duration::MAX), Timestamp::MIN);
        assert_eq!(
            Timestamp::MIN.saturating_add(Duration::from_micros(u64::MAX)),
            Timestamp::MAX
        );
        assert_eq!(
            Timestamp::MAX.saturating_since(Timestamp::MIN),
            Duration::from_micros(u64::MAX)
        );
        assert_eq!(
            Timestamp::MIN.saturating_since(Timestamp::MAX),
            Duration::ZERO
        );
    }
}
