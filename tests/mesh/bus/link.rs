//! The connection: killed, stopped, poisoned, tapped. What was under way is told, and it comes back.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, future::join_all, stream::FuturesUnordered};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;
use weftbus::{
    bus::{LinkState, Remote},
    call::CallFuture,
    error::{Kind, Started, case},
    policy::caller,
    telemetry::metric::{Side, Tools},
};

use super::bench::{Bench, SOON, Seen, ask, body, call, call_of, echo, gated, limits, passes};
use crate::{
    poison::{BARE_CR, poison},
    process::until,
};

/// So many calls that came and wait.
async fn under_way(remote: &Remote, seen: &Seen, count: usize) -> FuturesUnordered<CallFuture> {
    let mut calls: FuturesUnordered<CallFuture> = (0..count)
        .map(|_| remote.clone().oneshot(call()).boxed())
        .collect();
    until(SOON, "all came", || {
        assert!(calls.next().now_or_never().is_none(), "the gate is shut");
        seen.now() == count
    })
    .await;
    calls
}

/// All of them end soon, as calls of which nobody knows whether they ran.
async fn are_lost(calls: FuturesUnordered<CallFuture>, within: Duration) {
    let outcomes = tokio::time::timeout(within, calls.collect::<Vec<_>>()).await;
    for outcome in outcomes.expect("in time") {
        let error = outcome.expect_err("it was cut off");
        assert_eq!(error.kind(), Kind::InternalError, "{error:?}");
        assert!(error.is_case(case::CONNECTION_LOST), "{error:?}");
        assert_eq!(error.has_started(), Started::Maybe);
    }
}

