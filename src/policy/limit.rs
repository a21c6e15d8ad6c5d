//! How often and how much each caller may call, a server and each of its tools.
//!
//! It is counted here, in the memory of one instance: two instances of a server let through twice
//! as much, and a new instance begins at nothing. What the mesh as a whole may do to a server, its
//! own bounds say (`limits.inFlight`, `limits.waiting`); this is for one caller that takes too much
//! of it.

mod meter;
mod table;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::Instant;
use tower::Service;

use self::{
    meter::Over,
    table::{Place, Table},
};
pub use self::{
    meter::{Quota, Rate, Rule},
    table::{CALLERS_MAX, TOOLS_MAX},
};
use super::audit::{self, Auditor};
use crate::{
    call::{Call, CallFuture, CallService, Reply, permission::Pattern},
    error::{Error, Kind, case},
    name::Identity,
};

/// Who has too many calls under way hears when to come back; nobody knows when one will end.
const BUSY_FOR: Duration = Duration::from_millis(250);

/// What each caller may do with one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// With all of it.
    pub caller: Rule,
    /// With each of its tools.
    pub tool: Rule,
    /// With some of them, in place of that: the first that matches.
    pub tools: Vec<(Pattern, Rule)>,
}

impl Rules {
    /// Whether they allow everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let each = self.tools.iter().map(|(_, rule)| rule);
        each.chain([&self.caller, &self.tool]).all(Rule::is_empty)
    }

    /// The rule for a tool, where there is one.
    fn of_tool(&self, tool: &str) -> Option<&Rule> {
        let own = self.tools.iter().find(|(name, _)| name.matches(&[tool]));
        let rule = own.map_or(&self.tool, |(_, rule)| rule);
        (!rule.is_empty()).then_some(rule)
    }

    /// The rule about tools whose quota has the longest span.
    fn longest_quota(&self) -> &Rule {
        let each = self.tools.iter().map(|(_, rule)| rule);
        let span = |rule: &&Rule| rule.quota.as_ref().map(|quota| quota.per);
        each.chain([&self.tool])
            .max_by_key(span)
            .unwrap_or(&self.tool)
    }
}

/// Counts the calls of one server. Clones count together; the rules can be changed meanwhile.
#[derive(Clone, Debug)]
pub struct Limiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Whether there is anything to count: most servers have no rules.
    on: AtomicBool,
    rules: ArcSwap<Rules>,
    table: Mutex<Table>,
    began: Instant,
}

impl Limiter {
    /// One with these rules.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self(Arc::new(Inner {
            on: AtomicBool::new(!rules.is_empty()),
            rules: ArcSwap::from_pointee(rules),
            table: Mutex::new(Table::new()),
            began: Instant::now(),
        }))
    }

    /// Other rules from now on. What is under way stays counted.
    pub fn change(&self, rules: Rules) {
        let mut table = self.table();
        table.adapt(&rules, self.0.began.elapsed());
        self.0.on.store(!rules.is_empty(), Ordering::Relaxed);
        self.0.rules.store(Arc::new(rules));
    }

    /// Takes a call. What comes back is kept until it has ended.
    ///
    /// # Errors
    /// `RATE_LIMIT_EXCEEDED` or `SERVER_OVERLOADED`, with when to come back.
    fn take(&self, call: &Call) -> Result<Option<Counted>, Error> {
        let who = call.context.principal.as_ref();
        let Some(who) = who.filter(|_| self.0.on.load(Ordering::Relaxed)) else {
            return Ok(None);
        };
        let rules = self.0.rules.load();
        let asked = (&who.identity, call.tool());
        let now = self.0.began.elapsed();
        let taken = self.table().take(&rules, asked, now);
        match taken {
            Ok(place) => Ok(Some(Counted {
                by: self.clone(),
                place,
            })),
            Err((rule, over)) => Err(refusal(call, &who.identity, rule, over)),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        let table = self.0.table.lock();
        table.unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way, as it was counted.
#[derive(Debug)]
struct Counted {
    by: Limiter,
    place: Place,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.by.table().give_back(&self.place);
    }
}

fn refusal(call: &Call, who: &Identity, rule: &Rule, over: Over) -> Error {
    let tool = call.tool().map(|tool| format!("/{tool}"));
    let what = format!("`{}{}`", call.server, tool.unwrap_or_default());
    let key = &rule.key;
    let limit = |error: Error, part: &str| error.with("limit", format!("{key}.{part}"));
    match over {
        Over::InFlight => {
            let most = rule.in_flight.unwrap_or_default();
            let said = format!(
                "`{who}` has too many calls of {what} under way: {most} at a time \
                 (`{key}.inFlight`)"
            );
            let error = Error::new(Kind::ServerOverloaded, said);
            limit(error, "inFlight").retry_after(BUSY_FOR)
        }
        Over::Rate(wait) => {
            let (text, burst) = rule
                .rate
                .as_ref()
                .map_or(("", 0), |rate| (&*rate.text, rate.burst));
            let wait = whole_ms(wait);
            let said = format!(
                "`{who}` calls {what} too often: {text}, {burst} of them at once \
                 (`{key}.rate`); again in {} ms",
                wait.as_millis()
            );
            let error = Error::new(Kind::RateLimitExceeded, said);
            limit(error, "rate").retry_after(wait)
        }
        Over::Quota(wait) => {
            let text = rule.quota.as_ref().map_or("", |quota| &quota.text);
            let wait = whole_ms(wait);
            let said = format!(
                "`{who}` has used up the calls of {what}: {text} (`{key}.quota`); again in {} s",
                wait.as_secs() + 1
            );
            let error = Error::new(Kind::RateLimitExceeded, said).case(case::QUOTA_EXCEEDED);
            limit(error, "quota").retry_after(wait)
        }
    }
}

/// In milliseconds as an error says it, and never too early.
fn whole_ms(wait: Duration) -> Duration {
    let ms = wait.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
}

/// Lets nobody call more than he may.
#[derive(Clone, Debug)]
pub struct Limit<S> {
    limiter: Option<Limiter>,
    auditor: Option<Auditor>,
    inner: S,
}

impl<S> Limit<S> {
    /// Counts calls to `inner`; without a limiter it only passes them on.
    pub const fn new(limiter: Option<Limiter>, auditor: Option<Auditor>, inner: S) -> Self {
        Self {
            limiter,
            auditor,
            inner,
        }
    }
}

impl<S: CallService> Service<Call> for Limit<S> {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> CallFuture {
        let taken = self.limiter.as_ref().map(|limiter| limiter.take(&call));
        match taken.transpose() {
            Ok(counted) => match counted.flatten() {
                None => self.inner.call(call),
                Some(counted) => {
                    let next = self.inner.call(call);
                    Box::pin(async move {
                        let outcome = next.await;
                        drop(counted);
                        outcome
                    })
                }
            },
            Err(error) => audit::refusal(self.auditor.as_ref(), call, error),
        }
    }
}

#[cfg(test)]
mod tests;
