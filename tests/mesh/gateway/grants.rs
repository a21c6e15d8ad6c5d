//! What is granted and denied at run time, as clients of the gateway see it.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};
use weftbus::mesh::Mesh;

use super::{Client, Place, read};
use crate::stage::PATIENCE;

async fn grant(by: &Mesh, grant: Value) -> Value {
    by.control("grant_add", grant).await.expect("a grant")
}

async fn remove(by: &Mesh, granted: &Value) {
    let id = json!({"id": granted["grant"]["id"]});
    let _removed: Value = by.control("grant_remove", id).await.expect("it was there");
}

/// The answer's status, once it is that: every process hears of a change a moment later.
async fn comes_to(client: &Client, tool: &str, arguments: Value, status: u16) {
    let end = Instant::now() + PATIENCE;
    loop {
        let said = client.call(tool, arguments.clone()).await;
        if said.status == status {
            return;
        }
        assert!(Instant::now() < end, "{tool} {arguments}: {}", said.body);
        sleep(Duration::from_millis(20)).await;
    }
}

async fn shows(client: &Client, names: &[&str]) {
    let end = Instant::now() + PATIENCE;
    while client.names().await != names {
        assert!(Instant::now() < end, "{:?}", client.names().await);
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_counts_at_once_and_what_is_denied_wins() {
    let place = Place::open().await;
    let operator = place.stage.caller().await;
    let only_echo = ["call:tools/modern/echo"];
    let narrow = place.client_with("", &place.token("narrow", &only_echo).await);
    let twin = place.client_with("", &place.token("twin", &only_echo).await);
    let hello = json!({"text": "hello"});
    shows(&narrow, &["modern__echo"]).await;
    comes_to(&narrow, "legacy__echo", hello.clone(), 403).await;

    let more = json!({"who": "narrow", "permission": "call:tools/legacy/echo"});
    let more = grant(&operator, more).await;
    comes_to(&narrow, "legacy__echo", hello.clone(), 200).await;
    shows(&narrow, &["legacy__echo", "modern__echo"]).await;
    comes_to(&twin, "legacy__echo", hello.clone(), 403).await;

    let denial = json!({"who": "narrow", "permission": "*:tools/modern/*", "deny": true});
    let denial = grant(&operator, denial).await;
    comes_to(&narrow, "modern__echo", hello.clone(), 403).await;
    let said = narrow.call("modern__echo", hello.clone()).await;
    assert!(said.body.contains("denied by the grant"), "{}", said.body);
    shows(&narrow, &["legacy__echo"]).await;
    comes_to(&narrow, "legacy__echo", hello.clone(), 200).await;
    comes_to(&twin, "modern__echo", hello.clone(), 200).await;

    remove(&operator, &denial).await;
    comes_to(&narrow, "modern__echo", hello.clone(), 200).await;
    remove(&operator, &more).await;
    comes_to(&narrow, "legacy__echo", hello, 403).await;
    shows(&narrow, &["modern__echo"]).await;
    operator.close().await;
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_is_decided_on_each_call_and_in_doubt_it_is_no() {
    let place = Place::open().await;
    let operator = place.stage.caller().await;
    let token = place.token("narrow", &["list:tools/modern/echo"]).await;
    let client = place.client_with("", &token);
    let condition = "arguments.text == 'hello' && caller == 'narrow' && tool == 'echo'";
    let wish = json!({"who": "na*", "permission": "call:tools/modern/*", "if": condition});
    grant(&operator, wish).await;
    comes_to(&client, "modern__echo", json!({"text": "hello"}), 200).await;
    for arguments in [json!({"text": "other"}), json!({}), json!({"text": 1})] {
        let said = client.call("modern__echo", arguments.clone()).await;
        assert_eq!(said.status, 403, "{arguments}: {}", said.body);
    }
    // Two readers might see two texts in it.
    let params = json!({"name": "modern__echo", "arguments": {"text": "hello"}});
    let once = client.request("tools/call", params);
    let twice = once.to_string();
    let twice = twice.replace(r#"{"text":"hello"}"#, r#"{"text":"bad","text":"hello"}"#);
    let said = read(client.post(&once).body(twice)).await;
    assert_eq!(said.status, 403, "{}", said.body);
    for (condition, why) in [
        ("text == 'hello'", "no name"),
        ("arguments.text", "boolean"),
    ] {
        let wish = json!({"who": "narrow", "permission": "call:tools/modern/*", "if": condition});
        let refused = operator.control::<Value>("grant_add", wish).await;
        let refused = refused.expect_err("it can't be decided");
        assert!(refused.message().contains(why), "{refused}");
    }
    operator.close().await;
    place.end().await;
}
