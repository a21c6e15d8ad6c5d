//! The control plane over time: what it remembers, what it stands, which brokers it takes.

use std::{sync::Arc, time::Duration};

use async_nats::{ConnectOptions, jetstream};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};
use weftbus::{
    access::{self, Role},
    bus::Auth,
    control::{Accounts, Control, Secrets},
    error::{Kind, case},
    registry::{Calls, Heartbeat, State, Tools, Transport},
    spawn::Tasks,
};

use crate::{
    control::{join, kind_of, root},
    plane::{Peer, Plane, options, wish},
    process::until,
    server::nats_server,
};

/// What an instance of a server without tools says.
pub(crate) fn beat(server: &str, state: State) -> Heartbeat {
    Heartbeat {
        server: server.parse().expect("a name"),
        instance: "i1".parse().expect("a name"),
        version: "0".to_owned(),
        state,
        since: access::now_ms(),
        sent_at: access::now_ms(),
        transport: Transport::Native,
        pid: None,
        restarts: 0,
        revision: None,
        server_info: None,
        capabilities: None,
        tools: Tools::default(),
        last_error: None,
        host: None,
        probe: None,
        calls: Calls::default(),
        breaker: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_believes_who_may_say_it_and_remembers() {
    let mut plane = Plane::start().await;
    let gh = plane.enter("gh", Role::Server, &["serve:tools/gh/*"]).await;
    let say = async |beat: &Heartbeat| {
        let body = String::from_utf8(beat.encode()).expect("JSON");
        gh.publish("weft.v1.hb.gh.i1", None, &body).await;
    };
    let knows = |plane: &Plane, server: &str| {
        let name = server.parse().expect("a name");
        plane.control.registry().servers().borrow().knows(&name)
    };
    say(&beat("jira", State::Healthy)).await;
    say(&beat("gh", State::Degraded)).await;
    until(Duration::from_secs(2), "gh is known", || {
        knows(&plane, "gh")
    })
    .await;
    assert!(!knows(&plane, "jira"), "gh spoke for jira");

    let root = root(&plane).await;
    let seen: Value = root
        .control("server_get", json!({"server": "gh"}))
        .await
        .expect("known");
    assert_eq!(seen["state"], "degraded", "{seen}");
    let error = root
        .control::<Value>("server_get", json!({"server": "ghh"}))
        .await;
    let error = error.expect_err("unknown");
    assert!(error.is_case(case::SERVER_NOT_FOUND) && error.message().contains("`gh`"));
    let bob = plane.issue("bob", &["call:tools/other/x"]).await;
    let bob = join(&plane, &bob.token).await.expect("let in");
    let list: Value = bob.control("server_list", json!({})).await.expect("a list");
    assert_eq!(list["servers"], json!([]), "not his");

    let written = async || plane.holds().await.contains("$KV.WEFT_SERVERS.gh.i1");
    let end = Instant::now() + Duration::from_secs(5);
    while !written().await {
        assert!(Instant::now() < end, "never written down");
        sleep(Duration::from_millis(20)).await;
    }
    let before = plane.control.trust().number();
    let tokens = plane.control.tokens().table().borrow().len();
    plane.restart().await;
    assert!(knows(&plane, "gh"), "read back");
    assert_eq!(plane.control.tokens().table().borrow().len(), tokens);
    assert!(plane.control.trust().number() > before, "numbers increase");
    say(&beat("gh", State::Left)).await;
    until(Duration::from_secs(2), "gh left", || !knows(&plane, "gh")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_header_does_not_deafen_the_control_plane() {
    let plane = Plane::start().await;
    let gh = plane.issue("gh", &["serve:tools/gh/*"]).await;
    // No client library sends this: a bare CR in a header, which ends the receiver's task.
    let address = plane.url.trim_start_matches("nats://");
    let mut raw = TcpStream::connect(address).await.expect("the broker");
    let header = "NATS/1.0\r\nA: x\ry\r\n\r\n";
    let hello = json!({"verbose": true, "headers": true, "auth_token": gh.token});
    let size = header.len();
    let poison = format!(
        "CONNECT {hello}\r\nPING\r\nHPUB weft.v1.hb.gh.i1 {size} {}\r\n{header}{{}}\r\nPING\r\n",
        size + 2
    );
    raw.write_all(poison.as_bytes()).await.expect("sent");
    let mut said = String::new();
    let mut buffer = [0; 4096];
    while said.matches("PONG").count() < 2 {
        let count = raw.read(&mut buffer).await.expect("the broker speaks");
        assert!(count > 0, "cut: {said}");
        said.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    assert!(!said.contains("-ERR"), "{said}");
    // Within a few seconds it hears heartbeats, issues tokens and lets clients in again.
    let peer = plane
        .connect("gh", &gh.token)
        .await
        .expect("AUTH is untouched");
    let body = String::from_utf8(beat("gh", State::Healthy).encode()).expect("JSON");
    let end = Instant::now() + Duration::from_secs(15);
    let name = "gh".parse().expect("a name");
    while !plane.control.registry().servers().borrow().knows(&name) {
        assert!(Instant::now() < end, "deaf");
        peer.publish("weft.v1.hb.gh.i1", None, &body).await;
        sleep(Duration::from_millis(50)).await;
    }
    plane.issue("alice", &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_are_mended_or_refused_with_the_reason() {
    let plane = Plane::start().await;
    assert!(plane.control.stop().await);
    let context = jetstream::new(plane.keeper.client.clone());
    let mut stream = context.get_stream("KV_WEFT_TOKENS").await.expect("there");
    let mut config = stream.info().await.expect("info").config.clone();
    config.allow_direct = true;
    context.update_stream(&config).await.expect("changed");
    let tasks = Tasks::new();
    let control = Control::start(options(&plane.url, &plane.secrets), &tasks)
        .await
        .expect("mended");
    assert!(!stream.info().await.expect("info").config.allow_direct);
    assert!(control.stop().await);

    context
        .delete_stream("KV_WEFT_SERVERS")
        .await
        .expect("gone");
    let mut config = config.clone();
    config.name = "KV_WEFT_SERVERS".to_owned();
    config.subjects = vec!["$KV.WEFT_SERVERS.>".to_owned()];
    config.storage = jetstream::stream::StorageType::Memory;
    config.max_bytes = 1 << 20;
    context.create_stream(config).await.expect("another kind");
    let refused = Control::start(options(&plane.url, &plane.secrets), &tasks).await;
    let error = refused.expect_err("refused");
    assert_eq!(error.kind(), Kind::InternalError);
    assert!(error.message().contains("storage is Memory"), "{error}");
}

/// A broker that somebody else runs: one account, nobody asked who connects.
pub(crate) struct Foreign(std::process::Child);

impl Foreign {
    pub(crate) async fn start(folder: &std::path::Path) -> (Self, String) {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a free port")
            .port();
        let child = std::process::Command::new(nats_server())
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(folder)
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("nats-server starts");
        (Self(child), format!("nats://127.0.0.1:{port}"))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.0.kill().expect("it is ours");
        self.0.wait().expect("it ended");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_with_one_account_serves_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_broker, url) = Foreign::start(dir.path()).await;
    let secrets = Arc::new(Secrets::generate());
    let mut options = options(&url, &secrets);
    options.accounts = Accounts::One(Auth::Nothing);
    // It may not listen yet: the control plane tries again until it does.
    let tasks = Tasks::new();
    let control = Control::start(options, &tasks)
        .await
        .expect("a control plane");
    let issued = control
        .issue_local(wish("alice", None, &["call:tools/gh/*"]))
        .await
        .expect("a token");
    let admitted = control
        .tokens()
        .admit(&issued.token)
        .await
        .expect("recorded");
    assert_eq!(admitted, issued.claims);
    assert!(control.trust().is_fresh());
    let gh = Peer::join(&url, "gh", ConnectOptions::new())
        .await
        .expect("open to all");
    let body = String::from_utf8(beat("gh", State::Healthy).encode()).expect("JSON");
    gh.publish("weft.v1.hb.gh.i1", None, &body).await;
    let name = "gh".parse().expect("a name");
    until(Duration::from_secs(2), "gh is known", || {
        control.registry().servers().borrow().knows(&name)
    })
    .await;
    assert!(control.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_that_knows_us_it_is_said_why() {
    let plane = Plane::start().await;
    let strangers = Arc::new(Secrets::generate());
    let refused = Control::start(options(&plane.url, &strangers), &Tasks::new()).await;
    assert_eq!(kind_of(refused).0, Kind::AuthenticationFailed);
    let began = Instant::now();
    let nobody = Control::start(options("nats://127.0.0.1:9", &strangers), &Tasks::new()).await;
    let said = nobody.expect_err("no broker");
    assert!(said.is_case(case::BROKER_UNAVAILABLE), "{said}");
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
}
