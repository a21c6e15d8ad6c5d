//! Answers of the endpoint itself: before there is a request, or anybody to answer.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    error::{Error, Kind, case},
    gateway::fault::Answer,
    http::BodyError,
    mcp::version::Era,
};

/// A refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    answer: Answer,
    authenticate: Option<String>,
}

impl Refusal {
    /// What becomes of an error that belongs to no request that could be read.
    pub(super) fn of(error: &Error) -> Self {
        Self {
            answer: Answer::of(error, None, None, Era::Modern),
            authenticate: challenge(error),
        }
    }

    /// What becomes of an error of a message that could be read in part.
    pub(super) fn to(id: Option<&str>, error: &Error, era: Era) -> Self {
        let mut answer = Answer::of(error, id, None, era);
        if id.is_none() {
            // There is no request, so there is no answer inside of which it could be told.
            answer.status = Self::of(error).answer.status;
        }
        Self {
            answer,
            authenticate: None,
        }
    }

    /// The same at another status.
    pub(super) fn at(status: StatusCode, error: &Error) -> Self {
        let mut refusal = Self::of(error);
        refusal.answer.status = status.as_u16();
        refusal
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = answered(self.answer);
        let challenge = self.authenticate.and_then(|text| text.try_into().ok());
        if let Some(challenge) = challenge {
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// What a client has to show (RFC 6750, 3). It is told of a token only where it sent one.
fn challenge(error: &Error) -> Option<String> {
    if error.kind() != Kind::AuthenticationFailed {
        return None;
    }
    if error.is_case(case::TOKEN_MISSING) {
        return Some(r#"Bearer realm="weft""#.to_owned());
    }
    // Our own words: no quote is in them.
    let why = error.message();
    Some(format!(
        r#"Bearer realm="weft", error="invalid_token", error_description="{why}""#
    ))
}

/// An answer as a response.
pub(super) fn answered(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    json(headers);
    let lacks = match answer.status {
        401 => Some(r#"Bearer realm="weft", error="invalid_token""#),
        403 => Some(r#"Bearer realm="weft", error="insufficient_scope""#),
        _ => None,
    };
    if let Some(lacks) = lacks {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(lacks));
    }
    if let Some(after) = answer.retry_after {
        // Whole seconds, and never too early.
        let seconds = after.as_millis().div_ceil(1000).max(1);
        if let Ok(value) = HeaderValue::try_from(seconds.to_string()) {
            headers.insert(header::RETRY_AFTER, value);
        }
    }
    response
}

/// A session that there is not, or not for this client: it opens another one.
pub(super) fn no_session() -> Refusal {
    let error = Error::new(
        Kind::InvalidRequest,
        "there is no such session (any more): open one with `initialize`",
    );
    Refusal::at(StatusCode::NOT_FOUND, &error)
}

/// A method of HTTP that this endpoint does not have.
pub(super) fn not_allowed() -> Response {
    let error = Error::new(
        Kind::InvalidRequest,
        "requests are sent with POST; GET and DELETE are for the sessions of older clients",
    );
    let mut response = Refusal::at(StatusCode::METHOD_NOT_ALLOWED, &error).into_response();
    let allowed = HeaderValue::from_static("POST");
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

impl From<BodyError> for Refusal {
    fn from(why: BodyError) -> Self {
        let (kind, case, status) = match why {
            BodyError::TooLarge(_) => (
                Kind::InvalidRequest,
                Some(case::REQUEST_TOO_LARGE),
                StatusCode::PAYLOAD_TOO_LARGE,
            ),
            BodyError::Full(_) => (
                Kind::ServerOverloaded,
                None,
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            BodyError::Slow(_) => (Kind::Timeout, None, StatusCode::REQUEST_TIMEOUT),
            BodyError::Broken(_) => (Kind::InvalidRequest, None, StatusCode::BAD_REQUEST),
        };
        let mut error = Error::new(kind, why.to_string());
        if let Some(case) = case {
            error = error.case(case);
        }
        Self::at(status, &error)
    }
}

fn json(headers: &mut HeaderMap) {
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    let fresh = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, fresh);
}
