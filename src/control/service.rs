//! The MCP server `weft`: the control plane as tools, called, checked and audited like any other.

mod access;
mod approvals;
mod audit;
mod durables;
mod events;
mod grants;
mod letters;
mod reply;
mod resources;
mod servers;
pub mod shapes;
mod tokens;
pub mod tools;

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    approvals::Approvals,
    audit::{Clerk, about, is_first, is_lease},
    changes::Changes,
    connect::Wire,
    durables::Durables,
    events::Events,
    grants::Grants,
    letters::Letters,
    readers::Readers,
    registry::Registry,
    resources::Shelf,
    tokens::Tokens,
    trust::Watches,
};
use crate::{
    call::{Call, Principal, SharedService, service::answer},
    error::{Error, Kind, Origin},
    mcp::{Method, version},
    name::{ServerName, id},
};
use letters::Work;
use tools::{Tool, Tools};

/// Everything that the tools work on.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) tokens: Tokens,
    pub(super) grants: Grants,
    pub(super) watches: Watches,
    pub(super) changes: Changes,
    pub(super) events: Events,
    pub(super) readers: Readers,
    pub(super) durables: Durables,
    pub(super) letters: Letters,
    pub(super) clerk: Clerk,
    pub(super) registry: Registry,
    pub(super) approvals: Approvals,
    pub(super) shelf: Shelf,
    pub(super) kicks: Option<Wire>,
    pub(super) tools: Tools,
}

/// What a tool gives back.
struct Outcome {
    /// `structuredContent`.
    structured: Value,
    /// A sentence in its place for those who read text; without one, they get the JSON.
    text: Option<String>,
}

impl Outcome {
    fn new(structured: &impl serde::Serialize) -> Self {
        Self {
            structured: serde_json::to_value(structured).expect("results are JSON"),
            text: None,
        }
    }

    /// With a sentence that holds no secret.
    fn saying(mut self, text: String) -> Self {
        self.text = Some(text);
        self
    }
}

/// The server as a service. It is to be served as `weft`; whoever serves it has authenticated
/// the caller ([`super::is_open`] says for which tools the broker's word is enough).
pub(super) fn service(desk: Arc<Desk>) -> SharedService {
    SharedService::new(answer(move |call: Call| {
        let desk = Arc::clone(&desk);
        async move {
            let result = desk.answer(&call).await;
            match result {
                Ok(result) => Ok(reply::result(&call.request, &result)),
                Err(error) => Err(error
                    .origin(Origin::Adapter)
                    .located(id::WEFT, || call.error_context())),
            }
        }
    }))
}

impl Desk {
    async fn answer(&self, call: &Call) -> Result<Value, Error> {
        let method = call.request.method();
        if *method == Method::DISCOVER {
            Ok(discovery())
        } else if *method == Method::TOOLS_LIST {
            Ok(json!({
                "resultType": "complete", "tools": self.tools.definitions(),
                "ttlMs": 60_000, "cacheScope": "public",
            }))
        } else if *method == Method::TOOLS_CALL {
            self.call(call).await.map(reply::tool_result)
        } else if method.as_str().starts_with("resources/") {
            self.resources(call).await
        } else {
            Err(Error::new(
                Kind::MethodNotFound,
                format!(
                    "{method}: `weft` knows server/discover, tools/list, tools/call, \
                     resources/list, resources/templates/list and resources/read"
                ),
            ))
        }
    }

    async fn call(&self, call: &Call) -> Result<Outcome, Error> {
        let name = call.tool().unwrap_or_default();
        let tool = self.tools.find(name)?;
        let principal = call.context.principal.as_deref().ok_or_else(|| {
            // Whoever serves this service forgot to say who calls.
            Error::new(Kind::InternalError, "nobody said who calls")
        })?;
        if let Err(error) = permit(&tool, principal) {
            return Err(self.refused(call, tool.name, error).await);
        }
        let arguments = tool.arguments(call.request.params())?;
        let outcome = self.use_tool(call, &tool, principal, arguments).await;
        let decision = outcome.as_ref().map_or_else(Error::case_name, |_| "done");
        tracing::info!(
            target: "weft::audit",
            decision, what = tool.name, identity = %principal.identity,
            correlation = %call.context.correlation,
            "the control plane was asked"
        );
        outcome
    }

    /// Uses a tool, on record.
    async fn use_tool(
        &self,
        call: &Call,
        tool: &Tool<'_>,
        by: &Principal,
        arguments: Value,
    ) -> Result<Outcome, Error> {
        if is_lease(tool.name) {
            return Box::pin(self.run(tool, by, arguments)).await;
        }
        let what = format!("call:tools/weft/{}", tool.name);
        let first = is_first(tool.name, &arguments);
        let told = about(&arguments);
        let work = Box::pin(self.run(tool, by, arguments));
        let outcome = self.on_record(call, &what, first, work).await?;
        if first {
            self.done(call, &what, (told, &outcome.structured));
        }
        Ok(outcome)
    }

