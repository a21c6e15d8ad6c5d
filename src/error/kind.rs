//! The thirteen codes of the mesh, and the cases that some of them have.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The thirteen codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// -32700: the body is not JSON.
    ParseError,
    /// -32600: the body is JSON, but no request.
    InvalidRequest,
    /// -32601: nobody here knows the method.
    MethodNotFound,
    /// -32602: the arguments do not fit.
    InvalidParams,
    /// -32603: something broke that the caller can't help.
    InternalError,
    /// -32001: no such tool, or no such server.
    ToolNotFound,
    /// -32002: the server failed while it ran the tool.
    ToolExecutionError,
    /// -32003: no such resource.
    ResourceNotFound,
    /// -32004: known, and not permitted.
    AccessDenied,
    /// -32005: the time ran out.
    Timeout,
    /// -32006: not now: too much work, or nobody there to do it.
    ServerOverloaded,
    /// -32007: who are you?
    AuthenticationFailed,
    /// -32008: too often.
    RateLimitExceeded,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::ParseError,
        Self::InvalidRequest,
        Self::MethodNotFound,
        Self::InvalidParams,
        Self::InternalError,
        Self::ToolNotFound,
        Self::ToolExecutionError,
        Self::ResourceNotFound,
        Self::AccessDenied,
        Self::Timeout,
        Self::ServerOverloaded,
        Self::AuthenticationFailed,
        Self::RateLimitExceeded,
    ];

    /// The number on the mesh.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::ParseError => -32700,
            Self::InvalidRequest => -32600,
            Self::MethodNotFound => -32601,
            Self::InvalidParams => -32602,
            Self::InternalError => -32603,
            Self::ToolNotFound => -32001,
            Self::ToolExecutionError => -32002,
            Self::ResourceNotFound => -32003,
            Self::AccessDenied => -32004,
            Self::Timeout => -32005,
            Self::ServerOverloaded => -32006,
            Self::AuthenticationFailed => -32007,
            Self::RateLimitExceeded => -32008,
        }
    }

    /// The kind with this number.
    #[must_use]
    pub fn of_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The name, as the description spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ParseError => "PARSE_ERROR",
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::MethodNotFound => "METHOD_NOT_FOUND",
            Self::InvalidParams => "INVALID_PARAMS",
            Self::InternalError => "INTERNAL_ERROR",
            Self::ToolNotFound => "TOOL_NOT_FOUND",
            Self::ToolExecutionError => "TOOL_EXECUTION_ERROR",
            Self::ResourceNotFound => "RESOURCE_NOT_FOUND",
            Self::AccessDenied => "ACCESS_DENIED",
            Self::Timeout => "TIMEOUT",
            Self::ServerOverloaded => "SERVER_OVERLOADED",
            Self::AuthenticationFailed => "AUTHENTICATION_FAILED",
            Self::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
        }
    }

    /// Whether the same call may go well a little later.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Timeout | Self::ServerOverloaded | Self::RateLimitExceeded | Self::InternalError
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which case of a kind it is, where one kind has several. It stands in `data.kind`.
pub mod case {
    /// `TOOL_NOT_FOUND`: nobody answers, and the registry does not know the server.
    pub const SERVER_NOT_FOUND: &str = "SERVER_NOT_FOUND";
    /// `TOOL_NOT_FOUND`: the tool is not what was approved, and nobody approved it since.
    pub const TOOL_QUARANTINED: &str = "TOOL_QUARANTINED";
    /// `SERVER_OVERLOADED`: the registry knows the server, but no instance of it answers now.
    pub const SERVER_UNAVAILABLE: &str = "SERVER_UNAVAILABLE";
    /// `SERVER_OVERLOADED`: nobody listens on the call's subject. Told only inside a process: it
    /// becomes one of the two cases above before anybody hears it.
    pub const NO_RESPONDERS: &str = "NO_RESPONDERS";
    /// `SERVER_OVERLOADED`: the server failed too often, and is left alone for a while.
    pub const BREAKER_OPEN: &str = "BREAKER_OPEN";
    /// `SERVER_OVERLOADED`: no connection to the broker.
    pub const BROKER_UNAVAILABLE: &str = "BROKER_UNAVAILABLE";
    /// `INVALID_PARAMS`: nobody declared the domain of an event.
    pub const DOMAIN_UNKNOWN: &str = "DOMAIN_UNKNOWN";
    /// `SERVER_OVERLOADED`: what is decided has to be written down first, and can't be now.
    pub const AUDIT_UNAVAILABLE: &str = "AUDIT_UNAVAILABLE";
    /// `SERVER_OVERLOADED`: what comes of an idempotency key can't be written down now.
    pub const KEYS_UNAVAILABLE: &str = "KEYS_UNAVAILABLE";
    /// `SERVER_OVERLOADED`: a call with the same idempotency key runs.
    pub const KEY_IN_USE: &str = "KEY_IN_USE";
    /// `INVALID_PARAMS`: the idempotency key belongs to a call with other arguments.
    pub const KEY_MISUSED: &str = "KEY_MISUSED";
    /// `TOOL_EXECUTION_ERROR`: the call with this idempotency key was begun by somebody who is gone.
    pub const OUTCOME_UNKNOWN: &str = "OUTCOME_UNKNOWN";
    /// `SERVER_OVERLOADED`: the stream of an event has no room.
    pub const STREAM_FULL: &str = "STREAM_FULL";
    /// `SERVER_OVERLOADED`: no stream keeps the event now.
    pub const STREAM_ABSENT: &str = "STREAM_ABSENT";
    /// `AUTHENTICATION_FAILED`: this instance does not know the token that a `ref` names.
    pub const TOKEN_UNKNOWN: &str = "TOKEN_UNKNOWN";
    /// `AUTHENTICATION_FAILED`: no token came with the call.
    pub const TOKEN_MISSING: &str = "TOKEN_MISSING";
    /// `AUTHENTICATION_FAILED`: malformed, signed by nobody we know, or of another mesh.
    pub const TOKEN_INVALID: &str = "TOKEN_INVALID";
    /// `AUTHENTICATION_FAILED`: the token's time is over.
    pub const TOKEN_EXPIRED: &str = "TOKEN_EXPIRED";
    /// `AUTHENTICATION_FAILED`: the token, or the one it was made from, was taken back.
    pub const TOKEN_REVOKED: &str = "TOKEN_REVOKED";
    /// `AUTHENTICATION_FAILED`: a connect token in a message, or a call token at the door.
    pub const TOKEN_WRONG_AUDIENCE: &str = "TOKEN_WRONG_AUDIENCE";
    /// `AUTHENTICATION_FAILED`: the token's subject is not the caller that the broker vouches for.
    pub const TOKEN_WRONG_CALLER: &str = "TOKEN_WRONG_CALLER";
    /// `INTERNAL_ERROR`: what is known of keys and revocations is too old to let anybody in.
    pub const TRUST_STALE: &str = "TRUST_STALE";
    /// `INVALID_REQUEST`: subject, header and body do not say the same.
    pub const HEADER_MISMATCH: &str = "HEADER_MISMATCH";
    /// `TOOL_EXECUTION_ERROR`: the server's process ended while it ran the tool.
    pub const SERVER_EXITED: &str = "SERVER_EXITED";
    /// `TOOL_EXECUTION_ERROR`: the answer is larger than a limit.
    pub const RESULT_TOO_LARGE: &str = "RESULT_TOO_LARGE";
    /// `INVALID_REQUEST`: the request is larger than a limit.
    pub const REQUEST_TOO_LARGE: &str = "REQUEST_TOO_LARGE";
    /// `PARSE_ERROR`: objects and lists of the request lie too deep in each other; `INVALID_PARAMS`:
    /// its objects have too many members.
    pub const REQUEST_TOO_COMPLEX: &str = "REQUEST_TOO_COMPLEX";
    /// `RATE_LIMIT_EXCEEDED`: all calls of a quota are used up.
    pub const QUOTA_EXCEEDED: &str = "QUOTA_EXCEEDED";
    /// `INTERNAL_ERROR`: the connection to the broker was lost while the call ran.
    pub const CONNECTION_LOST: &str = "CONNECTION_LOST";
}
