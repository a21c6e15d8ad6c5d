//! `weft connect`: the entry by which an MCP client reaches this mesh.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use weftbus::{
    app::{
        connect::{self, Change, FileError, VARIABLE, Wanted, Way},
        context::{self, Context},
    },
    config::env::HOME,
    error::{Error, Kind, case},
    name::ServerName,
};

use super::{exit::Exit, failure::Failure, invocation::Invocation};

const EXAMPLES: &str = "\
EXAMPLES
  weft connect claude                      for Claude Code, over HTTP
  weft connect cursor --stdio --write      into Cursor's own file, without a token in it
  weft connect vscode --server git
  weft connect json -o json";

const AFTER: &str = "\
No token is written anywhere. Over HTTP the entry names a variable (WEFT_TOKEN; VS Code asks, and
keeps the answer). With --stdio the client starts `weft mcp`, which finds mesh and token by itself.

--write puts the entry into the client's file, keeps the rest of it as it is, and leaves the file
as it was beside it. Written twice it changes nothing.
  claude          .mcp.json of this folder (Claude Code)
  claude-desktop  claude_desktop_config.json; it speaks stdio alone
  cursor          .cursor/mcp.json of this folder where there is one, else of your home
  vscode          .vscode/mcp.json of this folder
  json            none: the entry as most clients read it";

/// Write down for an MCP client how it reaches this mesh
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
pub(super) struct Args {
    /// The client
    #[arg(value_enum, default_value = "json", value_name = "CLIENT")]
    client: Client,
    /// Put it into the client's file
    #[arg(long)]
    write: bool,
    /// One server alone, under its own names [default: all]
    #[arg(long, value_name = "NAME")]
    server: Option<ServerName>,
    /// By `weft mcp`, which the client starts, in place of HTTP
    #[arg(long)]
    stdio: bool,
}

/// The clients that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Client {
    Claude,
    ClaudeDesktop,
    Cursor,
    Vscode,
    Json,
}

/// What a client needs.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    /// The client.
    client: connect::Client,
    /// The file that it belongs into, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    /// What belongs into it, beside what is there.
    fragment: Value,
    /// The line that does the same, where the client has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// What became of the file, with `--write`.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<Change>,
}

pub(super) fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let client = args.client.into();
    let wanted = Wanted {
        client,
        way: args.way(to)?,
        server: args.server.clone(),
    };
    let home = to.env.get(HOME).map(PathBuf::from);
    let file = connect::place(client, Path::new(""), home.as_deref());
    let mut shown = Shown {
        client,
        file,
        fragment: wanted.fragment(),
        command: wanted.command(),
        change: None,
    };
    if args.write {
        shown.change = Some(args.put(&shown)?);
    }
    if !to.printer.is_table() {
        to.printer.json(&shown)?;
    } else if !args.write {
        to.printer.text(&format!("{:#}", shown.fragment))?;
    }
    explain(&shown, &wanted, to);
    Ok(Exit::Ok)
}

impl Args {
    fn way(&self, to: &Invocation) -> Result<Way, Failure> {
        let data = context::folder(&to.env, &to.flags());
        let found = Context::read(&data);
        if self.stdio || self.client == Client::ClaudeDesktop {
            // The entry outlives a run of the mesh; its folder must be there.
            if !data.is_dir() {
                found?;
            }
            let local = |error: std::io::Error| Failure::local(error.to_string());
            return Ok(Way::Stdio {
                program: std::env::current_exe().map_err(local)?,
                data: std::fs::canonicalize(data).map_err(local)?,
            });
        }
        let gateway = found?.gateway_url;
        let url = gateway.ok_or_else(|| {
            let what = "no gateway runs in this mesh, so nothing is there to be reached over HTTP";
            let error = Error::new(Kind::ServerOverloaded, what).case(case::SERVER_UNAVAILABLE);
            Failure::from(error).hint(Some("with --stdio the client needs none".into()))
        })?;
        Ok(Way::Http(connect::mcp_url(&url)))
    }

    fn put(&self, shown: &Shown) -> Result<Change, Failure> {
        let Some(file) = &shown.file else {
            return Err(Failure::usage(if self.client == Client::Json {
                "--write: into which file? Name a client: claude, claude-desktop, cursor or vscode"
            } else {
                "--write: HOME is not set, so nobody knows where the client's file is"
            }));
        };
        connect::write(file, &shown.fragment).map_err(|error| {
            let what = format!("{}: {error}", file.display());
            let add = format!("add this by hand:\n{:#}", shown.fragment);
            let hint = matches!(error, FileError::Merge(_)).then_some(add);
            Failure::local(what).hint(hint)
        })
    }
}

impl From<Client> for connect::Client {
    fn from(client: Client) -> Self {
        match client {
            Client::Claude => Self::Claude,
            Client::ClaudeDesktop => Self::ClaudeDesktop,
            Client::Cursor => Self::Cursor,
            Client::Vscode => Self::Vscode,
            Client::Json => Self::Json,
        }
    }
}

/// Says what is done, and what is left to do.
fn explain(shown: &Shown, wanted: &Wanted, to: &mut Invocation) {
    let file = shown.file.as_ref().map(|file| file.display().to_string());
    let entry = wanted.name();
    match (&shown.change, file) {
        (Some(Change::Made), Some(file)) => {
            to.printer.say(format!("{file} is made, with `{entry}`"))
        }
        (Some(Change::Nothing), Some(file)) => {
            to.printer
                .say(format!("{file} has `{entry}` already: nothing is changed"));
        }
        (Some(Change::Changed { backup }), Some(file)) => to.printer.say(format!(
            "{file} has `{entry}` now; as it was it is {}",
            backup.display()
        )),
        (_, Some(file)) => to
            .printer
            .say(format!("this belongs into {file} (--write puts it there)")),
        (_, None) => {}
    }
    if let Some(command) = shown.command.as_ref().filter(|_| shown.change.is_none()) {
        to.printer.say(format!("or: {command}"));
    }
    let Way::Http(_) = wanted.way else {
        return;
    };
    let reveal = "`weft token show --reveal`, or one of `weft token issue`";
    if wanted.client == connect::Client::Vscode {
        to.printer
            .say(format!("VS Code asks for the token once: {reveal}"));
    } else {
        to.printer.say(format!(
            "set {VARIABLE} for the client, to the token: {reveal}"
        ));
    }
}

#[cfg(test)]
mod tests;
