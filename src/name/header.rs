//! Header names on the wire, and the grammar of the one compact header.
//!
//! Headers are what a call costs beyond a bare echo, so there is one: `Weft`, a list of
//! `key=value` behind the version. Only what differs from the defaults stands in it.

use std::{sync::Arc, time::Duration};

use super::CallId;

/// What differs from the defaults of a call or an answer: `1;ref=…;ms=…`.
pub const WEFT: &str = "Weft";
/// What a message of an answer is, where it is not the terminal: `msg;3`, `ack`, `ka`, `part;7`.
pub const FRAME: &str = "Weft-Frame";
/// A call token: `Bearer <jwt>`.
pub const AUTHORIZATION: &str = "Authorization";
/// The message of an error, as every NATS micro service sends it.
pub const SERVICE_ERROR: &str = "Nats-Service-Error";
/// The code of an error, as every NATS micro service sends it.
pub const SERVICE_ERROR_CODE: &str = "Nats-Service-Error-Code";
/// Stands on a message that a stream stored: such a message is no answer.
pub const STREAM: &str = "Nats-Stream";
/// On an event that is delivered once more: where it stands (`WEFT_TASKS:12`).
pub const REPLAY: &str = "Weft-Replay";

/// The version of the wire that this build speaks.
pub const VERSION: &str = "1";

/// How long a call may take where nothing else is said.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// A header of more bytes than this is refused.
pub const BYTES_MAX: usize = 1024;
/// Calls that one message carries at most.
pub const BATCH_MAX: usize = 10;

/// The `Weft` header of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// `ref`: 22 characters, 128 bits of the token's SHA-256, in place of the bearer.
    pub token: Option<Arc<str>>,
    /// `corr`: the correlation id, where it is not derived from the call id.
    pub correlation: Option<Arc<str>>,
    /// `ms`: what is left of the caller's time; 30 s where it does not stand.
    pub remaining: Option<Duration>,
    /// `try`: which attempt this is, from 1.
    pub attempt: Option<u8>,
    /// `key`: the idempotency key.
    pub key: Option<Arc<str>>,
    /// `parts`, `size`: the body comes in so many parts, so many bytes.
    pub parts: Option<(u32, usize)>,
    /// `batch`: the body is an array of requests; of each, in order, the id of its call and what
    /// is left of its time: `{id}:{ms},{id}:{ms}`. From 1 to [`BATCH_MAX`].
    pub batch: Option<Arc<[(CallId, Duration)]>>,
    /// `frames`: how many frames went before this terminal.
    pub frames: Option<u32>,
    /// `inst`: the instance that speaks.
    pub instance: Option<Arc<str>>,
    /// `sha`: SHA-256 of the whole body, in hex, on its last part.
    pub digest: Option<Arc<str>>,
}

/// A `Weft` header that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A version that this build does not speak.
    #[error("the `Weft` header says version {0}; this server speaks version 1")]
    Version(String),
    /// A field whose value is not one.
    #[error("the `Weft` header has `{0}`, which is no value of that field")]
    Value(String),
    /// Longer than [`BYTES_MAX`].
    #[error("the `Weft` header has {0} bytes; at most {BYTES_MAX} are read")]
    Long(usize),
}

impl Terms {
    /// Whether anything differs from the defaults.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The header's value.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(32);
        out.push_str(VERSION);
        let text = |out: &mut String, key: &str, value: Option<&str>| {
            if let Some(value) = value {
                out.extend([";", key, "=", value]);
            }
        };
        text(&mut out, "ref", self.token.as_deref());
        text(&mut out, "corr", self.correlation.as_deref());
        text(&mut out, "key", self.key.as_deref());
        text(&mut out, "inst", self.instance.as_deref());
        text(&mut out, "sha", self.digest.as_deref());
        if let Some(left) = self.remaining {
            out.push_str(&format!(";ms={}", left.as_millis()));
        }
        if let Some(attempt) = self.attempt {
            out.push_str(&format!(";try={attempt}"));
        }
        if let Some((parts, size)) = self.parts {
            out.push_str(&format!(";parts={parts};size={size}"));
        }
        if let Some(frames) = self.frames {
            out.push_str(&format!(";frames={frames}"));
        }
        for (at, (call, left)) in self.batch.iter().flat_map(|calls| calls.iter()).enumerate() {
            out.push_str(if at == 0 { ";batch=" } else { "," });
            out.push_str(&format!("{call}:{}", left.as_millis()));
        }
        out
    }

    /// Reads a header. Fields that it does not know are passed over.
    ///
    /// # Errors
    /// [`HeaderError`]: another version, a broken value, too long.
    pub fn parse(header: &str) -> Result<Self, HeaderError> {
        if header.len() > BYTES_MAX {
            return Err(HeaderError::Long(header.len()));
        }
        let mut fields = header.split(';');
        let version = fields.next().unwrap_or_default();
        if version != VERSION {
            return Err(HeaderError::Version(version.to_owned()));
        }
        let mut terms = Self::default();
        let (mut parts, mut size) = (None, None);
        for field in fields {
            let broken = || HeaderError::Value(field.to_owned());
            let (key, value) = field.split_once('=').ok_or_else(broken)?;
            let word = || {
                let plain = |b: u8| b.is_ascii_graphic();
                (!value.is_empty() && value.bytes().all(plain)).then(|| Arc::from(value))
            };
            match key {
                "ref" => terms.token = Some(word().ok_or_else(broken)?),
                "corr" => terms.correlation = Some(word().ok_or_else(broken)?),
                "key" => terms.key = Some(word().ok_or_else(broken)?),
                "inst" => terms.instance = Some(word().ok_or_else(broken)?),
                "sha" => terms.digest = Some(word().ok_or_else(broken)?),
                "ms" => {
                    let ms = value.parse().map_err(|_| broken())?;
                    terms.remaining = Some(Duration::from_millis(ms));
                }
                "try" => terms.attempt = Some(value.parse().map_err(|_| broken())?),
                "frames" => terms.frames = Some(value.parse().map_err(|_| broken())?),
                "parts" => parts = Some(value.parse().map_err(|_| broken())?),
                "size" => size = Some(value.parse().map_err(|_| broken())?),
                "batch" => terms.batch = Some(batch(value).ok_or_else(broken)?),
                _ => {}
            }
        }
        terms.parts = parts.zip(size);
        Ok(terms)
    }
}

