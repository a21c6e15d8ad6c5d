//! The breaker as a layer: which calls it lets through, and what their ends say of the server.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;
use tower::Service;

use super::{Breaker, Breakers, Passage};
use crate::{
    call::{Call, CallFuture, CallService, Reply},
    error::{Error, Kind, Started, case},
    mcp::{Fault, Response},
    name::{ServerName, id},
};

/// Keeps calls from a server that fails.
#[derive(Clone, Debug)]
pub struct Break<S> {
    breakers: Which,
    inner: S,
}

#[derive(Clone, Debug)]
enum Which {
    /// Of the one server behind it.
    One(Breaker),
    /// Of each server that is called.
    Each(Breakers),
}

impl<S> Break<S> {
    /// In front of one server.
    pub const fn one(breaker: Breaker, inner: S) -> Self {
        Self {
            breakers: Which::One(breaker),
            inner,
        }
    }

    /// In front of all that can be called.
    pub const fn each(breakers: Breakers, inner: S) -> Self {
        Self {
            breakers: Which::Each(breakers),
            inner,
        }
    }

    /// `None` for the control plane: it is what others recover by, and refuses at once what it
    /// can't do.
    fn breaker(&self, server: &ServerName) -> Option<Breaker> {
        match &self.breakers {
            Which::One(breaker) => Some(breaker.clone()),
            Which::Each(_) if server.as_str() == id::WEFT => None,
            Which::Each(breakers) => Some(breakers.of(server)),
        }
    }
}

impl<S: CallService> Service<Call> for Break<S> {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> CallFuture {
        let Some(breaker) = self.breaker(&call.server) else {
            return self.inner.call(call);
        };
        let passage = match breaker.enter() {
            Ok(passage) => passage,
            Err(refused) => return Box::pin(std::future::ready(Err(refused))),
        };
        let mut watched = Watched {
            breaker,
            passage: Some(passage),
            began: Instant::now(),
            deadline: call.context.deadline,
        };
        let next = self.inner.call(call);
        Box::pin(async move {
            let outcome = next.await;
            watched.end(&outcome);
            outcome
        })
    }
}

/// A call that passed. Dropped before its end it says nothing, and gives a probe's place back: but for
/// one whose time is as good as over. Its caller has the same deadline and is a moment ahead.
struct Watched {
    breaker: Breaker,
    passage: Option<Passage>,
    began: Instant,
    deadline: Instant,
}

/// So much before its deadline a call that is dropped has run out of time.
const AS_GOOD_AS_OVER: Duration = Duration::from_secs(1);

impl Watched {
    fn end(&mut self, outcome: &Result<Reply, Error>) {
        let Some(passage) = self.passage.take() else {
            return;
        };
        match verdict(outcome, self.began.elapsed(), self.breaker.0.patience) {
            Verdict::Success => self.breaker.succeeded(passage),
            Verdict::Failure => self.breaker.failed(passage, || said(outcome)),
            Verdict::Nothing => drop(passage),
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Some(passage) = self.passage.take() else {
            return;
        };
        let took = self.began.elapsed();
        let over = self.began + took + AS_GOOD_AS_OVER >= self.deadline;
        if over && took >= self.breaker.0.patience {
            let why = || format!("TIMEOUT: no answer within {} ms", took.as_millis());
            self.breaker.failed(passage, why);
        }
    }
}

/// What the end of a call says of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Success,
    Failure,
    Nothing,
}

fn verdict(outcome: &Result<Reply, Error>, took: Duration, patience: Duration) -> Verdict {
    let error = match outcome {
        Ok(reply) if reply.failed && is_internal(reply) => return Verdict::Failure,
        // What the tool itself says of its work is an answer.
        Ok(_) => return Verdict::Success,
        Err(error) => error,
    };
    match error.kind() {
        Kind::Timeout if took < patience => Verdict::Nothing,
        Kind::Timeout => Verdict::Failure,
        // Neither is the server's doing.
        Kind::InternalError if error.is_case(case::CONNECTION_LOST) => Verdict::Nothing,
        Kind::InternalError if error.is_case(case::TRUST_STALE) => Verdict::Nothing,
        Kind::InternalError => Verdict::Failure,
        Kind::ToolExecutionError if error.is_case(case::SERVER_EXITED) => Verdict::Failure,
        // Refused before the server had it: full, not permitted, not there.
        _ if error.has_started() == Started::No => Verdict::Nothing,
        _ => Verdict::Success,
    }
}

/// Whether a server says of itself that it failed. Looked at only where it says an error.
fn is_internal(reply: &Reply) -> bool {
    let response = Response::parse(reply.body.clone()).ok();
    let fault = response.as_ref().and_then(Response::error);
    let fault = fault.and_then(|error| serde_json::from_str::<Fault>(error).ok());
    fault.is_some_and(|fault| fault.code == Kind::InternalError.code())
}

fn said(outcome: &Result<Reply, Error>) -> String {
    match outcome {
        Err(error) => format!("{}: {error}", error.case_name()),
        Ok(_) => "it answered with an internal error".to_owned(),
    }
}
