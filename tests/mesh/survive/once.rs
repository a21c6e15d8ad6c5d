//! Idempotency keys: one run, one outcome, over replicas, kills and new call ids.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use weftbus::error::{Started, case};

use super::{Shop, charge};
use crate::{process::kill_9, stage::told};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_runs_once_and_everybody_hears_the_first_outcome() {
    let shop = Shop::open(2).await;
    let caller = shop.stage.caller().await;
    let a = json!({"id": "a"});
    let first = charge(&caller, a.clone(), Some("k-1"))
        .await
        .expect("charged");
    for _ in 0..4 {
        // Either replica may hear it.
        let again = charge(&caller, a.clone(), Some("k-1")).await.expect("told");
        assert_eq!(again.text(), first.text());
    }
    assert_eq!(shop.effects_of("a"), 1);
    // Another key, and no key, is another call.
    let other = charge(&caller, a.clone(), Some("k-2"))
        .await
        .expect("charged");
    assert_ne!(other.text(), first.text());
    charge(&caller, a.clone(), None).await.expect("charged");
    assert_eq!(shop.effects_of("a"), 3);
    // The same key of another caller is his own.
    let token = crate::stage::issue(&caller, "bob", &["call:tools/charges/*"]).await;
    let bob = shop.stage.join(&token).await.expect("let in");
    charge(&bob, a.clone(), Some("k-1")).await.expect("charged");
    assert_eq!(shop.effects_of("a"), 4);
    // And belongs to these arguments, however spelt.
    let misused = charge(&caller, json!({"id": "b"}), Some("k-1")).await;
    let error = misused.expect_err("another call");
    assert_eq!(told(&error), "INVALID_PARAMS KEY_MISUSED No");
    assert_eq!(shop.effects_of("b"), 0);
    let same = charge(&caller, json!({"id": "a"}), Some("k-1")).await;
    assert_eq!(same.expect("told").text(), first.text());
    bob.close().await;
    caller.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_it_runs_hears_so_and_who_leaves_loses_nothing() {
    let shop = Shop::open(2).await;
    let caller = shop.stage.caller().await;
    let slow = json!({"id": "slow", "seconds": 2.0});
    // Its caller leaves after half a second.
    let gone = tokio::time::timeout(
        Duration::from_millis(500),
        charge(&caller, slow.clone(), Some("k")),
    );
    assert!(gone.await.is_err(), "it runs");
    let error = charge(&caller, slow.clone(), Some("k"))
        .await
        .expect_err("it runs");
    assert_eq!(told(&error), "SERVER_OVERLOADED KEY_IN_USE No");
    assert!(error.comes_back_after().is_some());
    // Who may ask again by himself hears what came of it.
    let ask = caller.tool("charges", "charge", slow).expect("a call");
    let answer = ask
        .with_key("k")
        .expect("a key")
        .send()
        .await
        .expect("told");
    assert!(answer.tool().expect("a result").text().contains("for slow"));
    assert_eq!(shop.effects_of("slow"), 1);
    caller.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_is_not_tried_again() {
    let shop = Shop::open(2).await;
    let caller = shop.stage.caller().await;
    let ask = || {
        let ask = caller.tool("charges", "break_off", json!({"id": "x"}));
        ask.expect("a call").with_key("k").expect("a key").send()
    };
    for _ in 0..3 {
        let error = ask().await.expect_err("its process ended");
        assert_eq!(told(&error), "TOOL_EXECUTION_ERROR SERVER_EXITED Yes");
    }
    assert_eq!(shop.effects_of("x"), 1);
    caller.close().await;
}

/// The adapter that ran it is killed: nobody knows what came of it, and nobody runs it again.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_replica_ran_is_unknown_and_never_run_again() {
    let mut shop = Shop::open(1).await;
    let caller = shop.stage.caller().await;
    let arguments = json!({"id": "lost", "seconds": 30.0});
    let asked = caller
        .tool("charges", "charge", arguments.clone())
        .expect("a call");
    let asked = asked
        .timeout(Duration::from_secs(4))
        .with_key("k")
        .expect("a key")
        .once();
    let began = Instant::now();
    let running = async {
        // It is claimed by now, and runs.
        loop {
            let error = charge(&caller, arguments.clone(), Some("k")).await;
            if error.is_err_and(|error| error.is_case(case::KEY_IN_USE)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        kill_9(shop.replicas[0].pid());
    };
    let (ended, ()) = futures_util::join!(asked.send(), running);
    assert_eq!(
        ended.expect_err("it was killed").has_started(),
        Started::Maybe
    );
    shop.replicas.clear();
    shop.add(&[], &[]);
    shop.serve(&caller, 1).await;
    let error = loop {
        let again = charge(&caller, arguments.clone(), Some("k")).await;
        match again.expect_err("it is not run again") {
            // Its time is not over yet: it may run.
            error if error.is_case(case::KEY_IN_USE) => {
                tokio::time::sleep(error.comes_back_after().expect("it says when")).await;
            }
            error if error.is_case(case::SERVER_UNAVAILABLE) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            error => break error,
        }
    };
    assert_eq!(told(&error), "TOOL_EXECUTION_ERROR OUTCOME_UNKNOWN Maybe");
    assert!(
        began.elapsed() > Duration::from_secs(4),
        "its runner had so long"
    );
    assert_eq!(shop.effects_of("lost"), 0);
    // The twin: a key of its own runs.
    charge(&caller, json!({"id": "found"}), Some("k-2"))
        .await
        .expect("charged");
    assert_eq!(shop.effects_of("found"), 1);
    caller.close().await;
}
