//! The program as a person or a script types it, against a whole mesh: what goes where, and which
//! status it ends with.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::stage::{Stage, example};

/// Runs `weft` on this data folder, with these variables and no other of ours.
fn weft(data: &Path, variables: &[(&str, &str)], args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weft"))
        .env_clear()
        .envs(variables.iter().copied())
        .arg("--data")
        .arg(data)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("it runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs it, and holds it to its status and to what it says where.
#[track_caller]
fn expect(output: &Output, status: i32, stdout: &str, stderr: &str) {
    let (out, err) = (out(output), err(output));
    assert_eq!(output.status.code(), Some(status), "{out}\n{err}");
    assert!(out.contains(stdout), "{stdout} in {out}\n{err}");
    assert!(err.contains(stderr), "{stderr} in {err}\n{out}");
}

const SEARCH: [&str; 3] = ["call", "search-aggregator", "execute_parallel_search"];

#[tokio::test(flavor = "multi_thread")]
async fn each_outcome_has_its_status() {
    let yaml = format!(
        "servers:\n  search-aggregator: {{ command: {} }}\n  docs: {{ command: no-such-program }}\n",
        example("weft-example-search").display()
    );
    let stage = Stage::new(&yaml);
    let mesh = stage.up().await;
    let data = stage.path().join("data");
    let run = |args: &[&str]| weft(&data, &[], args);
    let call = |more: &[&str]| run(&[&SEARCH[..], more].concat());

    expect(&run(&["health", "--wait", "20s"]), 7, "degraded", "");
    expect(&run(&["servers"]), 0, "no-such-program", "");
    expect(&run(&["tools", "search-aggregator"]), 0, SEARCH[2], "");
    expect(
        &run(&["describe", "search-aggregator/execute_parallel_search"]),
        0,
        "query=text",
        "",
    );
    expect(
        &call(&["query=market trends", "maxResults:=3"]),
        0,
        "results for",
        "",
    );
    expect(&call(&[]), 5, "", "INVALID_PARAMS");
    expect(&call(&["query=x", "--timeout", "1ms"]), 6, "", "TIMEOUT");
    expect(
        &run(&["call", "search-agregator", "x"]),
        4,
        "",
        "did you mean `search-aggregator`?",
    );
    expect(
        &run(&["call", "search-aggregator", "execute"]),
        5,
        "",
        "correlation",
    );
    expect(&run(&["call", "docs", "x"]), 4, "", "SERVER_UNAVAILABLE");
    expect(&run(&["call", "docs"]), 2, "", "weft tools docs");

    let json = call(&["query=market trends", "maxResults:=3", "-o", "json"]);
    let result: Value = serde_json::from_slice(&json.stdout).expect("the result");
    assert_eq!(result["content"][0]["type"], "text");
    let json = run(&["call", "search-agregator", "x", "-o", "json"]);
    assert!(json.stdout.is_empty());
    let object: Value = serde_json::from_slice(&json.stderr).expect("one object");
    assert_eq!(object["kind"], "SERVER_NOT_FOUND");

    tokens(&data);
    mesh.stop().await;
    expect(&run(&["servers"]), 4, "", "no mesh in");
}

/// Who holds what, and what becomes of it.
fn tokens(data: &Path) {
    let local = |args: &[&str]| weft(data, &[], args);
    let search = "call:tools/search-aggregator/*";
    let issued = local(&["token", "issue", "alice", "--allow", search]);
    expect(&issued, 0, "", "of alice");
    let token = out(&issued).trim().to_owned();
    assert_eq!(token.split('.').count(), 3, "the token alone");
    let alice = |args: &[&str]| weft(data, &[("WEFT_TOKEN", &token)], args);
    let hit = [&SEARCH[..], &["query=market"]].concat();
    expect(&alice(&hit), 0, "results for", "");
    expect(&alice(&["token", "list"]), 3, "", "ACCESS_DENIED");
    expect(
        &local(&["access", "check", "alice", "call:tools/search-aggregator/x"]),
        0,
        "permitted",
        "",
    );
    expect(
        &local(&["access", "check", "alice", "call:tools/docs/x"]),
        3,
        "not permitted",
        "",
    );
    expect(&local(&["token", "inspect", &token]), 0, search, "");
    expect(
        &local(&["token", "revoke", "--subject", "alice"]),
        0,
        "revoked",
        "",
    );
    expect(&alice(&hit), 3, "", "revoked");
    expect(
        &weft(data, &[("WEFT_TOKEN", "garbage")], &hit),
        3,
        "",
        "token",
    );
    let shown = local(&["token", "show"]);
    expect(&shown, 0, "operator", "");
    let revealed = local(&["token", "show", "--reveal"]);
    assert!(!out(&shown).contains(out(&revealed).trim()));
}
