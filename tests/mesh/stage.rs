//! A whole mesh for a test, in this process or in one of its own, and who calls it.
//!
//! Everything about one mesh lies in one folder: `weft.yaml`, `mcp.json` where there is one, and
//! its data. So a mesh that was killed is found again by who starts another one there.

use std::{
    ffi::OsStr,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use serde_json::{Value, json};
use weftbus::{
    app::up::{Options, StartError, Up},
    broker::Search,
    config::{self, Env, Overrides, Sources},
    error::Error,
    mesh::{self, Mesh, ToolResult},
};

use crate::{
    process::{kill_9, lives, until, weft},
    server::{nats_server, root},
};

/// How long a mesh and its servers may take to start on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// What a mesh in a process of its own says to people.
pub(crate) const LOG: &str = "process.log";

/// The folder of one mesh.
pub(crate) struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    /// A mesh with the servers of this configuration.
    pub(crate) fn new(yaml: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("weft.yaml"), yaml).expect("the folder is ours");
        Self { dir }
    }

    /// A command line of ours, on this mesh.
    pub(crate) fn weft(&self, words: &[&str]) -> Command {
        let mut command = Command::new(weft());
        command
            .args(words)
            .args(["--data", "data"])
            // A free port: many meshes run at once here.
            .env("WEFT_LISTEN", "127.0.0.1:0")
            .current_dir(self.path());
        command
    }

    /// Without symbolic links.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().expect("it is there")
    }

    pub(crate) async fn start(&self) -> Result<Up, StartError> {
        start(self.dir.path(), Some(([127, 0, 0, 1], 0).into())).await
    }

    /// A mesh that listens where its own file says.
    pub(crate) async fn listening(&self) -> Up {
        start(self.dir.path(), None).await.expect("the mesh starts")
    }

    pub(crate) async fn up(&self) -> Up {
        self.start().await.expect("the mesh starts")
    }

    /// What `context.json` says of the mesh that runs here.
    pub(crate) fn context(&self) -> Option<Value> {
        let text = fs::read(self.dir.path().join("data/context.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// What `weft up` said so far: its banner, and its log.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default()
    }

    /// Whoever works on this machine, as commands find the mesh: by its `context.json`.
    pub(crate) async fn caller(&self) -> Mesh {
        let context = self.context().expect("a mesh runs here");
        let file = context["tokenFile"].as_str().expect("a token file");
        let token = fs::read_to_string(file).expect("a token");
        self.join(&token).await.expect("the token lets us in")
    }

    /// Who holds this token.
    pub(crate) async fn join(&self, token: &str) -> Result<Mesh, Error> {
        let context = self.context().expect("a mesh runs here");
        let url = context["natsUrl"].as_str().expect("a URL");
        Mesh::connect(mesh::Options::new(url, token)).await
    }
}

async fn start(folder: &Path, listen: Option<SocketAddr>) -> Result<Up, StartError> {
    nats_server();
    let client = folder.join("mcp.json");
    let sources = Sources {
        file: Some(folder.join("weft.yaml")),
        import: client.exists().then_some(client).into_iter().collect(),
        overrides: Overrides {
            data: Some(folder.join("data")),
            listen,
            ..Overrides::default()
        },
        env: Env::process(),
        folder: folder.to_owned(),
    };
    Up::start(Options {
        loaded: config::load(&sources).expect("a good configuration"),
        sources: Some(sources),
        gateway: true,
        search: Search {
            project_dirs: vec![root().join(".tools/nats")],
            path_var: None,
        },
        ephemeral: false,
        watchdog: Some(weft()),
    })
    .await
}

/// A mesh in a process of its own: `weft up`.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts the mesh of this folder, and waits until it serves.
    pub(crate) async fn start(stage: &Stage) -> Self {
        Self::start_with(stage, &[]).await
    }

    /// The same, with more variables.
    pub(crate) async fn start_with(stage: &Stage, variables: &[(&str, &str)]) -> Self {
        let client = stage.path().join("mcp.json");
        let import = client.exists().then_some(["--import", "mcp.json"]);
        let mut command = stage.weft(&["up", "-c", "weft.yaml"]);
        command
            .args(import.iter().flatten())
            .arg("--nats-server")
            .arg(nats_server())
            .envs(variables.iter().copied());
        Self::run(stage, command).await
    }

    /// A control plane alone, on a broker that somebody else runs.
    pub(crate) async fn control(stage: &Stage, url: &str) -> Self {
        let command = stage.weft(&["control", "-c", "weft.yaml", "--nats", url]);
        Self::run(stage, command).await
    }

    async fn run(stage: &Stage, mut command: Command) -> Self {
        let log = stage.path().join(LOG);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("the folder is ours"))
            .spawn()
            .expect("it runs");
        let mut own = Self { child };
        let pid = own.pid();
        until(PATIENCE, "the process serves", || {
            let ended = own.child.try_wait().expect("ours");
            assert!(ended.is_none(), "{}", stage.said());
            stage.context().is_some_and(|context| context["pid"] == pid)
        })
        .await;
        own
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that runs below it, with the programs' names: children, theirs, and so on.
    pub(crate) fn descendants(&self) -> Vec<(u32, String)> {
        descendants(self.pid())
    }

    /// Kills it, and it alone.
    pub(crate) fn kill(&mut self) {
        kill_9(self.pid());
        self.child.wait().expect("ours");
    }

    /// The most memory that it had at a time, bytes.
    pub(crate) fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.expect("a peak").trim().trim_end_matches(" kB");
        kib.parse::<u64>().expect("a number") << 10
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if lives(self.pid()) {
            self.kill();
        }
    }
}

