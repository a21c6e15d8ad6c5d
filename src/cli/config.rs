//! `weft config`: configurations checked, shown, taken over from others.

mod import;
mod nats;
mod yaml;

pub(crate) use nats::Key;

use std::path::PathBuf;

use clap::Subcommand;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use weftbus::config::{self, Loaded, Overrides, Sources};

use super::{
    exit::Exit,
    failure::Failure,
    invocation::Invocation,
    output::{
        Tone,
        table::{Cell, Table},
    },
};

const EXAMPLES: &str = "\
EXAMPLES
  weft config check
  weft config show -c weft.yaml
  weft config schema > weft.schema.json
  weft config import ~/.cursor/mcp.json > weft.yaml
  weft config nats --data /srv/mesh";

/// Check, show and import configurations
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, arg_required_else_help = true, disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say what is wrong in a configuration, with file, line and column
    Check(Check),
    /// Print the configuration in force: where each part comes from, and no secret
    Show(Show),
    /// Print the JSON Schema of weft.yaml
    Schema(Schema),
    /// Print the weft.yaml that an MCP client's file amounts to
    Import(import::Args),
    /// Print what to ask of whoever runs a NATS server, to carry this mesh
    Nats(nats::Args),
}

/// Where a configuration is read from.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct Files {
    /// The configuration file [env: WEFT_CONFIG] [default: weft.yaml, where there is one]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// File of an MCP client to take servers from, as often as needed
    #[arg(long, value_name = "FILE")]
    import: Vec<PathBuf>,
}

impl Files {
    /// With what flags and environment say.
    pub(crate) fn sources(&self, to: &Invocation) -> Sources {
        Sources {
            file: self.config.clone(),
            import: self.import.clone(),
            overrides: Overrides {
                nats_url: to.globals.nats.clone(),
                nats_server: None,
                data: to.globals.data.clone(),
                insecure: to.globals.insecure,
                ..Overrides::default()
            },
            env: to.env.clone(),
            folder: PathBuf::new(),
        }
    }
}

/// Say what is wrong in a configuration, with file, line and column
#[derive(clap::Args)]
#[command(
    before_help = "EXAMPLES\n  weft config check\n  weft config check -c weft.yaml --import mcp.json",
    after_help = "Exit status: 0 all is well, 1 the file is refused, 7 some server can't be started."
)]
struct Check {
    #[command(flatten)]
    files: Files,
}

/// Print the configuration in force: where each part comes from, and no secret
#[derive(clap::Args)]
#[command(
    before_help = "EXAMPLES\n  weft config show\n  weft config show --import mcp.json -o json"
)]
struct Show {
    #[command(flatten)]
    files: Files,
}

/// Print the JSON Schema of weft.yaml
#[derive(clap::Args)]
#[command(before_help = "EXAMPLES\n  weft config schema > weft.schema.json")]
struct Schema {}

/// A server of a configuration.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Checked {
    /// Its name.
    server: String,
    /// Where it is written: file, line and column.
    place: String,
    /// Whether it would be started.
    starts: bool,
    /// Why it would not, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

pub(super) fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    match &args.command {
        Command::Check(args) => check(&args.files, to),
        Command::Show(args) => show(&args.files, to),
        Command::Schema(_) => {
            let schema = super::schema::pretty(config::schema().as_value());
            to.printer.raw(schema.as_bytes())?;
            Ok(Exit::Ok)
        }
        Command::Import(args) => import::run(args, to),
        Command::Nats(args) => nats::run(args, to),
    }
}

fn load(files: &Files, to: &mut Invocation) -> Result<Loaded, Failure> {
    let loaded = config::load(&files.sources(to))?;
    for warning in &loaded.warnings {
        to.printer.warn(warning);
    }
    Ok(loaded)
}

fn check(files: &Files, to: &mut Invocation) -> Result<Exit, Failure> {
    let loaded = load(files, to)?;
    let servers: Vec<Checked> = loaded
        .members
        .iter()
        .map(|member| {
            let why = match &member.launch {
                Ok(_) if member.enabled => None,
                Ok(_) => Some("not enabled".to_owned()),
                Err(problem) => Some(problem.summary()),
            };
            Checked {
                server: member.name.clone(),
                place: member.place.to_string(),
                starts: member.enabled && member.launch.is_ok(),
                why,
            }
        })
        .collect();
    let broken = loaded
        .members
        .iter()
        .filter(|member| member.enabled && member.launch.is_err())
        .count();
    to.printer.rows(&servers, table)?;
    if broken > 0 {
        to.printer
            .say(format!("{broken} servers can't be started; the others can"));
        return Ok(Exit::Degraded);
    }
    to.printer.say("the configuration is right");
    Ok(Exit::Ok)
}

fn table(servers: &[Checked]) -> Table {
    let mut table = Table::new(&["SERVER", "STARTS", "WHERE", "WHY NOT"]);
    for server in servers {
        let starts = if server.starts {
            Cell::new("yes", Tone::Good)
        } else {
            Cell::new("no", Tone::Bad)
        };
        table.row([
            Cell::from(server.server.as_str()),
            starts,
            Cell::from(server.place.as_str()),
            Cell::from(server.why.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

fn show(files: &Files, to: &mut Invocation) -> Result<Exit, Failure> {
    let loaded = load(files, to)?;
    let shown: Value = config::show(&loaded);
    if to.printer.is_table() {
        let text = yaml::write(&shown);
        to.printer.text(&text)?;
    } else {
        to.printer.json(&shown)?;
    }
    Ok(Exit::Ok)
}
