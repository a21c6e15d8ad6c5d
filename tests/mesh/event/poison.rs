//! Events that end the connection of whoever is sent them: nobody dies of one for good, and it is
//! told.

use std::net::TcpStream;

use tokio::time::timeout;
use weftbus::{
    event::From,
    mesh::{Mesh, Tail, Told},
};

use super::tail::{from, ids, named, publish, wish};
use crate::{
    control::{join, root},
    plane::Plane,
    poison::{BARE_CR, poison},
    stage::PATIENCE,
};

/// Somebody who may publish, and does so by hand.
struct Hand {
    broker: String,
    token: String,
}

impl Hand {
    async fn of(plane: &Plane) -> Self {
        let issued = plane.issue("mallory", &["publish:events/mallory/*"]).await;
        Self {
            broker: plane.url.trim_start_matches("nats://").to_owned(),
            token: issued.token,
        }
    }

    fn poisons(&self, subject: &str, headers: &str) {
        let socket = TcpStream::connect(&self.broker).expect("the broker runs");
        poison(socket, Some(&self.token), (subject, ""), headers);
    }
}

const SUBJECT: &str = "weft.v1.evt.mallory.task.a";

/// What is told next: the id of an event, or the place of what can't be read.
async fn told(tail: &mut Tail, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        let next = timeout(PATIENCE, tail.next()).await.expect("in time");
        all.push(match next.expect("goes on") {
            Told::Event(stored) => stored.event.id,
            Told::Unreadable { cursor, .. } => cursor,
            other => panic!("{other:?}"),
        });
    }
    all
}

fn connection(mesh: &Mesh) -> u64 {
    mesh.link().client().server_info().client_id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_goes_on_behind_poison_and_calls_hear_nothing_of_it() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    let calls = connection(&mesh);
    let hand = Hand::of(&plane).await;
    publish(&mesh, "task.a", 0..5).await;
    hand.poisons(SUBJECT, BARE_CR);
    publish(&mesh, "task.a", 5..10).await;
    let history = [
        named("task.a", 0..5),
        vec!["WEFT_TASKS:6".to_owned()],
        named("task.a", 5..10),
    ];
    // It is the first, in the midst, and the first of a time.
    let events = mesh.events();
    let mut begins = vec![(from(From::Start), 0), (from(From::Sequence(6)), 5)];
    let mut tail = events.tail(wish(&[]), &begins[0].0).await.expect("opened");
    assert_eq!(told(&mut tail, 11).await, history.concat());
    let mut first = events.tail(wish(&["task.a"]), &begins[1].0).await;
    let first = first.as_mut().expect("opened");
    assert_eq!(told(first, 6).await, history.concat()[5..]);
    let (stored, _) = plane.stored_at("WEFT_TASKS", 6).await;
    begins.push((from(From::Time(stored)), 5));
    let mut timed = events.tail(wish(&["task.a"]), &begins[2].0).await;
    let timed = timed.as_mut().expect("opened");
    let heard = told(timed, 6).await;
    // The broker's times are finer than ours: what was stored in the same millisecond comes too.
    let poisoned = heard.iter().position(|one| one == "WEFT_TASKS:6");
    assert!(poisoned.is_some(), "{heard:?}");
    // And it comes while they follow.
    hand.poisons(SUBJECT, BARE_CR);
    publish(&mesh, "task.a", 10..12).await;
    let news = [vec!["WEFT_TASKS:12".to_owned()], named("task.a", 10..12)].concat();
    assert_eq!(told(&mut tail, 3).await, news);
    assert_eq!(told(first, 3).await, news);
    assert_eq!(
        connection(&mesh),
        calls,
        "calls have the connection that they had"
    );
    // The twin: who may not see it is not told of it.
    let issued = plane.issue("alice", &["subscribe:events/root/*"]).await;
    let alice = join(&plane, &issued.token).await.expect("let in");
    let mut own = wish(&[]);
    own.source = Some(mesh.identity().clone());
    let mut tail = alice
        .events()
        .tail(own, &begins[0].0)
        .await
        .expect("permitted");
    assert_eq!(ids(&mut tail, 12).await, named("task.a", 0..12));
    alice.close().await;
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_poison_than_one_opening_passes_over() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    let hand = Hand::of(&plane).await;
    for _ in 0..70 {
        hand.poisons(SUBJECT, BARE_CR);
    }
    publish(&mesh, "task.a", 0..1).await;
    let events = mesh.events();
    let mut tail = events
        .tail(wish(&["task.*"]), &from(From::Start))
        .await
        .expect("opened");
    let places = (1..=70).map(|n| format!("WEFT_TASKS:{n}"));
    let expected: Vec<_> = places.chain(named("task.a", 0..1)).collect();
    assert_eq!(told(&mut tail, 71).await, expected);
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_end_a_connection_is_passed_over() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    let hand = Hand::of(&plane).await;
    for (subject, headers) in [
        (SUBJECT, "NATS/1.0\r\nX: a\nb\r\n\r\n"),
        (SUBJECT, "NATS/1.0\r\nno name\r\n\r\n"),
        (SUBJECT, "NATS/1.0\r\nX Y: z\r\n\r\n"),
        (SUBJECT, "HTTP/1.1\r\n\r\n"),
        // A space of Unicode's own: the library sees one word more.
        ("weft.v1.evt.mallory.task.a\u{2003}b", "NATS/1.0\r\n\r\n"),
    ] {
        hand.poisons(subject, headers);
    }
    publish(&mesh, "task.a", 0..1).await;
    let mut tail = mesh
        .events()
        .tail(wish(&["task.*"]), &from(From::Start))
        .await
        .expect("opened");
    let places = (1..=5).map(|n| format!("WEFT_TASKS:{n}"));
    let expected: Vec<_> = places.chain(named("task.a", 0..1)).collect();
    assert_eq!(told(&mut tail, 6).await, expected);
    // The twin: odd, and read.
    hand.poisons(SUBJECT, "NATS/1.0\r\nX: a\r\n b\r\n\r\n");
    publish(&mesh, "task.a", 1..2).await;
    let next = timeout(PATIENCE, tail.next()).await.expect("in time");
    let unreadable = matches!(next, Ok(Told::Unreadable { why, .. }) if why.contains("no event"));
    assert!(unreadable, "its body is, and that is what is said");
    assert_eq!(ids(&mut tail, 1).await, named("task.a", 1..2));
    mesh.close().await;
}
