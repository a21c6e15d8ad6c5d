//! One real client in a process of its own, led a step at a time: `tests/real/clients/` has the
//! programs, and says what goes in and out.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{server::root, stage::real};

/// How long a client may take to start, and for any step, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program, and how it is to negotiate.
#[derive(Debug)]
pub(super) struct Client {
    program: &'static str,
    script: &'static str,
    mode: &'static str,
    /// What it comes to speak with a server of both eras.
    version: &'static str,
}

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

/// Every client, in every mode that it has.
pub(super) const CLIENTS: &[Client] = &[
    client("python", "python2.py", "auto", MODERN),
    client("python", "python2.py", "legacy", LEGACY),
    client("python", "python2.py", "2026-07-28", MODERN),
    client("python1", "python1.py", "legacy", LEGACY),
    client("node", "typescript.mjs", "auto", MODERN),
    client("node", "typescript.mjs", "legacy", LEGACY),
    client("node", "typescript.mjs", "pin", MODERN),
    client("node", "typescript.mjs", "v1", LEGACY),
];

const fn client(
    program: &'static str,
    script: &'static str,
    mode: &'static str,
    version: &'static str,
) -> Client {
    Client {
        program,
        script,
        mode,
        version,
    }
}

impl Client {
    /// A name for files and for people.
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.script, self.mode)
    }
}

/// Where the server is.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// An address, and the bearer token that it wants.
    Http { url: String, token: Option<String> },
    /// A command that speaks over stdin and stdout.
    Stdio(Vec<OsString>),
}

/// A client with a session.
pub(super) struct Driver {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    /// Lines that came while another step's were waited for.
    early: VecDeque<Value>,
    log: PathBuf,
}

impl Driver {
    /// Starts the client and waits until it has a session, of the version that it should have.
    pub(super) async fn open(client: &Client, target: &Target, folder: &Path) -> Self {
        let mut driver = Self::start(client, target, folder);
        let opened = driver.line("open").await;
        // The older TypeScript SDK does not say over stdio.
        if let Some(version) = opened.get("version") {
            assert_eq!(version, client.version, "{}", driver.name);
        }
        driver
    }

    /// Starts the client.
    pub(super) fn start(client: &Client, target: &Target, folder: &Path) -> Self {
        let log = folder.join(format!("{}.log", client.name()));
        let mut command = Command::new(real(client.program));
        let script = root().join("tests/real/clients").join(client.script);
        command.arg(script).arg(client.mode);
        match target {
            Target::Http { url, token } => {
                command.arg(url);
                command.envs(token.iter().map(|token| ("WEFT_TOKEN", token)));
            }
            Target::Stdio(words) => {
                command.arg("--").args(words);
            }
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("the folder is ours"))
            .kill_on_drop(true)
            .spawn()
            .expect("it runs");
        let stdout = child.stdout.take().expect("piped");
        Self {
            name: client.name(),
            stdin: child.stdin.take(),
            stdout: BufReader::new(stdout).lines(),
            child,
            early: VecDeque::new(),
            log,
        }
    }

    /// The names of all tools.
    pub(super) async fn list(&mut self) -> Vec<String> {
        self.send(&json!({"step": "list"})).await;
        let line = self.line("list").await;
        names(&line).unwrap_or_else(|| panic!("{}: {line}", self.name))
    }

    /// One call: `isError` and `text` of its result, or its `error`.
    pub(super) async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.send(&json!({"step": "call", "tool": tool, "arguments": arguments}))
            .await;
        self.line("call").await
    }

    /// The same, with the progress that was told.
    pub(super) async fn progress(&mut self, tool: &str, arguments: Value) -> (Vec<f64>, Value) {
        self.send(&json!({"step": "progress", "tool": tool, "arguments": arguments}))
            .await;
        let mut told = Vec::new();
        loop {
            let line = self.line("progress").await;
            match line["progress"].as_f64() {
                Some(progress) => told.push(progress),
                None => return (told, line),
            }
        }
    }

    /// Cancels a call at its first progress: the last line, which has `cancelled`.
    pub(super) async fn cancel(&mut self, tool: &str, arguments: Value) -> Value {
        self.send(&json!({"step": "cancel", "tool": tool, "arguments": arguments}))
            .await;
        loop {
            let line = self.line("cancel").await;
            if line.get("progress").is_none() {
                return line;
            }
        }
    }

    /// Hears of changes from here on.
    pub(super) async fn watch(&mut self) {
        self.send(&json!({"step": "watch"})).await;
        let line = self.line("watch").await;
        assert_eq!(line["listening"], true, "{}: {line}", self.name);
    }

    /// The names of all tools after the next change.
    pub(super) async fn changed(&mut self) -> Vec<String> {
        let line = self.line("watch").await;
        names(&line).unwrap_or_else(|| panic!("{}: {line}", self.name))
    }

    /// Ends the session as the client ends it, without a complaint.
    pub(super) async fn close(mut self) {
        let status = self.ended().await;
        assert!(status, "{}: {}", self.name, self.complaints());
    }

    /// Closes its stdin, and waits for its end: whether that was a success.
    pub(super) async fn ended(&mut self) -> bool {
        self.stdin = None;
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it ends").expect("ours").success()
    }

    /// What it wrote to stderr.
    pub(super) fn complaints(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    async fn send(&mut self, step: &Value) {
        let stdin = self.stdin.as_mut().expect("it was not closed");
        let sent = stdin.write_all(format!("{step}\n").as_bytes()).await;
        sent.unwrap_or_else(|fault| panic!("{}: {fault}\n{}", self.name, self.complaints()));
    }

    /// The next line of this step.
    async fn line(&mut self, step: &str) -> Value {
        if let Some(at) = self.early.iter().position(|line| line["step"] == step) {
            return self.early.remove(at).expect("it was found there");
        }
        loop {
            let line = timeout(PATIENCE, self.stdout.next_line()).await;
            let line = line
                .unwrap_or_else(|_| panic!("{}: no `{step}`\n{}", self.name, self.complaints()))
                .expect("a text")
                .unwrap_or_else(|| panic!("{}: it ended\n{}", self.name, self.complaints()));
            let line: Value = serde_json::from_str(&line).expect("JSON");
            if line["step"] == step {
                return line;
            }
            self.early.push_back(line);
        }
    }
}

fn names(line: &Value) -> Option<Vec<String>> {
    let names = line["tools"].as_array()?.iter();
    names
        .map(|name| name.as_str().map(ToOwned::to_owned))
        .collect()
}
