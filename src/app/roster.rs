//! The servers that a configuration names: started, changed and stopped as it says.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;

use super::{
    broken,
    member::{self, Member},
    seat::{Seat, Who},
    translate,
    up::Row,
};
use crate::{
    bus::{Bounds, Limits},
    child::Watchdog,
    config::{self, ChangedTools, Loaded, Validate},
    error::{Error, Kind},
    name::ServerName,
    spawn::Tasks,
};

/// How long servers may take to be up or to have failed once.
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// How long one that takes the place of another may take before that one goes.
const CHANGE_MAX: Duration = Duration::from_secs(10);
/// How long a server that leaves has to finish what is under way.
const GRACE: Duration = Duration::from_secs(5);

/// The servers.
#[derive(Debug)]
pub(super) struct Roster {
    seat: Seat,
    watchdog: Watchdog,
    root: Tasks,
    held: BTreeMap<String, Held>,
}

/// What a server is started with: another one is another server.
#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Start(Box<(config::Launch, config::Limits)>),
    /// It can't be started, and why.
    Broken(String),
}

#[derive(Debug)]
struct Held {
    wanted: Wanted,
    /// What of it runs; the reason where nothing does.
    state: Result<Member, String>,
    tasks: Tasks,
}

/// What a change of the configuration did, by the names of the servers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) added: Vec<String>,
    pub(super) changed: Vec<String>,
    pub(super) removed: Vec<String>,
}

impl Roster {
    pub(super) const fn new(seat: Seat, watchdog: Watchdog, root: Tasks) -> Self {
        Self {
            seat,
            watchdog,
            root,
            held: BTreeMap::new(),
        }
    }

    /// Makes it what the configuration says. A server that changed is started anew before the old
    /// one leaves; one that did not is not touched.
    pub(super) async fn apply(&mut self, loaded: &Loaded) -> Change {
        let first = self.held.is_empty();
        let wanted = wanted(loaded);
        let gone: Vec<String> = self.held.keys().cloned().collect();
        let mut change = Change {
            removed: gone
                .into_iter()
                .filter(|name| !wanted.contains_key(name))
                .collect(),
            ..Change::default()
        };
        let mut leaving: Vec<Held> = Vec::new();
        leaving.extend(
            change
                .removed
                .iter()
                .filter_map(|name| self.held.remove(name)),
        );
        let mut new: Vec<(String, Wanted)> = Vec::new();
        for (name, wanted) in wanted {
            let held = self.held.get_mut(&name);
            if held.as_ref().is_some_and(|held| held.wanted == wanted) {
                continue;
            }
            if held.is_some_and(|held| held.limit(&name, &wanted)) {
                change.changed.push(name);
            } else {
                new.push((name, wanted));
            }
        }
        let started = new
            .into_iter()
            .map(|(name, wanted)| self.start(name, wanted));
        let started: Vec<(String, Held)> = join_all(started).await;
        if first {
            settle(started.iter().map(|(_, held)| held), SETTLE_MAX).await;
        } else {
            // One that is new is waited for by nobody.
            let successors = started
                .iter()
                .filter(|(name, _)| self.held.contains_key(name));
            settle(successors.map(|(_, held)| held), CHANGE_MAX).await;
        }
        for (name, held) in started {
            match self.held.insert(name.clone(), held) {
                None => change.added.push(name),
                Some(before) => {
                    change.changed.push(name);
                    leaving.push(before);
                }
            }
        }
        join_all(leaving.into_iter().map(Held::stop)).await;
        change
    }

    async fn start(&self, name: String, wanted: Wanted) -> (String, Held) {
        let tasks = self.root.group();
        let started = match &wanted {
            Wanted::Broken(problem) => Err(problem.clone()),
            Wanted::Start(what) => self
                .start_member(&name, (&what.0, &what.1), &tasks)
                .await
                .map_err(|error| error.to_string()),
        };
        if let Err(problem) = &started
            && let Ok(server) = ServerName::new(&name)
        {
            broken::announce(self.seat.link(), server, problem.clone(), &tasks);
        }
        let held = Held {
            wanted,
            state: started,
            tasks,
        };
        (name, held)
    }

