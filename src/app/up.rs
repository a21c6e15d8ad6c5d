//! A whole mesh in one process: broker, control plane, an adapter per server.
//!
//! Started from the ground up, stopped from the top down: first the servers leave, then the
//! control plane, then the broker, last the watchdog.

mod translate;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    broken,
    context::Context,
    folder::{Folder, FolderError},
    member::{self, Member},
    plane::Plane,
    tokens::{self, LOCAL},
};
use crate::{
    broker::{Broker, Options as BrokerOptions, Search, StartError as BrokerError},
    bus::{Bounds, Limits, Tls},
    child::{Watchdog, watchdog::WatchdogError},
    config::{self, Loaded, Validate},
    control::{self, Secrets, SecretsError},
    error::Error,
    mesh::{self, TokenSource},
    name::{Identity, ServerName},
    spawn::Tasks,
};

/// How long the servers have to finish what is under way.
const GRACE: Duration = Duration::from_secs(5);
/// How long the servers may take to be up or to have failed once, before the mesh is called ready.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// How long the registry may take to hear of servers that have settled.
const KNOWN_MAX: Duration = Duration::from_secs(5);

/// What a mesh is started with.
#[derive(Debug)]
pub struct Options {
    /// The configuration.
    pub loaded: Loaded,
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
    plane: Plane,
    members: Vec<Member>,
    report: Vec<Row>,
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
        let started = Self::start_in(options, folder, &root, &ground).await;
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
        let tls = login.map_or_else(Tls::default, |(_, tls)| translate::bus_tls(tls));
        let login = login.map(|(credentials, _)| translate::bus_auth(credentials));
        let plane = Plane::start(&urls, &secrets, login, tls, root).await?;
        let mut up = Self {
            url: urls.join(","),
            folder,
            ephemeral: options.ephemeral,
            broker,
            plane,
            members: Vec::new(),
            report: Vec::new(),
            root: root.clone(),
            ground: ground.clone(),
        };
        up.hand_out_token().await?;
        up.join(&options.loaded, &watchdog).await;
        up.be_known().await;
        up.write_context()?;
        Ok(up)
    }

    /// The token of whoever works on this machine, in a file that only he can read.
    async fn hand_out_token(&self) -> Result<(), StartError> {
        let file = self.folder.token_file();
        let local = Identity::new(LOCAL).expect("it is a name");
        let told = move |token: &str| {
            if let Err(error) = control::write_private(&file, token.as_bytes()) {
                tracing::error!(%error, "the token file could not be written");
            }
        };
        let everything = vec!["*".to_owned()];
        self.plane
            .renewed(local, everything, told, &self.root)
            .await?;
        Ok(())
    }

    /// Starts every server of the configuration, and waits until each has settled.
    async fn join(&mut self, loaded: &Loaded, watchdog: &Watchdog) {
        let mut broken = Vec::new();
        for member in loaded.members.iter().filter(|member| member.enabled) {
            let problem = match &member.launch {
                Err(problem) => problem.summary(),
                Ok(launch) => match self
                    .start_member(&member.name, launch, loaded, watchdog)
                    .await
                {
                    Ok(member) => {
                        self.members.push(member);
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
            };
            if let Ok(server) = ServerName::new(&member.name) {
                broken::announce(self.plane.link(), server, problem.clone(), &self.root);
            }
            broken.push(Row {
                server: member.name.clone(),
                tools: None,
                problem: Some(problem),
            });
        }
        let settling = futures_util::future::join_all(self.members.iter().map(Member::settled));
        if tokio::time::timeout(SETTLE_MAX, settling).await.is_err() {
            tracing::warn!("not every server has answered or failed in time; they are tried on");
        }
        self.report = broken;
    }

    async fn start_member(
        &self,
        name: &str,
        launch: &config::Launch,
        loaded: &Loaded,
        watchdog: &Watchdog,
    ) -> Result<Member, Error> {
        let server = ServerName::new(name)
            .map_err(|error| Error::new(crate::error::Kind::InvalidParams, error.to_string()))?;
        let (identity, permissions) = (server.identity(), tokens::server_permissions(&server));
        let token = self
            .plane
            .renewed(identity, permissions, |_| {}, &self.root);
        let token = token.await?;
        let limits = &loaded.config.limits;
        let options = member::Options {
            server,
            upstream: translate::upstream(&launch.target, limits),
            mesh: self.mesh_options(token),
            validate: launch.validate == Validate::Adapter,
            limits: Limits {
                calls: translate::count(limits.in_flight),
                bytes: translate::size(limits.waiting),
            },
            bounds: Bounds {
                body: translate::size(limits.result),
            },
            timeout: launch.timeout,
        };
        Ok(Member::start(options, watchdog, &self.root))
    }

    /// How a part of this process joins with a token.
    #[must_use]
    pub fn mesh_options(&self, token: TokenSource) -> mesh::Options {
        let mut options = mesh::Options::with_source(self.url.clone(), token);
        options.urls = self.url.split(',').map(str::to_owned).collect();
        options.broker = self.plane.login();
        options.tls = self.plane.tls();
        options
    }

    /// Waits until the registry has heard of every server: whoever finds the mesh finds them all.
    async fn be_known(&self) {
        let mut servers = self.plane.control().registry().servers();
        let names: Vec<ServerName> = self
            .report
            .iter()
            .map(|row| row.server.as_str())
            .chain(self.members.iter().map(|member| member.server.as_str()))
            .filter_map(|name| ServerName::new(name).ok())
            .collect();
        let known = servers.wait_for(|servers| names.iter().all(|name| servers.knows(name)));
        if tokio::time::timeout(KNOWN_MAX, known).await.is_err() {
            tracing::warn!(
                "not every server has been heard of in time; they are waited for no longer"
            );
        }
    }

    fn write_context(&self) -> Result<(), StartError> {
        let context = Context {
            nats_url: self.url.clone(),
            gateway_url: None,
            token_file: self.folder.token_file(),
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

    /// Every server, in order of their names.
    #[must_use]
    pub fn servers(&self) -> Vec<Row> {
        let mut rows = self.report.clone();
        rows.extend(self.members.iter().map(|member| {
            let status = member.status();
            let status = status.borrow();
            Row {
                server: member.server.to_string(),
                tools: status.is_up().then_some(status.tools.tools.len()),
                problem: member.problem(),
            }
        }));
        rows.sort_by(|a, b| a.server.cmp(&b.server));
        rows
    }

    /// Resolves when a part ended that nothing works without.
    #[must_use]
    pub fn broken(&self) -> CancellationToken {
        self.root.stopping()
    }

    /// Stops everything: servers leave and finish what is under way, children end, then the
    /// control plane, the broker and the watchdog.
    pub async fn stop(self) {
        self.folder.remove(super::context::FILE);
        let stopping = self.members.into_iter().map(|member| member.stop(GRACE));
        futures_util::future::join_all(stopping).await;
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
