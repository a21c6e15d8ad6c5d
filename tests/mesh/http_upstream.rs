//! The adapter before HTTP servers: real ones of both eras, and a raw peer that misbehaves on cue.

mod calls;
mod guard;
mod mesh;
mod odd;
mod peer;
mod pool;
pub(crate) mod process;
mod real;
mod sessions;
mod stdio;

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;
use tower::Service as _;
use weftbus::{
    adapter::{
        Status,
        streamable::{Endpoint, Headers, Options, Upstream},
    },
    call::{Call, CallFuture, Context, Notify},
    mcp::Request,
    name::ServerName,
    spawn::Tasks,
};

use self::peer::Peer;
use crate::{
    stage::told,
    stdio::{body, said, tool},
};

/// A cold start of a Node or Python server on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The adapter of one server, and what ends with it.
struct Server {
    upstream: Upstream,
    _tasks: Tasks,
}

/// A server of our own configuration at this URL, tried again soon.
fn options(url: &str) -> Options {
    let endpoint = Endpoint::own(url).expect("a URL");
    let mut options = Options::new(endpoint, Headers::default());
    options.backoff.missing = Duration::from_millis(200);
    options
}

impl Server {
    /// Begins with a server, and does not wait for it.
    fn begin(options: Options) -> Self {
        let tasks = Tasks::new();
        let name = ServerName::new("tested").expect("a name");
        Self {
            upstream: Upstream::start(name, options, &tasks),
            _tasks: tasks,
        }
    }

    /// Begins with a server, and waits until it is up.
    async fn up(options: Options) -> Self {
        let server = Self::begin(options);
        server.when("it is up", Status::is_up).await;
        server
    }

    async fn of(peer: &Peer) -> Self {
        Self::up(options(&peer.url)).await
    }

    fn status(&self) -> Status {
        self.upstream.status().borrow().clone()
    }

    /// Waits until its status is as wished.
    async fn when(&self, what: &str, is: impl Fn(&Status) -> bool) -> Status {
        let mut status = self.upstream.status();
        match timeout(PATIENCE, status.wait_for(is)).await {
            Ok(status) => status.expect("its owner lives").clone(),
            Err(_) => panic!("not in time: {what}: {:?}", self.status()),
        }
    }

    fn request(&self, request: &Value, within: Duration, notify: Option<Notify>) -> CallFuture {
        let body = serde_json::to_vec(request).expect("JSON");
        let request = Request::parse(body.into()).expect("a request");
        let mut context = Context::new(within);
        context.notify = notify;
        let name = ServerName::new("tested").expect("a name");
        self.upstream
            .clone()
            .call(Call::new(name, request, context))
    }

    fn tool(&self, name: &str, arguments: Value) -> CallFuture {
        self.request(&tool(name, arguments), PATIENCE, None)
    }

    /// The text that a tool answers.
    async fn text(&self, name: &str, arguments: Value) -> String {
        said(&self.tool(name, arguments).await.expect("an answer"))
    }

    /// Kind, case and `started` of the error of a call of `echo`, and its sentence.
    async fn refused(&self) -> (String, String) {
        let error = self.tool("echo", serde_json::json!({"text": "x"})).await;
        let error = error.expect_err("no answer");
        (told(&error), error.message().to_owned())
    }

    async fn stop(self) {
        assert!(self.upstream.stop().await, "it ended in time");
        assert!(!self.status().is_up());
    }
}
