//! What `weft config import` makes of the files of real clients.

use super::*;
use crate::cli::output::{Format, tests::printer};

/// What `weft config import` makes of a client's file, and what it says beside it.
fn imported(place: &str, text: &str) -> (String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(place);
    std::fs::create_dir_all(file.parent().expect("it has one")).expect("ours");
    std::fs::write(&file, text).expect("ours");
    let (printer, out, err) = printer(Format::Table, false);
    let mut to = Invocation::new(printer, Env::default(), Default::default());
    run(&Args { file: file.clone() }, &mut to).expect("imported");
    // What was made is a configuration; nothing in it is a word of the client's.
    let again = folder.path().join("weft.yaml");
    std::fs::write(&again, out.text()).expect("ours");
    let loaded = config::load(&Sources {
        file: Some(again),
        ..Sources::default()
    });
    loaded.expect("it is one");
    let plain = |text: String| {
        let folder = folder.path().to_string_lossy().into_owned();
        text.replace(&folder, "[project]")
    };
    (plain(out.text()), plain(err.text()))
}

#[test]
fn the_file_of_vs_code() {
    let text = r#"{
      // Inputs are prompted on first server start, then stored securely by VS Code.
      "inputs": [
        { "type": "promptString", "id": "perplexity-key", "description": "Perplexity API Key", "password": true },
      ],
      "servers": {
        /* https://github.com/ppl-ai/modelcontextprotocol/ */
        "Perplexity": {
          "type": "stdio",
          "command": "npx",
          "args": ["-y", "server-perplexity-ask", "--root", "${workspaceFolder}/data"],
          "env": { "PERPLEXITY_API_KEY": "${input:perplexity-key}", "DEBUG": "true" },
          "envFile": "${workspaceFolder}/.env",
        },
        "home": { "type": "stdio", "command": "${userHome}/bin/x", "cwd": "${workspaceFolder}", "dev": { "watch": "*.ts" } },
      },
    }"#;
    let (out, err) = imported(".vscode/mcp.json", text);
    insta::assert_snapshot!(out, @r###"
    # yaml-language-server: $schema=schemas/config.json
    servers:
      home:
        command: "${HOME}/bin/x"
        cwd: [project]
      perplexity:
        command: npx
        args: ["-y", server-perplexity-ask, "--root", [project]/data]
        env:
          DEBUG:
            env: DEBUG
          PERPLEXITY_API_KEY: "${PERPLEXITY_KEY}"
    "###);
    for said in ["PERPLEXITY_KEY", "DEBUG", "envFile", "`inputs` is not used"] {
        assert!(err.contains(said), "{said} in {err}");
    }
}

#[test]
fn the_file_of_claude_desktop() {
    let text = r#"{
      "globalShortcut": "",
      "mcpServers": {
        "filesystem": {
          "command": "npx",
          "args": ["-y", "@modelcontextprotocol/server-filesystem", "/Users/me/Desktop", "/Users/me/Downloads"]
        },
        "brave-search": { "command": "npx", "args": ["-y", "server-brave-search"], "env": { "BRAVE_API_KEY": "BSA-s3cret" } }
      },
      "preferences": { "menuBarEnabled": false }
    }"#;
    let (out, err) = imported("claude_desktop_config.json", text);
    insta::assert_snapshot!(out, @r###"
    # yaml-language-server: $schema=schemas/config.json
    servers:
      brave-search:
        command: npx
        args: ["-y", server-brave-search]
        env:
          BRAVE_API_KEY:
            env: BRAVE_API_KEY
      filesystem:
        command: npx
        args:
          - "-y"
          - "@modelcontextprotocol/server-filesystem"
          - /Users/me/Desktop
          - /Users/me/Downloads
    "###);
    assert!(!out.contains("s3cret") && !err.contains("s3cret"));
    assert!(err.contains("BRAVE_API_KEY"), "{err}");
}

#[test]
fn the_file_of_claude_code() {
    let text = r#"{ "mcpServers": {
        "db": { "type": "stdio", "command": "${CLAUDE_PROJECT_DIR:-.}/bin/db", "args": ["--url", "${DB_URL:-postgres://localhost}"], "env": {} }
    } }"#;
    let (out, _) = imported(".mcp.json", text);
    insta::assert_snapshot!(out, @r###"
    # yaml-language-server: $schema=schemas/config.json
    servers:
      db:
        command: "${CLAUDE_PROJECT_DIR:-.}/bin/db"
        args: ["--url", "${DB_URL:-postgres://localhost}"]
    "###);
}

#[test]
fn the_file_of_cursor() {
    let text = r#"{
      "mcpServers": {
        "local": {
          "command": "python",
          "args": ["${workspaceFolder}/mcp-server.py", "--name=${workspaceFolderBasename}", "a${pathSeparator}b${/}c"],
          "env": { "API_KEY": "${env:MY_API_KEY}" },
          "envFile": ".env"
        }
      }
    }"#;
    let (out, err) = imported(".cursor/mcp.json", text);
    insta::assert_snapshot!(out.replace(
        &*project_name(&out), "[name]"
    ), @r###"
    # yaml-language-server: $schema=schemas/config.json
    servers:
      local:
        command: python
        args: [[project]/mcp-server.py, "--name=[name]", a/b/c]
        env:
          API_KEY: "${MY_API_KEY}"
    "###);
    assert!(err.contains("envFile"), "{err}");
}

/// A temporary folder has another name each time.
fn project_name(out: &str) -> String {
    let (_, after) = out.split_once("--name=").expect("it is said");
    let end = after.find([']', ',', '"']).expect("its end");
    after[..end].to_owned()
}

#[test]
fn what_is_literal_stays_so() {
    let client = Client::of(Path::new("/srv/project/.vscode/mcp.json"));
    let text = |text: &str| client.text(text, &mut Vec::new());
    assert_eq!(text("$${workspaceFolder}"), "$${workspaceFolder}");
    assert_eq!(text("${workspaceFolder}"), "/srv/project");
    assert_eq!(text("${A}${input:a b}${"), "${A}${A_B}${");
    let plain = Client::of(Path::new("/srv/project/.mcp.json"));
    assert_eq!(
        plain.text("${workspaceFolder}", &mut Vec::new()),
        "/srv/project"
    );
}

#[test]
fn a_clients_file_becomes_a_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mcp.json");
    let text = r#"{"mcpServers": {
        "My Server": {"command": "uvx", "args": ["mcp-server-time"], "env": {"API_KEY": "s3cret", "PLACE": "${HOME}/x"}},
        "off": {"command": "x", "disabled": true}
    }}"#;
    std::fs::write(&file, text).expect("written");
    let (printer, out, err) = printer(Format::Table, false);
    let mut to = Invocation::new(printer, Env::default(), Default::default());
    run(&Args { file }, &mut to).expect("imported");
    insta::assert_snapshot!(out.text(), @r#"
    # yaml-language-server: $schema=schemas/config.json
    servers:
      my-server:
        command: uvx
        args: [mcp-server-time]
        env:
          API_KEY:
            env: API_KEY
          PLACE: "${HOME}/x"
      "off":
        command: x
        enabled: false
    "#);
    assert!(!out.text().contains("s3cret") && !err.text().contains("s3cret"));
    assert!(err.text().contains("API_KEY"), "{}", err.text());
    let again = folder.path().join("weft.yaml");
    std::fs::write(&again, out.text()).expect("written");
    let loaded = config::load(&Sources {
        file: Some(again),
        ..Sources::default()
    });
    assert_eq!(loaded.expect("it is one").config.servers.len(), 2);
}
