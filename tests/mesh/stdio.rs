//! The stdio adapter before real MCP servers of both eras, and before fixtures that misbehave.

mod calls;
mod ends;
mod eras;
mod lines;
mod odd;
mod pulse;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use tower::Service as _;
use weftbus::{
    adapter::{
        State, Status,
        stdio::{Launch, Options, Upstream},
    },
    call::{Call, CallFuture, Context, Notify, Reply},
    mcp::Request,
    name::ServerName,
    spawn::Tasks,
};

use crate::{
    process::watchdog,
    stage::{self, real, told},
};

/// A cold start of a Node or Python server on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// What runs in one test, and ends with it.
struct Server {
    upstream: Upstream,
    tasks: Tasks,
}

fn fixture(name: &str) -> String {
    stage::fixture(name).display().to_string()
}

/// A fixture under the interpreter that it is written for.
fn options(program: &str, args: &[&str]) -> Options {
    Options::new(Launch {
        command: real(program),
        args: args.iter().map(Into::into).collect(),
        ..Launch::default()
    })
}

fn modern() -> Options {
    options("python", &[&fixture("modern.py")])
}

fn legacy() -> Options {
    options("python1", &[&fixture("legacy.py")])
}

fn legacy_node() -> Options {
    options("node", &[&fixture("legacy.mjs")])
}

fn noisy() -> Options {
    options("python", &[&fixture("noisy.py")])
}

impl Server {
    /// Starts a server, and does not wait for it.
    async fn begin(options: Options) -> Self {
        let tasks = Tasks::new();
        let dog = watchdog(&tasks).await;
        let name = ServerName::new("tested").expect("a name");
        Self {
            upstream: Upstream::start(name, options, &dog, &tasks),
            tasks,
        }
    }

    /// Starts a server, and waits until it is up.
    async fn up(options: Options) -> Self {
        let server = Self::begin(options).await;
        server.when("it is up", Status::is_up).await;
        server
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

    fn request(&self, request: &Value, notify: Option<Notify>) -> CallFuture {
        let body = serde_json::to_vec(request).expect("JSON");
        let request = Request::parse(body.into()).expect("a request");
        let mut context = Context::new(PATIENCE);
        context.notify = notify;
        let name = ServerName::new("tested").expect("a name");
        self.upstream
            .clone()
            .call(Call::new(name, request, context))
    }

    fn tool(&self, name: &str, arguments: Value) -> CallFuture {
        self.request(&tool(name, arguments), None)
    }

    /// The text that a tool answers.
    async fn text(&self, name: &str, arguments: Value) -> String {
        said(&self.tool(name, arguments).await.expect("an answer"))
    }

    async fn stop(self) {
        assert!(self.upstream.stop().await, "it ended in time");
        assert_eq!(self.status().state, State::Unhealthy);
        assert_eq!(self.status().pid, None);
    }
}

pub(crate) fn tool(name: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": "caller's", "method": "tools/call",
        "params": {"name": name, "arguments": arguments}})
}

pub(crate) fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// The text of the first block of a result.
pub(crate) fn said(reply: &Reply) -> String {
    let body = body(reply);
    let text = body["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("no text in {body}"))
        .to_owned()
}
