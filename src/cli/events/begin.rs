//! Where events begin and end, as the command line says it.

use chrono::{DateTime, SecondsFormat};
use weftbus::{config::Period, event::From, mesh::Begin};

use crate::cli::{failure::Failure, time};

/// Where to begin: nothing is now for a tail, and the first event for a replay.
#[derive(clap::Args)]
#[group(multiple = false)]
pub(super) struct Since {
    /// Begin with what was stored so long ago, or at this time: 5m, 24h, 2026-11-22T09:30:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Begin behind this event: its place (STREAM:NUMBER) or its id
    #[arg(long, value_name = "PLACE|ID")]
    after: Option<String>,
    /// Begin with this number of the stream
    #[arg(long, value_name = "N")]
    from_seq: Option<u64>,
}

/// Clocks may differ by this when an id is looked for from its time, in milliseconds.
const CLOCKS_MS: u64 = 300_000;

impl Since {
    /// Where each stream begins, and the id of the event to wait for.
    pub(super) fn read(&self) -> Result<(Vec<Begin>, Option<String>), Failure> {
        let all = |from| vec![Begin { stream: None, from }];
        if let Some(number) = self.from_seq {
            return Ok((all(From::Sequence(number)), None));
        }
        if let Some(since) = &self.since {
            return Ok((all(From::Time(moment("--since", since)?)), None));
        }
        let Some(after) = &self.after else {
            return Ok((Vec::new(), None));
        };
        if let Some((stream, number)) = after.split_once(':')
            && let Ok(number) = number.parse::<u64>()
        {
            let begin = Begin {
                stream: Some(stream.to_owned()),
                from: From::Sequence(number.saturating_add(1)),
            };
            return Ok((vec![begin], None));
        }
        // An id that carries its time is looked for from there; another one from the first event.
        let from = match uuid_ms(after) {
            Some(ms) => From::Time(ms.saturating_sub(CLOCKS_MS)),
            None => From::Start,
        };
        Ok((all(from), Some(after.clone())))
    }
}

/// A time, or so long ago: milliseconds since 1970.
pub(in crate::cli) fn moment(flag: &str, text: &str) -> Result<u64, Failure> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(u64::try_from(at.timestamp_millis()).unwrap_or(0));
    }
    let period: Period = text.parse().map_err(|_| {
        Failure::usage(format!(
            "{flag} {text}: a time is 5m, 24h or 2026-11-22T09:30:00Z"
        ))
    })?;
    Ok((time::now() * 1000).saturating_sub(period.as_millis()))
}

/// The time that a UUIDv7 carries, milliseconds since 1970.
fn uuid_ms(text: &str) -> Option<u64> {
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    let is_v7 = hex.len() == 32 && hex.as_bytes()[12] == b'7' && hex.is_ascii();
    is_v7.then(|| u64::from_str_radix(&hex[..12], 16).ok())?
}

/// Milliseconds since 1970 as RFC 3339.
pub(in crate::cli) fn time(ms: u64) -> String {
    let at = i64::try_from(ms)
        .ok()
        .and_then(DateTime::from_timestamp_millis);
    at.map_or_else(
        || ms.to_string(),
        |at| at.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(after: &str) -> (Vec<Begin>, Option<String>) {
        let since = Since {
            since: None,
            after: Some(after.to_owned()),
            from_seq: None,
        };
        since.read().expect("a place")
    }

    #[test]
    fn a_place_an_id_with_its_time_or_any_id() {
        let (begin, behind) = since("WEFT_TASKS:12");
        assert_eq!(begin[0].stream.as_deref(), Some("WEFT_TASKS"));
        assert_eq!((begin[0].from, behind), (From::Sequence(13), None));
        let id = "019a8b0c-2d4e-7000-8000-000000000003";
        let (begin, behind) = since(id);
        let at = 0x019a_8b0c_2d4e - CLOCKS_MS;
        assert_eq!(
            (begin[0].from, behind.as_deref()),
            (From::Time(at), Some(id))
        );
        let (begin, behind) = since("order-4711");
        assert_eq!(
            (begin[0].from, behind.as_deref()),
            (From::Start, Some("order-4711"))
        );
    }

    #[test]
    fn a_time_is_a_date_or_so_long_ago() {
        assert_eq!(moment("--since", "1970-01-01T00:00:01Z").ok(), Some(1000));
        let ago = moment("--since", "5m").expect("a time");
        assert!(time::now() * 1000 - ago >= 300_000);
        assert!(moment("--until", "yesterday").is_err());
    }
}
