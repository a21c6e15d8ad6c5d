//! What the tests stand on: links to a broker, an echo, and a caller who speaks the wire by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::Value;
use tower::ServiceExt as _;
use weftbus::{
    bus::{Auth, Bounds, Limits, Link, Options, Reach, Remote, ServeOptions, Served, Tls, serve},
    call::{Call, Context, Reply, SharedService, service::answer},
    error::Error,
    mcp::Request,
    name::{CallId, Connection, Identity, Instance, ServerName, subject},
    spawn::Tasks,
};

use super::plain::Broker;

pub(super) const SOON: Duration = Duration::from_secs(20);

/// A broker and the tasks of those on it.
pub(super) struct Bench {
    pub(super) broker: Broker,
    pub(super) tasks: Tasks,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with("")
    }

    pub(super) fn with(config: &str) -> Self {
        Self {
            broker: Broker::start(config),
            tasks: Tasks::new(),
        }
    }

    pub(super) async fn join(&self, identity: &str, auth: Auth) -> Result<Link, Error> {
        self.join_by(self.broker.url(), identity, auth).await
    }

    /// By another way to the broker than the shortest.
    pub(super) async fn link_by(&self, url: String, identity: &str) -> Link {
        let link = self.join_by(url, identity, Auth::Nothing).await;
        link.expect("the broker lets everybody in")
    }

    async fn join_by(&self, url: String, identity: &str, auth: Auth) -> Result<Link, Error> {
        let options = Options {
            urls: vec![url],
            identity: who(identity),
            auth,
            tls: Tls::default(),
            name: identity.to_owned(),
            backlog: weftbus::bus::connect::BACKLOG,
        };
        Link::connect(options, &self.tasks).await
    }

    pub(super) async fn link(&self, identity: &str) -> Link {
        let link = self.join(identity, Auth::Nothing).await;
        link.expect("the broker lets everybody in")
    }

    pub(super) async fn remote(&self, identity: &str) -> Remote {
        Remote::new(self.link(identity).await, Bounds::default())
    }

    pub(super) async fn serve(&self, service: SharedService) -> Served {
        self.serve_as(options(), service).await
    }

    pub(super) async fn serve_as(&self, options: ServeOptions, service: SharedService) -> Served {
        let link = self.link("gh").await;
        serve(&link, options, service, &self.tasks)
            .await
            .expect("nobody forbids it")
    }

    /// A client of the library, which knows nothing of Weft.
    pub(super) async fn client(&self) -> Client {
        async_nats::connect(self.broker.url())
            .await
            .expect("the broker runs")
    }

    /// A plain client that hears this; the broker has seen the subscription.
    pub(super) async fn listen(&self, subject: &'static str) -> (Client, Subscriber) {
        let client = self.client().await;
        let heard = client.subscribe(subject).await.expect("connected");
        let nobody = client.request("nobody.there", Bytes::new()).await;
        assert!(nobody.is_err() || subject == ">", "nobody is there");
        (client, heard)
    }

    /// A caller who writes his messages himself.
    pub(super) async fn hand(&self, identity: &str) -> Hand {
        let client = self.client().await;
        let connection = Connection::random();
        let all = subject::replies(&who(identity), &connection);
        let heard = client.subscribe(all).await.expect("connected");
        Hand {
            client,
            connection,
            identity: who(identity),
            heard,
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

/// A caller who writes his messages himself.
pub(super) struct Hand {
    pub(super) client: Client,
    pub(super) connection: Connection,
    pub(super) identity: Identity,
    pub(super) heard: Subscriber,
}

impl Hand {
    pub(super) fn reply(&self, call: CallId) -> String {
        subject::reply(&self.identity, &self.connection, &gh(), call)
    }

    /// Sends a request as a Weft client would, but with these headers.
    pub(super) async fn send(&self, call: CallId, headers: HeaderMap, body: Bytes) {
        let to = "weft.v1.req.alice.gh.tools.call.x";
        let reply = self.reply(call);
        self.client
            .publish_with_reply_and_headers(to, reply, headers, body)
            .await
            .expect("connected");
    }

    pub(super) async fn next(&mut self) -> Message {
        let next = tokio::time::timeout(SOON, self.heard.next()).await;
        next.expect("in time").expect("connected")
    }
}

pub(super) fn who(name: &str) -> Identity {
    Identity::new(name).expect("a name")
}

pub(super) fn server(name: &str) -> ServerName {
    ServerName::new(name).expect("a name")
}

pub(super) fn gh() -> ServerName {
    server("gh")
}

/// How `gh` is served.
pub(super) fn options() -> ServeOptions {
    ServeOptions {
        server: gh(),
        instance: Instance::random(),
        reach: Reach::Member,
        limits: Limits::default(),
        bounds: Bounds::default(),
        timeout: weftbus::name::header::TIMEOUT,
        load: weftbus::telemetry::load::Load::default(),
    }
}

/// With so many places, and no line before them.
pub(super) fn limits(calls: usize) -> ServeOptions {
    ServeOptions {
        limits: Limits {
            calls,
            queue: 0,
            ..Limits::default()
        },
        ..options()
    }
}

/// A call of the tool `x`, with this beside its arguments.
pub(super) fn body(more: &str) -> Bytes {
    Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"x"{more}}}}}"#
    ))
}

