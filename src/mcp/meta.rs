//! `_meta` of a request: members added where it does not have them, by splicing.

use std::ops::Range;

use bytes::Bytes;

use super::{
    Request,
    envelope::{EnvelopeError, splice},
    members::{Members, end_of, object},
};

/// The request with these members (names, and values as JSON) in `params._meta`, where it does not
/// have them. All else stays as it was spelt.
///
/// ```
/// use weftbus::mcp::{Request, meta};
/// let request = Request::parse(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.into())?;
/// let with = meta::with(&request, &[("a", "1")])?;
/// assert_eq!(with.body(), r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"a":1}}}"#);
/// # Ok::<(), weftbus::mcp::envelope::EnvelopeError>(())
/// ```
///
/// # Errors
/// [`EnvelopeError`] where what comes of it is no request: `_meta` is no object.
pub fn with(request: &Request, members: &[(&str, &str)]) -> Result<Request, EnvelopeError> {
    if request.meta().is_some_and(|meta| !meta.starts_with('{')) {
        return Err(EnvelopeError::Shape {
            what: "request",
            why: "`params._meta` is no object".to_owned(),
        });
    }
    let Some((at, text)) = added(request, members) else {
        return Ok(request.clone());
    };
    let body = splice(request.body(), &[(at, text.as_str())]);
    Request::parse(Bytes::from(body))
}

/// What is added, and where; `None` where nothing is missing.
fn added(request: &Request, members: &[(&str, &str)]) -> Option<(Range<usize>, String)> {
    let there = request.meta().and_then(Members::read).unwrap_or_default();
    let missing = members.iter().filter(|(name, _)| !there.has(name));
    let missing = object(missing.copied());
    if missing == "{}" {
        return None;
    }
    if let Some((at, meta)) = request.meta_span().zip(request.meta()) {
        return Some(insert(at.start, meta, &missing[1..missing.len() - 1]));
    }
    let meta = format!(r#""_meta":{missing}"#);
    // Behind the name, where there is one: that place is known.
    if let Some(at) = request.name_span() {
        return Some((at.end..at.end, format!(",{meta}")));
    }
    Some(match request.params_span().zip(request.params()) {
        Some((at, params)) => insert(at.start, params, &meta),
        None => {
            let body = std::str::from_utf8(request.body()).unwrap_or_default();
            insert(0, body, &format!(r#""params":{{{meta}}}"#))
        }
    })
}

/// Adds members at the end of the object `text`, which begins at `start`.
fn insert(start: usize, text: &str, members: &str) -> (Range<usize>, String) {
    let (end, comma) = end_of(text);
    (start + end..start + end, format!("{comma}{members}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_added_where_they_are_missing() {
        let request = |text: &str| Request::parse(text.to_owned().into()).expect("a request");
        for (before, after) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{ }}"#,
                r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{ "_meta":{"a":1,"b":"x"}}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"params":{"n":1e400,"_meta":{"a":2}},"method":"ping"}"#,
                r#"{"jsonrpc":"2.0","id":1,"params":{"n":1e400,"_meta":{"a":2,"b":"x"}},"method":"ping"}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"b":0,"a":2}}}"#,
                r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"b":0,"a":2}}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{}}}"#,
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"a":1,"b":"x"},"arguments":{}}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\u0074"}}"#,
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\u0074","_meta":{"a":1,"b":"x"}}}"#,
            ),
        ] {
            let with = with(&request(before), &[("a", "1"), ("b", r#""x""#)]).expect("a request");
            assert_eq!(with.body(), after);
        }
    }

    /// Beside a text or a list they would stand in `params`, where the client's own members are.
    #[test]
    fn only_an_object_takes_members() {
        for (meta, takes) in [
            (r#"{"c":"x"}"#, true),
            (r#""x""#, false),
            ("[]", false),
            ("null", false),
        ] {
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"_meta":{meta}}}}}"#
            );
            let request = Request::parse(body.into()).expect("a request");
            assert_eq!(with(&request, &[("a", "1")]).is_ok(), takes, "{meta}");
        }
    }
}
