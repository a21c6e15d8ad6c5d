//! An answer of a server as the mesh carries it: the caller's id, and what its era did not have.

use std::ops::Range;

use memchr::memmem;

use super::{Added, CACHE_SCOPE, RESULT_TYPE, SERVER_INFO, TTL_MS};
use crate::{
    adapter::{message::Answer, status::Peer},
    call::Reply,
    mcp::{
        Method,
        envelope::splice,
        members::{Members, end_of, object, span},
        version::{Era, META_SERVER_INFO},
    },
};

/// The answer to `method`, under the caller's id as it spelt it.
///
/// A JSON-RPC error passes as the server made it, whatever its code: -32002 of an older server is
/// its own affair (2026-07-28, server/resources, Error Handling: clients accept it).
#[must_use]
pub(in crate::adapter) fn raise(answer: &Answer, method: &Method, id: &str, peer: &Peer) -> Reply {
    let mut edits: Vec<(Range<usize>, String)> = Vec::with_capacity(3);
    edits.push((answer.id.clone(), id.to_owned()));
    let failed = match answer.result() {
        None => true,
        Some(result) if peer.era == Era::Modern => {
            // The whole result is read only where the word stands in it somewhere.
            let may = memmem::find(result.as_bytes(), b"isError").is_some();
            may && Members::read(result).is_some_and(|members| says_error(&members))
        }
        Some(result) => Members::read(result).is_some_and(|members| {
            let start = answer.part.start;
            let more = additions(result, &members, method, peer);
            edits.extend(more.map(|(at, text)| (start + at..start + at, text)));
            says_error(&members)
        }),
    };
    edits.sort_by_key(|(at, _)| at.start);
    let edits: Vec<(Range<usize>, &str)> = edits
        .iter()
        .map(|(at, text)| (at.clone(), text.as_str()))
        .collect();
    Reply {
        body: splice(&answer.line, &edits).into(),
        failed,
    }
}

fn says_error(members: &Members<'_>) -> bool {
    members.get("isError") == Some("true")
}

