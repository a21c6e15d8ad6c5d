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
mod tests;
