//! The stack of a server, outermost first.

use super::{
    audit::{Audit, Auditor},
    auth::{Auth, Open},
    breaker::{Break, Breaker},
    cache::{Cache, Cached},
    limit::{Limit, Limiter},
    metrics::Metrics,
    once::{Keys, Once},
    permit::{Needs, Permit, server_needs},
    quarantine::{Approved, Quarantine},
    tasks::{Recorder, TaskEvents},
    timeout::Timeout,
    trace::Trace,
    validate::{Schemas, Validate},
};
use crate::{
    access::Trust,
    call::{CallService, SharedService},
    telemetry::metric::{Side, Tools},
};

/// What differs between servers.
#[derive(Clone)]
pub struct Options {
    /// Whom this process believes.
    pub trust: Trust,
    /// Where calls are counted.
    pub tools: Tools,
    /// What each call needs.
    pub needs: Needs,
    /// Which calls need no token.
    pub open: Open,
    /// Which tools are approved, where others are kept from callers.
    pub approved: Option<Approved>,
    /// Who counts calls, where some are limited.
    pub limiter: Option<Limiter>,
    /// The tools' schemas, where arguments are to be checked here.
    pub schemas: Option<Schemas>,
    /// Who writes down what is decided, where somebody does.
    pub auditor: Option<Auditor>,
    /// Who takes down calls as tasks, where some are to be.
    pub tasks: Option<Recorder>,
    /// Who runs calls with an idempotency key once, where somebody does.
    pub keys: Option<Keys>,
    /// What keeps calls from it while it fails.
    pub breaker: Option<Breaker>,
    /// Where answers are kept, where some are. One for each server.
    pub cache: Option<Cache>,
}

impl Options {
    /// What an MCP server behind an adapter has.
    #[must_use]
    pub fn new(trust: Trust, tools: Tools) -> Self {
        Self {
            trust,
            tools,
            needs: server_needs,
            open: |_| false,
            approved: None,
            limiter: None,
            schemas: None,
            auditor: None,
            tasks: None,
            keys: None,
            breaker: None,
            cache: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").finish_non_exhaustive()
    }
}

/// The stack over `upstream`.
///
/// 1. **trace**: refusals are logged with the call they belong to.
/// 2. **metrics**: refusals count too.
/// 3. **auth**: nobody is anybody before it.
/// 4. **permit**: needs the principal, and refuses before arguments are looked at.
/// 5. **quarantine**: only who might call a tool hears that it waits to be approved.
/// 6. **limit**: only calls that are permitted are counted, and arguments are looked at for those
///    alone that are within the limits.
/// 7. **validate**: what it says of arguments only those may hear who may call.
/// 8. **audit**: what goes on from here is written down; refusals are, by those that refuse.
/// 9. **tasks**: what was refused never began, and what ran out of time failed. Only where calls are
///    to be told of; elsewhere it is not there.
/// 10. **cache**: below all that is about who calls, so that each call is checked, written down, and
///     told as a task also where it is answered with what was kept; what is kept is not kept back by
///     a breaker below.
/// 11. **once**: what the server comes to is written down, its running out of time too.
/// 12. **breaker**: a call that ran out of time says something of the server.
/// 13. **timeout**: the time is for the work, and what it drops is a call under way.
pub fn stack<S: CallService>(upstream: S, mut options: Options) -> SharedService {
    let timeout = Timeout::new(upstream);
    let work = match options.breaker.take() {
        Some(breaker) => SharedService::new(Break::one(breaker, timeout)),
        None => SharedService::new(timeout),
    };
    let work = Once::new(options.keys.take(), work);
    let work = Cached::new(options.cache.take(), work);
    match options.tasks.take() {
        Some(recorder) => over(TaskEvents::new(recorder, work), options),
        None => over(work, options),
    }
}

fn over<S: CallService>(work: S, options: Options) -> SharedService {
    let auditor = options.auditor;
    let audit = Audit::new(auditor.clone(), work);
    let validate = Validate::new(options.schemas, audit);
    let limit = Limit::new(options.limiter, auditor.clone(), validate);
    let quarantine = Quarantine::new(options.approved, auditor.clone(), limit);
    let permit = Permit::new(options.needs, auditor.clone(), quarantine);
    let auth = Auth::new(options.trust, options.open, auditor, permit);
    let metrics = Metrics::new(options.tools, auth);
    SharedService::new(Trace::new(Side::Server, metrics))
}
