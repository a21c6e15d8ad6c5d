//! What a stream sends to one reader: in order, without a gap, and as fast as it is read.
//!
//! The control plane has the stream push to a subject that only this reader knows. Each message
//! says its place in the stream and among those sent; a heartbeat says how many there were. So a
//! loss is seen, and the reader asks anew from where it was.

use std::time::Duration;

use async_nats::{HeaderName, Message, Subscriber, message::OutboundMessage};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::{link::Link, wire};
use crate::{
    error::Error,
    name::{id, subject},
};

/// A stream says something every 2 s; so long without a word, and nothing more will come.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// What a stream's heartbeats have.
const LAST_CONSUMER: HeaderName = HeaderName::from_static("Nats-Last-Consumer");
/// A reader that stopped reading is asked here to say when it goes on.
const STALLED: HeaderName = HeaderName::from_static("Nats-Consumer-Stalled");
/// What the subjects begin with on which a reader says that it goes on.
const FLOW: &str = "$JS.FC.";
/// What the replies of messages begin with that a stream sends.
const PLACE: &str = "$JS.ACK.";

/// A message of a stream.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The subject under which it was stored.
    pub subject: String,
    /// Its number in the stream.
    pub sequence: u64,
    /// When it was stored, nanoseconds since 1970.
    pub at: u64,
    /// How many are stored behind it that are for this reader too.
    pub pending: u64,
    /// Its body.
    pub body: Bytes,
}

impl Sent {
    /// When it was stored, milliseconds since 1970.
    #[must_use]
    pub const fn at_ms(&self) -> u64 {
        self.at / 1_000_000
    }
}

/// What a stream says.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A message.
    Sent(Sent),
    /// It has nothing to send now.
    Idle,
}

/// A reader's place to be sent to.
#[derive(Debug)]
pub struct Following {
    link: Link,
    number: String,
    from: Subscriber,
    /// How many were sent so far.
    sent: u64,
}

impl Following {
    /// Opens one; its number is 128 random bits.
    ///
    /// # Errors
    /// As [`Link::subscribe`].
    pub async fn open(link: &Link) -> Result<Self, Error> {
        let number = id::delivery();
        let to = subject::delivery(link.identity(), &number);
        Ok(Self {
            link: link.clone(),
            from: link.subscribe(to, false).await?,
            number,
            sent: 0,
        })
    }

    /// The `{n}` to tell the control plane.
    #[must_use]
    pub fn number(&self) -> &str {
        &self.number
    }

    /// What comes next; `None` where a message was lost, or nothing more will come: ask anew.
    pub async fn heard(&mut self) -> Option<Heard> {
        loop {
            let message = timeout(SILENCE_MAX, self.from.next()).await.ok()??;
            match Place::of(&message) {
                Some(place) => {
                    self.sent += 1;
                    let in_order = place.sent == self.sent;
                    return in_order.then(|| Heard::Sent(place.with(message)));
                }
                None if self.attend(&message).await? => return Some(Heard::Idle),
                None => {}
            }
        }
    }

    /// A word of the stream itself: whether it is that it has nothing to send. `None` where it sent
    /// more than came.
    async fn attend(&self, message: &Message) -> Option<bool> {
        let stalled = wire::header(message, &STALLED);
        let asked = message.reply.as_deref().or(stalled);
        let asked = asked.filter(|to| to.starts_with(FLOW));
        if let Some(to) = asked {
            let going_on = OutboundMessage {
                subject: to.into(),
                reply: None,
                headers: None,
                payload: Bytes::new(),
            };
            self.link.line().ok()?.send(going_on).await.ok()?;
        }
        let said = wire::header(message, &LAST_CONSUMER);
        let sent = said.and_then(|sent| sent.parse::<u64>().ok());
        if sent.is_some_and(|sent| sent > self.sent) {
            return None;
        }
        Some(sent.is_some() && asked.is_none())
    }
}

/// Where a message stands, as its reply subject says.
pub(super) struct Place {
    pub(super) tries: u32,
    pub(super) sequence: u64,
    sent: u64,
    pub(super) at: u64,
    pending: u64,
}

impl Place {
    /// `$JS.ACK.{stream}.{consumer}.{tries}.{stream's number}.{consumer's number}.{time}.{pending}`
    fn of(message: &Message) -> Option<Self> {
        Self::read(message.reply.as_deref()?)
    }

    pub(super) fn read(reply: &str) -> Option<Self> {
        let parts: Vec<_> = reply.strip_prefix(PLACE)?.split('.').collect();
        let [_, _, tries, sequence, sent, at, pending] = parts[..] else {
            return None;
        };
        Some(Self {
            tries: tries.parse().ok()?,
            sequence: sequence.parse().ok()?,
            sent: sent.parse().ok()?,
            at: at.parse().ok()?,
            pending: pending.parse().ok()?,
        })
    }

    fn with(self, message: Message) -> Sent {
        Sent {
            subject: message.subject.to_string(),
            sequence: self.sequence,
            at: self.at,
            pending: self.pending,
            body: message.payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_where_it_stands() {
        let place = Place::read("$JS.ACK.WEFT_TASKS.t1.2.7.3.1795394107290129641.51299");
        let place = place.expect("a place");
        assert_eq!((place.tries, place.sequence), (2, 7));
        assert_eq!((place.sent, place.pending), (3, 51299));
        for other in [
            "",
            "$JS.FC.WEFT_TASKS.t1.x",
            "$JS.ACK.a.b.1.2.3.4",
            "$JS.ACK.a.b.1.x.3.4.5",
        ] {
            assert!(Place::read(other).is_none(), "{other}");
        }
    }
}