/// What a result of an older server gains (see [`super::added`]), as places and texts.
fn additions(
    result: &str,
    members: &Members<'_>,
    method: &Method,
    peer: &Peer,
) -> impl Iterator<Item = (usize, String)> {
    let fixed = |added: &Added| (added.path[0], added.value.unwrap_or("null").to_owned());
    // basic, Responses: absent from an older server means `complete`.
    let mut missing = vec![fixed(&RESULT_TYPE)];
    if method.is_cacheable() {
        // server/utilities/caching, Cacheable Results.
        missing.extend([fixed(&TTL_MS), fixed(&CACHE_SCOPE)]);
    }
    let mut in_meta = None;
    // basic, General fields: `serverInfo` on every result.
    if let Some(info) = &peer.server_info {
        let info = info.get();
        match members.get(SERVER_INFO.path[0]) {
            None => {
                let meta = object([(META_SERVER_INFO, info)].into_iter());
                missing.push((SERVER_INFO.path[0], meta));
            }
            Some(meta) if Members::read(meta).is_some_and(|meta| !meta.has(META_SERVER_INFO)) => {
                let (end, comma) = end_of(meta);
                let at = span(result, meta).start + end;
                in_meta = Some((at, format!(r#"{comma}"{META_SERVER_INFO}":{info}"#)));
            }
            Some(_) => {}
        }
    }
    missing.retain(|(name, _)| !members.has(name));
    let at_end = (!missing.is_empty()).then(|| {
        let (end, comma) = end_of(result);
        let text = object(missing.iter().map(|(name, value)| (*name, value.as_str())));
        (end, format!("{comma}{}", &text[1..text.len() - 1]))
    });
    in_meta.into_iter().chain(at_end)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn peer(era: Era) -> Peer {
        Peer {
            era,
            revision: "2025-06-18".into(),
            server_info: RawValue::from_string(r#"{"name":"s"}"#.into()).ok(),
            capabilities: None,
            instructions: None,
        }
    }

    fn raised(line: &str, method: &Method, era: Era) -> (String, bool) {
        let answer = Answer::read(line).expect("an answer");
        let reply = raise(&answer, method, r#""caller""#, &peer(era));
        let body = String::from_utf8(reply.body.into()).expect("text");
        (body, reply.failed)
    }

    #[test]
    fn a_modern_answer_changes_its_id_alone() {
        let line =
            r#"{"result":{"x":1e400, "content":[{"isError":true}]},"id":7,"jsonrpc":"2.0","z":[]}"#;
        assert_eq!(
            raised(line, &Method::TOOLS_CALL, Era::Modern),
            (line.replace(":7,", r#":"caller","#), false)
        );
        let failed = r#"{"jsonrpc":"2.0","id":7,"result":{"isError":true,"content":[]}}"#;
        assert!(raised(failed, &Method::TOOLS_CALL, Era::Modern).1);
        let error = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32002,"message":"m"}}"#;
        let (body, failed) = raised(error, &Method::RESOURCES_READ, Era::Legacy);
        assert!(failed && body == error.replace(":7,", r#":"caller","#));
    }

    #[test]
    fn an_older_answer_gains_what_it_lacks() {
        let info = r#""io.modelcontextprotocol/serverInfo":{"name":"s"}"#;
        let caching = r#""ttlMs":0,"cacheScope":"private""#;
        for (method, result, more) in [
            (
                Method::TOOLS_CALL,
                r#"{"n":1.0,"a":1e400}"#,
                format!(r#"{{"n":1.0,"a":1e400,"resultType":"complete","_meta":{{{info}}}}}"#),
            ),
            (
                Method::TOOLS_LIST,
                "{}",
                format!(r#"{{"resultType":"complete",{caching},"_meta":{{{info}}}}}"#),
            ),
            (
                Method::TOOLS_LIST,
                r#"{"_meta":{"k":1} ,"ttlMs":5,"cacheScope":"public","resultType":"x"}"#,
                format!(
                    r#"{{"_meta":{{"k":1,{info}}} ,"ttlMs":5,"cacheScope":"public","resultType":"x"}}"#
                ),
            ),
            (Method::TOOLS_CALL, "7", "7".to_owned()),
        ] {
            for (before, after) in [(r#""id":7,"#, ""), ("", r#","id":7"#)] {
                let line = |before: &str, result: &str, after: &str| {
                    format!(r#"{{{before}"jsonrpc":"2.0","result":{result}{after}}}"#)
                };
                let (body, failed) = raised(&line(before, result, after), &method, Era::Legacy);
                let id = |text: &str| text.replace('7', r#""caller""#);
                assert_eq!(body, line(&id(before), &more, &id(after)));
                assert!(!failed);
            }
        }
        let failed = r#"{"jsonrpc":"2.0","id":7,"result":{"isError":true}}"#;
        assert!(raised(failed, &Method::TOOLS_CALL, Era::Legacy).1);
    }

    proptest::proptest! {
        /// Whatever a result holds and however it is spelt: it loses nothing, keeps its order,
        /// and gains only what is listed.
        #[test]
        fn an_answer_keeps_what_it_had(
            members in proptest::collection::btree_map(
                "[a-z]{1,3}|resultType|ttlMs|_meta|isError", "\\{\\}|1e400|\"\\PC{0,5}\"|\\[ 1.0 \\]|\\{ \"a\" : 1 \\}|true", 0..5,
            ),
            list in proptest::bool::ANY,
            blank in " {0,2}",
        ) {
            // Not every text between quotes is a string.
            let members: Vec<(String, String)> = members
                .into_iter()
                .filter(|(_, value)| serde_json::from_str::<&RawValue>(value).is_ok())
                .collect();
            let inner: Vec<String> =
                members.iter().map(|(name, value)| format!("{blank}\"{name}\"{blank}:{value}")).collect();
            let line = format!(
                r#"{{"id":7,{blank}"result":{{{}{blank}}},"jsonrpc":"2.0"}}"#, inner.join(","),
            );
            let method = if list { Method::TOOLS_LIST } else { Method::TOOLS_CALL };
            let (body, failed) = raised(&line, &method, Era::Legacy);
            let answer = Answer::read(&body).expect("an answer");
            let result = Members::read(answer.result().expect("a result")).expect("an object");
            for ((name, value), (key, had)) in result.0.iter().zip(&members) {
                proptest::prop_assert_eq!(name, key);
                let kept = value.get() == had || key == "_meta";
                proptest::prop_assert!(kept, "{}: {} was {}", key, value, had);
            }
            let had = |name: &str| members.iter().any(|(key, _)| key == name);
            let gained = crate::adapter::raise::added(Era::Legacy)
                .iter()
                .filter(|added| list || added.to == crate::adapter::raise::Where::Every)
                .filter(|added| !had(added.path[0]));
            proptest::prop_assert_eq!(result.0.len(), members.len() + gained.count());
            let says = members.iter().any(|(key, value)| key == "isError" && value == "true");
            proptest::prop_assert_eq!(failed, says);
        }
    }
}
