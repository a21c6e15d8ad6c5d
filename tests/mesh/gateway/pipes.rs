//! `weft mcp`: the same over stdin and stdout.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{MODERN, Place, text};
use crate::{process::until, stage::PATIENCE};

struct Pipe {
    child: Child,
    to: Option<ChildStdin>,
    from: Lines<BufReader<ChildStdout>>,
}

impl Pipe {
    fn open(place: &Place, words: &[&str]) -> Self {
        let mut child = Command::from(place.stage.weft(words))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it runs");
        let from = child.stdout.take().expect("it is piped");
        Self {
            to: child.stdin.take(),
            from: BufReader::new(from).lines(),
            child,
        }
    }

    async fn send(&mut self, message: &str) {
        let to = self.to.as_mut().expect("it is open");
        to.write_all(format!("{message}\n").as_bytes())
            .await
            .expect("it reads");
    }

    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.from.next_line());
        let line = line.await.expect("in time").expect("text").expect("a line");
        serde_json::from_str(&line).expect("JSON")
    }

    async fn ask(&mut self, message: &Value) -> Value {
        self.send(&message.to_string()).await;
        self.next().await
    }

    /// Closes the input; the process ends by itself.
    async fn close(mut self) -> ExitStatus {
        drop(self.to.take());
        let ended = tokio::time::timeout(Duration::from_secs(10), self.child.wait());
        ended.await.expect("it ends").expect("a status")
    }
}

fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

/// The same, as 2026-07-28 has it.
fn modern(id: impl Into<Value>, method: &str, mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    request(id, method, params)
}

