//! What an MCP client needs to reach this mesh, in the words of its own configuration.
//!
//! No secret is written anywhere: over stdio the client starts `weft mcp`, which reads the mesh's
//! token file itself; over HTTP the header names a variable, in the client's own syntax.

mod file;
mod jsonc;
mod merge;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

pub use self::{
    file::{Change, FileError, write},
    jsonc::NotJson,
    merge::{MergeError, merge},
};
use crate::name::ServerName;

/// The variable that holds the token for HTTP.
pub const VARIABLE: &str = "WEFT_TOKEN";
/// What VS Code asks for, and keeps in its own store.
const INPUT: &str = "weft-token";

/// An MCP client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// Claude Code: `.mcp.json` of a project.
    Claude,
    /// Claude Desktop: `claude_desktop_config.json`; it speaks stdio alone.
    ClaudeDesktop,
    /// Cursor: `.cursor/mcp.json` of a project, or of the person.
    Cursor,
    /// VS Code: `.vscode/mcp.json` of a project.
    Vscode,
    /// Any other that reads `mcpServers`.
    Json,
}

/// How the mesh is reached.
#[derive(Clone, Debug)]
pub enum Way {
    /// The gateway's URL, with `/mcp`.
    Http(String),
    /// `weft mcp`, started by the client.
    Stdio {
        /// This program, an absolute path.
        program: PathBuf,
        /// The mesh's folder, an absolute path.
        data: PathBuf,
    },
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Who connects.
    pub client: Client,
    /// By which way.
    pub way: Way,
    /// One server alone, under its own names; else all.
    pub server: Option<ServerName>,
}

impl Wanted {
    /// What the entry is called.
    #[must_use]
    pub fn name(&self) -> String {
        // Each entry of its own, so that the next one does not take the place of the last.
        self.server
            .as_ref()
            .map_or_else(|| "weft".to_owned(), |server| format!("weft-{server}"))
    }

    /// What belongs into the client's file, beside what is there.
    #[must_use]
    pub fn fragment(&self) -> Value {
        let entries = json!({self.name(): self.entry()});
        match (self.client, &self.way) {
            (Client::Vscode, Way::Http(_)) => json!({
                "servers": entries,
                "inputs": [{
                    "type": "promptString",
                    "id": INPUT,
                    "description": "Token for the mesh (`weft token issue`)",
                    "password": true,
                }],
            }),
            (Client::Vscode, Way::Stdio { .. }) => json!({"servers": entries}),
            _ => json!({"mcpServers": entries}),
        }
    }

    fn entry(&self) -> Value {
        let mut entry = Map::new();
        // Cursor tells the two apart by their members.
        let typed = matches!(self.client, Client::Claude | Client::Vscode | Client::Json);
        let mut kind = |kind: &str| {
            if typed {
                entry.insert("type".into(), kind.into());
            }
        };
        match &self.way {
            Way::Http(_) => {
                kind("http");
                entry.insert("url".into(), self.url().into());
                let bearer = format!("Bearer {}", self.variable());
                entry.insert("headers".into(), json!({"Authorization": bearer}));
            }
            Way::Stdio { program, data } => {
                kind("stdio");
                let (program, data) = (program.to_string_lossy(), data.to_string_lossy());
                let mut args = vec!["mcp", "--data", &data];
                if let Some(server) = &self.server {
                    args.extend(["--server", server.as_str()]);
                }
                entry.insert("command".into(), program.as_ref().into());
                entry.insert("args".into(), args.into());
            }
        }
        Value::Object(entry)
    }

    fn url(&self) -> String {
        let Way::Http(url) = &self.way else {
            return String::new();
        };
        match &self.server {
            Some(server) => format!("{url}/{server}"),
            None => url.clone(),
        }
    }

    /// The variable, as the client spells it.
    fn variable(&self) -> String {
        match self.client {
            Client::Cursor => format!("${{env:{VARIABLE}}}"),
            Client::Vscode => format!("${{input:{INPUT}}}"),
            Client::Claude | Client::ClaudeDesktop | Client::Json => format!("${{{VARIABLE}}}"),
        }
    }

    /// The line that adds the entry by the client's own program, where it has one.
    #[must_use]
    pub fn command(&self) -> Option<String> {
        if self.client != Client::Claude {
            return None;
        }
        let name = self.name();
        Some(match &self.way {
            // In single quotes the shell leaves the variable to Claude Code.
            Way::Http(_) => format!(
                "claude mcp add --transport http {name} {} --header 'Authorization: Bearer {}'",
                self.url(),
                self.variable()
            ),
            Way::Stdio { .. } => {
                let entry = self.entry();
                let args = entry["args"].as_array().into_iter().flatten();
                let words = std::iter::once(&entry["command"]).chain(args);
                let words: Vec<String> = words.filter_map(Value::as_str).map(quoted).collect();
                format!("claude mcp add {name} -- {}", words.join(" "))
            }
        })
    }
}

