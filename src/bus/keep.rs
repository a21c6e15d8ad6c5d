//! Messages that a stream keeps: published, and acknowledged by the broker once they are stored.
//!
//! A try that ends without a word may have been stored all the same: whoever tries again does so
//! with the same id, and the broker keeps one. Several messages of one stream can be stored
//! together, all or none, at the price of one.

use std::time::Duration;

use async_nats::{HeaderMap, HeaderName, Subject, message::OutboundMessage};
use bytes::Bytes;
use serde::Deserialize;

pub use super::ask::Unkept;
use super::{ask::Asked, link::Link, record::Written};
use crate::{
    error::{Error, Kind, Started, case},
    name::id,
};

const MESSAGE_ID: HeaderName = HeaderName::from_static("Nats-Msg-Id");
const BATCH: HeaderName = HeaderName::from_static("Nats-Batch-Id");
const BATCH_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Batch-Sequence");
const BATCH_COMMIT: HeaderName = HeaderName::from_static("Nats-Batch-Commit");

/// A message for a stream.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where it goes; the broker knows which stream keeps that.
    pub subject: String,
    /// Of two with the same id the stream keeps the first.
    pub id: String,
    /// Names in the form that they have on the wire, and values without line ends.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Bytes,
}

/// A message that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The stream.
    pub stream: String,
    /// Its number there.
    pub sequence: u64,
    /// Whether it was there already.
    pub duplicate: bool,
}

/// What a stream answers.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    #[serde(default)]
    count: usize,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

impl Link {
    /// Publishes a message and waits until it is stored.
    ///
    /// # Errors
    /// [`Unkept`].
    pub async fn keep(&self, message: &Message, within: Duration) -> Result<Kept, Unkept> {
        let line = self.line().map_err(Unkept::ForNow)?;
        let asked = Asked::open(self, &line, &message.subject)?;
        let outbound = outbound(message, Some(asked.reply()), None).map_err(Unkept::ForGood)?;
        let sent = line.send(outbound);
        let answer = read(&asked.answer(sent, within).await?)?;
        Ok(Kept {
            stream: answer.stream,
            sequence: answer.seq,
            duplicate: answer.duplicate,
        })
    }

    /// Stores these messages of one stream, all of them or none, and gives the place of the first.
    ///
    /// # Errors
    /// [`Unkept`]: then each may be tried alone, in the same order and with the same id.
    pub async fn keep_together(
        &self,
        messages: &[&Message],
        within: Duration,
    ) -> Result<Kept, Unkept> {
        let line = self.line().map_err(Unkept::ForNow)?;
        let Some((last, before)) = messages.split_last() else {
            return Err(Unkept::ForGood(Error::new(
                Kind::InternalError,
                "a batch of no messages",
            )));
        };
        let asked = Asked::open(self, &line, &last.subject)?;
        let batch = id::delivery();
        let sent = async {
            for (n, message) in before.iter().enumerate() {
                line.send(outbound(message, None, Some((&batch, n + 1, false)))?)
                    .await?;
            }
            let place = Some((batch.as_str(), messages.len(), true));
            line.send(outbound(last, Some(asked.reply()), place)?).await
        };
        let answer = read(&asked.answer(sent, within).await?)?;
        if answer.count != messages.len() {
            let why = format!(
                "{} of {} were stored together",
                answer.count,
                messages.len()
            );
            return Err(Unkept::ForNow(Error::new(Kind::InternalError, why)));
        }
        let behind = u64::try_from(messages.len() - 1).unwrap_or(u64::MAX);
        Ok(Kept {
            stream: answer.stream,
            sequence: answer.seq.saturating_sub(behind),
            duplicate: false,
        })
    }
}

fn outbound(
    message: &Message,
    reply: Option<&Subject>,
    batch: Option<(&str, usize, bool)>,
) -> Result<OutboundMessage, Error> {
    let mut headers = HeaderMap::new();
    let mut add = |name: HeaderName, value: &str| -> Result<(), Error> {
        // Checked: the library panics on line ends.
        let value: async_nats::HeaderValue = value.parse().map_err(|_| {
            Error::new(
                Kind::InvalidParams,
                "a value of the event can't stand in a header",
            )
        })?;
        headers.insert(name, value);
        Ok(())
    };
    add(MESSAGE_ID, &message.id)?;
    for (name, value) in &message.headers {
        add(HeaderName::from_static(name), value)?;
    }
    if let Some((id, sequence, last)) = batch {
        add(BATCH, id)?;
        add(BATCH_SEQUENCE, &sequence.to_string())?;
        if last {
            add(BATCH_COMMIT, "1")?;
        }
    }
    Ok(OutboundMessage {
        subject: message.subject.as_str().into(),
        reply: reply.cloned(),
        headers: Some(headers),
        payload: message.body.clone(),
    })
}