fn opening(revision: &str) -> Value {
    let client = json!({"name": "t", "version": "1"});
    request(
        0,
        "initialize",
        json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": client}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn both_eras_over_the_same_pipes() {
    let place = Place::open().await;
    let mut pipe = Pipe::open(&place, &["mcp"]);
    let found = pipe.ask(&modern("d", "server/discover", json!({}))).await;
    assert_eq!(found["result"]["supportedVersions"], json!([MODERN]));
    let call = json!({"name": "modern__echo", "arguments": {"text": "a"}});
    let called = pipe.ask(&modern(1, "tools/call", call.clone())).await;
    assert_eq!(
        (text(&called), &called["result"]["resultType"]),
        ("a", &json!("complete"))
    );
    let opened = pipe.ask(&opening("2025-06-18")).await;
    assert_eq!(opened["result"]["protocolVersion"], "2025-06-18");
    let called = pipe.ask(&request(2, "tools/call", call)).await;
    assert_eq!(
        (text(&called), called["result"].get("resultType")),
        ("a", None)
    );
    let progress = json!({
        "name": "legacy__slow", "arguments": {"seconds": 0.3}, "_meta": {"progressToken": "p"},
    });
    pipe.send(&request(3, "tools/call", progress).to_string())
        .await;
    let mut told = 0;
    let last = loop {
        let said = pipe.next().await;
        if said["id"] == 3 {
            break said;
        }
        assert_eq!(said["params"]["progressToken"], "p", "{said}");
        told += 1;
    };
    assert!(told > 0 && text(&last) == "slept 0.3 s");
    assert!(pipe.close().await.success());
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_alone_and_its_changes() {
    let place = Place::open().await;
    let mut pipe = Pipe::open(&place, &["mcp", "--server", "legacy"]);
    pipe.ask(&opening("2025-11-25")).await;
    let grown = request(1, "tools/call", json!({"name": "grow", "arguments": {}}));
    pipe.send(&grown.to_string()).await;
    let (mut answered, mut told) = (false, false);
    while !(answered && told) {
        let said = pipe.next().await;
        answered |= said["id"] == 1 && text(&said) == "extra_1";
        told |= said["method"] == "notifications/tools/list_changed";
    }
    let listed = pipe.ask(&request(2, "tools/list", json!({}))).await;
    let names = listed["result"]["tools"].as_array().expect("tools").iter();
    assert!(names.clone().any(|tool| tool["name"] == "extra_1"));
    assert!(pipe.close().await.success());
    let mut pipe = Pipe::open(&place, &["mcp"]);
    let listen = modern(
        "l",
        "subscriptions/listen",
        json!({"notifications": {"toolsListChanged": true}}),
    );
    let first = pipe.ask(&listen).await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    place.client("").call("legacy__grow", json!({})).await;
    let changed = pipe.next().await;
    assert_eq!(
        changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        "l"
    );
    assert!(pipe.close().await.success());
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_has_its_number_over_pipes_as_well() {
    let place = Place::open().await;
    let mut pipe = Pipe::open(&place, &["mcp"]);
    for (line, code) in [
        ("{", -32700),
        (r#"{"jsonrpc":"2.0"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, -32600),
        ("[]", -32600),
    ] {
        pipe.send(line).await;
        assert_eq!(pipe.next().await["error"]["code"], code, "{line}");
    }
    let call = |name: &str| json!({"name": name, "arguments": {}});
    for (method, params, code) in [
        ("tools/list", json!({"cursor": "***"}), -32602),
        ("tools/call", call("nobody__x"), -32602),
        ("tools/call", call("absent__x"), -31006),
        ("no/such", json!({}), -32601),
    ] {
        let said = pipe.ask(&modern(1, method, params)).await;
        assert_eq!(said["error"]["code"], code, "{method}: {said}");
    }
    let crashed = pipe
        .ask(&modern(1, "tools/call", call("legacy__crash")))
        .await;
    assert_eq!(crashed["result"]["isError"], true, "{crashed}");
    assert!(pipe.close().await.success());

    let narrow = place.token("narrow", &["call:tools/modern/echo"]).await;
    let mut command = place.stage.weft(&["mcp"]);
    command.env("WEFT_TOKEN", narrow);
    let mut child = Command::from(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it runs");
    let from = child.stdout.take().expect("it is piped");
    let mut pipe = Pipe {
        to: child.stdin.take(),
        from: BufReader::new(from).lines(),
        child,
    };
    let denied = pipe
        .ask(&modern(1, "tools/call", call("modern__fail")))
        .await;
    assert_eq!(denied["error"]["code"], -31004, "{denied}");
    let listed = pipe.ask(&modern(2, "tools/list", json!({}))).await;
    assert_eq!(listed["result"]["tools"].as_array().map(Vec::len), Some(1));
    assert!(pipe.close().await.success());
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_taken_back_and_the_end_of_the_input_ends_all() {
    let place = Place::open().await;
    let mut pipe = Pipe::open(&place, &["mcp"]);
    pipe.ask(&opening("2025-06-18")).await;
    let mark = |name: &str| place.stage.path().join(name);
    let said = |name: &str| std::fs::read_to_string(mark(name)).unwrap_or_default();
    let slow = |id: &str| {
        let arguments = json!({"seconds": 30, "mark": mark(id)});
        request(
            id,
            "tools/call",
            json!({"name": "modern__slow", "arguments": arguments, "_meta": {"progressToken": id}}),
        )
    };
    // Both lines at once: the second is about the first, which has only just been read.
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "b"}});
    pipe.send(&slow("a").to_string()).await;
    until(PATIENCE, "the call is with the server", || {
        said("a").contains("started")
    })
    .await;
    pipe.send(&format!("{}\n{cancel}", slow("b"))).await;
    pipe.send(&cancel.to_string().replace("\"b\"", "\"a\""))
        .await;
    until(PATIENCE, "the server heard of it", || {
        said("a").contains("cancelled")
    })
    .await;
    until(PATIENCE, "of this one, too, if it came so far", || {
        said("b").is_empty() || said("b").contains("cancelled")
    })
    .await;
    pipe.send(&slow("c").to_string()).await;
    until(PATIENCE, "the call is with the server", || {
        said("c").contains("started")
    })
    .await;
    assert!(pipe.close().await.success());
    until(PATIENCE, "whoever leaves takes back what he asked", || {
        said("c").contains("cancelled")
    })
    .await;
    place.end().await;
}
