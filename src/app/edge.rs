//! The gateway as a part of a process: its connection, its listener, or a client at its pipes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{seat::Who, tokens};

use crate::{
    access::Role,
    admin,
    error::Error,
    gateway::{Gateway, door::Scope, stdio, streamable},
    http::{Bound, Listening},
    mesh::{self, Mesh},
    name::{Identity, ServerName, id},
    spawn::Tasks,
};
pub use crate::{
    gateway::streamable::Options as Bodies,
    http::{ListenError, Options as Listen},
};

/// The longest line of a client at the pipes, in bytes.
const LINE_MAX: usize = 64 * 1024 * 1024;

/// How long requests under way have to end.
const GRACE: Duration = Duration::from_secs(5);

/// A gateway that listens.
#[derive(Debug)]
pub struct Edge {
    listening: Listening,
    mesh: Mesh,
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
        bodies: Bodies,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let tasks = tasks.group();
        let timeout = joining.timeout;
        let mesh = Mesh::connect_in(joining, &tasks).await?;
        let gateway = Gateway::open(&mesh, timeout, &tasks).await?;
        let ready = gateway.clone();
        let routes = streamable::routes(gateway, bodies, &tasks)
            .merge(admin::routes(Arc::new(move || ready.is_ready())));
        Ok(Self {
            listening: bound.serve(routes, &tasks),
            mesh,
            tasks,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// Where clients find all servers: `http://ADDRESS/mcp`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address())
    }

    /// Takes no more connections, and gives requests under way some time to end.
    pub async fn stop(self, grace: Duration) {
        let answered = self.listening.stop(grace).await;
        let ended = self.tasks.stop(grace).await;
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
    pub async fn start(
        listen: Listen,
        joining: mesh::Options,
        bodies: Bodies,
    ) -> Result<Self, AloneError> {
        let bound = Bound::bind(listen).await?;
        let root = Tasks::new();
        let started = Self::open(bound, joining, bodies, &root).await;
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
        bodies: Bodies,
        root: &Tasks,
    ) -> Result<Edge, Error> {
        let token = tokens::own(gateway(), &joining, root).await?;
        Edge::start(bound, mesh::Options { token, ..joining }, bodies, root).await
    }

    /// Where clients find all servers.
    #[must_use]
    pub fn url(&self) -> String {
        self.edge.url()
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

/// Who the gateway is: it may list all tools, and calls with its clients' tokens alone.
pub(super) fn gateway() -> Who {
    Who {
        name: Identity::new(id::GATEWAY).expect("it is a name"),
        permissions: vec!["list:*".to_owned()],
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
    };
    let pipes = (tokio::io::stdin(), tokio::io::stdout());
    let served = stdio::serve(&gateway, options, pipes, &tasks).await;
    tasks.stop(GRACE).await;
    mesh.close().await;
    Ok(served?)
}
