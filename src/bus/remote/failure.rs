//! What a caller is told of a call that was not answered as it should be.

use async_nats::Message;

use super::exchange::SILENCE_MAX;
use crate::{
    bus::{fault, parts::PartError, wire},
    call::Call,
    error::{Error, Kind, Origin, Started, case},
    mcp::Fault,
    name::ServerName,
};

/// The error in a body, where the mesh or an adapter made it.
pub(super) fn mesh_error(body: &[u8]) -> Option<Error> {
    #[derive(serde::Deserialize)]
    struct Failed {
        error: Fault,
    }
    let failed: Failed = serde_json::from_slice(body).ok()?;
    Error::from_fault(&failed.error)
}

pub(super) fn silent(call: &Call) -> Error {
    Error::new(
        Kind::Timeout,
        format!(
            "`{}` accepted the call and said nothing for {} s",
            call.server,
            SILENCE_MAX.as_secs()
        ),
    )
    .started(Started::Maybe)
}

/// It may lie before an instance that stands still, and begin when that one goes on.
pub(super) fn not_taken(call: &Call) -> Error {
    let waited = call.context.patience.unwrap_or_default();
    Error::new(
        Kind::Timeout,
        format!(
            "no instance of `{}` took the call within {} ms",
            call.server,
            waited.as_millis()
        ),
    )
    .started(Started::Maybe)
}

/// Parts that make no answer: it was made, but it did not arrive.
pub(super) fn broken(server: &ServerName, error: &PartError) -> Error {
    match error {
        PartError::Large { size, limit } => Error::new(
            Kind::ToolExecutionError,
            format!("the answer of `{server}` has {size} bytes; at most {limit} are taken"),
        )
        .case(case::RESULT_TOO_LARGE)
        .with("limitBytes", *limit)
        .started(Started::Yes),
        _ => fault::garbled(server, error),
    }
}

/// The error of a plain micro service, which stands in its headers alone.
pub(super) fn wordless(server: &ServerName, message: &Message) -> Error {
    let header = |name| wire::header(message, name).unwrap_or_default();
    let (code, text) = (
        header(&wire::SERVICE_ERROR_CODE),
        header(&wire::SERVICE_ERROR),
    );
    Error::new(
        Kind::ToolExecutionError,
        format!("`{server}` answered with error {code}: {text}"),
    )
    .origin(Origin::Server)
    .started(Started::Yes)
}

pub(super) fn absent(server: &ServerName) -> Error {
    Error::new(
        Kind::ServerOverloaded,
        format!("no instance of `{server}` answers now"),
    )
    .case(case::NO_RESPONDERS)
}

pub(super) fn denied(call: &Call, subject: &str) -> Error {
    let what = call.error_context().operation;
    Error::new(
        Kind::AccessDenied,
        format!(
            "the broker does not let this caller do `{what}` on `{}`: no permission covers \
             `{subject}`. `weft access check` shows what a token permits",
            call.server
        ),
    )
}
