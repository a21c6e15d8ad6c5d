//! A server that takes requests and answers none.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use weftbus::adapter::Probing;

use super::*;
use crate::process::{lives, until};

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), signal).expect("it lives");
}

fn often(options: Options) -> Options {
    Options {
        probing: Probing {
            every: Duration::from_millis(300),
            within: Duration::from_millis(700),
        },
        ..options
    }
}

#[tokio::test]
async fn who_answers_nothing_any_more_is_ended_and_started_again() {
    for options in [modern(), legacy(), legacy_node()] {
        let server = Server::up(often(options)).await;
        // Nobody is woken for it.
        until(PATIENCE, "it was asked", || server.status().probe.is_some()).await;
        let asked = server.status();
        assert!(asked.probe.expect("just seen").took.is_some());
        let pid = asked.pid.expect("it runs");
        signal(pid, Signal::STOP);
        let status = server.when("it is said to hang", |s| !s.is_up()).await;
        let why = status.last_error.expect("a reason");
        assert!(why.contains("took requests and answered none"), "{why}");
        let back = server
            .when("it is back", |s| s.is_up() && s.restarts == 1)
            .await;
        assert!(
            back.pid != Some(pid) && !lives(pid),
            "no process is left behind"
        );
        assert_eq!(server.text("echo", json!({"text": "back"})).await, "back");
        server.stop().await;
    }
}

/// The twin: with a call on it, it may be busy.
#[tokio::test]
async fn who_works_on_a_call_is_left_in_peace() {
    let server = Server::up(often(legacy())).await;
    let pid = server.status().pid.expect("it runs");
    let folder = tempfile::tempdir().expect("a folder");
    let mark = folder.path().join("mark");
    let call = server.tool("slow", json!({"seconds": 0.5, "mark": mark}));
    let call = timeout(Duration::from_secs(30), call);
    let stopped = async {
        until(PATIENCE, "it began", || mark.exists()).await;
        signal(pid, Signal::STOP);
        let busy = |s: &Status| s.probe.is_some_and(|probe| probe.took.is_none());
        let status = server.when("it is said to be busy", busy).await;
        assert!(status.is_up());
        signal(pid, Signal::CONT);
    };
    let (answer, ()) = tokio::join!(call, stopped);
    assert!(answer.expect("in time").is_ok());
    let status = server
        .when("it answers", |s| s.probe.is_some_and(|p| p.took.is_some()))
        .await;
    assert_eq!((status.pid, status.restarts), (Some(pid), 0));
    server.stop().await;
}
