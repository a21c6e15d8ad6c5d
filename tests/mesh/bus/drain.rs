//! Limits, and leaving: what is over is told at once, what is under way is finished.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, future::join_all, stream::FuturesUnordered};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tower::ServiceExt as _;
use weftbus::{
    bus::{Limits, Remote, ServeOptions, serve},
    call::{CallFuture, SharedService},
    error::{Kind, Started, case},
    spawn::Failure,
};

use super::bench::{Bench, SOON, Seen, ask, call, echo, gated, large, limits, options, passes};
use crate::process::until;

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

#[tokio::test]
async fn the_call_over_the_limit_is_refused_at_once_and_costs_the_others_nothing() {
    let bench = Bench::new();
    let (service, seen, open) = gated();
    let _served = bench.serve_as(limits(256), service).await;
    let remote = bench.remote("alice").await;
    let calls = under_way(&remote, &seen, 256).await;
    let began = Instant::now();
    let error = ask(&remote, call()).await.expect_err("the 257th");
    assert_eq!(error.kind(), Kind::ServerOverloaded, "{error:?}");
    assert_eq!(error.has_started(), Started::No);
    assert!(error.data().retry_after_ms.is_some());
    assert!(began.elapsed() < Duration::from_secs(2));
    open.send_replace(true);
    let outcomes: Vec<_> = calls.collect().await;
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        256
    );
    passes(&remote).await;
}

#[tokio::test]
async fn so_is_the_one_over_the_bytes() {
    let bench = Bench::new();
    let (service, seen, open) = gated();
    let tight = ServeOptions {
        limits: Limits {
            calls: 256,
            queue: 0,
            bytes: 3000,
            ..Limits::default()
        },
        ..options()
    };
    let _served = bench.serve_as(tight, service).await;
    let remote = bench.remote("alice").await;
    let two = join_all([large(1000), large(1000)].map(|call| ask(&remote, call)));
    let third = async {
        until(SOON, "two came", || seen.now() == 2).await;
        let error = ask(&remote, large(1000)).await.expect_err("no room");
        assert_eq!(error.kind(), Kind::ServerOverloaded, "{error:?}");
        open.send_replace(true);
    };
    let (outcomes, ()) = tokio::join!(two, third);
    assert!(outcomes.iter().all(Result::is_ok));
    ask(&remote, large(1000))
        .await
        .expect("there is room again");
}

#[tokio::test]
async fn who_leaves_answers_all_and_another_takes_over() {
    let bench = Bench::new();
    let (service, seen, open) = gated();
    let leaving = bench.serve_as(limits(1000), service).await;
    let remote = bench.remote("alice").await;
    let mut calls = under_way(&remote, &seen, 300).await;
    let staying = bench.serve(echo()).await;
    let drain = async {
        leaving.drain(SOON).await;
        assert_eq!((seen.now(), seen.dropped()), (0, 0));
    };
    let rest = async {
        // Calls go to both until it has left, and then to the other alone: those end though the
        // gate is shut. What it still took waits with the rest.
        let (mut passed, mut waiting) = (0, Vec::new());
        while passed < 100 {
            let came = seen.came();
            let mut call = remote.clone().oneshot(call()).boxed();
            let mut outcome = None;
            until(SOON, "one of them took it", || {
                outcome = (&mut call).now_or_never();
                outcome.is_some() || seen.came() > came
            })
            .await;
            match outcome {
                Some(outcome) => {
                    outcome.expect("the other one answers");
                    passed += 1;
                }
                None => waiting.push(call),
            }
        }
        calls.extend(waiting);
        open.send_replace(true);
        calls.collect::<Vec<_>>().await
    };
    let ((), outcomes) = tokio::join!(drain, rest);
    let lost = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    assert!(outcomes.len() >= 300);
    assert_eq!(lost, 0);
    passes(&remote).await;
    drop(staying);
}

#[tokio::test]
async fn no_call_is_lost_while_instances_come_and_go_under_load() {
    let bench = Bench::new();
    let mut serving = bench.serve_as(limits(1000), echo()).await;
    let remote = bench.remote("alice").await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let load = join_all((0..32).map(|_| {
        let (remote, stopped) = (remote.clone(), stopped.clone());
        async move {
            let mut count = 0;
            while !*stopped.borrow() {
                passes(&remote).await;
                count += 1;
            }
            count
        }
    }));
    let changes = async {
        for _ in 0..20 {
            let next = bench.serve_as(limits(1000), echo()).await;
            std::mem::replace(&mut serving, next).drain(SOON).await;
        }
        stop.send_replace(true);
    };
    let (counts, ()) = tokio::join!(load, changes);
    assert!(counts.iter().sum::<usize>() > 1000, "{counts:?}");
}

#[tokio::test]
async fn what_outlasts_the_grace_is_told_so() {
    let bench = Bench::new();
    let (service, seen, _open) = gated();
    let leaving = bench.serve(service).await;
    let remote = bench.remote("alice").await;
    let calls = under_way(&remote, &seen, 50).await;
    let drain = leaving.drain(Duration::from_millis(200));
    let ((), outcomes) = tokio::join!(drain, calls.collect::<Vec<_>>());
    for outcome in outcomes {
        let error = outcome.expect_err("the gate is shut");
        assert_eq!(error.kind(), Kind::ServerOverloaded, "{error:?}");
        assert_eq!(error.has_started(), Started::Maybe);
    }
    assert_eq!((seen.now(), seen.dropped()), (0, 50));
}

