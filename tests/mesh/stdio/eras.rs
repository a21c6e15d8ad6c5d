//! Servers of both eras: told apart, opened, followed, raised.

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use weftbus::{adapter::State, mcp::version::Era};

use super::*;

#[tokio::test]
async fn eras_are_told_apart() {
    let files = crate::server::root()
        .join("tests/real")
        .display()
        .to_string();
    for (options, era, revision) in [
        (
            options("mcp-server-time", &["--local-timezone", "UTC"]),
            Era::Modern,
            "2026-07-28",
        ),
        (
            options("server-everything", &["stdio"]),
            Era::Legacy,
            "2025-11-25",
        ),
        (
            options("server-filesystem", &[&files]),
            Era::Legacy,
            "2025-11-25",
        ),
        (
            options("python", &[&fixture("old_rmcp.py")]),
            Era::Legacy,
            "2025-06-18",
        ),
        (modern(), Era::Modern, "2026-07-28"),
        (legacy(), Era::Legacy, "2025-11-25"),
        (noisy(), Era::Legacy, "2025-11-25"),
    ] {
        let what = format!("{:?} {:?}", options.launch.command, options.launch.args);
        let server = Server::up(options).await;
        let status = server.status();
        assert_eq!(status.state, State::Healthy, "{what}: {status:?}");
        let peer = status.peer.as_ref().expect("it is open");
        assert_eq!(
            (peer.era, peer.revision.as_str()),
            (era, revision),
            "{what}"
        );
        assert!(
            status.tools.complete && !status.tools.tools.is_empty(),
            "{what}"
        );
        assert!(peer.server_info.is_some() && status.restarts == 0, "{what}");
        assert!(status.pid.is_some(), "{what}");
        server.stop().await;
    }
}

/// Whatever the server: what it answers is an answer of 2026-07-28, and what only older servers
/// know is not carried.
#[tokio::test]
async fn every_answer_is_one_of_the_mesh() {
    for options in [modern(), legacy(), legacy_node()] {
        let server = Server::up(options).await;
        for method in ["server/discover", "tools/list"] {
            let request = json!({"jsonrpc": "2.0", "id": -5, "method": method});
            let reply = server.request(&request, None).await.expect("an answer");
            let body = body(&reply);
            assert!(!reply.failed, "{body}");
            assert_eq!(body["id"], -5);
            let result = &body["result"];
            assert_eq!(result["resultType"], "complete");
            assert!(
                result["ttlMs"].is_u64() && result["cacheScope"].is_string(),
                "{result}"
            );
            let info = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
            assert!(info["name"].is_string(), "{result}");
            if method == "server/discover" {
                assert_eq!(result["supportedVersions"], json!(["2026-07-28"]));
            }
        }
        let reply = server
            .tool("echo", json!({"text": "ä"}))
            .await
            .expect("an answer");
        assert_eq!(body(&reply)["id"], "caller's");
        assert_eq!(body(&reply)["result"]["resultType"], "complete");
        let ping = json!({"jsonrpc": "2.0", "id": 0, "method": "ping"});
        assert_eq!(
            body(&server.request(&ping, None).await.expect("pong"))["id"],
            0
        );
        for method in ["initialize", "logging/setLevel"] {
            let request = json!({"jsonrpc": "2.0", "id": 1, "method": method});
            let error = server.request(&request, None).await.expect_err(method);
            assert_eq!(told(&error), "METHOD_NOT_FOUND METHOD_NOT_FOUND No");
        }
        let unknown = json!({"jsonrpc": "2.0", "id": 1, "method": "no/such"});
        let reply = server.request(&unknown, None).await.expect("its own error");
        assert!(reply.failed);
        // The SDKs do not agree on the code; it is the server's own.
        let code = body(&reply)["error"]["code"].as_i64();
        assert!(matches!(code, Some(-32601 | -32602)), "{code:?}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_tool_that_fails_is_known_to_have() {
    for options in [modern(), legacy()] {
        let server = Server::up(options).await;
        let reply = server
            .tool("fail", json!({"message": "on purpose"}))
            .await
            .expect("an answer");
        assert!(reply.failed && body(&reply)["result"]["isError"] == true);
        let reply = server
            .tool("echo", json!({"text": "isError"}))
            .await
            .expect("an answer");
        assert!(!reply.failed);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_change_of_the_tools_is_felt_within_a_second() {
    for options in [modern(), legacy(), legacy_node()] {
        let server = Server::up(options).await;
        let mut changes = server.upstream.changes();
        let known = server.status().tools.tools.len();
        for n in 1..=3 {
            let name = server.text("grow", json!({})).await;
            let grown = Instant::now();
            loop {
                let change = timeout(PATIENCE, changes.recv()).await.expect("it is told");
                assert_eq!(change.expect("not lagging").kind, "tools/list_changed");
                if server.status().tools.get(&name).is_some() {
                    break;
                }
            }
            // The first at once; what follows within a second is told at its end.
            let most = if n == 1 { 1000 } else { 2000 };
            assert!(
                grown.elapsed() < Duration::from_millis(most),
                "{:?}",
                grown.elapsed()
            );
            assert_eq!(server.status().tools.tools.len(), known + n);
            assert_eq!(server.text(&name, json!({})).await, name);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_tool_that_is_not_there_is_not_called() {
    let server = Server::up(modern()).await;
    let error = server
        .tool("ecko", json!({}))
        .await
        .expect_err("no such tool");
    assert_eq!(told(&error), "TOOL_NOT_FOUND TOOL_NOT_FOUND No");
    assert!(error.message().contains("`echo`"), "{}", error.message());
    assert_eq!(error.context().operation, "tools/call ecko");
    assert_eq!(error.data().server_name, "tested");
    server.stop().await;
}

/// Requests of the server itself are answered at once, under ids that may equal our own.
#[tokio::test]
async fn what_the_server_asks_is_answered() {
    let server = Server::up(legacy()).await;
    for tool in ["ask_roots", "sample"] {
        let text = server.text(tool, json!({})).await;
        assert!(text.starts_with("error -32601"), "{text}");
    }
    server.stop().await;
    let server = Server::up(legacy_node()).await;
    assert_eq!(server.text("dup_ids", json!({})).await, "answered");
    server.stop().await;
}

/// Nothing of an answer is lost or spelt anew but its id and what is listed as added.
#[tokio::test]
async fn an_answer_is_the_servers_own() {
    let server = Server::up(options("server-everything", &["stdio"])).await;
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let reply = server.request(&request, None).await.expect("an answer");
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    for tool in &server.status().tools.tools {
        assert!(
            text.contains(tool.json.get()),
            "{} as it was spelt",
            tool.name
        );
    }
    let mut body: Value = serde_json::from_str(&text).unwrap();
    let result = body["result"].as_object_mut().unwrap();
    for added in weftbus::adapter::raise::added(Era::Legacy) {
        assert!(result.shift_remove(added.path[0]).is_some(), "{added:?}");
    }
    assert_eq!(result.keys().collect::<Vec<_>>(), ["tools"]);
    server.stop().await;
}

#[tokio::test]
async fn a_server_has_what_it_was_given_and_not_what_was_withheld() {
    let mut options = legacy();
    options.launch.without = vec!["HOME".into(), "GIVEN".into()];
    options.launch.env = [("GIVEN".to_owned(), "again".to_owned())].into();
    let server = Server::up(options).await;
    let names = server.text("environment", json!({})).await;
    let has = |name: &str| names.lines().any(|line| line == name);
    assert!(has("PATH") && has("GIVEN") && !has("HOME"), "{names}");
    server.stop().await;
}
