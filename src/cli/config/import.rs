//! `weft config import`: the file of an MCP client, as a `weft.yaml`.

use std::path::PathBuf;

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
(`${TOKEN}`) are taken over.";

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
    let (servers, variables) = servers(&loaded.config);
    let document = json!({"servers": servers});
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