/// A word of a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The gateway's URL with the path that MCP clients use.
#[must_use]
pub fn mcp_url(gateway: &str) -> String {
    let base = gateway.trim_end_matches('/');
    if base.ends_with("/mcp") {
        base.to_owned()
    } else {
        format!("{base}/mcp")
    }
}

/// The file that the client reads: of the project in `folder`, or of the person whose `home` it
/// is. None where there is no such file, or nobody knows whose home.
#[must_use]
pub fn place(client: Client, folder: &Path, home: Option<&Path>) -> Option<PathBuf> {
    match client {
        Client::Claude => Some(folder.join(".mcp.json")),
        Client::Vscode => Some(folder.join(".vscode/mcp.json")),
        Client::Cursor => {
            let project = folder.join(".cursor");
            if project.is_dir() {
                return Some(project.join("mcp.json"));
            }
            Some(home?.join(".cursor/mcp.json"))
        }
        Client::ClaudeDesktop => {
            let support = if cfg!(target_os = "macos") {
                "Library/Application Support/Claude"
            } else {
                ".config/Claude"
            };
            Some(home?.join(support).join("claude_desktop_config.json"))
        }
        Client::Json => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(client: Client, http: bool, server: Option<&str>) -> Wanted {
        let way = if http {
            Way::Http(mcp_url("http://127.0.0.1:7420"))
        } else {
            Way::Stdio {
                program: "/opt/my weft/weft".into(),
                data: "/srv/mesh".into(),
            }
        };
        Wanted {
            client,
            way,
            server: server.map(|name| ServerName::new(name).expect("a name")),
        }
    }

    #[test]
    fn each_client_has_its_own_words() {
        let fragment = |client, http| wanted(client, http, None).fragment();
        let cursor = &fragment(Client::Cursor, true)["mcpServers"]["weft"];
        assert_eq!(cursor["url"], "http://127.0.0.1:7420/mcp");
        assert_eq!(
            cursor["headers"]["Authorization"],
            "Bearer ${env:WEFT_TOKEN}"
        );
        let vscode = fragment(Client::Vscode, true);
        assert_eq!(
            vscode["servers"]["weft"]["headers"]["Authorization"],
            "Bearer ${input:weft-token}"
        );
        assert_eq!(vscode["inputs"][0]["id"], "weft-token");
        assert_eq!(fragment(Client::Vscode, false).get("inputs"), None);
        let desktop = &fragment(Client::ClaudeDesktop, false)["mcpServers"]["weft"];
        let stdio = json!({"command": "/opt/my weft/weft", "args": ["mcp", "--data", "/srv/mesh"]});
        assert_eq!(*desktop, stdio);
    }

    #[test]
    fn one_server_has_an_entry_of_its_own() {
        let http = wanted(Client::Json, true, Some("git")).fragment();
        assert_eq!(
            http["mcpServers"]["weft-git"]["url"],
            "http://127.0.0.1:7420/mcp/git"
        );
        let stdio = wanted(Client::Json, false, Some("git")).fragment();
        let args = &stdio["mcpServers"]["weft-git"]["args"];
        assert_eq!(
            *args,
            json!(["mcp", "--data", "/srv/mesh", "--server", "git"])
        );
    }

    #[test]
    fn the_shell_does_not_see_a_token() {
        let line = |http| {
            wanted(Client::Claude, http, None)
                .command()
                .expect("it has one")
        };
        assert_eq!(
            line(true),
            "claude mcp add --transport http weft http://127.0.0.1:7420/mcp --header \
             'Authorization: Bearer ${WEFT_TOKEN}'"
        );
        assert_eq!(
            line(false),
            "claude mcp add weft -- '/opt/my weft/weft' mcp --data /srv/mesh"
        );
        assert!(wanted(Client::Cursor, true, None).command().is_none());
    }

    #[test]
    fn a_projects_own_file_comes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Path::new("/home/alice");
        let at = |client| place(client, folder.path(), Some(home)).expect("a file");
        assert_eq!(at(Client::Cursor), home.join(".cursor/mcp.json"));
        std::fs::create_dir(folder.path().join(".cursor")).expect("it is ours");
        assert_eq!(at(Client::Cursor), folder.path().join(".cursor/mcp.json"));
        assert_eq!(at(Client::Claude), folder.path().join(".mcp.json"));
        assert_eq!(at(Client::Vscode), folder.path().join(".vscode/mcp.json"));
        assert!(place(Client::Json, folder.path(), Some(home)).is_none());
        assert!(place(Client::ClaudeDesktop, folder.path(), None).is_none());
    }
}
