//! What happens to servers, as events of the source `weft`: stored one after the other, each
//! once, and on record before and after.
//!
//! What was told of a server is written down under its name, beside its instances: first with the
//! events of now, then they are stored, then without them. So a control plane that ended in between
//! is taken up where it was: its events are stored again under the same ids.

use std::{collections::BTreeMap, time::Duration};

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    connect::{Wire, unavailable},
    store::Bucket,
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
    record: Record,
    until: Instant,
}

/// Where news are handed in. It never waits.
#[derive(Debug)]
pub(super) struct Teller(mpsc::Sender<Waiting>);

/// The one task that stores events.
struct Storing {
    voice: Voice,
    bucket: Bucket,
}

impl Teller {
    /// Begins, with what an earlier control plane left.
    pub(super) fn start(
        voice: Voice,
        bucket: Bucket,
        records: &BTreeMap<ServerName, Record>,
        tasks: &Tasks,
    ) -> Self {
        let (teller, queue) = mpsc::channel(QUEUE_MAX);
        let until = Instant::now() + STORE_MAX;
        let untold = records
            .iter()
            .filter(|(_, record)| !record.untold.is_empty());
        let mut left: Vec<_> = untold
            .map(|(server, record)| Waiting {
                server: server.clone(),
                record: record.clone(),
                until,
            })
            .collect();
        // In their order: the ids begin with the time.
        left.sort_by(|one, other| one.record.untold[0].id.cmp(&other.record.untold[0].id));
        let storing = Storing { voice, bucket };
        let stop = tasks.stopping();
        tasks.spawn("events of servers", Failure::Logged, async move {
            let ending = async {
                stop.cancelled().await;
                sleep(LAST_MAX).await;
            };
            tokio::select! { () = storing.run(left, queue) => {}, () = ending => {} }
        });
        Self(teller)
    }

    /// Takes what `look` finds to tell, where there is room for it. Says whether there was.
    pub(super) fn take(&self, look: impl FnOnce() -> Option<Turn>) -> bool {
        let Ok(room) = self.0.try_reserve() else {
            return false;
        };
        if let Some(turn) = look() {
            room.send(Waiting {
                server: turn.server,
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
    async fn run(self, left: Vec<Waiting>, mut queue: mpsc::Receiver<Waiting>) {
        for waiting in left {
            self.store(waiting).await;
        }
        while let Some(waiting) = queue.recv().await {
            self.store(waiting).await;
        }
    }

    async fn store(&self, waiting: Waiting) {
        let Waiting {
            server,
            mut record,
            until,
        } = waiting;
        if let Err(error) = again(until, || self.write(&server, &record)).await {
            tracing::warn!(%server, %error, "what is told of a server was not written down");
        }
        for event in std::mem::take(&mut record.untold) {
            if let Err(error) = again(until, || self.voice.publish(event.clone())).await {
                let (id, kind) = (&event.id, &event.kind);
                tracing::error!(%server, id, kind, %error, "an event could not be stored and was given up");
            }
        }
        if let Err(error) = again(until, || self.write(&server, &record)).await {
            tracing::warn!(%server, %error, "after a restart an event may be stored again under its id");
        }
    }

    async fn write(&self, server: &ServerName, record: &Record) -> Result<(), Error> {
        if record.told.is_none() && record.untold.is_empty() {
            return self.bucket.remove(server.as_str()).await;
        }
        let body = serde_json::to_vec(record).expect("a record is JSON");
        let written = self.bucket.put(server.as_str(), body, None).await;
        written.map(drop)
    }
}

/// Tries until it is done, or `until`; once in any case.
pub(super) async fn again<F: Future<Output = Result<(), Error>>>(
    until: Instant,
    mut one: impl FnMut() -> F,
) -> Result<(), Error> {
    let mut pause = AGAIN.0;
    loop {
        let Err(error) = one().await else {
            return Ok(());
        };
        if Instant::now() + pause >= until {
            return Err(error);
        }
        sleep(pause).await;
        pause = (pause * 2).min(AGAIN.1);
    }
}