    async fn start_member(
        &self,
        name: &str,
        (launch, limits): (&config::Launch, &config::Limits),
        tasks: &Tasks,
    ) -> Result<Member, Error> {
        let server = ServerName::new(name)
            .map_err(|error| Error::new(Kind::InvalidParams, error.to_string()))?;
        let token = self.seat.token(Who::server(&server), |_| {}, tasks).await?;
        let options = member::Options {
            server,
            upstream: translate::upstream(&launch.target, limits),
            pool: translate::pool(launch.pool),
            mesh: self.seat.options(token),
            validate: launch.validate == Validate::Adapter,
            limits: Limits {
                calls: translate::at_once(launch.pool, limits),
                queue: translate::count(limits.queue),
                bytes: translate::size(limits.waiting),
                extent: limits.extent(),
            },
            bounds: Bounds {
                body: translate::size(limits.result),
            },
            rules: translate::rules(name, &launch.limits, limits),
            timeout: launch.timeout,
            tasks: translate::patterns(&launch.tasks),
            audit: translate::audit(launch.audit),
            quarantine: launch.changed_tools == ChangedTools::Quarantine,
            calls: translate::calls(launch),
            breaker: translate::breaker(launch.breaker),
            cache: translate::cache(&launch.cache),
        };
        Ok(Member::start(options, &self.watchdog, tasks))
    }

    /// Every server, in order of their names.
    pub(super) fn rows(&self) -> Vec<Row> {
        let row = |(name, held): (&String, &Held)| held.row(name);
        self.held.iter().map(row).collect()
    }

    /// Stops all of them: they leave and finish what is under way, children end.
    pub(super) async fn stop(self) {
        join_all(self.held.into_values().map(Held::stop)).await;
    }
}

impl Wanted {
    /// The same without what each caller may do with it: that is changed under way.
    fn for_nobody(&self) -> Self {
        let mut same = self.clone();
        if let Self::Start(what) = &mut same {
            what.0.limits = config::ServerLimits::default();
            what.1.per_caller = config::Rule::default();
            what.1.per_tool = config::Rule::default();
        }
        same
    }
}

impl Held {
    /// Gives a server that runs other rules for its callers, where nothing else of it changed.
    fn limit(&mut self, name: &str, wanted: &Wanted) -> bool {
        let (Ok(member), Wanted::Start(what)) = (&self.state, wanted) else {
            return false;
        };
        if self.wanted.for_nobody() != wanted.for_nobody() {
            return false;
        }
        member.limit(translate::rules(name, &what.0.limits, &what.1));
        self.wanted = wanted.clone();
        true
    }

    fn row(&self, name: &str) -> Row {
        let server = name.to_owned();
        match &self.state {
            Err(problem) => Row {
                server,
                tools: None,
                problem: Some(problem.clone()),
            },
            Ok(member) => {
                let status = member.status();
                let status = status.borrow();
                Row {
                    server,
                    tools: status.is_up().then_some(status.tools.tools.len()),
                    problem: member.problem(),
                }
            }
        }
    }

    async fn stop(self) {
        if let Ok(member) = self.state {
            member.stop(GRACE).await;
        }
        if !self.tasks.stop(GRACE).await {
            tracing::warn!("some work of a server did not end in time");
        }
    }
}

fn wanted(loaded: &Loaded) -> BTreeMap<String, Wanted> {
    // What the gateway takes in is no business of servers.
    let usual = config::Limits::default();
    let limits = config::Limits {
        request_body: usual.request_body,
        request_bodies: usual.request_bodies,
        ..loaded.config.limits.clone()
    };
    let enabled = loaded.members.iter().filter(|member| member.enabled);
    let one = |member: &config::Member| {
        let wanted = match &member.launch {
            Ok(launch) => Wanted::Start(Box::new((launch.clone(), limits.clone()))),
            Err(problem) => Wanted::Broken(problem.summary()),
        };
        (member.name.clone(), wanted)
    };
    enabled.map(one).collect()
}

/// Waits until each of them is up or has failed once.
async fn settle(held: impl Iterator<Item = &Held>, within: Duration) {
    let settling = held
        .filter_map(|held| held.state.as_ref().ok())
        .map(Member::settled);
    if tokio::time::timeout(within, join_all(settling))
        .await
        .is_err()
    {
        tracing::warn!("not every server has answered or failed in time; they are tried on");
    }
}
