//! What a configuration file may say. Names, defaults and doc comments here are the schema
//! `schemas/config.json`.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    adapter::streamable::Headers,
    config::{
        batch::Batch,
        cache::Cache,
        calls::{self, Audit, ChangedTools, ServerEvents, Validate},
        env,
        gateway::Gateway,
        limits::{Limits, ServerLimits, Wrong},
        policy::{Breaker, Policy, Retry},
        pool::Pool,
        problem::{Problem, Problems},
        resource::Resources,
        secret::{Address, SecretSource, Setting},
        source::Source,
        tree::Node,
        unit::{Period, Size},
    },
    event::Declared,
};

/// The configuration of a mesh, as it is written: `${VAR}` in it is not expanded yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The servers of the mesh by name: 1 to 63 of a-z, 0-9 and `-`.
    pub servers: BTreeMap<String, Server>,
    /// Servers as MCP clients write them. Keys that other clients add are honoured or named in a
    /// warning, and names that do not fit are turned into ones that do.
    #[serde(rename = "mcpServers", skip_serializing)]
    #[schemars(schema_with = "clients_schema")]
    clients: BTreeMap<String, serde_json::Value>,
    /// The NATS server that carries the mesh. Nothing: Weft starts and keeps one.
    pub nats: Nats,
    /// What holds for every call.
    pub policy: Policy,
    /// How much is taken in.
    pub limits: Limits,
    /// The endpoint for MCP clients.
    pub gateway: Gateway,
    /// Domains of events beyond Weft's own, and the JSON Schemas of their types.
    pub events: Declared,
    /// Resources that the mesh keeps for its members.
    pub resources: Resources,
}

/// Any mapping will do: what is in it is another program's matter.
fn clients_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "additionalProperties": { "type": "object" },
    })
}

/// One MCP server: a `command` to run, or the `url` of one that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Program to run: a name that is looked for in PATH, or a path relative to this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Variables that are added to its environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Setting>,
    /// Folder to run it in, relative to this file, whose folder is the default. A server from a
    /// client's file runs in the folder that Weft was started in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// URL of a server that runs and speaks Streamable HTTP. No name and no password in it: what
    /// it asks for stands in `headers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Address>,
    /// Headers that are added to each request to `url`. Those of the connection and of the
    /// protocol (`Host`, `Accept`, `Content-*`, `Mcp-*`) are Weft's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Setting>,
    /// How long a call may take, 10ms to 24h. Default: `policy.timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// Tools that may be called again where nobody knows whether a call had begun: `*`, `prefix*`
    /// or a name, 64 at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub idempotent: Vec<String>,
    /// How often a call that failed is made again. Default: `policy.retry`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// When it is left alone. Default: `policy.breaker`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// How many processes, or sessions, of it there are. Default: `policy.pool`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
    /// Which calls to it go out together. Default: `policy.batch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// Which of its answers are kept. Default: `policy.cache`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Who checks the arguments of a call against the tool's schema.
    pub validate: Validate,
    /// When it is written to the audit trail that one of its calls may go on.
    #[serde(skip_serializing_if = "Audit::is_soon")]
    pub audit: Audit,
    /// What becomes of its tools when they are not what was approved: `weft approve`.
    #[serde(rename = "changedTools", skip_serializing_if = "ChangedTools::is_tell")]
    pub changed_tools: ChangedTools,
    /// Which of its calls are told as events.
    #[serde(skip_serializing_if = "ServerEvents::is_empty")]
    pub events: ServerEvents,
    /// How often and how much each caller may call it.
    #[serde(skip_serializing_if = "ServerLimits::is_empty")]
    pub limits: ServerLimits,
    /// `false`: the server is kept in the file and not started.
    pub enabled: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            command: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
            url: None,
            headers: BTreeMap::new(),
            timeout: None,
            idempotent: Vec::new(),
            retry: None,
            breaker: None,
            pool: None,
            batch: None,
            cache: None,
            validate: Validate::Server,
            audit: Audit::Soon,
            changed_tools: ChangedTools::Tell,
            events: ServerEvents::default(),
            limits: ServerLimits::default(),
            enabled: true,
        }
    }
}

