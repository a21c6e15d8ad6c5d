//! Points in time as people read them.

use chrono::{DateTime, SecondsFormat, Utc};

/// Seconds since 1970, as a date in UTC: `2026-11-22T14:30:00Z`.
pub(crate) fn date(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .map_or_else(
            || seconds.to_string(),
            |at| at.to_rfc3339_opts(SecondsFormat::Secs, true),
        )
}

/// Seconds since 1970, by the clock of this machine.
pub(crate) fn now() -> u64 {
    u64::try_from(Utc::now().timestamp()).unwrap_or(0)
}

/// How far away something is, in the unit that fits: `23 h`, `4 min`.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_by_people() {
        assert_eq!(date(1_795_357_800), "2026-11-22T14:30:00Z");
        assert_eq!(date(u64::MAX), u64::MAX.to_string());
        let spans = [5, 300, 86_400, 864_000].map(span);
        assert_eq!(spans, ["5 s", "5 min", "24 h", "10 days"]);
    }
}
