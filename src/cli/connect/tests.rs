//! What `weft connect` prints and writes, for each client.

use std::fs;

use weftbus::{app::context::BrokerTls, config::Env};

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
            tls: BrokerTls::default(),
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
