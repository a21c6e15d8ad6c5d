//! The pool before real processes: places and who waits for them, ends, idleness, pins.

mod ends;
mod pins;
mod places;

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::oneshot, time::timeout};
use tower::Service as _;
use weftbus::{
    adapter::{
        self, Pool, Status,
        pool::{Gauges, Options},
        stdio::{self, Launch},
    },
    call::{Call, CallFuture, Context, Permissions, Principal, Reply, principal::Actor},
    error::Error,
    mcp::Request,
    name::{Identity, ServerName},
    spawn::{Failure, Tasks},
};

use crate::{
    process::{lives, until, watchdog},
    stage::{fixture, real, told},
    stdio::{said, tool},
};

/// A cold start of Python servers on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pool of `stateful.py`, and where its processes write what they hold.
struct Stand {
    pool: Pool,
    dir: tempfile::TempDir,
    tasks: Tasks,
}

/// One line of what processes hold: `start` or `end`, the name of the call, the process.
type Line = (String, String, u32);

/// A call that runs by itself.
struct Asked(oneshot::Receiver<Result<Reply, Error>>);

/// A pool whose calls wait as long as the tests do.
fn options() -> Options {
    Options {
        wait: PATIENCE,
        ..Options::default()
    }
}

fn launch(program: &str, args: &[&str]) -> adapter::Options {
    let mut options = stdio::Options::new(Launch {
        command: program.into(),
        args: args.iter().map(Into::into).collect(),
        ..Launch::default()
    });
    options.escalation.close = Duration::from_secs(5);
    adapter::Options::Stdio(options)
}

fn stateful() -> adapter::Options {
    let python = real("python").display().to_string();
    let script = fixture("stateful.py").display().to_string();
    launch(&python, &[&script])
}

/// Somebody, perhaps through somebody who acts for him: `alice`, `alice by agent`.
fn principal(who: &str) -> Arc<Principal> {
    let all = || Permissions::parse(&["*"]).expect("a permission");
    let mut names = who
        .split(" by ")
        .map(|name| Identity::new(name).expect("a name"));
    let mut principal = Principal::new(names.next().expect("one"), all());
    principal.actors.extend(names.map(|identity| Actor {
        identity,
        permissions: all(),
    }));
    Arc::new(principal)
}

/// A call as somebody, or as nobody that anybody vouches for.
fn call_as(pool: &Pool, who: Option<&str>, request: &Value, within: Duration) -> CallFuture {
    let body = serde_json::to_vec(request).expect("JSON");
    let request = Request::parse(body.into()).expect("a request");
    let mut context = Context::new(within);
    context.principal = who.map(principal);
    let name = ServerName::new("tested").expect("a name");
    pool.clone().call(Call::new(name, request, context))
}

/// Process and text of what `get` and `hold` answer.
fn state(reply: &Reply) -> (u32, Option<String>) {
    let state: Value = serde_json::from_str(&said(reply)).expect("JSON");
    let pid = state["pid"].as_u64().expect("a number");
    let text = state["text"].as_str().map(str::to_owned);
    (u32::try_from(pid).expect("a process id"), text)
}

impl Asked {
    /// The process that answered.
    async fn pid(self) -> u32 {
        state(&self.answer().await.expect("an answer")).0
    }

    async fn answer(self) -> Result<Reply, Error> {
        timeout(PATIENCE, self.0)
            .await
            .expect("in time")
            .expect("it runs")
    }
}

impl Stand {
    /// A pool, with all members up that are kept.
    async fn up(options: Options) -> Self {
        let stand = Self::begin(stateful(), options).await;
        stand
            .gauge("all are up", |gauges| gauges.up >= options.min)
            .await;
        stand
    }

    async fn begin(upstream: adapter::Options, options: Options) -> Self {
        let tasks = Tasks::new();
        let dog = watchdog(&tasks).await;
        let name = ServerName::new("tested").expect("a name");
        Self {
            pool: Pool::start(name, upstream, options, &dog, &tasks),
            dir: tempfile::tempdir().expect("a folder"),
            tasks,
        }
    }

    fn status(&self) -> Status {
        self.pool.status().borrow().clone()
    }

    /// Waits until its status is as wished.
    async fn when(&self, what: &str, is: impl Fn(&Status) -> bool) -> Status {
        let mut status = self.pool.status();
        match timeout(PATIENCE, status.wait_for(is)).await {
            Ok(status) => status.expect("its owner lives").clone(),
            Err(_) => panic!("not in time: {what}: {:?}", self.status()),
        }
    }

    /// Waits until it is as full as wished.
    async fn gauge(&self, what: &str, is: impl Fn(&Gauges) -> bool) -> Gauges {
        until(PATIENCE, what, || is(&self.pool.gauges())).await;
        self.pool.gauges()
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn holding(&self, name: &str) -> CallFuture {
        self.holding_for(name, PATIENCE)
    }

    fn holding_for(&self, name: &str, within: Duration) -> CallFuture {
        let request = tool("hold", json!({"log": self.log(), "name": name}));
        call_as(&self.pool, Some("alice"), &request, within)
    }

    /// Begins a call, which has arrived at the pool when this returns, and lets it run.
    fn run(&self, mut call: CallFuture) -> Asked {
        let (answer, asked) = oneshot::channel();
        match futures_util::FutureExt::now_or_never(&mut call) {
            Some(outcome) => drop(answer.send(outcome)),
            None => {
                self.tasks.spawn("call", Failure::Logged, async move {
                    drop(answer.send(call.await));
                });
            }
        }
        Asked(asked)
    }

    /// Begins a call that is held until [`Stand::release`].
    fn hold(&self, name: &str) -> Asked {
        self.run(self.holding(name))
    }

    fn release(&self, name: &str) {
        fs::write(self.dir.path().join(format!("log.{name}")), "").expect("the folder is ours");
    }

    fn lines(&self) -> Vec<Line> {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let line = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            let [word, name, pid] = [words.next()?, words.next()?, words.next()?];
            Some((word, name, pid.parse().ok()?))
        };
        text.lines().filter_map(line).collect()
    }

    /// Waits until so many calls were begun by processes; their names and processes, in order.
    async fn started(&self, count: usize) -> Vec<(String, u32)> {
        let started = || {
            let lines = self.lines().into_iter();
            let started = lines.filter(|(word, ..)| word == "start");
            started
                .map(|(_, name, pid)| (name, pid))
                .collect::<Vec<_>>()
        };
        until(PATIENCE, &format!("{count} calls were begun"), || {
            started().len() >= count
        })
        .await;
        let started = started();
        assert_eq!(started.len(), count, "{started:?}");
        started
    }

    async fn stop(self) {
        assert!(self.pool.stop().await, "it ended in time");
        let status = self.status();
        assert_eq!(status.state, adapter::State::Unhealthy);
        assert_eq!(status.pid, None);
    }
}

/// The processes among calls that were begun.
fn pids(started: &[(String, u32)]) -> BTreeSet<u32> {
    started.iter().map(|(_, pid)| *pid).collect()
}

/// The refusal that a call has at once.
fn refused(call: CallFuture) -> Error {
    let outcome = futures_util::FutureExt::now_or_never(call);
    outcome.expect("at once").expect_err("it is refused")
}
