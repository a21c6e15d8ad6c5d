//! The error object of JSON-RPC.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `{code, message, data?}`, as it stands in a response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The number.
    pub code: i64,
    /// One sentence.
    pub message: String,
    /// Whatever else the sender says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}
