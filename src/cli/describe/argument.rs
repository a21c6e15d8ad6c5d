//! An argument of a tool, as its JSON Schema has it: its type, its bounds, an example. Pure.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

/// How deep a schema is looked into: one may be made to go on without end.
const DEPTH_MAX: usize = 4;
/// Values of an enumeration that are shown.
const VALUES_MAX: usize = 12;

/// An argument of a tool.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Argument {
    /// Its name.
    name: String,
    /// Its type, in short: `string`, `integer[]`, `"date" | "rank"`.
    #[serde(rename = "type")]
    kind: String,
    /// Whether it must be given.
    pub(super) required: bool,
    /// What is taken where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Value>,
    /// What it is, as the server says, and its bounds.
    description: String,
    /// A value that fits.
    example: Value,
}

/// The arguments that a schema has, the required ones first, each in the schema's order.
pub(super) fn of(schema: &Value) -> Vec<Argument> {
    let required = |name: &str| {
        let list = schema.get("required").and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|one| one == name))
    };
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    let mut arguments: Vec<Argument> = properties
        .iter()
        .map(|(name, property)| {
            let property = resolved(property, schema);
            Argument {
                name: name.clone(),
                kind: kind(property, schema, 0),
                required: required(name),
                default: property.get("default").cloned(),
                description: about(property, schema),
                example: example(property, schema, 0),
            }
        })
        .collect();
    arguments.sort_by_key(|argument| !argument.required);
    arguments
}

impl Argument {
    /// `name: type`, `name?: type = default`.
    pub(super) fn signature(&self) -> String {
        let mark = if self.required { "" } else { "?" };
        let default = match &self.default {
            Some(Value::Null) | None => String::new(),
            Some(value) => format!(" = {value}"),
        };
        format!("{}{mark}: {}{default}", self.name, self.kind)
    }

    pub(super) fn cells(&self) -> [String; 5] {
        [
            self.name.clone(),
            self.kind.clone(),
            if self.required { "yes" } else { "" }.to_owned(),
            self.default
                .as_ref()
                .map_or_else(String::new, Value::to_string),
            self.description.clone(),
        ]
    }

    /// As it is written behind `weft call SERVER TOOL`, quoted for a shell.
    pub(super) fn example(&self) -> String {
        let name = quoted(&self.name);
        match &self.example {
            Value::String(text) if !text.starts_with('@') => format!("{name}={}", quoted(text)),
            other => format!("{name}:={}", quoted(&other.to_string())),
        }
    }
}

/// A word as a shell reads it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Follows a `$ref` into the same document, and the one branch of an `anyOf` that is not `null`.
fn resolved<'a>(mut schema: &'a Value, root: &'a Value) -> &'a Value {
    for _ in 0..DEPTH_MAX {
        if let Some(pointer) = schema.get("$ref").and_then(Value::as_str) {
            let target = pointer.strip_prefix('#').and_then(|at| root.pointer(at));
            match target {
                Some(target) => schema = target,
                None => return schema,
            }
        } else {
            return schema;
        }
    }
    schema
}

fn branches(schema: &Value) -> Option<&Vec<Value>> {
    let of = |name| schema.get(name).and_then(Value::as_array);
    of("anyOf").or_else(|| of("oneOf"))
}

fn kind(schema: &Value, root: &Value, depth: usize) -> String {
    let schema = resolved(schema, root);
    if depth > DEPTH_MAX {
        return "…".to_owned();
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return listed(values, " | ");
    }
    if let Some(branches) = branches(schema) {
        let kinds: Vec<String> = branches
            .iter()
            .map(|branch| kind(branch, root, depth + 1))
            .collect();
        return kinds.join(" | ");
    }
    match schema.get("type") {
        Some(Value::String(name)) if name == "array" => match schema.get("items") {
            Some(items) => match kind_of_item(resolved(items, root), root, depth + 1) {
                inner if inner.contains(' ') => format!("({inner})[]"),
                inner => format!("{inner}[]"),
            },
            None => "array".to_owned(),
        },
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            names.join(" | ")
        }
        _ => "any".to_owned(),
    }
}

/// The values of an item stand in the description: a list of them in brackets is hard to read.
fn kind_of_item(item: &Value, root: &Value, depth: usize) -> String {
    match item.get("type") {
        Some(Value::String(name)) if item.get("enum").is_some() => name.clone(),
        _ => kind(item, root, depth),
    }
}

