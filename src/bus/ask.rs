//! What only the broker's streams answer: an acknowledgement, or what they say of themselves.
//!
//! It comes to a reply subject as calls have them, under the name of the control plane, whose
//! account the streams are in: no member may publish there.

use std::{sync::Arc, time::Duration};

use async_nats::{Message, Subject, message::OutboundMessage};
use bytes::Bytes;
use tokio::time::timeout;

use super::{
    fault,
    inbox::{Heard, Pending, Ticket},
    link::{Line, Link},
};
use crate::{
    error::{Error, Kind, Started, case},
    name::{CallId, ServerName, subject},
};

/// A silence that is shorter says nothing about the broker.
const TELLING: Duration = Duration::from_secs(1);

/// Why there is no acknowledgement.
#[derive(Debug)]
pub enum Unkept {
    /// It may be another time, with the same id.
    ForNow(Error),
    /// It never will be.
    ForGood(Error),
}

impl Unkept {
    /// What the connection says of what could not be sent: without one, it may be another time.
    pub(super) fn unsent(error: Error) -> Self {
        match error.kind() {
            Kind::ServerOverloaded => Self::ForNow(error),
            _ => Self::ForGood(error),
        }
    }

    /// The error in it.
    #[must_use]
    pub fn into_error(self) -> Error {
        match self {
            Self::ForNow(error) | Self::ForGood(error) => error,
        }
    }
}

impl Link {
    /// Asks the streams something, and gives what they answer.
    ///
    /// # Errors
    /// [`Unkept`].
    pub async fn ask(&self, to: &str, body: Bytes, within: Duration) -> Result<Bytes, Unkept> {
        let line = self.line().map_err(Unkept::ForNow)?;
        let asked = Asked::open(self, &line, to)?;
        let sent = line.send(OutboundMessage {
            subject: to.into(),
            reply: Some(asked.reply().clone()),
            headers: None,
            payload: body,
        });
        asked.answer(sent, within).await
    }
}

/// A question to the broker's streams, and the place for its answer.
pub(super) struct Asked {
    ticket: Ticket,
}

impl Asked {
    pub(super) fn open(link: &Link, line: &Line, subject: &str) -> Result<Self, Unkept> {
        Self::place(link, line, subject, Pending::open)
    }

    /// For a message that a stream stored.
    pub(super) fn open_of_stream(link: &Link, line: &Line, subject: &str) -> Result<Self, Unkept> {
        Self::place(link, line, subject, Pending::open_of_stream)
    }

    fn place(
        link: &Link,
        line: &Line,
        subject: &str,
        open: fn(&Arc<Pending>, CallId, Subject, Subject) -> Result<Ticket, Error>,
    ) -> Result<Self, Unkept> {
        let call = CallId::now();
        // Nobody but the broker may answer in the name of the control plane.
        let reply = subject::reply(link.identity(), &line.connection, &ServerName::weft(), call);
        let place = open(&line.pending, call, subject.into(), reply.into());
        let ticket = place.map_err(Unkept::ForNow)?;
        if line.is_up() {
            Ok(Self { ticket })
        } else {
            Err(Unkept::ForNow(line.down()))
        }
    }

    /// Where the broker answers to.
    pub(super) fn reply(&self) -> &Subject {
        self.ticket.reply()
    }

    /// What it answered.
    pub(super) async fn answer(
        &self,
        sent: impl Future<Output = Result<(), Error>>,
        within: Duration,
    ) -> Result<Bytes, Unkept> {
        Ok(self.message(sent, within).await?.payload)
    }

    /// The message that it answered with.
    pub(super) async fn message(
        &self,
        sent: impl Future<Output = Result<(), Error>>,
        within: Duration,
    ) -> Result<Message, Unkept> {
        let heard = timeout(within, async {
            sent.await?;
            Ok(self.ticket.next().await)
        });
        let heard = heard.await.map_err(|_| silent(within))?;
        let heard = heard.map_err(Unkept::unsent)?;
        match heard {
            Heard::Terminal(message) => Ok(message),
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

/// Where a stream can't be written to, the broker says nothing at all.
fn silent(within: Duration) -> Unkept {
    // The last try of somebody whose time is over as good as now.
    let within = within.max(Duration::from_millis(1));
    let mut said = format!("the broker did not acknowledge the message within {within:.0?}");
    if within >= TELLING {
        said += ". If it runs, its log says why: a stream that met a full disk stands still until \
                 the broker is started again with room";
    }
    Unkept::ForNow(Error::new(Kind::Timeout, said).started(Started::Maybe))
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