/// The calls of a batch, each with what is left of its time.
fn batch(value: &str) -> Option<Arc<[(CallId, Duration)]>> {
    let calls = value.split(',').map(|one| {
        let (call, left) = one.split_once(':')?;
        let left = left.parse().map(Duration::from_millis).ok()?;
        Some((CallId::parse(call)?, left))
    });
    let calls: Option<Arc<[_]>> = calls.take(BATCH_MAX + 1).collect();
    calls.filter(|calls| calls.len() <= BATCH_MAX)
}

/// What a message of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A JSON-RPC notification of the call; its number, from 1.
    Message(u32),
    /// The call was accepted by an instance and runs.
    Ack,
    /// The call still runs.
    KeepAlive,
    /// A piece of a large body; its number, from 1.
    Part(u32),
    /// The reader has all parts up to this one.
    Got(u32),
}

impl Frame {
    /// The header's value.
    #[must_use]
    pub fn encode(self) -> String {
        match self {
            Self::Message(n) => format!("msg;{n}"),
            Self::Ack => "ack".to_owned(),
            Self::KeepAlive => "ka".to_owned(),
            Self::Part(n) => format!("part;{n}"),
            Self::Got(n) => format!("got;{n}"),
        }
    }

    /// Reads a header; `None` for a frame that this build does not know.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let (kind, number) = header.split_once(';').unwrap_or((header, ""));
        let number = || number.parse().ok();
        match kind {
            "msg" => number().map(Self::Message),
            "part" => number().map(Self::Part),
            "got" => number().map(Self::Got),
            "ack" => Some(Self::Ack),
            "ka" => Some(Self::KeepAlive),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_come_back() {
        let terms = Terms {
            token: Some("A".repeat(22).into()),
            correlation: Some("c".into()),
            remaining: Some(Duration::from_millis(1500)),
            attempt: Some(2),
            key: Some("k-1".into()),
            parts: Some((40, 20 << 20)),
            frames: Some(3),
            batch: Some([(CallId::now(), Duration::from_millis(7)); 2].into()),
            instance: Some("i1".into()),
            digest: Some("00ff".into()),
        };
        assert_eq!(Terms::parse(&terms.encode()), Ok(terms));
        assert_eq!(Terms::parse("1"), Ok(Terms::default()));
        assert!(Terms::default().is_default());
    }

    #[test]
    fn unknown_fields_pass_and_unknown_versions_do_not() {
        assert_eq!(Terms::parse("1;new=thing"), Ok(Terms::default()));
        assert_eq!(Terms::parse("2"), Err(HeaderError::Version("2".into())));
        for broken in ["1;ms=x", "1;try=300", "1;ref", "1;corr=", "1;key=a b"] {
            assert!(
                matches!(Terms::parse(broken), Err(HeaderError::Value(_))),
                "{broken}"
            );
        }
        let long = format!("1;key={}", "x".repeat(BYTES_MAX));
        assert!(matches!(Terms::parse(&long), Err(HeaderError::Long(_))));
    }

    #[test]
    fn a_batch_has_ten_calls_at_most_and_each_its_time() {
        let one = format!("{}:30000", CallId::now());
        let read =
            |calls: usize| Terms::parse(&format!("1;batch={}", vec![&*one; calls].join(",")));
        let ten = read(BATCH_MAX).map(|terms| terms.batch.map(|calls| calls.len()));
        assert_eq!(ten, Ok(Some(BATCH_MAX)));
        assert!(read(BATCH_MAX + 1).is_err());
        for broken in ["", "x", "x:1", &one[..33], &format!("{one},")] {
            let read = Terms::parse(&format!("1;batch={broken}"));
            assert!(matches!(read, Err(HeaderError::Value(_))), "{broken}");
        }
        let whole = Terms {
            batch: Some([(CallId::now(), Duration::from_hours(24)); BATCH_MAX].into()),
            token: Some("A".repeat(22).into()),
            correlation: Some("c".repeat(64).into()),
            ..Terms::default()
        };
        assert!(whole.encode().len() < BYTES_MAX, "it has room");
    }

    #[test]
    fn frames_come_back() {
        for frame in [
            Frame::Message(3),
            Frame::Ack,
            Frame::KeepAlive,
            Frame::Part(7),
            Frame::Got(8),
        ] {
            assert_eq!(Frame::parse(&frame.encode()), Some(frame));
        }
        for unknown in ["", "msg", "msg;x", "later;1"] {
            assert_eq!(Frame::parse(unknown), None, "{unknown}");
        }
    }
}