/// All that runs below a process, with the programs' names.
pub(crate) fn descendants(of: u32) -> Vec<(u32, String)> {
    let mut found = vec![(of, String::new())];
    let mut next = 0;
    while let Some((parent, _)) = found.get(next).cloned() {
        found.extend(children(parent));
        next += 1;
    }
    found.split_off(1)
}

/// The processes whose parent is this one.
fn children(parent: u32) -> Vec<(u32, String)> {
    let all = fs::read_dir("/proc").expect("a system with /proc");
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let of = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // `pid (name) state ppid …`, and the name may hold anything.
        let (start, rest) = stat.rsplit_once(") ")?;
        let above: u32 = rest.split(' ').nth(1)?.parse().ok()?;
        let name = start.split_once('(')?.1.to_owned();
        (above == parent).then_some((pid, name))
    };
    pids.filter_map(of).collect()
}

/// One line of `weft.yaml` a server.
pub(crate) fn servers(list: &[(&str, &Path, &[&OsStr])]) -> String {
    let line = |(name, command, args): &(&str, &Path, &[&OsStr])| {
        let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
        // JSON is YAML.
        format!("  {name}: {}\n", json!({"command": command, "args": args}))
    };
    list.iter()
        .map(line)
        .fold("servers:\n".to_owned(), |yaml, line| yaml + &line)
}

/// A program of `examples/`.
pub(crate) fn example(name: &str) -> PathBuf {
    let folder = weft();
    let folder = folder.parent().expect("a file is in a folder");
    folder.join("examples").join(name)
}

/// A program of the real servers, installed where it is missing.
pub(crate) fn real(name: &str) -> PathBuf {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    let (script, folder) = (
        root().join("tests/real/install.sh"),
        root().join(".tools/real"),
    );
    INSTALLED.get_or_init(|| {
        let done = Command::new("bash").arg(script).arg(&folder).status();
        assert!(done.expect("bash is there").success(), "install.sh failed");
    });
    folder.join("bin").join(name)
}

/// A server of `tests/real/fixtures`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    root().join("tests/real/fixtures").join(name)
}

/// A call that runs on the server by now: the tool `slow` of a fixture, which has said so.
pub(crate) struct Slow {
    pub(crate) answer: tokio::task::JoinHandle<Result<ToolResult, Error>>,
    mark: PathBuf,
}

impl Slow {
    pub(crate) async fn begin(stage: &Stage, by: &Mesh, server: &str, seconds: f64) -> Self {
        let mark = stage.path().join(format!("{server}.mark"));
        let arguments = json!({"seconds": seconds, "mark": mark});
        let (caller, server) = (by.clone(), server.to_owned());
        let call = async move { caller.call_tool(&server, "slow", arguments).await };
        #[expect(
            clippy::disallowed_methods,
            reason = "its owner is who awaits the answer"
        )]
        let answer = tokio::spawn(call);
        let slow = Self { answer, mark };
        until(PATIENCE, "the call is with the server", || {
            assert!(!slow.answer.is_finished(), "answered before it began");
            slow.says("started")
        })
        .await;
        assert!(!slow.says("finished"), "it is in flight");
        slow
    }

    /// Whether the server wrote this word about the call.
    pub(crate) fn says(&self, word: &str) -> bool {
        let text = fs::read_to_string(&self.mark).unwrap_or_default();
        text.lines().any(|line| line == word)
    }
}

/// Kind, case and whether the server had been handed it, as one text.
pub(crate) fn told(error: &Error) -> String {
    let (kind, case) = (error.kind(), error.case_name());
    format!("{kind} {case} {:?}", error.has_started())
}

/// A token of somebody who may do so much.
pub(crate) async fn issue(by: &Mesh, name: &str, permissions: &[&str]) -> String {
    let wish = json!({"name": name, "permissions": permissions});
    let issued: Value = by.control("token_issue", wish).await.expect("a token");
    issued["token"].as_str().expect("a token").to_owned()
}