    async fn run(
        &self,
        tool: &Tool<'_>,
        by: &Principal,
        arguments: Value,
    ) -> Result<Outcome, Error> {
        match tool.name {
            tools::TOKEN_EXCHANGE => self.token_exchange(by, tools::typed(arguments)?).await,
            tools::TOKEN_DELEGATE => self.token_delegate(by, tools::typed(arguments)?).await,
            tools::TOKEN_RENEW => self.token_renew(by).await,
            tools::TOKEN_VOUCH => self.token_vouch(by, tools::typed(arguments)?).await,
            tools::TOKEN_ISSUE => self.token_issue(tools::typed(arguments)?).await,
            tools::TOKEN_REVOKE => self.token_revoke(tools::typed(arguments)?).await,
            tools::TOKEN_LIST => self.token_list(&tools::typed(arguments)?),
            tools::TOKEN_INSPECT => self.token_inspect(&tools::typed(arguments)?),
            tools::TRUST_OPEN => self.trust_open(by, tools::typed(arguments)?).await,
            tools::SERVER_WATCH => self.server_watch(by, tools::typed(arguments)?).await,
            tools::EVENT_TYPES => Ok(Outcome::new(self.events.declared())),
            tools::EVENT_OPEN => self.event_open(by, tools::typed(arguments)?).await,
            tools::CONSUMER_OPEN => self.consumer_open(by, tools::typed(arguments)?).await,
            tools::CONSUMER_LIST => self.consumer_list(by).await,
            tools::CONSUMER_REMOVE => self.consumer_remove(by, tools::typed(arguments)?).await,
            tools::CONSUMER_MEND => self.consumer_mend(by, tools::typed(arguments)?).await,
            tools::DLQ_LIST => self.dlq_list(by, tools::typed(arguments)?).await,
            tools::DLQ_SHOW => self.dlq_show(by, tools::typed(arguments)?).await,
            tools::DLQ_REDRIVE => {
                self.dlq_work(by, tools::typed(arguments)?, Work::Redrive)
                    .await
            }
            tools::DLQ_DROP => {
                self.dlq_work(by, tools::typed(arguments)?, Work::Drop)
                    .await
            }
            tools::REPLAY_DELIVER => self.replay_deliver(by, tools::typed(arguments)?).await,
            name if name.starts_with("resource_") => self.resource(name, by, arguments).await,
            tools::AUDIT_OPEN => self.audit_open(by, tools::typed(arguments)?).await,
            tools::SERVER_LIST => Ok(self.server_list(by)),
            tools::SERVER_GET => self.server_get(by, &tools::typed(arguments)?),
            tools::TOOL_CHECK => self.tool_check(by, tools::typed(arguments)?).await,
            tools::TOOL_TELL => self.tool_tell(by, tools::typed(arguments)?).await,
            tools::TOOL_LIST => self.tool_list(by, tools::typed(arguments)?).await,
            tools::TOOL_APPROVE => self.tool_approve(by, tools::typed(arguments)?).await,
            tools::ACCESS_CHECK => self.access_check(by, &tools::typed(arguments)?),
            tools::GRANT_ADD => self.grant_add(by, tools::typed(arguments)?).await,
            tools::GRANT_REMOVE => self.grant_remove(&tools::typed(arguments)?).await,
            tools::GRANT_LIST => Ok(self.grant_list(&tools::typed(arguments)?)),
            other => Err(Error::new(
                Kind::InternalError,
                format!("the tool `{other}` is listed, and nobody wrote it"),
            )),
        }
    }
}

/// Checked here as well as in the stack above: a control plane that was served without its stack
/// must not be an open one.
fn permit(tool: &Tool<'_>, principal: &Principal) -> Result<(), Error> {
    if super::is_open(tool.name) {
        return Ok(());
    }
    if principal.tokens.is_empty() {
        return Err(crate::access::TokenError::Missing.into());
    }
    if !principal.actors.is_empty() && !super::is_for_actors(tool.name) {
        return Err(Error::new(
            Kind::AccessDenied,
            format!(
                "`{}` acts for `{}` here, and `{}` is for callers themselves",
                principal.sender(),
                principal.identity,
                tool.name
            ),
        ));
    }
    match super::required(tool.name) {
        Some((action, target)) if !principal.may(action, &[target]) => Err(Error::new(
            Kind::AccessDenied,
            format!("`{}` needs the permission `{action}:{target}`", tool.name),
        )
        .with("needs", format!("{action}:{target}"))),
        _ => Ok(()),
    }
}

/// Whether somebody administers anything: he sees every server.
fn is_operator(principal: &Principal) -> bool {
    principal.might(&["admin"], "mesh/")
}

fn discovery() -> Value {
    json!({
        "resultType": "complete",
        "supportedVersions": [version::MESH],
        "capabilities": {"tools": {}, "resources": {}},
        "instructions": "Weft's control plane: tokens, trust, the registry of servers, shared resources.",
        "ttlMs": 60_000,
        "cacheScope": "public",
        "_meta": {version::META_SERVER_INFO: {
            "name": ServerName::weft(), "version": env!("CARGO_PKG_VERSION"),
        }},
    })
}
