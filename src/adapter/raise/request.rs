//! A request of the mesh as one line for a server of its era.

use std::ops::Range;

use crate::mcp::{
    Request,
    envelope::splice,
    members::{Members, end_of, object, span},
    version::{Era, MESH, META_CLIENT_CAPABILITIES, META_VERSION},
};

/// Names in `_meta` that only 2026-07-28 knows begin so.
const MODERN_PREFIX: &str = "io.modelcontextprotocol/";
/// Names what progress of a request is told under.
const PROGRESS_TOKEN: &str = "progressToken";

/// The request with this id (which is also its progress token, where it asks for progress), as
/// a server of this era understands it, without a line end in it.
///
/// A modern server gets what the mesh says by itself where the caller did not (2026-07-28, basic,
/// `_meta`: the protocol version and the client's capabilities are required). An older one gets
/// none of it: it knows both from its handshake.
///
/// ```
/// use weftbus::{adapter::raise::lower, mcp::{Request, version::Era}};
/// let body = r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":{"_meta":{"progressToken":"p"}}}"#;
/// let request = Request::parse(body.into())?;
/// let line = lower(&request, 7, Era::Legacy);
/// assert_eq!(line, br#"{"jsonrpc":"2.0","id":7,"method":"ping","params":{"_meta":{"progressToken":7}}}"#);
/// # Ok::<(), weftbus::mcp::envelope::EnvelopeError>(())
/// ```
#[must_use]
pub fn lower(request: &Request, id: u64, era: Era) -> Vec<u8> {
    let id = id.to_string();
    let mut edits: Vec<(Range<usize>, String)> = Vec::with_capacity(3);
    edits.extend(request.id_span().map(|at| (at, id.clone())));
    match era {
        Era::Modern => edits.extend(modern(request, &id)),
        Era::Legacy => edits.extend(legacy(request, &id)),
    }
    edits.sort_by_key(|(at, _)| at.start);
    let edits: Vec<(Range<usize>, &str)> = edits
        .iter()
        .map(|(at, text)| (at.clone(), text.as_str()))
        .collect();
    let mut line = splice(request.body(), &edits);
    // Inside of a string JSON has no bare control characters: these stand between tokens.
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line
}

