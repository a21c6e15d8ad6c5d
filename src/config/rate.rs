//! How often: `20/s`, `600/m`, `1000/h`, `50000/d`.

use std::{borrow::Cow, fmt, num::NonZeroU32, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of calls in a second, a minute, an hour or a day.
///
/// ```
/// use weftbus::config::Rate;
/// let rate: Rate = "600/m".parse().unwrap();
/// assert_eq!((rate.count(), rate.per().as_secs()), (600, 60));
/// assert_eq!(rate.to_string(), "600/m");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: NonZeroU32,
    /// Seconds: one of those in [`SPANS`].
    per: u32,
}

const SPANS: [(&str, u32); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
/// More is no limit to anybody.
const COUNT_MAX: u32 = 1_000_000;

impl Rate {
    /// So many.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count.get()
    }

    /// In so long.
    #[must_use]
    pub const fn per(self) -> Duration {
        Duration::from_secs(self.per as u64)
    }
}

/// A text that is no rate. Says what one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a rate: write 1 to {COUNT_MAX} calls and a span, as in 20/s, 600/m, 1000/h or 50000/d", .0.escape_debug())]
pub struct NotARate(String);

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let read = || {
            let (count, span) = text.split_once('/')?;
            let (count, span) = (count.trim(), span.trim());
            // `+5` and `-0` are numbers to Rust.
            let plain = count.bytes().all(|byte| byte.is_ascii_digit());
            let count: NonZeroU32 = plain.then(|| count.parse().ok())??;
            let (_, per) = SPANS.into_iter().find(|(name, _)| *name == span)?;
            (count.get() <= COUNT_MAX).then_some(Self { count, per })
        };
        read().ok_or_else(|| NotARate(text.to_owned()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = SPANS.into_iter().find(|(_, per)| *per == self.per);
        let (span, _) = span.expect("a rate is made with one of them");
        write!(f, "{}/{span}", self.count)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of calls in a second, a minute, an hour or a day, as in 20/s, 600/m, 1000/h or 50000/d.",
            "type": "string",
            "pattern": "^[0-9]+ */ *(s|m|h|d)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_printed() {
        for text in ["1/s", "20/m", "1000/h", "1000000/d"] {
            assert_eq!(text.parse::<Rate>().expect(text).to_string(), text);
        }
        assert_eq!(
            " 7 / s".parse::<Rate>().expect("with spaces").to_string(),
            "7/s"
        );
        for text in [
            "",
            "7",
            "/s",
            "0/s",
            "-1/s",
            "+1/s",
            "1.5/s",
            "1/w",
            "1/ms",
            "1/s/s",
            "1000001/s",
            "99999999999/s",
        ] {
            let error = text.parse::<Rate>().expect_err(text).to_string();
            assert!(error.contains("20/s"), "{error}");
        }
    }
}
