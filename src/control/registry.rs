//! The registry: hears heartbeats, keeps what follows from them, and writes it down.
//!
//! A heartbeat is as true as its publisher: the broker lets `gh` publish below `hb.gh` alone, and
//! here the body must say the same as the subject. Everything else, aging included, is in
//! [`crate::registry`]; what is written to `WEFT_SERVERS` is read once, when the control plane
//! starts again.

use std::{collections::BTreeSet, time::Duration};

use async_nats::Message;
use futures_util::future::join_all;
use tokio::sync::watch;

use super::{
    connect::{Listener, Wire},
    store::Bucket,
};
use crate::{
    access::now_ms,
    error::Error,
    name::{Instance, ServerName, header, subject},
    registry::{
        Heartbeat, Servers,
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
}

impl Registry {
    /// Reads what was written down, and begins to listen.
    pub(super) async fn start(wire: Wire, bucket: Bucket, tasks: &Tasks) -> Result<Self, Error> {
        let mut beats = Listener::open(wire, &format!("{}.hb.>", subject::ROOT), None).await?;
        let remembered = read_back(&bucket).await?;
        let (servers, seen) = watch::channel(remembered);
        let mut keeper = Keeper {
            servers,
            bucket,
            dirty: BTreeSet::new(),
            full_told: false,
        };
        let stop = tasks.stopping();
        tasks.spawn("registry", Failure::Stops, async move {
            let mut write = tokio::time::interval(WRITE_EVERY);
            let mut refresh = tokio::time::interval(REFRESH_EVERY);
            refresh.reset();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    beat = beats.next() => keeper.hear(&beat),
                    _ = refresh.tick() => keeper.refresh(),
                    _ = write.tick() => {
                        keeper.forget();
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
                self.dirty.insert(key);
            }
        }
    }

    fn refresh(&mut self) {
        self.full_told = false;
        let all = self.servers.borrow().instances();
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

/// What was written down before.
async fn read_back(bucket: &Bucket) -> Result<Servers, Error> {
    let mut servers = Servers::default();
    let (last, mut from) = (bucket.last().await?, 0);
    for _ in 0..2 * INSTANCES_MAX {
        if from >= last {
            break;
        }
        let Some(stored) = bucket.after(from).await? else {
            break;
        };
        from = stored.revision;
        if let Some(beat) = Heartbeat::decode(&stored.value) {
            servers.hear(beat, stored.at);
        }
    }
    servers.forget(now_ms());
    Ok(servers)
}
