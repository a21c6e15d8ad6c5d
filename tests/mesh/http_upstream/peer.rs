//! A raw HTTP server: it writes the bytes that a test tells it to, and records all that it hears.
//! One request a connection.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use weftbus::spawn::{Failure, Tasks};

use crate::{http_upstream::PATIENCE, process::until};

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) verb: String,
    pub(super) path: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Value,
    /// All of it.
    pub(super) text: String,
}

/// What the peer does with a request, one after the other. Then it closes the connection.
#[derive(Clone)]
pub(super) enum Act {
    /// Writes this.
    Say(Vec<u8>),
    /// Waits until the client closes, and notes that.
    Hold,
    /// Waits until the peer has heard so many requests in all.
    Until(usize),
}

type Script = dyn Fn(&Asked, usize) -> Vec<Act> + Send + Sync;

/// The peer. It ends with the value.
pub(super) struct Peer {
    pub(super) url: String,
    pub(super) at: SocketAddr,
    log: Arc<Mutex<Log>>,
    tasks: Tasks,
}

#[derive(Default)]
struct Log {
    asked: Vec<Asked>,
    let_go: usize,
}

impl Asked {
    /// A header; empty where there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn method(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    pub(super) fn is_call(&self) -> bool {
        self.method() == "tools/call"
    }
}

