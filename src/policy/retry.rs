//! Calls that failed, made again: where that may help, does no harm, and is not too much.
//!
//! - **May help**: `TIMEOUT`, `SERVER_OVERLOADED`, `RATE_LIMIT_EXCEEDED` and `INTERNAL_ERROR` alone,
//!   and only while the call's own time lasts.
//! - **Does no harm**: it is known that the call had not begun; or it only asks; or its operator
//!   declared the tool idempotent; or it has an idempotency key, and the server honours keys.
//! - **Is not too much**: at most so many times, after waits that double, with jitter, and never
//!   before `retryAfterMs` is over; and of all calls of a server one in five, or ten a second, so
//!   that a server that fails does not get more work for it.
//!
//! It stands at the outermost hop alone: what is called on the way of another call is not repeated,
//! or three hops would make sixty-four calls of one.

mod backoff;
mod facts;

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;
use tower::{
    Service,
    retry::budget::{Budget as _, TpsBudget},
};

pub use self::backoff::Options;
use self::facts::Facts;
use super::question::Question;
use crate::{
    call::{Call, CallFuture, CallService, Reply, context::Correlation},
    error::{Error, Kind, Started},
    mcp::{Fault, Response},
    name::{CallId, ServerName, id},
};

/// Servers whose repeats are counted. Of another one, the count begins anew.
const SERVERS_MAX: u64 = 1024;
/// An instance that takes a call says so within 50 ms. Who may ask another one waits so long.
const TAKEN_WITHIN: Duration = Duration::from_secs(3);

/// Makes calls again.
#[derive(Clone, Debug)]
pub struct Retry<S> {
    options: Options,
    budgets: moka::sync::Cache<ServerName, Arc<TpsBudget>>,
    facts: Facts,
    inner: S,
}

impl<S> Retry<S> {
    /// Makes calls to `inner` again, with these options.
    pub fn new(options: Options, inner: S) -> Self {
        Self {
            options,
            budgets: moka::sync::Cache::new(SERVERS_MAX),
            facts: Facts::default(),
            inner,
        }
    }
}

impl<S: CallService> Service<Call> for Retry<S> {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Call) -> CallFuture {
        if !call.context.repeats || self.options.max == 0 {
            return self.inner.call(call);
        }
        let kept = call.clone();
        let mut retry = self.clone();
        if call.context.key.is_some() {
            return Box::pin(async move { retry.keyed(call).await });
        }
        if is_harmless(&call, self.facts.known(&call.server).as_deref()) {
            call.context.patience = Some(TAKEN_WITHIN);
        }
        let first = self.inner.call(call);
        Box::pin(async move {
            let budget = retry.budget(&kept.server);
            budget.deposit();
            match first.await {
                Ok(reply) if !reply.failed => Ok(reply),
                // Few calls come here: their future need not fit into all others.
                failed => Box::pin(retry.again(kept, failed, &budget)).await,
            }
        })
    }
}

impl<S: CallService> Retry<S> {
    fn budget(&self, server: &ServerName) -> Arc<TpsBudget> {
        // One call in five, and ten a second, of the last ten seconds.
        let made = || Arc::new(TpsBudget::default());
        match self.budgets.get(server) {
            Some(known) => known,
            None => self.budgets.get_with(server.clone(), made),
        }
    }

    /// Makes a call with a key: it is worth asking first whether that makes it safe to repeat.
    async fn keyed(&mut self, mut call: Call) -> Result<Reply, Error> {
        let known = self.known(&call).await;
        let budget = self.budget(&call.server);
        budget.deposit();
        let kept = call.clone();
        if is_harmless(&call, Some(&known)) {
            call.context.patience = Some(TAKEN_WITHIN);
        }
        match self.inner.call(call).await {
            Ok(reply) if !reply.failed => Ok(reply),
            failed => Box::pin(self.clone().again(kept, failed, &budget)).await,
        }
    }

    /// Makes a call again that ended so, until it goes well or nothing speaks for it any more.
    async fn again(
        mut self,
        mut call: Call,
        mut outcome: Result<Reply, Error>,
        budget: &TpsBudget,
    ) -> Result<Reply, Error> {
        // All attempts are one call to whoever looks for it.
        let correlation = call.context.correlation.to_string();
        call.context.correlation = Correlation::Given(correlation.into());
        let mut made = 0;
        while let Some(failure) = Failure::of(&outcome) {
            made += 1;
            let known = self.known(&call).await;
            let options = known.options.unwrap_or(self.options);
            let wait = options.wait(made, failure.after);
            if made > options.max
                || Instant::now() + wait >= call.context.deadline
                || !(failure.started == Started::No || is_harmless(&call, Some(&known)))
                || !budget.withdraw()
            {
                return counted(outcome, made);
            }
            tracing::debug!(server = %call.server, failed = failure.name, ?wait, "a call is made again");
            tokio::time::sleep(wait).await;
            call.context.id = CallId::now();
            call.context.attempt = call.context.attempt.saturating_add(1);
            let others = made < options.max && is_harmless(&call, Some(&known));
            call.context.patience = others.then_some(TAKEN_WITHIN);
            outcome = self.inner.call(call.clone()).await;
        }
        outcome
    }

    /// What the server's operator says of calls to it. The control plane says nothing of itself.
    async fn known(&self, call: &Call) -> Arc<facts::Known> {
        if call.server.as_str() == id::WEFT {
            return Arc::default();
        }
        let question = Question::of(call);
        self.facts
            .ask(question, self.inner.clone(), &call.server)
            .await
    }
}

/// Whether a call may be made again however it had begun, as far as is known.
fn is_harmless(call: &Call, known: Option<&facts::Known>) -> bool {
    let keyed = call.context.key.is_some();
    match call.tool() {
        Some(tool) => known.is_some_and(|known| known.is_idempotent(tool) || (keyed && known.keys)),
        None => call.request.method().only_asks(),
    }
}

/// What of the end of a call matters for another attempt.
struct Failure {
    name: String,
    started: Started,
    after: Option<Duration>,
}

impl Failure {
    /// `None` where another attempt would not help.
    fn of(outcome: &Result<Reply, Error>) -> Option<Self> {
        match outcome {
            Ok(reply) if reply.failed => own_failure(reply),
            Ok(_) => None,
            Err(error) => error.kind().is_retryable().then(|| Self {
                name: error.case_name().to_owned(),
                started: error.has_started(),
                after: error.comes_back_after(),
            }),
        }
    }
}

/// A server that says of itself that it failed. Its other codes are its own.
fn own_failure(reply: &Reply) -> Option<Failure> {
    let response = Response::parse(reply.body.clone()).ok()?;
    let fault: Fault = serde_json::from_str(response.error()?).ok()?;
    (fault.code == Kind::InternalError.code()).then(|| Failure {
        name: "an internal error of the server".to_owned(),
        started: Started::Yes,
        after: None,
    })
}

/// Says how many attempts were made, where there was more than one.
fn counted(outcome: Result<Reply, Error>, made: u32) -> Result<Reply, Error> {
    match outcome {
        Err(error) if made > 1 => Err(error.with("attempts", made)),
        other => other,
    }
}

#[cfg(test)]
mod tests;
