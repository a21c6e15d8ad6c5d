//! The control plane's own connections: supervised, and built anew when they no longer work.
//!
//! A message with a bare CR in a header, from any member, ends the library's connection task for
//! good while it still says that it is connected. So every connection is asked every two seconds
//! whether it still writes; after two misses a new one takes its place.

use std::time::Duration;

use async_nats::{
    Client, HeaderMap, Message, Subscriber,
    jetstream::{self, stream::Stream},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    bus::{self, Options, connect::Connected},
    error::{Error, Kind, case},
    name::{Connection, ServerName, subject},
    spawn::{Failure, Tasks},
};

/// How long a request to the broker may take.
pub(super) const REQUEST_MAX: Duration = Duration::from_secs(2);
/// How often a connection is asked whether it still writes.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// So many misses, and it is built anew.
const MISSES_MAX: u32 = 2;
/// The wait before the next attempt to connect at the start.
const RETRY_EVERY: Duration = Duration::from_millis(100);

/// A connection that is kept alive. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    clients: watch::Receiver<Client>,
}

impl Wire {
    /// Connects, again and again until `deadline`, and keeps the connection alive from then on.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` (BROKER_UNAVAILABLE) with what the broker said last.
    pub(super) async fn open(
        to: &Options,
        deadline: Instant,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let first = loop {
            match connect(to).await {
                Ok(client) => break client,
                // Who is refused is refused the next time too.
                Err(error)
                    if matches!(
                        error.kind(),
                        Kind::AuthenticationFailed | Kind::InvalidRequest
                    ) =>
                {
                    return Err(error);
                }
                Err(error) if Instant::now() + RETRY_EVERY >= deadline => return Err(error),
                Err(_) => tokio::time::sleep(RETRY_EVERY).await,
            }
        };
        let (replaced, clients) = watch::channel(first);
        let (to, stop) = (to.clone(), tasks.stopping());
        tasks.spawn("control connection", Failure::Logged, async move {
            let keep = keep_alive(&replaced, &to);
            tokio::select! { () = stop.cancelled() => {}, () = keep => {} }
        });
        Ok(Self { clients })
    }

    /// The connection of now.
    pub(super) fn client(&self) -> Client {
        self.clients.borrow().clone()
    }

    /// Whether the broker counts this connection to that account.
    pub(super) async fn is_in(&self, account: &str) -> Result<bool, Error> {
        let asked = self.client().request("$SYS.REQ.USER.INFO", "".into()).await;
        let answer = asked.map_err(|error| {
            unavailable("the broker does not say who we are to it").source(error)
        })?;
        let info: serde_json::Value = serde_json::from_slice(&answer.payload).map_err(|error| {
            unavailable("the broker's word on who we are is no JSON").source(error)
        })?;
        Ok(info["data"]["account"] == account)
    }

    /// Resolves when another connection took the place of the one last seen here.
    async fn replaced(&mut self) {
        if self.clients.changed().await.is_err() {
            // Nobody keeps it any more: the control plane stops.
            std::future::pending().await
        }
    }

    /// A stream, as it is now.
    pub(super) async fn stream(&self, name: &str) -> Result<Stream, Error> {
        let failed = || {
            unavailable(&format!(
                "the stream {name} is not there, or does not answer"
            ))
        };
        let mut context = jetstream::new(self.client());
        context.set_timeout(REQUEST_MAX);
        let asked = timeout(REQUEST_MAX, context.get_stream(name)).await;
        asked
            .map_err(|_| failed())?
            .map_err(|error| failed().source(error))
    }

    /// Publishes, and waits until a stream has stored it.
    pub(super) async fn keep(
        &self,
        to: String,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            stream: String,
            error: Option<Value>,
        }
        let client = self.client();
        let asked = timeout(REQUEST_MAX, client.request_with_headers(to, headers, body)).await;
        let silent = || unavailable("the stream did not acknowledge it");
        let answer = asked.map_err(|_| silent())?;
        let answer = answer.map_err(|error| silent().source(error))?;
        let answer: Answer =
            serde_json::from_slice(&answer.payload).map_err(|error| silent().source(error))?;
        let Some(error) = answer.error else {
            return Ok(());
        };
        let said = error["description"].as_str().unwrap_or_default();
        let stream = answer.stream;
        Err(unavailable(&format!("{stream} did not store it: {said}")))
    }

    /// Publishes, with a deadline: the library waits without one when its queue is full.
    pub(super) async fn publish(&self, to: String, body: Vec<u8>) -> Result<(), Error> {
        match timeout(REQUEST_MAX, self.client().publish(to, body.into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(unavailable("could not publish").source(error)),
            Err(_) => Err(unavailable("the broker does not take messages")),
        }
    }
}

