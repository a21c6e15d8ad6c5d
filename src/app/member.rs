//! One server on the mesh: its adapter, its place on the bus, its heartbeat.
//!
//! The server is served while it answers, and leaves the queue group while it does not: then the
//! broker tells its callers at once that nobody is there, and the registry why.

mod approval;
mod aside;
mod place;
mod resources;
mod stale;
mod tell;

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::{approval::Shown, place::Place};
use crate::{
    adapter::{self, Pool, Status, pool},
    bus::{Bounds, Limits},
    call::permission::Pattern,
    child::Watchdog,
    mesh,
    name::ServerName,
    policy::{
        audit::When,
        breaker, cache,
        limit::{Limiter, Rules},
    },
    registry::Calls,
    spawn::{Failure, Tasks},
};

/// How soon a server that could not join tries again.
const AGAIN: Duration = Duration::from_secs(1);
/// What is under way has so long to end when the process went away: its calls end by themselves.
const GRACE: Duration = Duration::from_secs(1);
/// Everything that a server has lists of, as changes of them are told.
const LISTS: [&str; 3] = [
    "tools/list_changed",
    "prompts/list_changed",
    "resources/list_changed",
];

/// A server that is to join.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name.
    pub server: ServerName,
    /// How it is reached.
    pub upstream: adapter::Options,
    /// How many processes, or sessions, of it there are.
    pub pool: pool::Options,
    /// How it joins; the token is one for `serve:tools/{server}/*`.
    pub mesh: mesh::Options,
    /// Whether arguments are checked here as well.
    pub validate: bool,
    /// What it takes at a time.
    pub limits: Limits,
    /// How large a body may be.
    pub bounds: Bounds,
    /// How often and how much each caller may call it.
    pub rules: Rules,
    /// How long a call may take whose caller does not say.
    pub timeout: Duration,
    /// Tools whose calls are told as tasks.
    pub tasks: Vec<Pattern>,
    /// When it is written down that a call goes on.
    pub audit: When,
    /// Whether tools that are not what was approved are kept from callers.
    pub quarantine: bool,
    /// What callers may take for granted.
    pub calls: Calls,
    /// When it is left alone.
    pub breaker: breaker::Rules,
    /// Which of its answers are kept, where some are.
    pub cache: Option<cache::Rules>,
}

/// A server on the mesh.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub server: ServerName,
    upstream: Pool,
    shown: Shown,
    joined: watch::Receiver<Joined>,
    limiter: Limiter,
    grace: watch::Sender<Duration>,
    leave: CancellationToken,
    left: CancellationToken,
    tasks: Tasks,
}

/// Whether a server has its place on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// Not yet, and why, after the first try.
    No(Option<String>),
    /// It has: whenever its process answers, it is served.
    Yes,
}

impl Member {
    /// Starts or opens the server and joins. What fails is tried again, and told by [`Member::problem`].
    #[must_use]
    pub fn start(options: Options, watchdog: &Watchdog, tasks: &Tasks) -> Self {
        let own = tasks.group();
        let server = options.server.clone();
        let reached = options.upstream.clone();
        let upstream = Pool::start(server.clone(), reached, options.pool, watchdog, tasks);
        let (told, joined) = watch::channel(Joined::No(None));
        let shown = Shown::start(server.clone(), options.quarantine, &upstream, &own);
        let (joining, group) = ((upstream.clone(), shown.clone()), own.clone());
        let limiter = Limiter::new(options.rules.clone());
        let counts = limiter.clone();
        let (grace, grace_heard) = watch::channel(GRACE);
        let (leave, left) = (CancellationToken::new(), CancellationToken::new());
        let (leaving, leaves) = (leave.clone(), left.clone().drop_guard());
        own.spawn("member", Failure::Logged, async move {
            let _leaves = leaves;
            let place = tokio::select! {
                () = leaving.cancelled() => return,
                () = group.stopping().cancelled_owned() => return,
                place = join((&options, counts), &joining, told, &group) => place,
            };
            place.keep(joining, grace_heard, leaving).await;
        });
        Self {
            server,
            upstream,
            shown,
            joined,
            limiter,
            grace,
            leave,
            left,
            tasks: own,
        }
    }

    /// How the server fares, as far as that is shown to callers.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shown.status()
    }

    /// Whether it has its place on the bus.
    #[must_use]
    pub fn joined(&self) -> watch::Receiver<Joined> {
        self.joined.clone()
    }

    /// Waits until the server is up or has failed once.
    pub async fn settled(&self) {
        let mut status = self.status();
        let settled = status.wait_for(|status| status.is_up() || status.last_error.is_some());
        // The sender ends only with the server: then it is settled too.
        if settled.await.is_err() {
            return;
        }
        let mut joined = self.joined.clone();
        let done = joined.wait_for(|joined| *joined != Joined::No(None));
        drop(done.await);
    }

    /// Other rules for its callers from now on; what is under way goes on.
    pub fn limit(&self, rules: Rules) {
        self.limiter.change(rules);
    }

    /// What is wrong with it, where something is.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let status = self.status();
        let status = status.borrow();
        if !status.is_up() {
            let why = status.last_error.clone();
            return Some(why.unwrap_or_else(|| "it has not answered yet".to_owned()));
        }
        match &*self.joined.borrow() {
            Joined::Yes => None,
            Joined::No(why) => Some(
                why.clone()
                    .unwrap_or_else(|| "it has not joined yet".into()),
            ),
        }
    }

    /// Leaves the mesh and ends the process: what is under way has `grace` to end.
    pub async fn stop(self, grace: Duration) {
        // First out of the queue group, with the connection still there for the last answers.
        self.grace.send_replace(grace);
        self.leave.cancel();
        let limit = grace + 3 * GRACE;
        let left = tokio::time::timeout(limit, self.left.cancelled())
            .await
            .is_ok();
        let left = self.tasks.stop(GRACE).await && left;
        let ended = self.upstream.stop().await;
        if !(left && ended) {
            tracing::warn!(server = %self.server, "the server did not end in order");
        }
    }
}

/// Gets a place on the bus, again and again until it has one.
async fn join(
    (options, limiter): (&Options, Limiter),
    (upstream, shown): &(Pool, Shown),
    told: watch::Sender<Joined>,
    tasks: &Tasks,
) -> Place {
    loop {
        match Place::take((options, limiter.clone()), (upstream, shown), tasks).await {
            Ok(place) => {
                told.send_replace(Joined::Yes);
                return place;
            }
            Err(error) => {
                tracing::warn!(server = %options.server, %error, "the server could not join; next try in 1 s");
                told.send_replace(Joined::No(Some(error.to_string())));
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}
