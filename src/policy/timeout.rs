//! The call's own deadline: past it the call is dropped, which cancels it, and answered `TIMEOUT`.

use std::task::{Context, Poll};

use tokio::time::Instant;
use tower::Service;

use crate::{
    call::{Call, CallFuture, CallService, Reply},
    error::{Error, Kind, Started},
    name::ServerName,
};

/// Ends calls at their deadline.
#[derive(Clone, Debug)]
pub struct Timeout<S> {
    inner: S,
}

impl<S> Timeout<S> {
    /// Ends calls to `inner` at their deadline.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: CallService> Service<Call> for Timeout<S> {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> CallFuture {
        let (began, deadline) = (call.context.began, call.context.deadline);
        let server = call.server.clone();
        let next = self.inner.call(call);
        Box::pin(async move {
            let ended = tokio::time::timeout_at(deadline, next).await;
            ended.unwrap_or_else(|_| Err(late(&server, began, deadline)))
        })
    }
}

/// What a call hears whose time ran out.
pub(super) fn late(server: &ServerName, began: Instant, deadline: Instant) -> Error {
    let allowed = deadline.saturating_duration_since(began);
    let said = format!(
        "`{server}` did not answer within {} ms; `--timeout` allows more",
        allowed.as_millis()
    );
    Error::new(Kind::Timeout, said).started(Started::Maybe)
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
    };

    async fn ask(works: Duration) -> Result<Reply, Error> {
        let inner = answer(move |_: Call| async move {
            tokio::time::sleep(works).await;
            Ok(Reply {
                body: Bytes::from_static(b"{}"),
                failed: false,
            })
        });
        let body = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
        let call = Call::new(
            ServerName::new("gh").expect("a name"),
            Request::parse(body).expect("a request"),
            call::Context::new(Duration::from_secs(1)),
        );
        Timeout::new(inner).oneshot(call).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_its_deadline() {
        let error = ask(Duration::from_millis(1001)).await.expect_err("late");
        assert_eq!(error.kind(), Kind::Timeout);
        assert_eq!(error.has_started(), Started::Maybe);
        assert!(ask(Duration::from_millis(999)).await.is_ok());
    }
}
