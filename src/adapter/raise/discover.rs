//! What the adapter answers in a server's place.

use crate::{
    adapter::status::Peer,
    call::Reply,
    mcp::{
        Method, Request,
        members::{Members, object, quoted},
        version::{Era, MESH, META_SERVER_INFO},
    },
};

/// The answer to a request that needs no server: `ping`, which 2026-07-28 does not have and which
/// asks only whether the next hop lives, and `server/discover` of a server that is older than it.
#[must_use]
pub fn answered_here(request: &Request, peer: &Peer) -> Option<Reply> {
    let id = request.id()?;
    let result = if *request.method() == Method::PING {
        r#"{"resultType":"complete"}"#.to_owned()
    } else if *request.method() == Method::DISCOVER && peer.era == Era::Legacy {
        discovered(peer)
    } else {
        return None;
    };
    Some(Reply {
        body: format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#).into(),
        failed: false,
    })
}

/// A `DiscoverResult` out of an `InitializeResult` (2026-07-28, server/discover).
fn discovered(peer: &Peer) -> String {
    let versions = format!(r#"["{MESH}"]"#);
    let capabilities = peer.capabilities.as_ref().map_or("{}", |raw| raw.get());
    let capabilities = carried(capabilities);
    let instructions = peer.instructions.as_deref().map(quoted);
    let meta = peer
        .server_info
        .as_ref()
        .map(|info| object([(META_SERVER_INFO, info.get())].into_iter()));
    let members = [
        ("resultType", Some(r#""complete""#)),
        ("supportedVersions", Some(versions.as_str())),
        ("capabilities", Some(capabilities.as_str())),
        ("instructions", instructions.as_deref()),
        ("ttlMs", Some("0")),
        ("cacheScope", Some(r#""private""#)),
        ("_meta", meta.as_deref()),
    ];
    let there = |(name, value): (&'static str, Option<&'_ str>)| Some((name, value?.to_owned()));
    let members: Vec<_> = members.into_iter().filter_map(there).collect();
    object(members.iter().map(|(name, value)| (*name, value.as_str())))
}

/// The capabilities of an older server that reach through the adapter: not its tasks, which are
/// not those of 2026-07-28, and not `resources.subscribe`, which is refused.
fn carried(capabilities: &str) -> String {
    let Some(members) = Members::read(capabilities) else {
        return "{}".to_owned();
    };
    let kept: Vec<(&str, String)> = members
        .0
        .iter()
        .filter(|(name, _)| name != "tasks")
        .map(|(name, value)| {
            let value = match (name.as_ref(), Members::read(value.get())) {
                ("resources", Some(inner)) => object(
                    inner
                        .0
                        .iter()
                        .filter(|(name, _)| name != "subscribe")
                        .map(|(name, value)| (name.as_ref(), value.get())),
                ),
                _ => value.get().to_owned(),
            };
            (name.as_ref(), value)
        })
        .collect();
    object(kept.iter().map(|(name, value)| (*name, value.as_str())))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json, value::RawValue};

    use super::*;

    fn asked(method: &str, era: Era) -> Option<Value> {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).ok();
        let peer = Peer {
            era,
            revision: "2025-06-18".into(),
            server_info: raw(r#"{"name":"s","version":"1"}"#),
            capabilities: raw(
                r#"{"tools":{"listChanged":true},"resources":{"subscribe":true,"x":1},"tasks":{}}"#,
            ),
            instructions: Some("say \"please\"".into()),
        };
        let body = format!(r#"{{"jsonrpc":"2.0","id":"a","method":"{method}"}}"#);
        let request = Request::parse(body.into()).expect("a request");
        let reply = answered_here(&request, &peer)?;
        Some(serde_json::from_slice(&reply.body).expect("JSON"))
    }

    #[test]
    fn discover_of_an_older_server_is_answered_from_its_handshake() {
        assert_eq!(
            asked("server/discover", Era::Legacy),
            Some(json!({"jsonrpc": "2.0", "id": "a", "result": {
                "resultType": "complete",
                "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {"listChanged": true}, "resources": {"x": 1}},
                "instructions": "say \"please\"",
                "ttlMs": 0,
                "cacheScope": "private",
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "1"}},
            }}))
        );
        assert_eq!(asked("server/discover", Era::Modern), None);
        assert_eq!(asked("tools/list", Era::Legacy), None);
        assert!(asked("ping", Era::Modern).is_some());
    }
}
