//! What of a request stands in headers too, so that whoever is between can route by it without
//! reading the body (2026-07-28, basic/transports, Standard Request Headers and Custom Headers).
//!
//! Worked out for this hop from the request that this hop sends: nothing that a caller's own
//! headers said comes so far.

use std::borrow::Cow;

use data_encoding::BASE64;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::mcp::{Method, Request, members::Members, tools::Tool, version::MESH};

/// The revision of the request.
pub(super) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const PARAM_PREFIX: &str = "mcp-param-";

/// The member of a property's schema that names its header.
const ANNOTATION: &str = "x-mcp-header";
/// Schemas are not followed deeper.
const DEPTH_MAX: usize = 64;
/// A tool has no more headers than this, so that they fit into what servers take.
const PARAMS_MAX: usize = 32;

/// A property whose value is sent in a header.
#[derive(Debug, PartialEq, Eq)]
struct Param {
    header: String,
    path: Vec<String>,
}

/// The headers of a request of the adapter itself.
pub(super) fn own(method: &Method) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(VERSION, HeaderValue::from_static(MESH));
    headers.insert(METHOD, encoded(method.as_str()));
    headers
}

/// The headers of a caller's request. `tool` is the one that it calls, where it is known.
///
/// # Errors
/// The tool's annotations are not valid: 2026-07-28 forbids to call such a tool over HTTP.
pub(super) fn of(request: &Request, tool: Option<&Tool>) -> Result<HeaderMap, String> {
    let mut headers = own(request.method());
    if let Some(name) = request.name() {
        headers.insert(NAME, encoded(name));
    }
    let Some(tool) = tool.filter(|tool| tool.json.get().contains(ANNOTATION)) else {
        return Ok(headers);
    };
    let entry = serde_json::from_str::<Value>(tool.json.get()).unwrap_or_default();
    let params = params(&entry["inputSchema"])?;
    let arguments = request.params().and_then(Members::read);
    let arguments = arguments
        .as_ref()
        .and_then(|params| params.get("arguments"));
    for param in params {
        let found = arguments.and_then(|arguments| value(arguments, &param.path));
        let name = format!("{PARAM_PREFIX}{}", param.header.to_ascii_lowercase());
        if let (Some(found), Ok(name)) = (found, HeaderName::from_bytes(name.as_bytes())) {
            headers.insert(name, encoded(&found));
        }
    }
    Ok(headers)
}

/// A value as a header carries it: itself where it is plain, else in Base64 and marked so.
fn encoded(value: &str) -> HeaderValue {
    let plain = value.bytes().all(|b| (0x20..=0x7e).contains(&b));
    let edged = value.starts_with(' ') || value.ends_with(' ');
    let marked = value.starts_with("=?base64?") && value.ends_with("?=");
    let text = if plain && !edged && !marked {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(format!("=?base64?{}?=", BASE64.encode(value.as_bytes())))
    };
    HeaderValue::from_str(&text).expect("visible ASCII is a header's value")
}

/// The value at a path of the arguments, as a header says it; `None` where there is none, or none
/// that a header could say.
fn value(arguments: &str, path: &[String]) -> Option<String> {
    let (first, rest) = path.split_first()?;
    let members = Members::read(arguments)?;
    let found = members.get(first)?;
    if !rest.is_empty() {
        return value(found, rest);
    }
    match found.as_bytes().first()? {
        b'"' => serde_json::from_str(found).ok(),
        b'{' | b'[' | b'n' => None,
        _ => Some(found.to_owned()),
    }
}

/// The annotated properties of a schema, or why its annotations are not valid.
fn params(schema: &Value) -> Result<Vec<Param>, String> {
    let mut found = Vec::new();
    walk(schema, Some(&mut Vec::new()), &mut found, 0)?;
    Ok(found)
}

/// `path` is where the schema stands below the arguments; `None` where no chain of `properties`
/// leads there.
fn walk(
    schema: &Value,
    mut path: Option<&mut Vec<String>>,
    found: &mut Vec<Param>,
    depth: usize,
) -> Result<(), String> {
    if depth == DEPTH_MAX {
        return Ok(());
    }
    let members = match schema {
        Value::Object(members) => members,
        Value::Array(schemas) => {
            return schemas
                .iter()
                .try_for_each(|schema| walk(schema, None, found, depth + 1));
        }
        _ => return Ok(()),
    };
    if let Some(header) = members.get(ANNOTATION) {
        let param = param(header, schema, path.as_deref(), found)?;
        found.push(param);
    }
    for (key, inner) in members {
        match (key.as_str(), inner) {
            ("properties", Value::Object(properties)) => {
                for (name, property) in properties {
                    match path.as_deref_mut() {
                        Some(path) => {
                            path.push(name.clone());
                            walk(property, Some(path), found, depth + 1)?;
                            path.pop();
                        }
                        None => walk(property, None, found, depth + 1)?,
                    }
                }
            }
            // Data, not schemas.
            ("default" | "const" | "enum" | "examples" | ANNOTATION, _) => {}
            _ => walk(inner, None, found, depth + 1)?,
        }
    }
    Ok(())
}

