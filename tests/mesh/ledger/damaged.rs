//! A file of a stream is damaged while the broker is away.
//!
//! nats-server 2.15.1 leaves out what it can't read: in the file that it writes to, all that is
//! behind it too. It says that it is well. The control plane looks, and tells.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use tokio::time::timeout;
use weftbus::{
    control::Secrets,
    event::{Event, From, Wish},
    mesh::{Begin, Mesh, Tail, Told},
    spawn::Tasks,
};

use super::node::Node;
use crate::{
    control::root,
    plane::{Plane, public},
    stage::PATIENCE,
};

/// Bytes of a large event; the broker begins another file after eight million.
const LARGE: usize = 480_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_damaged_stream_lacks_is_told() {
    let secrets = Arc::new(Secrets::load_or_create(folder().path()).expect("secrets"));
    let mut node = Node::start(public(&secrets), folder(), Vec::new()).await;
    let plane = Plane::on(node.url(), Arc::clone(&secrets), folder(), Tasks::new()).await;
    publish(&plane, 20, LARGE).await;
    drop(plane);

    // The twin: of a broker that was only killed nothing is said.
    node.kill();
    node.again().await;
    let plane = Plane::on(node.url(), Arc::clone(&secrets), folder(), Tasks::new()).await;
    assert_eq!(read(&plane).await, (20, 0));
    drop(plane);

    node.kill();
    damage(&node, "1.blk");
    node.again().await;
    let (status, page) = node.page("healthz").await;
    assert_eq!(status, 200, "the broker itself sees nothing: {page}");
    let plane = Plane::on(node.url(), secrets, folder(), Tasks::new()).await;
    let (events, missing) = read(&plane).await;
    assert!(missing > 0 && events + missing == 20, "{events} {missing}");
    let (mesh, mut checks) = checks(&plane).await;
    let says = format!("the stream WEFT_TASKS lacks {missing} events");
    let error = degraded(&mut checks).await;
    assert!(error.contains(&says), "{error}");
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_lost_its_end_is_told() {
    let secrets = Arc::new(Secrets::load_or_create(folder().path()).expect("secrets"));
    let mut node = Node::start(public(&secrets), folder(), Vec::new()).await;
    let url = node.url();
    let plane = Plane::on(url.clone(), Arc::clone(&secrets), folder(), Tasks::new()).await;
    publish(&plane, 40, 100).await;
    drop(plane);
    // The control plane that sees the 40, and stays.
    let plane = Plane::on(url, secrets, folder(), Tasks::new()).await;
    let (mesh, mut checks) = checks(&plane).await;

    node.kill();
    damage(&node, "1.blk");
    node.again().await;
    let error = degraded(&mut checks).await;
    let (events, missing) = read(&plane).await;
    assert!(events < 40 && missing == 0, "{events} {missing}");
    let says = format!("the stream WEFT_TASKS had 40 events and ends at {events} now");
    assert!(error.contains(&says), "{error}");
    mesh.close().await;
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

async fn publish(plane: &Plane, events: u64, bytes: usize) {
    let mesh = root(plane).await;
    let own = mesh.events();
    for n in 0..events {
        let event = Event::new("task.written", json!({"n": n, "text": "x".repeat(bytes)}));
        own.publish(event).await.expect("stored");
    }
    mesh.close().await;
}

async fn tail(mesh: &Mesh, types: &str) -> Tail {
    let wish = Wish {
        types: vec![types.to_owned()],
        ..Wish::default()
    };
    let begin = Begin {
        stream: None,
        from: From::Start,
    };
    let tail = mesh.events().tail(wish, &[begin]).await;
    tail.expect("opened")
}

/// How many events a reader is told, and how many are said to be missing.
async fn read(plane: &Plane) -> (u64, u64) {
    let mesh = root(plane).await;
    let mut tail = tail(&mesh, "task.*").await;
    let (mut events, mut lacks) = (0, 0);
    while !tail.is_live() {
        let told = timeout(PATIENCE, tail.next()).await.expect("in time");
        match told.expect("goes on") {
            Told::Event(_) => events += 1,
            Told::Holes { missing, .. } => lacks += missing,
            other => panic!("{other:?}"),
        }
    }
    mesh.close().await;
    (events, lacks)
}

/// What is told of the health of servers.
async fn checks(plane: &Plane) -> (Mesh, Tail) {
    let mesh = root(plane).await;
    let tail = tail(&mesh, "system.health.check").await;
    (mesh, tail)
}

/// Why the mesh itself is not well.
async fn degraded(checks: &mut Tail) -> String {
    let told = timeout(PATIENCE, checks.next()).await.expect("in time");
    let Told::Event(stored) = told.expect("goes on") else {
        panic!("no event");
    };
    let source = stored.event.source.as_ref().expect("the broker vouches");
    assert_eq!(source.as_str(), "weft");
    let data: Value = stored.event.data().expect("JSON");
    assert_eq!(data["serverName"], "weft", "{data}");
    assert_eq!(data["status"], "degraded", "{data}");
    data["error"].as_str().expect("a reason").to_owned()
}

/// Turns one bit around, in the middle of a file of the stream of tasks.
fn damage(node: &Node, block: &str) {
    let folder = messages(node.dir.path(), "WEFT_TASKS");
    let file = folder.expect("the stream has files").join(block);
    let mut bytes = fs::read(&file).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("ours");
}

/// The folder with what a stream keeps.
fn messages(folder: &Path, stream: &str) -> Option<PathBuf> {
    let inside = fs::read_dir(folder).expect("it is there");
    let paths = inside.map(|entry| entry.expect("ours").path());
    let mut folders = paths.filter(|path| path.is_dir());
    folders.find_map(|path| {
        if path.file_name().is_some_and(|name| name == stream) {
            Some(path.join("msgs"))
        } else {
            messages(&path, stream)
        }
    })
}
