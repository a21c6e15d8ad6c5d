//! The process of a server.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use weftbus::error::case;

use super::{answers_again, both_eras, has_another_process, pid};
use crate::{
    process::{kill_9, lives, until},
    stage::{Slow, Stage, told},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_fails_its_calls_and_comes_back() {
    let stage = Stage::new(&both_eras());
    let up = stage.up().await;
    let caller = stage.caller().await;
    for server in ["modern", "legacy"] {
        let killed = pid(&caller, server).await;
        let slow = Slow::begin(&stage, &caller, server, 60.0).await;
        let at = Instant::now();
        kill_9(killed);
        let error = slow
            .answer
            .await
            .expect("no panic")
            .expect_err("it was killed");
        let took = at.elapsed();
        assert_eq!(told(&error), "TOOL_EXECUTION_ERROR SERVER_EXITED Yes");
        assert!(took < Duration::from_secs(1), "{server}: {took:?}");
        assert_eq!(error.context().metadata["signal"], 9);
        assert_eq!(error.context().server_name, server);
        assert_eq!(error.context().operation, "tools/call slow");
        eprintln!("{server}: told {took:?} after the kill");
        answers_again(&caller, server, |error| {
            error.is_case(case::SERVER_UNAVAILABLE)
        })
        .await;
        eprintln!("{server}: answers {:?} after the kill", at.elapsed());
        has_another_process(&caller, server, killed).await;
    }
    caller.close().await;
    up.stop().await;
}

/// The tool ends its own process: with a code, or by a signal.
#[tokio::test(flavor = "multi_thread")]
async fn how_a_server_ended_stands_in_the_error() {
    let stage = Stage::new(&both_eras());
    let up = stage.up().await;
    let caller = stage.caller().await;
    for (arguments, name, value) in [
        (json!({}), "exitStatus", 3),
        (json!({"signal": 11}), "signal", 11),
    ] {
        let crashed = caller.call_tool("modern", "crash", arguments).await;
        let error = crashed.expect_err("it ended itself");
        assert_eq!(told(&error), "TOOL_EXECUTION_ERROR SERVER_EXITED Yes");
        assert_eq!(error.context().metadata[name], value, "{error:?}");
        answers_again(&caller, "modern", |error| {
            error.is_case(case::SERVER_UNAVAILABLE)
        })
        .await;
    }
    caller.close().await;
    up.stop().await;
}

/// A mesh that is stopped answers what is under way first, and leaves nobody behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_mesh_finishes_what_is_under_way() {
    let stage = Stage::new(&both_eras());
    let up = stage.up().await;
    let caller = stage.caller().await;
    let pids = [pid(&caller, "modern").await, pid(&caller, "legacy").await];
    let modern = Slow::begin(&stage, &caller, "modern", 2.0).await;
    let legacy = Slow::begin(&stage, &caller, "legacy", 2.0).await;
    assert!(pids.into_iter().all(lives));
    up.stop().await;
    for slow in [modern, legacy] {
        assert!(slow.says("finished"));
        let answer = slow.answer.await.expect("no panic").expect("answered");
        assert_eq!(answer.text(), "slept 2.0 s");
    }
    until(Duration::from_secs(1), "the children are gone", || {
        !pids.into_iter().any(lives)
    })
    .await;
    assert_eq!(
        stage.context(),
        None,
        "nobody is sent to a mesh that is gone"
    );
}
