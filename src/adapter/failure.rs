//! What a caller is told whatever the server's transport: that it takes no call now, or not this one.

use std::time::Duration;

use super::status::Status;
use crate::{
    error::{Error, Kind, Origin, case},
    mcp::tools::ToolList,
};

/// How long a caller should wait where nothing better is known.
const COME_BACK: Duration = Duration::from_millis(500);

/// Nobody is there to do it now.
pub(super) fn unavailable(status: &Status) -> Error {
    let why = status.last_error.as_deref();
    let message = format!(
        "the server is {}, and takes no calls: {}",
        status.state.name(),
        why.unwrap_or("it is being started; call again in a moment")
    );
    not_now(message).case(case::SERVER_UNAVAILABLE)
}

/// The adapter itself has been stopped.
pub(super) fn stopped() -> Error {
    not_now("the adapter of this server has been stopped, and takes no calls")
        .case(case::SERVER_UNAVAILABLE)
}

/// There is no room for one more.
pub(super) fn full(what: &str) -> Error {
    not_now(format!(
        "the server has {what}: call again when some of its calls have ended, or raise the limit"
    ))
}

/// Not now, and nothing had started: the same call may go well a moment later.
pub(super) fn not_now(message: impl Into<String>) -> Error {
    Error::new(Kind::ServerOverloaded, message)
        .origin(Origin::Adapter)
        .retry_after(COME_BACK)
}

/// No such tool.
pub(super) fn no_tool(name: &str, tools: &ToolList) -> Error {
    let hint = match tools.nearest(name) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {} tools, see `tools/list`", tools.tools.len()),
    };
    Error::new(
        Kind::ToolNotFound,
        format!("the server has no tool `{name}`: {hint}"),
    )
    .origin(Origin::Adapter)
}

/// A notification where a call was asked for.
pub(super) fn no_id() -> Error {
    Error::new(
        Kind::InvalidRequest,
        "the request has no `id`: a call needs one, and notifications are not carried to servers",
    )
    .origin(Origin::Adapter)
}
