//! The control plane: it lets clients in, issues and revokes tokens, tells adapters what to trust,
//! and knows which servers there are. With `bus` the only place that says `async_nats`, and the
//! only one that opens buckets.
//!
//! It has connections of its own in three accounts: `AUTH` (the broker asks who may connect),
//! `STORE` (one for buckets and snapshots, one for what members send) and `SYS` (cutting
//! connections). On an existing broker with one account those of `STORE` are enough, and the
//! broker's own operator decides who may connect.

mod ahead;
mod approvals;
mod audit;
mod broker_jwt;
mod callout;
mod changes;
mod connect;
mod definition;
mod durability;
mod durables;
mod events;
mod file;
mod grants;
mod integrity;
mod keyring;
mod keys;
mod kick;
mod leases;
mod letters;
mod life;
mod raw;
mod readers;
mod registry;
mod resources;
pub mod roles;
pub mod service;
mod store;
mod struck;
pub mod tokens;
mod trust;

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use self::{
    approvals::Approvals,
    audit::Clerk,
    callout::Callout,
    changes::Changes,
    connect::Wire,
    durables::Durables,
    events::Events,
    grants::Grants,
    keyring::Keyring,
    keys::seed,
    letters::Letters,
    readers::Readers,
    resources::Shelf,
    service::{Desk, tools as tool},
    store::Bucket,
    trust::Watches,
};
pub use self::{
    durability::Durability,
    file::write_private,
    keys::{FILE as SECRETS_FILE, Secrets, SecretsError},
    registry::Registry,
    service::tools::{ToolDefinition, definitions as tools},
    tokens::{Issued, Tokens, Wish},
};
use crate::{
    access::{Lifetimes, Ring, Trust},
    bus::{self, Auth, Tls},
    call::{Call, SharedService},
    error::Error,
    event::Declared,
    name::{ServerName, store as names},
    policy::{audit::Auditor, permit::Need},
    resource::Sharing,
    spawn::Tasks,
};

/// How long the broker may take to be there.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long the end may take.
const STOP_MAX: Duration = Duration::from_secs(3);

/// How the control plane is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The broker's URLs.
    pub urls: Vec<String>,
    /// Certificates, where it asks for TLS.
    pub tls: Tls,
    /// The keys.
    pub secrets: Arc<Secrets>,
    /// The name of the mesh: `iss` of its tokens.
    pub issuer: String,
    /// How long tokens live.
    pub lifetimes: Lifetimes,
    /// Copies of each bucket: 1, 3 or 5.
    pub replicas: usize,
    /// How the broker is set up.
    pub accounts: Accounts,
    /// Domains and types of events beyond the catalogue.
    pub declared: Declared,
    /// What is said about shared resources.
    pub sharing: Sharing,
}

/// How the broker is set up.
#[derive(Clone, Debug)]
pub enum Accounts {
    /// As `nats/mesh.inc` says, with these secrets' public keys: the control plane decides who may
    /// connect.
    Mesh,
    /// One account, and this login: the broker's own operator decides who may connect, and what is
    /// open then the documentation says.
    One(Auth),
}

/// A running control plane.
#[derive(Debug)]
pub struct Control {
    tasks: Tasks,
    desk: Arc<Desk>,
}

impl Control {
    /// Connects (again and again for at most 10 s), opens the buckets, and begins to work. When
    /// this returns, clients are let in.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` (BROKER_UNAVAILABLE) where the broker is not there or does not know our
    /// keys, `INTERNAL_ERROR` where a bucket is not as it must be.
    pub async fn start(options: Options, tasks: &Tasks) -> Result<Self, Error> {
        let tasks = tasks.group();
        match Box::pin(begin(options, &tasks)).await {
            Ok(desk) => Ok(Self {
                tasks,
                desk: Arc::new(desk),
            }),
            Err(error) => {
                tasks.stop(STOP_MAX).await;
                Err(error)
            }
        }
    }

