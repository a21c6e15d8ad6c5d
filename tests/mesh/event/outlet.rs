//! Replays to a subject: each body as it is stored, marked; what the broker refuses is told.

use std::collections::HashSet;

use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::time::timeout;
use weftbus::{access::Role, event::Event};

use super::{
    said, stored,
    tail::{named, publish},
    typed,
};
use crate::{
    control::{join, root},
    plane::Plane,
    stage::PATIENCE,
};

const AGAIN: &str = "weft.v1.dlv.ops.again";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_body_comes_as_it_is_stored_and_marked() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    // More than are sent before the broker is asked whether it has seen them.
    publish(&mesh, "task.a", 0..600).await;
    let odd = Event::new("task.a", serde_json::json!({"n": 600})).with_id("50%\"");
    mesh.events().publish(odd).await.expect("stored");
    let may = plane.issue("ops", &["replay:events/*"]).await;
    let peer = plane.enter("ops", Role::Caller, &["replay:events/*"]).await;
    let mut heard = peer.subscribe(AGAIN, None).await;
    let words = [
        "replay",
        "--type",
        "task.*",
        "--to-subject",
        AGAIN,
        "-o",
        "json",
    ];
    let output = typed(&plane, &may.token, &words).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(
        (&summary["events"], &summary["dryRun"]),
        (&601.into(), &false.into())
    );
    for (n, kept) in stored(&plane, "WEFT_TASKS").await.iter().enumerate() {
        let message = timeout(PATIENCE, heard.next()).await.expect("in time");
        let message = message.expect("connected");
        let body: Value = serde_json::from_slice(&message.payload).expect("JSON");
        assert_eq!(body, kept.event);
        let headers = message.headers.expect("headers");
        let value = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
        assert_eq!(value("Weft-Replay"), Some(format!("WEFT_TASKS:{}", n + 1)));
        for name in ["ce-id", "ce-source", "ce-type", "ce-time", "ce-specversion"] {
            let own = value(name).expect(name);
            assert!(
                kept.headers.contains(&format!("{name}: {own}\r\n")),
                "{own}"
            );
        }
        assert_eq!(value("Nats-Msg-Id"), None);
    }
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_refuses_is_told() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    publish(&mesh, "task.a", 0..3).await;
    let may = plane.issue("ops", &["replay:events/*"]).await;
    for (to, status, word) in [
        (AGAIN, 0, ""),
        // The managed broker knows Weft's subjects alone.
        (
            "orders.again",
            3,
            "does not let this token publish to `orders.again`",
        ),
        ("weft.v1.dlv.root.again", 5, "weft.v1.dlv.ops."),
        ("weft.v1.evt.ops.task.a", 5, "Weft's own"),
        ("$JS.API.INFO", 5, "the broker's own"),
        ("weft.v1.dlv.ops.*", 5, "wildcard"),
    ] {
        let words = ["replay", "--type", "task.*", "--to-subject", to];
        let output = typed(&plane, &may.token, &words).output().expect("it runs");
        assert_eq!(
            output.status.code(),
            Some(status),
            "{to}: {}",
            said(&output)
        );
        assert!(said(&output).contains(word), "{to}: {}", said(&output));
    }
    let dry = ["replay", "--to-subject", "orders.again", "--dry-run"];
    let output = typed(&plane, &may.token, &dry).output().expect("it runs");
    assert_eq!(
        output.status.code(),
        Some(0),
        "it delivers nothing: {}",
        said(&output)
    );
    mesh.close().await;
}

/// More than the control plane is told at once, from the command line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_one_durable_alone_from_the_command_line() {
    const EVENTS: usize = 300;
    let plane = Plane::start().await;
    let issued = plane.issue("root", &["*"]).await;
    let mesh = join(&plane, &issued.token).await.expect("let in");
    publish(&mesh, "task.a", 0..EVENTS).await;
    publish(&mesh, "task.b", 0..1).await;
    let subscribe = async |name: &str| {
        let events = mesh.events().subscribe("task.*").durable(name);
        events.start().await.expect("opened")
    };
    let (mut billing, mut other) = (subscribe("billing").await, subscribe("other").await);
    let replay = |more: &[&str]| {
        let words = ["replay", "--type", "task.a", "-o", "json"];
        let words = [&words, more].concat();
        let output = typed(&plane, &issued.token, &words).output();
        output.expect("it runs")
    };
    let dry = replay(&["--to", "billing", "--dry-run"]);
    let driven = replay(&["--to", "billing"]);
    for output in [&dry, &driven] {
        assert_eq!(output.status.code(), Some(0), "{}", said(output));
        let summary: Value = serde_json::from_slice(&output.stdout).expect("one object");
        assert_eq!(summary["events"], EVENTS, "{summary}");
    }
    let mut ids = HashSet::new();
    for _ in 0..EVENTS {
        let next = timeout(PATIENCE, billing.next()).await.expect("in time");
        let delivery = next.expect("it goes on");
        assert!(delivery.place.is_replay, "{:?}", delivery.place);
        ids.insert(delivery.event.id.clone());
        delivery.ack().await.expect("known");
    }
    assert_eq!(ids, HashSet::from_iter(named("task.a", 0..EVENTS)));
    // What comes now comes to both; had more been delivered, that would come first.
    publish(&mesh, "task.b", 1..2).await;
    for events in [&mut billing, &mut other] {
        let next = timeout(PATIENCE, events.next()).await.expect("in time");
        let delivery = next.expect("it goes on");
        assert_eq!(
            (delivery.event.id.as_str(), delivery.place.is_replay),
            ("task.b-1", false)
        );
        delivery.ack().await.expect("known");
    }
    let nobody = replay(&["--to", "nobody"]);
    assert_ne!(nobody.status.code(), Some(0));
    assert!(
        said(&nobody).contains("there is no durable"),
        "{}",
        said(&nobody)
    );
    mesh.close().await;
}
