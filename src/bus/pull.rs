//! Pulling: events of a durable on one stream, as many as there is room for.
//!
//! The library's own puller goes through the account's JetStream API and dies with its connection
//! task; this one is a message that asks for so many, and a subscription that they come to.

use std::time::Duration;

use async_nats::{HeaderName, Message, StatusCode, Subscriber, message::OutboundMessage};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{ask::Unkept, follow::Place, link::Link, wire};
use crate::{
    error::{Error, Kind},
    name::{header, id, store, subject},
};

/// How long the broker keeps one pull: who leaves waits for its end.
const EXPIRES: Duration = Duration::from_secs(2);
/// How often it says that it still does.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// So long without a word, and it does not any more.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Events that one pull asks for at most.
const BATCH_MAX: usize = 256;
/// How long the broker may take to say what it knows of a durable.
const INFO_MAX: Duration = Duration::from_secs(5);

const REPLAY: HeaderName = HeaderName::from_static(header::REPLAY);

/// An event that was handed out, and is waited for.
#[derive(Clone, Debug)]
pub struct Handed {
    /// The subject under which it was stored.
    pub subject: String,
    /// Its number in the stream.
    pub sequence: u64,
    /// How often it was handed out, this time included.
    pub tries: u32,
    /// When it was stored, nanoseconds since 1970.
    pub at: u64,
    /// Where it is answered.
    pub reply: String,
    /// Where it stood first, on the stream of replays: `WEFT_TASKS:12`.
    pub replay: Option<String>,
    /// Its body.
    pub body: Bytes,
}

/// What a pull gave.
#[derive(Debug)]
pub enum Pulled {
    /// An event.
    Event(Box<Handed>),
    /// The durable was removed.
    Gone,
    /// The connection went, or the broker says nothing: pull anew.
    Lost,
}

/// One stream's events for one durable.
#[derive(Debug)]
pub struct Pulling {
    link: Link,
    /// Where it is asked for them.
    ask: String,
    /// Where they come.
    to: String,
    from: Subscriber,
    /// Over when the connection goes that they come by.
    life: CancellationToken,
    /// How many may still come of those that were asked for.
    open: usize,
    /// How far the broker had handed out when this was opened.
    delivered: u64,
}

impl Pulling {
    /// Opens a place for them, where the broker has the durable and lets us pull.
    ///
    /// # Errors
    /// For good `ACCESS_DENIED` where it does not, and `RESOURCE_NOT_FOUND` where there is no such
    /// durable; for now what a connection or a broker that goes away may say.
    pub async fn open(link: &Link, stream: &str, consumer: &str) -> Result<Self, Unkept> {
        let api = |what: &str| format!("{}.CONSUMER.{what}.{stream}.{consumer}", store::API_PREFIX);
        let info = link.ask(&api("INFO"), Bytes::new(), INFO_MAX).await;
        let info: serde_json::Value = serde_json::from_slice(&info?).unwrap_or_default();
        if let Some(code) = info["error"]["code"].as_u64() {
            let said = info["error"]["description"].as_str().unwrap_or_default();
            let text = format!("the stream {stream} says of the durable `{consumer}`: {said}");
            return Err(match code {
                404 => Unkept::ForGood(Error::new(Kind::ResourceNotFound, text)),
                _ => Unkept::ForNow(Error::new(Kind::ServerOverloaded, text)),
            });
        }
        let life = link.line().map_err(Unkept::unsent)?.life();
        let to = subject::delivery(link.identity(), &id::delivery());
        let from = link.subscribe(to.clone(), false).await;
        Ok(Self {
            from: from.map_err(Unkept::unsent)?,
            link: link.clone(),
            ask: api("MSG.NEXT"),
            to,
            life,
            open: 0,
            delivered: info["delivered"]["stream_seq"].as_u64().unwrap_or(u64::MAX),
        })
    }

