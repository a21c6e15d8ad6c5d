//! HTTP servers on a whole mesh: in `weft.yaml`, in a client's file, by `weft adapter --url`.

use std::{fs, path::Path, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use weftbus::error::Kind;

use super::{
    guard::has_no_other_headers,
    peer::{Asked, Peer, events, legacy, modern, status},
    *,
};
use crate::{process::until, stage::Stage};

fn read(path: &Path) -> String {
    fs::read_to_string(path)
        .expect("it is there")
        .trim()
        .to_owned()
}

/// One server a line, as `weft servers` lists it.
fn listed(stage: &Stage) -> Vec<Value> {
    let done = stage
        .weft(&["servers", "-o", "json"])
        .output()
        .expect("it runs");
    serde_json::from_slice(&done.stdout).unwrap_or_default()
}

/// The mesh's own tokens end at the adapter. What this would catch: a header or a `_meta` of the
/// caller that is passed on, a token of the adapter's own in `Authorization`, one in a URL.
#[tokio::test(flavor = "multi_thread")]
async fn no_token_of_ours_reaches_a_server() {
    let (old, new) = (
        Peer::start(|asked, _| legacy(asked)).await,
        Peer::start(|asked, _| modern(asked)).await,
    );
    let stage = Stage::new(&format!(
        "servers:\n  old: {{ url: '{}', headers: {{ X-Api-Key: {{ file: key }} }} }}\n  \
         new: {{ url: '{}', timeout: 20s }}\n",
        old.url, new.url
    ));
    fs::write(stage.path().join("key"), "s3cret\n").expect("the folder is ours");
    let up = stage.up().await;
    let rows = up.servers();
    assert!(rows.iter().all(|row| row.tools == Some(1)), "{rows:?}");
    let caller = stage.caller().await;
    for server in ["old", "new"] {
        let answer = caller
            .call_tool(server, "echo", json!({"text": server}))
            .await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.value()["content"][0]["text"], server);
    }
    for entry in tokio::task::block_in_place(|| listed(&stage)) {
        assert_eq!(entry["state"], "healthy", "{entry}");
        let instances = entry["instances"].as_array().expect("instances");
        assert_eq!(instances[0]["transport"], "http", "{entry}");
    }
    let token = read(&stage.path().join("data/token"));
    caller.close().await;
    up.stop().await;
    assert_eq!((old.count("DELETE"), new.count("DELETE")), (1, 0));
    let check = |asked: &Asked, configured: &[&str]| {
        has_no_other_headers(asked, configured);
        // Every token of ours is a JWT, and begins with `{"`.
        for secret in [token.as_str(), "eyJ", "Bearer", "weft+jwt"] {
            assert!(!asked.text.contains(secret), "{secret}: {}", asked.text);
        }
    };
    assert!(!old.calls().is_empty() && !new.calls().is_empty());
    for asked in old.heard() {
        assert_eq!(asked.header("x-api-key"), "s3cret");
        check(&asked, &["x-api-key"]);
    }
    new.heard().iter().for_each(|asked| check(asked, &[]));
}

/// One server that can't be carried is a red line, and the others serve.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_carried_is_a_red_line() {
    let good = Peer::start(|asked, _| modern(asked)).await;
    let sse = Peer::start(|asked, _| match asked.verb.as_str() {
        "GET" => events("event: endpoint\ndata: /messages\n\n"),
        _ => status("404 Not Found"),
    })
    .await;
    let stage = Stage::new("{}\n");
    let list = json!({"mcpServers": {
        "good": {"type": "http", "url": good.url},
        "sse": {"url": sse.url},
        "typed": {"type": "sse", "url": sse.url},
    }});
    fs::write(stage.path().join("mcp.json"), list.to_string()).expect("the folder is ours");
    let up = stage.up().await;
    for row in up.servers() {
        let problem = row.problem.clone().unwrap_or_default();
        if row.server == "good" {
            assert_eq!((row.tools, problem.as_str()), (Some(1), ""));
        } else {
            assert!(problem.contains("2024-11-05"), "{}: {problem}", row.server);
        }
    }
    let caller = stage.caller().await;
    let error = caller
        .call_tool("sse", "echo", json!({}))
        .await
        .expect_err("it is not there");
    assert_eq!(error.kind(), Kind::ServerOverloaded);
    assert!(error.message().contains("2024-11-05"), "{error}");
    caller.close().await;
    up.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_of_a_url_joins_and_leaves() {
    let peer = Peer::start(|asked, _| legacy(asked)).await;
    let stage = Stage::new("{}\n");
    let up = stage.up().await;
    let mut adapter = stage
        .weft(&["adapter", "docs", "--url", &peer.url])
        .args(["--header", "Authorization=DOCS_AUTH"])
        .env("DOCS_AUTH", "Bearer s3cret")
        .stdin(Stdio::null())
        .spawn()
        .expect("it runs");
    let is_up = || {
        let found = listed(&stage);
        found
            .iter()
            .any(|entry| entry["server"] == "docs" && entry["state"] == "healthy")
    };
    until(PATIENCE, "it has joined", || {
        tokio::task::block_in_place(is_up)
    })
    .await;
    let caller = stage.caller().await;
    let answer = caller.call_tool("docs", "echo", json!({"text": "x"})).await;
    assert_eq!(
        answer.expect("an answer").value()["content"][0]["text"],
        "x"
    );
    assert_eq!(peer.calls()[0].header("authorization"), "Bearer s3cret");
    let pid = i32::try_from(adapter.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), Signal::TERM).expect("it lives");
    let ended = tokio::task::block_in_place(|| adapter.wait()).expect("ours");
    assert!(ended.success(), "{ended}");
    assert_eq!(peer.count("DELETE"), 1, "its session was ended");
    caller.close().await;
    up.stop().await;
}

/// What is wrong on the command line is said before anything is connected, without a value.
#[test]
fn a_header_is_never_an_argument() {
    let stage = Stage::new("{}\n");
    let run = |words: &[&str]| {
        let done = stage
            .weft(
                &[
                    &["adapter", "docs", "--url", "http://127.0.0.1:9/mcp"],
                    words,
                ]
                .concat(),
            )
            .env("DOCS_AUTH", "Bearer s3cret")
            .output()
            .expect("it runs");
        (
            done.status.code(),
            String::from_utf8_lossy(&done.stderr).into_owned(),
        )
    };
    for (words, why) in [
        (
            &["--header", "Authorization=Bearer s3cret"][..],
            "name of a variable",
        ),
        (&["--header", "Authorization"], "NAME=VARIABLE"),
        (&["--header", "Host=DOCS_AUTH"], "Weft itself"),
        (&["--header", "X=@nowhere"], "nowhere"),
        (&["--", "uvx"], "--url"),
    ] {
        let (code, said) = run(words);
        assert_eq!(code, Some(2), "{words:?}: {said}");
        assert!(
            said.contains(why) && !said.contains("s3cret"),
            "{words:?}: {said}"
        );
    }
    // With a right one it gets as far as looking for a mesh.
    let (code, said) = run(&["--header", "Authorization=DOCS_AUTH"]);
    assert_eq!(code, Some(4), "{said}");
}
