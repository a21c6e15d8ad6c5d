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
mod tests {
    use std::fs;

    use weftbus::config::Env;

    use super::*;
    use crate::cli::{
        args::Globals,
        output::{Format, tests::printer},
    };

    /// A data folder with a mesh in it, or without.
    struct Stage {
        folder: tempfile::TempDir,
    }

    impl Stage {
        fn new(gateway: Option<&str>) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let context = Context {
                nats_url: "nats://127.0.0.1:4222".into(),
                gateway_url: gateway.map(str::to_owned),
                token_file: "token".into(),
                pid: std::process::id(),
            };
            context.write(folder.path()).expect("the folder is ours");
            Self { folder }
        }

        /// Runs it. What changes from machine to machine stands under a name.
        fn run(&self, client: Client, stdio: bool, write: bool) -> (String, String, Option<Exit>) {
            let (printer, out, err) = printer(Format::Table, false);
            let env = Env::from_iter([(HOME, self.folder.path().to_str().expect("UTF-8"))]);
            let globals = Globals {
                data: Some(self.folder.path().to_owned()),
                ..Globals::default()
            };
            let mut to = Invocation::new(printer, env, globals);
            let args = Args {
                client,
                write,
                server: None,
                stdio,
            };
            let done = run(&args, &mut to);
            if let Err(Failure::Told(told)) = &done {
                to.printer.fail(told);
            }
            let program = std::env::current_exe().expect("it runs");
            let folder = fs::canonicalize(self.folder.path()).expect("there");
            let plain = |text: String| {
                text.replace(&*program.to_string_lossy(), "[weft]")
                    .replace(&*folder.to_string_lossy(), "[home]")
                    .replace("Library/Application Support/Claude", ".config/Claude")
            };
            (plain(out.text()), plain(err.text()), done.ok())
        }

