//! The line before a server that has no place: fair, bounded, and told.

use std::sync::{Arc, Mutex};

use futures_util::{FutureExt as _, future::join_all};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use weftbus::{
    bus::{Limits, ServeOptions},
    call::{Call, SharedService, service::answer},
    error::{Error, Kind, Started},
    name::CallId,
};

use super::bench::{Bench, SOON, ask, body, call, echoed, header, headers, json, options, passes};
use crate::process::until;

pub(super) fn place_for(calls: usize, queue: usize) -> ServeOptions {
    ServeOptions {
        limits: Limits {
            calls,
            queue,
            ..Limits::default()
        },
        ..options()
    }
}

/// An echo whose calls end one by one, and who came to it in what order.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) open: Arc<Semaphore>,
    came: Arc<Mutex<Vec<String>>>,
}

impl Gate {
    pub(super) fn shut() -> (SharedService, Self) {
        let gate = Self {
            open: Arc::new(Semaphore::new(0)),
            came: Arc::default(),
        };
        let own = gate.clone();
        let service = answer(move |call: Call| {
            let gate = own.clone();
            async move {
                let who = call.context.caller.as_ref().expect("the subject has him");
                gate.came.lock().expect("no panic").push(who.to_string());
                gate.open.acquire().await.expect("it lives").forget();
                Ok(echoed(&call))
            }
        });
        (SharedService::new(service), gate)
    }

    pub(super) fn came(&self) -> Vec<String> {
        self.came.lock().expect("no panic").clone()
    }

    pub(super) async fn has_seen(&self, count: usize) {
        until(SOON, "they came", || self.came().len() == count).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_much_delays_his_own_calls_and_loses_them_first() {
    let bench = Bench::new();
    let (service, gate) = Gate::shut();
    let _served = bench.serve_as(place_for(1, 4), service).await;
    let (alice, bob) = (bench.remote("alice").await, bench.remote("bob").await);
    let mut first = alice.clone().oneshot(call());
    assert!((&mut first).now_or_never().is_none());
    gate.has_seen(1).await;
    // Four wait, and the fifth finds the line full of his own.
    let hers = join_all((0..5).map(|_| ask(&alice, call())));
    let rest = async {
        until(SOON, "she sent all", || alice.link().calls_under_way() == 5).await;
        let his = join_all((0..2).map(|_| ask(&bob, call())));
        let ends = async {
            until(SOON, "his came", || alice.link().calls_under_way() == 3).await;
            for ended in 1..=5 {
                gate.open.add_permits(1);
                gate.has_seen((ended + 1).min(5)).await;
            }
        };
        tokio::join!(his, ends).0
    };
    let (hers, his) = tokio::join!(hers, rest);
    assert!(first.await.is_ok() && his.iter().all(Result::is_ok));
    let lost: Vec<&Error> = hers.iter().filter_map(|end| end.as_ref().err()).collect();
    assert_eq!(lost.len(), 3);
    for error in lost {
        assert_eq!(error.kind(), Kind::ServerOverloaded, "{error:?}");
        assert_eq!(error.has_started(), Started::No);
        assert!(error.comes_back_after().is_some());
        assert_eq!(error.context().operation, "tools.call");
        assert_eq!(error.context().user_id.as_deref(), Some("alice"));
    }
    assert_eq!(gate.came(), ["alice", "alice", "bob", "alice", "bob"]);
    gate.open.add_permits(1);
    passes(&bob).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_so_and_whose_time_is_over_was_not_begun() {
    let bench = Bench::new();
    let (service, gate) = Gate::shut();
    let _served = bench.serve_as(place_for(1, 4), service).await;
    let remote = bench.remote("alice").await;
    let mut first = remote.clone().oneshot(call());
    assert!((&mut first).now_or_never().is_none());
    gate.has_seen(1).await;
    let mut hand = bench.hand("alice").await;
    let id = CallId::now();
    hand.send(id, headers(&[("Weft", "1;ms=400")]), body(""))
        .await;
    assert_eq!(header(&hand.next().await, "Weft-Frame"), Some("ack"));
    let end = json(&hand.next().await);
    assert_eq!(end["error"]["code"], -32005, "{end}");
    assert_eq!(end["error"]["data"]["started"], "no");
    assert_eq!(gate.came().len(), 1);
    gate.open.add_permits(1);
    assert!(first.await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_his_call_back_leaves_the_line() {
    let bench = Bench::new();
    let (service, gate) = Gate::shut();
    let options = place_for(1, 1);
    let load = options.load.clone();
    let _served = bench.serve_as(options, service).await;
    let remote = bench.remote("alice").await;
    let mut first = remote.clone().oneshot(call());
    assert!((&mut first).now_or_never().is_none());
    gate.has_seen(1).await;
    let mut waiting = remote.clone().oneshot(call());
    assert!((&mut waiting).now_or_never().is_none());
    until(SOON, "it waits", || load.now().waiting == 1).await;
    drop(waiting);
    until(SOON, "it left", || load.now().waiting == 0).await;
    // There is room again for another one, which has its turn.
    let (second, ()) = tokio::join!(ask(&remote, call()), async {
        gate.open.add_permits(1);
        gate.has_seen(2).await;
        gate.open.add_permits(1);
    });
    assert!(second.is_ok() && first.await.is_ok());
    assert_eq!(
        gate.came().len(),
        2,
        "the one that was taken back never began"
    );
}

/// Who leaves serves those that wait as well.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_are_answered_by_who_leaves() {
    let bench = Bench::new();
    let (service, gate) = Gate::shut();
    let served = bench.serve_as(place_for(1, 8), service).await;
    let remote = bench.remote("alice").await;
    let calls = join_all((0..5).map(|_| ask(&remote, call())));
    let leaves = async {
        gate.has_seen(1).await;
        until(SOON, "all are sent", || {
            remote.link().calls_under_way() == 5
        })
        .await;
        let opens = async {
            gate.open.add_permits(5);
        };
        tokio::join!(served.drain(SOON), opens);
    };
    let (ends, ()) = tokio::join!(calls, leaves);
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");
}
