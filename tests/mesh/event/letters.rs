//! Dead letters and what is delivered once more, on a real broker.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use weftbus::{
    access::Role,
    error::Kind,
    event::{EventKey, Letter, LetterShown, LettersDone},
    mesh::Place,
    spawn::{Failure, Tasks},
};

use super::{
    durable::{billing, letters, next, publish, so_many_letters},
    lines, said,
};
use crate::{
    control::{join, kind_of, root},
    plane::Plane,
    process::{until, weft},
    stage::PATIENCE,
};

/// What handlers did, by event: the numbers of the tries.
type Tried = Arc<Mutex<BTreeMap<String, Vec<u32>>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_and_what_panics_disturbs_no_other_and_can_be_redriven() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    let (tried, healed) = (Tried::default(), Arc::new(Mutex::new(false)));
    let events = billing(&mesh).tries(3).start().await.expect("opened");
    let (log, well) = (Arc::clone(&tried), Arc::clone(&healed));
    let work = events.each(move |event, place: Place| {
        let mut log = log.lock().expect("fine");
        log.entry(event.id.clone()).or_default().push(place.attempt);
        let well = *well.lock().expect("fine");
        async move {
            match event.id.as_str() {
                "task.x-1" if !well => Err("no room in the ledger"),
                "task.x-2" if !well => panic!("on purpose"),
                _ => Ok(()),
            }
        }
    });
    Tasks::new().spawn("each", Failure::Logged, async move { drop(work.await) });
    publish(&mesh, "task.x", 0..6).await;
    let page = so_many_letters(&mesh, 2).await;
    until(PATIENCE, "the others came", || {
        tried.lock().expect("fine").len() == 6
    })
    .await;
    let log = tried.lock().expect("fine").clone();
    assert_eq!(
        (&log["task.x-1"], &log["task.x-2"]),
        (&vec![1, 2, 3], &vec![1, 2, 3])
    );
    assert!(
        [0, 3, 4, 5]
            .iter()
            .all(|n| log[&format!("task.x-{n}")] == [1]),
        "{log:?}"
    );
    let says: BTreeMap<u64, _> = page
        .letters
        .iter()
        .map(|entry| (entry.says.seq, entry))
        .collect();
    assert_eq!(
        (says[&2].says.attempts, says[&2].says.consumer.as_str()),
        (3, "root_billing")
    );
    assert_eq!(says[&2].says.reason, "no room in the ledger");
    assert_eq!(says[&3].says.reason, "the handler panicked");
    let shown = mesh
        .control("dlq_show", json!({"letter": says[&2].letter}))
        .await;
    let shown: LetterShown = shown.expect("shown");
    assert_eq!(shown.event.expect("it is there").id, "task.x-1");
    *healed.lock().expect("fine") = true;
    let all: Vec<u64> = page.letters.iter().map(|entry| entry.letter).collect();
    let done = mesh.control("dlq_redrive", json!({"letters": all})).await;
    let done: LettersDone = done.expect("redriven");
    assert_eq!((done.done.len(), done.failed.len()), (2, 0), "{done:?}");
    until(PATIENCE, "they came again", || {
        let log = tried.lock().expect("fine");
        log["task.x-1"].len() == 4 && log["task.x-2"].len() == 4
    })
    .await;
    assert_eq!(tried.lock().expect("fine")["task.x-1"], [1, 2, 3, 1]);
    assert!(letters(&mesh).await.letters.is_empty());
    let again: LettersDone = mesh
        .control("dlq_drop", json!({"letters": [all[0]]}))
        .await
        .expect("an answer");
    assert_eq!(again.failed.len(), 1, "it is gone: {again:?}");
}

