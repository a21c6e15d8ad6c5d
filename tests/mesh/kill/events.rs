//! A tail across the death of the broker: what was published before and after it, without a gap.

use std::{
    io::{BufRead as _, BufReader, Lines},
    process::{ChildStdout, Stdio},
};

use serde_json::{Value, json};
use weftbus::{event::Event, mesh::Mesh};

use crate::{
    process::{kill_9, lives, until},
    stage::{PATIENCE, Process, Stage},
};

/// Publishes this event; a broker that is away is waited for.
async fn publish(mesh: &Mesh, n: usize) {
    let event = Event::new("task.a", json!({"n": n})).with_id(format!("e-{n}"));
    mesh.events().publish(event).await.expect("stored");
}

/// Reads the next events, which have these numbers.
fn next(lines: &mut Lines<BufReader<ChildStdout>>, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let line = lines.next().expect("it goes on").expect("UTF-8");
        let event: Value = serde_json::from_str(&line).expect("JSON");
        let place = (&event["id"], &event["sequence"]);
        assert_eq!(place, (&json!(format!("e-{n}")), &json!(n + 1)));
    }
}

fn broker(mesh: &Process) -> u32 {
    let all = mesh.descendants().into_iter();
    let mut brokers = all.filter(|(_, name)| name == "nats-server");
    brokers.next().map_or(0, |(pid, _)| pid)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_goes_on_behind_a_killed_broker_without_a_gap() {
    let stage = Stage::new("servers: {}\n");
    let process = Process::start(&stage).await;
    let mesh = stage.caller().await;
    for n in 0..5 {
        publish(&mesh, n).await;
    }
    let words = [
        "events",
        "tail",
        "--from-seq",
        "1",
        "--type",
        "task.*",
        "-o",
        "jsonl",
    ];
    let mut tail = stage
        .weft(&words)
        .args(["-n", "300"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(tail.stdout.take().expect("a pipe")).lines();
    next(&mut lines, 0..5);
    for round in 0..2 {
        let killed = broker(&process);
        kill_9(killed);
        until(PATIENCE, "it died", || !lives(killed)).await;
        // Published while it is away: stored when it is back.
        let from = 5 + round * 100;
        for n in from..from + 100 {
            publish(&mesh, n).await;
        }
        assert_ne!(broker(&process), killed, "another one serves");
        next(&mut lines, from..from + 100);
    }
    for n in 205..300 {
        publish(&mesh, n).await;
    }
    next(&mut lines, 205..300);
    assert!(lines.next().is_none(), "it ends behind 300");
    let output = tail.wait_with_output().expect("ours");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.as_str()), (Some(0), ""));
    mesh.close().await;
}
