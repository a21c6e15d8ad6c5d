//! Nobody answers: does the registry know the server, and why is it not there?

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tower::Service;

use super::question::{Known, Question};
use crate::{
    call::{Call, CallFuture, CallService, Reply},
    error::{Error, Kind, case},
    name::{ServerName, id},
};

/// Tells a server that does not exist from one that is not there now.
#[derive(Clone, Debug)]
pub struct Absent<S> {
    inner: S,
}

impl<S> Absent<S> {
    /// Explains why nobody answers calls to `inner`.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: CallService> Service<Call> for Absent<S> {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> CallFuture {
        let registry = self.inner.clone();
        let server = call.server.clone();
        let question = Question::of(&call);
        let next = self.inner.call(call);
        Box::pin(async move {
            match next.await {
                Err(error) if error.is_case(case::NO_RESPONDERS) => {
                    if server.as_str() == id::WEFT {
                        return Err(no_control_plane());
                    }
                    let answer = Box::pin(question.ask(registry, &server)).await;
                    Err(explain(&server, answer, error))
                }
                outcome => outcome,
            }
        })
    }
}

fn no_control_plane() -> Error {
    Error::new(
        Kind::ServerOverloaded,
        "the control plane does not answer; `weft up` runs one",
    )
    .case(case::SERVER_UNAVAILABLE)
}

fn explain(server: &ServerName, answer: Option<Result<Known, Error>>, error: Error) -> Error {
    match answer {
        // The registry's own words: it may know a name that is near.
        // Made anew, because it is about this call and not about the question.
        Some(Err(told)) if told.is_case(case::SERVER_NOT_FOUND) => {
            Error::new(told.kind(), told.message()).case(case::SERVER_NOT_FOUND)
        }
        Some(Ok(known)) => {
            let why = known.reason.unwrap_or_else(|| known.state.clone());
            Error::new(
                Kind::ServerOverloaded,
                format!("`{server}` is {}: {why}", known.state),
            )
            .case(case::SERVER_UNAVAILABLE)
            .retry_after(Duration::from_secs(1))
        }
        _ => error.case(case::SERVER_UNAVAILABLE),
    }
}