    /// The MCP server `weft`, to be served on the mesh in the account `STORE`
    /// ([`Secrets::store_seed`]).
    #[must_use]
    pub fn service(&self) -> SharedService {
        service::service(Arc::clone(&self.desk))
    }

    /// What is to be trusted, for the stack in front of [`Control::service`]: fresh as long as the
    /// token store answers.
    #[must_use]
    pub fn trust(&self) -> Trust {
        self.desk.watches.local().clone()
    }

    /// Who writes down what that stack refuses.
    #[must_use]
    pub fn auditor(&self) -> Auditor {
        self.desk.clerk.auditor()
    }

    /// When the broker has what it acknowledges on its disk, as it says itself.
    ///
    /// # Errors
    /// `SERVER_OVERLOADED` where it does not say: a broker of somebody else's lets us not ask.
    pub async fn durability(&self) -> Result<Durability, Error> {
        match &self.desk.kicks {
            Some(system) => durability::durability(system).await,
            None => Err(connect::unavailable(
                "the broker is somebody else's, and does not let us ask when it writes to its disk",
            )),
        }
    }

    /// Issues a connect token without a call over the mesh: for the parts of the same process.
    ///
    /// # Errors
    /// Those of [`Tokens::issue`].
    pub async fn issue_local(&self, wish: Wish) -> Result<Issued, Error> {
        self.desk.tokens.issue(wish).await
    }

    /// The tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.desk.tokens
    }

    /// Told when a key comes or is struck off.
    #[must_use]
    pub fn key_changes(&self) -> watch::Receiver<Arc<Ring>> {
        self.desk.tokens.keys().changes()
    }

    /// The servers.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.desk.registry
    }

    /// Ends. Nobody is let in any more; who is in stays. Says whether all ended in time.
    pub async fn stop(&self) -> bool {
        let written = self.desk.clerk.trail.end(STOP_MAX).await;
        self.tasks.stop(STOP_MAX).await && written
    }
}

async fn begin(options: Options, tasks: &Tasks) -> Result<Desk, Error> {
    let deadline = Instant::now() + CONNECT_MAX;
    let secrets = &options.secrets;
    let way = |auth, name: &str| way((&options.urls, &options.tls), auth, name);
    let open = |auth, name: &str| {
        let to = way(auth, name);
        async move { Wire::open(&to, deadline, tasks).await }
    };
    let store_login = match &options.accounts {
        Accounts::Mesh => Auth::Nkey(seed(&secrets.store)),
        Accounts::One(auth) => auth.clone(),
    };
    let store = open(store_login.clone(), "weft control STORE").await?;
    check(&options, &store).await?;
    let replicas = options.replicas;
    let bucket = |name| Bucket::open(store.clone(), name, replicas);
    let keys = Keyring::start(secrets, &options.issuer, options.lifetimes, tasks);
    let tokens = Tokens::start(bucket(names::TOKENS).await?, keys.clone(), tasks).await?;
    let grants = Grants::start(bucket(names::GRANTS).await?, tasks).await?;
    // What members send comes in on a connection of its own: one that they can kill.
    let beats = open(store_login.clone(), "weft control heartbeats").await?;
    let secret = secrets.event_seed.as_bytes();
    let events = Events::start(&store, options.declared, secret, replicas).await?;
    let own = (way(store_login, "weft control audit"), replicas);
    let clerk = Clerk::start(&store, own, &events, tasks).await?;
    let watched = [events.streams(), vec![names::AUDIT.to_owned()]].concat();
    integrity::watch(events.voice(&store), watched, tasks);
    bucket(names::ONCE).await?;
    let voice = events.voice(&store);
    let registry = Registry::start(beats, bucket(names::SERVERS).await?, voice, tasks).await?;
    let approvals = Approvals::new(bucket(names::APPROVALS).await?, events.voice(&store));
    let shelf = shelf(&store, &events, (options.sharing, replicas), tasks).await?;
    let readers = Readers::new(store.clone());
    let durables = Durables::start(store.clone(), events.streams(), tasks).await?;
    let letters = Letters::new(store.clone());
    let changes = Changes::start(registry.servers(), store.clone(), tasks);
    let watches = Watches::start((&tokens, &grants), keys.clone(), store, tasks);
    let kicks = match &options.accounts {
        Accounts::One(_) => None,
        Accounts::Mesh => {
            let sys = open(Auth::Nkey(seed(&secrets.sys)), "weft control SYS").await?;
            let callout = Callout {
                secrets: Arc::clone(secrets),
                tokens: tokens.clone(),
                grants: grants.clone(),
                durables: durables.clone(),
                trail: clerk.trail.clone(),
                wire: open(Auth::Nkey(seed(&secrets.auth)), "weft control AUTH").await?,
            };
            callout.start(tasks).await?;
            struck::watch(&keys, &tokens, sys.clone(), tasks);
            Some(sys)
        }
    };
    Ok(Desk {
        tokens,
        grants,
        watches,
        changes,
        events,
        readers,
        durables,
        letters,
        clerk,
        registry,
        approvals,
        shelf,
        kicks,
        tools: tool::Tools::new(),
    })
}

