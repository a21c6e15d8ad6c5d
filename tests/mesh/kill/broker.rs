//! The broker that the mesh runs.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use weftbus::{
    app::up::{BrokerKind, Up},
    error::{Kind, Started},
};

use super::{answers_again, both_eras, echo};
use crate::{
    process::{kill_9, until},
    stage::{Slow, Stage, told},
};

fn pid(up: &Up) -> u32 {
    match up.broker() {
        BrokerKind::Managed { pid, .. } => pid,
        BrokerKind::Existing { .. } => panic!("the mesh runs its own"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_ends_the_calls_and_comes_back() {
    let stage = Stage::new(&both_eras());
    let up = stage.up().await;
    let caller = stage.caller().await;
    let wish = json!({"name": "alice", "permissions": ["call:tools/modern/*"]});
    let issued: Value = caller.control("token_issue", wish).await.expect("a token");
    let token = issued["token"].as_str().expect("a token");
    let alice = stage.join(token).await.expect("let in");
    echo(&alice, "modern").await.expect("an answer");

    let slow = Slow::begin(&stage, &alice, "modern", 60.0).await;
    let killed = pid(&up);
    let at = Instant::now();
    kill_9(killed);
    let error = slow
        .answer
        .await
        .expect("no panic")
        .expect_err("the broker is gone");
    let took = at.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(told(&error), "INTERNAL_ERROR CONNECTION_LOST Maybe");
    eprintln!("the call in flight: told {took:?} after the kill");

    // Each death makes the next start later: with the fourth there is time to call without one.
    let mut died = killed;
    for _ in 0..3 {
        died = revived(&up, died).await;
        kill_9(died);
    }
    let at = Instant::now();
    let refused = echo(&alice, "modern")
        .await
        .expect_err("the broker is gone");
    assert_eq!(pid(&up), died, "it was not back yet");
    assert_eq!(told(&refused), "SERVER_OVERLOADED BROKER_UNAVAILABLE No");
    eprintln!("a new call: refused after {:?}", at.elapsed());
    assert!(at.elapsed() < Duration::from_secs(2), "{:?}", at.elapsed());

    revived(&up, died).await;
    let at = Instant::now();
    for by in [&alice, &caller] {
        answers_again(by, "modern", |error| {
            error.has_started() == Started::No && error.kind() == Kind::ServerOverloaded
        })
        .await;
    }
    let took = at.elapsed();
    eprintln!("answers {took:?} after the return");
    assert!(took < Duration::from_secs(5), "{took:?}");

    // What was issued and known before is so still.
    let again = stage.join(token).await.expect("the token holds");
    echo(&again, "modern").await.expect("an answer");
    let listed: Value = caller
        .control("server_list", json!({}))
        .await
        .expect("a list");
    let listed = listed["servers"].as_array().expect("servers");
    let states: Vec<_> = listed
        .iter()
        .map(|entry| (&entry["server"], &entry["state"]))
        .collect();
    let healthy = json!("healthy");
    assert_eq!(
        states,
        [(&json!("legacy"), &healthy), (&json!("modern"), &healthy)]
    );
    let tokens: Value = caller
        .control("token_list", json!({"name": "alice"}))
        .await
        .expect("a list");
    assert_eq!(tokens["tokens"][0]["jti"], issued["about"]["jti"]);
    for mesh in [alice, again, caller] {
        mesh.close().await;
    }
    up.stop().await;
}

/// Waits until another one serves than that which died.
async fn revived(up: &Up, died: u32) -> u32 {
    until(Duration::from_secs(20), "it serves again", || {
        pid(up) != died
    })
    .await;
    pid(up)
}
