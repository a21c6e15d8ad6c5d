//! Tokens of those who run for longer than a token lives: renewed by themselves, as one family.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio, time::Duration};

use serde_json::{Value, json};
use weftbus::{
    access::exchange::Held,
    call::Permissions,
    control::{Issued, Wish},
    mesh::Mesh,
    name::Identity,
};

use super::{Place, hello, says};
use crate::{
    process::until,
    stage::{PATIENCE, fixture, real, told},
};

/// A token that is old after twelve seconds.
async fn short(place: &Place, name: &str, permission: &str, renewable: Option<bool>) -> Issued {
    let wish = Wish {
        name: Identity::new(name).expect("a name"),
        permissions: Permissions::parse(&[permission]).expect("permissions"),
        role: None,
        ttl: Some(Duration::from_secs(15)),
        renewable,
    };
    let issued = place.up.plane().control().issue_local(wish).await;
    issued.expect("a token")
}

async fn renews(mesh: &Mesh) -> Result<String, String> {
    let renewed = mesh.control::<Value>("token_renew", json!({})).await;
    renewed.map_or_else(
        |error| Err(told(&error)),
        |renewed| Ok(renewed["token"].as_str().expect("a token").to_owned()),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_outlives_its_token() {
    let place = Place::open().await;
    let first = short(&place, "side", "serve:tools/side/*", None).await;
    let file = place.stage.path().join("side.token");
    fs::write(&file, &first.token).expect("written");
    let (python, modern) = (real("python"), fixture("modern.py"));
    let mut command = place.stage.weft(&["adapter", "side"]);
    let mut sidecar = command
        .env("WEFT_TOKEN_FILE", &file)
        .arg("--")
        .args([python.as_os_str(), modern.as_os_str()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let token = || fs::read_to_string(&file).expect("a token");
    until(PATIENCE, "the token was renewed", || {
        token().trim() != first.token
    })
    .await;
    let mode = fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else may read it");
    let next = Held::read(token().trim()).expect("a token");
    assert_eq!(next.sub.as_str(), "side");
    assert!(next.exp > first.claims.exp);

    let alice = place.issue("alice", &["call:tools/side/*"]).await;
    let alice = place.stage.join(&alice.token).await.expect("let in");
    until(PATIENCE, "the first one is over", || {
        weftbus::access::now() > first.claims.exp + 6
    })
    .await;
    let end = tokio::time::Instant::now() + PATIENCE;
    let mut said = says(&alice, "side", "echo", hello()).await;
    while said != "passes" {
        assert!(tokio::time::Instant::now() < end, "{said}");
        said = says(&alice, "side", "echo", hello()).await;
    }
    assert!(
        sidecar.try_wait().expect("ours").is_none(),
        "the same process"
    );
    sidecar.kill().expect("ours");
    sidecar.wait().expect("it ends");
    alice.close().await;
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_renewed_is_one_family() {
    let place = Place::open().await;
    let operator = place.stage.caller().await;
    let call = "call:tools/plain/*";
    let once = short(&place, "once", call, None).await;
    let mesh = place.stage.join(&once.token).await.expect("let in");
    let refused = renews(&mesh).await.expect_err("a caller's, by default");
    assert_eq!(refused, "ACCESS_DENIED ACCESS_DENIED No");
    mesh.close().await;

    let first = short(&place, "long", call, Some(true)).await;
    let mesh = place.stage.join(&first.token).await.expect("let in");
    let second = renews(&mesh).await.expect("it may");
    let held = Held::read(&second).expect("a token");
    assert_eq!(held.exp - held.iat, 15, "for as long as the first");
    mesh.close().await;
    let mesh = place
        .stage
        .join(&second)
        .await
        .expect("the second opens too");
    let third = renews(&mesh).await.expect("and again");
    let other = short(&place, "long", call, Some(true)).await;
    let jti = json!({"jti": first.claims.jti});
    let revoked: Value = operator
        .control("token_revoke", jti)
        .await
        .expect("revoked");
    assert_eq!(
        revoked["tokens"].as_array().map(Vec::len),
        Some(3),
        "{revoked}"
    );
    for token in [&first.token, &second, &third] {
        let refused = place.stage.join(token).await.expect_err("revoked");
        assert_eq!(
            refused.kind().name(),
            "AUTHENTICATION_FAILED",
            "{refused:?}"
        );
    }
    let twin = place
        .stage
        .join(&other.token)
        .await
        .expect("another family");
    assert_eq!(says(&twin, "plain", "echo", hello()).await, "passes");
    for mesh in [mesh, twin, operator] {
        mesh.close().await;
    }
    place.close().await;
}
