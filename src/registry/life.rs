//! What is news about servers: one came, how it is, it has other tools, it went.
//!
//! [`Life`] holds what was told last of each server and, whenever it looks at one again, says what
//! is new. So it does not matter how often it looks, or what it missed: a change is told once, and
//! after a restart what was told before is not told again. A server that starts is not told of
//! before it is known how it fares.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};

use super::{Heartbeat, Servers, State, Tools, view::SILENT_AFTER};
use crate::{
    event::{
        Event,
        catalogue::system::{Health, HealthCheck, ServerChanged, ServerJoined, ServerLeft},
    },
    name::ServerName,
};

/// So much news of one server at once; then one a [`REFILL_MS`], each of all that came meanwhile.
const AT_ONCE: u64 = 32;
/// How soon there may be one more, milliseconds.
const REFILL_MS: u64 = 1000;
/// Who was forestalled by another control plane hears by then what that one has heard.
const QUIET_MS: u64 = 1000;
/// Characters of the reason why a server is not healthy.
const REASON_CHARS_MAX: usize = 500;

/// What was told of a server that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// How it was.
    pub status: Health,
    /// How many tools it had.
    pub tools: u32,
    /// What they summed up to.
    pub digest: String,
}

/// Something that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It is there.
    Joined(ServerJoined),
    /// How it is.
    Health(HealthCheck),
    /// It has other tools.
    Changed(ServerChanged),
    /// It has gone.
    Left(ServerLeft),
}

impl News {
    /// As an event of now.
    #[must_use]
    pub fn event(&self) -> Event {
        let event = match self {
            Self::Joined(data) => Event::of(data),
            Self::Health(data) => Event::of(data),
            Self::Changed(data) => Event::of(data),
            Self::Left(data) => Event::of(data),
        };
        event.expect("these are texts and numbers, which are JSON")
    }
}

/// What is new about a server, in order, and what is told of it then; `None`: it has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The server.
    pub server: ServerName,
    /// What was told before: what is new follows from that.
    pub before: Option<Told>,
    /// What is new.
    pub news: Vec<News>,
    /// What is told when that is.
    pub told: Option<Told>,
}

/// What was told so far.
#[derive(Clone, Debug)]
pub struct Life {
    known: BTreeMap<ServerName, Known>,
    /// Since when heartbeats would have been heard, milliseconds since 1970.
    since: u64,
}

#[derive(Clone, Debug)]
struct Known {
    told: Option<Told>,
    /// How much news there may be now, and at which time that was so.
    left: u64,
    at: u64,
    /// Nothing is told before.
    quiet_until: u64,
    /// Its last instance said goodbye when nothing could be told.
    goodbye: bool,
}

/// A server as it is seen.
struct Seen<'a> {
    instances: u32,
    best: &'a Heartbeat,
    state: State,
    /// How long nothing was heard of it, where that is why it is as it is.
    silence: Option<u64>,
    /// It was silent, but nothing could be heard: nobody knows how it is.
    unheard: bool,
}

impl Life {
    /// Goes on from what was told, listening from `now` on.
    #[must_use]
    pub fn new(told: impl IntoIterator<Item = (ServerName, Told)>, now: u64) -> Self {
        let known = |(server, told)| (server, Known::new(Some(told), now));
        Self {
            known: told.into_iter().map(known).collect(),
            since: now,
        }
    }

    /// Nothing could be heard until `now`: nobody's silence before counts.
    pub const fn was_deaf(&mut self, now: u64) {
        self.since = now;
    }

    /// Every server that is there, or was told of.
    #[must_use]
    pub fn names(&self, servers: &Servers) -> BTreeSet<ServerName> {
        self.known.keys().chain(servers.names()).cloned().collect()
    }

    /// Another control plane told this of a server, and what was told of it here was not.
    pub fn forestalled(&mut self, server: &ServerName, told: Option<Told>, now: u64) {
        let known = self.known.entry(server.clone());
        let known = known.or_insert_with(|| Known::new(None, now));
        known.told = told;
        known.quiet_until = now + QUIET_MS;
    }

    /// Looks at a server, and takes what is new for told. `goodbye`: its last instance said so.
    pub fn look(
        &mut self,
        server: &ServerName,
        servers: &Servers,
        goodbye: bool,
        now: u64,
    ) -> Option<Turn> {
        let seen = Seen::of(servers, server, (now, self.since));
        if let Some(known) = self.known.get_mut(server) {
            known.goodbye = goodbye || (known.goodbye && seen.is_none());
            if now < known.quiet_until {
                return None;
            }
        }
        let known = self.known.get(server);
        let goodbye = goodbye || known.is_some_and(|known| known.goodbye);
        let before = known.and_then(|known| known.told.as_ref());
        let listened = now.saturating_sub(self.since) >= millis(SILENT_AFTER);
        let (news, told) = match (before, seen) {
            (None, None) => {
                if known.is_some_and(|known| known.is_calm(now)) {
                    self.known.remove(server);
                }
                return None;
            }
            // Who is silent, or away, may not have been heard yet.
            (_, Some(seen)) if seen.unheard => return None,
            (None, Some(seen)) => seen.joined(server)?,
            (Some(_), None) if !goodbye && !listened => return None,
            (Some(_), None) => (vec![left(server, goodbye)], None),
            (Some(before), Some(seen)) => seen.changed(server, before)?,
        };
        let known = self.known.entry(server.clone());
        let known = known.or_insert_with(|| Known::new(None, now));
        known.takes(now).then(|| {
            let before = std::mem::replace(&mut known.told, told.clone());
            Turn {
                server: server.clone(),
                before,
                news,
                told,
            }
        })
    }
}

