//! Control planes side by side, and one of them killed.

use std::{collections::BTreeSet, fs, process::Stdio, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use weftbus::{
    audit::{Page, Record},
    broker::Broker,
    control::{SECRETS_FILE, Secrets},
    event::From,
    mesh::Mesh,
    spawn::Tasks,
};

use crate::{
    plane::public,
    process::watchdog,
    server::{self, Keys},
    stage::{PATIENCE, Process, Slow, Stage, fixture, real},
};

/// For so long a snapshot is trusted.
const STALE: Duration = Duration::from_secs(30);

/// A broker, and two control planes on it in processes of their own.
struct Place {
    first: (Stage, Process),
    second: (Stage, Process),
    url: String,
    tasks: Tasks,
    _broker: Broker,
    _dir: tempfile::TempDir,
}

impl Place {
    async fn open() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let tasks = Tasks::new();
        let watchdog = watchdog(&tasks).await;
        let stages = [(); 2].map(|()| Stage::new("servers: {}\n"));
        let data = stages.each_ref().map(|stage| stage.path().join("data"));
        for data in &data {
            fs::create_dir(data).expect("ours");
        }
        let secrets = Arc::new(Secrets::load_or_create(&data[0]).expect("secrets"));
        // As docs/operations.md says: the same keys for all of them.
        fs::copy(data[0].join(SECRETS_FILE), data[1].join(SECRETS_FILE)).expect("ours");
        let mut options = server::options(dir.path(), &Keys::new());
        options.keys = public(&secrets);
        let broker = Broker::start(options, &tasks, &watchdog).await;
        let broker = broker.expect("a broker");
        let url = broker.url().to_owned();
        let [one, two] = stages;
        let first = Process::control(&one, &url).await;
        let second = Process::control(&two, &url).await;
        Self {
            first: (one, first),
            second: (two, second),
            url,
            tasks,
            _broker: broker,
            _dir: dir,
        }
    }

    /// A server that joins by itself.
    fn adapter(&self) -> tokio::process::Child {
        let mut command = self.first.0.weft(&["adapter", "echo"]);
        command
            .arg("--")
            .arg(real("python"))
            .arg(fixture("modern.py"))
            .stdin(Stdio::null());
        tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .expect("it runs")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

async fn echo(by: &Mesh) -> Result<(), String> {
    let said = by.call_tool("echo", "echo", json!({"text": "x"})).await;
    said.map(drop).map_err(|error| error.to_string())
}

/// The control planes that answered a list of servers, as the audit trail has them.
async fn answered(by: &Mesh) -> BTreeSet<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut trail = by.audit(From::Start, true).await.expect("open");
        let mut found = BTreeSet::new();
        while let Some(written) = trail.next().await.expect("readable") {
            let page: Page = serde_json::from_slice(&written.body).expect("a page");
            let lists = |record: &Record| record.what == "call:tools/weft/server_list";
            if page.records.iter().any(lists) {
                found.insert(page.instance);
            }
        }
        if found.len() == 2 {
            return found;
        }
        assert!(Instant::now() < end, "{found:?}");
        list(by).await.expect("a list");
    }
}

async fn list(by: &Mesh) -> Result<Value, String> {
    let listed = by.control::<Value>("server_list", json!({})).await;
    listed.map_err(|error| error.to_string())
}

/// The other one answers, lets in, issues and revokes; calls between members never stop, also when
/// what they had to trust would be too old without a word from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_is_killed_beside_another_one() {
    let mut place = Place::open().await;
    let own = Stage::new("servers: {}\n");
    let _adapter = place.adapter();
    let by = place.second.0.caller().await;
    let end = Instant::now() + PATIENCE;
    while let Err(why) = echo(&by).await {
        assert!(Instant::now() < end, "{why}");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(answered(&by).await.len(), 2, "both are in use");
    let slow = Slow::begin(&own, &by, "echo", 3.0).await;
    place.first.1.kill();
    let killed = Instant::now();

    // Longer than a snapshot is trusted.
    let (mut calls, mut lists) = (0, 0);
    while killed.elapsed() < STALE + Duration::from_secs(5) {
        assert_eq!(echo(&by).await, Ok(()), "{calls} calls went well before");
        assert!(list(&by).await.is_ok(), "{lists} went well before");
        (calls, lists) = (calls + 1, lists + 1);
        sleep(Duration::from_millis(20)).await;
    }
    eprintln!("{calls} calls and {lists} lists beside a killed control plane, none failed");
    let done = slow.answer.await.expect("no panic").expect("an answer");
    assert!(!done.is_error());

    // Who is new is let in by the other one, and by it alone is put out.
    let wish = json!({"name": "alice", "permissions": ["call:tools/echo/*"]});
    let issued: Value = by.control("token_issue", wish).await.expect("a token");
    let token = issued["token"].as_str().expect("a token");
    let alice = place.second.0.join(token).await.expect("let in");
    assert_eq!(echo(&alice).await, Ok(()));
    let all = json!({"name": "alice"});
    let _done: Value = by.control("token_revoke", all).await.expect("revoked");
    let end = Instant::now() + PATIENCE;
    while echo(&alice).await.is_ok() {
        assert!(Instant::now() < end, "she still may");
        sleep(Duration::from_millis(20)).await;
    }

    // And the first one comes back.
    place.first.1 = Process::control(&place.first.0, &place.url).await;
    assert_eq!(echo(&by).await, Ok(()));
    assert!(list(&by).await.is_ok());
}