fn param(
    header: &Value,
    schema: &Value,
    path: Option<&Vec<String>>,
    found: &[Param],
) -> Result<Param, String> {
    let path = path.filter(|path| !path.is_empty());
    let path = path.ok_or("one stands where no chain of `properties` leads")?;
    let place = path.join(".");
    let header = header
        .as_str()
        .filter(|header| HeaderName::from_bytes(header.as_bytes()).is_ok())
        .ok_or_else(|| format!("that of `{place}` is no name of a header"))?;
    let of_type = schema["type"].as_str().unwrap_or_default();
    if !["string", "integer", "boolean"].contains(&of_type) {
        return Err(format!("`{place}` is no string, integer or boolean"));
    }
    if found
        .iter()
        .any(|other| other.header.eq_ignore_ascii_case(header))
    {
        return Err(format!("two properties have `{header}`"));
    }
    if found.len() == PARAMS_MAX {
        return Err(format!("there are more than {PARAMS_MAX}"));
    }
    Ok(Param {
        header: header.to_owned(),
        path: path.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::RawValue};

    use super::*;

    fn tool(schema: &Value) -> Tool {
        let json = json!({"name": "t", "inputSchema": schema}).to_string();
        Tool {
            name: "t".into(),
            json: RawValue::from_string(json).expect("JSON"),
            digest: String::new(),
        }
    }

    fn headers(schema: &Value, arguments: &str) -> Result<HeaderMap, String> {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{arguments}}}}}"#
        );
        of(
            &Request::parse(body.into()).expect("a request"),
            Some(&tool(schema)),
        )
    }

    #[test]
    fn values_that_a_header_would_change_are_encoded() {
        for (value, header) in [
            ("get_weather", "get_weather"),
            ("a b", "a b"),
            ("", ""),
            (" a", "=?base64?IGE=?="),
            ("a ", "=?base64?YSA=?="),
            ("wärme", "=?base64?d8Okcm1l?="),
            ("a\nb", "=?base64?YQpi?="),
            ("a\tb", "=?base64?YQli?="),
            ("=?base64?YQ==?=", "=?base64?PT9iYXNlNjQ/WVE9PT89?="),
        ] {
            assert_eq!(encoded(value), header, "{value:?}");
        }
    }

    #[test]
    fn annotated_arguments_stand_in_headers() {
        let schema = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "confirm": {"type": "boolean", "x-mcp-header": "Confirm"},
            "x-mcp-header": {"type": "string"},
            "options": {"type": "object", "properties": {
                "limit": {"type": "integer", "x-mcp-header": "Limit"},
            }},
            "query": {"type": "string", "default": {"x-mcp-header": 1}},
        }});
        let of = |arguments: &str| {
            let headers = headers(&schema, arguments).expect("valid");
            let said = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")));
            let mut said: Vec<String> = said.collect();
            said.sort();
            said
        };
        let always = ["mcp-method: tools/call", "mcp-name: t"];
        let last = "mcp-protocol-version: 2026-07-28";
        assert_eq!(of("{}"), [always[0], always[1], last]);
        assert_eq!(
            of(
                r#"{"region":"öst","confirm":true,"options":{"limit":18446744073709551617},"query":"q"}"#
            ),
            [
                always[0],
                always[1],
                "mcp-param-confirm: true",
                "mcp-param-limit: 18446744073709551617",
                "mcp-param-region: =?base64?w7ZzdA==?=",
                last
            ]
        );
        assert_eq!(of(r#"{"region":null,"options":7,"confirm":[]}"#).len(), 3);
    }

    #[test]
    fn annotations_that_are_not_valid_are_told() {
        let at = |schema: Value| json!({"type": "object", "properties": {"a": schema}});
        for (schema, why) in [
            (
                at(json!({"type": "number", "x-mcp-header": "A"})),
                "no string",
            ),
            (
                at(json!({"type": "string", "x-mcp-header": "a b"})),
                "no name",
            ),
            (at(json!({"type": "string", "x-mcp-header": 7})), "no name"),
            (
                at(json!({"type": "array", "items": {"type": "string", "x-mcp-header": "A"}})),
                "no chain",
            ),
            (json!({"type": "string", "x-mcp-header": "A"}), "no chain"),
            (
                json!({"properties": {
                    "a": {"type": "string", "x-mcp-header": "A"},
                    "b": {"type": "string", "x-mcp-header": "a"},
                }}),
                "two properties",
            ),
        ] {
            let error = headers(&schema, "{}").expect_err(why);
            assert!(error.contains(why), "{schema}: {error}");
        }
        assert!(headers(&at(json!({"type": "string", "x-mcp-header": "A"})), "{}").is_ok());
    }
}
