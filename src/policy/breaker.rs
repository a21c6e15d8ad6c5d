//! The circuit breaker: a server that fails again and again is left alone for a while, then tried
//! with one call.
//!
//! ```text
//!            threshold failures in a row, or half of the calls of ten seconds
//! CLOSED ─────────────────────────────────────────────────────────────> OPEN
//!   ^                                                      its time is over │
//!   │  the probe is answered                                                v
//!   └───────────────────────────────────────────────────────────────── HALF_OPEN
//!                                     the probe fails: OPEN, twice as long
//! ```
//!
//! It stands at both ends. In front of an upstream it protects one instance of a server from all
//! callers; at a caller it notices what no adapter can tell: that nobody answers at all.

mod circuit;
mod layer;
mod window;

/// What the circuit is made of: a test puts loom's in their place.
mod sync {
    pub(super) use std::sync::{Arc, Mutex, MutexGuard};
}

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{sync::watch, time::Instant};

pub use self::{
    circuit::{Circuit, Passage, Phase, Refused, Rules},
    layer::Break,
};
use crate::{
    error::{Error, Kind, case},
    name::ServerName,
    registry::BreakerState,
};

/// Servers that a caller has breakers for. The one that was called longest ago is forgotten first.
const SERVERS_MAX: u64 = 1024;
/// So soon an instance whose breaker opened has left its queue group, where another one serves.
const ASIDE_WITHIN: Duration = Duration::from_secs(1);
/// Characters of the last failure that are kept.
const WHY_MAX: usize = 300;

/// When a breaker opens, and what counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// When it opens and closes.
    pub rules: Rules,
    /// A call that was not given this long says nothing by not being answered.
    pub patience: Duration,
}

impl Options {
    /// The defaults for a server whose calls usually may take `timeout`.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self {
            rules: Rules::default(),
            patience: timeout / 2,
        }
    }
}

/// What is told of a breaker whenever it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// How it is.
    pub state: BreakerState,
    /// Since when it is open; `None` while it is not.
    pub since: Option<Instant>,
    /// Until when it is.
    pub until: Option<DateTime<Utc>>,
    /// The failure that opened it, while it is not closed.
    pub why: Option<String>,
    /// How often it opened so far.
    pub opened: u64,
    /// How many probes passed so far.
    pub probes: u64,
}

/// The breaker of one server. A cheap handle.
#[derive(Clone, Debug)]
pub struct Breaker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    server: ServerName,
    patience: Duration,
    circuit: Circuit,
    began: Instant,
    told: watch::Sender<Told>,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(server: ServerName, options: Options) -> Self {
        Self(Arc::new(Inner {
            server,
            patience: options.patience,
            circuit: Circuit::new(options.rules),
            began: Instant::now(),
            told: watch::Sender::new(Told::default()),
        }))
    }

    /// How it is, now and whenever that changes.
    #[must_use]
    pub fn told(&self) -> watch::Receiver<Told> {
        self.0.told.subscribe()
    }

    /// Lets a call pass, or says when to come back.
    fn enter(&self) -> Result<Passage, Error> {
        let passage = self
            .0
            .circuit
            .enter(self.now())
            .map_err(|refused| self.refusal(refused))?;
        if passage.is_probe() {
            self.0.told.send_modify(|told| {
                told.state = BreakerState::HalfOpen;
                told.probes += 1;
            });
            tracing::info!(server = %self.0.server, "the circuit breaker lets one call through");
        }
        Ok(passage)
    }

    /// The server answered.
    fn succeeded(&self, passage: Passage) {
        if passage.succeeded(self.now()) {
            self.0.told.send_modify(|told| {
                told.state = BreakerState::Closed;
                (told.since, told.until, told.why) = (None, None, None);
            });
            tracing::info!(server = %self.0.server, "the circuit breaker is closed again");
        }
    }

    /// It did not, and why.
    fn failed(&self, passage: Passage, why: impl FnOnce() -> String) {
        let Some(length) = passage.failed(self.now()) else {
            return;
        };
        let why: String = why().chars().take(WHY_MAX).collect();
        tracing::warn!(server = %self.0.server, why, "the circuit breaker opens for {length:?}");
        self.0.told.send_modify(|told| {
            told.state = BreakerState::Open;
            told.since = Some(Instant::now());
            told.until = Some(Utc::now() + length);
            told.why = Some(why);
            told.opened += 1;
        });
    }

    fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    fn refusal(&self, refused: Refused) -> Error {
        let told = self.0.told.borrow();
        let why = told.why.as_deref().unwrap_or("it failed");
        let after = refused.after.max(Duration::from_millis(1));
        let server = &self.0.server;
        let next = match told.state {
            BreakerState::HalfOpen => "one call tries it now".to_owned(),
            _ => format!("it is tried again in {} ms", after.as_millis()),
        };
        let said = format!("Circuit breaker is OPEN: `{server}` failed too often ({why}); {next}");
        // Another instance may take it, as soon as this one has stood aside.
        let just_now = told
            .since
            .is_some_and(|since| since.elapsed() < ASIDE_WITHIN);
        let again = if just_now {
            after.min(ASIDE_WITHIN)
        } else {
            after
        };
        Error::new(Kind::ServerOverloaded, said)
            .case(case::BREAKER_OPEN)
            .retry_after(again)
    }
}

/// The breakers of a caller: one for each server that it calls. A cheap handle.
#[derive(Clone, Debug)]
pub struct Breakers {
    options: Options,
    known: moka::sync::Cache<ServerName, Breaker>,
}

impl Breakers {
    /// All with these options.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            known: moka::sync::Cache::new(SERVERS_MAX),
        }
    }

    /// The one of this server.
    #[must_use]
    pub fn of(&self, server: &ServerName) -> Breaker {
        if let Some(known) = self.known.get(server) {
            return known;
        }
        let made = || Breaker::new(server.clone(), self.options);
        self.known.get_with(server.clone(), made)
    }
}

#[cfg(test)]
mod tests;
