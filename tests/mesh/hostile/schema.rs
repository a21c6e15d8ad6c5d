//! A server whose tools have schemas that are attacks, where its adapter checks arguments by them.

use std::{fmt::Write as _, fs, io::ErrorKind, net::TcpListener};

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};
use weftbus::mesh::Mesh;

use super::http;
use crate::{
    gateway::Client,
    stage::{Process, Stage, real, told},
};

/// A whole MCP server, with the tools of a file.
const SERVER: &str = r#"
import json, sys
tools = json.load(open(sys.argv[1]))
for line in sys.stdin:
    said = json.loads(line)
    if "id" not in said:
        continue
    method = said["method"]
    if method == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                  "serverInfo": {"name": "schemas", "version": "1"}}
    elif method == "tools/list":
        result = {"tools": tools}
    elif method == "tools/call":
        result = {"content": [{"type": "text", "text": "called"}]}
    else:
        error = {"code": -32601, "message": "unknown"}
        print(json.dumps({"jsonrpc": "2.0", "id": said["id"], "error": error}), flush=True)
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": said["id"], "result": result}), flush=True)
"#;

/// Longer than this for one call is what an attacker wants.
const BUDGET: Duration = Duration::from_secs(5);

/// A mesh with one server of these tools.
async fn stage(tools: &[(&str, Value)]) -> Stage {
    let listed: Vec<Value> = tools
        .iter()
        .map(|(name, schema)| json!({"name": name, "inputSchema": schema}))
        .collect();
    let stage = Stage::new("servers: {}\n");
    let (program, list) = (
        stage.path().join("server.py"),
        stage.path().join("tools.json"),
    );
    fs::write(&program, SERVER).expect("ours");
    fs::write(&list, json!(listed).to_string()).expect("ours");
    let server = json!({"command": real("python"), "args": [program, list], "validate": "adapter"});
    let mut yaml = String::new();
    writeln!(yaml, "servers: {{ \"schemas\": {server} }}").expect("a text");
    fs::write(stage.path().join("weft.yaml"), yaml).expect("ours");
    stage
}

async fn says(by: &Mesh, tool: &str, arguments: Value) -> String {
    let began = Instant::now();
    let ask = by.tool("schemas", tool, arguments).expect("a call").once();
    let called = ask.send().await.and_then(|answer| answer.tool());
    let took = began.elapsed();
    assert!(took < BUDGET, "{tool}: {took:?}");
    called.map_or_else(|error| told(&error), |_| "called".to_owned())
}

/// A schema is what the server sent: nothing is fetched for it.
pub(super) async fn points_elsewhere() -> String {
    let trap = TcpListener::bind("127.0.0.1:0").expect("a port");
    trap.set_nonblocking(true).expect("ours");
    let address = trap.local_addr().expect("an address");
    let points = |to: String| json!({"type": "object", "properties": {"text": {"$ref": to}}});
    let stage = stage(&[
        ("plain", points("#/$defs/text".to_owned())),
        ("web", points(format!("http://{address}/schema.json"))),
        ("file", points("file:///etc/passwd".to_owned())),
        ("good", json!({"type": "object"})),
    ])
    .await;
    let up = stage.up().await;
    let caller = stage.caller().await;
    assert_eq!(
        says(&caller, "good", json!({"text": "a"})).await,
        "called",
        "the twin"
    );
    for tool in ["web", "file", "plain"] {
        let said = says(&caller, tool, json!({"text": "a"})).await;
        if said != "INTERNAL_ERROR INTERNAL_ERROR No" {
            return format!("{tool}: {said}");
        }
    }
    let none = trap.accept().expect_err("nobody came");
    assert_eq!(none.kind(), ErrorKind::WouldBlock);
    caller.close().await;
    up.stop().await;
    "refused, nothing fetched".to_owned()
}

