//! Every end that a server can have, and what its callers hear of it.

use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::process::{kill_9, lives, until};

#[tokio::test]
async fn a_crash_fails_its_calls_within_a_second_and_the_server_comes_back() {
    for options in [modern(), legacy()] {
        let server = Server::up(options).await;
        for (arguments, name, value) in [
            (json!({}), "exitStatus", 3),
            (json!({"signal": 9}), "signal", 9),
        ] {
            let before = server.status();
            let began = Instant::now();
            let (crashed, beside) = tokio::join!(
                server.tool("crash", arguments),
                server.tool("slow", json!({"seconds": 60})),
            );
            assert!(
                began.elapsed() < Duration::from_secs(1),
                "{:?}",
                began.elapsed()
            );
            for error in [
                crashed.expect_err("it crashed"),
                beside.expect_err("it crashed"),
            ] {
                assert_eq!(told(&error), "TOOL_EXECUTION_ERROR SERVER_EXITED Yes");
                assert_eq!(error.context().metadata[name], value);
                assert_eq!(error.data().origin, weftbus::error::Origin::Adapter);
            }
            let error = server
                .tool("echo", json!({"text": "x"}))
                .await
                .expect_err("it is down");
            assert_eq!(told(&error), "SERVER_OVERLOADED SERVER_UNAVAILABLE No");
            assert!(
                error.message().contains(&value.to_string()),
                "{}",
                error.message()
            );
            let after = server
                .when("it is up again", |s| {
                    s.is_up() && s.restarts == before.restarts + 1
                })
                .await;
            assert_ne!(after.pid, before.pid);
            assert_eq!(after.last_error, None);
            assert_eq!(server.text("echo", json!({"text": "back"})).await, "back");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_killed_server_is_started_again() {
    let server = Server::up(legacy_node()).await;
    let pid = server.status().pid.expect("it runs");
    kill_9(pid);
    let after = server
        .when("it is up again", |s| s.is_up() && s.restarts == 1)
        .await;
    assert!(after.pid != Some(pid) && !lives(pid));
    server.stop().await;
}

#[tokio::test]
async fn half_an_answer_is_none() {
    let server = Server::up(noisy()).await;
    let error = server
        .tool("half_line_exit", json!({}))
        .await
        .expect_err("it exited");
    assert_eq!(told(&error), "TOOL_EXECUTION_ERROR SERVER_EXITED Yes");
    assert_eq!(error.context().metadata["exitStatus"], 4);
    server.stop().await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_said_to_be() {
    let server = Server::begin(Options::new(Launch {
        command: "no-such-mcp-server".into(),
        ..Launch::default()
    }))
    .await;
    let status = server
        .when("it failed", |s| s.state == State::Unhealthy)
        .await;
    let why = status.last_error.expect("a reason");
    assert!(
        why.contains("no-such-mcp-server") && why.contains("PATH"),
        "{why}"
    );
    let error = server
        .tool("echo", json!({}))
        .await
        .expect_err("nobody is there");
    assert_eq!(told(&error), "SERVER_OVERLOADED SERVER_UNAVAILABLE No");
    assert!(error.message().contains(&why), "{}", error.message());
    server.stop().await;
}

#[tokio::test]
async fn a_program_that_fails_at_its_start_is_quoted() {
    let script = "import sys; sys.stderr.write('no key given'); sys.exit(7)";
    let server = Server::begin(options("python", &["-c", script])).await;
    let status = server
        .when("it failed", |s| s.state == State::Unhealthy)
        .await;
    let why = status.last_error.expect("a reason");
    assert!(
        why.contains("exit status 7") && why.contains("no key given"),
        "{why}"
    );
    server.when("it is tried again", |s| s.restarts >= 2).await;
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_mcp_server_is_said_to_be_silent() {
    let mut options = options("python", &["-c", "import time; time.sleep(1000)"]);
    options.probe_timeout = Duration::from_millis(200);
    options.start_timeout = Duration::from_millis(300);
    options.escalation.close = Duration::from_millis(100);
    let server = Server::begin(options).await;
    let status = server
        .when("it failed", |s| s.state == State::Unhealthy)
        .await;
    let why = status.last_error.expect("a reason");
    assert!(
        why.contains("did not answer `initialize` within 300ms"),
        "{why}"
    );
    server.stop().await;
}

/// A shell and a Node server below it, both deaf to the end of their input and to TERM.
#[tokio::test]
async fn nothing_is_left_of_a_stubborn_server() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let mut options = Options::new(Launch {
        command: "sh".into(),
        args: [
            fixture("stubborn.sh"),
            real("node").display().to_string(),
            pids.display().to_string(),
        ]
        .map(Into::into)
        .into(),
        ..Launch::default()
    });
    options.escalation.close = Duration::from_millis(300);
    options.escalation.term = Duration::from_millis(300);
    let server = Server::up(options).await;
    assert_eq!(
        server.text("echo", json!({"text": "in use"})).await,
        "in use"
    );
    let pids: Vec<u32> = std::fs::read_to_string(pids)
        .unwrap()
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert!(pids.len() == 2 && pids.iter().all(|pid| lives(*pid)));
    server.stop().await;
    assert!(
        !pids.iter().any(|pid| lives(*pid)),
        "both are gone when stop returns"
    );
}

#[tokio::test]
async fn a_stop_lets_calls_end_and_the_last_handle_stops() {
    let mut options = legacy();
    options.escalation.close = Duration::from_secs(10);
    let server = Server::up(options).await;
    let pid = server.status().pid.expect("it runs");
    let Server {
        upstream,
        tasks: _tasks,
    } = server;
    drop(upstream);
    until(PATIENCE, "it went with its last handle", || !lives(pid)).await;

    let server = Server::up(noisy()).await;
    let mut silent = server.tool("silent", json!({}));
    assert!(futures_util::poll!(&mut silent).is_pending());
    // It answers in order: when this is there, the other was read.
    server.text("echo", json!({})).await;
    assert!(server.upstream.stop().await);
    let error = silent.await.expect_err("it was never answered");
    assert_eq!(told(&error), "TOOL_EXECUTION_ERROR SERVER_EXITED Yes");
    let error = server
        .tool("echo", json!({}))
        .await
        .expect_err("it was stopped");
    assert_eq!(told(&error), "SERVER_OVERLOADED SERVER_UNAVAILABLE No");
}
