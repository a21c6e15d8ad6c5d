//! Sessions of older clients: opened, used by who opened them, ended; and what each revision has.

use serde_json::{Value, json};

use super::{Place, initialize, read, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_its_owners_and_ends() {
    let place = Place::open().await;
    let client = place.client("").opened("2025-11-25").await;
    assert_eq!(
        client.ask("ping", json!({})).await.json()["result"],
        json!({})
    );
    // Another identity, another endpoint, another id: each finds nothing, and opens its own.
    let other = place.token("other", &["*"]).await;
    let mut stranger = place.client_with("", &other);
    stranger.session.clone_from(&client.session);
    let mut elsewhere = place.client("/modern");
    elsewhere.session.clone_from(&client.session);
    let mut made_up = client.clone();
    made_up.session = Some("a".repeat(26));
    for broken in [&stranger, &elsewhere, &made_up] {
        let said = broken.ask("ping", json!({})).await;
        assert_eq!(said.status, 404, "{}", said.body);
    }
    let twice = client.send(&initialize("2025-11-25")).await;
    assert_eq!(twice.status, 200, "another session is opened");
    let end = || client.http.delete(&client.url).bearer_auth(&client.token);
    let named = end().header("mcp-session-id", client.session.as_deref().expect("one"));
    assert_eq!(read(named).await.status, 204);
    assert_eq!(client.ask("ping", json!({})).await.status, 404);
    assert_eq!(read(end()).await.status, 405, "nothing is named");
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_older_revision_is_spoken() {
    let place = Place::open().await;
    for (asked, spoken) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2024-11-05", "2024-11-05"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let client = place.client("/legacy");
        let opened = client.send(&initialize(asked)).await.json();
        assert_eq!(opened["result"]["protocolVersion"], spoken, "{opened}");
        assert_eq!(opened["result"]["serverInfo"]["name"], "legacy");
        let client = client.opened(asked).await;
        let called = client.call("echo", json!({"text": "a"})).await.json();
        assert_eq!(text(&called), "a");
        // Nothing of what only 2026-07-28 has.
        let members: Vec<&String> = called["result"]
            .as_object()
            .expect("an object")
            .keys()
            .collect();
        assert!(
            !members
                .iter()
                .any(|name| *name == "resultType" || *name == "_meta"),
            "{members:?}"
        );
    }
    let client = place.client("").opened("2025-06-18").await;
    let version = client
        .post(&client.request("ping", json!({})))
        .header("mcp-protocol-version", "1999-01-01");
    assert_eq!(read(version).await.status, 400);
    let version = client
        .post(&client.request("ping", json!({})))
        .header("mcp-protocol-version", "2025-06-18");
    assert_eq!(read(version).await.status, 200);
    let mut none = client.clone();
    none.session = Some(String::new());
    assert_eq!(none.ask("ping", json!({})).await.status, 404);
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_messages_at_once_are_taken_by_one_revision() {
    let place = Place::open().await;
    let client = place.client("/modern").opened("2025-03-26").await;
    let echo = |id: u32, said: &str| {
        json!({
            "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": "echo", "arguments": {"text": said}},
        })
    };
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let batch = json!([echo(1, "a"), initialized, echo(2, "b"), {"jsonrpc": "2.0"}]);
    let answers = client.send(&batch).await.json();
    let answers = answers.as_array().expect("an array");
    assert_eq!(answers.len(), 3);
    let of = |id: u32| {
        answers
            .iter()
            .find(|one| one["id"] == id)
            .expect("an answer")
    };
    assert_eq!((text(of(1)), text(of(2))), ("a", "b"));
    assert!(answers.iter().any(|one| one["error"]["code"] == -32600));
    assert_eq!(client.send(&json!([initialized])).await.status, 202);
    let too_many: Vec<Value> = (0..101).map(|id| echo(id, "a")).collect();
    for bad in [json!([]), Value::Array(too_many)] {
        assert_eq!(client.send(&bad).await.status, 400);
    }
    for revision in ["2025-06-18", "2024-11-05"] {
        let client = place.client("/modern").opened(revision).await;
        assert_eq!(client.send(&batch).await.status, 400, "{revision}");
    }
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_is_set_holds_for_the_session() {
    let place = Place::open().await;
    let client = place.client("/legacy").opened("2025-06-18").await;
    let set = |level: &'static str| client.ask("logging/setLevel", json!({"level": level}));
    assert_eq!(set("warning").await.json()["result"], json!({}));
    assert_eq!(set("loud").await.code(), -32602);
    let opened = place
        .client("/legacy")
        .send(&initialize("2025-06-18"))
        .await
        .json();
    assert_eq!(opened["result"]["capabilities"]["logging"], json!({}));
    assert_eq!(
        opened["result"]["capabilities"]["tools"]["listChanged"],
        true
    );
    place.end().await;
}
