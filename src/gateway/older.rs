//! What differs between the mesh, which speaks 2026-07-28, and a client that is older. Pure.

use std::borrow::Cow;

use bytes::Bytes;

use crate::{
    error::{Error, Kind},
    mcp::{
        Request, Response,
        envelope::splice,
        members::{Members, object, quoted},
        meta,
        version::{
            LEGACY, LEGACY_NEWEST, MESH, META_CLIENT_CAPABILITIES, META_CLIENT_INFO,
            META_LOG_LEVEL, META_SERVER_INFO, META_VERSION,
        },
    },
};

/// Members of a result that only 2026-07-28 has.
const NEW: [&str; 3] = ["resultType", "ttlMs", "cacheScope"];
/// What no older client knows of a capability list.
const NEW_CAPABILITIES: [&str; 2] = ["extensions", "tasks"];

/// The revision for a client that asks for this one: that one, or the newest older one.
#[must_use]
pub fn revision(asked: &str) -> &'static str {
    LEGACY
        .into_iter()
        .find(|revision| *revision == asked)
        .unwrap_or(LEGACY_NEWEST)
}

/// The request with what the mesh wants to know of each one, and an older client said once.
///
/// # Errors
/// `INVALID_PARAMS` where its `_meta` is no object.
pub fn raised(
    request: &Request,
    client_info: Option<&str>,
    log_level: Option<&str>,
) -> Result<Request, Error> {
    let version = quoted(MESH);
    // What an older client can do for a server is not carried: so it is not offered.
    let mut members = vec![
        (META_VERSION, version.as_str()),
        (META_CLIENT_CAPABILITIES, "{}"),
    ];
    members.extend(client_info.map(|info| (META_CLIENT_INFO, info)));
    let level = log_level.map(quoted);
    members.extend(level.as_deref().map(|level| (META_LOG_LEVEL, level)));
    meta::with(request, &members)
        .map_err(|error| Error::new(Kind::InvalidParams, error.to_string()))
}

/// The answer without what the client's revision does not have. An error passes as it is.
///
/// # Errors
/// `INTERNAL_ERROR` where a server asks something back that this client can't be asked.
pub fn lowered(body: Bytes) -> Result<Bytes, Error> {
    let Ok(response) = Response::parse(body.clone()) else {
        return Ok(body);
    };
    let Some((at, result)) = response.result_span().zip(response.result()) else {
        return Ok(body);
    };
    let Some(members) = Members::read(result) else {
        return Ok(body);
    };
    match members.text("resultType").as_deref() {
        None | Some("complete") => {}
        Some(other) => {
            return Err(Error::new(
                Kind::InternalError,
                format!(
                    "the server answered with `{other}`, which needs a client of {MESH}: it wants \
                     something of the client before it goes on"
                ),
            ));
        }
    }
    let mut kept = Vec::with_capacity(members.0.len());
    for (name, value) in &members.0 {
        match name.as_ref() {
            name if NEW.contains(&name) => {}
            "_meta" => {
                let meta = older_meta(value.get());
                kept.extend((meta != "{}").then_some(("_meta", Cow::Owned(meta))));
            }
            name => kept.push((name, Cow::Borrowed(value.get()))),
        }
    }
    let result = object(kept.iter().map(|(name, value)| (*name, value.as_ref())));
    Ok(splice(&body, &[(at, &result)]).into())
}

fn older_meta(meta: &str) -> String {
    let Some(members) = Members::read(meta) else {
        return meta.to_owned();
    };
    let kept = members
        .0
        .iter()
        .filter(|(name, _)| name != META_SERVER_INFO);
    object(kept.map(|(name, value)| (name.as_ref(), value.get())))
}

