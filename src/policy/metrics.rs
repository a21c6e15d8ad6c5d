//! Counts and times every call, refused ones too.

use std::task::{Context, Poll};

use tower::Service;

use crate::{
    call::{Call, CallFuture, CallService, Reply},
    error::{Error, Kind},
    telemetry::metric::Tools,
};

/// Counts what passes.
#[derive(Clone, Debug)]
pub struct Metrics<S> {
    tools: Tools,
    inner: S,
}

impl<S> Metrics<S> {
    /// Counts what passes to `inner` in `tools`.
    pub const fn new(tools: Tools, inner: S) -> Self {
        Self { tools, inner }
    }
}

/// The label of calls to tools that are none: any name can be called.
const UNKNOWN: &str = "_OTHER";

impl<S: CallService> Service<Call> for Metrics<S> {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> CallFuture {
        let began = call.context.began;
        let tools = self.tools.clone();
        let server = call.server.clone();
        let label = call.tool().unwrap_or(call.request.method().as_str());
        let series = tools.known(server.as_str(), label);
        // Put down only where there is no series yet that knows it.
        let label = series.is_none().then(|| label.to_owned());
        let next = self.inner.call(call);
        Box::pin(async move {
            let outcome = next.await;
            let known = match &outcome {
                Ok(_) => true,
                Err(error) => {
                    tools.error(server.as_str(), error.kind());
                    // Only a name that somebody answered for becomes a series.
                    !matches!(
                        error.kind(),
                        Kind::ToolNotFound | Kind::AuthenticationFailed | Kind::AccessDenied
                    )
                }
            };
            let series = match (known, series) {
                (true, Some(series)) => series,
                (true, None) => tools.get(server.as_str(), label.as_deref().unwrap_or(UNKNOWN)),
                (false, _) => tools.get(server.as_str(), UNKNOWN),
            };
            let failed = outcome.as_ref().map_or(true, |reply| reply.failed);
            series.record(began.elapsed(), failed);
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        call::{self, service::answer},
        mcp::Request,
        name::ServerName,
        telemetry::metric::Side,
    };

    fn call(tool: &str) -> Call {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#
        );
        Call::new(
            ServerName::new("gh").expect("a name"),
            Request::parse(Bytes::from(body)).expect("a request"),
            call::Context::new(Duration::from_secs(1)),
        )
    }

    #[tokio::test]
    async fn a_tool_that_is_none_makes_no_series() {
        let tools = Tools::new(Side::Server);
        let inner = answer(|call: Call| async move {
            match call.request.name() {
                Some("real") => Ok(Reply {
                    body: Bytes::new(),
                    failed: true,
                }),
                _ => Err(Error::new(Kind::ToolNotFound, "no such tool")),
            }
        });
        let service = Metrics::new(tools.clone(), inner);
        for n in 0..100 {
            let refused = service.clone().oneshot(call(&format!("made-up-{n}"))).await;
            assert!(refused.is_err());
        }
        assert!(service.oneshot(call("real")).await.is_ok());
        let names: Vec<_> = tools
            .counts()
            .into_iter()
            .map(|(_, tool, count)| (tool, count.calls, count.failed))
            .collect();
        assert_eq!(
            names,
            [("_OTHER".to_owned(), 100, 100), ("real".to_owned(), 1, 1)]
        );
    }
}
