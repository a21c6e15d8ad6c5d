//! Members that fail, the end of a pool, and what is told of several as of one.

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, timeout_at},
};
use weftbus::adapter::{State, Upstream};

use super::*;
use crate::process::kill_9;

#[tokio::test]
async fn a_killed_process_fails_its_call_alone_and_is_replaced() {
    // Let go and started again when calls ask for it; or kept, and started again at once.
    for min in [1, 3] {
        let stand = Stand::up(Options {
            max: 3,
            min,
            calls: 1,
            ..options()
        })
        .await;
        let mut calls: Vec<Asked> = (0..3).map(|n| stand.hold(&n.to_string())).collect();
        let started = stand.started(3).await;
        let first = pids(&started);
        assert_eq!(first.len(), 3);
        // One more waits, and has the next place.
        let waits = stand.hold("3");
        let (_, killed) = started.iter().find(|(name, _)| name == "1").expect("it");
        kill_9(*killed);
        let error = calls.remove(1).answer().await.expect_err("it was killed");
        assert_eq!(told(&error), "TOOL_EXECUTION_ERROR SERVER_EXITED Yes");
        assert_eq!(error.context().metadata["signal"], 9);
        // It runs on a process that took the other's place, and the others go on.
        let started = stand.started(4).await;
        assert!(!first.contains(&started[3].1), "{started:?}");
        for name in ["0", "2", "3"] {
            stand.release(name);
        }
        for call in calls.into_iter().chain([waits]) {
            call.answer().await.expect("an answer");
        }
        let status = stand.when("it counts", |status| status.restarts == 1).await;
        assert!(status.is_up());
        let calls: Vec<Asked> = (4..7).map(|n| stand.hold(&n.to_string())).collect();
        let last = stand.started(7).await.split_off(4);
        let last = pids(&last);
        assert_eq!(last.len(), 3);
        assert_eq!(last.intersection(&first).count(), 2, "{first:?} {last:?}");
        assert!(!last.contains(killed));
        (4..7).for_each(|n| stand.release(&n.to_string()));
        for call in calls {
            call.answer().await.expect("an answer");
        }
        let status = stand
            .when("all is well", |s| s.state == State::Healthy)
            .await;
        assert_eq!(status.last_error, None);
        stand.stop().await;
    }
}

#[tokio::test]
async fn fewer_than_are_kept_is_degraded_and_none_is_down() {
    let mut upstream = stateful();
    if let adapter::Options::Stdio(options) = &mut upstream {
        // Long enough to be seen.
        options.backoff.first = Duration::from_secs(2);
    }
    let options = Options {
        max: 2,
        min: 2,
        calls: 1,
        ..options()
    };
    let stand = Stand::begin(upstream, options).await;
    stand
        .when("both are up", |status| status.state == State::Healthy)
        .await;
    let calls = [stand.hold("0"), stand.hold("1")];
    let started = stand.started(2).await;
    kill_9(started[0].1);
    let status = stand
        .when("one is down", |s| s.state == State::Degraded)
        .await;
    assert!(
        status
            .last_error
            .is_some_and(|why| why.contains("signal 9"))
    );
    assert_eq!(status.pid, Some(started[1].1));
    kill_9(started[1].1);
    let status = stand
        .when("both are down", |s| s.state == State::Unhealthy)
        .await;
    assert_eq!(status.pid, None);
    for call in calls {
        let error = call.answer().await.expect_err("it was killed");
        assert_eq!(told(&error), "TOOL_EXECUTION_ERROR SERVER_EXITED Yes");
    }
    let error = refused(stand.holding("2"));
    assert_eq!(told(&error), "SERVER_OVERLOADED SERVER_UNAVAILABLE No");
    assert!(error.message().contains("signal 9"), "{}", error.message());
    let status = stand
        .when("both are back", |s| s.state == State::Healthy)
        .await;
    assert_eq!(status.restarts, 2);
    stand.stop().await;
}

/// Kind, case, `started` and sentence of what a call hears.
fn heard(error: &Error) -> (String, String) {
    (told(error), error.message().to_owned())
}

