//! Durations and sizes as people write them: `30s`, `500ms`, `5m`; `64MiB`, `4096`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time with a resolution of a millisecond: a whole number and `ms`, `s`, `m`, `h` or
/// `d`. A bare number is refused: nobody remembers whether it meant seconds.
///
/// ```
/// use weftbus::config::Period;
/// assert_eq!("90s".parse::<Period>().unwrap().as_millis(), 90_000);
/// assert_eq!(Period::from_millis(120_000).to_string(), "2m");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(u64);

/// From the largest, so that printing finds the largest that fits.
const PERIODS: &[(&str, u64)] = &[
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Period {
    /// A period of so many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// A period of so many seconds; the longest there is where that is too many.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// Milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// As the standard library has it.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// A number of bytes: a whole number, alone or with `B`, `KiB`, `MiB` or `GiB`.
///
/// ```
/// use weftbus::config::Size;
/// assert_eq!("64MiB".parse::<Size>().unwrap().bytes(), 64 * 1024 * 1024);
/// assert_eq!(Size::new(4096).to_string(), "4KiB");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

const SIZES: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Size {
    /// A size of so many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A size of so many MiB; the largest there is where that is too many.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    /// Bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// A text that is no duration or no size. Says what one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not {expected}", .text.escape_debug())]
pub struct NotAUnit {
    text: String,
    expected: &'static str,
}

const PERIOD: &str = "a duration: write a whole number with a unit, as in 500ms, 30s, 5m or 1h";
const SIZE: &str = "a size: write a whole number of bytes, or one with a unit, as in 64KiB or 4MiB";

/// Splits `30s` in 30 and `s`, and multiplies.
fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The largest unit that says it exactly.
fn print(f: &mut fmt::Formatter<'_>, amount: u64, units: &[(&str, u64)]) -> fmt::Result {
    let exact = |unit: &&(&str, u64)| amount > 0 && amount.is_multiple_of(unit.1);
    let (name, factor) = units.iter().find(exact).unwrap_or(&units[units.len() - 1]);
    write!(f, "{}{name}", amount / factor)
}

impl FromStr for Period {
    type Err = NotAUnit;

    fn from_str(text: &str) -> Result<Self, NotAUnit> {
        measure(text, PERIODS).map(Self).ok_or_else(|| NotAUnit {
            text: text.to_owned(),
            expected: PERIOD,
        })
    }
}

impl FromStr for Size {
    type Err = NotAUnit;

    fn from_str(text: &str) -> Result<Self, NotAUnit> {
        text.trim()
            .parse()
            .ok()
            .or_else(|| measure(text, SIZES))
            .map(Self)
            .ok_or_else(|| NotAUnit {
                text: text.to_owned(),
                expected: SIZE,
            })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, self.0, PERIODS)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, self.0, SIZES)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Bytes)
    }
}

/// A size is a number or a text.
struct Bytes;

impl de::Visitor<'_> for Bytes {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size, as in 4096, 64KiB or 4MiB,")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
        text.parse().map_err(E::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A span of time, as in 500ms, 30s, 5m, 1h or 1d.",
            "type": "string",
            "pattern": "^[0-9]+ *(ms|s|m|h|d)$",
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes, alone or with a unit: 4096, 64KiB, 4MiB, 1GiB.",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^[0-9]+ *(B|KiB|MiB|GiB)?$" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(amount: u64) {
            let period = Period::from_millis(amount);
            prop_assert_eq!(period.to_string().parse(), Ok(period));
            let size = Size::new(amount);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn round_amounts_are_printed_in_their_unit(count in 1u64..1000) {
            for (unit, factor) in PERIODS {
                let period = Period::from_millis(count * factor);
                let written = format!("{count}{unit}");
                prop_assert_eq!(written.parse(), Ok(period));
                prop_assert!(period.to_string().len() <= written.len());
            }
        }
    }

    #[test]
    fn what_is_no_unit_is_refused() {
        for text in [
            "",
            "30",
            "s",
            "30 parsecs",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "584942417355d",
        ] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
        for text in ["", "MiB", "4MB", "-1", "1.5MiB", "99999999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_in_json_is_a_number_or_a_text() {
        for json in ["65536", "\"65536\"", "\"64KiB\"", "\"64 KiB\""] {
            let size: Size = serde_json::from_str(json).unwrap();
            assert_eq!(size, Size::new(65536), "{json}");
        }
    }
}
