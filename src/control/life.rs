//! What happens to servers, as events of the source `weft`: stored one after the other, each
//! once, and on record before and after.
//!
//! What was told of a server is written down under its name, beside its instances: first with the
//! events of now, then they are stored, then without them. So a control plane that ended in between
//! is taken up where it was: its events are stored again under the same ids.
//!
//! Several control planes see the same. Each write asks for the revision that it goes on from, so
//! one of them tells, and the others learn what it told; where it ends before its events are
//! stored, one of them stores these.

use std::{collections::BTreeMap, time::Duration};

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    connect::{Wire, unavailable},
    store::{Bucket, Written},
};
use crate::{
    error::Error,
    event::{Event, EventKey, message},
    name::{Identity, ServerName},
    registry::{Told, Turn},
    spawn::{Failure, Tasks},
};

/// Servers with news that wait to be stored; others keep theirs until there is room.
const QUEUE_MAX: usize = 1024;
/// How long it is tried to store an event: less than half of the time that its stream knows ids.
const STORE_MAX: Duration = Duration::from_secs(240);
/// How soon it is tried again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long another control plane has to store its events, before they are stored for it.
const THEIRS_MAX: Duration = Duration::from_secs(10);
/// How often it is looked for such.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long there is for what waits when the control plane ends.
const LAST_MAX: Duration = Duration::from_secs(2);

/// With what the control plane tells events of its own.
#[derive(Debug)]
pub(super) struct Voice {
    pub(super) wire: Wire,
    pub(super) key: EventKey,
    pub(super) source: Identity,
}

