//! The error table, as far as this version has what causes it; the rest of it is a unit test of
//! `gateway::fault`.

use serde_json::{Value, json};

use super::{Client, MODERN, Place, Said, read, said_by};
use crate::stage::PATIENCE;

/// What became of an error: the code, the code of the mesh, and whether the server had begun.
fn told(said: &Value) -> (i64, i64, &str) {
    let error = &said["error"];
    let data = &error["data"];
    (
        error["code"].as_i64().unwrap_or_default(),
        data["weftCode"].as_i64().unwrap_or_default(),
        data["started"].as_str().unwrap_or_default(),
    )
}

/// Each case: what is asked, and what the mesh calls it.
fn cases() -> Vec<(&'static str, Value, (i64, i64, u16))> {
    let call = |name: &str| json!({"name": name, "arguments": {}});
    vec![
        (
            "tools/list",
            json!({"cursor": "***"}),
            (-32602, -32602, 200),
        ),
        ("tools/call", call("none"), (-32602, -32001, 200)),
        ("tools/call", call("nobody__x"), (-32602, -32001, 200)),
        ("tools/call", call("modern__none"), (-32602, -32001, 200)),
        ("tools/call", call("absent__x"), (-31006, -32006, 503)),
        ("prompts/list", json!({}), (-32601, -32601, 404)),
        ("no/such", json!({}), (-32601, -32601, 404)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_has_its_number_in_both_eras() {
    let place = Place::open().await;
    let modern = place.client("");
    let older = place.client("").opened("2025-11-25").await;
    for (method, params, (code, on_mesh, status)) in cases() {
        let what = format!("{method} {params}");
        let said = modern.ask(method, params.clone()).await;
        assert_eq!(said.status, status, "{what}: {}", said.body);
        assert_eq!(told(&said.json()), (code, on_mesh, "no"), "{what}");
        assert_eq!(said.json()["id"], "q");
        // An older client takes a status for the end of its session: it is told inside.
        let said = older.ask(method, params).await;
        assert_eq!(said.status, 200, "{what}: {}", said.body);
        assert_eq!(told(&said.json()), (code, on_mesh, "no"), "{what}");
    }
    let absent = modern.call("absent__x", json!({})).await;
    assert!(
        !absent.header("retry-after").is_empty(),
        "when to come back"
    );
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_told_so() {
    let place = Place::open().await;
    let client = place.client("");
    let send = |body: &'static str| {
        let request = client.post(&json!({"method": "tools/list"})).body(body);
        read(request)
    };
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        (r#"{"jsonrpc":"2.0"}"#, -32600),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#,
            -32600,
        ),
    ] {
        let said = send(body).await;
        assert_eq!(
            (said.status, said.code()),
            (400, code),
            "{body}: {}",
            said.body
        );
    }
    // All but the name could be read: so the answer has the id.
    for (method, status, code) in [
        ("tools/call", 200, -32602),
        ("resources/subscribe", 404, -32601),
    ] {
        let said = client.ask(method, json!({})).await;
        assert_eq!((said.status, said.code()), (status, code), "{}", said.body);
        assert_eq!(said.json()["id"], "q");
    }
    place.end().await;
}

/// A request of 2026-07-28 with its headers and members one by one: each that is missing or says
/// something else is refused, and the whole passes.
#[tokio::test(flavor = "multi_thread")]
async fn headers_and_meta_say_what_they_must() {
    let place = Place::open().await;
    let client = place.client("");
    let whole = client.request(
        "tools/call",
        json!({"name": "modern__echo", "arguments": {"text": "a"}}),
    );
    let with = |name: &'static str, value: Option<&'static str>| {
        let mut request = client.post(&whole).build().expect("a request");
        match value {
            Some(value) => drop(
                request
                    .headers_mut()
                    .insert(name, value.parse().expect("text")),
            ),
            None => drop(request.headers_mut().remove(name)),
        }
        client.http.execute(request)
    };
    assert_eq!(client.send(&whole).await.status, 200, "the good twin");
    let spelt = with("mcp-name", Some("=?base64?bW9kZXJuX19lY2hv?="))
        .await
        .expect("an answer");
    assert_eq!(spelt.status().as_u16(), 200, "the same name in base64");
    for (name, value) in [
        ("mcp-method", None),
        ("mcp-method", Some("tools/list")),
        ("mcp-name", None),
        ("mcp-name", Some("modern__fail")),
        ("mcp-protocol-version", None),
        ("mcp-protocol-version", Some("2026-07-29")),
    ] {
        let said = with(name, value).await.expect("an answer");
        assert_eq!(said.status().as_u16(), 400, "{name}: {value:?}");
        let body: Value = serde_json::from_str(&said.text().await.expect("a body")).expect("JSON");
        assert_eq!(body["error"]["code"], -32020, "{name}: {value:?}: {body}");
    }
    let meta = |change: fn(&mut Value)| {
        let mut body = whole.clone();
        change(&mut body["params"]["_meta"]);
        client.clone().sent(body)
    };
    const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    let said = meta(|meta| {
        drop(
            meta.as_object_mut()
                .expect("an object")
                .remove(CAPABILITIES),
        )
    })
    .await;
    assert_eq!((said.status, said.code()), (400, -32602));
    let said = meta(|meta| drop(meta.as_object_mut().expect("an object").remove(VERSION))).await;
    assert_eq!((said.status, said.code()), (400, -32602));
    let said = meta(|meta| meta[VERSION] = "v999".into()).await;
    assert_eq!(
        (said.status, said.code()),
        (400, -32020),
        "the header says something else"
    );
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_is_not_spoken_is_named_with_those_that_are() {
    let place = Place::open().await;
    let client = place.client("");
    let whole = client.request("tools/list", json!({}));
    assert_eq!(client.send(&whole).await.status, 200, "the good twin");
    let mut unknown = whole.clone();
    unknown["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "v999".into();
    let mut request = client.post(&unknown).build().expect("a request");
    let version = "v999".parse().expect("text");
    request
        .headers_mut()
        .insert("mcp-protocol-version", version);
    let said = said_by(client.http.execute(request).await.expect("an answer")).await;
    assert_eq!((said.status, said.code()), (400, -32022));
    assert_eq!(
        said.json()["error"]["data"],
        json!({"supported": [MODERN], "requested": "v999"})
    );
    place.end().await;
}

impl Client {
    async fn sent(self, body: Value) -> Said {
        self.send(&body).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_is_a_timeout() {
    let place = Place::with("policy: { timeout: 1s }\n").await;
    let client = place.client("");
    assert_eq!(
        client
            .call("modern__slow", json!({"seconds": 0.1}))
            .await
            .status,
        200
    );
    let said = client.call("modern__slow", json!({"seconds": 20})).await;
    assert_eq!(said.status, 504, "{}", said.body);
    assert_eq!(told(&said.json()), (-31005, -32005, "maybe"));
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_in_a_call_is_a_result_that_says_so() {
    let place = Place::open().await;
    for client in [
        place.client(""),
        place.client("").opened("2025-06-18").await,
    ] {
        let said = client.call("modern__crash", json!({"signal": 9})).await;
        assert_eq!(said.status, 200, "{}", said.body);
        let said = said.json();
        assert_eq!(said["result"]["isError"], true, "{said}");
        assert!(super::text(&said).contains("signal"), "{said}");
        let data = &said["result"]["_meta"]["weftbus/error"];
        assert_eq!(
            (&data["weftCode"], &data["started"]),
            (&json!(-32002), &json!("yes"))
        );
        until_up(&client).await;
    }
    place.end().await;
}

/// Waits until the server of the next call is there again.
async fn until_up(client: &Client) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while client
        .call("modern__echo", json!({"text": "a"}))
        .await
        .json()["result"]
        .is_null()
    {
        assert!(tokio::time::Instant::now() < end, "the server came back");
    }
}