/// The NATS server that carries the mesh. With nothing set, Weft starts and keeps one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Nats {
    /// URL of an existing server, several with commas: `nats://`, `tls://`, `ws://`, `wss://`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Address>,
    /// Context of the `nats` command that says where the server is. Keys beside it stand above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Credentials file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creds: Option<KeyFile>,
    /// File with the seed of an nkey.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nkey: Option<KeyFile>,
    /// User name; needs `password`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password of `user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
    /// Token of the NATS server (not a Weft token).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretSource>,
    /// TLS files.
    #[serde(skip_serializing_if = "TlsFiles::is_empty")]
    pub tls: TlsFiles,
    /// Reach a server on another machine without TLS: whoever is between reads every token.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// Path of the `nats-server` that Weft starts, where it is not to look for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<PathBuf>,
}

/// `{ file: PATH }`, relative to the configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// The file.
    pub file: PathBuf,
}

/// Files for TLS, relative to the configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsFiles {
    /// Certificates of the authorities to trust.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Own certificate; needs `key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Own key; needs `cert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

const TIMEOUT: (Period, Period) = (Period::from_millis(10), Period::from_secs(24 * 3600));
const SIZE: (Size, Size) = (Size::new(64 * 1024), Size::mib(1024));
const SIZES: (Size, Size) = (Size::mib(1), Size::mib(64 * 1024));
const IN_FLIGHT: (u32, u32) = (1, 65_536);
const QUEUE: (u32, u32) = (0, 65_536);
/// No deeper than our own reader of JSON goes.
const DEPTH: (u32, u32) = (8, 120);
const KEYS: (u32, u32) = (100, 10_000_000);

impl Config {
    /// Tells every value that is outside of its bounds.
    pub(crate) fn check(&self, tree: &Node, source: &Source, problems: &mut Problems) {
        let mut bounds = Bounds {
            tree,
            source,
            problems,
        };
        bounds.hold(&["policy", "timeout"], self.policy.timeout, TIMEOUT);
        bounds.hold(&["limits", "line"], self.limits.line, SIZE);
        bounds.hold(&["limits", "result"], self.limits.result, SIZE);
        bounds.hold(&["limits", "inFlight"], self.limits.in_flight, IN_FLIGHT);
        bounds.hold(&["limits", "queue"], self.limits.queue, QUEUE);
        bounds.hold(&["limits", "waiting"], self.limits.waiting, SIZE);
        bounds.hold(&["limits", "requestBody"], self.limits.request_body, SIZE);
        bounds.hold(
            &["limits", "requestBodies"],
            self.limits.request_bodies,
            SIZES,
        );
        bounds.hold(&["limits", "depth"], self.limits.depth, DEPTH);
        bounds.hold(&["limits", "keys"], self.limits.keys, KEYS);
        let each = [
            ("limits", self.limits.wrong()),
            ("policy", self.policy.wrong()),
        ];
        for (section, wrong) in each {
            if let Some(node) = tree.find(&[section]) {
                let found = rules(wrong, (node, section), source);
                let tell = |problem| bounds.problems.push(problem);
                found.into_iter().for_each(tell);
            }
        }
    }
}

