//! nats-server is killed while it is published to.

use std::{fs, path::Path, time::Duration};

use rustix::process::Signal;
use serde_json::json;
use tokio::time::timeout;
use weftbus::{
    error::{Error, Kind, Started},
    event::{Event, From},
};

use super::Scene;
use crate::{control::root, stage::PATIENCE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_nothing_that_was_acknowledged() {
    let mut scene = Scene::busy().await;
    let mut blows = Vec::new();
    for kill in 1..=scene.numbers.kills {
        scene.reaches(1000 * kill / (scene.numbers.kills + 1)).await;
        blows.push(scene.in_flight());
        scene.node.kill();
        scene.node.again().await;
    }
    let mut table = scene.end("nats-server is killed").await;
    table.blows = blows;
    eprintln!("{table}");
    assert!(table.blows.iter().all(|open| *open > 0), "a kill missed");
    let patient = &scene.writers[0].book;
    assert_eq!(
        patient.refused(),
        0,
        "the library mends it: {:?}",
        patient.failed
    );
    assert!(table.failed.0 > 0, "no try failed: the kills missed");
}

/// nats-server writes down a little later what it has handed out: one that was killed before that
/// takes no answer for it, and hands it out again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broker_forgot_to_have_handed_out_is_not_waited_for() {
    let mut scene = Scene::usual().await;
    let mesh = root(&scene.plane).await;
    let own = mesh.events();
    for n in 0..3 {
        let published = own.publish(Event::new("task.written", json!({"n": n})));
        published.await.expect("stored");
    }
    let subscribing = own.subscribe("task.*").durable("forgetful");
    let mut events = subscribing.from(From::Start).start().await.expect("open");
    let mut next = async || timeout(PATIENCE, events.next()).await.expect("in time");
    next()
        .await
        .expect("it goes on")
        .ack()
        .await
        .expect("known");
    let held = next().await.expect("it goes on");

    scene.node.kill();
    let folder = scene.node.dir.path().join("jetstream");
    let streams = forget(&folder, "root_forgetful");
    assert_eq!(streams, 2, "that of its events, and that of replays");
    scene.node.again().await;

    // Also the first comes again. What this one took before is not waited for.
    let forgotten = |error: Error| {
        let text = error.to_string();
        assert!(text.contains("it comes again"), "{text}");
    };
    let mut again = Vec::new();
    while again.len() < 3 {
        let delivery = next().await.expect("it goes on");
        let (sequence, attempt) = (delivery.place.sequence, delivery.place.attempt);
        match delivery.ack().await {
            Ok(()) => again.push((sequence, attempt)),
            Err(error) => forgotten(error),
        }
    }
    assert_eq!(again, [(1, 1), (2, 1), (3, 1)]);
    forgotten(held.ack().await.expect_err("it was handed out anew"));
    mesh.close().await;
}

/// Removes what the broker wrote down of this consumer's state. Gives how many there were.
fn forget(folder: &Path, consumer: &str) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("ours").path();
        let is_state = path.file_name().is_some_and(|name| name == "o.dat");
        let of = path.parent().and_then(Path::file_name);
        if path.is_dir() {
            count += forget(&path, consumer);
        } else if is_state && of.is_some_and(|of| of == consumer) {
            fs::remove_file(&path).expect("ours");
            count += 1;
        }
    }
    count
}

/// A broker that stands still: what was sent may be stored, and what was not, is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_up_is_told_whether_it_was_sent() {
    let scene = Scene::usual().await;
    let mesh = root(&scene.plane).await;
    // The first two do not go together: half a megabyte does.
    let event = |n: u32| {
        let text = "x".repeat(if n < 2 { 300_000 } else { 3 });
        Event::new("task.written", json!({"text": text})).with_id(format!("e-{n}"))
    };
    let events = mesh.events();
    let publisher = events.publisher().await.expect("a publisher");
    let (first, short, long) = (500, 100, 1000);
    scene.node.signal(Signal::STOP);
    // When the first was given up, the second's time is over, and the others go together.
    let mut receipts = Vec::new();
    for (n, ms) in (0..).zip([first, short, long, long]) {
        let publisher = publisher.clone().timeout(Duration::from_millis(ms));
        receipts.push(publisher.begin(event(n)).await.expect("taken"));
    }
    let mut told = Vec::new();
    for receipt in receipts {
        let error: Error = receipt.await.expect_err("nobody answers");
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
        told.push(error.has_started());
    }
    scene.node.signal(Signal::CONT);
    let [maybe, no] = [Started::Maybe, Started::No];
    assert_eq!(told, [maybe, no, maybe, maybe]);
    for n in 0..4 {
        let published = publisher.publish(event(n)).await.expect("stored");
        assert!(!(n == 1 && published.duplicate), "it had not been sent");
    }
    mesh.close().await;
}
