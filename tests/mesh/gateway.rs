//! The gateway of a whole mesh, spoken to as clients do: HTTP by hand, where every header counts,
//! and the pipes of `weft mcp`. Clients that others wrote are in `clients`.

mod batch;
mod changes;
mod door;
mod errors;
mod grants;
mod http;
mod issuers;
mod limits;
mod pipes;
mod sessions;
mod tls;

use std::time::Duration;

use serde_json::{Value, json};
use weftbus::{app::up::Up, name::Identity};

use crate::stage::{Stage, fixture, real, servers};

/// The revision that says with each request what it is.
pub(crate) const MODERN: &str = "2026-07-28";

/// A mesh with a server of each era, a program that is not there, and who may do everything.
pub(crate) struct Place {
    pub(crate) stage: Stage,
    pub(crate) up: Up,
    pub(crate) everything: String,
}

impl Place {
    pub(crate) async fn open() -> Self {
        Self::with("").await
    }

    /// With more lines in `weft.yaml`.
    pub(crate) async fn with(more: &str) -> Self {
        let (python, python1) = (real("python"), real("python1"));
        let (modern, legacy) = (fixture("modern.py"), fixture("legacy.py"));
        let yaml = servers(&[
            ("modern", &python, &[modern.as_os_str()]),
            ("legacy", &python1, &[legacy.as_os_str()]),
            ("absent", "no-such-program".as_ref(), &[]),
        ]);
        let stage = Stage::new(&format!("{yaml}{more}"));
        let up = stage.up().await;
        let everything = issue(&up, "everybody", &["*"]).await;
        Self {
            stage,
            up,
            everything,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.up.gateway_url().expect("there is a gateway")
    }

    /// A client that may do everything, at `/mcp` or `/mcp/{server}`.
    pub(crate) fn client(&self, server: &str) -> Client {
        self.client_with(server, &self.everything)
    }

    pub(crate) fn client_with(&self, server: &str, token: &str) -> Client {
        Client {
            http: reqwest::Client::new(),
            url: format!("{}{server}", self.url()),
            token: token.to_owned(),
            session: None,
        }
    }

    pub(crate) async fn token(&self, name: &str, permissions: &[&str]) -> String {
        issue(&self.up, name, permissions).await
    }

    pub(crate) async fn end(self) {
        self.up.stop().await;
    }
}

async fn issue(up: &Up, name: &str, permissions: &[&str]) -> String {
    let name = Identity::new(name).expect("a name");
    let permissions: Vec<String> = permissions.iter().map(|&one| one.to_owned()).collect();
    up.plane().issue(name, &permissions).await.expect("a token")
}

/// A client that speaks HTTP by hand.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) token: String,
    /// The session of an older client.
    pub(crate) session: Option<String>,
}

/// What came back.
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// The code of the error, or the texts of the result.
    pub(crate) fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    }

    /// The messages of a stream.
    pub(crate) fn events(&self) -> Vec<Value> {
        assert_eq!(
            self.header("content-type"),
            "text/event-stream",
            "{}",
            self.body
        );
        let data = self
            .body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).expect("JSON"))
            .collect()
    }
}

impl Client {
    /// A POST as a client of this era makes it; `change` breaks one thing.
    pub(crate) fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        let mut request = self
            .http
            .post(&self.url)
            .timeout(Duration::from_secs(30))
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        } else if let Some(method) = body["method"]
            .as_str()
            .filter(|&method| method != "initialize")
        {
            request = request
                .header("mcp-protocol-version", MODERN)
                .header("mcp-method", method);
            if let Some(name) = body["params"]["name"].as_str() {
                request = request.header("mcp-name", name);
            }
        }
        request.body(body.to_string())
    }

    pub(crate) async fn send(&self, body: &Value) -> Said {
        read(self.post(body)).await
    }

    /// A request of this era.
    pub(crate) fn request(&self, method: &str, params: Value) -> Value {
        let mut params = params;
        if self.session.is_none() {
            let meta = params
                .as_object_mut()
                .expect("an object")
                .entry("_meta")
                .or_insert_with(|| json!({}));
            meta["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        json!({"jsonrpc": "2.0", "id": "q", "method": method, "params": params})
    }

    pub(crate) async fn ask(&self, method: &str, params: Value) -> Said {
        self.send(&self.request(method, params)).await
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Said {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments}))
            .await
    }

    pub(crate) async fn names(&self) -> Vec<String> {
        let listed = self.ask("tools/list", json!({})).await.json();
        let tools = listed["result"]["tools"].as_array();
        let tools = tools.unwrap_or_else(|| panic!("no list: {listed}")).iter();
        tools
            .map(|tool| tool["name"].as_str().expect("a name").to_owned())
            .collect()
    }

    /// The same client with a session of an older revision.
    pub(crate) async fn opened(mut self, revision: &str) -> Self {
        let said = self.send(&initialize(revision)).await;
        assert_eq!((said.status, said.code()), (200, 0), "{}", said.body);
        self.session = Some(said.header("mcp-session-id").to_owned());
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(self.send(&initialized).await.status, 202);
        self
    }
}

fn initialize(revision: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"},
    }})
}

pub(crate) async fn read(request: reqwest::RequestBuilder) -> Said {
    said_by(request.send().await.expect("an answer")).await
}

async fn said_by(response: reqwest::Response) -> Said {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Said {
        status,
        headers,
        body: response.text().await.expect("a body"),
    }
}

/// The texts of a result.
pub(crate) fn text(said: &Value) -> &str {
    said["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("no text: {said}"))
}
