//! Sizes, durations and percentages as people write them.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};

/// A number of bytes: `512MiB`, `1GB`, `100B`, or a plain number of bytes.
///
/// ```
/// # use storage_queue::ByteSize;
/// assert_eq!("512MiB".parse::<ByteSize>().unwrap().bytes(), 512 << 20);
/// assert_eq!("1 GB".parse::<ByteSize>().unwrap().bytes(), 1_000_000_000);
/// assert!("512MIPS".parse::<ByteSize>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// That many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// How many bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// A length of time with a unit: `30s`, `10m`, `1h 30m`, `250ms`.
///
/// ```
/// # use std::time::Duration;
/// # use storage_queue::TimeSpan;
/// assert_eq!("1h 30m".parse::<TimeSpan>().unwrap().duration(), Duration::from_secs(5400));
/// assert!("30".parse::<TimeSpan>().is_err(), "30 of what?");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(Duration);

impl TimeSpan {
    /// That long.
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// How long.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

/// A share from `0%` to `100%`, with at most two decimals.
///
/// ```
/// # use storage_queue::Percent;
/// assert_eq!("85%".parse::<Percent>().unwrap().of(1000), 850);
/// assert_eq!("12.5%".parse::<Percent>().unwrap().of(u64::MAX), u64::MAX / 8);
/// assert!("101%".parse::<Percent>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent {
    /// Hundredths of a percent, up to 10 000.
    hundredths: u16,
}

impl Percent {
    const WHOLE: u16 = 10_000;

    /// That share of a number, rounded down.
    pub fn of(self, whole: u64) -> u64 {
        let share = u128::from(whole) * u128::from(self.hundredths) / u128::from(Self::WHOLE);
        u64::try_from(share).expect("a share is at most the whole")
    }

    /// The share of one, from 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.hundredths) / f64::from(Self::WHOLE)
    }
}

/// The text is not of the unit that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitError {
    expected: &'static str,
    found: String,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected {}, found «{}»",
            self.expected,
            self.found.escape_debug()
        )
    }
}

impl std::error::Error for UnitError {}

/// How the units of this file are read from a text, and from a plain number where that has a meaning.
trait Unit: Sized {
    const EXPECTED: &'static str;

    fn from_text(text: &str) -> Option<Self>;

    fn from_number(_number: u64) -> Option<Self> {
        None
    }
}

impl Unit for ByteSize {
    const EXPECTED: &'static str =
        "a size such as 512MiB (units: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)";

    fn from_text(text: &str) -> Option<Self> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim_start() {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        };
        number
            .parse::<u64>()
            .ok()?
            .checked_mul(factor)
            .map(Self::new)
    }

    fn from_number(number: u64) -> Option<Self> {
        Some(Self::new(number))
    }
}

impl Unit for TimeSpan {
    const EXPECTED: &'static str = "a duration with its unit, such as 30s, 10m or 250ms";

    fn from_text(text: &str) -> Option<Self> {
        // A bare 0 is a duration to the parser, and to nobody else.
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        humantime::parse_duration(text).ok().map(Self::new)
    }
}

impl Unit for Percent {
    const EXPECTED: &'static str = "a percentage such as 85%, from 0% to 100%";

    fn from_text(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?.trim_end();
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || !(1..=2).contains(&decimals.len()) {
            return None;
        }
        let decimals: u16 = format!("{decimals:0<2}").parse().ok()?;
        let hundredths = whole
            .parse::<u16>()
            .ok()?
            .checked_mul(100)?
            .checked_add(decimals)?;
        (hundredths <= Self::WHOLE).then_some(Self { hundredths })
    }
}

/// Durations in fields of their own type: read as a [`TimeSpan`], written so that they can be read again.
pub(crate) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::TimeSpan;

    pub(crate) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        TimeSpan::deserialize(deserializer).map(TimeSpan::duration)
    }
}

/// A number of bytes in a field of that type.
pub(crate) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    ByteSize::deserialize(deserializer).map(ByteSize::bytes)
}

struct UnitVisitor<U>(std::marker::PhantomData<U>);

impl<U: Unit> Visitor<'_> for UnitVisitor<U> {
    type Value = U;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(U::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<U, E> {
        U::from_text(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<U, E> {
        U::from_number(number).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<U, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }
}

macro_rules! unit {
    ($($name:ident)*) => {$(
        impl std::str::FromStr for $name {
            type Err = UnitError;

            fn from_str(text: &str) -> Result<Self, UnitError> {
                Unit::from_text(text).ok_or_else(|| UnitError {
                    expected: <Self as Unit>::EXPECTED,
                    found: text.to_owned(),
                })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(UnitVisitor(std::marker::PhantomData))
            }
        }
    )*};
}

unit!(ByteSize TimeSpan Percent);

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<u64> {
        ByteSize::from_text(text).map(ByteSize::bytes)
    }

    #[test]
    fn sizes_are_read_with_their_units_and_refused_beyond_64_bits() {
        for (text, expected) in [
            ("0", Some(0)),
            ("100B", Some(100)),
            ("2 kB", Some(2000)),
            ("3KiB", Some(3072)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("16777215TiB", Some(((1 << 24) - 1) << 40)),
            ("16777216TiB", None),
            ("", None),
            ("MiB", None),
            ("-1MiB", None),
            ("1.5MiB", None),
            ("1mib", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        for (text, expected) in [
            ("0s", Some(Duration::ZERO)),
            ("250ms", Some(Duration::from_millis(250))),
            ("0", None),
            ("30", None),
            ("", None),
            ("-5s", None),
            ("5 parsecs", None),
        ] {
            let read = TimeSpan::from_text(text).map(TimeSpan::duration);
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn percentages_lie_between_0_and_100() {
        for (text, expected) in [
            ("0%", Some(0)),
            ("100%", Some(10_000)),
            ("99.99%", Some(9_999)),
            ("7.5 %", Some(750)),
            ("100.01%", None),
            ("1.234%", None),
            ("85", None),
            ("%", None),
            ("-1%", None),
            (".5%", None),
            ("1.%", None),
        ] {
            let read = Percent::from_text(text).map(|percent| percent.hundredths);
            assert_eq!(read, expected, "{text}");
        }
    }
}
