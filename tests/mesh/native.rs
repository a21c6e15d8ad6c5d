//! Members in Python and TypeScript that join by `docs/protocol.md` alone: the programs of
//! `examples/native`, run as anybody would run them, called from here and calling what is here.

mod events;

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::Instant;
use weftbus::{
    app::up::Up,
    error::{Kind, Started},
    mesh::Mesh,
    name::Identity,
    registry::{State, Transport},
};

use crate::{
    process::{kill_9, lives, until},
    protocol,
    server::root,
    stage::{PATIENCE, Stage, example, servers},
};

/// The languages of the examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    TypeScript,
}

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::Python, Self::TypeScript];

    /// A program of the examples: `server`, `caller`.
    pub(crate) fn program(self, name: &str) -> (PathBuf, PathBuf) {
        let (interpreter, folder, end) = match self {
            Self::Python => ("python", "python", "py"),
            Self::TypeScript => ("node", "typescript", "ts"),
        };
        let file = format!("examples/native/{folder}/{name}.{end}");
        (installed().join("bin").join(interpreter), root().join(file))
    }
}

/// What the programs need, installed where it is missing.
fn installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let folder = root().join(".tools/native");
        let script = root().join("examples/native/install.sh");
        let done = Command::new("bash").arg(script).arg(&folder).status();
        assert!(done.expect("bash is there").success(), "install.sh failed");
        folder
    })
}

/// A mesh with one server behind an adapter: what native callers call.
pub(crate) async fn mesh() -> (Stage, Up) {
    let search = example("weft-example-search");
    let stage = Stage::new(&servers(&[("search", &search, &[])]));
    let up = stage.up().await;
    (stage, up)
}

/// A token, in a file of its own.
async fn token(stage: &Stage, up: &Up, name: &str, permission: &str) -> PathBuf {
    let identity = Identity::new(name).expect("a name");
    let issued = up.plane().issue(identity, &[permission.to_owned()]).await;
    let file = stage.path().join(format!("{name}.token"));
    fs::write(&file, issued.expect("a token")).expect("the folder is ours");
    file
}

/// A program that joins by itself.
fn command(stage: &Stage, program: &Path, token: &Path) -> Command {
    let context = stage.context().expect("a mesh runs here");
    // Whoever starts the tests in the background of a shell has them ignore Ctrl-C, and all that
    // they start: Python then takes no notice of it.
    let mut command = Command::new("env");
    command
        .arg("--default-signal=INT")
        .arg(program)
        .env("WEFT_NATS_URL", context["natsUrl"].as_str().expect("a URL"))
        .env("WEFT_TOKEN_FILE", token)
        .env_remove("WEFT_TOKEN")
        .stdin(Stdio::null());
    command
}

/// A native server that runs.
pub(crate) struct Native {
    child: Child,
    said: PathBuf,
}

impl Native {
    /// Starts one and waits until it serves.
    pub(crate) async fn start(
        (stage, up): (&Stage, &Up),
        name: &str,
        program: &Path,
        args: &[&OsStr],
    ) -> Self {
        let token = token(stage, up, name, &format!("serve:tools/{name}/*")).await;
        let (said, told) = (
            stage.path().join(format!("{name}.out")),
            stage.path().join(format!("{name}.err")),
        );
        let child = command(stage, program, &token)
            .args(args)
            .stdout(File::create(&said).expect("the folder is ours"))
            .stderr(File::create(&told).expect("the folder is ours"))
            .spawn()
            .expect("it runs");
        let mut own = Self { child, said: told };
        until(PATIENCE, "the native server serves", || {
            let ended = own.child.try_wait().expect("ours");
            assert!(ended.is_none(), "{name}: {}", own.said());
            let text = fs::read_to_string(&said).unwrap_or_default();
            text.contains("serves\n")
        })
        .await;
        own
    }

    async fn example(stage: &Stage, up: &Up, language: Language) -> Self {
        let (interpreter, file) = language.program("server");
        Self::start((stage, up), "adder", &interpreter, &[file.as_os_str()]).await
    }

    /// What it said to people.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        interrupt(&self.child, signal);
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        if lives(self.child.id()) {
            kill_9(self.child.id());
        }
        self.child.wait().expect("ours");
    }
}

fn interrupt(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), signal).expect("it lives");
}

/// A native caller, on its way.
fn calling(stage: &Stage, language: Language, token: &Path, words: &[&str]) -> Child {
    let (interpreter, file) = language.program("caller");
    command(stage, &interpreter, token)
        .arg(file)
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs")
}

