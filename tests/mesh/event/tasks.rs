//! What servers do, as events of theirs: calls that are tasks, resources that change.

use std::{path::Path, time::Duration};

use async_nats::jetstream;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::Service as _;
use weftbus::{
    app::up::Up,
    call::{Call, Context, Reply, permission::Pattern, service::answer},
    event::{From, Wish},
    mcp::Request,
    mesh::{Begin, Mesh, Tail, Told},
    policy::tasks::{Recorder, TaskEvents},
    spawn::Tasks,
};

use super::stored;
use crate::{
    control::root,
    plane::Plane,
    process::until,
    stage::{PATIENCE, Stage, fixture, real},
};

/// Where a caller says nothing else, the server's own time counts: a second.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A mesh with one server twice: some calls of `told` are tasks, none of `quiet`.
struct Place {
    stage: Stage,
    up: Up,
    caller: Mesh,
}

impl Place {
    async fn open() -> Self {
        let (python, server) = (real("python"), fixture("events.py"));
        let line = |name: &str, more: &str| {
            let program = json!({"command": python, "args": [server]}).to_string();
            let program = program.trim_end_matches('}');
            format!("  {name}: {program}{more}}}\n")
        };
        let timeout = r#", "timeout": "1s""#;
        let events = format!(r#"{timeout}, "events": {{"tasks": ["fail", "h*", "e*"]}}"#);
        let stage = Stage::new(&format!(
            "servers:\n{}{}",
            line("told", &events),
            line("quiet", timeout)
        ));
        let up = stage.up().await;
        let rows = up.servers();
        assert!(rows.iter().all(|row| row.tools == Some(5)), "{rows:?}");
        let caller = stage.caller().await;
        Self { stage, up, caller }
    }

    /// What was told of this, from the first event on.
    async fn tail(&self, types: &str) -> Tail {
        let wish = Wish {
            types: vec![types.to_owned()],
            ..Wish::default()
        };
        let begin = [Begin {
            stream: None,
            from: From::Start,
        }];
        let opened = self.caller.events().tail(wish, &begin).await;
        opened.expect("opened")
    }

    /// Calls a tool as part of this; whatever comes of it.
    async fn call(&self, server: &str, tool: &str, correlation: &str) {
        self.call_for(server, tool, correlation, TIMEOUT).await;
    }

    async fn call_for(&self, server: &str, tool: &str, correlation: &str, within: Duration) {
        let asked = self.caller.tool(server, tool, json!({"text": "s3cret"}));
        let asked = asked
            .expect("names")
            .correlated(correlation)
            .expect("an id");
        drop(asked.timeout(within).send().await);
    }

    async fn end(self) {
        self.caller.close().await;
        self.up.stop().await;
    }
}

async fn next(tail: &mut Tail) -> Value {
    let told = timeout(PATIENCE, tail.next()).await.expect("in time");
    match told.expect("goes on") {
        Told::Event(stored) => serde_json::to_value(stored.event).expect("JSON"),
        other => panic!("{other:?}"),
    }
}

/// An event in short: `task.failed told one -32002`.
fn short(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let (kind, source) = (text("type"), text("source"));
    let code = event["data"]["code"].as_i64();
    let code = code.map_or_else(String::new, |code| format!(" {code}"));
    format!("{kind} {source} {}{code}", text("correlationId"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_a_task_begins_and_ends_as_events() {
    let place = Place::open().await;
    for (tool, correlation) in [("echo", "one"), ("fail", "two"), ("hang", "three")] {
        place.call("quiet", tool, "quiet").await;
        place.call("told", "refuse", "no-task").await;
        place.call("told", tool, correlation).await;
    }
    // Cancelled: its caller goes away while it runs.
    let cancelled = place.call_for("told", "hang", "four", PATIENCE);
    let mut tail = place.tail("task.*").await;
    let mut told = Vec::new();
    let reading = async {
        for _ in 0..7 {
            told.push(next(&mut tail).await);
        }
    };
    tokio::select! { () = reading => {}, () = cancelled => panic!("it began") }
    told.push(next(&mut tail).await);
    let lines: Vec<_> = told.iter().map(short).collect();
    let expected = [
        "task.created told one",
        "task.completed told one",
        "task.created told two",
        "task.failed told two -32002",
        "task.created told three",
        "task.failed told three -32005",
        "task.created told four",
        "task.failed told four",
    ];
    assert_eq!(lines, expected);
    for pair in told.chunks(2) {
        assert_eq!(pair[0]["data"]["taskId"], pair[1]["data"]["taskId"]);
        let metadata = &pair[0]["data"]["metadata"];
        assert_eq!(
            (&metadata["server"], &metadata["caller"]),
            (&json!("told"), &json!("local"))
        );
    }
    assert!(!json!(told).to_string().contains("s3cret"));
    // The call's own record is not needed: what comes last comes behind all of these.
    place.call("told", "echo", "five").await;
    assert_eq!(short(&next(&mut tail).await), "task.created told five");
    assert_eq!(short(&next(&mut tail).await), "task.completed told five");
    drop(tail);
    place.end().await;
}

/// Calls end while nothing can be stored, and are told when it can be again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stores_nothing_holds_up_no_call() {
    let plane = Plane::start().await;
    let mesh = root(&plane).await;
    let publisher = mesh
        .events()
        .publisher()
        .await
        .expect("a publisher")
        .clone();
    let tasks = Tasks::new();
    let recorder = Recorder::start(vec![Pattern::All], publisher, &tasks);
    let echo = answer(|call: Call| async move {
        Ok(Reply {
            body: call.request.body().clone(),
            failed: false,
        })
    });
    let service = TaskEvents::new(recorder.clone(), echo);
    let call = async || {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;
        let request = Request::parse(body.into()).expect("a request");
        let server = "gh".parse().expect("a name");
        let call = Call::new(server, request, Context::new(PATIENCE));
        service.clone().call(call).await.expect("an answer");
    };
    let context = jetstream::new(plane.keeper.client.clone());
    let mut stream = context.get_stream("WEFT_TASKS").await.expect("there");
    let config = stream.info().await.expect("info").config.clone();
    call().await;
    assert!(recorder.settle(PATIENCE).await);
    context.delete_stream("WEFT_TASKS").await.expect("gone");
    for _ in 0..100 {
        call().await;
    }
    let settled = recorder.settle(Duration::from_millis(300)).await;
    assert!(!settled, "there is no stream");
    context.create_stream(config).await.expect("there again");
    assert!(recorder.settle(PATIENCE).await);
    let stored = stored(&plane, "WEFT_TASKS").await;
    let kinds = stored.iter().map(|one| one.event["type"].as_str());
    let pairs = [Some("task.created"), Some("task.completed")].repeat(100);
    assert_eq!(kinds.collect::<Vec<_>>(), pairs);
    assert!(tasks.stop(PATIENCE).await);
    mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_told_in_their_order_and_outlive_their_server() {
    let place = Place::open().await;
    for n in 0..200 {
        place.call("told", "echo", &format!("c-{n}")).await;
    }
    let file = place.stage.path().join("weft.yaml");
    let both = std::fs::read_to_string(&file).expect("a file");
    let one: String = both
        .lines()
        .filter(|line| !line.contains("told:"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(Path::new(&file), one).expect("the folder is ours");
    let seen = place.caller.servers().await.expect("a list");
    until(PATIENCE, "it has gone", || {
        let seen = seen.borrow();
        seen.iter().all(|entry| entry.server.as_str() != "told")
    })
    .await;
    let mut tail = place.tail("task.completed").await;
    for n in 0..200 {
        let expected = format!("task.completed told c-{n}");
        assert_eq!(short(&next(&mut tail).await), expected);
    }
    drop(tail);
    place.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_changes_of_a_resource_is_one_event() {
    let place = Place::open().await;
    let touch = async |server: &str, arguments: Value| {
        let touched = place.caller.call_tool(server, "touch", arguments).await;
        touched.expect("an answer");
    };
    let mut tail = place.tail("system.resource.*").await;
    let mut said = async || {
        let event = next(&mut tail).await;
        assert_eq!(event["source"], event["data"]["owner"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["source"]), text(&event["data"]["resourceId"]))
    };
    let is = |server: &str, uri: &str| (server.to_owned(), uri.to_owned());
    touch("told", json!({"uris": ["file:///a"], "times": 50})).await;
    assert_eq!(said().await, is("told", "file:///a"));
    // Another server, so that what comes next is no event of the burst.
    touch("quiet", json!({"uris": ["file:///b"]})).await;
    assert_eq!(said().await, is("quiet", "file:///b"));
    touch(
        "told",
        json!({"uris": ["file:///a", "file:///c"], "times": 50}),
    )
    .await;
    assert_eq!(said().await, is("told", "*"));
    touch("quiet", json!({"list": true, "times": 50})).await;
    assert_eq!(said().await, is("quiet", "*"));
    touch("quiet", json!({"uris": ["file:///d"]})).await;
    assert_eq!(said().await, is("quiet", "file:///d"));
    drop(tail);
    place.end().await;
}
