//! A whole mesh in one process: broker, control plane, an adapter per server.
//!
//! Started from the ground up, stopped from the top down: first the servers leave, then the
//! control plane, then the broker, last the watchdog.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    context::{BrokerTls, Context},
    edge::{self, Edge, ListenError},
    folder::{Folder, FolderError},
    plane::{Plane, Site},
    reload::Reload,
    roster::Roster,
    seat::{Seat, Who},
    tokens::LOCAL,
    translate,
};
use crate::{
    broker::{Broker, Options as BrokerOptions, Search, StartError as BrokerError},
    bus::Tls,
    child::{Watchdog, watchdog::WatchdogError},
    config::{self, Loaded, Sources},
    control::{self, Secrets, SecretsError},
    error::Error,
    http::Bound,
    mesh::{self, TokenSource},
    name::{Identity, ServerName},
    spawn::Tasks,
};

/// How long the servers have to finish what is under way.
const GRACE: Duration = Duration::from_secs(5);

/// How long the registry may take to hear of servers that have settled.
const KNOWN_MAX: Duration = Duration::from_secs(5);

/// What a mesh is started with.
#[derive(Debug)]
pub struct Options {
    /// The configuration.
    pub loaded: Loaded,
    /// Where it was read: its changes are applied. Nothing: it stays as it is.
    pub sources: Option<Sources>,
    /// Whether there is a gateway.
    pub gateway: bool,
    /// Where nats-server is looked for.
    pub search: Search,
    /// Whether the data folder is to be removed in the end.
    pub ephemeral: bool,
    /// The program that is run again as watchdog; where none is given, this one.
    pub watchdog: Option<PathBuf>,
}

/// Why a mesh does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its data folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its keys.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The watchdog.
    #[error(transparent)]
    Watchdog(#[from] WatchdogError),
    /// nats-server.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The address of the gateway.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The control plane, or the connection to the broker.
    #[error(transparent)]
    Mesh(#[from] Error),
}

/// A running mesh.
#[derive(Debug)]
pub struct Up {
    folder: Folder,
    ephemeral: bool,
    broker: Option<Broker>,
    url: String,
    tls: BrokerTls,
    plane: Plane,
    seat: Seat,
    servers: Vec<Row>,
    reload: Reload,
    edge: Option<Edge>,
    root: Tasks,
    ground: Tasks,
}

/// One server, as the banner tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub server: String,
    /// How many tools it has; `None` where it is not up.
    pub tools: Option<usize>,
    /// What is wrong and what to do.
    pub problem: Option<String>,
}

/// What the broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    /// Started by us.
    Managed {
        /// Its version.
        version: String,
        /// Its process.
        pid: u32,
    },
    /// There before.
    Existing {
        /// Whether it has the accounts of a mesh; with one account some things are open.
        accounts: bool,
    },
}

