//! A call as a message, and a message as a call: headers and bodies.

use std::{sync::Arc, time::Duration};

use async_nats::{HeaderMap, HeaderName, HeaderValue, Message};
use bytes::Bytes;

use crate::{
    call::{Call, context::Correlation},
    error::{Error, Kind, case},
    name::header::{self, Terms},
};

// Made once: the library would check and copy a name that is given as text, for each look.
const WEFT: HeaderName = HeaderName::from_static(header::WEFT);
const AUTHORIZATION: HeaderName = HeaderName::from_static(header::AUTHORIZATION);
pub(super) const FRAME: HeaderName = HeaderName::from_static(header::FRAME);
pub(super) const SERVICE_ERROR: HeaderName = HeaderName::from_static(header::SERVICE_ERROR);
pub(super) const SERVICE_ERROR_CODE: HeaderName =
    HeaderName::from_static(header::SERVICE_ERROR_CODE);
pub(super) const STREAM: HeaderName = HeaderName::from_static(header::STREAM);

/// A remaining time this near to the default is the default: it need not travel.
const TIMEOUT_NEAR: Duration = Duration::from_millis(500);

/// The first value of a header.
pub(super) fn header<'a>(message: &'a Message, name: &HeaderName) -> Option<&'a str> {
    // There are one or two: to look at them is less work than to hash a name.
    let mut headers = message.headers.as_ref()?.iter();
    let (_, values) = headers.find(|(known, _)| *known == name)?;
    values.first().map(HeaderValue::as_str)
}

/// What a call's header says; the token is added by who sends it.
pub(super) fn terms(call: &Call) -> Terms {
    let context = &call.context;
    let remaining = context.remaining();
    let near = remaining.abs_diff(header::TIMEOUT) <= TIMEOUT_NEAR;
    Terms {
        correlation: match &context.correlation {
            Correlation::Given(text) => Some(Arc::clone(text)),
            Correlation::Derived(_) => None,
        },
        remaining: (!near).then_some(remaining),
        attempt: (context.attempt > 1).then_some(context.attempt),
        key: context.key.clone(),
        ..Terms::default()
    }
}

/// Headers of a request: the terms, where they say anything, and the bearer.
///
/// # Errors
/// `INVALID_PARAMS` where a value can't stand in a header.
pub(super) fn request_headers(
    terms: &Terms,
    bearer: Option<&str>,
) -> Result<Option<HeaderMap>, Error> {
    if terms.is_default() && bearer.is_none() {
        return Ok(None);
    }
    let mut headers = HeaderMap::new();
    if !terms.is_default() {
        if terms.key.as_deref().is_some_and(|key| key.contains(';')) {
            return Err(unfit());
        }
        headers.insert(WEFT, value(&terms.encode())?);
    }
    if let Some(bearer) = bearer {
        headers.insert(AUTHORIZATION, value(&format!("Bearer {bearer}"))?);
    }
    Ok(Some(headers))
}

/// Headers of a frame.
pub(super) fn frame_headers(frame: header::Frame, terms: &Terms) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(FRAME, plain(&frame.encode()));
    if !terms.is_default() {
        headers.insert(WEFT, plain(&terms.encode()));
    }
    headers
}

/// Headers of a terminal; none at all for a plain answer without frames.
pub(super) fn terminal_headers(terms: &Terms, error: Option<(i64, &str)>) -> Option<HeaderMap> {
    if terms.is_default() && error.is_none() {
        return None;
    }
    let mut headers = HeaderMap::new();
    if !terms.is_default() {
        headers.insert(WEFT, plain(&terms.encode()));
    }
    if let Some((code, message)) = error {
        headers.insert(SERVICE_ERROR, plain(message));
        headers.insert(SERVICE_ERROR_CODE, plain(&code.to_string()));
    }
    Some(headers)
}

/// A value that a caller had a hand in: checked, because the library panics on line ends.
fn value(text: &str) -> Result<HeaderValue, Error> {
    text.parse().map_err(|_| unfit())
}

/// With a `;` in it, one field would be two.
fn unfit() -> Error {
    Error::new(
        Kind::InvalidParams,
        "a correlation id, key or token of the call can't stand in a header",
    )
}

/// A value of our own: line ends and what is not ASCII become spaces, 512 bytes at most.
fn plain(text: &str) -> HeaderValue {
    let clean: String = text
        .chars()
        .take(512)
        .map(|c| if c.is_ascii_graphic() { c } else { ' ' })
        .collect();
    clean.parse().unwrap_or_else(|_| HeaderValue::new())
}

/// The `Weft` header of a message.
///
/// # Errors
/// `INVALID_REQUEST` where it can't be read.
pub(super) fn read_terms(message: &Message) -> Result<Terms, Error> {
    header(message, &WEFT).map_or_else(
        || Ok(Terms::default()),
        |text| {
            Terms::parse(text).map_err(|error| {
                Error::new(Kind::InvalidRequest, error.to_string()).case(case::HEADER_MISMATCH)
            })
        },
    )
}

/// The bearer of a message.
pub(super) fn bearer(message: &Message) -> Option<&str> {
    header(message, &AUTHORIZATION)?.strip_prefix("Bearer ")
}

/// The response that says an error.
pub(super) fn error_body(id: Option<&str>, error: &Error) -> Bytes {
    let fault = serde_json::to_string(&error.to_fault())
        .unwrap_or_else(|_| r#"{"code":-32603,"message":"an error without words"}"#.to_owned());
    let id = id.unwrap_or("null");
    Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{fault}}}"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_answer_has_no_header() {
        assert!(terminal_headers(&Terms::default(), None).is_none());
        let headers = terminal_headers(&Terms::default(), Some((-32001, "no\r\nsuch ä")));
        let headers = headers.expect("an error has headers");
        let text = headers.get(header::SERVICE_ERROR).map(HeaderValue::as_str);
        assert_eq!(text, Some("no  such  "));
    }

    #[test]
    fn a_line_end_in_a_callers_value_is_refused() {
        let terms = Terms {
            key: Some("a\r\nb".into()),
            ..Terms::default()
        };
        let error = request_headers(&terms, None).expect_err("refused");
        assert_eq!(error.kind(), Kind::InvalidParams);
        let two = Terms {
            key: Some("a;ms=1".into()),
            ..Terms::default()
        };
        assert!(request_headers(&two, None).is_err());
        let good = Terms {
            key: Some("a-b".into()),
            ..Terms::default()
        };
        assert!(request_headers(&good, Some("jwt")).is_ok());
    }
}
