//! The words of an opening: what is asked, and what the answers say. Pure.

use serde_json::value::RawValue;

use super::{message::Answer, plain::plain, status::Peer};
use crate::{
    mcp::members::{Members, quoted},
    mcp::version::{
        Era, LEGACY, LEGACY_NEWEST, MESH, META_CLIENT_CAPABILITIES, META_CLIENT_INFO,
        META_SERVER_INFO, META_VERSION,
    },
};

/// How much of a server's own words stands in an error.
const WORDS_MAX: usize = 300;

/// What the question for the era gave.
pub(super) enum Probe {
    /// It is modern.
    Modern(Peer),
    /// It is older, and can be opened.
    Legacy,
    /// It is older or something went wrong: ask a successor.
    Successor,
    /// It can't be spoken with.
    Foreign(String),
}

/// The parameters of `initialize`. No capabilities: nothing that a server asks is answered.
pub(super) fn opening() -> String {
    format!(
        r#""protocolVersion":"{LEGACY_NEWEST}","capabilities":{{}},"clientInfo":{}"#,
        client_info()
    )
}

/// What an answer to `server/discover` says of the era.
pub(super) fn judged(answer: &Answer) -> Probe {
    match answer.error() {
        Some(error) => refused(error),
        None => discovered(answer.result().unwrap_or_default()),
    }
}

/// What an error in place of an answer to `server/discover` says of the era.
pub(super) fn refused(error: &str) -> Probe {
    let error = Members::read(error).unwrap_or_default();
    let code = error.get("code").and_then(|code| code.parse::<i64>().ok());
    match code {
        // Unsupported protocol version: its data says which ones are supported.
        Some(-32022) => {
            let data = error
                .get("data")
                .and_then(Members::read)
                .unwrap_or_default();
            versions(data.get("supported")).unwrap_or(Probe::Legacy)
        }
        // Only 2026-07-28 has these; what it is could not be had, but it serves.
        Some(-32021 | -32020) => Probe::Modern(Peer {
            era: Era::Modern,
            revision: MESH.to_owned(),
            server_info: None,
            capabilities: None,
            instructions: None,
        }),
        _ => Probe::Legacy,
    }
}

/// A request of the adapter itself, with what its era asks for.
pub(super) fn request(id: u64, method: &str, params: &str, era: Era) -> Vec<u8> {
    let meta = match era {
        Era::Legacy => String::new(),
        // basic, `_meta`: the first two are required, the third should be there.
        Era::Modern => format!(
            r#"{}"_meta":{{"{META_VERSION}":"{MESH}","{META_CLIENT_CAPABILITIES}":{{}},"{META_CLIENT_INFO}":{}}}"#,
            if params.is_empty() { "" } else { "," },
            client_info()
        ),
    };
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{meta}}}}}"#)
        .into_bytes()
}

