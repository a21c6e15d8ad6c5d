//! `weft connect`: what it writes for a client is enough to reach the mesh, by each way.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{native::mesh, stage::Stage};

/// One request of 2026-07-28.
const REQUEST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"test","version":"1"}}}}"#;
const TOOL: &str = "search__execute_parallel_search";

/// What `weft connect` with these words gives.
fn connect(stage: &Stage, words: &[&str]) -> Value {
    let words = [&["connect"], words, &["-o", "json"]].concat();
    let output = stage.weft(&words).env("HOME", stage.path()).output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Asks over stdio, as the client whose entry this is would.
fn ask_pipe(stage: &Stage, entry: &Value) -> String {
    let args = entry["args"].as_array().expect("arguments");
    let mut child = Command::new(entry["command"].as_str().expect("a program"))
        .args(args.iter().map(|word| word.as_str().expect("text")))
        // A client starts it anywhere, and with variables of its own.
        .current_dir("/")
        .env_clear()
        .env("HOME", stage.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("piped");
    writeln!(stdin, "{REQUEST}").expect("it reads");
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    out.read_line(&mut line).expect("it answers");
    drop(stdin);
    assert!(child.wait().expect("ours").success(), "{line}");
    line
}

/// Asks over HTTP with this header, or without one.
fn ask_http(url: &str, authorization: Option<&str>) -> String {
    let rest = url.strip_prefix("http://").expect("plain, on this machine");
    let (host, path) = rest.split_once('/').expect("a path");
    let mut socket = TcpStream::connect(host).expect("the gateway listens");
    let limit = Some(Duration::from_secs(30));
    socket.set_read_timeout(limit).expect("a socket has one");
    let authorization =
        authorization.map_or_else(String::new, |value| format!("Authorization: {value}\r\n"));
    write!(
        socket,
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{authorization}\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n\
         Content-Length: {}\r\n\r\n{REQUEST}",
        REQUEST.len()
    )
    .expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_reaches_the_mesh() {
    let (stage, up) = mesh().await;
    for client in ["claude", "cursor", "json"] {
        let stdio = connect(&stage, &[client, "--stdio"]);
        let entry = &stdio["fragment"]["mcpServers"]["weft"];
        let line = tokio::task::block_in_place(|| ask_pipe(&stage, entry));
        assert!(line.contains(TOOL), "{client}: {line}");
    }
    let one = connect(&stage, &["vscode", "--stdio", "--server", "search"]);
    let entry = &one["fragment"]["servers"]["weft-search"];
    let line = tokio::task::block_in_place(|| ask_pipe(&stage, entry));
    assert!(line.contains("\"execute_parallel_search\""), "{line}");

    let http = connect(&stage, &["claude"]);
    let entry = &http["fragment"]["mcpServers"]["weft"];
    let url = entry["url"].as_str().expect("a URL");
    let header = entry["headers"]["Authorization"].as_str().expect("one");
    assert_eq!(header, "Bearer ${WEFT_TOKEN}");
    let context = stage.context().expect("a mesh runs here");
    let token = fs::read_to_string(context["tokenFile"].as_str().expect("a file"));
    let token = token.expect("a token");
    assert!(!http.to_string().contains(token.trim()));
    let right = header.replace("${WEFT_TOKEN}", token.trim());
    let ask = |header: Option<&str>| tokio::task::block_in_place(|| ask_http(url, header));
    let answer = ask(Some(&right));
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains(TOOL),
        "{answer}"
    );
    assert!(ask(None).starts_with("HTTP/1.1 401"));
    up.stop().await;
}

/// A person's own file, in a folder of hers, and the file of a project.
#[tokio::test(flavor = "multi_thread")]
async fn it_writes_into_what_is_there() {
    let (stage, up) = mesh().await;
    let file = stage.path().join(".vscode/mcp.json");
    fs::create_dir_all(file.parent().expect("it has one")).expect("ours");
    let mine = "{\n\t// mine\n\t\"servers\": {\n\t\t\"git\": {\"type\": \"stdio\", \"command\": \"uvx\",},\n\t},\n}\n";
    fs::write(&file, mine).expect("ours");
    let first = connect(&stage, &["vscode", "--stdio", "--write"]);
    assert_eq!(first["change"]["did"], "changed");
    let backup = first["change"]["backup"].as_str().expect("one");
    assert_eq!(fs::read_to_string(backup).expect("there"), mine);
    let now = fs::read_to_string(&file).expect("there");
    let kept = mine.strip_suffix("\n\t},\n}\n").expect("as above");
    assert!(
        now.starts_with(kept) && now.ends_with("\n\t},\n}\n"),
        "{now}"
    );
    let again = connect(&stage, &["vscode", "--stdio", "--write"]);
    assert_eq!(again["change"], json!({"did": "nothing"}));
    assert_eq!(fs::read_to_string(&file).expect("there"), now);

    // The importer takes the others: a mesh that were its own server would have no end.
    let imported = stage
        .weft(&["config", "import", ".vscode/mcp.json"])
        .output();
    let imported = imported.expect("it runs");
    let text = String::from_utf8_lossy(&imported.stdout);
    assert!(
        text.contains("  git:\n") && !text.contains("weft:"),
        "{text}"
    );
    let said = String::from_utf8_lossy(&imported.stderr);
    assert!(said.contains("is a mesh of Weft: left out"), "{said}");
    up.stop().await;
}
