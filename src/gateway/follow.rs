//! Keeping the catalogue: who is there, and what each of them lists.
//!
//! Lists are read beside each other and apart from whoever asks for one: a server that hangs
//! delays nobody. What was read last stands while a server starts again; what is broken for longer
//! than that is no longer shown, and said to be missing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::catalogue::{Catalogue, Listed, Tool};
use crate::{
    bus::{Batching, Notices},
    error::{Error, Kind},
    mesh::{Mesh, Servers},
    name::ServerName,
    registry::{Batch, Entry, State},
    spawn::{Failure, Tasks},
};

/// How long a server may take for its list.
const LIST_MAX: Duration = Duration::from_secs(5);
/// Lists that are read at a time.
const READS_MAX: usize = 16;
/// How soon a list that could not be read is read again.
const AGAIN: Duration = Duration::from_secs(2);
/// A server that starts again within this time keeps its place in the lists: whoever reads them
/// pays for each change.
const MENDED_WITHIN: Duration = Duration::from_secs(10);
/// How long the first lists are waited for: a gateway that begins shows what is there.
const FIRST_MAX: Duration = Duration::from_secs(3);

/// Longer no call waits for others, whatever a server says.
const WINDOW_MAX: Duration = Duration::from_secs(1);
/// A server that says all the time that its tools are others is believed so often.
const NOTICES_EVERY: Duration = Duration::from_secs(1);

/// What is kept of a server.
#[derive(Debug, Default)]
struct Kept {
    tools: Arc<[Tool]>,
    /// What the list was, or is being, read for.
    digest: Option<String>,
    read: bool,
    reading: bool,
    /// Whether the server said that its tools are others, since the list was last asked for.
    stale: bool,
    /// Whether that is to be told when the list was read.
    to_tell: bool,
    /// When it said so last.
    noticed: Option<Instant>,
    /// How often it was told.
    said: u64,
    again: Option<Instant>,
    /// Why it could not be read.
    failed: Option<String>,
    /// Since when it does not answer.
    down_since: Option<Instant>,
    /// How calls to it go out together.
    batch: Option<Batch>,
}

/// The one task that owns it.
struct Keeper {
    mesh: Mesh,
    servers: watch::Receiver<Servers>,
    notices: Ear,
    told: watch::Sender<Arc<Catalogue>>,
    kept: HashMap<ServerName, Kept>,
}

/// Whose list, for which digest, and what came of it.
type Read = (ServerName, String, Result<Arc<[Tool]>, String>);

/// The catalogue of what this member may see, kept until the tasks are stopped.
///
/// # Errors
/// What the control plane says, or its silence.
pub(super) async fn follow(
    mesh: &Mesh,
    tasks: &Tasks,
) -> Result<watch::Receiver<Arc<Catalogue>>, Error> {
    let servers = mesh.servers().await?;
    let (told, mut catalogue) = watch::channel(Arc::default());
    let mut keeper = Keeper {
        mesh: mesh.clone(),
        servers,
        notices: Ear::open(mesh).await,
        told,
        kept: HashMap::new(),
    };
    keeper.look();
    let stop = tasks.stopping();
    tasks.spawn("catalogue", Failure::Stops, async move {
        tokio::select! { () = stop.cancelled() => {}, () = keeper.run() => {} }
    });
    let settled = catalogue.wait_for(|all| {
        let waited_for =
            |listed: &Listed| listed.state == State::Healthy && listed.problem.is_some();
        !all.servers().any(|(_, listed)| waited_for(listed))
    });
    // With a server that hangs it begins all the same.
    drop(timeout(FIRST_MAX, settled).await);
    catalogue.mark_unchanged();
    Ok(catalogue)
}