/// Calls pass again, at the latest after so long.
async fn back_within(remote: &Remote, within: Duration) {
    let end = Instant::now() + within;
    loop {
        let asked = tokio::time::timeout(Duration::from_secs(1), remote.clone().oneshot(call()));
        match asked.await {
            Ok(Ok(_)) => return,
            outcome => assert!(Instant::now() < end, "not back: {outcome:?}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_killed_broker_ends_calls_and_is_found_again() {
    let mut bench = Bench::new();
    let (service, seen, open) = gated();
    let _served = bench.serve(service).await;
    let remote = bench.remote("alice").await;
    for _ in 0..2 {
        open.send_replace(false);
        let calls = under_way(&remote, &seen, 40).await;
        bench.broker.kill();
        are_lost(calls, Duration::from_secs(2)).await;
        let began = Instant::now();
        let error = ask(&remote, call()).await.expect_err("no broker");
        assert!(error.is_case(case::BROKER_UNAVAILABLE), "{error:?}");
        assert_eq!(error.has_started(), Started::No);
        assert!(began.elapsed() < Duration::from_secs(1), "at once");
        assert_eq!(remote.link().state(), LinkState::Down);
        bench.broker.restart();
        open.send_replace(true);
        back_within(&remote, Duration::from_secs(5)).await;
        until(SOON, "those that were cut off ended", || seen.now() == 0).await;
    }
    assert_eq!(remote.link().calls_under_way(), 0);
}

#[tokio::test]
async fn poison_for_a_caller_costs_him_one_connection() {
    let bench = Bench::new();
    let (service, seen, open) = gated();
    let _served = bench.serve(service).await;
    let remote = bench.remote("alice").await;
    let (_spy, mut requests) = bench.listen("weft.v1.req.>").await;
    for _ in 0..2 {
        open.send_replace(false);
        let calls = under_way(&remote, &seen, 10).await;
        let mut reply = None;
        while let Some(Some(request)) = requests.next().now_or_never() {
            reply = request.reply;
        }
        let reply = reply.expect("a call has a reply subject");
        poison(bench.broker.socket(), None, (&reply, ""), BARE_CR);
        are_lost(calls, Duration::from_secs(6)).await;
        open.send_replace(true);
        back_within(&remote, Duration::from_secs(6)).await;
        until(SOON, "the server went on", || seen.now() == 0).await;
    }
}

#[tokio::test]
async fn poison_for_a_server_costs_it_one_connection() {
    let bench = Bench::new();
    let (service, seen, open) = gated();
    let _served = bench.serve(service).await;
    let remote = bench.remote("alice").await;
    for _ in 0..2 {
        open.send_replace(false);
        let calls = under_way(&remote, &seen, 10).await;
        let to = "weft.v1.req.alice.gh.tools.call.x";
        poison(bench.broker.socket(), None, (to, ""), BARE_CR);
        // The callers' connection lives: it is the server that tells them.
        are_lost(calls, Duration::from_secs(6)).await;
        assert_eq!(remote.link().state(), LinkState::Up);
        assert_eq!(seen.now(), 0, "their work was dropped");
        open.send_replace(true);
        back_within(&remote, Duration::from_secs(6)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_broker_blocks_nobody() {
    let bench = Bench::new();
    let _served = bench.serve_as(limits(1000), echo()).await;
    let remote = bench.remote("alice").await;
    let tools = Tools::new(Side::Client);
    let stack = caller::stack(remote.clone(), caller::Options::new(tools, SOON));
    passes(&remote).await;
    bench.broker.signal(Signal::STOP);
    let began = Instant::now();
    let calls = (0..5000).map(|_| {
        let late = call_of("gh", body(""), Duration::from_millis(1500));
        stack.clone().oneshot(late)
    });
    let outcomes = tokio::time::timeout(SOON, join_all(calls))
        .await
        .expect("in time");
    let took = began.elapsed();
    for outcome in outcomes {
        let error = outcome.expect_err("nobody answers");
        let known = error.kind() == Kind::Timeout
            || error.is_case(case::CONNECTION_LOST)
            || error.is_case(case::BROKER_UNAVAILABLE);
        assert!(known, "{error:?}");
    }
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(remote.link().calls_under_way(), 0, "nothing is kept");
    // Long enough for the link to give the connection up, and to try another.
    until(SOON, "the link noticed", || {
        remote.link().state() == LinkState::Down
    })
    .await;
    let began = Instant::now();
    let error = ask(&remote, call()).await.expect_err("no broker");
    assert!(error.is_case(case::BROKER_UNAVAILABLE), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(1), "at once");
    bench.broker.signal(Signal::CONT);
    back_within(&remote, Duration::from_secs(15)).await;
    passes(&remote).await;
}

#[tokio::test]
async fn connections_that_were_given_up_are_closed() {
    let bench = Bench::with("http: \"127.0.0.1:-1\"");
    let _served = bench.serve(echo()).await;
    let remote = bench.remote("alice").await;
    passes(&remote).await;
    let before = bench.broker.connections();
    assert_eq!(before, 2);
    for _ in 0..2 {
        bench.broker.signal(Signal::STOP);
        until(SOON, "the link noticed", || {
            remote.link().state() == LinkState::Down
        })
        .await;
        bench.broker.signal(Signal::CONT);
        back_within(&remote, Duration::from_secs(15)).await;
    }
    until(SOON, "only two are left", || {
        bench.broker.connections() == before
    })
    .await;
    passes(&remote).await;
}

#[tokio::test]
async fn who_listens_to_everything_breaks_nothing() {
    let bench = Bench::new();
    let (_tap, _everything) = bench.listen(">").await;
    // Nothing says "no responders" now, and still they come in, stay, and call.
    let _served = bench.serve(echo()).await;
    let remote = bench.remote("alice").await;
    let first = remote.link().client();
    let end = Instant::now() + Duration::from_secs(9);
    while Instant::now() < end {
        passes(&remote).await;
        assert_eq!(remote.link().state(), LinkState::Up);
        sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(
        first.server_info().client_id,
        remote.link().client().server_info().client_id
    );
}
