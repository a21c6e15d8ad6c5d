//! The registry: hears heartbeats, keeps what follows from them, and writes it down.
//!
//! A heartbeat is as true as its publisher: the broker lets `gh` publish below `hb.gh` alone, and
//! here the body must say the same as the subject. Everything else, aging included, is in
//! [`crate::registry`]; what is written to `WEFT_SERVERS` is read once, when the control plane
//! starts again. What is news becomes an event: see [`super::life`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_nats::Message;
use futures_util::{FutureExt as _, future::join_all};
use tokio::{sync::watch, time::timeout};

use super::{
    connect::{Listener, Wire},
    life::{Record, Teller, Voice},
    store::Bucket,
};
use crate::{
    access::now_ms,
    error::Error,
    name::{Instance, ServerName, header, subject},
    registry::{
        Heartbeat, Life, Servers,
        view::{Change, INSTANCES_MAX},
    },
    spawn::{Failure, Tasks},
};

/// How often what changed is written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// Entries that are written at a time.
const WRITES_MAX: usize = 32;
/// How often every entry is written anew, so that its age is right after a restart.
const REFRESH_EVERY: Duration = Duration::from_secs(60);
/// Who looks at its servers so much later than it meant to has slept, and heard nothing.
const ASLEEP_MS: u64 = 5000;
/// How long each of two may take when the control plane ends: hearing what was said, writing it.
const LAST_MAX: Duration = Duration::from_millis(800);

/// A handle to the registry. Clones share it.
#[derive(Clone, Debug)]
pub struct Registry {
    servers: watch::Receiver<Servers>,
}

/// The one task that owns the registry.
struct Keeper {
    servers: watch::Sender<Servers>,
    bucket: Bucket,
    /// What is not written yet.
    dirty: BTreeSet<(ServerName, Instance)>,
    full_told: bool,
    life: Life,
    teller: Teller,
    looked_at: u64,
}

impl Registry {
    /// Reads what was written down, and begins to listen.
    pub(super) async fn start(
        wire: Wire,
        bucket: Bucket,
        voice: Voice,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let mut beats = Listener::open(wire, &format!("{}.hb.>", subject::ROOT), None).await?;
        let (remembered, records, gone) = read_back(&bucket).await?;
        let (servers, seen) = watch::channel(remembered);
        let (teller, mut forestalled) = Teller::start(voice, bucket.clone(), &records, tasks);
        let told =
            |(server, (_, record)): (ServerName, (u64, Record))| Some((server, record.told?));
        let now = now_ms();
        let mut keeper = Keeper {
            servers,
            bucket,
            dirty: gone,
            full_told: false,
            life: Life::new(records.into_iter().filter_map(told), now),
            teller,
            looked_at: now,
        };
        let stop = tasks.stopping();
        tasks.spawn("registry", Failure::Stops, async move {
            let mut write = tokio::time::interval(WRITE_EVERY);
            let mut refresh = tokio::time::interval(REFRESH_EVERY);
            refresh.reset();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return keeper.end(&mut beats).await,
                    beat = beats.next() => keeper.hear(&beat),
                    Some((server, told)) = forestalled.recv() => {
                        keeper.life.forestalled(&server, told, now_ms());
                    }
                    _ = refresh.tick() => keeper.refresh(),
                    _ = write.tick() => {
                        keeper.forget();
                        keeper.look_at_all(beats.is_connected());
                        keeper.write().await;
                    }
                }
            }
        });
        Ok(Self { servers: seen })
    }

    /// What is known of the servers.
    #[must_use]
    pub fn servers(&self) -> watch::Receiver<Servers> {
        self.servers.clone()
    }
}

impl Keeper {
    fn hear(&mut self, message: &Message) {
        let Some(beat) = read(message) else {
            tracing::debug!(subject = %message.subject, "no heartbeat, or not of who sent it");
            return;
        };
        let key = (beat.server.clone(), beat.instance.clone());
        let mut change = Change::Nothing;
        self.servers
            .send_modify(|servers| change = servers.hear(beat, now_ms()));
        match change {
            Change::Nothing => {}
            Change::Full if self.full_told => {}
            Change::Full => {
                self.full_told = true;
                tracing::warn!(server = %key.0, "the registry has no room for one more instance");
            }
            Change::Joined | Change::Changed | Change::Left => {
                tracing::info!(serverName = %key.0, instance = %key.1, ?change, "registry");
                self.look(&key.0, change == Change::Left);
                self.dirty.insert(key);
            }
        }
    }

