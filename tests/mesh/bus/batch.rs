//! Calls that go out together: fewer messages, and each call is one of its own all the same.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_nats::Subscriber;
use futures_util::{FutureExt as _, StreamExt as _, future::join_all};
use tower::ServiceExt as _;
use weftbus::{
    bus::{Batching, Remote},
    call::{Call, SharedService, service::answer},
    error::{Error, Kind, case},
    name::CallId,
};

use super::{
    bench::{Bench, SOON, ask, body, call, call_of, echo, echoed, gh, headers, json, options},
    queue::{Gate, place_for},
};
use crate::process::until;

const RULE: Batching = Batching {
    max: 10,
    window: Duration::from_secs(10),
};

/// A server, a caller whose calls to it gather, and what the broker carries to it.
struct Pair {
    _bench: Bench,
    remote: Remote,
    sent: Subscriber,
}

impl Pair {
    async fn with(bench: Bench, rule: Batching) -> Self {
        let (_, sent) = bench.listen("weft.v1.req.alice.gh.>").await;
        let remote = bench.remote("alice").await;
        remote.batch(&gh(), Some(rule));
        Self {
            _bench: bench,
            remote,
            sent,
        }
    }

    /// How many messages there were until now.
    fn messages(&mut self) -> usize {
        std::iter::from_fn(|| self.sent.next().now_or_never().flatten()).count()
    }
}

/// Calls that differ.
fn calls(count: usize) -> Vec<Call> {
    let one = |n: usize| call_of("gh", body(&format!(r#","arguments":{{"n":{n}}}"#)), SOON);
    (0..count).map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_five_calls_are_four_messages_and_twenty_five_answers() {
    let bench = Bench::new();
    let (service, gate) = Gate::shut();
    let _served = bench.serve(service).await;
    let mut pair = Pair::with(bench, RULE).await;
    let calls = calls(25);
    let asked: Vec<_> = calls
        .iter()
        .map(|call| ask(&pair.remote, call.clone()))
        .collect();
    let answered = join_all(asked);
    let release = async {
        // One went at once, two times ten together; the four that are left wait for others.
        gate.has_seen(21).await;
        gate.open.add_permits(21);
        // They wait no longer than somebody is under way.
        gate.has_seen(25).await;
        gate.open.add_permits(4);
    };
    let (answers, ()) = tokio::join!(answered, release);
    for (call, answer) in calls.iter().zip(answers) {
        let answer = answer.expect("it is answered");
        assert_eq!(answer.body, echoed(call).body, "its own answer");
    }
    assert_eq!(pair.messages(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_call_waits_for_nobody() {
    let bench = Bench::new();
    let _served = bench.serve(echo()).await;
    let long = Batching {
        window: SOON * 10,
        ..RULE
    };
    let mut pair = Pair::with(bench, long).await;
    for call in calls(20) {
        // `ask` gives up far before the window is over.
        ask(&pair.remote, call).await.expect("it is answered");
    }
    assert_eq!(pair.messages(), 20);
    // The twin: nobody's calls gather.
    pair.remote.batch(&gh(), None);
    let asked: Vec<_> = calls(20)
        .into_iter()
        .map(|call| ask(&pair.remote, call))
        .collect();
    assert!(join_all(asked).await.iter().all(Result::is_ok));
    assert_eq!(pair.messages(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_fails_alone() {
    let seen = std::sync::Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let service = answer(move |call: Call| {
        count.fetch_add(1, Ordering::SeqCst);
        let bad = String::from_utf8_lossy(call.request.body()).contains(r#""n":3"#);
        async move {
            if bad {
                return Err(Error::new(Kind::ToolExecutionError, "not this one"));
            }
            Ok(echoed(&call))
        }
    });
    let bench = Bench::new();
    let _served = bench.serve(SharedService::new(service)).await;
    let pair = Pair::with(bench, RULE).await;
    let asked: Vec<_> = calls(9)
        .into_iter()
        .map(|call| ask(&pair.remote, call))
        .collect();
    for (n, answer) in join_all(asked).await.into_iter().enumerate() {
        match answer {
            Err(error) if n == 3 => assert_eq!(error.kind(), Kind::ToolExecutionError),
            Ok(_) if n != 3 => {}
            other => panic!("{n}: {other:?}"),
        }
    }
    assert_eq!(seen.load(Ordering::SeqCst), 9, "each ran once");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_takes_back_his_own_call() {
    let bench = Bench::new();
    let (service, gate) = Gate::shut();
    let options = place_for(16, 0);
    let load = options.load.clone();
    let _served = bench.serve_as(options, service).await;
    let pair = Pair::with(bench, RULE).await;
    let mut all: Vec<_> = calls(11)
        .into_iter()
        .map(|call| Box::pin(pair.remote.clone().oneshot(call)))
        .collect();
    // The first alone, ten together.
    let drive = async {
        loop {
            for one in &mut all {
                assert!((&mut *one).now_or_never().is_none(), "the gate is shut");
            }
            if gate.came().len() == 11 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, drive)
        .await
        .expect("all of them begin");
    let leader = all.pop().expect("the last one sent them");
    let other = all.swap_remove(4);
    drop((leader, other));
    until(SOON, "their places are free", || load.now().running == 9).await;
    gate.open.add_permits(9);
    assert!(join_all(all).await.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn that_nobody_is_there_is_told_to_all() {
    let bench = Bench::new();
    let remote = bench.remote("alice").await;
    remote.batch(&gh(), Some(RULE));
    let asked: Vec<_> = calls(25)
        .into_iter()
        .map(|call| ask(&remote, call))
        .collect();
    for answer in join_all(asked).await {
        let error = answer.expect_err("nobody serves it");
        assert!(error.is_case(case::NO_RESPONDERS), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_can_not_be_read_is_refused_to_each_of_its_calls() {
    let bench = Bench::new();
    let _served = bench.serve_as(options(), echo()).await;
    let mut hand = bench.hand("alice").await;
    let (one, two) = (CallId::now(), CallId::now());
    let terms = format!("1;batch={one}:9000,{two}:9000");
    let text = |bodies: &[&str]| format!("[{}]", bodies.join(","));
    let plain = String::from_utf8(body("").to_vec()).expect("text");
    for broken in [
        plain.clone(),
        text(&[&plain]),
        text(&[&plain, &plain, &plain]),
        format!("{},{}", text(&[&plain, &plain]), plain),
        "[".to_owned(),
    ] {
        hand.send(one, headers(&[("Weft", &terms)]), broken.clone().into())
            .await;
        for _ in 0..2 {
            let said = json(&hand.next().await);
            assert_eq!(said["error"]["code"], -32600, "{broken}: {said}");
        }
    }
    // The twin, two requests: each is answered where its own id says.
    hand.send(
        one,
        headers(&[("Weft", &terms)]),
        text(&[&plain, &plain]).into(),
    )
    .await;
    let mut answered = Vec::new();
    for _ in 0..2 {
        let message = hand.next().await;
        assert!(json(&message).get("result").is_some(), "{message:?}");
        answered.push(message.subject.to_string());
    }
    answered.sort();
    let mut expected = [hand.reply(one), hand.reply(two)];
    expected.sort();
    assert_eq!(answered, expected);
    ask(&bench.remote("bob").await, call())
        .await
        .expect("the server lives");
}