/// What the mesh says where the caller said nothing.
fn defaults(present: &Members<'_>) -> String {
    let version = format!(r#""{MESH}""#);
    let missing: Vec<String> = [
        (META_VERSION, version.as_str()),
        (META_CLIENT_CAPABILITIES, "{}"),
    ]
    .into_iter()
    .filter(|(name, _)| !present.has(name))
    .map(|(name, value)| format!(r#""{name}":{value}"#))
    .collect();
    missing.join(",")
}

fn modern(request: &Request, id: &str) -> Vec<(Range<usize>, String)> {
    let Some((at, meta)) = request.meta_span().zip(request.meta()) else {
        let meta = format!(r#""_meta":{{{}}}"#, defaults(&Members::default()));
        return vec![match request.params_span().zip(request.params()) {
            Some((at, params)) => insert(at.start, params, &meta),
            None => {
                let body = std::str::from_utf8(request.body()).unwrap_or_default();
                insert(0, body, &format!(r#""params":{{{meta}}}"#))
            }
        }];
    };
    // Not an object: the server says so better than we could.
    let Some(members) = Members::read(meta) else {
        return Vec::new();
    };
    let mut edits = Vec::new();
    if let Some(token) = members.get(PROGRESS_TOKEN) {
        let token = span(meta, token);
        edits.push((at.start + token.start..at.start + token.end, id.to_owned()));
    }
    let missing = defaults(&members);
    if !missing.is_empty() {
        edits.push(insert(at.start, meta, &missing));
    }
    edits
}

fn legacy(request: &Request, id: &str) -> Option<(Range<usize>, String)> {
    let (at, meta) = request.meta_span().zip(request.meta())?;
    let members = Members::read(meta)?;
    let kept = members
        .0
        .iter()
        .filter(|(name, _)| !name.starts_with(MODERN_PREFIX))
        .map(|(name, value)| match name.as_ref() {
            PROGRESS_TOKEN => (PROGRESS_TOKEN, id),
            name => (name, value.get()),
        });
    let kept = object(kept);
    if kept == "{}" {
        return Some((whole_member(request, at), String::new()));
    }
    Some((at, kept))
}

/// Where `"_meta":{…}` stands with the comma that goes with it.
fn whole_member(request: &Request, value: Range<usize>) -> Range<usize> {
    let body = request.body();
    let blank = |at: &usize| body[*at].is_ascii_whitespace();
    // Back over the colon and the name, which ends and begins with a quote; what stands between
    // them may be escaped, but has no quote in it.
    let quote = |before: usize| (0..before).rev().find(|at| body[*at] == b'"');
    let name = quote(value.start).and_then(quote).unwrap_or(value.start);
    let after = (value.end..body.len()).find(|at| !blank(at));
    if let Some(comma) = after.filter(|at| body[*at] == b',') {
        return name..comma + 1;
    }
    match (0..name).rev().find(|at| !blank(at)) {
        Some(comma) if body[comma] == b',' => comma..value.end,
        _ => name..value.end,
    }
}

/// Adds members at the end of the object `text`, which begins at `start`.
fn insert(start: usize, text: &str, members: &str) -> (Range<usize>, String) {
    let (end, comma) = end_of(text);
    (start + end..start + end, format!("{comma}{members}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lowered(body: &str, era: Era) -> String {
        let request = Request::parse(body.to_owned().into()).expect("a request");
        String::from_utf8(lower(&request, 7, era)).expect("text")
    }

    const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

    #[test]
    fn a_modern_server_hears_what_the_caller_left_out() {
        for (body, line) in [
            (
                r#"{"jsonrpc":"2.0","id":"a","method":"tools/list"}"#,
                format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{{{META}}}}}"#),
            ),
            (
                r#"{"params":{ },"jsonrpc":"2.0","id":1,"method":"tools/list"} "#,
                format!(r#"{{"params":{{ {META}}},"jsonrpc":"2.0","id":7,"method":"tools/list"}} "#),
            ),
            (
                r#"{"jsonrpc":"2.0","params":{"_meta":{"progressToken":"x","io.modelcontextprotocol/protocolVersion":"v"}},"id":1,"method":"ping"}"#,
                r#"{"jsonrpc":"2.0","params":{"_meta":{"progressToken":7,"io.modelcontextprotocol/protocolVersion":"v","io.modelcontextprotocol/clientCapabilities":{}}},"id":7,"method":"ping"}"#.to_owned(),
            ),
        ] {
            assert_eq!(lowered(body, Era::Modern), line);
        }
    }

    #[test]
    fn what_is_complete_is_not_touched() {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"t","arguments":{{"n":1e400}},{META}}},"x":1.0}}"#
        );
        assert_eq!(lowered(&body, Era::Modern), body);
    }

    #[test]
    fn an_older_server_hears_nothing_that_it_does_not_know() {
        for (params, left) in [
            (format!("{{{META}}}"), "{}".to_owned()),
            (format!(r#"{{"a":1 , {META} }}"#), r#"{"a":1  }"#.to_owned()),
            (format!(r#"{{{META}, "a":1}}"#), r#"{ "a":1}"#.to_owned()),
            (
                r#"{"\u005fmeta":{"io.modelcontextprotocol/logLevel":"info"},"a":1}"#.to_owned(),
                r#"{"a":1}"#.to_owned(),
            ),
            (
                r#"{"_meta":{"traceparent":"t","io.modelcontextprotocol/clientInfo":{},"progressToken":5}}"#
                    .to_owned(),
                r#"{"_meta":{"traceparent":"t","progressToken":7}}"#.to_owned(),
            ),
        ] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"ping","params":{params}}}"#);
            let line = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"ping","params":{left}}}"#);
            assert_eq!(lowered(&body, Era::Legacy), line);
        }
    }

    #[test]
    fn a_request_is_one_line() {
        let body = "{\"jsonrpc\":\"2.0\",\r\n\"id\":7,\n\"method\":\"ping\"}";
        assert_eq!(
            lowered(body, Era::Legacy),
            r#"{"jsonrpc":"2.0",  "id":7, "method":"ping"}"#
        );
    }

    proptest::proptest! {
        /// However a request is laid out, the server reads the same arguments, on one line.
        #[test]
        fn a_request_keeps_its_arguments(
            text in "\\PC{0,8}",
            meta in proptest::option::of(proptest::sample::subsequence(
                vec!["progressToken", META_VERSION, META_CLIENT_CAPABILITIES, "traceparent"], 0..4,
            )),
            pretty in proptest::bool::ANY,
            modern in proptest::bool::ANY,
        ) {
            let mut request = serde_json::json!({
                "jsonrpc": "2.0", "params": {"name": "t", "arguments": {"a": text}}, "id": "x",
                "method": "tools/call",
            });
            if let Some(names) = &meta {
                let meta = names.iter().map(|name| ((*name).to_owned(), "v".into()));
                request["params"]["_meta"] = serde_json::Value::Object(meta.collect());
            }
            let body = if pretty {
                serde_json::to_string_pretty(&request)
            } else {
                serde_json::to_string(&request)
            };
            let era = if modern { Era::Modern } else { Era::Legacy };
            let line = lowered(&body.expect("JSON"), era);
            proptest::prop_assert!(!line.contains('\n'));
            let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            proptest::prop_assert_eq!(&read["id"], 7);
            proptest::prop_assert_eq!(&read["params"]["arguments"], &request["params"]["arguments"]);
            let names = meta.unwrap_or_default();
            let after = &read["params"]["_meta"];
            for name in ["progressToken", "traceparent"] {
                let kept = if name == "progressToken" { 7.into() } else { serde_json::Value::from("v") };
                let expected = names.contains(&name).then_some(&kept);
                proptest::prop_assert_eq!(after.get(name), expected);
            }
            for name in [META_VERSION, META_CLIENT_CAPABILITIES] {
                proptest::prop_assert_eq!(after.get(name).is_some(), modern);
            }
            proptest::prop_assert!(after.as_object().is_none_or(|meta| !meta.is_empty()));
        }
    }
}
