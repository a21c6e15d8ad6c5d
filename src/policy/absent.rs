//! Nobody answers: does the registry know the server, and why is it not there?

use std::{
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use serde::Deserialize;
use tower::Service;

use crate::{
    call::{
        self, Call, CallFuture, CallService, Reply,
        context::{Correlation, Credential},
    },
    error::{Error, Kind, case},
    mcp::Request,
    name::{Identity, ServerName, id},
};

/// How long the registry may take to say what it knows.
const REGISTRY_MAX: Duration = Duration::from_secs(2);

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
        let mut registry = self.inner.clone();
        let server = call.server.clone();
        let asks = Asks::of(&call);
        let next = self.inner.call(call);
        Box::pin(async move {
            match next.await {
                Err(error) if error.is_case(case::NO_RESPONDERS) => {
                    if server.as_str() == id::WEFT {
                        return Err(no_control_plane());
                    }
                    let question = asks.question(&server);
                    let answer = tokio::time::timeout(REGISTRY_MAX, registry.call(question));
                    Err(explain(&server, answer.await.ok(), error))
                }
                outcome => outcome,
            }
        })
    }
}

/// Who asks the registry: the same caller, as part of the same.
struct Asks {
    caller: Option<Identity>,
    credential: Option<Credential>,
    correlation: Correlation,
}

impl Asks {
    fn of(call: &Call) -> Self {
        Self {
            caller: call.context.caller.clone(),
            credential: call.context.credential.clone(),
            correlation: call.context.correlation.clone(),
        }
    }

    /// `server_get` of the control plane.
    fn question(self, server: &ServerName) -> Call {
        let body = serde_json::json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "server_get", "arguments": {"server": server}},
        });
        let request = Request::parse(Bytes::from(body.to_string())).expect("it is a request");
        let mut context = call::Context::new(REGISTRY_MAX);
        context.caller = self.caller;
        context.credential = self.credential;
        context.correlation = self.correlation;
        Call::new(ServerName::weft(), request, context)
    }
}

fn no_control_plane() -> Error {
    Error::new(
        Kind::ServerOverloaded,
        "the control plane does not answer; `weft up` runs one",
    )
    .case(case::SERVER_UNAVAILABLE)
}

fn explain(server: &ServerName, answer: Option<Result<Reply, Error>>, error: Error) -> Error {
    #[derive(Deserialize)]
    struct Answer {
        result: Option<Outcome>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Outcome {
        structured_content: Entry,
    }
    #[derive(Deserialize)]
    struct Entry {
        state: String,
        reason: Option<String>,
    }
    let entry = match answer {
        // The registry's own words: it may know a name that is near.
        // Made anew, because it is about this call and not about the question.
        Some(Err(told)) if told.is_case(case::SERVER_NOT_FOUND) => {
            return Error::new(told.kind(), told.message()).case(case::SERVER_NOT_FOUND);
        }
        Some(Ok(reply)) => serde_json::from_slice::<Answer>(&reply.body).ok(),
        _ => None,
    };
    let entry = entry.and_then(|answer| answer.result);
    let Some(Outcome {
        structured_content: entry,
    }) = entry
    else {
        return error.case(case::SERVER_UNAVAILABLE);
    };
    let why = entry.reason.unwrap_or_else(|| entry.state.clone());
    Error::new(
        Kind::ServerOverloaded,
        format!("`{server}` is {}: {why}", entry.state),
    )
    .case(case::SERVER_UNAVAILABLE)
    .retry_after(Duration::from_secs(1))
}
