//! What came back.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};

use crate::{
    call::Reply,
    error::{Error, Kind, Origin, Started},
    mcp::{Fault, Response},
};

/// An answer: a JSON-RPC response, as the server wrote it.
#[derive(Clone, Debug)]
pub struct Answer {
    body: Bytes,
}

impl Answer {
    pub(super) fn new(reply: Reply) -> Self {
        Self { body: reply.body }
    }

    /// The response.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The result, read as `T`.
    ///
    /// # Errors
    /// The server's own error, in the mesh's words (`origin: server`); `TOOL_EXECUTION_ERROR`
    /// where the answer is no response or the result is no `T`.
    pub fn result<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let response = Response::parse(self.body.clone()).map_err(|error| broken(&error))?;
        if let Some(error) = response.error() {
            let fault: Fault = serde_json::from_str(error).map_err(|error| broken(&error))?;
            return Err(server_error(fault));
        }
        serde_json::from_str(response.result().unwrap_or("null")).map_err(|error| broken(&error))
    }

    /// The result of a tool call.
    ///
    /// # Errors
    /// As [`Answer::result`].
    pub fn tool(&self) -> Result<ToolResult, Error> {
        let raw: Box<RawValue> = self.result()?;
        let value = serde_json::from_str(raw.get()).map_err(|error| broken(&error))?;
        Ok(ToolResult { raw, value })
    }
}

fn broken(error: &dyn std::error::Error) -> Error {
    Error::new(
        Kind::ToolExecutionError,
        format!("the server's answer can't be read: {error}"),
    )
    .origin(Origin::Server)
    .started(Started::Yes)
}

/// A server's own error. Its number is kept where it is one of JSON-RPC's; any other is that of a
/// tool that failed, because servers use the numbers below -32000 as they please.
fn server_error(fault: Fault) -> Error {
    let kind = Kind::of_code(fault.code)
        .filter(|kind| kind.code() <= Kind::InvalidRequest.code())
        .unwrap_or(Kind::ToolExecutionError);
    let error = Error::new(kind, fault.message)
        .origin(Origin::Server)
        .started(Started::Yes)
        .with("code", fault.code);
    match fault.data {
        Some(data) => error.with("data", data),
        None => error,
    }
}

/// The result of a tool call.
#[derive(Clone, Debug)]
pub struct ToolResult {
    raw: Box<RawValue>,
    value: Value,
}

impl ToolResult {
    /// The result as the server wrote it.
    #[must_use]
    pub fn raw(&self) -> &RawValue {
        &self.raw
    }

    /// The result.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// Whether the tool says that it failed.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.value.get("isError").and_then(Value::as_bool) == Some(true)
    }

    /// The content blocks.
    #[must_use]
    pub fn content(&self) -> &[Value] {
        self.value
            .get("content")
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    /// The text blocks, a line end between them.
    #[must_use]
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self
            .content()
            .iter()
            .filter_map(|block| block.get("text").and_then(Value::as_str))
            .collect();
        texts.join("\n")
    }

    /// The structured content, read as `T`.
    ///
    /// # Errors
    /// `TOOL_EXECUTION_ERROR` where the tool says that it failed, or it is no `T`.
    pub fn structured<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if self.is_error() {
            return Err(Error::new(Kind::ToolExecutionError, self.text())
                .origin(Origin::Server)
                .started(Started::Yes));
        }
        let structured = self.value.get("structuredContent").unwrap_or(&Value::Null);
        T::deserialize(structured).map_err(|error| broken(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &'static str) -> Answer {
        Answer {
            body: Bytes::from_static(text.as_bytes()),
        }
    }

    #[test]
    fn a_servers_numbers_below_32000_are_its_own() {
        let own = answer(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"m"}}"#);
        let error = own.tool().expect_err("an error");
        assert_eq!(error.kind(), Kind::ToolExecutionError);
        assert_eq!(error.context().metadata["code"], -32001);
        let json = answer(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"m"}}"#);
        assert_eq!(
            json.tool().expect_err("an error").kind(),
            Kind::InvalidParams
        );
    }

    #[test]
    fn a_result_is_read() {
        let ok = answer(
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"structuredContent":{"n":1},"isError":false}}"#,
        );
        let result = ok.tool().expect("a result");
        assert_eq!(result.text(), "a\nb");
        assert_eq!(result.structured::<Value>().expect("an object")["n"], 1);
        let failed = answer(
            r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"why"}],"isError":true}}"#,
        );
        let failed = failed.tool().expect("a result");
        assert!(failed.is_error());
        assert!(failed.structured::<Value>().is_err());
    }
}
