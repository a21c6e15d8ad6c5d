//! `weft config import`: the file of an MCP client, as a `weft.yaml`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use weftbus::config::{self, Config, Env, Setting, Sources, env::HOME};

use super::yaml;
use crate::cli::{exit::Exit, failure::Failure, invocation::Invocation};

const EXAMPLES: &str = "\
EXAMPLES
  weft config import ~/.cursor/mcp.json > weft.yaml
  weft config import .mcp.json -o json";

const AFTER: &str = "\
Values of `env` and `headers` may be secrets: they stay where they are, and the weft.yaml names
variables in their place, which standard error lists. Values that name a variable themselves
(`${TOKEN}`) are taken over, and a client's own words in ours: `${env:TOKEN}` and `${input:token}`
are variables, `${workspaceFolder}` is the folder that the file's project lies in.";

/// Print the weft.yaml that an MCP client's file amounts to
#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = AFTER)]
pub(super) struct Args {
    /// The client's file: mcp.json, settings.json, ...
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(args: &Args, to: &mut Invocation) -> Result<Exit, Failure> {
    let home = to.env.get(HOME).map(|home| (HOME, home));
    let loaded = config::load(&Sources {
        import: vec![args.file.clone()],
        // A file is no folder, so that no weft.yaml is found in it: the client's file alone counts.
        folder: args.file.clone(),
        env: home.into_iter().collect::<Env>(),
        ..Sources::default()
    })?;
    for warning in &loaded.warnings {
        to.printer.warn(warning);
    }
    let (servers, mut variables) = servers(&loaded.config);
    let mut document = json!({"servers": servers});
    Client::of(&args.file).translate(&mut document, &mut variables);
    if to.printer.is_table() {
        let text = yaml::write(&document);
        to.printer.text(&format!(
            "# yaml-language-server: $schema=schemas/config.json\n{text}"
        ))?;
    } else {
        to.printer.json(&document)?;
    }
    if !variables.is_empty() {
        to.printer.say(format!(
            "set these variables for `weft up`, to what stands in {}: {}",
            args.file.display(),
            variables.join(", ")
        ));
    }
    Ok(Exit::Ok)
}

/// The servers as a configuration has them, and the variables that stand where values stood.
fn servers(config: &Config) -> (Map<String, Value>, Vec<String>) {
    let mut variables = Vec::new();
    let mut servers = Map::new();
    for (name, server) in &config.servers {
        let mut written = serde_json::to_value(server).unwrap_or_default();
        for (key, settings) in [("env", &server.env), ("headers", &server.headers)] {
            for (variable, setting) in settings {
                let Setting::Text(text) = setting else {
                    continue;
                };
                written[key][variable] = if text.reveal().contains("${") {
                    Value::from(text.reveal())
                } else {
                    let named = variable_name(variable);
                    if !variables.contains(&named) {
                        variables.push(named.clone());
                    }
                    json!({"env": named})
                };
            }
        }
        if let Value::Object(members) = &mut written {
            // What is as it is anyway need not be said.
            members.retain(|key, value| match key.as_str() {
                "enabled" => *value == Value::Bool(false),
                "validate" => *value != "server",
                _ => !value.is_null(),
            });
        }
        servers.insert(name.clone(), written);
    }
    (servers, variables)
}

/// What the words of a client mean that only it knows.
struct Client {
    /// The project that the file belongs to.
    project: Option<PathBuf>,
}

impl Client {
    /// The client whose file this is. In a project the file lies in a folder of the client's:
    /// `.vscode/mcp.json`, `.cursor/mcp.json`; Claude Code's lies in the project itself.
    fn of(file: &Path) -> Self {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let folder = file.parent();
        let own = folder.is_some_and(|folder| {
            let name = folder.file_name().unwrap_or_default();
            name == ".vscode" || name == ".cursor"
        });
        let project = if own {
            folder.and_then(Path::parent)
        } else {
            folder
        };
        Self {
            project: project.map(Path::to_owned),
        }
    }

    /// Puts ours in the place of its words, in every text below. What it asks people for is a
    /// variable, whose name is added.
    fn translate(&self, value: &mut Value, variables: &mut Vec<String>) {
        match value {
            Value::String(text) if text.contains("${") => *text = self.text(text, variables),
            Value::Array(items) => {
                items
                    .iter_mut()
                    .for_each(|item| self.translate(item, variables));
            }
            Value::Object(members) => {
                members
                    .values_mut()
                    .for_each(|member| self.translate(member, variables));
            }
            _ => {}
        }
    }

    fn text(&self, text: &str, variables: &mut Vec<String>) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let Some((inner, behind)) = after.split_once('}') else {
                out.push_str("${");
                rest = after;
                continue;
            };
            // `$${` stands for a literal `${`.
            let literal = before.ends_with('$');
            let word = (!literal).then(|| self.word(inner, variables)).flatten();
            out.push_str(&word.unwrap_or_else(|| format!("${{{inner}}}")));
            rest = behind;
        }
        out + rest
    }

    /// What stands between the braces, in our words; none where it is ours already.
    fn word(&self, inner: &str, variables: &mut Vec<String>) -> Option<String> {
        let project = || self.project.as_deref();
        match inner {
            "workspaceFolder" => Some(project()?.display().to_string()),
            "workspaceFolderBasename" => {
                let name = project()?.file_name()?;
                Some(name.to_string_lossy().into_owned())
            }
            "userHome" => Some(format!("${{{HOME}}}")),
            "pathSeparator" | "/" => Some("/".to_owned()),
            _ => {
                let named = variable_name(inner.strip_prefix("input:")?);
                let variable = format!("${{{named}}}");
                if !variables.contains(&named) {
                    variables.push(named);
                }
                Some(variable)
            }
        }
    }
}

/// `X-Api-Key` as a variable: `X_API_KEY`.
fn variable_name(key: &str) -> String {
    key.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
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
}
