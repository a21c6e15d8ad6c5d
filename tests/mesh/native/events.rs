//! Publishers and durable subscribers in Rust, Python and TypeScript: the programs of
//! `examples/events` and `examples/native`, each with each.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;
use weftbus::{
    event::{LetterEntry, LetterPage},
    mesh::Mesh,
};

use super::{Language, interrupt};
use crate::{
    control::join,
    plane::Plane,
    process::{kill_9, lives, until, weft},
    protocol,
    server::root,
    stage::{PATIENCE, example},
};

/// A durable that fails fast, and whose events come to another soon.
const HASTY: &str =
    r#"{"from": "start", "handing": {"tries": 2, "backoffMs": [10], "waitMs": 1000}}"#;

/// Whose programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Rust,
    Python,
    TypeScript,
}

impl Of {
    const ALL: [Self; 3] = [Self::Rust, Self::Python, Self::TypeScript];

    /// The name of a durable, and how ids begin.
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn native(self) -> Option<Language> {
        match self {
            Self::Rust => None,
            Self::Python => Some(Language::Python),
            Self::TypeScript => Some(Language::TypeScript),
        }
    }

    /// Its `publish` or `subscribe`.
    fn command(self, verb: &str) -> Command {
        let Some(language) = self.native() else {
            let mut command = Command::new(example("weft-example-events"));
            command.arg(verb);
            return command;
        };
        let (interpreter, file) = language.program(match verb {
            "publish" => "publisher",
            _ => "subscriber",
        });
        let mut command = Command::new(interpreter);
        command.arg(file);
        command
    }
}

/// A mesh, a shop that publishes, and who bills what it sells.
struct Scene {
    plane: Plane,
    shop: String,
    billing: String,
    mesh: Mesh,
    dir: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let plane = Plane::start().await;
        let shop = plane.issue("shop", &["publish:events/shop/task.*"]).await;
        let billing = plane.issue("billing", &["subscribe:events/*/task.*"]).await;
        let mesh = join(&plane, &billing.token).await.expect("let in");
        Self {
            plane,
            shop: shop.token,
            billing: billing.token,
            mesh,
            dir: tempfile::tempdir().expect("a folder"),
        }
    }

    fn as_whom<'a>(&self, command: &'a mut Command, token: &str) -> &'a mut Command {
        command
            .env("WEFT_NATS_URL", &self.plane.url)
            .env("WEFT_TOKEN", token)
    }

    /// Publishes by a program of its own, and gives what that said of each.
    fn publish(&self, of: Of, events: &[Value]) -> Vec<Value> {
        let mut command = of.command("publish");
        let command = self.as_whom(&mut command, &self.shop).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let mut to = child.stdin.take().expect("piped");
        for event in events {
            writeln!(to, "{event}").expect("written");
        }
        drop(to);
        let output = tokio::task::block_in_place(|| child.wait_with_output()).expect("it ends");
        assert!(output.status.success(), "{of:?}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let line = |line| serde_json::from_str(line).expect("JSON");
        text.lines().map(line).collect()
    }

    /// A subscriber that has not said yet that it subscribes.
    fn begin(&self, of: Of, options: &str) -> Subscriber {
        let path = |end: &str| self.dir.path().join(format!("{}.{end}", of.name()));
        let (did, said) = (path("out"), path("err"));
        let mut command = of.command("subscribe");
        let child = self
            .as_whom(&mut command, &self.billing)
            .args(["task.*", &of.name(), options])
            .stdin(Stdio::null())
            .stdout(File::create(&did).expect("the folder is ours"))
            .stderr(File::create(&said).expect("the folder is ours"))
            .spawn();
        let child = child.expect("it runs");
        Subscriber {
            of,
            child,
            did,
            said,
        }
    }

    fn all(&self, options: &str) -> Vec<Subscriber> {
        Of::ALL.map(|of| self.begin(of, options)).into()
    }

    /// So many dead letters, once there are.
    async fn letters(&self, count: usize) -> Vec<LetterEntry> {
        let read = async {
            loop {
                let page = self.mesh.control("dlq_list", json!({})).await;
                let page: LetterPage = page.expect("a page");
                if page.letters.len() >= count {
                    return page.letters;
                }
            }
        };
        let letters = timeout(PATIENCE, read).await.expect("in time");
        assert_eq!(letters.len(), count, "{letters:?}");
        letters
    }
}