impl Keeper {
    async fn run(&mut self) {
        let mut reads = FuturesUnordered::new();
        loop {
            let due = self.look();
            for (server, digest) in self.begin(READS_MAX - reads.len()) {
                reads.push(read(self.mesh.clone(), server, digest));
            }
            let tick = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.servers.changed() => if changed.is_err() {
                    return;
                },
                (server, kind) = self.notices.next() => self.notice(&server, &kind),
                Some(done) = reads.next(), if !reads.is_empty() => self.take(done),
                () = tick => {}
            }
        }
    }

    /// Makes the catalogue of now. Says when it is to be looked at again.
    fn look(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let entries = Arc::clone(&self.servers.borrow_and_update());
        let mesh = &self.mesh;
        self.kept.retain(|server, kept| {
            let stays = kept.reading || entries.iter().any(|entry| entry.server == *server);
            if !stays && kept.batch.is_some() {
                mesh.batch(server, None);
            }
            stays
        });
        let mut servers = BTreeMap::new();
        let mut due: Option<Instant> = None;
        for entry in entries.iter() {
            let kept = self.kept.entry(entry.server.clone()).or_default();
            kept.see(entry, now);
            if kept.batch != entry.calls.batch {
                kept.batch = entry.calls.batch;
                self.mesh.batch(&entry.server, kept.batch.map(batching));
            }
            let listed = kept.listed(entry, now);
            let next = kept
                .again
                .into_iter()
                .chain(kept.mended_by().filter(|at| *at > now));
            due = due.into_iter().chain(next).min();
            servers.insert(entry.server.clone(), listed);
        }
        // Every heartbeat leads here, and nearly none of them changes anything.
        self.told.send_if_modified(|before| {
            let changed = !before.is_of(&servers);
            if changed {
                *before = Arc::new(Catalogue::new(servers));
            }
            changed
        });
        due
    }

    /// Begins to read the lists that are to be read now: which, and for which digest.
    fn begin(&mut self, most: usize) -> Vec<(ServerName, String)> {
        let now = Instant::now();
        let wanted = self.kept.iter_mut().filter(|(_, kept)| {
            let due = kept.again.is_none_or(|at| at <= now);
            !kept.read && !kept.reading && due && kept.down_since.is_none()
        });
        let start = |(server, kept): (&ServerName, &mut Kept)| {
            let digest = kept.digest.clone()?;
            kept.reading = true;
            kept.stale = false;
            kept.again = None;
            Some((server.clone(), digest))
        };
        wanted.take(most).filter_map(start).collect()
    }

    /// A server says that something of its own is not what it was.
    fn notice(&mut self, server: &ServerName, kind: &str) {
        let Some(kept) = self.kept.get_mut(server) else {
            return;
        };
        if kind != "tools.list_changed" {
            return;
        }
        let now = Instant::now();
        let soonest = kept.noticed.map(|last| last + NOTICES_EVERY);
        kept.again = soonest.filter(|at| *at > now);
        kept.noticed = Some(kept.again.unwrap_or(now));
        (kept.read, kept.stale, kept.to_tell) = (false, true, true);
    }

    fn take(&mut self, (server, digest, outcome): Read) {
        let Some(kept) = self.kept.get_mut(&server) else {
            return;
        };
        kept.reading = false;
        match outcome {
            Ok(tools) => {
                kept.tools = tools;
                kept.failed = None;
                // What changed while it was read is read again.
                kept.read = kept.digest.as_ref() == Some(&digest) && !kept.stale;
                if kept.to_tell && !kept.stale {
                    kept.to_tell = false;
                    kept.said += 1;
                }
            }
            Err(why) => {
                tracing::warn!(%server, why, "a list of tools could not be read; next try in 2 s");
                kept.failed = Some(why);
                kept.again = Some(Instant::now() + AGAIN);
            }
        }
    }
}

impl Kept {
    /// Takes what the registry says.
    fn see(&mut self, entry: &Entry, now: Instant) {
        if matches!(entry.state, State::Healthy | State::Degraded) {
            self.down_since = None;
        } else {
            self.down_since.get_or_insert(now);
        }
        if self.digest.as_ref() != Some(&entry.tools_digest) {
            self.digest = Some(entry.tools_digest.clone());
            self.read = false;
            self.again = None;
        }
    }

    /// When a server that does not answer loses its place.
    fn mended_by(&self) -> Option<Instant> {
        self.down_since.map(|since| since + MENDED_WITHIN)
    }

    fn listed(&self, entry: &Entry, now: Instant) -> Listed {
        let has_some = !self.tools.is_empty();
        let problem = match (self.mended_by(), &self.failed) {
            (Some(by), _) if by > now && has_some => None,
            (Some(_), _) => Some(
                entry
                    .reason
                    .clone()
                    .unwrap_or_else(|| format!("it is {}", entry.state.as_str())),
            ),
            (None, Some(why)) if !has_some => Some(why.clone()),
            (None, None) if !self.read && !has_some => {
                Some("its list of tools is being read".to_owned())
            }
            (None, _) => None,
        };
        Listed {
            state: entry.state,
            problem,
            tools: Arc::clone(&self.tools),
            said: self.said,
        }
    }
}

/// What servers say, where this member may hear it: what they list is looked at all the same.
struct Ear {
    mesh: Mesh,
    notices: Option<Notices>,
    denied: bool,
}

impl Ear {
    async fn open(mesh: &Mesh) -> Self {
        let mut own = Self {
            mesh: mesh.clone(),
            notices: None,
            denied: false,
        };
        own.reopen().await;
        own
    }

    async fn reopen(&mut self) {
        match Notices::open(self.mesh.link()).await {
            Ok(notices) => self.notices = Some(notices),
            Err(error) => {
                tracing::debug!(%error, "what servers say of their tools is not heard");
                self.denied = error.kind() == Kind::AccessDenied;
            }
        }
    }

    async fn next(&mut self) -> (ServerName, String) {
        loop {
            if let Some(notices) = &mut self.notices {
                if let Some(notice) = notices.next().await {
                    return notice;
                }
                self.notices = None;
            }
            if self.denied {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(AGAIN).await;
            self.reopen().await;
        }
    }
}

/// As its adapters take it, within what the wire has.
fn batching(said: Batch) -> Batching {
    Batching {
        max: usize::try_from(said.max).unwrap_or(usize::MAX),
        window: Duration::from_millis(said.window_ms).min(WINDOW_MAX),
    }
}

async fn read(mesh: Mesh, server: ServerName, digest: String) -> Read {
    let outcome = match timeout(LIST_MAX, mesh.list_tools(server.as_str())).await {
        Ok(Ok(entries)) => Ok(entries
            .iter()
            .filter_map(|entry| Tool::read(&server, entry))
            .collect()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!(
            "its list of tools did not come within {LIST_MAX:?}"
        )),
    };
    (server, digest, outcome)
}
