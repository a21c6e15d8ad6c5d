//! A server's answers, kept for who asks for the same again.
//!
//! Kept are lists, reads and discovery, as long as their answers allow it (`ttlMs` and
//! `cacheScope`: 2026-07-28, Caching), and the answers of tools that the operator names. What a
//! tool answered is for the principal who called it alone; other answers are for all where they say
//! `public`. Only what went well is kept, and what the server says has changed is forgotten.
//!
//! The layer stands below all that is about who calls: each call was checked and written down by
//! the time it comes here. What it finds is the whole list, of which layers above take away what is
//! not approved, and the gateway what the caller may not see.

mod answer;
mod flight;
mod key;
mod layer;
mod store;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

pub use self::layer::Cached;
use self::{
    answer::Answer,
    flight::{Flights, Joined, Lease, Seat},
    key::{Asked, Part},
    store::{Known, Store},
};
use crate::call::permission::Pattern;

/// How long an answer is kept where nobody says, and at most where its server says.
pub const TTL: Duration = Duration::from_secs(300);
/// How long an answer is kept at most, whoever says so.
pub const TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of all that is kept, where nobody says.
pub const BYTES: usize = 64 * 1024 * 1024;
/// Bytes of one answer; a larger one goes to those that wait for it, and is not kept.
pub const ANSWER_MAX: usize = 1024 * 1024;

/// What may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Tools whose answers are kept, and how long: the shortest time of those that match. Each
    /// principal has his own.
    pub tools: Vec<(Pattern, Duration)>,
    /// Methods whose answers are kept that do not say for how long, or say that they may not: the
    /// shortest time of those that match, of [`Method::CACHEABLE`](crate::mcp::Method::CACHEABLE).
    /// Adapters say for servers older than 2026-07-28 that they may not.
    pub methods: Vec<(Pattern, Duration)>,
    /// How long an answer is kept at most that says itself for how long.
    pub ttl: Duration,
    /// Bytes of all that is kept.
    pub bytes: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            tools: Vec::new(),
            methods: Vec::new(),
            ttl: TTL,
            bytes: BYTES,
        }
    }
}

impl Rules {
    fn of_tool(&self, tool: &str) -> Option<Duration> {
        shortest(&self.tools, tool)
    }

    fn of_method(&self, method: &str) -> Option<Duration> {
        shortest(&self.methods, method)
    }
}

fn shortest(rules: &[(Pattern, Duration)], name: &str) -> Option<Duration> {
    let matching = rules.iter().filter(|(pattern, _)| pattern.matches(&[name]));
    matching.map(|(_, ttl)| *ttl).min()
}

/// Lists of a server that change together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// Its tools.
    Tools,
    /// Its prompts.
    Prompts,
    /// Its resources, and their templates.
    Resources,
}

impl Lists {
    /// Those that a change is about, as it is told: `tools/list_changed`.
    #[must_use]
    pub fn of_change(kind: &str) -> Option<Self> {
        Some(match kind {
            "tools/list_changed" => Self::Tools,
            "prompts/list_changed" => Self::Prompts,
            "resources/list_changed" => Self::Resources,
            _ => return None,
        })
    }
}

/// What a cache did since it began, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that were answered with what was kept.
    pub hits: u64,
    /// Calls that were made for an answer that may be kept, as far as was known before.
    pub misses: u64,
    /// Calls that waited, and were answered with what came of another.
    pub shared: u64,
    /// Answers that were kept.
    pub stored: u64,
    /// Entries that made room for others before their time was over.
    pub evicted: u64,
    /// Entries whose time was over.
    pub expired: u64,
    /// Entries that were forgotten because something changed.
    pub forgotten: u64,
    /// Entries there are: answers, and notes that an answer may not be kept.
    pub entries: usize,
    /// Bytes of them, with what each takes beside its answer.
    pub bytes: usize,
}

/// The answers of one server. A cheap handle: clones are of the same cache.
#[derive(Clone, Debug)]
pub struct Cache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: Rules,
    table: Mutex<Table>,
}

/// What is kept and what is fetched, under one lock: between looking and joining nothing changes.
#[derive(Debug)]
struct Table {
    store: Store,
    flights: Flights,
}

/// What a call finds.
#[derive(Debug)]
enum Found {
    /// An answer, and how old it is.
    Answer(Arc<Answer>, Duration),
    Lead(Lease),
    Wait(Seat),
    /// It goes its own way.
    Nothing,
}

impl Cache {
    /// An empty one.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        let table = Table {
            store: Store::new(rules.bytes),
            flights: Flights::default(),
        };
        Self(Arc::new(Inner {
            rules,
            table: Mutex::new(table),
        }))
    }

    /// Forgets lists that have changed, and what hangs on them: with the tools what they answered,
    /// with the resources what stood in them.
    ///
    /// Whoever tells of a change calls this first. What is being fetched meanwhile goes to those
    /// that wait for it already, and is not kept; who asks after this waits for nothing older.
    pub fn forget_lists(&self, lists: Lists) {
        let parts: &[Part] = match lists {
            Lists::Tools => &[Part::Tools, Part::Tool],
            Lists::Prompts => &[Part::Prompts],
            Lists::Resources => &[Part::Resources, Part::Templates, Part::Read],
        };
        self.forget(parts, None);
    }

    /// Forgets what stood in the resource of this URI, as callers spell it.
    pub fn forget_resource(&self, uri: &str) {
        self.forget(&[Part::Read], Some(uri));
    }

    /// Forgets what stood in any resource: some changed, and nobody knows which.
    pub fn forget_resources(&self) {
        self.forget(&[Part::Read], None);
    }

    /// Forgets everything: the server is another one, or what changed was not heard.
    pub fn forget_all(&self) {
        self.forget(&Part::ALL, None);
    }

    fn forget(&self, parts: &[Part], name: Option<&str>) {
        let mut table = self.table();
        for part in parts {
            table.store.forget(*part, name);
            table.flights.forget(*part, name);
        }
    }

    /// Clears away what nobody asked for again until its time was over. Each call clears away a
    /// little; this is for when there are none.
    pub fn clear_expired(&self) {
        self.table().store.clear(Instant::now(), usize::MAX);
    }

    /// What it did so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.table().store.counts
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        let table = self.0.table.lock();
        table.unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, asked: &Asked) -> Found {
        let now = Instant::now();
        let mut table = self.table();
        let Table { store, flights } = &mut *table;
        let shared = asked.shared.as_ref();
        let known = shared.and_then(|key| store.get(key, now));
        let own = match known {
            Some((Known::Answer(_), _)) => None,
            _ => store.get(&asked.own, now),
        };
        let found = known.iter().chain(&own);
        for (known, age) in found {
            if let Known::Answer(answer) = known {
                store.counts.hits += 1;
                return Found::Answer(Arc::clone(answer), *age);
            }
        }
        let key = match (known, shared) {
            (Some((Known::Never, _)), _) => return Found::Nothing,
            (None, Some(shared)) => shared,
            _ => &asked.own,
        };
        match flights.join(key, asked.scope) {
            Joined::Lead(flight) => {
                store.counts.misses += 1;
                Found::Lead(Lease::new(self.clone(), flight))
            }
            Joined::Wait(flight, ticket, turn) => {
                Found::Wait(Seat::new(self.clone(), (flight, ticket), turn))
            }
            Joined::Full => Found::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