/// The result of `initialize`, out of that of `server/discover`.
///
/// # Errors
/// `TOOL_EXECUTION_ERROR` where that is none.
pub fn opened(discovered: &str, revision: &str) -> Result<String, Error> {
    let broken = || {
        Error::new(
            Kind::ToolExecutionError,
            "the server's answer to `server/discover` can't be read",
        )
    };
    let found = Members::read(discovered).ok_or_else(broken)?;
    let capabilities = found.get("capabilities").ok_or_else(broken)?;
    let capabilities = older_capabilities(capabilities).ok_or_else(broken)?;
    let info = found
        .get("_meta")
        .and_then(Members::read)
        .and_then(|meta| meta.get(META_SERVER_INFO))
        .map_or_else(|| super::door::about_us().to_string(), str::to_owned);
    let revision = quoted(revision);
    let members = [
        ("protocolVersion", Some(revision.as_str())),
        ("capabilities", Some(capabilities.as_str())),
        ("serverInfo", Some(info.as_str())),
        ("instructions", found.get("instructions")),
    ];
    let there = members
        .iter()
        .filter_map(|(name, value)| Some((*name, (*value)?)));
    Ok(object(there))
}

/// What a client of an older revision is told that there is: all that reaches it.
fn older_capabilities(capabilities: &str) -> Option<String> {
    let members = Members::read(capabilities)?;
    let kept = members
        .0
        .iter()
        .filter(|(name, _)| !NEW_CAPABILITIES.contains(&name.as_ref()) && name != "logging")
        .map(|(name, value)| match name.as_ref() {
            // Told of by the gateway itself, whatever the server does.
            "tools" => ("tools", r#"{"listChanged":true}"#),
            // Not carried to older clients, neither of them.
            "prompts" => ("prompts", "{}"),
            "resources" => ("resources", "{}"),
            name => (name, value.get()),
        });
    // The level is kept by the gateway.
    Some(object(kept.chain([("logging", "{}")])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_client_gets_its_revision_or_the_newest_of_its_era() {
        assert_eq!(revision("2025-03-26"), "2025-03-26");
        for other in ["2026-07-28", "1999-01-01", ""] {
            assert_eq!(revision(other), LEGACY_NEWEST);
        }
    }

    #[test]
    fn a_request_says_what_the_session_said() {
        let request = Request::parse(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"progressToken":"p"}}}"#.into(),
        );
        let raised = raised(
            &request.expect("a request"),
            Some(r#"{"name":"c"}"#),
            Some("info"),
        );
        let raised = raised.expect("a request");
        let meta: serde_json::Value =
            serde_json::from_str(raised.meta().expect("meta")).expect("JSON");
        assert_eq!(
            meta,
            serde_json::json!({
                "progressToken": "p",
                META_VERSION: MESH,
                META_CLIENT_CAPABILITIES: {},
                META_CLIENT_INFO: {"name": "c"},
                META_LOG_LEVEL: "info",
            })
        );
    }

    #[test]
    fn a_result_loses_what_is_new_and_nothing_else() {
        let low = |text: &str| {
            let low = lowered(Bytes::from(text.to_owned())).expect("lowered");
            String::from_utf8(low.into()).expect("text")
        };
        let new = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","n":1e400,"ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"},"k":1}}}"#;
        assert_eq!(
            low(new),
            r#"{"jsonrpc":"2.0","id":1,"result":{"n":1e400,"_meta":{"k":1}}}"#
        );
        let old = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{}}}}"#;
        assert_eq!(low(old), r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#;
        assert_eq!(low(error), error);
        let asks = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required"}}"#;
        assert!(lowered(Bytes::from_static(asks.as_bytes())).is_err());
    }

    #[test]
    fn a_session_opens_with_what_reaches_it() {
        let discovered = r#"{"capabilities":{"tools":{},"resources":{"subscribe":true},"extensions":{},"completions":{}},"instructions":"i","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"}}}"#;
        assert_eq!(
            opened(discovered, "2025-06-18").expect("a result"),
            r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true},"resources":{},"completions":{},"logging":{}},"serverInfo":{"name":"s"},"instructions":"i"}"#
        );
        assert!(opened("[]", "2025-06-18").is_err());
    }
}