/// Puts an event into its stream whose headers no client can read.
async fn poison(plane: &Plane, token: &str, subject: &str) {
    let mut socket = TcpStream::connect(plane.url.trim_start_matches("nats://"))
        .await
        .expect("the broker");
    let headers = "NATS/1.0\r\nX: a\rb\r\n\r\n";
    let (head, all) = (headers.len(), headers.len() + 2);
    let connect = json!({
        "verbose": false, "pedantic": false, "headers": true, "auth_token": token,
    });
    let said =
        format!("CONNECT {connect}\r\nHPUB {subject} {head} {all}\r\n{headers}{{}}\r\nPING\r\n");
    socket.write_all(said.as_bytes()).await.expect("written");
    let mut heard = String::new();
    while !heard.contains("PONG") {
        let mut some = [0; 4096];
        let count = socket.read(&mut some).await.expect("read");
        assert!(count > 0, "the broker hung up: {heard}");
        heard.push_str(&String::from_utf8_lossy(&some[..count]));
    }
    assert!(!heard.contains("-ERR"), "{heard}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_no_client_can_read_is_a_dead_letter_and_the_rest_goes_on() {
    let plane = Plane::start().await;
    let issued = plane.issue("root", &["*"]).await;
    let mesh = join(&plane, &issued.token).await.expect("let in");
    publish(&mesh, "task.x", 0..2).await;
    poison(&plane, &issued.token, "weft.v1.evt.root.task.x").await;
    publish(&mesh, "task.x", 2..4).await;
    let mut events = billing(&mesh)
        .wait(Duration::from_secs(1))
        .start()
        .await
        .expect("opened");
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 4 {
        let delivery = next(&mut events).await;
        seen.insert(delivery.event.id.clone());
        delivery.ack().await.expect("acknowledged");
    }
    let page = so_many_letters(&mesh, 1).await;
    assert_eq!(page.letters[0].says.seq, 3);
    assert!(page.letters[0].says.reason.contains("bare CR"), "{page:?}");
    // Calls never noticed.
    publish(&mesh, "task.x", 4..5).await;
    assert_eq!(next(&mut events).await.event.id, "task.x-4");
}

/// The letter is stored, and its writer dies before the event is given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dies_between_the_letter_and_giving_up_leaves_one_letter() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    publish(&mesh, "task.x", 0..1).await;
    let once = || billing(&mesh).tries(1).wait(Duration::from_secs(1));
    let mut first = once().start().await.expect("opened");
    let delivery = next(&mut first).await;

    // What `give_up` does first.
    let letter = Letter::new("WEFT_TASKS", 1, first.consumer(), 1, "no room");
    let seed = plane.secrets.signing().seed();
    let key = EventKey::read(&EventKey::derived(seed.as_bytes(), mesh.identity()));
    let mut headers = async_nats::HeaderMap::new();
    let id = key.expect("a key").message_id(&letter.key(None));
    headers.insert("Nats-Msg-Id", id);
    let peer = plane.enter("root", Role::Caller, &["*"]).await;
    let to = format!("weft.v1.dlq.WEFT_TASKS.{}", first.consumer());
    let body = serde_json::to_vec(&letter).expect("JSON");
    let sent = peer.client.publish_with_headers(to, headers, body.into());
    sent.await.expect("published");
    so_many_letters(&mesh, 1).await;
    // No word of it any more: neither that somebody works on it, nor that it may come again.
    std::mem::forget(delivery);
    drop(first);

    let second = once().start().await.expect("opened");
    let given_up = async {
        loop {
            let listed: Value = mesh
                .control("consumer_list", json!({}))
                .await
                .expect("told");
            if listed["consumers"][0]["unanswered"] == 0 {
                return;
            }
        }
    };
    timeout(PATIENCE, given_up).await.expect("in time");
    let page = so_many_letters(&mesh, 1).await;
    assert_eq!(
        page.letters[0].says.reason, "no room",
        "it is the first one"
    );
    second.stop().await;
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_goes_to_one_durable_alone() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    publish(&mesh, "task.x", 0..3).await;
    let mut one = billing(&mesh).start().await.expect("opened");
    let mut other = billing(&mesh)
        .durable("other")
        .start()
        .await
        .expect("opened");
    for events in [&mut one, &mut other] {
        for _ in 0..3 {
            next(events).await.ack().await.expect("acknowledged");
        }
    }
    let asked = json!({"to": "billing", "stream": "WEFT_TASKS", "numbers": [2, 3, 9]});
    let delivered: Value = mesh
        .control("replay_deliver", asked)
        .await
        .expect("delivered");
    assert_eq!(delivered["delivered"], 2);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let delivery = next(&mut one).await;
        assert!(delivery.place.is_replay);
        seen.push((delivery.event.id.clone(), delivery.place.cursor()));
        delivery.ack().await.expect("acknowledged");
    }
    seen.sort();
    let named = |n: usize| (format!("task.x-{n}"), format!("WEFT_TASKS:{}", n + 1));
    assert_eq!(seen, [named(1), named(2)]);
    let nothing = timeout(Duration::from_millis(300), other.next()).await;
    assert!(nothing.is_err(), "another got it: {nothing:?}");
    let asked = json!({"to": "nobody", "stream": "WEFT_TASKS", "numbers": [2]});
    let nobody = mesh.control::<Value>("replay_deliver", asked).await;
    assert_eq!(kind_of(nobody).0, Kind::ResourceNotFound);
}

/// What a person types, of a letter that is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_from_the_command_line() {
    let plane = Plane::start().await;
    let issued = plane.issue("root", &["*"]).await;
    let mesh = join(&plane, &issued.token).await.expect("let in");
    let dlq = |words: &[&str]| {
        let mut command = Command::new(weft());
        command.env_clear().env("WEFT_NATS_URL", &plane.url);
        command
            .env("WEFT_TOKEN", &issued.token)
            .arg("dlq")
            .args(words);
        command.output().expect("it runs")
    };
    let mut events = billing(&mesh).start().await.expect("opened");
    publish(&mesh, "task.x", 0..2).await;
    for _ in 0..2 {
        let delivery = next(&mut events).await;
        delivery
            .give_up("no room in the ledger")
            .await
            .expect("a letter");
    }
    let listed = dlq(&["list"]);
    let table = String::from_utf8(listed.stdout).expect("UTF-8");
    assert!(listed.status.success(), "{table}");
    for word in [
        "LETTER",
        "root_billing",
        "WEFT_TASKS:1",
        "no room in the ledger",
    ] {
        assert!(table.contains(word), "{table}");
    }
    let listed = dlq(&["list", "--consumer", "root_other", "-o", "json"]);
    assert_eq!(lines(&listed), [json!([])]);
    let shown = dlq(&["show", "1"]);
    let shown = String::from_utf8(shown.stdout).expect("UTF-8");
    assert!(
        shown.contains("task.x-") && shown.contains("{\"n\":"),
        "{shown}"
    );
    let dropped = dlq(&["drop", "2"]);
    assert_eq!(String::from_utf8_lossy(&dropped.stdout), "dropped: 1\n");
    let again = dlq(&["drop", "2"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        said(&again).contains("there is no dead letter 2"),
        "{}",
        said(&again)
    );
    let driven = dlq(&["redrive", "--all", "--consumer", "root_billing"]);
    assert_eq!(
        String::from_utf8_lossy(&driven.stdout),
        "delivered once more: 1\n"
    );
    let delivery = next(&mut events).await;
    assert!(delivery.place.is_replay);
    delivery.ack().await.expect("acknowledged");
    assert!(letters(&mesh).await.letters.is_empty());
}
