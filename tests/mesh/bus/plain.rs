//! A plain nats-server without accounts: killed, started again, stopped, asked.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::Instant;

use super::bench::SOON;
use crate::server::nats_server;

/// nats-server on a free loopback port, without accounts.
pub(super) struct Broker {
    child: Child,
    port: u16,
    config: String,
    dir: tempfile::TempDir,
}

impl Broker {
    pub(super) fn start(config: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        // A port that is its own: it says which, so that two tests never share one.
        let child = run("-1", config, &dir);
        let file = dir.path().join(format!("nats-server_{}.ports", child.id()));
        let end = Instant::now() + SOON;
        let port = loop {
            if let Some(port) = port_in(&file) {
                break port;
            }
            assert!(Instant::now() < end, "nats-server is not up");
            std::thread::sleep(Duration::from_millis(2));
        };
        Self {
            child,
            port,
            config: config.to_owned(),
            dir,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A socket to it, past its greeting.
    pub(super) fn socket(&self) -> TcpStream {
        greeted(self.port).expect("it runs")
    }

    /// How many clients are connected, where the configuration has it tell.
    pub(super) fn connections(&self) -> u64 {
        let name = format!("nats-server_{}.ports", self.child.id());
        let file = fs::read_to_string(self.dir.path().join(name)).expect("it runs");
        let ports: Value = serde_json::from_str(&file).expect("JSON");
        let url = ports["monitoring"][0].as_str().expect("it has a monitor");
        let address = url.trim_start_matches("http://");
        let mut socket = TcpStream::connect(address).expect("it runs");
        socket
            .write_all(b"GET /varz HTTP/1.0\r\n\r\n")
            .expect("connected");
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("text");
        let (_, body) = text.split_once("\r\n\r\n").expect("HTTP");
        let told: Value = serde_json::from_str(body).expect("JSON");
        told["connections"].as_u64().expect("a number")
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ended");
    }

    pub(super) fn restart(&mut self) {
        self.child = run(&self.port.to_string(), &self.config, &self.dir);
        let end = Instant::now() + SOON;
        while greeted(self.port).is_none() {
            assert!(Instant::now() < end, "nats-server is not up");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill_process(pid.expect("a process id"), signal).expect("it lives");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.child.kill().expect("ours");
        self.child.wait().expect("it ended");
    }
}

fn run(port: &str, config: &str, dir: &tempfile::TempDir) -> Child {
    let (file, dir) = (dir.path().join("plain.conf"), dir.path().display());
    let text = format!("listen: \"127.0.0.1:{port}\"\nports_file_dir: \"{dir}\"\n{config}\n");
    fs::write(&file, text).expect("writable");
    Command::new(nats_server())
        .arg("-c")
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server starts")
}

/// The port in a file of nats-server, once it is written.
fn port_in(file: &Path) -> Option<u16> {
    let ports: Value = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
    let url = ports["nats"][0].as_str()?;
    url.rsplit(':').next()?.parse().ok()
}

fn greeted(port: u16) -> Option<TcpStream> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let patience = Some(Duration::from_secs(5));
    socket.set_read_timeout(patience).expect("it can be set");
    let mut byte = [0];
    while socket.read_exact(&mut byte).is_ok() {
        if byte == *b"\n" {
            return Some(socket);
        }
    }
    None
}
