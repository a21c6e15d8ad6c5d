//! What happens to servers is told: once, in order, over restarts of who tells it.

use std::{collections::BTreeMap, time::Duration};

use async_nats::jetstream;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use weftbus::{
    access::Role,
    registry::{Heartbeat, State, ToolDigest, Tools},
};

use super::stored;
use crate::{
    control::root,
    plane::{Peer, Plane},
    stage::PATIENCE,
    upkeep::beat,
};

const STREAM: &str = "WEFT_SYSTEM";

/// A server that says what it is told to.
struct Server {
    peer: Peer,
    beat: Heartbeat,
}

impl Server {
    async fn enter(plane: &Plane, name: &str) -> Self {
        let serve = format!("serve:tools/{name}/*");
        let peer = plane.enter(name, Role::Server, &[&serve]).await;
        let mut beat = beat(name, State::Healthy);
        beat.tools = Tools::new(vec![ToolDigest::new("a", "1")]);
        Self { peer, beat }
    }

    async fn says(&mut self, state: State) {
        self.beat.state = state;
        self.beats().await;
    }

    async fn beats(&self) {
        let to = format!("weft.v1.hb.{}.i1", self.beat.server);
        let body = String::from_utf8(self.beat.encode()).expect("JSON");
        self.peer.publish(&to, None, &body).await;
        // The broker has it when it has answered what came behind it.
        let probe = format!("weft.v1.prb.{}", self.beat.server);
        assert!(self.peer.ask(&probe, "").await.is_err(), "nobody answers");
    }
}

/// An event in short: `server.joined gh {"instances":1,"tools":1}`.
fn short(event: &Value) -> String {
    let mut data = event["data"].as_object().expect("an object").clone();
    let server = data.remove("serverName").expect("a server");
    // What a list of tools sums up to is nothing for people.
    data.remove("digest");
    let (kind, server) = (event["type"].as_str(), server.as_str());
    let (kind, server) = (kind.expect("a type"), server.expect("a name"));
    let sorted: BTreeMap<_, _> = data.iter().collect();
    format!("{kind} {server} {}", json!(sorted))
}

/// What was told, once it is so much; and that it is no more.
async fn told(plane: &Plane, count: usize) -> Vec<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let all = stored(plane, STREAM).await;
        if all.len() >= count {
            let all: Vec<_> = all.iter().map(|one| short(&one.event)).collect();
            assert_eq!(all.len(), count, "{all:#?}");
            return all;
        }
        assert!(Instant::now() < end, "{} of {count}", all.len());
        sleep(Duration::from_millis(20)).await;
    }
}

const NEW: [&str; 2] = [
    r#"server.joined gh {"instances":1,"tools":1}"#,
    r#"system.health.check gh {"status":"healthy"}"#,
];