#[tokio::test]
async fn a_large_answer_is_finished_by_who_leaves() {
    let bench = Bench::new();
    let (service, seen, open) = gated();
    let leaving = bench.serve(SharedService::new(service)).await;
    let remote = bench.remote("alice").await;
    let call = ask(&remote, large(20 << 20));
    let drain = async {
        until(SOON, "it came", || seen.now() == 1).await;
        open.send_replace(true);
        leaving.drain(SOON).await;
    };
    let began = Instant::now();
    let (outcome, ()) = tokio::join!(call, drain);
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(began.elapsed() < SOON, "not by the end of the grace");
}

/// A way to the broker on which what it says takes this long; and how many bytes it said.
async fn long_way(bench: &Bench, delay: Duration) -> (String, Arc<AtomicUsize>) {
    let door = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("nats://{}", door.local_addr().expect("bound"));
    let broker = bench.broker.url();
    let to = broker.trim_start_matches("nats://").to_owned();
    let tasks = bench.tasks.clone();
    let said = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&said);
    bench.tasks.spawn("long way", Failure::Logged, async move {
        while let Ok((near, _)) = door.accept().await {
            let far = TcpStream::connect(&to).await.expect("the broker runs");
            let carry = carry(near, far, delay, Arc::clone(&counted));
            tasks.spawn("on the way", Failure::Logged, carry);
        }
    });
    (url, said)
}

async fn carry(near: TcpStream, far: TcpStream, delay: Duration, said: Arc<AtomicUsize>) {
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    let (late, mut due) = mpsc::unbounded_channel();
    let listen = async {
        let mut heard = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = far_read.read(&mut heard).await {
            let bytes = heard[..count].to_vec();
            said.fetch_add(count, Ordering::SeqCst);
            late.send((Instant::now() + delay, bytes))
                .expect("it is read");
        }
    };
    let tell = async {
        while let Some((at, bytes)) = due.recv().await {
            sleep_until(at).await;
            if near_write.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = copy(&mut near_read, &mut far_write) => {}
        () = listen => {}
        () = tell => {}
    }
}

/// The client library ends a subscription before it has heard that the broker did: what is on its
/// way then is lost, and on this way that is a lot.
#[tokio::test]
async fn what_is_on_a_long_way_to_who_leaves_is_answered() {
    let bench = Bench::new();
    let (way, _) = long_way(&bench, Duration::from_millis(30)).await;
    let far = bench.link_by(way, "gh").await;
    let leaving = serve(&far, limits(10_000), echo(), &bench.tasks);
    let leaving = leaving.await.expect("nobody forbids it");
    let _staying = bench.serve_as(limits(10_000), echo()).await;
    let remote = bench.remote("alice").await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let load = join_all((0..64).map(|_| {
        let (remote, stopped) = (remote.clone(), stopped.clone());
        async move {
            while !*stopped.borrow() {
                passes(&remote).await;
            }
        }
    }));
    let leave = async {
        passes(&remote).await;
        leaving.drain(SOON).await;
        stop.send_replace(true);
    };
    tokio::join!(load, leave);
}

/// It looks quiet to who leaves, and is not: what the broker sent takes longer than that.
#[tokio::test]
async fn a_call_longer_on_its_way_than_it_was_quiet_is_answered() {
    let bench = Bench::new();
    let (way, said) = long_way(&bench, Duration::from_millis(700)).await;
    let far = bench.link_by(way, "gh").await;
    let leaving = serve(&far, options(), echo(), &bench.tasks);
    let leaving = leaving.await.expect("nobody forbids it");
    let remote = bench.remote("alice").await;
    let before = said.load(Ordering::SeqCst);
    let call = ask(&remote, large(10_000));
    let leave = async {
        until(SOON, "the broker sent the call", || {
            said.load(Ordering::SeqCst) >= before + 10_000
        })
        .await;
        leaving.drain(SOON).await;
    };
    let (outcome, ()) = tokio::join!(call, leave);
    assert!(outcome.is_ok(), "{outcome:?}");
}

/// One call after the other, as slowly as their way is long: one is always on it, and never are so
/// many coming that they could be counted.
#[tokio::test]
async fn who_steps_back_answers_each_of_a_few_calls() {
    let bench = Bench::new();
    let (way, _) = long_way(&bench, Duration::from_millis(200)).await;
    let far = bench.link_by(way, "gh").await;
    let served = serve(&far, options(), echo(), &bench.tasks);
    let served = served.await.expect("nobody forbids it");
    let remote = bench.remote("alice").await;
    let mut answered = 0;
    let calls = async {
        loop {
            match ask(&remote, call()).await {
                Ok(_) => answered += 1,
                Err(error) => {
                    assert!(error.is_case(case::NO_RESPONDERS), "{error:?}");
                    return;
                }
            }
        }
    };
    let leave = async {
        passes(&remote).await;
        served.step_back(SOON).await;
    };
    tokio::join!(calls, leave);
    assert!(answered > 4, "{answered} came while it left");
    until(SOON, "it has left", || served.is_done()).await;
}

/// Where no call comes, a few places stay open, and whoever takes one is answered.
#[tokio::test]
async fn who_steps_back_from_nobody_leaves_places_open_until_it_goes() {
    let bench = Bench::new();
    let served = bench.serve(echo()).await;
    let goes = bench.serve_as(options(), echo()).await;
    for served in [&served, &goes] {
        served.step_back(SOON).await;
    }
    let remote = bench.remote("alice").await;
    passes(&remote).await;
    assert!(!served.is_done() && !goes.is_done());
    goes.drain(SOON).await;
    let mut taken = 0;
    let error = loop {
        match ask(&remote, call()).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(error.is_case(case::NO_RESPONDERS), "{error:?}");
    assert!((1..=8).contains(&taken), "{taken} places");
    until(SOON, "it has left", || served.is_done()).await;
}