/// Whether the broker knows our keys: one without accounts lets everybody in, whatever he says.
async fn check(options: &Options, store: &Wire) -> Result<(), Error> {
    if matches!(options.accounts, Accounts::Mesh) && !store.is_in("STORE").await? {
        return Err(connect::unknown_keys(&options.urls));
    }
    Ok(())
}

/// How the broker is reached with this login.
fn way((urls, tls): (&[String], &Tls), auth: Auth, name: &str) -> bus::Options {
    bus::Options {
        urls: urls.to_vec(),
        identity: ServerName::weft().identity(),
        auth,
        tls: tls.clone(),
        name: name.to_owned(),
        backlog: bus::connect::BACKLOG,
    }
}

async fn shelf(
    store: &Wire,
    events: &Events,
    (sharing, replicas): (Sharing, usize),
    tasks: &Tasks,
) -> Result<Shelf, Error> {
    let bucket = Bucket::open(store.clone(), names::RESOURCES, replicas).await?;
    let voice = events.voice(store);
    Shelf::start(store.clone(), bucket, voice, (sharing, replicas), tasks).await
}

/// Whether a tool of `weft` is called without a call token: who calls, the broker vouches for.
/// Only by these a caller gets his first call token, and an adapter its first snapshot.
#[must_use]
pub fn is_open(tool: &str) -> bool {
    matches!(tool, tool::TOKEN_EXCHANGE | tool::TRUST_OPEN)
}

/// The permission that a tool of `weft` needs, as action and target; `None` where a token is
/// enough, and for tools that do not exist.
#[must_use]
pub fn required(tool: &str) -> Option<(&'static str, &'static str)> {
    match tool {
        tool::TOKEN_ISSUE | tool::TOKEN_REVOKE | tool::TOKEN_LIST | tool::TOKEN_INSPECT => {
            Some(("admin", "mesh/tokens"))
        }
        tool::AUDIT_OPEN => Some(("read", "mesh/audit")),
        tool::GRANT_ADD | tool::GRANT_REMOVE | tool::GRANT_LIST => Some(("admin", "mesh/grants")),
        _ => None,
    }
}

/// Whether a tool of `weft` may be called for somebody else: those that ask what each who acts may
/// do. What is done to tokens, grants, durables and dead letters, its owner does himself.
#[must_use]
pub fn is_for_actors(tool: &str) -> bool {
    tool.starts_with("resource_")
        || matches!(
            tool,
            tool::SERVER_LIST | tool::SERVER_GET | tool::EVENT_TYPES
        )
}

/// [`is_open`] for the stack in front of [`Control::service`].
#[must_use]
pub fn open(call: &Call) -> bool {
    call.tool().is_some_and(is_open)
}

/// [`required`] for the stack in front of [`Control::service`].
#[must_use]
pub fn needs(call: &Call) -> Need<'_> {
    match call.tool().and_then(required) {
        Some((action, target)) => Need::One(action, [target, "", "", ""]),
        None => Need::Nothing,
    }
}
