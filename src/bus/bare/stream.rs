//! A bare stream, to measure events against: published to and read as the client library does it,
//! on the same broker, with nothing of ours.

use std::time::Duration;

use async_nats::{
    Client, HeaderMap, HeaderName, HeaderValue,
    jetstream::{
        self, Context,
        consumer::{DeliverPolicy, pull, push},
        publish::PublishAck,
        response::Response,
        stream::{Config, DiscardPolicy, StorageType, Stream},
    },
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout};

use crate::{
    bus::{Link, fault, keep::Message},
    error::{Error, Kind},
};

/// The stream, and the subject that it keeps.
const NAME: &str = "WEFT_BENCH";
const SUBJECT: &str = "weft.v1.bench.event";
/// Bytes that it keeps at most.
const BYTES_MAX: i64 = 512 << 20;
/// How long one answer of the broker may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How the library reads a stream in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Its ordered consumer that is pushed to.
    Pushed,
    /// Its ordered consumer that pulls.
    Pulled,
}

/// A stream without Weft.
#[derive(Clone, Debug)]
pub struct BareStream {
    context: Context,
}

impl BareStream {
    /// Makes it, with the settings of the streams of events, on a connection that may.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn make(link: &Link) -> Result<Self, Error> {
        let context = jetstream::new(link.client());
        let config = Config {
            name: NAME.to_owned(),
            subjects: vec![SUBJECT.to_owned()],
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            max_bytes: BYTES_MAX,
            duplicate_window: Duration::from_secs(600),
            ..Config::default()
        };
        let made = context.create_stream(config);
        let made = timeout(ANSWER_MAX, made).await.map_err(|_| fault::down())?;
        made.map_err(|error| fault::down().source(error))?;
        Ok(Self { context })
    }

    /// Publishes, and waits for the acknowledgement.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn publish(&self, body: Bytes) -> Result<Bytes, Error> {
        let failed = |error: jetstream::context::PublishError| fault::down().source(error);
        let sent = self.context.publish(SUBJECT, body).await.map_err(failed)?;
        timeout(ANSWER_MAX, sent.into_future())
            .await
            .map_err(|_| fault::down())?
            .map_err(failed)?;
        Ok(Bytes::new())
    }

    /// Publishes what a member would, as a member may, by the library's own request.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn publish_as_member(member: &Client, message: Message) -> Result<Bytes, Error> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", message.id);
        for (name, value) in message.headers {
            let value: HeaderValue = value.parse().map_err(refused)?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let asked = member.request_with_headers(message.subject, headers, message.body);
        let answer = timeout(ANSWER_MAX, asked).await;
        let answer = answer.map_err(|_| fault::down())?.map_err(refused)?;
        let answer: Response<PublishAck> =
            serde_json::from_slice(&answer.payload).map_err(refused)?;
        match answer {
            Response::Ok(_) => Ok(Bytes::new()),
            Response::Err { error } => Err(refused(error)),
        }
    }

    /// How many messages a stream keeps, as it says itself.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn stored(link: &Link, stream: Option<&str>) -> Result<u64, Error> {
        let stream = open(link, stream.unwrap_or(NAME)).await?;
        Ok(stream.cached_info().state.messages)
    }

    /// Reads the first messages of a stream in order, and says when the first of them was there.
    ///
    /// # Errors
    /// What the broker says, and its silence.
    pub async fn read(
        link: &Link,
        stream: &str,
        count: u64,
        order: Order,
    ) -> Result<Instant, Error> {
        let stream = open(link, stream).await?;
        match order {
            Order::Pushed => {
                let config = push::OrderedConfig {
                    deliver_subject: link.client().new_inbox(),
                    deliver_policy: DeliverPolicy::All,
                    ..push::OrderedConfig::default()
                };
                let consumer = stream.create_consumer(config).await.map_err(refused)?;
                drain(consumer.messages().await.map_err(refused)?, count).await
            }
            Order::Pulled => {
                let config = pull::OrderedConfig {
                    deliver_policy: DeliverPolicy::All,
                    ..pull::OrderedConfig::default()
                };
                let consumer = stream.create_consumer(config).await.map_err(refused)?;
                drain(consumer.messages().await.map_err(refused)?, count).await
            }
        }
    }
}

/// Takes so many, and says when the first was there.
async fn drain<E: std::error::Error + Send + Sync + 'static>(
    mut messages: impl futures_util::Stream<Item = Result<jetstream::Message, E>> + Unpin,
    count: u64,
) -> Result<Instant, Error> {
    let mut first = None;
    for _ in 0..count {
        let next = timeout(ANSWER_MAX, messages.next()).await.ok().flatten();
        let silent = || Error::new(Kind::Timeout, "the stream stopped sending");
        next.ok_or_else(silent)?.map_err(refused)?;
        first.get_or_insert_with(Instant::now);
    }
    Ok(first.unwrap_or_else(Instant::now))
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    fault::down().source(error)
}

async fn open(link: &Link, name: &str) -> Result<Stream, Error> {
    let context = jetstream::new(link.client());
    let stream = timeout(ANSWER_MAX, context.get_stream(name)).await;
    let stream = stream.map_err(|_| fault::down())?;
    stream.map_err(|error| fault::down().source(error))
}
