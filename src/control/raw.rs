//! Messages of streams as they are stored, read one by one through the broker's API.
//!
//! A header that the client library can't read ends the connection of whoever is sent it. Here its
//! bytes come inside of JSON, as base64, which nobody takes for headers: so this is the way to look
//! at a message of which nothing is known yet, and at one that is known to be broken.

use chrono::{DateTime, SecondsFormat};
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::connect::{REQUEST_MAX, Wire, unavailable};
use crate::error::{Error, Kind};

/// What the broker says where there is no such message.
const NO_MESSAGE: u32 = 10037;

/// A message as a stream keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Raw {
    /// Its number in the stream.
    pub(super) sequence: u64,
    /// The subject under which it was stored.
    pub(super) subject: String,
    /// When it was stored, milliseconds since 1970.
    pub(super) at: u64,
    /// Its headers, byte by byte; empty where it has none.
    pub(super) headers: Vec<u8>,
    /// Its body.
    pub(super) body: Vec<u8>,
}

/// Reads messages.
#[derive(Clone, Debug)]
pub(super) struct RawReader {
    wire: Wire,
}

impl RawReader {
    pub(super) const fn new(wire: Wire) -> Self {
        Self { wire }
    }

    /// The message of this number; `None` where the stream has it not, or no longer.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` where the broker does not answer, or has no such stream.
    #[expect(dead_code, reason = "the way to a dead letter, whose number is known")]
    pub(super) async fn get(&self, stream: &str, sequence: u64) -> Result<Option<Raw>, Error> {
        self.ask(stream, &json!({"seq": sequence.max(1)})).await
    }

    /// The first message from this number on whose subject is one of this filter's.
    ///
    /// # Errors
    /// As [`RawReader::get`].
    pub(super) async fn next(
        &self,
        stream: &str,
        sequence: u64,
        filter: &str,
    ) -> Result<Option<Raw>, Error> {
        let wanted = json!({"seq": sequence.max(1), "next_by_subj": filter});
        self.ask(stream, &wanted).await
    }

    /// The first message that was stored at this time or later, milliseconds since 1970, and whose
    /// subject is one of this filter's.
    ///
    /// # Errors
    /// As [`RawReader::get`].
    pub(super) async fn next_since(
        &self,
        stream: &str,
        at: u64,
        filter: &str,
    ) -> Result<Option<Raw>, Error> {
        let Some(at) = time(at) else {
            return Ok(None);
        };
        let wanted = json!({"start_time": at, "next_by_subj": filter});
        self.ask(stream, &wanted).await
    }

    async fn ask(&self, stream: &str, wanted: &Value) -> Result<Option<Raw>, Error> {
        let failed = |what: &str| unavailable(&format!("the stream {stream} {what}"));
        let (client, to) = (
            self.wire.client(),
            format!("$JS.API.STREAM.MSG.GET.{stream}"),
        );
        let asked = client.request(to, wanted.to_string().into());
        let answer = timeout(REQUEST_MAX, asked).await;
        let answer = answer.map_err(|_| failed("does not answer"))?;
        let answer = answer.map_err(|error| failed("can't be asked").source(error))?;
        read(&answer.payload).map_err(|why| failed(&format!("can't be read: {why}")))
    }
}