        /// What all of these clients are told.
        fn shown(&self, clients: &[Client], stdio: bool) -> String {
            let mut shown = String::new();
            for client in clients {
                let (out, err, exit) = self.run(*client, stdio, false);
                assert_eq!(exit, Some(Exit::Ok), "{err}");
                shown.extend([format!("## {client:?}\n"), out, err]);
            }
            shown
        }
    }

    #[test]
    fn over_http() {
        let stage = Stage::new(Some("http://127.0.0.1:7420/mcp"));
        let clients = [Client::Claude, Client::Cursor, Client::Vscode, Client::Json];
        insta::assert_snapshot!(stage.shown(&clients, false), @r###"
        ## Claude
        {
          "mcpServers": {
            "weft": {
              "type": "http",
              "url": "http://127.0.0.1:7420/mcp",
              "headers": {
                "Authorization": "Bearer ${WEFT_TOKEN}"
              }
            }
          }
        }
        this belongs into .mcp.json (--write puts it there)
        or: claude mcp add --transport http weft http://127.0.0.1:7420/mcp --header 'Authorization: Bearer ${WEFT_TOKEN}'
        set WEFT_TOKEN for the client, to the token: `weft token show --reveal`, or one of `weft token issue`
        ## Cursor
        {
          "mcpServers": {
            "weft": {
              "url": "http://127.0.0.1:7420/mcp",
              "headers": {
                "Authorization": "Bearer ${env:WEFT_TOKEN}"
              }
            }
          }
        }
        this belongs into [home]/.cursor/mcp.json (--write puts it there)
        set WEFT_TOKEN for the client, to the token: `weft token show --reveal`, or one of `weft token issue`
        ## Vscode
        {
          "servers": {
            "weft": {
              "type": "http",
              "url": "http://127.0.0.1:7420/mcp",
              "headers": {
                "Authorization": "Bearer ${input:weft-token}"
              }
            }
          },
          "inputs": [
            {
              "type": "promptString",
              "id": "weft-token",
              "description": "Token for the mesh (`weft token issue`)",
              "password": true
            }
          ]
        }
        this belongs into .vscode/mcp.json (--write puts it there)
        VS Code asks for the token once: `weft token show --reveal`, or one of `weft token issue`
        ## Json
        {
          "mcpServers": {
            "weft": {
              "type": "http",
              "url": "http://127.0.0.1:7420/mcp",
              "headers": {
                "Authorization": "Bearer ${WEFT_TOKEN}"
              }
            }
          }
        }
        set WEFT_TOKEN for the client, to the token: `weft token show --reveal`, or one of `weft token issue`
        "###);
    }

    #[test]
    fn over_stdio() {
        let clients = [Client::Claude, Client::Cursor, Client::Vscode];
        insta::assert_snapshot!(Stage::new(None).shown(&clients, true), @r###"
        ## Claude
        {
          "mcpServers": {
            "weft": {
              "type": "stdio",
              "command": "[weft]",
              "args": [
                "mcp",
                "--data",
                "[home]"
              ]
            }
          }
        }
        this belongs into .mcp.json (--write puts it there)
        or: claude mcp add weft -- [weft] mcp --data [home]
        ## Cursor
        {
          "mcpServers": {
            "weft": {
              "command": "[weft]",
              "args": [
                "mcp",
                "--data",
                "[home]"
              ]
            }
          }
        }
        this belongs into [home]/.cursor/mcp.json (--write puts it there)
        ## Vscode
        {
          "servers": {
            "weft": {
              "type": "stdio",
              "command": "[weft]",
              "args": [
                "mcp",
                "--data",
                "[home]"
              ]
            }
          }
        }
        this belongs into .vscode/mcp.json (--write puts it there)
        "###);
    }

    #[test]
    fn claude_desktop_speaks_stdio_alone() {
        let clients = [Client::ClaudeDesktop];
        insta::assert_snapshot!(Stage::new(None).shown(&clients, false), @r###"
        ## ClaudeDesktop
        {
          "mcpServers": {
            "weft": {
              "command": "[weft]",
              "args": [
                "mcp",
                "--data",
                "[home]"
              ]
            }
          }
        }
        this belongs into [home]/.config/Claude/claude_desktop_config.json (--write puts it there)
        "###);
    }

    #[test]
    fn any_other_client_reads_this() {
        let clients = [Client::Json];
        insta::assert_snapshot!(Stage::new(None).shown(&clients, true), @r###"
        ## Json
        {
          "mcpServers": {
            "weft": {
              "type": "stdio",
              "command": "[weft]",
              "args": [
                "mcp",
                "--data",
                "[home]"
              ]
            }
          }
        }
        "###);
    }

    #[test]
    fn without_a_gateway_http_says_so() {
        let (_, err, exit) = Stage::new(None).run(Client::Cursor, false, false);
        assert_eq!(exit, None);
        assert!(
            err.contains("no gateway runs") && err.contains("--stdio"),
            "{err}"
        );
    }

    #[test]
    fn a_client_without_a_file_has_none_to_write() {
        let (_, err, exit) = Stage::new(None).run(Client::Json, true, true);
        assert_eq!(exit, None);
        assert!(err.contains("Name a client"), "{err}");
    }

    #[test]
    fn a_file_is_written_once() {
        let stage = Stage::new(None);
        let say = |_| stage.run(Client::Cursor, true, true).1;
        insta::assert_snapshot!((0..2).map(say).collect::<String>(), @r###"
        [home]/.cursor/mcp.json is made, with `weft`
        [home]/.cursor/mcp.json has `weft` already: nothing is changed
        "###);
        let file = stage.folder.path().join(".cursor/mcp.json");
        fs::write(&file, "{ \"mcpServers\": [] }").expect("ours");
        let (_, err, exit) = stage.run(Client::Cursor, true, true);
        assert_eq!(exit, None);
        assert!(
            err.contains("add this by hand") && err.contains("\"weft\""),
            "{err}"
        );
    }
}
