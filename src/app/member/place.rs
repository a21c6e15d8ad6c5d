//! A server's place on the bus: served while its process answers, and a goodbye in the end.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::{GRACE, LISTS, Options, approval::Shown, aside::stands_aside, resources, stale, tell};
use crate::{
    adapter::{Changed, Pool, Status},
    audit::Trail,
    bus::{self, Reach, ServeOptions, Served, micro},
    call::SharedService,
    error::Error,
    mesh::Mesh,
    name::{Instance, ServerName, subject},
    once::Ledger,
    policy::{
        self,
        audit::Auditor,
        breaker::{self, Breaker},
        cache::Cache,
        limit::Limiter,
        once::Keys,
        tasks::Recorder,
    },
    registry::{Calls, Heartbeat, Transport, heartbeat},
    spawn::Tasks,
    telemetry::{
        load::Load,
        metric::{Side, Tools},
    },
};

/// So often a server may have gone away without anybody taking the places that it left open.
const BEHIND_MAX: usize = 4;

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
pub(super) struct Place {
    server: ServerName,
    instance: Instance,
    transport: Transport,
    mesh: Mesh,
    serve: ServeOptions,
    stack: SharedService,
    recorder: Option<Recorder>,
    trail: Trail,
    calls: Calls,
    keys: Keys,
    breaker: Breaker,
    cache: Option<Cache>,
    tasks: Tasks,
}

impl Place {
    pub(super) async fn take(
        (options, limiter): (&Options, Limiter),
        (upstream, shown): (&Pool, &Shown),
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        let mesh = Mesh::connect_in(options.mesh.clone(), tasks).await?;
        let trust = mesh.trust().await?;
        let instance = Instance::random();
        let tools = Tools::new(Side::Server);
        let mut policy = policy::server::Options::new(trust, tools.clone());
        policy.limiter = Some(limiter);
        policy.approved.clone_from(&shown.approved);
        policy.schemas = options.validate.then(|| tell::schemas(shown.status()));
        let recorder = recorder(options, &mesh, tasks).await?;
        policy.tasks.clone_from(&recorder);
        let cache = options.cache.clone().map(Cache::new);
        policy.cache.clone_from(&cache);
        let trail = Trail::start(mesh.link().clone(), &instance, tasks);
        let key = Some(mesh.event_key()?);
        let auditor = Auditor::new(trail.clone(), key, policy.needs, options.audit);
        policy.auditor = Some(auditor);
        let breaker = Breaker::new(
            options.server.clone(),
            breaker::Options {
                rules: options.breaker,
                ..breaker::Options::new(options.timeout)
            },
        );
        policy.breaker = Some(breaker.clone());
        let keys = Keys::new(Ledger::new(mesh.link().clone()), tasks);
        policy.keys = Some(keys.clone());
        let about = tell::about(options.server.clone(), shown.status(), tools);
        let load = Load::default();
        let told = micro::Options {
            server: options.server.clone(),
            instance: instance.clone(),
            load: load.clone(),
            about,
        };
        micro::answer(mesh.link(), told, tasks).await?;
        shown.joined(&mesh);
        Ok(Self {
            server: options.server.clone(),
            serve: ServeOptions {
                server: options.server.clone(),
                instance: instance.clone(),
                reach: Reach::Member,
                limits: options.limits,
                bounds: options.bounds,
                timeout: options.timeout,
                load,
            },
            instance,
            transport: options.upstream.transport(),
            stack: policy::server::stack(upstream.clone(), policy),
            recorder,
            trail,
            calls: options.calls.clone(),
            keys,
            breaker,
            cache,
            mesh,
            tasks: tasks.clone(),
        })
    }

    /// Serves while the process answers, and says how it fares; in the end, goodbye.
    pub(super) async fn keep(
        self,
        (upstream, shown): (Pool, Shown),
        grace: watch::Receiver<Duration>,
        stop: CancellationToken,
    ) {
        let mut status = shown.status();
        let mut changes = shown.changes();
        let mut served: Option<Served> = None;
        // Places in the queue group from before that nobody took yet.
        let mut behind = VecDeque::new();
        let mut beat = tokio::time::interval(heartbeat::EVERY);
        let mut breaker = self.breaker.told();
        let (mesh, server) = (self.mesh.clone(), self.server.clone());
        resources::tell(mesh, server, upstream.touches(), &self.tasks);
        if let Some(cache) = &self.cache {
            stale::follow(cache.clone(), upstream.touches(), &self.tasks);
        }
        let mut restarts = status.borrow().restarts;
        loop {
            let now = status.borrow_and_update().clone();
            if let Some(cache) = &self.cache
                && std::mem::replace(&mut restarts, now.restarts) != now.restarts
            {
                cache.forget_all();
            }
            if !now.is_up() && served.is_some() {
                // Leaving takes a while: nobody shall believe in it meanwhile.
                self.beat(&now, None).await;
            }
            let told = breaker.borrow_and_update().clone();
            let aside = stands_aside(&self.mesh, (&self.server, &self.instance), &told).await;
            let open = now.is_up() && aside.is_none();
            served = self.door(served, open, &mut behind).await;
            let trouble = (open && served.is_none()).then_some("it can't be served");
            self.beat(&now, trouble).await;
            tokio::select! {
                () = stop.cancelled() => break,
                changed = status.changed() => if changed.is_err() {
                    break;
                },
                change = changes.recv() => self.tell(change).await,
                _ = breaker.changed() => {}
                () = tokio::time::sleep(aside.unwrap_or(heartbeat::EVERY)) => {}
                _ = beat.tick() => if let Some(cache) = &self.cache {
                    cache.clear_expired();
                }
            }
        }
        let grace = *grace.borrow();
        join_all(
            behind
                .into_iter()
                .chain(served)
                .map(|served| served.drain(grace)),
        )
        .await;
        if let Some(recorder) = &self.recorder
            && !recorder.settle(GRACE).await
        {
            tracing::debug!(server = %self.server, "the server leaves before its calls are told");
        }
        if !self.keys.settle(GRACE).await {
            tracing::warn!(server = %self.server, "the server leaves before all calls with a key have ended");
        }
        if !self.trail.end(GRACE).await {
            tracing::warn!(server = %self.server, "the server leaves before all that it decided is written down");
        }
        let last = status.borrow().clone();
        self.say(self.heartbeat(&last, None).left()).await;
        self.mesh.link().settle().await;
    }

    /// Opens or closes the door, as the process does or does not answer.
    async fn door(
        &self,
        served: Option<Served>,
        up: bool,
        behind: &mut VecDeque<Served>,
    ) -> Option<Served> {
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
                served.step_back(GRACE).await;
                behind.push_back(served);
                behind.retain(|served| !served.is_done());
                if behind.len() > BEHIND_MAX
                    && let Some(oldest) = behind.pop_front()
                {
                    oldest.drain(Duration::ZERO).await;
                }
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
        let told = self.breaker.told().borrow().clone();
        Heartbeat {
            calls: self.calls.clone(),
            ..tell::heartbeat_of(who, status, &told, trouble)
        }
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
            Err(_) => &LISTS,
        };
        for kind in kinds {
            // First: who hears of it asks at once.
            if let Some(cache) = &self.cache {
                stale::forget(cache, kind);
            }
            let to = subject::notification(&self.server, kind);
            if let Err(error) = self.mesh.link().publish(to, Bytes::new()).await {
                tracing::debug!(server = %self.server, %error, "a change was not told");
            }
        }
    }
}
