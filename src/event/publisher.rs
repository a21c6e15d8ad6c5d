//! Publishing: each event is checked, stamped, stored, and only then reported as published.
//!
//! Events of one stream go out one after the other, in a lane. An event that finds its lane empty
//! goes alone, at once; what comes while a commit is under way makes up the next one, and is stored
//! together, at the price of one. There is no timer. Whatever a commit comes to but "all are
//! stored", its events go again alone, in the same order and with the same ids, so each has an
//! outcome of its own: one that is refused costs no other.

mod lane;

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, timeout_at},
};

use self::lane::{Lane, Queued};
use super::{
    declared::Types,
    envelope::{Event, invalid},
    key::EventKey,
    kind::EventType,
};
use crate::{
    bus::{Link, keep::Message},
    error::{Error, Kind, Started, case},
    name::{
        Identity,
        header::{self, Terms},
        subject,
    },
    spawn::{Failure, Tasks},
};

/// How long an event may take to be stored where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(30);
/// And where something is: half of the time that a stream knows ids again.
const TIMEOUT_MAX: Duration = Duration::from_secs(240);
/// Events of one stream that wait.
const QUEUE_MAX: usize = 4096;
/// Bytes of all events that wait.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// An event that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its id.
    pub id: String,
    /// The stream that keeps it.
    pub stream: String,
    /// Its number there.
    pub sequence: u64,
    /// Whether it was there already, under the same id.
    pub duplicate: bool,
}

/// Publishes events. A cheap handle: clones share their lanes.
#[derive(Clone)]
pub struct Publisher {
    inner: Arc<Inner>,
    timeout: Duration,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

struct Inner {
    link: Link,
    key: EventKey,
    types: Types,
    tasks: Tasks,
    room: Arc<Semaphore>,
    lanes: Mutex<HashMap<String, mpsc::Sender<Queued>>>,
}

/// An event on its way: resolves when it is stored, or will not be.
#[derive(Debug)]
#[must_use = "an event is published when its receipt says so"]
pub struct Receipt {
    outcome: oneshot::Receiver<Result<Published, Error>>,
}

impl Future for Receipt {
    type Output = Result<Published, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = |_| Err(closed().started(Started::Maybe));
        let outcome = Pin::new(&mut self.outcome).poll(context);
        outcome.map(|outcome| outcome.unwrap_or_else(ended))
    }
}

impl Publisher {
    /// Publishes in the name of the link's identity, whose secret `key` is. Its lanes end with
    /// `tasks`.
    #[must_use]
    pub fn new(link: Link, key: EventKey, types: Types, tasks: &Tasks) -> Self {
        Self {
            inner: Arc::new(Inner {
                link,
                key,
                types,
                tasks: tasks.clone(),
                room: Arc::new(Semaphore::new(BYTES_MAX)),
                lanes: Mutex::default(),
            }),
            timeout: TIMEOUT,
        }
    }

    /// Gives up after this time, 240 s at most: later the stream would not know the event again.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(TIMEOUT_MAX);
        self
    }

    /// Publishes an event, and waits until it is stored.
    ///
    /// # Errors
    /// As [`Publisher::begin`]; `SERVER_OVERLOADED` (STREAM_FULL), `TIMEOUT`, or whatever kept the
    /// broker from acknowledging it. `started: maybe` says that it may be stored all the same:
    /// publish the same event again, with its id.
    pub async fn publish(&self, event: Event) -> Result<Published, Error> {
        self.begin(event).await?.await
    }

    /// Begins to publish an event. Events are stored in the order in which this returned, as far as
    /// they have one stream. It waits for room: 4,096 events a stream, 32 MiB in all.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where the event, its domain or its data is not as it must be,
    /// `INVALID_REQUEST` where it is too large, `ACCESS_DENIED` where it names another source,
    /// `SERVER_OVERLOADED` where there was no room in time. Nothing was published then.
    pub async fn begin(&self, mut event: Event) -> Result<Receipt, Error> {
        let deadline = Instant::now() + self.timeout;
        let (stream, message) = self.inner.message(&mut event)?;
        let room = self.inner.room(message.body.len(), deadline).await?;
        let (told, outcome) = oneshot::channel();
        let queued = Queued {
            event: event.id,
            message,
            deadline,
            told,
            _room: room,
        };
        let lane = self.inner.lane(stream);
        let placed = timeout_at(deadline, lane.send(queued)).await;
        placed.map_err(|_| full())?.map_err(|_| closed())?;
        Ok(Receipt { outcome })
    }
}

impl Inner {
    /// The event as a message, and the stream that it is for.
    fn message(&self, event: &mut Event) -> Result<(String, Message), Error> {
        let kind = EventType::new(&event.kind).map_err(|error| invalid(error.to_string()))?;
        let stream = self.types.stream(&kind)?;
        self.types.check(&kind, event)?;
        Ok((stream, message(event, self.link.identity(), &self.key)?))
    }

    async fn room(&self, bytes: usize, deadline: Instant) -> Result<OwnedSemaphorePermit, Error> {
        // An event has at most 512 KiB.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes);
        let room = timeout_at(deadline, room).await.map_err(|_| full())?;
        room.map_err(|_| closed())
    }

    fn lane(&self, stream: String) -> mpsc::Sender<Queued> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(&stream).filter(|lane| !lane.is_closed()) {
            return lane.clone();
        }
        let (lane, queue) = mpsc::channel(QUEUE_MAX);
        let run = Lane::new(self.link.clone(), queue).run(self.tasks.stopping());
        self.tasks.spawn("events of a stream", Failure::Logged, run);
        lanes.insert(stream, lane.clone());
        lane
    }
}

/// An event as the message that its stream keeps, in the name of `source`, whose secret `key` is.
///
/// # Errors
/// Those of [`Event::stamped`].
pub fn message(event: &mut Event, source: &Identity, key: &EventKey) -> Result<Message, Error> {
    let body = event.stamped(source)?;
    Ok(Message {
        subject: subject::event(source, &event.kind),
        id: key.message_id(&event.id),
        headers: headers(event, source.as_str()),
        body,
    })
}

/// What others read of an event without its body: CloudEvents' names, and our own.
fn headers(event: &Event, source: &str) -> Vec<(&'static str, String)> {
    let mut headers = event.cloud_headers(source);
    if let Some(correlation) = &event.correlation_id {
        let terms = Terms {
            correlation: Some(correlation.as_str().into()),
            ..Terms::default()
        };
        headers.push((header::WEFT, terms.encode()));
    }
    headers
}

fn full() -> Error {
    Error::new(
        Kind::ServerOverloaded,
        format!(
            "events wait for the broker, and there was no room for another one in time \
             ({QUEUE_MAX} a stream, {BYTES_MAX} bytes in all)"
        ),
    )
    .case(case::BROKER_UNAVAILABLE)
}

fn closed() -> Error {
    Error::new(Kind::ServerOverloaded, "this member of the mesh was closed")
        .case(case::BROKER_UNAVAILABLE)
}
