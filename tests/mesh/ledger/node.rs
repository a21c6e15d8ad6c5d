//! nats-server with the configuration of the one that Weft runs itself, and without its patience:
//! killed and started again as often as a test likes.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use weftbus::broker::PublicKeys;

use crate::{
    process::{lives, until},
    server::{nats_server, root, variables},
    stage::PATIENCE,
};

/// A nats-server, its folder and its port.
#[derive(Debug)]
pub(super) struct Node {
    keys: PublicKeys,
    /// Words before the program: what it is run by.
    by: Vec<String>,
    pub(super) dir: tempfile::TempDir,
    port: Option<u16>,
    child: Child,
}

impl Node {
    /// Starts one that trusts these keys, its streams in a folder `jetstream` of `dir`.
    pub(super) async fn start(keys: PublicKeys, dir: tempfile::TempDir, by: Vec<String>) -> Self {
        let child = run(&keys, &dir, &by, None);
        let mut node = Self {
            keys,
            by,
            dir,
            port: None,
            child,
        };
        node.port = Some(node.serves().await);
        node
    }

    pub(super) fn url(&self) -> String {
        let port = self.port.expect("it served");
        format!("nats://127.0.0.1:{port}")
    }

    /// `kill -9`. Returns when it is gone.
    pub(super) fn kill(&mut self) {
        self.child.kill().expect("ours");
        self.child.wait().expect("ours");
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill_process(pid.expect("a process id"), signal).expect("it lives");
    }

    /// Starts it again where it was, and waits until it serves.
    pub(super) async fn again(&mut self) {
        self.child = run(&self.keys, &self.dir, &self.by, self.port);
        self.serves().await;
    }

    /// What one of its pages for monitoring says.
    pub(super) async fn page(&self, name: &str) -> (u16, Value) {
        let ports = self.ports().expect("it serves");
        let url = ports["monitoring"][0].as_str().expect("it has a monitor");
        let client = reqwest::Client::builder().no_proxy().build();
        let asked = client.expect("a client").get(format!("{url}/{name}"));
        let answer = asked.timeout(PATIENCE).send().await.expect("it serves");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("text");
        (status, serde_json::from_str(&text).expect("JSON"))
    }

    /// What it said.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("said")).unwrap_or_default()
    }

    fn ports(&self) -> Option<Value> {
        let name = format!("nats-server_{}.ports", self.child.id());
        let text = fs::read_to_string(self.dir.path().join(name)).ok()?;
        serde_json::from_str(&text).ok()
    }

    async fn serves(&mut self) -> u16 {
        let mut port = None;
        until(PATIENCE, "nats-server serves", || {
            let ended = self.child.try_wait().expect("ours");
            assert!(ended.is_none(), "{}", self.said());
            port = self.ports().and_then(|ports| {
                let url = ports["nats"][0].as_str()?;
                url.rsplit(':').next()?.parse().ok()
            });
            port.is_some_and(|port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
        })
        .await;
        port.expect("it serves")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if lives(self.child.id()) {
            self.kill();
        }
    }
}

fn run(keys: &PublicKeys, dir: &tempfile::TempDir, by: &[String], port: Option<u16>) -> Child {
    let own = nats_server().display().to_string();
    let words: Vec<&String> = by.iter().chain([&own]).collect();
    let file = |name: &str| -> PathBuf { dir.path().join(name) };
    let said = File::options()
        .create(true)
        .append(true)
        .open(file("said"))
        .expect("ours");
    Command::new(words[0])
        .args(&words[1..])
        .arg("-c")
        .arg(root().join("nats/single.conf"))
        .args(["-a", "127.0.0.1", "-m", "-1", "-p"])
        .arg(port.map_or_else(|| "-1".to_owned(), |port| port.to_string()))
        .arg("--ports_file_dir")
        .arg(dir.path())
        .env("STORE_DIR", format!("\"{}\"", dir.path().display()))
        .envs(variables(keys.clone()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .spawn()
        .expect("nats-server starts")
}
