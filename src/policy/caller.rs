//! The stack of a caller, outermost first.

use super::{absent::Absent, metrics::Metrics, timeout::Timeout, trace::Trace};
use crate::{
    call::{CallService, SharedService},
    telemetry::metric::{Side, Tools},
};

/// The stack over `remote`.
///
/// 1. **trace**: whatever happens below happens inside the call's span.
/// 2. **metrics**: counts what the caller saw, so it stands outside of everything that refuses.
/// 3. **timeout**: one deadline over all that follows.
/// 4. **absent**: needs the bus's own word that nobody answers, so it stands right above it.
pub fn stack<S: CallService>(remote: S, tools: Tools) -> SharedService {
    let absent = Absent::new(remote);
    let timeout = Timeout::new(absent);
    let metrics = Metrics::new(tools, timeout);
    SharedService::new(Trace::new(Side::Client, metrics))
}
