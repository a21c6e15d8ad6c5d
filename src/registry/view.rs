//! What follows from heartbeats: which servers there are, and how each of them is.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Breaker, Calls, Heartbeat, Probe, State, ToolDigest, Transport};
use crate::name::{Instance, ServerName};

/// An instance that was silent for this long is unhealthy.
pub const SILENT_AFTER: Duration = Duration::from_secs(15);
/// An instance that was silent for this long is forgotten.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// More instances than this are not kept.
pub const INSTANCES_MAX: usize = 10_000;
/// More instances of one server than this are not kept: one server can't crowd out the others.
pub const INSTANCES_OF_ONE_MAX: usize = 256;

/// All servers that said something lately.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    servers: BTreeMap<ServerName, BTreeMap<Instance, Heard>>,
    count: usize,
    revision: u64,
}

#[derive(Clone, Debug)]
struct Heard {
    beat: Heartbeat,
    /// When it was heard here, milliseconds since 1970: the sender's clock may be off.
    at: u64,
}

/// What a heartbeat changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new instance.
    Joined,
    /// Its state, its error or its tools.
    Changed,
    /// Nothing but the time.
    Nothing,
    /// It left.
    Left,
    /// There is no room for one more.
    Full,
}

impl Servers {
    /// Takes a heartbeat that was heard at `now` (milliseconds since 1970).
    pub fn hear(&mut self, beat: Heartbeat, now: u64) -> Change {
        if beat.state == State::Left {
            return if self.remove(&beat.server, &beat.instance) {
                Change::Left
            } else {
                Change::Nothing
            };
        }
        let instances = self.servers.get(&beat.server);
        let before = instances.and_then(|all| all.get(&beat.instance));
        let change = match before {
            None if self.count >= INSTANCES_MAX => return Change::Full,
            None if instances.is_some_and(|all| all.len() >= INSTANCES_OF_ONE_MAX) => {
                return Change::Full;
            }
            None => Change::Joined,
            Some(heard) if heard.differs_from(&beat, now) => Change::Changed,
            Some(_) => Change::Nothing,
        };
        if change == Change::Joined {
            self.count += 1;
        }
        self.revision += u64::from(change != Change::Nothing);
        self.servers
            .entry(beat.server.clone())
            .or_default()
            .insert(beat.instance.clone(), Heard { beat, at: now });
        change
    }

    fn remove(&mut self, server: &ServerName, instance: &Instance) -> bool {
        let Some(instances) = self.servers.get_mut(server) else {
            return false;
        };
        let there = instances.remove(instance).is_some();
        if instances.is_empty() {
            self.servers.remove(server);
        }
        self.count -= usize::from(there);
        self.revision += u64::from(there);
        there
    }

    /// Forgets instances that were silent for too long, and says which.
    pub fn forget(&mut self, now: u64) -> Vec<(ServerName, Instance)> {
        let silent: Vec<_> = self
            .servers
            .iter()
            .flat_map(|(server, all)| all.iter().map(move |(id, heard)| (server, id, heard)))
            .filter(|(_, _, heard)| heard.silence(now) >= FORGOTTEN_AFTER)
            .map(|(server, id, _)| (server.clone(), id.clone()))
            .collect();
        for (server, instance) in &silent {
            self.remove(server, instance);
        }
        silent
    }

    /// Grows with each change that a heartbeat, or its absence for too long, makes.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether an instance of this server said something lately.
    #[must_use]
    pub fn knows(&self, server: &ServerName) -> bool {
        self.servers.contains_key(server)
    }

    /// All servers, in order of their names.
    pub fn names(&self) -> impl Iterator<Item = &ServerName> {
        self.servers.keys()
    }

    /// How this server is.
    #[must_use]
    pub fn entry(&self, server: &ServerName, now: u64) -> Option<Entry> {
        let instances: Vec<InstanceEntry> = self
            .servers
            .get(server)?
            .values()
            .map(|heard| heard.entry(now))
            .collect();
        let best = instances
            .iter()
            .min_by_key(|instance| (instance.state, std::cmp::Reverse(instance.heard_at)))?;
        let heard = &self.servers[server][&best.instance];
        let mut calls = heard.beat.calls.clone();
        // A batch comes to any of them.
        let beats = || self.servers[server].values().map(|heard| &heard.beat);
        calls.batch = calls
            .batch
            .filter(|_| beats().all(|beat| beat.calls.batch.is_some()));
        Some(Entry {
            server: server.clone(),
            state: best.state,
            since: best.since,
            reason: best.reason.clone(),
            tools: heard.beat.tools.count,
            tools_digest: heard.beat.tools.digest.clone(),
            server_info: heard.beat.server_info.clone(),
            calls,
            instances,
        })
    }

