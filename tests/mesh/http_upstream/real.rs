//! Real SDKs behind the adapter: older ones with sessions and without, modern ones, JSON and SSE.

use serde_json::{Value, json};
use weftbus::{adapter::State, mcp::version::Era};

use super::{process::Process, *};
use crate::process::until;

type Fixture = (&'static str, &'static [&'static str], Era, &'static str);

const FIXTURES: [Fixture; 5] = [
    ("legacy", &[], Era::Legacy, "2025-11-25"),
    ("legacy", &["--json"], Era::Legacy, "2025-11-25"),
    ("legacy", &["--stateless"], Era::Legacy, "2025-11-25"),
    ("modern", &[], Era::Modern, "2026-07-28"),
    ("modern", &["--json"], Era::Modern, "2026-07-28"),
];

#[tokio::test]
async fn real_servers_answer() {
    for (name, how, era, revision) in FIXTURES {
        let what = format!("{name} {how:?}");
        let process = Process::fixture(name, how);
        let server = Server::up(options(&process.url())).await;
        let status = server.status();
        assert_eq!(status.state, State::Healthy, "{what}: {status:?}");
        let peer = status.peer.expect("it is open");
        assert_eq!(
            (peer.era, peer.revision.as_str()),
            (era, revision),
            "{what}"
        );
        assert!(
            status.tools.complete && status.tools.get("echo").is_some(),
            "{what}"
        );
        assert_eq!(
            server.text("echo", json!({"text": "ä\n"})).await,
            "ä\n",
            "{what}"
        );
        let failed = server.tool("fail", json!({})).await.expect("an answer");
        assert!(failed.failed, "{what}");
        let big = server.text("big", json!({"megabytes": 20})).await;
        assert!(big.len() == 20_000_000, "{what}");
        for method in ["server/discover", "tools/list"] {
            let request = json!({"jsonrpc": "2.0", "id": -5, "method": method});
            let reply = server
                .request(&request, PATIENCE, None)
                .await
                .expect("an answer");
            let result = &body(&reply)["result"];
            assert_eq!(result["resultType"], "complete", "{what}");
            assert!(result["ttlMs"].is_u64(), "{what}: {result}");
        }
        let unknown = json!({"jsonrpc": "2.0", "id": 1, "method": "no/such"});
        let reply = server.request(&unknown, PATIENCE, None).await;
        assert!(reply.expect("its own error").failed, "{what}");
        let calls = (0..32).map(|n| server.text("echo", json!({"text": n.to_string()})));
        let all = futures_util::future::join_all(calls).await;
        assert!(
            all.iter()
                .enumerate()
                .all(|(n, text)| *text == n.to_string()),
            "{what}"
        );
        server.stop().await;
    }
}

#[tokio::test]
async fn progress_is_heard_and_a_dropped_call_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, how, ..) in [FIXTURES[0], FIXTURES[3]] {
        let process = Process::fixture(name, how);
        let server = Server::up(options(&process.url())).await;
        let mut call = tool("slow", json!({"seconds": 0.3}));
        call["params"]["_meta"] = json!({"progressToken": "p"});
        let (notify, mut heard) = Notify::channel();
        let reply = server.request(&call, PATIENCE, Some(notify)).await;
        assert_eq!(said(&reply.expect("an answer")), "slept 0.3 s");
        let first = heard.try_next().expect("progress");
        let first: Value = serde_json::from_slice(&first).expect("JSON");
        assert_eq!(first["params"]["progressToken"], "p", "{name}");

        let mark = folder.path().join(name);
        let says = |word: &str| {
            let text = std::fs::read_to_string(&mark).unwrap_or_default();
            text.lines().any(|line| line == word)
        };
        let call = server.tool("slow", json!({"seconds": 30, "mark": mark}));
        tokio::select! {
            _ = call => panic!("it takes 30 s"),
            () = until(PATIENCE, "it runs", || says("started")) => {}
        }
        until(PATIENCE, "it is cancelled", || says("cancelled")).await;
        assert!(!says("finished"));
        server.stop().await;
    }
}

#[tokio::test]
async fn a_change_of_the_tools_is_felt() {
    for (name, how, ..) in [FIXTURES[0], FIXTURES[3]] {
        let process = Process::fixture(name, how);
        let server = Server::up(options(&process.url())).await;
        let mut changes = server.upstream.changes();
        let grown = server.text("grow", json!({})).await;
        let change = timeout(PATIENCE, changes.recv()).await.expect("it is told");
        assert_eq!(
            change.expect("not lagging").kind,
            "tools/list_changed",
            "{name}"
        );
        server
            .when("the tool is known", |status| {
                status.tools.get(&grown).is_some()
            })
            .await;
        assert_eq!(server.text(&grown, json!({})).await, grown);
        server.stop().await;
    }
}

/// A server that restarts has forgotten its sessions.
#[tokio::test]
async fn a_server_may_restart() {
    for (name, how, ..) in [FIXTURES[0], FIXTURES[2], FIXTURES[3]] {
        let process = Process::fixture(name, how);
        let (url, port) = (process.url(), process.port.to_string());
        let server = Server::up(options(&url)).await;
        assert_eq!(
            server.text("echo", json!({"text": "before"})).await,
            "before"
        );
        drop(process);
        let process = Process::fixture(name, &[how, &["--port", &port]].concat());
        assert_eq!(process.url(), url);
        server.when("it is up", Status::is_up).await;
        let mut said = server.tool("echo", json!({"text": "after"})).await;
        if said.is_err() {
            // It was found out by this call, or by the stream just then.
            server.when("it is up again", Status::is_up).await;
            said = server.tool("echo", json!({"text": "after"})).await;
        }
        assert_eq!(
            super::said(&said.expect("an answer")),
            "after",
            "{name} {how:?}"
        );
        server.stop().await;
    }
}

/// The server that answers 400 where others answer 404.
#[tokio::test]
async fn the_reference_server_is_carried() {
    let process = Process::everything(0);
    let port = process.port;
    let server = Server::up(options(&process.url())).await;
    let status = server.status();
    let peer = status.peer.expect("it is open");
    assert_eq!(
        (peer.era, peer.revision.as_str()),
        (Era::Legacy, "2025-11-25")
    );
    assert_eq!(
        server.text("echo", json!({"message": "x"})).await,
        "Echo: x"
    );
    let mut call = tool(
        "trigger-long-running-operation",
        json!({"duration": 0.5, "steps": 2}),
    );
    call["params"]["_meta"] = json!({"progressToken": 1});
    let (notify, mut heard) = Notify::channel();
    server
        .request(&call, PATIENCE, Some(notify))
        .await
        .expect("an answer");
    assert!(heard.try_next().is_some());
    // Anew, it knows no session of before, and says 400.
    drop(process);
    let _process = Process::everything(port);
    until(PATIENCE, "it is up", || server.status().is_up()).await;
    let mut answer = server.tool("echo", json!({"message": "y"})).await;
    if answer.is_err() {
        // It was found out by this call, or by the stream just then.
        server.when("it is up again", Status::is_up).await;
        answer = server.tool("echo", json!({"message": "y"})).await;
    }
    assert_eq!(super::said(&answer.expect("an answer")), "Echo: y");
    server.stop().await;
}
