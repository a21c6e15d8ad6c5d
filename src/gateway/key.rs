//! The idempotency key of a call: a member of `_meta`, or the header of
//! draft-ietf-httpapi-idempotency-key-header.

use std::sync::Arc;

use axum::http::HeaderMap;

use super::headers;
use crate::{
    call::context,
    error::{Error, Kind, case},
    mcp::{
        Method, Request,
        members::{Members, quoted},
        meta,
    },
};

/// The member of `_meta`.
pub(super) const META: &str = "weftbus/idempotencyKey";
const HEADER: &str = "idempotency-key";

/// The key of a call; `None` where it has none, or calls no tool.
///
/// # Errors
/// `INVALID_PARAMS` where what stands there is no key.
pub(super) fn of(request: &Request) -> Result<Option<Arc<str>>, Error> {
    if *request.method() != Method::TOOLS_CALL {
        return Ok(None);
    }
    // Most calls have none: they are not read for it.
    let meta = request.meta().filter(|meta| meta.contains(META));
    let Some(meta) = meta.and_then(Members::read).filter(|meta| meta.has(META)) else {
        return Ok(None);
    };
    let Some(text) = meta.text(META) else {
        let said = format!("`_meta.{META}` is a string");
        return Err(Error::new(Kind::InvalidParams, said));
    };
    context::key(&text).map(Some)
}

/// A request with the key of its headers in its `_meta`, where they have one.
///
/// # Errors
/// `INVALID_REQUEST` (HEADER_MISMATCH) where `_meta` has another one.
pub(super) fn with_header(request: Request, headers: &HeaderMap) -> Result<Request, Error> {
    if !headers.contains_key(HEADER) || *request.method() != Method::TOOLS_CALL {
        return Ok(request);
    }
    let refuse = |said: &str| Error::new(Kind::InvalidRequest, said).case(case::HEADER_MISMATCH);
    let text = headers::one(headers, HEADER)
        .ok_or_else(|| refuse("the header `Idempotency-Key` stands there once, and is text"))?;
    // A string of RFC 9651 has quotes; many clients leave them out.
    let bare = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let key = context::key(bare.unwrap_or(text))?;
    match of(&request)? {
        Some(own) if own == key => Ok(request),
        Some(_) => Err(refuse(
            "the header `Idempotency-Key` and `_meta` of the request have different keys",
        )),
        None => meta::with(&request, &[(META, &quoted(&key))])
            .map_err(|error| Error::new(Kind::InvalidRequest, error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(meta: &str) -> Request {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"x","_meta":{meta}}}}}"#
        );
        Request::parse(body.into()).expect("a request")
    }

    fn headers(value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, value.parse().expect("a value"));
        headers
    }

    #[test]
    fn a_key_stands_in_meta() {
        let key = of(&request(r#"{"weftbus/idempotencyKey":"k\u002d1"}"#)).expect("read");
        assert_eq!(key.as_deref(), Some("k-1"));
        assert_eq!(of(&request("{}")).expect("read"), None);
        assert_eq!(
            of(&request(r#"{"a":"weftbus/idempotencyKey"}"#)).expect("read"),
            None
        );
        for bad in ["7", r#""""#, r#""a b""#] {
            let meta = format!(r#"{{"weftbus/idempotencyKey":{bad}}}"#);
            assert_eq!(
                of(&request(&meta)).expect_err("none").kind(),
                Kind::InvalidParams
            );
        }
    }

    #[test]
    fn a_key_in_the_headers_comes_into_meta() {
        for value in ["k-1", "\"k-1\""] {
            let with = with_header(request("{}"), &headers(value)).expect("taken");
            assert_eq!(of(&with).expect("read").as_deref(), Some("k-1"));
        }
        let own = || request(r#"{"weftbus/idempotencyKey":"k-1"}"#);
        assert!(with_header(own(), &headers("k-1")).is_ok());
        let other = with_header(own(), &headers("k-2")).expect_err("they differ");
        assert!(other.is_case(case::HEADER_MISMATCH));
        assert!(with_header(own(), &HeaderMap::new()).is_ok());
        assert!(with_header(request("{}"), &headers("a b")).is_err());
    }
}
