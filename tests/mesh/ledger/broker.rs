//! nats-server is killed while it is published to.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use weftbus::{
    error::{Error, Kind, Started},
    event::Event,
};

use super::{IMPATIENT, Scene};
use crate::control::root;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_nothing_that_was_acknowledged() {
    let mut scene = Scene::usual().await;
    let url = scene.node.url();
    scene.write([url.clone(), url], IMPATIENT).await;
    let mut blows = Vec::new();
    for kill in 1..=scene.numbers.kills {
        scene.reaches(1000 * kill / (scene.numbers.kills + 1)).await;
        blows.push(scene.in_flight());
        scene.node.kill();
        scene.node.again().await;
    }
    let (mut table, _) = scene.end("nats-server is killed").await;
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
    let begin = async |n, ms| {
        let publisher = publisher.clone().timeout(Duration::from_millis(ms));
        publisher.begin(event(n)).await.expect("taken")
    };
    scene.node.signal(Signal::STOP);
    // When the first was given up, the second's time is over, and the others go together.
    let receipts = [
        begin(0, first).await,
        begin(1, short).await,
        begin(2, long).await,
        begin(3, long).await,
    ];
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
