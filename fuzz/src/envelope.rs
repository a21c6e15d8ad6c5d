//! JSON-RPC bodies: what the head of a message says is what a whole reader of JSON finds in it.

use std::fmt;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
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
    let Ok(Depth(depth)) = serde_json::from_slice(data) else {
        return;
    };
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

/// How deep a value is, as a reader of JSON sees it. A [`Value`] would not do: of members that
/// stand twice it has one.
struct Depth(usize);

impl<'de> Deserialize<'de> for Depth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Depth;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Depth, E> {
        Ok(Depth(0))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Depth, E> {
        Ok(Depth(0))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Depth, E> {
        Ok(Depth(0))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Depth, E> {
        Ok(Depth(0))
    }

    fn visit_str<E>(self, _: &str) -> Result<Depth, E> {
        Ok(Depth(0))
    }

    fn visit_unit<E>(self) -> Result<Depth, E> {
        Ok(Depth(0))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Depth, A::Error> {
        let mut deepest = 0;
        while let Some(Depth(depth)) = items.next_element()? {
            deepest = deepest.max(depth);
        }
        Ok(Depth(deepest + 1))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Depth, A::Error> {
        let mut deepest = 0;
        while let Some((IgnoredAny, Depth(depth))) = members.next_entry()? {
            deepest = deepest.max(depth);
        }
        Ok(Depth(deepest + 1))
    }
}
