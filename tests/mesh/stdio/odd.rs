//! What servers may do and few do: batches, pages, log messages, lines that name no call.

use serde_json::json;
use weftbus::adapter::{State, Status};

use super::*;

/// A server of 2025-03-26 without SDK. Its list has a page a tool; `endless` has no last one.
const ODD: &str = r#"
import json, sys
PAGES = ["batch", "nameless", "log", "text_token"]
endless = "endless" in sys.argv
def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
def answer(message, **body):
    return {"jsonrpc": "2.0", "id": message["id"], **body}
def text(said):
    return {"content": [{"type": "text", "text": said}]}
def note(method, **params):
    return {"jsonrpc": "2.0", "method": "notifications/" + method, "params": params}
for line in sys.stdin:
    message = json.loads(line)
    method, params = message["method"], message.get("params", {})
    if "id" not in message:
        continue
    if method == "initialize":
        say(answer(message, result={"protocolVersion": "2025-03-26", "capabilities": {"tools": {}, "logging": {}},
            "serverInfo": {"name": "odd", "version": "1"}}))
    elif method == "tools/list":
        page = int(params.get("cursor", "0"))
        result = {"tools": [{"name": PAGES[page % len(PAGES)], "inputSchema": {"type": "object"}}]}
        if endless or page + 1 < len(PAGES):
            result["nextCursor"] = str(page + 1)
        say(answer(message, result=result))
    elif method == "tools/call":
        name, token = params["name"], params.get("_meta", {}).get("progressToken")
        if name == "batch":
            say([note("progress", progressToken=token, progress=1), {"jsonrpc": "2.0", "id": "s1", "method": "ping"},
                answer(message, result=text("batch"))])
        elif name == "nameless":
            say("x" * 2_000_000)
        elif name == "log":
            for level in ("debug", "error"):
                say(note("message", level=level, data=level))
            say(answer(message, result=text(json.dumps(params.get("_meta")))))
    else:
        say(answer(message, error={"code": -32601, "message": "Method not found"}))
"#;

fn odd(argument: &str) -> Options {
    let mut options = options("python", &["-c", ODD, argument]);
    options.limits.line = 1_000_000;
    options
}

#[tokio::test]
async fn pages_and_batches_are_read() {
    let server = Server::up(odd("")).await;
    let status = server.status();
    let names: Vec<&str> = status
        .tools
        .tools
        .iter()
        .map(|tool| tool.name.as_str())
        .collect();
    assert_eq!(names, ["batch", "nameless", "log", "text_token"]);
    assert_eq!(status.peer.unwrap().revision, "2025-03-26");
    let mut request = tool("batch", json!({}));
    request["params"]["_meta"] = json!({"progressToken": 1.5});
    let (notify, mut heard) = Notify::channel();
    let reply = server.request(&request, Some(notify)).await.unwrap();
    assert_eq!(
        (said(&reply), &body(&reply)["id"]),
        ("batch".to_owned(), &json!("caller's"))
    );
    let progress: Value = serde_json::from_slice(&heard.next().await.unwrap()).unwrap();
    assert_eq!(progress["params"]["progressToken"], 1.5);
    server.stop().await;
}

#[tokio::test]
async fn a_list_without_an_end_is_told_and_calls_pass_all_the_same() {
    let server = Server::up(odd("endless")).await;
    let status = server.status();
    assert_eq!(status.state, State::Degraded);
    let why = status.last_error.unwrap();
    assert!(why.contains("more than 100 pages"), "{why}");
    assert_eq!(server.text("batch", json!({})).await, "batch");
    server.stop().await;
}

/// Nobody can tell whose it was: every call in flight hears of it.
#[tokio::test]
async fn a_long_line_without_an_id_fails_all_calls() {
    let server = Server::up(odd("")).await;
    let (one, other) = tokio::join!(
        server.tool("nameless", json!({})),
        server.tool("text_token", json!({})),
    );
    for error in [one.unwrap_err(), other.unwrap_err()] {
        assert_eq!(told(&error), "TOOL_EXECUTION_ERROR RESULT_TOO_LARGE Yes");
        assert!(
            error.message().contains("without an id"),
            "{}",
            error.message()
        );
    }
    assert_eq!(server.text("batch", json!({})).await, "batch");
    server.stop().await;
}

#[tokio::test]
async fn log_messages_reach_the_one_who_asked_if_it_can_be_nobody_else() {
    let server = Server::up(odd("")).await;
    let asked = || {
        let mut request = tool("log", json!({}));
        request["params"]["_meta"] =
            json!({"io.modelcontextprotocol/logLevel": "info", "traceparent": "00-1"});
        request
    };
    let (notify, mut heard) = Notify::channel();
    let reply = server.request(&asked(), Some(notify)).await.unwrap();
    assert_eq!(
        said(&reply),
        r#"{"traceparent": "00-1"}"#,
        "what an older server is told"
    );
    let log: Value = serde_json::from_slice(&heard.try_next().unwrap()).unwrap();
    assert_eq!(log["params"]["data"], "error");
    assert_eq!(heard.try_next(), None, "below the level");

    // This one is never answered, so the next is not alone.
    let mut other = server.tool("text_token", json!({}));
    assert!(futures_util::poll!(&mut other).is_pending());
    let (notify, mut heard) = Notify::channel();
    server.request(&asked(), Some(notify)).await.unwrap();
    assert_eq!(heard.try_next(), None, "it may have been the other's");
    drop(other);
    server.stop().await;
}

/// A server that exits on the question for its era is not asked it again at each start.
#[tokio::test]
async fn a_verdict_holds_for_the_next_start() {
    let server = Server::up(options("python", &[&fixture("old_rmcp.py")])).await;
    let mut pids = vec![server.status().pid.unwrap()];
    crate::process::kill_9(pids[0]);
    let again = |s: &Status| s.pid.is_some_and(|pid| !pids.contains(&pid));
    let pid = server.when("it is started again", again).await.pid.unwrap();
    let up = server
        .when("it is up again", |s| s.is_up() && s.restarts == 1)
        .await;
    assert_eq!(up.pid, Some(pid), "one process, not two");
    pids.push(pid);
    server.stop().await;
    assert!(!pids.iter().any(|pid| crate::process::lives(*pid)));
}

#[tokio::test]
async fn a_stop_while_it_is_being_opened_leaves_nothing() {
    let mut options = options("python", &["-c", "import time; time.sleep(1000)"]);
    options.escalation.close = Duration::from_millis(100);
    let server = Server::begin(options).await;
    let pid = server
        .when("it was started", |s| s.pid.is_some())
        .await
        .pid
        .unwrap();
    server.stop().await;
    assert!(!crate::process::lives(pid));
}

#[tokio::test]
async fn the_end_of_all_tasks_ends_the_server() {
    let server = Server::up(legacy()).await;
    let pid = server.status().pid.unwrap();
    assert!(server.tasks.stop(Duration::from_secs(20)).await);
    assert!(!crate::process::lives(pid));
    server.when("its owner says so", |s| s.pid.is_none()).await;
}