    /// The tools of this server, as its best instance tells them; empty where it does not.
    #[must_use]
    pub fn tools(&self, server: &ServerName, now: u64) -> Vec<ToolDigest> {
        self.servers
            .get(server)
            .and_then(|all| all.values().min_by_key(|heard| heard.state(now)))
            .map(|heard| heard.beat.tools.list.clone())
            .unwrap_or_default()
    }

    /// The instances that are not silent.
    #[must_use]
    pub fn heard_lately(&self, now: u64) -> Vec<(ServerName, Instance)> {
        let all = self.servers.iter();
        all.flat_map(|(server, all)| all.iter().map(move |(id, heard)| (server, id, heard)))
            .filter(|(_, _, heard)| heard.silence(now) < SILENT_AFTER)
            .map(|(server, id, _)| (server.clone(), id.clone()))
            .collect()
    }

    /// The last heartbeat of this instance.
    #[must_use]
    pub fn heard(&self, server: &ServerName, instance: &Instance) -> Option<Heartbeat> {
        let heard = self.servers.get(server)?.get(instance)?;
        Some(heard.beat.clone())
    }

    /// The last heartbeat of each instance of this server, and when it was heard.
    pub fn beats(&self, server: &ServerName) -> impl Iterator<Item = (&Heartbeat, u64)> {
        let all = self.servers.get(server).into_iter().flatten();
        all.map(|(_, heard)| (&heard.beat, heard.at))
    }

    /// All servers, each as it is at `now`.
    #[must_use]
    pub fn entries(&self, now: u64) -> Vec<Entry> {
        self.names()
            .filter_map(|server| self.entry(server, now))
            .collect()
    }
}

impl Heard {
    fn silence(&self, now: u64) -> Duration {
        Duration::from_millis(now.saturating_sub(self.at))
    }

    fn state(&self, now: u64) -> State {
        if self.silence(now) >= SILENT_AFTER {
            State::Unhealthy
        } else {
            self.beat.state
        }
    }

    /// Whether somebody who looks at the registry would see something else.
    fn differs_from(&self, beat: &Heartbeat, now: u64) -> bool {
        self.state(now) != beat.state
            || self.beat.tools.digest != beat.tools.digest
            || self.beat.last_error != beat.last_error
            || self.beat.pid != beat.pid
            || self.beat.calls != beat.calls
            || self.beat.breaker != beat.breaker
    }

    fn entry(&self, now: u64) -> InstanceEntry {
        let silence = self.silence(now);
        let silent = silence >= SILENT_AFTER;
        let reason = if silent {
            Some(format!("no heartbeat for {} s", silence.as_secs()))
        } else {
            self.beat.last_error.clone()
        };
        InstanceEntry {
            instance: self.beat.instance.clone(),
            state: self.state(now),
            since: if silent { self.at } else { self.beat.since },
            heard_at: self.at,
            reason,
            transport: self.beat.transport,
            pid: self.beat.pid,
            restarts: self.beat.restarts,
            revision: self.beat.revision.clone(),
            version: self.beat.version.clone(),
            host: self.beat.host.clone(),
            probe: self.beat.probe,
            breaker: self.beat.breaker.clone(),
        }
    }
}

/// One server, as its instances make it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its name.
    pub server: ServerName,
    /// The state of its best instance.
    pub state: State,
    /// Since when that instance is so, milliseconds since 1970.
    pub since: u64,
    /// What is wrong, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many tools it has.
    pub tools: usize,
    /// Changes where one of its tools does.
    pub tools_digest: String,
    /// What the server calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_info: Option<Value>,
    /// What callers may take for granted.
    #[serde(default, skip_serializing_if = "Calls::is_empty")]
    pub calls: Calls,
    /// Its instances.
    pub instances: Vec<InstanceEntry>,
}

