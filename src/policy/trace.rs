//! A span around every call, and one line for every call that failed.
//!
//! The span holds what every log line of the call must say; the line is written here and nowhere
//! else, so that an error is logged once on each side of the bus.

use std::task::{Context, Poll};

use tower::Service;
use tracing::{Instrument as _, Span, debug_span, info_span};

use crate::{
    call::{Call, CallFuture, CallService, Reply, context::Correlation},
    error::{Error, Kind},
    telemetry::{metric::Side, trace::TraceParent},
};

/// Traces what passes.
#[derive(Clone, Debug)]
pub struct Trace<S> {
    side: Side,
    inner: S,
}

impl<S> Trace<S> {
    /// Traces what passes to `inner`.
    pub const fn new(side: Side, inner: S) -> Self {
        Self { side, inner }
    }
}

impl<S: CallService> Service<Call> for Trace<S> {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> CallFuture {
        let span = span(self.side, &call);
        let side = self.side;
        let correlation = call.context.correlation.clone();
        let next = span.in_scope(|| self.inner.call(call));
        let traced = async move {
            let outcome = next.await;
            if let Err(error) = &outcome {
                tell(side, &correlation, error);
            }
            outcome
        };
        Box::pin(traced.instrument(span))
    }
}

/// The ids stand in the span as values; they become text where a line is written. All is given
/// when the span is made: each value that is recorded later costs as much as a small span.
///
/// A caller has spans of his own around his calls, so ours is for who looks closely; a server's
/// is the only one there is.
fn span(side: Side, call: &Call) -> Span {
    let server = call.server.as_str();
    let method = call.request.method().as_str();
    let operation = call.request.name().unwrap_or(method);
    let trace = TraceParent::of(call).map(|parent| format!("{:032x}", parent.trace));
    let trace = trace.as_deref().unwrap_or_default();
    match (side, &call.context.correlation) {
        (Side::Server, Correlation::Derived(id)) => {
            info_span!(
                "serve",
                server,
                operation,
                call = id.as_u128(),
                traceId = trace
            )
        }
        (Side::Server, Correlation::Given(id)) => {
            info_span!(
                "serve",
                server,
                operation,
                requestId = id.as_ref(),
                traceId = trace
            )
        }
        (Side::Client, Correlation::Derived(id)) => {
            debug_span!(
                "call",
                server,
                operation,
                call = id.as_u128(),
                traceId = trace
            )
        }
        (Side::Client, Correlation::Given(id)) => {
            debug_span!(
                "call",
                server,
                operation,
                requestId = id.as_ref(),
                traceId = trace
            )
        }
    }
}

fn tell(side: Side, correlation: &Correlation, error: &Error) {
    let (kind, case) = (error.kind().name(), error.case_name());
    let user = error.context().user_id.as_deref().unwrap_or_default();
    // What a caller did wrong is his to see; what broke is ours.
    if error.kind() == Kind::InternalError {
        tracing::error!(requestId = %correlation, ?side, kind, case, user, "{error}");
    } else {
        tracing::info!(requestId = %correlation, ?side, kind, case, user, "{error}");
    }
}
