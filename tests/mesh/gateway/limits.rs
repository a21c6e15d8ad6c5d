//! What one caller may do with a server: how often, how much, at once, how deep and how wide. Each
//! refusal says when to come back, and another caller, or another tool, passes meanwhile.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use weftbus::{
    error::{Error, Kind},
    mesh::Mesh,
};

use super::{Place, Said};
use crate::stage::{PATIENCE, Slow, told};

fn hello() -> Value {
    json!({"text": "hello"})
}

/// What the error of an answer says beside its code: the case, the limit, and when to come back.
fn limited(said: &Said) -> (String, String, u64) {
    let data = &said.json()["error"]["data"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (
        text(&data["kind"]),
        text(&data["context"]["metadata"]["limit"]),
        data["retryAfterMs"].as_u64().unwrap_or_default(),
    )
}

async fn joined(place: &Place, name: &str) -> Mesh {
    let token = place.token(name, &["call:tools/*"]).await;
    place.stage.join(&token).await.expect("let in")
}

#[tokio::test(flavor = "multi_thread")]
async fn too_often_is_429_with_when_to_come_back() {
    let place = Place::with("limits: { perTool: { rate: 2/h } }\n").await;
    let alice = place.token("alice", &["call:tools/*"]).await;
    let (client, bob) = (place.client_with("", &alice), joined(&place, "bob").await);
    for _ in 0..2 {
        assert_eq!(client.call("modern__echo", hello()).await.status, 200);
    }
    let said = client.call("modern__echo", hello()).await;
    assert_eq!((said.status, said.code()), (429, -31008), "{}", said.body);
    let (kind, limit, wait) = limited(&said);
    assert_eq!(
        (kind.as_str(), limit.as_str()),
        ("RATE_LIMIT_EXCEEDED", "limits.perTool.rate")
    );
    assert!(
        (1..=1_800_000).contains(&wait),
        "half an hour at most: {wait}"
    );
    let header: u64 = said.header("retry-after").parse().expect("seconds");
    assert_eq!(header, wait.div_ceil(1000), "never too early");
    // An older client takes a status for the end of its session: it is told inside.
    let older = client.clone().opened("2025-11-25").await;
    let said = older.call("modern__echo", hello()).await;
    assert_eq!((said.status, said.code()), (200, -31008), "{}", said.body);
    // The same caller by NATS is the same caller.
    let alice = place.stage.join(&alice).await.expect("let in");
    let error = alice.call_tool("modern", "echo", hello()).await;
    let error: Error = error.expect_err("too often");
    assert_eq!(told(&error), "RATE_LIMIT_EXCEEDED RATE_LIMIT_EXCEEDED No");
    assert!(error.comes_back_after().is_some());
    // The twins: another tool, another server, another caller.
    let fail = json!({"message": "as asked"});
    assert_eq!(client.call("modern__fail", fail).await.status, 200);
    assert_eq!(client.call("legacy__echo", hello()).await.status, 200);
    bob.call_tool("modern", "echo", hello())
        .await
        .expect("his first");
    for mesh in [alice, bob] {
        mesh.close().await;
    }
    place.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_used_up_and_a_call_at_a_time_is_one() {
    let place = Place::with("limits: { perCaller: { quota: 3/d, inFlight: 1 } }\n").await;
    let (alice, bob) = (joined(&place, "alice").await, joined(&place, "bob").await);
    let slow = Slow::begin(&place.stage, &alice, "legacy", 2.0).await;
    let call = |by: &Mesh| {
        let ask = by.tool("legacy", "echo", hello()).expect("a call");
        async move { ask.once().send().await?.tool() }
    };
    let busy = call(&alice).await.expect_err("one at a time");
    assert_eq!(told(&busy), "SERVER_OVERLOADED SERVER_OVERLOADED No");
    assert_eq!(
        busy.context().metadata["limit"],
        "limits.perCaller.inFlight"
    );
    assert!(busy.comes_back_after().is_some());
    call(&bob).await.expect("the twin: another caller");
    slow.answer.await.expect("no panic").expect("it ends");
    for _ in 0..2 {
        call(&alice)
            .await
            .expect("what was refused was not counted");
    }
    let over = call(&alice).await.expect_err("three a day");
    assert_eq!(told(&over), "RATE_LIMIT_EXCEEDED QUOTA_EXCEEDED No");
    let wait = over.comes_back_after().expect("when to come back");
    assert!(wait > Duration::from_secs(86_000), "{wait:?}");
    call(&bob).await.expect("the twin: he has one left");
    for mesh in [alice, bob] {
        mesh.close().await;
    }
    place.end().await;
}

/// Rules are changed under way: nothing is started anew, and what is refused is not in doubt.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_changes_the_rules_of_a_server_that_runs() {
    let place = Place::with("limits: { perTool: { quota: 1/d } }\n").await;
    let alice = joined(&place, "alice").await;
    let first = alice
        .call_tool("modern", "grow", json!({}))
        .await
        .expect("the first");
    assert_eq!(first.text(), "extra_1");
    let again = alice.call_tool("modern", "grow", json!({})).await;
    assert_eq!(
        again.expect_err("one a day").kind(),
        Kind::RateLimitExceeded
    );
    let file = place.stage.path().join("weft.yaml");
    let text = fs::read_to_string(&file).expect("it is there");
    fs::write(&file, text.replace("quota: 1/d", "quota: 2/d")).expect("ours");
    let end = tokio::time::Instant::now() + PATIENCE;
    let second = loop {
        match alice.call_tool("modern", "grow", json!({})).await {
            Ok(result) => break result,
            Err(error) => assert_eq!(error.kind(), Kind::RateLimitExceeded, "{error}"),
        }
        assert!(tokio::time::Instant::now() < end, "the file is read");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(second.text(), "extra_2", "the same process, which counts");
    let third = alice.call_tool("modern", "grow", json!({})).await;
    assert_eq!(
        third.expect_err("two a day").kind(),
        Kind::RateLimitExceeded
    );
    alice.close().await;
    place.end().await;
}

/// Arguments with a list so deep, and so many members.
fn sized(levels: usize, members: usize) -> Value {
    let deep = (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let wide: serde_json::Map<String, Value> =
        (0..members).map(|n| (format!("k{n}"), json!(n))).collect();
    json!({"text": "hello", "deep": deep, "wide": wide})
}

#[tokio::test(flavor = "multi_thread")]
async fn too_deep_and_too_wide_are_refused_at_the_gateway_and_by_adapters() {
    let place = Place::with("limits: { depth: 32, keys: 1000 }\n").await;
    let (client, alice) = (place.client(""), joined(&place, "alice").await);
    for (levels, members, status, code, on_mesh) in [
        (20, 900, 200, 0, "passes"),
        (40, 900, 400, -32700, "PARSE_ERROR REQUEST_TOO_COMPLEX No"),
        (
            20,
            1100,
            200,
            -32602,
            "INVALID_PARAMS REQUEST_TOO_COMPLEX No",
        ),
    ] {
        let what = format!("{levels} {members}");
        let said = client.call("modern__echo", sized(levels, members)).await;
        assert_eq!(
            (said.status, said.code()),
            (status, code),
            "{what}: {}",
            said.body
        );
        if code != 0 {
            assert_eq!(said.json()["error"]["data"]["serverName"], "gateway");
            assert_eq!(said.json()["id"], "q", "the envelope could be read");
        }
        // Past the gateway.
        let called = alice
            .call_tool("modern", "echo", sized(levels, members))
            .await;
        let called = called.map_or_else(|error| told(&error), |_| "passes".to_owned());
        assert_eq!(called, on_mesh, "{what}");
    }
    alice.close().await;
    place.end().await;
}

/// Nobody makes room for himself by making up names: what he calls beyond the tools that there is
/// room for shares one count.
#[tokio::test(flavor = "multi_thread")]
async fn made_up_names_buy_nothing() {
    let place = Place::with("limits: { perTool: { quota: 1/d } }\n").await;
    let alice = joined(&place, "alice").await;
    let mut refused = 0;
    for n in 0..100 {
        let called = alice
            .call_tool("modern", &format!("made-up-{n}"), json!({}))
            .await;
        let error = called.expect_err("there is none");
        match error.kind() {
            Kind::ToolNotFound => {}
            Kind::RateLimitExceeded => refused += 1,
            other => panic!("{other}: {error}"),
        }
    }
    // 64 tools, and one for all others.
    assert_eq!(refused, 100 - 65);
    let real = alice.call_tool("modern", "echo", hello()).await;
    assert_eq!(
        real.expect_err("no room for it").kind(),
        Kind::RateLimitExceeded
    );
    let bob = joined(&place, "bob").await;
    bob.call_tool("modern", "echo", hello())
        .await
        .expect("the twin: another caller");
    for mesh in [alice, bob] {
        mesh.close().await;
    }
    place.end().await;
}

/// A command line says when to come back, and its exit says that one may.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_when() {
    let place = Place::with("limits: { perTool: { rate: 1/h } }\n").await;
    let call = || {
        let mut weft = place
            .stage
            .weft(&["call", "modern", "echo", "text=a", "-o", "json"]);
        weft.output().expect("it runs")
    };
    assert_eq!(call().status.code(), Some(0));
    let refused = call();
    assert_eq!(refused.status.code(), Some(8));
    let said: Value = serde_json::from_slice(&refused.stderr).expect("one object");
    assert!(said.to_string().contains("RATE_LIMIT_EXCEEDED"), "{said}");
    assert!(said.to_string().contains("retryAfterMs"), "{said}");
    place.end().await;
}
