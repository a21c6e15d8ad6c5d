//! The gateway as a part of a process: its connection, its listener, or a client at its pipes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{seat::Who, tokens, translate};

pub use crate::http::ListenError;
use crate::{
    access::{
        Role,
        issuer::{self, Issuers},
    },
    admin,
    audit::Trail,
    config::Loaded,
    error::{Error, Kind},
    gateway::{
        Gateway,
        door::Scope,
        stdio,
        streamable::{self, Site},
    },
    http::{self, Bound, Listening},
    mcp::Extent,
    mesh::{self, Mesh},
    name::{Identity, Instance, ServerName, id},
    spawn::Tasks,
};

/// The longest line of a client at the pipes, in bytes.
const LINE_MAX: usize = 64 * 1024 * 1024;

/// How long requests under way have to end.
const GRACE: Duration = Duration::from_secs(5);

/// What a gateway is run with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens, for whom, and with which certificate.
    pub listen: http::Options,
    /// How large requests may be.
    pub bodies: streamable::Options,
    /// How clients reach it, where that is not where it listens.
    pub public_url: Option<String>,
    /// Whose tokens it takes, beside Weft's own.
    pub issuers: Vec<issuer::Options>,
}

impl Options {
    /// As a configuration says.
    #[must_use]
    pub fn of(loaded: &Loaded) -> Self {
        let (gateway, edge) = (&loaded.config.gateway, &loaded.edge);
        let mut hosts = gateway.hosts.clone();
        let public = edge.public_url.as_deref();
        hosts.extend(public.and_then(|url| Some(url.split_once("://")?.1.to_owned())));
        let limits = &loaded.config.limits;
        Self {
            listen: http::Options {
                tls: edge.tls.as_ref().map(|tls| http::Tls {
                    cert: tls.cert.clone(),
                    key: tls.key.clone(),
                    client_ca: tls.client_ca.clone(),
                }),
                hosts,
                origins: gateway.origins.clone(),
                ..http::Options::new(gateway.listen)
            },
            bodies: streamable::Options {
                body: translate::size(limits.request_body),
                in_flight: translate::size(limits.request_bodies),
                extent: limits.extent(),
                ..streamable::Options::default()
            },
            public_url: edge.public_url.clone(),
            issuers: edge.issuers.clone(),
        }
    }
}

/// A gateway that listens.
#[derive(Debug)]
pub struct Edge {
    listening: Listening,
    public_url: Option<String>,
    mesh: Mesh,
    trail: Trail,
    tasks: Tasks,
}