impl Voice {
    /// One try; under the same id it is stored once.
    pub(super) async fn publish(&self, mut event: Event) -> Result<(), Error> {
        let kept = message(&mut event, &self.source, &self.key)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &kept.headers {
            let value: HeaderValue = value
                .parse()
                .map_err(|_| unavailable("a value of the event can't stand in a header"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        headers.insert("Nats-Msg-Id", kept.id);
        self.wire.keep(kept.subject, headers, kept.body).await
    }
}

/// What is written down of a server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// What is told of it; `None`: it has gone.
    pub(super) told: Option<Told>,
    /// What may not be stored yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    untold: Vec<Event>,
}

impl Record {
    /// Reads what stands under this key, where it is a record: the key of an instance has two parts.
    pub(super) fn read(key: &str, value: &[u8]) -> Option<(ServerName, Self)> {
        let server = ServerName::new(key).ok()?;
        Some((server, serde_json::from_slice(value).ok()?))
    }
}

/// News on their way.
#[derive(Debug)]
struct Waiting {
    server: ServerName,
    /// What was told before.
    before: Option<Told>,
    record: Record,
    until: Instant,
}

/// What another control plane told of a server, which was not told from here.
pub(super) type Forestalled = (ServerName, Option<Told>);

/// Where news are handed in. It never waits.
#[derive(Debug)]
pub(super) struct Teller(mpsc::Sender<Waiting>);

/// The one task that stores events.
struct Storing {
    voice: Voice,
    bucket: Bucket,
    /// The last write of each server's record that is known, and what is told with it; 0: there is
    /// none.
    known: BTreeMap<ServerName, (u64, Option<Told>)>,
    /// Events of other control planes that may not be stored: under which revision, and until when
    /// that is their affair.
    theirs: BTreeMap<ServerName, (u64, Instant)>,
    forestalled: mpsc::Sender<Forestalled>,
}

impl Teller {
    /// Begins, with what an earlier control plane left: each record with its revision. What others
    /// tell from now on comes out beside it.
    pub(super) fn start(
        voice: Voice,
        bucket: Bucket,
        records: &BTreeMap<ServerName, (u64, Record)>,
        tasks: &Tasks,
    ) -> (Self, mpsc::Receiver<Forestalled>) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let (told, forestalled) = mpsc::channel(QUEUE_MAX);
        let until = Instant::now() + STORE_MAX;
        let untold = records
            .iter()
            .filter(|(_, (_, record))| !record.untold.is_empty());
        let mut left: Vec<_> = untold
            .map(|(server, (_, record))| Waiting {
                server: server.clone(),
                before: None,
                record: record.clone(),
                until,
            })
            .collect();
        // In their order: the ids begin with the time.
        left.sort_by(|one, other| one.record.untold[0].id.cmp(&other.record.untold[0].id));
        let known = |(server, (revision, record)): (&ServerName, &(u64, Record))| {
            (server.clone(), (*revision, record.told.clone()))
        };
        let storing = Storing {
            voice,
            bucket,
            known: records.iter().map(known).collect(),
            theirs: BTreeMap::new(),
            forestalled: told,
        };
        let stop = tasks.stopping();
        tasks.spawn("events of servers", Failure::Logged, async move {
            let ending = async {
                stop.cancelled().await;
                sleep(LAST_MAX).await;
            };
            tokio::select! { () = storing.run(left, waiting) => {}, () = ending => {} }
        });
        (Self(queue), forestalled)
    }

    /// Takes what `look` finds to tell, where there is room for it. Says whether there was.
    pub(super) fn take(&self, look: impl FnOnce() -> Option<Turn>) -> bool {
        let Ok(room) = self.0.try_reserve() else {
            return false;
        };
        if let Some(turn) = look() {
            room.send(Waiting {
                server: turn.server,
                before: turn.before,
                record: Record {
                    told: turn.told,
                    untold: turn.news.iter().map(|news| news.event()).collect(),
                },
                until: Instant::now() + STORE_MAX,
            });
        }
        true
    }
}

impl Storing {
    /// Until nobody hands in any more.
    async fn run(mut self, left: Vec<Waiting>, mut queue: mpsc::Receiver<Waiting>) {
        for waiting in left {
            self.tell(waiting).await;
        }
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                waiting = queue.recv() => match waiting {
                    Some(waiting) => self.store(waiting).await,
                    None => return,
                },
                _ = look.tick() => self.take_over().await,
            }
        }
    }

    /// Writes down what is told, and tells it, where nobody else did.
    async fn store(&mut self, waiting: Waiting) {
        let (server, record) = (&waiting.server, &waiting.record);
        let known = self.known.get(server).and_then(|(_, told)| told.as_ref());
        if known != waiting.before.as_ref() {
            // It follows from what is not told any more.
            return self.learn(server).await;
        }
        match again(waiting.until, || self.write(server, record)).await {
            Ok(Written::Lost) => self.learn(server).await,
            Ok(Written::As(revision)) => {
                let told = record.told.clone();
                self.known.insert(server.clone(), (revision, told));
                self.tell(waiting).await;
            }
            Err(error) => {
                tracing::warn!(%server, %error, "what is told of a server was not written down");
                self.tell(waiting).await;
            }
        }
    }

    /// Stores the events of a record, and notes that.
    async fn tell(&mut self, waiting: Waiting) {
        let Waiting {
            server,
            mut record,
            until,
            ..
        } = waiting;
        for event in std::mem::take(&mut record.untold) {
            if let Err(error) = again(until, || self.voice.publish(event.clone())).await {
                let (id, kind) = (&event.id, &event.kind);
                tracing::error!(%server, id, kind, %error, "an event could not be stored and was given up");
            }
        }
        match again(until, || self.write(&server, &record)).await {
            Ok(Written::As(revision)) => {
                self.known.insert(server, (revision, record.told));
            }
            Ok(Written::Lost) => self.learn(&server).await,
            Err(error) => {
                tracing::warn!(%server, %error, "after a restart an event may be stored again under its id");
            }
        }
    }

    /// Writes a record behind the write that is known. One of a server that has gone, with nothing
    /// to tell, goes; the next begins with 0.
    async fn write(&self, server: &ServerName, record: &Record) -> Result<Written, Error> {
        let behind = self.known.get(server).map_or(0, |(revision, _)| *revision);
        let key = server.as_str();
        if record.told.is_none() && record.untold.is_empty() {
            self.bucket.remove_until(key, behind).await?;
            return Ok(Written::As(0));
        }
        let body = serde_json::to_vec(record).expect("a record is JSON");
        let written = self.bucket.put(key, body.clone(), Some(behind)).await?;
        if written == Written::Lost
            && let Some(stored) = self.bucket.get(key).await?
            && stored.value == body
        {
            // It was written before, and nobody heard that.
            return Ok(Written::As(stored.revision));
        }
        Ok(written)
    }

    /// Reads what another control plane wrote, and goes on from there.
    async fn learn(&mut self, server: &ServerName) {
        let stored = match self.bucket.get(server.as_str()).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::warn!(%server, %error, "what was told of a server can't be read");
                return;
            }
        };
        let revision = stored.as_ref().map_or(0, |stored| stored.revision);
        let record = stored.and_then(|stored| Record::read(&stored.key, &stored.value));
        let (_, record) = record.unwrap_or_else(|| (server.clone(), Record::default()));
        let told = record.told;
        self.known.insert(server.clone(), (revision, told.clone()));
        if !record.untold.is_empty() {
            let until = Instant::now() + THEIRS_MAX;
            self.theirs.insert(server.clone(), (revision, until));
        }
        if self.forestalled.send((server.clone(), told)).await.is_err() {
            tracing::trace!(%server, "nobody looks at servers any more");
        }
    }

    /// Stores events that another control plane wrote down, and did not store in time.
    async fn take_over(&mut self) {
        let now = Instant::now();
        let due = self.theirs.iter().filter(|(_, (_, until))| *until <= now);
        let due: Vec<(ServerName, u64)> = due
            .map(|(server, (revision, _))| (server.clone(), *revision))
            .collect();
        for (server, revision) in due {
            self.theirs.remove(&server);
            let Ok(Some(stored)) = self.bucket.get(server.as_str()).await else {
                continue;
            };
            let read = Record::read(&stored.key, &stored.value);
            if let Some((server, record)) = read
                && stored.revision == revision
                && !record.untold.is_empty()
            {
                tracing::warn!(%server, "another control plane did not store its events; they are stored now");
                let until = Instant::now() + STORE_MAX;
                self.known
                    .insert(server.clone(), (revision, record.told.clone()));
                self.tell(Waiting {
                    server,
                    before: None,
                    record,
                    until,
                })
                .await;
            }
        }
    }
}

/// Tries until it is done, or `until`; once in any case.
pub(super) async fn again<T, F: Future<Output = Result<T, Error>>>(
    until: Instant,
    mut one: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut pause = AGAIN.0;
    loop {
        let error = match one().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if Instant::now() + pause >= until {
            return Err(error);
        }
        sleep(pause).await;
        pause = (pause * 2).min(AGAIN.1);
    }
}
