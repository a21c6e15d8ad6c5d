//! One server on the mesh: its adapter, its place on the bus, its heartbeat.
//!
//! The server is served while it answers, and leaves the queue group while it does not: then the
//! broker tells its callers at once that nobody is there, and the registry why.

mod resources;
mod tell;

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    adapter::{self, Changed, Status, Upstream},
    bus::{self, Bounds, Limits, Reach, ServeOptions, Served, micro},
    call::{SharedService, permission::Pattern},
    child::Watchdog,
    error::Error,
    mesh::{self, Mesh},
    name::{Instance, ServerName, subject},
    policy::{
        self,
        limit::{Limiter, Rules},
        tasks::Recorder,
    },
    registry::{Heartbeat, Transport, heartbeat},
    spawn::{Failure, Tasks},
    telemetry::metric::{Side, Tools},
};

/// How soon a server that could not join tries again.
const AGAIN: Duration = Duration::from_secs(1);
/// What is under way has so long to end when the process went away: its calls end by themselves.
const GRACE: Duration = Duration::from_secs(1);

/// A server that is to join.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name.
    pub server: ServerName,
    /// How it is reached.
    pub upstream: adapter::Options,
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
}

/// A server on the mesh.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub server: ServerName,
    upstream: Upstream,
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
        let upstream = Upstream::start(server.clone(), options.upstream.clone(), watchdog, tasks);
        let (told, joined) = watch::channel(Joined::No(None));
        let (joining, group) = (upstream.clone(), own.clone());
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
            joined,
            limiter,
            grace,
            leave,
            left,
            tasks: own,
        }
    }

    /// How the process fares.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.upstream.status()
    }

    /// Whether it has its place on the bus.
    #[must_use]
    pub fn joined(&self) -> watch::Receiver<Joined> {
        self.joined.clone()
    }

    /// Waits until the server is up or has failed once.
    pub async fn settled(&self) {
        let mut status = self.upstream.status();
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
        let status = self.upstream.status();
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
    upstream: &Upstream,
    told: watch::Sender<Joined>,
    tasks: &Tasks,
) -> Place {
    loop {
        match Place::take((options, limiter.clone()), upstream, tasks).await {
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

/// Who takes down the calls that are to be told as tasks.
async fn recorder(
    options: &Options,
    mesh: &Mesh,
    tasks: &Tasks,
) -> Result<Option<Recorder>, Error> {
    if options.tasks.is_empty() {
        return Ok(None);
    }
    let events = mesh.events();
    let publisher = events.publisher().await?.clone();
    let recorder = Recorder::start(options.tasks.clone(), publisher, tasks);
    Ok(Some(recorder))
}

/// A server's place on the bus.
struct Place {
    server: ServerName,
    instance: Instance,
    transport: Transport,
    mesh: Mesh,
    serve: ServeOptions,
    stack: SharedService,
    recorder: Option<Recorder>,
    tasks: Tasks,
}

impl Place {
    async fn take(
        (options, limiter): (&Options, Limiter),
        upstream: &Upstream,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let mesh = Mesh::connect_in(options.mesh.clone(), tasks).await?;
        let trust = mesh.trust().await?;
        let instance = Instance::random();
        let tools = Tools::new(Side::Server);
        let mut policy = policy::server::Options::new(trust, tools.clone());
        policy.limiter = Some(limiter);
        policy.schemas = options.validate.then(|| tell::schemas(upstream.status()));
        let recorder = recorder(options, &mesh, tasks).await?;
        policy.tasks.clone_from(&recorder);
        let about = tell::about(options.server.clone(), upstream.status(), tools);
        let told = micro::Options {
            server: options.server.clone(),
            instance: instance.clone(),
            about,
        };
        micro::answer(mesh.link(), told, tasks).await?;
        Ok(Self {
            server: options.server.clone(),
            serve: ServeOptions {
                server: options.server.clone(),
                instance: instance.clone(),
                reach: Reach::Member,
                limits: options.limits,
                bounds: options.bounds,
                timeout: options.timeout,
            },
            instance,
            transport: options.upstream.transport(),
            stack: policy::server::stack(upstream.clone(), policy),
            recorder,
            mesh,
            tasks: tasks.clone(),
        })
    }

    /// Serves while the process answers, and says how it fares; in the end, goodbye.
    async fn keep(
        self,
        upstream: Upstream,
        grace: watch::Receiver<Duration>,
        stop: CancellationToken,
    ) {
        let mut status = upstream.status();
        let mut changes = upstream.changes();
        let mut served: Option<Served> = None;
        let mut beat = tokio::time::interval(heartbeat::EVERY);
        let (mesh, server) = (self.mesh.clone(), self.server.clone());
        resources::tell(mesh, server, upstream.touches(), &self.tasks);
        loop {
            let now = status.borrow_and_update().clone();
            if !now.is_up() && served.is_some() {
                // Leaving takes a while: nobody shall believe in it meanwhile.
                self.beat(&now, None).await;
            }
            served = self.door(served, now.is_up()).await;
            let trouble = (now.is_up() && served.is_none()).then_some("it can't be served");
            self.beat(&now, trouble).await;
            tokio::select! {
                () = stop.cancelled() => break,
                changed = status.changed() => if changed.is_err() {
                    break;
                },
                change = changes.recv() => self.tell(change).await,
                _ = beat.tick() => {}
            }
        }
        if let Some(served) = served {
            let grace = *grace.borrow();
            served.drain(grace).await;
        }
        if let Some(recorder) = &self.recorder
            && !recorder.settle(GRACE).await
        {
            tracing::debug!(server = %self.server, "the server leaves before its calls are told");
        }
        let last = status.borrow().clone();
        self.say(self.heartbeat(&last, None).left()).await;
        self.mesh.link().settle().await;
    }

    /// Opens or closes the door, as the process does or does not answer.
    async fn door(&self, served: Option<Served>, up: bool) -> Option<Served> {
        match (served, up) {
            (None, true) => {
                let serving = bus::serve(
                    self.mesh.link(),
                    self.serve.clone(),
                    self.stack.clone(),
                    &self.tasks,
                );
                serving
                    .await
                    .inspect_err(
                        |error| tracing::warn!(server = %self.server, %error, "not served"),
                    )
                    .ok()
            }
            (Some(served), false) => {
                served.drain(GRACE).await;
                None
            }
            (served, _) => served,
        }
    }

    async fn beat(&self, status: &Status, trouble: Option<&str>) {
        self.say(self.heartbeat(status, trouble)).await;
    }

    fn heartbeat(&self, status: &Status, trouble: Option<&str>) -> Heartbeat {
        let who = (&self.server, &self.instance, self.transport);
        tell::heartbeat_of(who, status, trouble)
    }

    async fn say(&self, beat: Heartbeat) {
        let to = subject::heartbeat(&self.server, &self.instance);
        let sent = self.mesh.link().publish(to, beat.encode().into());
        if let Err(error) = sent.await {
            tracing::debug!(server = %self.server, %error, "a heartbeat was not sent");
        }
    }

    /// Tells who listens that something of the server changed.
    async fn tell(&self, change: Result<Changed, broadcast::error::RecvError>) {
        // After a gap the reader can't know what changed: everything.
        let kinds: &[&str] = match &change {
            Ok(change) => &[change.kind],
            Err(_) => &[
                "tools/list_changed",
                "prompts/list_changed",
                "resources/list_changed",
            ],
        };
        for kind in kinds {
            let to = subject::notification(&self.server, kind);
            if let Err(error) = self.mesh.link().publish(to, Bytes::new()).await {
                tracing::debug!(server = %self.server, %error, "a change was not told");
            }
        }
    }
}
