//! What a caller is told when the pool had no place for him.

use std::time::Duration;

use super::options::{Options, Pin};
use crate::{
    adapter::failure::{full, not_now},
    error::{Error, Kind, Origin, case},
};

/// As many wait as may.
pub(super) fn crowded(options: &Options) -> Error {
    full(&format!(
        "no place free ({}), and {} calls wait for one, its limit",
        places(options),
        options.waiting
    ))
}

/// No place became free in time.
pub(super) fn waited(options: &Options, waited: Duration) -> Error {
    let ms = waited.as_millis();
    not_now(format!(
        "the server had no place free for {ms} ms ({}): call again when some of its calls have \
         ended, or raise the limit",
        places(options)
    ))
}

fn places(options: &Options) -> String {
    let Options { max, calls, .. } = options;
    match options.pin {
        Pin::None => format!("{max} processes at most, {calls} calls at once each"),
        Pin::Caller => {
            format!("{max} callers at most, each with a process of his own for {calls} calls")
        }
    }
}

/// Nobody vouches for who calls, and members are kept apart by that.
pub(super) fn nobody() -> Error {
    Error::new(
        Kind::AuthenticationFailed,
        "the server has a process for each caller, and nobody says who calls: a call needs a token",
    )
    .case(case::TOKEN_MISSING)
    .origin(Origin::Adapter)
}