/// What the answer to a compare-and-set says.
pub(super) fn written(payload: &[u8]) -> Result<Written, Unkept> {
    // A lost one has two faces: the second one is shown by clusters.
    const LOST: [u32; 2] = [10071, 10164];
    let answer = parsed(payload)?;
    match answer.error {
        None => Ok(Written::As(answer.seq)),
        Some(refusal) if LOST.contains(&refusal.err_code) => Ok(Written::Lost),
        Some(refusal) => Err(refused(&refusal)),
    }
}

fn read(payload: &[u8]) -> Result<Answer, Unkept> {
    let answer = parsed(payload)?;
    match answer.error {
        None => Ok(answer),
        Some(refusal) => Err(refused(&refusal)),
    }
}

fn parsed(payload: &[u8]) -> Result<Answer, Unkept> {
    serde_json::from_slice(payload).map_err(|error| {
        let said = format!("the broker's acknowledgement can't be read: {error}");
        Unkept::ForNow(Error::new(Kind::InternalError, said).started(Started::Maybe))
    })
}

/// What the broker says where it keeps nothing: by the numbers of its errors.
fn refused(refusal: &Refusal) -> Unkept {
    let said = &refusal.description;
    match refusal.err_code {
        // Its store is full: the stream's own bound, the account's, or the disk.
        10023 | 10028 | 10047 | 10077 => Unkept::ForGood(
            Error::new(
                Kind::ServerOverloaded,
                format!("the stream is full, and nothing was stored: {said}"),
            )
            .case(case::STREAM_FULL),
        ),
        10054 => Unkept::ForGood(
            Error::new(
                Kind::InvalidRequest,
                format!("the stream refused it: {said}"),
            )
            .case(case::REQUEST_TOO_LARGE),
        ),
        // No leader now, or a batch that could not be: another try may do.
        10008 | 10009 | 10176 | 10199 | 10201 | 10210 | 10211 => Unkept::ForNow(Error::new(
            Kind::ServerOverloaded,
            format!("nothing was stored: {said}"),
        )),
        code => Unkept::ForGood(Error::new(
            Kind::InternalError,
            format!("the stream refused it: {said} ({code})"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_says_where() {
        let answer = read(br#"{"stream":"WEFT_TASKS","seq":7,"duplicate":true}"#);
        let answer = answer.map_err(Unkept::into_error).expect("stored");
        assert_eq!((answer.stream.as_str(), answer.seq), ("WEFT_TASKS", 7));
        assert!(answer.duplicate);
    }

    #[test]
    fn a_lost_compare_and_set_is_no_error() {
        let said =
            |code: u32| written(format!(r#"{{"error":{{"err_code":{code}}},"seq":0}}"#).as_bytes());
        for code in [10071, 10164] {
            assert!(matches!(said(code), Ok(Written::Lost)), "{code}");
        }
        assert!(said(10077).is_err());
        let stored = written(br#"{"stream":"KV_X","seq":7}"#);
        assert!(matches!(stored, Ok(Written::As(7))));
    }

    #[test]
    fn a_refusal_is_for_now_or_for_good() {
        let said = |code: u32| {
            let body = format!(
                r#"{{"error":{{"code":400,"err_code":{code},"description":"no"}},"stream":"S","seq":0}}"#
            );
            read(body.as_bytes()).err().expect("refused")
        };
        for code in [10008, 10176, 10199, 10201, 10210] {
            assert!(matches!(said(code), Unkept::ForNow(_)), "{code}");
        }
        let full = said(10077);
        assert!(matches!(&full, Unkept::ForGood(error) if error.kind() == Kind::ServerOverloaded));
        assert!(matches!(said(10054), Unkept::ForGood(_)));
        assert!(matches!(said(1), Unkept::ForGood(_)));
        assert!(matches!(read(b"{"), Err(Unkept::ForNow(_))));
    }
}