/// The answer to a request of the server: we live, and can do nothing else for it. At once: a
/// server that waits for one does not end when it is told to.
pub(super) fn refusal(id: &str, method: &str) -> Vec<u8> {
    let outcome = if method == "ping" {
        r#""result":{}"#.to_owned()
    } else {
        let method: String = method.chars().take(96).collect();
        let why = quoted(&format!("this client has no `{method}`"));
        format!(r#""error":{{"code":-32601,"message":{why}}}"#)
    };
    format!(r#"{{"jsonrpc":"2.0","id":{id},{outcome}}}"#).into_bytes()
}

fn client_info() -> String {
    format!(
        r#"{{"name":"weft","version":"{}"}}"#,
        env!("CARGO_PKG_VERSION")
    )
}

fn discovered(result: &str) -> Probe {
    let Some(members) = Members::read(result) else {
        return Probe::Legacy;
    };
    let Some(Probe::Modern(peer)) = versions(members.get("supportedVersions")) else {
        return versions(members.get("supportedVersions")).unwrap_or(Probe::Legacy);
    };
    let meta = members.get("_meta").and_then(Members::read);
    Probe::Modern(Peer {
        server_info: meta.and_then(|meta| meta.get(META_SERVER_INFO).and_then(raw)),
        capabilities: members.get("capabilities").and_then(raw),
        instructions: members.text("instructions"),
        ..peer
    })
}

/// What follows from the versions that a server names; `None` where it names none.
fn versions(supported: Option<&str>) -> Option<Probe> {
    let supported: Vec<String> = serde_json::from_str(supported?).ok()?;
    let has = |version: &str| supported.iter().any(|named| named == version);
    Some(if has(MESH) {
        Probe::Modern(Peer {
            era: Era::Modern,
            revision: MESH.to_owned(),
            server_info: None,
            capabilities: None,
            instructions: None,
        })
    } else if LEGACY.iter().any(|version| has(version)) {
        // A process may be bound to the era of its first message.
        Probe::Successor
    } else {
        Probe::Foreign(unspoken(&supported.join(", ")))
    })
}

fn unspoken(versions: &str) -> String {
    let versions = cut(versions);
    format!(
        "it speaks MCP {versions} only, and this version of Weft speaks {MESH} and {}: update the \
         one that is older",
        LEGACY.join(", ")
    )
}

/// What an answer to `initialize` says of the server, or why it can't be spoken with.
pub(super) fn initialized(answer: &Answer) -> Result<Peer, String> {
    if let Some(error) = answer.error() {
        return Err(format!(
            "it refused `initialize`: {}. Is its configuration complete?",
            cut(error)
        ));
    }
    let result = answer.result().and_then(Members::read);
    let result = result.ok_or("its answer to `initialize` is no object")?;
    let revision = result
        .text("protocolVersion")
        .ok_or("its answer to `initialize` names no `protocolVersion`")?;
    if !LEGACY.contains(&revision.as_str()) {
        return Err(unspoken(&revision));
    }
    Ok(Peer {
        era: Era::Legacy,
        revision,
        server_info: result.get("serverInfo").and_then(raw),
        capabilities: result.get("capabilities").and_then(raw),
        instructions: result.text("instructions"),
    })
}

fn raw(text: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(text.to_owned()).ok()
}

fn cut(words: &str) -> String {
    plain(words.as_bytes()).chars().take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_decide() {
        let decide = |named: &str| versions(Some(named));
        assert!(matches!(
            decide(r#"["2026-07-28"]"#),
            Some(Probe::Modern(_))
        ));
        assert!(matches!(
            decide(r#"["2025-11-25"]"#),
            Some(Probe::Successor)
        ));
        let Some(Probe::Foreign(why)) = decide(r#"["2031-01-01"]"#) else {
            panic!("nobody speaks it");
        };
        assert!(
            why.contains("2031-01-01") && why.contains("2026-07-28"),
            "{why}"
        );
        assert!(versions(None).is_none());
    }

    #[test]
    fn the_answer_to_the_question_tells_the_era() {
        let judge = |part: &str| {
            let line = format!(r#"{{"jsonrpc":"2.0","id":1,{part}}}"#);
            match judged(&Answer::read(&line).expect("an answer")) {
                Probe::Modern(peer) => format!("modern {}", peer.capabilities.is_some()),
                Probe::Legacy => "legacy".to_owned(),
                Probe::Successor => "successor".to_owned(),
                Probe::Foreign(_) => "foreign".to_owned(),
            }
        };
        for (part, era) in [
            (
                r#""result":{"supportedVersions":["2026-07-28"],"capabilities":{}}"#,
                "modern true",
            ),
            (
                r#""result":{"supportedVersions":["2025-06-18"],"capabilities":{}}"#,
                "successor",
            ),
            (
                r#""result":{"supportedVersions":["2031-01-01"]}"#,
                "foreign",
            ),
            // An older server that answers anything to anything.
            (r#""result":{}"#, "legacy"),
            (r#""error":{"code":-32601,"message":"m"}"#, "legacy"),
            (r#""error":{"code":-32602,"message":"m"}"#, "legacy"),
            (r#""error":{"code":-32021,"message":"m"}"#, "modern false"),
            (
                r#""error":{"code":-32022,"message":"m","data":{"supported":["2031-01-01"]}}"#,
                "foreign",
            ),
            (
                r#""error":{"code":-32022,"message":"m","data":{"supported":["2025-11-25"]}}"#,
                "successor",
            ),
            (r#""error":{"code":-32022,"message":"m"}"#, "legacy"),
            (r#""error":7"#, "legacy"),
        ] {
            assert_eq!(judge(part), era, "{part}");
        }
    }

    #[test]
    fn a_handshake_is_read() {
        let read = |part: &str| {
            let line = format!(r#"{{"jsonrpc":"2.0","id":1,{part}}}"#);
            initialized(&Answer::read(&line).expect("an answer"))
        };
        let peer = read(
            r#""result":{"protocolVersion":"2024-11-05","capabilities":{ "x":1e400},"serverInfo":{"name":"s"}}"#,
        );
        let peer = peer.expect("a peer");
        assert_eq!(peer.revision, "2024-11-05");
        assert_eq!(peer.capabilities.expect("some").get(), r#"{ "x":1e400}"#);
        for (part, why) in [
            (r#""result":{"protocolVersion":"2019-01-01"}"#, "2019-01-01"),
            (r#""result":{}"#, "names no"),
            (r#""result":[]"#, "no object"),
            (
                r#""error":{"code":-32022,"message":"no","data":{"supported":["2031-01-01"]}}"#,
                "2031-01-01",
            ),
        ] {
            let error = read(part).expect_err(part);
            assert!(error.contains(why), "{part}: {error}");
        }
    }

    #[test]
    fn requests_of_a_server_are_answered() {
        let answer = |id, method| String::from_utf8(refusal(id, method)).expect("text");
        assert_eq!(
            answer("0", "ping"),
            r#"{"jsonrpc":"2.0","id":0,"result":{}}"#
        );
        assert_eq!(
            answer(r#""a""#, "roots/list"),
            r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32601,"message":"this client has no `roots/list`"}}"#
        );
    }

    #[test]
    fn own_requests_are_those_of_the_era() {
        let modern = String::from_utf8(request(1, "tools/list", r#""cursor":"""#, Era::Modern));
        let read: serde_json::Value = serde_json::from_str(&modern.expect("text")).expect("JSON");
        assert_eq!(read["params"]["cursor"], "");
        assert_eq!(read["params"]["_meta"][META_VERSION], MESH);
        assert_eq!(
            request(1, "x", "", Era::Legacy),
            br#"{"jsonrpc":"2.0","id":1,"method":"x","params":{}}"#
        );
    }
}
