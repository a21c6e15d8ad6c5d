//! Calls: how answers are framed, what is heard before them, what goes out with them, their end.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use weftbus::{call::notify::Notifications, mcp::version::Era};

use super::{
    peer::{
        Act, Asked, Peer, echo, error, event, events, json, legacy, modern, response, result,
        stream,
    },
    *,
};

/// A peer of a kind, with an answer of its own to calls.
async fn answering(
    kind: fn(&Asked) -> Vec<Act>,
    answer: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static,
) -> Peer {
    Peer::start(move |asked, _| {
        if asked.is_call() {
            answer(asked)
        } else {
            kind(asked)
        }
    })
    .await
}

fn heard(mut from: Notifications) -> Vec<Value> {
    std::iter::from_fn(|| from.try_next())
        .map(|line| serde_json::from_slice(&line).expect("JSON"))
        .collect()
}

#[tokio::test]
async fn an_answer_is_read_however_it_is_framed() {
    type Frame = fn(&Asked) -> Vec<Act>;
    let frames: [(&str, Frame); 9] = [
        ("json", |asked| json(&echo(asked))),
        ("event", |asked| {
            events(format!("data: {}\n\n", echo(asked)))
        }),
        ("crlf", |asked| {
            events(format!(
                "event: message\r\ndata:{}\r\nid: 1\r\n\r\n",
                echo(asked)
            ))
        }),
        ("bom and comments", |asked| {
            events(format!("\u{feff}: hello\n\n:\ndata: {}\n\n", echo(asked)))
        }),
        ("many lines", |asked| {
            let text = serde_json::to_string_pretty(&echo(asked)).expect("JSON");
            let lines: String = text.lines().map(|line| format!("data: {line}\r")).collect();
            events(lines + "\r")
        }),
        ("nothing before", |asked| {
            events(format!(
                "id: 0\ndata:\n\nretry: 5\n\nevent: ping\ndata: 1\n\ndata: {}\n\n",
                echo(asked)
            ))
        }),
        ("garbage before", |asked| {
            events(format!(
                "data: {{\n\ndata: [1]\n\ndata: {}\n\n",
                echo(asked)
            ))
        }),
        ("another's answer before", |asked| {
            let mut other = echo(asked);
            other["id"] = 999_999.into();
            events(format!("data: {other}\n\ndata: {}\n\n", echo(asked)))
        }),
        ("a batch", |asked| {
            let said = json!({"jsonrpc": "2.0", "method": "notifications/x"});
            json(&json!([said, echo(asked)]))
        }),
    ];
    for kind in [legacy, modern] {
        for (what, frame) in frames {
            let peer = answering(kind, frame).await;
            let server = Server::of(&peer).await;
            let text = "ä \" \\ \u{1F600}";
            assert_eq!(
                server.text("echo", json!({"text": text})).await,
                text,
                "{what}"
            );
            server.stop().await;
        }
    }
}

#[tokio::test]
async fn an_answer_may_come_byte_by_byte() {
    let peer = answering(legacy, |asked| {
        let bytes = format!("data: {}\r\n\r\n", echo(asked)).into_bytes();
        let pieces = bytes.into_iter().map(|byte| Act::Say(vec![byte]));
        std::iter::once(stream()).chain(pieces).collect()
    })
    .await;
    let server = Server::of(&peer).await;
    assert_eq!(server.text("echo", json!({"text": "whole"})).await, "whole");
    server.stop().await;
}

#[tokio::test]
async fn a_call_hears_what_its_server_says_before_the_answer() {
    for (kind, era) in [
        (legacy as fn(&Asked) -> Vec<Act>, Era::Legacy),
        (modern, Era::Modern),
    ] {
        let peer = answering(kind, |asked| {
            let token = &asked.body["params"]["_meta"]["progressToken"];
            let progress = |token: &Value, n: u32| {
                event(
                    &json!({"jsonrpc": "2.0", "method": "notifications/progress",
                    "params": {"progressToken": token, "progress": n}}),
                )
            };
            let log = |level: &str| {
                event(&json!({"jsonrpc": "2.0", "method": "notifications/message",
                    "params": {"level": level, "data": level}}))
            };
            vec![
                stream(),
                progress(token, 1),
                log("debug"),
                log("error"),
                progress(&json!(424_242), 9),
                progress(token, 2),
                event(&echo(asked)),
            ]
        })
        .await;
        let server = Server::of(&peer).await;
        assert_eq!(server.status().peer.expect("open").era, era);
        let mut call = tool("echo", json!({"text": "x"}));
        call["params"]["_meta"] =
            json!({"progressToken": "mine", "io.modelcontextprotocol/logLevel": "warning"});
        let (notify, from) = Notify::channel();
        let reply = server.request(&call, PATIENCE, Some(notify)).await;
        assert_eq!(body(&reply.expect("an answer"))["id"], "caller's");
        let heard: Vec<String> = heard(from)
            .into_iter()
            .map(|said| {
                let params = &said["params"];
                format!("{} {}", params["progressToken"], params["progress"])
                    + params["data"].as_str().unwrap_or_default()
            })
            .collect();
        assert_eq!(heard, ["\"mine\" 1", "null nullerror", "\"mine\" 2"]);
        let sent = &peer.calls()[0].body;
        assert!(sent["id"].is_u64() && sent["params"]["_meta"]["progressToken"] == sent["id"]);
        assert_eq!(
            server.status().dropped.notifications,
            1,
            "a token of nobody"
        );
        server.stop().await;
    }
}