/// Asks now and then, and builds anew.
async fn keep_alive(replaced: &watch::Sender<Client>, to: &Options) {
    let mut misses = 0;
    loop {
        tokio::time::sleep(PROBE_EVERY).await;
        let client = replaced.borrow().clone();
        match timeout(PROBE_EVERY / 2, client.flush()).await {
            Ok(Ok(())) => misses = 0,
            // Nobody takes commands: the connection task has ended.
            Ok(Err(_)) => misses = MISSES_MAX,
            Err(_) => misses += 1,
        }
        if misses < MISSES_MAX {
            continue;
        }
        match connect(to).await {
            Ok(client) => {
                tracing::warn!(
                    connection = to.name,
                    "a connection was dead; it was built anew"
                );
                replaced.send_replace(client);
                misses = 0;
            }
            Err(error) => tracing::debug!(connection = to.name, %error, "no broker yet"),
        }
    }
}

async fn connect(to: &Options) -> Result<Client, Error> {
    let Connected { client, mut events } = bus::connect::connect(to, &Connection::random()).await?;
    // What it tells is in the library's own log too; the probe decides.
    events.close();
    Ok(client)
}

/// The broker is there, but is not set up for this mesh.
pub(super) fn unknown_keys(urls: &[String]) -> Error {
    Error::new(
        Kind::AuthenticationFailed,
        format!(
            "the broker at {} does not know this mesh's keys; `weft config nats` prints what to \
             ask of whoever runs it",
            urls.join(", ")
        ),
    )
}

/// A subscription that outlives its connection.
#[derive(Debug)]
pub(super) struct Listener {
    wire: Wire,
    subject: String,
    queue: Option<&'static str>,
    now: Subscriber,
}

impl Listener {
    /// Subscribes; the broker knows of it when this returns.
    pub(super) async fn open(
        mut wire: Wire,
        subject: &str,
        queue: Option<&'static str>,
    ) -> Result<Self, Error> {
        let client = wire.clients.borrow_and_update().clone();
        let now = subscribe(&client, subject, queue).await?;
        Ok(Self {
            wire,
            subject: subject.to_owned(),
            queue,
            now,
        })
    }

    /// The next message, of this connection or of the one that takes its place.
    pub(super) async fn next(&mut self) -> Message {
        loop {
            tokio::select! {
                Some(message) = self.now.next() => return message,
                () = self.wire.replaced() => self.reopen().await,
            }
        }
    }

    /// Whether messages can come now, as far as is known.
    pub(super) fn is_connected(&self) -> bool {
        let state = self.wire.client().connection_state();
        state == async_nats::connection::State::Connected
    }

    /// What was sent before is here when this returns: the broker's word that nobody is there
    /// comes behind it, on the same connection.
    pub(super) async fn settle(&self) {
        let nobody = subject::probe(&ServerName::weft().identity());
        let asked = self.wire.client().request(nobody, "".into()).await;
        if let Ok(answer) = asked {
            tracing::debug!(subject = %answer.subject, "a probe was answered");
        }
    }

    async fn reopen(&mut self) {
        loop {
            let client = self.wire.clients.borrow_and_update().clone();
            match subscribe(&client, &self.subject, self.queue).await {
                Ok(now) => {
                    self.now = now;
                    return;
                }
                Err(error) => {
                    tracing::warn!(subject = self.subject, %error, "not subscribed; next try in 1 s");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

async fn subscribe(
    client: &Client,
    subject: &str,
    queue: Option<&'static str>,
) -> Result<Subscriber, Error> {
    let open = async {
        let to = subject.to_owned();
        let subscriber = match queue {
            Some(queue) => client.queue_subscribe(to, queue.to_owned()).await,
            None => client.subscribe(to).await,
        }
        .map_err(|error| unavailable("could not subscribe").source(error))?;
        client
            .flush()
            .await
            .map_err(|error| unavailable("could not subscribe").source(error))?;
        Ok(subscriber)
    };
    timeout(REQUEST_MAX, open)
        .await
        .map_err(|_| unavailable("the broker does not take subscriptions"))?
}

/// The broker does not do its part.
pub(super) fn unavailable(what: &str) -> Error {
    Error::new(Kind::ServerOverloaded, what).case(case::BROKER_UNAVAILABLE)
}
