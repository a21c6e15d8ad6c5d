//! Which calls are told, and what of them, without a broker.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{
    recorder::{Item, QUEUE_MAX, event},
    *,
};
use crate::{
    call::{self, permission::Pattern, service::answer},
    mcp::Request,
};

type Queue = mpsc::Receiver<Item>;

fn recorder(patterns: &[&str]) -> (Recorder, Queue) {
    Recorder::new(patterns.iter().map(|text| Pattern::new(text)).collect())
}

fn call(tool: &str) -> Call {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"a":"s3cret"}}}}}}"#
    );
    let mut context = call::Context::new(Duration::from_secs(1));
    context.caller = Identity::new("alice").ok();
    Call::new(
        ServerName::new("gh").expect("a name"),
        Request::parse(Bytes::from(body)).expect("a request"),
        context,
    )
}

/// What a tool of this name does.
fn server() -> impl CallService {
    answer(|call: Call| async move {
        let reply = |failed| Reply {
            body: Bytes::from_static(b"s3cret"),
            failed,
        };
        match call.request.name() {
            Some("ok") => Ok(reply(false)),
            Some("fail") => Ok(reply(true)),
            Some("late") => Err(Error::new(Kind::Timeout, "s3cret")),
            _ => std::future::pending().await,
        }
    })
}

/// The events that wait, as JSON.
fn events(queue: &mut Queue) -> Vec<Value> {
    let mut all = Vec::new();
    while let Ok(Item::Step(step)) = queue.try_recv() {
        all.push(serde_json::to_value(event(*step)).expect("JSON"));
    }
    all
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let kinds = events.iter().map(|event| event["type"].as_str());
    kinds.map(Option::unwrap_or_default).collect()
}

#[tokio::test]
async fn a_call_begins_and_ends_as_one_task() {
    let (recorder, mut queue) = recorder(&["ok", "f*"]);
    let service = TaskEvents::new(recorder, server());
    let known = call("ok");
    let correlation = known.context.correlation.to_string();
    let id = known.context.id.to_string();
    assert!(service.clone().oneshot(known).await.is_ok());
    let told = events(&mut queue);
    assert_eq!(kinds(&told), ["task.created", "task.completed"]);
    let (began, done) = (&told[0], &told[1]);
    assert_eq!(began["data"]["title"], "gh/ok");
    assert_eq!(began["data"]["metadata"]["caller"], "alice");
    assert_eq!(began["data"]["taskId"], done["data"]["taskId"]);
    assert!(done["data"]["durationMs"].is_u64(), "{done}");
    for event in &told {
        assert_eq!(event["correlationId"], correlation);
        let text = event.to_string();
        assert!(!text.contains("s3cret") && !text.contains(&id), "{text}");
    }
    assert!(service.clone().oneshot(call("fail")).await.is_ok());
    let told = events(&mut queue);
    assert_eq!(kinds(&told), ["task.created", "task.failed"]);
    assert_eq!(told[1]["data"]["code"], Kind::ToolExecutionError.code());
    assert_eq!(told[1]["data"]["attempts"], 1);
    // The twin that nobody asked for.
    assert!(service.oneshot(call("late")).await.is_err());
    assert!(events(&mut queue).is_empty());
}

#[tokio::test]
async fn whatever_ends_a_call_is_its_end() {
    let (recorder, mut queue) = recorder(&["*"]);
    let service = TaskEvents::new(recorder, server());
    assert!(service.clone().oneshot(call("late")).await.is_err());
    let told = events(&mut queue);
    assert_eq!(told[1]["data"]["error"], "the call ended with TIMEOUT");
    assert_eq!(told[1]["data"]["code"], Kind::Timeout.code());
    let hangs = tokio::time::timeout(Duration::ZERO, service.clone().oneshot(call("hang")));
    assert!(hangs.await.is_err(), "dropped");
    drop(service.clone().call(call("never looked at")));
    let told = events(&mut queue);
    let pair = ["task.created", "task.failed"];
    assert_eq!(kinds(&told), [pair, pair].concat());
    let why = told[1]["data"]["error"].as_str().expect("why");
    assert!(why.contains("cancelled"), "{why}");
    assert!(told[3]["data"].get("code").is_none());
}

#[tokio::test]
async fn what_finds_no_room_is_counted_and_answered_all_the_same() {
    let (recorder, mut queue) = recorder(&["*"]);
    let service = TaskEvents::new(recorder.clone(), server());
    let mut running = Vec::new();
    for _ in 0..QUEUE_MAX / 2 {
        running.push(service.clone().call(call("ok")));
    }
    assert_eq!(recorder.missed(), 0);
    assert!(service.clone().oneshot(call("ok")).await.is_ok());
    assert_eq!(recorder.missed(), 1);
    // Each that was told to have begun has a place for its end.
    for running in running {
        assert!(running.await.is_ok());
    }
    let told = events(&mut queue);
    let ends = |kind: &str| kinds(&told).iter().filter(|one| **one == kind).count();
    assert_eq!(ends("task.created"), QUEUE_MAX / 2);
    assert_eq!(ends("task.completed"), QUEUE_MAX / 2);
    assert!(service.oneshot(call("ok")).await.is_ok());
    assert_eq!((recorder.missed(), events(&mut queue).len()), (1, 2));
}
