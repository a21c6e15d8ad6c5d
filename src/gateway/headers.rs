//! The headers in which clients of 2026-07-28 repeat what the body says: they must say the same
//! (basic/transports, Standard Request Headers). The body is the truth.

use std::borrow::Cow;

use axum::http::HeaderMap;

use super::{
    door::Door,
    fault::Answer,
    parameter::{self, Parameter},
};
use crate::mcp::{Request, version::MESH};

/// The revision.
pub(super) const VERSION: &str = "mcp-protocol-version";
/// The session of an older client.
pub(super) const SESSION: &str = "mcp-session-id";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
const PARAMETER: &str = "mcp-param-";

/// A header that does not say what the body says (2026-07-28, basic, Error Codes).
const MISMATCH: i64 = -32020;

/// The value of a header that stands once and is text.
pub(super) fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Whether the headers say that the request is of 2026-07-28 or later.
pub(super) fn say_modern(headers: &HeaderMap) -> bool {
    // Revisions are dates: their order is that of their text.
    one(headers, VERSION).is_some_and(|version| version >= MESH)
}

/// Checks the revision in the headers against that of the body, before either is judged.
///
/// # Errors
/// The answer to one whose headers say something else, or nothing.
pub(super) fn check_version(
    headers: &HeaderMap,
    request: &Request,
    version: Option<&str>,
) -> Result<(), Answer> {
    let Some(version) = version else {
        return Ok(());
    };
    same(headers, VERSION, version)
        .map_err(|why| Answer::refused(MISMATCH, &why, None, request.id()))
}

/// Checks the other headers of a request against its body.
///
/// # Errors
/// The answer to one whose headers say something else, or nothing.
pub(super) fn check(headers: &HeaderMap, request: &Request, door: &Door) -> Result<(), Answer> {
    let refuse = |why: String| Answer::refused(MISMATCH, &why, None, request.id());
    same(headers, METHOD, request.method().as_str()).map_err(refuse)?;
    if let Some(name) = request.name() {
        same(headers, NAME, name).map_err(refuse)?;
    }
    let Some(of) = door.parameters(request) else {
        return Ok(());
    };
    parameters(headers, request, &of).map_or(Ok(()), |why| Err(refuse(why)))
}

fn same(headers: &HeaderMap, name: &str, body: &str) -> Result<(), String> {
    match one(headers, name).map(parameter::decoded) {
        None => Err(format!("the header `{name}` is missing, or stands twice")),
        Some(said) if said.as_deref() == Some(body) => Ok(()),
        Some(_) => Err(format!(
            "the header `{name}` does not say what the body says"
        )),
    }
}

/// What is wrong with the headers that repeat arguments, where something is.
fn parameters(headers: &HeaderMap, request: &Request, of: &[Parameter]) -> Option<String> {
    let arguments = parameter::arguments(request.params());
    of.iter().find_map(|parameter| {
        let name = Cow::from(format!("{PARAMETER}{}", parameter.header));
        let header = match headers.contains_key(&*name) {
            true => Some(one(headers, &name).unwrap_or_default()),
            false => None,
        };
        parameter.differs(header, &arguments)
    })
}
