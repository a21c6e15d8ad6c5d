//! `docs/protocol.md`, checked: every example in it is read and built with the real code
//! ([`document`]), and what it says of the wire is tried with plain NATS clients, which call our
//! server ([`wire`]) and serve our caller ([`foreign`]).

mod access;
mod document;
mod foreign;
mod plain;
mod wire;

use serde_json::Value;

const TEXT: &str = include_str!("../../docs/protocol.md");

/// The blocks of the document that are marked ```` ```… weft:{kind} ````, in order.
pub(crate) fn blocks(kind: &str) -> Vec<&'static str> {
    let found: Vec<&str> = marked()
        .filter(|(marked, _)| *marked == kind)
        .map(|(_, block)| block)
        .collect();
    assert!(!found.is_empty(), "the document has no block weft:{kind}");
    found
}

/// The one block of this kind, as JSON.
pub(crate) fn json(kind: &str) -> Value {
    let found = blocks(kind);
    assert_eq!(found.len(), 1, "weft:{kind}");
    serde_json::from_str(found[0]).unwrap_or_else(|error| panic!("weft:{kind}: {error}"))
}

/// Every marked block, with its kind.
fn marked() -> impl Iterator<Item = (&'static str, &'static str)> {
    TEXT.split("\n```").skip(1).step_by(2).filter_map(|fenced| {
        let (info, block) = fenced.split_once('\n')?;
        Some((info.split_once(" weft:")?.1, block))
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn list(value: &Value) -> &[Value] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"))
}

fn texts(value: &Value) -> Vec<&str> {
    list(value).iter().map(text).collect()
}

/// The pairs of an object.
fn pairs(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let object = value
        .as_object()
        .unwrap_or_else(|| panic!("no object: {value}"));
    object.iter().map(|(name, value)| (name.as_str(), value))
}
