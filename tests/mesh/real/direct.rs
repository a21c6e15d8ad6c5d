//! A client that speaks to one server over stdio, with nothing of Weft in between.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use serde_json::{Map, Value, json};
use weftbus::mcp::version::Era;

const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Direct {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    last: u64,
    meta: Option<Value>,
    /// `serverInfo` of the handshake, where there was one.
    pub(super) server_info: Option<Value>,
}

impl Direct {
    /// Starts a server as `mcp.json` says, and opens it: by the modern way where it takes that.
    pub(super) fn open(entry: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let args = entry["args"]
            .as_array()
            .expect("arguments")
            .iter()
            .map(text);
        let env = entry["env"].as_object().expect("variables").iter();
        let mut child = Command::new(text(&entry["command"]))
            .args(args)
            .envs(env.map(|(name, value)| (name, text(value))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let (told, lines) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.for_each(|line| drop(told.send(line)));
        });
        let mut direct = Self {
            child,
            stdin,
            lines,
            last: 0,
            meta: None,
            server_info: None,
        };
        direct.shake_hands();
        direct
    }

    fn shake_hands(&mut self) {
        let client = json!({"name": "direct", "version": "1"});
        self.meta = Some(json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": client,
        }));
        if self
            .request("server/discover", json!({}))
            .get("result")
            .is_some()
        {
            return;
        }
        self.meta = None;
        let params =
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        let answer = self.request("initialize", params);
        self.server_info = Some(answer["result"]["serverInfo"].clone());
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    }

    pub(super) fn era(&self) -> Era {
        match self.meta {
            Some(_) => Era::Modern,
            None => Era::Legacy,
        }
    }

    /// The response: what it has besides `jsonrpc` and `id`.
    pub(super) fn request(&mut self, method: &str, params: Value) -> Value {
        let mut params = params;
        if let Some(meta) = &self.meta {
            params["_meta"] = meta.clone();
        }
        self.last += 1;
        let id = self.last;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("an answer");
            let message: Value = serde_json::from_str(&line).expect("JSON");
            match (message.get("method"), message.get("id")) {
                // We can do nothing, so all that it may ask is whether we are there.
                (Some(_), Some(asked)) => {
                    self.send(&json!({"jsonrpc": "2.0", "id": asked, "result": {}}));
                }
                (None, Some(answered)) if *answered == id => return bare(message),
                _ => {}
            }
        }
    }

    fn send(&mut self, message: &Value) {
        let stdin = self.stdin.as_mut().expect("open");
        writeln!(stdin, "{message}").expect("it reads");
        stdin.flush().expect("it reads");
    }
}

/// A response without what belongs to the connection.
pub(super) fn bare(response: Value) -> Value {
    let Value::Object(members) = response else {
        panic!("no response: {response}")
    };
    let own = |(name, _): &(String, Value)| name != "jsonrpc" && name != "id";
    Value::Object(members.into_iter().filter(own).collect::<Map<_, _>>())
}

impl Drop for Direct {
    fn drop(&mut self) {
        self.stdin = None;
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
