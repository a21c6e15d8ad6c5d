//! Raw messages: any bytes under any headers, and whatever is heard back.
//!
//! [`Remote`](super::Remote) sends what the document allows and reads what it promises. Who wants
//! to know whether another program keeps to the document must be able to send what is wrong, and
//! to see what does not belong there.

use std::time::Duration;

use async_nats::{
    HeaderMap, HeaderValue, Message, StatusCode, Subscriber, message::OutboundMessage,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::{
    fault,
    inbox::{Heard, Ticket},
    link::Link,
};
use crate::{
    error::{Error, Kind},
    name::{CallId, Connection, subject},
};

/// A place of one's own where answers come, and a way to ask for them.
#[derive(Debug)]
pub struct Probe {
    link: Link,
    base: String,
    answers: Subscriber,
}

/// A message that is about to be published.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// Where it goes.
    pub subject: String,
    /// Where answers are wanted; none for a message that asks for none.
    pub reply: Option<String>,
    /// Names, each one of [`crate::name::header`], and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

/// A message that came.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Where it came to.
    pub subject: String,
    /// Names and first values, as they were spelt.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Incoming {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What was heard next.
#[derive(Debug)]
pub enum Next {
    /// A message.
    Message(Incoming),
    /// Nobody listens where it was sent to.
    Nobody,
    /// The broker does not let us publish there.
    Denied,
    /// Nothing, for as long as was waited.
    Silence,
}

/// One message that was sent: what the broker says about it is heard while this is there.
#[derive(Debug)]
pub struct Sent {
    ticket: Ticket,
}

impl Probe {
    /// A place below one's own reply subjects.
    ///
    /// # Errors
    /// As [`Link::subscribe`].
    pub async fn replies(link: &Link) -> Result<Self, Error> {
        let base = format!("{}.rep.{}", subject::ROOT, link.identity());
        Self::below(link, &base).await
    }

    /// A place below the subjects that `$SRV` is answered on; operators have one.
    ///
    /// # Errors
    /// As [`Link::subscribe`].
    pub async fn services(link: &Link) -> Result<Self, Error> {
        Self::below(link, subject::SRV_REPLY).await
    }

    async fn below(link: &Link, base: &str) -> Result<Self, Error> {
        let base = format!("{base}.{}", Connection::random());
        Ok(Self {
            answers: link.subscribe(format!("{base}.>"), false).await?,
            link: link.clone(),
            base,
        })
    }

    /// A subject below this place.
    #[must_use]
    pub fn subject(&self, rest: &str) -> String {
        format!("{}.{rest}", self.base)
    }

    /// Publishes a message.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where a value can't stand in a header, `SERVER_OVERLOADED` without a
    /// connection.
    pub async fn send(&self, message: Outgoing) -> Result<Sent, Error> {
        let line = self.link.line()?;
        let mut headers = HeaderMap::new();
        for (name, value) in &message.headers {
            let value: HeaderValue = value.parse().map_err(|_| {
                let what = format!("`{}` can't stand in a header", value.escape_debug());
                Error::new(Kind::InvalidParams, what)
            })?;
            headers.insert(*name, value);
        }
        // Its answers come to `base`; under this ticket the connection tells what the broker denies.
        let subject: async_nats::Subject = message.subject.into();
        let nowhere = self.subject("denied").into();
        let ticket = line.pending.open(CallId::now(), subject.clone(), nowhere)?;
        line.send(OutboundMessage {
            subject,
            reply: message.reply.map(Into::into),
            headers: (!headers.is_empty()).then_some(headers),
            payload: message.body,
        })
        .await?;
        Ok(Sent { ticket })
    }

    /// What comes next to this place, or what the broker says of what was sent.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` (CONNECTION_LOST) where the connection went.
    pub async fn next(&mut self, sent: &Sent, until: Instant) -> Result<Next, Error> {
        let heard = async {
            tokio::select! {
                message = self.answers.next() => message.map_or_else(|| Err(fault::lost()), |message| Ok(read(message))),
                word = sent.ticket.next() => match word {
                    Heard::Denied => Ok(Next::Denied),
                    _ => Err(fault::lost()),
                },
            }
        };
        tokio::time::timeout_at(until, heard)
            .await
            .unwrap_or(Ok(Next::Silence))
    }

    /// Takes whatever comes within this time, answers to nothing included.
    pub async fn rest(&mut self, within: Duration) -> Vec<Incoming> {
        let until = Instant::now() + within;
        let mut rest = Vec::new();
        while let Ok(Some(message)) = tokio::time::timeout_at(until, self.answers.next()).await {
            if let Next::Message(message) = read(message) {
                rest.push(message);
            }
        }
        rest
    }
}

fn read(message: Message) -> Next {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Next::Nobody;
    }
    let headers = message.headers.iter().flat_map(HeaderMap::iter);
    let headers = headers.filter_map(|(name, values)| {
        let value = values.first()?;
        Some((name.to_string(), value.as_str().to_owned()))
    });
    Next::Message(Incoming {
        subject: message.subject.to_string(),
        headers: headers.collect(),
        body: message.payload,
    })
}
