//! Replays to a subject: each body as it is stored, marked; what the broker refuses is told.

use futures_util::StreamExt as _;
use tokio::time::timeout;
use weftbus::{access::Role, event::Event};

use super::{said, stored, tail::publish, typed};
use crate::{control::root, plane::Plane, stage::PATIENCE};

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
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(
        (&summary["events"], &summary["dryRun"]),
        (&601.into(), &false.into())
    );
    for (n, kept) in stored(&plane, "WEFT_TASKS").await.iter().enumerate() {
        let message = timeout(PATIENCE, heard.next()).await.expect("in time");
        let message = message.expect("connected");
        let body: serde_json::Value = serde_json::from_slice(&message.payload).expect("JSON");
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
