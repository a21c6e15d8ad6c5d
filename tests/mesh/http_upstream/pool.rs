//! Several sessions of one HTTP server: as many as calls ask for, ended when they are idle.

use std::{collections::BTreeSet, sync::atomic::AtomicUsize};

use futures_util::future::join;
use serde_json::json;
use weftbus::{
    adapter::{self, Pool, pool},
    call::Reply,
};

use super::{
    peer::{Act, Peer},
    sessions::numbered,
    *,
};
use crate::process::{until, watchdog};

#[tokio::test]
async fn each_member_has_a_session_of_its_own() {
    let opened = AtomicUsize::new(0);
    let peer = Peer::start(move |asked, _| {
        let mut acts = numbered(&opened, asked);
        let first = asked.body["params"]["arguments"]["text"] == "first";
        if asked.is_call() && first {
            // Four requests open a session; behind the second one's comes the second call.
            acts.insert(0, Act::Until(10));
        }
        acts
    })
    .await;
    let tasks = Tasks::new();
    let dog = watchdog(&tasks).await;
    let options_of_pool = pool::Options {
        max: 2,
        calls: 1,
        idle: Duration::from_millis(300),
        wait: PATIENCE,
        ..pool::Options::default()
    };
    let server = ServerName::new("tested").expect("a name");
    let upstream = adapter::Options::Http(options(&peer.url));
    let pool = Pool::start(server.clone(), upstream, options_of_pool, &dog, &tasks);
    let mut status = pool.status();
    let up = timeout(PATIENCE, status.wait_for(Status::is_up)).await;
    drop(up.expect("in time").expect("it lives"));
    let call = |text: &str| {
        let body = serde_json::to_vec(&tool("echo", json!({"text": text}))).expect("JSON");
        let request = Request::parse(body.into()).expect("a request");
        let call = Call::new(server.clone(), request, Context::new(PATIENCE));
        pool.clone().call(call)
    };
    let (first, second) = join(call("first"), call("second")).await;
    let text = |reply: Result<Reply, _>| said(&reply.expect("an answer"));
    assert_eq!(
        (text(first), text(second)),
        ("first".into(), "second".into())
    );
    let calls_heard = peer.calls();
    let sessions: BTreeSet<&str> = calls_heard
        .iter()
        .map(|asked| asked.header("mcp-session-id"))
        .collect();
    assert_eq!(sessions, BTreeSet::from(["s-1", "s-2"]));
    // Nobody uses them: one is kept.
    peer.hears("DELETE", 1).await;
    until(PATIENCE, "one is kept", || pool.gauges().members == 1).await;
    assert_eq!(peer.count("DELETE"), 1);
    assert!(pool.stop().await, "it ended in time");
    assert_eq!(peer.count("DELETE"), 2);
    peer.stop().await;
}
