//! The one table from the mesh's errors to what a client of MCP is told.
//!
//! The mesh has thirteen codes. Some of their numbers are reserved or forbidden at an endpoint of
//! MCP 2026-07-28, so five of them move below -31000, and some become something else altogether.
//! What they were on the mesh always stands in `error.data`.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    error::{Error, Kind},
    mcp::{Fault, Method, version::Era},
    name::id,
};

/// `_meta` of a result: the error of the mesh that it stands for.
pub const META_ERROR: &str = "weftbus/error";

/// The status of an answer that is none of an error.
pub const OK: u16 = 200;

/// An answer to a client: a JSON-RPC message, and what HTTP says beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The message.
    pub body: Bytes,
    /// The status, where no byte has left yet.
    pub status: u16,
    /// When to come back.
    pub retry_after: Option<Duration>,
}

impl Answer {
    /// A result, or a server's own error, as it came.
    #[must_use]
    pub const fn carried(body: Bytes) -> Self {
        Self {
            body,
            status: OK,
            retry_after: None,
        }
    }

    /// An error of MCP itself, which is none of the mesh's.
    #[must_use]
    pub fn refused(code: i64, message: &str, data: Option<Value>, id: Option<&str>) -> Self {
        let fault = Fault {
            code,
            message: message.to_owned(),
            data,
        };
        Self {
            body: response(&fault, id.unwrap_or("null")).into(),
            status: 400,
            retry_after: None,
        }
    }

    /// What becomes of an error of the mesh. `id` is spelt as the request spelt it.
    #[must_use]
    pub fn of(error: &Error, id: Option<&str>, method: Option<&Method>, era: Era) -> Self {
        let id = id.unwrap_or("null");
        let called = method == Some(&Method::TOOLS_CALL);
        let body = if called && error.kind() == Kind::ToolExecutionError {
            failed_tool(error, id, era)
        } else {
            refusal(error, id, era)
        };
        Self {
            body: body.into(),
            status: status(error, era),
            retry_after: error.comes_back_after(),
        }
    }
}

/// A tool that failed is a result that says so: a model reads it, and may do better.
fn failed_tool(error: &Error, id: &str, era: Era) -> String {
    let data = serde_json::to_value(error.data_of(id::GATEWAY)).unwrap_or(Value::Null);
    let mut result = json!({
        "content": [{"type": "text", "text": error.message()}],
        "isError": true,
        "_meta": {META_ERROR: data},
    });
    if era == Era::Modern {
        result["resultType"] = "complete".into();
    }
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

fn refusal(error: &Error, id: &str, era: Era) -> String {
    let mut fault = error.to_fault_of(id::GATEWAY);
    fault.code = code(error.kind(), era);
    response(&fault, id)
}

fn response(fault: &Fault, id: &str) -> String {
    let fault = serde_json::to_string(fault).expect("an error object is always JSON");
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{fault}}}"#)
}

/// The number that a client is told.
#[must_use]
pub const fn code(kind: Kind, era: Era) -> i64 {
    match kind {
        Kind::ResourceNotFound if matches!(era, Era::Legacy) => -32002,
        Kind::ToolNotFound | Kind::ResourceNotFound | Kind::InvalidParams => -32602,
        Kind::ParseError => -32700,
        Kind::InvalidRequest => -32600,
        Kind::MethodNotFound => -32601,
        Kind::InternalError | Kind::ToolExecutionError => -32603,
        Kind::AccessDenied => -31004,
        Kind::Timeout => -31005,
        Kind::ServerOverloaded => -31006,
        Kind::AuthenticationFailed => -31007,
        Kind::RateLimitExceeded => -31008,
    }
}

/// The status of HTTP that goes with it, where no byte has left yet.
///
/// A client of an older revision takes a status of 400 and more for the end of its session, or of
/// its connection: what is wrong with one request is told inside of the answer to it.
#[must_use]
pub fn status(error: &Error, era: Era) -> u16 {
    use crate::error::case;
    match error.kind() {
        _ if era == Era::Legacy => OK,
        Kind::InvalidRequest if error.is_case(case::REQUEST_TOO_LARGE) => 413,
        Kind::ParseError | Kind::InvalidRequest => 400,
        // 2026-07-28, basic/transports: an unknown method is a 404.
        Kind::MethodNotFound => 404,
        Kind::AuthenticationFailed => 401,
        Kind::AccessDenied => 403,
        Kind::RateLimitExceeded => 429,
        Kind::ServerOverloaded => 503,
        Kind::Timeout => 504,
        _ => OK,
    }
}

/// The status that goes with an error which a server made itself.
#[must_use]
pub const fn carried_status(code: i64, era: Era) -> u16 {
    match (code, era) {
        (-32601, Era::Modern) => 404,
        // HeaderMismatch, MissingRequiredClientCapability, UnsupportedProtocolVersion.
        (-32022..=-32020, Era::Modern) => 400,
        _ => OK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Started;

    fn told(kind: Kind, method: &Method, era: Era) -> (Value, u16) {
        let error = Error::new(kind, "why").started(Started::No);
        let answer = Answer::of(&error, Some("\"a\""), Some(method), era);
        let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(body["id"], "a");
        (body, answer.status)
    }

    #[test]
    fn the_table() {
        // Kind; number and status for clients of 2026-07-28; number for older ones.
        for (kind, modern, legacy) in [
            (Kind::ParseError, (-32700, 400), -32700),
            (Kind::InvalidRequest, (-32600, 400), -32600),
            (Kind::MethodNotFound, (-32601, 404), -32601),
            (Kind::InvalidParams, (-32602, 200), -32602),
            (Kind::InternalError, (-32603, 200), -32603),
            (Kind::ToolNotFound, (-32602, 200), -32602),
            (Kind::ToolExecutionError, (-32603, 200), -32603),
            (Kind::ResourceNotFound, (-32602, 200), -32002),
            (Kind::AccessDenied, (-31004, 403), -31004),
            (Kind::Timeout, (-31005, 504), -31005),
            (Kind::ServerOverloaded, (-31006, 503), -31006),
            (Kind::AuthenticationFailed, (-31007, 401), -31007),
            (Kind::RateLimitExceeded, (-31008, 429), -31008),
        ] {
            for (era, expected) in [(Era::Modern, modern), (Era::Legacy, (legacy, OK))] {
                let (body, status) = told(kind, &Method::RESOURCES_READ, era);
                let code = body["error"]["code"].as_i64().expect("a number");
                assert_eq!((code, status), expected, "{kind} {era:?}");
                assert_eq!(body["error"]["data"]["weftCode"], kind.code());
                assert_eq!(body["error"]["data"]["started"], "no");
                assert_eq!(body["error"]["data"]["serverName"], "gateway");
            }
        }
    }

    #[test]
    fn a_tool_that_failed_is_a_result() {
        for (era, says_type) in [(Era::Modern, true), (Era::Legacy, false)] {
            let (body, status) = told(Kind::ToolExecutionError, &Method::TOOLS_CALL, era);
            assert_eq!(status, OK);
            assert_eq!(body["result"]["isError"], true);
            assert_eq!(body["result"]["content"][0]["text"], "why");
            let data = &body["result"]["_meta"][META_ERROR];
            assert_eq!(data["weftCode"], Kind::ToolExecutionError.code());
            assert_eq!(body["result"].get("resultType").is_some(), says_type);
        }
    }
}
