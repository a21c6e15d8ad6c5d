//! Arguments that HTTP clients repeat in headers, so that whoever stands between can route by
//! them (2026-07-28, basic/transports, Custom Headers from Tool Parameters).

use std::borrow::Cow;

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Schemas are not looked into any deeper.
const DEPTH_MAX: usize = 16;
/// Annotations of one tool that are looked at.
const COUNT_MAX: usize = 64;

/// An argument that is annotated with `x-mcp-header`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The name of the header behind `Mcp-Param-`.
    pub header: String,
    /// Where the argument stands below `arguments`.
    path: Vec<String>,
}

/// The annotated arguments of an input schema.
pub(super) fn of_schema(schema: &str) -> Vec<Parameter> {
    // Nearly no schema has one: those are not read.
    if memchr::memmem::find(schema.as_bytes(), b"x-mcp-header").is_none() {
        return Vec::new();
    }
    let mut found = Vec::new();
    if let Ok(schema) = serde_json::from_str(schema) {
        collect(&schema, &mut Vec::new(), &mut found);
    }
    found
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Parameter>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    for (name, property) in properties {
        if path.len() >= DEPTH_MAX || found.len() >= COUNT_MAX {
            return;
        }
        path.push(name.clone());
        if let Some(header) = property.get("x-mcp-header").and_then(Value::as_str) {
            found.push(Parameter {
                header: header.to_owned(),
                path: path.clone(),
            });
        }
        collect(property, path, found);
        path.pop();
    }
}

impl Parameter {
    /// What is wrong with the header, where something is: it must say what the body says.
    #[must_use]
    pub fn differs(&self, header: Option<&str>, arguments: &Map<String, Value>) -> Option<String> {
        let (first, rest) = self.path.split_first()?;
        let value = arguments
            .get(first)
            .and_then(|value| rest.iter().try_fold(value, |value, name| value.get(name)))
            // A null is as good as absent.
            .filter(|value| !value.is_null());
        let (name, place) = (format!("Mcp-Param-{}", self.header), self.path.join("."));
        let Some(header) = header else {
            return value.map(|_| format!("the header `{name}` is missing: it repeats `{place}`"));
        };
        let Some(said) = decoded(header) else {
            return Some(format!("the header `{name}` is garbled base64"));
        };
        let same = match value {
            Some(Value::String(text)) => *text == said,
            Some(Value::Bool(flag)) => said == flag.to_string(),
            Some(Value::Number(number)) => same_number(&said, number),
            _ => false,
        };
        (!same).then(|| format!("the header `{name}` does not say what `{place}` in the body says"))
    }
}

/// Numbers are compared as numbers: `7`, `7.0` and `70e-1` are the same.
fn same_number(said: &str, number: &serde_json::Number) -> bool {
    said == number.to_string()
        || matches!((said.parse::<f64>(), number.as_f64()), (Ok(a), Some(b)) if a.total_cmp(&b).is_eq())
}

/// What a header says: as it stands, or out of `=?base64?…?=`; `None` where that is garbled.
pub(super) fn decoded(header: &str) -> Option<Cow<'_, str>> {
    let Some(inner) = header
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="))
    else {
        return Some(Cow::Borrowed(header));
    };
    let bytes = BASE64.decode(inner.as_bytes()).ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The `arguments` of a call.
pub(super) fn arguments(params: Option<&str>) -> Map<String, Value> {
    #[derive(Deserialize)]
    struct Params {
        #[serde(default)]
        arguments: Map<String, Value>,
    }
    params
        .and_then(|params| serde_json::from_str::<Params>(params).ok())
        .map(|params| params.arguments)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parameters() -> Vec<Parameter> {
        let schema = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "plain": {"type": "string"},
            "inner": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
        }});
        of_schema(&schema.to_string())
    }

    #[test]
    fn annotations_are_found_where_they_stand() {
        let found = parameters();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].path, ["inner", "n"]);
        assert!(of_schema(r#"{"properties":{"a":{"type":"string"}}}"#).is_empty());
    }

    #[test]
    fn a_header_says_what_the_body_says() {
        let found = parameters();
        let arguments = json!({"region": "zürich", "inner": {"n": 7}});
        let arguments = arguments.as_object().expect("an object");
        for (at, header, good) in [
            (0, Some("=?base64?esO8cmljaA==?="), true),
            (0, Some("zug"), false),
            (0, Some("=?base64?***?="), false),
            (0, Some("=?base64?YQ?="), false),
            (0, Some("=?base64?YQ=="), false),
            (0, None, false),
            (1, Some("7"), true),
            (1, Some("7.0"), true),
            (1, Some("8"), false),
            (1, Some("seven"), false),
        ] {
            let differs = found[at].differs(header, arguments);
            assert_eq!(differs.is_none(), good, "{header:?}: {differs:?}");
        }
        assert_eq!(found[0].differs(None, &Map::new()), None, "absent in both");
        assert!(found[0].differs(Some("x"), &Map::new()).is_some());
    }
}
