//! Replays: they end where the stream ended when they began, whatever happens meanwhile; who may,
//! and what is told of what is no longer there.

use tokio::time::timeout;
use weftbus::{
    error::Kind,
    event::From,
    mesh::{Replay, Told},
};

use super::{
    lines, said,
    tail::{from, named, publish, wish},
    typed,
};
use crate::{
    control::{join, kind_of, root},
    plane::Plane,
    stage::PATIENCE,
};

/// The ids of all events up to the end.
async fn all(replay: &mut Replay) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(told) = timeout(PATIENCE, replay.next())
        .await
        .expect("in time")
        .expect("goes on")
    {
        match told {
            Told::Event(stored) => ids.push(stored.event.id),
            other => panic!("{other:?}"),
        }
    }
    ids
}

async fn purge(plane: &Plane, body: &str) {
    let subject = "$JS.API.STREAM.PURGE.WEFT_TASKS";
    let purged = plane.keeper.ask(subject, body).await.expect("purged");
    assert!(
        String::from_utf8_lossy(&purged.payload).contains(r#""success":true"#),
        "{purged:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_where_the_stream_ended_when_it_began() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    // More than a reader's window, so that most is sent after what is published meanwhile.
    publish(&mesh, "task.a", 0..20_000).await;
    publish(&mesh, "task.b", 0..3).await;
    let events = mesh.events();
    let open = async |types: &[&str]| {
        let opened = events.replay(wish(types), &[], None).await;
        opened.expect("opened")
    };
    let mut whole = open(&["task.*"]).await;
    let mut part = open(&["task.a"]).await;
    let mut none = open(&["task.none", "swarm.*"]).await;
    publish(&mesh, "task.a", 20_000..20_100).await;
    let before = [named("task.a", 0..20_000), named("task.b", 0..3)].concat();
    assert_eq!(all(&mut whole).await, before);
    assert_eq!(all(&mut part).await, named("task.a", 0..20_000));
    assert!(all(&mut none).await.is_empty());
    assert_eq!(
        all(&mut whole).await,
        Vec::<String>::new(),
        "it stays ended"
    );
    // Behind the end, before the beginning, and in a stream that keeps none of these.
    let behind = from(From::Sequence(1_000_000));
    let opened = events.replay(wish(&["task.*"]), &behind, None).await;
    assert!(all(&mut opened.expect("opened")).await.is_empty());
    let before = events.replay(wish(&[]), &[], Some(1)).await;
    assert!(all(&mut before.expect("opened")).await.is_empty());
    let mut elsewhere = from(From::Start);
    elsewhere[0].stream = Some("WEFT_SWARM".to_owned());
    let refused = events.replay(wish(&["task.*"]), &elsewhere, None).await;
    assert_eq!(kind_of(refused).0, Kind::InvalidParams);
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_though_what_was_to_come_is_taken_away() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    publish(&mesh, "task.a", 0..20_000).await;
    let opened = mesh.events().replay(wish(&["task.*"]), &[], None).await;
    let mut replay = opened.expect("opened");
    let first = timeout(PATIENCE, replay.next()).await.expect("in time");
    assert!(matches!(first, Ok(Some(Told::Event(_)))), "{first:?}");
    purge(&plane, "{}").await;
    let rest = async {
        let mut heard = 1;
        while let Some(told) = replay.next().await.expect("goes on") {
            heard += u64::from(matches!(told, Told::Event(_)));
        }
        heard
    };
    let heard = timeout(PATIENCE, rest).await.expect("it ends");
    assert!(heard < 20_000, "the purge came in time");
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_follow_may_not_replay_for_that() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    publish(&mesh, "task.a", 0..3).await;
    let follows = plane.issue("alice", &["subscribe:events/*/task.*"]).await;
    let replays = plane.issue("bob", &["replay:events/*/task.*"]).await;
    let typed = |token: &str, words: &[&str]| {
        let output = typed(&plane, token, words).output();
        output.expect("it runs")
    };
    let words = ["replay", "--type", "task.*", "-o", "jsonl"];
    let refused = typed(&follows.token, &words);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert!(said(&refused).contains("replay:events/*/task.*"));
    assert!(refused.stdout.is_empty());
    let replayed = typed(&replays.token, &words);
    assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
    assert_eq!(lines(&replayed).len(), 3);
    // And the other way round; and no further than he may.
    let tail = ["tail", "--type", "task.*", "--from-seq", "1", "-n", "1"];
    assert_eq!(typed(&replays.token, &tail).status.code(), Some(3));
    assert_eq!(typed(&follows.token, &tail).status.code(), Some(0));
    assert_eq!(typed(&replays.token, &["replay"]).status.code(), Some(3));
    // A permission that is lost while it runs is felt when it asks anew.
    let bob = join(&plane, &replays.token).await.expect("let in");
    let opened = bob.events().replay(wish(&["task.*"]), &[], None).await;
    assert_eq!(all(&mut opened.expect("opened")).await.len(), 3);
    bob.close().await;
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_or_unreadable_is_told_and_has_a_status() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    publish(&mesh, "task.a", 0..10).await;
    let may = plane.issue("ops", &["replay:events/*"]).await;
    let typed = |words: &[&str]| {
        let words = [&["replay", "--type", "task.*"], words].concat();
        let output = typed(&plane, &may.token, &words).output();
        output.expect("it runs")
    };
    assert_eq!(
        typed(&["--from-seq", "2"]).status.code(),
        Some(0),
        "the twin"
    );
    purge(&plane, r#"{"seq":6}"#).await;
    let gone = typed(&["--from-seq", "2", "-o", "jsonl"]);
    assert_eq!(gone.status.code(), Some(7), "{}", said(&gone));
    assert_eq!(lines(&gone).len(), 5);
    let told = said(&gone);
    assert!(
        told.contains("WEFT_TASKS: the events 2 to 5 are gone"),
        "{told}"
    );
    assert!(told.contains("5 events replayed, 4 are gone"), "{told}");
    assert_eq!(typed(&[]).status.code(), Some(0), "nobody asked for them");
    // Acknowledged: a flush is the socket's, and what another connection sends might overtake it.
    let raw = plane.keeper.ask("weft.v1.evt.root.task.a", "no event");
    raw.await.expect("stored");
    publish(&mesh, "task.a", 10..11).await;
    for more in [&[][..], &["--dry-run"]] {
        let unreadable = typed(more);
        assert_eq!(unreadable.status.code(), Some(7), "{}", said(&unreadable));
        let told = said(&unreadable);
        assert!(told.contains("WEFT_TASKS:11 is passed over"), "{told}");
        assert!(told.contains("6 events"), "{told}");
    }
    let table = typed(&["--after", "WEFT_TASKS:11"]);
    let line = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(
        line.contains("WEFT_TASKS:12  replayed  task.a  root"),
        "{line}"
    );
    let nowhere = typed(&["--after", "no-such-id"]);
    assert_eq!(nowhere.status.code(), Some(2), "{}", said(&nowhere));
    mesh.close().await;
}
