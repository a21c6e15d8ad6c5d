//! Streamable HTTP in both eras: answers, streams, what becomes of a call that is given up.

use std::time::Duration;

use serde_json::json;

use super::{MODERN, Place, read, text};
use crate::{
    process::until,
    stage::{PATIENCE, Stage},
};

/// What the tool `slow` wrote about one of its calls.
fn said(stage: &Stage, mark: &str) -> String {
    std::fs::read_to_string(stage.path().join(mark)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_servers_or_one_under_its_own_names() {
    let place = Place::open().await;
    let (all, one) = (place.client(""), place.client("/legacy"));
    let names = all.names().await;
    assert!(names.iter().any(|name| name == "modern__echo"), "{names:?}");
    assert!(names.iter().any(|name| name == "legacy__grow"), "{names:?}");
    assert!(one.names().await.iter().any(|name| name == "grow"));
    let listed = all.ask("tools/list", json!({})).await.json();
    let missing = &listed["result"]["_meta"]["weftbus/unavailable"];
    assert_eq!(missing[0]["server"], "absent", "{missing}");
    assert_eq!(missing[0]["state"], "unhealthy");
    let called = all.call("legacy__echo", json!({"text": "a"})).await.json();
    assert_eq!(called, one.call("echo", json!({"text": "a"})).await.json());
    assert_eq!(text(&called), "a");
    let about = all.ask("server/discover", json!({})).await.json();
    assert_eq!(about["result"]["supportedVersions"], json!([MODERN]));
    let about = one.ask("server/discover", json!({})).await.json();
    assert_eq!(
        about["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "legacy"
    );
    let nobody = place.client("/nobody").call("echo", json!({})).await;
    assert_eq!(
        (nobody.status, nobody.code()),
        (200, -32602),
        "{}",
        nobody.body
    );
    assert_eq!(
        place
            .client("/No_Name")
            .call("echo", json!({}))
            .await
            .status,
        404
    );
    for method in [
        reqwest::Method::GET,
        reqwest::Method::DELETE,
        reqwest::Method::PUT,
    ] {
        let asked = all.http.request(method, &all.url).bearer_auth(&all.token);
        assert_eq!(read(asked).await.status, 405);
    }
    place.end().await;
}

/// What is told before the answer makes it a stream; a quick answer is none.
#[tokio::test(flavor = "multi_thread")]
async fn progress_comes_before_the_answer_and_under_the_clients_token() {
    let place = Place::open().await;
    for client in [
        place.client(""),
        place.client("").opened("2025-11-25").await,
    ] {
        let quick = client.call("legacy__echo", json!({"text": "a"})).await;
        assert_eq!(quick.header("content-type"), "application/json");
        for server in ["modern", "legacy"] {
            let params = json!({
                "name": format!("{server}__slow"), "arguments": {"seconds": 0.5},
                "_meta": {"progressToken": "mine"},
            });
            let events = client.ask("tools/call", params).await.events();
            let (last, before) = events.split_last().expect("events");
            assert_eq!(text(last), "slept 0.5 s");
            assert!(!before.is_empty(), "{server}");
            for progress in before {
                assert_eq!(progress["method"], "notifications/progress");
                assert_eq!(progress["params"]["progressToken"], "mine");
            }
        }
    }
    // Who takes no stream gets the answer alone.
    let client = place.client("");
    let params = json!({
        "name": "modern__slow", "arguments": {"seconds": 0.3}, "_meta": {"progressToken": 1},
    });
    let mut request = client
        .post(&client.request("tools/call", params))
        .build()
        .expect("a request");
    let json = "application/json".parse().expect("a value");
    request.headers_mut().insert("accept", json);
    let alone = client.http.execute(request).await.expect("an answer");
    assert_eq!(alone.headers()["content-type"], "application/json");
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_closed_cancels_a_modern_call_and_no_older_one() {
    let place = Place::open().await;
    let modern = place.client("");
    let older = place.client("").opened("2025-06-18").await;
    for (client, mark, becomes) in [
        (modern, "modern", "cancelled"),
        (older, "older", "finished"),
    ] {
        let arguments = json!({"seconds": 3, "mark": place.stage.path().join(mark)});
        let call = Box::pin(client.call("modern__slow", arguments));
        let begun = until(PATIENCE, "the call is with the server", || {
            said(&place.stage, mark).contains("started")
        });
        tokio::select! {
            answer = call => panic!("it was answered: {}", answer.body),
            () = begun => {}
        }
        until(PATIENCE, becomes, || {
            said(&place.stage, mark).contains(becomes)
        })
        .await;
    }
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_client_takes_a_call_back_by_its_id() {
    let place = Place::open().await;
    let client = place.client("").opened("2025-06-18").await;
    let arguments = json!({"seconds": 20, "mark": place.stage.path().join("mark")});
    let call = client.call("legacy__slow", arguments);
    let cancel = async {
        let begun = || said(&place.stage, "mark").contains("started");
        until(PATIENCE, "the call is with the server", begun).await;
        let other = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "other"}});
        assert_eq!(client.send(&other).await.status, 202);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(
            !said(&place.stage, "mark").contains("cancelled"),
            "another's id cancels nothing"
        );
        let own = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "q"}});
        assert_eq!(client.send(&own).await.status, 202);
    };
    let (answer, ()) = tokio::join!(call, cancel);
    assert_eq!(
        (answer.status, answer.events().len()),
        (200, 0),
        "a stream without an answer"
    );
    until(PATIENCE, "the server heard of it", || {
        said(&place.stage, "mark").contains("cancelled")
    })
    .await;
    place.end().await;
}

/// A server that never answers delays nobody else, and is said to be missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_delays_nobody() {
    let place = Place::open().await;
    let client = place.client("");
    let file = place.stage.path().join("weft.yaml");
    let before = std::fs::read_to_string(&file).expect("a file");
    let charts = crate::stage::example("weft-example-charts");
    let silent = "  silent: { command: sleep, args: ['1000'] }\n";
    let yaml = format!(
        "{before}{silent}  charts: {{ command: {} }}\n",
        charts.display()
    );
    std::fs::write(&file, yaml).expect("the folder is ours");
    let shown = async {
        loop {
            let listed = client.ask("tools/list", json!({})).await.json();
            let missing = listed["result"]["_meta"]["weftbus/unavailable"].as_array();
            let missing = missing
                .expect("some")
                .iter()
                .any(|server| server["server"] == "silent");
            let tools = listed["result"]["tools"].as_array().expect("tools").iter();
            let there = tools
                .clone()
                .any(|tool| tool["name"] == "charts__generate_chart");
            if missing && there {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(2), shown)
        .await
        .expect("in time");
    let said = client.call("silent__x", json!({})).await;
    assert_eq!((said.status, said.code()), (503, -31006), "{}", said.body);
    place.end().await;
}