fn of(server: &str, told: &[&str]) -> Vec<String> {
    let named = |line: &&str| line.replace(" gh ", &format!(" {server} "));
    told.iter().map(named).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_comes_changes_fails_recovers_and_goes() {
    let mut plane = Plane::start().await;
    let mut gh = Server::enter(&plane, "gh").await;
    gh.says(State::Starting).await;
    gh.says(State::Healthy).await;
    told(&plane, 2).await;
    gh.beat.tools = Tools::new(vec![ToolDigest::new("a", "1"), ToolDigest::new("b", "2")]);
    gh.beats().await;
    told(&plane, 3).await;
    gh.beat.last_error = Some("it exited with status 1".into());
    gh.says(State::Unhealthy).await;
    // Tried again, and in vain: that is no news.
    gh.says(State::Starting).await;
    gh.says(State::Unhealthy).await;
    gh.beat.last_error = None;
    gh.says(State::Healthy).await;
    for _ in 0..10 {
        gh.beats().await;
    }
    gh.says(State::Left).await;
    let life = [
        NEW[0],
        NEW[1],
        r#"server.changed gh {"tools":2}"#,
        r#"system.health.check gh {"before":"healthy","error":"it exited with status 1","status":"unhealthy"}"#,
        r#"system.health.check gh {"before":"unhealthy","status":"healthy"}"#,
        r#"server.left gh {"goodbye":true}"#,
    ];
    assert_eq!(told(&plane, 6).await, life);
    for one in stored(&plane, STREAM).await {
        let kind = one.event["type"].as_str().expect("a type");
        assert_eq!(one.subject, format!("weft.v1.evt.weft.{kind}"));
        assert_eq!(one.event["source"], "weft");
        assert!(one.headers.contains("Nats-Msg-Id") && one.headers.contains("ce-id"));
    }

    // Who is there while the control plane is started again is told of no more.
    let jira = Server::enter(&plane, "jira").await;
    jira.beats().await;
    told(&plane, 8).await;
    plane.restart().await;
    let jira = Server::enter(&plane, "jira").await;
    jira.beats().await;
    // The twin: one that is new.
    let other = Server::enter(&plane, "other").await;
    other.beats().await;
    let all = told(&plane, 10).await;
    assert_eq!(all[6..8], of("jira", &NEW));
    assert_eq!(all[8..], of("other", &NEW));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_vanishes_is_told_of_whoever_tells() {
    let mut plane = Plane::start().await;
    for name in ["gone", "quiet", "alive"] {
        Server::enter(&plane, name).await.beats().await;
    }
    told(&plane, 6).await;
    let mut last = Server::enter(&plane, "last").await;
    last.beats().await;
    told(&plane, 8).await;
    // A goodbye as the control plane ends is heard.
    last.says(State::Left).await;
    assert!(plane.control.stop().await);
    let goodbye = r#"server.left last {"goodbye":true}"#;
    assert_eq!(told(&plane, 9).await[8], goodbye);
    // Instances that nobody has heard of for ten minutes are forgotten: here they are taken away.
    for server in ["gone", "alive"] {
        let purge = json!({"filter": format!("$KV.WEFT_SERVERS.{server}.i1")}).to_string();
        let to = "$JS.API.STREAM.PURGE.KV_WEFT_SERVERS";
        let purged = plane.keeper.ask(to, &purge).await.expect("the broker");
        assert!(String::from_utf8_lossy(&purged.payload).contains("\"purged\":1"));
    }
    plane.restart().await;
    Server::enter(&plane, "alive").await.beats().await;
    let mut since = told(&plane, 12).await.split_off(9);
    since.sort();
    // `alive` is silent as well from here on, and `gone` was given up when it might have been heard.
    let silent = |line: &String| line.contains("no heartbeat for");
    assert_eq!(since[0], r#"server.left gone {"goodbye":false}"#);
    assert!(since[1..].iter().all(silent), "{since:#?}");
    let mut quiet = Server::enter(&plane, "quiet").await;
    quiet.says(State::Healthy).await;
    let back = r#"system.health.check quiet {"before":"unhealthy","status":"healthy"}"#;
    assert_eq!(told(&plane, 13).await[12], back);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_stored_waits_and_holds_up_nobody() {
    let plane = Plane::start().await;
    let context = jetstream::new(plane.keeper.client.clone());
    let mut stream = context.get_stream(STREAM).await.expect("there");
    let config = stream.info().await.expect("info").config.clone();
    context.delete_stream(STREAM).await.expect("gone");
    let mut gh = Server::enter(&plane, "gh").await;
    gh.beats().await;
    let root = root(&plane).await;
    let end = Instant::now() + PATIENCE;
    loop {
        let seen: Result<Value, _> = root.control("server_get", json!({"server": "gh"})).await;
        if seen.is_ok() {
            break;
        }
        assert!(Instant::now() < end, "the registry stands still");
    }
    gh.says(State::Degraded).await;
    context.create_stream(config).await.expect("there again");
    let degraded = r#"system.health.check gh {"before":"healthy","status":"degraded"}"#;
    assert_eq!(told(&plane, 3).await, [NEW[0], NEW[1], degraded]);
    root.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_that_ended_in_between_is_taken_up_where_it_was() {
    let mut plane = Plane::start().await;
    let gh = Server::enter(&plane, "gh").await;
    gh.beats().await;
    told(&plane, 2).await;
    assert!(plane.control.stop().await);
    // As it stands when the first event was stored, and the end came before the second.
    let mut events: Vec<_> = stored(&plane, STREAM).await.into_iter().collect();
    let first = events.swap_remove(0).event;
    let mut second = events.swap_remove(0).event;
    second["id"] = json!("never-stored");
    let told_of = json!({"status": "healthy", "tools": 1, "digest": gh.beat.tools.digest});
    let record = json!({"told": told_of, "untold": [first, second]}).to_string();
    let written = plane.keeper.ask("$KV.WEFT_SERVERS.gh", &record).await;
    written.expect("written");
    plane.restart().await;
    let all = told(&plane, 3).await;
    assert_eq!(all, [NEW[0], NEW[1], NEW[1]]);
    // Once more: nothing is left to store.
    plane.restart().await;
    let other = Server::enter(&plane, "other").await;
    other.beats().await;
    assert_eq!(told(&plane, 5).await[3..], of("other", &NEW));
}

/// Two see the same, and one of them tells it: whichever comes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_control_planes_tell_each_thing_once() {
    let plane = Plane::start().await;
    let (other, served) = plane.beside().await;
    let mut gh = Server::enter(&plane, "gh").await;
    gh.says(State::Healthy).await;
    told(&plane, 2).await;
    let mut count = 2;
    for _ in 0..5 {
        for state in [State::Unhealthy, State::Healthy] {
            gh.says(state).await;
            count += 1;
            told(&plane, count).await;
        }
    }
    // What one of them told by itself, the other would have told within two looks.
    sleep(Duration::from_secs(3)).await;
    told(&plane, count).await;

    // One goes, and nothing is told again, or not at all.
    served.drain(Duration::from_secs(1)).await;
    assert!(other.stop().await, "it ends in time");
    gh.says(State::Left).await;
    let all = told(&plane, count + 1).await;
    assert_eq!(all[count], r#"server.left gh {"goodbye":true}"#);
}

/// One ended between writing down what it tells and telling it; another one is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_control_plane_left_untold_is_told() {
    let plane = Plane::start().await;
    let mut gh = Server::enter(&plane, "gh").await;
    gh.says(State::Healthy).await;
    told(&plane, 2).await;
    let untold = json!({
        "id": "left-by-another", "type": "system.health.check", "timestamp": "2026-11-22T09:30:00Z",
        "data": {"serverName": "gh", "status": "unhealthy", "before": "healthy"},
    });
    let record = json!({
        "told": {"status": "unhealthy", "tools": 1, "digest": gh.beat.tools.digest},
        "untold": [untold],
    });
    let record = record.to_string();
    let written = plane.keeper.ask("$KV.WEFT_SERVERS.gh", &record).await;
    written.expect("it is stored");
    // Whoever looks next finds that somebody else wrote.
    gh.says(State::Unhealthy).await;
    let all = told(&plane, 3).await;
    assert_eq!(
        all[2],
        r#"system.health.check gh {"before":"healthy","status":"unhealthy"}"#
    );
    let kept = stored(&plane, STREAM).await;
    assert_eq!(kept[2].event["id"], "left-by-another");
    // From there it goes on.
    gh.says(State::Healthy).await;
    let back = r#"system.health.check gh {"before":"unhealthy","status":"healthy"}"#;
    assert_eq!(told(&plane, 4).await[3], back);
}
