//! A secret that is put wherever callers may put one, and then looked for in everything that Weft
//! wrote: its log, the broker's log and files, the data folder, the arguments of its processes.
//!
//! This shows an absence. What it would catch: a log of `--log debug` that shows a request, a header
//! or an error's input; an event of a call, a record or a dead letter that keeps an argument; a token
//! that is stored, or handed to a server's process. That the search finds what is there, the word that
//! every event carries shows.

use std::{fs, path::Path, time::Duration};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use weftbus::{event::Event, mesh::Mesh};

use crate::stage::{LOG, Process, Stage, fixture, real};

/// What stands in each event: it has to be found.
const MARK: &str = "mark-of-an-event-that-is-kept";
const AT_ONCE: usize = 32;

/// `make canary` has the full numbers.
struct Numbers {
    calls: usize,
    events: usize,
    refusals: usize,
}

impl Numbers {
    #[expect(clippy::disallowed_methods, reason = "the same test, small and large")]
    fn asked_for() -> Self {
        let full = std::env::var_os("WEFT_CANARY_FULL").is_some();
        let (calls, events, refusals) = if full {
            (200_000, 20_000, 500)
        } else {
            (2_000, 500, 100)
        };
        Self {
            calls,
            events,
            refusals,
        }
    }
}

/// What stands around this text in a file, where it is there.
fn around(path: &Path, needle: &str) -> Option<String> {
    let bytes = fs::read(path).expect("our own file");
    let at = memchr::memmem::find(&bytes, needle.as_bytes())?;
    let from = at.saturating_sub(200);
    let until = bytes.len().min(at + needle.len() + 100);
    Some(String::from_utf8_lossy(&bytes[from..until]).into_owned())
}

/// All files below, but for those that are secrets themselves and say so.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let secret = ["token", "control.json"].map(|name| path.ends_with(format!("data/{name}")));
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() && !secret.contains(&true) {
            found.push(path);
        }
    }
    found
}

/// The arguments and the environment of a process.
fn told(pid: u32) -> Vec<u8> {
    let read = |what| fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
    [read("cmdline"), read("environ")].concat()
}

struct Place {
    stage: Stage,
    process: Process,
    mesh: Mesh,
    secret: String,
}

impl Place {
    async fn open() -> Self {
        let (python, modern) = (real("python"), fixture("modern.py"));
        let server = json!({"command": python, "args": [modern], "events": {"tasks": ["*"]}});
        let checked = json!({"command": python, "args": [modern], "validate": "adapter"});
        let stage = Stage::new(&format!(
            "servers:\n  plain: {server}\n  checked: {checked}\n"
        ));
        let process = Process::start_with(&stage, &[("WEFT_LOG", "debug")]).await;
        let mesh = stage.caller().await;
        let secret = format!("canary-{}", uuid::Uuid::now_v7().simple());
        Self {
            stage,
            process,
            mesh,
            secret,
        }
    }

    /// Calls with the secret in their arguments; each is answered with it.
    async fn call(&self, count: usize) {
        let calls = stream::iter(0..count).map(|_| async {
            let arguments = json!({"text": self.secret});
            let said = self.mesh.call_tool("plain", "echo", arguments).await;
            assert!(said.expect("an answer").text().contains(&self.secret));
        });
        calls
            .buffer_unordered(AT_ONCE)
            .for_each(async |()| {})
            .await;
    }

    async fn publish(&self, count: usize) {
        let events = stream::iter(0..count).map(|n| async move {
            let event = Event::new("task.completed", json!({"taskId": format!("{MARK}-{n}")}));
            self.mesh.events().publish(event).await.expect("stored");
        });
        events
            .buffer_unordered(AT_ONCE)
            .for_each(async |()| {})
            .await;
    }

    /// Refusals of every kind: by the adapter, by a schema, by the door, by the control plane.
    async fn be_refused(&self, count: usize) {
        let http = reqwest::Client::new();
        let url = self.stage.context().expect("it runs")["gatewayUrl"].clone();
        let url = url.as_str().expect("a gateway");
        let secret = &self.secret;
        for n in 0..count {
            match n % 5 {
                0 => {
                    let wrong = json!({"text": {"secret": secret}});
                    let said = self.mesh.call_tool("checked", "echo", wrong).await;
                    said.expect_err("not a text");
                }
                1 => {
                    let (tool, arguments) = (format!("x-{n}"), json!({"s": secret}));
                    let said = self.mesh.call_tool("plain", &tool, arguments).await;
                    said.expect_err("no such tool");
                }
                2 => {
                    let wrong = json!({"jti": secret});
                    let said = self.mesh.control::<Value>("token_revoke", wrong).await;
                    said.expect_err("no such token");
                }
                _ => {
                    let body =
                        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}});
                    let sent = http
                        .post(url)
                        .bearer_auth(secret)
                        .header("X-Api-Key", secret)
                        .header("Cookie", format!("session={secret}"))
                        .header("Accept", "application/json, text/event-stream")
                        .header("Content-Type", "application/json")
                        .body(body.to_string())
                        .timeout(Duration::from_secs(20));
                    let status = sent.send().await.expect("an answer").status();
                    assert_eq!(status, 401);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_written_anywhere() {
    let numbers = Numbers::asked_for();
    let place = Place::open().await;
    place.call(numbers.calls).await;
    place.publish(numbers.events).await;
    place.be_refused(numbers.refusals).await;
    let own = fs::read_to_string(place.stage.path().join("data/token")).expect("a token");

    let mut processes = vec![place.process.pid()];
    processes.extend(place.process.descendants().into_iter().map(|(pid, _)| pid));
    // Of a token its signature: what it says may well be said elsewhere.
    let signature = own.trim().rsplit('.').next().expect("a signature");
    // Nor any other token: they all begin so.
    let needles = [place.secret.as_str(), signature, "eyJhbGciOiJFZERTQSI"];
    for pid in &processes {
        let told = told(*pid);
        assert!(!told.is_empty(), "{pid} lives");
        for needle in needles {
            let found = memchr::memmem::find(&told, needle.as_bytes());
            assert_eq!(found, None, "{needle} in what process {pid} was told");
        }
    }
    // What is still in memory is written when they end.
    place.mesh.close().await;
    let down = place.stage.weft(&["down"]).output().expect("it runs");
    assert!(down.status.success(), "{down:?}");
    let (mut bytes, mut marked) = (0, 0);
    for path in files(&place.stage.path()) {
        for needle in needles {
            let found = around(&path, needle);
            assert_eq!(found, None, "{needle} in {}", path.display());
        }
        bytes += fs::metadata(&path).expect("ours").len();
        marked += usize::from(around(&path, MARK).is_some());
    }
    assert!(marked > 0, "the search finds what is there");
    assert!(place.stage.path().join(LOG).exists());
    eprintln!(
        "canary: {} calls, {} events, {} refusals; {bytes} bytes of files and {} processes without it",
        numbers.calls,
        numbers.events,
        numbers.refusals,
        processes.len()
    );
}
