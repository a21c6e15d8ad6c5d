//! Durable subscriptions on a real broker: handed out, answered, tried again, given up.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::timeout;
use weftbus::{
    access::Role,
    error::Kind,
    event::{Event, From, LetterPage, LettersDone},
    mesh::{Delivery, Mesh, Place, Subscribe, Subscription},
    spawn::{Failure, Tasks},
};

use crate::{
    control::{join, kind_of, root},
    plane::Plane,
    process::until,
    stage::PATIENCE,
};

const SOON: Duration = Duration::from_millis(10);

pub(super) async fn publish(mesh: &Mesh, kind: &str, ids: std::ops::Range<usize>) {
    for n in ids {
        let event = Event::new(kind, json!({"n": n})).with_id(format!("{kind}-{n}"));
        mesh.events().publish(event).await.expect("stored");
    }
}

pub(super) fn billing(mesh: &Mesh) -> Subscribe {
    let events = mesh.events().subscribe("task.*").durable("billing");
    events.from(From::Start).backoff(&[SOON])
}

pub(super) async fn next(events: &mut Subscription) -> Delivery {
    let next = timeout(PATIENCE, events.next()).await;
    next.expect("in time").expect("it goes on")
}

pub(super) async fn letters(mesh: &Mesh) -> LetterPage {
    let letters = mesh.control("dlq_list", json!({})).await;
    letters.expect("a page")
}

