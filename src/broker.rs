//! The managed nats-server: found, started on a port of its own, watched, started again when it
//! dies, stopped last.
//!
//! Everything of it lies in `DATA/nats/`: the configuration that this binary carries, what it
//! stored (`jetstream/`), what it said (`nats-server.log`), its id and the port it had last. It
//! binds loopback only, and is never anonymous: the accounts and the callout of `nats/mesh.inc`
//! stand from the first day.

mod find;
mod folder;
mod journal;
mod keys;
mod launch;
mod leftover;
mod ready;
mod supervise;
mod version;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::{mpsc, watch};

pub use self::{
    find::{FindError, Found, find},
    folder::VARIABLES,
    keys::PublicKeys,
    launch::StartError,
    version::Version,
};
use self::{folder::Folder, journal::Journal, launch::Launch, supervise::Supervisor};
use crate::{
    child::Watchdog,
    spawn::{Failure, Tasks},
};

/// How long nats-server has to write what it holds, from TERM to KILL.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What a managed nats-server is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program; where none is given it is looked for, see [`find()`].
    pub program: Option<PathBuf>,
    /// Where it is looked for.
    pub search: Search,
    /// The mesh's data folder; `nats/` below it is the broker's.
    pub data: PathBuf,
    /// The client port on 127.0.0.1. None: the one that this folder had last, if it is free, else
    /// one that the system picks.
    pub port: Option<u16>,
    /// Whether its HTTP monitoring listens, on a loopback port that the system picks. Whoever can
    /// reach that port reads it without a token.
    pub monitor: bool,
    /// Whom the broker trusts.
    pub keys: PublicKeys,
}

/// Where a nats-server is looked for when none is named.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Folders of the project's own, in this order: `bin/nats-server` or `nats-server` in each.
    pub project_dirs: Vec<PathBuf>,
    /// The value of `PATH`.
    pub path_var: Option<OsString>,
}

/// How the nats-server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not ready for the first time yet.
    Starting,
    /// It serves.
    Running {
        /// Its process id.
        pid: u32,
    },
    /// It died, and is being started again on the same port.
    Restarting {
        /// How it ended, with its last words.
        why: String,
    },
    /// It died too often: it is left alone.
    Failed {
        /// How it ended, with its last words, and what to do.
        why: String,
    },
    /// It was stopped.
    Stopped,
}

/// What is known of a nats-server that is, or was last, ready.
#[derive(Clone, Debug)]
struct Instance {
    pid: u32,
    monitor_url: Option<String>,
}

/// A managed nats-server. Dropping it stops the server in the background.
#[derive(Debug)]
pub struct Broker {
    url: String,
    program: Found,
    log: PathBuf,
    instance: watch::Receiver<Instance>,
    state: watch::Receiver<State>,
    stop: mpsc::Sender<()>,
}

impl Broker {
    /// Finds a nats-server, starts it and waits until it serves. Its owner is a task of `tasks`,
    /// which should be a group of its own: the broker is stopped after everything that uses it.
    ///
    /// # Errors
    /// [`StartError`], with nats-server's own last words and the way out.
    pub async fn start(
        options: Options,
        tasks: &Tasks,
        watchdog: &Watchdog,
    ) -> Result<Self, StartError> {
        options.keys.check()?;
        let search = &options.search;
        let program = find(
            options.program.as_deref(),
            &search.project_dirs,
            search.path_var.as_deref(),
        )
        .await?;
        let folder = Folder::prepare(&options.data)?;
        leftover::wait(&folder).await?;
        let mut journal = Journal::open(folder.log());
        let launch = Launch {
            program: program.path.clone(),
            env: folder.environment(&options.keys),
            folder,
            monitor: options.monitor,
            tasks: tasks.clone(),
            watchdog: watchdog.clone(),
        };
        let running = launch.first(options.port, &mut journal).await?;
        let (url, log) = (running.url(), launch.folder.log());
        let (told, state) = watch::channel(State::Running {
            pid: running.instance.pid,
        });
        let (seen, instance) = watch::channel(running.instance.clone());
        let (stop, orders) = mpsc::channel(1);
        let supervisor = Supervisor {
            launch,
            journal,
            orders,
            state: told,
            instance: seen,
        };
        tasks.spawn("nats-server", Failure::Stops, supervisor.run(running));
        Ok(Self {
            url,
            program,
            log,
            instance,
            state,
            stop,
        })
    }

    /// Where clients connect, `nats://127.0.0.1:PORT`: the same for all its life.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The process id of the server that is, or was last, ready.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.instance.borrow().pid
    }

    /// Its HTTP monitoring, `http://127.0.0.1:PORT`, where [`Options::monitor`] asked for it. The
    /// port changes when the server is started again.
    #[must_use]
    pub fn monitor_url(&self) -> Option<String> {
        self.instance.borrow().monitor_url.clone()
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.program.version
    }

    /// The program that runs.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program.path
    }

    /// What it said, this run's and the ones' before: at most 8 MiB, and as much in a file of the
    /// same name with `.1`.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// How it is, now and from now on.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Stops it: TERM, at which it writes what it holds and leaves in milliseconds; KILL after
    /// 5 s. Returns when it is gone.
    pub async fn stop(&self) {
        // Full: it was asked already. Closed: it is over.
        if let Err(error) = self.stop.try_send(()) {
            tracing::trace!(%error, "nats-server is being stopped already");
        }
        self.stop.closed().await;
    }
}
