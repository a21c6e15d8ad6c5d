//! The keys that sign tokens come and go while the mesh runs: a rotation stops nobody, and what a
//! struck key signed is worth nothing.

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;
use tokio::time::Instant;
use weftbus::{app::keys, control::Issued};

use super::{Place, hello, says};
use crate::stage::{PATIENCE, told};

/// What a call says while nobody is there to take it: nothing happened, and it may be sent again.
const AWAY: &str = "SERVER_OVERLOADED NO_RESPONDERS No";

/// The name of the key that signed it.
fn kid(issued: &Issued) -> String {
    let header = issued.token.split('.').next().expect("a header");
    let header = BASE64URL_NOPAD
        .decode(header.as_bytes())
        .expect("base64url");
    let header: Value = serde_json::from_slice(&header).expect("JSON");
    header["kid"].as_str().expect("a name").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_fails_no_call() {
    let place = Place::open().await;
    let folder = place.stage.path().join("data");
    let before = place.issue("alice", &["call:tools/plain/*"]).await;
    let alice = place.stage.join(&before.token).await.expect("let in");
    assert_eq!(says(&alice, "plain", "echo", hello()).await, "passes");
    let keys = keys::rotate(&folder, 10).expect("a new key");
    assert_eq!(keys.len(), 2);
    assert!(keys::rotate(&folder, 10).is_err(), "one at a time");

    let end = Instant::now() + PATIENCE;
    let mut calls = 0;
    let after = loop {
        assert_eq!(says(&alice, "plain", "echo", hello()).await, "passes");
        calls += 1;
        let issued = place.issue("bob", &["call:tools/plain/*"]).await;
        if kid(&issued) != kid(&before) {
            break issued;
        }
        assert!(Instant::now() < end, "it never signs");
    };
    assert!(calls > 10, "{calls}");
    assert_eq!(kid(&after), keys[1].0);
    // Whoever came by the old key and by the new one is let in, and calls.
    for token in [&before.token, &after.token] {
        let mesh = place.stage.join(token).await.expect("let in");
        assert_eq!(says(&mesh, "plain", "echo", hello()).await, "passes");
        mesh.close().await;
    }
    let listed = keys::list(&folder).expect("keys");
    assert_eq!(listed[0].0, keys[1].0, "{listed:?}");
    assert!(matches!(listed[1].1, keys::State::Former(_)), "{listed:?}");
    alice.close().await;
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_struck_key_signed_is_worth_nothing() {
    let place = Place::open().await;
    let folder = place.stage.path().join("data");
    let alice = place.issue("alice", &["call:tools/plain/*"]).await;
    let (raw, hers) = (place.raw(&alice).await, place.call_token(&alice));
    assert_eq!(raw.says(Some(&hers)).await, "passes");
    let unknown = keys::revoke(&folder, "AAAAAAAAAAAA").expect_err("none");
    assert!(unknown.to_string().contains("weft keys list"), "{unknown}");
    keys::revoke(&folder, &kid(&alice)).expect("struck");

    let end = Instant::now() + PATIENCE;
    let refused = loop {
        match place.stage.join(&alice.token).await {
            Ok(mesh) => mesh.close().await,
            Err(error) => break error,
        }
        assert!(Instant::now() < end, "it still opens connections");
    };
    assert_eq!(
        refused.kind().name(),
        "AUTHENTICATION_FAILED",
        "{}",
        told(&refused)
    );
    // Adapters have new tokens and keys by then, or get them; nobody had to be started again.
    let twin = place.issue("alice", &["call:tools/plain/*"]).await;
    assert_ne!(kid(&twin), kid(&alice));
    let mesh = place.stage.join(&twin.token).await.expect("the twin");
    let mut said = says(&mesh, "plain", "echo", hello()).await;
    while said != "passes" {
        assert!(Instant::now() < end, "{said}");
        said = says(&mesh, "plain", "echo", hello()).await;
    }
    // Who was let in by that key is cut off and comes back by the next one, adapters too: for a
    // moment nobody may answer, whenever that moment is.
    let twins = place.raw(&twin).await;
    let hers_now = place.call_token_now(&twin);
    for (token, end_says) in [
        (&hers, "AUTHENTICATION_FAILED TOKEN_INVALID No"),
        (&hers_now, "passes"),
    ] {
        let mut said = twins.says(Some(token)).await;
        while said == AWAY {
            assert!(Instant::now() < end, "{said}");
            said = twins.says(Some(token)).await;
        }
        assert_eq!(said, end_says);
    }
    mesh.close().await;
    drop((raw, twins));
    place.close().await;
}
