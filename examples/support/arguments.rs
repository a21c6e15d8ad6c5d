//! Tool arguments: checked against the very schema that `tools/list` shows, then given a Rust shape.
//!
//! A refusal is the JSON-RPC error `-32602` and names the field and what is allowed there. It is
//! not a tool result with `isError`, because nothing ran: a caller may correct the call and repeat it.

use std::marker::PhantomData;

use jsonschema::{ValidationError, Validator};
use rmcp::{
    handler::server::tool::schema_for_type,
    model::{ErrorData, JsonObject},
};
use schemars::JsonSchema;
use serde::{Deserialize as _, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// A call wrong in a hundred places is told about the first few.
const FAULTS_MAX: usize = 5;
/// A message that would repeat a longer value says "the value" instead.
const MESSAGE_CHARS_MAX: usize = 200;

/// The checked arguments of one tool: `T` says both the schema and the shape.
#[derive(Debug)]
pub(crate) struct Arguments<T> {
    validator: Validator,
    shape: PhantomData<fn() -> T>,
}

impl<T: JsonSchema + DeserializeOwned + 'static> Arguments<T> {
    /// Compiles the schema of `T` once, for all calls.
    pub(crate) fn new() -> Self {
        let schema = Value::Object(schema_for_type::<T>().as_ref().clone());
        let validator =
            jsonschema::validator_for(&schema).expect("a derived schema is a valid JSON Schema");
        Self {
            validator,
            shape: PhantomData,
        }
    }

    /// The arguments of one call. `null` at the top counts as not given, since many clients send
    /// it for an optional argument; unknown names are ignored, so that a pipeline may hand on
    /// more than one stage needs.
    ///
    /// # Errors
    ///
    /// `-32602` with one sentence per wrong field.
    pub(crate) fn read(&self, mut given: JsonObject) -> Result<T, ErrorData> {
        given.retain(|_, value| !value.is_null());
        let given = Value::Object(given);
        let faults: Vec<String> = self
            .validator
            .iter_errors(&given)
            .take(FAULTS_MAX)
            .map(|fault| sentence(&fault))
            .collect();
        if !faults.is_empty() {
            return Err(ErrorData::invalid_params(faults.join("; "), None));
        }
        serde_json::from_value(given).map_err(|fault| refused("arguments", fault))
    }
}

/// `-32602` for what a schema cannot say, as in "two fields must have the same length".
pub(crate) fn refused(field: &str, why: impl std::fmt::Display) -> ErrorData {
    ErrorData::invalid_params(format!("{field}: {why}"), None)
}

/// JSON Schema calls `20.0` an integer, and serde does not: this reads both. The range is the
/// schema's business and was checked before.
pub(crate) fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let number = f64::deserialize(from)?;
    if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and inside u32, as just tested"
        )]
        return Ok(number as u32);
    }
    Err(serde::de::Error::custom(format!(
        "{number} is not a whole number from 0 to {}",
        u32::MAX
    )))
}

fn sentence(fault: &ValidationError<'_>) -> String {
    let field = fault.instance_path().as_str().trim_start_matches('/');
    let field = if field.is_empty() { "arguments" } else { field };
    let mut why = fault.to_string();
    if why.chars().count() > MESSAGE_CHARS_MAX {
        why = fault.masked_with("the value").to_string();
    }
    format!("{}: {why}", field.replace('/', "."))
}

#[cfg(test)]
mod tests {
    use rmcp::model::ErrorCode;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, JsonSchema)]
    struct Order {
        #[schemars(length(min = 1))]
        name: String,
        #[serde(default, deserialize_with = "whole")]
        #[schemars(range(min = 1, max = 9))]
        count: u32,
    }

    fn read(given: Value) -> Result<Order, ErrorData> {
        let Value::Object(given) = given else {
            panic!("arguments are an object")
        };
        Arguments::new().read(given)
    }

    #[test]
    fn a_refusal_is_invalid_params_and_names_field_and_limit() {
        for (given, expected) in [
            (json!({}), "arguments: \"name\" is a required property"),
            (
                json!({"name": null}),
                "arguments: \"name\" is a required property",
            ),
            (
                json!({"name": "a", "count": 0}),
                "count: 0 is less than the minimum of 1",
            ),
            (
                json!({"name": "a", "count": 1.5}),
                "count: 1.5 is not of type \"integer\"",
            ),
        ] {
            let error = read(given).expect_err(expected);
            assert_eq!(error.code, ErrorCode::INVALID_PARAMS);
            assert_eq!(error.message, expected);
        }
    }

    #[test]
    fn a_long_value_is_not_repeated() {
        let error = read(json!({"name": ["x".repeat(10_000)]})).expect_err("not a string");
        assert_eq!(error.message, "name: the value is not of type \"string\"");
    }

    #[test]
    fn a_whole_float_is_an_integer_and_the_unknown_is_ignored() {
        let order = read(json!({"name": "a", "count": 3.0, "more": true})).expect("fits");
        assert_eq!((order.name.as_str(), order.count), ("a", 3));
    }
}
