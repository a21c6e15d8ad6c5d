//! Messages that nobody answers: taken, or told that they are not.

use futures_util::StreamExt as _;
use tokio::time::timeout;
use weftbus::{
    bus::outbox::Outbox,
    error::{Kind, case},
};

use super::bench::{Bench, SOON};

#[tokio::test]
async fn what_the_broker_takes_arrives_with_its_headers() {
    let bench = Bench::new();
    let (_client, mut heard) = bench.listen("orders.again").await;
    let link = bench.link("alice").await;
    let outbox = Outbox::open(&link, "orders.again").expect("connected");
    for n in 0..300 {
        let headers = [("Weft-Replay", format!("WEFT_TASKS:{n}"))];
        let sent = outbox.send(&headers, format!("{n}").into());
        sent.await.expect("handed in");
    }
    outbox.settle().await.expect("taken");
    for n in 0..300 {
        let message = timeout(SOON, heard.next()).await.expect("in time");
        let message = message.expect("connected");
        assert_eq!(message.payload, format!("{n}"));
        let headers = message.headers.expect("a header");
        let place = headers.get("Weft-Replay").map(|value| value.as_str());
        assert_eq!(place, Some(format!("WEFT_TASKS:{n}").as_str()));
    }
    let evil = [("Weft-Replay", "a\rb".to_owned())];
    let refused = outbox.send(&evil, "".into()).await.expect_err("refused");
    assert_eq!(refused.kind(), Kind::InvalidParams);
    outbox.settle().await.expect("it is of use still");
}

#[tokio::test]
async fn what_the_broker_refuses_is_told_at_the_latest_at_the_end() {
    let permissions = r#"authorization: { users: [{ user: a, password: a,
        permissions: { publish: { deny: ["orders.again"] } } }] }"#;
    let bench = Bench::with(permissions);
    let auth = weftbus::bus::Auth::Password("a".to_owned(), "a".to_owned());
    let link = bench.join("alice", auth).await.expect("let in");
    let denied = Outbox::open(&link, "orders.again").expect("connected");
    let twin = Outbox::open(&link, "orders.other").expect("connected");
    for outbox in [&denied, &twin] {
        outbox.send(&[], "x".into()).await.expect("handed in");
    }
    let refused = denied.settle().await.expect_err("refused");
    assert_eq!(refused.kind(), Kind::AccessDenied);
    assert!(refused.message().contains("orders.again"), "{refused}");
    twin.settle().await.expect("taken");
}

#[tokio::test]
async fn a_connection_that_went_is_told() {
    let mut bench = Bench::new();
    let link = bench.link("alice").await;
    let outbox = Outbox::open(&link, "orders.again").expect("connected");
    outbox.send(&[], "x".into()).await.expect("handed in");
    outbox.settle().await.expect("taken");
    outbox.send(&[], "x".into()).await.expect("handed in");
    bench.broker.kill();
    let lost = outbox.settle().await.expect_err("nobody took it");
    assert!(lost.is_case(case::CONNECTION_LOST), "{lost:?}");
}