/// One instance of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceEntry {
    /// Its id.
    pub instance: Instance,
    /// How it is.
    pub state: State,
    /// Since when, milliseconds since 1970.
    pub since: u64,
    /// When it was heard last, milliseconds since 1970.
    pub heard_at: u64,
    /// What is wrong, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How the adapter reaches the server.
    pub transport: Transport,
    /// The process of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// How often the server was started again.
    pub restarts: u64,
    /// The revision of MCP that the server itself speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The version of Weft in front of it.
    pub version: String,
    /// The machine that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// When it was last asked whether it answers, and how that went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// The circuit breaker in front of it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
}

#[cfg(test)]
mod tests {
    use super::{super::heartbeat::tests::beat, *};

    const T: u64 = 1_000_000;

    fn gh() -> ServerName {
        ServerName::new("gh").expect("a name")
    }

    #[test]
    fn a_server_is_as_its_best_instance() {
        let mut servers = Servers::default();
        let mut broken = beat("gh", "i1", State::Unhealthy);
        broken.last_error = Some("no such command".into());
        assert_eq!(servers.hear(broken, T), Change::Joined);
        let entry = servers.entry(&gh(), T).expect("known");
        assert_eq!(entry.state, State::Unhealthy);
        assert_eq!(entry.reason.as_deref(), Some("no such command"));
        servers.hear(beat("gh", "i2", State::Starting), T);
        assert_eq!(
            servers.entry(&gh(), T).expect("known").state,
            State::Starting
        );
        servers.hear(beat("gh", "i3", State::Healthy), T);
        let entry = servers.entry(&gh(), T).expect("known");
        assert_eq!((entry.state, entry.reason), (State::Healthy, None));
        assert_eq!((entry.instances.len(), entry.tools), (3, 1));
    }

    #[test]
    fn who_is_silent_is_unhealthy_and_then_forgotten() {
        let mut servers = Servers::default();
        servers.hear(beat("gh", "i1", State::Healthy), T);
        let state = |servers: &Servers, at| servers.entry(&gh(), at).map(|e| (e.state, e.reason));
        assert_eq!(state(&servers, T + 14_999), Some((State::Healthy, None)));
        let silent = Some("no heartbeat for 15 s".to_owned());
        assert_eq!(
            state(&servers, T + 15_000),
            Some((State::Unhealthy, silent))
        );
        assert!(servers.forget(T + 599_999).is_empty());
        assert!(servers.knows(&gh()));
        assert_eq!(servers.forget(T + 600_000).len(), 1);
        assert!(!servers.knows(&gh()));
    }

    #[test]
    fn changes_are_told_apart() {
        let mut servers = Servers::default();
        let hear = |servers: &mut Servers, state, at| servers.hear(beat("gh", "i1", state), at);
        assert_eq!(hear(&mut servers, State::Left, T), Change::Nothing);
        assert_eq!(hear(&mut servers, State::Healthy, T), Change::Joined);
        assert_eq!(
            hear(&mut servers, State::Healthy, T + 5000),
            Change::Nothing
        );
        assert_eq!(
            hear(&mut servers, State::Healthy, T + 25_000),
            Change::Changed
        );
        assert_eq!(
            hear(&mut servers, State::Degraded, T + 26_000),
            Change::Changed
        );
        assert_eq!(hear(&mut servers, State::Left, T + 27_000), Change::Left);
        assert!(!servers.knows(&gh()));
    }

    #[test]
    fn one_server_can_not_crowd_out_the_others() {
        let mut servers = Servers::default();
        for n in 0..INSTANCES_OF_ONE_MAX {
            servers.hear(beat("gh", &format!("i{n}"), State::Healthy), T);
        }
        let more = beat("gh", "more", State::Healthy);
        assert_eq!(servers.hear(more, T), Change::Full);
        assert_eq!(
            servers.hear(beat("jira", "i1", State::Healthy), T),
            Change::Joined
        );
        assert_eq!(servers.hear(beat("gh", "i0", State::Left), T), Change::Left);
        assert_eq!(
            servers.hear(beat("gh", "more", State::Healthy), T),
            Change::Joined
        );
    }
}
