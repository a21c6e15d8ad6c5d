//! `weft servers`: what is on the mesh, and how it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weftbus::{error::Error, mesh::Mesh};

use super::{
    exit::Exit,
    failure::Failure,
    invocation::{Invocation, joined},
    output::{
        Tone,
        table::{Cell, Table},
    },
};

const EXAMPLES: &str = "\
EXAMPLES
  weft servers
  weft servers -o json
  weft server -o jsonl --quiet";

/// List the servers of the mesh, and how each is
#[derive(clap::Args)]
#[command(before_help = EXAMPLES)]
pub(super) struct Args {}

/// How a server or an instance of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
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
    /// The word and its tone.
    pub(super) fn cell(self) -> Cell {
        let (word, tone) = match self {
            Self::Healthy => ("healthy", Tone::Good),
            Self::Degraded => ("degraded", Tone::Uneasy),
            Self::Starting => ("starting", Tone::Faint),
            Self::Unhealthy => ("unhealthy", Tone::Bad),
            Self::Left => ("left", Tone::Faint),
        };
        Cell::new(word, tone)
    }

    /// Whether it answers calls.
    pub(super) const fn serves(self) -> bool {
        matches!(self, Self::Healthy | Self::Degraded)
    }
}

/// A server of the mesh.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Server {
    /// Its name.
    pub(super) server: String,
    /// The state of its best instance.
    pub(super) state: State,
    /// Since when that instance is so, milliseconds since 1970.
    since: u64,
    /// What is wrong, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// How many tools it has.
    tools: u64,
    /// What the server calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server_info: Option<Value>,
    /// Its instances.
    instances: Vec<Instance>,
}

/// One instance of a server.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Instance {
    /// Its id.
    instance: String,
    /// How it is.
    state: State,
    /// Since when, milliseconds since 1970.
    since: u64,
    /// When it was heard last, milliseconds since 1970.
    heard_at: u64,
    /// What is wrong, where something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How the adapter reaches the server: stdio, http or native.
    transport: String,
    /// The process of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// How often the server was started again.
    restarts: u64,
    /// The revision of MCP that the server itself speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    /// The version of Weft in front of it.
    version: String,
    /// The machine that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
}

pub(super) async fn run(_: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    joined(to, async |mesh, to| {
        let servers = list(mesh).await?;
        if servers.is_empty() {
            to.printer.say(
                "no server that you may see; the ones of weft.yaml are started by `weft up`, \
                 others join with `weft adapter`",
            );
        }
        to.printer.rows(&servers, table)?;
        Ok(Exit::Ok)
    })
    .await
}

/// All servers that we may see, by name.
pub(super) async fn list(mesh: &Mesh) -> Result<Vec<Server>, Error> {
    #[derive(Deserialize)]
    struct Page {
        servers: Vec<Server>,
    }
    let page: Page = mesh.control("server_list", json!({})).await?;
    Ok(page.servers)
}

/// When the control plane heard of any of them last, by its clock: milliseconds since 1970.
pub(super) fn heard_last(servers: &[Server]) -> Option<u64> {
    let instances = servers.iter().flat_map(|server| &server.instances);
    instances.map(|instance| instance.heard_at).max()
}

pub(super) fn table(servers: &[Server]) -> Table {
    let mut table = Table::new(&["NAME", "STATE", "TOOLS", "INSTANCES", "WHY"]);
    for server in servers {
        table.row([
            Cell::from(server.server.as_str()),
            server.state.cell(),
            Cell::from(server.tools.to_string()),
            Cell::from(server.instances.len().to_string()),
            Cell::from(server.reason.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A server as the control plane tells of it.
    pub(in crate::cli) fn server(name: &str, state: &str, reason: Option<&str>) -> Server {
        let entry = json!({
            "server": name, "state": state, "since": 1, "reason": reason, "tools": 3,
            "toolsDigest": "x", "instances": [{
                "instance": "abc", "state": state, "since": 1, "heardAt": 2, "transport": "stdio",
                "pid": 7, "restarts": 0, "revision": "2025-06-18", "version": "0.1.0",
            }],
        });
        serde_json::from_value(entry).expect("a server")
    }

    #[test]
    fn the_table_says_what_is_wrong() {
        let servers = [
            server(
                "docs",
                "unhealthy",
                Some("no such command: `uvxx`\n(in PATH)"),
            ),
            server("search-aggregator", "healthy", None),
        ];
        insta::assert_snapshot!(table(&servers).render(false), @r"
        NAME               STATE      TOOLS  INSTANCES  WHY
        docs               unhealthy  3      1          no such command: `uvxx` (in PATH)
        search-aggregator  healthy    3      1
        ");
    }
}
