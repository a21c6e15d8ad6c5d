//! What an instance of a server says of itself, every [`EVERY`] and at each change.

use std::time::Duration;

use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::calls::{Breaker, Calls};
use crate::name::{Instance, ServerName};

/// How often an instance says that it lives.
pub const EVERY: Duration = Duration::from_secs(5);
/// A heartbeat of more bytes than this is not read.
pub const BYTES_MAX: usize = 256 * 1024;
/// Room for the list of tools in it; past that, one digest stands for all.
const TOOLS_BYTES_MAX: usize = 192 * 1024;
/// Characters of an error that a heartbeat carries.
const ERROR_CHARS_MAX: usize = 2000;

/// How an instance is. Worse ones stand later; the state of a server is its best instance's.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It serves.
    Healthy,
    /// It serves, with something wrong.
    Degraded,
    /// It does not serve yet.
    Starting,
    /// It does not serve.
    Unhealthy,
    /// It said goodbye.
    Left,
}

impl State {
    /// As it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Starting => "starting",
            Self::Unhealthy => "unhealthy",
            Self::Left => "left",
        }
    }

    /// Whether calls are answered.
    #[must_use]
    pub const fn serves(self) -> bool {
        matches!(self, Self::Healthy | Self::Degraded)
    }
}

/// How the adapter reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A child process.
    Stdio,
    /// A URL.
    Http,
    /// A NATS client of its own, or a service in the adapter's process.
    Native,
}

/// One heartbeat, on `weft.v1.hb.{server}.{instance}`. Unknown members are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// The server; the same as in the subject.
    pub server: ServerName,
    /// The instance; the same as in the subject.
    pub instance: Instance,
    /// The version of Weft that the adapter runs.
    pub version: String,
    /// How it is.
    pub state: State,
    /// Since when it is so, milliseconds since 1970.
    pub since: u64,
    /// When this was sent, milliseconds since 1970.
    pub sent_at: u64,
    /// How the adapter reaches the server.
    pub transport: Transport,
    /// The process of the server, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// How often the server was started again.
    #[serde(default)]
    pub restarts: u64,
    /// The revision of MCP that the server itself speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// What the server calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_info: Option<Value>,
    /// What the server can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Value>,
    /// Its tools.
    #[serde(default)]
    pub tools: Tools,
    /// What went wrong last, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The machine that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// When it was last asked whether it answers, and how that went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// What callers may take for granted.
    #[serde(default, skip_serializing_if = "Calls::is_empty")]
    pub calls: Calls,
    /// The circuit breaker in front of it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
}

/// Whether a server answered when it was asked for nothing but that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// When that was, milliseconds since 1970.
    pub at: u64,
    /// How long it took, microseconds; absent where it has not answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
}

impl Heartbeat {
    /// The body of the message. An error is cut to 2,000 characters; what a server tells of
    /// itself is left out where it would not fit.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut cut = self.clone();
        if let Some(error) = &mut cut.last_error
            && error.chars().count() > ERROR_CHARS_MAX
        {
            *error = error.chars().take(ERROR_CHARS_MAX).collect();
        }
        let write = |beat: &Self| serde_json::to_vec(beat).expect("a heartbeat is JSON");
        let body = write(&cut);
        if body.len() <= BYTES_MAX {
            return body;
        }
        (cut.server_info, cut.capabilities) = (None, None);
        write(&cut)
    }

    /// Without what takes room: what the registry writes down.
    #[must_use]
    pub fn compact(mut self) -> Self {
        self.tools.list = Vec::new();
        (self.server_info, self.capabilities) = (None, None);
        self
    }

    /// The last one: the instance says goodbye.
    #[must_use]
    pub fn left(mut self) -> Self {
        self.state = State::Left;
        self
    }

    /// Reads a body; `None` where it is none, or too large.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        (body.len() <= BYTES_MAX)
            .then(|| serde_json::from_slice(body).ok())
            .flatten()
    }
}

/// The tools of an instance: their names where they fit, and what tells two lists apart always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tools {
    /// How many.
    pub count: usize,
    /// SHA-256 over all their digests, hex; it changes where one of them does.
    pub digest: String,
    /// Each of them; empty where they would not fit into one heartbeat.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<ToolDigest>,
}

