//! JSON-RPC bodies: what the head of a message says is what a whole reader of JSON finds in it.

use bytes::Bytes;
use serde_json::Value;
use weftbus::mcp::{Extent, Request, Response, envelope::splice, meta};

/// A body, of a request or of a response.
pub fn envelope(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    extent(data);
    match Request::parse(body.clone()) {
        Ok(request) => of_a_request(&request),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match Response::parse(body) {
        Ok(response) => of_a_response(&response),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The whole reader gives up on numbers beyond a double and at 128 levels; the head does not.
fn whole(text: &[u8]) -> Option<Value> {
    serde_json::from_slice(text).ok()
}

fn of_a_request(request: &Request) {
    let body = request.body();
    let said = whole(body);
    if let Some(said) = &said {
        assert_eq!(said["method"], request.method().as_str());
        let field = request.method().name_field();
        let name = field.and_then(|field| said["params"][field].as_str());
        assert_eq!(name, request.name());
        let id = request.id().map(|id| whole(id.as_bytes()).expect("an id"));
        assert_eq!(said.get("id").cloned(), id);
        let params = request.params().and_then(|text| whole(text.as_bytes()));
        assert_eq!(said.get("params").cloned(), params);
    }
    // Another id in its place, and nothing else is another.
    if let Some(at) = request.id_span() {
        let other = splice(body, &[(at, "\"another\"")]);
        let other = Request::parse(other.into()).expect("a request");
        assert_eq!(other.id(), Some("\"another\""));
        assert_eq!(other.name(), request.name());
        assert_eq!(other.params(), request.params());
    }
    if request.name().is_some() {
        let other = request.renamed("an\"other").expect("it has a name");
        assert_eq!(other.name(), Some("an\"other"));
        assert_eq!(other.id(), request.id());
        assert_eq!(other.meta(), request.meta());
    }
    if let Ok(with) = meta::with(request, &[("weft/fuzz", "1")])
        && let Some(said) = whole(with.body())
    {
        assert_eq!(with.method(), request.method());
        assert_eq!(with.name(), request.name());
        assert!(said["params"]["_meta"].get("weft/fuzz").is_some());
    }
}

fn of_a_response(response: &Response) {
    let body = response.body();
    assert!(response.result().is_some() != response.error().is_some());
    if let Some(said) = whole(body) {
        let of = |text: Option<&str>| text.and_then(|text| whole(text.as_bytes()));
        assert_eq!(said.get("result").cloned(), of(response.result()));
        assert_eq!(said.get("error").cloned(), of(response.error()));
        assert_eq!(said.get("id").cloned(), of(response.id()));
    }
    if let Some(at) = response.id_span() {
        let other = splice(body, &[(at, "7")]);
        let other = Response::parse(other.into()).expect("a response");
        assert_eq!(other.id(), Some("7"));
        assert_eq!(other.result(), response.result());
    }
}

/// The depth that is counted without reading is the depth that is there.
fn extent(data: &[u8]) {
    let Some(said) = whole(data) else { return };
    let depth = deep(&said);
    let within = |depth| {
        let limits = Extent {
            depth,
            keys: usize::MAX,
        };
        limits.check(data).is_ok()
    };
    assert!(within(depth), "{depth}");
    assert!(depth == 0 || !within(depth - 1), "{depth}");
}

fn deep(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(deep).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(deep).max().unwrap_or(0),
        _ => 0,
    }
}
