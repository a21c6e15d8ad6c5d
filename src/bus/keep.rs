//! Messages that a stream keeps: published, and acknowledged by the broker once they are stored.
//!
//! A try that ends without a word may have been stored all the same: whoever tries again does so
//! with the same id, and the broker keeps one. Several messages of one stream can be stored
//! together, all or none, at the price of one.

use std::time::Duration;

use async_nats::{HeaderMap, HeaderName, message::OutboundMessage};
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    fault,
    inbox::{Heard, Ticket},
    link::{Line, Link},
};
use crate::{
    error::{Error, Kind, Started, case},
    name::{CallId, ServerName, id, subject},
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

/// Why a message was not acknowledged.
#[derive(Debug)]
pub enum Unkept {
    /// It may be another time, with the same id.
    ForNow(Error),
    /// It never will be.
    ForGood(Error),
}

impl Unkept {
    /// The error in it.
    #[must_use]
    pub fn into_error(self) -> Error {
        match self {
            Self::ForNow(error) | Self::ForGood(error) => error,
        }
    }
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
        let outbound = outbound(message, Some(&asked.ticket), None).map_err(Unkept::ForGood)?;
        let sent = line.send(outbound);
        let answer = asked.answer(sent, within).await?;
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
        messages: &[Message],
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
            line.send(outbound(last, Some(&asked.ticket), place)?).await
        };
        let answer = asked.answer(sent, within).await?;
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

/// A place for the acknowledgement.
struct Asked {
    ticket: Ticket,
}

impl Asked {
    fn open(link: &Link, line: &Line, subject: &str) -> Result<Self, Unkept> {
        let call = CallId::now();
        // Nobody but the broker may answer in the name of the control plane.
        let reply = subject::reply(link.identity(), &line.connection, &ServerName::weft(), call);
        let place = line.pending.open(call, subject.into(), reply.into());
        let ticket = place.map_err(Unkept::ForNow)?;
        if line.is_up() {
            Ok(Self { ticket })
        } else {
            Err(Unkept::ForNow(line.down()))
        }
    }

    async fn answer(
        &self,
        sent: impl Future<Output = Result<(), Error>>,
        within: Duration,
    ) -> Result<Answer, Unkept> {
        let heard = timeout(within, async {
            sent.await?;
            Ok(self.ticket.next().await)
        });
        let silent = || {
            let said = format!("the broker did not acknowledge the message within {within:?}");
            Unkept::ForNow(Error::new(Kind::Timeout, said).started(Started::Maybe))
        };
        let heard = heard.await.map_err(|_| silent())?;
        let heard = heard.map_err(|error: Error| match error.kind() {
            Kind::ServerOverloaded => Unkept::ForNow(error),
            _ => Unkept::ForGood(error),
        })?;
        match heard {
            Heard::Terminal(message) => read(&message.payload),
            Heard::NoResponders => Err(Unkept::ForNow(absent(self.ticket.subject()))),
            Heard::Denied => Err(Unkept::ForGood(denied(self.ticket.subject()))),
            Heard::Lost => Err(Unkept::ForNow(fault::lost())),
            Heard::Frame(..) => Err(Unkept::ForNow(Error::new(
                Kind::InternalError,
                "an acknowledgement came in parts",
            ))),
        }
    }
}

fn outbound(
    message: &Message,
    reply: Option<&Ticket>,
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
        reply: reply.map(|ticket| ticket.reply().clone()),
        headers: Some(headers),
        payload: message.body.clone(),
    })
}

fn read(payload: &[u8]) -> Result<Answer, Unkept> {
    let answer: Answer = serde_json::from_slice(payload).map_err(|error| {
        let said = format!("the broker's acknowledgement can't be read: {error}");
        Unkept::ForNow(Error::new(Kind::InternalError, said).started(Started::Maybe))
    })?;
    match answer.error {
        None => Ok(answer),
        Some(refusal) => Err(refused(&refusal)),
    }
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

fn absent(subject: &str) -> Error {
    Error::new(
        Kind::ServerOverloaded,
        format!("no stream keeps `{subject}` now: its domain is not declared, or the stream has no leader"),
    )
    .case(case::STREAM_ABSENT)
}

pub(super) fn denied(subject: &str) -> Error {
    Error::new(
        Kind::AccessDenied,
        format!("the broker does not let this token publish to `{subject}`"),
    )
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
