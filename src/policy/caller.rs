//! The stack of a caller, outermost first.

use std::time::Duration;

use super::{
    absent::Absent,
    breaker::{self, Break, Breakers},
    metrics::Metrics,
    retry::{self, Retry},
    timeout::Timeout,
    trace::Trace,
};
use crate::{
    call::{CallService, SharedService},
    telemetry::metric::{Side, Tools},
};

/// How calls are made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where they are counted.
    pub tools: Tools,
    /// How often a call is made again.
    pub retry: retry::Options,
    /// Which servers are left alone.
    pub breakers: Breakers,
}

impl Options {
    /// The usual ones, for calls that may take `timeout` where nothing else is said.
    #[must_use]
    pub fn new(tools: Tools, timeout: Duration) -> Self {
        Self {
            tools,
            retry: retry::Options::default(),
            breakers: Breakers::new(breaker::Options::new(timeout)),
        }
    }
}

/// The stack over `remote`.
///
/// 1. **trace**: whatever happens below happens inside the call's span.
/// 2. **metrics**: counts what the caller saw, so it stands outside of everything that refuses.
/// 3. **retry**: each attempt passes all that follows.
/// 4. **breaker**: what is refused here costs no attempt of its own; what ran out of time counts.
/// 5. **timeout**: one deadline over all that follows; all attempts have the same one.
/// 6. **absent**: needs the bus's own word that nobody answers, so it stands right above it.
pub fn stack<S: CallService>(remote: S, options: Options) -> SharedService {
    let absent = Absent::new(remote);
    let timeout = Timeout::new(absent);
    let breaker = Break::each(options.breakers, timeout);
    let retry = Retry::new(options.retry, breaker);
    let metrics = Metrics::new(options.tools, retry);
    SharedService::new(Trace::new(Side::Client, metrics))
}
