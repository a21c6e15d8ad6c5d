//! Publishing: what is acknowledged is stored, once, in order; what is refused says why.

use futures_util::future::join_all;
use serde_json::json;
use weftbus::{
    access::Role,
    error::{Kind, case},
    event::{BYTES_MAX, Event, EventKey},
    name::Identity,
};

use super::stored;
use crate::{
    control::{join, kind_of, root},
    plane::Plane,
};

/// What a message has that was stored together with others.
const BATCH: &str = "Nats-Batch-Id";

fn task(n: usize) -> Event {
    let data = json!({"taskId": format!("t-{n}"), "title": "T"});
    Event::new("task.created", data).with_id(format!("e-{n}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_is_stored_in_order() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    let events = mesh.events();
    let mut receipts = Vec::new();
    for n in 0..1000 {
        receipts.push(events.begin(task(n)).await.expect("taken"));
    }
    let published = join_all(receipts).await;
    for (n, published) in published.into_iter().enumerate() {
        let published = published.expect("stored");
        let place = (published.stream.as_str(), published.sequence);
        assert_eq!(place, ("WEFT_TASKS", n as u64 + 1));
        assert_eq!(
            (published.id, published.duplicate),
            (format!("e-{n}"), false)
        );
    }
    let stored = stored(&plane, "WEFT_TASKS").await;
    assert_eq!(stored.len(), 1000);
    for (n, one) in stored.iter().enumerate() {
        assert_eq!(one.subject, "weft.v1.evt.root.task.created");
        assert_eq!(one.event["id"], format!("e-{n}"));
        assert_eq!(one.event["source"], "root");
    }
    let together = stored.iter().filter(|one| one.headers.contains(BATCH));
    let together = together.count();
    assert!(
        together >= 900,
        "{together} of 1000 were stored together with others"
    );
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_costs_nobody_else() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    let events = mesh.events();
    let first = events.publish(task(7)).await.expect("stored");
    assert!(!first.duplicate);
    // Together with others, in one commit, and twice in it.
    let mut receipts = Vec::new();
    for n in [0, 1, 7, 2, 7, 3] {
        receipts.push(events.begin(task(n)).await.expect("taken"));
    }
    let published = join_all(receipts).await;
    let published: Vec<_> = published
        .into_iter()
        .map(|published| published.expect("stored"))
        .map(|published| (published.id, published.duplicate, published.sequence))
        .collect();
    let new = |n: usize, at| (format!("e-{n}"), false, at);
    let old = (String::from("e-7"), true, 1);
    assert_eq!(
        published,
        [new(0, 2), new(1, 3), old.clone(), new(2, 4), old, new(3, 5)]
    );
    assert_eq!(stored(&plane, "WEFT_TASKS").await.len(), 5);
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_event_is_refused_and_its_twin_passes() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    let events = mesh.events();
    let good = || Event::new("task.completed", json!({"taskId": "t"}));
    events.publish(good()).await.expect("the twin");

    let mut forged = good();
    forged.source = Some(Identity::new("victim").expect("a name"));
    let refused = events.publish(forged).await;
    assert_eq!(kind_of(refused).0, Kind::AccessDenied);

    let wildcard = Event::new("task.*", json!({}));
    assert_eq!(
        kind_of(events.publish(wildcard).await).0,
        Kind::InvalidParams
    );

    let undeclared = Event::new("order.placed", json!({}));
    let unknown = (Kind::InvalidParams, case::DOMAIN_UNKNOWN.to_owned());
    assert_eq!(kind_of(events.publish(undeclared).await), unknown);

    let misfit = Event::new("task.completed", json!({"taskId": 5}));
    let error = events.publish(misfit).await.expect_err("refused");
    assert_eq!(error.kind(), Kind::InvalidParams);
    assert!(error.message().contains("`data.taskId`"), "{error}");

    let large = Event::new("task.other", json!("x".repeat(2_000_000)));
    let too_large = (Kind::InvalidRequest, case::REQUEST_TOO_LARGE.to_owned());
    assert_eq!(kind_of(events.publish(large).await), too_large);
    let twin = Event::new("task.other", json!("x".repeat(BYTES_MAX - 512)));
    events
        .publish(twin)
        .await
        .expect("the largest there may be");

    assert_eq!(stored(&plane, "WEFT_TASKS").await.len(), 2);
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_lets_nobody_publish_beyond_his_permission() {
    let plane = Plane::start().await;
    let issued = plane.issue("alice", &["publish:events/alice/task.*"]).await;
    let mesh = join(&plane, &issued.token).await.expect("let in");
    mesh.events().publish(task(1)).await.expect("permitted");
    let other = Event::new("swarm.other", json!({}));
    let refused = mesh.events().publish(other).await;
    assert_eq!(kind_of(refused).0, Kind::AccessDenied);
    mesh.close().await;
    let peer = plane
        .enter("mallory", Role::Caller, &["publish:events/mallory/task.*"])
        .await;
    peer.cannot_publish("weft.v1.evt.alice.task.created").await;
    peer.publish("weft.v1.evt.mallory.task.created", None, "{}")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_somebody_used_beforehand_keeps_no_event_out() {
    let plane = Plane::start().await;
    let victim = root(&plane).await;
    let issued = plane.issue("mallory", &["publish:events/mallory/*"]).await;
    let mallory = join(&plane, &issued.token).await.expect("let in");
    let same = task(1);
    mallory
        .events()
        .publish(same.clone())
        .await
        .expect("stored");
    let published = victim.events().publish(same).await.expect("stored");
    assert!(
        !published.duplicate,
        "the same id of another source is another event"
    );
    // What only the victim can make: his secret is his alone, and the same each time.
    let derived = |who| EventKey::derived(plane.secrets.signing().seed().as_bytes(), &who);
    let name = |name| Identity::new(name).expect("a name");
    assert_ne!(derived(name("root")), derived(name("mallory")));
    victim.close().await;
    mallory.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_open_batches_keep_nobody_out() {
    let plane = Plane::start().await;
    let peer = plane
        .enter("mallory", Role::Caller, &["publish:events/mallory/*"])
        .await;
    for n in 0..60 {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Batch-Id", format!("b{n}"));
        headers.insert("Nats-Batch-Sequence", "1");
        let to = "weft.v1.evt.mallory.task.created";
        let sent = peer.client.publish_with_headers(to, headers, "{}".into());
        sent.await.expect("published");
    }
    peer.client.flush().await.expect("flushed");
    let mesh = root(&plane).await;
    let events = mesh.events();
    let mut receipts = Vec::new();
    for n in 0..100 {
        receipts.push(events.begin(task(n)).await.expect("taken"));
    }
    for (n, published) in join_all(receipts).await.into_iter().enumerate() {
        assert_eq!(published.expect("stored").sequence, n as u64 + 1);
    }
    let stored = stored(&plane, "WEFT_TASKS").await;
    let alone = stored.iter().filter(|one| !one.headers.contains(BATCH));
    assert_eq!(
        alone.count(),
        100,
        "the stream was closed to batches meanwhile"
    );
    mesh.close().await;
}
