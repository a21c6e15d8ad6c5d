//! What the process ends with: one table, from an error to its status.

use std::process::ExitCode;

use weftbus::error::{Error, Kind, case};

/// How a command ends. Scripts depend on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what it should.
    Ok = 0,
    /// It failed.
    Failed = 1,
    /// It was not called as its help says.
    Usage = 2,
    /// Not authenticated, or not permitted.
    Refused = 3,
    /// No broker, no mesh, no such server.
    Unreachable = 4,
    /// The tool said error; there is no such tool; its arguments are wrong.
    Tool = 5,
    /// The time ran out.
    Timeout = 6,
    /// It works, but not all of it.
    Degraded = 7,
    /// Not now: too much work, or too often.
    Later = 8,
    /// Ctrl-C, as a shell has it.
    Interrupted = 130,
}

impl Exit {
    /// The status of an error.
    pub(crate) fn of(error: &Error) -> Self {
        let unreachable = [
            case::SERVER_NOT_FOUND,
            case::SERVER_UNAVAILABLE,
            case::NO_RESPONDERS,
            case::BROKER_UNAVAILABLE,
        ];
        if unreachable.iter().any(|case| error.is_case(case)) {
            return Self::Unreachable;
        }
        match error.kind() {
            Kind::InternalError | Kind::ParseError | Kind::InvalidRequest => Self::Failed,
            Kind::AuthenticationFailed | Kind::AccessDenied => Self::Refused,
            Kind::ToolExecutionError
            | Kind::ToolNotFound
            | Kind::ResourceNotFound
            | Kind::InvalidParams
            | Kind::MethodNotFound => Self::Tool,
            Kind::Timeout => Self::Timeout,
            Kind::ServerOverloaded | Kind::RateLimitExceeded => Self::Later,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_status_of_the_table() {
        let status: Vec<(&str, u8)> = Kind::ALL
            .into_iter()
            .map(|kind| (kind.name(), Exit::of(&Error::new(kind, "")) as u8))
            .collect();
        assert_eq!(
            status,
            [
                ("PARSE_ERROR", 1),
                ("INVALID_REQUEST", 1),
                ("METHOD_NOT_FOUND", 5),
                ("INVALID_PARAMS", 5),
                ("INTERNAL_ERROR", 1),
                ("TOOL_NOT_FOUND", 5),
                ("TOOL_EXECUTION_ERROR", 5),
                ("RESOURCE_NOT_FOUND", 5),
                ("ACCESS_DENIED", 3),
                ("TIMEOUT", 6),
                ("SERVER_OVERLOADED", 8),
                ("AUTHENTICATION_FAILED", 3),
                ("RATE_LIMIT_EXCEEDED", 8),
            ]
        );
    }

    #[test]
    fn every_case_has_the_status_of_the_table() {
        use Kind::{
            AuthenticationFailed, InternalError, InvalidRequest, ServerOverloaded,
            ToolExecutionError, ToolNotFound,
        };
        for (kind, case, status) in [
            (ToolNotFound, case::SERVER_NOT_FOUND, 4),
            (ServerOverloaded, case::SERVER_UNAVAILABLE, 4),
            (ServerOverloaded, case::NO_RESPONDERS, 4),
            (ServerOverloaded, case::BROKER_UNAVAILABLE, 4),
            (AuthenticationFailed, case::TOKEN_UNKNOWN, 3),
            (AuthenticationFailed, case::TOKEN_MISSING, 3),
            (AuthenticationFailed, case::TOKEN_INVALID, 3),
            (AuthenticationFailed, case::TOKEN_EXPIRED, 3),
            (AuthenticationFailed, case::TOKEN_REVOKED, 3),
            (AuthenticationFailed, case::TOKEN_WRONG_AUDIENCE, 3),
            (AuthenticationFailed, case::TOKEN_WRONG_CALLER, 3),
            (InternalError, case::TRUST_STALE, 1),
            (InternalError, case::CONNECTION_LOST, 1),
            (InvalidRequest, case::HEADER_MISMATCH, 1),
            (InvalidRequest, case::REQUEST_TOO_LARGE, 1),
            (ToolExecutionError, case::SERVER_EXITED, 5),
            (ToolExecutionError, case::RESULT_TOO_LARGE, 5),
        ] {
            let error = Error::new(kind, "").case(case);
            assert_eq!(Exit::of(&error) as u8, status, "{case}");
        }
    }
}
