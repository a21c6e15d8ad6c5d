//! Servers that are not there, do not let us in, are something else, or fail.

use serde_json::json;
use weftbus::adapter::State;

use super::{
    peer::{Act, Asked, Peer, events, legacy, modern, response, status, stream},
    *,
};

/// A case: what a peer answers to a call, what its caller is told, and in what words.
type Case = (fn(&Asked) -> Vec<Act>, &'static str, &'static str);

const NO: &str = "TOOL_EXECUTION_ERROR TOOL_EXECUTION_ERROR No";
const MAYBE: &str = "TOOL_EXECUTION_ERROR TOOL_EXECUTION_ERROR Maybe";
const YES: &str = "TOOL_EXECUTION_ERROR TOOL_EXECUTION_ERROR Yes";

/// Each case before a peer of its own; a call is sent once, and says nothing of the next.
async fn told_in_each(cases: &[Case]) {
    for (answer, kind, words) in cases.iter().copied() {
        let peer = Peer::start(move |asked, _| {
            if asked.is_call() {
                answer(asked)
            } else {
                modern(asked)
            }
        })
        .await;
        let server = Server::of(&peer).await;
        let error = server.tool("echo", json!({"text": "x"})).await;
        let error = error.expect_err(words);
        assert_eq!(told(&error), kind, "{error}");
        assert!(error.message().contains(words), "{error}");
        if words == "429" {
            assert_eq!(error.data().retry_after_ms, Some(7000));
        }
        assert!(server.status().is_up());
        assert_eq!(peer.calls().len(), 1, "{kind}");
        server.stop().await;
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told() {
    told_in_each(&[
        (
            |_| {
                vec![response(
                    "200 OK",
                    &[("content-type", "text/html")],
                    "<html>",
                )]
            },
            YES,
            "text/html",
        ),
        (
            |_| {
                vec![response(
                    "200 OK",
                    &[("content-type", "application/json")],
                    "{",
                )]
            },
            YES,
            "no MCP message",
        ),
        (|_| status("202 Accepted"), MAYBE, "ended"),
        (
            |_| {
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\
                            content-type: application/json\r\n\r\n{";
                vec![Act::Say(head.into())]
            },
            MAYBE,
            "broke",
        ),
        (
            |_| vec![Act::Say(b"SSH-2.0-nonsense\r\n\r\n".to_vec())],
            MAYBE,
            "broke",
        ),
        (|_| vec![], MAYBE, "broke"),
    ])
    .await;
}

#[tokio::test]
async fn a_status_that_is_no_success_is_told() {
    told_in_each(&[
        (|_| status("500 Internal Server Error"), MAYBE, "HTTP 500"),
        (|_| status("503 Service Unavailable"), MAYBE, "HTTP 503"),
        (
            |_| {
                vec![response(
                    "429 Too Many Requests",
                    &[("retry-after", "7")],
                    "",
                )]
            },
            "RATE_LIMIT_EXCEEDED RATE_LIMIT_EXCEEDED No",
            "429",
        ),
        (
            |_| status("413 Payload Too Large"),
            "INVALID_REQUEST REQUEST_TOO_LARGE No",
            "413",
        ),
        (|_| status("415 Unsupported Media Type"), NO, "415"),
        (|_| status("300 Multiple Choices"), NO, "300"),
    ])
    .await;
}

/// An error of the server's own is its answer, whatever the status that it comes with.
#[tokio::test]
async fn a_json_rpc_error_is_the_servers_own() {
    for line in ["200 OK", "400 Bad Request", "404 Not Found"] {
        let peer = Peer::start(move |asked, _| {
            if asked.is_call() {
                let refused = super::peer::error(asked, -32601, "no such method");
                let headers = [("content-type", "application/json")];
                vec![response(line, &headers, refused.to_string())]
            } else {
                modern(asked)
            }
        })
        .await;
        let server = Server::of(&peer).await;
        let reply = server
            .tool("echo", json!({}))
            .await
            .expect("its own answer");
        assert!(reply.failed);
        assert_eq!(
            body(&reply),
            json!({"jsonrpc": "2.0", "id": "caller's",
                "error": {"code": -32601, "message": "no such method"}})
        );
        server.stop().await;
    }
}

/// A server that is away is known to be, and found when it comes.
#[tokio::test]
async fn a_server_that_goes_and_comes_is_followed() {
    let peer = Peer::start(|asked, _| legacy(asked)).await;
    let server = Server::of(&peer).await;
    let at = peer.stop().await;
    let (kind, why) = server.refused().await;
    assert_eq!(kind, "SERVER_OVERLOADED SERVER_UNAVAILABLE No");
    assert!(
        why.contains("Connection refused") && why.contains("running"),
        "{why}"
    );
    let status = server
        .when("it is known to be away", |status| {
            status.state == State::Unhealthy
        })
        .await;
    let why = status.last_error.expect("it has a reason");
    assert!(
        why.contains(&format!("http://{at}/mcp")) && why.contains("refused"),
        "{why}"
    );
    assert_eq!(
        server.refused().await.0,
        "SERVER_OVERLOADED SERVER_UNAVAILABLE No"
    );

    // Another one of another era takes its place.
    let peer = Peer::start_at(at, |asked, _| modern(asked)).await;
    let status = server.when("it is up again", Status::is_up).await;
    assert!(status.restarts > 0);
    assert_eq!(status.peer.expect("open").revision, "2026-07-28");
    assert_eq!(server.text("echo", json!({"text": "x"})).await, "x");
    assert_eq!(peer.count("initialize"), 0);
    server.stop().await;
}

/// A server that speaks another revision from one call to the next is asked which.
#[tokio::test]
async fn a_server_that_changed_its_era_is_opened_anew() {
    let peer = Peer::start(|asked, number| {
        // Two requests open it as a modern one; then it is one no more.
        if number < 3 {
            return modern(asked);
        }
        let is_modern = !asked.header("mcp-method").is_empty();
        if is_modern {
            let refused = super::peer::error(asked, -32022, "Unsupported protocol version");
            let headers = [("content-type", "application/json")];
            return vec![response("400 Bad Request", &headers, refused.to_string())];
        }
        legacy(asked)
    })
    .await;
    let server = Server::of(&peer).await;
    let refused = server.tool("echo", json!({"text": "x"})).await;
    assert!(refused.expect("the server's own answer").failed);
    server
        .when("it is opened the old way", |status| {
            let peer = status.peer.as_ref();
            peer.is_some_and(|peer| peer.revision == "2025-11-25")
        })
        .await;
    assert_eq!(server.text("echo", json!({"text": "x"})).await, "x");
    server.stop().await;
}

/// Neither permission nor failure says anything of an era: such a server is asked again, and is
/// not opened the old way.
#[tokio::test]
async fn what_says_nothing_of_an_era_decides_none() {
    for (line, words) in [
        ("401 Unauthorized", "headers"),
        ("403 Forbidden", "headers"),
        ("500 Internal Server Error", "HTTP 500"),
        ("503 Service Unavailable", "HTTP 503"),
        ("429 Too Many Requests", "429"),
    ] {
        let peer = Peer::start(move |asked, number| {
            if number < 3 {
                let headers = [("www-authenticate", "Bearer realm=\"docs\"")];
                return vec![response(line, &headers, "")];
            }
            modern(asked)
        })
        .await;
        let server = Server::begin(options(&peer.url));
        let status = server
            .when("it has failed", |status| status.state == State::Unhealthy)
            .await;
        let why = status.last_error.expect("a reason");
        assert!(why.contains(words), "{line}: {why}");
        server.when("it is let in", Status::is_up).await;
        assert_eq!(peer.count("initialize"), 0, "{line}");
        server.stop().await;
    }
}

/// A credential that ran out while the server was up.
#[tokio::test]
async fn a_credential_that_is_refused_is_named() {
    for (line, state) in [
        ("401 Unauthorized", State::Unhealthy),
        ("403 Forbidden", State::Degraded),
    ] {
        let peer = Peer::start(move |asked, _| {
            if asked.is_call() {
                status(line)
            } else {
                modern(asked)
            }
        })
        .await;
        let mut options = options(&peer.url);
        options
            .headers
            .add("Authorization", "Bearer stale")
            .expect("a header");
        let server = Server::up(options).await;
        let mut status = server.upstream.status();
        let (kind, why) = server.refused().await;
        assert_eq!(kind, "SERVER_OVERLOADED SERVER_UNAVAILABLE No");
        assert!(!why.contains("stale"), "{why}");
        let told = timeout(PATIENCE, status.wait_for(|status| status.state == state)).await;
        let told = told.expect("in time").expect("it lives").last_error.clone();
        let told = told.expect("a reason");
        assert!(
            told.contains("Authorization") && !told.contains("stale"),
            "{told}"
        );
        server.stop().await;
    }
}

/// The transport before this one is told apart, by what it says itself.
#[tokio::test]
async fn two_endpoints_are_a_red_line() {
    for (first, words) in [
        ("event: endpoint\ndata: /messages?s=1\n\n", "2024-11-05"),
        ("event: message\ndata: {}\n\n", "MCP endpoint"),
    ] {
        let peer = Peer::start(move |asked, _| {
            if asked.verb == "GET" {
                let mut acts = events(first);
                acts.push(Act::Hold);
                acts
            } else {
                status("405 Method Not Allowed")
            }
        })
        .await;
        let server = Server::begin(options(&peer.url));
        let status = server
            .when("it has failed", |status| status.last_error.is_some())
            .await;
        let why = status.last_error.expect("a reason");
        assert!(why.contains(words), "{why}");
        if words == "2024-11-05" {
            assert!(why.contains("/mcp") && why.contains("stdio"), "{why}");
        }
        server.stop().await;
    }
}

/// A web site is no server, and says so at once.
#[tokio::test]
async fn what_is_no_mcp_server_is_told() {
    let page = || {
        vec![response(
            "200 OK",
            &[("content-type", "text/html")],
            "<html>",
        )]
    };
    let peer = Peer::start(move |_, _| page()).await;
    let server = Server::begin(options(&peer.url));
    let status = server
        .when("it has failed", |status| status.last_error.is_some())
        .await;
    let why = status.last_error.expect("a reason");
    assert!(why.contains("text/html") && why.contains("URL"), "{why}");
    server.stop().await;
}

/// A call under way when the adapter ends has its time, and then an end.
#[tokio::test]
async fn a_call_under_way_ends_with_the_adapter() {
    let peer = Peer::start(|asked, _| {
        if asked.is_call() {
            vec![stream(), Act::Hold]
        } else {
            legacy(asked)
        }
    })
    .await;
    let mut options = options(&peer.url);
    options.timeouts.drain = Duration::from_millis(100);
    let server = Server::up(options).await;
    let call = server.tool("echo", json!({}));
    let (outcome, in_time) = tokio::join!(call, async {
        peer.hears("tools/call", 1).await;
        server.upstream.stop().await
    });
    assert!(!in_time, "it did not end in time");
    let error = outcome.expect_err("it was stopped");
    assert_eq!(
        told(&error),
        "TOOL_EXECUTION_ERROR TOOL_EXECUTION_ERROR Maybe"
    );
    assert_eq!(
        (peer.count("notifications/cancelled"), peer.count("DELETE")),
        (1, 1)
    );
    let (kind, _) = server.refused().await;
    assert_eq!(kind, "SERVER_OVERLOADED SERVER_UNAVAILABLE No");
}