/// One tool and what tells two versions of it apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolDigest {
    /// Its name.
    pub name: String,
    /// The first 16 hex digits of the SHA-256 of its definition as the server spelt it.
    pub digest: String,
}

impl ToolDigest {
    /// Of a tool with this definition.
    #[must_use]
    pub fn new(name: &str, definition: &str) -> Self {
        let digest = Sha256::digest(definition.as_bytes());
        Self {
            name: name.to_owned(),
            digest: HEXLOWER.encode(&digest[..8]),
        }
    }
}

impl Tools {
    /// All tools of a server, in any order.
    #[must_use]
    pub fn new(mut list: Vec<ToolDigest>) -> Self {
        list.sort_by(|a, b| a.name.cmp(&b.name));
        let mut all = Sha256::new();
        let mut bytes = 0;
        for tool in &list {
            // The length first, so that no two lists run together into one.
            all.update(tool.name.len().to_be_bytes());
            all.update(&tool.name);
            all.update(&tool.digest);
            // Quotes and escapes may double a name; the rest is what JSON puts around it.
            bytes += 2 * tool.name.len() + tool.digest.len() + 32;
        }
        let count = list.len();
        if bytes > TOOLS_BYTES_MAX {
            list.clear();
        }
        Self {
            count,
            digest: HEXLOWER.encode(&all.finalize()[..16]),
            list,
        }
    }
}

#[cfg(test)]
pub(in crate::registry) mod tests {
    use super::*;

    pub(in crate::registry) fn beat(server: &str, instance: &str, state: State) -> Heartbeat {
        Heartbeat {
            server: ServerName::new(server).expect("a name"),
            instance: Instance::new(instance).expect("a name"),
            version: "0.1.0".into(),
            state,
            since: 1000,
            sent_at: 2000,
            transport: Transport::Stdio,
            pid: Some(7),
            restarts: 0,
            revision: None,
            server_info: None,
            capabilities: None,
            tools: Tools::new(vec![ToolDigest::new("echo", "{}")]),
            last_error: None,
            host: None,
            probe: None,
            calls: Calls::default(),
            breaker: None,
        }
    }

    #[test]
    fn a_heartbeat_comes_back_and_unknown_members_pass() {
        let sent = beat("gh", "i1", State::Healthy);
        assert_eq!(Heartbeat::decode(&sent.encode()), Some(sent.clone()));
        let mut more = serde_json::to_value(&sent).expect("JSON");
        more["later"] = Value::from(1);
        assert!(Heartbeat::decode(more.to_string().as_bytes()).is_some());
        assert_eq!(more["sentAt"], 2000);
        for bad in ["", "[]", "{}", r#"{"server":"A"}"#] {
            assert!(Heartbeat::decode(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_largest_heartbeat_still_fits() {
        let mut sent = beat("gh", "i1", State::Unhealthy);
        let tool = |n: u32| ToolDigest::new(&format!("{n:0>120}"), "{}");
        sent.tools = Tools::new((0..700).map(tool).collect());
        assert!(sent.tools.list.is_empty() || sent.tools.list.len() == 700);
        sent.last_error = Some("\"".repeat(100_000));
        sent.server_info = Some(Value::from("x".repeat(BYTES_MAX)));
        let body = sent.encode();
        assert!(body.len() <= BYTES_MAX, "{}", body.len());
        assert!(Heartbeat::decode(&body).is_some());
        let many = Tools::new((0..5000).map(tool).collect());
        assert_eq!((many.count, many.list.len()), (5000, 0));
    }

    #[test]
    fn a_changed_tool_changes_the_digest() {
        let one = Tools::new(vec![ToolDigest::new("a", "1"), ToolDigest::new("b", "2")]);
        let same = Tools::new(vec![ToolDigest::new("b", "2"), ToolDigest::new("a", "1")]);
        let other = Tools::new(vec![ToolDigest::new("a", "1"), ToolDigest::new("b", "3")]);
        assert_eq!(one, same);
        assert_ne!(one.digest, other.digest);
    }
}
