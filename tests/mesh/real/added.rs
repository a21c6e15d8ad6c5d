//! What an answer of an older server gains on the mesh, which speaks 2026-07-28. Nothing else may
//! differ from what the server says to a client of its own era.

use serde_json::{Value, json};
use weftbus::{
    adapter::raise::{self, Where},
    mcp::{Method, version::Era},
};

/// Where, what (`None`: what the server said of itself in its handshake), and the section of the
/// specification (2026-07-28) that asks for it.
const LISTED: [(&[&str], Where, Option<&str>, &str); 4] = [
    // basic, Responses: required; absent from an older server it means `complete`.
    (
        &["resultType"],
        Where::Every,
        Some(r#""complete""#),
        "basic, Responses",
    ),
    // server/utilities/caching, Cacheable Results: required; 0 is stale at once.
    (
        &["ttlMs"],
        Where::Cacheable,
        Some("0"),
        "server/utilities/caching, Cacheable Results",
    ),
    // The same section: required; `private` promises nothing to others.
    (
        &["cacheScope"],
        Where::Cacheable,
        Some(r#""private""#),
        "server/utilities/caching, Cacheable Results",
    ),
    // basic, General fields, `_meta`: every result SHOULD carry it.
    (
        &["_meta", "io.modelcontextprotocol/serverInfo"],
        Where::Every,
        None,
        "basic, General fields",
    ),
];

/// The product adds what is listed here, and nothing more.
#[test]
fn the_list_is_that_of_the_product() {
    assert!(raise::added(Era::Modern).is_empty());
    let product = raise::added(Era::Legacy);
    assert_eq!(product.len(), LISTED.len());
    for (added, (path, to, value, section)) in product.iter().zip(LISTED) {
        assert_eq!((added.path, added.to, added.value), (path, to, value));
        assert!(added.section.starts_with(section), "{}", added.section);
    }
}

/// Takes out of an answer what its era added, and counts it. What the server said itself stays.
pub(super) fn taken_out(
    answer: &mut Value,
    direct: &Value,
    method: &Method,
    info: &Value,
) -> usize {
    let (Some(result), Some(had)) = (answer.get_mut("result"), direct.get("result")) else {
        return 0;
    };
    let mut count = 0;
    for (path, to, value, section) in LISTED {
        let due = to == Where::Every || method.is_cacheable();
        if !due || at(had, path).is_some() {
            continue;
        }
        let value = value.map_or_else(
            || info.clone(),
            |text| serde_json::from_str(text).expect("JSON"),
        );
        assert_eq!(
            at(result, path),
            Some(&value),
            "{section}: {}",
            path.join(".")
        );
        let (last, above) = path.split_last().expect("it leads somewhere");
        let above = above
            .iter()
            .try_fold(&mut *result, |value, step| value.get_mut(*step));
        let above = above.and_then(Value::as_object_mut).expect("an object");
        above.remove(*last);
        count += 1;
    }
    if had.get("_meta").is_none() && result["_meta"] == json!({}) {
        result.as_object_mut().expect("an object").remove("_meta");
    }
    count
}

fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| value.get(step))
}