impl Up {
    /// Starts everything, and waits until each server is up or has failed once.
    ///
    /// # Errors
    /// [`StartError`]: what does not start, and what to do. What had started is stopped again.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let folder = Folder::take(&options.loaded.data)?;
        let (root, ground) = (Tasks::new(), Tasks::new());
        // On the heap: it is large, made once, and moved by whoever waits for it.
        let started = Box::pin(Self::start_in(options, folder, &root, &ground)).await;
        if started.is_err() {
            root.stop(GRACE).await;
            ground.stop(GRACE).await;
        }
        started
    }

    async fn start_in(
        options: Options,
        folder: Folder,
        root: &Tasks,
        ground: &Tasks,
    ) -> Result<Self, StartError> {
        // First, because somebody else may have it.
        let edge = options.gateway.then(|| edge::Options::of(&options.loaded));
        let bound = match &edge {
            Some(edge) => Some(Bound::bind(edge.listen.clone()).await?),
            None => None,
        };
        let watchdog = Watchdog::start(options.watchdog.as_deref(), ground).await?;
        let secrets = Arc::new(Secrets::load_or_create(folder.path())?);
        let (broker, urls, login) = match &options.loaded.broker {
            config::Broker::Managed { server } => {
                let broker = BrokerOptions {
                    program: server.clone(),
                    search: options.search,
                    data: folder.path().to_owned(),
                    port: None,
                    monitor: false,
                    keys: translate::public_keys(&secrets),
                };
                let broker = Broker::start(broker, ground, &watchdog).await?;
                let url = broker.url().to_owned();
                (Some(broker), vec![url], None)
            }
            config::Broker::Existing {
                urls,
                credentials,
                tls,
            } => (None, urls.clone(), Some((credentials, tls))),
        };
        let reached = login.map_or_else(BrokerTls::default, |(_, tls)| tls.into());
        let tls = login.map_or_else(Tls::default, |(_, tls)| translate::bus_tls(tls));
        let login = login.map(|(credentials, _)| translate::bus_auth(credentials));
        let site = Site {
            urls: urls.clone(),
            secrets,
            tls,
            declared: options.loaded.config.events.clone(),
            sharing: options.loaded.sharing.clone(),
        };
        let plane = Plane::start(site, login, root).await?;
        let seat = Seat::new(&plane, &urls);
        hand_out_token(&seat, &folder, root).await?;
        let mut roster = Roster::new(seat.clone(), watchdog, root.clone());
        roster.apply(&options.loaded).await;
        let servers = roster.rows();
        be_known(&seat, &servers).await;
        // Last: it begins with the tools that are there.
        let edge = match bound.zip(edge) {
            Some(door) => Some(open_gateway(&seat, door, &options.loaded, root).await?),
            None => None,
        };
        let up = Self {
            url: urls.join(","),
            tls: reached,
            folder,
            ephemeral: options.ephemeral,
            broker,
            plane,
            seat,
            servers,
            reload: Reload::start(roster, options.loaded, options.sources, root),
            edge,
            root: root.clone(),
            ground: ground.clone(),
        };
        up.write_context()?;
        Ok(up)
    }

    /// How a part of this process joins with a token.
    #[must_use]
    pub fn mesh_options(&self, token: TokenSource) -> mesh::Options {
        self.seat.options(token)
    }

    fn write_context(&self) -> Result<(), StartError> {
        let context = Context {
            nats_url: self.url.clone(),
            gateway_url: self.gateway_url(),
            token_file: self.folder.token_file(),
            tls: self.tls.clone(),
            pid: std::process::id(),
        };
        context.write(self.folder.path()).map_err(|error| {
            StartError::Folder(FolderError::Io {
                path: self.folder.path().display().to_string(),
                error,
            })
        })
    }

    /// The broker's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The data folder, and whether it survives.
    #[must_use]
    pub fn folder(&self) -> (&std::path::Path, bool) {
        (self.folder.path(), !self.ephemeral)
    }

    /// What the broker is.
    #[must_use]
    pub fn broker(&self) -> BrokerKind {
        match &self.broker {
            Some(broker) => BrokerKind::Managed {
                version: broker.version().to_string(),
                pid: broker.pid(),
            },
            None => BrokerKind::Existing {
                accounts: self.plane.login().is_none(),
            },
        }
    }

    /// The control plane.
    #[must_use]
    pub const fn plane(&self) -> &Plane {
        &self.plane
    }

    /// Where MCP clients find all servers; nothing where there is no gateway.
    #[must_use]
    pub fn gateway_url(&self) -> Option<String> {
        self.edge.as_ref().map(Edge::url)
    }

    /// Whether other machines reach the gateway without TLS.
    #[must_use]
    pub fn is_in_the_clear(&self) -> bool {
        self.edge.as_ref().is_some_and(Edge::is_in_the_clear)
    }

    /// Every server as it was when the mesh was ready, in order of their names.
    #[must_use]
    pub fn servers(&self) -> &[Row] {
        &self.servers
    }

    /// Resolves when a part ended that nothing works without.
    #[must_use]
    pub fn broken(&self) -> CancellationToken {
        self.root.stopping()
    }

    /// Stops everything: clients first, then servers leave and finish what is under way, children
    /// end, then the control plane, the broker and the watchdog.
    pub async fn stop(self) {
        self.folder.remove(super::context::FILE);
        if let Some(edge) = self.edge {
            edge.stop(GRACE).await;
        }
        if let Some(roster) = self.reload.stop().await {
            roster.stop().await;
        }
        self.plane.stop().await;
        let root = self.root.stop(GRACE).await;
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
        let ground = self.ground.stop(GRACE).await;
        if !(root && ground) {
            tracing::warn!("some background work did not end in time");
        }
        if self.ephemeral
            && let Err(error) = std::fs::remove_dir_all(self.folder.path())
        {
            tracing::warn!(%error, "the data folder could not be removed");
        }
    }
}

/// The token of whoever works on this machine, in a file that only he can read.
async fn hand_out_token(seat: &Seat, folder: &Folder, tasks: &Tasks) -> Result<(), StartError> {
    let file = folder.token_file();
    let told = move |token: &str| {
        if let Err(error) = control::write_private(&file, token.as_bytes()) {
            tracing::error!(%error, "the token file could not be written");
        }
    };
    let local = Who {
        name: Identity::new(LOCAL).expect("it is a name"),
        permissions: vec!["*".to_owned()],
        role: None,
    };
    seat.token(local, told, tasks).await?;
    Ok(())
}

/// The gateway, on an address that was taken.
async fn open_gateway(
    seat: &Seat,
    (bound, options): (Bound, edge::Options),
    loaded: &Loaded,
    tasks: &Tasks,
) -> Result<Edge, Error> {
    let token = seat
        .token(edge::gateway(&options.issuers), |_| {}, tasks)
        .await?;
    let mut joining = seat.options(token);
    joining.timeout = loaded.config.policy.timeout.duration();
    joining.retry = translate::retry(loaded.config.policy.retry);
    joining.breaker = translate::breaker(loaded.config.policy.breaker);
    joining.bounds.body = translate::size(loaded.config.limits.result);
    Edge::start(bound, joining, options, tasks).await
}

/// Waits until the registry has heard of every server: whoever finds the mesh finds them all.
async fn be_known(seat: &Seat, servers: &[Row]) {
    let names: Vec<ServerName> = servers
        .iter()
        .filter_map(|row| ServerName::new(&row.server).ok())
        .collect();
    let mut known = seat.control().registry().servers();
    let known = known.wait_for(|servers| names.iter().all(|name| servers.knows(name)));
    if tokio::time::timeout(KNOWN_MAX, known).await.is_err() {
        tracing::warn!("not every server has been heard of in time; they are waited for no longer");
    }
}