/// So many letters, once there are.
pub(super) async fn so_many_letters(mesh: &Mesh, count: usize) -> LetterPage {
    let read = async {
        loop {
            let page = letters(mesh).await;
            if page.letters.len() >= count {
                return page;
            }
        }
    };
    let page = timeout(PATIENCE, read).await.expect("in time");
    assert_eq!(page.letters.len(), count);
    page
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durable_goes_on_where_it_was() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    publish(&mesh, "task.x", 0..6).await;
    publish(&mesh, "pipeline.x", 0..2).await;
    let one = billing(&mesh).wait(Duration::from_secs(1)).at_once(1);
    let mut events = one.start().await.expect("opened");
    assert_eq!(events.consumer(), "root_billing");
    for n in 0..3 {
        let delivery = next(&mut events).await;
        assert_eq!(delivery.event.id, format!("task.x-{n}"));
        assert_eq!(
            (delivery.place.attempt, delivery.place.is_replay),
            (1, false)
        );
        assert_eq!(delivery.place.cursor(), format!("WEFT_TASKS:{}", n + 1));
        delivery.ack().await.expect("acknowledged");
    }
    events.stop().await;
    // Where a durable begins is said once.
    let mut events = billing(&mesh)
        .from(From::Now)
        .start()
        .await
        .expect("opened");
    let mut rest = Vec::new();
    for _ in 3..6 {
        let delivery = next(&mut events).await;
        rest.push(delivery.event.id.clone());
        delivery.ack().await.expect("acknowledged");
    }
    rest.sort();
    assert_eq!(rest, ["task.x-3", "task.x-4", "task.x-5"]);
    let page: Value = mesh
        .control("consumer_list", json!({}))
        .await
        .expect("a page");
    let tasks = &page["consumers"][1];
    assert_eq!(tasks["stream"], "WEFT_TASKS", "{page}");
    assert_eq!(
        (&tasks["pending"], &tasks["unanswered"]),
        (&json!(0), &json!(0)),
        "{page}"
    );
    events.stop().await;
    let removed: Value = mesh
        .control("consumer_remove", json!({"name": "billing"}))
        .await
        .expect("removed");
    assert_eq!(removed["streams"], json!(["WEFT_REPLAYS", "WEFT_TASKS"]));
    let gone = mesh
        .control::<Value>("consumer_remove", json!({"name": "billing"}))
        .await;
    assert_eq!(kind_of(gone).0, Kind::ResourceNotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_processes_of_an_identity_share_a_durable() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    let seen: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let (tasks, mut running) = (Tasks::new(), Vec::new());
    for _ in 0..2 {
        let events = billing(&mesh).at_once(1).start().await.expect("opened");
        let seen = Arc::clone(&seen);
        let own = Arc::new(Mutex::new(0));
        let count = Arc::clone(&own);
        let work = events.each(move |event, _: Place| {
            *seen.lock().expect("fine").entry(event.id).or_default() += 1;
            *count.lock().expect("fine") += 1;
            async { Ok::<_, String>(()) }
        });
        running.push(own);
        tasks.spawn("each", Failure::Logged, async move { drop(work.await) });
    }
    publish(&mesh, "task.x", 0..200).await;
    until(PATIENCE, "all came", || {
        seen.lock().expect("fine").len() == 200
    })
    .await;
    assert!(seen.lock().expect("fine").values().all(|times| *times == 1));
    for own in running {
        assert!(*own.lock().expect("fine") > 0, "each had its share");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_works_keeps_his_event_and_who_dies_of_it_loses_it() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    publish(&mesh, "task.x", 0..1).await;
    let slow = billing(&mesh).tries(2).wait(Duration::from_secs(1));
    let mut events = slow.clone().start().await.expect("opened");
    let delivery = next(&mut events).await;
    // Three times as long as the broker waits for a word.
    let other = timeout(Duration::from_secs(3), events.next()).await;
    assert!(other.is_err(), "it is with somebody: {other:?}");
    drop(delivery);
    // Whoever drops one says that it may come again at once; that was its last try.
    let delivery = next(&mut events).await;
    assert_eq!(delivery.place.attempt, 2);
    drop(delivery);
    let page = so_many_letters(&mesh, 1).await;
    let says = &page.letters[0].says;
    assert_eq!((says.seq, says.attempts), (1, 2));
    assert!(says.reason.starts_with("nobody answered it"), "{says:?}");
    // What one gives up at once is tried no more.
    publish(&mesh, "task.x", 1..2).await;
    let delivery = next(&mut events).await;
    delivery.give_up("not mine").await.expect("a letter");
    assert_eq!(letters(&mesh).await.letters[1].says.reason, "not mine");
    events.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_or_answers_for_another() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    let mut events = billing(&mesh).start().await.expect("opened");
    publish(&mesh, "task.x", 0..1).await;
    next(&mut events)
        .await
        .give_up("secret")
        .await
        .expect("a letter");
    let permissions = ["subscribe:events/*/task.*"];
    let issued = plane.issue("alice", &permissions).await;
    let alice = join(&plane, &issued.token).await.expect("let in");
    let own = alice.events().subscribe("task.*").durable("own");
    let own = own.start().await.expect("the twin: her own");
    own.stop().await;
    let wider = alice
        .events()
        .subscribe("research.*")
        .durable("own")
        .start()
        .await;
    assert_eq!(kind_of(wider).0, Kind::AccessDenied);
    assert!(
        letters(&alice).await.letters.is_empty(),
        "another's are not hers"
    );
    let letter = letters(&mesh).await.letters[0].letter;
    let shown = alice
        .control::<Value>("dlq_show", json!({"letter": letter}))
        .await;
    assert_eq!(kind_of(shown).0, Kind::AccessDenied);
    let done: LettersDone = alice
        .control("dlq_redrive", json!({"letters": [letter]}))
        .await
        .expect("an answer");
    assert_eq!((done.done.len(), done.failed.len()), (0, 1));
    // The broker stops who does not ask.
    let raw = plane.enter("alice", Role::Caller, &permissions).await;
    for own in [
        "weft.v1.js.CONSUMER.INFO.WEFT_TASKS.alice_own",
        "$JS.ACK.WEFT_TASKS.alice_own.1.1.1.1.0",
    ] {
        raw.publish(own, None, "").await;
    }
    raw.is_content();
    for other in [
        "weft.v1.js.CONSUMER.MSG.NEXT.WEFT_TASKS.root_billing",
        "weft.v1.js.CONSUMER.INFO.WEFT_TASKS.root_billing",
        "$JS.ACK.WEFT_TASKS.root_billing.1.1.1.1.0",
        "weft.v1.dlq.WEFT_TASKS.root_billing",
        "weft.v1.rpl.root_billing.root.task.x",
    ] {
        raw.cannot_publish(other).await;
    }
    // Who lost the permission gets no line for his durable any more.
    let less = plane
        .enter("alice", Role::Caller, &["subscribe:events/*/research.*"])
        .await;
    less.cannot_publish("weft.v1.js.CONSUMER.MSG.NEXT.WEFT_TASKS.alice_own")
        .await;
}

/// By type, by source and by what it is part of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_wished_for_comes() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    let issued = plane.issue("alice", &["publish:events/*"]).await;
    let alice = join(&plane, &issued.token).await.expect("let in");
    let source = alice.identity().clone();
    let wished = mesh.events().subscribe("task.*").or("swarm.x");
    let wished = wished.source(source).correlated("report-7").durable("mine");
    let mut events = wished.start().await.expect("opened");
    for (n, (by, kind, part)) in [
        (&mesh, "task.x", "report-7"),
        (&alice, "task.x", "report-8"),
        (&alice, "swarm.y", "report-7"),
        (&alice, "task.x", "report-7"),
    ]
    .into_iter()
    .enumerate()
    {
        let event = Event::new(kind, json!({"n": n})).correlated(part);
        by.events().publish(event).await.expect("stored");
    }
    let delivery = next(&mut events).await;
    assert_eq!(delivery.event.data::<Value>().expect("JSON")["n"], 3);
    delivery.ack().await.expect("acknowledged");
    // What is not wished for is answered too, and waits for nobody.
    let listed = async {
        loop {
            let listed: Value = mesh
                .control("consumer_list", json!({}))
                .await
                .expect("told");
            let own = &listed["consumers"][0];
            if own["pending"] == 0 && own["unanswered"] == 0 {
                return;
            }
        }
    };
    timeout(PATIENCE, listed).await.expect("in time");
    alice.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_durable_can_not_be_is_said() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    let kind = async |subscribe: Subscribe| kind_of(subscribe.start().await).0;
    let of = |name: &str| mesh.events().subscribe("task.*").durable(name);
    assert_eq!(kind(of("A b")).await, Kind::InvalidParams);
    assert_eq!(kind(of("x").tries(0)).await, Kind::InvalidParams);
    assert_eq!(kind(of("x").in_flight(100_000)).await, Kind::InvalidParams);
    assert_eq!(
        kind(mesh.events().subscribe("nothing.*").durable("x")).await,
        Kind::InvalidParams
    );
    let correlated = |id: &str| kind(of("x").correlated(id));
    assert_eq!(correlated("a;b").await, Kind::InvalidParams);
    of("x")
        .start()
        .await
        .expect("the twin of them all")
        .stop()
        .await;
    // It would lose its place in the stream of tasks.
    let other = mesh.events().subscribe("research.*").durable("x");
    assert_eq!(kind(other.clone()).await, Kind::InvalidParams);
    let both = other.or("task.*").start().await.expect("more it may read");
    both.stop().await;
    for n in 0..31 {
        let asked = json!({"name": format!("n-{n}"), "wish": {"types": ["task.*"]}});
        let opened: Value = mesh
            .control("consumer_open", asked)
            .await
            .expect("one more");
        assert_eq!(opened["consumer"], format!("root_n-{n}"));
    }
    assert_eq!(kind(of("n-31")).await, Kind::ServerOverloaded);
}