/// A time as the broker's API has it.
fn time(ms: u64) -> Option<String> {
    let at = DateTime::from_timestamp_millis(i64::try_from(ms).ok()?)?;
    Some(at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[derive(Deserialize)]
struct Answer {
    message: Option<Stored>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Stored {
    subject: String,
    seq: u64,
    time: String,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

fn read(answer: &[u8]) -> Result<Option<Raw>, Error> {
    let wrong = |why: String| Error::new(Kind::InternalError, why);
    let answer: Answer =
        serde_json::from_slice(answer).map_err(|error| wrong(error.to_string()))?;
    let stored = match (answer.message, answer.error) {
        (Some(stored), None) => stored,
        (_, Some(refusal)) if refusal.err_code == NO_MESSAGE => return Ok(None),
        (_, Some(refusal)) => return Err(wrong(refusal.description)),
        (None, None) => return Err(wrong("the answer holds no message".to_owned())),
    };
    let bytes = |text: &str| {
        let bytes = BASE64.decode(text.as_bytes());
        bytes.map_err(|error| wrong(error.to_string()))
    };
    let at =
        DateTime::parse_from_rfc3339(&stored.time).map_err(|error| wrong(error.to_string()))?;
    Ok(Some(Raw {
        sequence: stored.seq,
        subject: stored.subject,
        at: u64::try_from(at.timestamp_millis()).unwrap_or(0),
        headers: bytes(&stored.hdrs)?,
        body: bytes(&stored.data)?,
    }))
}

impl Raw {
    /// Why whoever is sent this message loses the connection that it comes by; nothing where he
    /// does not.
    pub(super) fn breaks(&self) -> Option<&'static str> {
        // The broker's JSON has another character in the place of what is no text.
        if !self.subject.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Some("its subject is not of visible ASCII characters");
        }
        if self.headers.is_empty() {
            return None;
        }
        breaks(&self.headers)
    }
}

/// What of these headers is not as a client reads them.
fn breaks(headers: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(headers) else {
        return Some("its headers are no UTF-8");
    };
    let mut lines = text.split("\r\n");
    let version = lines.next().and_then(|line| line.strip_prefix("NATS/1.0"));
    if text.replace("\r\n", "").contains(['\r', '\n']) {
        return Some("a header has a bare CR or LF");
    }
    if !version.is_some_and(is_status) {
        return Some("its headers don't begin with NATS/1.0");
    }
    let mut behind_one = false;
    for line in lines {
        // The value of the one before goes on.
        if line.is_empty() || (behind_one && line.starts_with(char::is_whitespace)) {
            continue;
        }
        behind_one = line.split_once(':').is_some_and(|(name, _)| is_name(name));
        if !behind_one {
            return Some("a header has no name that can be one");
        }
    }
    None
}

/// Nothing, or three digits, with words behind them or without.
fn is_status(text: &str) -> bool {
    let code = text.trim().split(' ').next().unwrap_or_default();
    code.is_empty()
        || (code.len() == 3
            && !code.starts_with('0')
            && code.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_is_stored() {
        let answer = r#"{"type":"x","message":{"subject":"weft.v1.evt.al.task.a","seq":7,
            "hdrs":"TkFUUy8xLjANCkE6IGINCg0K","data":"e30=","time":"2026-11-22T09:30:00.123456Z"}}"#;
        let raw = read(answer.as_bytes()).expect("read").expect("there");
        assert_eq!((raw.sequence, raw.at), (7, 1_795_339_800_123));
        assert_eq!(raw.headers, b"NATS/1.0\r\nA: b\r\n\r\n");
        assert_eq!((raw.body.as_slice(), raw.breaks()), (&b"{}"[..], None));
        let none = r#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#;
        assert_eq!(read(none.as_bytes()).expect("read"), None);
        let other = r#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
        let said = read(other.as_bytes()).expect_err("no stream");
        assert_eq!(said.message(), "stream not found");
    }

    #[test]
    fn what_ends_a_connection_is_known() {
        for good in [
            "NATS/1.0\r\n\r\n",
            "NATS/1.0\r\nA: b\r\n\r\n",
            "NATS/1.0\r\nA:\r\nB: c: d\r\n\r\n",
            "NATS/1.0\r\nA: b\r\n  goes on\r\n\r\n",
            "NATS/1.0 503\r\n\r\n",
            "NATS/1.0 100 Idle Heartbeat\r\n\r\n",
        ] {
            assert_eq!(breaks(good.as_bytes()), None, "{good:?}");
        }
        for bad in [
            "NATS/1.0\r\nA: b\rc\r\n\r\n",
            "NATS/1.0\r\nA: b\nc\r\n\r\n",
            "NATS/1.0\r\nA: b\r\r\n\r\n",
            "NATS/1.0\nA: b\r\n\r\n",
            "NATS/1.0 x\r\n\r\n",
            "NATS/1.0\r\nno name\r\n\r\n",
            "NATS/1.0\r\nA b: c\r\n\r\n",
            "NATS/1.0\r\n goes on\r\n\r\n",
            "HTTP/1.1\r\nA: b\r\n\r\n",
            "\r\n",
        ] {
            assert!(breaks(bad.as_bytes()).is_some(), "{bad:?}");
        }
        assert!(breaks(b"NATS/1.0\r\nA: \xff\r\n\r\n").is_some());
        let raw = |subject: &str| Raw {
            sequence: 1,
            subject: subject.to_owned(),
            at: 0,
            headers: Vec::new(),
            body: Vec::new(),
        };
        assert!(raw("weft.v1.evt.al.task.a").breaks().is_none());
        for subject in [
            "weft.v1.evt.al.task.a\u{2003}b",
            "weft.v1.evt.al.task.\u{fffd}",
        ] {
            assert!(raw(subject).breaks().is_some(), "{subject}");
        }
    }
}
