//! Messages to one subject that nobody answers, and whether the broker takes them.
//!
//! The broker says nothing to a message that it takes, and tells the connection of one that it
//! refuses. So a place is kept for that word, and now and then a request that nobody answers goes
//! behind the messages: when it comes back, the broker has seen them all.

use std::sync::Arc;

use async_nats::{HeaderMap, HeaderName, HeaderValue, message::OutboundMessage};
use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::time::timeout;

use super::{
    inbox::{Heard, Ticket},
    link::{Line, Link, REFUSAL_LATE},
};
use crate::{
    error::{Error, Kind, Started, case},
    name::{CallId, ServerName, subject},
};

/// Where messages to one subject are handed in. After its first error it is of no more use.
#[derive(Debug)]
pub struct Outbox {
    link: Link,
    line: Arc<Line>,
    ticket: Ticket,
}

impl Outbox {
    /// Opens one on the connection of now.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` (BROKER_UNAVAILABLE) without a connection.
    pub fn open(link: &Link, to: &str) -> Result<Self, Error> {
        let line = link.line()?;
        let call = CallId::now();
        // Nothing is answered: it is the word of a refusal that comes by this place.
        let nowhere = subject::reply(link.identity(), &line.connection, &ServerName::weft(), call);
        let ticket = line.pending.open(call, to.into(), nowhere.into())?;
        Ok(Self {
            link: link.clone(),
            line,
            ticket,
        })
    }

    /// Hands in a message. Names are in the form that they have on the wire.
    ///
    /// # Errors
    /// `ACCESS_DENIED` where the broker refused one of those before, `INTERNAL_ERROR`
    /// (CONNECTION_LOST) where the connection went, `INVALID_PARAMS` where a value can't stand in a
    /// header, `INVALID_REQUEST` where the message is too large, `SERVER_OVERLOADED` where the
    /// connection takes nothing for two seconds.
    pub async fn send(&self, headers: &[(&'static str, String)], body: Bytes) -> Result<(), Error> {
        self.said()?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            // Checked: the library panics on line ends.
            let value: HeaderValue = value.parse().map_err(|_| {
                let what = format!("`{}` can't stand in a header", value.escape_debug());
                Error::new(Kind::InvalidParams, what)
            })?;
            map.insert(HeaderName::from_static(name), value);
        }
        let message = OutboundMessage {
            subject: self.ticket.subject().clone(),
            reply: None,
            headers: (!map.is_empty()).then_some(map),
            payload: body,
        };
        self.line.send(message).await
    }

    /// Waits until the broker has seen all that was handed in, at most two seconds.
    ///
    /// # Errors
    /// As [`Outbox::send`]; what was refused just now may be told by the next call alone.
    pub async fn arrived(&self) -> Result<(), Error> {
        self.said()?;
        let seen = self.line.probe(self.link.identity()).await;
        self.said()?;
        seen.map_err(|error| lost().source(error))
    }

    /// Waits until the broker has taken all that was handed in: the last word.
    ///
    /// # Errors
    /// As [`Outbox::send`].
    pub async fn settle(&self) -> Result<(), Error> {
        self.arrived().await?;
        match timeout(REFUSAL_LATE, self.ticket.next()).await {
            Ok(heard) => Err(self.refused(&heard)),
            Err(_) => Ok(()),
        }
    }

    fn said(&self) -> Result<(), Error> {
        match self.ticket.next().now_or_never() {
            Some(heard) => Err(self.refused(&heard)),
            None => Ok(()),
        }
    }

    fn refused(&self, heard: &Heard) -> Error {
        match heard {
            Heard::Denied => super::ask::denied(self.ticket.subject()),
            _ => lost(),
        }
    }
}

fn lost() -> Error {
    Error::new(
        Kind::InternalError,
        "the connection to the broker was lost: nobody knows what of that which was sent last has \
         arrived",
    )
    .case(case::CONNECTION_LOST)
    .started(Started::Maybe)
}
