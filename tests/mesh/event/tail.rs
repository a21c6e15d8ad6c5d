//! Following: history and news without a gap, as far as one may see them.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use weftbus::{
    error::Kind,
    event::{Event, From, Wish},
    mesh::{Begin, Mesh, Tail, Told},
    name::Identity,
};

use crate::{
    control::{join, kind_of, root},
    plane::Plane,
    stage::PATIENCE,
};

pub(super) fn wish(types: &[&str]) -> Wish {
    Wish {
        types: types.iter().map(|text| (*text).to_owned()).collect(),
        ..Wish::default()
    }
}

pub(super) fn from(from: From) -> Vec<Begin> {
    vec![Begin { stream: None, from }]
}

pub(super) async fn publish(mesh: &Mesh, kind: &str, ids: std::ops::Range<usize>) {
    let events = mesh.events();
    let mut receipts = Vec::new();
    for n in ids {
        let event = Event::new(kind, json!({"n": n})).with_id(format!("{kind}-{n}"));
        receipts.push(events.begin(event).await.expect("taken"));
    }
    for receipt in receipts {
        receipt.await.expect("stored");
    }
}

/// The ids of the next events.
pub(super) async fn ids(tail: &mut Tail, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < count {
        match timeout(PATIENCE, tail.next())
            .await
            .expect("in time")
            .expect("goes on")
        {
            Told::Event(stored) => ids.push(stored.event.id),
            other => panic!("{other:?}"),
        }
    }
    ids
}

pub(super) fn named(kind: &str, ids: std::ops::Range<usize>) -> Vec<String> {
    ids.map(|n| format!("{kind}-{n}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_and_news_come_without_a_gap_between_them() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    // More than a reader's window: the stream has to be told to go on.
    publish(&mesh, "task.x", 0..20_000).await;
    let begin = from(From::Start);
    let reading = async {
        let opened = mesh.events().tail(wish(&["task.*"]), &begin).await;
        let mut tail = opened.expect("opened");
        let heard = ids(&mut tail, 30_000).await;
        (tail, heard)
    };
    // The news are published while the history is read.
    let writing = publish(&mesh, "task.x", 20_000..30_000);
    let ((mut tail, heard), ()) = tokio::join!(reading, writing);
    assert_eq!(heard, named("task.x", 0..30_000));
    assert!(tail.is_live());
    publish(&mesh, "task.x", 30_000..30_001).await;
    assert_eq!(ids(&mut tail, 1).await, named("task.x", 30_000..30_001));
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_start_and_each_filter_gives_what_it_names() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    publish(&mesh, "task.a", 0..10).await;
    publish(&mesh, "swarm.b", 0..10).await;
    publish(&mesh, "task.ab", 0..10).await;
    let events = mesh.events();
    let read = async |types: &[&str], begin: &[Begin], count| {
        let mut tail = events.tail(wish(types), begin).await.expect("opened");
        let heard = ids(&mut tail, count).await;
        assert!(tail.is_live(), "{types:?}: there is more");
        heard
    };
    let all = [
        named("task.a", 0..10),
        named("swarm.b", 0..10),
        named("task.ab", 0..10),
    ]
    .concat();
    assert_eq!(
        read(&[], &from(From::Start), 30).await,
        all,
        "over streams by time"
    );
    assert_eq!(
        read(&["task.a"], &from(From::Start), 10).await,
        named("task.a", 0..10)
    );
    assert_eq!(
        read(&["task.ab*"], &from(From::Start), 10).await,
        named("task.ab", 0..10)
    );
    let both = [named("task.a", 0..10), named("task.ab", 0..10)].concat();
    assert_eq!(
        read(&["task.*", "task.a"], &from(From::Start), 20).await,
        both
    );
    assert_eq!(
        read(&["task.*"], &from(From::Sequence(6)), 15).await,
        both[5..]
    );
    assert!(read(&["task.*"], &from(From::Now), 0).await.is_empty());
    let other = Wish {
        source: Identity::new("bob").ok(),
        ..wish(&["task.*"])
    };
    let tail = events
        .tail(other, &from(From::Start))
        .await
        .expect("opened");
    assert!(tail.is_live(), "bob published nothing");
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_what_he_may_not() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    publish(&mesh, "task.a", 0..1).await;
    let issued = plane.issue("alice", &["subscribe:events/*/task.*"]).await;
    let alice = join(&plane, &issued.token).await.expect("let in");
    let begin = from(From::Start);
    let denied = alice.events().tail(wish(&["swarm.*"]), &begin).await;
    assert_eq!(kind_of(denied).0, Kind::AccessDenied);
    let denied = alice.events().tail(wish(&[]), &begin).await;
    assert_eq!(kind_of(denied).0, Kind::AccessDenied);
    let mut tail = alice
        .events()
        .tail(wish(&["task.*"]), &begin)
        .await
        .expect("permitted");
    assert_eq!(ids(&mut tail, 1).await, named("task.a", 0..1));
    let wrong = alice.events().tail(wish(&["task"]), &begin).await;
    assert_eq!(kind_of(wrong).0, Kind::InvalidParams);
    alice.close().await;
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_and_what_is_no_event_is_told() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    publish(&mesh, "task.a", 0..10).await;
    let purge = r#"{"seq":6}"#;
    let purged = plane
        .keeper
        .ask("$JS.API.STREAM.PURGE.WEFT_TASKS", purge)
        .await;
    purged.expect("purged");
    // Acknowledged: a flush is the socket's, and what another connection sends might overtake it.
    let raw = plane.keeper.ask("weft.v1.evt.root.task.a", "no event");
    raw.await.expect("stored");
    publish(&mesh, "task.a", 10..11).await;
    let begin = from(From::Sequence(3));
    let mut tail = mesh
        .events()
        .tail(wish(&["task.*"]), &begin)
        .await
        .expect("opened");
    let mut told = Vec::new();
    for _ in 0..8 {
        told.push(
            timeout(PATIENCE, tail.next())
                .await
                .expect("in time")
                .expect("goes on"),
        );
    }
    assert!(
        matches!(
            &told[0],
            Told::Gone {
                numbers: (3, 5),
                ..
            }
        ),
        "{:?}",
        told[0]
    );
    let unreadable = told.iter().filter_map(|told| match told {
        Told::Unreadable { cursor, .. } => Some(cursor.as_str()),
        _ => None,
    });
    assert_eq!(unreadable.collect::<Vec<_>>(), ["WEFT_TASKS:11"]);
    let events = told.iter().filter(|told| matches!(told, Told::Event(_)));
    assert_eq!(events.count(), 6);
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_went_is_forgotten_by_the_stream() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    let tail = mesh
        .events()
        .tail(wish(&["task.*"]), &[])
        .await
        .expect("opened");
    let consumers = async || {
        let asked = plane
            .keeper
            .ask("$JS.API.CONSUMER.NAMES.WEFT_TASKS", "")
            .await;
        let names: serde_json::Value =
            serde_json::from_slice(&asked.expect("the broker").payload).expect("JSON");
        names["total"].as_u64().expect("a number")
    };
    assert_eq!(consumers().await, 1);
    drop(tail);
    let gone = async {
        while consumers().await > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("in time");
    mesh.close().await;
}
