//! Older sessions: opened, forgotten, opened again once; streams that break and go on; changes.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;
use tokio::time::Instant;
use weftbus::{adapter::State, mcp::version::Era};

use super::{
    peer::{
        Act, Asked, Peer, echo, event, events, json, legacy, legacy_of, response, result, status,
        stream,
    },
    *,
};

/// Opens a session with a number of its own, and knows the newest alone.
pub(super) fn numbered(opened: &AtomicUsize, asked: &Asked) -> Vec<Act> {
    if asked.method() == "initialize" {
        let number = opened.fetch_add(1, Ordering::Relaxed) + 1;
        let answer = result(
            asked,
            json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                "serverInfo": {"name": "peer", "version": "1"}}),
        );
        let session = format!("s-{number}");
        let headers = [
            ("content-type", "application/json"),
            ("mcp-session-id", session.as_str()),
        ];
        return vec![response("200 OK", &headers, answer.to_string())];
    }
    legacy(asked)
}

#[tokio::test]
async fn a_session_is_opened_carried_and_ended() {
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let peer = Peer::start(move |asked, _| legacy_of(revision, asked)).await;
        let server = Server::of(&peer).await;
        let told = server.status().peer.expect("open");
        assert_eq!((told.era, told.revision.as_str()), (Era::Legacy, revision));
        assert_eq!(server.text("echo", json!({"text": "x"})).await, "x");
        server.stop().await;
        let heard = peer.heard();
        let said: Vec<String> = heard
            .iter()
            .map(|asked| format!("{} {}", asked.verb, asked.method()))
            .collect();
        assert_eq!(
            said,
            [
                "POST server/discover",
                "POST initialize",
                "POST notifications/initialized",
                "POST tools/list",
                "POST tools/call",
                "DELETE ",
            ]
        );
        assert_eq!(heard[1].body["params"]["protocolVersion"], "2025-11-25");
        for asked in &heard[2..] {
            assert_eq!(asked.header("mcp-session-id"), "session-of-the-peer");
            assert_eq!(asked.header("mcp-protocol-version"), revision);
            assert_eq!(asked.header("mcp-method"), "", "not of this era");
        }
        assert_eq!(heard[1].header("mcp-session-id"), "");
    }
}

/// The server restarts between two calls: the session is opened once more, however many calls
/// come at once, and each of them runs once.
#[tokio::test]
async fn a_forgotten_session_is_opened_once_for_all() {
    for (line, body) in [
        ("404 Not Found", ""),
        (
            "400 Bad Request",
            r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}"#,
        ),
    ] {
        let opened = Arc::new(AtomicUsize::new(0));
        let forgets = Arc::new(AtomicUsize::new(0));
        let (count, forgotten) = (Arc::clone(&opened), Arc::clone(&forgets));
        let peer = Peer::start(move |asked, _| {
            let first = asked.header("mcp-session-id") == "s-1";
            if first && forgotten.load(Ordering::Relaxed) == 1 {
                return vec![response(
                    line,
                    &[("content-type", "application/json")],
                    body,
                )];
            }
            numbered(&count, asked)
        })
        .await;
        let server = Server::of(&peer).await;
        assert_eq!(
            server.text("echo", json!({"text": "before"})).await,
            "before"
        );
        forgets.store(1, Ordering::Relaxed);
        let texts: Vec<String> = (0..20).map(|n| format!("call {n}")).collect();
        let calls = texts
            .iter()
            .map(|text| server.text("echo", json!({"text": text})));
        assert_eq!(futures_util::future::join_all(calls).await, texts);
        assert_eq!(opened.load(Ordering::Relaxed), 2, "{line}");
        let ran: Vec<String> = peer
            .calls()
            .iter()
            .filter(|asked| asked.header("mcp-session-id") == "s-2")
            .map(|asked| asked.body["params"]["arguments"]["text"].to_string())
            .collect();
        assert_eq!(ran.len(), 20, "each once");
        assert_eq!(ran.iter().collect::<BTreeSet<_>>().len(), 20);
        assert_eq!(peer.count("server/discover"), 1, "its era is known");
        assert!(server.status().is_up() && server.status().restarts == 0);
        server.stop().await;
    }
}

