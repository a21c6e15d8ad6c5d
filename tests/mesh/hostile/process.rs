//! Processes of ours: lines to `weft mcp`, and words to the command line.

use std::process::Stdio;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

use super::{all_rows, spelt, spelt_text};
use crate::{gateway::Place, stage::PATIENCE};

/// What `weft mcp` says to one line: `passes`, or the code.
async fn line(place: &Place, line: &[u8]) -> String {
    let mut child = Command::from(place.stage.weft(&["mcp"]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it runs");
    let mut to = child.stdin.take().expect("it is piped");
    let mut from = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    to.write_all(&[line, b"\n"].concat())
        .await
        .expect("it reads");
    let said = tokio::time::timeout(PATIENCE, from.next_line()).await;
    let said = said.expect("in time").expect("text").unwrap_or_default();
    drop(to);
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    assert!(ended.expect("it ends").expect("a status").success());
    let said: Value = serde_json::from_str(&said).unwrap_or_default();
    match said["error"]["code"].as_i64() {
        Some(code) => code.to_string(),
        None if said["result"].is_object() => "passes".to_owned(),
        None => format!("no answer: {said}"),
    }
}

/// The exit of a command, and what it says went wrong.
async fn command(place: &Place, words: &str) -> String {
    let words: Vec<String> = words.split(' ').map(spelt_text).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut weft = Command::from(place.stage.weft(&words));
    let done = weft.args(["-o", "json"]).output().await.expect("it runs");
    let code = done.status.code().expect("it ended by itself");
    let said: Value = serde_json::from_slice(&done.stderr).unwrap_or_default();
    let text = said.to_string();
    let mut kinds = ["TOOL_NOT_FOUND", "ACCESS_DENIED"].into_iter();
    let kind = kinds.find(|kind| text.contains(kind));
    format!("{code} {}", kind.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_and_words() {
    let place = Place::open().await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    assert_eq!(line(&place, list.as_bytes()).await, "passes");
    assert_eq!(command(&place, "call modern echo text=a").await, "0 ");
    let at = &place;
    all_rows(&["line", "cli"], |row| async move {
        match row.way {
            "line" => line(at, &spelt(row.sent)).await,
            _ => command(at, row.sent).await,
        }
    })
    .await;
    assert_eq!(line(at, list.as_bytes()).await, "passes");
    place.end().await;
}