impl Edge {
    /// Joins the mesh with a token of the role gateway, and answers on an address that was taken.
    ///
    /// # Errors
    /// What the broker or the control plane says.
    pub async fn start(
        bound: Bound,
        joining: mesh::Options,
        options: Options,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let tasks = tasks.group();
        let timeout = joining.timeout;
        let mesh = Mesh::connect_in(joining, &tasks).await?;
        let issuers = Issuers::open(options.issuers, &tasks).await;
        let issuers = issuers.map_err(|why| Error::new(Kind::InvalidRequest, why.to_string()))?;
        let site = Site {
            public_url: options.public_url.clone(),
            tls: options.listen.tls.is_some(),
            issuers: issuers.urls().map(str::to_owned).collect(),
        };
        let gateway = Gateway::open(&mesh, timeout, &tasks).await?;
        let trail = Trail::start(mesh.link().clone(), &Instance::random(), &tasks);
        let gateway = gateway.believing(issuers).writing(trail.clone());
        let ready = gateway.clone();
        let routes = streamable::routes(gateway, options.bodies, site, &tasks)
            .merge(admin::routes(Arc::new(move || ready.is_ready())));
        Ok(Self {
            listening: bound.serve(routes, &tasks),
            public_url: options.public_url,
            mesh,
            trail,
            tasks,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// Where clients find all servers: `http://ADDRESS/mcp`, or below the URL that clients use.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.listening.tls { "https" } else { "http" };
        match &self.public_url {
            Some(url) => format!("{url}/mcp"),
            None => format!("{scheme}://{}/mcp", self.address()),
        }
    }

    /// Whether other machines reach it without TLS.
    #[must_use]
    pub fn is_in_the_clear(&self) -> bool {
        !self.listening.tls && !self.address().ip().is_loopback()
    }

    /// Takes no more connections, and gives requests under way some time to end.
    pub async fn stop(self, grace: Duration) {
        let answered = self.listening.stop(grace).await;
        let written = self.trail.end(grace).await;
        let ended = self.tasks.stop(grace).await && written;
        if !(answered && ended) {
            tracing::warn!("some requests at the gateway did not end in time");
        }
        self.mesh.close().await;
    }
}

/// A gateway that is a process of its own.
#[derive(Debug)]
pub struct Alone {
    edge: Edge,
    root: Tasks,
}

impl Alone {
    /// Takes the address and joins a mesh that runs elsewhere: with a token of the gateway, or
    /// with one that may issue such a token (`admin:mesh/tokens`).
    ///
    /// # Errors
    /// [`AloneError`].
    pub async fn start(joining: mesh::Options, options: Options) -> Result<Self, AloneError> {
        let bound = Bound::bind(options.listen.clone()).await?;
        let root = Tasks::new();
        let started = Self::open(bound, joining, options, &root).await;
        match started {
            Ok(edge) => Ok(Self { edge, root }),
            Err(error) => {
                root.stop(GRACE).await;
                Err(error.into())
            }
        }
    }

    async fn open(
        bound: Bound,
        joining: mesh::Options,
        options: Options,
        root: &Tasks,
    ) -> Result<Edge, Error> {
        let joining = tokens::own(gateway(&options.issuers), joining, root).await?;
        Edge::start(bound, joining, options, root).await
    }

    /// Where clients find all servers.
    #[must_use]
    pub fn url(&self) -> String {
        self.edge.url()
    }

    /// Whether other machines reach it without TLS.
    #[must_use]
    pub fn is_in_the_clear(&self) -> bool {
        self.edge.is_in_the_clear()
    }

    /// Resolves when a part ended that nothing works without.
    #[must_use]
    pub fn broken(&self) -> CancellationToken {
        self.root.stopping()
    }

    /// Answers what is under way, and leaves.
    pub async fn stop(self) {
        self.edge.stop(GRACE).await;
        if !self.root.stop(GRACE).await {
            tracing::warn!("some background work did not end in time");
        }
    }
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    /// Its address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The mesh can't be joined.
    #[error(transparent)]
    Mesh(#[from] Error),
}

/// Who the gateway is: it may list all tools, and calls with its clients' tokens alone. What it
/// gives to those whom outside issuers vouch for, it has to hold.
pub(super) fn gateway(issuers: &[issuer::Options]) -> Who {
    let given = issuers.iter().flat_map(|one| one.permissions.to_strings());
    Who {
        name: Identity::new(id::GATEWAY).expect("it is a name"),
        permissions: std::iter::once("list:*".to_owned()).chain(given).collect(),
        role: Some(Role::Gateway),
    }
}

/// Why a client at the pipes is not served (any more).
#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    /// The mesh can't be joined.
    #[error(transparent)]
    Mesh(#[from] Error),
    /// The pipes broke.
    #[error("standard input can't be read: {0}")]
    Pipe(#[from] std::io::Error),
}

/// Serves whoever is at standard input and output, until the input ends. He calls with the token
/// that the member joins with, and sees one server, or all.
///
/// # Errors
/// [`PipeError`].
pub async fn over_pipes(
    joining: mesh::Options,
    server: Option<ServerName>,
) -> Result<(), PipeError> {
    let tasks = Tasks::new();
    let timeout = joining.timeout;
    let mesh = Mesh::connect_in(joining, &tasks).await?;
    let gateway = Gateway::open(&mesh, timeout, &tasks).await?;
    let options = stdio::Options {
        scope: server.map_or(Scope::All, Scope::One),
        line: LINE_MAX,
        extent: Extent::default(),
    };
    let pipes = (tokio::io::stdin(), tokio::io::stdout());
    let served = stdio::serve(&gateway, options, pipes, &tasks).await;
    tasks.stop(GRACE).await;
    mesh.close().await;
    Ok(served?)
}
