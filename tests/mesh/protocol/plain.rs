//! A bare nats-server, a server of ours on it, and a plain NATS client that calls it by the
//! document alone.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use uuid::{Timestamp, Uuid};
use weftbus::{
    bus::{Auth, Bounds, Limits, Link, Options, Reach, ServeOptions, Served, Tls, serve},
    call::{Call, Reply, SharedService, service::answer},
    error::Error,
    name::{Identity, Instance, ServerName, header::TIMEOUT},
    spawn::Tasks,
};

use crate::server::nats_server;

/// Nothing here takes longer than this where all is well.
const SOON: Duration = Duration::from_secs(20);

/// A nats-server without accounts; it is killed when this is dropped.
pub(super) struct Nats {
    process: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Nats {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let process = Command::new(nats_server())
            .args(["-a", "127.0.0.1", "-p", "-1", "--ports_file_dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let file = folder
            .path()
            .join(format!("nats-server_{}.ports", process.id()));
        crate::process::until(SOON, "nats-server says its port", || port(&file).is_some()).await;
        let url = port(&file).expect("it was there");
        Self {
            process,
            url,
            _folder: folder,
        }
    }

    /// Where it listens.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

/// How our side connects to it.
pub(super) fn connect(nats: &Nats, identity: Identity) -> Options {
    Options {
        urls: vec![nats.url.clone()],
        name: identity.to_string(),
        backlog: weftbus::bus::connect::BACKLOG,
        identity,
        auth: Auth::Nothing,
        tls: Tls::default(),
    }
}

fn port(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let ports: Value = serde_json::from_str(&text).ok()?;
    Some(ports["nats"][0].as_str()?.to_owned())
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.process.kill().expect("it is ours");
        self.process.wait().expect("it is ours");
    }
}

/// What the server `time` does is in the test's hand.
#[derive(Clone)]
pub(super) struct Hand {
    /// One permit lets one call of `wait` end.
    pub(super) release: Arc<Semaphore>,
    /// Set when a call of `wait` was dropped before it ended.
    pub(super) dropped: Arc<AtomicBool>,
}

/// A mesh of two: our server, and a plain client.
pub(super) struct Mesh {
    pub(super) client: Client,
    pub(super) hand: Hand,
    pub(super) instance: Instance,
    answers: Subscriber,
    _served: Served,
    _tasks: Tasks,
    _nats: Nats,
}

/// The reply subjects of the client begin so.
pub(super) const REPLIES: &str = "weft.v1.rep.alice.c1";

impl Mesh {
    pub(super) async fn start(limits: Limits) -> Self {
        let nats = Nats::start().await;
        let tasks = Tasks::new();
        let time = Identity::new("time").expect("a name");
        let link = Link::connect(connect(&nats, time), &tasks).await;
        let link = link.expect("a connection");
        let hand = Hand {
            release: Arc::new(Semaphore::new(0)),
            dropped: Arc::default(),
        };
        let options = ServeOptions {
            server: ServerName::new("time").expect("a name"),
            instance: Instance::random(),
            reach: Reach::Member,
            limits,
            bounds: Bounds::default(),
            timeout: TIMEOUT,
            load: weftbus::telemetry::load::Load::default(),
        };
        let instance = options.instance.clone();
        let served = serve(&link, options, service(hand.clone()), &tasks)
            .await
            .expect("it serves");
        let client = async_nats::connect(&nats.url).await.expect("a connection");
        let answers = client.subscribe(format!("{REPLIES}.>")).await;
        Self {
            answers: answers.expect("a subscription"),
            client,
            hand,
            instance,
            _served: served,
            _tasks: tasks,
            _nats: nats,
        }
    }

    /// Publishes a message as `alice`.
    pub(super) async fn publish(
        &self,
        subject: &str,
        reply: &str,
        headers: &[(&'static str, &str)],
        body: impl Into<Bytes>,
    ) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        let (subject, reply) = (subject.to_owned(), reply.to_owned());
        let sent = if headers.is_empty() {
            let publish = self.client.publish_with_reply(subject, reply, body.into());
            publish.await
        } else {
            let publish =
                self.client
                    .publish_with_reply_and_headers(subject, reply, map, body.into());
            publish.await
        };
        sent.expect("it is published");
    }

    /// Calls a tool, and says on which subject it is answered.
    pub(super) async fn call(
        &self,
        tool: &str,
        headers: &[(&'static str, &str)],
        arguments: Value,
    ) -> String {
        let reply = reply_at(0);
        self.publish(&request(tool), &reply, headers, body(tool, &arguments))
            .await;
        reply
    }

    /// The next message that answers anything.
    pub(super) async fn next(&mut self) -> Message {
        let next = tokio::time::timeout(SOON, self.answers.next()).await;
        next.expect("an answer in time")
            .expect("the subscription lasts")
    }

    /// The next message that is no `ack` and no `ka`: they may stand between any two.
    pub(super) async fn next_word(&mut self) -> Message {
        loop {
            let message = self.next().await;
            if !matches!(header(&message, "Weft-Frame"), Some("ack" | "ka")) {
                return message;
            }
        }
    }
}

pub(super) fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let headers = message.headers.as_ref()?;
    headers.get(name).map(async_nats::HeaderValue::as_str)
}

pub(super) fn request(tool: &str) -> String {
    format!("weft.v1.req.alice.time.tools.call.{tool}")
}

pub(super) fn body(tool: &str, arguments: &Value) -> String {
    let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": "p"}});
    json!({"jsonrpc": "2.0", "id": "a1", "method": "tools/call", "params": params}).to_string()
}

/// The reply subject of a call that was made so many milliseconds ago.
pub(super) fn reply_at(age_ms: i64) -> String {
    let now = chrono::Utc::now().timestamp_millis() - age_ms;
    let (seconds, ms) = (now.div_euclid(1000), now.rem_euclid(1000));
    let nanos = u32::try_from(ms).expect("below 1000") * 1_000_000;
    let stamp = Timestamp::from_unix(uuid::NoContext, seconds.cast_unsigned(), nanos);
    format!("{REPLIES}.time.{}", Uuid::new_v7(stamp).as_simple())
}

fn service(hand: Hand) -> SharedService {
    SharedService::new(answer(move |call: Call| work(hand.clone(), call)))
}

async fn work(hand: Hand, call: Call) -> Result<Reply, Error> {
    let params: Value = serde_json::from_str(call.request.params().unwrap_or("{}")).expect("JSON");
    let result = match call.request.name() {
        Some("wait") => wait(&hand, &call).await,
        // A text of so many bytes.
        Some("large") => {
            let bytes = params["arguments"]["bytes"].as_u64().expect("a number");
            json!("x".repeat(usize::try_from(bytes).expect("it fits")))
        }
        // How long the request was.
        _ => json!({"bytes": call.request.body().len()}),
    };
    let id = call.request.id().expect("a call has one");
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    Ok(Reply {
        body: body.into(),
        failed: false,
    })
}

/// Says something, and ends when the test says so.
async fn wait(hand: &Hand, call: &Call) -> Value {
    struct Dropped(Arc<AtomicBool>, bool);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_or(!self.1, Ordering::SeqCst);
        }
    }
    let mut guard = Dropped(Arc::clone(&hand.dropped), false);
    if let Some(notify) = &call.context.notify {
        notify.send(Bytes::from_static(
            br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":1}}"#,
        ));
    }
    hand.release.acquire().await.expect("never closed").forget();
    guard.1 = true;
    json!({})
}