/// A subscriber that runs.
struct Subscriber {
    of: Of,
    child: Child,
    did: PathBuf,
    said: PathBuf,
}

impl Subscriber {
    /// The ids of the events that it is done with, in order.
    fn effects(&self) -> Vec<String> {
        let mut ids: Vec<_> = read(&self.did).lines().map(str::to_owned).collect();
        ids.sort();
        ids
    }

    async fn says(&mut self, what: &str) {
        let of = self.of;
        until(PATIENCE, &format!("{of:?} says `{what}`"), || {
            let text = read(&self.said);
            let ended = self.child.try_wait().expect("ours");
            assert!(ended.is_none(), "{of:?}: {text}");
            text.contains(what)
        })
        .await;
    }

    /// Waits for its end.
    async fn ended(&mut self) -> ExitStatus {
        let mut ended = None;
        until(PATIENCE, &format!("{:?} ended", self.of), || {
            ended = self.child.try_wait().expect("ours");
            ended.is_some()
        })
        .await;
        ended.expect("it ended")
    }

    fn told_to_end(&self) {
        interrupt(&self.child, Signal::TERM);
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if lives(self.child.id()) {
            kill_9(self.child.id());
        }
        self.child.wait().expect("ours");
    }
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn event(id: &str, data: &Value) -> Value {
    json!({"id": id, "type": "task.x", "data": data})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_publisher_feeds_each_subscriber() {
    let scene = Scene::new().await;
    let mut subscribers = scene.all(r#"{"from": "start"}"#);
    let mut published = BTreeMap::new();
    for of in Of::ALL {
        let events: Vec<_> = (0..5)
            .map(|n| event(&format!("{}-{n}", of.name()), &json!({"n": n})))
            .collect();
        published.insert(of, (events.clone(), scene.publish(of, &events)));
    }
    let mut ids = Vec::new();
    for (events, said) in published.values() {
        for (event, said) in events.iter().zip(said) {
            assert_eq!(
                (&said["id"], &said["duplicate"]),
                (&event["id"], &json!(false))
            );
            assert_eq!(said["stream"], "WEFT_TASKS");
            ids.push(event["id"].as_str().expect("a text").to_owned());
        }
    }
    ids.sort();
    assert_eq!(ids.len(), 15);
    // Whatever the language, an identity makes the same `Nats-Msg-Id` of an id.
    for (of, other) in [
        (Of::Rust, Of::TypeScript),
        (Of::Python, Of::Rust),
        (Of::TypeScript, Of::Python),
    ] {
        let (events, first) = &published[&other];
        for (again, first) in scene.publish(of, events).iter().zip(first) {
            assert_eq!(again["duplicate"], true, "{of:?} after {other:?}: {again}");
            assert_eq!(again["seq"], first["seq"]);
        }
    }
    for subscriber in &mut subscribers {
        until(PATIENCE, "all came", || subscriber.effects().len() >= 15).await;
        subscriber.told_to_end();
    }
    for subscriber in &mut subscribers {
        let status = subscriber.ended().await;
        assert!(status.success(), "{}", read(&subscriber.said));
        assert_eq!(subscriber.effects(), ids, "{:?}", subscriber.of);
    }
    // What they were done with, they had acknowledged before they ended.
    let page: Value = scene
        .mesh
        .control("consumer_list", json!({}))
        .await
        .expect("a page");
    let all = page["consumers"].as_array().expect("a list");
    assert_eq!(all.len(), 6, "{page}");
    for one in all {
        let open = (&one["pending"], &one["unanswered"]);
        assert_eq!(open, (&json!(0), &json!(0)), "{one}");
    }
    scene.mesh.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_subscriber_had_comes_again_and_what_always_fails_is_a_dead_letter() {
    let scene = Scene::new().await;
    let mut subscribers = scene.all(HASTY);
    let trouble = "no room in the ledger";
    let bad = event("bad", &json!({"trouble": trouble}));
    scene.publish(Of::Rust, &[bad, event("good", &json!({}))]);
    for subscriber in &mut subscribers {
        subscriber.says("bad, try 2").await;
    }
    let letters = scene.letters(3).await;
    let mut gave_up: Vec<_> = letters
        .iter()
        .map(|one| one.says.consumer.clone())
        .collect();
    gave_up.sort();
    assert_eq!(
        gave_up,
        ["billing_python", "billing_rust", "billing_typescript"]
    );
    for letter in &letters {
        let says = &letter.says;
        assert_eq!((says.seq, says.attempts), (1, 2), "{says:?}");
        assert_eq!(says.reason, trouble, "{says:?}");
    }

    // Twice as long as the broker waits for a word.
    scene.publish(Of::Python, &[event("slow", &json!({"seconds": 2}))]);
    let killed = subscribers.iter_mut().map(async |subscriber| {
        subscriber.says("slow, try 1").await;
        kill_9(subscriber.child.id());
        subscriber.ended().await;
        assert_eq!(subscriber.effects(), ["good"], "{:?}", subscriber.of);
    });
    join_all(killed).await;
    let mut subscribers = scene.all(HASTY);
    for subscriber in &mut subscribers {
        subscriber.says("slow, try 2").await;
        until(PATIENCE, "it is done", || subscriber.effects() == ["slow"]).await;
    }
    // What is with a handler at the end has its time.
    scene.publish(Of::TypeScript, &[event("last", &json!({"seconds": 0.5}))]);
    for subscriber in &mut subscribers {
        subscriber.says("last, try 1").await;
        subscriber.told_to_end();
    }
    for subscriber in &mut subscribers {
        let status = subscriber.ended().await;
        assert!(status.success(), "{}", read(&subscriber.said));
        assert_eq!(
            subscriber.effects(),
            ["last", "slow"],
            "{:?}",
            subscriber.of
        );
    }
    // `slow` is none: who works on an event keeps it.
    scene.letters(3).await;

    let mut command = Command::new(weft());
    let command = scene.as_whom(&mut command, &scene.billing);
    let listed = command.args(["dlq", "list"]).output().expect("it runs");
    let table = String::from_utf8(listed.stdout).expect("UTF-8");
    for word in gave_up.iter().map(String::as_str).chain([trouble]) {
        assert!(table.contains(word), "{table}");
    }
    scene.mesh.close().await;
}

/// The vector of the document, by the modules of the examples.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_made_as_the_document_says() {
    let vector = protocol::json("event");
    let plane = Plane::start().await;
    let issued = plane.issue("shop", &["publish:events/shop/task.*"]).await;
    for (language, flag, code) in [
        (
            Language::Python,
            "-c",
            "import sys; sys.path.insert(0, sys.argv[1] + '/python'); import events; \
             print(events.message_id(*sys.argv[2:]))",
        ),
        (
            Language::TypeScript,
            "-e",
            "import(process.argv[1] + '/typescript/events.ts').then((events) => \
             console.log(events.messageId(...process.argv.slice(2))))",
        ),
    ] {
        let (interpreter, _) = language.program("publisher");
        let mut command = Command::new(interpreter);
        command.env("WEFT_TOKEN", &issued.token).args([flag, code]);
        let body = &vector["body"]["id"];
        let output = command
            .arg(root().join("examples/native"))
            .args([&vector["eventKey"], body].map(|text| text.as_str().expect("a text")))
            .output()
            .expect("it runs");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(said.trim(), vector["messageId"], "{language:?}");
    }
}
