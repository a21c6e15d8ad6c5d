//! Subscribing: events that are handed out, answered, and handed out again until they are.
//!
//! ```no_run
//! # async fn f(mesh: weftbus::mesh::Mesh) -> Result<(), weftbus::error::Error> {
//! let mut events = mesh.events().subscribe("task.*").durable("billing").start().await?;
//! loop {
//!     let delivery = events.next().await?;
//!     println!("{} from {:?}", delivery.event.kind, delivery.event.source);
//!     delivery.ack().await?;
//! }
//! # }
//! ```
//!
//! A subscription has a connection of its own: an event that kills it (see `bus::link`) costs no
//! call, and the broker says at its opening which durables are ours.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    sync::{Semaphore, mpsc},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    Beside, Mesh,
    delivery::{Delivery, Desk, Place},
};
use crate::{
    bus::{
        keep::Unkept,
        pull::{Pulled, Pulling},
    },
    error::{Error, Kind},
    event::{
        ConsumerMend, ConsumerOpen, ConsumerOpened, DurableName, Event, From, Handing, Sieve, Wish,
    },
    name::Identity,
    spawn::{Failure, Tasks},
};

/// Events of each stream that one process takes at a time where nothing else is said.
const AT_ONCE: usize = 32;
/// How soon a stream that could not be read is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the last pull, and the last handlers, may take at the end.
const STOP_MAX: Duration = Duration::from_secs(4);

/// A subscription that is to be. See [`Handing`] for the bounds.
#[derive(Clone, Debug)]
pub struct Subscribe {
    mesh: Mesh,
    durable: Option<String>,
    wish: Wish,
    from: From,
    handing: Handing,
    at_once: usize,
}

impl Subscribe {
    pub(super) fn new(mesh: Mesh, types: &str) -> Self {
        Self {
            mesh,
            durable: None,
            wish: Wish {
                types: vec![types.to_owned()],
                ..Wish::default()
            },
            from: From::Now,
            handing: Handing::default(),
            at_once: AT_ONCE,
        }
    }

    /// Events of these types too: `task.created`, `task.*`, `*`.
    #[must_use]
    pub fn or(mut self, types: &str) -> Self {
        self.wish.types.push(types.to_owned());
        self
    }

    /// Only those of this source.
    #[must_use]
    pub fn source(mut self, source: Identity) -> Self {
        self.wish.source = Some(source);
        self
    }

    /// Only those that are part of this.
    #[must_use]
    pub fn correlated(mut self, id: impl Into<String>) -> Self {
        self.wish.correlation_id = Some(id.into());
        self
    }

    /// Under this name, 1 to 32 of `a-z 0-9 -`: it goes on where it was, and all processes of this
    /// identity that use it share its events. Without one it begins anew each time, and is gone two
    /// minutes after its end.
    #[must_use]
    pub fn durable(mut self, name: impl Into<String>) -> Self {
        self.durable = Some(name.into());
        self
    }

    /// Where a new one begins; from now, where nothing is said.
    #[must_use]
    pub const fn from(mut self, from: From) -> Self {
        self.from = from;
        self
    }

    /// How often an event is tried before it is a dead letter: 5 times, where nothing is said.
    #[must_use]
    pub const fn tries(mut self, tries: u32) -> Self {
        self.handing.tries = tries;
        self
    }

    /// The waits between the tries, the last of which goes on: 1 s, 5 s, 30 s, 2 min.
    #[must_use]
    pub fn backoff(mut self, waits: &[Duration]) -> Self {
        let ms = |wait: &Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.handing.backoff_ms = waits.iter().map(ms).collect();
        self
    }

    /// How long after the death of a process its events come to another: 30 s.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.handing.wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Events that may be with handlers at a time, over all processes: 256. With 1 their order is
    /// kept.
    #[must_use]
    pub const fn in_flight(mut self, events: usize) -> Self {
        self.handing.in_flight = events;
        self
    }

    /// Events of each stream that this process takes at a time: 32.
    #[must_use]
    pub const fn at_once(mut self, events: usize) -> Self {
        self.at_once = events;
        self
    }

    /// Opens it.
    ///
    /// # Errors
    /// `INVALID_PARAMS` where a name, a pattern or a bound is none, `ACCESS_DENIED` where this
    /// member may not see all of it, and what kept the control plane from answering.
    pub async fn start(self) -> Result<Subscription, Error> {
        let wrong =
            |error: crate::name::id::NameError| Error::new(Kind::InvalidParams, error.to_string());
        let name = self.durable.as_deref().map(DurableName::new);
        let asked = ConsumerOpen {
            name: name.transpose().map_err(wrong)?,
            wish: self.wish.clone(),
            from: self.from,
            handing: self.handing,
        };
        let opened: ConsumerOpened = self.mesh.control("consumer_open", asked).await?;
        // Not before: who connects is told by the broker which durables are his.
        let beside = self.mesh.connect_beside("subscription").await?;
        let (link, tasks) = (beside.link().clone(), beside.tasks().group());
        let key = self.mesh.event_key()?;
        let desk = Desk::open(link, opened.clone(), key, &tasks);
        // Room for all that the lanes may take: what came is marked as being here at once.
        let room = self.at_once.max(1);
        let (tell, from) = mpsc::channel(room * opened.streams.len());
        let mut lanes = Vec::new();
        for stream in &opened.streams {
            let lane = Lane {
                mesh: self.mesh.clone(),
                desk: desk.clone(),
                stream: stream.clone(),
                wish: self.wish.sieve(),
                room: Arc::new(Semaphore::new(room)),
                tell: tell.clone(),
            };
            let first = lane.open().await.map_err(Unkept::into_error)?;
            lanes.push((first, lane));
        }
        // Not before all are open: the first event may end the connection.
        for (first, lane) in lanes {
            let run = lane.run(first, tasks.stopping());
            tasks.spawn("subscription to a stream", Failure::Logged, run);
        }
        Ok(Subscription {
            opened,
            desk,
            from,
            tasks,
            _beside: beside,
        })
    }
}

