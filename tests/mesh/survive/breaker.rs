//! The circuit breaker of a real server, and of one of two.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use weftbus::{
    error::{Error, Started, case},
    mesh::Mesh,
};

use super::Shop;
use crate::stage::{PATIENCE, Stage, fixture, real, told};

/// `charges`, left alone for two seconds after three failures in a row.
fn config(effects: &str) -> String {
    let server = json!({
        "command": real("python"), "args": [fixture("charges.py"), effects],
        "breaker": {"threshold": 3, "reset": "2s"},
    });
    format!("servers:\n  charges: {server}\n")
}

async fn break_off(by: &Mesh) -> Error {
    let ask = by.tool("charges", "break_off", json!({"id": "x"}));
    let answer = ask.expect("a call").once().send().await;
    answer.expect_err("its process ends")
}

async fn ready(by: &Mesh) -> Result<(), Error> {
    let ask = by.tool("charges", "ready", json!({}))?.once();
    let said = ask.timeout(Duration::from_secs(1)).send().await?.tool()?;
    assert_eq!(said.text(), "ready");
    Ok(())
}

/// The instances of the server, as the registry tells.
async fn instances(by: &Mesh) -> Vec<Value> {
    let entry: Value = by
        .control("server_get", json!({"server": "charges"}))
        .await
        .expect("it is known");
    entry["instances"].as_array().cloned().expect("a list")
}

/// Waits until one of them is so, with this breaker.
async fn is_with(by: &Mesh, state: &str, breaker: &str) -> Value {
    let end = Instant::now() + PATIENCE;
    let is_so = |one: &&Value| one["breaker"]["state"] == breaker && one["state"] == state;
    loop {
        let all = instances(by).await;
        if let Some(one) = all.iter().find(is_so) {
            return one.clone();
        }
        assert!(Instant::now() < end, "none is {state}, {breaker}: {all:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_breaks_again_and_again_is_left_alone_and_then_tried() {
    let stage = Stage::new("");
    let effects = stage.path().join("effects");
    std::fs::write(
        stage.path().join("weft.yaml"),
        config(effects.to_str().expect("text")),
    )
    .expect("ours");
    let up = stage.up().await;
    let caller = stage.caller().await;
    let mut failures = 0;
    let refused = loop {
        let error = break_off(&caller).await;
        match error.case_name() {
            case::SERVER_EXITED => failures += 1,
            // It is being started anew.
            case::SERVER_UNAVAILABLE => sleep(Duration::from_millis(20)).await,
            _ => break error,
        }
    };
    assert_eq!(told(&refused), "SERVER_OVERLOADED BREAKER_OPEN No");
    assert!(
        refused.message().starts_with("Circuit breaker is OPEN"),
        "{refused}"
    );
    assert_eq!(failures, 3);
    // Its process is started anew meanwhile.
    let one = is_with(&caller, "degraded", "open").await;
    let why = one["reason"].as_str().expect("a reason");
    assert!(
        why.starts_with("Circuit breaker is OPEN: SERVER_EXITED"),
        "{why}"
    );
    let wait = refused.comes_back_after().expect("it says when");
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    let end = Instant::now() + PATIENCE;
    while let Err(error) = ready(&caller).await {
        assert!(Instant::now() < end, "{error:?}");
        sleep(Duration::from_millis(20)).await;
    }
    let one = is_with(&caller, "healthy", "closed").await;
    assert_eq!(one["breaker"]["opened"], 1);
    let checks = health_checks(&stage);
    assert!(checks.contains(&"degraded".to_owned()), "{checks:?}");
    assert_eq!(
        checks.last().map(String::as_str),
        Some("healthy"),
        "{checks:?}"
    );
    caller.close().await;
    up.stop().await;
}

/// How the server was, one after the other, as events told.
fn health_checks(stage: &Stage) -> Vec<String> {
    let mut command = stage.weft(&[
        "events",
        "replay",
        "--type",
        "system.health.check",
        "-o",
        "jsonl",
    ]);
    let output = command.output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let events = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let of_charges = events.filter(|event: &Value| event["data"]["serverName"] == "charges");
    of_charges
        .map(|event| {
            event["data"]["status"]
                .as_str()
                .expect("a state")
                .to_owned()
        })
        .collect()
}

/// One of two hangs: after some calls all of them go to the other one.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_fails_stands_aside_while_another_one_serves() {
    let mut shop = Shop::open(1).await;
    let caller = shop.stage.caller().await;
    shop.add(&["--timeout", "1s"], &["hangs"]);
    shop.serve(&caller, 2).await;
    let calls = join_all((0..40).map(|_| ready(&caller))).await;
    let late = calls.iter().filter(|end| end.is_err()).count();
    assert!(late >= 5, "{late}: some came to the one that hangs");
    for error in calls.into_iter().filter_map(Result::err) {
        assert_ne!(error.has_started(), Started::Yes, "{error:?}");
    }
    is_with(&caller, "degraded", "open").await;
    // It has left its queue group once nobody is refused any more.
    let end = Instant::now() + PATIENCE;
    let mut in_a_row = 0;
    while in_a_row < 100 {
        match ready(&caller).await {
            Ok(()) => in_a_row += 1,
            Err(error) => {
                assert!(error.is_case(case::BREAKER_OPEN), "{error:?}");
                assert!(Instant::now() < end, "it is still asked");
                in_a_row = 0;
            }
        }
    }
    caller.close().await;
}
