//! What is taken at run time, and the connections that could still do it.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Place, hello, says};
use crate::stage::PATIENCE;

/// The broker hears of a denial by a new connection alone; so the old one is cut, and adapters
/// refuse meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn who_loses_something_at_run_time_is_cut_off_and_comes_back_with_less() {
    let place = Place::open().await;
    let operator = place.stage.caller().await;
    let alice = place.issue("alice", &["call:tools/plain/*"]).await;
    let bob = place.issue("bob", &["call:tools/plain/*"]).await;
    let (alice, bob) = tokio::join!(place.stage.join(&alice.token), place.stage.join(&bob.token));
    let (alice, bob) = (alice.expect("let in"), bob.expect("let in"));
    for mesh in [&alice, &bob] {
        assert_eq!(says(mesh, "plain", "echo", hello()).await, "passes");
    }
    let denial = json!({"who": "alice", "permission": "call:tools/plain/echo", "deny": true});
    let denied: Value = operator.control("grant_add", denial).await.expect("denied");
    assert_eq!(denied["connectionsCut"], 1, "{denied}");
    let check = json!({"who": "alice", "permission": "call:tools/plain/echo"});
    let checked: Value = operator
        .control("access_check", check)
        .await
        .expect("known");
    assert_eq!(checked["allowed"], false, "{checked}");
    assert_eq!(checked["tokens"][0]["brokerAllows"], false, "{checked}");

    let end = Instant::now() + PATIENCE;
    let mut said = says(&alice, "plain", "echo", hello()).await;
    while !said.starts_with("ACCESS_DENIED") {
        let waits = said.contains("BROKER_UNAVAILABLE") || said.starts_with("INTERNAL_ERROR");
        assert!(waits && Instant::now() < end, "{said}");
        said = says(&alice, "plain", "echo", hello()).await;
    }
    assert_eq!(says(&alice, "plain", "grow", json!({})).await, "passes");
    assert_eq!(says(&bob, "plain", "echo", hello()).await, "passes");
    for mesh in [alice, bob, operator] {
        mesh.close().await;
    }
    place.close().await;
}