impl Peer {
    /// A peer that follows a script, which is told which request it is, from 1.
    pub(super) async fn start(
        script: impl Fn(&Asked, usize) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), script).await
    }

    pub(super) async fn start_at(
        at: SocketAddr,
        script: impl Fn(&Asked, usize) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(at).await.expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        let tasks = Tasks::new();
        let log = Arc::new(Mutex::new(Log::default()));
        let script: Arc<Script> = Arc::new(script);
        let (own, noted, stop) = (tasks.clone(), Arc::clone(&log), tasks.stopping());
        tasks.spawn("peer", Failure::Logged, async move {
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.expect("a connection").0,
                    () = stop.cancelled() => return,
                };
                let (script, noted) = (Arc::clone(&script), Arc::clone(&noted));
                let ends = stop.clone();
                own.spawn("connection", Failure::Logged, async move {
                    tokio::select! {
                        _ = serve(stream, script, noted) => {}
                        () = ends.cancelled() => {}
                    }
                });
            }
        });
        Self {
            url: format!("http://{at}/mcp"),
            at,
            log,
            tasks,
        }
    }

    /// All that it heard.
    pub(super) fn heard(&self) -> Vec<Asked> {
        self.log.lock().expect("no panic").asked.clone()
    }

    /// How often it heard a method, or a verb.
    pub(super) fn count(&self, what: &str) -> usize {
        let heard = self.heard();
        heard
            .iter()
            .filter(|asked| asked.method() == what || asked.verb == what)
            .count()
    }

    /// The calls that it heard.
    pub(super) fn calls(&self) -> Vec<Asked> {
        self.heard().into_iter().filter(Asked::is_call).collect()
    }

    /// Waits until it heard a method, or a verb, so often.
    pub(super) async fn hears(&self, what: &str, count: usize) {
        until(PATIENCE, what, || self.count(what) >= count).await;
    }

    /// Waits until clients closed so many of the connections that it held.
    pub(super) async fn let_go(&self, count: usize) {
        until(PATIENCE, "the client let go", || {
            self.log.lock().expect("no panic").let_go >= count
        })
        .await;
    }

    pub(super) async fn stop(self) -> SocketAddr {
        assert!(self.tasks.stop(PATIENCE).await);
        self.at
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Script>, log: Arc<Mutex<Log>>) -> Option<()> {
    let asked = read(&mut stream).await?;
    let number = {
        let mut log = log.lock().expect("no panic");
        log.asked.push(asked.clone());
        log.asked.len()
    };
    for act in script(&asked, number) {
        match act {
            Act::Say(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                stream.flush().await.ok()?;
            }
            Act::Hold => {
                let mut rest = [0; 64];
                while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
                log.lock().expect("no panic").let_go += 1;
            }
            Act::Until(count) => {
                until(PATIENCE, "other requests", || {
                    log.lock().expect("no panic").asked.len() >= count
                })
                .await;
            }
        }
    }
    stream.shutdown().await.ok()
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut held = Vec::new();
    let end = loop {
        if let Some(end) = held.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        (stream.read_buf(&mut held).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8(held[..end].to_vec()).expect("text");
    let mut lines = head.lines();
    let mut first = lines.next().expect("a request line").split(' ');
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: Vec<(String, String)> = headers
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut asked = Asked {
        verb: first.next().expect("a verb").to_owned(),
        path: first.next().expect("a path").to_owned(),
        headers,
        body: Value::Null,
        text: String::new(),
    };
    let length: usize = asked.header("content-length").parse().unwrap_or(0);
    while held.len() < end + length {
        (stream.read_buf(&mut held).await.ok()? > 0).then_some(())?;
    }
    asked.body = serde_json::from_slice(&held[end..]).unwrap_or_default();
    asked.text = String::from_utf8_lossy(&held).into_owned();
    Some(asked)
}

/// A whole response.
pub(super) fn response(status: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Act {
    let body = body.as_ref();
    let mut head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    Act::Say([head.as_bytes(), body].concat())
}

pub(super) fn json(value: &Value) -> Vec<Act> {
    let headers = [("content-type", "application/json; charset=utf-8")];
    vec![response("200 OK", &headers, value.to_string())]
}

pub(super) fn status(line: &str) -> Vec<Act> {
    vec![response(line, &[], "")]
}

/// The head of a stream of events, which lasts until the connection ends.
pub(super) fn stream() -> Act {
    Act::Say(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_vec(),
    )
}

/// A stream of events, which ends with these bytes.
pub(super) fn events(bytes: impl AsRef<[u8]>) -> Vec<Act> {
    vec![stream(), Act::Say(bytes.as_ref().to_vec())]
}

/// One event of one line.
pub(super) fn event(message: &Value) -> Act {
    Act::Say(format!("data: {message}\n\n").into_bytes())
}

/// The answer to a call: its own text.
pub(super) fn echo(asked: &Asked) -> Value {
    result(
        asked,
        json!({"content": [{"type": "text", "text": asked.body["params"]["arguments"]["text"]}]}),
    )
}

pub(super) fn result(asked: &Asked, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": asked.body["id"], "result": result})
}

pub(super) fn error(asked: &Asked, code: i64, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": asked.body["id"], "error": {"code": code, "message": message}})
}

fn tools() -> Value {
    json!({"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]})
}

/// What an older server with sessions does; calls it echoes.
pub(super) fn legacy(asked: &Asked) -> Vec<Act> {
    legacy_of("2025-11-25", asked)
}

pub(super) fn legacy_of(revision: &str, asked: &Asked) -> Vec<Act> {
    match (asked.verb.as_str(), asked.method()) {
        ("POST", "initialize") => {
            let opened = result(
                asked,
                json!({"protocolVersion": revision, "capabilities": {"tools": {}},
                    "serverInfo": {"name": "peer", "version": "1"}}),
            );
            let headers = [
                ("content-type", "application/json"),
                ("mcp-session-id", "session-of-the-peer"),
            ];
            vec![response("200 OK", &headers, opened.to_string())]
        }
        ("POST", "server/discover") => {
            let refused = json!({"jsonrpc": "2.0", "id": null,
                "error": {"code": -32000, "message": "Bad Request: Server not initialized"}});
            let headers = [("content-type", "application/json")];
            vec![response("400 Bad Request", &headers, refused.to_string())]
        }
        ("POST", "tools/list") => json(&result(asked, tools())),
        ("POST", "tools/call") => json(&echo(asked)),
        ("POST", _) => status("202 Accepted"),
        ("DELETE", _) => status("204 No Content"),
        _ => status("405 Method Not Allowed"),
    }
}

/// What a server of 2026-07-28 does; calls it echoes.
pub(super) fn modern(asked: &Asked) -> Vec<Act> {
    match (asked.verb.as_str(), asked.method()) {
        ("POST", "server/discover") => json(&result(
            asked,
            json!({"resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "private"}),
        )),
        ("POST", "tools/list") => json(&result(asked, tools())),
        ("POST", "tools/call") => json(&echo(asked)),
        _ => status("405 Method Not Allowed"),
    }
}
