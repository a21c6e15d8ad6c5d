//! The JSON-RPC response around a result.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Outcome;
use crate::{
    call::Reply,
    mcp::{Request, version},
    name::id,
};

/// The response to `request`, with the id as it was spelt.
pub(super) fn result(request: &Request, result: &Value) -> Reply {
    let id = request.id().unwrap_or("null");
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    Reply {
        body: Bytes::from(body),
        failed: false,
    }
}

/// The result of `tools/call`.
pub(super) fn tool_result(outcome: Outcome) -> Value {
    let text = outcome
        .text
        .unwrap_or_else(|| outcome.structured.to_string());
    json!({
        "resultType": "complete",
        "content": [{"type": "text", "text": text}],
        "structuredContent": outcome.structured,
        "isError": false,
        "_meta": {version::META_SERVER_INFO: {
            "name": id::WEFT, "version": env!("CARGO_PKG_VERSION"),
        }},
    })
}
