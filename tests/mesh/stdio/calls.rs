//! Many calls on one process: ids, progress, cancellation, bounds.

use std::fs;

use futures_util::future::join_all;
use serde_json::json;
use weftbus::call::notify::Notifications;

use super::*;
use crate::process::until;

#[tokio::test]
async fn a_hundred_calls_under_one_id_each_have_their_own_answer() {
    for options in [modern(), legacy(), legacy_node()] {
        let server = Server::up(options).await;
        let calls = (0..100).map(|n| server.tool("echo", json!({"text": format!("call {n}")})));
        for (n, reply) in join_all(calls).await.into_iter().enumerate() {
            let reply = reply.expect("an answer");
            assert_eq!(said(&reply), format!("call {n}"));
            assert_eq!(body(&reply)["id"], "caller's");
        }
        assert_eq!(server.status().dropped.answers, 0);
        server.stop().await;
    }
}

#[tokio::test]
async fn progress_comes_under_the_callers_own_token() {
    for options in [modern(), legacy(), legacy_node()] {
        let server = Server::up(options).await;
        // Two callers with the same token: each hears his own call alone.
        let slow = |seconds: f64| {
            let mut request = tool("slow", json!({"seconds": seconds}));
            request["params"]["_meta"] = json!({"progressToken": "mine"});
            let (notify, heard) = Notify::channel();
            (server.request(&request, Some(notify)), heard)
        };
        let ((long, mut long_heard), (short, mut short_heard)) = (slow(0.8), slow(0.4));
        let (long, short) = tokio::join!(long, short);
        assert!(!long.expect("an answer").failed && !short.expect("an answer").failed);
        for (heard, steps) in [(&mut long_heard, 8.0), (&mut short_heard, 4.0)] {
            let progress = steps_of(heard);
            assert_eq!(progress.last(), Some(&(steps, steps)), "{progress:?}");
            assert!(progress.is_sorted_by(|a, b| a.0 < b.0), "{progress:?}");
        }
        server.stop().await;
    }
}

/// Progress and total of what was heard, all of it under the token `mine`.
fn steps_of(heard: &mut Notifications) -> Vec<(f64, f64)> {
    let mut steps = Vec::new();
    while let Some(line) = heard.try_next() {
        let said: Value = serde_json::from_slice(&line).expect("JSON");
        let params = &said["params"];
        assert_eq!(params["progressToken"], "mine", "{said}");
        let number = |name: &str| params[name].as_f64().expect("a number");
        steps.push((number("progress"), number("total")));
    }
    steps
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_on_the_server() {
    for options in [modern(), legacy(), legacy_node()] {
        let server = Server::up(options).await;
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("mark");
        let read = || fs::read_to_string(&mark).unwrap_or_default();
        tokio::select! {
            outcome = server.tool("slow", json!({"seconds": 60, "mark": mark})) => panic!("{outcome:?}"),
            () = until(PATIENCE, "it started", || read().contains("started")) => {}
        }
        until(PATIENCE, "it was cancelled", || {
            read().contains("cancelled")
        })
        .await;
        assert_eq!(
            server.text("echo", json!({"text": "still there"})).await,
            "still there"
        );
        server.stop().await;
    }
}

#[tokio::test]
async fn calls_beyond_the_limit_are_refused_at_once() {
    let mut options = noisy();
    options.limits.in_flight = 4;
    let server = Server::up(options).await;
    let mut silent: Vec<_> = (0..4)
        .map(|_| Box::pin(server.tool("silent", json!({}))))
        .collect();
    for call in &mut silent {
        assert!(futures_util::poll!(call.as_mut()).is_pending());
    }
    let error = server
        .tool("echo", json!({}))
        .await
        .expect_err("it is full");
    assert_eq!(told(&error), "SERVER_OVERLOADED SERVER_OVERLOADED No");
    drop(silent);
    // Room again, as soon as the cancellations were heard.
    let again = async {
        while server.tool("echo", json!({})).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again).await.expect("there is room again");
    server.stop().await;
}

/// A server that opens, then reads nothing any more.
const DEAF: &str = r#"
import json, sys, time
for line in sys.stdin:
    message = json.loads(line)
    result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "deaf", "version": "1"}}
    if message["method"] == "tools/list":
        result = {"tools": [{"name": "any", "inputSchema": {"type": "object"}}]}
    if message["method"] == "server/discover":
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no"}}), flush=True)
    elif "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
    if message["method"] == "tools/list":
        time.sleep(1000)
"#;

#[tokio::test]
async fn a_server_that_does_not_read_holds_up_nobody_for_ever() {
    let mut options = options("python", &["-c", DEAF]);
    options.limits.waiting = 1 << 20;
    options.limits.unread = Duration::from_secs(2);
    options.escalation.close = Duration::from_millis(100);
    let server = Server::up(options).await;
    let pid = server.status().pid;
    let large = "x".repeat(400 << 10);
    let mut outcomes = Vec::new();
    for outcome in join_all((0..4).map(|_| server.tool("any", json!({"text": large})))).await {
        outcomes.push(told(&outcome.expect_err("nobody reads")));
    }
    outcomes.sort();
    assert_eq!(
        outcomes,
        [
            // Two fit into the megabyte: the first was begun, the second was not.
            "SERVER_OVERLOADED SERVER_OVERLOADED No",
            "SERVER_OVERLOADED SERVER_OVERLOADED No",
            "SERVER_OVERLOADED SERVER_UNAVAILABLE No",
            "TOOL_EXECUTION_ERROR SERVER_EXITED Yes",
        ]
    );
    let again = server
        .when("it is up again", |s| s.is_up() && s.restarts == 1)
        .await;
    assert_ne!(again.pid, pid);
    server.stop().await;
}