    /// The last number that the broker had handed out when this was opened.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// The next event. There is room for so many, one at least.
    pub async fn next(&mut self, room: usize) -> Pulled {
        loop {
            if self.open == 0 && self.pull(room.clamp(1, BATCH_MAX)).await.is_err() {
                return Pulled::Lost;
            }
            let heard = tokio::select! {
                biased;
                heard = timeout(SILENCE_MAX, self.from.next()) => heard,
                // Whoever was asked has forgotten it with the connection.
                () = self.life.cancelled() => return Pulled::Lost,
            };
            let Ok(Some(message)) = heard else {
                return Pulled::Lost;
            };
            match message.status {
                None => {
                    self.open = self.open.saturating_sub(1);
                    if let Some(handed) = handed(message) {
                        return Pulled::Event(Box::new(handed));
                    }
                }
                // It lives, and has nothing.
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                Some(StatusCode::NO_RESPONDERS) => return Pulled::Lost,
                Some(_) if says(&message, "Consumer Deleted") => return Pulled::Gone,
                // It expired, or the broker ends it for a reason of its own: the next one.
                Some(_) => self.open = 0,
            }
        }
    }

    /// Takes no more: waits until the last pull is over, two seconds at most, and lets what still
    /// came go to others. Who just goes leaves it to its time to be over.
    pub async fn leave(mut self) {
        let over = async {
            while self.open > 0 {
                let Some(message) = self.from.next().await else {
                    return;
                };
                self.open = match message.status {
                    None => self.open - 1,
                    Some(StatusCode::IDLE_HEARTBEAT) => self.open,
                    Some(_) => 0,
                };
                if let Some(handed) = handed(message) {
                    // Not at once: it would come to this pull again.
                    self.link.again(&handed.reply, EXPIRES);
                }
            }
        };
        if timeout(EXPIRES + HEARTBEAT, over).await.is_err() {
            tracing::debug!(to = self.to, "the end of a pull was not heard");
        }
    }

    async fn pull(&mut self, batch: usize) -> Result<(), Error> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let wanted = json!({
            "batch": batch, "expires": nanos(EXPIRES), "idle_heartbeat": nanos(HEARTBEAT),
        });
        let asking = OutboundMessage {
            subject: self.ask.as_str().into(),
            reply: Some(self.to.as_str().into()),
            headers: None,
            payload: wanted.to_string().into(),
        };
        self.link.line()?.send(asking).await?;
        self.open = batch;
        Ok(())
    }
}

fn says(message: &Message, what: &str) -> bool {
    let said = message.description.as_deref();
    said.is_some_and(|said| said.eq_ignore_ascii_case(what))
}

fn handed(message: Message) -> Option<Handed> {
    let reply = message.reply.as_ref()?.to_string();
    let place = Place::read(&reply)?;
    let replay = wire::header(&message, &REPLAY).map(str::to_owned);
    Some(Handed {
        subject: message.subject.to_string(),
        sequence: place.sequence,
        tries: place.tries,
        at: place.at,
        reply,
        replay,
        body: message.payload,
    })
}

/// The answers to an event that was handed out.
impl Link {
    /// The event is done: it never comes again once this is back.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub async fn done(&self, reply: &str, within: Duration) -> Result<(), Unkept> {
        self.ask(reply, Bytes::from_static(b"+ACK"), within)
            .await
            .map(drop)
    }

    /// The event is given up: it never comes again once this is back.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub async fn given_up(&self, reply: &str, within: Duration) -> Result<(), Unkept> {
        self.ask(reply, Bytes::from_static(b"+TERM"), within)
            .await
            .map(drop)
    }

    /// The event may come again after this time. Where that does not arrive, it comes when its
    /// time is over.
    pub fn again(&self, reply: &str, after: Duration) {
        let delay = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        self.mention(reply, format!("-NAK {}", json!({"delay": delay})).into());
    }

    /// Somebody works on the event: its time begins anew.
    pub fn working(&self, reply: &str) {
        self.mention(reply, Bytes::from_static(b"+WPI"));
    }

    fn mention(&self, reply: &str, body: Bytes) {
        let said = self.line().is_ok_and(|line| {
            line.send_now(OutboundMessage {
                subject: reply.into(),
                reply: None,
                headers: None,
                payload: body,
            })
        });
        if !said {
            tracing::debug!(reply, "a word on an event was not sent");
        }
    }
}