/// The description, and the bounds that are not in it.
fn about(schema: &Value, root: &Value) -> String {
    let described = schema.get("description").and_then(Value::as_str);
    let mut parts: Vec<String> = Vec::new();
    parts.extend(described.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")));
    let items = schema.get("items").map(|items| resolved(items, root));
    let values = items.and_then(|items| items.get("enum"));
    if let Some(values) = values.and_then(Value::as_array) {
        parts.push(format!("Each one of {}.", listed(values, ", ")));
    }
    // What a number is stored in is the server's own affair.
    let is_text = schema.get("type").is_some_and(|kind| kind == "string");
    for (key, words) in [
        ("minimum", "At least"),
        ("maximum", "At most"),
        ("format", "Format:"),
        ("pattern", "Matches"),
    ] {
        if let Some(value) = schema.get(key).filter(|_| is_text || key != "format") {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            parts.push(format!("{words} {value}."));
        }
    }
    parts.join(" ")
}

fn listed(values: &[Value], between: &str) -> String {
    let mut shown: Vec<String> = values
        .iter()
        .take(VALUES_MAX)
        .map(Value::to_string)
        .collect();
    if values.len() > VALUES_MAX {
        shown.push("…".to_owned());
    }
    shown.join(between)
}

/// 1, or the bound that is nearest to it.
fn number(schema: &Value) -> Value {
    let bound = |name: &str| schema.get(name).filter(|bound| bound.is_number());
    let beyond = |name: &str, wrong: fn(f64) -> bool| {
        bound(name).filter(|bound| bound.as_f64().is_some_and(wrong))
    };
    let nearest = beyond("minimum", |least| least > 1.0).or(beyond("maximum", |most| most < 1.0));
    nearest.cloned().unwrap_or_else(|| json!(1))
}

/// A value that the schema takes, as far as it says what it takes.
fn example(schema: &Value, root: &Value, depth: usize) -> Value {
    let schema = resolved(schema, root);
    let first = |name: &str| schema.get(name)?.as_array()?.first().cloned();
    let given = first("examples")
        .or_else(|| schema.get("const").cloned())
        .or_else(|| {
            schema
                .get("default")
                .filter(|value| !value.is_null())
                .cloned()
        })
        .or_else(|| first("enum"));
    if let Some(given) = given {
        return given;
    }
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    if let Some(branch) = branches(schema).and_then(|branches| branches.first()) {
        return example(branch, root, depth + 1);
    }
    let name = match schema.get("type") {
        Some(Value::String(name)) => name.as_str(),
        Some(Value::Array(names)) => names.first().and_then(Value::as_str).unwrap_or_default(),
        _ => "",
    };
    match name {
        "integer" | "number" => number(schema),
        "boolean" => json!(true),
        "null" => Value::Null,
        "array" => match schema.get("items") {
            Some(items) => json!([example(items, root, depth + 1)]),
            None => json!([]),
        },
        "object" => {
            let inner = of(schema);
            let members = inner.into_iter().filter(|member| member.required);
            Value::Object(
                members
                    .map(|member| (member.name, member.example))
                    .collect(),
            )
        }
        _ => json!("text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(property: Value) -> String {
        let schema = json!({
            "properties": {"a": property},
            "$defs": {"Point": {"type": "object", "required": ["x"], "properties": {"x": {"type": "number"}}},
                      "Loop": {"type": "array", "items": {"$ref": "#/$defs/Loop"}}},
        });
        let arguments = of(&schema);
        format!("{} · {}", arguments[0].signature(), arguments[0].example())
    }

    #[test]
    fn types_are_told_in_short() {
        for (property, told) in [
            (json!({"type": "string"}), "a?: string · a=text"),
            (
                json!({"type": ["string", "null"]}),
                "a?: string | null · a=text",
            ),
            (
                json!({"anyOf": [{"type": "integer"}, {"type": "null"}], "default": null}),
                "a?: integer | null · a:=1",
            ),
            (
                json!({"type": "array", "items": {"$ref": "#/$defs/Point"}}),
                r#"a?: object[] · a:='[{"x":1}]'"#,
            ),
            (
                json!({"type": "array", "items": {"type": ["string", "number"]}}),
                "a?: (string | number)[] · a:='[\"text\"]'",
            ),
            (json!({"const": 3}), "a?: 3 · a:=3"),
            (
                json!({"type": "number", "minimum": -1e15}),
                "a?: number · a:=1",
            ),
            (json!({"type": "number", "minimum": 5}), "a?: number · a:=5"),
            (
                json!({"type": "integer", "maximum": -5}),
                "a?: integer · a:=-5",
            ),
            (
                json!({"type": "string", "examples": ["it's"]}),
                r"a?: string · a='it'\''s'",
            ),
            (
                json!({"type": "string", "default": "@me"}),
                r#"a?: string = "@me" · a:='"@me"'"#,
            ),
            (json!({}), "a?: any · a=text"),
            (json!(true), "a?: any · a=text"),
        ] {
            assert_eq!(signature(property), told);
        }
    }

    #[test]
    fn a_schema_without_end_ends() {
        let told = signature(json!({"$ref": "#/$defs/Loop"}));
        assert!(told.contains("…[]"), "{told}");
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("a-b_c./1"), "a-b_c./1");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a b$"), "'a b$'");
    }
}
