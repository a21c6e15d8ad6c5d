//! Lines that should not be: garbage, answers to nobody, lines without measure.

use std::{env, process::Command};

use serde_json::json;

use super::*;

#[tokio::test]
async fn garbage_is_counted_and_skipped() {
    let server = Server::up(noisy()).await;
    let before = server.status().dropped.bad_lines;
    assert!(before >= 2, "its banner: {before}");
    assert_eq!(server.text("garbage", json!({})).await, "garbage");
    // Among its 13 one is empty, and one holds three numbers.
    assert!(server.status().dropped.bad_lines >= before + 13);
    for tool in ["foreign_id", "twice"] {
        let before = server.status().dropped.answers;
        assert_eq!(server.text(tool, json!({})).await, tool);
        server.text("echo", json!({})).await;
        assert_eq!(server.status().dropped.answers, before + 1, "{tool}");
    }
    let mut late = tool("late_progress", json!({}));
    late["params"]["_meta"] = json!({"progressToken": 0});
    let (notify, mut heard) = Notify::channel();
    server
        .request(&late, Some(notify))
        .await
        .expect("an answer");
    server.text("echo", json!({})).await;
    assert_eq!(
        (heard.try_next(), server.status().dropped.notifications),
        (None, 1)
    );
    assert_eq!(server.status().restarts, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_server_of_garbage_alone_is_started_again() {
    let mut options = noisy();
    options.limits.bad_lines = 50;
    let server = Server::up(options).await;
    let mut failed = None;
    for _ in 0..10 {
        if let Err(error) = server.tool("garbage", json!({})).await {
            failed = Some(error);
            break;
        }
    }
    let error = failed.expect("it was ended");
    assert_eq!(told(&error), "TOOL_EXECUTION_ERROR SERVER_EXITED Yes");
    assert!(
        error.message().contains("standard error"),
        "{}",
        error.message()
    );
    server
        .when("it is up again", |s| s.is_up() && s.restarts == 1)
        .await;
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_log_lines_is_no_trouble() {
    let server = Server::up(noisy()).await;
    assert_eq!(server.text("flood", json!({"lines": 5000})).await, "flood");
    assert_eq!(server.text("echo", json!({"text": "dry"})).await, "dry");
    server.stop().await;
}

#[tokio::test]
async fn a_line_over_the_limit_fails_its_call_alone() {
    let mut options = noisy();
    options.limits.line = 1_000_000;
    let server = Server::up(options).await;
    let mut other = server.tool("silent", json!({}));
    assert!(futures_util::poll!(&mut other).is_pending());
    for name in ["huge_line", "huge_line_id_first"] {
        let error = server
            .tool(name, json!({"megabytes": 3}))
            .await
            .expect_err(name);
        assert_eq!(told(&error), "TOOL_EXECUTION_ERROR RESULT_TOO_LARGE Yes");
        assert!(error.message().contains("1000000"), "{}", error.message());
        assert_eq!(error.context().metadata["limitBytes"], 1_000_000);
        let length = error.context().metadata["lengthBytes"].as_u64().unwrap();
        assert!((3_000_000..3_001_000).contains(&length), "{length}");
    }
    assert!(
        futures_util::poll!(&mut other).is_pending(),
        "the other goes on"
    );
    assert_eq!(server.text("echo", json!({"text": "after"})).await, "after");
    assert_eq!(server.status().dropped.long_lines, 2);
    server.stop().await;
}

#[tokio::test]
async fn twenty_megabytes_pass() {
    for options in [modern(), legacy()] {
        let server = Server::up(options).await;
        let text = server.text("big", json!({"megabytes": 20})).await;
        assert!(text.len() == 20_000_000 && text.bytes().all(|b| b == b'x'));
        server.stop().await;
    }
}

/// The memory of a process is that of all its tests: this one has one to itself.
#[tokio::test]
async fn a_line_of_100_megabytes_costs_little_more_than_the_limit() {
    let own = "stdio::lines::a_line_of_100_megabytes_costs_little_more_than_the_limit";
    if !env::args().any(|argument| argument == own) {
        let alone = Command::new(env::current_exe().unwrap())
            .args(["--exact", own, "--nocapture"])
            .output()
            .unwrap();
        let (said, wrong) = (alone.stdout, alone.stderr);
        let said = String::from_utf8_lossy(&said) + String::from_utf8_lossy(&wrong);
        assert!(said.contains("1 passed"), "{said}");
        return;
    }
    let server = Server::up(noisy()).await;
    for name in ["huge_line", "huge_line_id_first"] {
        let error = server
            .tool(name, json!({"megabytes": 100}))
            .await
            .expect_err(name);
        assert_eq!(told(&error), "TOOL_EXECUTION_ERROR RESULT_TOO_LARGE Yes");
        assert_eq!(error.context().metadata["limitBytes"], 64 << 20);
    }
    assert_eq!(server.text("echo", json!({"text": "after"})).await, "after");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: u64 = peak
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    eprintln!("peak {peak} kB");
    assert!(
        peak < 110 << 10,
        "peak {peak} kB, and the limit is {} kB",
        64 << 10
    );
    server.stop().await;
}