/// Where arguments are checked, nothing passes that their server might read in another way.
pub(super) async fn two_readers() -> String {
    let stage = stage(&[("good", json!({"type": "object"}))]).await;
    let up = stage.up().await;
    let token = stage.context().expect("a mesh runs here")["tokenFile"].clone();
    let token = fs::read_to_string(token.as_str().expect("a file")).expect("a token");
    let client = Client {
        http: reqwest::Client::new(),
        url: up.gateway_url().expect("there is a gateway"),
        token: token.trim().to_owned(),
        session: None,
    };
    let spelt = async |text: &str| http::arguments(&client, "schemas__good", text.as_bytes()).await;
    let twin = r#"{"a":1,"b":18446744073709551615}"#;
    assert_eq!(spelt(twin).await, "carried", "the twin");
    for bad in [
        r#"{"a":1,"a":2}"#,
        r#"{"a":18446744073709551617}"#,
        r#"{"a":1e400}"#,
    ] {
        let said = spelt(bad).await;
        if said != "200 -32602" {
            return format!("{bad}: {said}");
        }
    }
    up.stop().await;
    "200 -32602".to_owned()
}

/// Patterns that run for ever, ten thousand choices, schemas that are their own: each within its
/// time, and the next call passes.
pub(super) async fn takes_long() -> String {
    let pattern = |pattern: &str| json!({"properties": {"text": {"pattern": pattern}}});
    let choices: Vec<Value> = (0..10_000).map(|n| json!({"const": n})).collect();
    let stage = stage(&[
        ("linear", pattern("^(a+)+$")),
        ("backwards", pattern(r"^(a+)+\1$")),
        (
            "choices",
            json!({"properties": {"text": {"anyOf": choices}}}),
        ),
        ("itself", json!({"allOf": [{"$ref": "#"}]})),
        ("good", json!({"type": "object"})),
    ])
    .await;
    let up = stage.up().await;
    let caller = stage.caller().await;
    let evil = format!("{}!", "a".repeat(200));
    for tool in ["linear", "backwards", "choices"] {
        let said = says(&caller, tool, json!({"text": evil})).await;
        if said != "INVALID_PARAMS INVALID_PARAMS No" {
            return format!("{tool}: {said}");
        }
        assert_eq!(
            says(&caller, "good", json!({"text": "a"})).await,
            "called",
            "the twin"
        );
    }
    // It asks for nothing but itself: every argument fits.
    assert_eq!(
        says(&caller, "itself", json!({"text": evil})).await,
        "called"
    );
    caller.close().await;
    up.stop().await;
    "refused, in time".to_owned()
}

/// Of two tools one says more than a person sees of it, and is named wherever it is shown.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_sees_of_a_tool_is_told() {
    let schema = |more: &str| {
        let text = json!({"type": "string", "description": format!("A text.{more}")});
        json!({"type": "object", "properties": {"text": text}})
    };
    let orders = "\u{202e}\u{1b}[8m\u{e0073}\u{e0065}\u{e006e}\u{e0064}";
    let stage = stage(&[("plain", schema("")), ("quiet", schema(orders))]).await;
    let _process = Process::start(&stage).await;
    for (words, told) in [
        (&["tools", "schemas"][..], true),
        (&["describe", "schemas", "quiet"], true),
        (&["describe", "schemas", "plain"], false),
    ] {
        let output = stage.weft(words).output().expect("it runs");
        assert!(output.status.success());
        let [out, err] = [output.stdout, output.stderr].map(String::from_utf8);
        let (out, err) = (out.expect("text"), err.expect("text"));
        assert!(out.contains("plain") || out.contains("quiet"), "{out}");
        assert!(
            !out.chars()
                .any(|c| orders.contains(c) && !"[8m".contains(c)),
            "{out:?}"
        );
        assert_eq!(err.contains("U+202E, U+001B, U+E0073"), told, "{err}");
        assert_eq!(err.contains("`quiet` of `schemas`"), told, "{err}");
        assert!(!err.contains("`plain`"), "{err}");
    }
    let log = stage.said();
    let line = log.lines().find(|line| line.contains("U+202E"));
    let line = line.expect("the adapter says it");
    assert!(
        line.contains(r#""tool":"quiet""#) && !log.contains('\u{202e}'),
        "{line}"
    );
}
