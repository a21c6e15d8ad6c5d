//! Asking the registry about a server, in the name of who calls it and as part of the same.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use crate::{
    call::{
        self, Call, CallService, Reply,
        context::{Correlation, Credential},
    },
    error::Error,
    mcp::Request,
    name::{Identity, ServerName},
    registry::Calls,
};

/// How long the registry may take to say what it knows.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Question {
    caller: Option<Identity>,
    credential: Option<Credential>,
    correlation: Correlation,
}

/// What the registry knows of a server, as far as policies care.
#[derive(Debug, Deserialize)]
pub(super) struct Known {
    pub(super) state: String,
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) calls: Calls,
}

impl Question {
    /// In the name of who makes this call.
    pub(super) fn of(call: &Call) -> Self {
        Self {
            caller: call.context.caller.clone(),
            credential: call.context.credential.clone(),
            correlation: call.context.correlation.clone(),
        }
    }

    /// What the registry says; `None` where it says nothing in time, or nothing that can be read.
    pub(super) async fn ask<S: CallService>(
        self,
        mut mesh: S,
        server: &ServerName,
    ) -> Option<Result<Known, Error>> {
        let answer = tokio::time::timeout(ANSWER_MAX, mesh.call(self.about(server)));
        match answer.await.ok()? {
            Ok(reply) => read(&reply).map(Ok),
            Err(error) => Some(Err(error)),
        }
    }

    /// `server_get` of the control plane.
    fn about(self, server: &ServerName) -> Call {
        let body = serde_json::json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "server_get", "arguments": {"server": server}},
        });
        let request = Request::parse(Bytes::from(body.to_string())).expect("it is a request");
        let mut context = call::Context::new(ANSWER_MAX);
        context.caller = self.caller;
        context.credential = self.credential;
        context.correlation = self.correlation;
        Call::new(ServerName::weft(), request, context)
    }
}

fn read(reply: &Reply) -> Option<Known> {
    #[derive(Deserialize)]
    struct Answer {
        result: Outcome,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Outcome {
        structured_content: Known,
    }
    let answer: Answer = serde_json::from_slice(&reply.body).ok()?;
    Some(answer.result.structured_content)
}
