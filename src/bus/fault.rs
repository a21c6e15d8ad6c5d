//! What the broker and its client library say, as errors of ours: one table.

use std::path::Path;

use async_nats::{ConnectError, ConnectErrorKind, PublishErrorKind, client::PublishError};

use tokio_rustls::rustls;

use crate::{
    error::{Error, Kind, Started, case},
    name::ServerName,
};

/// Nobody answers at these URLs.
pub(super) fn unreachable(urls: &[String], why: &str) -> Error {
    Error::new(
        Kind::ServerOverloaded,
        format!(
            "no broker at {}: {why}. Start one with `weft up`, or say where it is with WEFT_NATS_URL",
            urls.join(", ")
        ),
    )
    .case(case::BROKER_UNAVAILABLE)
}

/// A broker on another machine, and no TLS. Nothing was sent.
pub(super) fn in_the_clear(url: &str) -> Error {
    Error::new(
        Kind::InvalidRequest,
        format!(
            "{url} is another machine, and no TLS is asked for: whoever is between would read the \
             token. Write tls:// in place of nats://, or give `nats: {{ tls: {{ ca: FILE }} }}`; \
             where nobody is between, say --insecure (WEFT_INSECURE=1)"
        ),
    )
}

/// The library could not connect.
pub(super) fn connect(urls: &[String], error: &ConnectError) -> Error {
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => Error::new(
            Kind::AuthenticationFailed,
            format!(
                "the broker at {} refused the connection: the token or the credentials are \
                 wrong, expired or revoked. `weft token inspect` shows a token",
                urls.join(", ")
            ),
        ),
        ConnectErrorKind::Tls => no_tls(urls, error),
        _ if is_of_tls(error) => no_tls(urls, error),
        _ => unreachable(urls, &causes(error)),
    }
}

fn no_tls(urls: &[String], error: &ConnectError) -> Error {
    Error::new(
        Kind::InternalError,
        format!(
            "no TLS connection to {}: {}. Its authority is `nats.tls.ca`; where it asks for a \
             certificate, that is `nats.tls.cert`",
            urls.join(", "),
            causes(error)
        ),
    )
}

/// Whether TLS is what failed: most of it reaches us as an error of the connection.
fn is_of_tls(error: &ConnectError) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let inner = cause
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if cause.is::<rustls::Error>() || inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return true;
        }
        next = cause.source();
    }
    false
}

/// The credentials file could not be read.
pub(super) fn credentials(file: &Path, error: &std::io::Error) -> Error {
    Error::new(
        Kind::AuthenticationFailed,
        format!(
            "the credentials file {} can't be read: {error}",
            file.display()
        ),
    )
}

/// A publish that did not leave this process.
pub(super) fn publish(error: PublishError) -> Error {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Error::new(
            Kind::InvalidRequest,
            "the message is larger than the broker takes",
        )
        .case(case::REQUEST_TOO_LARGE),
        PublishErrorKind::InvalidSubject => Error::new(
            Kind::InvalidParams,
            "a name in the call can't stand in a subject",
        ),
        PublishErrorKind::Send => Error::new(
            Kind::ServerOverloaded,
            "the connection to the broker is gone",
        )
        .case(case::BROKER_UNAVAILABLE),
    }
    .source(error)
}

/// The connection went while a call was under way.
pub(super) fn lost() -> Error {
    Error::new(
        Kind::InternalError,
        "the connection to the broker was lost while the call was under way: nobody knows \
         whether it ran",
    )
    .case(case::CONNECTION_LOST)
    .started(Started::Maybe)
}

/// The connection took nothing for two seconds: the message was not sent.
pub(super) fn stuck() -> Error {
    Error::new(
        Kind::ServerOverloaded,
        "the connection to the broker took no message for 2 s; is the broker stopped?",
    )
    .case(case::BROKER_UNAVAILABLE)
}

/// The instance that had taken a call is not there any more.
pub(super) fn gone(server: &ServerName) -> Error {
    Error::new(
        Kind::InternalError,
        format!(
            "the instance of `{server}` that took the call went away: nobody knows whether it ran"
        ),
    )
    .case(case::CONNECTION_LOST)
    .started(Started::Maybe)
}

/// An answer that can't be read.
pub(super) fn garbled(server: &ServerName, why: &dyn std::fmt::Display) -> Error {
    Error::new(
        Kind::InternalError,
        format!("the answer of `{server}` can't be read: {why}"),
    )
    .started(Started::Maybe)
}

/// The connection was cut, and the broker does not let us in again.
pub(super) fn barred() -> Error {
    Error::new(
        Kind::AuthenticationFailed,
        "the broker cut the connection and refuses to make it anew: our token has expired or was \
         revoked. `weft token inspect` shows a token, `weft token issue` makes one",
    )
}

/// There is no connection now.
pub(super) fn down() -> Error {
    Error::new(
        Kind::ServerOverloaded,
        "there is no connection to the broker now; it is being made anew",
    )
    .case(case::BROKER_UNAVAILABLE)
}

/// An error and all that lies beneath it, in one line.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// The subject in the broker's `Permissions Violation for Publish to "…"`.
pub(super) fn denied_publish(server_error: &str) -> Option<&str> {
    quoted(server_error, "ermissions violation for publish to \"")
}

/// The subject in the broker's `Permissions Violation for Subscription to "…"`.
pub(super) fn denied_subscription(server_error: &str) -> Option<&str> {
    quoted(server_error, "ermissions violation for subscription to \"")
}

fn quoted<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let start = text.to_ascii_lowercase().find(before)? + before.len();
    text[start..].split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_denied_subject_is_found() {
        let publish = r#"Permissions Violation for Publish to "weft.v1.req.a.b.c""#;
        assert_eq!(denied_publish(publish), Some("weft.v1.req.a.b.c"));
        assert_eq!(denied_subscription(publish), None);
        let subscribe =
            r#"Permissions Violation for Subscription to "weft.v1.req.*.b.>" using queue "weft""#;
        assert_eq!(denied_subscription(subscribe), Some("weft.v1.req.*.b.>"));
    }
}
