//! The same resources for those who know nothing of Weft: MCP clients through the gateway, and the
//! command line.

use std::{fs, process::Stdio};

use rmcp::{
    ServiceExt as _,
    model::{ReadResourceRequestParams, ResourceContents},
    transport::TokioChildProcess,
};
use serde_json::{Value, json};
use tokio::process::Command;
use weftbus::{app::up::Up, name::Identity};

use super::bytes;
use crate::{process::weft, stage::Stage};

const YAML: &str = "\
servers: {}
resources:
  roots:
    docs: { path: ./docs, permissions: [{ who: '*', may: [read] }] }
    closed: { path: ./docs }
";

async fn stage() -> (Stage, Up) {
    let stage = Stage::new(YAML);
    let docs = stage.path().join("docs");
    fs::create_dir(&docs).expect("a folder");
    fs::write(docs.join("guide.md"), "# Guide\n").expect("a file");
    fs::write(stage.path().join("secret"), "s").expect("a file");
    std::os::unix::fs::symlink("../secret", docs.join("out")).expect("a link");
    let up = stage.up().await;
    (stage, up)
}

struct Shell {
    stage: Stage,
    token: String,
}

impl Shell {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(weft());
        command
            .args(words)
            .arg("--data")
            .arg(self.stage.path().join("data"))
            .env("WEFT_TOKEN", &self.token)
            .current_dir(self.stage.path())
            .stdin(Stdio::null());
        command
    }

    async fn run(&self, words: &[&str]) -> (Option<i32>, Vec<u8>, String) {
        let output = self.command(words).output().await.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), output.stdout, said)
    }

    async fn json(&self, words: &[&str]) -> Value {
        let (code, out, said) = self.run(&[words, &["-o", "json"]].concat()).await;
        assert_eq!(code, Some(0), "{words:?}: {said}");
        serde_json::from_slice(&out).expect("JSON")
    }
}

async fn token(up: &Up, name: &str, permissions: &[&str]) -> String {
    let permissions: Vec<String> = permissions.iter().map(|&one| one.to_owned()).collect();
    let name = Identity::new(name).expect("a name");
    up.plane().issue(name, &permissions).await.expect("a token")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_shares_lists_reads_and_removes() {
    let (stage, up) = stage().await;
    let alice = token(&up, "alice", &["write:resources/weft/*"]).await;
    let bob = Shell {
        token: token(&up, "bob", &[]).await,
        stage,
    };
    let mut shell = bob;
    let bob = std::mem::replace(&mut shell.token, alice);
    let large = bytes(3 << 20);
    fs::write(shell.stage.path().join("large"), &large).expect("a file");
    let register = [
        "resources",
        "register",
        "test://large",
        "@large",
        "--share",
        "bob=read",
    ];
    let made = shell.json(&register).await;
    assert_eq!(
        (&made["owner"], &made["size"]),
        (&json!("alice"), &json!(3 << 20))
    );
    shell.token = bob;
    let listed = shell.json(&["resources", "list"]).await;
    let uris: Vec<&str> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["uri"].as_str().expect("a URI"))
        .collect();
    assert_eq!(
        uris,
        ["root://docs/guide.md", "test://large"],
        "and nothing of `closed`"
    );
    let (code, out, said) = shell.run(&["resources", "read", "test://large"]).await;
    assert!(code == Some(0) && out == large, "{said}");
    let read = ["resources", "read", "test://large", "--to", "copy"];
    assert_eq!(shell.run(&read).await.0, Some(0));
    assert!(fs::read(shell.stage.path().join("copy")).expect("a file") == large);
    let read = ["resources", "read", "test://none", "--to", "none"];
    assert_eq!(shell.run(&read).await.0, Some(5), "RESOURCE_NOT_FOUND");
    let left = fs::read_dir(shell.stage.path()).expect("a folder");
    let names = left.map(|one| one.expect("an entry").file_name());
    let halves = names.filter(|name| name.to_string_lossy().contains("none"));
    assert_eq!(halves.count(), 0, "what did not come leaves no file");
    let guide = shell
        .json(&["resources", "read", "weft", "root://docs/guide.md"])
        .await;
    assert_eq!(guide["content"]["text"], "# Guide\n");
    for bad in [
        "root://docs/out",
        "root://docs/..%2fsecret",
        "root://closed/guide.md",
    ] {
        assert_eq!(
            shell.run(&["resources", "read", bad]).await.0,
            Some(5),
            "{bad}"
        );
    }
    let removed = shell.run(&["resources", "remove", "test://large"]).await;
    assert_ne!(removed.0, Some(0), "bob may read it");
    shell.token = token(&up, "alice", &[]).await;
    let removed = shell.json(&["resources", "remove", "test://large"]).await;
    assert_eq!(removed["uri"], "test://large");
    up.stop().await;
}

/// The official Rust SDK, through the gateway's pipes, at the door of all servers and at that of
/// the control plane.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_client_lists_and_reads() {
    let (stage, up) = stage().await;
    let writer = token(&up, "alice", &["write:resources/weft/*"]).await;
    let mut shell = Shell {
        stage,
        token: writer,
    };
    let content = bytes(600_000);
    fs::write(shell.stage.path().join("large"), &content).expect("a file");
    let register = ["resources", "register", "test://large", "@large"];
    shell.json(&register).await;
    fs::write(shell.stage.path().join("small"), "small").expect("a file");
    let register = [
        "resources",
        "register",
        "test://small",
        "@small",
        "--type",
        "text/plain",
    ];
    shell.json(&register).await;
    let bob = token(&up, "bob", &["call:tools/x/y"]).await;
    for server in [&["mcp"][..], &["mcp", "--server", "weft"]] {
        let child = TokioChildProcess::new(shell.command(server)).expect("it starts");
        let client = ().serve(child).await.expect("a session");
        let listed = client.list_all_resources().await.expect("a list");
        let uris: Vec<&str> = listed.iter().map(|one| one.uri.as_str()).collect();
        assert_eq!(
            uris,
            ["root://docs/guide.md", "test://large", "test://small"]
        );
        let read = async |uri: &str| {
            let read = client
                .read_resource(ReadResourceRequestParams::new(uri))
                .await;
            read.map(|mut read| read.contents.remove(0))
        };
        let small = read("test://small").await.expect("hers");
        assert!(
            matches!(small, ResourceContents::TextResourceContents { text, .. } if text == "small")
        );
        let mut got = Vec::new();
        for range in ["0-524287", "524288-1048575"] {
            let part = read(&format!("test://large#bytes={range}"))
                .await
                .expect("a part");
            let ResourceContents::BlobResourceContents { blob, .. } = part else {
                panic!("no blob");
            };
            got.extend(
                data_encoding::BASE64
                    .decode(blob.as_bytes())
                    .expect("base64"),
            );
        }
        assert!(got == content);
        assert!(
            read("test://large").await.is_err(),
            "more than one answer carries"
        );
        assert!(read("test://none").await.is_err());
        client.cancel().await.expect("it ends");
    }
    shell.token = bob;
    let child = TokioChildProcess::new(shell.command(&["mcp"])).expect("it starts");
    let client = ().serve(child).await.expect("a session");
    let listed = client.list_all_resources().await.expect("a list");
    assert_eq!(listed.len(), 1, "what is his to read");
    let small = client
        .read_resource(ReadResourceRequestParams::new("test://small"))
        .await;
    assert!(small.is_err(), "the twin that alice reads");
    client.cancel().await.expect("it ends");
    up.stop().await;
}