/// Events that are handed out to this process. Dropping it ends it; what was not answered goes to
/// another, or comes again.
#[derive(Debug)]
pub struct Subscription {
    opened: ConsumerOpened,
    desk: Desk,
    from: mpsc::Receiver<Result<Delivery, Error>>,
    tasks: Tasks,
    /// The last: what was not answered says so over its connection.
    _beside: Beside,
}

impl Subscription {
    /// What the broker calls it: `{identity}_{name}`.
    #[must_use]
    pub fn consumer(&self) -> &str {
        &self.opened.consumer
    }

    /// The next event. It has to be answered: [`Delivery::ack`], [`Delivery::retry`] or
    /// [`Delivery::give_up`].
    ///
    /// # Errors
    /// What ended it: the durable was removed, the permission was lost, or this member left.
    pub async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            match self.from.recv().await {
                // It comes again, and is handled then.
                Some(Ok(delivery)) if delivery.is_void() => {}
                Some(told) => return told,
                None => return Err(Error::new(Kind::ServerOverloaded, "the mesh was left")),
            }
        }
    }

    /// Has each event handled, as many at a time as this process takes. What a handler refuses, or
    /// panics over, is tried again with the waits of the durable, and is a dead letter in the end;
    /// it disturbs no other.
    ///
    /// # Errors
    /// As [`Subscription::next`].
    pub async fn each<H, F, E>(mut self, handler: H) -> Result<(), Error>
    where
        H: Fn(Event, Place) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display + Send + 'static,
    {
        let handler = Arc::new(handler);
        loop {
            let delivery = self.next().await?;
            let handler = Arc::clone(&handler);
            self.tasks
                .spawn("an event's handler", Failure::Logged, async move {
                    delivery.handled_by(&*handler).await;
                });
        }
    }

    /// Ends it: nothing more is taken, what is with handlers has four seconds, and the rest may go
    /// to others at once.
    pub async fn stop(self) {
        if !self.tasks.stop(STOP_MAX).await {
            tracing::debug!("a subscription was left before all of its tasks ended");
        }
        // What nobody took says so while it is dropped.
        drop(self.from);
        self.desk.settle().await;
    }
}

/// Reads one stream for a durable.
struct Lane {
    mesh: Mesh,
    desk: Desk,
    stream: String,
    wish: Sieve,
    /// For events that are with handlers.
    room: Arc<Semaphore>,
    tell: mpsc::Sender<Result<Delivery, Error>>,
}

impl Lane {
    async fn open(&self) -> Result<Pulling, Unkept> {
        Pulling::open(self.desk.link(), &self.stream, self.desk.consumer()).await
    }

    async fn run(self, first: Pulling, stop: CancellationToken) {
        let mut pulling = first;
        loop {
            let ended = stop.run_until_cancelled(self.pull(&mut pulling)).await;
            let ended = ended.unwrap_or(Ended::Left);
            match ended {
                Ended::Lost => {}
                Ended::Gone => return self.fail(gone(self.desk.consumer())).await,
                Ended::Left => return pulling.leave().await,
            }
            let opened = stop.run_until_cancelled(self.reopen()).await;
            pulling = match opened {
                None => return,
                Some(Ok(opened)) => {
                    self.desk.void_behind(&self.stream, opened.delivered());
                    opened
                }
                Some(Err(error)) => return self.fail(error).await,
            };
        }
    }

    /// Tells who reads why there is no more.
    async fn fail(&self, error: Error) {
        // Nobody reads where it fails.
        drop(self.tell.send(Err(error)).await);
    }

    /// Opens the stream again, as soon as that goes.
    async fn reopen(&self) -> Result<Pulling, Error> {
        loop {
            self.mend().await;
            match self.open().await {
                Ok(opened) => return Ok(opened),
                Err(Unkept::ForGood(error)) => return Err(error),
                Err(Unkept::ForNow(error)) => {
                    tracing::debug!(stream = self.stream, %error, "not read now");
                }
            }
            sleep(AGAIN).await;
        }
    }

    async fn pull(&self, pulling: &mut Pulling) -> Ended {
        loop {
            let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else {
                return Ended::Left;
            };
            let handed = match pulling.next(self.room.available_permits() + 1).await {
                Pulled::Event(handed) => *handed,
                Pulled::Gone => return Ended::Gone,
                Pulled::Lost => return Ended::Lost,
            };
            let taken = self.desk.take(&self.stream, handed, &self.wish, permit);
            if let Some(delivery) = taken.await
                && self.tell.send(Ok(delivery)).await.is_err()
            {
                return Ended::Left;
            }
        }
    }

    /// The connection may have died of an event that no client can read: the control plane looks.
    async fn mend(&self) {
        let asked = ConsumerMend {
            consumer: self.desk.consumer().to_owned(),
            stream: self.stream.clone(),
        };
        let mended: Result<serde_json::Value, _> =
            self.mesh.control("consumer_mend", json!(asked)).await;
        match mended {
            Ok(found) => {
                tracing::debug!(stream = self.stream, %found, "looked for unreadable events")
            }
            Err(error) => tracing::debug!(stream = self.stream, %error, "could not look"),
        }
    }
}

/// Why a stream is no longer pulled from.
enum Ended {
    Lost,
    Gone,
    Left,
}

fn gone(consumer: &str) -> Error {
    Error::new(
        Kind::ResourceNotFound,
        format!("the durable `{consumer}` was removed"),
    )
}
