//! The Inspector's command line: one process for one request, in each of its eras.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use super::{SOON, endpoint, folder, stage, stdio};
use crate::{
    clients::driver::Target,
    process::until,
    stage::{Stage, real},
};

const ERAS: [&str; 3] = ["legacy", "auto", "modern"];
const PATIENCE: Duration = Duration::from_secs(60);

/// The configuration that it reads: the token is in a file, not on a command line.
fn configured(stage: &Stage, folder: &Path) -> PathBuf {
    let http = |server| {
        let (url, token) = endpoint(stage, server);
        let bearer = format!("Bearer {token}");
        json!({"type": "streamable-http", "url": url, "headers": {"Authorization": bearer}})
    };
    let Target::Stdio(words) = stdio(stage, None) else {
        unreachable!("it was made as such")
    };
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let entries = json!({"mcpServers": {
        "all": http(None),
        "one": http(Some("everything")),
        "stdio": {"command": words[0], "args": words[1..]},
    }});
    let file = folder.join("inspector.json");
    fs::write(&file, entries.to_string()).expect("the folder is ours");
    file
}

fn command(config: &Path, server: &str, era: &str) -> Command {
    let mut command = Command::new(real("inspector"));
    let home = config.parent().expect("a file is in a folder");
    // It keeps files of its own in the home folder, and looks for a keychain.
    command
        .env("HOME", home)
        .env("MCP_INSPECTOR_SECRET_STORE", "memory")
        .arg("--quiet")
        .arg("--config")
        .arg(config)
        .args(["--server", server, "--protocol-era", era])
        .args(["--stored-auth-only", "--format", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn asked(config: &Path, server: &str, era: &str, words: &[&str]) -> Value {
    let output = command(config, server, era).args(words).output();
    let output = timeout(PATIENCE, output)
        .await
        .expect("it ends")
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{server}, {era}: {said}");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    answer["result"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_calls() {
    let stage = stage();
    let mesh = stage.up().await;
    let config = configured(&stage, &folder(&stage, "inspector"));
    for era in ERAS {
        let listed = asked(&config, "all", era, &["--method", "tools/list"]).await;
        let tools = listed["tools"].as_array().expect("tools");
        let found = tools
            .iter()
            .any(|entry| entry["name"] == "everything__echo");
        assert!(found, "{era}: {listed}");
        for (server, tool) in [
            ("all", "everything__echo"),
            ("one", "echo"),
            ("stdio", "everything__echo"),
        ] {
            let words = ["--method", "tools/call", "--tool-name", tool];
            let words = [&words[..], &["--tool-arg", "message=hello"]].concat();
            let answer = asked(&config, server, era, &words).await;
            let text = &answer["content"][0]["text"];
            assert_eq!(text, "Echo: hello", "{server}, {era}");
        }
    }
    mesh.stop().await;
}

/// It has no way to cancel but to be stopped: in the newer era a call ends with its connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_with_the_client() {
    let stage = stage();
    let mesh = stage.up().await;
    let folder = folder(&stage, "stopped");
    let config = configured(&stage, &folder);
    let mark = folder.join("mark");
    let arguments = json!({"seconds": 60, "mark": mark}).to_string();
    let words = [
        "--method",
        "tools/call",
        "--tool-name",
        "modern__slow",
        "--tool-args-json",
    ];
    let mut child = command(&config, "all", "modern")
        .args(words)
        .arg(&arguments)
        .spawn()
        .expect("it runs");
    let says = |word: &str| {
        let text = fs::read_to_string(&mark).unwrap_or_default();
        text.lines().any(|line| line == word)
    };
    until(PATIENCE, "the call is with the server", || says("started")).await;
    child.kill().await.expect("ours");
    until(SOON, "the server was cancelled", || says("cancelled")).await;
    mesh.stop().await;
}
