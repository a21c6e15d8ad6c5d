//! Whether the caller may: his permissions and the grants against what the call needs.

use std::task::{Context, Poll};

use tower::Service;

use super::audit::{Auditor, refusal};
use crate::{
    call::{
        Call, CallFuture, CallService, Principal, Reply,
        condition::{Arguments, Facts},
        grant::{Decision, Reason},
    },
    error::{Error, Kind},
};

/// What a call needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need<'a> {
    /// Nothing: whoever got here may.
    Nothing,
    /// This action on the target that the parts make together.
    One(&'static str, [&'a str; 4]),
    /// Any of these actions on anything below the prefix.
    Any(&'static [&'static str], String),
}

/// What each call of a server needs.
pub type Needs = for<'a> fn(&'a Call) -> Need<'a>;

/// Lets nobody do what he has no permission for.
#[derive(Clone, Debug)]
pub struct Permit<S> {
    needs: Needs,
    auditor: Option<Auditor>,
    inner: S,
}

/// What a call of an MCP server needs.
///
/// A tool needs `call:tools/{server}/{tool}`, a prompt `read:prompts/{server}/{name}`, a resource
/// `read:resources/{server}/{uri}`. What is about the server as a whole (discover, lists,
/// completions) needs any permission on it.
#[must_use]
pub fn server_needs(call: &Call) -> Need<'_> {
    let server = call.server.as_str();
    let one = |action, kind| {
        let name = call.request.name().unwrap_or_default();
        Need::One(action, [kind, server, "/", name])
    };
    match call.request.method().as_str() {
        "tools/call" => one("call", "tools/"),
        "prompts/get" => one("read", "prompts/"),
        "resources/read" => one("read", "resources/"),
        "resources/subscribe" | "resources/unsubscribe" => one("subscribe", "resources/"),
        method if method.starts_with("prompts/") => Need::Any(ANY, format!("prompts/{server}/")),
        method if method.starts_with("resources/") => {
            Need::Any(ANY, format!("resources/{server}/"))
        }
        _ => Need::Any(ANY, format!("tools/{server}/")),
    }
}

/// Whoever may do one of these to something of a server may ask what there is.
const ANY: &[&str] = &["call", "list", "read", "subscribe"];

impl Need<'_> {
    /// Whether this caller may have it, with this call.
    #[must_use]
    pub fn decide(&self, principal: &Principal, call: &Call) -> Decision {
        match self {
            Self::Nothing => Decision::Permitted(Reason::Token),
            Self::One(action, target) => {
                let facts = Facts {
                    server: call.server.as_str(),
                    tool: call.request.name().unwrap_or_default(),
                    arguments: Arguments::Of(&call.request),
                    now_ms: None,
                };
                principal.decide(action, target, facts)
            }
            Self::Any(actions, prefix) if principal.might(actions, prefix) => {
                Decision::Permitted(Reason::Token)
            }
            Self::Any(..) => Decision::Refused(Reason::Nothing),
        }
    }
}

impl std::fmt::Display for Need<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::One(action, target) => write!(f, "`{action}:{}`", target.concat()),
            Self::Any(actions, prefix) => {
                write!(f, "`{}:{prefix}*`, or less of it", actions.join("|"))
            }
        }
    }
}

impl<S> Permit<S> {
    /// Checks the permissions of calls to `inner`.
    pub const fn new(needs: Needs, auditor: Option<Auditor>, inner: S) -> Self {
        Self {
            needs,
            auditor,
            inner,
        }
    }

    /// By what the call is permitted.
    fn permit(&self, call: &Call) -> Result<Reason, Error> {
        let Some(principal) = &call.context.principal else {
            return Err(Error::new(
                Kind::AuthenticationFailed,
                "nobody proved who calls",
            ));
        };
        let need = (self.needs)(call);
        let decision = need.decide(principal, call);
        if decision.is_permitted() {
            return Ok(decision.reason());
        }
        let who = &principal.identity;
        let way = match decision.reason() {
            Reason::Nothing => format!(
                ". `weft token issue {who} --allow …` makes a token that permits it, `weft grant \
                 add {who} …` permits it at once"
            ),
            _ => String::new(),
        };
        let server = &call.server;
        let said =
            format!("`{who}` may not do this on `{server}`: it needs {need}; {decision}{way}");
        Err(Error::new(Kind::AccessDenied, said))
    }
}

impl<S: CallService> Service<Call> for Permit<S> {
    type Response = Reply;
    type Error = Error;
    type Future = CallFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Call) -> CallFuture {
        match self.permit(&call) {
            Ok(by) => {
                call.context.permitted = Some(by);
                self.inner.call(call)
            }
            Err(error) => refusal(self.auditor.as_ref(), call, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use bytes::Bytes;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        call::{self, Permissions, service::answer},
        mcp::Request,
        name::{Identity, ServerName},
    };

    async fn ask(permission: &str, body: &str) -> Result<Reply, Error> {
        let inner = answer(|_: Call| async {
            Ok(Reply {
                body: Bytes::from_static(b"{}"),
                failed: false,
            })
        });
        let mut context = call::Context::new(Duration::from_secs(1));
        let alice = Identity::new("alice").expect("a name");
        let may = Permissions::parse(&[permission]).expect("a permission");
        context.principal = Some(Arc::new(Principal::new(alice, may)));
        let server = ServerName::new("gh").expect("a name");
        let request = Request::parse(Bytes::copy_from_slice(body.as_bytes())).expect("a request");
        Permit::new(server_needs, None, inner)
            .oneshot(Call::new(server, request, context))
            .await
    }

    #[tokio::test]
    async fn each_refusal_has_a_twin_that_passes() {
        let tool = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a/b"}}"#;
        let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"x:y"}}"#;
        for (permission, body, good) in [
            ("call:tools/gh/a/b", tool, true),
            ("call:tools/gh/a", tool, false),
            ("call:tools/gh/*", tool, true),
            ("call:tools/other/*", tool, false),
            ("list:tools/gh/*", tool, false),
            ("call:tools/gh/a/b", list, true),
            ("call:tools/other/a", list, false),
            ("read:resources/gh/x:*", read, true),
            ("call:tools/gh/*", read, false),
            ("*", read, true),
        ] {
            let outcome = ask(permission, body).await;
            assert_eq!(outcome.is_ok(), good, "{permission} {body}");
            if let Err(error) = outcome {
                assert_eq!(error.kind(), Kind::AccessDenied);
            }
        }
    }
}
