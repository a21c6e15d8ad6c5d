//! What a caller is told when the process of a server could not answer it.

use crate::adapter::failure::not_now;
pub(super) use crate::adapter::failure::{full, no_id, no_tool, stopped, unavailable};
use crate::{
    child::Exit,
    error::{Error, Kind, Origin, Started, case},
};

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