/// What stands in the headers of a modern request is worked out from what is sent on this hop.
#[tokio::test]
async fn headers_of_a_modern_request_say_what_its_body_says() {
    let schema = json!({"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "deep": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
    }});
    let bad =
        json!({"type": "object", "properties": {"a": {"type": "number", "x-mcp-header": "A"}}});
    let peer = Peer::start(move |asked, _| match asked.method() {
        "tools/list" => json(&result(
            asked,
            json!({"tools": [
                {"name": "wärme", "inputSchema": schema},
                {"name": "bad", "inputSchema": bad},
            ]}),
        )),
        _ => modern(asked),
    })
    .await;
    let server = Server::of(&peer).await;
    server
        .text(
            "wärme",
            json!({"text": "x", "region": " Süd", "deep": {"n": 7}}),
        )
        .await;
    let calls = peer.calls();
    let sent = &calls[0];
    for (name, value) in [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "=?base64?d8Okcm1l?="),
        ("mcp-param-region", "=?base64?IFPDvGQ=?="),
        ("mcp-param-n", "7"),
        ("accept", "application/json, text/event-stream"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(sent.header(name), value, "{name}");
    }
    let meta = &sent.body["params"]["_meta"];
    assert_eq!(
        meta["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    let error = server
        .tool("bad", json!({}))
        .await
        .expect_err("it is unfit");
    assert_eq!(told(&error), "TOOL_EXECUTION_ERROR TOOL_EXECUTION_ERROR No");
    assert!(error.message().contains("x-mcp-header"), "{error}");
    assert_eq!(peer.calls().len(), 1, "it was not called");
    server.stop().await;
}

/// Headers that follow an older list are refused by a server, which has done nothing then.
#[tokio::test]
async fn a_mismatch_of_headers_has_the_tools_read_again() {
    for always in [false, true] {
        let lists = AtomicUsize::new(0);
        let peer = Peer::start(move |asked, _| match asked.method() {
            "tools/list" => {
                let mut property = json!({"type": "string"});
                if lists.fetch_add(1, Ordering::Relaxed) > 0 {
                    property["x-mcp-header"] = "A".into();
                }
                let schema = json!({"type": "object", "properties": {"text": property}});
                json(&result(
                    asked,
                    json!({"tools": [{"name": "echo", "inputSchema": schema}]}),
                ))
            }
            "tools/call" if always || asked.header("mcp-param-a").is_empty() => {
                let refused = error(asked, -32020, "Header mismatch").to_string();
                let headers = [("content-type", "application/json")];
                vec![response("400 Bad Request", &headers, refused)]
            }
            _ => modern(asked),
        })
        .await;
        let server = Server::of(&peer).await;
        let answer = server.tool("echo", json!({"text": "x"})).await;
        let answer = answer.expect("the server's own answer");
        assert_eq!(answer.failed, always);
        assert_eq!(peer.calls().len(), 2, "no third time");
        server.stop().await;
    }
}

#[tokio::test]
async fn an_answer_over_the_limit_fails_its_call_alone() {
    let size = |asked: &Asked| {
        asked.body["params"]["arguments"]["size"]
            .as_u64()
            .unwrap_or(0)
    };
    let long = move |asked: &Asked| {
        let text = "x".repeat(usize::try_from(size(asked)).expect("small"));
        result(asked, json!({"content": [{"type": "text", "text": text}]})).to_string()
    };
    type Frame = fn(String) -> Vec<Act>;
    let frames: [(&str, Frame); 3] = [
        ("length", |body| {
            vec![response(
                "200 OK",
                &[("content-type", "application/json")],
                body,
            )]
        }),
        ("no length", |body| {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                        transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
            let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
            vec![Act::Say(head.into()), Act::Say(chunk.into_bytes())]
        }),
        ("event", |body| events(format!("data: {body}\n\n"))),
    ];
    for (what, frame) in frames {
        let peer = answering(modern, move |asked| frame(long(asked))).await;
        let mut options = options(&peer.url);
        options.limits.answer = 100_000;
        let server = Server::up(options).await;
        let error = server.tool("echo", json!({"size": 200_000})).await;
        let error = error.expect_err("it is too large");
        assert_eq!(
            told(&error),
            "TOOL_EXECUTION_ERROR RESULT_TOO_LARGE Yes",
            "{what}"
        );
        assert_eq!(error.context().metadata["limitBytes"], 100_000);
        assert_eq!(
            server.text("echo", json!({"size": 90_000})).await.len(),
            90_000,
            "{what}"
        );
        assert!(server.status().is_up());
        server.stop().await;
    }
}

/// The caller's time is what a server has, also before its first byte.
#[tokio::test]
async fn a_server_that_says_nothing_has_the_time_of_the_call() {
    let silent: [Vec<Act>; 3] = [
        vec![Act::Hold],
        vec![Act::Say(b"HTTP/1.1 200 OK\r\ncontent-".to_vec()), Act::Hold],
        vec![stream(), Act::Say(b": alive\n\n".to_vec()), Act::Hold],
    ];
    for acts in silent {
        let peer = answering(legacy, move |_| acts.clone()).await;
        let server = Server::of(&peer).await;
        let call = tool("echo", json!({}));
        let error = server
            .request(&call, Duration::from_millis(300), None)
            .await
            .expect_err("no answer");
        assert_eq!(told(&error), "TIMEOUT TIMEOUT Maybe");
        peer.let_go(1).await;
        peer.hears("notifications/cancelled", 1).await;
        server.stop().await;
    }
}

/// A dropped call closes its request; an older server is told so besides, under our id.
#[tokio::test]
async fn a_dropped_call_is_cancelled() {
    for (kind, told) in [(legacy as fn(&Asked) -> Vec<Act>, 1), (modern, 0)] {
        let peer = answering(kind, |_| vec![stream(), Act::Hold]).await;
        let server = Server::of(&peer).await;
        let call = server.tool("echo", json!({}));
        tokio::select! {
            _ = call => panic!("it has no answer"),
            () = peer.hears("tools/call", 1) => {}
        }
        peer.let_go(1).await;
        peer.hears("notifications/cancelled", told).await;
        let id = peer.calls()[0].body["id"].clone();
        server.stop().await;
        let heard = peer.heard();
        let mut cancels = heard
            .iter()
            .filter(|asked| asked.method() == "notifications/cancelled");
        assert_eq!(cancels.clone().count(), told);
        assert!(cancels.all(|asked| asked.body["params"]["requestId"] == id));
    }
}

#[tokio::test]
async fn a_call_too_many_is_refused() {
    let peer = answering(modern, |asked| {
        if asked.body["params"]["arguments"]["hold"] == true {
            vec![Act::Hold]
        } else {
            json(&echo(asked))
        }
    })
    .await;
    let mut options = options(&peer.url);
    options.limits.in_flight = 2;
    let server = Server::up(options).await;
    let mut held: Vec<_> = (0..2)
        .map(|_| server.tool("echo", json!({"hold": true})))
        .collect();
    for call in &mut held {
        assert!(futures_util::poll!(call).is_pending());
    }
    let (kind, why) = server.refused().await;
    assert_eq!(kind, "SERVER_OVERLOADED SERVER_OVERLOADED No");
    assert!(why.contains("2 calls"), "{why}");
    drop(held.pop());
    assert_eq!(server.text("echo", json!({"text": "now"})).await, "now");
    drop(held);
    server.stop().await;
}

/// What an older server asks on the stream of a call is answered at once.
#[tokio::test]
async fn what_the_server_asks_is_answered() {
    let peer = answering(legacy, |asked| {
        vec![
            stream(),
            event(&json!({"jsonrpc": "2.0", "id": 0, "method": "ping"})),
            event(&json!({"jsonrpc": "2.0", "id": "r", "method": "roots/list"})),
            // Opening takes four; then the call, and two answers.
            Act::Until(7),
            event(&echo(asked)),
        ]
    })
    .await;
    let server = Server::of(&peer).await;
    assert_eq!(server.text("echo", json!({"text": "x"})).await, "x");
    let heard = peer.heard();
    let answers: Vec<&Value> = heard
        .iter()
        .map(|asked| &asked.body)
        .filter(|body| body.get("method").is_none() && body.get("id").is_some())
        .collect();
    assert_eq!(answers.len(), 2);
    assert!(
        answers
            .iter()
            .any(|body| body["id"] == 0 && body["result"] == json!({}))
    );
    assert!(
        answers
            .iter()
            .any(|body| body["id"] == "r" && body["error"]["code"] == -32601)
    );
    server.stop().await;
}