    /// Tells what is new of a server. Where there is no room for it now, the next look finds it.
    fn look(&mut self, server: &ServerName, goodbye: bool) -> bool {
        let (servers, life) = (self.servers.borrow(), &mut self.life);
        self.teller
            .take(|| life.look(server, &servers, goodbye, now_ms()))
    }

    /// Silence is news too.
    fn look_at_all(&mut self, is_connected: bool) {
        let now = now_ms();
        if !is_connected || now.saturating_sub(self.looked_at) > ASLEEP_MS {
            self.life.was_deaf(now);
        }
        self.looked_at = now;
        let names = self.life.names(&self.servers.borrow());
        if !names.iter().all(|server| self.look(server, false)) {
            tracing::warn!("events of servers are not stored as fast as they come; they wait");
        }
    }

    /// Who says goodbye as the mesh ends is heard, and that is written down.
    async fn end(&mut self, beats: &mut Listener) {
        let settled = timeout(LAST_MAX, beats.settle()).await;
        for _ in 0..INSTANCES_MAX {
            // Not held to the task's budget: a thousand servers may have left at once.
            let Some(beat) = tokio::task::unconstrained(beats.next()).now_or_never() else {
                break;
            };
            self.hear(&beat);
        }
        let write = async {
            for _ in 0..INSTANCES_MAX / WRITES_MAX {
                if self.dirty.is_empty() {
                    break;
                }
                self.write().await;
            }
        };
        if timeout(LAST_MAX, write).await.is_err() || settled.is_err() {
            tracing::debug!("the last words of some servers may not be written down");
        }
    }

    fn refresh(&mut self) {
        self.full_told = false;
        // Who is silent gets no younger.
        let all = self.servers.borrow().heard_lately(now_ms());
        self.dirty.extend(all);
    }

    fn forget(&mut self) {
        let mut gone = Vec::new();
        self.servers.send_if_modified(|servers| {
            gone = servers.forget(now_ms());
            !gone.is_empty()
        });
        self.dirty.extend(gone);
    }

    /// Writes some of what changed. What fails stays for the next time.
    async fn write(&mut self) {
        let some: Vec<_> = self.dirty.iter().take(WRITES_MAX).cloned().collect();
        let writes = some.into_iter().map(|(server, instance)| {
            let beat = self.servers.borrow().heard(&server, &instance);
            let bucket = &self.bucket;
            async move {
                let key = format!("{server}.{instance}");
                let written = match beat {
                    Some(beat) => bucket
                        .put(&key, beat.compact().encode(), None)
                        .await
                        .map(drop),
                    None => bucket.remove(&key).await,
                };
                match written {
                    Ok(()) => Some((server, instance)),
                    Err(error) => {
                        tracing::warn!(%error, "the registry could not be written");
                        None
                    }
                }
            }
        });
        let done: Vec<_> = join_all(writes).await;
        for key in done.into_iter().flatten() {
            self.dirty.remove(&key);
        }
    }
}

/// The heartbeat in a message, where subject and body say the same.
fn read(message: &Message) -> Option<Heartbeat> {
    // A message that a stream stored is none that somebody sent us.
    let stored = message
        .headers
        .as_ref()
        .is_some_and(|headers| headers.get(header::STREAM).is_some());
    let (server, instance) = subject::heartbeat_parts(&message.subject)?;
    let beat = Heartbeat::decode(&message.payload)?;
    let same = beat.server.as_str() == server && beat.instance.as_str() == instance;
    (same && !stored && beat.server != ServerName::weft()).then_some(beat)
}

/// What is read back: the instances, what was told of their servers and by which write, and who was
/// forgotten.
type Remembered = (
    Servers,
    BTreeMap<ServerName, (u64, Record)>,
    BTreeSet<(ServerName, Instance)>,
);

/// What was written down before.
async fn read_back(bucket: &Bucket) -> Result<Remembered, Error> {
    let (mut servers, mut records) = (Servers::default(), BTreeMap::new());
    let (last, mut from) = (bucket.last().await?, 0);
    for _ in 0..2 * INSTANCES_MAX {
        if from >= last {
            break;
        }
        let Some(stored) = bucket.after(from).await? else {
            break;
        };
        from = stored.revision;
        if let Some((server, record)) = Record::read(&stored.key, &stored.value) {
            records.insert(server, (stored.revision, record));
        } else if let Some(beat) = Heartbeat::decode(&stored.value) {
            servers.hear(beat, stored.at);
        }
    }
    let gone = servers.forget(now_ms()).into_iter().collect();
    Ok((servers, records, gone))
}