/// What a native caller said in the end.
async fn called(stage: &Stage, language: Language, token: &Path, words: &[&str]) -> Output {
    let child = calling(stage, language, token, words);
    tokio::task::block_in_place(|| child.wait_with_output()).expect("it ends")
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The text of a result.
async fn text(caller: &Mesh, tool: &str, arguments: Value) -> String {
    let result = caller.call_tool("adder", tool, arguments).await;
    result.expect("a result").text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_server_is_one_of_the_mesh() {
    for language in Language::ALL {
        let (stage, up) = mesh().await;
        let native = Native::example(&stage, &up, language).await;
        let caller = stage.caller().await;

        let tools = caller.list_tools("adder").await.expect("a list");
        assert_eq!(tools.len(), 3, "{language:?}");
        assert_eq!(text(&caller, "add", json!({"a": 1, "b": 2.5})).await, "3.5");
        assert_eq!(text(&caller, "größe", json!({"text": "äöü"})).await, "3");
        let unknown = caller.call_tool("adder", "nope", json!({})).await;
        let unknown = unknown.expect_err("there is none");
        assert_eq!(
            (unknown.kind(), unknown.has_started()),
            (Kind::ToolNotFound, Started::No)
        );
        let wrong = caller.call_tool("adder", "add", json!({"a": 1})).await;
        assert!(
            wrong
                .expect("the tool's own trouble is a result")
                .is_error()
        );

        progress_comes(&caller).await;
        it_is_cancelled(&caller, &native).await;
        it_is_known(&caller, language).await;
        it_decides_by_grants(&caller).await;
        it_leaves(native, &caller).await;
        caller.close().await;
        up.stop().await;
    }
}

async fn progress_comes(caller: &Mesh) {
    let arguments = json!({"to": 3, "every": 0.1});
    let (ask, mut notifications) = caller
        .tool("adder", "count", arguments)
        .expect("a call")
        .with_progress();
    let answer = ask
        .send()
        .await
        .expect("an answer")
        .tool()
        .expect("one of a tool");
    assert_eq!(answer.text(), "counted to 3");
    let mut heard = Vec::new();
    while let Some(said) = notifications.next().await {
        let said: Value = serde_json::from_slice(&said).expect("JSON");
        heard.push(said["params"]["progress"].clone());
    }
    assert_eq!(heard, [1, 2, 3].map(Value::from));
}

/// A caller that stops waiting ends the work; one that waits does not.
async fn it_is_cancelled(caller: &Mesh, native: &Native) {
    assert!(!native.said().contains("cancelled"), "{}", native.said());
    let long = caller.call_tool("adder", "count", json!({"to": 600, "every": 0.1}));
    let given_up = tokio::time::timeout(Duration::from_millis(500), long).await;
    assert!(given_up.is_err(), "it takes a minute");
    until(PATIENCE, "the work was ended", || {
        native.said().contains("cancelled: tools/call count")
    })
    .await;
}

async fn it_is_known(caller: &Mesh, language: Language) {
    let healthy = serde_json::to_value(State::Healthy).expect("a word");
    let mut entry = Value::Null;
    let end = Instant::now() + PATIENCE;
    while entry["state"] != healthy {
        assert!(Instant::now() < end, "{entry}");
        let asked = caller.control("server_get", json!({"server": "adder"}));
        entry = asked.await.expect("an entry");
    }
    let native = serde_json::to_value(Transport::Native).expect("a word");
    assert_eq!(entry["instances"][0]["transport"], native, "{language:?}");
    assert_eq!(entry["tools"], 3);
    assert_eq!(entry["toolDigests"][0]["name"], "add");
}

/// What no subject says, the server alone decides; a condition that it does not evaluate takes.
async fn it_decides_by_grants(caller: &Mesh) {
    for condition in [Value::Null, json!("caller == 'somebody'")] {
        let denial = json!({
            "who": "*", "permission": "call:tools/adder/gr*", "deny": true, "if": condition,
        });
        let denied: Value = caller.control("grant_add", denial).await.expect("denied");
        assert_eq!(denied["connectionsCut"], 0, "{denied}");
        comes_to(caller, Some(Kind::AccessDenied)).await;
        assert_eq!(text(caller, "add", json!({"a": 1, "b": 1})).await, "2");
        let id = json!({"id": denied["grant"]["id"]});
        let _removed: Value = caller.control("grant_remove", id).await.expect("removed");
        comes_to(caller, None).await;
    }
}

async fn comes_to(caller: &Mesh, refusal: Option<Kind>) {
    let end = Instant::now() + PATIENCE;
    loop {
        let called = caller
            .call_tool("adder", "größe", json!({"text": "a"}))
            .await;
        let said = called.err().map(|error| error.kind());
        if said == refusal {
            return;
        }
        assert!(Instant::now() < end, "{said:?} in place of {refusal:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Told to end, it says goodbye: nobody waits for its next heartbeat.
async fn it_leaves(mut native: Native, caller: &Mesh) {
    native.signal(Signal::TERM);
    let mut ended = None;
    until(PATIENCE, "it ended", || {
        ended = native.child.try_wait().expect("ours");
        ended.is_some()
    })
    .await;
    assert!(ended.expect("it ended").success(), "{}", native.said());
    let gone = caller
        .call_tool("adder", "add", json!({"a": 1, "b": 1}))
        .await;
    assert_eq!(gone.expect_err("gone").has_started(), Started::No);
    let known: Value = caller
        .control("server_list", json!({}))
        .await
        .expect("a list");
    let known = known["servers"].as_array().expect("servers");
    assert!(known.iter().all(|entry| entry["server"] != "adder"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_caller_calls_whom_it_may() {
    let (stage, up) = mesh().await;
    let alice = token(&stage, &up, "alice", "call:tools/search/*").await;
    let forged = stage.path().join("forged.token");
    let text = fs::read_to_string(&alice).expect("there");
    let (signed, _) = text.rsplit_once('.').expect("three parts");
    fs::write(&forged, format!("{signed}.{}", "A".repeat(86))).expect("ours");
    let search = [
        "search",
        "execute_parallel_search",
        r#"{"query": "market"}"#,
    ];
    for language in Language::ALL {
        let good = called(&stage, language, &alice, &search).await;
        assert_eq!(good.status.code(), Some(0), "{language:?}: {}", err(&good));
        let result: Value = serde_json::from_slice(&good.stdout).expect("JSON");
        assert_eq!(result["content"][0]["type"], "text");

        let bad = called(&stage, language, &forged, &search).await;
        assert_eq!(
            bad.status.code(),
            Some(1),
            "{language:?}: a token that is none"
        );
        let nobody = called(&stage, language, &alice, &["nobody", "x"]).await;
        assert_eq!(nobody.status.code(), Some(1), "{language:?}");
        let wrong = ["search", "execute_parallel_search", "{}"];
        let wrong = called(&stage, language, &alice, &wrong).await;
        assert_ne!(wrong.status.code(), Some(0), "{language:?}: no query");
    }
    up.stop().await;
}

/// Ctrl-C at a native caller ends the work at a native server of the other language.
#[tokio::test(flavor = "multi_thread")]
async fn native_calls_native_and_cancels() {
    let (stage, up) = mesh().await;
    let alice = token(&stage, &up, "alice", "call:tools/adder/*").await;
    let pairs = [
        (Language::Python, Language::TypeScript),
        (Language::TypeScript, Language::Python),
    ];
    for (caller, server) in pairs {
        let native = Native::example(&stage, &up, server).await;
        let short = ["adder", "count", r#"{"to": 3, "every": 0.05}"#];
        let done = called(&stage, caller, &alice, &short).await;
        assert_eq!(done.status.code(), Some(0), "{}", err(&done));
        assert_eq!(err(&done).lines().count(), 3, "{}", err(&done));
        assert!(!native.said().contains("cancelled"), "{}", native.said());

        let long = ["adder", "count", r#"{"to": 600, "every": 0.1}"#];
        let mut child = calling(&stage, caller, &alice, &long);
        // It says how far it is as soon as the call runs.
        let mut stderr = child.stderr.take().expect("piped");
        let mut first = [0; 8];
        tokio::task::block_in_place(|| std::io::Read::read_exact(&mut stderr, &mut first))
            .expect("progress");
        assert_eq!(&first, b"progress");
        interrupt(&child, Signal::INT);
        until(PATIENCE, "the work was ended", || {
            native.said().contains("cancelled: tools/call count")
        })
        .await;
        let status = tokio::task::block_in_place(|| child.wait()).expect("ours");
        let mut said = String::new();
        let read = std::io::Read::read_to_string(&mut stderr, &mut said);
        read.expect("what it said");
        assert_eq!(status.code(), Some(130), "{caller:?}: {said}");
    }
    up.stop().await;
}

/// The program in the document, as it stands there.
#[tokio::test(flavor = "multi_thread")]
async fn the_documents_own_caller_calls() {
    let (stage, up) = mesh().await;
    let alice = token(&stage, &up, "alice", "call:tools/search/*").await;
    let program = stage.path().join("document.py");
    fs::write(&program, protocol::blocks("python")[0]).expect("ours");
    let (interpreter, _) = Language::Python.program("caller");
    let run = |tool: &str| {
        let mut command = command(&stage, &interpreter, &alice);
        command
            .env("WEFT_TOKEN", fs::read_to_string(&alice).expect("there"))
            .arg(&program)
            .args(["search", tool, r#"{"query": "market"}"#]);
        tokio::task::block_in_place(|| command.output()).expect("it runs")
    };
    let good = run("execute_parallel_search");
    let answer: Value = serde_json::from_slice(&good.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", err(&good)));
    assert_eq!(answer["result"]["content"][0]["type"], "text");
    let wrong: Value = serde_json::from_slice(&run("no_such_tool").stdout).expect("JSON");
    assert!(wrong["result"].is_null(), "{wrong}");
    up.stop().await;
}