/// A second 404 is no reason for a third try.
#[tokio::test]
async fn a_server_that_forgets_at_once_is_told() {
    let peer = Peer::start(|asked, _| {
        if asked.is_call() {
            status("404 Not Found")
        } else {
            legacy(asked)
        }
    })
    .await;
    let server = Server::of(&peer).await;
    let (kind, why) = server.refused().await;
    assert_eq!(kind, "SERVER_OVERLOADED SERVER_UNAVAILABLE No");
    assert!(why.contains("session"), "{why}");
    assert_eq!(peer.calls().len(), 2);
    server.stop().await;
}

/// Nor is it opened without an end, where nobody calls.
#[tokio::test]
async fn a_server_that_forgets_everything_is_not_opened_for_ever() {
    let peer = Peer::start(|asked, _| match (asked.verb.as_str(), asked.method()) {
        ("GET", _) | (_, "tools/list") => status("404 Not Found"),
        (_, "initialize") => {
            let opened = json!({"protocolVersion": "2025-06-18",
                "capabilities": {"tools": {"listChanged": true}}});
            let headers = [
                ("content-type", "application/json"),
                ("mcp-session-id", "s"),
            ];
            let body = result(asked, opened).to_string();
            vec![response("200 OK", &headers, body)]
        }
        _ => legacy(asked),
    })
    .await;
    let server = Server::of(&peer).await;
    let status = server.status();
    assert_eq!(status.state, State::Degraded, "{status:?}");
    let why = status.last_error.expect("a reason");
    assert!(why.contains("session"), "{why}");
    // Calls go well, so they are passed on.
    assert_eq!(server.text("echo", json!({"text": "x"})).await, "x");
    assert_eq!(peer.count("initialize"), 2);
    server.stop().await;
}

/// Without a session 404 says nothing of one: nothing is sent twice.
#[tokio::test]
async fn a_404_without_a_session_is_an_error() {
    let peer = Peer::start(|asked, _| {
        if asked.is_call() {
            status("404 Not Found")
        } else {
            super::peer::modern(asked)
        }
    })
    .await;
    let server = Server::of(&peer).await;
    let (kind, _) = server.refused().await;
    assert_eq!(kind, "TOOL_EXECUTION_ERROR TOOL_EXECUTION_ERROR No");
    assert_eq!(peer.calls().len(), 1);
    // Perhaps another server took its place: it is asked for its era once more.
    peer.hears("server/discover", 2).await;
    assert_eq!(server.refused().await.0, kind);
    server.stop().await;
}

/// A stream that breaks before the answer is taken up again where its events have ids; where
/// they have none, nobody knows what had become of the call.
#[tokio::test]
async fn a_broken_stream_is_taken_up_again_where_it_can_be() {
    for with_ids in [true, false] {
        let answer = Arc::new(std::sync::Mutex::new(None));
        let peer = Peer::start(
            move |asked, _| match (asked.verb.as_str(), asked.method()) {
                (_, "tools/call") => {
                    *answer.lock().expect("no panic") = Some(echo(asked));
                    let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress",
                    "params": {"progressToken": asked.body["id"], "progress": 1}});
                    let id = if with_ids { "id: e-1\n" } else { "" };
                    events(format!("retry: 10\n\n{id}data: {progress}\n\n"))
                }
                // The first time it has nothing new, and says so by a new id.
                ("GET", _) if asked.header("last-event-id") == "e-1" => {
                    events("id: e-2\ndata:\n\n")
                }
                ("GET", _) if asked.header("last-event-id") == "e-2" => {
                    let answer = answer.lock().expect("no panic").clone();
                    vec![stream(), event(&answer.expect("it was called"))]
                }
                _ => legacy(asked),
            },
        )
        .await;
        let server = Server::of(&peer).await;
        let mut call = tool("echo", json!({"text": "x"}));
        call["params"]["_meta"] = json!({"progressToken": 5});
        let (notify, mut heard) = Notify::channel();
        let outcome = server.request(&call, PATIENCE, Some(notify)).await;
        assert!(heard.try_next().is_some());
        if with_ids {
            assert_eq!(said(&outcome.expect("an answer")), "x");
            assert_eq!(peer.count("GET"), 2);
        } else {
            let error = outcome.expect_err("no answer");
            assert_eq!(
                told(&error),
                "TOOL_EXECUTION_ERROR TOOL_EXECUTION_ERROR Maybe"
            );
            assert_eq!(peer.count("GET"), 0);
            // It may still be at it.
            peer.hears("notifications/cancelled", 1).await;
        }
        assert_eq!(peer.calls().len(), 1, "it is sent once");
        server.stop().await;
    }
}

