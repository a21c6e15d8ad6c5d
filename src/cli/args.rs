//! The command line as a whole: its commands, and the flags that all of them have.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{
    access, adapter, approve, audit, bench, call, completions, config, conformance, connect,
    control, describe, dlq, doctor, down, events, gateway, grant, health, keys, mcp,
    output::Format, resources, schema, servers, token, tools, up, version,
};

const EXAMPLES: &str = "\
EXAMPLES
  weft up --import ~/.cursor/mcp.json                 run a mesh of the servers that a client has
  weft servers                                        what is on the mesh, and how it is
  weft tools search-aggregator                        what a server can do
  weft describe search-aggregator execute_parallel_search
  weft call search-aggregator execute_parallel_search query=\"market trends in AI\" maxResults:=20
  weft health --wait 30s                              wait until the mesh is ready
  weft doctor                                         what is wrong on this machine, and what to do";

/// Every call and every event between MCP servers, over NATS
#[derive(Parser)]
#[command(
    name = "weft",
    version,
    before_help = EXAMPLES,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Globals {
    /// Folder of the mesh's state [env: WEFT_DATA] [default: .weft]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// URL of the NATS server, several with commas [env: WEFT_NATS_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// Reach and be reached beyond this machine without TLS [env: WEFT_INSECURE]
    #[arg(long, global = true)]
    pub(crate) insecure: bool,
    /// Form of the data on standard output
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORM",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "Form of the data on standard output: table, json or jsonl"
    )]
    pub(crate) output: Format,
    /// What is logged to standard error: debug, info, info,weftbus=debug [env: WEFT_LOG]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
    /// Say nothing beside data and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// The commands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a mesh: broker, control plane and an adapter for each server
    Up(up::Args),
    /// Join one server to a mesh, as a sidecar
    #[command(alias = "adapters")]
    Adapter(adapter::Args),
    /// Run the control plane alone
    Control(control::Args),
    /// Serve a mesh to MCP clients over HTTP
    #[command(alias = "gateways")]
    Gateway(gateway::Args),
    /// Serve the mesh to an MCP client over stdin and stdout
    Mcp(mcp::Args),
    /// Call a tool and print its result
    Call(call::Args),
    /// List the servers of the mesh, and how each is
    #[command(alias = "server")]
    Servers(servers::Args),
    /// List tools, of one server or of all
    #[command(alias = "tool")]
    Tools(tools::Args),
    /// Say what a tool does, what it takes, and how it is called
    Describe(describe::Args),
    /// Publish, follow and replay events
    #[command(alias = "event")]
    Events(events::Args),
    /// Show, deliver again and drop events that a subscriber gave up
    #[command(alias = "dlqs")]
    Dlq(dlq::Args),
    /// List, read, register and remove resources
    #[command(alias = "resource")]
    Resources(resources::Args),
    /// Issue, revoke, list and inspect tokens
    #[command(alias = "tokens")]
    Token(token::Args),
    /// Permit or deny something at run time, beside what tokens say
    #[command(alias = "grants")]
    Grant(grant::Args),
    /// List, replace and revoke the keys that sign tokens
    #[command(alias = "key")]
    Keys(keys::Args),
    /// Show what was decided, and check that all of it is there
    #[command(alias = "audits")]
    Audit(audit::Args),
    /// Show what tools say of themselves that nobody approved, and approve it
    #[command(alias = "approvals")]
    Approve(approve::Args),
    /// Ask who may do what
    #[command(alias = "accesses")]
    Access(access::Args),
    /// Write down for an MCP client how it reaches this mesh
    #[command(alias = "connects")]
    Connect(connect::Args),
    /// Try whether a member of the mesh keeps to docs/protocol.md
    #[command(alias = "conformances")]
    Conformance(conformance::Args),
    /// Say whether the mesh is up
    Health(health::Args),
    /// Look for what is wrong on this machine, and say what to do
    Doctor(doctor::Args),
    /// Check, show and import configurations
    #[command(alias = "configs")]
    Config(config::Args),
    /// Print, write and check the JSON Schemas of what Weft reads and prints
    #[command(alias = "schemas")]
    Schema(schema::Args),
    /// Stop the mesh that `weft up` started
    Down(down::Args),
    /// Measure the mesh beside bare NATS, in the same run
    #[command(alias = "benches")]
    Bench(bench::Args),
    /// Print a completion script for a shell
    #[command(alias = "completion")]
    Completions(completions::Args),
    /// Print versions
    #[command(alias = "versions")]
    Version(version::Args),
}

#[cfg(test)]
pub(crate) mod tests;
