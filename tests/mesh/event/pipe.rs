//! Lines for a pipe: written as events come, and the end when nobody reads them any more, also while
//! none come.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use super::{
    tail::{named, publish},
    typed,
};
use crate::{control::root, plane::Plane, process::until, stage::PATIENCE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_when_the_reader_is_gone_though_nothing_comes() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    publish(&mesh, "task.a", 0..2).await;
    let may = plane
        .issue("ops", &["replay:events/*", "subscribe:events/*"])
        .await;
    for words in [
        &["tail", "--type", "task.*", "--from-seq", "1", "-o", "jsonl"][..],
        &["tail", "--type", "task.*", "--from-seq", "1", "-n", "1000"],
    ] {
        let mut child = typed(&plane, &may.token, words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
        for id in named("task.a", 0..2) {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a line");
            assert!(line.contains(&id) || line.contains("task.a"), "{line}");
        }
        assert!(
            child.try_wait().expect("ours").is_none(),
            "it waits for more"
        );
        drop(reader);
        until(PATIENCE, "it ends", || {
            child.try_wait().expect("ours").is_some()
        })
        .await;
        let output = child.wait_with_output().expect("ours");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""));
    }
    mesh.close().await;
}
