//! What a caller is told when a stdio server could not answer it.

use std::time::Duration;

use crate::{
    adapter::{status::Status, tools::ToolList},
    child::Exit,
    error::{Error, Kind, Origin, Started, case},
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

fn not_now(message: impl Into<String>) -> Error {
    Error::new(Kind::ServerOverloaded, message)
        .origin(Origin::Adapter)
        .retry_after(COME_BACK)
}

/// The call was queued, and the process ended before it was written to it.
pub(super) fn not_handed(why: &str) -> Error {
    not_now(format!(
        "the server ended before the call was handed to it ({why}): call again"
    ))
    .case(case::SERVER_UNAVAILABLE)
}

/// The process ended, or had to be ended, while it worked on the call.
pub(super) fn exited(why: &str, exit: Option<Exit>) -> Error {
    let error = Error::new(
        Kind::ToolExecutionError,
        format!(
            "{why} while it worked on the call; what it had done by then is not known. It is \
             being started again; its own words are in the log"
        ),
    )
    .case(case::SERVER_EXITED)
    .started(Started::Yes)
    .origin(Origin::Adapter);
    match exit {
        Some(Exit {
            code: Some(code), ..
        }) => error.with("exitStatus", code),
        Some(Exit {
            signal: Some(signal),
            ..
        }) => error.with("signal", signal),
        _ => error,
    }
}

/// The answer was a line over the limit.
pub(super) fn too_large(length: u64, limit: usize, sure: bool) -> Error {
    let whose = if sure {
        "the answer"
    } else {
        "a line without an id, which may be the answer,"
    };
    Error::new(
        Kind::ToolExecutionError,
        format!(
            "{whose} has {length} bytes on one line, and the limit of a line from this server is \
             {limit}: ask for less, or raise the limit"
        ),
    )
    .case(case::RESULT_TOO_LARGE)
    .started(Started::Yes)
    .origin(Origin::Adapter)
    .with("lengthBytes", length)
    .with("limitBytes", limit)
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