impl Known {
    const fn new(told: Option<Told>, now: u64) -> Self {
        Self {
            told,
            left: AT_ONCE,
            at: now,
            quiet_until: 0,
            goodbye: false,
        }
    }

    /// Whether there may be news now; then there was.
    fn takes(&mut self, now: u64) -> bool {
        let more = now.saturating_sub(self.at) / REFILL_MS;
        self.left = (self.left + more).min(AT_ONCE);
        self.at += more * REFILL_MS;
        let takes = self.left > 0;
        self.left -= u64::from(takes);
        takes
    }

    /// Whether nothing is held against it any more.
    const fn is_calm(&self, now: u64) -> bool {
        self.left + now.saturating_sub(self.at) / REFILL_MS >= AT_ONCE
    }
}

impl<'a> Seen<'a> {
    /// By its best instance. Among those that are alike it is the youngest, and not the one that
    /// was heard last: two with different tools would take turns.
    fn of(servers: &'a Servers, server: &ServerName, (now, since): (u64, u64)) -> Option<Self> {
        let one = |(best, heard): (&'a Heartbeat, u64)| {
            let silence = now.saturating_sub(heard);
            let is_silent = silence >= millis(SILENT_AFTER);
            let listened = now.saturating_sub(since) >= millis(SILENT_AFTER);
            let state = if is_silent && listened {
                State::Unhealthy
            } else {
                best.state
            };
            Self {
                instances: 1,
                best,
                state,
                silence: (is_silent && listened).then_some(silence),
                unheard: is_silent && !listened,
            }
        };
        let youth = |seen: &Self| Reverse((seen.best.since, seen.best.instance.clone()));
        let all = servers.beats(server).map(one);
        let seen = all.min_by_key(|seen| (seen.state, youth(seen)))?;
        Some(Self {
            instances: u32::try_from(servers.beats(server).count()).unwrap_or(u32::MAX),
            ..seen
        })
    }

    /// It was not there before.
    fn joined(&self, server: &ServerName) -> Option<(Vec<News>, Option<Told>)> {
        let (status, nothing) = (health(self.state)?, Tools::new(Vec::new()));
        if status == Health::Starting {
            return None;
        }
        let tools = if self.state.serves() {
            &self.best.tools
        } else {
            &nothing
        };
        let told = Told {
            status,
            tools: count(tools),
            digest: tools.digest.clone(),
        };
        let news = vec![
            News::Joined(ServerJoined {
                server_name: server.to_string(),
                instances: self.instances,
                tools: told.tools,
            }),
            self.health(server, status, None),
        ];
        Some((news, Some(told)))
    }

    /// It was there before.
    fn changed(&self, server: &ServerName, before: &Told) -> Option<(Vec<News>, Option<Told>)> {
        let mut news = Vec::new();
        let mut told = before.clone();
        let status = health(self.state)?;
        // One that does not work and is tried again works no better for that.
        let again = status == Health::Starting && before.status == Health::Unhealthy;
        if status != before.status && !again {
            told.status = status;
            news.push(self.health(server, status, Some(before.status)));
        }
        let tools = &self.best.tools;
        let other = tools.digest != before.digest && (tools.count > 0 || before.tools > 0);
        if other && self.state.serves() {
            (told.tools, told.digest) = (count(tools), tools.digest.clone());
            news.push(News::Changed(ServerChanged {
                server_name: server.to_string(),
                tools: told.tools,
                digest: told.digest.clone(),
            }));
        }
        (!news.is_empty()).then_some((news, Some(told)))
    }

    fn health(&self, server: &ServerName, status: Health, before: Option<Health>) -> News {
        let said = self.best.last_error.as_ref();
        let said = said.map(|why| why.chars().take(REASON_CHARS_MAX).collect());
        let why = match self.silence {
            Some(silence) => Some(format!("no heartbeat for {} s", silence / 1000)),
            None => said,
        };
        News::Health(HealthCheck {
            server_name: server.to_string(),
            status,
            before,
            error: why.filter(|_| status != Health::Healthy),
        })
    }
}

fn left(server: &ServerName, goodbye: bool) -> News {
    News::Left(ServerLeft {
        server_name: server.to_string(),
        goodbye,
    })
}

/// The registry's word as an event has it; one that has left is not looked at.
const fn health(state: State) -> Option<Health> {
    match state {
        State::Healthy => Some(Health::Healthy),
        State::Degraded => Some(Health::Degraded),
        State::Starting => Some(Health::Starting),
        State::Unhealthy => Some(Health::Unhealthy),
        State::Left => None,
    }
}

fn count(tools: &Tools) -> u32 {
    u32::try_from(tools.count).unwrap_or(u32::MAX)
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