pub(super) fn call_of(server: &str, body: Bytes, time: Duration) -> Call {
    let request = Request::parse(body).expect("a request");
    Call::new(self::server(server), request, Context::new(time))
}

pub(super) fn call() -> Call {
    call_of("gh", body(""), Duration::from_secs(30))
}

/// A call that carries `size` bytes.
pub(super) fn large(size: usize) -> Call {
    let more = format!(r#","arguments":"{}""#, "x".repeat(size));
    call_of("gh", body(&more), Duration::from_secs(30))
}

pub(super) fn reply(body: impl Into<Bytes>) -> Reply {
    Reply {
        body: body.into(),
        failed: false,
    }
}

/// Answers with the request.
pub(super) fn echo() -> SharedService {
    SharedService::new(answer(|call: Call| async move { Ok(echoed(&call)) }))
}

pub(super) fn echoed(call: &Call) -> Reply {
    let (id, request) = (call.request.id().unwrap_or("null"), call.request.body());
    let mut body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"#).into_bytes();
    body.extend_from_slice(request);
    body.push(b'}');
    reply(body)
}

/// Calls, and hears what comes within [`SOON`].
pub(super) async fn ask(remote: &Remote, call: Call) -> Result<Reply, Error> {
    tokio::time::timeout(SOON, remote.clone().oneshot(call))
        .await
        .expect("an outcome in time")
}

/// A call passes: the server lives.
pub(super) async fn passes(remote: &Remote) {
    let sent = call();
    let heard = ask(remote, sent.clone()).await.expect("a good call passes");
    assert_eq!(heard.body, echoed(&sent).body);
}

pub(super) fn json(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).expect("JSON")
}

pub(super) fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    Some(message.headers.as_ref()?.get(name)?.as_str())
}

pub(super) fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.insert(*name, *value);
    }
    headers
}

/// Calls that came to a service: how many there are now, came, and were dropped.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<[AtomicUsize; 3]>);

impl Seen {
    pub(super) fn now(&self) -> usize {
        self.0[0].load(Ordering::SeqCst)
    }

    pub(super) fn came(&self) -> usize {
        self.0[1].load(Ordering::SeqCst)
    }

    pub(super) fn dropped(&self) -> usize {
        self.0[2].load(Ordering::SeqCst)
    }

    /// Counts the call that holds it.
    pub(super) fn enter(&self) -> Inside {
        self.0[0].fetch_add(1, Ordering::SeqCst);
        self.0[1].fetch_add(1, Ordering::SeqCst);
        Inside {
            seen: self.clone(),
            ended: false,
        }
    }
}

pub(super) struct Inside {
    seen: Seen,
    ended: bool,
}

impl Inside {
    pub(super) fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.seen.0[0].fetch_sub(1, Ordering::SeqCst);
        if !self.ended {
            self.seen.0[2].fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// An echo that answers when it may.
pub(super) fn gated() -> (SharedService, Seen, tokio::sync::watch::Sender<bool>) {
    let (open, gate) = tokio::sync::watch::channel(false);
    let seen = Seen::default();
    let counted = seen.clone();
    let service = answer(move |call: Call| {
        let (mut gate, inside) = (gate.clone(), counted.enter());
        async move {
            gate.wait_for(|open| *open).await.expect("the test lives");
            inside.end();
            Ok(echoed(&call))
        }
    });
    (SharedService::new(service), seen, open)
}
