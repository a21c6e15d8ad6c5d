//! Real HTTP servers, each in a process of its own on a free port of this machine.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::channel,
    thread,
};

use crate::{http_upstream::PATIENCE, server::root, stage::real};

/// A server. It ends with the value.
pub(crate) struct Process {
    child: Child,
    pub(crate) port: u16,
}

impl Process {
    /// A fixture of an SDK: `legacy` or `modern`, and how it is to serve.
    pub(crate) fn fixture(server: &str, more: &[&str]) -> Self {
        let program = if server == "legacy" {
            "python1"
        } else {
            "python"
        };
        let mut command = Command::new(real(program));
        command
            .arg(root().join("tests/real/fixtures/over_http.py"))
            .arg(server)
            .args(more);
        Self::start(command)
    }

    /// The reference server that speaks it; port 0 is any.
    pub(crate) fn everything(port: u16) -> Self {
        let package = "node/node_modules/@modelcontextprotocol/server-everything/dist/index.js";
        let mut command = Command::new(real("node"));
        command
            .arg("--require")
            .arg(root().join("tests/real/fixtures/loopback.cjs"))
            .arg(root().join(".tools/real").join(package))
            .arg("streamableHttp")
            .env("PORT", port.to_string());
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let stdout = child.stdout.take().expect("piped");
        let (told, listens) = channel();
        // To its end: a server whose words nobody reads would stand still.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(port) = line.strip_prefix("listening ") {
                    drop(told.send(port.to_owned()));
                }
            }
        });
        let port = listens.recv_timeout(PATIENCE).expect("it listens");
        Self {
            child,
            port: port.parse().expect("a port"),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