impl Server {
    /// Tells what does not go together. `node` is the server's, at `path`.
    pub(crate) fn check(&self, (node, path): (&Node, &str), source: &Source) -> Vec<Problem> {
        let at = |key: &str| node.get(key).map_or(&node.at, |pair| &pair.at);
        let mut found = Vec::new();
        let mut tell = |key: &str, what: String| found.push(Problem::new(source, at(key), what));
        match (&self.command, &self.url) {
            (Some(_), Some(_)) => tell("url", format!("`{path}` has both `command` and `url`")),
            (None, None) => tell("", format!("`{path}` needs a `command` to run, or a `url`")),
            (Some(command), None) if command.trim().is_empty() => {
                tell("command", format!("`{path}.command` is empty"));
            }
            (Some(_), None) if !self.headers.is_empty() => {
                tell("headers", format!("`{path}.headers` belongs to a `url`"));
            }
            (None, Some(_)) => {
                for (key, is_there) in [
                    ("args", !self.args.is_empty()),
                    ("env", !self.env.is_empty()),
                    ("cwd", self.cwd.is_some()),
                ] {
                    if is_there {
                        tell(key, format!("`{path}.{key}` belongs to a `command`"));
                    }
                }
            }
            _ => {}
        }
        for name in self.env.keys() {
            if let Some(why) = env::wrong(name) {
                let name = name.escape_debug();
                tell("env", format!("`{path}.env`: `{name}` {why}"));
            }
        }
        if let Some(timeout) = self.timeout
            && !(TIMEOUT.0..=TIMEOUT.1).contains(&timeout)
        {
            tell(
                "timeout",
                outside(&format!("{path}.timeout"), timeout, TIMEOUT),
            );
        }
        for (keys, list) in [
            (["events", "tasks"].as_slice(), &self.events.tasks),
            (&["idempotent"], &self.idempotent),
        ] {
            if let Some(wrong) = calls::wrong_patterns(list) {
                let at = node.find(keys).unwrap_or(node);
                let what = format!("`{path}.{}`: {wrong}", keys.join("."));
                found.push(Problem::new(source, &at.at, what));
            }
        }
        found.extend(rules(self.policies(), (node, path), source));
        if let Some(node) = node.find(&["limits"]) {
            let path = format!("{path}.limits");
            found.extend(rules(self.limits.wrong(), (node, &path), source));
        }
        for name in self.headers.keys() {
            if let Err(error) = Headers::check(name) {
                let at = node.find(&["headers", name]).unwrap_or(node);
                let what = format!("`{path}.headers`: {error}");
                found.push(Problem::new(source, &at.at, what));
            }
        }
        found
    }

    /// What is wrong with what it says in place of `policy`.
    fn policies(&self) -> Vec<Wrong> {
        let own = [
            self.retry.map(|retry| retry.wrong()),
            self.breaker.map(|breaker| breaker.wrong()),
            self.pool.map(|pool| pool.wrong()),
            self.batch.map(|batch| batch.wrong()),
            self.cache.as_ref().map(Cache::wrong),
        ];
        own.into_iter().flatten().flatten().collect()
    }
}

/// What is wrong with rules below a node, told where it stands.
fn rules(wrong: Vec<Wrong>, (node, path): (&Node, &str), source: &Source) -> Vec<Problem> {
    let tell = |(keys, why): Wrong| {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let at = node.find(&keys).unwrap_or(node);
        let name = keys.join(".");
        Problem::new(source, &at.at, format!("`{path}.{name}`: {why}"))
    };
    wrong.into_iter().map(tell).collect()
}

struct Bounds<'a> {
    tree: &'a Node,
    source: &'a Source,
    problems: &'a mut Problems,
}

impl Bounds<'_> {
    fn hold<T: PartialOrd + std::fmt::Display>(&mut self, path: &[&str], value: T, bounds: (T, T)) {
        if (&bounds.0..=&bounds.1).contains(&&value) {
            return;
        }
        if let Some(node) = self.tree.find(path) {
            let what = outside(&path.join("."), value, bounds);
            self.problems
                .push(Problem::new(self.source, &node.at, what));
        }
    }
}

fn outside<T: std::fmt::Display>(path: &str, value: T, (least, most): (T, T)) -> String {
    format!("`{path}`: {value} is not between {least} and {most}")
}
