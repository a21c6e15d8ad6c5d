//! Tools that are not what was approved: not listed, and not called.
//!
//! A list passes with those entries alone that are, to the digest, what was approved: a server
//! that tells one list to its adapter and another one to a caller gains nothing by it.

use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tower::Service;

use super::audit::{Auditor, refusal};
use crate::{
    call::{Call, CallFuture, CallService, Reply},
    error::{Error, Kind, case},
    mcp::{
        Method, Response,
        envelope::splice,
        members::{Members, span},
        tools::Tool,
    },
};

/// The tools that may be called, each with its digest; until that is known, none.
pub type Approved = watch::Receiver<Arc<HashMap<String, String>>>;

/// Keeps tools that are not approved from callers.
#[derive(Clone, Debug)]
pub struct Quarantine<S> {
    approved: Option<Approved>,
    auditor: Option<Auditor>,
    inner: S,
}

impl<S> Quarantine<S> {
    /// Lets those tools of `inner` through that are approved; without a word on that, all.
    pub const fn new(approved: Option<Approved>, auditor: Option<Auditor>, inner: S) -> Self {
        Self {
            approved,
            auditor,
            inner,
        }
    }
}

impl<S: CallService> Service<Call> for Quarantine<S> {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> CallFuture {
        let Some(approved) = &self.approved else {
            return self.inner.call(call);
        };
        if *call.request.method() == Method::TOOLS_LIST {
            let approved = approved.clone();
            let next = self.inner.call(call);
            return Box::pin(async move {
                let mut reply = next.await?;
                let known = Arc::clone(&approved.borrow());
                if let Some(body) = only(&reply.body, &known)? {
                    reply.body = body;
                }
                Ok(reply)
            });
        }
        let held = call
            .tool()
            .is_some_and(|tool| !approved.borrow().contains_key(tool));
        if held {
            let error = unapproved(&call);
            return refusal(self.auditor.as_ref(), call, error);
        }
        self.inner.call(call)
    }
}

/// Not there, and one that waits to be approved, is the same to a caller, but for the way out.
fn unapproved(call: &Call) -> Error {
    let (server, tool) = (&call.server, call.tool().unwrap_or_default());
    let tool: String = tool.chars().take(128).collect();
    let said = format!(
        "`{server}` has no tool `{tool}` that is approved: one that is new, or says something else \
         of itself than when it was approved, waits until somebody approves it (`weft approve \
         {server}`)"
    );
    Error::new(Kind::ToolNotFound, said).case(case::TOOL_QUARANTINED)
}

/// The response with those tools alone that are approved; `None` where that is as it came.
fn only(body: &Bytes, approved: &HashMap<String, String>) -> Result<Option<Bytes>, Error> {
    let unread = |why: &str| {
        let said = format!("the server's list of tools can't be read, and is not passed on: {why}");
        Error::new(Kind::InternalError, said)
    };
    let response = Response::parse(body.clone()).map_err(|error| unread(&error.to_string()))?;
    let Some((result, place)) = response.result().zip(response.result_span()) else {
        return Ok(None);
    };
    let members = Members::read(result).ok_or_else(|| unread("its result is no object"))?;
    let Some(written) = members.get("tools") else {
        return Ok(None);
    };
    let tools: Vec<&RawValue> =
        serde_json::from_str(written).map_err(|_| unread("its `tools` is no array"))?;
    let passes = |entry: &&&RawValue| {
        let tool = Tool::read(entry);
        tool.is_some_and(|tool| approved.get(&tool.name) == Some(&tool.digest))
    };
    let passing: Vec<&str> = tools
        .iter()
        .filter(passes)
        .map(|entry| entry.get())
        .collect();
    if passing.len() == tools.len() {
        return Ok(None);
    }
    let within = span(result, written);
    let at = place.start + within.start..place.start + within.end;
    let list = format!("[{}]", passing.join(","));
    Ok(Some(splice(body, &[(at, &list)]).into()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        call::{self, service::answer},
        mcp::Request,
        name::ServerName,
    };

    const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"ttlMs":1e3,"tools":[{"name":"a","x":1},{"name":"b","description":"d"},7],"nextCursor":"c"}}"#;

    fn digest(entry: &str) -> String {
        let entry: Box<RawValue> = serde_json::from_str(entry).expect("JSON");
        Tool::read(&entry).expect("a tool").digest
    }

    async fn ask(approved: &[(&str, &str)], method: &str) -> Result<String, Error> {
        let approved = approved
            .iter()
            .map(|(name, entry)| ((*name).to_owned(), digest(entry)));
        let (_keep, approved) = watch::channel(Arc::new(approved.collect()));
        let inner = answer(|_: Call| async {
            Ok(Reply {
                body: Bytes::from_static(LIST.as_bytes()),
                failed: false,
            })
        });
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,{method}}}"#);
        let call = Call::new(
            ServerName::new("gh").expect("a name"),
            Request::parse(Bytes::from(body)).expect("a request"),
            call::Context::new(Duration::from_secs(1)),
        );
        let reply = Quarantine::new(Some(approved), None, inner)
            .oneshot(call)
            .await?;
        Ok(String::from_utf8(reply.body.to_vec()).expect("text"))
    }

    const TOOLS_LIST: &str = r#""method":"tools/list""#;

    #[tokio::test]
    async fn a_list_has_what_is_approved_to_the_digest_and_is_else_as_it_came() {
        let a = r#"{"name":"a"}"#;
        let listed = ask(
            &[("a", a), ("b", r#"{"name":"b","description":"e"}"#)],
            TOOLS_LIST,
        )
        .await;
        assert_eq!(
            listed.expect("a list"),
            r#"{"jsonrpc":"2.0","id":1,"result":{"ttlMs":1e3,"tools":[{"name":"a","x":1}],"nextCursor":"c"}}"#
        );
        let listed = ask(&[], TOOLS_LIST).await.expect("a list");
        assert!(listed.contains(r#""tools":[],"#), "{listed}");
    }

    #[tokio::test]
    async fn a_call_passes_where_its_tool_is_approved() {
        let approved = [("a", r#"{"name":"a"}"#)];
        let call = |tool: &str| format!(r#""method":"tools/call","params":{{"name":"{tool}"}}"#);
        assert!(ask(&approved, &call("a")).await.is_ok());
        let error = ask(&approved, &call("b")).await.expect_err("not approved");
        assert_eq!(error.kind(), Kind::ToolNotFound);
        assert!(error.is_case(case::TOOL_QUARANTINED), "{error}");
        assert!(ask(&[], r#""method":"prompts/list""#).await.is_ok());
    }
}