#[tokio::test]
async fn a_single_server_that_is_down_says_what_it_always_said() {
    let python = real("python").display().to_string();
    let fails = "import sys; sys.exit(7)";
    for upstream in [
        launch("no-such-mcp-server", &[]),
        launch(&python, &["-c", fails]),
    ] {
        let stand = Stand::begin(upstream.clone(), Options::default()).await;
        let down = |status: &Status| status.state == State::Unhealthy;
        let request = tool("get", json!({}));
        let early = refused(call_as(&stand.pool, None, &request, PATIENCE));
        stand.when("it failed", down).await;
        let dog = watchdog(&stand.tasks).await;
        let name = ServerName::new("tested").expect("a name");
        let alone = Upstream::start(name.clone(), upstream, &dog, &stand.tasks);
        let ask = || {
            let body = serde_json::to_vec(&request).expect("JSON");
            let request = Request::parse(body.into()).expect("a request");
            refused(
                alone
                    .clone()
                    .call(Call::new(name.clone(), request, Context::new(PATIENCE))),
            )
        };
        assert_eq!(heard(&early), heard(&ask()), "while it is being started");
        let mut status = alone.status();
        let failed = timeout(PATIENCE, status.wait_for(down)).await;
        drop(failed.expect("in time").expect("it lives"));
        let expected = heard(&ask());
        assert_eq!(expected.0, "SERVER_OVERLOADED SERVER_UNAVAILABLE No");
        // Both are tried again and again: at some moment both have failed.
        let pool = stand.pool.clone();
        until(PATIENCE, "the same words", || {
            heard(&refused(call_as(&pool, None, &request, PATIENCE))) == expected
        })
        .await;
        assert!(alone.stop().await);
        stand.stop().await;
    }
}

#[tokio::test]
async fn an_end_tells_those_who_wait_and_leaves_no_process() {
    let one = Options {
        max: 1,
        calls: 1,
        ..options()
    };
    let stand = Stand::up(one).await;
    let (runs, pid) = (stand.hold("0"), stand.started(1).await[0].1);
    let waits = stand.hold("1");
    let pool = stand.pool.clone();
    stand.stop().await;
    let error = waits.answer().await.expect_err("it ended");
    assert_eq!(told(&error), "SERVER_OVERLOADED SERVER_UNAVAILABLE No");
    let error = runs.answer().await.expect_err("it ended");
    assert_eq!(told(&error), "TOOL_EXECUTION_ERROR SERVER_EXITED Yes");
    let late = refused(call_as(&pool, None, &tool("get", json!({})), PATIENCE));
    assert!(late.message().contains("stopped"), "{}", late.message());
    assert!(!lives(pid));

    // The last handle, and the end of all tasks, do the same.
    for by_handle in [true, false] {
        let stand = Stand::up(one).await;
        let pid = stand.status().pid.expect("it runs");
        let Stand { pool, tasks, .. } = stand;
        if by_handle {
            drop(pool);
            until(PATIENCE, "it ended", || !lives(pid)).await;
        } else {
            assert!(tasks.stop(PATIENCE).await);
            let mut status = pool.status();
            let ended = status.wait_for(|status| status.pid.is_none());
            drop(timeout(PATIENCE, ended).await.expect("in time"));
        }
        assert!(!lives(pid));
    }
}

#[tokio::test]
async fn a_change_that_all_tell_is_told_once() {
    let stand = Stand::up(Options {
        max: 3,
        min: 3,
        calls: 1,
        ..options()
    })
    .await;
    let calls: Vec<Asked> = (0..3).map(|n| stand.hold(&n.to_string())).collect();
    let all = pids(&stand.started(3).await);
    let mut changes = stand.pool.changes();
    for pid in all {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), Signal::USR1).expect("it lives");
    }
    let mut heard: Vec<(&str, Instant)> = Vec::new();
    let mut end = Instant::now() + PATIENCE;
    loop {
        match timeout_at(end, changes.recv()).await {
            Ok(Ok(changed)) => heard.push((changed.kind, Instant::now())),
            Ok(Err(RecvError::Lagged(_))) => panic!("far too many: {heard:?}"),
            Ok(Err(RecvError::Closed)) | Err(_) => break,
        }
        let kinds: BTreeSet<&str> = heard.iter().map(|(kind, _)| *kind).collect();
        if kinds.len() == 2 {
            // Both were told: whoever tells them again does so soon.
            end = end.min(Instant::now() + Duration::from_secs(1));
        }
    }
    for kind in ["tools/list_changed", "prompts/list_changed"] {
        let told: Vec<Instant> = heard
            .iter()
            .filter(|(heard, _)| *heard == kind)
            .map(|(_, at)| *at)
            .collect();
        assert!(!told.is_empty(), "{kind}: {heard:?}");
        // A busy machine may deliver the three signals far apart; never closer than this.
        let close = told
            .windows(2)
            .any(|two| two[1] - two[0] < Duration::from_millis(200));
        assert!(!close && told.len() < 4, "{kind}: {heard:?}");
    }
    assert!(stand.status().tools.get("more").is_some());
    (0..3).for_each(|n| stand.release(&n.to_string()));
    for call in calls {
        call.answer().await.expect("an answer");
    }
    stand.stop().await;
}