/// Taking up a stream has an end.
#[tokio::test]
async fn a_stream_that_breaks_again_and_again_is_given_up() {
    let peer = Peer::start(|asked, _| match (asked.verb.as_str(), asked.method()) {
        (_, "tools/call") => events("retry: 1\nid: e\ndata:\n\n"),
        ("GET", _) => events(": nothing\n\n"),
        _ => legacy(asked),
    })
    .await;
    let server = Server::of(&peer).await;
    let (kind, _) = server.refused().await;
    assert_eq!(kind, "TOOL_EXECUTION_ERROR TOOL_EXECUTION_ERROR Maybe");
    assert_eq!((peer.count("GET"), peer.calls().len()), (5, 1));
    server.stop().await;
}

/// A list of one tool, and of one more for each change.
fn grown(asked: &Asked, changes: &AtomicUsize) -> Vec<Act> {
    let count = changes.load(Ordering::Relaxed);
    let tools = (0..=count).map(|n| json!({"name": format!("tool_{n}"), "inputSchema": {}}));
    json(&result(asked, json!({"tools": tools.collect::<Vec<_>>()})))
}

/// A server that tells its changes: its first stream tells one and breaks, the second tells
/// another and lasts.
fn changing(asked: &Asked, is_modern: bool, streams: &AtomicUsize) -> Vec<Act> {
    let listed = json!({"tools": {"listChanged": true}});
    let says = |method: &str| event(&json!({"jsonrpc": "2.0", "method": method}));
    match (asked.verb.as_str(), asked.method()) {
        ("GET", _) | (_, "subscriptions/listen") => {
            let first = streams.fetch_add(1, Ordering::Relaxed) == 0;
            let mut acts = vec![stream()];
            acts.extend(is_modern.then(|| says("notifications/subscriptions/acknowledged")));
            acts.push(says("notifications/tools/list_changed"));
            acts.extend((!first).then_some(Act::Hold));
            acts
        }
        (_, "tools/list") => grown(asked, streams),
        (_, "server/discover") if is_modern => json(&result(
            asked,
            json!({"supportedVersions": ["2026-07-28"], "capabilities": listed}),
        )),
        (_, "initialize") => json(&result(
            asked,
            json!({"protocolVersion": "2025-06-18", "capabilities": listed}),
        )),
        _ => legacy(asked),
    }
}

/// Both eras tell changes on a stream of their own; one that breaks is opened again, and what
/// changed meanwhile is found.
#[tokio::test]
async fn a_change_is_felt_on_a_stream_of_the_server() {
    for is_modern in [false, true] {
        let streams = AtomicUsize::new(0);
        let peer = Peer::start(move |asked, _| changing(asked, is_modern, &streams)).await;
        let server = Server::of(&peer).await;
        let mut changes = server.upstream.changes();
        let begun = Instant::now();
        let opens = if is_modern {
            "subscriptions/listen"
        } else {
            "GET"
        };
        peer.hears(opens, 2).await;
        // After a gap the other lists may have changed too, and are told besides.
        let mut kind = "";
        while kind != "tools/list_changed" {
            let change = timeout(PATIENCE, changes.recv()).await.expect("it is told");
            kind = change.expect("not lagging").kind;
        }
        server
            .when("the list is read again", |status| {
                status.tools.tools.len() >= 3
            })
            .await;
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(server.status().restarts, 0, "the server itself was fine");
        if is_modern {
            let heard = peer.heard();
            let listen = heard.iter().find(|asked| asked.method() == opens);
            let listen = listen.expect("one");
            assert_eq!(
                listen.body["params"]["notifications"],
                json!({"toolsListChanged": true})
            );
            assert_eq!(listen.header("mcp-method"), opens);
        }
        server.stop().await;
        peer.let_go(1).await;
    }
}
