//! One server that joins a mesh from a process of its own: `weft adapter NAME -- CMD`, or
//! `--url URL`.

use std::{path::PathBuf, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    member::{self, Member},
    seat::Who,
    tokens, translate,
    up::StartError,
};
pub use crate::adapter::{
    Options as Target,
    stdio::{Launch, Options as Process},
    streamable::{Endpoint, Headers, Options as Remote},
};
use crate::{
    adapter::pool,
    bus::{Bounds, Limits},
    child::Watchdog,
    config, mesh,
    name::ServerName,
    policy::{breaker, cache, limit::Rules},
    registry::Calls,
    spawn::Tasks,
};

/// How long what is under way has to end.
const GRACE: Duration = Duration::from_secs(5);

/// A server that is to join.
#[derive(Debug)]
pub struct Options {
    /// Its name.
    pub server: ServerName,
    /// How it is reached.
    pub target: Target,
    /// How whoever runs this joins: with a token of the server's own, or with one that may issue
    /// such a token (`admin:mesh/tokens`).
    pub mesh: mesh::Options,
    /// Whether arguments are checked here as well.
    pub validate: bool,
    /// How long a call may take whose caller does not say.
    pub timeout: Duration,
    /// When it is written down that a call goes on.
    pub audit: config::Audit,
    /// Whether tools that are not what was approved are kept from callers.
    pub quarantine: bool,
    /// Tools that may be called again where nobody knows whether a call had begun: patterns.
    pub idempotent: Vec<String>,
    /// The program that is run again as watchdog; where none is given, this one.
    pub watchdog: Option<PathBuf>,
}

/// A server that joined.
#[derive(Debug)]
pub struct Sidecar {
    member: Member,
    root: Tasks,
    ground: Tasks,
}

impl Sidecar {
    /// Starts or opens the server and joins; waits until it is up or has failed once.
    ///
    /// # Errors
    /// No broker, a token that is refused, or one that does not permit to serve this name.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let (root, ground) = (Tasks::new(), Tasks::new());
        let started = Self::start_in(options, root.clone(), ground.clone()).await;
        if started.is_err() {
            root.stop(GRACE).await;
            ground.stop(GRACE).await;
        }
        started
    }

    async fn start_in(options: Options, root: Tasks, ground: Tasks) -> Result<Self, StartError> {
        let watchdog = Watchdog::start(options.watchdog.as_deref(), &ground).await?;
        let mesh = tokens::own(Who::server(&options.server), options.mesh, &root).await?;
        let member = member::Options {
            server: options.server,
            upstream: options.target,
            pool: pool::Options::one(),
            mesh,
            validate: options.validate,
            limits: Limits::default(),
            bounds: Bounds::default(),
            rules: Rules::default(),
            timeout: options.timeout,
            tasks: Vec::new(),
            audit: translate::audit(options.audit),
            quarantine: options.quarantine,
            calls: Calls {
                idempotent: options.idempotent,
                keys: true,
                ..Calls::default()
            },
            breaker: breaker::Rules::default(),
            cache: Some(cache::Rules::default()),
        };
        let member = Member::start(member, &watchdog, &root);
        member.settled().await;
        Ok(Self {
            member,
            root,
            ground,
        })
    }

    /// The server.
    #[must_use]
    pub const fn member(&self) -> &Member {
        &self.member
    }

    /// Resolves when a part ended that nothing works without.
    #[must_use]
    pub fn broken(&self) -> CancellationToken {
        self.root.stopping()
    }

    /// Leaves the mesh and lets the server go.
    pub async fn stop(self) {
        self.member.stop(GRACE).await;
        let root = self.root.stop(GRACE).await;
        let ground = self.ground.stop(GRACE).await;
        if !(root && ground) {
            tracing::warn!("some background work did not end in time");
        }
    }
}
